//! The database's schema, read again and again: at intervals, and soon after a name did not resolve.
//! A schema that could not be read leaves the one before in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::catalog::Snapshot;
use crate::session::{Phase, Shared, replace};
use crate::sql;
use crate::upstream::Connector;

use super::error::Error;

/// The least time between two reads, however many names do not resolve.
const PAUSE: Duration = Duration::from_secs(1);

/// Which schema is in force: the digest of its text.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Vec<u8>>);

impl Known {
    fn is(&self, digest: &[u8]) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == digest
    }

    fn note(&self, digest: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = digest;
    }
}

/// Reads the schema; `None` where it is the one that is known.
pub(super) async fn read(connector: &Connector, known: &Known) -> Result<Option<Snapshot>, Error> {
    let text = connector.introspect_json().await?;
    let new = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
    if known.is(&new) {
        return Ok(None);
    }
    // Views are analysed here: too long for a thread that serves sessions.
    let traced = tokio::task::spawn_blocking(move || Snapshot::from_json(&text).map(sql::trace));
    let snapshot = traced.await.map_err(|_| Error::Task)??;
    known.note(new);
    Ok(Some(snapshot))
}

/// Reads the schema and puts it in force if it has changed; whether it has.
pub(super) async fn refresh(shared: &Shared, known: &Known) -> Result<bool, Error> {
    let Some(snapshot) = read(&shared.connector, known).await? else {
        return Ok(false);
    };
    replace(&shared.snapshot, snapshot);
    tracing::info!("the database's schema has changed");
    Ok(true)
}

/// Reads the schema again until the server stops serving.
pub(super) async fn keep_fresh(shared: Arc<Shared>, known: Arc<Known>, every: Duration) {
    let mut phase = shared.phase.clone();
    loop {
        let read_at = Instant::now();
        let asked = async {
            shared.unresolved.notified().await;
            sleep_until(read_at + PAUSE).await;
        };
        tokio::select! {
            () = sleep_until(read_at + every) => {}
            () = asked => {}
            () = over(&mut phase) => return,
        }
        if let Err(error) = refresh(&shared, &known).await {
            tracing::warn!(%error, "the database's schema could not be read again");
        }
    }
}

/// Ends when the server has stopped serving.
pub(super) async fn over(phase: &mut watch::Receiver<Phase>) {
    // An error means that the server is gone.
    let _gone = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_known_by_its_digest() {
        let known = Known::default();
        assert!(!known.is(b"a"));
        known.note(b"a".to_vec());
        assert!(known.is(b"a") && !known.is(b"b"));
    }
}
