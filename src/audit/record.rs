//! What sessions hand over to the log: sessions, decisions, outcomes. Plain values with their JSON;
//! this file never numbers, hashes or writes one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::clock::Timestamp;
use crate::principal::Principal;
use crate::refusal::Refusal;

use super::moment;

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A session began, ended or was refused.
    Session(SessionRecord),
    /// A statement was decided; recorded before it is sent.
    Decision(Box<DecisionRecord>),
    /// What became of a statement that was decided.
    Outcome(OutcomeRecord),
}

impl From<SessionRecord> for Record {
    fn from(record: SessionRecord) -> Self {
        Self::Session(record)
    }
}

impl From<DecisionRecord> for Record {
    fn from(record: DecisionRecord) -> Self {
        Self::Decision(Box::new(record))
    }
}

impl From<OutcomeRecord> for Record {
    fn from(record: OutcomeRecord) -> Self {
        Self::Outcome(record)
    }
}

impl Record {
    /// The record as it stands between `seq` and `prev`: JSON members without the outer braces.
    pub(super) fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Session(record) => body("session", record),
            Self::Decision(record) => body("decision", &**record),
            Self::Outcome(record) => body("outcome", record),
        }
    }

    /// Takes out the statement's full text.
    pub(super) fn drop_text(&mut self) {
        if let Self::Decision(record) = self {
            record.statement_text = None;
        }
    }
}

/// `"kind":"…"` and the members of a record, which must serialise to a JSON object with members.
pub(super) fn body(kind: &str, record: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(1_024);
    out.extend_from_slice(b"\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    let brace = out.len();
    serde_json::to_writer(&mut out, record)?;
    if let Some(byte) = out.get_mut(brace) {
        *byte = b',';
    }
    out.pop();
    Ok(out)
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEvent {
    /// The identity is verified and the database has answered.
    Start,
    /// The session is over.
    End,
    /// The session was refused at login.
    Refused,
}

/// The beginning or end of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// When it happened.
    #[serde(with = "moment")]
    pub time: Timestamp,
    /// What happened.
    pub event: SessionEvent,
    /// The session's id.
    pub session: String,
    /// The user's `sub`; `None` where no identity was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agents, the one that acts first.
    #[serde(default)]
    pub chain: Vec<String>,
    /// The token's `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The token's `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The token's `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Where the client connects from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    /// Why it ended or was refused, in a word (`terminated`, `revoked`, `expired` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The SQLSTATE the client was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// The message the client was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl SessionRecord {
    /// A record without an identity, address or reason.
    pub fn new(time: Timestamp, event: SessionEvent, session: impl Into<String>) -> Self {
        Self {
            time,
            event,
            session: session.into(),
            user: None,
            chain: Vec::new(),
            client_id: None,
            issuer: None,
            jti: None,
            client_address: None,
            reason: None,
            sqlstate: None,
            message: None,
        }
    }

    /// Adds who the session belongs to.
    #[must_use]
    pub fn of(mut self, who: &Principal) -> Self {
        self.user = Some(who.user.sub.clone());
        self.chain = chain_of(who);
        self.client_id = who.token.client_id.clone();
        self.issuer = Some(who.token.issuer.clone());
        self.jti = Some(who.token.jti.clone());
        self
    }

    /// Adds what the client was told.
    #[must_use]
    pub fn refused(mut self, refusal: &Refusal) -> Self {
        self.reason = Some(refusal.reason.label().to_owned());
        self.sqlstate = Some(refusal.code.0.to_owned());
        self.message = Some(refusal.message.clone());
        self
    }
}

/// The two outcomes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The statement may run, with its obligations.
    Permit,
    /// The statement was refused.
    Deny,
}

/// A relation in a decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TouchedRelation {
    /// `schema.name`, quoted where SQL needs it.
    pub name: String,
    /// `select`, `insert`, `update`, `delete` or `call`.
    pub action: String,
}

/// A column in a decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TouchedColumn {
    /// The relation, as in [`TouchedRelation::name`].
    pub relation: String,
    /// The column.
    pub column: String,
    /// `output`, `predicate`, `written` or `whole-row`.
    #[serde(rename = "use")]
    pub used: String,
}

/// One statement and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// When it was decided.
    #[serde(with = "moment")]
    pub time: Timestamp,
    /// The session's id.
    pub session: String,
    /// The decision's id, which the client sees in DETAIL.
    pub decision_id: String,
    /// The user's `sub`.
    pub user: String,
    /// The agents, the one that acts first.
    pub chain: Vec<String>,
    /// The token's `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `jti`.
    pub jti: String,
    /// The delegation that issued the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
    /// What the access is for, as the token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Where the client connects from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    /// Fingerprint of the statement.
    pub fingerprint: String,
    /// The statement with its literals removed.
    pub statement: String,
    /// The statement as the client wrote it; kept only with `full_text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_text: Option<String>,
    /// The relations it touches.
    pub relations: Vec<TouchedRelation>,
    /// The columns it touches.
    pub columns: Vec<TouchedColumn>,
    /// The functions it calls.
    pub functions: Vec<String>,
    /// What was decided.
    pub decision: Decision,
    /// Why it was refused: the label of [`crate::refusal::Reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ids of the policy rules that decided.
    pub rules: Vec<String>,
    /// What the permit orders: masks, row filters, limits.
    pub obligations: Vec<String>,
    /// The SQLSTATE of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// The message of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The risk at that moment, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<u8>,
    /// What deciding took, in microseconds.
    pub decide_us: u64,
}

impl DecisionRecord {
    /// The record of a decision before it is made: who acts, nothing touched, denied.
    pub fn new(
        time: Timestamp,
        session: impl Into<String>,
        decision_id: impl Into<String>,
        who: &Principal,
    ) -> Self {
        let details = who.authorization_details.as_deref().unwrap_or_default();
        Self {
            time,
            session: session.into(),
            decision_id: decision_id.into(),
            user: who.user.sub.clone(),
            chain: chain_of(who),
            client_id: who.token.client_id.clone(),
            issuer: who.token.issuer.clone(),
            jti: who.token.jti.clone(),
            delegation: None,
            purpose: details.iter().find_map(|detail| detail.purpose.clone()),
            client_address: None,
            fingerprint: String::new(),
            statement: String::new(),
            statement_text: None,
            relations: Vec::new(),
            columns: Vec::new(),
            functions: Vec::new(),
            decision: Decision::Deny,
            reason: None,
            rules: Vec::new(),
            obligations: Vec::new(),
            sqlstate: None,
            message: None,
            risk: None,
            decide_us: 0,
        }
    }

    /// Adds what the statement touches, each relation, column use and function once,
    /// sorted.
    #[must_use]
    pub fn touching(mut self, access: &Access) -> Self {
        let relations = access.relations.iter().map(|used| TouchedRelation {
            name: used.relation.to_string(),
            action: used.action.word().to_owned(),
        });
        let columns = access.columns.iter().map(|used| TouchedColumn {
            relation: used.relation.to_string(),
            column: used.column.clone(),
            used: used.used.word().to_owned(),
        });
        let functions = access
            .functions
            .iter()
            .map(|used| used.function.to_string());
        self.relations = once(relations);
        self.columns = once(columns);
        self.functions = once(functions);
        self
    }

    /// Makes it a permit.
    #[must_use]
    pub fn permitted(mut self) -> Self {
        self.decision = Decision::Permit;
        self
    }

    /// Makes it a denial and adds what the client is told.
    #[must_use]
    pub fn refused(mut self, refusal: &Refusal) -> Self {
        self.decision = Decision::Deny;
        self.reason = Some(refusal.reason.label().to_owned());
        self.sqlstate = Some(refusal.code.0.to_owned());
        self.message = Some(refusal.message.clone());
        self
    }
}

/// How a statement that was decided came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It ran to its end.
    Complete,
    /// The database answered with an error.
    Error,
    /// It was cancelled.
    Cancelled,
    /// It was never run: an earlier statement failed, or the client did not execute it.
    NotExecuted,
    /// The portal gave part of its rows (PortalSuspended).
    Suspended,
    /// The connection was lost before the outcome was known.
    Lost,
}

/// What became of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// When it was over.
    #[serde(with = "moment")]
    pub time: Timestamp,
    /// The session's id.
    pub session: String,
    /// The decision it belongs to.
    pub decision_id: String,
    /// How it came out.
    pub result: OutcomeResult,
    /// Rows sent to the client, or copied.
    pub rows: u64,
    /// Bytes of result sent to the client.
    pub bytes: u64,
    /// The SQLSTATE of an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// From sending the statement to its end, in microseconds.
    pub latency_us: u64,
}

fn chain_of(who: &Principal) -> Vec<String> {
    who.chain.iter().map(|agent| agent.sub.clone()).collect()
}

/// The items sorted, each once.
fn once<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Action, ColumnUse, FunctionUse, RelationUse, Use};
    use crate::audit::testing;
    use crate::ident::QualifiedName;

    fn body_text(record: Record) -> String {
        String::from_utf8(record.body().unwrap()).unwrap()
    }

    #[test]
    fn a_decision_starts_as_a_denial_of_nothing() {
        let record = DecisionRecord::new(
            Timestamp::from_seconds(0),
            "s1",
            "d1",
            &testing::principal(),
        );
        assert_eq!(record.decision, Decision::Deny);
        assert_eq!(record.chain, ["support-bot", "planner"]);
        assert_eq!(record.purpose.as_deref(), Some("ticket 7"));
        assert!(record.relations.is_empty() && record.rules.is_empty());
    }

    #[test]
    fn what_is_touched_is_listed_once() {
        let customers = QualifiedName::new("public", "customers");
        let column = |offset| ColumnUse {
            relation: customers.clone(),
            column: "email".to_owned(),
            used: Use::Output,
            action: Action::Select,
            offset: Some(offset),
            star: false,
        };
        let access = Access {
            command: "SELECT",
            relations: vec![RelationUse {
                relation: customers.clone(),
                action: Action::Select,
                offset: None,
            }],
            columns: vec![column(3), column(9)],
            functions: vec![FunctionUse {
                function: QualifiedName::new("pg_catalog", "lower"),
                procedure: false,
                offset: None,
            }],
            outputs: Vec::new(),
        };
        let record = testing::decision(1).touching(&access);
        assert_eq!(record.relations.len(), 1);
        assert_eq!(record.columns.len(), 1);
        assert_eq!(record.functions, ["pg_catalog.lower"]);
        let text = body_text(record.into());
        assert!(text.contains(
            r#""columns":[{"relation":"public.customers","column":"email","use":"output"}]"#
        ));
    }

    #[test]
    fn a_refusal_gives_its_words() {
        let refusal = Refusal::identity("the token has expired");
        let record = testing::decision(1).refused(&refusal);
        assert_eq!(record.decision, Decision::Deny);
        assert_eq!(record.sqlstate.as_deref(), Some("28000"));
        assert_eq!(record.reason.as_deref(), Some("identity"));
        let session =
            SessionRecord::new(record.time, SessionEvent::Refused, "s1").refused(&refusal);
        assert_eq!(session.user, None);
        assert_eq!(session.message.as_deref(), Some("the token has expired"));
    }

    #[test]
    fn bodies_are_members_without_braces() {
        let text = body_text(testing::outcome(1).into());
        assert!(
            text.starts_with(r#""kind":"outcome","time":"2026-"#),
            "{text}"
        );
        assert!(text.ends_with(r#""latency_us":1200"#), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn the_full_text_can_be_taken_out() {
        let mut decision = testing::decision(1);
        decision.statement_text = Some("SELECT 'secret'".to_owned());
        let mut record = Record::from(decision);
        assert!(body_text(record.clone()).contains("secret"));
        record.drop_text();
        assert!(!body_text(record).contains("secret"));
    }
}
