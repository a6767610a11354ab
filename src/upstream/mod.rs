//! The database behind pgward: connecting, TLS, signing in, cancelling, reading the schema.
//!
//! Only cleared statements go to the database: a [`Sender`] takes [`Cleared`](crate::gate::Cleared)
//! values and client messages without SQL, and no public function of this module takes a text to
//! run. Nothing here decides about a statement or looks at a row.
//!
//! - [`Config`]: the `[upstream]` table, or a connection URL.
//! - [`Connector`]: opens sessions, cancels statements, introspects.
//! - [`Upstream`]: one session, its two directions apart.
//!
//! ```toml
//! [upstream]
//! host          = "db.internal"      # a name, an address, or the directory of a Unix socket
//! port          = 5432
//! database      = "shop"
//! user          = "pgward"
//! password_file = "/run/secrets/pgward-db"    # or password_env, or password
//! sslmode       = "verify-full"      # disable, require, verify-ca, verify-full
//! sslrootcert   = "db-ca.pem"        # or "system"
//! channel_binding    = "prefer"      # disable, prefer, require
//! connect_timeout_ms = 5000
//! ```

mod error;
mod config;
mod url;
mod stream;
mod certificate;
mod tls;
mod connect;
mod scram;
mod login;
mod introspect;
#[cfg(test)]
mod fake;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use config::{ChannelBinding, Config, SslMode};
pub use error::Error;
pub use stream::{Receiver, Sender};

use crate::catalog::Snapshot;
use crate::wire::{Limits, encode};
use tls::Tls;

/// How long the introspection may take once it is connected.
const INTROSPECT_TIMEOUT: Duration = Duration::from_secs(60);

/// What it takes to cancel a statement of one session. Its `Debug` keeps the secret to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKey {
    process_id: u32,
    secret: Bytes,
}

impl BackendKey {
    /// The process that serves the session (`pg_stat_activity.pid`).
    pub fn process_id(&self) -> u32 {
        self.process_id
    }
}

impl fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendKey({})", self.process_id)
    }
}

/// A session with the database, signed in and idle.
pub struct Upstream {
    /// To the database.
    pub sender: Sender,
    /// From the database, beginning behind its first ReadyForQuery.
    pub receiver: Receiver,
    /// What the database reported at login (ParameterStatus), in order, each name once.
    pub parameters: Vec<(String, String)>,
    /// What it takes to cancel.
    pub key: BackendKey,
}

/// Opens sessions with one database, all in the same way.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    tls: Option<Tls>,
    limits: Limits,
}

impl Connector {
    /// Prepares to connect: reads certificates and checks that the password can be read. Nothing
    /// is connected yet.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::File`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.password.read()?;
        Ok(Self {
            tls: Tls::new(config)?,
            config: config.clone(),
            limits: Limits::default(),
        })
    }

    /// Uses these limits instead of the default ones: `control_bytes_max`, `relay_chunk_bytes`
    /// and `cancel_ms_max` matter here.
    #[must_use]
    pub fn with_limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Opens a session and signs in. `startup` are settings the session is to begin with
    /// (`application_name`, `pgward.user`, `search_path` …). `client_encoding` and
    /// `standard_conforming_strings` are always UTF8 and on, whatever `startup` says.
    ///
    /// # Errors
    /// Any [`Error`]; the session is not usable and its socket is closed.
    pub async fn connect(&self, startup: &[(String, String)]) -> Result<Upstream, Error> {
        let work = async {
            let link = self.open().await?;
            login::login(link, &self.config, startup, self.limits.control_bytes_max).await
        };
        self.within(self.config.connect_timeout, work).await
    }

    /// Asks the database to cancel what the session with that key is doing (Postgres manual,
    /// "Canceling Requests in Progress"), over a connection protected like any other. Returns when
    /// the database has acted on it; whether anything was running it does not say.
    ///
    /// # Errors
    /// Any [`Error`] of connecting, and [`Error::Timeout`] after `cancel_ms_max`.
    pub async fn cancel(&self, key: &BackendKey) -> Result<(), Error> {
        let work = async {
            let mut link = self.open().await?;
            encode::cancel_request(link.sender.buffer(), key.process_id, &key.secret)
                .map_err(login::broken)?;
            link.sender.flush().await?;
            // The answer is the end of the connection, in whichever way the system reports it.
            let _end = link.receiver.read().await;
            Ok(())
        };
        self.within(Duration::from_millis(self.limits.cancel_ms_max), work)
            .await
    }

    /// Reads the schema of the database over a session of its own, read-only and with the role's
    /// own `search_path`, which is part of what it reads.
    ///
    /// # Errors
    /// Any [`Error`] of connecting, [`Error::Rejected`] where the role may not read the catalogs,
    /// [`Error::Introspect`] where the answer is not a snapshot.
    pub async fn introspect(&self) -> Result<Snapshot, Error> {
        let json = self.introspect_json().await?;
        Snapshot::from_json(&json).map_err(|error| Error::Introspect(error.to_string()))
    }

    /// The same as JSON text, for `pgward catalog dump`.
    ///
    /// # Errors
    /// As [`Connector::introspect`], except that the text is not read.
    pub async fn introspect_json(&self) -> Result<String, Error> {
        let startup = [
            ("application_name", "pgward introspection"),
            ("default_transaction_read_only", "on"),
            // Compiling this one query takes twenty times as long as running it.
            ("jit", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut upstream = self.connect(&startup).await?;
        let work = introspect::json(&mut upstream.sender, &mut upstream.receiver);
        self.within(INTROSPECT_TIMEOUT, work).await
    }

    async fn open(&self) -> Result<connect::Link, Error> {
        let chunk_bytes = self.limits.relay_chunk_bytes;
        connect::open(&self.config, self.tls.as_ref(), chunk_bytes).await
    }

    /// Gives `work` that much time.
    async fn within<T>(
        &self,
        time: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(time, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout {
                address: self.config.address(),
                milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, UnixListener};

    use super::fake::Peer;
    use super::*;

    fn connector(url: &str) -> Connector {
        Connector::new(&Config::from_url(url).unwrap()).unwrap()
    }

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, format!("postgres://app@127.0.0.1:{port}/shop"))
    }

    #[tokio::test]
    async fn a_silent_database_times_out() {
        let (_listener, url) = listen().await;
        let mut connector = connector(&url);
        connector.config.connect_timeout = Duration::from_millis(50);
        connector.limits.cancel_ms_max = 60;
        let outcome = connector.connect(&[]).await;
        assert!(matches!(
            outcome,
            Err(Error::Timeout {
                milliseconds: 50,
                ..
            })
        ));
        let key = BackendKey {
            process_id: 1,
            secret: Bytes::from_static(b"abcd"),
        };
        let outcome = connector.cancel(&key).await;
        assert!(matches!(
            outcome,
            Err(Error::Timeout {
                milliseconds: 60,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable() {
        let (listener, url) = listen().await;
        drop(listener);
        let outcome = connector(&url).connect(&[]).await;
        assert!(matches!(outcome, Err(Error::Unreachable { .. })));
    }

    #[tokio::test]
    async fn a_cancel_request_carries_the_key() {
        let (listener, url) = listen().await;
        let key = BackendKey {
            process_id: 7,
            secret: Bytes::from_static(b"\x01\x02\x03\x04"),
        };
        assert_eq!(format!("{key:?}"), "BackendKey(7)");
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0_u8; 16];
            stream.read_exact(&mut request).await.unwrap();
            request
        };
        let connector = connector(&url);
        let (outcome, request) = tokio::join!(connector.cancel(&key), server);
        outcome.unwrap();
        assert_eq!(
            &request,
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04"
        );
    }

    #[tokio::test]
    async fn the_schema_is_read_over_a_session_of_its_own() {
        let (listener, url) = listen().await;
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = Peer { stream };
            let startup = peer.startup().await;
            peer.accept().await;
            assert_eq!(peer.message().await.0, b'Q');
            peer.send(b'D', &[b"\0\x01\0\0\0\x02{}"]).await;
            peer.send(b'C', &[b"SELECT 1\0"]).await;
            peer.send(b'Z', &[b"I"]).await;
            assert_eq!(peer.message().await, (b'X', Vec::new()));
            startup
        };
        let connector = connector(&url);
        let (json, startup) = tokio::join!(connector.introspect_json(), server);
        assert_eq!(json.unwrap(), "{}");
        let read_only = ("default_transaction_read_only".to_owned(), "on".to_owned());
        assert!(startup.contains(&read_only));
        assert!(startup.iter().all(|(name, _)| name != "search_path"));
    }

    #[tokio::test]
    async fn a_unix_socket_is_a_directory() {
        let directory = std::env::temp_dir().join(format!("pgward-socket-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let url = format!("postgres://app@/shop?host={}", directory.display());
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = Peer { stream };
            peer.startup().await;
            peer.accept().await;
        };
        let connector = connector(&url);
        let (upstream, ()) = tokio::join!(connector.connect(&[]), server);
        assert_eq!(upstream.unwrap().key.process_id(), 77);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
