//! The first bytes of a connection: TLS or not, a session or a cancel request. What came in plain
//! text never gets into what is read inside TLS, and nothing is believed here: identity comes with
//! the login.
//!
//! Source: Postgres manual, "Message Flow": "SSL Session Encryption", "GSSAPI Session Encryption",
//! "Canceling Requests in Progress"; direct TLS since Postgres 17.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::refusal::Refusal;
use crate::wire::{Greeting, Severity, StartupMessage, answer, take_startup};

use super::shared::Shared;
use super::stream::Client;

/// The first byte of a TLS handshake (RFC 8446 section 5.1). No packet of Postgres begins with it:
/// it would be longer than any may be.
const TLS_HANDSHAKE: u8 = 0x16;
/// The protocol name that direct TLS must negotiate.
pub(super) const ALPN: &[u8] = b"postgresql";

/// How much is read at once, in bytes.
const READ_BYTES: usize = 2 * 1024;

/// A client that asks for a session.
pub(super) struct Opened {
    /// Its connection.
    pub(super) client: Client,
    /// What it asks for.
    pub(super) startup: StartupMessage,
    /// Whether the connection is TLS.
    pub(super) encrypted: bool,
}

/// Why a greeting ended.
enum Failure {
    /// The connection broke, or closed.
    Lost,
    /// The client is told why.
    Refused(Refusal),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads a connection's greeting. `None` where there is nothing more to do: the connection was a
/// cancel request, broke, or was refused. How long it may take is up to the caller.
pub(super) async fn greet(shared: &Shared, mut stream: TcpStream) -> Option<Opened> {
    match begins_with_tls(&stream).await {
        Ok(true) => return over_tls(shared, stream, Wanted::Directly).await,
        Ok(false) => {}
        Err(_) => return None,
    }
    let mut read = BytesMut::new();
    match in_plain_text(shared, &mut stream, &mut read).await {
        Ok(Plain::Tls) => over_tls(shared, stream, Wanted::ByRequest).await,
        Ok(Plain::Startup(startup)) => Some(Opened {
            client: Client::plain(stream, read),
            startup,
            encrypted: false,
        }),
        Ok(Plain::Done) | Err(Failure::Lost) => None,
        Err(Failure::Refused(refusal)) => {
            refuse(Client::plain(stream, read), &refusal).await;
            None
        }
    }
}

/// What comes of a greeting in plain text.
enum Plain {
    /// TLS was agreed on.
    Tls,
    /// A session is asked for.
    Startup(StartupMessage),
    /// Nothing more is to be done.
    Done,
}

/// Whether the client starts TLS at once. Nothing is taken off the stream.
async fn begins_with_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0_u8; 1];
    let count = stream.peek(&mut first).await?;
    Ok(count == 1 && first == [TLS_HANDSHAKE])
}

async fn in_plain_text(
    shared: &Shared,
    stream: &mut TcpStream,
    read: &mut BytesMut,
) -> Result<Plain, Failure> {
    let (mut tls_asked, mut gss_asked) = (false, false);
    loop {
        let packet = packet(shared, stream, read).await?;
        match Greeting::decode(&packet, &shared.limits)? {
            Greeting::SslRequest if tls_asked => return Err(asked_again().into()),
            Greeting::GssEncRequest if gss_asked => return Err(asked_again().into()),
            Greeting::SslRequest => {
                tls_asked = true;
                nothing_behind(read)?;
                if shared.tls.load().is_some() {
                    stream.write_all(b"S").await?;
                    return Ok(Plain::Tls);
                }
                stream.write_all(b"N").await?;
            }
            Greeting::GssEncRequest => {
                gss_asked = true;
                nothing_behind(read)?;
                stream.write_all(b"N").await?;
            }
            Greeting::CancelRequest { process_id, key } => {
                cancel(shared, process_id, &key).await;
                return Ok(Plain::Done);
            }
            Greeting::Startup(startup) => return Ok(Plain::Startup(startup)),
        }
    }
}

/// How TLS came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// With the first byte: the protocol must have been negotiated too, so that nobody can pass off
    /// another protocol's bytes.
    Directly,
    /// After SSLRequest.
    ByRequest,
}

async fn over_tls(shared: &Shared, stream: TcpStream, wanted: Wanted) -> Option<Opened> {
    let tls = shared.tls.load_full()?;
    let mut stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
    if wanted == Wanted::Directly && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return None;
    }
    let mut read = BytesMut::new();
    match inside_tls(shared, &mut stream, &mut read).await {
        Ok(Some(startup)) => Some(Opened {
            client: Client::tls(stream, read),
            startup,
            encrypted: true,
        }),
        Ok(None) | Err(Failure::Lost) => None,
        Err(Failure::Refused(refusal)) => {
            refuse(Client::tls(stream, read), &refusal).await;
            None
        }
    }
}

async fn inside_tls(
    shared: &Shared,
    stream: &mut TlsStream<TcpStream>,
    read: &mut BytesMut,
) -> Result<Option<StartupMessage>, Failure> {
    let packet = packet(shared, stream, read).await?;
    match Greeting::decode(&packet, &shared.limits)? {
        Greeting::SslRequest | Greeting::GssEncRequest => Err(asked_again().into()),
        Greeting::CancelRequest { process_id, key } => {
            cancel(shared, process_id, &key).await;
            Ok(None)
        }
        Greeting::Startup(startup) => Ok(Some(startup)),
    }
}

/// The next untagged packet.
async fn packet<S>(shared: &Shared, stream: &mut S, read: &mut BytesMut) -> Result<Bytes, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(body) = take_startup(read, shared.limits.startup_bytes_max)? {
            return Ok(body);
        }
        read.reserve(READ_BYTES);
        if stream.read_buf(read).await? == 0 {
            return Err(Failure::Lost);
        }
    }
}

/// Bytes that came before the answer to a request for encryption were put there in plain text, by
/// whoever it was.
fn nothing_behind(read: &BytesMut) -> Result<(), Refusal> {
    if read.is_empty() {
        return Ok(());
    }
    Err(
        Refusal::protocol("received unencrypted data after SSL or GSSAPI encryption request")
            .with_detail("The client did not wait for the answer, or somebody interferes."),
    )
}

fn asked_again() -> Refusal {
    Refusal::protocol("encryption was requested twice")
}

/// Passes a cancel request on, if its key is right. The client is not told either way.
async fn cancel(shared: &Shared, process_id: u32, key: &[u8]) {
    let Some(upstream) = shared.cancels.find(process_id, key) else {
        tracing::info!("a cancel request with an unknown key was ignored");
        return;
    };
    shared.counters.cancelled();
    if let Err(error) = shared.connector.cancel(&upstream).await {
        tracing::warn!(%error, "a cancel request could not be passed on");
    }
}

/// Tells a client why it gets no session, and closes.
pub(super) async fn refuse(mut client: Client, refusal: &Refusal) {
    answer::error_response(client.outbound.buffer(), refusal, None, Severity::Fatal);
    client.finish().await;
}
