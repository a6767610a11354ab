//! Where a session asks the gate, and what it adds to the answer: what only a session can know about
//! its settings, and whether an earlier decision still holds. The decision itself is the gate's.

use std::sync::Arc;
use std::time::Instant;

use crate::clock::Timestamp;
use crate::gate::{self, Cleared, Judged, Surroundings};
use crate::refusal::{Reason, Refusal, SqlState};
use crate::sql::Effect;

use super::audit::micros_since;
use super::flow::Flow;
use super::held::{Held, Judgement, Needs, Stamp};
use super::ready::Session;

/// A text that may be sent, or why it may not.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may.
    Permitted(Judgement),
    /// It may not.
    Refused(Box<Refused>),
}

/// A text that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// What is known about its statements, for the audit log. The last of them holds the refusal.
    pub(super) judged: Vec<Judged>,
    /// What the client is told.
    pub(super) refusal: Refusal,
    /// When it was decided.
    pub(super) at: Timestamp,
    /// What deciding took, in microseconds.
    pub(super) decide_us: u64,
}

impl Session {
    /// Decides about a text. Everything on its way that could change what it means must have been
    /// answered.
    pub(super) fn judge(&self, text: &str) -> Verdict {
        let since = Instant::now();
        let flow = self.flow();
        let verdict = self.judge_in(&flow, text, since);
        drop(flow);
        if let Verdict::Refused(refused) = &verdict
            && refused.refusal.reason == Reason::Unresolved
        {
            self.shared.unresolved.notify_one();
        }
        verdict
    }

    /// Decides about a statement to be prepared: as [`Session::judge`], and it must be one.
    pub(super) fn judge_one(&self, text: &str) -> Verdict {
        match self.judge(text) {
            Verdict::Permitted(judgement) if judgement.cleared.len() != 1 => {
                Verdict::Refused(Box::new(taken_back(&judgement, several())))
            }
            verdict @ (Verdict::Permitted(_) | Verdict::Refused(_)) => verdict,
        }
    }

    /// Why a statement may not have parameters of these types (OIDs, 0 for unspecified): casts of a
    /// parameter run functions that the statement does not show.
    pub(super) fn type_refused(&self, types: &[u32]) -> Option<Refusal> {
        let snapshot = self.shared.snapshot.load();
        let place = types
            .iter()
            .position(|oid| snapshot.value.has_implicit_calls(*oid))?;
        Some(
            Refusal::unsupported(format!(
                "parameter ${} is of a type whose casts or checks run functions",
                place.saturating_add(1)
            ))
            .with_hint("leave the parameter's type unspecified"),
        )
    }

    /// Decides about a statement that is held, again if the last decision does not hold any more.
    ///
    /// # Errors
    /// What was refused, and why.
    pub(super) fn decide(&self, held: &Held) -> Result<Arc<Judgement>, Box<Refused>> {
        let flow = self.flow();
        let stamp = self.stamp(&flow, held.needs);
        let expired = stamp.at >= self.who.principal().token.expires_at;
        if let Some(judgement) = held.decided(&stamp)
            && !expired
        {
            return Ok(judgement);
        }
        let since = Instant::now();
        let mut all = Judgement {
            stamp,
            judged: Vec::new(),
            cleared: Vec::new(),
            decide_us: 0,
        };
        for text in &held.texts {
            match self.judge_in(&flow, text, since) {
                Verdict::Permitted(judgement) => {
                    all.judged.extend(judgement.judged);
                    all.cleared.extend(judgement.cleared);
                }
                Verdict::Refused(mut refused) => {
                    self.place_in(held, text, &mut refused.refusal);
                    return Err(refused);
                }
            }
        }
        drop(flow);
        all.decide_us = micros_since(since);
        Ok(held.decide(all))
    }

    /// What a decision made now rests on.
    fn stamp(&self, flow: &Flow, needs: Needs) -> Stamp {
        let tracked = flow.tracked();
        Stamp {
            rules: self.shared.rules.load().generation,
            snapshot: self.shared.snapshot.load().generation,
            meaning: tracked.meaning(),
            names: if needs.any() {
                tracked.settings().generation()
            } else {
                0
            },
            at: self.shared.now(),
        }
    }

    fn judge_in(&self, flow: &Flow, text: &str, since: Instant) -> Verdict {
        let rules = self.shared.rules.load();
        let snapshot = self.shared.snapshot.load();
        let stamp = self.stamp(flow, Needs::of(text));
        // The generations that were looked at, whatever has been put in their place since.
        let stamp = Stamp {
            rules: rules.generation,
            snapshot: snapshot.generation,
            ..stamp
        };
        let around = Surroundings {
            snapshot: &snapshot.value,
            rules: &rules.value,
            settings: flow.tracked().settings(),
            limits: &self.shared.limits,
            now: stamp.at,
            client: Some(self.peer),
        };
        let verdict = gate::check(&self.who, text, &around);
        let decide_us = micros_since(since);
        match verdict.outcome {
            Ok(cleared) => {
                let judgement = Judgement {
                    stamp,
                    judged: verdict.statements,
                    cleared,
                    decide_us,
                };
                match self.objection(flow, &judgement) {
                    Some(refusal) => Verdict::Refused(Box::new(taken_back(&judgement, refusal))),
                    None => Verdict::Permitted(judgement),
                }
            }
            Err(refusal) => Verdict::Refused(Box::new(Refused {
                judged: verdict.statements,
                refusal,
                at: stamp.at,
                decide_us,
            })),
        }
    }

    /// What only the session can have against statements that the gate has cleared.
    fn objection(&self, flow: &Flow, judgement: &Judgement) -> Option<Refusal> {
        let effects: Vec<&Effect> = judgement.cleared.iter().map(Cleared::effect).collect();
        let holds =
            |effect: &&Effect| matches!(effect, Effect::Prepare { .. } | Effect::Declare { .. });
        let tracked = flow.tracked();
        let most = self.shared.limits.names_held_max();
        if effects.iter().any(holds) && tracked.settings().held() >= most {
            return Some(Refusal::limit(format!(
                "more than {most} prepared statements and cursors"
            )));
        }
        tracked.objection(&judgement.judged, &effects)
    }

    /// The place of a refusal in what the client wrote, from its place in the canonical text. A
    /// decision that is made again sees only the latter.
    fn place_in(&self, held: &Held, text: &str, refusal: &mut Refusal) {
        let place = &held.place;
        let found = refusal
            .position_in(text)
            .and_then(|position| gate::client_position(&place.client, &place.sent, position))
            .and_then(|position| byte_offset(&place.client, position));
        refusal.offset = found;
    }
}

/// The byte offset of a place in characters from 1.
fn byte_offset(text: &str, position: usize) -> Option<usize> {
    let (offset, _) = text.char_indices().nth(position.checked_sub(1)?)?;
    Some(offset)
}

/// A permit that does not extend to what is asked now: it becomes a denial of its last statement.
pub(super) fn taken_back(judgement: &Judgement, refusal: Refusal) -> Refused {
    let mut judged = judgement.judged.clone();
    if let Some(last) = judged.last_mut() {
        last.refusal = Some(refusal.clone());
    }
    Refused {
        judged,
        refusal,
        at: judgement.stamp.at,
        decide_us: judgement.decide_us,
    }
}

fn several() -> Refusal {
    Refusal::new(
        SqlState::SYNTAX_ERROR,
        Reason::Syntax,
        "cannot insert multiple commands into a prepared statement",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(byte_offset("é = ssn", 5), Some(5));
        assert_eq!(byte_offset("é = ssn", 1), Some(0));
        assert_eq!(byte_offset("é = ssn", 0), None);
        assert_eq!(byte_offset("é", 9), None);
    }

    #[test]
    fn a_permit_taken_back_is_a_denial_of_its_last_statement() {
        let judged = Judged {
            access: Default::default(),
            redacted: String::new(),
            fingerprint: String::new(),
            rules: Vec::new(),
            refusal: None,
        };
        let judgement = Judgement {
            stamp: Stamp {
                rules: 1,
                snapshot: 1,
                meaning: 1,
                names: 0,
                at: Timestamp::from_seconds(1),
            },
            judged: vec![judged.clone(), judged],
            cleared: Vec::new(),
            decide_us: 7,
        };
        let refused = taken_back(&judgement, several());
        assert!(refused.judged[0].refusal.is_none());
        assert_eq!(refused.judged[1].refusal, Some(several()));
        assert_eq!(refused.refusal.code, SqlState::SYNTAX_ERROR);
        assert_eq!(refused.decide_us, 7);
    }
}
