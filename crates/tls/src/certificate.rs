//! Reads some fields of a node's own certificates, of any version of X.509 (RFC 5280, 4.1). This module
//! decides no question of trust.

use crate::calendar;
use crate::der::{Element, Reader, tag};

/// `id-ce-basicConstraints`.
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];

/// The fields of a certificate that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// `subjectPublicKeyInfo`, tag and length included.
    pub(crate) public_key: &'a [u8],
    /// End of validity as a Unix time; 0 if it is before 1970.
    pub expires: u64,
    /// Whether it may sign other certificates.
    pub is_authority: bool,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate in DER. `None` if it is damaged.
    pub fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut certificate = Reader::new(der).sequence()?;
        let mut signed = certificate.sequence()?;
        // The signature algorithm and the signature.
        certificate.take(tag::SEQUENCE)?;
        certificate.take(tag::BIT_STRING)?;

        // The version, which version 1 omits.
        signed.take(tag::CONTEXT_0);
        // The serial number, the signature algorithm and the issuer.
        signed.take(tag::INTEGER)?;
        signed.take(tag::SEQUENCE)?;
        signed.take(tag::SEQUENCE)?;
        let mut validity = signed.sequence()?;
        time(validity.next()?)?;
        let expires = time(validity.next()?)?;
        // The subject.
        signed.take(tag::SEQUENCE)?;
        let public_key = signed.take(tag::SEQUENCE)?.whole;
        // The unique identifiers of issuer and subject, which are not in use.
        signed.take(tag::CONTEXT_1);
        signed.take(tag::CONTEXT_2);
        let is_authority = match signed.take(tag::CONTEXT_3) {
            Some(extensions) => is_authority(extensions.content)?,
            None => false,
        };
        let expires = u64::try_from(expires).unwrap_or(0);
        Some(Certificate { public_key, expires, is_authority })
    }
}

/// Whether these extensions are those of an authority. `None` if they are damaged.
fn is_authority(extensions: &[u8]) -> Option<bool> {
    let mut extensions = Reader::new(extensions).sequence()?;
    let mut authority = false;
    while !extensions.is_empty() {
        let mut extension = extensions.sequence()?;
        let id = extension.take(tag::OBJECT_ID)?.content;
        // The `critical` flag.
        extension.take(tag::BOOLEAN);
        let value = extension.take(tag::OCTET_STRING)?.content;
        if id == BASIC_CONSTRAINTS {
            let mut constraints = Reader::new(value).sequence()?;
            authority = constraints.take(tag::BOOLEAN).is_some_and(|ca| ca.content != [0]);
        }
    }
    Some(authority)
}

/// Parses a time to Unix time (RFC 5280, 4.1.2.5: seconds are always present, and the zone is always Z).
fn time(element: Element<'_>) -> Option<i64> {
    let digits = element.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |pair: &[u8]| i64::from(pair[0] - b'0') * 10 + i64::from(pair[1] - b'0');
    let (year, rest) = match (element.tag, digits.len()) {
        (tag::UTC_TIME, 12) => match two(digits) {
            year @ 0..50 => (2000 + year, &digits[2..]),
            year => (1900 + year, &digits[2..]),
        },
        (tag::GENERALIZED_TIME, 14) => (two(digits) * 100 + two(&digits[2..]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|from| two(&rest[from..]));
    calendar::unix([year, month, day, hour, minute, second])
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn what_a_certificate_says() {
        let key = KeyPair::generate().unwrap();
        // 2049 is encoded with two digits, 2051 with four.
        for (year, is_ca, is_authority) in [
            (2049, IsCa::NoCa, false),
            (2051, IsCa::ExplicitNoCa, false),
            (2040, IsCa::Ca(BasicConstraints::Unconstrained), true),
            (2040, IsCa::Ca(BasicConstraints::Constrained(1)), true),
        ] {
            let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
            params.is_ca = is_ca;
            params.not_after = date_time_ymd(year, 2, 28);
            let expires = u64::try_from(params.not_after.unix_timestamp()).unwrap();
            let made = params.self_signed(&key).unwrap();
            let read = Certificate::read(made.der()).unwrap();
            assert_eq!((read.expires, read.is_authority), (expires, is_authority));
            assert_eq!(read.public_key, rcgen::PublicKeyData::subject_public_key_info(&key));
            for end in 0..made.der().len() {
                assert_eq!(Certificate::read(&made.der()[..end]), None);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        let made = params.self_signed(&key).unwrap();
        let damaged = |place: usize, bit: u32| {
            let mut damaged = made.der().to_vec();
            damaged[place] ^= 1 << bit;
            Certificate::read(&damaged).is_none()
        };
        for place in 0..made.der().len() {
            let noticed = (0..8).filter(|&bit| damaged(place, bit)).count();
            // Bytes 0 and 1 are the outermost tag and length: any damage to them is detected.
            assert!(noticed == 8 || place > 1, "byte {place}");
        }
    }

    #[test]
    fn times() {
        let of = |tag, text: &str| {
            time(Element { tag, content: text.as_bytes(), whole: text.as_bytes() })
        };
        assert_eq!(of(tag::UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(of(tag::UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(of(tag::UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(of(tag::GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for (tag, text) in [
            (tag::UTC_TIME, "7001010000Z"),
            (tag::UTC_TIME, "700101000000"),
            (tag::UTC_TIME, "700101000000+0100"),
            (tag::UTC_TIME, "19700101000000Z"),
            (tag::UTC_TIME, "7001010000x0Z"),
            (tag::UTC_TIME, "700230000000Z"),
            (tag::GENERALIZED_TIME, "700101000000Z"),
            (tag::GENERALIZED_TIME, "19700101000000.5Z"),
            (tag::INTEGER, "700101000000Z"),
            (tag::UTC_TIME, ""),
        ] {
            assert_eq!(of(tag, text), None, "{text}");
        }
    }
}
