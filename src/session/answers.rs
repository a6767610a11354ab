//! What the database answers, message by message. Each answer belongs to the first message that is
//! on its way; one that does not fit is [`OutOfStep`]. The series that fails is skipped to its Sync,
//! as the server skips it. No I/O happens here.
//!
//! Source: Postgres manual, "Message Flow".

use std::sync::Arc;

use crate::audit::OutcomeResult;
use crate::sql::Effect;
use crate::wire::Target;

use super::flow::{Flow, OutOfStep, Shown, give_up};
use super::pending::{Batch, Entry, Outcome};

impl Flow {
    /// ParseComplete.
    pub(super) fn parse_complete(&mut self) -> Result<(), OutOfStep> {
        let is_parse = |entry: &Entry| matches!(entry, Entry::Parse(..));
        if let Entry::Parse(name, held) = self.take_front(is_parse)? {
            self.statements.came_true(&name);
            if let Some(text) = held.texts.first() {
                self.tracked.prepared(&name, text);
            }
        }
        Ok(())
    }

    /// BindComplete.
    pub(super) fn bind_complete(&mut self) -> Result<(), OutOfStep> {
        let is_bind = |entry: &Entry| matches!(entry, Entry::Bind(..));
        if let Entry::Bind(portal, held) = self.take_front(is_bind)? {
            self.portals.came_true(&portal);
            self.tracked.opened(&portal, &held.texts);
        }
        Ok(())
    }

    /// CloseComplete.
    pub(super) fn close_complete(&mut self) -> Result<(), OutOfStep> {
        let is_close = |entry: &Entry| matches!(entry, Entry::Close(_));
        let Entry::Close(target) = self.take_front(is_close)? else {
            return Err(OutOfStep);
        };
        match target {
            Target::Statement(name) => {
                self.statements.came_true(&name);
                self.tracked.deallocated(&name);
            }
            Target::Portal(name) => {
                self.portals.came_true(&name);
                self.tracked.closed(&name);
            }
        }
        Ok(())
    }

    /// ParameterDescription: the first half of what Describe of a statement is answered with.
    pub(super) fn parameter_description(&self) -> Result<(), OutOfStep> {
        match self.entries.front() {
            Some(Entry::DescribeStatement) => Ok(()),
            _ => Err(OutOfStep),
        }
    }

    /// RowDescription: the answer to a Describe, or the head of a result of a Query.
    pub(super) fn row_description(&mut self) -> Result<(), OutOfStep> {
        match self.entries.front() {
            Some(Entry::Query(_)) => Ok(()),
            _ => self.no_data(),
        }
    }

    /// NoData: the answer to a Describe.
    pub(super) fn no_data(&mut self) -> Result<(), OutOfStep> {
        let described =
            |entry: &Entry| matches!(entry, Entry::DescribeStatement | Entry::DescribePortal);
        self.take_front(described).map(|_| ())
    }

    /// A row, or COPY data from the database.
    pub(super) fn data(&self) -> Result<(), OutOfStep> {
        match self.entries.front() {
            Some(Entry::Query(batch) | Entry::Execute(batch)) if !batch.unanswered().is_empty() => {
                Ok(())
            }
            _ => Err(OutOfStep),
        }
    }

    /// CopyInResponse or CopyOutResponse; `client` says who is to send the data.
    pub(super) fn copy_begins(&mut self, client: bool) -> Result<(), OutOfStep> {
        let Some(Entry::Query(batch) | Entry::Execute(batch)) = self.entries.front_mut() else {
            return Err(OutOfStep);
        };
        let Some(statement) = batch.unanswered().first() else {
            return Err(OutOfStep);
        };
        if client && !statement.may_copy_in {
            return Err(OutOfStep);
        }
        batch.copying = true;
        self.copying = client;
        Ok(())
    }

    /// CommandComplete or EmptyQueryResponse, with its tag.
    pub(super) fn command_complete(&mut self, tag: &str) -> Result<Vec<Outcome>, OutOfStep> {
        self.copying = false;
        match self.entries.front_mut() {
            Some(Entry::Query(batch)) => {
                let Some(statement) = batch.statements.get(batch.done) else {
                    return Err(OutOfStep);
                };
                let outcome = finished(&statement.decision, batch, OutcomeResult::Complete);
                let effect = statement.effect.clone();
                let text = Arc::clone(&statement.text);
                let series = batch.series;
                batch.done = batch.done.saturating_add(1);
                batch.copying = false;
                self.apply(&effect, &text, tag, series);
                Ok(vec![outcome])
            }
            Some(Entry::Execute(_)) => {
                let Some(Entry::Execute(batch)) = self.pop() else {
                    return Err(OutOfStep);
                };
                let mut outcomes = Vec::with_capacity(batch.statements.len());
                for statement in &batch.statements {
                    outcomes.push(finished(
                        &statement.decision,
                        &batch,
                        OutcomeResult::Complete,
                    ));
                    let text = &statement.text;
                    self.apply(&statement.effect, text, tag, batch.series);
                }
                Ok(outcomes)
            }
            _ => Err(OutOfStep),
        }
    }

    /// PortalSuspended.
    pub(super) fn suspended(&mut self) -> Result<Vec<Outcome>, OutOfStep> {
        let is_execute = |entry: &Entry| matches!(entry, Entry::Execute(_));
        let Entry::Execute(batch) = self.take_front(is_execute)? else {
            return Err(OutOfStep);
        };
        let statements = batch.statements.iter();
        Ok(statements
            .map(|one| finished(&one.decision, &batch, OutcomeResult::Suspended))
            .collect())
    }

    /// An ErrorResponse that does not end the session.
    pub(super) fn error(&mut self, code: &str) -> (Shown, Vec<Outcome>) {
        self.failed = true;
        self.copying = false;
        let mut outcomes = Vec::new();
        let shown = match self.entries.front_mut() {
            // The transaction could not be ended, or nothing was asked. What it is about is not
            // known.
            None | Some(Entry::Sync) => Shown::Error {
                open: false,
                place: None,
            },
            Some(Entry::Query(batch)) => {
                let shown = Shown::Error {
                    open: batch.is_open(),
                    place: Some(Arc::clone(&batch.place)),
                };
                let result = result_of(code);
                outcomes = batch.give_up(result, Some(code), OutcomeResult::NotExecuted);
                shown
            }
            Some(_) => {
                let shown = self.fail_front(code, &mut outcomes);
                self.skip(&mut outcomes);
                shown
            }
        };
        (shown, outcomes)
    }

    /// ReadyForQuery.
    pub(super) fn ready(&mut self, status: u8) -> Result<Vec<Outcome>, OutOfStep> {
        let is_end = |entry: &Entry| matches!(entry, Entry::Sync | Entry::Query(_));
        let mut outcomes = Vec::new();
        if let Entry::Query(mut batch) = self.take_front(is_end)? {
            let result = OutcomeResult::NotExecuted;
            outcomes = batch.give_up(result, None, result);
            // A Query drops the unnamed statement and portal, whatever becomes of it.
            self.statements.forget("");
            self.portals.forget("");
        }
        self.copying = false;
        self.tracked.ready(status, self.failed);
        self.failed = false;
        self.status = status;
        if status == b'I' {
            // No portal of the protocol outlives its transaction.
            self.portals.forget_all();
        }
        Ok(outcomes)
    }

    /// The session ends: what becomes of everything that is on its way.
    pub(super) fn lost(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(entry) = self.pop() {
            give_up(entry, OutcomeResult::Lost, &mut outcomes);
        }
        outcomes
    }

    /// The first message has failed: it, and what it would have made, is gone.
    fn fail_front(&mut self, code: &str, outcomes: &mut Vec<Outcome>) -> Shown {
        let Some(entry) = self.pop() else {
            return Shown::Error {
                open: false,
                place: None,
            };
        };
        self.undo(&entry);
        if let Entry::Parse(name, _) = &entry
            && name.is_empty()
        {
            // The server drops the unnamed statement before it looks at the new one.
            self.statements.forget("");
        }
        let shown = Shown::Error {
            open: entry.is_open(),
            place: entry.place(),
        };
        if let Entry::Refused(turned) = entry {
            return Shown::Refusal(turned);
        }
        if let Entry::Execute(mut batch) = entry {
            // All its texts stand for one statement: they fail together.
            let result = result_of(code);
            outcomes.extend(batch.give_up(result, Some(code), result));
        }
        shown
    }

    /// Everything up to the next Sync is skipped by the database.
    fn skip(&mut self, outcomes: &mut Vec<Outcome>) {
        while let Some(front) = self.entries.front() {
            if matches!(front, Entry::Sync) {
                return;
            }
            if let Some(entry) = self.pop() {
                self.undo(&entry);
                give_up(entry, OutcomeResult::NotExecuted, outcomes);
            }
        }
        self.skipping = true;
    }

    /// What the message would have made of a name does not come true.
    fn undo(&mut self, entry: &Entry) {
        match entry {
            Entry::Parse(name, _) | Entry::Close(Target::Statement(name)) => {
                self.statements.failed(name);
            }
            Entry::Bind(name, _) | Entry::Close(Target::Portal(name)) => self.portals.failed(name),
            Entry::Query(_)
            | Entry::DescribeStatement
            | Entry::DescribePortal
            | Entry::Execute(_)
            | Entry::Sync
            | Entry::Refused(_) => {}
        }
    }

    /// A statement has succeeded.
    fn apply(&mut self, effect: &Effect, text: &str, tag: &str, series: u64) {
        self.tracked.completed(effect, text, tag, series);
        match effect {
            Effect::Prepare { name, .. } | Effect::Deallocate(Some(name)) => {
                self.statements.forget(name);
            }
            Effect::Deallocate(None) => self.statements.forget_named(),
            Effect::Declare { name, .. } | Effect::CloseCursor(Some(name)) => {
                self.portals.forget(name);
            }
            Effect::CloseCursor(None) => self.portals.forget_all(),
            Effect::DiscardAll => {
                self.statements.forget_named();
                self.portals.forget_all();
            }
            Effect::None
            | Effect::Savepoint(_)
            | Effect::Release(_)
            | Effect::RollbackTo(_)
            | Effect::Begin
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::SearchPath { .. }
            | Effect::ResetAll => {}
        }
    }
}

fn finished(decision: &str, batch: &Batch, result: OutcomeResult) -> Outcome {
    Outcome {
        decision: decision.to_owned(),
        result,
        code: None,
        since: batch.since,
        counted: true,
    }
}

fn result_of(code: &str) -> OutcomeResult {
    if code == "57014" {
        OutcomeResult::Cancelled
    } else {
        OutcomeResult::Error
    }
}
