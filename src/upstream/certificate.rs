//! The channel binding `tls-server-end-point` (RFC 5929 section 4.1): a hash of the server's leaf
//! certificate, made with the hash of the certificate's own signature. This file reads as much DER
//! as that takes; it judges no certificate.

use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};

/// DER tags (X.690): universal class, the first two constructed or primitive as DER wants them.
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BIT_STRING: u8 = 0x03;

/// The binding data for a connection whose server showed the certificate `leaf` (DER). `None`
/// where the certificate cannot be read or its signature algorithm does not name one hash that is
/// known here (Ed25519, RSASSA-PSS): such a connection has no channel binding.
pub(super) fn end_point(leaf: &[u8]) -> Option<Vec<u8>> {
    let hash = hash_of(signature_algorithm(leaf)?)?;
    Some(digest::digest(hash, leaf).as_ref().to_vec())
}

/// The hash for a signature algorithm: its own, but SHA-256 instead of MD5 and SHA-1. Object
/// identifiers as in RFC 8017 appendix C (`rsaEncryption` arc) and RFC 5758 section 3.2.
fn hash_of(oid: &[u8]) -> Option<&'static Algorithm> {
    match oid {
        // md5WithRSAEncryption, sha1WithRSAEncryption, sha256WithRSAEncryption
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
        // ecdsa-with-SHA1, ecdsa-with-SHA256
        | b"\x2a\x86\x48\xce\x3d\x04\x01"
        | b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => Some(&SHA256),
        // sha224WithRSAEncryption, ecdsa-with-SHA224
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e" | b"\x2a\x86\x48\xce\x3d\x04\x03\x01" => {
            Some(&SHA224)
        }
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" | b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => {
            Some(&SHA384)
        }
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" | b"\x2a\x86\x48\xce\x3d\x04\x03\x04" => {
            Some(&SHA512)
        }
        _ => None,
    }
}

/// The object identifier in `Certificate.signatureAlgorithm` (RFC 5280 section 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, end) = element(certificate, SEQUENCE)?;
    let (_to_be_signed, parts) = element(parts, SEQUENCE)?;
    let (algorithm, parts) = element(parts, SEQUENCE)?;
    let (_signature, last) = element(parts, BIT_STRING)?;
    let (oid, _parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    (end.is_empty() && last.is_empty()).then_some(oid)
}

/// The content of the element at the front of `input`, which must have the tag, and what follows
/// the element.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = input.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => long_length(rest, usize::from(first & 0x7f))?,
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A length of `count` bytes in its shortest form, the only one DER allows.
fn long_length(input: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = input.split_at_checked(count)?;
    let length = digits
        .iter()
        .fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
    let shortest = length > 0x7f && digits.first() != Some(&0);
    shortest.then_some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Authority, der};
    use super::*;

    const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01";
    const ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04";

    /// The outline of a certificate with that signature algorithm.
    fn outline(oid: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, &[oid]), b"\x05\0"]);
        let signed = der(SEQUENCE, &[&[0; 300]]);
        let signature = der(BIT_STRING, &[&[0; 70]]);
        der(SEQUENCE, &[&signed, &algorithm, &signature])
    }

    #[test]
    fn the_hash_is_the_signatures_own() {
        let cases: [(&[u8], &[u8], Option<&'static Algorithm>); 13] = [
            (RSA, b"\x04", Some(&SHA256)),
            (RSA, b"\x05", Some(&SHA256)),
            (RSA, b"\x0b", Some(&SHA256)),
            (RSA, b"\x0c", Some(&SHA384)),
            (RSA, b"\x0d", Some(&SHA512)),
            (RSA, b"\x0e", Some(&SHA224)),
            (RSA, b"\x0a", None),
            (ECDSA, b"\x01", Some(&SHA256)),
            (ECDSA, b"\x03\x01", Some(&SHA224)),
            (ECDSA, b"\x03\x02", Some(&SHA256)),
            (ECDSA, b"\x03\x03", Some(&SHA384)),
            (ECDSA, b"\x03\x04", Some(&SHA512)),
            (b"\x2b\x65", b"\x70", None),
        ];
        for (arc, last, hash) in cases {
            let leaf = outline(&[arc, last].concat());
            let expected = hash.map(|hash| digest::digest(hash, &leaf).as_ref().to_vec());
            assert_eq!(end_point(&leaf), expected, "{arc:x?} {last:x?}");
        }
    }

    #[test]
    fn a_real_certificate() {
        let leaf = Authority::new().issue("db.internal", None).certificate;
        let expected = digest::digest(&SHA256, &leaf).as_ref().to_vec();
        assert_eq!(end_point(&leaf), Some(expected));
    }

    #[test]
    fn what_is_not_exact_der_has_no_end_point() {
        let good = outline(b"\x2a\x86\x48\xce\x3d\x04\x03\x02");
        for cut in 0..good.len() {
            assert_eq!(end_point(&good[..cut]), None, "cut at {cut}");
        }
        assert_eq!(end_point(&[good.as_slice(), b"\0"].concat()), None);
        let cases: [&[u8]; 7] = [
            b"\x30\x80\0\0",
            b"\x30\x81\x01\0",
            b"\x30\x82\0\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x83\xff\xff\xff",
            b"\x31\0",
            b"",
        ];
        for bytes in cases {
            assert_eq!(element(bytes, SEQUENCE), None, "{bytes:x?}");
        }
    }
}
