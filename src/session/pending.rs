//! What was sent to the database and is not answered yet, message by message. Plain values: which
//! answer belongs to which message is worked out in [`super::flow`].

use std::sync::Arc;
use std::time::Instant;

use crate::audit::OutcomeResult;
use crate::refusal::Refusal;
use crate::sql::Effect;
use crate::wire::Target;

use super::held::{Held, Place};
use super::settings::{controls_transactions, sets_path};

/// What an entry takes besides the texts in it, in bytes, roughly.
const ENTRY_BYTES: usize = 256;

/// A statement that was permitted and sent.
#[derive(Debug)]
pub(super) struct Running {
    /// The decision's id.
    pub(super) decision: String,
    /// The command, in the words of Postgres's command tags.
    pub(super) command: &'static str,
    /// What it does to the session once it has succeeded.
    pub(super) effect: Effect,
    /// The canonical text.
    pub(super) text: Arc<str>,
    /// Whether the database's errors about it may be shown as they are.
    pub(super) open: bool,
    /// Whether it may ask the client for COPY data.
    pub(super) may_copy_in: bool,
}

/// The statements of one Query or Execute message.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) statements: Vec<Running>,
    /// How many of them have been answered.
    pub(super) done: usize,
    /// Whether the statement that runs now has begun to copy.
    pub(super) copying: bool,
    /// For the POSITION of errors.
    pub(super) place: Arc<Place>,
    /// The series the message belongs to.
    pub(super) series: u64,
    /// When it was sent.
    pub(super) since: Instant,
}

impl Batch {
    /// Statements that are about to be sent.
    pub(super) fn new(
        statements: Vec<Running>,
        place: Arc<Place>,
        series: u64,
        since: Instant,
    ) -> Self {
        Self {
            statements,
            done: 0,
            copying: false,
            place,
            series,
            since,
        }
    }

    /// The statements that are not answered yet.
    pub(super) fn unanswered(&self) -> &[Running] {
        self.statements.get(self.done..).unwrap_or_default()
    }

    /// Whether every statement is open.
    pub(super) fn is_open(&self) -> bool {
        self.statements.iter().all(|statement| statement.open)
    }

    /// Whether it may yet ask for COPY data, and has not begun to.
    pub(super) fn may_copy_in(&self) -> bool {
        let mut waiting = self.unanswered().iter();
        if self.copying {
            waiting.next();
        }
        waiting.any(|statement| statement.may_copy_in)
    }

    /// Outcomes for what is not answered: the statement that runs now, then the ones after it.
    pub(super) fn give_up(
        &mut self,
        running: OutcomeResult,
        code: Option<&str>,
        others: OutcomeResult,
    ) -> Vec<Outcome> {
        let outcome = |(index, statement): (usize, &Running)| Outcome {
            decision: statement.decision.clone(),
            result: if index == 0 { running } else { others },
            code: code.filter(|_| index == 0).map(str::to_owned),
            since: self.since,
            counted: index == 0,
        };
        let outcomes = self.unanswered().iter().enumerate().map(outcome).collect();
        self.done = self.statements.len();
        self.copying = false;
        outcomes
    }
}

/// What became of a statement, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The decision it belongs to.
    pub(super) decision: String,
    /// How it came out.
    pub(super) result: OutcomeResult,
    /// The SQLSTATE of an error.
    pub(super) code: Option<String>,
    /// When the statement was sent.
    pub(super) since: Instant,
    /// Whether the rows and bytes that came since the last outcome are its own.
    pub(super) counted: bool,
}

impl Outcome {
    /// A statement that was permitted and not sent.
    pub(super) fn not_executed(decision: &str) -> Self {
        Self {
            decision: decision.to_owned(),
            result: OutcomeResult::NotExecuted,
            code: None,
            since: Instant::now(),
            counted: false,
        }
    }
}

/// A refusal that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turned {
    /// What the client is told.
    pub(super) refusal: Refusal,
    /// The place in the client's text, in characters from 1.
    pub(super) position: Option<usize>,
}

/// One message on its way.
#[derive(Debug)]
pub(super) enum Entry {
    /// A simple query.
    Query(Batch),
    /// A statement to prepare under a name.
    Parse(String, Arc<Held>),
    /// A portal to make of a prepared statement.
    Bind(String, Arc<Held>),
    /// Describe of a statement: answered with its parameters and its columns.
    DescribeStatement,
    /// Describe of a portal: answered with its columns.
    DescribePortal,
    /// A portal to run. Its statements are the texts it may stand for, all answered at once.
    Execute(Batch),
    /// A statement or portal to close.
    Close(Target),
    /// The end of a series.
    Sync,
    /// A message that stands for a refused one; its error is ours.
    Refused(Box<Turned>),
}

impl Entry {
    /// About how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = match self {
            Self::Query(batch) => batch
                .statements
                .iter()
                .map(|statement| statement.text.len())
                .fold(batch.place.client.len(), usize::saturating_add),
            // Bind and Execute share what is held by name; it counts where it came from.
            Self::Parse(_, held) => held.bytes(),
            Self::Bind(..)
            | Self::DescribeStatement
            | Self::DescribePortal
            | Self::Execute(_)
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => 0,
        };
        texts.saturating_add(ENTRY_BYTES)
    }

    /// The statements of a Query or Execute that are not answered yet.
    pub(super) fn unanswered(&self) -> &[Running] {
        match self {
            Self::Query(batch) | Self::Execute(batch) => batch.unanswered(),
            Self::Parse(..)
            | Self::Bind(..)
            | Self::DescribeStatement
            | Self::DescribePortal
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => &[],
        }
    }

    /// Whether the database's errors and notices about it may be shown as they are.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Query(batch) | Self::Execute(batch) => batch.is_open(),
            Self::Parse(_, held) | Self::Bind(_, held) => held.open,
            Self::DescribeStatement
            | Self::DescribePortal
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => false,
        }
    }

    /// Where its text came from.
    pub(super) fn place(&self) -> Option<Arc<Place>> {
        match self {
            Self::Query(batch) | Self::Execute(batch) => Some(Arc::clone(&batch.place)),
            Self::Parse(_, held) | Self::Bind(_, held) => Some(Arc::clone(&held.place)),
            Self::DescribeStatement
            | Self::DescribePortal
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => None,
        }
    }

    /// Whether it may change the path that names are looked up in. `touched`: the open transaction
    /// has changed it, so that its end may change it back.
    pub(super) fn moves_path(&self, touched: bool) -> bool {
        // BEGIN counts too: it makes the implicit transaction a block.
        self.unanswered().iter().any(|statement| {
            sets_path(&statement.effect) || (touched && controls_transactions(statement.command))
        })
    }

    /// Whether it may give a name of SQL's prepared statements another meaning.
    pub(super) fn prepares(&self, in_protocol: bool) -> bool {
        let by_sql = |statement: &Running| matches!(statement.effect, Effect::Prepare { .. });
        match self {
            Self::Parse(name, _) => in_protocol && !name.is_empty(),
            Self::Query(_)
            | Self::Bind(..)
            | Self::DescribeStatement
            | Self::DescribePortal
            | Self::Execute(_)
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => self.unanswered().iter().any(by_sql),
        }
    }

    /// Whether it may give a name of SQL's cursors another meaning.
    pub(super) fn declares(&self, in_protocol: bool) -> bool {
        let by_sql = |statement: &Running| matches!(statement.effect, Effect::Declare { .. });
        match self {
            Self::Bind(name, _) => in_protocol && !name.is_empty(),
            Self::Query(_)
            | Self::Parse(..)
            | Self::DescribeStatement
            | Self::DescribePortal
            | Self::Execute(_)
            | Self::Close(_)
            | Self::Sync
            | Self::Refused(_) => self.unanswered().iter().any(by_sql),
        }
    }
}
