//! Hostile tokens. Each is signed for real wherever the signature is not the point, each must be
//! refused with exactly the words that name its fault, and none may find a piece of itself in
//! those words: every value an attacker chooses here carries a canary.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::secret::Secret;

pub(super) const NOW: i64 = 1_800_000_000;
const CANARY: &str = "zq7";
pub(super) const TEXT: &str = "a text of 1 to 255 bytes without control characters";

/// One issuer, its key, and tokens of any kind from it.
pub(super) struct Bench {
    pub(super) issuer: Issuer,
    pub(super) signer: SigningKey,
    pub(super) key: VerifyingKey,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_key(SigningKey::generate(Algorithm::EdDsa).unwrap())
    }

    pub(super) fn with_key(signer: SigningKey) -> Self {
        let config: Config = toml::from_str(
            "issuer = 'https://zq7.example'\naudience = ['zq7-db']\n\
             algorithms = ['EdDSA', 'ES256', 'RS256']\njwks_file = 'unused.json'",
        )
        .unwrap();
        let issuer = Issuer::new(config).unwrap();
        let keys = KeySet::from_jwks(signer.jwks().as_bytes(), issuer.algorithms()).unwrap();
        let key = keys.get(signer.kid()).unwrap().clone();
        Self {
            issuer,
            signer,
            key,
        }
    }

    pub(super) fn header(&self) -> Value {
        let word = self.signer.algorithm().word();
        json!({ "alg": word, "kid": self.signer.kid(), "typ": "at+jwt" })
    }

    /// A token with any bytes as header and payload, and a signature that is good.
    fn raw(&self, header: &[u8], payload: &[u8]) -> Secret {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let signature = self.signer.sign(&signed).unwrap();
        Secret::new(format!("{signed}.{signature}"))
    }

    fn with_header(&self, changes: Value) -> Secret {
        let header = merged(self.header(), changes).to_string();
        self.raw(header.as_bytes(), claims().to_string().as_bytes())
    }

    pub(super) fn with_claims(&self, changes: Value) -> Secret {
        let payload = merged(claims(), changes).to_string();
        self.raw(self.header().to_string().as_bytes(), payload.as_bytes())
    }

    fn with_payload(&self, payload: &[u8]) -> Secret {
        self.raw(self.header().to_string().as_bytes(), payload)
    }

    pub(super) fn good(&self) -> Secret {
        self.with_claims(json!({}))
    }

    pub(super) fn verify(&self, token: &Secret) -> Result<Verified, Refusal> {
        verify(token, &self.issuer, &self.key, Timestamp::from_seconds(NOW))
    }

    #[track_caller]
    pub(super) fn refused(&self, what: &str, token: &Secret, message: &str) {
        let refusal = self.verify(token).expect_err(what);
        assert_eq!(refusal.message, message, "{what}");
        assert_eq!(refusal.code, SqlState::INVALID_AUTHORIZATION, "{what}");
        assert_eq!(refusal.reason, Reason::Identity, "{what}");
        let words = format!("{refusal:?}");
        assert!(!words.contains(CANARY), "{what}: {words}");
        assert!(!words.contains(self.signer.kid()), "{what}: {words}");
        for part in token.expose().split('.').filter(|part| part.len() > 3) {
            assert!(!words.contains(part), "{what}: {words}");
        }
    }
}

pub(super) fn claims() -> Value {
    json!({
        "iss": "https://zq7.example",
        "aud": "zq7-db",
        "sub": "zq7-alice",
        "client_id": "zq7-client",
        "jti": "zq7-jti",
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 300,
        "scope": "zq7-scope",
        "act": { "sub": "zq7-bot" },
    })
}

/// The object with changes; a change to the text `remove` takes the member away.
pub(super) fn merged(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value == "remove" {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}

#[test]
fn the_good_token_is_good() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let bench = Bench::with_key(SigningKey::generate(algorithm).unwrap());
        let verified = bench.verify(&bench.good()).unwrap();
        assert_eq!(verified.principal().user.sub, "zq7-alice");
        assert_eq!(verified.principal().agent(), "zq7-bot");
        for good in [
            bench.with_claims(json!({ "aud": ["zq7-other", "zq7-db"] })),
            bench.with_claims(json!({ "unknown": { "zq7": [1, null] } })),
            bench.with_header(json!({ "typ": "application/AT+JWT", "x5t": "zq7" })),
        ] {
            assert!(bench.verify(&good).is_ok());
        }
    }
}

#[test]
fn things_that_are_no_token() {
    let bench = Bench::new();
    let good = bench.good();
    let parts: Vec<&str> = good.expose().split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts");
    };
    let malformed = "token is not a signed JWT";
    let cases = [
        ("none", String::new(), "no token was given"),
        ("a word", "zq7-password".to_owned(), malformed),
        ("two parts", format!("{header}.{payload}"), malformed),
        (
            "four parts",
            format!("{header}.{payload}.{signature}.zq7"),
            malformed,
        ),
        (
            "five parts",
            format!("{header}.zq7.{payload}.{signature}.zq7"),
            malformed,
        ),
        (
            "padded header",
            format!("{header}=.{payload}.{signature}"),
            malformed,
        ),
        (
            "padded payload",
            format!("{header}.{payload}==.{signature}"),
            malformed,
        ),
        (
            "padded signature",
            format!("{header}.{payload}.{signature}=="),
            malformed,
        ),
        (
            "standard base64",
            format!("{header}.{payload}.zq7+/zq7"),
            malformed,
        ),
        (
            "a space before",
            format!(" {header}.{payload}.{signature}"),
            malformed,
        ),
        (
            "a line end",
            format!("{header}.{payload}.{signature}\n"),
            malformed,
        ),
        (
            "a NUL",
            format!("{header}.{payload}\0.{signature}"),
            malformed,
        ),
        (
            "bearer",
            format!("Bearer {header}.{payload}.{signature}"),
            malformed,
        ),
        (
            "not ASCII",
            format!("{header}.{payload}é.{signature}"),
            malformed,
        ),
        (
            "huge",
            format!("{header}.{}.{signature}", "zq7x".repeat(4096)),
            "token is longer than 16384 bytes",
        ),
        (
            "no header",
            format!(".{payload}.{signature}"),
            "token header is not a JSON object in which every member stands once",
        ),
        (
            "no payload",
            format!("{header}..{signature}"),
            "token payload is not a JSON object in which every member stands once",
        ),
        (
            "no signature",
            format!("{header}.{payload}."),
            "token signature is not valid",
        ),
        (
            "only dots",
            "..".to_owned(),
            "token header is not a JSON object in which every member stands once",
        ),
    ];
    for (what, text, message) in cases {
        bench.refused(what, &Secret::new(text), message);
    }
}

#[test]
fn json_that_two_readers_read_differently() {
    let bench = Bench::new();
    let kid = bench.signer.kid();
    let good = claims().to_string();
    let header = "token header is not a JSON object in which every member stands once";
    for (what, text) in [
        (
            "alg twice",
            format!(r#"{{"alg":"EdDSA","alg":"none","kid":"{kid}","typ":"JWT"}}"#),
        ),
        (
            "alg in escapes",
            format!(r#"{{"alg":"EdDSA","\u0061lg":"none","kid":"{kid}","typ":"JWT"}}"#),
        ),
        ("a list", r#"["zq7"]"#.to_owned()),
        (
            "two objects",
            format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}{{}}"#),
        ),
    ] {
        bench.refused(what, &bench.raw(text.as_bytes(), good.as_bytes()), header);
    }
    let payload = "token payload is not a JSON object in which every member stands once";
    let inside = good.trim_start_matches('{').trim_end_matches('}');
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "sub twice",
            format!(r#"{{{inside},"sub":"zq7-root"}}"#).into(),
        ),
        ("exp twice", format!(r#"{{"exp":1,{inside}}}"#).into()),
        (
            "act.sub twice",
            br#"{"act":{"sub":"zq7","sub":"zq7"}}"#.to_vec(),
        ),
        ("not UTF-8", b"{\"iss\":\"zq7\xff\"}".to_vec()),
        ("half a surrogate", br#"{"iss":"\ud800"}"#.to_vec()),
        ("a text", br#""zq7""#.to_vec()),
        ("no number", br#"{"exp":1e999}"#.to_vec()),
        (
            "deep",
            format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500)).into(),
        ),
        ("cut short", good.as_bytes()[..20].to_vec()),
    ];
    for (what, bytes) in cases {
        bench.refused(what, &bench.with_payload(&bytes), payload);
    }
}

#[test]
fn headers_that_would_turn_the_verifier() {
    let bench = Bench::new();
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let jwk: Value = serde_json::from_str(&other.jwks()).unwrap();
    let disallowed = "token is signed with an algorithm that is not allowed";
    let cases = [
        (json!({ "alg": "none" }), disallowed.to_owned()),
        (json!({ "alg": "None" }), disallowed.to_owned()),
        (json!({ "alg": "" }), disallowed.to_owned()),
        (json!({ "alg": "HS256" }), disallowed.to_owned()),
        (json!({ "alg": "RS512" }), disallowed.to_owned()),
        (json!({ "alg": "PS256" }), disallowed.to_owned()),
        (json!({ "alg": "zq7" }), disallowed.to_owned()),
        (json!({ "alg": ["EdDSA"] }), disallowed.to_owned()),
        (json!({ "alg": null }), disallowed.to_owned()),
        (json!({ "alg": "remove" }), disallowed.to_owned()),
        (
            json!({ "alg": "RS256" }),
            "token algorithm is not the one of its key".to_owned(),
        ),
        (
            json!({ "alg": "ES256" }),
            "token algorithm is not the one of its key".to_owned(),
        ),
        (
            json!({ "kid": "remove" }),
            "token header has no \"kid\"".to_owned(),
        ),
        (
            json!({ "kid": "zq7" }),
            "token is signed with a key that its issuer does not publish".to_owned(),
        ),
        (
            json!({ "kid": "../../zq7\0" }),
            format!("token header member \"kid\" must be {TEXT}"),
        ),
        (
            json!({ "kid": 7 }),
            format!("token header member \"kid\" must be {TEXT}"),
        ),
        (
            json!({ "typ": "remove" }),
            "token header has no \"typ\"".to_owned(),
        ),
        (
            json!({ "typ": null }),
            format!("token header member \"typ\" must be {TEXT}"),
        ),
        (
            json!({ "typ": "secevent+jwt" }),
            "token is not an access token".to_owned(),
        ),
        (
            json!({ "typ": "zq7" }),
            "token is not an access token".to_owned(),
        ),
        (
            json!({ "crit": ["zq7"] }),
            "token header must not have \"crit\"".to_owned(),
        ),
        (
            json!({ "crit": [] }),
            "token header must not have \"crit\"".to_owned(),
        ),
        (
            json!({ "b64": false }),
            "token header must not have \"b64\"".to_owned(),
        ),
        (
            json!({ "jku": "https://zq7.example/keys" }),
            "token header must not have \"jku\"".to_owned(),
        ),
        (
            json!({ "x5u": "https://zq7.example/cert" }),
            "token header must not have \"x5u\"".to_owned(),
        ),
        (
            json!({ "jwk": jwk["keys"][0] }),
            "token header must not have \"jwk\"".to_owned(),
        ),
        (
            json!({ "x5c": ["zq7"] }),
            "token header must not have \"x5c\"".to_owned(),
        ),
        (
            json!({ "x5c": null }),
            "token header must not have \"x5c\"".to_owned(),
        ),
    ];
    for (changes, message) in cases {
        bench.refused(&changes.to_string(), &bench.with_header(changes), &message);
    }
}

#[test]
fn peek_refuses_what_no_key_could_verify() {
    let bench = Bench::new();
    assert_eq!(peek(&bench.good()).unwrap().issuer, "https://zq7.example");
    for (token, message) in [
        (Secret::new(""), "no token was given"),
        (Secret::new("zq7"), "token is not a signed JWT"),
        (
            bench.with_header(json!({ "alg": "none" })),
            "token is signed with an algorithm that is not allowed",
        ),
        (
            bench.with_header(json!({ "jku": "https://zq7.example" })),
            "token header must not have \"jku\"",
        ),
        (
            bench.with_claims(json!({ "iss": "remove" })),
            "token has no \"iss\"",
        ),
    ] {
        assert_eq!(peek(&token).unwrap_err().message, message);
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let bench = Bench::new();
    let hint = |token: &Secret| bench.verify(token).unwrap_err().hint.unwrap();
    assert_eq!(
        hint(&Secret::new("")),
        "send the delegated token as the startup parameter \"pgward.token\" \
         or in place of the password"
    );
    assert_eq!(
        hint(&bench.with_claims(json!({ "act": "remove" }))),
        "exchange the user's token for a delegated one, which has the claim \"act\""
    );
    assert_eq!(
        hint(&bench.with_claims(json!({ "exp": NOW }))),
        "ask the issuer for a new token"
    );
}
