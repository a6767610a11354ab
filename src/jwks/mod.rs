//! Other people's public keys. The [`Keyring`] holds the keys of every trusted issuer and takes a
//! token to the right one: read what it claims, find the issuer, find the key, and let
//! [`crate::token::verify()`] decide. It never decides itself, and it never logs a token or a key.

mod error;
mod file;
mod remote;

#[cfg(test)]
mod testing;

use std::collections::BTreeSet;

use crate::clock::Timestamp;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::secret::Secret;
use crate::token::{self, Issuer, KeySource, Verified, VerifyingKey};

pub use error::Error;
use file::FileKeys;
use remote::RemoteKeys;

/// The longest key set, in bytes.
const JWKS_BYTES_MAX: usize = 256 * 1024;

/// The keys of all trusted issuers.
pub struct Keyring {
    sources: Vec<Source>,
}

struct Source {
    issuer: Issuer,
    keys: Keys,
}

enum Keys {
    File(FileKeys),
    Remote(Box<RemoteKeys>),
}

impl Keyring {
    /// Reads the key files now; keys at addresses are fetched when they are first needed. A TLS
    /// provider must be installed for the process where there is such an address.
    ///
    /// # Errors
    /// Two tables for one issuer, an unreadable or untrustworthy key file, an address that pgward
    /// will not fetch from.
    pub fn load(issuers: &[Issuer]) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        let mut sources = Vec::new();
        for issuer in issuers {
            if !names.insert(issuer.name()) {
                return Err(Error::IssuerTwice(issuer.name().to_owned()));
            }
            let algorithms = issuer.algorithms().to_vec();
            let keys = match issuer.key_source() {
                KeySource::File(path) => Keys::File(FileKeys::open(path.clone(), algorithms)?),
                KeySource::Uri(uri) => {
                    Keys::Remote(Box::new(RemoteKeys::new(issuer.name(), uri, algorithms)?))
                }
            };
            sources.push(Source {
                issuer: issuer.clone(),
                keys,
            });
        }
        Ok(Self { sources })
    }

    /// Verifies a token with the key of its issuer.
    ///
    /// # Errors
    /// A [`Refusal`]: 28000 for the token's faults, 57P03 where the issuer's keys cannot be had.
    pub async fn verify(&self, token: &Secret, now: Timestamp) -> Result<Verified, Refusal> {
        let claimed = token::peek(token)?;
        let source = self
            .sources
            .iter()
            .find(|source| source.issuer.name() == claimed.issuer)
            .ok_or_else(token::unknown_issuer)?;
        let key = source.key(&claimed.kid, now).await?;
        token::verify(token, &source.issuer, &key, now)
    }
}

impl Source {
    async fn key(&self, kid: &str, now: Timestamp) -> Result<VerifyingKey, Refusal> {
        match &self.keys {
            Keys::Remote(keys) => keys.key(kid, now).await,
            Keys::File(keys) => match keys.key(kid) {
                Ok(key) => key.ok_or_else(token::unknown_key),
                Err(error) => {
                    tracing::warn!(issuer = %self.issuer.name(), %error, "keys cannot be read");
                    Err(keys_unavailable())
                }
            },
        }
    }
}

/// The token may be good; nobody can tell right now.
fn keys_unavailable() -> Refusal {
    Refusal::new(
        SqlState::CANNOT_CONNECT_NOW,
        Reason::Unavailable,
        "the keys of the token's issuer are not available",
    )
    .with_hint("try again later")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::testing::{TestFile, file_issuer};
    use super::*;
    use crate::token::{Algorithm, Claims, SigningKey, mint};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn token(key: &SigningKey, iss: &str) -> Secret {
        let claims = Claims::new(iss, "db", "alice", "bot", "j1", NOW, 300);
        mint(key, &claims).unwrap()
    }

    #[tokio::test]
    async fn every_issuer_has_its_own_keys() {
        let one = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let two = SigningKey::generate(Algorithm::Es256).unwrap();
        let (file_one, file_two) = (TestFile::new(&one.jwks()), TestFile::new(&two.jwks()));
        let keyring = Keyring::load(&[
            file_issuer("https://one.example", file_one.path()),
            file_issuer("https://two.example", file_two.path()),
        ])
        .unwrap();
        for (key, iss, expected) in [
            (&one, "https://one.example", None),
            (&two, "https://two.example", None),
            (
                &one,
                "https://two.example",
                Some("token is signed with a key that its issuer does not publish"),
            ),
            (
                &one,
                "https://three.example",
                Some("token issuer is not trusted"),
            ),
        ] {
            let outcome = keyring.verify(&token(key, iss), NOW).await;
            assert_eq!(outcome.err().map(|r| r.message).as_deref(), expected);
        }
        let outcome = keyring.verify(&Secret::new(""), NOW).await;
        assert_eq!(outcome.unwrap_err().message, "no token was given");
    }

    #[tokio::test]
    async fn a_broken_file_is_no_fault_of_the_token() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let file = TestFile::new(&key.jwks());
        let keyring = Keyring::load(&[file_issuer("https://one.example", file.path())]).unwrap();
        let token = token(&key, "https://one.example");
        assert!(keyring.verify(&token, NOW).await.is_ok());
        file.write("{}", Duration::from_secs(5));
        let refusal = keyring.verify(&token, NOW).await.unwrap_err();
        assert_eq!(refusal.code, SqlState::CANNOT_CONNECT_NOW);
        assert_eq!(refusal.reason, Reason::Unavailable);
        assert!(!format!("{refusal:?}").contains("one.example"));
    }

    #[test]
    fn an_issuer_stands_once() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let file = TestFile::new(&key.jwks());
        let issuer = file_issuer("https://one.example", file.path());
        let error = Keyring::load(&[issuer.clone(), issuer]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "issuer \"https://one.example\" is configured twice"
        );
    }
}
