//! The keys that tokens are verified with: a JWK Set (RFC 7517) becomes a [`KeySet`], each key with
//! one algorithm that nothing in a token can change. Symmetric keys and `none` cannot be
//! expressed. This file never follows a URL and never holds a private key.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Error;
use super::json;

/// The signature algorithms pgward knows (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Algorithm {
    /// EdDSA with Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
}

impl Algorithm {
    /// The `alg` value.
    pub const fn word(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// The algorithm of that `alg` value; `None` for all that pgward does not verify.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::EdDsa, Self::Es256, Self::Rs256, Self::Ps256]
            .into_iter()
            .find(|algorithm| algorithm.word() == word)
    }

    /// The same algorithm in the words of the library that does the arithmetic.
    pub(super) const fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
        }
    }
}

/// A public key with its id and its one algorithm.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl VerifyingKey {
    /// The key id (`kid`).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The keys of one issuer, by `kid`.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: BTreeMap<String, VerifyingKey>,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5). Keys for encryption, of other types or of algorithms
    /// that are not `allowed` are left out; the set must keep at least one key.
    ///
    /// # Errors
    /// The whole set is refused where one of its keys is symmetric, has private members, cannot be
    /// told from another (no `kid`, the same `kid`), or is malformed.
    pub fn from_jwks(json: &[u8], allowed: &[Algorithm]) -> Result<Self, Error> {
        let document = json::object(json).ok_or(Error::NotAKeySet)?;
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(Error::NotAKeySet)?;
        let mut keys = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let refuse = |fault| Error::Key {
                key: label(entry, index),
                fault,
            };
            let Some(key) = read_key(entry, allowed).map_err(refuse)? else {
                continue;
            };
            if keys.insert(key.kid.clone(), key).is_some() {
                return Err(refuse("stands twice: every \"kid\" must be unique"));
            }
        }
        if keys.is_empty() {
            return Err(Error::NoUsableKey);
        }
        Ok(Self { keys })
    }

    /// The key of that id.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.get(kid)
    }
}

/// Members that only a private or a symmetric key has (RFC 7518 section 6, RFC 8037 section 2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// What to call a key in an error.
fn label(entry: &Value, index: usize) -> String {
    match entry.get("kid").and_then(json::text) {
        Some(kid) => format!("key \"{kid}\""),
        None => format!("key number {}", index.saturating_add(1)),
    }
}

/// One JWK; `Ok(None)` where it is for something other than signatures of an allowed algorithm.
fn read_key(entry: &Value, allowed: &[Algorithm]) -> Result<Option<VerifyingKey>, &'static str> {
    let members = entry.as_object().ok_or("is not an object")?;
    let kind = word(members, "kty")?.ok_or("has no \"kty\"")?;
    if kind == "oct" || members.contains_key("k") {
        return Err("is symmetric: whoever can read it can sign with it");
    }
    if PRIVATE_MEMBERS
        .iter()
        .any(|name| members.contains_key(*name))
    {
        return Err("has private members: replace the key, it is no longer secret");
    }
    if !is_for_signatures(members)? {
        return Ok(None);
    }
    let kid = members
        .get("kid")
        .and_then(json::text)
        .ok_or("has no \"kid\", or not a text of 1 to 255 bytes")?;
    let Some(algorithm) = algorithm_of(members, kind, allowed)? else {
        return Ok(None);
    };
    Ok(Some(VerifyingKey {
        kid: kid.to_owned(),
        algorithm,
        key: decoding_key(members, algorithm)?,
    }))
}

/// A member that must be a text where it is present.
fn word<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(Some)
            .ok_or("has a member that should be a text and is not"),
    }
}

/// `use` (RFC 7517 section 4.2) and `key_ops` (section 4.3), where present, must allow verifying.
fn is_for_signatures(members: &Map<String, Value>) -> Result<bool, &'static str> {
    if word(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Ok(false);
    }
    match members.get("key_ops") {
        None => Ok(true),
        Some(operations) => Ok(json::texts(operations)
            .ok_or("has \"key_ops\" that are not a list of texts")?
            .iter()
            .any(|operation| operation == "verify")),
    }
}

/// The one algorithm of a key: what its type and curve can do, narrowed by its `alg` and by what
/// the configuration allows.
fn algorithm_of(
    members: &Map<String, Value>,
    kind: &str,
    allowed: &[Algorithm],
) -> Result<Option<Algorithm>, &'static str> {
    let able: &[Algorithm] = match (kind, word(members, "crv")?) {
        ("OKP", Some("Ed25519")) => &[Algorithm::EdDsa],
        ("EC", Some("P-256")) => &[Algorithm::Es256],
        ("RSA", _) => &[Algorithm::Rs256, Algorithm::Ps256],
        (_, _) => &[],
    };
    let named = word(members, "alg")?;
    let mut left = able
        .iter()
        .copied()
        .filter(|algorithm| named.is_none_or(|name| name == algorithm.word()))
        .filter(|algorithm| allowed.contains(algorithm));
    match (left.next(), left.next()) {
        (Some(_), Some(_)) => Err("has no \"alg\", and both RS256 and PS256 are allowed"),
        (only, _) => Ok(only),
    }
}

/// The key's public numbers, checked to be a key at all.
fn decoding_key(
    members: &Map<String, Value>,
    algorithm: Algorithm,
) -> Result<DecodingKey, &'static str> {
    const BAD: &str = "is not a valid public key of its type";
    match algorithm {
        Algorithm::EdDsa => {
            let x = number(members, "x", 32)?;
            ParsedPublicKey::new(&ED25519, &x).map_err(|_| BAD)?;
            Ok(DecodingKey::from_ed_der(&x))
        }
        Algorithm::Es256 => {
            let mut point = vec![0x04];
            point.extend(number(members, "x", 32)?);
            point.extend(number(members, "y", 32)?);
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| BAD)?;
            Ok(DecodingKey::from_ec_der(&point))
        }
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let modulus = positive(bytes(members, "n")?);
            let exponent = positive(bytes(members, "e")?);
            if !(2048..=8192).contains(&bits(&modulus)) {
                return Err("is an RSA key of fewer than 2048 or more than 8192 bits");
            }
            if exponent.is_empty() {
                return Err(BAD);
            }
            Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
    }
}

/// A base64url member (RFC 7518 section 2), strictly without padding.
fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = word(members, name)?.ok_or("lacks a public number")?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "has a number that is not base64url")
}

/// A member of exactly that many bytes.
fn number(members: &Map<String, Value>, name: &str, len: usize) -> Result<Vec<u8>, &'static str> {
    let number = bytes(members, name)?;
    if number.len() == len {
        Ok(number)
    } else {
        Err("has a number of the wrong length")
    }
}

/// The number without leading zero bytes, which some issuers write and the arithmetic refuses.
fn positive(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// The number of significant bits.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::SigningKey;

    const ALL: [Algorithm; 4] = [
        Algorithm::EdDsa,
        Algorithm::Es256,
        Algorithm::Rs256,
        Algorithm::Ps256,
    ];

    /// The published form of a new key, with changes; `null` removes a member.
    fn jwk(algorithm: Algorithm, changes: Value) -> Value {
        let published = SigningKey::generate(algorithm).unwrap().jwks();
        let mut set: Value = serde_json::from_str(&published).unwrap();
        let mut members = set["keys"][0].take();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.as_object_mut().unwrap().remove(name);
            } else {
                members[name] = value.clone();
            }
        }
        members
    }

    fn rsa(bits: usize, changes: Value) -> Value {
        let mut modulus = vec![0xc1; bits / 8];
        *modulus.last_mut().unwrap() = 1;
        let mut members = json!({
            "kty": "RSA", "kid": "r", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus),
        });
        for (name, value) in changes.as_object().unwrap() {
            members[name] = value.clone();
        }
        members
    }

    fn read(keys: &[Value], allowed: &[Algorithm]) -> Result<KeySet, Error> {
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), allowed)
    }

    #[test]
    fn every_key_has_one_algorithm() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            for changes in [
                json!({ "kid": "a" }),
                json!({ "kid": "a", "alg": null }),
                json!({ "kid": "a", "use": null }),
                json!({ "kid": "a", "key_ops": ["verify"] }),
            ] {
                let set = read(&[jwk(algorithm, changes)], &ALL).unwrap();
                assert_eq!(set.get("a").unwrap().algorithm(), algorithm);
                assert_eq!(set.get("a").unwrap().kid(), "a");
                assert!(set.get("b").is_none());
            }
        }
        let one = read(&[rsa(2048, json!({}))], &[Algorithm::Rs256]).unwrap();
        assert_eq!(one.get("r").unwrap().algorithm(), Algorithm::Rs256);
        let named = read(&[rsa(3072, json!({ "alg": "PS256" }))], &ALL).unwrap();
        assert_eq!(named.get("r").unwrap().algorithm(), Algorithm::Ps256);
    }

    #[test]
    fn keys_for_other_things_are_left_out() {
        let good = jwk(Algorithm::EdDsa, json!({ "kid": "good" }));
        for other in [
            rsa(2048, json!({ "use": "enc" })),
            rsa(2048, json!({ "alg": "RSA-OAEP" })),
            rsa(2048, json!({ "alg": "RS512" })),
            rsa(2048, json!({ "key_ops": ["encrypt"] })),
            jwk(Algorithm::Es256, json!({ "crv": "P-384" })),
            jwk(Algorithm::Es256, json!({ "alg": "EdDSA" })),
            jwk(Algorithm::EdDsa, json!({ "crv": "X25519", "alg": null })),
            json!({ "kty": "AKP", "kid": "pq", "pub": "AA" }),
        ] {
            let set = read(&[other.clone(), good.clone()], &ALL).unwrap();
            assert_eq!(set.keys.len(), 1, "{other}");
            assert_eq!(read(&[other], &ALL).unwrap_err(), Error::NoUsableKey);
        }
        assert_eq!(
            read(&[good], &[Algorithm::Es256]).unwrap_err(),
            Error::NoUsableKey
        );
        assert_eq!(read(&[], &ALL).unwrap_err(), Error::NoUsableKey);
    }

    #[test]
    fn one_bad_key_refuses_the_set() {
        let ed = Algorithm::EdDsa;
        let cases = [
            (
                json!({ "kty": "oct", "kid": "z", "k": "c2VjcmV0" }),
                "key \"z\" is symmetric: whoever can read it can sign with it",
            ),
            (
                jwk(ed, json!({ "kid": "z", "k": "AA" })),
                "key \"z\" is symmetric: whoever can read it can sign with it",
            ),
            (
                jwk(ed, json!({ "kid": "z", "d": "AA" })),
                "key \"z\" has private members: replace the key, it is no longer secret",
            ),
            (
                rsa(2048, json!({ "use": "enc", "qi": "AA" })),
                "key \"r\" has private members: replace the key, it is no longer secret",
            ),
            (
                jwk(ed, json!({ "kid": null })),
                "key number 2 has no \"kid\", or not a text of 1 to 255 bytes",
            ),
            (
                jwk(ed, json!({ "kid": 7 })),
                "key number 2 has no \"kid\", or not a text of 1 to 255 bytes",
            ),
            (
                jwk(ed, json!({ "kid": "good" })),
                "key \"good\" stands twice: every \"kid\" must be unique",
            ),
            (
                jwk(ed, json!({ "kid": "z", "x": "AAAA" })),
                "key \"z\" has a number of the wrong length",
            ),
            (
                jwk(ed, json!({ "kid": "z", "x": "AA=" })),
                "key \"z\" has a number that is not base64url",
            ),
            (
                jwk(ed, json!({ "kid": "z", "x": null })),
                "key \"z\" lacks a public number",
            ),
            (
                jwk(ed, json!({ "kid": "z", "use": 1 })),
                "key \"z\" has a member that should be a text and is not",
            ),
            (
                jwk(ed, json!({ "kid": "z", "key_ops": "verify" })),
                "key \"z\" has \"key_ops\" that are not a list of texts",
            ),
            (
                jwk(
                    Algorithm::Es256,
                    json!({ "kid": "z", "x": URL_SAFE_NO_PAD.encode([7; 32]) }),
                ),
                "key \"z\" is not a valid public key of its type",
            ),
            (
                rsa(1024, json!({ "alg": "RS256" })),
                "key \"r\" is an RSA key of fewer than 2048 or more than 8192 bits",
            ),
            (
                rsa(2048, json!({ "alg": "RS256", "e": "AAAA" })),
                "key \"r\" is not a valid public key of its type",
            ),
            (
                rsa(2048, json!({})),
                "key \"r\" has no \"alg\", and both RS256 and PS256 are allowed",
            ),
            (json!({ "kid": "z" }), "key \"z\" has no \"kty\""),
            (json!("z"), "key number 2 is not an object"),
        ];
        let good = jwk(ed, json!({ "kid": "good" }));
        for (bad, expected) in cases {
            let error = read(&[good.clone(), bad.clone()], &ALL).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the key set cannot be used: {expected}"),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_no_key_set() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":[],"keys":[]}"#,
            r#"{"keys":[{"kty":"OKP","kty":"oct"}]}"#,
        ] {
            let error = KeySet::from_jwks(text.as_bytes(), &ALL).unwrap_err();
            assert_eq!(error, Error::NotAKeySet, "{text}");
        }
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(positive(vec![0, 0, 1, 0]), vec![1, 0]);
        assert_eq!(bits(&[1, 0]), 9);
        assert_eq!(bits(&[0xff]), 8);
        assert_eq!(bits(&[]), 0);
    }
}
