//! Hexadecimal encoding, for nonces and authentication codes.

/// Bytes as lower-case hexadecimal digits, two each.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes from their hexadecimal digits, in either case; `None` if `text` is anything
/// else.
pub fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_there_and_back() {
        let bytes: [u8; 256] = std::array::from_fn(|index| index.to_le_bytes()[0]);
        let text = to_hex(&bytes);
        assert_eq!(from_hex(text.as_bytes()), Some(bytes));
        assert_eq!(from_hex(text.to_uppercase().as_bytes()), Some(bytes));
        assert_eq!(to_hex(&[0, 0x1f, 0xa0]), "001fa0");
    }

    #[test]
    fn nothing_but_the_right_number_of_digits_is_read() {
        for bad in
            [&b""[..], b"0a", b"0a1", b"0a1b2", b"0a1b2c", b"0a1g", b"+a1b", "0aé".as_bytes()]
        {
            assert_eq!(from_hex::<2>(bad), None, "{bad:?}");
        }
        assert_eq!(from_hex(b"0a1b"), Some([0x0a, 0x1b]));
    }
}
