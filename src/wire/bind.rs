//! The Bind message of a client. Its values belong to the client and to the server: they are
//! counted and measured here, never kept and never read.
//!
//! Source: Postgres manual, "Message Formats".

use super::frame::{Frame, Limits};
use super::reader::{Reader, at_most};
use crate::refusal::Refusal;

/// The names in a Bind message; formats and values are checked and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The portal to make; empty for the unnamed one.
    pub portal: String,
    /// The prepared statement; empty for the unnamed one.
    pub statement: String,
}

/// Decodes the body of a Bind message up to its end, which the caller checks.
pub(super) fn decode(body: &mut Reader<'_>, limits: &Limits) -> Result<Bind, Refusal> {
    let portal = body.name("portal")?;
    let statement = body.name("prepared statement")?;
    let formats = format_codes(body)?;
    let parameters = usize::from(body.u16()?);
    at_most(
        parameters,
        limits.bind_parameters_max,
        "parameters of a statement",
    )?;
    if formats > 1 && formats != parameters {
        let words =
            format!("bind message has {formats} parameter formats but {parameters} parameters");
        return Err(Refusal::protocol(words));
    }
    for _ in 0..parameters {
        skip_value(body)?;
    }
    format_codes(body)?;
    Ok(Bind { portal, statement })
}

/// The value of one parameter (from 1) of a Bind message that was decoded before; `None` where
/// there is no such parameter or it is NULL.
pub fn bind_parameter(frame: &Frame, number: u32) -> Option<&[u8]> {
    let mut body = Reader::new(frame.body());
    body.name("portal").ok()?;
    body.name("prepared statement").ok()?;
    format_codes(&mut body).ok()?;
    let parameters = u32::from(body.u16().ok()?);
    if number == 0 || number > parameters {
        return None;
    }
    for _ in 1..number {
        skip_value(&mut body).ok()?;
    }
    let length = usize::try_from(body.i32().ok()?).ok()?;
    body.take(length).ok()
}

/// Reads a list of format codes, each 0 (text) or 1 (binary), and says how many there are.
fn format_codes(body: &mut Reader<'_>) -> Result<usize, Refusal> {
    let count = body.u16()?;
    for _ in 0..count {
        let code = body.u16()?;
        if code > 1 {
            let words = format!("unsupported format code: {code}");
            return Err(Refusal::protocol(words));
        }
    }
    Ok(usize::from(count))
}

/// Reads one parameter value: a length, -1 for NULL, and so many bytes.
fn skip_value(body: &mut Reader<'_>) -> Result<(), Refusal> {
    match body.i32()? {
        -1 => Ok(()),
        length => {
            let length = usize::try_from(length)
                .map_err(|_| Refusal::protocol("invalid length of a parameter value"))?;
            body.take(length).map(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::frame_of;
    use super::super::frontend::{self, Frontend};
    use super::*;
    use crate::refusal::SqlState;

    /// Through the front door, so that the end of the body is checked too.
    fn read(body: &[u8]) -> Result<Bind, Refusal> {
        let message = frontend::decode(&frame_of(b'B', body), &Limits::default())?;
        let Frontend::Bind(bind) = message else {
            panic!("a Bind message");
        };
        Ok(bind)
    }

    #[test]
    fn refuses_formats_and_lengths_that_are_not_exact() {
        // Two formats for one value; codes 2 and -1; lengths of -2 and beyond the end; values that
        // are not there; a result format of 2; one result format too few.
        let cases: [&[u8]; 9] = [
            b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0",
            b"\0\0\0\x01\0\x02\0\0\0\0",
            b"\0\0\0\x01\xff\xff\0\0\0\0",
            b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0",
            b"\0\0\0\0\0\x01\0\0\0\x05abcd",
            b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0",
            b"\0\0\0\0\xff\xff\0\0",
            b"\0\0\0\0\0\0\0\x01\0\x02",
            b"\0\0\0\0\0\0\0\x02\0\x01",
        ];
        for body in cases {
            let refusal = read(body).unwrap_err();
            assert_eq!(refusal.code, SqlState::PROTOCOL_VIOLATION, "{body:?}");
        }
    }

    #[test]
    fn one_format_may_stand_for_any_number_of_values() {
        let cases: [&[u8]; 4] = [
            b"\0\0\0\x01\0\x01\0\0\0\0",
            b"\0\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
            b"\0\0\0\0\0\x01\xff\xff\xff\xff\0\x01\0\x01",
            b"\0\0\0\x02\0\0\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02\xfe\0\0\x02\0\x01\0\0",
        ];
        for body in cases {
            assert!(read(body).is_ok(), "{body:?}");
        }
    }

    #[test]
    fn finds_a_parameter_by_its_number() {
        let whole = b"p\0s\0\0\0\0\x03\xff\xff\xff\xff\0\0\0\x02ab\0\0\0\0\0\0";
        let frame = frame_of(b'B', whole);
        assert_eq!(bind_parameter(&frame, 1), None);
        assert_eq!(bind_parameter(&frame, 2), Some(&b"ab"[..]));
        assert_eq!(bind_parameter(&frame, 3), Some(&b""[..]));
        assert_eq!(bind_parameter(&frame, 4), None);
    }

    #[test]
    fn refuses_every_truncation() {
        let whole = b"p\0s\0\0\x02\0\0\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02\xfe\0\0\x01\0\x01";
        assert!(read(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bind_that_is_well_formed_is_read(
            values in proptest::collection::vec(
                proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
                0..10,
            ),
            binary in any::<bool>(),
            results in proptest::collection::vec(0_u16..2, 0..5),
        ) {
            let mut body = b"p\0s\0\0\x01\0".to_vec();
            body.push(u8::from(binary));
            body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
            for value in &values {
                let length = value.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap());
                body.extend(length.to_be_bytes());
                body.extend(value.iter().flatten());
            }
            body.extend(u16::try_from(results.len()).unwrap().to_be_bytes());
            body.extend(results.iter().flat_map(|code| code.to_be_bytes()));
            let expected = Bind { portal: "p".to_owned(), statement: "s".to_owned() };
            prop_assert_eq!(read(&body), Ok(expected));
            body.pop();
            prop_assert!(read(&body).is_err());
        }
    }
}
