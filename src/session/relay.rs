//! From the database to the client. Rows pass by in the chunks they come in and are only counted;
//! everything else is looked at, in order: an error may stand for a refusal, a completion changes
//! what the session has set, an outcome is recorded before the client hears of it. Nothing is sent
//! to the database from here.

use std::collections::VecDeque;

use crate::audit::{Failed, OutcomeRecord};
use crate::gate;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::upstream::Receiver;
use crate::wire::backend::{command_complete_tag, command_rows, parameter_status, ready_status};
use crate::wire::{ErrorFields, Frame, Limits, Piece, Severity, Walker, answer, sanitize};

use super::flow::{OutOfStep, Shown};
use super::held::Place;
use super::pending::{Outcome, Turned};
use super::ready::{End, Session};
use super::stream::Outbound;

/// Settings that decide what bytes and texts mean, and what they must stay at.
const PINNED: [(&str, &str); 2] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
];

/// How far the walk over the database's messages has come. It outlives the future that walks, so
/// that the session's end can tell what is left to do.
pub(super) struct Relay {
    walker: Walker,
    /// Bytes of announced messages that the client has not been handed yet.
    owed: usize,
    /// Whether rows belong to the message in front: asked once for each run of them.
    rows_expected: bool,
    /// Rows and their bytes since the last outcome.
    rows: u64,
    bytes: u64,
    /// Outcomes that are to be recorded.
    due: VecDeque<OutcomeRecord>,
}

impl Relay {
    /// A walk that begins between two messages.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            walker: Walker::new(limits),
            owed: 0,
            rows_expected: false,
            rows: 0,
            bytes: 0,
            due: VecDeque::new(),
        }
    }

    /// Whether the client has whole messages only, so that another may follow.
    pub(super) fn is_between_messages(&self) -> bool {
        self.owed == 0
    }

    /// Records the outcomes that are due. May be dropped and called again.
    ///
    /// # Errors
    /// [`Failed`]: the session must end.
    pub(super) async fn record(&mut self, session: &Session) -> Result<(), Failed> {
        while let Some(record) = self.due.front() {
            session.trail.record(record.clone()).await?;
            self.due.pop_front();
        }
        Ok(())
    }

    /// Notes what became of statements; the counts start again.
    fn note(&mut self, session: &Session, outcomes: Vec<Outcome>, rows: Option<u64>) {
        if outcomes.is_empty() {
            return;
        }
        let now = session.shared.now();
        let rows = rows.unwrap_or(self.rows);
        for outcome in outcomes {
            let record = session.trail.outcome(outcome, now, rows, self.bytes);
            self.due.push_back(record);
        }
        self.rows = 0;
        self.bytes = 0;
    }

    /// Forgets rows that belong to no outcome any more.
    fn forget_rows(&mut self) {
        self.rows = 0;
        self.bytes = 0;
    }
}

/// Passes on what the database says until the session ends.
pub(super) async fn run(
    session: &Session,
    database: &mut Receiver,
    client: &mut Outbound,
    relay: &mut Relay,
) -> End {
    // The login has left its last answer there.
    if client.flush().await.is_err() {
        return End::ClientLost;
    }
    loop {
        match database.read().await {
            Ok(chunk) if chunk.is_empty() => return End::DatabaseLost,
            Ok(chunk) => relay.walker.feed(chunk),
            Err(_) => return End::DatabaseLost,
        }
        if let Err(end) = walk(session, client, relay).await {
            return end;
        }
        // The other side may wait for what was just learned; it must not wait for the client.
        session.progress.notify_one();
        session.settled.notify_one();
        if client.flush().await.is_err() {
            return End::ClientLost;
        }
    }
}

/// Takes what the database still has to say once the client says nothing any more. A client that has
/// closed one direction only gets it; for one that is gone it is dropped.
pub(super) async fn drain(
    session: &Session,
    database: &mut Receiver,
    client: &mut Outbound,
    relay: &mut Relay,
) {
    let mut gone = false;
    // Pieces of the last chunk may have been left.
    while walk(session, client, relay).await.is_ok() {
        gone = gone || client.flush().await.is_err();
        if gone {
            client.discard();
        }
        if session.flow().is_answered() {
            return;
        }
        match database.read().await {
            Ok(chunk) if !chunk.is_empty() => relay.walker.feed(chunk),
            Ok(_) | Err(_) => return,
        }
    }
}

/// Takes the pieces of one chunk.
async fn walk(session: &Session, client: &mut Outbound, relay: &mut Relay) -> Result<(), End> {
    while let Some(piece) = relay.walker.next_piece().map_err(from_database)? {
        match piece {
            Piece::Header { tag, len } => header(session, relay, tag, len)?,
            Piece::Pass(bytes) => {
                relay.owed = relay.owed.saturating_sub(bytes.len());
                client.push(bytes);
            }
            Piece::Frame(frame) => {
                relay.rows_expected = false;
                control(session, client, relay, &frame)?;
                relay.record(session).await?;
            }
        }
    }
    Ok(())
}

/// A message that passes: a row, COPY data, or the head of a result.
fn header(session: &Session, relay: &mut Relay, tag: u8, len: usize) -> Result<(), End> {
    if tag == b'T' {
        session.flow().row_description()?;
    } else {
        if !relay.rows_expected {
            session.flow().data()?;
            relay.rows_expected = true;
        }
        relay.rows = relay.rows.saturating_add(1);
        let bytes = u64::try_from(len).unwrap_or(u64::MAX);
        relay.bytes = relay.bytes.saturating_add(bytes);
    }
    relay.owed = relay.owed.saturating_add(len);
    Ok(())
}

/// Any other message: what it means to the session, and what of it the client gets.
fn control(
    session: &Session,
    client: &mut Outbound,
    relay: &mut Relay,
    frame: &Frame,
) -> Result<(), End> {
    let mut flow = session.flow();
    match frame.tag() {
        b'1' => flow.parse_complete()?,
        b'2' => flow.bind_complete()?,
        b'3' => flow.close_complete()?,
        b't' => flow.parameter_description()?,
        b'n' => flow.no_data()?,
        b'G' => flow.copy_begins(true)?,
        b'H' => flow.copy_begins(false)?,
        // The end of COPY data: CommandComplete follows.
        b'c' => flow.data()?,
        b'C' => {
            let tag = command_complete_tag(frame.body()).map_err(from_database)?;
            let outcomes = flow.command_complete(tag)?;
            relay.note(session, outcomes, command_rows(tag));
        }
        b'I' => {
            let outcomes = flow.command_complete("")?;
            relay.note(session, outcomes, None);
        }
        b's' => {
            let outcomes = flow.suspended()?;
            relay.note(session, outcomes, None);
        }
        b'Z' => {
            let status = ready_status(frame.body()).map_err(from_database)?;
            let outcomes = flow.ready(status)?;
            relay.note(session, outcomes, Some(0));
            relay.forget_rows();
        }
        b'E' => {
            drop(flow);
            return error(session, client, relay, frame);
        }
        b'N' => {
            let open = flow.is_open();
            let fields = ErrorFields::decode(frame.body()).map_err(from_database)?;
            let mut fields = sanitize(fields, open);
            // Its place would be in a text that the client does not know.
            fields.remove(b'P');
            fields.encode_notice(client.buffer());
            return Ok(());
        }
        b'S' => pinned(frame)?,
        // No LISTEN is let through: what a notification says was meant for somebody else.
        b'A' => return Ok(()),
        _ => return Err(OutOfStep.into()),
    }
    drop(flow);
    client.push(frame.bytes().clone());
    Ok(())
}

/// An ErrorResponse: the database's own, or the one that stands for a refusal.
fn error(
    session: &Session,
    client: &mut Outbound,
    relay: &mut Relay,
    frame: &Frame,
) -> Result<(), End> {
    let fields = ErrorFields::decode(frame.body()).map_err(from_database)?;
    if fields.is_fatal() {
        // What was on its way is lost with the session.
        tracing::warn!(
            session = session.trail.session(),
            code = fields.code(),
            "the database ended the session"
        );
        sanitize(fields, false).encode(client.buffer());
        return Err(End::DatabaseEnded);
    }
    let (shown, outcomes) = session.flow().error(fields.code());
    relay.note(session, outcomes, None);
    relay.forget_rows();
    match shown {
        Shown::Refusal(turned) => {
            let Turned { refusal, position } = *turned;
            answer::error_response(client.buffer(), &refusal, position, Severity::Error);
        }
        Shown::Error { open, place } => {
            let position = fields.get(b'P').and_then(|position| position.parse().ok());
            let position = place.as_deref().zip(position).and_then(placed);
            let mut fields = sanitize(fields, open);
            match position {
                Some(position) => fields.set(b'P', position.to_string()),
                None => fields.remove(b'P'),
            }
            fields.encode(client.buffer());
        }
    }
    Ok(())
}

/// Where in the client's own text the database's POSITION is.
fn placed((place, position): (&Place, usize)) -> Option<usize> {
    gate::client_position(&place.client, &place.sent, position)
}

/// A ParameterStatus must leave alone what texts mean.
fn pinned(frame: &Frame) -> Result<(), End> {
    let (name, value) = parameter_status(frame.body()).map_err(from_database)?;
    let moved = PINNED
        .iter()
        .any(|(pinned, wanted)| *pinned == name && *wanted != value);
    if moved {
        tracing::error!(setting = %name, "a pinned setting of a session has changed");
        return Err(End::Fatal(Refusal::new(
            SqlState::SYSTEM_ERROR,
            Reason::Unavailable,
            "a setting that statements depend on has changed",
        )));
    }
    Ok(())
}

/// A message of the database that the codec refuses.
fn from_database(refusal: Refusal) -> End {
    tracing::error!(why = %refusal.message, "the database broke the protocol");
    OutOfStep.into()
}
