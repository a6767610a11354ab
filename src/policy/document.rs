//! A policy file as it is written: one struct per kind of table, strict keys, and a span wherever a
//! later complaint may have to point. Nothing here is checked beyond the shape of the TOML; what
//! the words mean is [`super::compile`]'s.
//!
//! Every entry of a file is read by itself, so that one mistake does not hide the next.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::diagnostics::{Diagnostic, Place, Severity};

/// Text with its place.
pub(super) type Word = Spanned<String>;

/// `[[table]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    pub(super) name: Word,
    pub(super) sensitivity: Option<Word>,
    #[serde(default)]
    pub(super) columns: BTreeMap<Word, Spanned<RawColumn>>,
}

/// What stands behind a column's name: a sensitivity, or a table.
#[derive(Debug)]
pub(super) enum RawColumn {
    Word(String),
    Table(RawColumnTable),
}

/// `{ sensitivity = "…", mask = … }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawColumnTable {
    pub(super) sensitivity: Word,
    pub(super) mask: Option<Spanned<RawMask>>,
}

/// What stands behind `mask`: a word, or a table with an expression.
#[derive(Debug)]
pub(super) enum RawMask {
    Word(String),
    Table(RawMaskTable),
}

/// `{ sql = "…" }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMaskTable {
    pub(super) sql: Word,
}

/// `[[grant]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGrant {
    pub(super) id: Word,
    pub(super) agents: Vec<Word>,
    pub(super) users: Vec<Word>,
    pub(super) actions: Vec<Word>,
    pub(super) tables: Option<Vec<Word>>,
    pub(super) functions: Option<Vec<Word>>,
    pub(super) clearance: Option<Word>,
    pub(super) rows: Option<Word>,
    pub(super) columns: Option<RawExceptions>,
    pub(super) when: Option<RawWhen>,
    pub(super) limits: Option<Spanned<RawLimits>>,
}

/// `columns = { deny = […], unmask = […] }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExceptions {
    #[serde(default)]
    pub(super) deny: Vec<Word>,
    #[serde(default)]
    pub(super) unmask: Vec<Word>,
}

/// `when = { … }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) hours: Option<Word>,
    pub(super) days: Option<Word>,
    pub(super) timezone: Option<Word>,
    pub(super) networks: Option<Vec<Word>>,
    pub(super) max_risk: Option<Spanned<i64>>,
    pub(super) purposes: Option<Vec<Word>>,
}

/// `limits = { … }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) rows_per_statement: Option<Spanned<i64>>,
    pub(super) statements_per_minute: Option<Spanned<i64>>,
}

/// `[[deny]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeny {
    pub(super) id: Option<Word>,
    pub(super) agents: Option<Vec<Word>>,
    pub(super) users: Option<Vec<Word>>,
    pub(super) tables: Vec<Word>,
    pub(super) actions: Option<Vec<Word>>,
    pub(super) columns: Option<Vec<Word>>,
}

/// `[[delegation]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDelegation {
    pub(super) users: Vec<Word>,
    pub(super) agents: Vec<Word>,
    pub(super) clearance: Word,
    pub(super) actions: Vec<Word>,
    pub(super) max_ttl: Option<Word>,
    pub(super) max_depth: Option<Spanned<i64>>,
}

/// `[[function]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFunction {
    pub(super) name: Word,
    #[serde(default)]
    pub(super) touches: RawTouches,
}

/// `touches = { tables = […], columns = […] }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTouches {
    #[serde(default)]
    pub(super) tables: Vec<Word>,
    #[serde(default)]
    pub(super) columns: Vec<Word>,
}

/// `[[safe]]`: functions of the system schemas that may be called freely; shipped files only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSafe {
    pub(super) schema: String,
    pub(super) names: Vec<String>,
}

/// `[[case]]`: a test; `*.cases.toml` only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) name: Word,
    pub(super) agent: Word,
    #[serde(default)]
    pub(super) chain: Vec<Word>,
    pub(super) user: Spanned<BTreeMap<String, Spanned<toml::Value>>>,
    pub(super) sql: Word,
    pub(super) expect: Word,
    pub(super) column: Option<Word>,
    pub(super) code: Option<Word>,
    pub(super) purpose: Option<Word>,
    pub(super) time: Option<Word>,
    pub(super) client: Option<Word>,
}

/// One entry and the place of its heading.
pub(super) struct Entry<T> {
    pub(super) span: Range<usize>,
    pub(super) raw: T,
}

/// What one file says.
#[derive(Default)]
pub(super) struct Document {
    pub(super) tables: Vec<Entry<RawTable>>,
    pub(super) grants: Vec<Entry<RawGrant>>,
    pub(super) denies: Vec<Entry<RawDeny>>,
    pub(super) delegations: Vec<Entry<RawDelegation>>,
    pub(super) functions: Vec<Entry<RawFunction>>,
    pub(super) safe: Vec<Entry<RawSafe>>,
    pub(super) cases: Vec<Entry<RawCase>>,
}

/// What a file is for, and so what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Part of pgward itself.
    Shipped,
    /// A DBA's policy.
    Policy,
    /// Tests of a policy.
    Cases,
}

/// Reads one file; what is wrong with it is added to `found`, and the rest is read all the same.
pub(super) fn read(
    file: usize,
    kind: FileKind,
    text: &str,
    found: &mut Vec<Diagnostic>,
) -> Document {
    let mut reader = Reader { file, found };
    let mut document = Document::default();
    let (root, mistakes) = DeTable::parse_recoverable(text);
    if !mistakes.is_empty() {
        for mistake in &mistakes {
            reader.syntax(mistake);
        }
        return document;
    }
    for (key, value) in root.into_inner() {
        let policy = kind != FileKind::Cases;
        match &**key.get_ref() {
            "table" if policy => document.tables = reader.entries(value),
            "grant" if policy => document.grants = reader.entries(value),
            "deny" if policy => document.denies = reader.entries(value),
            "delegation" if policy => document.delegations = reader.entries(value),
            "function" if policy => document.functions = reader.entries(value),
            "safe" if kind == FileKind::Shipped => document.safe = reader.entries(value),
            "case" if kind == FileKind::Cases => document.cases = reader.entries(value),
            other => reader.unknown(key.span(), other, kind),
        }
    }
    document
}

struct Reader<'f> {
    file: usize,
    found: &'f mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn entries<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Vec<Entry<T>> {
        let span = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            let message = "this must be written in double brackets, once per entry";
            self.push(span, message.to_owned(), "[[…]] expected", None);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for item in items {
            let span = item.span();
            match T::deserialize(ValueDeserializer::from(item)) {
                Ok(raw) => entries.push(Entry { span, raw }),
                Err(mistake) => {
                    let at = mistake.span().unwrap_or(span);
                    self.push(at, mistake.message().to_owned(), "here", None);
                }
            }
        }
        entries
    }

    fn syntax(&mut self, mistake: &toml::de::Error) {
        let span = mistake.span().unwrap_or_default();
        let message = format!("this is not TOML: {}", mistake.message());
        self.push(span, message, "here", None);
    }

    fn unknown(&mut self, span: Range<usize>, key: &str, kind: FileKind) {
        let hint = match (key, kind) {
            ("case", FileKind::Policy | FileKind::Shipped) => {
                "test cases belong in a file whose name ends in .cases.toml"
            }
            (_, FileKind::Cases) => "a .cases.toml file holds [[case]] entries and nothing else",
            (_, FileKind::Policy | FileKind::Shipped) => {
                "known are [[table]], [[grant]], [[deny]], [[delegation]] and [[function]]"
            }
        };
        let message = format!("[[{key}]] is not known here");
        self.push(span, message, "unknown", Some(hint.to_owned()));
    }

    fn push(&mut self, span: Range<usize>, message: String, label: &str, hint: Option<String>) {
        self.found.push(Diagnostic {
            severity: Severity::Error,
            place: Place {
                file: self.file,
                span,
            },
            message,
            label: label.to_owned(),
            hint,
        });
    }
}

impl<'de> Deserialize<'de> for RawColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sensitivity, or { sensitivity = \"…\", mask = \"…\" }")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawColumn, E> {
                Ok(RawColumn::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawColumn, A::Error> {
                let table = RawColumnTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawColumn::Table(table))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawMask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawMask;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a mask, or { sql = \"…\" }")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawMask, E> {
                Ok(RawMask::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawMask, A::Error> {
                let table = RawMaskTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawMask::Table(table))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(kind: FileKind, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        read(0, kind, text, &mut found);
        found.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn reads_every_kind_of_entry() {
        let mut found = Vec::new();
        let text = r#"
            [[table]]
            name = "public.customers"
            sensitivity = "internal"
            [table.columns]
            name = "public"
            email = { sensitivity = "confidential", mask = "email" }
            phone = { sensitivity = "confidential", mask = { sql = "left(phone, 3)" } }

            [[grant]]
            id = "g"
            agents = ["a-*"]
            users = ["*"]
            actions = ["select"]
            tables = ["public.*"]
            clearance = "internal"
            columns = { deny = ["notes"], unmask = [] }
            when = { hours = "07:00-20:00", max_risk = 70, networks = ["10.0.0.0/8"] }
            limits = { rows_per_statement = 10 }

            [[deny]]
            tables = ["hr.*"]

            [[delegation]]
            users = ["group:s"]
            agents = ["a-*"]
            clearance = "internal"
            actions = ["select"]
            max_ttl = "15m"
            max_depth = 2

            [[function]]
            name = "public.f"
            touches = { tables = ["public.t"] }
        "#;
        let document = read(0, FileKind::Policy, text, &mut found);
        assert!(found.is_empty(), "{found:?}");
        let table = &document.tables[0].raw;
        assert_eq!(table.columns.len(), 3);
        let (word, column) = table.columns.iter().next().unwrap();
        assert_eq!(word.get_ref(), "email");
        assert!(text.get(word.span()).is_some_and(|at| at == "email"));
        let RawColumn::Table(column) = column.get_ref() else {
            panic!("email is a table");
        };
        assert_eq!(
            text.get(column.sensitivity.span()),
            Some("\"confidential\"")
        );
        assert_eq!(document.grants.len(), 1);
        assert_eq!(document.denies.len(), 1);
        assert_eq!(document.delegations.len(), 1);
        assert_eq!(document.functions.len(), 1);
        assert!(
            text.get(document.grants[0].span.clone())
                .is_some_and(|at| at == "[[grant]]")
        );
    }

    #[test]
    fn one_mistake_does_not_hide_the_next() {
        let text = "[[table]]\nnam = \"a.b\"\n[[grant]]\nid = 1\n[[deny]]\n[[wrong]]\n[[table]]\nname = \"a.c\"\n";
        let found = mistakes(FileKind::Policy, text);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|one| one.contains("unknown field `nam`")));
        assert!(
            found
                .iter()
                .any(|one| one.contains("missing field `tables`"))
        );
        assert!(found.iter().any(|one| one.contains("[[wrong]]")));
    }

    #[test]
    fn each_kind_of_file_has_its_own_entries() {
        let safe = "[[safe]]\nschema = \"pg_catalog\"\nnames = [\"upper\"]\n";
        assert!(mistakes(FileKind::Shipped, safe).is_empty());
        assert_eq!(mistakes(FileKind::Policy, safe).len(), 1);
        assert_eq!(mistakes(FileKind::Policy, "[[case]]\n").len(), 1);
        assert_eq!(
            mistakes(FileKind::Cases, "[[table]]\nname = \"a.b\"\n").len(),
            1
        );
        assert_eq!(mistakes(FileKind::Policy, "table = 1\n").len(), 1);
        assert_eq!(
            mistakes(FileKind::Policy, "[table]\nname = \"a.b\"\n").len(),
            1
        );
        assert!(!mistakes(FileKind::Policy, "[[table]\nname =\n").is_empty());
    }
}
