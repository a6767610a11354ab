//! A walk over what the database sends that looks at message boundaries alone. Rows, row
//! descriptions and COPY data pass by untouched and uncopied, in pieces as large as they came;
//! every other message is cut out whole, because something must be decided about it. No row is ever
//! decoded, and nothing is kept longer than its message needs.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, HEADER_BYTES, LENGTH_MAX, Limits, checked_length};
use crate::refusal::Refusal;

/// What a walk finds, in the order of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A message begins that passes: DataRow `D`, CopyData `d` or RowDescription `T`. Its bytes
    /// begin in the next [`Piece::Pass`], which may hold more such messages, each announced before.
    Header {
        /// The message type.
        tag: u8,
        /// The size of the whole message in bytes, tag and length included.
        len: usize,
    },
    /// Bytes to forward as they are: parts, one or many of the messages announced.
    Pass(Bytes),
    /// Any other message, whole.
    Frame(Frame),
}

/// Walks the byte stream of one connection to the database: [`feed`](Walker::feed) it a chunk, then
/// take [`next_piece`](Walker::next_piece) until there is none. The pieces put together are the
/// chunks put together.
pub struct Walker {
    control_bytes_max: usize,
    /// What was fed and not yet given out.
    chunk: Bytes,
    /// How many bytes at the front of `chunk` are walked and only wait to pass.
    run: usize,
    /// How many bytes of the message that passes now are not walked yet.
    passing: usize,
    /// The start of a message that cannot be told or given out before more comes.
    held: BytesMut,
    /// A header that was completed in `held` and passes before the rest of its message.
    prefix: Bytes,
}

impl Walker {
    /// Starts between two messages; messages other than those that pass are bounded by
    /// `control_bytes_max`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            control_bytes_max: limits.control_bytes_max,
            chunk: Bytes::new(),
            run: 0,
            passing: 0,
            held: BytesMut::new(),
            prefix: Bytes::new(),
        }
    }

    /// Hands in the next bytes of the stream. Bytes are copied only where the pieces of the chunk
    /// before were not all taken.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::new();
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next piece; `None` when more bytes are needed.
    ///
    /// # Errors
    /// 08P01 for a length below 4, 54000 for a message over its limit. The stream has no next
    /// message then: the connection must end.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Refusal> {
        if !self.prefix.is_empty() {
            return Ok(Some(Piece::Pass(std::mem::take(&mut self.prefix))));
        }
        if self.held.is_empty() {
            self.walk()
        } else {
            self.resume()
        }
    }

    /// Whether a message has begun that has not come whole. The end of the stream is in order only
    /// where this is false.
    pub fn is_inside_message(&self) -> bool {
        self.passing > 0 || !self.held.is_empty()
    }

    /// Walks on in `chunk`.
    fn walk(&mut self) -> Result<Option<Piece>, Refusal> {
        let here = self.passing.min(self.chunk.len().saturating_sub(self.run));
        self.run = self.run.saturating_add(here);
        self.passing = self.passing.saturating_sub(here);
        let rest = self.chunk.get(self.run..).unwrap_or_default();
        let available = rest.len();
        let Some(header) = rest.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(self.pass_or_hold());
        };
        let (tag, len) = self.measure(header)?;
        if passes(tag) {
            self.run = self.run.saturating_add(HEADER_BYTES);
            self.passing = len.saturating_sub(HEADER_BYTES);
            return Ok(Some(Piece::Header { tag, len }));
        }
        if self.run > 0 || available < len {
            return Ok(self.pass_or_hold());
        }
        let bytes = self.chunk.split_to(len);
        Ok(Some(Piece::Frame(Frame::whole(tag, bytes))))
    }

    /// Gives out what was walked; where there is nothing, the rest waits for the next chunk.
    fn pass_or_hold(&mut self) -> Option<Piece> {
        if self.run > 0 {
            let run = std::mem::take(&mut self.run);
            return Some(Piece::Pass(self.chunk.split_to(run)));
        }
        let rest = std::mem::take(&mut self.chunk);
        self.held.extend_from_slice(&rest);
        None
    }

    /// Completes the message that begins in `held`.
    fn resume(&mut self) -> Result<Option<Piece>, Refusal> {
        self.gather(HEADER_BYTES);
        let Some(header) = self.held.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(None);
        };
        let (tag, len) = self.measure(header)?;
        if passes(tag) {
            self.prefix = self.held.split().freeze();
            self.passing = len.saturating_sub(HEADER_BYTES);
            return Ok(Some(Piece::Header { tag, len }));
        }
        self.gather(len);
        if self.held.len() < len {
            return Ok(None);
        }
        let bytes = self.held.split().freeze();
        Ok(Some(Piece::Frame(Frame::whole(tag, bytes))))
    }

    /// Moves bytes from `chunk` until `held` has `len` of them, or all there are.
    fn gather(&mut self, len: usize) {
        let wanted = len.saturating_sub(self.held.len()).min(self.chunk.len());
        self.held.extend_from_slice(&self.chunk.split_to(wanted));
    }

    /// Tag and whole size of the message that begins with `header`.
    fn measure(&self, header: [u8; HEADER_BYTES]) -> Result<(u8, usize), Refusal> {
        let [tag, a, b, c, d] = header;
        let most = if passes(tag) {
            LENGTH_MAX
        } else {
            self.control_bytes_max
        };
        let length = checked_length([a, b, c, d], 4, most)?;
        Ok((tag, length.saturating_add(1)))
    }
}

const fn passes(tag: u8) -> bool {
    matches!(tag, b'D' | b'd' | b'T')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::frame_of;
    use super::*;
    use crate::refusal::SqlState;

    /// All pieces of a stream that comes in chunks.
    fn walk<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Piece>, Refusal> {
        let mut walker = Walker::new(&Limits::default());
        let mut pieces = Vec::new();
        for chunk in chunks {
            walker.feed(Bytes::copy_from_slice(chunk));
            while let Some(piece) = walker.next_piece()? {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    fn joined(pieces: &[Piece]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Header { .. } => {}
                Piece::Pass(part) => bytes.extend_from_slice(part),
                Piece::Frame(frame) => bytes.extend_from_slice(frame.bytes()),
            }
        }
        bytes
    }

    fn stream(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
        messages
            .iter()
            .flat_map(|(tag, body)| frame_of(*tag, body).bytes().to_vec())
            .collect()
    }

    fn pass(bytes: &'static [u8]) -> Piece {
        Piece::Pass(Bytes::from_static(bytes))
    }

    const RESULT: &[u8] =
        b"T\0\0\0\x06\0\0D\0\0\0\x05aD\0\0\0\x06bcC\0\0\0\x0dSELECT 2\0Z\0\0\0\x05I";

    #[test]
    fn a_run_passes_in_one_piece() {
        let pieces = walk([RESULT]).unwrap();
        let expected = [
            Piece::Header { tag: b'T', len: 7 },
            Piece::Header { tag: b'D', len: 6 },
            Piece::Header { tag: b'D', len: 7 },
            pass(b"T\0\0\0\x06\0\0D\0\0\0\x05aD\0\0\0\x06bc"),
            Piece::Frame(frame_of(b'C', b"SELECT 2\0")),
            Piece::Frame(frame_of(b'Z', b"I")),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_message_may_be_cut_anywhere() {
        for cut in 0..=RESULT.len() {
            let (head, tail) = RESULT.split_at(cut);
            let pieces = walk([head, tail]).unwrap();
            assert_eq!(joined(&pieces), RESULT, "cut at {cut}");
            let headers = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Header { .. }))
                .count();
            assert_eq!(headers, 3, "cut at {cut}");
            let frames = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Frame(_)))
                .count();
            assert_eq!(frames, 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_row_passes_before_it_is_whole() {
        let pieces = walk([b"D\0\0".as_slice(), b"\0\x0aab", b"cdef", b"Z\0\0\0\x05I"]).unwrap();
        let expected = [
            Piece::Header { tag: b'D', len: 11 },
            pass(b"D\0\0\0\x0a"),
            pass(b"ab"),
            pass(b"cdef"),
            Piece::Frame(frame_of(b'Z', b"I")),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn rows_are_not_copied() {
        let chunk = Bytes::from_static(RESULT);
        let mut walker = Walker::new(&Limits::default());
        walker.feed(chunk.clone());
        while let Some(piece) = walker.next_piece().unwrap() {
            if let Piece::Pass(bytes) = piece {
                assert_eq!(bytes.as_ptr(), chunk.as_ptr());
            }
        }
    }

    #[test]
    fn feeding_early_loses_nothing() {
        let mut walker = Walker::new(&Limits::default());
        for chunk in RESULT.chunks(3) {
            walker.feed(Bytes::copy_from_slice(chunk));
        }
        let mut pieces = Vec::new();
        while let Some(piece) = walker.next_piece().unwrap() {
            pieces.push(piece);
        }
        assert_eq!(joined(&pieces), RESULT);
        assert!(!walker.is_inside_message());
    }

    #[test]
    fn knows_whether_it_is_inside_a_message() {
        let cases: [(&[u8], bool); 7] = [
            (b"", false),
            (b"Z", true),
            (b"Z\0\0\0\x05", true),
            (b"Z\0\0\0\x05I", false),
            (b"D\0\0\0\x05", true),
            (b"D\0\0\0\x05x", false),
            (b"D\0\0\0\x05xD", true),
        ];
        for (bytes, inside) in cases {
            let mut walker = Walker::new(&Limits::default());
            walker.feed(Bytes::from_static(bytes));
            while walker.next_piece().unwrap().is_some() {}
            assert_eq!(walker.is_inside_message(), inside, "{bytes:?}");
        }
    }

    #[test]
    fn refuses_lengths_that_cannot_be() {
        let cases: [(&[u8], SqlState); 6] = [
            (b"Z\0\0\0\x03", SqlState::PROTOCOL_VIOLATION),
            (b"D\0\0\0\0", SqlState::PROTOCOL_VIOLATION),
            (b"D\x80\0\0\0", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"E\0\x10\0\x01", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"N\xff\xff\xff\xff", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"HTTP/1.1 400", SqlState::PROGRAM_LIMIT_EXCEEDED),
        ];
        for (bytes, code) in cases {
            for cut in 0..5 {
                let (head, tail) = bytes.split_at(cut);
                assert_eq!(walk([head, tail]).unwrap_err().code, code, "{bytes:?}");
            }
        }
        assert!(
            walk([b"E\0\x10\0\0".as_slice()]).is_ok(),
            "the limit itself"
        );
        assert!(
            walk([b"D\x7f\xff\xff\xff".as_slice()]).is_ok(),
            "rows are not bounded"
        );
    }

    proptest! {
        #[test]
        fn pieces_are_the_stream(
            messages in proptest::collection::vec(
                (
                    proptest::sample::select(b"DdTCZEN".as_slice()),
                    proptest::collection::vec(any::<u8>(), 0..20),
                ),
                0..12,
            ),
            chunk in 1_usize..50,
        ) {
            let bytes = stream(&messages);
            let pieces = walk(bytes.chunks(chunk)).unwrap();
            prop_assert_eq!(joined(&pieces), bytes);

            let found: Vec<(u8, usize)> = pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Header { tag, len } => Some((*tag, *len)),
                    Piece::Frame(frame) => Some((frame.tag(), frame.bytes().len())),
                    Piece::Pass(_) => None,
                })
                .collect();
            let sent: Vec<(u8, usize)> = messages
                .iter()
                .map(|(tag, body)| (*tag, body.len() + HEADER_BYTES))
                .collect();
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            chunk in 1_usize..20,
        ) {
            let _ = walk(bytes.chunks(chunk));
        }
    }
}
