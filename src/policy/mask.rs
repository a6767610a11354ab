//! The masks a label can name. This version of pgward knows them, so that a policy can be written
//! and checked; it does not apply them, and refuses a column that could only be shown masked.

/// How a column's values are to be changed before an agent sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// NULL instead of the value.
    Null,
    /// A fixed word instead of the value.
    Redact,
    /// All but the last four characters hidden.
    Last4,
    /// The local part of an e-mail address hidden.
    Email,
    /// A digest of the value.
    Hash,
    /// A date cut to its year.
    Year,
    /// A date cut to its month.
    Month,
    /// A number rounded.
    Round,
    /// Zero instead of the number.
    Zero,
    /// `partial(prefix, suffix)`: that many characters shown at the start and at the end.
    Partial {
        /// Characters shown at the start.
        prefix: u32,
        /// Characters shown at the end.
        suffix: u32,
    },
    /// `{ sql = "…" }`: an SQL expression over the column.
    Sql(String),
}

const PLAIN: [(&str, Mask); 9] = [
    ("null", Mask::Null),
    ("redact", Mask::Redact),
    ("last4", Mask::Last4),
    ("email", Mask::Email),
    ("hash", Mask::Hash),
    ("year", Mask::Year),
    ("month", Mask::Month),
    ("round", Mask::Round),
    ("zero", Mask::Zero),
];

/// What may be written for a mask, for diagnostics.
pub(super) const SPELLINGS: &str = "null, redact, last4, email, hash, year, month, round, zero, \
     partial(2,2) or { sql = \"…\" }";

impl Mask {
    /// Reads a mask written as a string; [`Mask::Sql`] is written as a table and not read here.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        if let Some((_, mask)) = PLAIN.into_iter().find(|(word, _)| *word == text) {
            return Some(mask);
        }
        let inside = text.strip_prefix("partial(")?.strip_suffix(')')?;
        let (prefix, suffix) = inside.split_once(',')?;
        Some(Self::Partial {
            prefix: count(prefix)?,
            suffix: count(suffix)?,
        })
    }
}

fn count(text: &str) -> Option<u32> {
    let digits = text.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_known_masks_and_no_others() {
        for (text, expected) in PLAIN {
            assert_eq!(Mask::from_text(text), Some(expected));
        }
        let partial = Mask::Partial {
            prefix: 2,
            suffix: 0,
        };
        assert_eq!(Mask::from_text("partial(2, 0)"), Some(partial));
        for wrong in [
            "",
            "Email",
            "partial",
            "partial()",
            "partial(2)",
            "partial(+2,1)",
            "partial(-1,1)",
            "partial(1,2,3)",
            "partial(99999999999,1)",
            "sql",
        ] {
            assert_eq!(Mask::from_text(wrong), None, "{wrong}");
        }
    }
}
