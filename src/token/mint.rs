//! Tokens and keys for development, demonstrations and tests: what `pgward token mint` and
//! `pgward demo` use. A key made here is as good as any, but nothing here asks who may have a
//! token; pgward never mints on behalf of a client that way.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::principal::{AccessDetail, Agent, Attribute, BaseToken};
use crate::secret::Secret;

use super::details::ACCESS_TYPE;
use super::error::Error;
use super::keys::Algorithm;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// A private key that signs tokens: Ed25519 (EdDSA) or P-256 (ES256).
#[derive(Debug, Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    /// The required members of its JWK, in the order of RFC 7638.
    public: Vec<(&'static str, String)>,
}

impl SigningKey {
    /// A new key from the system's source of randomness.
    ///
    /// # Errors
    /// [`Error::CannotGenerate`] for RSA, [`Error::Crypto`] where the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let document = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::Rs256 | Algorithm::Ps256 => return Err(Error::CannotGenerate(algorithm)),
        };
        Self::from_pkcs8(document.map_err(|_| Error::Crypto)?.as_ref())
    }

    /// Reads an unencrypted PKCS#8 PEM file (RFC 7468 section 10), as [`SigningKey::to_pem`] or
    /// `openssl genpkey` write it.
    ///
    /// # Errors
    /// [`Error::NotASigningKey`].
    pub fn from_pem(pem: &Secret) -> Result<Self, Error> {
        let (_, rest) = pem
            .expose()
            .split_once(PEM_BEGIN)
            .ok_or(Error::NotASigningKey)?;
        let (body, _) = rest.split_once(PEM_END).ok_or(Error::NotASigningKey)?;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = STANDARD
            .decode(body.as_bytes())
            .map_err(|_| Error::NotASigningKey)?;
        Self::from_pkcs8(&Zeroizing::new(der))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let (algorithm, private, public) = if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            let private = EncodingKey::from_ed_der(der);
            (Algorithm::EdDsa, private, ed25519_members(&pair))
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .map_err(|_| Error::NotASigningKey)?;
            let private = EncodingKey::from_ec_der(der);
            (Algorithm::Es256, private, p256_members(&pair)?)
        };
        Ok(Self {
            kid: thumbprint(&public),
            algorithm,
            private,
            public,
        })
    }

    /// The key as a PKCS#8 PEM file, private part and all.
    pub fn to_pem(&self) -> Secret {
        let body = Zeroizing::new(STANDARD.encode(self.private.as_bytes()));
        let mut pem = format!("{PEM_BEGIN}\n");
        for line in body.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).unwrap_or_default());
            pem.push('\n');
        }
        pem.push_str(&format!("{PEM_END}\n"));
        Secret::new(pem)
    }

    /// The key id: the thumbprint of the public key (RFC 7638), the same every time it is read.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JWK Set (RFC 7517 section 5), for `jwks_file`.
    pub fn jwks(&self) -> String {
        let mut key = members(&self.public);
        key.insert("alg".to_owned(), self.algorithm.word().into());
        key.insert("kid".to_owned(), self.kid.clone().into());
        key.insert("use".to_owned(), "sig".into());
        let mut set = Map::new();
        set.insert("keys".to_owned(), Value::Array(vec![Value::Object(key)]));
        Value::Object(set).to_string()
    }

    /// The base64url signature of a text.
    pub(super) fn sign(&self, text: &str) -> Result<String, Error> {
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.private, self.algorithm.jwt())
            .map_err(|_| Error::Crypto)
    }
}

fn ed25519_members(pair: &Ed25519KeyPair) -> Vec<(&'static str, String)> {
    vec![
        ("crv", "Ed25519".to_owned()),
        ("kty", "OKP".to_owned()),
        ("x", URL_SAFE_NO_PAD.encode(pair.public_key())),
    ]
}

fn p256_members(pair: &EcdsaKeyPair) -> Result<Vec<(&'static str, String)>, Error> {
    let point: &[u8] = pair.public_key().as_ref();
    let (x, y) = point
        .get(1..)
        .and_then(|numbers| numbers.split_at_checked(32))
        .ok_or(Error::Crypto)?;
    Ok(vec![
        ("crv", "P-256".to_owned()),
        ("kty", "EC".to_owned()),
        ("x", URL_SAFE_NO_PAD.encode(x)),
        ("y", URL_SAFE_NO_PAD.encode(y)),
    ])
}

fn members(public: &[(&'static str, String)]) -> Map<String, Value> {
    public
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect()
}

fn thumbprint(public: &[(&'static str, String)]) -> String {
    let text = Value::Object(members(public)).to_string();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// The claims of a token to mint, under the names of RFC 9068 and RFC 8693.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: Vec<String>,
    /// The user.
    pub sub: String,
    /// The agents, the one that acts now first; empty for a user's own token.
    pub chain: Vec<Agent>,
    /// Unique id of the token.
    pub jti: String,
    /// Issued at, whole seconds.
    pub iat: Timestamp,
    /// Not before, whole seconds.
    pub nbf: Timestamp,
    /// Expires at, whole seconds.
    pub exp: Timestamp,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Scope, name by name; no claim where empty.
    pub scope: Vec<String>,
    /// The user's groups; no claim where empty.
    pub groups: Vec<String>,
    /// The user's attributes, each a claim of its own.
    pub attributes: BTreeMap<String, Attribute>,
    /// `postgres_access` objects (RFC 9396).
    pub authorization_details: Option<Vec<AccessDetail>>,
    /// The user's own token.
    pub base: Option<BaseToken>,
}

impl Claims {
    /// The least a delegated token needs, in force from `iat` for a number of seconds.
    pub fn new(
        iss: &str,
        aud: &str,
        sub: &str,
        agent: &str,
        jti: &str,
        iat: Timestamp,
        lifetime_seconds: u32,
    ) -> Self {
        let exp = iat.seconds().saturating_add(i64::from(lifetime_seconds));
        Self {
            iss: iss.to_owned(),
            aud: vec![aud.to_owned()],
            sub: sub.to_owned(),
            chain: vec![Agent {
                sub: agent.to_owned(),
                issuer: None,
            }],
            jti: jti.to_owned(),
            iat,
            nbf: iat,
            exp: Timestamp::from_seconds(exp),
            client_id: None,
            scope: Vec::new(),
            groups: Vec::new(),
            attributes: BTreeMap::new(),
            authorization_details: None,
            base: None,
        }
    }

    fn to_json(&self) -> Value {
        // Attributes first: a claim with a meaning of its own wins over one of the same name.
        let mut out: Map<String, Value> = self
            .attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), attribute_json(attribute)))
            .collect();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("iss", self.iss.clone().into());
        put("aud", self.aud.clone().into());
        put("sub", self.sub.clone().into());
        put("jti", self.jti.clone().into());
        put("iat", self.iat.seconds().into());
        put("nbf", self.nbf.seconds().into());
        put("exp", self.exp.seconds().into());
        if let Some(act) = act_json(&self.chain) {
            put("act", act);
        }
        if let Some(client_id) = &self.client_id {
            put("client_id", client_id.clone().into());
        }
        if !self.scope.is_empty() {
            put("scope", self.scope.join(" ").into());
        }
        if !self.groups.is_empty() {
            put("groups", self.groups.clone().into());
        }
        if let Some(details) = &self.authorization_details {
            put(
                "authorization_details",
                details.iter().map(detail_json).collect(),
            );
        }
        if let Some(base) = &self.base {
            put("base", base_json(base));
        }
        Value::Object(out)
    }
}

/// Signs the claims as an access token (`typ` `at+jwt`, RFC 9068 section 2.1).
///
/// # Errors
/// [`Error::Crypto`] where the library fails.
pub fn mint(key: &SigningKey, claims: &Claims) -> Result<Secret, Error> {
    let header = members(&[
        ("alg", key.algorithm.word().to_owned()),
        ("kid", key.kid.clone()),
        ("typ", "at+jwt".to_owned()),
    ]);
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(Value::Object(header).to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_json().to_string())
    );
    let signature = key.sign(&signed)?;
    Ok(Secret::new(format!("{signed}.{signature}")))
}

fn attribute_json(attribute: &Attribute) -> Value {
    match attribute {
        Attribute::Text(text) => text.clone().into(),
        Attribute::Integer(number) => (*number).into(),
        Attribute::Boolean(flag) => (*flag).into(),
        Attribute::List(texts) => texts.clone().into(),
    }
}

/// The nested `act`, built from the agent nearest to the user outwards.
fn act_json(chain: &[Agent]) -> Option<Value> {
    chain.iter().rev().fold(None, |inner, agent| {
        let mut link = members(&[("sub", agent.sub.clone())]);
        if let Some(issuer) = &agent.issuer {
            link.insert("iss".to_owned(), issuer.clone().into());
        }
        if let Some(inner) = inner {
            link.insert("act".to_owned(), inner);
        }
        Some(Value::Object(link))
    })
}

fn base_json(base: &BaseToken) -> Value {
    let mut out = members(&[("iss", base.issuer.clone()), ("jti", base.jti.clone())]);
    out.insert("exp".to_owned(), base.expires_at.seconds().into());
    Value::Object(out)
}

fn detail_json(detail: &AccessDetail) -> Value {
    let mut out = members(&[("type", ACCESS_TYPE.to_owned())]);
    if let Some(locations) = &detail.locations {
        out.insert("locations".to_owned(), locations.clone().into());
    }
    if let Some(actions) = &detail.actions {
        out.insert("actions".to_owned(), actions.clone().into());
    }
    if let Some(tables) = &detail.tables {
        let tables: Map<String, Value> = tables
            .iter()
            .map(|(table, columns)| match columns {
                Some(columns) => (table.clone(), Value::from(columns.clone())),
                None => (table.clone(), Value::from("*")),
            })
            .collect();
        out.insert("tables".to_owned(), Value::Object(tables));
    }
    if let Some(clearance) = &detail.clearance {
        out.insert("clearance".to_owned(), clearance.clone().into());
    }
    if let Some(purpose) = &detail.purpose {
        out.insert("purpose".to_owned(), purpose.clone().into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Config, Issuer, KeySet, verify};

    #[test]
    fn keys_survive_their_files() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let key = SigningKey::generate(algorithm).unwrap();
            let read = SigningKey::from_pem(&key.to_pem()).unwrap();
            assert_eq!(read.kid(), key.kid());
            assert_eq!(read.jwks(), key.jwks());
            assert_eq!(read.algorithm(), algorithm);
            assert!(key.to_pem().expose().lines().all(|line| line.len() <= 64));
            assert!(!format!("{key:?}").contains(key.to_pem().expose()));
            assert!(!key.jwks().contains("\"d\""));
            let other = SigningKey::generate(algorithm).unwrap();
            assert_ne!(other.kid(), key.kid());
        }
        assert_eq!(
            SigningKey::generate(Algorithm::Rs256).unwrap_err(),
            Error::CannotGenerate(Algorithm::Rs256)
        );
        for bad in [
            "",
            PEM_BEGIN,
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ] {
            let error = SigningKey::from_pem(&Secret::new(bad)).unwrap_err();
            assert_eq!(error, Error::NotASigningKey);
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        // RFC 8037 appendix A.3.
        let public = [
            ("crv", "Ed25519".to_owned()),
            ("kty", "OKP".to_owned()),
            (
                "x",
                "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            ),
        ];
        assert_eq!(
            thumbprint(&public),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn every_claim_arrives() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut claims = Claims::new("i", "db", "alice", "inner", "j", now, 600);
        claims.chain.push(Agent {
            sub: "outer".to_owned(),
            issuer: Some("i2".to_owned()),
        });
        claims.client_id = Some("c".to_owned());
        claims.scope = vec!["read".to_owned(), "write".to_owned()];
        claims.groups = vec!["support".to_owned()];
        claims.attributes = BTreeMap::from([
            ("region".to_owned(), Attribute::Text("EU".to_owned())),
            ("email".to_owned(), Attribute::Boolean(true)),
            ("tenant".to_owned(), Attribute::List(vec!["t".to_owned()])),
            ("department".to_owned(), Attribute::Integer(-1)),
        ]);
        claims.authorization_details = Some(vec![AccessDetail {
            locations: Some(vec!["shop".to_owned()]),
            actions: Some(vec!["select".to_owned()]),
            tables: Some(BTreeMap::from([
                ("public.a".to_owned(), None),
                ("public.b".to_owned(), Some(vec!["id".to_owned()])),
            ])),
            clearance: Some("internal".to_owned()),
            purpose: Some("support".to_owned()),
        }]);
        claims.base = Some(BaseToken {
            issuer: "idp".to_owned(),
            jti: "b".to_owned(),
            expires_at: Timestamp::from_seconds(1_800_000_100),
        });
        let config: Config = toml::from_str(
            "issuer = 'i'\naudience = ['db']\nalgorithms = ['EdDSA']\njwks_file = 'unused'",
        )
        .unwrap();
        let issuer = Issuer::new(config).unwrap();
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::from_jwks(key.jwks().as_bytes(), issuer.algorithms()).unwrap();
        let token = mint(&key, &claims).unwrap();
        let verified = verify(&token, &issuer, keys.get(key.kid()).unwrap(), now).unwrap();
        let principal = verified.principal();
        assert_eq!(principal.chain, claims.chain);
        assert_eq!(principal.scope, claims.scope);
        assert_eq!(principal.user.groups, claims.groups);
        assert_eq!(principal.user.attributes, claims.attributes);
        assert_eq!(
            principal.authorization_details,
            claims.authorization_details
        );
        assert_eq!(principal.token.client_id, claims.client_id);
        assert_eq!(principal.token.base, claims.base);
    }
}
