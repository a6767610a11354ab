//! The messages that pgward itself originates towards a client, written with pgwire's message
//! types. A message is written whole or not at all: what no client would accept (over 30,000 bytes
//! where libpq allows no more, a cancel key of a wrong size) is left out. Nothing here decides what
//! is said.
//!
//! Sources: Postgres manual, "Message Formats" and "Error and Notice Message Fields".

use bytes::{Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};

use super::backend::ErrorFields;
use crate::refusal::{Refusal, SqlState};

/// What an ErrorResponse does to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement ends, the session goes on.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    /// The word in the S and V fields.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// `AuthenticationOk`.
pub fn authentication_ok(buf: &mut BytesMut) {
    put(buf, &Authentication::Ok);
}

/// `AuthenticationCleartextPassword`: asks for the token in the password slot.
pub fn authentication_cleartext_password(buf: &mut BytesMut) {
    put(buf, &Authentication::CleartextPassword);
}

/// `AuthenticationSASL`: the mechanisms on offer, the preferred one first.
pub fn authentication_sasl(buf: &mut BytesMut, mechanisms: &[&str]) {
    let mechanisms = mechanisms.iter().map(|name| without_nul(name)).collect();
    put(buf, &Authentication::SASL(mechanisms));
}

/// `AuthenticationSASLContinue`: a challenge.
pub fn authentication_sasl_continue(buf: &mut BytesMut, data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    put(buf, &Authentication::SASLContinue(data));
}

/// `ParameterStatus`.
pub fn parameter_status(buf: &mut BytesMut, name: &str, value: &str) {
    let message = ParameterStatus::new(without_nul(name), without_nul(value));
    put(buf, &message);
}

/// `BackendKeyData`: what the client must send to cancel. The key has 4 bytes for protocol 3.0, and
/// 4 to 256 since 3.2.
pub fn backend_key_data(buf: &mut BytesMut, process_id: u32, key: &[u8]) {
    let key = SecretKey::Bytes(Bytes::copy_from_slice(key));
    put(buf, &BackendKeyData::new(process_id.cast_signed(), key));
}

/// `ReadyForQuery` with `b'I'` (idle), `b'T'` (in a transaction) or `b'E'` (in a failed one). Any
/// other byte is sent as `E`: the client then rolls back, which is always in order.
pub fn ready_for_query(buf: &mut BytesMut, status: u8) {
    let status = TransactionStatus::try_from(status).unwrap_or(TransactionStatus::Error);
    put(buf, &ReadyForQuery::new(status));
}

/// `NegotiateProtocolVersion`: protocol 3.`minor` will be spoken, and the named `_pq_.` options are
/// not known. The version is sent in full, as Postgres itself sends it.
pub fn negotiate_protocol_version(buf: &mut BytesMut, minor: u16, unsupported: &[String]) {
    let version = (3 << 16) | i32::from(minor);
    let names = unsupported.iter().map(|name| without_nul(name)).collect();
    put(buf, &NegotiateProtocolVersion::new(version, names));
}

/// `CommandComplete`, for the few statements that pgward carries out itself.
pub fn command_complete(buf: &mut BytesMut, tag: &str) {
    put(buf, &CommandComplete::new(without_nul(tag)));
}

/// `ErrorResponse` for a refusal. `position` counts characters of the client's statement from 1,
/// see [`Refusal::position_in`].
pub fn error_response(
    buf: &mut BytesMut,
    refusal: &Refusal,
    position: Option<usize>,
    severity: Severity,
) {
    let mut fields = head(severity.word(), refusal.code, &refusal.message);
    let optional = [
        (b'D', refusal.detail.clone()),
        (b'H', refusal.hint.clone()),
        (b'P', position.map(|position| position.to_string())),
    ];
    for (field, value) in optional {
        fields.extend(value.map(|value| (field, value)));
    }
    put_error(buf, &ErrorFields::new(fields));
}

/// `NoticeResponse` of severity NOTICE; `SqlState("00000")` where no condition is meant.
pub fn notice(buf: &mut BytesMut, code: SqlState, message: &str) {
    put_notice(buf, &ErrorFields::new(head("NOTICE", code, message)));
}

/// The fields every error and notice has, in Postgres's order.
fn head(severity: &str, code: SqlState, message: &str) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', code.0.to_owned()),
        (b'M', message.to_owned()),
    ]
}

/// Writes the fields as an ErrorResponse.
pub(super) fn put_error(buf: &mut BytesMut, fields: &ErrorFields) {
    put(buf, &ErrorResponse::new(clean(fields)));
}

/// Writes the fields as a NoticeResponse.
pub(super) fn put_notice(buf: &mut BytesMut, fields: &ErrorFields) {
    put(buf, &NoticeResponse::new(clean(fields)));
}

fn clean(fields: &ErrorFields) -> Vec<(u8, String)> {
    fields
        .fields()
        .iter()
        .filter(|(field, _)| *field != 0)
        .map(|(field, value)| (*field, without_nul(value)))
        .collect()
}

/// A NUL would end the string early, and what follows it would be read as something else.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

fn put(buf: &mut BytesMut, message: &impl Message) {
    let start = buf.len();
    if message.encode(buf).is_err() {
        // The tag and more are written before pgwire finds out.
        buf.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::backend;
    use super::super::frame::{Frame, take_frame};
    use super::*;

    /// The one message that `write` puts after what was there before.
    fn written(write: impl FnOnce(&mut BytesMut)) -> Frame {
        let mut buf = BytesMut::from("before");
        write(&mut buf);
        assert_eq!(buf.split_to(6), "before");
        let frame = take_frame(&mut buf, usize::MAX).unwrap().unwrap();
        assert!(buf.is_empty(), "one message and no more");
        frame
    }

    #[test]
    fn writes_the_bytes_of_the_manual() {
        type Write = fn(&mut BytesMut);
        let cases: [(Write, &[u8]); 13] = [
            (authentication_ok, b"R\0\0\0\x08\0\0\0\0"),
            (authentication_cleartext_password, b"R\0\0\0\x08\0\0\0\x03"),
            (
                |buf| authentication_sasl(buf, &["OAUTHBEARER"]),
                b"R\0\0\0\x15\0\0\0\x0aOAUTHBEARER\0\0",
            ),
            (
                |buf| authentication_sasl_continue(buf, b"{}"),
                b"R\0\0\0\x0a\0\0\0\x0b{}",
            ),
            (|buf| parameter_status(buf, "a", "b"), b"S\0\0\0\x08a\0b\0"),
            (|buf| parameter_status(buf, "a", ""), b"S\0\0\0\x07a\0\0"),
            (
                |buf| backend_key_data(buf, u32::MAX, b"1234"),
                b"K\0\0\0\x0c\xff\xff\xff\xff1234",
            ),
            (|buf| ready_for_query(buf, b'I'), b"Z\0\0\0\x05I"),
            (|buf| ready_for_query(buf, b'T'), b"Z\0\0\0\x05T"),
            (|buf| ready_for_query(buf, b'?'), b"Z\0\0\0\x05E"),
            (
                |buf| negotiate_protocol_version(buf, 2, &["_pq_.x".to_owned()]),
                b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0",
            ),
            (
                |buf| negotiate_protocol_version(buf, 0, &[]),
                b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0",
            ),
            (|buf| command_complete(buf, "SET"), b"C\0\0\0\x08SET\0"),
        ];
        for (write, expected) in cases {
            let frame = written(write);
            assert_eq!(frame.bytes(), expected, "{expected:?}");
        }
    }

    #[test]
    fn writes_a_refusal_with_all_its_fields() {
        let refusal = Refusal::unsupported("no").with_detail("d").with_hint("h");
        let frame = written(|buf| error_response(buf, &refusal, Some(12), Severity::Error));
        assert_eq!(frame.tag(), b'E');
        assert_eq!(
            frame.body(),
            b"SERROR\0VERROR\0C0A000\0Mno\0Dd\0Hh\0P12\0\0"
        );
        let refusal = Refusal::identity("who?");
        let frame = written(|buf| error_response(buf, &refusal, None, Severity::Fatal));
        assert_eq!(frame.body(), b"SFATAL\0VFATAL\0C28000\0Mwho?\0\0");
        let frame = written(|buf| notice(buf, SqlState("00000"), "by the way"));
        assert_eq!(frame.tag(), b'N');
        assert_eq!(frame.body(), b"SNOTICE\0VNOTICE\0C00000\0Mby the way\0\0");
    }

    #[test]
    fn a_nul_never_ends_a_field_early() {
        let refusal = Refusal::protocol("a\0Cb\0").with_hint("\0\0M");
        let frame = written(|buf| error_response(buf, &refusal, None, Severity::Error));
        let fields = ErrorFields::decode(frame.body()).unwrap();
        assert_eq!(fields.get(b'M'), Some("aCb"));
        assert_eq!(fields.get(b'H'), Some("M"));
        let frame = written(|buf| parameter_status(buf, "a\0b", "c\0"));
        assert_eq!(frame.body(), b"ab\0c\0");
    }

    #[test]
    fn what_no_client_accepts_is_left_out_whole() {
        let long = "x".repeat(30_000);
        let mut buf = BytesMut::from("before");
        parameter_status(&mut buf, "a", &long);
        authentication_sasl_continue(&mut buf, long.as_bytes());
        negotiate_protocol_version(&mut buf, 2, &[long]);
        backend_key_data(&mut buf, 1, b"123");
        backend_key_data(&mut buf, 1, &[0; 257]);
        assert_eq!(buf, "before");
    }

    proptest! {
        #[test]
        fn refusals_are_read_back(
            message in ".{0,60}",
            detail in proptest::option::of(".{0,60}"),
            position in proptest::option::of(any::<usize>()),
        ) {
            let mut refusal = Refusal::unsupported(message.clone());
            refusal.detail = detail.clone();
            let frame = written(|buf| error_response(buf, &refusal, position, Severity::Error));
            let fields = ErrorFields::decode(frame.body()).unwrap();
            prop_assert_eq!(fields.message(), message.replace('\0', ""));
            prop_assert_eq!(
                fields.get(b'D').map(str::to_owned),
                detail.map(|detail| detail.replace('\0', ""))
            );
            prop_assert_eq!(
                fields.get(b'P').map(str::to_owned),
                position.map(|position| position.to_string())
            );
        }

        #[test]
        fn settings_and_keys_are_read_back(
            name in r"[^\x00]{0,30}",
            value in r"[^\x00]{0,60}",
            process_id in any::<u32>(),
            key in proptest::collection::vec(any::<u8>(), 4..=256),
        ) {
            let frame = written(|buf| parameter_status(buf, &name, &value));
            prop_assert_eq!(backend::parameter_status(frame.body()), Ok((name, value)));
            let frame = written(|buf| backend_key_data(buf, process_id, &key));
            let expected = (process_id, Bytes::from(key));
            prop_assert_eq!(backend::backend_key_data(frame.body()), Ok(expected));
        }
    }
}
