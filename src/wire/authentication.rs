//! How a token arrives: in the password slot, or through SASL OAUTHBEARER (RFC 7628). This is the
//! codec alone: it finds the token in the message and never judges it, and no refusal repeats any
//! part of what was sent.
//!
//! Sources: Postgres manual, "SASL Authentication"; RFC 7628 section 3; RFC 5801 section 4 (the
//! GS2 header); RFC 6750 section 2.1 (`b64token`).

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::reader::{Reader, not_utf8};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// The name of the one SASL mechanism that pgward offers.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// `kvsep` of RFC 7628.
const SEPARATOR: char = '\x01';

/// The body of a password or SASL message. It may hold a token, so its `Debug` tells the size only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Bytes);

impl Credential {
    /// Copies the body of a message.
    pub fn new(body: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(body))
    }
}

impl Deref for Credential {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} bytes)", self.0.len())
    }
}

/// A SASLInitialResponse message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslInitial {
    /// The mechanism the client chose.
    pub mechanism: String,
    /// Its initial client response; empty where the client sent none.
    pub data: Credential,
}

/// Decodes the body of a SASLInitialResponse.
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly such a message.
pub fn initial_response(body: &[u8]) -> Result<SaslInitial, Refusal> {
    let mut body = Reader::new(body);
    let mechanism = body.text()?.to_owned();
    let data = match body.i32()? {
        -1 => Credential::new(&[]),
        length => {
            let length = usize::try_from(length)
                .map_err(|_| Refusal::protocol("invalid length of a SASL response"))?;
            Credential::new(body.take(length)?)
        }
    };
    body.finish()?;
    Ok(SaslInitial { mechanism, data })
}

/// Decodes the body of a PasswordMessage; the password may be empty.
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly one NUL-terminated UTF-8 string.
pub fn password_text(body: &[u8]) -> Result<Secret, Refusal> {
    let mut body = Reader::new(body);
    let text = body.text()?;
    body.finish()?;
    Ok(Secret::new(text))
}

/// Finds the token in OAUTHBEARER's initial client response: `n,,^Aauth=Bearer …^A^A`. `None` where
/// `auth` is empty: the client asks where to get a token, and [`discovery_challenge`] tells it.
///
/// # Errors
/// 08P01 where the message does not follow RFC 7628, names no `auth` or two, or uses channel
/// binding; 0A000 where it asks for an authorization identity.
pub fn bearer_token(data: &[u8]) -> Result<Option<Secret>, Refusal> {
    let text = std::str::from_utf8(data).map_err(|_| not_utf8())?;
    let pairs = after_gs2_header(text)?
        .strip_prefix(SEPARATOR)
        .and_then(|rest| rest.strip_suffix(SEPARATOR))
        .ok_or_else(|| malformed("Its key/value pairs are not enclosed in ^A."))?;
    let mut auth = None;
    for (key, value) in key_values(pairs)? {
        if key == "auth" && auth.replace(value).is_some() {
            return Err(malformed("It has more than one \"auth\" value."));
        }
    }
    match auth {
        None => Err(malformed("It has no \"auth\" value.")),
        Some("") => Ok(None),
        Some(value) => token_of(value).map(|token| Some(Secret::new(token))),
    }
}

/// Whether a SASLResponse is the single `^A` with which a client takes note of a failure
/// (RFC 7628 section 3.2.3). Anything else in that place breaks the protocol.
pub fn is_acknowledgement(data: &[u8]) -> bool {
    data == b"\x01"
}

/// The challenge that tells a client without a valid token where to get one (RFC 7628 section
/// 3.2.2), for SASLContinue. `openid_configuration_url` is the metadata document of the issuer,
/// `scope` what to ask it for.
pub fn discovery_challenge(openid_configuration_url: &str, scope: &str) -> Vec<u8> {
    let members = [
        ("status", "invalid_token"),
        ("openid-configuration", openid_configuration_url),
        ("scope", scope),
    ];
    let object: Map<String, Value> = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    Value::Object(object).to_string().into_bytes()
}

fn malformed(detail: &str) -> Refusal {
    Refusal::protocol("malformed OAUTHBEARER message").with_detail(detail)
}

/// What follows `gs2-cbind-flag "," [authzid] ","`.
fn after_gs2_header(text: &str) -> Result<&str, Refusal> {
    if text.starts_with("p=") {
        return Err(malformed("OAUTHBEARER does not support channel binding."));
    }
    let rest = text
        .strip_prefix("n,")
        .or_else(|| text.strip_prefix("y,"))
        .ok_or_else(|| malformed("It does not start with a GS2 header."))?;
    if rest.starts_with("a=") {
        return Err(Refusal::unsupported(
            "authorization identities are not supported with OAUTHBEARER",
        ));
    }
    rest.strip_prefix(',')
        .ok_or_else(|| malformed("Its GS2 header is not complete."))
}

/// Splits `key=value^A…`; each pair must end in its own separator.
fn key_values(pairs: &str) -> Result<Vec<(&str, &str)>, Refusal> {
    let wrong = || malformed("It has a key/value pair that is not well formed.");
    if !pairs.is_empty() && !pairs.ends_with(SEPARATOR) {
        return Err(wrong());
    }
    pairs
        .split_terminator(SEPARATOR)
        .map(|pair| {
            pair.split_once('=')
                .filter(|(key, value)| is_key(key) && is_value(value))
                .ok_or_else(wrong)
        })
        .collect()
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_value(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

/// The `b64token` after the scheme `Bearer`, which is written in any case.
fn token_of(auth: &str) -> Result<&str, Refusal> {
    let token = auth
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim_start_matches(' '))
        .ok_or_else(|| malformed("Its \"auth\" value is not of the scheme \"Bearer\"."))?;
    let significant = token.trim_end_matches('=');
    if significant.is_empty() || !significant.bytes().all(is_token_byte) {
        return Err(malformed("Its Bearer token is not well formed."));
    }
    Ok(token)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::refusal::SqlState;

    fn token(data: &[u8]) -> Option<String> {
        bearer_token(data)
            .unwrap()
            .map(|token| token.expose().to_owned())
    }

    #[test]
    fn finds_the_token() {
        let cases: [(&[u8], Option<&str>); 10] = [
            (
                b"n,,\x01auth=Bearer abc.DEF-1_2\x01\x01",
                Some("abc.DEF-1_2"),
            ),
            (b"y,,\x01auth=Bearer abc\x01\x01", Some("abc")),
            (b"n,,\x01auth=bearer abc==\x01\x01", Some("abc==")),
            (b"n,,\x01auth=BEARER   a~b+c/d\x01\x01", Some("a~b+c/d")),
            (
                b"n,,\x01host=db\x01port=5432\x01auth=Bearer abc\x01\x01",
                Some("abc"),
            ),
            (b"n,,\x01auth=Bearer abc\x01host=\x01\x01", Some("abc")),
            (
                b"n,,\x01auth=Bearer abc\x01qs=a=b\tc\r\n\x01\x01",
                Some("abc"),
            ),
            (b"n,,\x01AUTH=x\x01auth=Bearer abc\x01\x01", Some("abc")),
            (b"n,,\x01auth=\x01\x01", None),
            (b"y,,\x01auth=\x01\x01", None),
        ];
        for (data, expected) in cases {
            assert_eq!(token(data).as_deref(), expected, "{data:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_the_grammar() {
        let cases: [&[u8]; 28] = [
            b"",
            b"\x01",
            b"n",
            b"n,",
            b"n,,",
            b"n,,\x01",
            b"n,,\x01\x01",
            b"n,,auth=Bearer abc\x01\x01",
            b"n,,\x01auth=Bearer abc\x01",
            b"n,,\x01auth=Bearer abc",
            b"n,,\x01auth=Bearer abc\x01\x01\x01",
            b"n,,\x01auth=Bearer abc\x01\x01host=db\x01\x01",
            b"n,,\x01auth=Bearer abc\x01\x01trailing",
            b"n,,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01",
            b"n,,\x01auth=\x01auth=Bearer abc\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Bearer ==\x01\x01",
            b"n,,\x01auth=Bearer a=b\x01\x01",
            b"n,,\x01auth=Bearer a b\x01\x01",
            b"n,,\x01auth=Basic YTpi\x01\x01",
            b"n,,\x01auth= Bearer abc\x01\x01",
            b"n,,\x01host=db\x01\x01",
            b"n,,\x01=x\x01auth=Bearer abc\x01\x01",
            b"n,,\x01k1=x\x01auth=Bearer abc\x01\x01",
            b"n,,\x01auth=Bearer abc\0\x01\x01",
            b"p=tls-server-end-point,,\x01auth=Bearer abc\x01\x01",
            b"x,,\x01auth=Bearer abc\x01\x01",
        ];
        for data in cases {
            let refusal = bearer_token(data).unwrap_err();
            assert_eq!(refusal.code, SqlState::PROTOCOL_VIOLATION, "{data:?}");
            assert!(!format!("{refusal:?}").contains("abc"), "{data:?}");
        }
        let refusal = bearer_token(b"n,,\x01auth=Bearer \xff\x01\x01").unwrap_err();
        assert_eq!(refusal.code, SqlState::NOT_IN_REPERTOIRE);
    }

    #[test]
    fn refuses_every_truncation() {
        let whole = b"n,,\x01host=db\x01auth=Bearer abc\x01\x01";
        for cut in 0..whole.len() {
            assert!(bearer_token(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn refuses_an_authorization_identity() {
        for data in [b"n,a=root,\x01auth=Bearer abc\x01\x01".as_slice(), b"y,a=,"] {
            let refusal = bearer_token(data).unwrap_err();
            assert_eq!(refusal.code, SqlState::FEATURE_NOT_SUPPORTED);
        }
    }

    #[test]
    fn reads_the_initial_response() {
        let cases: [(&[u8], &[u8]); 3] = [
            (b"OAUTHBEARER\0\0\0\0\x03n,,", b"n,,"),
            (b"OAUTHBEARER\0\0\0\0\0", b""),
            (b"OAUTHBEARER\0\xff\xff\xff\xff", b""),
        ];
        for (body, data) in cases {
            let initial = initial_response(body).unwrap();
            assert_eq!(initial.mechanism, OAUTHBEARER);
            assert_eq!(&*initial.data, data);
        }
        let refused: [&[u8]; 6] = [
            b"OAUTHBEARER",
            b"OAUTHBEARER\0",
            b"OAUTHBEARER\0\xff\xff\xff\xfe",
            b"OAUTHBEARER\0\0\0\0\x04n,,",
            b"OAUTHBEARER\0\0\0\0\x02n,,",
            b"\xff\0\0\0\0\0",
        ];
        for body in refused {
            assert!(initial_response(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn reads_the_password_slot() {
        assert_eq!(password_text(b"eyJ.a.b\0").unwrap().expose(), "eyJ.a.b");
        assert_eq!(password_text(b"\0").unwrap().expose(), "");
        for body in [b"".as_slice(), b"pw", b"pw\0x", b"pw\0\0", b"\xff\0"] {
            assert!(password_text(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn the_challenge_is_json_whatever_it_is_told() {
        let challenge = discovery_challenge("https://id.example/\"\\\n", "pg openid");
        let read: Value = serde_json::from_slice(&challenge).unwrap();
        assert_eq!(read["status"], "invalid_token");
        assert_eq!(read["openid-configuration"], "https://id.example/\"\\\n");
        assert_eq!(read["scope"], "pg openid");
        assert_eq!(read.as_object().unwrap().len(), 3);
    }

    #[test]
    fn only_a_single_separator_acknowledges() {
        assert!(is_acknowledgement(b"\x01"));
        for data in [b"".as_slice(), b"\x01\x01", b"n,,\x01"] {
            assert!(!is_acknowledgement(data), "{data:?}");
        }
    }

    #[test]
    fn debug_says_nothing() {
        let initial = initial_response(b"OAUTHBEARER\0\0\0\0\x06secret").unwrap();
        let shown = format!("{initial:?}");
        assert!(
            shown.contains("6 bytes") && !shown.contains("secret"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn any_token_is_found(token_text in "[A-Za-z0-9._~+/-]{1,200}={0,2}") {
            let data = format!("n,,\x01auth=Bearer {token_text}\x01\x01");
            prop_assert_eq!(token(data.as_bytes()), Some(token_text));
        }

        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = bearer_token(&data);
            let _ = initial_response(&data);
            let _ = password_text(&data);
        }

        #[test]
        fn nothing_near_the_grammar_panics(
            data in "[ny],(a=x)?,?[\x01=, auth:Bearer]{0,40}\x01?\x01?",
        ) {
            let _ = bearer_token(data.as_bytes());
        }
    }
}
