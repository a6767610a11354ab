//! The login: a token becomes a verified principal, and a session at the database is opened for it.
//! Nothing of the database is reached, and nothing about it told, before the token is verified; the
//! token goes no further than this file.
//!
//! Sources: Postgres manual, "Start-up"; RFC 7628 (OAUTHBEARER).

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::gate::check_startup_parameter;
use crate::principal::Principal;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::secret::Secret;
use crate::sql::Settings;
use crate::token::Verified;
use crate::upstream::Upstream;
use crate::wire::authentication::{
    OAUTHBEARER, bearer_token, discovery_challenge, initial_response, is_acknowledgement,
    password_text,
};
use crate::wire::{Frame, StartupMessage, answer};

use super::cancel::Registration;
use super::config::Login;
use super::parameters::Parameters;
use super::shared::{Phase, Shared};
use super::stream::Client;

/// The message type of every message before the identity is known.
const PASSWORD: u8 = b'p';
/// Terminate: the client gives up.
const TERMINATE: u8 = b'X';

/// Why there is no session.
pub(super) enum Failure {
    /// The connection broke, or the client gave up.
    Lost,
    /// The client is told why.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Who it was, where that was known by then.
        who: Option<Box<Verified>>,
    },
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Self::Lost
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal, who: None }
    }
}

/// A client that asks for a session, and where it asks.
pub(super) struct Asking<'a> {
    /// What all sessions share.
    pub(super) shared: &'a Arc<Shared>,
    /// Its connection.
    pub(super) client: &'a mut Client,
    /// Whether that is TLS.
    pub(super) encrypted: bool,
    /// Where it connects from.
    pub(super) peer: SocketAddr,
    /// The id of the session to be.
    pub(super) id: &'a str,
}

/// A client that is to get its session.
pub(super) struct Admitted {
    /// Who acts.
    pub(super) who: Verified,
    /// What its startup parameters have set.
    pub(super) settings: Settings,
    /// Its session at the database.
    pub(super) upstream: Upstream,
    /// Its place among those that can be cancelled.
    pub(super) registration: Registration,
    /// Its place among the sessions that may run at the same time.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Logs a client in. How long it may take is up to the caller.
///
/// # Errors
/// [`Failure`]: the client has not been told yet.
pub(super) async fn login(
    mut asking: Asking<'_>,
    startup: StartupMessage,
) -> Result<Admitted, Failure> {
    may_be_read(&asking)?;
    let shared = asking.shared;
    let minor = startup.agreed_minor();
    if startup.needs_negotiation() {
        let unknown = &startup.protocol_options;
        answer::negotiate_protocol_version(asking.client.outbound.buffer(), minor, unknown);
    }
    let mut parameters = Parameters::of(startup)?;
    let who = match (parameters.token.take(), &shared.login) {
        (Some(token), _) => verify(shared, token).await?,
        (None, Login::Password) => by_password(&mut asking).await?,
        (
            None,
            Login::OAuthBearer {
                openid_configuration,
                scope,
            },
        ) => {
            let challenge = discovery_challenge(openid_configuration, scope);
            by_oauthbearer(&mut asking, &challenge).await?
        }
    };
    match open(&asking, &who, &parameters, minor).await {
        Ok((settings, upstream, registration, permit)) => Ok(Admitted {
            who,
            settings,
            upstream,
            registration,
            permit,
        }),
        Err(refusal) => Err(Failure::Refused {
            refusal,
            who: Some(Box::new(who)),
        }),
    }
}

/// The client's first answer, in one piece: it is ready.
pub(super) fn welcome(client: &mut Client, upstream: &Upstream, registration: &Registration) {
    let buffer = client.outbound.buffer();
    answer::authentication_ok(buffer);
    for (name, value) in &upstream.parameters {
        answer::parameter_status(buffer, name, value);
    }
    answer::backend_key_data(buffer, registration.process_id(), registration.key());
    answer::ready_for_query(buffer, b'I');
}

/// A token is asked for only where nobody else can read it.
fn may_be_read(asking: &Asking<'_>) -> Result<(), Refusal> {
    let loopback = asking.peer.ip().to_canonical().is_loopback();
    if asking.encrypted || asking.shared.tls_required.allows_plain(loopback) {
        return Ok(());
    }
    Err(Refusal::identity("TLS is required")
        .with_hint("connect with sslmode=require, or better sslmode=verify-full"))
}

async fn verify(shared: &Shared, token: Secret) -> Result<Verified, Refusal> {
    shared.keyring.verify(&token, shared.now()).await
}

/// Asks for the token as a password, in clear text.
async fn by_password(asking: &mut Asking<'_>) -> Result<Verified, Failure> {
    answer::authentication_cleartext_password(asking.client.outbound.buffer());
    let frame = answered(asking).await?;
    let token = password_text(frame.body())?;
    Ok(verify(asking.shared, token).await?)
}

/// Asks for the token through SASL. A client without a valid one is told where to get it before it
/// is refused.
async fn by_oauthbearer(asking: &mut Asking<'_>, challenge: &[u8]) -> Result<Verified, Failure> {
    answer::authentication_sasl(asking.client.outbound.buffer(), &[OAUTHBEARER]);
    let frame = answered(asking).await?;
    let initial = initial_response(frame.body())?;
    if initial.mechanism != OAUTHBEARER {
        let refusal = Refusal::protocol("client selected an invalid SASL authentication mechanism");
        return Err(refusal.into());
    }
    let refusal = match bearer_token(&initial.data)? {
        None => Refusal::identity("no token was given"),
        Some(token) => match verify(asking.shared, token).await {
            Ok(who) => return Ok(who),
            Err(refusal) => refusal,
        },
    };
    answer::authentication_sasl_continue(asking.client.outbound.buffer(), challenge);
    let frame = answered(asking).await?;
    if !is_acknowledgement(frame.body()) {
        return Err(Refusal::protocol("malformed OAUTHBEARER message").into());
    }
    Err(refusal.into())
}

/// Sends what was asked, and waits for the answer.
async fn answered(asking: &mut Asking<'_>) -> Result<Frame, Failure> {
    let shared = asking.shared;
    asking.client.outbound.flush().await?;
    let frame = asking.client.inbound.message(&shared.limits).await??;
    match frame {
        Some(frame) if frame.tag() == PASSWORD => Ok(frame),
        Some(frame) if frame.tag() != TERMINATE => {
            Err(Refusal::protocol("expected password response").into())
        }
        Some(_) | None => Err(Failure::Lost),
    }
}

type Opened = (Settings, Upstream, Registration, OwnedSemaphorePermit);

/// Opens the session at the database for a client whose identity is known.
async fn open(
    asking: &Asking<'_>,
    who: &Verified,
    parameters: &Parameters,
    minor: u16,
) -> Result<Opened, Refusal> {
    let shared = asking.shared;
    let permit = place(shared)?;
    right_database(shared.connector.config().database(), parameters)?;
    let mut settings = Settings::new(&shared.snapshot.load().value);
    let startup = startup(parameters, &mut settings, who.principal(), asking.id)?;
    let upstream = shared.connector.connect(&startup).await.map_err(|error| {
        tracing::error!(session = asking.id, %error, "no session at the database");
        error.refusal()
    })?;
    let registration = shared.cancels.register(minor, upstream.key.clone())?;
    Ok((settings, upstream, registration, permit))
}

/// A place among the sessions that may run at the same time.
fn place(shared: &Shared) -> Result<OwnedSemaphorePermit, Refusal> {
    let phase = *shared.phase.borrow();
    if phase != Phase::Serving {
        return Err(Refusal::new(
            SqlState::CANNOT_CONNECT_NOW,
            Reason::Unavailable,
            "the server is shutting down",
        ));
    }
    Arc::clone(&shared.sessions)
        .try_acquire_owned()
        .map_err(|_| {
            Refusal::new(
                SqlState::TOO_MANY_CONNECTIONS,
                Reason::Limit,
                "sorry, too many clients already",
            )
        })
}

/// There is one database; a client may leave open which.
fn right_database(database: &str, parameters: &Parameters) -> Result<(), Refusal> {
    match &parameters.database {
        Some(asked) if asked != database => Err(Refusal::new(
            SqlState("3D000"),
            Reason::Unresolved,
            format!("database \"{asked}\" does not exist"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// What the session at the database begins with: what the client may set, and who acts.
fn startup(
    parameters: &Parameters,
    settings: &mut Settings,
    who: &Principal,
    id: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut startup = Vec::new();
    for (name, value) in &parameters.settings {
        startup.extend(check_startup_parameter(name, value, settings)?);
    }
    let mut set = |name: &str, value: &str| startup.push((name.to_owned(), value.to_owned()));
    if parameters.setting("application_name").is_none() {
        set("application_name", who.agent());
    }
    set("pgward.user", &who.user.sub);
    set("pgward.agent", who.agent());
    set("pgward.session", id);
    Ok(startup)
}
