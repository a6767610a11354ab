//! The proof that a message of a client may be passed to the database as it is. It never says that
//! it should be: that a portal is known and its statement cleared is for the session to see.

use bytes::Bytes;

use super::frame::Frame;
use super::frontend::Frontend;

/// A whole frame that was decoded and carries no SQL text: it may be passed to the database as it
/// is. There is no other way to make one.
#[derive(Debug, Clone)]
pub struct Relayable(Frame);

impl Relayable {
    /// Wraps `frame`, which `message` was decoded from. `None` for every message that carries SQL
    /// text, ends or opens a session, or calls a function, and where the two are not of one type.
    pub fn new(frame: Frame, message: &Frontend) -> Option<Self> {
        let textless = match message {
            Frontend::Bind(_)
            | Frontend::Describe(_)
            | Frontend::Execute { .. }
            | Frontend::Close(_)
            | Frontend::Flush
            | Frontend::Sync
            | Frontend::CopyData
            | Frontend::CopyDone
            | Frontend::CopyFail => true,
            Frontend::Query(_)
            | Frontend::Parse(_)
            | Frontend::Terminate
            | Frontend::Password(_)
            | Frontend::FunctionCall => false,
        };
        (textless && message.tag() == frame.tag()).then_some(Self(frame))
    }

    /// The bytes to send.
    pub const fn bytes(&self) -> &Bytes {
        self.0.bytes()
    }

    /// The message type.
    pub const fn tag(&self) -> u8 {
        self.0.tag()
    }
}

#[cfg(test)]
mod tests {
    use super::super::authentication::Credential;
    use super::super::frame::{Limits, frame_of};
    use super::super::frontend::decode;
    use super::*;

    #[test]
    fn messages_without_sql_text_are_relayable() {
        let cases: [(u8, &[u8]); 9] = [
            (b'B', b"\0\0\0\0\0\0\0\0"),
            (b'D', b"S\0"),
            (b'E', b"\0\0\0\0\0"),
            (b'C', b"P\0"),
            (b'H', b""),
            (b'S', b""),
            (b'd', b"SELECT 1"),
            (b'c', b""),
            (b'f', b"SELECT 1\0"),
        ];
        for (tag, body) in cases {
            let frame = frame_of(tag, body);
            let message = decode(&frame, &Limits::default()).unwrap();
            let relayable = Relayable::new(frame.clone(), &message).unwrap();
            assert_eq!(relayable.bytes(), frame.bytes());
            assert_eq!(relayable.tag(), tag);
        }
    }

    #[test]
    fn no_other_message_is() {
        let cases: [(u8, &[u8]); 5] = [
            (b'Q', b"SELECT 1\0"),
            (b'P', b"\0SELECT 1\0\0\0"),
            (b'X', b""),
            (b'p', b"password\0"),
            (b'F', b"\0\0\0\x01"),
        ];
        for (tag, body) in cases {
            let frame = frame_of(tag, body);
            let message = decode(&frame, &Limits::default()).unwrap();
            assert!(Relayable::new(frame, &message).is_none(), "{message:?}");
        }
    }

    #[test]
    fn frame_and_message_must_belong_together() {
        let cases = [
            (b'Q', Frontend::Sync),
            (b'P', Frontend::CopyData),
            (b'F', Frontend::Flush),
            (b'S', Frontend::Password(Credential::new(b"pw\0"))),
        ];
        for (tag, message) in cases {
            let relayable = Relayable::new(frame_of(tag, b""), &message);
            assert!(relayable.is_none(), "{message:?}");
        }
    }
}
