//! Reads the database's schema: one constant query, one row, one JSON text. It runs over a
//! connection of its own and reads catalogs only.

use super::error::Error;
use super::login::{broken, rejected};
use super::{Receiver, Sender};

/// The query. It returns one row with one column of JSON text.
const QUERY: &str = include_str!("introspect.sql");
/// The longest answer, in bytes: far more than any schema, far less than a machine's memory.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Runs the query and returns its JSON text.
pub(super) async fn json(sender: &mut Sender, receiver: &mut Receiver) -> Result<String, Error> {
    sender.constant(QUERY).map_err(broken)?;
    sender.flush().await?;
    let mut answer = None;
    loop {
        let frame = receiver.frame(ANSWER_BYTES_MAX).await?;
        match frame.tag() {
            b'D' if answer.is_none() => answer = Some(only_column(frame.body())?),
            b'D' => return Err(unexpected("more than one row")),
            b'T' | b'C' | b'N' | b'S' => {}
            b'E' => return Err(rejected(&frame)),
            b'Z' => break,
            _ => return Err(unexpected("a message out of turn")),
        }
    }
    sender.terminate();
    sender.flush().await?;
    answer.ok_or_else(|| unexpected("no row"))
}

/// The one column of a DataRow (Postgres manual, "Message Formats").
fn only_column(body: &[u8]) -> Result<String, Error> {
    let (count, rest) = body
        .split_first_chunk::<2>()
        .ok_or_else(|| unexpected("a short row"))?;
    let (length, value) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| unexpected("a short row"))?;
    let whole = u16::from_be_bytes(*count) == 1
        && usize::try_from(u32::from_be_bytes(*length)) == Ok(value.len());
    if !whole {
        return Err(unexpected("a row that is not one JSON text"));
    }
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(unexpected("text that is not UTF-8")),
    }
}

fn unexpected(what: &str) -> Error {
    Error::Introspect(format!("the answer holds {what}"))
}

#[cfg(test)]
mod tests {
    use super::super::connect::Security;
    use super::super::fake::link;
    use super::*;

    /// What comes of the query where the database answers with these messages.
    async fn answered(messages: &[(u8, &[u8])]) -> Result<String, Error> {
        let (mut link, mut peer) = link(Security::Local);
        let client = json(&mut link.sender, &mut link.receiver);
        let server = async {
            let (tag, text) = peer.message().await;
            assert_eq!(tag, b'Q');
            assert_eq!(text.strip_suffix(b"\0").unwrap(), QUERY.as_bytes());
            for (tag, body) in messages {
                peer.send(*tag, &[body]).await;
            }
        };
        tokio::join!(client, server).0
    }

    #[tokio::test]
    async fn one_row_with_one_json_text() {
        let row: &[u8] = b"\0\x01\0\0\0\x02{}";
        let end: (u8, &[u8]) = (b'Z', b"I");
        let json = answered(&[(b'T', b"\0\0"), (b'D', row), (b'C', b"SELECT 1\0"), end]).await;
        assert_eq!(json.unwrap(), "{}");

        let wrong: [&[(u8, &[u8])]; 7] = [
            &[end],
            &[(b'D', row), (b'D', row), end],
            &[(b'D', b"\0\x02\0\0\0\x02{}"), end],
            &[(b'D', b"\0\x01\xff\xff\xff\xff"), end],
            &[(b'D', b"\0\x01\0\0\0\x01\xff"), end],
            &[(b'D', b"\0"), end],
            &[(b'H', b""), end],
        ];
        for (case, messages) in wrong.into_iter().enumerate() {
            let outcome = answered(messages).await;
            assert!(matches!(outcome, Err(Error::Introspect(_))), "case {case}");
        }
        let denied = b"SERROR\0C42501\0Mpermission denied\0\0".as_slice();
        let outcome = answered(&[(b'E', denied), end]).await;
        assert!(matches!(outcome, Err(Error::Rejected { code, .. }) if code == "42501"));
    }
}
