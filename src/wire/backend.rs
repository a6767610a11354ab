//! The messages of the database that something must be decided about, decoded strictly. Rows are
//! not among them: the [`Walker`] passes them by. What pgward says itself is written by
//! [`super::answer`].
//!
//! Sources: Postgres manual, "Message Formats" and "Error and Notice Message Fields".

use bytes::{Bytes, BytesMut};

use super::answer;
use super::reader::Reader;
use super::startup::CANCEL_KEY_BYTES_MAX;
use crate::refusal::Refusal;

pub use super::walker::{Piece, Walker};

/// The fields of an ErrorResponse or NoticeResponse, in the order they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorFields {
    fields: Vec<(u8, String)>,
}

impl ErrorFields {
    /// From fields, each with its type byte (`M` message, `C` SQLSTATE …).
    pub const fn new(fields: Vec<(u8, String)>) -> Self {
        Self { fields }
    }

    /// Decodes the body of an ErrorResponse or NoticeResponse. Text that is not UTF-8 is repaired:
    /// before a session has an encoding, the server uses its own.
    ///
    /// # Errors
    /// 08P01 where a field is not terminated, or the list does not end exactly with the body.
    pub fn decode(body: &[u8]) -> Result<Self, Refusal> {
        let mut body = Reader::new(body);
        let mut fields = Vec::new();
        loop {
            let field = body.byte()?;
            if field == 0 {
                break;
            }
            let value = String::from_utf8_lossy(body.until_nul()?).into_owned();
            fields.push((field, value));
        }
        body.finish()?;
        Ok(Self { fields })
    }

    /// Writes an ErrorResponse with these fields, in this order.
    pub fn encode(&self, buf: &mut BytesMut) {
        answer::put_error(buf, self);
    }

    /// Writes a NoticeResponse with these fields, in this order.
    pub fn encode_notice(&self, buf: &mut BytesMut) {
        answer::put_notice(buf, self);
    }

    /// All fields.
    pub fn fields(&self) -> &[(u8, String)] {
        &self.fields
    }

    /// The first field of that type.
    pub fn get(&self, field: u8) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| *known == field)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a field where it stands, or adds it at the end.
    pub fn set(&mut self, field: u8, value: impl Into<String>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(known, _)| *known == field) {
            Some((_, old)) => *old = value,
            None => self.fields.push((field, value)),
        }
    }

    /// Removes every field of that type.
    pub fn remove(&mut self, field: u8) {
        self.fields.retain(|(known, _)| *known != field);
    }

    /// SQLSTATE (`C`), empty where there is none.
    pub fn code(&self) -> &str {
        self.get(b'C').unwrap_or_default()
    }

    /// The primary message (`M`), empty where there is none.
    pub fn message(&self) -> &str {
        self.get(b'M').unwrap_or_default()
    }

    /// Whether the session ends with it: FATAL or PANIC, by the word that is never translated
    /// where the server sends it.
    pub fn is_fatal(&self) -> bool {
        let severity = self.get(b'V').or_else(|| self.get(b'S'));
        matches!(severity, Some("FATAL" | "PANIC"))
    }
}

/// What the database asks for during its authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthenticationRequest {
    /// Nothing more: it is satisfied.
    Ok,
    /// The password as it is.
    Cleartext,
    /// The password hashed with MD5.
    Md5 {
        /// The salt of this connection.
        salt: [u8; 4],
    },
    /// One of these SASL mechanisms.
    Sasl {
        /// Their names, the preferred one first.
        mechanisms: Vec<String>,
    },
    /// An answer to this SASL challenge.
    SaslContinue(Vec<u8>),
    /// The mechanism's last data.
    SaslFinal(Vec<u8>),
    /// Something else (Kerberos, GSSAPI, SSPI …), by its code.
    Other(u32),
}

/// Decodes the body of an Authentication… message (`R`).
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly such a message.
pub fn authentication_request(body: &[u8]) -> Result<AuthenticationRequest, Refusal> {
    let mut body = Reader::new(body);
    let request = match body.u32()? {
        0 => AuthenticationRequest::Ok,
        3 => AuthenticationRequest::Cleartext,
        5 => AuthenticationRequest::Md5 {
            salt: body.array()?,
        },
        10 => AuthenticationRequest::Sasl {
            mechanisms: names_to_an_empty_one(&mut body)?,
        },
        11 => return Ok(AuthenticationRequest::SaslContinue(body.rest().to_vec())),
        12 => return Ok(AuthenticationRequest::SaslFinal(body.rest().to_vec())),
        other => return Ok(AuthenticationRequest::Other(other)),
    };
    body.finish()?;
    Ok(request)
}

fn names_to_an_empty_one(body: &mut Reader<'_>) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            return Ok(names);
        }
        names.push(name.to_owned());
    }
}

/// Decodes the body of a ParameterStatus (`S`): name and value.
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly such a message.
pub fn parameter_status(body: &[u8]) -> Result<(String, String), Refusal> {
    let mut body = Reader::new(body);
    let pair = (body.text()?.to_owned(), body.text()?.to_owned());
    body.finish()?;
    Ok(pair)
}

/// Decodes the body of a BackendKeyData (`K`): process id and cancel key, which has 4 bytes in
/// protocol 3.0 and up to 256 since 3.2.
///
/// # Errors
/// 08P01 where the body is not exactly such a message.
pub fn backend_key_data(body: &[u8]) -> Result<(u32, Bytes), Refusal> {
    let mut body = Reader::new(body);
    let process_id = body.u32()?;
    let key = body.rest();
    if !(4..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
        return Err(Refusal::protocol("invalid length of cancel key"));
    }
    Ok((process_id, Bytes::copy_from_slice(key)))
}

/// Decodes the body of a NegotiateProtocolVersion (`v`): the minor version of protocol 3 that the
/// server speaks, and the options it does not know. Both ways to write the version are read: in
/// full, as Postgres does, and the minor version alone.
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly such a message, or is about another major version.
pub fn negotiate(body: &[u8]) -> Result<(u16, Vec<String>), Refusal> {
    let mut body = Reader::new(body);
    let version = body.u32()?;
    if !matches!(version >> 16, 0 | 3) {
        return Err(Refusal::protocol("invalid protocol negotiation message"));
    }
    let minor = u16::try_from(version & 0xffff).unwrap_or(u16::MAX);
    let count = body.u32()?;
    let names = (0..count)
        .map(|_| body.text().map(str::to_owned))
        .collect::<Result<_, _>>()?;
    body.finish()?;
    Ok((minor, names))
}

/// Decodes the body of a CommandComplete (`C`): the command tag.
///
/// # Errors
/// 08P01 or 22021 where the body is not exactly such a message.
pub fn command_complete_tag(body: &[u8]) -> Result<&str, Refusal> {
    let mut body = Reader::new(body);
    let tag = body.text()?;
    body.finish()?;
    Ok(tag)
}

/// The number of rows in a command tag (`SELECT 5`, `INSERT 0 3`); `None` where it counts none.
pub fn command_rows(tag: &str) -> Option<u64> {
    let (_, rows) = tag.rsplit_once(' ')?;
    rows.parse().ok()
}

/// Decodes the body of a ReadyForQuery (`Z`): `b'I'`, `b'T'` or `b'E'`.
///
/// # Errors
/// 08P01 where the body is not exactly such a message.
pub fn ready_status(body: &[u8]) -> Result<u8, Refusal> {
    match body {
        [status @ (b'I' | b'T' | b'E')] => Ok(*status),
        _ => Err(Refusal::protocol("invalid transaction status")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::take_frame;
    use super::*;

    const ERROR: &[u8] = b"SERROR\0VERROR\0C42703\0Mcolumn \"x\" does not exist\0P8\0\0";

    #[test]
    fn error_fields_keep_their_order() {
        let fields = ErrorFields::decode(ERROR).unwrap();
        let types: Vec<u8> = fields.fields().iter().map(|(field, _)| *field).collect();
        assert_eq!(types, b"SVCMP");
        assert_eq!(fields.code(), "42703");
        assert_eq!(fields.message(), "column \"x\" does not exist");
        assert_eq!(fields.get(b'P'), Some("8"));
        assert_eq!(fields.get(b'D'), None);
        assert!(!fields.is_fatal());
        for tag in [b'E', b'N'] {
            let mut buf = BytesMut::new();
            match tag {
                b'E' => fields.encode(&mut buf),
                _ => fields.encode_notice(&mut buf),
            }
            let frame = take_frame(&mut buf, usize::MAX).unwrap().unwrap();
            assert_eq!((frame.tag(), frame.body()), (tag, ERROR));
        }
    }

    #[test]
    fn error_fields_can_be_changed() {
        let mut fields = ErrorFields::decode(b"Ma\0Db\0Mc\0\0").unwrap();
        fields.set(b'M', "first");
        fields.set(b'P', "3");
        assert_eq!(
            fields,
            ErrorFields::decode(b"Mfirst\0Db\0Mc\0P3\0\0").unwrap()
        );
        fields.remove(b'M');
        assert_eq!(fields, ErrorFields::decode(b"Db\0P3\0\0").unwrap());
        assert_eq!((fields.code(), fields.message()), ("", ""));
    }

    #[test]
    fn error_fields_end_exactly() {
        for cut in 0..ERROR.len() {
            assert!(ErrorFields::decode(&ERROR[..cut]).is_err(), "cut at {cut}");
        }
        assert!(ErrorFields::decode(b"Ma\0\0\0").is_err());
        assert_eq!(ErrorFields::decode(b"\0"), Ok(ErrorFields::default()));
        let foreign = ErrorFields::decode(b"Mdonn\xe9es\0\0").unwrap();
        assert_eq!(foreign.message(), "donn\u{fffd}es");
    }

    #[test]
    fn knows_what_ends_the_session() {
        let cases: [(&[u8], bool); 5] = [
            (b"SFATAL\0\0", true),
            (b"SPANIK\0VPANIC\0\0", true),
            (b"SFATAL\0VERROR\0\0", false),
            (b"SERROR\0\0", false),
            (b"\0", false),
        ];
        for (body, fatal) in cases {
            let fields = ErrorFields::decode(body).unwrap();
            assert_eq!(fields.is_fatal(), fatal, "{body:?}");
        }
    }

    #[test]
    fn reads_what_the_database_asks_for() {
        use AuthenticationRequest as Request;
        let mechanisms = vec!["SCRAM-SHA-256-PLUS".to_owned(), "SCRAM-SHA-256".to_owned()];
        let cases: [(&[u8], Request); 9] = [
            (b"\0\0\0\0", Request::Ok),
            (b"\0\0\0\x03", Request::Cleartext),
            (
                b"\0\0\0\x05\x01\x02\x03\x04",
                Request::Md5 { salt: [1, 2, 3, 4] },
            ),
            (
                b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
                Request::Sasl { mechanisms },
            ),
            (
                b"\0\0\0\x0a\0",
                Request::Sasl {
                    mechanisms: Vec::new(),
                },
            ),
            (b"\0\0\0\x0br=x", Request::SaslContinue(b"r=x".to_vec())),
            (b"\0\0\0\x0cv=x", Request::SaslFinal(b"v=x".to_vec())),
            (b"\0\0\0\x07", Request::Other(7)),
            (b"\0\0\0\x08gss", Request::Other(8)),
        ];
        for (body, request) in cases {
            assert_eq!(authentication_request(body), Ok(request), "{body:?}");
        }
        let refused: [&[u8]; 9] = [
            b"",
            b"\0\0\0",
            b"\0\0\0\0x",
            b"\0\0\0\x03x",
            b"\0\0\0\x05\x01\x02\x03",
            b"\0\0\0\x05\x01\x02\x03\x04\x05",
            b"\0\0\0\x0aSCRAM-SHA-256",
            b"\0\0\0\x0aSCRAM-SHA-256\0",
            b"\0\0\0\x0aSCRAM-SHA-256\0\0x",
        ];
        for body in refused {
            assert!(authentication_request(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn reads_settings_and_keys() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(
            parameter_status(b"TimeZone\0UTC\0"),
            pair("TimeZone", "UTC")
        );
        assert_eq!(parameter_status(b"x\0\0"), pair("x", ""));
        for body in [
            b"".as_slice(),
            b"x",
            b"x\0",
            b"x\0y",
            b"x\0y\0z",
            b"x\0\xff\0",
        ] {
            assert!(parameter_status(body).is_err(), "{body:?}");
        }
        let key = backend_key_data(b"\0\0\x01\x02\xde\xad\xbe\xef").unwrap();
        assert_eq!(key, (258, Bytes::from_static(b"\xde\xad\xbe\xef")));
        assert_eq!(backend_key_data(&[1; 260]).unwrap().1.len(), 256);
        for body in [b"".as_slice(), b"\0\0\0\x01", b"\0\0\0\x01abc", &[1; 261]] {
            assert!(backend_key_data(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn reads_a_negotiation() {
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let cases: [(&[u8], (u16, Vec<String>)); 4] = [
            (b"\0\x03\0\0\0\0\0\0", (0, names(&[]))),
            (b"\0\x03\0\x02\0\0\0\0", (2, names(&[]))),
            (b"\0\0\0\x02\0\0\0\0", (2, names(&[]))),
            (
                b"\0\x03\0\0\0\0\0\x02_pq_.a\0_pq_.b\0",
                (0, names(&["_pq_.a", "_pq_.b"])),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(negotiate(body), Ok(expected), "{body:?}");
        }
        let refused: [&[u8]; 6] = [
            b"",
            b"\0\x03\0\0\0\0\0",
            b"\0\x04\0\0\0\0\0\0",
            b"\0\x03\0\0\0\0\0\x01",
            b"\0\x03\0\0\xff\xff\xff\xffa\0",
            b"\0\x03\0\0\0\0\0\x01a\0b\0",
        ];
        for body in refused {
            assert!(negotiate(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn reads_the_end_of_a_command() {
        let cases = [
            ("SELECT 5", Some(5)),
            ("INSERT 0 3", Some(3)),
            ("COPY 18446744073709551615", Some(u64::MAX)),
            ("COPY 18446744073709551616", None),
            ("BEGIN", None),
            ("CREATE TABLE", None),
            ("", None),
        ];
        for (tag, rows) in cases {
            assert_eq!(command_complete_tag(format!("{tag}\0").as_bytes()), Ok(tag));
            assert_eq!(command_rows(tag), rows, "{tag:?}");
        }
        for body in [b"".as_slice(), b"BEGIN", b"BEGIN\0\0", b"\xff\0"] {
            assert!(command_complete_tag(body).is_err(), "{body:?}");
        }
        for status in *b"ITE" {
            assert_eq!(ready_status(&[status]), Ok(status));
        }
        for body in [b"".as_slice(), b"X", b"II", b"\0"] {
            assert!(ready_status(body).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn error_fields_come_back(
            fields in proptest::collection::vec((1_u8.., r"[^\x00]{0,20}"), 0..10),
        ) {
            let fields = ErrorFields::new(fields);
            let mut buf = BytesMut::new();
            fields.encode(&mut buf);
            let frame = take_frame(&mut buf, usize::MAX).unwrap().unwrap();
            prop_assert_eq!(ErrorFields::decode(frame.body()), Ok(fields));
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = ErrorFields::decode(&body);
            let _ = authentication_request(&body);
            let _ = parameter_status(&body);
            let _ = backend_key_data(&body);
            let _ = negotiate(&body);
            let _ = command_complete_tag(&body);
            let _ = ready_status(&body);
        }
    }
}
