//! What the tests of this module share: a directory of their own, sample records, logs made by the
//! real writer's parts, and the tools of someone who forges them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Timestamp};
use crate::principal::{AccessDetail, Agent, Principal, TokenFacts, User};

use super::chain::Chain;
use super::config::Config;
use super::keys::SigningKey;
use super::ledger::Ledger;
use super::record::{
    DecisionRecord, OutcomeRecord, OutcomeResult, Record, SessionEvent, SessionRecord,
};

/// 2026-03-01 10:00:00 UTC.
const TEN_O_CLOCK: i64 = 1_772_359_200;

/// A directory that goes when the test is over.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pgward-audit-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that stands still.
pub(super) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(TEN_O_CLOCK)
    }
}

pub(super) fn principal() -> Principal {
    let agent = |sub: &str| Agent {
        sub: sub.to_owned(),
        issuer: None,
    };
    Principal {
        user: User {
            sub: "alice".to_owned(),
            groups: vec!["support".to_owned()],
            attributes: BTreeMap::new(),
        },
        chain: vec![agent("support-bot"), agent("planner")],
        scope: Vec::new(),
        authorization_details: Some(vec![AccessDetail {
            purpose: Some("ticket 7".to_owned()),
            ..AccessDetail::default()
        }]),
        token: TokenFacts {
            issuer: "https://id.example".to_owned(),
            jti: "t-1".to_owned(),
            client_id: Some("support-bot".to_owned()),
            expires_at: Timestamp::from_seconds(TEN_O_CLOCK + 900),
            base: None,
        },
    }
}

fn time_of(number: u64) -> Timestamp {
    Timestamp::from_seconds(TEN_O_CLOCK + i64::try_from(number).unwrap())
}

pub(super) fn decision(number: u64) -> DecisionRecord {
    let mut record = DecisionRecord::new(time_of(number), "s1", format!("d{number}"), &principal());
    record.statement = "SELECT name FROM customers WHERE id = $1".to_owned();
    record.fingerprint = "50fde20626009aba".to_owned();
    record
}

pub(super) fn outcome(number: u64) -> OutcomeRecord {
    OutcomeRecord {
        time: time_of(number),
        session: "s1".to_owned(),
        decision_id: format!("d{number}"),
        result: OutcomeResult::Complete,
        rows: 10,
        bytes: 420,
        sqlstate: None,
        latency_us: 1_200,
    }
}

pub(super) fn session() -> SessionRecord {
    let mut record = SessionRecord::new(time_of(0), SessionEvent::Start, "s1").of(&principal());
    record.client_address = Some("10.0.0.9".to_owned());
    record
}

/// A configuration for a file in a directory, with the key in a file beside it.
pub(super) fn config(scratch: &Scratch, interval: u64, key: Option<&SigningKey>) -> Config {
    let signing_key = key.map(|key| {
        let path = scratch.file("key.pem");
        std::fs::write(&path, key.to_pem().unwrap().expose()).unwrap();
        path
    });
    Config {
        checkpoint_records: interval,
        signing_key,
        ..Config::new(scratch.file("audit.jsonl"))
    }
}

/// The lines of a log with so many outcomes, properly closed.
pub(super) fn log(records: u64, interval: u64, key: Option<&SigningKey>) -> Vec<String> {
    let scratch = Scratch::new();
    let config = config(&scratch, interval, key);
    let mut ledger = Ledger::open(&config, Arc::new(Still)).unwrap();
    for number in 1..=records {
        let body = Record::from(outcome(number)).body().unwrap();
        ledger.append(&body).unwrap();
    }
    ledger.close().unwrap();
    let text = std::fs::read_to_string(&config.path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The file of these lines.
pub(super) fn file(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}

/// The members between `seq` and `prev`.
fn body_of(line: &str) -> &str {
    let (_, rest) = line.split_once(',').unwrap();
    let end = rest.rfind(",\"prev\":\"").unwrap();
    rest.get(..end).unwrap()
}

/// The member of a line that is a text of its own.
pub(super) fn member(line: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value[name].as_str().unwrap().to_owned()
}

/// A line with other members, in the same place of the chain, with the hash it then has.
pub(super) fn forged(line: &str, from: &str, to: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let seq = value["seq"].as_u64().unwrap();
    let body = body_of(line).replace(from, to);
    sealed(seq, &member(line, "prev"), &body)
}

/// A line made from nothing.
pub(super) fn sealed(seq: u64, prev: &str, body: &str) -> String {
    let mut out = Vec::new();
    Chain::after(seq - 1, prev).seal(body.as_bytes(), &mut out);
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

/// The same lines numbered and chained anew from the first on: what someone can do who may write
/// the file, but does not have the key.
pub(super) fn rebuilt(lines: &[String]) -> Vec<String> {
    let mut chain = Chain::new();
    let mut out = Vec::new();
    for line in lines {
        chain.seal(body_of(line).as_bytes(), &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}
