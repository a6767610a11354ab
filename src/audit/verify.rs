//! Whether a log is as it was written: every line whole, every line after the one it follows,
//! every checkpoint signed. Reads a log from its first line to its last in constant memory, and
//! repairs nothing.

use std::fmt;
use std::io::{BufRead, Read};

use serde::Serialize;

use super::chain::{GENESIS, LINE_BYTES_MAX, is_whole, signed_text};
use super::diagnose::diagnose;
use super::entry::{CheckpointReason, CheckpointRecord, Header, Kind};
use super::keys::PublicKey;
use super::moment;

/// Checks a whole log. With a key, every checkpoint must carry that key's signature; without one,
/// signatures are not looked at.
///
/// # Errors
/// [`Broken`] names the first record that is not as it was written.
pub fn verify(reader: impl BufRead, key: Option<&PublicKey>) -> Result<Summary, Broken> {
    let mut lines = Lines::new(reader);
    let mut walk = Walk::new(key);
    while let Some(seen) = lines.next()? {
        if !Place::after(walk.last.as_ref()).fits(&seen) {
            return Err(diagnose(walk.last.as_ref(), &seen, &mut lines, key));
        }
        walk.take(seen)?;
    }
    walk.end()
}

/// What was done to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A record is not the one that was written.
    Changed,
    /// Records are missing.
    Removed,
    /// A record was put in.
    Inserted,
    /// A record appears again.
    Repeated,
    /// Records are in another order.
    Reordered,
    /// The last line is cut short, or there is none.
    Truncated,
    /// A checkpoint's signature is missing or wrong.
    Signature,
    /// A checkpoint is missing where one has to be.
    Checkpoint,
    /// The log cannot be read.
    Unreadable,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "record changed",
            Self::Removed => "records removed",
            Self::Inserted => "record inserted",
            Self::Repeated => "record repeated",
            Self::Reordered => "records reordered",
            Self::Truncated => "cut short",
            Self::Signature => "bad signature",
            Self::Checkpoint => "checkpoint missing",
            Self::Unreadable => "cannot be read",
        })
    }
}

/// The first record that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("line {line}: {what}: {detail}")]
pub struct Broken {
    /// The line in the file, from 1.
    pub line: u64,
    /// The record's own number, where it could be read; in a whole log it equals the line.
    pub seq: Option<u64>,
    /// What was done to it.
    pub what: What,
    /// How that shows.
    pub detail: String,
}

impl Broken {
    /// Something wrong with a line.
    pub(super) fn new(line: u64, seq: Option<u64>, what: What, detail: impl Into<String>) -> Self {
        Self {
            line,
            seq,
            what,
            detail: detail.into(),
        }
    }

    /// A last line without its line feed.
    pub(super) fn torn(line: u64) -> Self {
        Self::new(line, None, What::Truncated, "the record has no end")
    }
}

/// What stands behind a log that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Every checkpoint is signed by the key that was given.
    Signed,
    /// Checkpoints are signed, but no key was given to check them.
    NotChecked,
    /// No signing key was configured: the file is only hash-chained.
    HashChained,
}

/// A log that verified, and how far that goes. Records cut off the end of a file do not show: the
/// last checkpoint proves what stands before it, nothing proves that there was no more. Who wants
/// to know keeps [`Summary::head`] elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Lines, checkpoints included.
    pub records: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// How often pgward opened the file.
    pub starts: u64,
    /// The time of the first line (RFC 3339).
    pub first_time: String,
    /// The time of the last line (RFC 3339).
    pub last_time: String,
    /// The hash of the last line.
    pub head: String,
    /// The line of the last checkpoint.
    pub last_checkpoint: u64,
    /// Records after the last checkpoint: chained, but not pinned down by it.
    pub after_checkpoint: u64,
    /// Records that no checkpoint covered when pgward started again after an unclean stop. It
    /// took them over as it found them.
    pub adopted: u64,
    /// Records that could not be kept while the log was failing (`on_failure = "continue"`).
    pub lost: u64,
    /// Whether the last line is the checkpoint of a clean stop.
    pub closed: bool,
    /// What stands behind all this.
    pub protection: Protection,
    /// The id of the key that signed the checkpoints.
    pub key: Option<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "intact: {} records in order, {} to {}",
            self.records, self.first_time, self.last_time
        )?;
        let (count, key) = (self.checkpoints, self.key.as_deref().unwrap_or_default());
        match self.protection {
            Protection::Signed => writeln!(f, "{count} checkpoints, all signed by key {key}")?,
            Protection::NotChecked => writeln!(
                f,
                "{count} checkpoints, signed by key {key}, but not checked: no public key was given"
            )?,
            Protection::HashChained => writeln!(
                f,
                "{count} checkpoints without a signature: the file is only hash-chained, and \
                 whoever can write it could have built it anew"
            )?,
        }
        if self.closed {
            writeln!(f, "it ends with the checkpoint of a clean stop")?;
        } else {
            writeln!(
                f,
                "{} records after the last checkpoint (line {}) are not covered by it; records \
                 missing from the end would not show",
                self.after_checkpoint, self.last_checkpoint
            )?;
        }
        if self.adopted > 0 {
            writeln!(
                f,
                "{} records had no checkpoint when pgward started again after an unclean stop",
                self.adopted
            )?;
        }
        if self.lost > 0 {
            writeln!(
                f,
                "{} records were lost while the log was failing",
                self.lost
            )?;
        }
        write!(f, "head {}", self.head)
    }
}

/// Whether a checkpoint is signed by this key; otherwise why not.
pub(super) fn check_signature(
    key: &PublicKey,
    seq: u64,
    prev: &str,
    checkpoint: &CheckpointRecord,
) -> Result<(), String> {
    let Some(signature) = &checkpoint.signature else {
        return Err("the checkpoint has no signature".to_owned());
    };
    if checkpoint.key.as_deref() != Some(key.id()) {
        return Err(format!(
            "the checkpoint is signed by key {}, not by {}",
            checkpoint.key.as_deref().unwrap_or("unknown"),
            key.id()
        ));
    }
    if key.verifies(&signed_text(seq, prev, checkpoint), signature) {
        return Ok(());
    }
    Err(
        "the signature is not that of this checkpoint: it was changed, or records since the \
         checkpoint before were"
            .to_owned(),
    )
}

/// A line that carries its own hash.
pub(super) struct Seen {
    pub(super) line: u64,
    pub(super) header: Header,
    pub(super) checkpoint: Option<CheckpointRecord>,
}

impl Seen {
    /// Whether this line is a checkpoint that the key signed.
    pub(super) fn is_signed_by(&self, key: Option<&PublicKey>) -> bool {
        let (Some(checkpoint), Some(key)) = (&self.checkpoint, key) else {
            return false;
        };
        check_signature(key, self.header.seq, &self.header.prev, checkpoint).is_ok()
    }

    fn read(number: u64, line: &[u8]) -> Result<Self, Broken> {
        let header = serde_json::from_slice::<Header>(line).ok();
        let seq = header.as_ref().map(|header| header.seq);
        let changed = |why: &str| Broken::new(number, seq, What::Changed, why);
        if !is_whole(line) {
            return Err(changed("its hash is not that of its bytes"));
        }
        let Some(header) = header else {
            return Err(changed("it is not a record of this log"));
        };
        let checkpoint = match header.kind {
            Kind::Checkpoint => {
                Some(serde_json::from_slice(line).map_err(|_| changed("it is not a checkpoint"))?)
            }
            Kind::Session | Kind::Decision | Kind::Outcome => None,
        };
        Ok(Self {
            line: number,
            header,
            checkpoint,
        })
    }
}

/// What the next line has to hold to follow another.
pub(super) struct Place<'a> {
    pub(super) seq: u64,
    pub(super) prev: &'a str,
}

impl<'a> Place<'a> {
    /// The place after a line, or the first.
    pub(super) fn after(last: Option<&'a Seen>) -> Self {
        Self {
            seq: last.map_or(1, |last| last.header.seq.saturating_add(1)),
            prev: last.map_or(GENESIS, |last| last.header.hash.as_str()),
        }
    }

    /// Whether a line belongs there.
    pub(super) fn fits(&self, seen: &Seen) -> bool {
        seen.header.seq == self.seq && seen.header.prev == self.prev
    }
}

/// The lines of a log, one at a time.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The next line, if it carries its own hash; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Seen>, Broken> {
        let number = self.number.saturating_add(1);
        self.number = number;
        self.buffer.clear();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        self.reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| Broken::new(number, None, What::Unreadable, error.to_string()))?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if self.buffer.len() >= LINE_BYTES_MAX {
            return Err(Broken::new(
                number,
                None,
                What::Changed,
                "the line is too long",
            ));
        }
        match self.buffer.strip_suffix(b"\n") {
            Some(line) => Seen::read(number, line).map(Some),
            None => Err(Broken::torn(number)),
        }
    }
}

/// A walk through a log, and what it has found so far.
struct Walk<'k> {
    key: Option<&'k PublicKey>,
    last: Option<Seen>,
    /// How many records the last checkpoint allows before the next; `None` before the first.
    interval: Option<u64>,
    closed: bool,
    first_time: String,
    last_checkpoint: u64,
    since: u64,
    checkpoints: u64,
    starts: u64,
    adopted: u64,
    lost: u64,
    signer: Option<String>,
}

impl<'k> Walk<'k> {
    fn new(key: Option<&'k PublicKey>) -> Self {
        Self {
            key,
            last: None,
            interval: None,
            closed: false,
            first_time: String::new(),
            last_checkpoint: 0,
            since: 0,
            checkpoints: 0,
            starts: 0,
            adopted: 0,
            lost: 0,
            signer: None,
        }
    }

    /// Takes a line that is in its place.
    fn take(&mut self, seen: Seen) -> Result<(), Broken> {
        match &seen.checkpoint {
            Some(checkpoint) => self.take_checkpoint(&seen, checkpoint)?,
            None => self.take_record(&seen)?,
        }
        if self.last.is_none() {
            self.first_time = moment::text(seen.header.time);
        }
        self.last = Some(seen);
        Ok(())
    }

    fn take_record(&mut self, seen: &Seen) -> Result<(), Broken> {
        let broken = |what, why: &str| Broken::new(seen.line, Some(seen.header.seq), what, why);
        let Some(interval) = self.interval else {
            return Err(broken(What::Checkpoint, "a log begins with a checkpoint"));
        };
        if self.closed {
            return Err(broken(What::Inserted, "it stands after the log was closed"));
        }
        self.since = self.since.saturating_add(1);
        if self.since > interval {
            let why = format!("more than {interval} records since the last one");
            return Err(broken(What::Checkpoint, &why));
        }
        Ok(())
    }

    fn take_checkpoint(
        &mut self,
        seen: &Seen,
        checkpoint: &CheckpointRecord,
    ) -> Result<(), Broken> {
        let broken = |what, why: &str| Broken::new(seen.line, Some(seen.header.seq), what, why);
        let starts = checkpoint.reason == CheckpointReason::Start;
        if self.interval.is_none() && !starts {
            return Err(broken(What::Checkpoint, "a log begins with a checkpoint"));
        }
        if self.closed && !starts {
            return Err(broken(What::Inserted, "it stands after the log was closed"));
        }
        if let Some(key) = self.key {
            check_signature(key, seen.header.seq, &seen.header.prev, checkpoint)
                .map_err(|why| broken(What::Signature, &why))?;
        }
        if starts {
            self.starts = self.starts.saturating_add(1);
            self.adopted = self.adopted.saturating_add(self.since);
        }
        if checkpoint.signature.is_some() {
            self.signer.clone_from(&checkpoint.key);
        }
        self.checkpoints = self.checkpoints.saturating_add(1);
        self.lost = self.lost.saturating_add(checkpoint.lost);
        self.interval = Some(checkpoint.interval);
        self.closed = checkpoint.reason == CheckpointReason::Close;
        self.last_checkpoint = seen.line;
        self.since = 0;
        Ok(())
    }

    fn end(self) -> Result<Summary, Broken> {
        let Some(last) = self.last else {
            let why = "the file is empty; a log has at least one checkpoint";
            return Err(Broken::new(1, None, What::Truncated, why));
        };
        let protection = match (self.key, &self.signer) {
            (Some(_), _) => Protection::Signed,
            (None, Some(_)) => Protection::NotChecked,
            (None, None) => Protection::HashChained,
        };
        Ok(Summary {
            records: last.line,
            checkpoints: self.checkpoints,
            starts: self.starts,
            first_time: self.first_time,
            last_time: moment::text(last.header.time),
            head: last.header.hash,
            last_checkpoint: self.last_checkpoint,
            after_checkpoint: self.since,
            adopted: self.adopted,
            lost: self.lost,
            closed: self.closed,
            protection,
            key: self.signer,
        })
    }
}
