//! Names on the far side of a pipeline: prepared statements and portals, as they are known to be
//! and as messages on their way will change them. Nothing here talks to the database; it only says
//! what a name can mean at the moment when a message about it is read there.
//!
//! Between two ends of a series (Sync or Query) everything goes well or nothing more is read: within
//! the series that is being sent, the last change of a name is what it means. Across the ends of
//! earlier series that are not answered yet, each change may or may not have come true.

use std::collections::{HashMap, VecDeque};

/// What a name can mean when the next message is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// Nothing of that name can be there.
    Nothing,
    /// If anything is there, it is this.
    One(T),
    /// It may be one of several things, until what was sent is answered.
    Unsure,
}

/// One name.
#[derive(Debug)]
struct Slot<T> {
    /// What the database has said.
    now: Option<T>,
    /// Changes that were sent, oldest first: the series they belong to, and what the name means
    /// once they came true (`None`: closed).
    ahead: VecDeque<(u64, Option<T>)>,
}

/// All names of one kind.
#[derive(Debug)]
pub(super) struct Names<T> {
    slots: HashMap<String, Slot<T>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
        }
    }
}

impl<T: Clone> Names<T> {
    /// What `name` can mean to a message of the series number `series`.
    pub(super) fn find(&self, name: &str, series: u64) -> Found<T> {
        let Some(slot) = self.slots.get(name) else {
            return Found::Nothing;
        };
        if let Some((of, value)) = slot.ahead.back()
            && *of == series
        {
            return value.clone().map_or(Found::Nothing, Found::One);
        }
        let ahead = slot.ahead.iter().filter_map(|(_, value)| value.as_ref());
        let mut possible = slot.now.iter().chain(ahead);
        match (possible.next(), possible.next()) {
            (None, _) => Found::Nothing,
            (Some(one), None) => Found::One(one.clone()),
            (Some(_), Some(_)) => Found::Unsure,
        }
    }

    /// A message of that series was sent that gives the name a meaning, or closes it.
    pub(super) fn sent(&mut self, name: &str, series: u64, value: Option<T>) {
        self.slots
            .entry(name.to_owned())
            .or_insert_with(|| Slot {
                now: None,
                ahead: VecDeque::new(),
            })
            .ahead
            .push_back((series, value));
    }

    /// The oldest change of the name that was sent has come true.
    pub(super) fn came_true(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name)
            && let Some((_, value)) = slot.ahead.pop_front()
        {
            slot.now = value;
        }
        self.tidy(name);
    }

    /// The oldest change of the name that was sent will not happen.
    pub(super) fn failed(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.ahead.pop_front();
        }
        self.tidy(name);
    }

    /// What the name meant so far is gone; changes on their way stay.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.now = None;
        }
        self.tidy(name);
    }

    /// As [`Names::forget`], for all names.
    pub(super) fn forget_all(&mut self) {
        self.slots.retain(|_, slot| {
            slot.now = None;
            !slot.ahead.is_empty()
        });
    }

    /// As [`Names::forget`], for all names but the empty one.
    pub(super) fn forget_named(&mut self) {
        self.slots.retain(|name, slot| {
            if !name.is_empty() {
                slot.now = None;
            }
            slot.now.is_some() || !slot.ahead.is_empty()
        });
    }

    /// How many names there are, or may come to be.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The sum of a measure over everything a name means or may come to mean.
    pub(super) fn total(&self, measure: impl Fn(&T) -> usize) -> usize {
        self.slots
            .values()
            .flat_map(|slot| {
                let ahead = slot.ahead.iter().filter_map(|(_, value)| value.as_ref());
                slot.now.iter().chain(ahead)
            })
            .map(measure)
            .fold(0, usize::saturating_add)
    }

    fn tidy(&mut self, name: &str) {
        let is_empty = |slot: &Slot<T>| slot.now.is_none() && slot.ahead.is_empty();
        if self.slots.get(name).is_some_and(is_empty) {
            self.slots.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_being_sent_is_certain_of_itself() {
        let mut names = Names::default();
        assert_eq!(names.find("s", 1), Found::Nothing);
        names.sent("s", 1, Some('a'));
        assert_eq!(names.find("s", 1), Found::One('a'));
        names.sent("s", 1, None);
        assert_eq!(names.find("s", 1), Found::Nothing);
        names.sent("s", 1, Some('b'));
        assert_eq!(names.find("s", 1), Found::One('b'));
    }

    #[test]
    fn earlier_series_may_have_failed() {
        let mut names = Names::default();
        names.sent("s", 1, Some('a'));
        // The only thing it can be, if it is anything.
        assert_eq!(names.find("s", 2), Found::One('a'));
        names.sent("s", 2, Some('b'));
        assert_eq!(names.find("s", 2), Found::One('b'));
        assert_eq!(names.find("s", 3), Found::Unsure);
        names.came_true("s");
        assert_eq!(names.find("s", 3), Found::Unsure);
        names.failed("s");
        assert_eq!(names.find("s", 3), Found::One('a'));
    }

    #[test]
    fn a_close_that_may_fail_leaves_what_was_there_possible() {
        let mut names = Names::default();
        names.sent("s", 1, Some('a'));
        names.came_true("s");
        names.sent("s", 2, None);
        assert_eq!(names.find("s", 2), Found::Nothing);
        assert_eq!(names.find("s", 3), Found::One('a'));
        names.sent("s", 3, Some('b'));
        assert_eq!(names.find("s", 4), Found::Unsure);
        names.came_true("s");
        names.came_true("s");
        assert_eq!(names.find("s", 4), Found::One('b'));
    }

    #[test]
    fn forgetting_spares_what_is_on_its_way() {
        let mut names = Names::default();
        names.sent("", 1, Some('u'));
        names.came_true("");
        names.sent("s", 1, Some('a'));
        names.came_true("s");
        names.sent("t", 2, Some('b'));
        names.forget_named();
        assert_eq!(names.find("", 3), Found::One('u'));
        assert_eq!(names.find("s", 3), Found::Nothing);
        assert_eq!(names.find("t", 3), Found::One('b'));
        names.forget_all();
        assert_eq!(names.find("", 3), Found::Nothing);
        assert_eq!(names.find("t", 3), Found::One('b'));
        assert_eq!(names.len(), 1);
        assert_eq!(names.total(|_| 2), 2);
        names.failed("t");
        assert_eq!(names.len(), 0);
    }

    #[test]
    fn unknown_names_are_no_mistake() {
        let mut names: Names<char> = Names::default();
        names.came_true("s");
        names.failed("s");
        names.forget("s");
        assert_eq!(names.len(), 0);
    }
}
