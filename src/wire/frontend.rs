//! The messages of a client after its greeting, decoded strictly: the body is consumed exactly,
//! every string ends inside it and is UTF-8, every count is bounded. Bytes that pass are forwarded
//! as they came, so nothing here accepts what the server might read otherwise. No SQL is read.
//!
//! Source: Postgres manual, "Message Formats".

use super::authentication::Credential;
use super::bind;
use super::frame::{Frame, Limits};
use super::reader::{Reader, at_most};
use crate::refusal::Refusal;

pub use super::bind::Bind;
pub use super::relayable::Relayable;

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend {
    /// `Q`: a simple query.
    Query(Query),
    /// `P`: prepares a statement.
    Parse(Parse),
    /// `B`: binds a prepared statement to a portal.
    Bind(Bind),
    /// `D`: describes a statement or portal.
    Describe(Target),
    /// `E`: runs a portal.
    Execute {
        /// The portal; empty for the unnamed one.
        portal: String,
        /// Rows after which the portal is suspended; 0 for no such limit.
        max_rows: u32,
    },
    /// `C`: closes a statement or portal.
    Close(Target),
    /// `H`: asks for what has been answered so far.
    Flush,
    /// `S`: ends a series of extended-query messages.
    Sync,
    /// `X`: ends the session.
    Terminate,
    /// `d`: COPY data, whatever it holds.
    CopyData,
    /// `c`: the end of COPY data.
    CopyDone,
    /// `f`: the client gives a COPY up.
    CopyFail,
    /// `p`: a password or SASL message; what it is depends on what was asked, see
    /// [`authentication`](super::authentication).
    Password(Credential),
    /// `F`: a call by the OID of a function, which is never let through and so not decoded.
    FunctionCall,
}

/// The content of a Query message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The SQL text: any number of statements, or none.
    pub text: String,
}

/// The content of a Parse message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse {
    /// The statement's name; empty for the unnamed one.
    pub name: String,
    /// The SQL text: at most one statement, which the codec does not check.
    pub text: String,
    /// Type OIDs of the first parameters; 0 where the server is to infer one.
    pub parameter_types: Vec<u32>,
}

/// What a Describe or Close message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement, by name.
    Statement(String),
    /// A portal, by name.
    Portal(String),
}

impl Frontend {
    /// The message type this was decoded from.
    pub const fn tag(&self) -> u8 {
        match self {
            Self::Query(_) => b'Q',
            Self::Parse(_) => b'P',
            Self::Bind(_) => b'B',
            Self::Describe(_) => b'D',
            Self::Execute { .. } => b'E',
            Self::Close(_) => b'C',
            Self::Flush => b'H',
            Self::Sync => b'S',
            Self::Terminate => b'X',
            Self::CopyData => b'd',
            Self::CopyDone => b'c',
            Self::CopyFail => b'f',
            Self::Password(_) => b'p',
            Self::FunctionCall => b'F',
        }
    }
}

/// Decodes one message. The frame is whole, so the stream stays in step after a refusal, except
/// after an unknown message type.
///
/// # Errors
/// 08P01 for an unknown type or a body that is not exact, 22021 for text that is not UTF-8, 54000
/// for what is over a limit, 42622 for a statement or portal name longer than 63 bytes: the server
/// would cut it, and two names would become one.
pub fn decode(frame: &Frame, limits: &Limits) -> Result<Frontend, Refusal> {
    let mut body = Reader::new(frame.body());
    let message = match frame.tag() {
        b'Q' => Frontend::Query(query(&mut body, limits)?),
        b'P' => Frontend::Parse(parse(&mut body, limits)?),
        b'B' => Frontend::Bind(bind::decode(&mut body, limits)?),
        b'D' => Frontend::Describe(target(&mut body, "Describe")?),
        b'E' => execute(&mut body)?,
        b'C' => Frontend::Close(target(&mut body, "Close")?),
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'c' => Frontend::CopyDone,
        b'f' => body.text().map(|_| Frontend::CopyFail)?,
        b'd' => return Ok(Frontend::CopyData),
        b'F' => return Ok(Frontend::FunctionCall),
        b'p' => return password(frame.body(), limits),
        other => {
            let words = format!("invalid frontend message type {other}");
            return Err(Refusal::protocol(words));
        }
    };
    body.finish()?;
    Ok(message)
}

fn password(body: &[u8], limits: &Limits) -> Result<Frontend, Refusal> {
    at_most(
        body.len(),
        limits.password_bytes_max,
        "bytes in a password message",
    )?;
    Ok(Frontend::Password(Credential::new(body)))
}

fn query(body: &mut Reader<'_>, limits: &Limits) -> Result<Query, Refusal> {
    let text = statement(body, limits)?;
    Ok(Query { text })
}

fn parse(body: &mut Reader<'_>, limits: &Limits) -> Result<Parse, Refusal> {
    let name = body.name("prepared statement")?;
    let text = statement(body, limits)?;
    let count = usize::from(body.u16()?);
    at_most(
        count,
        limits.bind_parameters_max,
        "parameters of a statement",
    )?;
    let parameter_types = (0..count).map(|_| body.u32()).collect::<Result<_, _>>()?;
    Ok(Parse {
        name,
        text,
        parameter_types,
    })
}

fn execute(body: &mut Reader<'_>) -> Result<Frontend, Refusal> {
    let portal = body.name("portal")?;
    let max_rows = u32::try_from(body.i32()?)
        .map_err(|_| Refusal::protocol("invalid row limit in Execute message"))?;
    Ok(Frontend::Execute { portal, max_rows })
}

fn target(body: &mut Reader<'_>, message: &str) -> Result<Target, Refusal> {
    match body.byte()? {
        b'S' => body.name("prepared statement").map(Target::Statement),
        b'P' => body.name("portal").map(Target::Portal),
        other => {
            let words = format!("invalid {message} message subtype {other}");
            Err(Refusal::protocol(words))
        }
    }
}

fn statement(body: &mut Reader<'_>, limits: &Limits) -> Result<String, Refusal> {
    let text = body.text()?;
    at_most(
        text.len(),
        limits.statement_bytes_max,
        "bytes of SQL text in a message",
    )?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::frame_of;
    use super::super::reader::NAME_TOO_LONG;
    use super::*;
    use crate::refusal::SqlState;

    fn read(tag: u8, body: &[u8]) -> Result<Frontend, Refusal> {
        decode(&frame_of(tag, body), &Limits::default())
    }

    fn query(text: &str) -> Frontend {
        let text = text.to_owned();
        Frontend::Query(Query { text })
    }

    fn parse(parameter_types: &[u32]) -> Frontend {
        Frontend::Parse(Parse {
            name: "s".to_owned(),
            text: "SELECT $1".to_owned(),
            parameter_types: parameter_types.to_vec(),
        })
    }

    fn bind(portal: &str, statement: &str) -> Frontend {
        Frontend::Bind(Bind {
            portal: portal.to_owned(),
            statement: statement.to_owned(),
        })
    }

    fn execute(max_rows: u32) -> Frontend {
        let portal = "p".to_owned();
        Frontend::Execute { portal, max_rows }
    }

    /// Every message whose body has a form, with what it means.
    fn samples() -> [(u8, &'static [u8], Frontend); 18] {
        let statement = || Target::Statement("s".to_owned());
        let portal = || Target::Portal("p".to_owned());
        let types = b"s\0SELECT $1\0\0\x02\0\0\0\x17\xff\xff\xff\xff";
        let value = b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x01x\0\0";
        [
            (b'Q', b"\0", query("")),
            (b'Q', b"SELECT '\xc3\xa9';\0", query("SELECT 'é';")),
            (b'P', b"s\0SELECT $1\0\0\0", parse(&[])),
            (b'P', types, parse(&[23, u32::MAX])),
            (b'B', b"\0\0\0\0\0\0\0\0", bind("", "")),
            (b'B', b"p\0s\0\0\0\0\0\0\0", bind("p", "s")),
            (b'B', value, bind("p", "s")),
            (b'D', b"Ss\0", Frontend::Describe(statement())),
            (b'D', b"Pp\0", Frontend::Describe(portal())),
            (b'C', b"Ss\0", Frontend::Close(statement())),
            (b'C', b"Pp\0", Frontend::Close(portal())),
            (b'E', b"p\0\0\0\0\0", execute(0)),
            (b'E', b"p\0\x7f\xff\xff\xff", execute(0x7fff_ffff)),
            (b'f', b"why not\0", Frontend::CopyFail),
            (b'H', b"", Frontend::Flush),
            (b'S', b"", Frontend::Sync),
            (b'X', b"", Frontend::Terminate),
            (b'c', b"", Frontend::CopyDone),
        ]
    }

    #[test]
    fn reads_each_message() {
        for (tag, body, message) in samples() {
            assert_eq!(message.tag(), tag);
            assert_eq!(read(tag, body), Ok(message), "{body:?}");
        }
    }

    #[test]
    fn refuses_every_truncation_and_every_byte_too_many() {
        for (tag, body, _) in samples() {
            for cut in 0..body.len() {
                assert!(read(tag, &body[..cut]).is_err(), "{body:?} cut at {cut}");
            }
            for extra in [b"\0".as_slice(), b"x", b"\0\0\0\0"] {
                let longer = [body, extra].concat();
                assert!(read(tag, &longer).is_err(), "{longer:?}");
            }
        }
    }

    #[test]
    fn opaque_bodies_pass_as_they_are() {
        for body in [b"".as_slice(), b"\xff\0\xff", b"1\tx\n"] {
            assert_eq!(read(b'd', body), Ok(Frontend::CopyData));
            assert_eq!(read(b'F', body), Ok(Frontend::FunctionCall));
            assert_eq!(
                read(b'p', body),
                Ok(Frontend::Password(Credential::new(body)))
            );
        }
    }

    #[test]
    fn refuses_what_the_server_might_read_otherwise() {
        const PROTOCOL: SqlState = SqlState::PROTOCOL_VIOLATION;
        let cases: [(u8, &[u8], SqlState); 13] = [
            (b'Q', b"SELECT 1", PROTOCOL),
            (b'Q', b"SELECT 1\0SELECT 2\0", PROTOCOL),
            (b'Q', b"SELECT '\xff'\0", SqlState::NOT_IN_REPERTOIRE),
            (
                b'Q',
                b"SELECT '\xed\xa0\x80'\0",
                SqlState::NOT_IN_REPERTOIRE,
            ),
            (b'P', b"\xff\0SELECT 1\0\0\0", SqlState::NOT_IN_REPERTOIRE),
            (b'P', b"\0SELECT 1\0\0\x01\0\0", PROTOCOL),
            (b'P', b"\0SELECT 1\0\xff\xff", PROTOCOL),
            (b'D', b"s\0", PROTOCOL),
            (b'C', b"Xname\0", PROTOCOL),
            (b'E', b"\0\xff\xff\xff\xff", PROTOCOL),
            (b'f', b"\xff\0", SqlState::NOT_IN_REPERTOIRE),
            (0, b"", PROTOCOL),
            (b'T', b"\0\0", PROTOCOL),
        ];
        for (tag, body, code) in cases {
            let refusal = read(tag, body).unwrap_err();
            assert_eq!(refusal.code, code, "{} {body:?}", char::from(tag));
        }
    }

    #[test]
    fn refuses_names_that_the_server_would_cut() {
        let bodies = |name: &str| {
            [
                (b'P', format!("{name}\0SELECT 1\0\0\0")),
                (b'B', format!("{name}\0\0\0\0\0\0\0\0")),
                (b'B', format!("\0{name}\0\0\0\0\0\0\0")),
                (b'D', format!("S{name}\0")),
                (b'C', format!("P{name}\0")),
                (b'E', format!("{name}\0\0\0\0\0")),
            ]
        };
        for (tag, body) in bodies(&"n".repeat(63)) {
            assert!(read(tag, body.as_bytes()).is_ok(), "{body:?}");
        }
        for (tag, body) in bodies(&"n".repeat(64)) {
            let refusal = read(tag, body.as_bytes()).unwrap_err();
            assert_eq!(refusal.code, NAME_TOO_LONG, "{body:?}");
        }
    }

    #[test]
    fn holds_the_limits() {
        let limits = Limits {
            statement_bytes_max: 8,
            bind_parameters_max: 1,
            password_bytes_max: 4,
            ..Limits::default()
        };
        let cases: [(u8, &[u8], bool); 8] = [
            (b'Q', b"SELECT 1\0", true),
            (b'Q', b"SELECT 12\0", false),
            (b'P', b"\0SELECT 12\0\0\0", false),
            (b'P', b"\0SELECT 1\0\0\x01\0\0\0\0", true),
            (b'P', b"\0SELECT 1\0\0\x02\0\0\0\0\0\0\0\0", false),
            (
                b'B',
                b"\0\0\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
                false,
            ),
            (b'p', b"abc\0", true),
            (b'p', b"abcd\0", false),
        ];
        for (tag, body, allowed) in cases {
            let outcome = decode(&frame_of(tag, body), &limits).map_err(|refusal| refusal.code);
            match outcome {
                Ok(_) => assert!(allowed, "{body:?}"),
                Err(code) => {
                    assert!(!allowed, "{body:?}");
                    assert_eq!(code, SqlState::PROGRAM_LIMIT_EXCEEDED, "{body:?}");
                }
            }
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let message = read(b'p', b"hunter2\0").unwrap();
        assert!(!format!("{message:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_frame_panics(
            tag in any::<u8>(),
            known in proptest::sample::select(b"QPBDECHSXdcfpF".as_slice()),
            body in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = read(tag, &body);
            if let Ok(message) = read(known, &body) {
                prop_assert_eq!(message.tag(), known);
            }
        }

        #[test]
        fn a_byte_changed_anywhere_never_panics(
            sample in proptest::sample::select(samples().to_vec()),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let (tag, body, _) = sample;
            let mut body = body.to_vec();
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let _ = read(tag, &body);
        }
    }
}
