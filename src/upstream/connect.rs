//! Opens the way to the database: TCP or a Unix socket, then TLS where the configuration asks for
//! it. Nothing is said here that belongs to a login.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};

use super::certificate;
use super::config::Config;
use super::error::Error;
use super::stream::{Receiver, Sender};
use super::tls::Tls;
use crate::wire::encode;

/// What protects a connection, as far as the login depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    /// TCP in plain text.
    Plain,
    /// A Unix socket: it does not leave the machine.
    Local,
    /// TLS, with the `tls-server-end-point` binding where the certificate allows one.
    Tls {
        /// The binding data.
        end_point: Option<Vec<u8>>,
    },
}

/// An open connection before its login.
pub(super) struct Link {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) security: Security,
}

/// Opens a connection. Reads will ask for `chunk_bytes` at a time.
pub(super) async fn open(
    config: &Config,
    tls: Option<&Tls>,
    chunk_bytes: usize,
) -> Result<Link, Error> {
    if config.is_unix() {
        let stream = UnixStream::connect(config.address()).await;
        let (read, write) = stream.map_err(|e| unreachable(config, e))?.into_split();
        return Ok(Link {
            sender: Sender::new(Box::new(write))?,
            receiver: Receiver::new(Box::new(read), chunk_bytes),
            security: Security::Local,
        });
    }
    let mut stream = tcp(config).await.map_err(|e| unreachable(config, e))?;
    let Some(tls) = tls else {
        let (read, write) = stream.into_split();
        return Ok(Link {
            sender: Sender::new(Box::new(write))?,
            receiver: Receiver::new(Box::new(read), chunk_bytes),
            security: Security::Plain,
        });
    };
    request_tls(&mut stream, config).await?;
    let stream = tls.handshake(stream).await.map_err(|source| Error::Tls {
        address: config.address(),
        source,
    })?;
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let end_point = leaf.and_then(|leaf| certificate::end_point(leaf));
    let (read, write) = tokio::io::split(stream);
    Ok(Link {
        sender: Sender::new(Box::new(write))?,
        receiver: Receiver::new(Box::new(read), chunk_bytes),
        security: Security::Tls { end_point },
    })
}

fn unreachable(config: &Config, source: io::Error) -> Error {
    Error::Unreachable {
        address: config.address(),
        source,
    }
}

/// Tries the host's addresses in turn. Keep-alive is on, so that a database that vanished is
/// noticed by idle sessions too.
async fn tcp(config: &Config) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((config.host.as_str(), config.port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_keepalive(true)?;
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks the server for TLS (Postgres manual, "SSL Session Encryption"). The answer is one byte;
/// anything that comes with it was put there in plain text and ends the connection.
async fn request_tls<S>(stream: &mut S, config: &Config) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = BytesMut::new();
    encode::ssl_request(&mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut answer = [0_u8; 64];
    let count = stream.read(&mut answer).await?;
    match answer.get(..count).unwrap_or_default() {
        b"S" => Ok(()),
        [] => Err(Error::Lost(io::ErrorKind::UnexpectedEof.into())),
        [b'S', ..] => Err(Error::Protocol(
            "bytes came in plain text after the agreement to TLS".to_owned(),
        )),
        [b'N', ..] => Err(Error::TlsRefused(config.address())),
        // The text of an ErrorResponse is not repeated: nobody has proved to be the database yet.
        _ => Err(Error::Protocol(
            "the answer to SSLRequest is neither S nor N".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &[u8]) -> Result<(), Error> {
        let config = Config::from_url("postgres://app@db.internal/shop").unwrap();
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let outcome = request_tls(&mut near, &config).await;
        let mut asked = [0_u8; 8];
        far.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"\0\0\0\x08\x04\xd2\x16\x2f");
        outcome
    }

    #[tokio::test]
    async fn only_one_s_is_agreement() {
        assert!(answered(b"S").await.is_ok());
        assert!(matches!(answered(b"N").await, Err(Error::TlsRefused(_))));
        assert!(matches!(answered(b"").await, Err(Error::Lost(_))));
        let injected: [&[u8]; 4] = [b"SR\0\0\0\x08\0\0\0\0", b"SS", b"E\0\0\0\x08", b"\x16"];
        for answer in injected {
            let outcome = answered(answer).await;
            assert!(matches!(outcome, Err(Error::Protocol(_))), "{answer:?}");
        }
    }
}
