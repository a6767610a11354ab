//! A session that is ready: its two directions run side by side until one of them, or the server,
//! ends it. Whatever ends it, what was on its way is accounted for, the database is told, and the
//! end is recorded.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::audit::{Audit, Failed, SessionEvent, SessionRecord};
use crate::clock::Timestamp;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::token::Verified;
use crate::upstream::{BackendKey, Receiver, Sender};
use crate::wire::{Severity, answer};

use super::audit::Trail;
use super::cancel::Registration;
use super::flow::{Flow, OutOfStep};
use super::relay::Relay;
use super::shared::{Phase, Shared};
use super::stream::Client;
use super::{inbound, relay};

/// How long the database has to take the last message of a session.
const PARTING: Duration = Duration::from_millis(500);
/// How long the database has to answer what a client has left behind before that is cancelled.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// How often what is left is cancelled, statement by statement, and how long each time is waited. What
/// is not answered then is recorded as lost.
const CANCELS: u32 = 20;
const CANCELLED: Duration = Duration::from_millis(500);

/// What both directions of a session know.
pub(super) struct Session {
    /// What all sessions share.
    pub(super) shared: Arc<Shared>,
    /// Who acts.
    pub(super) who: Verified,
    /// Where the client connects from.
    pub(super) peer: IpAddr,
    /// What is on its way between the two directions. Never held across an await.
    flow: Mutex<Flow>,
    /// Told when the database has answered something; one waits: the client's side.
    pub(super) progress: Notify,
    /// The same for whoever waits for the session to be idle.
    pub(super) settled: Notify,
    /// The audit trail.
    pub(super) trail: Trail,
}

impl Session {
    /// What is on its way.
    pub(super) fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client said so, or closed the connection between two messages.
    Terminated,
    /// The connection to the client broke.
    ClientLost,
    /// The database ended the session and has said why.
    DatabaseEnded,
    /// The connection to the database broke.
    DatabaseLost,
    /// pgward ends it; the client is told why.
    Fatal(Refusal),
}

impl From<Failed> for End {
    fn from(failed: Failed) -> Self {
        Self::Fatal(failed.refusal())
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Fatal(refusal)
    }
}

impl From<OutOfStep> for End {
    fn from(_: OutOfStep) -> Self {
        Self::Fatal(Refusal::new(
            SqlState::PROTOCOL_VIOLATION,
            Reason::Unavailable,
            "the database sent an answer that was not asked for",
        ))
    }
}

impl End {
    /// The word in the audit log.
    fn word(&self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::ClientLost => "client_lost",
            Self::DatabaseEnded => "database_ended",
            Self::DatabaseLost => "database_lost",
            Self::Fatal(refusal) => refusal.reason.label(),
        }
    }

    /// What the client is told.
    fn told(&self) -> Option<Refusal> {
        match self {
            Self::Terminated | Self::ClientLost | Self::DatabaseEnded => None,
            Self::DatabaseLost => Some(Refusal::new(
                SqlState("08006"),
                Reason::Unavailable,
                "the connection to the database was lost",
            )),
            Self::Fatal(refusal) => Some(refusal.clone()),
        }
    }
}

/// Everything a session holds once its login is over.
pub(super) struct Ready {
    /// What both directions know.
    pub(super) session: Session,
    /// To the database.
    pub(super) sender: Sender,
    /// From the database.
    pub(super) receiver: Receiver,
    /// What it takes to cancel at the database.
    pub(super) key: BackendKey,
    /// The session's place among those that can be cancelled.
    pub(super) registration: Registration,
    /// Its place among the sessions that may run at the same time.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Session {
    /// A session that has just begun.
    pub(super) fn new(
        shared: Arc<Shared>,
        who: Verified,
        peer: IpAddr,
        flow: Flow,
        trail: Trail,
    ) -> Self {
        Self {
            shared,
            who,
            peer,
            flow: Mutex::new(flow),
            progress: Notify::new(),
            settled: Notify::new(),
            trail,
        }
    }
}

/// Runs a session to its end.
pub(super) async fn run(ready: Ready, mut client: Client) {
    let Ready {
        session,
        mut sender,
        mut receiver,
        key,
        registration,
        permit,
    } = ready;
    let mut ending = Ending::new(&session);
    let mut walk = Relay::new(&session.shared.limits);
    let end = tokio::select! {
        end = inbound::run(&session, &mut client.inbound, &mut sender) => end,
        end = relay::run(&session, &mut receiver, &mut client.outbound, &mut walk) => end,
        end = told_to_end(&session) => end,
    };
    drop(registration);
    if matches!(end, End::Fatal(_)) && !session.flow().is_answered() {
        cancel(&session, &key).await;
    }
    sender.terminate();
    // The database may be gone already; then it needs no telling.
    let _told = tokio::time::timeout(PARTING, sender.flush()).await;
    if matches!(end, End::Terminated | End::ClientLost) && !session.flow().is_answered() {
        let left = relay::drain(&session, &mut receiver, &mut client.outbound, &mut walk);
        // Whether all of it was answered shows in the outcomes.
        let _answered = tokio::time::timeout(LEFT_BEHIND, left).await;
    }
    if let Some(refusal) = end.told()
        && walk.is_between_messages()
    {
        let buffer = client.outbound.buffer();
        answer::error_response(buffer, &refusal, None, Severity::Fatal);
    }
    ending.reason(&end, session.shared.now());
    if !matches!(end, End::ClientLost) {
        client.finish().await;
    }
    // Whatever still runs must not go on without its session, whose place it takes until then.
    if !matches!(end, End::DatabaseEnded | End::DatabaseLost) {
        stop(&session, &key, &mut receiver, &mut client, &mut walk).await;
    }
    drop((sender, receiver));
    if let Err(error) = record_end(&session, &mut walk, ending).await {
        tracing::error!(session = session.trail.session(), %error, "the end was not recorded");
    }
    drop(permit);
}

/// Cancels what the session still has at the database. A cancel request ends the statement that runs,
/// and the next in line begins: so again, until all are answered or the database has closed.
async fn stop(
    session: &Session,
    key: &BackendKey,
    database: &mut Receiver,
    client: &mut Client,
    walk: &mut Relay,
) {
    for _ in 0..CANCELS {
        if session.flow().is_answered() {
            return;
        }
        cancel(session, key).await;
        let left = relay::drain(session, database, &mut client.outbound, walk);
        if tokio::time::timeout(CANCELLED, left).await.is_ok() {
            return;
        }
    }
}

async fn cancel(session: &Session, key: &BackendKey) {
    if let Err(error) = session.shared.connector.cancel(key).await {
        tracing::warn!(%error, "a statement of an ended session could not be cancelled");
    }
}

/// Ends when the server wants the session to.
async fn told_to_end(session: &Session) -> End {
    let mut phase = session.shared.phase.clone();
    loop {
        let now = *phase.borrow_and_update();
        let over = match now {
            Phase::Serving => false,
            Phase::Draining => session.flow().is_idle(),
            Phase::Stopping => true,
        };
        if over {
            return End::Fatal(shutting_down());
        }
        let changed = tokio::select! {
            changed = phase.changed() => changed,
            () = session.settled.notified(), if now == Phase::Draining => Ok(()),
        };
        if changed.is_err() {
            // The server is gone.
            return End::Fatal(shutting_down());
        }
    }
}

/// 57P01, in Postgres's words.
pub(super) fn shutting_down() -> Refusal {
    Refusal::new(
        SqlState::ADMIN_SHUTDOWN,
        Reason::Unavailable,
        "terminating connection due to administrator command",
    )
}

/// Records what is not recorded yet, what was lost, and the end.
async fn record_end(session: &Session, walk: &mut Relay, mut ending: Ending) -> Result<(), Failed> {
    walk.record(session).await?;
    let lost = session.flow().lost();
    let now = session.shared.now();
    for outcome in lost {
        let record = session.trail.outcome(outcome, now, 0, 0);
        session.trail.record(record).await?;
    }
    match ending.record.take() {
        Some(record) => session.trail.record(record).await,
        None => Ok(()),
    }
}

/// The record of a session's end. It is written even where the session's task is thrown away.
struct Ending {
    record: Option<SessionRecord>,
    audit: Audit,
}

impl Ending {
    fn new(session: &Session) -> Self {
        let who = Some(session.who.principal());
        let trail = &session.trail;
        let mut record = trail.record_of(SessionEvent::End, session.shared.now(), who);
        record.reason = Some("aborted".to_owned());
        Self {
            record: Some(record),
            audit: session.shared.audit.clone(),
        }
    }

    /// Notes why the session ends.
    fn reason(&mut self, end: &End, now: Timestamp) {
        if let Some(record) = &mut self.record {
            record.time = now;
            record.reason = Some(end.word().to_owned());
            if let Some(refusal) = end.told() {
                record.sqlstate = Some(refusal.code.0.to_owned());
                record.message = Some(refusal.message);
            }
            tracing::info!(session = %record.session, reason = end.word(), "session ended");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let audit = self.audit.clone();
            runtime.spawn(async move {
                if let Err(error) = audit.record(record.into()).await {
                    tracing::error!(%error, "the end of a session was not recorded");
                }
            });
        }
    }
}
