//! A session's trail: every decision is recorded before the statement is sent, every outcome when it
//! is known, and the session's own beginning and end. Ids are given here. Nothing is decided, and
//! nothing of a statement but its literal-free form gets into the process's own log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::audit::{
    Audit, DecisionRecord, Failed, OutcomeRecord, Record, SessionEvent, SessionRecord,
};
use crate::clock::Timestamp;
use crate::gate::Judged;
use crate::principal::Principal;
use crate::refusal::Refusal;

use super::cancel::random;
use super::pending::Outcome;

/// Makes a session's id: 16 hexadecimal digits.
///
/// # Errors
/// 57P03 where the system has no random bytes.
pub(super) fn session_id() -> Result<String, Refusal> {
    let mut bytes = [0_u8; 8];
    random(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// What was decided about one message, besides the statements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided<'a> {
    /// The client's text, where there is one.
    pub(super) text: Option<&'a str>,
    /// When it was decided.
    pub(super) at: Timestamp,
    /// What deciding took, in microseconds.
    pub(super) decide_us: u64,
}

/// The trail of one session.
#[derive(Debug)]
pub(super) struct Trail {
    audit: Audit,
    session: String,
    client: String,
    decisions: AtomicU64,
}

impl Trail {
    /// The trail of the session of that id, for a client at that address.
    pub(super) fn new(audit: Audit, session: String, client: String) -> Self {
        Self {
            audit,
            session,
            client,
            decisions: AtomicU64::new(0),
        }
    }

    /// The session's id.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The next decision's id.
    pub(super) fn decision_id(&self) -> String {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}", self.session, number.saturating_add(1))
    }

    /// Records the decision about a statement.
    ///
    /// # Errors
    /// [`Failed`]: the statement must not be sent.
    pub(super) async fn decision(
        &self,
        who: &Principal,
        id: &str,
        judged: &Judged,
        decided: &Decided<'_>,
    ) -> Result<(), Failed> {
        let record = DecisionRecord::new(decided.at, &*self.session, id, who);
        let mut record = record.touching(&judged.access);
        record.client_address = Some(self.client.clone());
        record.fingerprint.clone_from(&judged.fingerprint);
        record.statement.clone_from(&judged.redacted);
        record.rules.clone_from(&judged.rules);
        record.decide_us = decided.decide_us;
        if self.audit.full_text() {
            record.statement_text = decided.text.map(str::to_owned);
        }
        let record = match &judged.refusal {
            None => record.permitted(),
            Some(refusal) => record.refused(refusal),
        };
        self.record(record).await
    }

    /// The record of an outcome; `rows` and `bytes` are its own only where it counts them.
    pub(super) fn outcome(
        &self,
        outcome: Outcome,
        now: Timestamp,
        rows: u64,
        bytes: u64,
    ) -> OutcomeRecord {
        OutcomeRecord {
            time: now,
            session: self.session.clone(),
            decision_id: outcome.decision,
            result: outcome.result,
            rows: if outcome.counted { rows } else { 0 },
            bytes: if outcome.counted { bytes } else { 0 },
            sqlstate: outcome.code,
            latency_us: micros_since(outcome.since),
        }
    }

    /// Hands a record to the log.
    ///
    /// # Errors
    /// [`Failed`]: what the record is about must not happen, or the session must end.
    pub(super) async fn record(&self, record: impl Into<Record>) -> Result<(), Failed> {
        self.audit.record(record.into()).await
    }

    /// A record about the session itself.
    pub(super) fn record_of(
        &self,
        event: SessionEvent,
        now: Timestamp,
        who: Option<&Principal>,
    ) -> SessionRecord {
        let mut record = SessionRecord::new(now, event, &*self.session);
        record.client_address = Some(self.client.clone());
        match who {
            Some(who) => record.of(who),
            None => record,
        }
    }
}

/// Whole microseconds since a moment.
pub(super) fn micros_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The DETAIL of a refusal: what was there already, who was refused, and the decision's id.
pub(super) fn detailed(mut refusal: Refusal, who: &Principal, id: &str) -> Refusal {
    let who = who.describe();
    let detail = match refusal.detail.take() {
        Some(before) if before.contains(&who) => {
            format!("{}, decision {id}.", before.trim_end_matches('.'))
        }
        Some(before) => format!("{before} Refused to {who}, decision {id}."),
        None => format!("Refused to {who}, decision {id}."),
    };
    refusal.with_detail(detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::principal::{Agent, TokenFacts, User};

    fn principal() -> Principal {
        Principal {
            user: User {
                sub: "alice".to_owned(),
                groups: Vec::new(),
                attributes: BTreeMap::new(),
            },
            chain: vec![Agent {
                sub: "bot".to_owned(),
                issuer: None,
            }],
            scope: Vec::new(),
            authorization_details: None,
            token: TokenFacts {
                issuer: "i".to_owned(),
                jti: "j".to_owned(),
                client_id: None,
                expires_at: Timestamp::from_seconds(1),
                base: None,
            },
        }
    }

    #[test]
    fn every_refusal_says_who_and_which() {
        let who = "user \"alice\" via agent \"bot\"";
        let refused = format!("Refused to {who}, decision d-1.");
        let cases = [
            (None, refused.clone()),
            (Some(format!("Refused to {who}.")), refused.clone()),
            (Some("Why.".to_owned()), format!("Why. {refused}")),
        ];
        for (before, after) in cases {
            let mut refusal = Refusal::unsupported("no");
            refusal.detail = before;
            let refusal = detailed(refusal, &principal(), "d-1");
            assert_eq!(refusal.detail, Some(after));
        }
    }

    #[test]
    fn session_ids_are_sixteen_digits() {
        let one = session_id().unwrap();
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, session_id().unwrap());
    }
}
