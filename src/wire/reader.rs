//! A cursor over the body of one message. It never reads past the body and never repairs text:
//! a string is NUL-terminated inside the body and valid UTF-8, or the message is refused.

use std::ffi::CStr;

use crate::ident::IDENT_BYTES_MAX;
use crate::refusal::{Reason, Refusal, SqlState};

/// 42622 `name_too_long`.
pub(super) const NAME_TOO_LONG: SqlState = SqlState("42622");

/// What is left of a body.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `body`.
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Whether every byte has been read.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or_else(too_short)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes, as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(too_short)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An Int16, read without sign as Postgres reads its counts.
    pub(super) fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    /// An Int32, read without sign.
    pub(super) fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    /// An Int32.
    pub(super) fn i32(&mut self) -> Result<i32, Refusal> {
        self.array().map(i32::from_be_bytes)
    }

    /// The bytes up to the next NUL, which is read too.
    pub(super) fn until_nul(&mut self) -> Result<&'a [u8], Refusal> {
        let text = CStr::from_bytes_until_nul(self.rest)
            .map_err(|_| Refusal::protocol("invalid string in message"))?
            .to_bytes();
        self.take(text.len().saturating_add(1))?;
        Ok(text)
    }

    /// A String: NUL-terminated UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.until_nul()?).map_err(|_| not_utf8())
    }

    /// The name of a prepared statement or portal. One over 63 bytes is refused: the server would
    /// cut it, and two names would become one.
    pub(super) fn name(&mut self, what: &str) -> Result<String, Refusal> {
        let name = self.text()?;
        if name.len() > IDENT_BYTES_MAX {
            let words = format!("{what} name is longer than {IDENT_BYTES_MAX} bytes");
            return Err(Refusal::new(NAME_TOO_LONG, Reason::Limit, words));
        }
        Ok(name.to_owned())
    }

    /// Everything that is left.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading: a byte left over means that the message is not what it seemed.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Refusal::protocol("invalid message format"))
        }
    }
}

fn too_short() -> Refusal {
    Refusal::protocol("insufficient data left in message")
}

/// 54000 where there is more of something than its limit.
pub(super) fn at_most(count: usize, most: usize, what: &str) -> Result<(), Refusal> {
    if count > most {
        return Err(Refusal::limit(format!("more than {most} {what}")));
    }
    Ok(())
}

/// 22021: text that is not UTF-8. The bytes are not repeated.
pub(super) fn not_utf8() -> Refusal {
    Refusal::new(
        SqlState::NOT_IN_REPERTOIRE,
        Reason::Protocol,
        "invalid byte sequence for encoding \"UTF8\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_ends_exactly() {
        let mut body = Reader::new(b"\x07\x01\x02\0\0\0\x05\xff\xff\xff\xffname\0xy");
        assert_eq!(body.byte(), Ok(7));
        assert_eq!(body.u16(), Ok(0x0102));
        assert_eq!(body.u32(), Ok(5));
        assert_eq!(body.i32(), Ok(-1));
        assert_eq!(body.text(), Ok("name"));
        assert_eq!(body.take(1), Ok(b"x".as_slice()));
        assert!(!body.is_empty());
        assert_eq!(body.rest(), b"y");
    }

    #[test]
    fn refuses_what_is_missing_or_left_over() {
        assert!(Reader::new(b"").byte().is_err());
        assert!(Reader::new(b"\x01").u16().is_err());
        assert!(Reader::new(b"\x01\x02\x03").u32().is_err());
        assert!(Reader::new(b"ab").take(3).is_err());
        assert!(Reader::new(b"ab").take(usize::MAX).is_err());
        assert!(Reader::new(b"no end").text().is_err());
        assert!(Reader::new(b"x").finish().is_err());
        assert_eq!(Reader::new(b"").finish(), Ok(()));
    }

    #[test]
    fn refuses_text_that_is_not_utf8() {
        let refusal = Reader::new(b"a\xc3\0").text().unwrap_err();
        assert_eq!(refusal.code, SqlState::NOT_IN_REPERTOIRE);
        assert_eq!(Reader::new(b"a\xc3\0").until_nul(), Ok(b"a\xc3".as_slice()));
        assert_eq!(Reader::new("é\0".as_bytes()).text(), Ok("é"));
    }
}
