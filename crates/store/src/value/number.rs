//! Decimal numbers as increment and decrement read and write them.

/// The number at the start of `value`, as C's `strtoull` reads it: white space and a sign may come
/// before it, and white space, a zero byte or the end must follow. `None` for any other value, for
/// one that does not fit 64 bits, and for a negative one unless it wraps to a small number.
pub(crate) fn parse(value: impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = value.skip_while(|&byte| is_space(byte));
    let mut next = value.next();
    let negative = next == Some(b'-');
    if matches!(next, Some(b'-' | b'+')) {
        next = value.next();
    }
    let mut number = None::<u64>;
    while let Some(digit @ b'0'..=b'9') = next {
        let before = number.unwrap_or(0).checked_mul(10)?;
        number = Some(before.checked_add(u64::from(digit - b'0'))?);
        next = value.next();
    }
    if next.is_some_and(|byte| byte != 0 && !is_space(byte)) {
        return None;
    }
    let number = number?;
    if negative {
        let number = number.wrapping_neg();
        return (number <= u64::MAX / 2).then_some(number);
    }
    Some(number)
}

/// The digits of `number`, at the end of `buffer`.
pub(crate) fn format(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = DIGITS[usize::try_from(number % 10).unwrap_or(0)];
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

const DIGITS: &[u8; 10] = b"0123456789";

/// Rust's ASCII white space lacks the vertical tab, which C's has.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Whether there are only spaces.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    const SPACES: [u8; 256] = [b' '; 256];
    bytes.chunks(SPACES.len()).all(|some| some == &SPACES[..some.len()])
}

#[cfg(test)]
mod tests {
    use super::{format, is_blank};

    fn parse(value: &[u8]) -> Option<u64> {
        super::parse(value.iter().copied())
    }

    #[test]
    fn spaces_are_told_from_all_else() {
        assert!(is_blank(b"") && is_blank(&[b' '; 700]));
        for at in [0, 255, 256, 699] {
            let mut bytes = [b' '; 700];
            bytes[at] = b'\t';
            assert!(!is_blank(&bytes), "byte {at}");
        }
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"10  "), Some(10));
        assert_eq!(parse(b" \x0b\t+7\r"), Some(7));
        assert_eq!(parse(b"5 apples"), Some(5));
        assert_eq!(parse(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse(b"18446744073709551616"), None);
        assert_eq!(parse(b"-1"), None);
        assert_eq!(parse(b"-0"), Some(0));
        assert_eq!(parse(b"-18446744073709551615"), Some(1));
        for text in [&b""[..], b" ", b"+", b"12a", b"a12", b"1.5", b"0x10"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 99, 1_234_567_890, u64::MAX] {
            assert_eq!(format(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
