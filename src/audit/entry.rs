//! What readers get back from the log: one entry per line, checkpoints included. This file checks
//! no hash and no order; that is [`super::verify()`].

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::moment;
use super::record::{DecisionRecord, OutcomeRecord, SessionRecord};

/// Why the writer set a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointReason {
    /// pgward opened the file.
    Start,
    /// Enough records since the last one.
    Interval,
    /// pgward closed the file.
    Close,
}

impl CheckpointReason {
    /// The word in the log, which the signature covers.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::Close => "close",
        }
    }
}

/// The writer's own record: it pins down everything before it. Only the writer makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// When it was written.
    #[serde(with = "moment")]
    pub time: Timestamp,
    /// Why it was written.
    pub reason: CheckpointReason,
    /// The next checkpoint comes after at most this many records.
    pub interval: u64,
    /// Records that could not be kept since the checkpoint before (`on_failure = "continue"`).
    pub lost: u64,
    /// The id of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The Ed25519 signature, in hexadecimal; `None` where no signing key is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What a line of the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A session's beginning or end.
    Session(SessionRecord),
    /// A decision.
    Decision(Box<DecisionRecord>),
    /// An outcome.
    Outcome(OutcomeRecord),
    /// A checkpoint.
    Checkpoint(CheckpointRecord),
}

/// One line of the log, as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// The `hash` of the line before it.
    pub prev: String,
    /// SHA-256 of the line without this member, in hexadecimal.
    pub hash: String,
    /// What it says.
    pub content: Content,
}

/// The members that every line has.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Header {
    pub(super) seq: u64,
    pub(super) kind: Kind,
    #[serde(with = "moment")]
    pub(super) time: Timestamp,
    pub(super) prev: String,
    pub(super) hash: String,
}

/// The `kind` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Session,
    Decision,
    Outcome,
    Checkpoint,
}

impl Entry {
    /// Reads one line, without checking its hash or its place: that is [`super::verify()`].
    ///
    /// # Errors
    /// The line is not JSON, or not a record of this log.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        let header: Header = serde_json::from_str(line)?;
        let content = match header.kind {
            Kind::Session => Content::Session(serde_json::from_str(line)?),
            Kind::Decision => Content::Decision(serde_json::from_str(line)?),
            Kind::Outcome => Content::Outcome(serde_json::from_str(line)?),
            Kind::Checkpoint => Content::Checkpoint(serde_json::from_str(line)?),
        };
        Ok(Self {
            seq: header.seq,
            prev: header.prev,
            hash: header.hash,
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Chain;
    use crate::audit::record::Record;
    use crate::audit::testing;

    fn line_of(record: Record) -> String {
        let mut out = Vec::new();
        Chain::new().seal(&record.body().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_written_is_what_is_read() {
        let decision = testing::decision(3);
        let entry = Entry::parse(&line_of(decision.clone().into())).unwrap();
        assert_eq!(entry.seq, 1);
        assert_eq!(entry.content, Content::Decision(Box::new(decision)));

        let outcome = testing::outcome(3);
        let entry = Entry::parse(&line_of(outcome.clone().into())).unwrap();
        assert_eq!(entry.content, Content::Outcome(outcome));

        let session = testing::session();
        let entry = Entry::parse(&line_of(session.clone().into())).unwrap();
        assert_eq!(entry.content, Content::Session(session));
    }

    #[test]
    fn other_lines_are_refused() {
        let good = line_of(testing::outcome(1).into());
        for line in [
            "",
            "{}",
            "not json",
            &good.replace("\"outcome\"", "\"rumour\""),
            &good.replace("\"seq\":1,", ""),
            &good.replace("\"seq\":1,", "\"seq\":1,\"seq\":1,"),
            &good.replace("\"rows\":", "\"row\":"),
        ] {
            assert!(Entry::parse(line).is_err(), "{line:?}");
        }
    }
}
