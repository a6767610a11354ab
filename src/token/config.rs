//! One `[[issuer]]` table: whose tokens are believed, for which audience, signed how, for how long
//! and how many agents deep. [`Config`] is the table as written, [`Issuer`] what it means. This
//! file reads no key and opens no connection: it says only where the keys are.

use std::path::PathBuf;

use serde::Deserialize;

use super::error::Error;
use super::keys::Algorithm;

/// The most clock difference that can be configured, in seconds.
const LEEWAY_SECONDS_MAX: u32 = 60;

/// The most agents in a chain that can be configured.
const CHAIN_MAX: usize = 16;

/// Claims that have a meaning of their own and are no user attributes.
const RESERVED_CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "act",
    "authorization_details",
    "base",
    "cnf",
    "groups",
];

/// An `[[issuer]]` table as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// Names of this server; a token's `aud` must have one of them (RFC 9068 section 4).
    pub audience: Vec<String>,
    /// Signature algorithms accepted from it: EdDSA, ES256, RS256, PS256.
    pub algorithms: Vec<Algorithm>,
    /// A file with its JWK Set. Either this or `jwks_uri`.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Where its JWK Set is served: https, or http on the loopback. Either this or `jwks_file`.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// How far the issuer's clock may be ahead, in seconds, at most 60: applies to `nbf` and
    /// `iat`. The end of a token (`exp`) is never stretched.
    #[serde(default = "default_leeway_seconds")]
    pub leeway_seconds: u32,
    /// The longest life (`exp - iat`) of a token, in seconds.
    #[serde(default = "default_lifetime_seconds_max")]
    pub lifetime_seconds_max: u32,
    /// The most agents in a chain, from 1 to 16; 1 means no sub-agents.
    #[serde(default = "default_chain_max")]
    pub chain_max: usize,
    /// Accepted values of the header's `typ`, without regard to case or an `application/` before
    /// them (RFC 7515 section 4.1.9).
    #[serde(default = "default_token_types")]
    pub token_types: Vec<String>,
    /// Claims that become attributes of the user, for policies (`:user.region`).
    #[serde(default = "default_attributes")]
    pub attributes: Vec<String>,
    /// Agents this issuer may vouch for (`*` stands for any text); absent: all.
    #[serde(default)]
    pub agents: Option<Vec<String>>,
}

fn default_leeway_seconds() -> u32 {
    5
}

fn default_lifetime_seconds_max() -> u32 {
    3600
}

fn default_chain_max() -> usize {
    4
}

fn default_token_types() -> Vec<String> {
    ["at+jwt", "JWT"].map(str::to_owned).to_vec()
}

fn default_attributes() -> Vec<String> {
    ["region", "country", "department", "tenant", "email"]
        .map(str::to_owned)
        .to_vec()
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with a JWK Set.
    File(PathBuf),
    /// An address that serves a JWK Set.
    Uri(String),
}

/// A trusted issuer, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    pub(super) name: String,
    pub(super) audience: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: KeySource,
    pub(super) leeway_seconds: i64,
    pub(super) lifetime_seconds_max: i64,
    pub(super) chain_max: usize,
    /// In lower case, without `application/`.
    pub(super) token_types: Vec<String>,
    pub(super) attributes: Vec<String>,
    pub(super) agents: Option<Vec<String>>,
}

impl Issuer {
    /// Checks a table.
    ///
    /// # Errors
    /// [`Error::Issuer`] with what to change.
    pub fn new(config: Config) -> Result<Self, Error> {
        if let Some(fault) = fault(&config) {
            return Err(Error::Issuer {
                issuer: config.issuer,
                fault,
            });
        }
        let keys = match (config.jwks_file, config.jwks_uri) {
            (Some(path), None) => KeySource::File(path),
            (None, Some(uri)) => KeySource::Uri(uri),
            (Some(_), Some(_)) | (None, None) => {
                return Err(Error::Issuer {
                    issuer: config.issuer,
                    fault: "give either jwks_file or jwks_uri".to_owned(),
                });
            }
        };
        Ok(Self {
            name: config.issuer,
            audience: config.audience,
            algorithms: config.algorithms,
            keys,
            leeway_seconds: i64::from(config.leeway_seconds),
            lifetime_seconds_max: i64::from(config.lifetime_seconds_max),
            chain_max: config.chain_max,
            token_types: config.token_types.iter().map(|t| media_type(t)).collect(),
            attributes: config.attributes,
            agents: config.agents,
        })
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature algorithms accepted from it.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Where its keys are.
    pub fn key_source(&self) -> &KeySource {
        &self.keys
    }

    /// Whether the header's `typ` is one of the accepted.
    pub(super) fn accepts_type(&self, token_type: &str) -> bool {
        self.token_types.contains(&media_type(token_type))
    }

    /// Whether it may vouch for the agent.
    pub(super) fn vouches_for(&self, agent: &str) -> bool {
        match &self.agents {
            None => true,
            Some(globs) => globs.iter().any(|glob| glob_matches(glob, agent)),
        }
    }
}

/// The first mistake in a table.
fn fault(config: &Config) -> Option<String> {
    let empty = |texts: &[String]| texts.is_empty() || texts.iter().any(String::is_empty);
    if config.issuer.is_empty() {
        return Some("issuer must not be empty".to_owned());
    }
    if empty(&config.audience) {
        return Some("audience must name this server".to_owned());
    }
    if config.algorithms.is_empty() {
        return Some("algorithms must name at least one of EdDSA, ES256, RS256, PS256".to_owned());
    }
    if config.leeway_seconds > LEEWAY_SECONDS_MAX {
        return Some(format!(
            "leeway_seconds must be at most {LEEWAY_SECONDS_MAX}"
        ));
    }
    if config.lifetime_seconds_max == 0 {
        return Some("lifetime_seconds_max must be at least 1".to_owned());
    }
    if !(1..=CHAIN_MAX).contains(&config.chain_max) {
        return Some(format!("chain_max must be from 1 to {CHAIN_MAX}"));
    }
    if empty(&config.token_types) {
        return Some("token_types must name at least one type".to_owned());
    }
    if config.agents.as_deref().is_some_and(empty) {
        return Some("agents must name at least one agent, or be left out for all".to_owned());
    }
    config
        .attributes
        .iter()
        .find(|name| name.is_empty() || RESERVED_CLAIMS.contains(&name.as_str()))
        .map(|name| format!("attributes must not have \"{name}\", which is no user attribute"))
}

/// A media type as it is compared: lower case, without `application/`.
fn media_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(short) => short.to_owned(),
        None => lower,
    }
}

/// Whether the text matches a pattern in which `*` stands for any text, even none.
fn glob_matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else {
            return false;
        };
        left = after;
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "issuer = 'https://idp.example'\naudience = ['db']\n\
                         algorithms = ['EdDSA']\njwks_file = 'idp.json'\n";

    fn config(more: &str) -> Config {
        toml::from_str(&format!("{LEAST}{more}")).unwrap()
    }

    #[test]
    fn defaults() {
        let issuer = Issuer::new(config("")).unwrap();
        assert_eq!(issuer.name(), "https://idp.example");
        assert_eq!(issuer.algorithms(), [Algorithm::EdDsa]);
        assert_eq!(issuer.key_source(), &KeySource::File("idp.json".into()));
        assert_eq!(issuer.leeway_seconds, 5);
        assert_eq!(issuer.lifetime_seconds_max, 3600);
        assert_eq!(issuer.chain_max, 4);
        assert!(issuer.vouches_for("anyone"));
        for (token_type, good) in [
            ("at+jwt", true),
            ("AT+JWT", true),
            ("application/at+jwt", true),
            ("JWT", true),
            ("jwt", true),
            ("secevent+jwt", false),
            ("application/", false),
            ("", false),
        ] {
            assert_eq!(issuer.accepts_type(token_type), good, "{token_type}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("leeway_seconds = 61", "leeway_seconds must be at most 60"),
            (
                "lifetime_seconds_max = 0",
                "lifetime_seconds_max must be at least 1",
            ),
            ("chain_max = 0", "chain_max must be from 1 to 16"),
            ("chain_max = 17", "chain_max must be from 1 to 16"),
            (
                "token_types = []",
                "token_types must name at least one type",
            ),
            (
                "attributes = ['region', 'act']",
                "attributes must not have \"act\", which is no user attribute",
            ),
            (
                "agents = []",
                "agents must name at least one agent, or be left out for all",
            ),
            (
                "jwks_uri = 'https://idp.example/keys'",
                "give either jwks_file or jwks_uri",
            ),
        ];
        for (more, fault) in cases {
            assert_eq!(
                Issuer::new(config(more)).unwrap_err().to_string(),
                format!("issuer \"https://idp.example\": {fault}")
            );
        }
        let mut no_keys = config("");
        no_keys.jwks_file = None;
        assert!(Issuer::new(no_keys).is_err());
        let changes: [fn(&mut Config); 4] = [
            |config| config.issuer.clear(),
            |config| config.audience.clear(),
            |config| config.audience.push(String::new()),
            |config| config.algorithms.clear(),
        ];
        for change in changes {
            let mut config = config("");
            change(&mut config);
            assert!(Issuer::new(config).is_err());
        }
    }

    #[test]
    fn what_cannot_be_written() {
        for (from, to) in [
            ("'EdDSA'", "'HS256'"),
            ("'EdDSA'", "'none'"),
            ("'EdDSA'", "'eddsa'"),
            ("audience", "audiences"),
        ] {
            assert!(toml::from_str::<Config>(&LEAST.replace(from, to)).is_err());
        }
    }

    #[test]
    fn globs() {
        for (pattern, text, good) in [
            ("support-*", "support-bot", true),
            ("support-*", "support-", true),
            ("support-*", "xsupport-bot", false),
            ("*", "", true),
            ("*-bot", "support-bot", true),
            ("*-bot", "support-bots", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "abc", true),
            ("ab*ba", "aba", false),
            ("bot", "bot", true),
            ("bot", "bots", false),
        ] {
            assert_eq!(glob_matches(pattern, text), good, "{pattern} {text}");
        }
    }
}
