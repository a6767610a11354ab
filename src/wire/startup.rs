//! The untagged packets that open a connection. The values in here may hold a token: no `Debug` and
//! no refusal shows one. What a parameter means is decided elsewhere.
//!
//! Source: Postgres manual, "Message Formats" (StartupMessage, SSLRequest, GSSENCRequest,
//! CancelRequest) and "Protocol Versions".

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;

use super::frame::Limits;
use super::options::shown;
use super::reader::Reader;
use crate::refusal::Refusal;

pub use super::options::split_options;

/// Request code of a CancelRequest (1234.5678).
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;
/// Request code of an SSLRequest (1234.5679).
pub(super) const SSL_REQUEST: u32 = 80_877_103;
/// Request code of a GSSENCRequest (1234.5680).
const GSSENC_REQUEST: u32 = 80_877_104;
/// The longest cancel key, in bytes; the shortest is 4.
pub(super) const CANCEL_KEY_BYTES_MAX: usize = 256;
/// Parameters with this prefix are options of the protocol itself.
const PROTOCOL_OPTION_PREFIX: &str = "_pq_.";

/// The first packet of a connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Greeting {
    /// The client asks for TLS; it waits for one byte, `S` or `N`.
    SslRequest,
    /// The client asks for GSSAPI encryption; it waits for one byte, `G` or `N`.
    GssEncRequest,
    /// The client asks to cancel what another connection runs; no answer is given.
    CancelRequest {
        /// The process id of that connection's BackendKeyData.
        process_id: u32,
        /// The key of that BackendKeyData, 4 to 256 bytes.
        key: Bytes,
    },
    /// The client opens a session.
    Startup(StartupMessage),
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SslRequest => f.write_str("SslRequest"),
            Self::GssEncRequest => f.write_str("GssEncRequest"),
            Self::CancelRequest { process_id, .. } => write!(f, "CancelRequest({process_id})"),
            Self::Startup(message) => fmt::Debug::fmt(message, f),
        }
    }
}

impl Greeting {
    /// Decodes the body of the first packet, request code included, as
    /// [`take_startup`](super::frame::take_startup) gives it.
    ///
    /// # Errors
    /// 08P01 or 22021 where the body is not exactly such a packet or names a parameter twice, 0A000
    /// for another major version than 3, 54000 for too many parameters.
    pub fn decode(body: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut body = Reader::new(body);
        match body.u32()? {
            SSL_REQUEST => body.finish().map(|()| Self::SslRequest),
            GSSENC_REQUEST => body.finish().map(|()| Self::GssEncRequest),
            CANCEL_REQUEST => cancel_request(body),
            version => {
                let [major, minor] = [version >> 16, version & 0xffff];
                if major != 3 {
                    return Err(unsupported_version(major, minor));
                }
                let minor = u16::try_from(minor).unwrap_or(u16::MAX);
                StartupMessage::decode(minor, body, limits).map(Self::Startup)
            }
        }
    }
}

fn cancel_request(mut body: Reader<'_>) -> Result<Greeting, Refusal> {
    let process_id = body.u32()?;
    let key = body.rest();
    if !(4..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
        return Err(Refusal::protocol("invalid length of cancel key"));
    }
    Ok(Greeting::CancelRequest {
        process_id,
        key: Bytes::copy_from_slice(key),
    })
}

fn unsupported_version(major: u32, minor: u32) -> Refusal {
    Refusal::unsupported(format!(
        "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"
    ))
}

/// A StartupMessage of protocol version 3.
#[derive(Clone, PartialEq, Eq)]
pub struct StartupMessage {
    /// The minor version the client asks for; see [`StartupMessage::agreed_minor`].
    pub minor: u16,
    /// Names of the `_pq_.` options it asks for. pgward knows none of them.
    pub protocol_options: Vec<String>,
    /// The other parameters in the order they came, names as written; no name comes twice, in
    /// whatever case.
    pub parameters: Vec<(String, String)>,
}

impl fmt::Debug for StartupMessage {
    /// Names only: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .parameters
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("StartupMessage")
            .field("minor", &self.minor)
            .field("protocol_options", &self.protocol_options)
            .field("parameters", &names)
            .finish()
    }
}

impl StartupMessage {
    fn decode(minor: u16, mut body: Reader<'_>, limits: &Limits) -> Result<Self, Refusal> {
        let mut message = Self {
            minor,
            protocol_options: Vec::new(),
            parameters: Vec::new(),
        };
        let mut seen = HashSet::new();
        loop {
            let name = body.text()?;
            if name.is_empty() {
                break;
            }
            let value = body.text()?;
            if !seen.insert(name.to_ascii_lowercase()) {
                let words = format!("startup parameter {} is given twice", shown(name));
                return Err(Refusal::protocol(words));
            }
            if seen.len() > limits.startup_parameters_max {
                return Err(too_many_parameters(limits.startup_parameters_max));
            }
            if name.starts_with(PROTOCOL_OPTION_PREFIX) {
                message.protocol_options.push(name.to_owned());
            } else {
                message.parameters.push((name.to_owned(), value.to_owned()));
            }
        }
        body.finish()?;
        Ok(message)
    }

    /// The value of a parameter, by its exact name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The minor version to speak: 3.0 and 3.2 exist, 3.1 was never a protocol, and whatever comes
    /// after 3.2 is not known here.
    pub const fn agreed_minor(&self) -> u16 {
        match self.minor {
            0 | 1 => 0,
            _ => 2,
        }
    }

    /// Whether the client must be told, with a NegotiateProtocolVersion before anything else, that
    /// it does not get all it asked for.
    pub const fn needs_negotiation(&self) -> bool {
        self.agreed_minor() != self.minor || !self.protocol_options.is_empty()
    }
}

fn too_many_parameters(most: usize) -> Refusal {
    Refusal::limit(format!("more than {most} startup parameters"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::refusal::SqlState;

    fn decode(body: &[u8]) -> Result<Greeting, Refusal> {
        Greeting::decode(body, &Limits::default())
    }

    fn startup(body: &[u8]) -> Result<StartupMessage, Refusal> {
        decode(body).map(|greeting| {
            let Greeting::Startup(message) = greeting else {
                panic!("a StartupMessage");
            };
            message
        })
    }

    #[test]
    fn tells_the_first_packets_apart() {
        assert_eq!(decode(b"\x04\xd2\x16\x2f"), Ok(Greeting::SslRequest));
        assert_eq!(decode(b"\x04\xd2\x16\x30"), Ok(Greeting::GssEncRequest));
        let cancel = Greeting::CancelRequest {
            process_id: 258,
            key: Bytes::from_static(b"\xde\xad\xbe\xef"),
        };
        let body = b"\x04\xd2\x16\x2e\0\0\x01\x02\xde\xad\xbe\xef";
        assert_eq!(decode(body), Ok(cancel));
    }

    #[test]
    fn refuses_first_packets_that_are_not_exact() {
        let long_key = [b"\x04\xd2\x16\x2e\0\0\0\x01".as_slice(), &[7; 257]].concat();
        let cases: [(&[u8], SqlState); 14] = [
            (b"", SqlState::PROTOCOL_VIOLATION),
            (b"\x04\xd2\x16", SqlState::PROTOCOL_VIOLATION),
            (b"\x04\xd2\x16\x2f\0", SqlState::PROTOCOL_VIOLATION),
            (b"\x04\xd2\x16\x30\0", SqlState::PROTOCOL_VIOLATION),
            (b"\x04\xd2\x16\x2e", SqlState::PROTOCOL_VIOLATION),
            (b"\x04\xd2\x16\x2e\0\0\0\x01", SqlState::PROTOCOL_VIOLATION),
            (
                b"\x04\xd2\x16\x2e\0\0\0\x01abc",
                SqlState::PROTOCOL_VIOLATION,
            ),
            (&long_key, SqlState::PROTOCOL_VIOLATION),
            (b"\0\x02\0\0user\0a\0\0", SqlState::FEATURE_NOT_SUPPORTED),
            (b"\0\x04\0\0user\0a\0\0", SqlState::FEATURE_NOT_SUPPORTED),
            (
                b"\x04\xd2\x16\x31user\0a\0\0",
                SqlState::FEATURE_NOT_SUPPORTED,
            ),
            (b"\0\x03\0\0user\0\xff\0\0", SqlState::NOT_IN_REPERTOIRE),
            (b"\0\x03\0\0us\xffer\0a\0\0", SqlState::NOT_IN_REPERTOIRE),
            (b"\0\x03\0\0user\0a\0\0\0", SqlState::PROTOCOL_VIOLATION),
        ];
        for (body, code) in cases {
            assert_eq!(decode(body).unwrap_err().code, code, "{body:?}");
        }
    }

    #[test]
    fn reads_a_startup_message() {
        let body = b"\0\x03\0\x02user\0bot\0_pq_.grease\0\0options\0-c a=b\0database\0\0\0";
        let message = startup(body).unwrap();
        assert_eq!(message.minor, 2);
        assert_eq!(message.protocol_options, ["_pq_.grease"]);
        let names: Vec<&str> = message
            .parameters
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["user", "options", "database"]);
        assert_eq!(message.parameter("user"), Some("bot"));
        assert_eq!(message.parameter("options"), Some("-c a=b"));
        assert_eq!(message.parameter("database"), Some(""));
        assert_eq!(message.parameter("User"), None);
        assert!(startup(b"\0\x03\0\0\0").unwrap().parameters.is_empty());
    }

    #[test]
    fn refuses_every_truncation_of_a_startup_message() {
        let whole = b"\0\x03\0\0user\0bot\0database\0shop\0\0";
        assert!(startup(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn refuses_a_parameter_given_twice() {
        let cases: [&[u8]; 3] = [
            b"\0\x03\0\0user\0a\0user\0a\0\0",
            b"\0\x03\0\0search_path\0a\0Search_Path\0b\0\0",
            b"\0\x03\0\0_pq_.x\0a\0_pq_.x\0b\0\0",
        ];
        for body in cases {
            let refusal = startup(body).unwrap_err();
            assert_eq!(refusal.code, SqlState::PROTOCOL_VIOLATION);
            assert!(refusal.message.contains("twice"), "{}", refusal.message);
        }
    }

    #[test]
    fn bounds_the_number_of_parameters() {
        let body = |count: usize| {
            let pairs: String = (0..count).map(|i| format!("p{i}\0v\0")).collect();
            [b"\0\x03\0\0".as_slice(), pairs.as_bytes(), b"\0"].concat()
        };
        assert_eq!(startup(&body(64)).unwrap().parameters.len(), 64);
        let refusal = startup(&body(65)).unwrap_err();
        assert_eq!(refusal.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
    }

    #[test]
    fn agrees_on_a_version() {
        // asked for, agreed on, told so
        let cases = [
            (0, 0, false),
            (1, 0, true),
            (2, 2, false),
            (3, 2, true),
            (9_999, 2, true),
            (u16::MAX, 2, true),
        ];
        for (minor, agreed, told) in cases {
            let mut message = startup(b"\0\x03\0\0\0").unwrap();
            message.minor = minor;
            assert_eq!(message.agreed_minor(), agreed, "3.{minor}");
            assert_eq!(message.needs_negotiation(), told, "3.{minor}");
            message.protocol_options.push("_pq_.x".to_owned());
            assert!(message.needs_negotiation(), "3.{minor} with an option");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let greeting = decode(b"\0\x03\0\0pgward.token\0eyJhbGci\0\0").unwrap();
        let shown = format!("{greeting:?}");
        assert!(
            shown.contains("pgward.token") && !shown.contains("eyJ"),
            "{shown}"
        );
        let cancel = decode(b"\x04\xd2\x16\x2e\0\0\0\x07key!").unwrap();
        assert_eq!(format!("{cancel:?}"), "CancelRequest(7)");
    }

    proptest! {
        #[test]
        fn no_packet_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&body);
            let _ = decode(&[b"\0\x03\0\0".as_slice(), &body].concat());
            let _ = decode(&[b"\x04\xd2\x16\x2e".as_slice(), &body].concat());
        }
    }
}
