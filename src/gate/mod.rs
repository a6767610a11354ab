//! The decision about a text: analyse, decide, clear. The wire, `policy test`, `policy explain` and
//! the fuzzers all run this same code, and nothing in it does I/O or reads a clock.
//!
//! [`Cleared`] is the proof that a statement was analysed and permitted. It has one constructor,
//! which needs the policy's [`Permit`], and the upstream accepts nothing else.

mod cases;
mod cleared;
mod position;
mod startup;

use std::net::IpAddr;

use crate::access::Access;
use crate::catalog::Snapshot;
use crate::clock::Timestamp;
use crate::policy::{self, Decision, Permit, Rules};
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::sql::{self, Settings, Statement, redact_statement};
use crate::token::Verified;
use crate::wire::Limits;

pub use cases::{CaseResult, run_case};
pub use cleared::Cleared;
pub use position::{SEPARATOR, client_position};
pub use startup::check_startup_parameter;

/// What a decision is made against, besides who asks and what.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The database's schema.
    pub snapshot: &'a Snapshot,
    /// The policy.
    pub rules: &'a Rules,
    /// What the session has set so far.
    pub settings: &'a Settings,
    /// The limits of the protocol.
    pub limits: &'a Limits,
    /// The present moment.
    pub now: Timestamp,
    /// Where the client connects from; none for a Unix socket and in policy tests.
    pub client: Option<IpAddr>,
}

/// What is known about one statement once it was judged: what the audit log records.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What it touches; empty where it could not be analysed.
    pub access: Access,
    /// The statement without its literals.
    pub redacted: String,
    /// Equal for statements that differ in literals alone.
    pub fingerprint: String,
    /// The policy rules that led to the decision.
    pub rules: Vec<String>,
    /// Why it is refused; `None` where it is permitted.
    pub refusal: Option<Refusal>,
}

/// The answer for a whole text.
#[derive(Debug)]
pub struct Verdict {
    /// Its statements, up to the first that was refused.
    pub statements: Vec<Judged>,
    /// What may be sent; one refusal refuses the whole text.
    pub outcome: Result<Vec<Cleared>, Refusal>,
}

/// Decides about a text for a verified principal.
pub fn check(who: &Verified, text: &str, around: &Surroundings<'_>) -> Verdict {
    let principal = who.principal();
    if around.now >= principal.token.expires_at {
        let refusal = expired();
        return Verdict {
            statements: vec![unread(text, refusal.clone())],
            outcome: Err(refusal),
        };
    }
    let mut cleared = Vec::new();
    let mut statements = Vec::new();
    for (judged, passed) in judge_all(principal, text, around) {
        if let Some((statement, permit)) = passed {
            cleared.push(Cleared::new(statement, &permit));
        }
        statements.push(judged);
    }
    let refused = statements.iter().find_map(|judged| judged.refusal.clone());
    Verdict {
        statements,
        outcome: refused.map_or(Ok(cleared), Err),
    }
}

/// Decides about a text for a principal that nobody has verified: for policy tests and
/// explanations. Nothing that may be sent comes out of it.
pub fn judge(principal: &Principal, text: &str, around: &Surroundings<'_>) -> Vec<Judged> {
    judge_all(principal, text, around)
        .into_iter()
        .map(|(judged, _)| judged)
        .collect()
}

type Passed = Option<(Statement, Permit)>;

/// Every statement up to the first that is refused.
fn judge_all(
    principal: &Principal,
    text: &str,
    around: &Surroundings<'_>,
) -> Vec<(Judged, Passed)> {
    let found = sql::analyse(text, around.snapshot, around.settings, around.limits);
    let mut statements = match found {
        Ok(statements) => statements,
        Err((_, refusal)) => return vec![(unread(text, refusal), None)],
    };
    if statements.is_empty() {
        statements.push(Statement::empty());
    }
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        let (judged, passed) = judge_one(principal, statement, around);
        let refused = passed.is_none();
        all.push((judged, passed));
        if refused {
            break;
        }
    }
    all
}

fn judge_one(
    principal: &Principal,
    statement: Statement,
    around: &Surroundings<'_>,
) -> (Judged, Passed) {
    let shown = redact_statement(&statement);
    let decision = policy::decide(
        around.rules,
        principal,
        &statement.access,
        around.snapshot,
        around.now,
        around.client,
    );
    let judged = |rules: Vec<String>, refusal| Judged {
        access: statement.access.clone(),
        redacted: shown.text.clone(),
        fingerprint: shown.fingerprint.clone(),
        rules,
        refusal,
    };
    match decision {
        Decision::Permit(permit) => {
            let judged = judged(permit.rules().to_vec(), None);
            (judged, Some((statement, permit)))
        }
        Decision::Denial(denial) => (judged(denial.rules, Some(denial.refusal)), None),
    }
}

fn unread(text: &str, refusal: Refusal) -> Judged {
    // What was refused unread is not parsed again: it may be too deep for that.
    Judged {
        access: Access::default(),
        redacted: format!("<text of {} bytes, refused unread>", text.len()),
        fingerprint: String::new(),
        rules: Vec::new(),
        refusal: Some(refusal),
    }
}

fn expired() -> Refusal {
    Refusal::identity("the token of this session has expired")
        .with_hint("connect again with a fresh delegated token")
}
