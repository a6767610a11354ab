//! Runs policy tests (`*.cases.toml`) through the very code that decides on the wire.

use crate::clock::Timestamp;
use crate::policy::{Case, Expect};

use super::{Judged, Surroundings, judge};

/// What came of one case.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// What was decided, statement by statement.
    pub judged: Vec<Judged>,
    /// Why the case failed; `None` where it came out as expected.
    pub failure: Option<String>,
}

/// Runs one case. `around` supplies everything that the case does not say itself.
pub fn run_case(case: &Case, around: &Surroundings<'_>) -> CaseResult {
    let now: Timestamp = case.time.unwrap_or(around.now);
    let around = Surroundings {
        now,
        client: case.client.or(around.client),
        ..*around
    };
    let judged = judge(&case.principal(now), &case.sql, &around);
    let failure = failure(case, &judged);
    CaseResult { judged, failure }
}

fn failure(case: &Case, judged: &[Judged]) -> Option<String> {
    let refusal = judged.iter().find_map(|judged| judged.refusal.as_ref());
    match (case.expect, refusal) {
        (Expect::Allow, None) => None,
        (Expect::Allow, Some(refusal)) => Some(format!(
            "expected allow, but it is refused: {} ({})",
            refusal.message, refusal.code.0
        )),
        (Expect::Rewrite, _) => {
            Some("expected rewrite, which this version does not do yet".to_owned())
        }
        (Expect::Deny, None) => Some("expected deny, but it is allowed".to_owned()),
        (Expect::Deny, Some(refusal)) => {
            let wrong_code = case
                .code
                .as_deref()
                .is_some_and(|code| code != refusal.code.0);
            if wrong_code {
                return Some(format!(
                    "refused with {}: {}",
                    refusal.code.0, refusal.message
                ));
            }
            let (relation, column) = case.column.as_ref()?;
            let named = refusal.message.contains(&format!("\"{column}\""));
            (!named).then(|| {
                format!(
                    "refused, but not for {relation}.{column}: {}",
                    refusal.message
                )
            })
        }
    }
}
