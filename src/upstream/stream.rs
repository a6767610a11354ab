//! The two directions of a connection to the database, each its own value so that each can have
//! its own task. What is sent is a [`Cleared`] statement, a client's message that carries no text,
//! or nothing: no public function here takes SQL.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::Error;
use crate::gate::{Cleared, SEPARATOR};
use crate::refusal::Refusal;
use crate::wire::{Frame, Relayable, encode, take_frame};

/// The largest buffer, in bytes, that a sender keeps while it has nothing to send.
const KEPT_BYTES: usize = 8 * 1024;

/// The reading half of any transport.
pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Sync + Unpin>;
/// The writing half of any transport.
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// To the database. Messages gather in one buffer; nothing reaches the socket before
/// [`Sender::flush`].
pub struct Sender {
    half: WriteHalf,
    buffer: BytesMut,
    /// The Bind message of [`Sender::refuse`].
    refusal: Bytes,
}

impl Sender {
    /// Wraps the writing half. Fails with [`Error::Random`].
    pub(super) fn new(half: WriteHalf) -> Result<Self, Error> {
        let mut random = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Random)?;
        let unknowable = format!("pgward_refused_{:032x}", u128::from_be_bytes(random));
        let mut refusal = BytesMut::new();
        encode::bind_nothing(&mut refusal, &unknowable)
            .map_err(|refusal| Error::Protocol(refusal.message))?;
        Ok(Self {
            half,
            buffer: BytesMut::new(),
            refusal: refusal.freeze(),
        })
    }

    /// One Query message with the statements in order, [`SEPARATOR`] between them.
    ///
    /// # Errors
    /// Where a text cannot be written as a message (it holds a NUL, or is too long); nothing is
    /// buffered then.
    pub fn query(&mut self, statements: &[Cleared]) -> Result<(), Refusal> {
        match statements {
            [only] => encode::query(&mut self.buffer, only.text()),
            several => {
                let texts: Vec<&str> = several.iter().map(Cleared::text).collect();
                encode::query(&mut self.buffer, &texts.join(SEPARATOR))
            }
        }
    }

    /// A Parse message: prepares the statement under `name` (empty: the unnamed one). `types` are
    /// type OIDs, 0 where the database is to infer.
    ///
    /// # Errors
    /// As [`Sender::query`].
    pub fn parse(&mut self, name: &str, statement: &Cleared, types: &[u32]) -> Result<(), Refusal> {
        encode::parse(&mut self.buffer, name, statement.text(), types)
    }

    /// The very bytes of a client's message that carries no SQL.
    pub fn relay(&mut self, message: &Relayable) {
        self.buffer.extend_from_slice(message.bytes());
    }

    /// Stands in for a refused extended-protocol message: a Bind to a statement that does not
    /// exist. The database answers with an ErrorResponse in its turn, fails the transaction and
    /// skips to the next Sync, exactly as if it had refused by itself (Postgres manual, "Extended
    /// Query"). The name it asks for is 128 random bits, made once per connection.
    pub fn refuse(&mut self) {
        self.buffer.extend_from_slice(&self.refusal);
    }

    /// A Sync message.
    pub fn sync(&mut self) {
        encode::sync(&mut self.buffer);
    }

    /// A Terminate message.
    pub fn terminate(&mut self) {
        encode::terminate(&mut self.buffer);
    }

    /// Bytes that wait for [`Sender::flush`].
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what is buffered. May be dropped and called again: what was written is not written
    /// twice.
    ///
    /// # Errors
    /// What the system says about the connection; it is of no use any more.
    pub async fn flush(&mut self) -> io::Result<()> {
        let large = self.buffer.len() > KEPT_BYTES;
        while !self.buffer.is_empty() {
            if self.half.write_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if large {
            self.buffer = BytesMut::new();
        }
        self.half.flush().await
    }

    /// One of pgward's own constant statements. Private to `upstream`, and `'static`, so that no
    /// text of a client can come this way.
    pub(super) fn constant(&mut self, text: &'static str) -> Result<(), Refusal> {
        encode::query(&mut self.buffer, text)
    }

    /// The buffer itself, for the messages of the login.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }
}

/// From the database.
pub struct Receiver {
    half: ReadHalf,
    buffer: BytesMut,
    chunk_bytes: usize,
}

impl Receiver {
    /// Wraps the reading half; reads ask for at least `chunk_bytes`.
    pub(super) fn new(half: ReadHalf, chunk_bytes: usize) -> Self {
        Self {
            half,
            buffer: BytesMut::new(),
            chunk_bytes,
        }
    }

    /// The next bytes, whatever message they belong to; empty at the end of the stream. May be
    /// dropped and called again without losing any. While it waits it holds no buffer.
    ///
    /// # Errors
    /// What the system says about the connection.
    pub async fn read(&mut self) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.split().freeze())
    }

    /// The next whole message, no longer than `bytes_max`; for the login and the introspection.
    pub(super) async fn frame(&mut self, bytes_max: usize) -> Result<Frame, Error> {
        loop {
            let taken = take_frame(&mut self.buffer, bytes_max);
            if let Some(frame) = taken.map_err(|refusal| Error::Protocol(refusal.message))? {
                return Ok(frame);
            }
            if self.fill().await? == 0 {
                return Err(Error::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads once, behind what is buffered; 0 at the end of the stream.
    async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_fill(context)).await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.chunk_bytes);
        let polled = {
            let reading = pin!(self.half.read_buf(&mut self.buffer));
            reading.poll(context)
        };
        // An idle session must not hold a whole chunk of memory.
        if polled.is_pending() && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sender, Receiver, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        let (read, write) = tokio::io::split(near);
        let sender = Sender::new(Box::new(write)).unwrap();
        (sender, Receiver::new(Box::new(read), 1024), far)
    }

    #[tokio::test]
    async fn nothing_is_written_before_flush() {
        let (mut sender, _receiver, mut far) = pair();
        sender.sync();
        sender.terminate();
        assert_eq!(sender.buffered(), 10);
        sender.flush().await.unwrap();
        assert_eq!(sender.buffered(), 0);
        let mut read = [0_u8; 10];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"S\0\0\0\x04X\0\0\0\x04");
    }

    #[tokio::test]
    async fn a_refusal_names_a_statement_that_cannot_exist() {
        let (mut one, _receiver_one, _far_one) = pair();
        let (mut two, _receiver_two, _far_two) = pair();
        one.refuse();
        two.refuse();
        assert_eq!(one.buffer().first(), Some(&b'B'));
        assert_ne!(one.buffer(), two.buffer());
    }

    #[tokio::test]
    async fn frames_first_then_the_rest_as_chunks() {
        let (_sender, mut receiver, mut far) = pair();
        far.write_all(b"Z\0\0\0\x05IS\0\0\0\x08a\0b\0")
            .await
            .unwrap();
        let frame = receiver.frame(100).await.unwrap();
        assert_eq!(frame.tag(), b'Z');
        assert_eq!(receiver.read().await.unwrap(), "S\0\0\0\x08a\0b\0");
        drop(far);
        assert!(receiver.read().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_long_frame_and_an_early_end_are_errors() {
        let (_sender, mut receiver, mut far) = pair();
        far.write_all(b"E\0\0\x10\0").await.unwrap();
        assert!(matches!(receiver.frame(100).await, Err(Error::Protocol(_))));

        let (_sender, mut receiver, mut far) = pair();
        far.write_all(b"Z\0\0\0").await.unwrap();
        drop(far);
        assert!(matches!(receiver.frame(100).await, Err(Error::Lost(_))));
    }

    #[tokio::test]
    async fn waiting_holds_no_memory_and_loses_nothing() {
        let (_sender, mut receiver, mut far) = pair();
        let wait = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(wait, receiver.read()).await.is_err());
        assert_eq!(receiver.buffer.capacity(), 0);
        far.write_all(b"late").await.unwrap();
        assert_eq!(receiver.read().await.unwrap(), "late");
    }
}
