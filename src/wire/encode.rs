//! The frontend messages that pgward itself sends to the database. Every message is written whole
//! or not at all; a text with a NUL inside is refused, never cut. Nothing here judges SQL: only
//! `upstream` calls these, with cleared statements.
//!
//! Source: Postgres manual, "Message Formats".

use bytes::{BufMut, BytesMut};

use super::startup::{CANCEL_KEY_BYTES_MAX, CANCEL_REQUEST, SSL_REQUEST};
use crate::refusal::Refusal;

/// `Query`: a simple query.
///
/// # Errors
/// 08P01 where `text` holds a NUL; `buf` is then unchanged.
pub fn query(buf: &mut BytesMut, text: &str) -> Result<(), Refusal> {
    message(buf, Some(b'Q'), |body| string(body, text))
}

/// `Parse`: prepares `text` under `name` (empty: the unnamed statement); `types` are the OIDs of
/// the first parameters' types, 0 for "let the server infer".
///
/// # Errors
/// 08P01 where a text holds a NUL, 54000 over 65,535 types; `buf` is then unchanged.
pub fn parse(buf: &mut BytesMut, name: &str, text: &str, types: &[u32]) -> Result<(), Refusal> {
    message(buf, Some(b'P'), |body| {
        string(body, name)?;
        string(body, text)?;
        let count = u16::try_from(types.len())
            .map_err(|_| Refusal::limit("too many parameter types for a Parse message"))?;
        body.put_u16(count);
        types.iter().for_each(|oid| body.put_u32(*oid));
        Ok(())
    })
}

/// `Bind` of a statement to the unnamed portal, with no parameters and no format codes.
///
/// # Errors
/// 08P01 where the name holds a NUL; `buf` is then unchanged.
pub fn bind_nothing(buf: &mut BytesMut, statement_name: &str) -> Result<(), Refusal> {
    message(buf, Some(b'B'), |body| {
        string(body, "")?;
        string(body, statement_name)?;
        body.put_slice(&[0; 6]);
        Ok(())
    })
}

/// `Sync`.
pub fn sync(buf: &mut BytesMut) {
    buf.put_slice(b"S\0\0\0\x04");
}

/// `Terminate`.
pub fn terminate(buf: &mut BytesMut) {
    buf.put_slice(b"X\0\0\0\x04");
}

/// `StartupMessage` for protocol 3.`minor`, with the parameters in the given order.
///
/// # Errors
/// 08P01 where a name is empty or a text holds a NUL; `buf` is then unchanged.
pub fn startup(
    buf: &mut BytesMut,
    parameters: &[(String, String)],
    minor: u16,
) -> Result<(), Refusal> {
    message(buf, None, |body| {
        body.put_u16(3);
        body.put_u16(minor);
        for (name, value) in parameters {
            if name.is_empty() {
                return Err(Refusal::protocol("a startup parameter has no name"));
            }
            string(body, name)?;
            string(body, value)?;
        }
        body.put_u8(0);
        Ok(())
    })
}

/// `SSLRequest`.
pub fn ssl_request(buf: &mut BytesMut) {
    buf.put_u32(8);
    buf.put_u32(SSL_REQUEST);
}

/// `CancelRequest` for the backend `process_id`, with the key of its BackendKeyData (4 bytes in
/// protocol 3.0, up to 256 since 3.2).
///
/// # Errors
/// 54000 where the key is longer than 256 bytes; `buf` is then unchanged.
pub fn cancel_request(buf: &mut BytesMut, process_id: u32, key: &[u8]) -> Result<(), Refusal> {
    if key.len() > CANCEL_KEY_BYTES_MAX {
        return Err(Refusal::limit("a cancel key is at most 256 bytes long"));
    }
    message(buf, None, |body| {
        body.put_u32(CANCEL_REQUEST);
        body.put_u32(process_id);
        body.put_slice(key);
        Ok(())
    })
}

/// `PasswordMessage`.
///
/// # Errors
/// 08P01 where the password holds a NUL; `buf` is then unchanged.
pub fn password(buf: &mut BytesMut, text: &str) -> Result<(), Refusal> {
    message(buf, Some(b'p'), |body| string(body, text))
}

/// `SASLInitialResponse`: the chosen mechanism and its first data.
///
/// # Errors
/// 08P01 where the mechanism holds a NUL, 54000 where the data does not fit a message; `buf` is
/// then unchanged.
pub fn sasl_initial(buf: &mut BytesMut, mechanism: &str, data: &[u8]) -> Result<(), Refusal> {
    message(buf, Some(b'p'), |body| {
        string(body, mechanism)?;
        body.put_i32(length(data.len())?);
        body.put_slice(data);
        Ok(())
    })
}

/// `SASLResponse`.
///
/// # Errors
/// 54000 where the data does not fit a message; `buf` is then unchanged.
pub fn sasl_response(buf: &mut BytesMut, data: &[u8]) -> Result<(), Refusal> {
    message(buf, Some(b'p'), |body| {
        body.put_slice(data);
        Ok(())
    })
}

/// Writes tag, length and body; on an error takes back what it wrote.
fn message(
    buf: &mut BytesMut,
    tag: Option<u8>,
    body: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let start = buf.len();
    buf.extend(tag);
    let at = buf.len();
    buf.put_u32(0);
    let written = body(buf).and_then(|()| length(buf.len().saturating_sub(at)));
    match written {
        Ok(size) => {
            if let Some(slot) = buf.get_mut(at..at.saturating_add(4)) {
                slot.copy_from_slice(&size.to_be_bytes());
            }
            Ok(())
        }
        Err(refusal) => {
            buf.truncate(start);
            Err(refusal)
        }
    }
}

fn length(bytes: usize) -> Result<i32, Refusal> {
    i32::try_from(bytes).map_err(|_| Refusal::limit("message is longer than 2147483647 bytes"))
}

fn string(body: &mut BytesMut, text: &str) -> Result<(), Refusal> {
    if text.as_bytes().contains(&0) {
        return Err(Refusal::protocol("a text in a message holds a NUL"));
    }
    body.put_slice(text.as_bytes());
    body.put_u8(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::frame::{Limits, take_frame, take_startup};
    use crate::wire::frontend::{Frontend, decode};
    use crate::wire::startup::Greeting;

    /// What was written, as the strict decoder reads it.
    fn read_back(buf: &mut BytesMut) -> Frontend {
        let frame = take_frame(buf, usize::MAX).unwrap().expect("a whole frame");
        assert!(buf.is_empty(), "one message and no more");
        decode(&frame, &Limits::default()).unwrap()
    }

    #[test]
    fn writes_the_bytes_of_the_manual() {
        type Write = fn(&mut BytesMut) -> Result<(), Refusal>;
        let cases: [(Write, &[u8]); 11] = [
            (|buf| query(buf, "SELECT 1"), b"Q\0\0\0\x0dSELECT 1\0"),
            (|buf| query(buf, ""), b"Q\0\0\0\x05\0"),
            (
                |buf| parse(buf, "s", "x", &[23, 0]),
                b"P\0\0\0\x12s\0x\0\0\x02\0\0\0\x17\0\0\0\0",
            ),
            (
                |buf| bind_nothing(buf, "s"),
                b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0",
            ),
            (
                |buf| {
                    sync(buf);
                    terminate(buf);
                    Ok(())
                },
                b"S\0\0\0\x04X\0\0\0\x04",
            ),
            (
                |buf| startup(buf, &[("user".into(), "app".into())], 0),
                b"\0\0\0\x12\0\x03\0\0user\0app\0\0",
            ),
            (
                |buf| {
                    ssl_request(buf);
                    Ok(())
                },
                b"\0\0\0\x08\x04\xd2\x16\x2f",
            ),
            (
                |buf| cancel_request(buf, 7, b"\x01\x02\x03\x04"),
                b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04",
            ),
            (|buf| password(buf, "pw"), b"p\0\0\0\x07pw\0"),
            (
                |buf| sasl_initial(buf, "M", b"n,,"),
                b"p\0\0\0\x0dM\0\0\0\0\x03n,,",
            ),
            (|buf| sasl_response(buf, b"c=biws"), b"p\0\0\0\x0ac=biws"),
        ];
        for (write, expected) in cases {
            let mut buf = BytesMut::new();
            write(&mut buf).unwrap();
            assert_eq!(buf, expected, "{expected:?}");
        }
    }

    #[test]
    fn refuses_a_nul_and_leaves_the_buffer_as_it_was() {
        type Write = fn(&mut BytesMut) -> Result<(), Refusal>;
        let cases: [Write; 10] = [
            |buf| query(buf, "SELECT 1\0; DROP TABLE t"),
            |buf| parse(buf, "a\0", "SELECT 1", &[]),
            |buf| parse(buf, "a", "SELECT 1\0", &[]),
            |buf| parse(buf, "a", "SELECT 1", &[0; 65_536]),
            |buf| bind_nothing(buf, "\0"),
            |buf| startup(buf, &[("us\0er".into(), "app".into())], 0),
            |buf| startup(buf, &[("user".into(), "app\0database\0other".into())], 0),
            |buf| startup(buf, &[(String::new(), "app".into())], 0),
            |buf| password(buf, "p\0w"),
            |buf| cancel_request(buf, 1, &[0; 257]),
        ];
        for (case, write) in cases.into_iter().enumerate() {
            let mut buf = BytesMut::from("before");
            assert!(write(&mut buf).is_err(), "case {case}");
            assert_eq!(buf, "before", "case {case}");
        }
    }

    #[test]
    fn the_greeting_is_read_back() {
        let mut buf = BytesMut::new();
        ssl_request(&mut buf);
        cancel_request(&mut buf, u32::MAX, b"0123456789abcdef").unwrap();
        let parameters = [("user".to_owned(), "app".to_owned())];
        startup(&mut buf, &parameters, 2).unwrap();
        let mut next = || {
            let body = take_startup(&mut buf, 10_000).unwrap().unwrap();
            Greeting::decode(&body, &Limits::default()).unwrap()
        };
        assert!(matches!(next(), Greeting::SslRequest));
        assert!(matches!(
            next(),
            Greeting::CancelRequest { process_id: u32::MAX, key } if key == "0123456789abcdef"
        ));
        let Greeting::Startup(message) = next() else {
            panic!("a StartupMessage was written");
        };
        assert_eq!(message.minor, 2);
        assert_eq!(message.parameters, parameters);
    }

    proptest! {
        #[test]
        fn statements_are_read_back(
            name in r"[^\x00]{0,15}",
            text in r"[^\x00]{0,200}",
            types in proptest::collection::vec(any::<u32>(), 0..20),
        ) {
            let mut buf = BytesMut::new();
            query(&mut buf, &text).unwrap();
            let Frontend::Query(read) = read_back(&mut buf) else { panic!("a Query") };
            prop_assert_eq!(&read.text, &text);

            parse(&mut buf, &name, &text, &types).unwrap();
            let Frontend::Parse(read) = read_back(&mut buf) else { panic!("a Parse") };
            prop_assert_eq!(&read.name, &name);
            prop_assert_eq!(&read.text, &text);
            prop_assert_eq!(&read.parameter_types, &types);

            bind_nothing(&mut buf, &name).unwrap();
            let Frontend::Bind(read) = read_back(&mut buf) else { panic!("a Bind") };
            prop_assert_eq!(&read.statement, &name);
            prop_assert_eq!(&read.portal, "");
        }
    }
}
