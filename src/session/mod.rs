//! One connection of an agent, from its first byte to its last: greeting, login, and then two
//! directions that run side by side until the session ends.
//!
//! The client's side decides each message before anything of it is sent; the database's side
//! matches every answer with the message it belongs to. A refusal travels as a message of its own
//! that the database answers with an error, so that order, transaction and skipping are the
//! database's own. No text of a client reaches the database but as a cleared statement.
//!
//! | file | holds |
//! |---|---|
//! | `greeting`, `login`, `parameters`, `cancel` | how a session begins, and how it is cancelled |
//! | `ready` | a session that runs, and every way it can end |
//! | `inbound`, `simple`, `extended` | from the client to the database |
//! | `relay` | from the database to the client |
//! | `flow`, `answers`, `pending`, `names`, `settings`, `held` | what both sides know; no I/O |
//! | `judge`, `audit` | decisions, and their trail |
//! | `shared`, `strangers`, `config`, `stream` | what all sessions share; a connection's two halves |

mod strangers;
mod shared;
mod config;
mod names;
mod settings;
mod held;
mod pending;
mod flow;
mod answers;
mod stream;
mod cancel;
mod parameters;
mod audit;
mod judge;
mod greeting;
mod login;
mod inbound;
mod simple;
mod extended;
mod relay;
mod ready;

#[cfg(test)]
mod tests_flow;
#[cfg(test)]
mod tests_settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::audit::SessionEvent;
use crate::refusal::Refusal;
use crate::token::Verified;
use crate::upstream::Upstream;

pub use cancel::Cancels;
pub use config::{Login, TlsRequired};
pub use shared::{Counters, Counts, Phase, Shared, Versioned, replace};
pub use strangers::Strangers;

use audit::{Trail, session_id};
use flow::Flow;
use greeting::Opened;
use login::{Admitted, Asking, Failure};
use ready::{Ready, Session};
use stream::Client;

/// The protocol name that TLS negotiates with clients (ALPN); direct TLS needs it.
pub const ALPN: &[u8] = greeting::ALPN;

/// Serves one connection to its end. Greeting and login together have `login_ms_max`.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    // A session of small messages must not wait for acknowledgements of earlier ones.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let patience = Duration::from_millis(shared.limits.login_ms_max);
    let deadline = Instant::now() + patience;
    let greeted = timeout_at(deadline, greeting::greet(&shared, stream)).await;
    let Ok(Some(opened)) = greeted else {
        tracing::debug!(%peer, "connection ended before it asked for a session");
        return;
    };
    let Opened {
        mut client,
        startup,
        encrypted,
    } = opened;
    let id = match session_id() {
        Ok(id) => id,
        Err(refusal) => return greeting::refuse(client, &refusal).await,
    };
    let trail = Trail::new(shared.audit.clone(), id.clone(), peer.to_string());
    let asking = Asking {
        shared: &shared,
        client: &mut client,
        encrypted,
        peer,
        id: &id,
    };
    let login = timeout_at(deadline, login::login(asking, startup)).await;
    match login.unwrap_or_else(|_| Err(too_slow(patience).into())) {
        Ok(admitted) => begin(shared, admitted, client, peer, trail).await,
        Err(Failure::Lost) => tracing::debug!(%peer, "connection ended during its login"),
        Err(Failure::Refused { refusal, who }) => {
            turn_away(&shared, client, &trail, refusal, who.as_deref()).await;
        }
    }
}

/// Begins a session: it is recorded, then the client is told.
async fn begin(
    shared: Arc<Shared>,
    admitted: Admitted,
    mut client: Client,
    peer: SocketAddr,
    trail: Trail,
) {
    let Admitted {
        who,
        settings,
        upstream,
        registration,
        permit,
    } = admitted;
    let record = trail.record_of(SessionEvent::Start, shared.now(), Some(who.principal()));
    if let Err(failed) = trail.record(record).await {
        let refusal = failed.refusal();
        return turn_away(&shared, client, &trail, refusal, Some(&who)).await;
    }
    login::welcome(&mut client, &upstream, &registration);
    shared.counters.session();
    tracing::info!(
        session = trail.session(),
        user = %who.principal().user.sub,
        agent = who.principal().agent(),
        %peer,
        backend = upstream.key.process_id(),
        "session started"
    );
    let Upstream {
        sender,
        receiver,
        key,
        ..
    } = upstream;
    let ready = Ready {
        session: Session::new(
            shared,
            who,
            peer.ip().to_canonical(),
            Flow::new(settings),
            trail,
        ),
        sender,
        receiver,
        key,
        registration,
        permit,
    };
    ready::run(ready, client).await;
}

/// Tells a client that it gets no session, and records it.
async fn turn_away(
    shared: &Shared,
    client: Client,
    trail: &Trail,
    refusal: Refusal,
    who: Option<&Verified>,
) {
    shared.counters.login_refused();
    tracing::info!(
        session = trail.session(),
        code = refusal.code.0,
        reason = refusal.reason.label(),
        why = %refusal.message,
        "login refused"
    );
    let most = shared.limits.refused_logins_recorded_max;
    let left_out = match who {
        Some(_) => Some(0),
        None => shared.strangers.admit(shared.now(), most),
    };
    if let Some(left_out) = left_out {
        let principal = who.map(Verified::principal);
        let record = trail.record_of(SessionEvent::Refused, shared.now(), principal);
        let mut record = record.refused(&refusal);
        if left_out > 0 {
            let message = record.message.unwrap_or_default();
            record.message = Some(format!("{message} ({left_out} before were not recorded)"));
        }
        if let Err(error) = trail.record(record).await {
            tracing::error!(%error, "a refused login was not recorded");
        }
    }
    greeting::refuse(client, &refusal).await;
}

fn too_slow(patience: Duration) -> Refusal {
    Refusal::limit(format!(
        "the login took longer than {} ms",
        patience.as_millis()
    ))
}
