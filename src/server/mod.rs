//! The server: builds every part from a [`Config`], listens, hands each connection to a session, and
//! keeps policy, certificate and schema fresh while it does. It ends gracefully: idle sessions at
//! once, busy ones when they are done or when their time is up. It holds no state outside its value,
//! so that tests and the demo can run several in one process.

mod error;
mod policy;
mod tls;
mod schema;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::audit::Audit;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::jwks::Keyring;
use crate::session::{Cancels, Counters, Phase, Shared, Strangers, Versioned, serve};
use crate::upstream::Connector;

pub use error::Error;

use reload::Files;
use schema::Known;

/// How long sessions have to end once the server drains.
const DRAIN: Duration = Duration::from_secs(10);
/// How long they have once they were told to end now.
const STOP: Duration = Duration::from_secs(3);
/// Connections that may be open besides the sessions: greetings, logins, cancel requests, and those
/// that are told that there are too many.
const SPARE_CONNECTIONS: usize = 100;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    files: Arc<Files>,
    known: Arc<Known>,
    phase: watch::Sender<Phase>,
    accepting: JoinHandle<()>,
    helpers: JoinSet<()>,
}

impl Server {
    /// Builds every part and listens. The policy is read and must be without mistakes, the database
    /// must be reachable, the audit log must be writable. Must be called inside a runtime.
    ///
    /// # Errors
    /// The first part that cannot be built.
    pub async fn start(config: Config) -> Result<Self, Error> {
        // Whoever comes first installs the one provider of this process.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let texts = policy::read(&config.policies)?;
        let rules = policy::compile(&texts)?;
        let tls = config.tls.as_ref().map(tls::load).transpose()?;
        let keyring = Keyring::load(&config.issuers)?;
        let connector = Connector::new(&config.upstream)?.with_limits(&config.limits);
        let known = Arc::new(Known::default());
        let snapshot = schema::read(&connector, &known).await?.ok_or(Error::Task)?;
        let listener = listen(config.listen)?;
        let address = listener.local_addr().map_err(|reason| Error::Listen {
            address: config.listen.to_string(),
            reason,
        })?;
        let audit = Audit::open(&config.audit)?;
        let (phase, phases) = watch::channel(Phase::Serving);
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(Versioned::first(rules)),
            snapshot: ArcSwap::from_pointee(Versioned::first(snapshot)),
            keyring,
            audit,
            connector,
            sessions: Arc::new(Semaphore::new(config.limits.sessions_max)),
            limits: config.limits,
            clock: Arc::new(SystemClock),
            tls: ArcSwapOption::new(tls),
            tls_required: config.tls_required,
            login: config.login,
            cancels: Arc::new(Cancels::default()),
            counters: Counters::default(),
            strangers: Strangers::default(),
            phase: phases,
            unresolved: Notify::new(),
        });
        let files = Arc::new(Files::new(config.policies, config.tls, texts));
        let mut helpers = JoinSet::new();
        helpers.spawn(reload::keep_fresh(Arc::clone(&shared), Arc::clone(&files)));
        let schema = schema::keep_fresh(
            Arc::clone(&shared),
            Arc::clone(&known),
            config.catalog_refresh,
        );
        helpers.spawn(schema);
        tracing::info!(%address, "listening");
        Ok(Self {
            address,
            accepting: tokio::spawn(accept(listener, Arc::clone(&shared))),
            shared,
            files,
            known,
            phase,
            helpers,
        })
    }

    /// Where it listens; the port is the real one.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What its sessions share: counters, policy, schema.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads policies and certificate again, as SIGHUP does. Whether the policy has changed.
    ///
    /// # Errors
    /// What cannot be used; what was in force before stays in force.
    pub async fn reload(&self) -> Result<bool, Error> {
        let (shared, files) = (Arc::clone(&self.shared), Arc::clone(&self.files));
        tokio::task::spawn_blocking(move || files.reload(&shared))
            .await
            .map_err(|_| Error::Task)?
    }

    /// Reads the database's schema again. Whether it has changed.
    ///
    /// # Errors
    /// The database cannot be reached or read; what was known before stays in force.
    pub async fn refresh(&self) -> Result<bool, Error> {
        schema::refresh(&self.shared, &self.known).await
    }

    /// Serves until SIGTERM or SIGINT, then ends gracefully.
    ///
    /// # Errors
    /// Signals cannot be received; the server has ended then too.
    pub async fn run_until_signal(self) -> Result<(), Error> {
        let outcome = signalled().await.map_err(Error::Signals);
        tracing::info!("shutting down");
        self.shutdown().await;
        outcome
    }

    /// Ends gracefully: nobody is accepted any more, idle sessions end at once, the others when they
    /// are idle or, after ten seconds, wherever they are. Then the audit log is closed.
    pub async fn shutdown(mut self) {
        // Nobody listens where every session and helper is gone already.
        let _told = self.phase.send(Phase::Draining);
        let mut ended = timeout(DRAIN, &mut self.accepting).await.is_ok();
        if !ended {
            let _told = self.phase.send(Phase::Stopping);
            ended = timeout(STOP, &mut self.accepting).await.is_ok();
        }
        if !ended {
            tracing::warn!("sessions that did not end are cut off");
            self.accepting.abort();
        }
        self.helpers.shutdown().await;
        if let Err(error) = self.shared.audit.clone().close().await {
            tracing::error!(%error, "the audit log was not closed");
        }
        tracing::info!("ended");
    }
}

/// Ends at SIGTERM or SIGINT.
async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Listens. Keep-alive is on for every connection, so that agents that vanished are noticed.
fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let listening = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|reason| Error::Listen {
        address: address.to_string(),
        reason,
    })
}

/// Accepts connections while the server serves, then waits for the sessions.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let most = shared.limits.sessions_max.saturating_add(SPARE_CONNECTIONS);
    let mut connections = JoinSet::new();
    let mut phase = shared.phase.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if connections.len() < most {
                        connections.spawn(serve(Arc::clone(&shared), stream, peer));
                    } else {
                        dropped(stream, peer);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => report(ended),
            () = schema::over(&mut phase) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// Too many connections even to be told so.
fn dropped(stream: TcpStream, peer: SocketAddr) {
    tracing::warn!(%peer, "too many connections: one was closed");
    drop(stream);
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a session's task failed");
    }
}
