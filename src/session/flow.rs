//! What both directions of a session share: the messages that are on their way, the names they give
//! meanings to, the session's settings. The client's side says what it sends, the database's side
//! what is answered; each answer belongs to the first message that is not answered yet. An answer
//! that does not fit ends the session: whatever came after it would be taken for something it is
//! not. No I/O happens here.
//!
//! Source: Postgres manual, "Message Flow": an error in the extended protocol makes the server skip
//! to the next Sync; an error in a Query ends that Query alone.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audit::OutcomeResult;
use crate::sql::Settings;
use crate::wire::Target;

use super::held::{Held, Needs, Place};
use super::names::{Found, Names};
use super::pending::{Entry, Outcome, Turned};
use super::settings::Tracked;

/// Messages that may be on their way at the same time; a client that sends more has to wait.
const ENTRIES_MAX: usize = 1_000;
/// What those messages may hold, in bytes, before the client has to wait.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The database answered something that was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// What an ErrorResponse of the database means to the client.
#[derive(Debug)]
pub(super) enum Shown {
    /// It stands for a refusal: that is what the client is told.
    Refusal(Box<Turned>),
    /// It is the database's own.
    Error {
        /// Whether it may be shown as it is.
        open: bool,
        /// What its POSITION is about.
        place: Option<Arc<Place>>,
    },
}

/// The state of a session's two directions.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) entries: VecDeque<Entry>,
    /// What the entries hold, in bytes.
    bytes: usize,
    /// Whether the database skips everything up to the next Sync, which has not been sent yet.
    pub(super) skipping: bool,
    /// Whether there was an error since the database was ready.
    pub(super) failed: bool,
    /// Whether the client is to send COPY data.
    pub(super) copying: bool,
    /// The number of the series that is being sent; a series ends with Sync or Query.
    series: u64,
    /// Whether messages of the extended protocol were sent since the last Sync or Query.
    inside: bool,
    /// The transaction status of the last ReadyForQuery.
    pub(super) status: u8,
    pub(super) statements: Names<Arc<Held>>,
    pub(super) portals: Names<Arc<Held>>,
    pub(super) tracked: Tracked,
}

impl Flow {
    /// A session that is idle.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            skipping: false,
            failed: false,
            copying: false,
            series: 0,
            inside: false,
            status: b'I',
            statements: Names::default(),
            portals: Names::default(),
            tracked: Tracked::new(settings),
        }
    }

    /// The settings, as far as everything sent has been answered.
    pub(super) fn tracked(&self) -> &Tracked {
        &self.tracked
    }

    /// What a statement's name can mean to the next message.
    pub(super) fn statement(&self, name: &str) -> Found<Arc<Held>> {
        self.statements.find(name, self.series)
    }

    /// What a portal's name can mean to the next message.
    pub(super) fn portal(&self, name: &str) -> Found<Arc<Held>> {
        self.portals.find(name, self.series)
    }

    /// How many statements are held, and how many bytes they take.
    pub(super) fn statements_held(&self) -> (usize, usize) {
        let bytes = self.statements.total(|held| held.bytes());
        (self.statements.len(), bytes)
    }

    /// How many portals are held.
    pub(super) fn portals_held(&self) -> usize {
        self.portals.len()
    }

    /// The number of the series that is being sent.
    pub(super) fn series(&self) -> u64 {
        self.series
    }

    /// Whether the client is to send COPY data.
    pub(super) fn is_copying(&self) -> bool {
        self.copying
    }

    /// Whether the database skips everything up to the next Sync.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether a series of extended-protocol messages has begun and not ended.
    pub(super) fn is_inside_series(&self) -> bool {
        self.inside
    }

    /// Whether everything that was sent has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nothing is going on: no message, no series, no transaction.
    pub(super) fn is_idle(&self) -> bool {
        self.is_answered() && !self.inside && !self.copying && self.status == b'I'
    }

    /// Whether one more message may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < ENTRIES_MAX && self.bytes < BYTES_MAX
    }

    /// Whether it is known if the client's next message is COPY data. A message that may ask for
    /// such data is always the last one on its way.
    pub(super) fn knows_copying(&self) -> bool {
        let may_copy_in = match self.entries.back() {
            Some(Entry::Query(batch) | Entry::Execute(batch)) => batch.may_copy_in(),
            Some(
                Entry::Parse(..)
                | Entry::Bind(..)
                | Entry::DescribeStatement
                | Entry::DescribePortal
                | Entry::Close(_)
                | Entry::Sync
                | Entry::Refused(_),
            )
            | None => false,
        };
        self.copying || !may_copy_in
    }

    /// Whether nothing on its way can change what the next message's text means. `needs` are the
    /// names of SQL it may use.
    pub(super) fn is_settled(&self, needs: Needs) -> bool {
        let of_earlier_series = |series| series != self.series;
        if self.tracked.implicit().is_some_and(of_earlier_series) {
            return false;
        }
        let touched = self.tracked.is_touched();
        !self.entries.iter().any(|entry| {
            entry.moves_path(touched)
                // A cursor's query may be a prepared statement's, so that both kinds of names count.
                || (needs.any() && (entry.prepares(true) || entry.declares(true)))
        })
    }

    /// Whether no SQL on its way can give the statement's name another meaning.
    pub(super) fn knows_statement(&self, name: &str) -> bool {
        let sql = || self.entries.iter().any(|entry| entry.prepares(false));
        !matches!(self.statement(name), Found::Unsure) && (name.is_empty() || !sql())
    }

    /// Whether no SQL on its way can give the portal's name another meaning.
    pub(super) fn knows_portal(&self, name: &str) -> bool {
        let sql = || self.entries.iter().any(|entry| entry.declares(false));
        !matches!(self.portal(name), Found::Unsure) && (name.is_empty() || !sql())
    }

    /// A message is about to be sent. `Err` where the database would skip it, with what becomes of
    /// its statements: it must not be sent then.
    pub(super) fn send(&mut self, entry: Entry) -> Result<(), Vec<Outcome>> {
        let is_sync = matches!(entry, Entry::Sync);
        if self.skipping && !is_sync {
            let mut outcomes = Vec::new();
            give_up(entry, OutcomeResult::NotExecuted, &mut outcomes);
            return Err(outcomes);
        }
        match &entry {
            Entry::Parse(name, held) => {
                let held = Some(Arc::clone(held));
                self.statements.sent(name, self.series, held);
            }
            Entry::Bind(portal, held) => {
                let held = Some(Arc::clone(held));
                self.portals.sent(portal, self.series, held);
            }
            Entry::Close(Target::Statement(name)) => self.statements.sent(name, self.series, None),
            Entry::Close(Target::Portal(name)) => self.portals.sent(name, self.series, None),
            Entry::Query(_)
            | Entry::DescribeStatement
            | Entry::DescribePortal
            | Entry::Execute(_)
            | Entry::Sync
            | Entry::Refused(_) => {}
        }
        self.skipping = false;
        self.inside = !is_sync && !matches!(entry, Entry::Query(_));
        if !self.inside {
            self.series = self.series.wrapping_add(1);
        }
        self.bytes = self.bytes.saturating_add(entry.bytes());
        self.entries.push_back(entry);
        Ok(())
    }

    /// The client has ended its COPY data.
    pub(super) fn copy_ended(&mut self) {
        self.copying = false;
    }

    /// Whether the database's notices may be shown as they are at this moment.
    pub(super) fn is_open(&self) -> bool {
        self.entries.front().is_some_and(Entry::is_open)
    }

    /// Takes the first message that is not answered.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        Some(entry)
    }

    /// Takes the first message that is not answered, where it is one that fits.
    pub(super) fn take_front(&mut self, fits: impl Fn(&Entry) -> bool) -> Result<Entry, OutOfStep> {
        if self.entries.front().is_some_and(fits) {
            return self.pop().ok_or(OutOfStep);
        }
        Err(OutOfStep)
    }
}

/// What becomes of the statements of a message that is not answered.
pub(super) fn give_up(entry: Entry, result: OutcomeResult, outcomes: &mut Vec<Outcome>) {
    if let Entry::Query(mut batch) | Entry::Execute(mut batch) = entry {
        outcomes.extend(batch.give_up(result, None, result));
    }
}
