//! From the client to the database: one message at a time, each decided before anything of it is
//! sent. What carries SQL is sent only as a cleared statement; everything else is the very message
//! that was decoded. After a refusal nothing but a Sync is sent until there was one.
//!
//! Source: Postgres manual, "Message Flow".

use std::time::Duration;

use bytes::BytesMut;

use crate::access::{Access, Action};
use crate::gate::Judged;
use crate::refusal::Refusal;
use crate::upstream::Sender;
use crate::wire::frontend::decode;
use crate::wire::{Frame, Frontend, Limits, Relayable, take_frame};

use super::audit::{Decided, detailed};
use super::flow::Flow;
use super::held::{Judgement, Needs};
use super::judge::Refused;
use super::pending::{Entry, Outcome, Running, Turned};
use super::ready::{End, Session};
use super::stream::Inbound;

/// What is gathered for the database before it is written, in bytes.
const GATHERED_BYTES: usize = 64 * 1024;

/// How long the database's last words are waited for once it takes nothing any more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The client's side of a session.
pub(super) struct Side<'a> {
    pub(super) session: &'a Session,
    pub(super) sender: &'a mut Sender,
    /// Whether a message of this series was refused: nothing but its Sync is sent.
    pub(super) discarding: bool,
}

/// Takes what the client says until the session ends.
pub(super) async fn run(session: &Session, client: &mut Inbound, sender: &mut Sender) -> End {
    let mut side = Side {
        session,
        sender,
        discarding: false,
    };
    loop {
        match side.serve(client).await {
            Ok(()) => {}
            Err(end) => return end,
        }
    }
}

impl Side<'_> {
    /// Handles what was read, and reads on.
    async fn serve(&mut self, client: &mut Inbound) -> Result<(), End> {
        let most = self.session.shared.limits.message_bytes_max;
        while let Some(frame) = client.take(most)? {
            self.message(frame).await?;
            if self.sender.buffered() > GATHERED_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await?;
        match client.fill().await {
            Ok(0) => Err(End::Terminated),
            Ok(_) => Ok(()),
            Err(_) => Err(End::ClientLost),
        }
    }

    /// Handles one message.
    async fn message(&mut self, frame: Frame) -> Result<(), End> {
        self.until(|flow| flow.has_room() && flow.knows_copying())
            .await?;
        let session = self.session;
        let limits = &session.shared.limits;
        if session.flow().is_copying() {
            return self.copy_data(frame, limits);
        }
        let message = match decode(&frame, limits) {
            Ok(message) => message,
            Err(refusal) => return self.unreadable(frame.tag(), refusal).await,
        };
        if self.is_ignoring() && is_skipped(&message) {
            return Ok(());
        }
        match message {
            Frontend::Query(query) => self.query(&query.text).await,
            Frontend::FunctionCall => self.refuse_query(function_call()).await,
            Frontend::Parse(parse) => self.parse(parse).await,
            Frontend::Bind(ref bind) => self.bind(frame, &message, bind).await,
            Frontend::Describe(ref target) => self.describe(frame, &message, target).await,
            Frontend::Execute { ref portal, .. } => self.execute(frame, &message, portal).await,
            Frontend::Close(ref target) => self.close(frame, &message, target).await,
            Frontend::Flush => self.relay(frame, &message),
            Frontend::Sync => self.sync(frame),
            // The end of a COPY that has failed: the database would ignore it.
            Frontend::CopyData | Frontend::CopyDone | Frontend::CopyFail => Ok(()),
            Frontend::Terminate => Err(End::Terminated),
            Frontend::Password(_) => Err(out_of_turn().into()),
        }
    }

    /// The end of a series.
    fn sync(&mut self, frame: Frame) -> Result<(), End> {
        self.discarding = false;
        if self.session.flow().send(Entry::Sync).is_ok() {
            self.relay(frame, &Frontend::Sync)?;
        }
        Ok(())
    }

    /// A message that cannot be read. Where the series can go on, it is refused like any other.
    async fn unreadable(&mut self, tag: u8, refusal: Refusal) -> Result<(), End> {
        match tag {
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' if self.is_ignoring() => Ok(()),
            b'Q' => self.refuse_query(refusal).await,
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                let refusal = self.refused_unread(refusal).await?;
                self.refuse(refusal, None).await
            }
            _ => Err(refusal.into()),
        }
    }

    /// Whether the database skips, or would skip, everything up to the next Sync.
    fn is_ignoring(&self) -> bool {
        self.discarding || self.session.flow().is_skipping()
    }

    /// Waits until something is so, after sending everything that the answer may depend on.
    pub(super) async fn until(&mut self, so: impl Fn(&Flow) -> bool) -> Result<(), End> {
        if so(&self.session.flow()) {
            return Ok(());
        }
        if self.session.flow().is_inside_series() {
            // Without it, the database would keep its answers until the Sync.
            self.ask_for_answers();
        }
        self.flush().await?;
        loop {
            if so(&self.session.flow()) {
                return Ok(());
            }
            self.session.progress.notified().await;
        }
    }

    /// Waits until nothing on its way can change what a text means.
    pub(super) async fn settle(&mut self, needs: Needs) -> Result<(), End> {
        self.until(|flow| flow.is_settled(needs)).await
    }

    /// A Flush message: it has no answer of its own.
    fn ask_for_answers(&mut self) {
        let mut bytes = BytesMut::from(b"H\0\0\0\x04".as_slice());
        if let Ok(Some(frame)) = take_frame(&mut bytes, 4)
            && let Some(message) = Relayable::new(frame, &Frontend::Flush)
        {
            self.sender.relay(&message);
        }
    }

    /// Writes what was gathered for the database.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.sender.flush().await.is_ok() {
            return Ok(());
        }
        // The other side may still read why, and end the session itself.
        tokio::time::sleep(LAST_WORDS).await;
        Err(End::DatabaseLost)
    }

    /// Gathers the very bytes of a message that carries no SQL.
    pub(super) fn relay(&mut self, frame: Frame, message: &Frontend) -> Result<(), End> {
        let message = Relayable::new(frame, message).ok_or_else(out_of_turn)?;
        self.sender.relay(&message);
        Ok(())
    }

    /// Notes a message that is about to be sent; false where the database would skip it, so that
    /// it must not be sent.
    pub(super) async fn sends(&self, entry: Entry) -> Result<bool, End> {
        let sent = self.session.flow().send(entry);
        match sent {
            Ok(()) => Ok(true),
            Err(outcomes) => {
                self.record(outcomes).await?;
                Ok(false)
            }
        }
    }

    /// Stands in for a message of a series that was refused: the database answers with an error in
    /// its turn, and skips to the Sync. From here on so do we.
    pub(super) async fn refuse(
        &mut self,
        refusal: Refusal,
        position: Option<usize>,
    ) -> Result<(), End> {
        self.discarding = true;
        let turned = Turned { refusal, position };
        if self.sends(Entry::Refused(Box::new(turned))).await? {
            self.sender.refuse();
        }
        Ok(())
    }

    /// Records outcomes of statements that were not sent.
    pub(super) async fn record(&self, outcomes: Vec<Outcome>) -> Result<(), End> {
        let trail = &self.session.trail;
        let now = self.session.shared.now();
        for outcome in outcomes {
            trail.record(trail.outcome(outcome, now, 0, 0)).await?;
        }
        Ok(())
    }

    /// Records that a text was refused. Returns the refusal with its DETAIL.
    pub(super) async fn refused(
        &self,
        text: Option<&str>,
        refused: Refused,
    ) -> Result<Refusal, End> {
        let session = self.session;
        let who = session.who.principal();
        let decided = Decided {
            text,
            at: refused.at,
            decide_us: refused.decide_us,
        };
        let mut last = session.trail.decision_id();
        for (index, judged) in refused.judged.iter().enumerate() {
            if index > 0 {
                last = session.trail.decision_id();
            }
            session.trail.decision(who, &last, judged, &decided).await?;
            if judged.refusal.is_none() {
                self.record(vec![Outcome::not_executed(&last)]).await?;
            }
        }
        session.shared.counters.refused();
        tracing::info!(
            session = session.trail.session(),
            decision = %last,
            code = refused.refusal.code.0,
            reason = refused.refusal.reason.label(),
            "statement refused"
        );
        Ok(detailed(refused.refusal, who, &last))
    }

    /// Records that a message was refused whose text was not read.
    pub(super) async fn refused_unread(&self, refusal: Refusal) -> Result<Refusal, End> {
        let judged = Judged {
            access: Access::default(),
            redacted: "<message that was not read>".to_owned(),
            fingerprint: String::new(),
            rules: Vec::new(),
            refusal: Some(refusal.clone()),
        };
        let refused = Refused {
            judged: vec![judged],
            refusal,
            at: self.session.shared.now(),
            decide_us: 0,
        };
        self.refused(None, refused).await
    }

    /// Records that statements are permitted and about to be sent. `text` is what the client wrote,
    /// where that is known and is one statement.
    pub(super) async fn permitted(
        &self,
        judgement: &Judgement,
        text: Option<&str>,
    ) -> Result<Vec<Running>, End> {
        let session = self.session;
        let who = session.who.principal();
        let mut running = Vec::with_capacity(judgement.cleared.len());
        for (judged, cleared) in judgement.judged.iter().zip(&judgement.cleared) {
            let id = session.trail.decision_id();
            let decided = Decided {
                text: Some(text.unwrap_or_else(|| cleared.text())),
                at: session.shared.now(),
                decide_us: judgement.decide_us,
            };
            session.trail.decision(who, &id, judged, &decided).await?;
            session.shared.counters.permitted();
            running.push(Running {
                decision: id,
                command: judged.access.command,
                effect: cleared.effect().clone(),
                text: cleared.shared_text(),
                open: cleared.is_open(),
                may_copy_in: may_copy_in(&judged.access),
            });
        }
        Ok(running)
    }

    /// COPY data, or what ends it. The database takes nothing else while it copies.
    fn copy_data(&mut self, frame: Frame, limits: &Limits) -> Result<(), End> {
        match decode(&frame, limits)? {
            Frontend::CopyData => self.relay(frame, &Frontend::CopyData),
            message @ (Frontend::CopyDone | Frontend::CopyFail) => {
                self.session.flow().copy_ended();
                self.relay(frame, &message)
            }
            // Sent before the client knew that the statement was a COPY; the database would ignore
            // them. To forward them would be wrong where the COPY fails before it reads them.
            Frontend::Flush | Frontend::Sync => Ok(()),
            Frontend::Terminate => Err(End::Terminated),
            Frontend::Query(_)
            | Frontend::Parse(_)
            | Frontend::Bind(_)
            | Frontend::Describe(_)
            | Frontend::Execute { .. }
            | Frontend::Close(_)
            | Frontend::Password(_)
            | Frontend::FunctionCall => {
                Err(Refusal::protocol("unexpected message during COPY from stdin").into())
            }
        }
    }
}

/// Whether a message means nothing before the Sync of a series that has failed.
fn is_skipped(message: &Frontend) -> bool {
    !matches!(
        message,
        Frontend::Sync | Frontend::Terminate | Frontend::Password(_)
    )
}

/// Whether a statement may ask the client for COPY data: it is a COPY, and something is written.
fn may_copy_in(access: &Access) -> bool {
    access.command == "COPY"
        && access
            .relations
            .iter()
            .any(|relation| relation.action == Action::Insert)
}

fn function_call() -> Refusal {
    Refusal::unsupported("function calls of the protocol are not supported")
        .with_hint("call the function in a SELECT")
}

fn out_of_turn() -> Refusal {
    Refusal::protocol("a message came out of turn")
}
