//! Timestamps as the log writes them: RFC 3339, UTC, always six digits of a second. Never reads a
//! clock.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::clock::Timestamp;

/// The text of a moment; moments beyond the year 9999 become the nearest that has a text.
pub(super) fn text(time: Timestamp) -> String {
    let micros = time.micros();
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{moment:.6}")
}

pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let moment: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
    Ok(Timestamp::from_micros(moment.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_always() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_772_359_200_000_006, "2026-03-01T10:00:00.000006Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ];
        for (micros, expected) in cases {
            let time = Timestamp::from_micros(micros);
            assert_eq!(text(time), expected);
            let json = format!("\"{expected}\"");
            let mut parser = serde_json::Deserializer::from_str(&json);
            assert_eq!(deserialize(&mut parser).unwrap(), time);
        }
    }

    #[test]
    fn no_moment_is_without_text() {
        assert!(text(Timestamp::from_micros(i64::MAX)).starts_with("9999-"));
        assert!(text(Timestamp::from_micros(i64::MIN)).starts_with('-'));
    }
}
