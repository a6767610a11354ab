//! The log for people: one line of plain words per record, and a reader that waits for more. What
//! is printed can carry text from agents, so nothing in it reaches the terminal as a control
//! character. Checks neither hashes nor order.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::chain::LINE_BYTES_MAX;
use super::entry::{CheckpointReason, CheckpointRecord, Content, Entry};
use super::moment;
use super::record::{
    Decision, DecisionRecord, OutcomeRecord, OutcomeResult, SessionEvent, SessionRecord,
};
use super::sink::last_lines;

/// How many characters of a statement or message are shown.
const SHOWN_CHARACTERS: usize = 160;

/// How much is read from the file at a time, in bytes.
const READ_BYTES: u64 = 64 * 1024;

/// One record as one line of text, without a line feed.
pub fn render(entry: &Entry) -> String {
    let (time, text) = match &entry.content {
        Content::Session(record) => (record.time, session(record)),
        Content::Decision(record) => (record.time, decision(record)),
        Content::Outcome(record) => (record.time, outcome(record)),
        Content::Checkpoint(record) => (record.time, checkpoint(record)),
    };
    format!("{} #{} {text}", moment::text(time), entry.seq)
}

fn session(record: &SessionRecord) -> String {
    let event = match record.event {
        SessionEvent::Start => "session starts",
        SessionEvent::End => "session ends",
        SessionEvent::Refused => "session refused",
    };
    let mut text = format!("{event} {}", clean(&record.session));
    if let Some(user) = &record.user {
        text.push_str(&format!(" {}", who(user, &record.chain)));
    }
    if let Some(address) = &record.client_address {
        text.push_str(&format!(" from {}", clean(address)));
    }
    for part in [&record.reason, &record.sqlstate, &record.message]
        .into_iter()
        .flatten()
    {
        text.push_str(&format!(" {}", clean(part)));
    }
    text
}

fn decision(record: &DecisionRecord) -> String {
    let word = match record.decision {
        Decision::Permit => "permit",
        Decision::Deny => "DENY",
    };
    let mut text = format!(
        "{word} {} {}: {}",
        clean(&record.decision_id),
        who(&record.user, &record.chain),
        clean(&record.statement)
    );
    if !record.obligations.is_empty() {
        text.push_str(&format!(" [{}]", clean(&record.obligations.join(", "))));
    }
    for part in [&record.sqlstate, &record.message].into_iter().flatten() {
        text.push_str(&format!(" {}", clean(part)));
    }
    text
}

fn outcome(record: &OutcomeRecord) -> String {
    let word = match record.result {
        OutcomeResult::Complete => "complete",
        OutcomeResult::Error => "ERROR",
        OutcomeResult::Cancelled => "cancelled",
        OutcomeResult::NotExecuted => "not executed",
        OutcomeResult::Suspended => "suspended",
        OutcomeResult::Lost => "LOST",
    };
    let mut text = format!(
        "{word} {} {} rows, {} bytes in {} us",
        clean(&record.decision_id),
        record.rows,
        record.bytes,
        record.latency_us
    );
    if let Some(sqlstate) = &record.sqlstate {
        text.push_str(&format!(" {}", clean(sqlstate)));
    }
    text
}

fn checkpoint(record: &CheckpointRecord) -> String {
    let reason = match record.reason {
        CheckpointReason::Start => "checkpoint: log opened",
        CheckpointReason::Interval => "checkpoint",
        CheckpointReason::Close => "checkpoint: log closed",
    };
    let mut text = reason.to_owned();
    match &record.key {
        Some(key) => text.push_str(&format!(", signed by {}", clean(key))),
        None => text.push_str(", not signed"),
    }
    if record.lost > 0 {
        text.push_str(&format!(", {} records LOST before it", record.lost));
    }
    text
}

/// `user ← agent 1 ← agent 2`: who delegated to whom, the agent that acts last.
fn who(user: &str, chain: &[String]) -> String {
    let mut text = clean(user);
    for agent in chain.iter().rev() {
        text.push_str(&format!(" ← {}", clean(agent)));
    }
    text
}

/// The text on one line, without what could move a terminal's cursor or turn its direction.
fn clean(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARACTERS)
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// Reads the end of a log and then what is added to it. Goes on with the new file when the one it
/// reads is replaced, and from the start when it is cut. Blocks on the file only; waiting between
/// two looks is the caller's.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: File,
    position: u64,
    pending: Vec<u8>,
}

impl Follow {
    /// Opens a log so that its last `last` lines come first.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path, last: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let position = last_lines(&mut file, last)?;
        file.seek(SeekFrom::Start(position))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            position,
            pending: Vec::new(),
        })
    }

    /// The next whole line, without its line feed; `None` where there is none yet.
    ///
    /// # Errors
    /// The file cannot be read, or a line has no end.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.pending.len() > LINE_BYTES_MAX {
                return Err(io::Error::other("a line of the log has no end"));
            }
            let mut chunk = Vec::new();
            Read::take(&mut self.file, READ_BYTES).read_to_end(&mut chunk)?;
            if chunk.is_empty() && !self.start_again()? {
                return Ok(None);
            }
            let read = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            self.position = self.position.saturating_add(read);
            self.pending.append(&mut chunk);
        }
    }

    /// Begins anew where the file was replaced or cut; false where it is the same.
    fn start_again(&mut self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        let replaced = match std::fs::metadata(&self.path) {
            Ok(now) => !is_same(&ours, &now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !replaced && ours.len() >= self.position {
            return Ok(false);
        }
        if replaced {
            self.file = File::open(&self.path)?;
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.position = 0;
        self.pending.clear();
        Ok(true)
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::audit::record::Record;
    use crate::audit::testing::{self, Scratch};
    use crate::refusal::Refusal;

    fn entry(record: impl Into<Record>) -> Entry {
        let content = match record.into() {
            Record::Session(record) => Content::Session(record),
            Record::Decision(record) => Content::Decision(record),
            Record::Outcome(record) => Content::Outcome(record),
        };
        Entry {
            seq: 7,
            prev: String::new(),
            hash: String::new(),
            content,
        }
    }

    #[test]
    fn records_in_plain_words() {
        let refusal = Refusal::unsupported("DO is not supported");
        let cases = [
            (
                render(&entry(testing::decision(1).permitted())),
                "2026-03-01T10:00:01.000000Z #7 permit d1 alice ← planner ← support-bot: \
                 SELECT name FROM customers WHERE id = $1",
            ),
            (
                render(&entry(testing::decision(1).refused(&refusal))),
                "2026-03-01T10:00:01.000000Z #7 DENY d1 alice ← planner ← support-bot: \
                 SELECT name FROM customers WHERE id = $1 0A000 DO is not supported",
            ),
            (
                render(&entry(testing::outcome(1))),
                "2026-03-01T10:00:01.000000Z #7 complete d1 10 rows, 420 bytes in 1200 us",
            ),
            (
                render(&entry(testing::session())),
                "2026-03-01T10:00:00.000000Z #7 session starts s1 alice ← planner ← support-bot \
                 from 10.0.0.9",
            ),
        ];
        for (shown, expected) in cases {
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn nothing_can_act_on_the_terminal() {
        let mut decision = testing::decision(1);
        decision.statement = format!("SELECT\n\u{1b}[2J\u{202e}{}", "x".repeat(500));
        let shown = render(&entry(decision));
        assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']), "{shown}");
        assert!(shown.contains("SELECT \u{fffd}[2J\u{fffd}xxx"), "{shown}");
        assert!(shown.ends_with('…') && shown.len() < 400);
    }

    #[test]
    fn follows_what_is_added_cut_and_replaced() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut follow = Follow::open(&path, 1).unwrap();
        let mut next = || follow.next_line().unwrap();
        assert_eq!(next().as_deref(), Some("two"));
        assert_eq!(next(), None);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"ee\nfour\n").unwrap();
        assert_eq!(next().as_deref(), Some("three"));
        assert_eq!(next().as_deref(), Some("four"));
        assert_eq!(next(), None);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(next().as_deref(), Some("new"));
        assert_eq!(next(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(next(), None);
    }

    #[cfg(unix)]
    #[test]
    fn follows_a_file_that_takes_the_place_of_another() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        std::fs::write(&path, "old\n").unwrap();
        let mut follow = Follow::open(&path, 9).unwrap();
        assert_eq!(follow.next_line().unwrap().as_deref(), Some("old"));
        std::fs::rename(&path, scratch.file("log.1")).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(follow.next_line().unwrap().as_deref(), Some("new"));
        assert_eq!(follow.next_line().unwrap(), None);
    }
}
