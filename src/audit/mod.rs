//! Records in an order that nobody can edit. Every session, every decision and every outcome is
//! one line of JSON; each line holds the SHA-256 of the one before it, and signed checkpoints pin
//! the chain down. A statement is sent only after [`Audit::record`] has taken its decision.
//!
//! What the chain shows: [`verify()`] names the first record that was changed, removed, inserted,
//! repeated or reordered. What it cannot show: records cut off the end of the file, and, where no
//! signing key is configured, a file rebuilt from scratch by someone who can write it.
//! [`Summary`] says how far the proof reaches.
//!
//! The order of a file belongs to one writer thread; callers only hand over finished text. This
//! module never decides anything, and never prints a token.

mod chain;
mod config;
mod diagnose;
mod entry;
mod error;
mod keys;
mod ledger;
mod moment;
mod record;
mod sink;
mod tail;
mod verify;
mod writer;

#[cfg(test)]
mod forgery;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, SystemClock};

pub use config::{Config, OnFailure};
pub use entry::{CheckpointReason, CheckpointRecord, Content, Entry};
pub use error::{Error, Failed, KeyError};
pub use keys::{PublicKey, SigningKey};
pub use record::{
    Decision, DecisionRecord, OutcomeRecord, OutcomeResult, Record, SessionEvent, SessionRecord,
    TouchedColumn, TouchedRelation,
};
pub use tail::{Follow, render};
pub use verify::{Broken, Protection, Summary, What, verify};

use chain::LINE_BYTES_MAX;
use ledger::Ledger;
use writer::{Command, State, Writer};

/// Room that the writer's own members (`seq`, `prev`, `hash`) need in a line, in bytes.
const OWN_BYTES: usize = 256;

/// The handle that sessions record through. Cloning it is cheap; all clones feed one file.
#[derive(Debug, Clone)]
pub struct Audit {
    sender: mpsc::Sender<Command>,
    state: Arc<State>,
    fsync: bool,
    full_text: bool,
    stop: bool,
}

impl Audit {
    /// Opens the log and continues the chain it holds, after checking its first and last record.
    /// The first line this process adds is a checkpoint with the reason `start`.
    ///
    /// # Errors
    /// The file cannot be opened, read or (for a regular file) written; another process has it;
    /// its last line is cut short or does not verify; it was begun under another signing key.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Self::open_at(config, Arc::new(SystemClock))
    }

    /// [`Audit::open`], with the clock that dates the checkpoints.
    fn open_at(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let ledger = Ledger::open(config, clock)?;
        let (sender, receiver) = mpsc::channel(config.queue_records_max.max(1));
        let state = Arc::new(State::default());
        let writer = Writer::new(receiver, ledger, Arc::clone(&state), config);
        std::thread::Builder::new()
            .name("pgward-audit".to_owned())
            .spawn(move || writer.run())
            .map_err(Error::Thread)?;
        Ok(Self {
            sender,
            state,
            fsync: config.fsync,
            full_text: config.full_text,
            stop: config.on_failure == OnFailure::Stop,
        })
    }

    /// Hands one record to the writer. Waits while the queue is full, and, with `fsync`, until the
    /// record is on disk. The text of a statement is taken out unless `full_text` is set.
    ///
    /// # Errors
    /// [`Failed`] when the record was not taken: the sink has failed (with `on_failure = "stop"`),
    /// the log was closed, or the record is larger than a line may be. Whatever it describes must
    /// then not happen.
    pub async fn record(&self, mut record: Record) -> Result<(), Failed> {
        if self.stop && self.state.has_failed() {
            return Err(self.state.failure());
        }
        if !self.full_text {
            record.drop_text();
        }
        let body = record
            .body()
            .map_err(|error| Failed::new(error.to_string()))?;
        if body.len() > LINE_BYTES_MAX.saturating_sub(OWN_BYTES) {
            return Err(Failed::new(format!(
                "a record of {} bytes is larger than a line may be",
                body.len()
            )));
        }
        if self.fsync {
            let (ack, on_disk) = oneshot::channel();
            self.send(Command::Record(body, Some(ack))).await?;
            on_disk.await.map_err(|_| self.state.failure())
        } else {
            self.send(Command::Record(body, None)).await
        }
    }

    /// Whether records are being lost now: the last write failed, or the writer is gone.
    pub fn failed(&self) -> bool {
        self.state.has_failed() || self.sender.is_closed()
    }

    /// Whether statements are recorded with their literals (`full_text`); where not, there is no
    /// need to hand them over.
    pub fn full_text(&self) -> bool {
        self.full_text
    }

    /// Ends the log: writes what is queued and a last checkpoint, and waits until both are on
    /// disk. Every later [`Audit::record`] on a clone of this handle fails.
    ///
    /// # Errors
    /// [`Failed`] when the end could not be written, or the log was closed before.
    pub async fn close(self) -> Result<(), Failed> {
        let (ack, on_disk) = oneshot::channel();
        self.send(Command::Close(ack)).await?;
        on_disk.await.map_err(|_| self.state.failure())
    }

    async fn send(&self, command: Command) -> Result<(), Failed> {
        self.sender
            .send(command)
            .await
            .map_err(|_| self.state.failure())
    }
}
