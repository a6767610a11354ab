//! A statement that the session holds: prepared in the protocol, or bound to a portal. It keeps what
//! was decided about it last, with a stamp of everything the decision rests on; once one of those
//! has changed, the decision is made again before anything runs. Nothing here decides.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::gate::{Cleared, Judged};

/// How long a decision may be used again, in microseconds. Policies may depend on the time of day,
/// and the token ends at some moment.
const FRESH_MICROS: i64 = 1_000_000;

/// Everything a decision rests on besides the text and the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Generation of the policy.
    pub(super) rules: u64,
    /// Generation of the snapshot.
    pub(super) snapshot: u64,
    /// What names mean in this session, see [`super::settings::Tracked::meaning`].
    pub(super) meaning: u64,
    /// Generation of the session's prepared statements and cursors; 0 where the text names none.
    pub(super) names: u64,
    /// When it was made.
    pub(super) at: Timestamp,
}

impl Stamp {
    /// Whether a decision of this stamp would come out the same at the moment of the other.
    pub(super) fn holds_at(&self, other: &Self) -> bool {
        let age = other.at.micros().saturating_sub(self.at.micros());
        let same = Self {
            at: self.at,
            ..*other
        };
        *self == same && (0..FRESH_MICROS).contains(&age)
    }
}

/// The client's text and what was sent for it: what it takes to map a POSITION back.
#[derive(Debug)]
pub(super) struct Place {
    /// The text as the client wrote it.
    pub(super) client: Arc<str>,
    /// The statements sent for it, in order.
    pub(super) sent: Vec<Cleared>,
}

/// What was decided, and when.
#[derive(Debug)]
pub(super) struct Judgement {
    /// What it rests on.
    pub(super) stamp: Stamp,
    /// What is known about each text, for the audit log.
    pub(super) judged: Vec<Judged>,
    /// The proof for each text.
    pub(super) cleared: Vec<Cleared>,
    /// What deciding took, in microseconds.
    pub(super) decide_us: u64,
}

/// A statement with its last decision.
#[derive(Debug)]
pub(super) struct Held {
    /// Every canonical text the name may stand for: one, but for names that SQL has prepared.
    pub(super) texts: Vec<Arc<str>>,
    /// Where it came from.
    pub(super) place: Arc<Place>,
    /// Whether the database's errors about it may be shown as they are.
    pub(super) open: bool,
    /// Which names of SQL the texts may use.
    pub(super) needs: Needs,
    last: Mutex<Option<Arc<Judgement>>>,
}

impl Held {
    /// A statement that was just cleared.
    pub(super) fn new(client: Arc<str>, judgement: Judgement) -> Self {
        let cleared = &judgement.cleared;
        let texts: Vec<Arc<str>> = cleared.iter().map(Cleared::shared_text).collect();
        Self {
            needs: Needs::of_all(&texts),
            texts,
            open: cleared.iter().all(Cleared::is_open),
            place: Arc::new(Place {
                client,
                sent: cleared.clone(),
            }),
            last: Mutex::new(Some(Arc::new(judgement))),
        }
    }

    /// A name of SQL, with every text that it may stand for; nothing is decided about it yet.
    pub(super) fn undecided(texts: &[Arc<str>]) -> Self {
        Self {
            texts: texts.to_vec(),
            place: Arc::new(Place {
                client: Arc::from(""),
                sent: Vec::new(),
            }),
            open: false,
            needs: Needs::of_all(texts),
            last: Mutex::new(None),
        }
    }

    /// The last decision, if it still holds.
    pub(super) fn decided(&self, now: &Stamp) -> Option<Arc<Judgement>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .filter(|judgement| judgement.stamp.holds_at(now))
            .map(Arc::clone)
    }

    /// Keeps a decision.
    pub(super) fn decide(&self, judgement: Judgement) -> Arc<Judgement> {
        let judgement = Arc::new(judgement);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::clone(&judgement));
        judgement
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.texts.iter().map(|text| text.len());
        // The canonical text is kept once more without literals.
        texts
            .map(|bytes| bytes.saturating_mul(2))
            .fold(self.place.client.len(), usize::saturating_add)
    }
}

/// Which names of SQL a text may use. A keyword cannot be written in another way, so a text that
/// does not hold the word does not use the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Prepared statements (EXECUTE).
    pub(super) statements: bool,
    /// Cursors (FETCH, MOVE).
    pub(super) cursors: bool,
}

impl Needs {
    /// What the text may use.
    pub(super) fn of(text: &str) -> Self {
        Self {
            statements: holds_word(text, b"execute"),
            cursors: holds_word(text, b"fetch") || holds_word(text, b"move"),
        }
    }

    /// What any of the texts may use.
    fn of_all(texts: &[Arc<str>]) -> Self {
        let all = texts.iter().map(|text| Self::of(text));
        all.fold(Self::default(), |one, other| Self {
            statements: one.statements || other.statements,
            cursors: one.cursors || other.cursors,
        })
    }

    /// Whether it may use any.
    pub(super) fn any(self) -> bool {
        self.statements || self.cursors
    }
}

/// Whether the word stands anywhere in the text, in whatever case. `word` is in lower case.
fn holds_word(text: &str, word: &[u8]) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        rules: 1,
        snapshot: 2,
        meaning: 3,
        names: 4,
        at: Timestamp::from_micros(10_000_000),
    };

    #[test]
    fn a_decision_holds_while_nothing_changes() {
        let at = |micros| Stamp {
            at: Timestamp::from_micros(micros),
            ..STAMP
        };
        assert!(STAMP.holds_at(&STAMP));
        assert!(STAMP.holds_at(&at(10_999_999)));
        assert!(!STAMP.holds_at(&at(11_000_000)), "too old");
        assert!(!STAMP.holds_at(&at(9_999_999)), "the clock stepped back");
        for other in [
            Stamp { rules: 2, ..STAMP },
            Stamp {
                snapshot: 3,
                ..STAMP
            },
            Stamp {
                meaning: 4,
                ..STAMP
            },
            Stamp { names: 5, ..STAMP },
        ] {
            assert!(!STAMP.holds_at(&other), "{other:?}");
        }
    }

    #[test]
    fn finds_what_a_text_may_use() {
        let cases = [
            ("SELECT 1", false, false),
            ("", false, false),
            ("EXECUTE p", true, false),
            ("explain ExEcUtE p", true, false),
            ("FETCH 1 FROM c", false, true),
            ("move c", false, true),
            ("SELECT 'fetch, execute'", true, true),
        ];
        for (text, statements, cursors) in cases {
            let needs = Needs {
                statements,
                cursors,
            };
            assert_eq!(Needs::of(text), needs, "{text}");
        }
    }

    #[test]
    fn an_undecided_name_is_never_taken_for_decided() {
        let held = Held::undecided(&[Arc::from("SELECT 1")]);
        assert!(held.decided(&STAMP).is_none());
        let judgement = Judgement {
            stamp: STAMP,
            judged: Vec::new(),
            cleared: Vec::new(),
            decide_us: 0,
        };
        held.decide(judgement);
        assert!(held.decided(&STAMP).is_some());
        let other = Stamp { rules: 9, ..STAMP };
        assert!(held.decided(&other).is_none());
    }
}
