//! The log as its writer sees it: a file, the chain in it, and the checkpoints that the writer
//! owes it. Opening one continues the chain that is there; a file that does not verify at its
//! ends is refused. Knows nothing of queues and threads.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;

use super::chain::{Chain, is_whole, signed_text};
use super::config::{Config, OnFailure};
use super::entry::{CheckpointReason, CheckpointRecord, Content, Entry};
use super::error::Error;
use super::keys::{PublicKey, SigningKey};
use super::record::body;
use super::sink::{Sink, count_lines, ends_in_a_line, last_lines, line_at};
use super::verify::{Broken, What, check_signature};

/// The log, open for writing.
pub(super) struct Ledger {
    sink: Sink,
    chain: Chain,
    key: Option<SigningKey>,
    clock: Arc<dyn Clock>,
    interval: u64,
    /// Records since the last checkpoint.
    since: u64,
    /// Records that could not be kept since the last checkpoint.
    lost: u64,
}

impl Ledger {
    /// Opens the file, continues its chain and adds the checkpoint `start`, which for a regular
    /// file is written at once. (A pipe or device may block, so there it waits for the writer.)
    pub(super) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let path = &config.path;
        let key = config.signing_key.as_deref().map(load_key).transpose()?;
        let mut sink = Sink::open(path, config.fsync)?;
        let chain = resume(&mut sink, path, key.as_ref().map(SigningKey::public))?;
        let mut ledger = Self {
            sink,
            chain,
            key,
            clock,
            interval: config.checkpoint_records.max(1),
            since: 0,
            lost: 0,
        };
        ledger
            .checkpoint(CheckpointReason::Start)
            .and_then(|()| {
                if ledger.sink.is_regular() {
                    ledger.sink.flush()
                } else {
                    Ok(())
                }
            })
            .or_else(|error| match config.on_failure {
                OnFailure::Stop => Err(Error::Write {
                    path: path.display().to_string(),
                    error,
                }),
                OnFailure::Continue => Ok(()),
            })?;
        Ok(ledger)
    }

    /// Adds a record, and the checkpoint that is due after it. Nothing is written yet.
    pub(super) fn append(&mut self, body: &[u8]) -> io::Result<()> {
        self.chain.seal(body, self.sink.pending());
        self.since = self.since.saturating_add(1);
        if self.since >= self.interval {
            self.checkpoint(CheckpointReason::Interval)?;
        }
        Ok(())
    }

    /// Counts a record that cannot be kept; the next checkpoint says how many there were.
    pub(super) fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// How many bytes wait to be written.
    pub(super) fn held(&self) -> usize {
        self.sink.held()
    }

    /// Writes what waits. After an error it still waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Adds the checkpoint `close` and forces everything to disk.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.checkpoint(CheckpointReason::Close)?;
        self.sink.flush()?;
        self.sink.sync()
    }

    /// Gives up what waits and leaves the file with whole lines, as far as that is possible.
    pub(super) fn give_up(&mut self) {
        self.sink.give_up();
    }

    /// Goes on with the file as it is, after a failure that does not stop anything.
    pub(super) fn go_on(&mut self) {
        self.sink.accept_length();
    }

    fn checkpoint(&mut self, reason: CheckpointReason) -> io::Result<()> {
        let mut record = CheckpointRecord {
            time: self.clock.now(),
            reason,
            interval: self.interval,
            lost: self.lost,
            key: self.key.as_ref().map(|key| key.public().id().to_owned()),
            signature: None,
        };
        if let Some(key) = &self.key {
            let text = signed_text(self.chain.next_seq(), self.chain.head(), &record);
            let signature = key.sign(&text);
            record.signature =
                Some(signature.ok_or_else(|| io::Error::other("a checkpoint cannot be signed"))?);
        }
        let members = body("checkpoint", &record)?;
        self.chain.seal(&members, self.sink.pending());
        self.since = 0;
        self.lost = 0;
        Ok(())
    }
}

fn load_key(path: &Path) -> Result<SigningKey, Error> {
    SigningKey::load(path).map_err(|error| Error::Key {
        path: path.display().to_string(),
        error,
    })
}

/// The chain of the file that is there. Pipes and devices cannot be read back: there a chain
/// begins anew.
fn resume(sink: &mut Sink, path: &Path, key: Option<&PublicKey>) -> Result<Chain, Error> {
    let length = sink.length();
    if !sink.is_regular() || length == 0 {
        return Ok(Chain::new());
    }
    let read = |error| Error::Read {
        path: path.display().to_string(),
        error,
    };
    let broken = |broken| Error::Broken {
        path: path.display().to_string(),
        broken,
    };
    let file = sink.file();
    if !ends_in_a_line(file, length).map_err(read)? {
        let line = count_lines(file).map_err(read)?.saturating_add(1);
        return Err(broken(Broken::torn(line)));
    }
    let first = line_at(file, 0).map_err(read)?;
    let first = whole_entry(&first).ok_or_else(|| broken(not_whole(1)))?;
    check_first(&first).map_err(broken)?;
    check_key(&first, path, key)?;
    let offset = last_lines(file, 1).map_err(read)?;
    let last = line_at(file, offset).map_err(read)?;
    let Some(last) = whole_entry(&last) else {
        return Err(broken(not_whole(count_lines(file).map_err(read)?)));
    };
    check_last(&last, key).map_err(broken)?;
    if !matches!(&last.content, Content::Checkpoint(last) if last.reason == CheckpointReason::Close)
    {
        tracing::warn!(path = %path.display(), line = last.seq, "the audit log was not closed");
    }
    Ok(Chain::after(last.seq, &last.hash))
}

/// The entry of a line that carries its own hash.
fn whole_entry(line: &[u8]) -> Option<Entry> {
    if !is_whole(line) {
        return None;
    }
    Entry::parse(std::str::from_utf8(line).ok()?).ok()
}

fn not_whole(line: u64) -> Broken {
    Broken::new(
        line,
        None,
        What::Changed,
        "its hash is not that of its bytes",
    )
}

/// A log begins with a checkpoint.
fn check_first(first: &Entry) -> Result<(), Broken> {
    if first.seq == 1 && matches!(first.content, Content::Checkpoint(_)) {
        return Ok(());
    }
    let why = "it is not the checkpoint that begins a log";
    Err(Broken::new(1, Some(first.seq), What::Checkpoint, why))
}

/// One file, one key: the first checkpoint says which.
fn check_key(first: &Entry, path: &Path, key: Option<&PublicKey>) -> Result<(), Error> {
    let found = match &first.content {
        Content::Checkpoint(checkpoint) => checkpoint.key.as_deref(),
        Content::Session(_) | Content::Decision(_) | Content::Outcome(_) => None,
    };
    let configured = key.map(PublicKey::id);
    if found == configured {
        return Ok(());
    }
    let name = |id: Option<&str>| id.map_or("no signing key".to_owned(), |id| format!("key {id}"));
    Err(Error::OtherKey {
        path: path.display().to_string(),
        found: name(found),
        configured: name(configured),
    })
}

/// A last checkpoint must have a good signature.
fn check_last(last: &Entry, key: Option<&PublicKey>) -> Result<(), Broken> {
    if let (Content::Checkpoint(checkpoint), Some(key)) = (&last.content, key) {
        // In a whole file the line's number is its sequence number.
        check_signature(key, last.seq, &last.prev, checkpoint)
            .map_err(|why| Broken::new(last.seq, Some(last.seq), What::Signature, why))?;
    }
    Ok(())
}
