//! JSON as strict as a security decision needs it: one object, every member once (two readers of
//! a doubled member may believe different things), UTF-8 throughout, bounded nesting, nothing
//! after it. It never says what was wrong, because what was wrong is an attacker's text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest name (subject, agent, key id, group …) in a token, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// Reads one JSON object; `None` where it is anything else or a member stands twice, however deep.
/// Nesting is bounded by serde_json's own limit (128).
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Unique>(bytes) {
        Ok(Unique(Value::Object(members))) => Some(members),
        Ok(_) | Err(_) => None,
    }
}

/// The value as a name: 1 to 255 bytes, no control characters. Names end up in messages, session
/// settings and logs.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| {
        (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
    })
}

/// The value as a list of names.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| text(item).map(str::to_owned))
        .collect()
}

/// A JSON value in which no object has the same member twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without doubled members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if out.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_an_object() {
        let cases: [(&[u8], bool); 14] = [
            (b"{}", true),
            (br#" {"a":1,"b":[true,null,-2,1.5,"x"],"c":{"a":1}} "#, true),
            (br#"{"a":1,"a":1}"#, false),
            (br#"{"a":{"b":1,"b":2}}"#, false),
            (br#"{"a":[{"b":1,"b":2}]}"#, false),
            (br#"{"a":1,"\u0061":2}"#, false),
            (br#"{"a":1} x"#, false),
            (br#"{"a":1}{}"#, false),
            (br#"[]"#, false),
            (br#""a""#, false),
            (br#"{"a":1e999}"#, false),
            (b"{\"a\":\"\xff\"}", false),
            (b"\xef\xbb\xbf{}", false),
            (b"", false),
        ];
        for (text, good) in cases {
            assert_eq!(
                object(text).is_some(),
                good,
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn values_arrive_unchanged() {
        let text = br#"{"a":1,"b":[true,null,-2,1.5,"x"],"c":{"d":18446744073709551615}}"#;
        assert_eq!(
            object(text).map(Value::Object),
            serde_json::from_slice(text).ok()
        );
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        for depth in [200, 100_000] {
            let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert!(object(text.as_bytes()).is_none());
        }
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(text(&json!("support-bot")), Some("support-bot"));
        assert_eq!(text(&json!("é".repeat(127))).map(str::len), Some(254));
        for bad in [
            json!(""),
            json!("a\0b"),
            json!("a\nb"),
            json!("x".repeat(256)),
            json!(1),
            json!(null),
            json!(["a"]),
        ] {
            assert_eq!(text(&bad), None, "{bad}");
        }
        assert_eq!(texts(&json!(["a", 1])), None);
        assert_eq!(texts(&json!("a")), None);
        assert_eq!(texts(&json!([])), Some(Vec::new()));
    }
}
