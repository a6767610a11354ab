//! What all sessions share: policy, schema, keys, audit log, the way to the database. Every part that
//! can change while sessions run is swapped as a whole and carries a generation, so that a session
//! can tell that what it decided earlier may not hold any more. Nothing here decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use tokio::sync::{Notify, Semaphore, watch};

use crate::audit::Audit;
use crate::catalog::Snapshot;
use crate::clock::{Clock, Timestamp};
use crate::jwks::Keyring;
use crate::policy::Rules;
use crate::upstream::Connector;
use crate::wire::Limits;

use super::cancel::Cancels;
use super::config::{Login, TlsRequired};
use super::strangers::Strangers;

/// A value that is replaced as a whole, and how often it has been.
#[derive(Debug)]
pub struct Versioned<T> {
    /// Counts up with every replacement.
    pub generation: u64,
    /// The value.
    pub value: T,
}

impl<T> Versioned<T> {
    /// The first one.
    pub const fn first(value: T) -> Self {
        Self {
            generation: 1,
            value,
        }
    }
}

/// Puts a new value in place of the old one, with the next generation. One caller at a time.
pub fn replace<T>(swap: &ArcSwap<Versioned<T>>, value: T) {
    let generation = swap.load().generation.wrapping_add(1);
    swap.store(Arc::new(Versioned { generation, value }));
}

/// How far the server is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It takes nobody any more; sessions end as soon as they are idle.
    Draining,
    /// Sessions end now.
    Stopping,
}

/// What sessions have come to so far. For operators; nothing depends on it.
#[derive(Debug, Default)]
pub struct Counters {
    sessions: AtomicU64,
    logins_refused: AtomicU64,
    statements_permitted: AtomicU64,
    statements_refused: AtomicU64,
    cancels: AtomicU64,
}

/// The [`Counters`] at one moment, since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that began.
    pub sessions: u64,
    /// Connections that were refused after they had asked for a session.
    pub logins_refused: u64,
    /// Statements that were permitted.
    pub statements_permitted: u64,
    /// Statements that were refused.
    pub statements_refused: u64,
    /// Cancel requests that were passed on to the database.
    pub cancels: u64,
}

impl Counters {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sessions: read(&self.sessions),
            logins_refused: read(&self.logins_refused),
            statements_permitted: read(&self.statements_permitted),
            statements_refused: read(&self.statements_refused),
            cancels: read(&self.cancels),
        }
    }

    pub(super) fn session(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn login_refused(&self) {
        self.logins_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn permitted(&self) {
        self.statements_permitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.statements_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cancelled(&self) {
        self.cancels.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all sessions share.
pub struct Shared {
    /// The policy in force; replaced with [`replace`].
    pub rules: ArcSwap<Versioned<Rules>>,
    /// The database's schema as last read; replaced with [`replace`].
    pub snapshot: ArcSwap<Versioned<Snapshot>>,
    /// The keys of the trusted issuers.
    pub keyring: Keyring,
    /// The audit log.
    pub audit: Audit,
    /// The way to the database.
    pub connector: Connector,
    /// The limits of the protocol.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// The certificate of TLS towards clients; none where there is no TLS.
    pub tls: ArcSwapOption<ServerConfig>,
    /// Who must use TLS.
    pub tls_required: TlsRequired,
    /// How clients without a startup token are asked for one.
    pub login: Login,
    /// One permit for each session that may run at the same time.
    pub sessions: Arc<Semaphore>,
    /// What cancel requests are held against.
    pub cancels: Arc<Cancels>,
    /// What sessions have come to so far.
    pub counters: Counters,
    /// Refused logins of peers without an identity.
    pub strangers: Strangers,
    /// How far the server is on its way to its end.
    pub phase: watch::Receiver<Phase>,
    /// Told when a name did not resolve: the schema may have changed since it was read.
    pub unresolved: Notify,
}

impl Shared {
    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_counts_up() {
        let swap = ArcSwap::from_pointee(Versioned::first('a'));
        replace(&swap, 'b');
        let loaded = swap.load();
        assert_eq!((loaded.generation, loaded.value), (2, 'b'));
    }

    #[test]
    fn counters_count() {
        let counters = Counters::default();
        counters.permitted();
        counters.permitted();
        counters.refused();
        let counts = counters.counts();
        assert_eq!(counts.statements_permitted, 2);
        assert_eq!(counts.statements_refused, 1);
        assert_eq!(counts.sessions, 0);
    }
}
