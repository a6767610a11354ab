//! What the session has set, kept in step with the database's transactions. [`Settings`] knows what
//! each statement does once it has succeeded; what this file adds is what becomes of it when the
//! transaction around it ends: blocks, the implicit transaction of a message or series, savepoints.
//! No I/O.
//!
//! Source: Postgres manual, "Transactions" (SET, SAVEPOINT) and "Message Flow" (multiple statements
//! in a simple query, pipelining).

use std::collections::HashMap;
use std::sync::Arc;

use crate::gate::Judged;
use crate::refusal::Refusal;
use crate::sql::{Effect, Settings};

/// What stands in the canonical text of a cursor that outlives its transaction.
const WITH_HOLD: &str = " WITH HOLD ";

/// The session's settings and the transaction they are in.
#[derive(Debug)]
pub(super) struct Tracked {
    settings: Settings,
    /// Whether a transaction block is open.
    block: bool,
    /// The series whose implicit transaction has changed the path, while it has not ended.
    implicit: Option<u64>,
    /// Whether the open transaction has changed the path.
    touched: bool,
    /// Counts up whenever names may mean something else than before.
    meaning: u64,
    /// Cursors and named portals, and whether they outlive their transaction.
    cursors: HashMap<String, bool>,
}

impl Tracked {
    /// Starts with what the startup parameters have set.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            block: false,
            implicit: None,
            touched: false,
            meaning: 0,
            cursors: HashMap::new(),
        }
    }

    /// The settings in force, as far as everything sent has been answered.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts up whenever names may mean something else than before.
    pub(super) fn meaning(&self) -> u64 {
        self.meaning
    }

    /// Whether the end of the open transaction may change the path.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// The series whose implicit transaction has changed the path and may still undo it.
    pub(super) fn implicit(&self) -> Option<u64> {
        self.implicit
    }

    /// A statement has succeeded that was sent in that series. `text` is its canonical text, `tag`
    /// what CommandComplete said.
    pub(super) fn completed(&mut self, effect: &Effect, text: &str, tag: &str, series: u64) {
        match effect {
            Effect::None => {}
            Effect::Savepoint(_) | Effect::Release(_) | Effect::RollbackTo(_) => {
                self.settings.apply(effect);
                self.meaning = self.meaning.wrapping_add(1);
            }
            Effect::Begin => self.begin(),
            // COMMIT of a failed transaction is answered with ROLLBACK, and is one.
            Effect::Commit { chain } => self.end(tag == "ROLLBACK", *chain),
            Effect::Rollback { chain } => self.end(true, *chain),
            Effect::SearchPath { .. } => self.set_path(effect, series),
            Effect::ResetAll => self.set_path(effect, series),
            Effect::DiscardAll => {
                self.settings.apply(effect);
                self.cursors.clear();
                self.meaning = self.meaning.wrapping_add(1);
            }
            Effect::Prepare { .. } | Effect::Deallocate(_) => self.settings.apply(effect),
            Effect::Declare { name, .. } => {
                self.cursors.insert(name.clone(), text.contains(WITH_HOLD));
                self.settings.apply(effect);
            }
            Effect::CloseCursor(name) => {
                match name {
                    Some(name) => drop(self.cursors.remove(name)),
                    None => self.cursors.clear(),
                }
                self.settings.apply(effect);
            }
        }
    }

    /// The database is ready: `status` is the transaction's (`I`, `T`, `E`), `failed` whether there
    /// was an error since it was ready before.
    pub(super) fn ready(&mut self, status: u8, failed: bool) {
        if status != b'I' {
            self.begin();
            return;
        }
        if self.block || self.implicit.is_some() {
            self.end(failed, false);
        }
        self.block = false;
        self.drop_cursors();
    }

    /// A statement was prepared in the protocol under a name: SQL sees it too.
    pub(super) fn prepared(&mut self, name: &str, text: &Arc<str>) {
        if name.is_empty() {
            return;
        }
        // The database had no statement of that name, or it would not have taken this one.
        self.deallocated(name);
        self.settings.apply(&Effect::Prepare {
            name: name.to_owned(),
            text: Arc::clone(text),
        });
    }

    /// A prepared statement was closed in the protocol.
    pub(super) fn deallocated(&mut self, name: &str) {
        if self.settings.statement(name).is_some() {
            let effect = Effect::Deallocate(Some(name.to_owned()));
            self.settings.apply(&effect);
        }
    }

    /// A portal was made in the protocol under a name: FETCH and CLOSE see it too.
    pub(super) fn opened(&mut self, name: &str, texts: &[Arc<str>]) {
        if name.is_empty() {
            return;
        }
        self.cursors.entry(name.to_owned()).or_insert(false);
        for text in texts {
            self.settings.apply(&Effect::Declare {
                name: name.to_owned(),
                text: Arc::clone(text),
            });
        }
    }

    /// A portal or cursor was closed in the protocol.
    pub(super) fn closed(&mut self, name: &str) {
        if self.cursors.remove(name).is_some() {
            let effect = Effect::CloseCursor(Some(name.to_owned()));
            self.settings.apply(&effect);
        }
    }

    /// What speaks against running these statements, which one text holds and each of which was
    /// permitted by itself.
    pub(super) fn objection(&self, judged: &[Judged], effects: &[&Effect]) -> Option<Refusal> {
        if effects.len() > 1 && effects.iter().any(|effect| sets_path(effect)) {
            let controls = judged
                .iter()
                .any(|one| controls_transactions(one.access.command));
            let local = effects.iter().any(|effect| is_local(effect));
            if controls || local {
                return Some(not_together());
            }
        }
        None
    }

    /// A block begins; within one, BEGIN does nothing. What the implicit transaction did so far
    /// becomes part of the block.
    fn begin(&mut self) {
        if !self.block && self.implicit.is_none() {
            self.settings.apply(&Effect::Begin);
        }
        self.block = true;
        self.implicit = None;
    }

    fn set_path(&mut self, effect: &Effect, series: u64) {
        if !self.block && self.implicit.is_none() {
            // Outside a block, the message or series is a transaction of its own.
            self.settings.apply(&Effect::Begin);
            self.implicit = Some(series);
        }
        self.settings.apply(effect);
        self.touched = true;
        self.meaning = self.meaning.wrapping_add(1);
    }

    fn end(&mut self, undone: bool, chain: bool) {
        let effect = if undone {
            Effect::Rollback { chain }
        } else {
            Effect::Commit { chain }
        };
        self.settings.apply(&effect);
        if self.touched {
            self.meaning = self.meaning.wrapping_add(1);
        }
        self.block = chain;
        self.implicit = None;
        self.touched = false;
    }

    /// Outside a transaction only cursors WITH HOLD are left.
    fn drop_cursors(&mut self) {
        let settings = &mut self.settings;
        self.cursors.retain(|name, held| {
            if !*held {
                settings.apply(&Effect::CloseCursor(Some(name.clone())));
            }
            *held
        });
    }
}

/// Whether a statement of that effect leaves another path than it found.
pub(super) fn sets_path(effect: &Effect) -> bool {
    match effect {
        Effect::SearchPath { .. } | Effect::ResetAll | Effect::DiscardAll => true,
        Effect::None
        | Effect::Savepoint(_)
        | Effect::Release(_)
        | Effect::RollbackTo(_)
        | Effect::Begin
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Prepare { .. }
        | Effect::Deallocate(_)
        | Effect::Declare { .. }
        | Effect::CloseCursor(_) => false,
    }
}

fn is_local(effect: &Effect) -> bool {
    matches!(effect, Effect::SearchPath { local: true, .. })
}

/// Whether it is a command that begins, ends or divides transactions.
pub(super) fn controls_transactions(command: &str) -> bool {
    matches!(
        command,
        "BEGIN" | "START TRANSACTION" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE"
    )
}

fn not_together() -> Refusal {
    Refusal::unsupported(
        "search_path cannot be set together with transaction commands in one message",
    )
    .with_hint("send SET search_path as a statement of its own")
}
