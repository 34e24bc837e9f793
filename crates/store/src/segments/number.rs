//! Decimal numbers as increment and decrement read and write them.

/// The number at the start of `value`, as C's `strtoull` reads it: white space and a sign may stand
/// before it, and white space, a zero byte or nothing must follow. `None` for anything else, for
/// what does not fit 64 bits, and for what is negative unless it wraps to a small number.
pub(super) fn parse(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii_start();
    let value = skip_vertical_tabs(value);
    let (negative, digits) = match value.first()? {
        b'-' => (true, &value[1..]),
        b'+' => (false, &value[1..]),
        _ => (false, value),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 || digits.get(end).is_some_and(|&byte| !ends_number(byte)) {
        return None;
    }
    let mut number = 0_u64;
    for digit in &digits[..end] {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative {
        number = number.wrapping_neg();
        if number > u64::MAX / 2 {
            return None;
        }
    }
    Some(number)
}

/// The digits of `number`, at the end of `buffer`.
pub(super) fn format(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
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
fn skip_vertical_tabs(mut value: &[u8]) -> &[u8] {
    while let Some(rest) = value.strip_prefix(b"\x0b") {
        value = rest.trim_ascii_start();
    }
    value
}

fn ends_number(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

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
