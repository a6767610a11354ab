//! An issuer's keys at an address: fetched when they are first needed, kept for ten minutes,
//! used for an hour at most where the issuer cannot be reached. However many agents log in at once,
//! there is one request at a time, and unknown key ids cannot make pgward hammer the issuer. It
//! follows no redirect and fetches from nowhere but the configured address.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, header, redirect};

use crate::clock::Timestamp;
use crate::refusal::Refusal;
use crate::token::{Algorithm, KeySet, VerifyingKey, unknown_key};

use super::JWKS_BYTES_MAX;
use super::error::{Error, with_causes};
use super::keys_unavailable;

/// The whole of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Keys younger than this are used without asking.
const FRESH_SECONDS: i64 = 10 * 60;

/// Keys older than this are not used at all.
const STALE_SECONDS: i64 = 60 * 60;

/// After a fetch, how long an unknown key id waits for the next one.
const REFETCH_SECONDS: i64 = 30;

/// After a fetch that failed, how long until the next one.
const RETRY_SECONDS: i64 = 5;

/// Connections read the clock before they wait for each other, so one may see a moment before the
/// last fetch; a clock that steps back further than this makes what is held too old.
const STEP_SECONDS: i64 = 60;

/// The keys at one address.
pub(super) struct RemoteKeys {
    issuer: String,
    url: Url,
    algorithms: Vec<Algorithm>,
    client: Client,
    held: RwLock<Option<Held>>,
    /// Held by whoever fetches: one request at a time.
    last_attempt: tokio::sync::Mutex<Option<Attempt>>,
}

struct Held {
    fetched_at: Timestamp,
    keys: KeySet,
}

struct Attempt {
    at: Timestamp,
    failed: bool,
}

impl RemoteKeys {
    /// Checks the address; fetches nothing yet.
    pub(super) fn new(issuer: &str, uri: &str, algorithms: Vec<Algorithm>) -> Result<Self, Error> {
        let url = checked_url(uri).map_err(|fault| Error::Uri {
            issuer: issuer.to_owned(),
            fault,
        })?;
        Ok(Self {
            issuer: issuer.to_owned(),
            client: client(&url)?,
            url,
            algorithms,
            held: RwLock::new(None),
            last_attempt: tokio::sync::Mutex::new(None),
        })
    }

    /// The key of that id.
    ///
    /// # Errors
    /// 28000 where the issuer does not publish it, 57P03 where its keys cannot be had.
    pub(super) async fn key(&self, kid: &str, now: Timestamp) -> Result<VerifyingKey, Refusal> {
        if let Some(key) = self.held_key(kid, now, FRESH_SECONDS) {
            return Ok(key);
        }
        let usable = self.held_key(kid, now, STALE_SECONDS);
        let mut last = match (usable, self.last_attempt.try_lock()) {
            (_, Ok(last)) => last,
            // Somebody else is renewing keys that are still good enough.
            (Some(key), Err(_)) => return Ok(key),
            (None, Err(_)) => self.last_attempt.lock().await,
        };
        if let Some(key) = self.held_key(kid, now, FRESH_SECONDS) {
            return Ok(key);
        }
        if is_time_for_another(last.as_ref(), now) {
            // Noted before the wait: an agent that hangs up must not make the next one fetch again.
            *last = Some(Attempt {
                at: now,
                failed: true,
            });
            let failed = !self.renew(now).await;
            *last = Some(Attempt { at: now, failed });
        }
        let failed = last.as_ref().is_none_or(|attempt| attempt.failed);
        self.held_key(kid, now, STALE_SECONDS).ok_or_else(|| {
            if failed {
                keys_unavailable()
            } else {
                unknown_key()
            }
        })
    }

    /// The key, where the keys are at most that old.
    fn held_key(&self, kid: &str, now: Timestamp, seconds_max: i64) -> Option<VerifyingKey> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        if (-STEP_SECONDS..seconds_max).contains(&seconds_between(held.fetched_at, now)) {
            held.keys.get(kid).cloned()
        } else {
            None
        }
    }

    /// Fetches the keys and holds them; says whether that worked.
    async fn renew(&self, now: Timestamp) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                *held = Some(Held {
                    fetched_at: now,
                    keys,
                });
                true
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "keys could not be renewed");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, Error> {
        let mut response = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(fetch_error)?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fetch_error)? {
            if body.len().saturating_add(chunk.len()) > JWKS_BYTES_MAX {
                return Err(Error::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(KeySet::from_jwks(&body, &self.algorithms)?)
    }
}

fn fetch_error(error: reqwest::Error) -> Error {
    Error::Fetch(with_causes(&error.without_url()))
}

fn is_time_for_another(last: Option<&Attempt>, now: Timestamp) -> bool {
    let Some(last) = last else {
        return true;
    };
    let wait = if last.failed {
        RETRY_SECONDS
    } else {
        REFETCH_SECONDS
    };
    !(-STEP_SECONDS..wait).contains(&seconds_between(last.at, now))
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.seconds().saturating_sub(earlier.seconds())
}

/// An address that keys may be fetched from: https, or http where it cannot leave the machine.
fn checked_url(uri: &str) -> Result<Url, &'static str> {
    let url = Url::parse(uri).map_err(|_| "is not an absolute URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password");
    }
    let private = url.scheme() == "https";
    let local = url.scheme() == "http" && is_loopback(&url);
    if private || local {
        Ok(url)
    } else {
        Err("must use https, or http on the loopback")
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn client(url: &Url) -> Result<Client, Error> {
    // The client would panic without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::NoProvider);
    }
    let builder = Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(redirect::Policy::none())
        .referer(false);
    let builder = if url.scheme() == "https" {
        builder.https_only(true)
    } else {
        // Plain http must not leave the machine through a proxy, and needs no certificates.
        builder.no_proxy().tls_certs_only(std::iter::empty())
    };
    builder
        .build()
        .map_err(|error| Error::Client(with_causes(&error.without_url())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwks::Keyring;
    use crate::jwks::testing::{TestServer, install_provider, uri_issuer};
    use crate::refusal::SqlState;
    use crate::token::{Claims, SigningKey, mint};

    const START: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(START + seconds)
    }

    fn ed() -> SigningKey {
        SigningKey::generate(Algorithm::EdDsa).unwrap()
    }

    fn remote(server: &TestServer) -> RemoteKeys {
        install_provider();
        RemoteKeys::new("https://idp.example", &server.uri(), vec![Algorithm::EdDsa]).unwrap()
    }

    fn code(outcome: Result<VerifyingKey, Refusal>) -> Option<SqlState> {
        outcome.err().map(|refusal| refusal.code)
    }

    const UNKNOWN: Option<SqlState> = Some(SqlState::INVALID_AUTHORIZATION);
    const UNAVAILABLE: Option<SqlState> = Some(SqlState::CANNOT_CONNECT_NOW);

    #[tokio::test]
    async fn a_token_is_verified_with_a_fetched_key() {
        install_provider();
        let key = ed();
        let server = TestServer::start(&key.jwks()).await;
        let keyring = Keyring::load(&[uri_issuer("https://idp.example", &server.uri())]).unwrap();
        assert_eq!(server.requests(), 0);
        let claims = Claims::new("https://idp.example", "db", "alice", "bot", "j", at(0), 60);
        let token = mint(&key, &claims).unwrap();
        for _ in 0..3 {
            assert!(keyring.verify(&token, at(1)).await.is_ok());
        }
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn many_logins_make_one_request() {
        let key = ed();
        let server = TestServer::start(&key.jwks()).await;
        server.answer_after(Duration::from_millis(50));
        let keys = remote(&server);
        let (a, b, c, d) = tokio::join!(
            keys.key(key.kid(), at(0)),
            keys.key(key.kid(), at(0)),
            keys.key("unknown", at(0)),
            keys.key(key.kid(), at(-1)),
        );
        assert!(a.is_ok() && b.is_ok() && d.is_ok());
        assert_eq!(code(c), UNKNOWN);
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn unknown_ids_wait_for_the_next_fetch() {
        let (old, new) = (ed(), ed());
        let server = TestServer::start(&old.jwks()).await;
        let keys = remote(&server);
        assert!(keys.key(old.kid(), at(0)).await.is_ok());
        server.answer_with("200 OK", "", &new.jwks());
        for seconds in [1, 10, 29] {
            assert_eq!(code(keys.key(new.kid(), at(seconds)).await), UNKNOWN);
        }
        assert_eq!(server.requests(), 1);
        assert!(keys.key(new.kid(), at(30)).await.is_ok());
        assert_eq!(server.requests(), 2);
        // The old key is gone with the set that had it.
        assert_eq!(code(keys.key(old.kid(), at(31)).await), UNKNOWN);
    }

    #[tokio::test]
    async fn keys_age() {
        let key = ed();
        let server = TestServer::start(&key.jwks()).await;
        let keys = remote(&server);
        assert!(keys.key(key.kid(), at(0)).await.is_ok());
        assert!(keys.key(key.kid(), at(599)).await.is_ok());
        assert_eq!(server.requests(), 1);
        assert!(keys.key(key.kid(), at(600)).await.is_ok());
        assert_eq!(server.requests(), 2);

        server.answer_with("503 Service Unavailable", "", "");
        assert!(keys.key(key.kid(), at(1200)).await.is_ok());
        assert!(keys.key(key.kid(), at(1204)).await.is_ok());
        assert_eq!(server.requests(), 3);
        assert!(keys.key(key.kid(), at(600 + 3599)).await.is_ok());
        assert_eq!(code(keys.key(key.kid(), at(600 + 3600)).await), UNAVAILABLE);
        assert_eq!(server.requests(), 4);

        server.answer_with("200 OK", "", &key.jwks());
        assert!(keys.key(key.kid(), at(600 + 3605)).await.is_ok());
    }

    #[tokio::test]
    async fn a_clock_that_steps_back_does_not_keep_keys_for_ever() {
        let key = ed();
        let server = TestServer::start(&key.jwks()).await;
        let keys = remote(&server);
        assert!(keys.key(key.kid(), at(0)).await.is_ok());
        assert!(keys.key(key.kid(), at(-3600)).await.is_ok());
        assert_eq!(server.requests(), 2);
    }

    #[tokio::test]
    async fn answers_that_are_no_key_set() {
        let key = ed();
        let elsewhere = TestServer::start(&key.jwks()).await;
        let location = format!("location: {}\r\n", elsewhere.uri());
        let huge = format!("{}{}", key.jwks(), " ".repeat(JWKS_BYTES_MAX));
        let symmetric = r#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#;
        let jwks = key.jwks();
        for (status, headers, body) in [
            ("302 Found", location.as_str(), ""),
            ("404 Not Found", "", jwks.as_str()),
            ("200 OK", "", "<html></html>"),
            ("200 OK", "", symmetric),
            ("200 OK", "", huge.as_str()),
        ] {
            let server = TestServer::start("").await;
            server.answer_with(status, headers, body);
            let keys = remote(&server);
            assert_eq!(
                code(keys.key(key.kid(), at(0)).await),
                UNAVAILABLE,
                "{status}"
            );
            assert_eq!(server.requests(), 1);
        }
        assert_eq!(elsewhere.requests(), 0);
    }

    #[tokio::test]
    async fn nobody_there() {
        let server = TestServer::start("").await;
        install_provider();
        let uri = server.uri().replace("127.0.0.1", "127.0.0.2");
        let keys = RemoteKeys::new("i", &uri, vec![Algorithm::EdDsa]).unwrap();
        let error = keys.fetch().await.unwrap_err();
        assert!(error.to_string().starts_with("cannot fetch the key set: "));
    }

    #[test]
    fn addresses() {
        for (uri, expected) in [
            ("https://idp.example/keys", None),
            ("https://10.0.0.1/keys", None),
            ("http://127.0.0.1:8080/keys", None),
            ("http://[::1]/keys", None),
            ("http://localhost/keys", None),
            (
                "http://idp.example/keys",
                Some("must use https, or http on the loopback"),
            ),
            (
                "http://localhost.example/",
                Some("must use https, or http on the loopback"),
            ),
            (
                "http://127.0.0.1.example/",
                Some("must use https, or http on the loopback"),
            ),
            (
                "http://[::ffff:10.0.0.1]/",
                Some("must use https, or http on the loopback"),
            ),
            (
                "file:///keys.json",
                Some("must use https, or http on the loopback"),
            ),
            (
                "ftp://127.0.0.1/",
                Some("must use https, or http on the loopback"),
            ),
            (
                "https://user:pw@idp.example/",
                Some("must not contain a user name or password"),
            ),
            ("keys.json", Some("is not an absolute URL")),
            ("", Some("is not an absolute URL")),
        ] {
            assert_eq!(checked_url(uri).err(), expected, "{uri}");
        }
    }
}
