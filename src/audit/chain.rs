//! The hash chain: how a record becomes a line, and how a line shows that it is whole. A line is
//!
//! ```text
//! {"seq":7,"kind":"outcome", … ,"prev":"<hash of line 6>","hash":"<hash of this line>"}
//! ```
//!
//! `hash` is the SHA-256 of the line's own bytes without its last member: everything up to
//! `,"hash":`, and a closing brace. It always comes last, so no JSON has to be written again to
//! check it. `prev` of the first line is 64 zeros. This file does no I/O and signs nothing.

use aws_lc_rs::digest::{Context, SHA256};

use super::entry::CheckpointRecord;

/// `prev` of the first line.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The longest line, in bytes: far more than two texts of a statement at their limit.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

const HASH_OPENS: &[u8] = b",\"hash\":\"";
const HASH_CLOSES: &[u8] = b"\"}";
const HASH_DIGITS: usize = 64;

/// The end of a chain: what the next line has to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    seq: u64,
    head: String,
}

impl Chain {
    /// A chain without a line.
    pub(super) fn new() -> Self {
        Self::after(0, GENESIS)
    }

    /// The chain whose last line has this number and this hash.
    pub(super) fn after(seq: u64, head: &str) -> Self {
        Self {
            seq,
            head: head.to_owned(),
        }
    }

    /// The number the next line gets.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq.saturating_add(1)
    }

    /// The hash of the last line.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// Appends the next line, made of a record's members, to `out`.
    pub(super) fn seal(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.seq = self.next_seq();
        out.extend_from_slice(b"{\"seq\":");
        out.extend_from_slice(self.seq.to_string().as_bytes());
        out.push(b',');
        out.extend_from_slice(body);
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(self.head.as_bytes());
        out.push(b'"');
        self.head = sha256(&[out.get(start..).unwrap_or_default(), b"}"]);
        out.extend_from_slice(HASH_OPENS);
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(HASH_CLOSES);
        out.push(b'\n');
    }
}

/// Whether a line (without its line feed) carries the hash of its own bytes.
pub(super) fn is_whole(line: &[u8]) -> bool {
    let tail = HASH_OPENS.len() + HASH_DIGITS + HASH_CLOSES.len();
    let Some((core, tail)) = line
        .len()
        .checked_sub(tail)
        .and_then(|cut| line.split_at_checked(cut))
    else {
        return false;
    };
    tail.strip_prefix(HASH_OPENS)
        .and_then(|tail| tail.strip_suffix(HASH_CLOSES))
        .is_some_and(|hash| hash == sha256(&[core, b"}"]).as_bytes())
}

/// The bytes a checkpoint's signature covers: its own members and, through `prev`, every line
/// before it.
pub(super) fn signed_text(seq: u64, prev: &str, checkpoint: &CheckpointRecord) -> Vec<u8> {
    format!(
        "pgward audit checkpoint 1\nseq {seq}\ntime {}\nreason {}\ninterval {}\nlost {}\nkey {}\n\
         prev {prev}\n",
        checkpoint.time.micros(),
        checkpoint.reason.word(),
        checkpoint.interval,
        checkpoint.lost,
        checkpoint.key.as_deref().unwrap_or_default(),
    )
    .into_bytes()
}

/// SHA-256 over the parts one after the other, in lower-case hexadecimal.
pub(super) fn sha256(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0f));
    }
    text
}

/// The bytes of a hexadecimal text, either case; `None` where it is not one.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let [high, low] = pair else {
                return None;
            };
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bodies: &[&str]) -> Vec<Vec<u8>> {
        let mut chain = Chain::new();
        let mut out = Vec::new();
        for body in bodies {
            chain.seal(body.as_bytes(), &mut out);
        }
        out.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }

    #[test]
    fn each_line_holds_the_hash_of_the_one_before() {
        let lines = lines(&["\"kind\":\"a\"", "\"kind\":\"b\""]);
        let values: Vec<serde_json::Value> = lines
            .iter()
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(values[0]["seq"], 1);
        assert_eq!(values[0]["prev"], GENESIS);
        assert_eq!(values[1]["seq"], 2);
        assert_eq!(values[1]["prev"], values[0]["hash"]);
        assert!(lines.iter().all(|line| is_whole(line)));
    }

    #[test]
    fn the_hash_is_that_of_the_line_without_it() {
        let line = lines(&["\"kind\":\"a\""]).remove(0);
        let text = String::from_utf8(line).unwrap();
        let (core, _) = text.split_once(",\"hash\"").unwrap();
        let expected = sha256(&[format!("{core}}}").as_bytes()]);
        assert!(text.ends_with(&format!(",\"hash\":\"{expected}\"}}")));
    }

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(
            sha256(&[b"a", b"bc"]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn nothing_short_or_foreign_is_whole() {
        for line in ["", "{}", "\n", ",\"hash\":\"\"}", &"x".repeat(75)] {
            assert!(!is_whole(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn hexadecimal_both_ways() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(unhex("000FA0ff"), Some(vec![0x00, 0x0f, 0xa0, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        for text in ["0", "0g", "+1", "é0"] {
            assert_eq!(unhex(text), None, "{text:?}");
        }
    }
}
