//! The two directions of a client's connection, each its own value so that each can have its own
//! future. Reading keeps no buffer while it waits; writing is gathered and goes out when it is asked
//! to. Nothing here knows what the bytes mean.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::refusal::Refusal;
use crate::wire::{Frame, Limits, take_frame};

/// How much is read from a client at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Pieces up to this size are copied together, so that they go out in one write.
const SMALL_BYTES: usize = 4 * 1024;
/// The largest buffer, in bytes, that is kept while there is nothing to write.
const KEPT_BYTES: usize = 8 * 1024;
/// How long a client that is told that its session is over has time to read it.
const LINGER: Duration = Duration::from_secs(1);

/// A client's connection.
pub(super) struct Client {
    /// From the client.
    pub(super) inbound: Inbound,
    /// To the client.
    pub(super) outbound: Outbound,
}

impl Client {
    /// A connection in plain text. `read` is what was read of it and not used.
    pub(super) fn plain(stream: TcpStream, read: BytesMut) -> Self {
        let (inbound, outbound) = stream.into_split();
        Self::of(inbound, outbound, read)
    }

    /// A connection in TLS. `read` is what was read of it and not used.
    pub(super) fn tls(stream: TlsStream<TcpStream>, read: BytesMut) -> Self {
        let (inbound, outbound) = tokio::io::split(stream);
        Self::of(inbound, outbound, read)
    }

    /// Puts two halves together.
    pub(super) fn of(
        inbound: impl AsyncRead + Send + Sync + Unpin + 'static,
        outbound: impl AsyncWrite + Send + Sync + Unpin + 'static,
        read: BytesMut,
    ) -> Self {
        Self {
            inbound: Inbound {
                half: Box::new(inbound),
                buffer: read,
            },
            outbound: Outbound {
                half: Box::new(outbound),
                parts: VecDeque::new(),
                tail: BytesMut::new(),
            },
        }
    }

    /// Writes what is left, closes, and gives the client a moment to read it: closing a connection
    /// with something unread in it would take back what was written.
    pub(super) async fn finish(&mut self) {
        let parting = async {
            self.outbound.flush().await?;
            self.outbound.half.shutdown().await?;
            while self.inbound.fill().await? > 0 {
                self.inbound.buffer.clear();
            }
            Ok::<(), io::Error>(())
        };
        // Whether it was read does not matter any more.
        let _parted = tokio::time::timeout(LINGER, parting).await;
    }
}

/// From the client.
pub(super) struct Inbound {
    half: Box<dyn AsyncRead + Send + Sync + Unpin>,
    buffer: BytesMut,
}

impl Inbound {
    /// The next whole message that was read, if there is one; `bytes_max` bounds its length.
    ///
    /// # Errors
    /// As [`take_frame`]: the connection must end.
    pub(super) fn take(&mut self, bytes_max: usize) -> Result<Option<Frame>, Refusal> {
        take_frame(&mut self.buffer, bytes_max)
    }

    /// Reads once, behind what is buffered; 0 at the end of the stream. May be dropped and called
    /// again without losing any.
    ///
    /// # Errors
    /// What the system says about the connection.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_fill(context)).await
    }

    /// The next message before the identity is known, which is short. `None` at the end of the
    /// stream.
    ///
    /// # Errors
    /// A [`Refusal`] for a message that is too long; the outer error is the system's.
    pub(super) async fn message(
        &mut self,
        limits: &Limits,
    ) -> io::Result<Result<Option<Frame>, Refusal>> {
        loop {
            match self.take(limits.password_bytes_max) {
                Ok(None) => {
                    if self.fill().await? == 0 {
                        return Ok(Ok(None));
                    }
                }
                taken => return Ok(taken),
            }
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(CHUNK_BYTES);
        let polled = pin!(self.half.read_buf(&mut self.buffer)).poll(context);
        // An idle session must not hold a whole chunk of memory.
        if polled.is_pending() && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        polled
    }
}

/// To the client.
pub(super) struct Outbound {
    half: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// What is to be written first, in order.
    parts: VecDeque<Bytes>,
    /// What is to be written last.
    tail: BytesMut,
}

impl Outbound {
    /// Where messages are written to, behind everything before.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds bytes; large pieces are not copied.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= SMALL_BYTES {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.seal();
        self.parts.push_back(bytes);
    }

    /// Writes what was added. May be dropped and called again: what was written is not written
    /// twice.
    ///
    /// # Errors
    /// What the system says about the connection; it is of no use any more.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.seal();
        while let Some(part) = self.parts.front_mut() {
            if part.is_empty() {
                self.parts.pop_front();
            } else if self.half.write_buf(part).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.half.flush().await
    }

    /// Forgets what was added: nobody reads it.
    pub(super) fn discard(&mut self) {
        self.parts.clear();
        self.tail.clear();
    }

    /// Moves the tail to the parts.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let part = self.tail.split().freeze();
            self.parts.push_back(part);
        }
        if self.tail.capacity() > KEPT_BYTES {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> (Client, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        let (inbound, outbound) = tokio::io::split(ours);
        (Client::of(inbound, outbound, BytesMut::new()), theirs)
    }

    #[tokio::test]
    async fn writes_in_order_whatever_the_sizes() {
        let (mut client, mut theirs) = client();
        let large = vec![b'x'; SMALL_BYTES + 1];
        client.outbound.buffer().extend_from_slice(b"one ");
        client.outbound.push(Bytes::from_static(b"two "));
        client.outbound.push(Bytes::from(large.clone()));
        client.outbound.push(Bytes::from_static(b" three"));
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all
        });
        client.outbound.flush().await.unwrap();
        client.outbound.half.shutdown().await.unwrap();
        let expected = [b"one two ".as_slice(), &large, b" three"].concat();
        assert_eq!(reading.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn reads_messages_however_they_are_cut() {
        let (mut client, mut theirs) = client();
        let limits = Limits::default();
        tokio::spawn(async move {
            for byte in b"p\0\0\0\x07ab\0S\0\0\0\x04" {
                theirs.write_all(&[*byte]).await.unwrap();
            }
        });
        let first = client.inbound.message(&limits).await.unwrap().unwrap();
        assert_eq!(first.unwrap().body(), b"ab\0");
        let second = client.inbound.message(&limits).await.unwrap().unwrap();
        assert_eq!(second.unwrap().tag(), b'S');
        let end = client.inbound.message(&limits).await.unwrap().unwrap();
        assert!(end.is_none());
    }

    #[tokio::test]
    async fn a_long_message_is_refused_before_it_is_read() {
        let (mut client, mut theirs) = client();
        theirs.write_all(b"p\x7f\xff\xff\xff").await.unwrap();
        let read = client.inbound.message(&Limits::default()).await.unwrap();
        assert!(read.is_err());
    }
}
