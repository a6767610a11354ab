//! Where a message starts and ends, and every limit of the protocol. A length that cannot be right
//! is refused before its body is awaited; nothing here looks inside a body.
//!
//! Source: Postgres manual, "Message Formats": a tag byte (none in the first packet of a
//! connection), an Int32 length that counts itself but not the tag, the body.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::refusal::Refusal;

/// Tag and length of a message, in bytes.
pub(super) const HEADER_BYTES: usize = 5;
/// The longest length a message may declare: Int32 is signed.
pub(super) const LENGTH_MAX: usize = 0x7fff_ffff;
/// What a length counts at least: itself.
const LENGTH_BYTES: usize = 4;

/// Every limit of the protocol, as the operator may set it. A limit that is passed refuses with
/// 54000; those named in milliseconds end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The body of the first, untagged packet, in bytes. Postgres itself ends at 10,000.
    pub startup_bytes_max: usize,
    /// Parameters in a StartupMessage, `_pq_.` options included.
    pub startup_parameters_max: usize,
    /// A password or SASL message, in bytes: the only messages read before the identity is known.
    pub password_bytes_max: usize,
    /// Any message of a client, in bytes.
    pub message_bytes_max: usize,
    /// The SQL text of one Query or Parse message, in bytes.
    pub statement_bytes_max: usize,
    /// Statements in the text of one Query message.
    pub statements_per_message_max: usize,
    /// How deep a statement may nest or chain: parentheses, comments, set operations, operators.
    pub nesting_depth_max: usize,
    /// Parameters of a Parse or Bind message.
    pub bind_parameters_max: usize,
    /// Prepared statements that one session may hold.
    pub statements_held_max: usize,
    /// Portals that one session may hold.
    pub portals_held_max: usize,
    /// A message of the database other than rows, row descriptions and COPY data, in bytes.
    pub control_bytes_max: usize,
    /// How much is read from the database at once, in bytes.
    pub relay_chunk_bytes: usize,
    /// Sessions at the same time, over all agents.
    pub sessions_max: usize,
    /// From the first byte of a connection to the end of its login, in milliseconds.
    pub login_ms_max: u64,
    /// Passing a cancel request on to the database, in milliseconds.
    pub cancel_ms_max: u64,
    /// Refused logins without a verified identity that are recorded one by one, per minute.
    pub refused_logins_recorded_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            startup_bytes_max: 10_000,
            startup_parameters_max: 64,
            password_bytes_max: 65_535,
            message_bytes_max: 64 * 1024 * 1024,
            statement_bytes_max: 1024 * 1024,
            statements_per_message_max: 100,
            nesting_depth_max: 200,
            bind_parameters_max: 65_535,
            statements_held_max: 1_000,
            portals_held_max: 1_000,
            control_bytes_max: 1024 * 1024,
            relay_chunk_bytes: 32 * 1024,
            sessions_max: 1_000,
            login_ms_max: 10_000,
            cancel_ms_max: 5_000,
            refused_logins_recorded_max: 600,
        }
    }
}

/// A limit outside the range in which it means something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} = {value} is outside {least} to {most}")]
pub struct LimitError {
    /// The setting's name.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// The least it may be.
    pub least: u64,
    /// The most it may be.
    pub most: u64,
}

impl Limits {
    /// Names of SQL that a session may hold: prepared statements, portals and cursors together.
    pub fn names_held_max(&self) -> usize {
        self.statements_held_max
            .saturating_add(self.portals_held_max)
    }

    /// Checks what was read from a configuration; the part that reads it calls this once.
    ///
    /// # Errors
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), LimitError> {
        let sizes = [
            ("startup_bytes_max", self.startup_bytes_max),
            ("password_bytes_max", self.password_bytes_max),
            ("message_bytes_max", self.message_bytes_max),
            ("statement_bytes_max", self.statement_bytes_max),
            ("control_bytes_max", self.control_bytes_max),
            ("relay_chunk_bytes", self.relay_chunk_bytes),
        ];
        let counts = [
            ("startup_parameters_max", self.startup_parameters_max),
            (
                "statements_per_message_max",
                self.statements_per_message_max,
            ),
            ("nesting_depth_max", self.nesting_depth_max),
            ("bind_parameters_max", self.bind_parameters_max),
            ("statements_held_max", self.statements_held_max),
            ("portals_held_max", self.portals_held_max),
            ("sessions_max", self.sessions_max),
            (
                "refused_logins_recorded_max",
                self.refused_logins_recorded_max,
            ),
        ];
        let times = [
            ("login_ms_max", self.login_ms_max),
            ("cancel_ms_max", self.cancel_ms_max),
        ];
        for (name, bytes) in sizes {
            within(name, to_u64(bytes), 256, to_u64(LENGTH_MAX))?;
        }
        for (name, count) in counts {
            within(name, to_u64(count), 1, 1_000_000)?;
        }
        for (name, milliseconds) in times {
            within(name, milliseconds, 1, 3_600_000)?;
        }
        Ok(())
    }
}

fn to_u64(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn within(name: &'static str, value: u64, least: u64, most: u64) -> Result<(), LimitError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(LimitError {
        name,
        value,
        least,
        most,
    })
}

/// One whole message: the very bytes that came, and what they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    tag: u8,
    bytes: Bytes,
}

impl Frame {
    /// For the walker: `bytes` is exactly one message that starts with `tag`.
    pub(super) const fn whole(tag: u8, bytes: Bytes) -> Self {
        Self { tag, bytes }
    }

    /// The message type.
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The whole message as it came: tag, length, body.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body alone.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

impl fmt::Debug for Frame {
    /// Tag and size only: a body may hold a token, a password or a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = char::from(self.tag).escape_default();
        write!(f, "Frame('{tag}', {} bytes)", self.bytes.len())
    }
}

/// Takes one tagged message off the front of `buf`; `None` while it is not whole. `max` bounds the
/// declared length (the message without its tag), in bytes.
///
/// # Errors
/// 08P01 for a length below 4, 54000 for one above `max`, each as soon as the length is there. The
/// stream has no next message then: the connection must end.
pub fn take_frame(buf: &mut BytesMut, max: usize) -> Result<Option<Frame>, Refusal> {
    let Some(&[tag, a, b, c, d]) = buf.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    // No message has another kind of tag: a second startup packet, for one, begins with a zero.
    if !tag.is_ascii_alphabetic() {
        return Err(Refusal::protocol(format!("invalid message type {tag}")));
    }
    let size = checked_length([a, b, c, d], LENGTH_BYTES, max)?.saturating_add(1);
    if buf.len() < size {
        return Ok(None);
    }
    Ok(Some(Frame {
        tag,
        bytes: buf.split_to(size).freeze(),
    }))
}

/// Takes the first packet of a connection, which has no tag, off the front of `buf`: its body, the
/// request code included. `None` while it is not whole. `max` bounds the body, in bytes, as
/// Postgres's own 10,000 do.
///
/// # Errors
/// 08P01 for a length below 8, 54000 for a body longer than `max`: the connection must end.
pub fn take_startup(buf: &mut BytesMut, max: usize) -> Result<Option<Bytes>, Refusal> {
    let Some(&length) = buf.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let least = LENGTH_BYTES.saturating_add(4);
    let size = checked_length(length, least, max.saturating_add(LENGTH_BYTES))?;
    if buf.len() < size {
        return Ok(None);
    }
    let mut packet = buf.split_to(size).freeze();
    Ok(Some(packet.split_off(LENGTH_BYTES)))
}

/// A declared length, held against its bounds.
pub(super) fn checked_length(length: [u8; 4], least: usize, max: usize) -> Result<usize, Refusal> {
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length < least {
        return Err(Refusal::protocol("invalid message length"));
    }
    if length > max.min(LENGTH_MAX) {
        let words = format!("message length {length} is over the limit of {max} bytes");
        return Err(Refusal::limit(words));
    }
    Ok(length)
}

/// A frame of that tag and body, for the tests of this module.
#[cfg(test)]
pub(super) fn frame_of(tag: u8, body: &[u8]) -> Frame {
    let length = u32::try_from(body.len() + 4).unwrap();
    let bytes = [[tag].as_slice(), &length.to_be_bytes(), body].concat();
    Frame::whole(tag, bytes.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::refusal::SqlState;

    #[test]
    fn takes_whole_frames_in_order() {
        let mut buf = BytesMut::from(b"Q\0\0\0\x06x\0S\0\0\0\x04X\0\0".as_slice());
        let query = take_frame(&mut buf, 100).unwrap().unwrap();
        assert_eq!(query.tag(), b'Q');
        assert_eq!(query.body(), b"x\0");
        assert_eq!(query.bytes(), b"Q\0\0\0\x06x\0".as_slice());
        let sync = take_frame(&mut buf, 100).unwrap().unwrap();
        assert_eq!((sync.tag(), sync.body()), (b'S', b"".as_slice()));
        assert_eq!(take_frame(&mut buf, 100), Ok(None));
        assert_eq!(buf, b"X\0\0".as_slice());
    }

    #[test]
    fn waits_at_every_cut() {
        let whole = b"Q\0\0\0\x0dSELECT 1\0";
        for cut in 0..whole.len() {
            let mut buf = BytesMut::from(&whole[..cut]);
            assert_eq!(take_frame(&mut buf, 100), Ok(None), "cut at {cut}");
            assert_eq!(buf, whole[..cut], "cut at {cut}");
        }
    }

    #[test]
    fn refuses_a_wrong_length_before_the_body() {
        let cases: [(&[u8], SqlState); 8] = [
            (b"Q\0\0\0\0", SqlState::PROTOCOL_VIOLATION),
            (b"Q\0\0\0\x03", SqlState::PROTOCOL_VIOLATION),
            (b"Q\0\0\0\x65", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"Q\x7f\xff\xff\xff", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"Q\x80\0\0\0", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"Q\xff\xff\xff\xff", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"GET / HTTP/1.1", SqlState::PROGRAM_LIMIT_EXCEEDED),
            (b"\x16\x03\x01\x02\0\x01", SqlState::PROTOCOL_VIOLATION),
        ];
        for (bytes, code) in cases {
            let refusal = take_frame(&mut BytesMut::from(bytes), 100).unwrap_err();
            assert_eq!(refusal.code, code, "{bytes:?}");
        }
        let mut buf = BytesMut::from(b"Q\x80\0\0\0".as_slice());
        assert!(
            take_frame(&mut buf, usize::MAX).is_err(),
            "a length is signed"
        );
        let mut buf = BytesMut::from(b"Q\0\0\0\x64".as_slice());
        assert_eq!(
            take_frame(&mut buf, 100),
            Ok(None),
            "the limit itself is allowed"
        );
    }

    #[test]
    fn takes_the_first_packet() {
        let mut buf = BytesMut::from(b"\0\0\0\x08\x04\xd2\x16\x2fQ".as_slice());
        let body = take_startup(&mut buf, 10_000).unwrap().unwrap();
        assert_eq!(body, b"\x04\xd2\x16\x2f".as_slice());
        assert_eq!(
            buf,
            b"Q".as_slice(),
            "what follows stays, for the caller to refuse"
        );
        for cut in 0..8 {
            let mut buf = BytesMut::from(&b"\0\0\0\x08\x04\xd2\x16\x2f"[..cut]);
            assert_eq!(take_startup(&mut buf, 10_000), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn bounds_the_first_packet_as_postgres_does() {
        let outcome = |length: u32| {
            let mut buf = BytesMut::from(length.to_be_bytes().as_slice());
            take_startup(&mut buf, 10_000).map_err(|refusal| refusal.code)
        };
        assert_eq!(outcome(7), Err(SqlState::PROTOCOL_VIOLATION));
        assert_eq!(outcome(8), Ok(None));
        assert_eq!(outcome(10_004), Ok(None));
        assert_eq!(outcome(10_005), Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
        assert_eq!(outcome(u32::MAX), Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
    }

    #[test]
    fn debug_keeps_the_body_to_itself() {
        let shown = format!("{:?}", frame_of(b'p', b"hunter2\0"));
        assert_eq!(shown, "Frame('p', 13 bytes)");
    }

    #[test]
    fn limits_are_strict_and_have_ranges() {
        let read = |text: &str| toml::from_str::<Limits>(text);
        assert_eq!(read("").unwrap(), Limits::default());
        assert_eq!(read("sessions_max = 7").unwrap().sessions_max, 7);
        assert!(read("sesions_max = 7").is_err());
        assert!(read("sessions_max = -1").is_err());
        assert_eq!(Limits::default().check(), Ok(()));
        let wrong = read("relay_chunk_bytes = 0").unwrap().check().unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "relay_chunk_bytes = 0 is outside 256 to 2147483647"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_a_wait_or_a_refusal(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            max in 0_usize..64,
        ) {
            let mut buf = BytesMut::from(bytes.as_slice());
            match take_frame(&mut buf, max) {
                Ok(Some(frame)) => {
                    let joined = [&frame.bytes()[..], &buf[..]].concat();
                    prop_assert_eq!(&joined, &bytes);
                    prop_assert!(frame.bytes().len() <= max + 1);
                }
                Ok(None) | Err(_) => prop_assert_eq!(&buf[..], &bytes[..]),
            }
            let mut buf = BytesMut::from(bytes.as_slice());
            if let Ok(Some(body)) = take_startup(&mut buf, max) {
                prop_assert!(body.len() <= max);
                prop_assert_eq!(body.len() + 4 + buf.len(), bytes.len());
            }
        }

        #[test]
        fn a_frame_survives_any_chunking(
            bodies in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..30),
                1..8,
            ),
            chunk in 1_usize..17,
        ) {
            let stream: Vec<u8> = bodies
                .iter()
                .flat_map(|body| frame_of(b'd', body).bytes().to_vec())
                .collect();
            let mut buf = BytesMut::new();
            let mut read = Vec::new();
            for part in stream.chunks(chunk) {
                buf.extend_from_slice(part);
                while let Some(frame) = take_frame(&mut buf, 64).unwrap() {
                    read.push(frame.body().to_vec());
                }
            }
            prop_assert_eq!(read, bodies);
        }
    }
}
