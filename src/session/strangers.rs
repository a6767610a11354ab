//! Refused logins of peers that have proved no identity. They are recorded one by one up to a number in
//! each minute; beyond it they are counted, and the next record says how many there were. Otherwise
//! whoever reaches the port could fill the audit log, and a full log stops everybody.

use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;

/// How many refused logins have been recorded in this minute, and how many were not.
#[derive(Debug, Default)]
pub struct Strangers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    minute: i64,
    recorded: usize,
    left_out: u64,
}

impl Strangers {
    /// Whether one more is to be recorded, and how many before it were left out.
    pub(super) fn admit(&self, now: Timestamp, per_minute: usize) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.seconds().div_euclid(60);
        if state.minute != minute {
            state.minute = minute;
            state.recorded = 0;
        }
        if state.recorded >= per_minute {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.recorded = state.recorded.saturating_add(1);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let strangers = Strangers::default();
        let at = Timestamp::from_seconds;
        assert_eq!(strangers.admit(at(60), 2), Some(0));
        assert_eq!(strangers.admit(at(61), 2), Some(0));
        assert_eq!(strangers.admit(at(62), 2), None);
        assert_eq!(strangers.admit(at(119), 2), None);
        assert_eq!(strangers.admit(at(120), 2), Some(2));
        assert_eq!(strangers.admit(at(121), 2), Some(0));
    }
}
