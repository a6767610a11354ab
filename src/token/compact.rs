//! The compact form of a token (RFC 7515 section 7.1), taken apart and checked as far as that is
//! possible without a key: size, three parts, base64url without padding, JSON without doubled
//! members, a header that cannot redirect the verifier. Nothing read here is believed yet, and
//! nothing of it is repeated to anybody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::secret::Secret;

use super::json;
use super::keys::Algorithm;
use super::refusals;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Header members that are refused: extensions that must be understood (RFC 7515 section 4.1.11,
/// RFC 7797) and keys or places of keys that the token brings along (sections 4.1.2 to 4.1.6).
const HEADER_REFUSED: [&str; 6] = ["crit", "b64", "jku", "jwk", "x5u", "x5c"];

/// What an unverified token says about itself: enough to find the key, and nothing to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// `iss`, as claimed.
    pub issuer: String,
    /// `kid`, as claimed.
    pub kid: String,
    /// `alg`, one of those pgward knows.
    pub algorithm: Algorithm,
}

/// Reads where a token claims to come from, for finding its key. Verifies nothing.
///
/// # Errors
/// A 28000 [`Refusal`] where the token could not be verified with any key.
pub fn peek(token: &Secret) -> Result<Peek, Refusal> {
    let compact = Compact::read(token)?;
    Ok(Peek {
        issuer: compact.issuer,
        kid: compact.kid,
        algorithm: compact.algorithm,
    })
}

/// A token in its parts, unverified.
pub(super) struct Compact<'a> {
    /// What the signature covers: header, dot, payload, as they were sent.
    pub(super) signed: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) token_type: String,
    pub(super) issuer: String,
    /// The payload.
    pub(super) claims: Map<String, Value>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    pub(super) fn read(token: &'a Secret) -> Result<Self, Refusal> {
        let text = token.expose();
        if text.is_empty() {
            return Err(refusals::no_token());
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(refusals::too_long());
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(refusals::malformed)?;
        // A fourth part would leave a dot in the payload, which base64url does not have.
        let (header, payload) = signed.split_once('.').ok_or_else(refusals::malformed)?;
        let header_json = decode(header)?;
        let payload_json = decode(payload)?;
        decode(signature)?;
        let header = json::object(&header_json).ok_or_else(|| refusals::bad_json("header"))?;
        let claims = json::object(&payload_json).ok_or_else(|| refusals::bad_json("payload"))?;
        if let Some(name) = HEADER_REFUSED
            .into_iter()
            .find(|name| header.contains_key(*name))
        {
            return Err(refusals::header_member(name));
        }
        Ok(Self {
            signed,
            signature,
            algorithm: algorithm(&header)?,
            kid: header_text(&header, "kid")?,
            token_type: header_text(&header, "typ")?,
            issuer: issuer(&claims)?,
            claims,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| refusals::malformed())
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Refusal> {
    header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::from_word)
        .ok_or_else(refusals::algorithm_not_allowed)
}

fn header_text(header: &Map<String, Value>, name: &'static str) -> Result<String, Refusal> {
    let value = header
        .get(name)
        .ok_or_else(|| refusals::header_missing(name))?;
    json::text(value)
        .map(str::to_owned)
        .ok_or_else(|| refusals::header_type(name))
}

fn issuer(claims: &Map<String, Value>) -> Result<String, Refusal> {
    let value = claims.get("iss").ok_or_else(|| refusals::missing("iss"))?;
    json::text(value)
        .map(str::to_owned)
        .ok_or_else(|| refusals::wrong_type("iss", refusals::TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> Secret {
        Secret::new(format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        ))
    }

    #[test]
    fn peek_says_where_to_look_and_no_more() {
        let seen = peek(&token(
            r#"{"alg":"ES256","kid":"k1","typ":"at+jwt","x5t":"ignored"}"#,
            r#"{"iss":"https://idp.example","sub":"alice"}"#,
        ))
        .unwrap();
        assert_eq!(
            seen,
            Peek {
                issuer: "https://idp.example".to_owned(),
                kid: "k1".to_owned(),
                algorithm: Algorithm::Es256,
            }
        );
    }

    #[test]
    fn parts_are_as_they_were_sent() {
        let secret = token(
            r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#,
            r#"{"iss":"i"}"#,
        );
        let compact = Compact::read(&secret).unwrap();
        assert_eq!(
            secret.expose(),
            format!("{}.{}", compact.signed, compact.signature)
        );
        assert_eq!(compact.token_type, "JWT");
        assert_eq!(compact.claims.len(), 1);
    }
}
