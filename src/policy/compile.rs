//! From what was written to what is meant: every word is checked, every pattern built, every
//! mistake collected. It hands out [`Rules`] only where there is no mistake at all.

use std::collections::HashMap;
use std::ops::Range;

use crate::ident::QualifiedName;

use super::diagnostics::{Diagnostic, Diagnostics, Place, Severity, SourceFile, Sources};
use super::document::{
    self, Document, FileKind, RawColumn, RawDelegation, RawFunction, RawMask, RawSafe, RawTable,
    Word,
};
use super::mask::{Mask, SPELLINGS};
use super::pattern::{ObjectPattern, parse_column, parse_object};
use super::rules::{ColumnLabel, Delegation, FunctionRule, Rules, TableRule, is_system};
use super::sensitivity::Sensitivity;
use super::{SHIPPED, words};

/// Compiles the shipped files and then the given ones.
pub(super) fn compile(files: &[SourceFile<'_>]) -> Result<Rules, Diagnostics> {
    let all: Vec<SourceFile<'_>> = SHIPPED.iter().chain(files).copied().collect();
    let sources = Sources::new(all.iter());
    let mut compiler = Compiler::new(Rules::empty(sources.clone()));
    for (number, file) in all.iter().enumerate() {
        let shipped = number < SHIPPED.len();
        let kind = if shipped {
            FileKind::Shipped
        } else {
            FileKind::Policy
        };
        let document = document::read(number, kind, file.text, &mut compiler.found);
        compiler.file = number;
        compiler.shipped = shipped;
        compiler.document(document);
    }
    if compiler.found.is_empty() {
        Ok(compiler.rules)
    } else {
        Err(Diagnostics::new(sources, compiler.found))
    }
}

/// Where the compiler stands and what it has found.
pub(super) struct Compiler {
    pub(super) file: usize,
    pub(super) shipped: bool,
    pub(super) found: Vec<Diagnostic>,
    pub(super) rules: Rules,
    /// What has been named already, by kind and name, and where.
    named: HashMap<(&'static str, String), Place>,
}

impl Compiler {
    fn new(rules: Rules) -> Self {
        Self {
            file: 0,
            shipped: false,
            found: Vec::new(),
            rules,
            named: HashMap::new(),
        }
    }

    fn document(&mut self, document: Document) {
        for entry in document.tables {
            self.table(entry.span, &entry.raw);
        }
        for entry in document.grants {
            self.grant(entry.span, &entry.raw);
        }
        for (number, entry) in document.denies.into_iter().enumerate() {
            self.deny(number, entry.span, &entry.raw);
        }
        for entry in document.delegations {
            self.delegation(&entry.raw);
        }
        for entry in document.functions {
            self.function(entry.span, &entry.raw);
        }
        for entry in document.safe {
            self.safe(&entry.raw);
        }
    }

    fn table(&mut self, span: Range<usize>, raw: &RawTable) {
        let default = raw
            .sensitivity
            .as_ref()
            .and_then(|word| self.sensitivity(word));
        let mut columns = HashMap::new();
        for (name, column) in &raw.columns {
            if let Some(label) = self.column(column.get_ref(), column.span()) {
                columns.insert(name.get_ref().clone(), label);
            }
        }
        let Some(pattern) = self.object(&raw.name) else {
            return;
        };
        if !self.shipped && is_system(pattern.schema()) {
            let hint = "the labels of pg_catalog and information_schema ship with pgward; \
                        widen them with a [[grant]], narrow them with a [[deny]]";
            self.wrong(
                raw.name.span(),
                "this schema cannot be labelled",
                "here",
                hint,
            );
            return;
        }
        self.once("table", &spelling(&pattern, &raw.name), raw.name.span());
        let number = self.rules.tables.len();
        self.rules.table_index.insert(&pattern, number);
        let place = self.place(span);
        self.rules.tables.push(TableRule {
            pattern,
            default,
            columns,
            place,
            shipped: self.shipped,
        });
    }

    fn column(&mut self, raw: &RawColumn, span: Range<usize>) -> Option<ColumnLabel> {
        match raw {
            RawColumn::Word(word) => {
                let word = Word::new(span, word.clone());
                let sensitivity = self.sensitivity(&word)?;
                let mask = None;
                Some(ColumnLabel { sensitivity, mask })
            }
            RawColumn::Table(table) => {
                let sensitivity = self.sensitivity(&table.sensitivity);
                let mask = match &table.mask {
                    Some(mask) => Some(self.mask(mask.get_ref(), mask.span())?),
                    None => None,
                };
                let sensitivity = sensitivity?;
                Some(ColumnLabel { sensitivity, mask })
            }
        }
    }

    fn mask(&mut self, raw: &RawMask, span: Range<usize>) -> Option<Mask> {
        match raw {
            RawMask::Word(word) => {
                let mask = Mask::from_text(word);
                if mask.is_none() {
                    let hint = format!("known are {SPELLINGS}");
                    self.wrong(span, "this mask is not known", "unknown mask", &hint);
                }
                mask
            }
            RawMask::Table(table) if table.sql.get_ref().trim().is_empty() => {
                let hint = "write an SQL expression over the column";
                self.wrong(table.sql.span(), "this mask is empty", "empty", hint);
                None
            }
            RawMask::Table(table) => Some(Mask::Sql(table.sql.get_ref().clone())),
        }
    }

    fn delegation(&mut self, raw: &RawDelegation) {
        let clearance = self.sensitivity(&raw.clearance);
        let actions = self.actions(&raw.actions);
        let users = self.users(&raw.users);
        let agents = self.agents(&raw.agents);
        let ttl_seconds_max = raw.max_ttl.as_ref().and_then(|word| {
            let seconds = words::seconds(word.get_ref());
            if seconds.is_none() {
                let hint = "write a number and s, m, h or d: 15m";
                self.wrong(word.span(), "this is not a length of time", "here", hint);
            }
            seconds
        });
        let depth_max = raw.max_depth.as_ref().and_then(|number| {
            let depth = usize::try_from(*number.get_ref())
                .ok()
                .filter(|most| *most > 0);
            if depth.is_none() {
                let hint = "1 means an agent without sub-agents";
                self.wrong(number.span(), "the depth begins at 1", "here", hint);
            }
            depth
        });
        if let Some(clearance) = clearance {
            self.rules.delegations.push(Delegation {
                users,
                agents,
                clearance,
                actions,
                ttl_seconds_max,
                depth_max,
            });
        }
    }

    fn function(&mut self, span: Range<usize>, raw: &RawFunction) {
        let mut tables = Vec::new();
        for word in &raw.touches.tables {
            tables.extend(self.checked(word, parse_object));
        }
        let mut columns = Vec::new();
        for word in &raw.touches.columns {
            columns.extend(self.checked(word, parse_column));
        }
        let Some(pattern) = self.object(&raw.name) else {
            return;
        };
        if is_system(pattern.schema()) {
            let hint = "which functions of pg_catalog and information_schema may be called is \
                        decided by the list that ships with pgward";
            self.wrong(
                raw.name.span(),
                "this function cannot be listed",
                "here",
                hint,
            );
            return;
        }
        self.once("function", &spelling(&pattern, &raw.name), raw.name.span());
        let number = self.rules.functions.len();
        self.rules.function_index.insert(&pattern, number);
        let place = self.place(span);
        self.rules.functions.push(FunctionRule {
            pattern,
            tables,
            columns,
            place,
        });
    }

    fn safe(&mut self, raw: &RawSafe) {
        let names = raw
            .names
            .iter()
            .map(|name| QualifiedName::new(&raw.schema, name));
        self.rules.safe.extend(names);
    }
}

/// What every kind of entry needs.
impl Compiler {
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: self.file,
            span,
        }
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, span: Range<usize>, message: &str, label: &str, hint: &str) {
        let place = self.place(span);
        self.found.push(Diagnostic {
            severity: Severity::Error,
            place,
            message: message.to_owned(),
            label: label.to_owned(),
            hint: Some(hint.to_owned()),
        });
    }

    /// Complains where something of that kind has the name already.
    pub(super) fn once(&mut self, kind: &'static str, name: &str, span: Range<usize>) {
        let key = (kind, name.to_owned());
        if let Some(first) = self.named.get(&key) {
            let file = self.rules.sources.name(first);
            let line = self.rules.sources.line(first);
            let hint = format!("the first one is at {file}:{line}");
            let message = format!("this {kind} is named twice");
            self.wrong(span, &message, "again", &hint);
        } else {
            let place = self.place(span);
            self.named.insert(key, place);
        }
    }

    pub(super) fn sensitivity(&mut self, word: &Word) -> Option<Sensitivity> {
        let found = Sensitivity::from_word(word.get_ref());
        if found.is_none() {
            let words: Vec<&str> = Sensitivity::ALL.iter().map(|one| one.word()).collect();
            let hint = format!("known are {}", words.join(", "));
            self.wrong(word.span(), "this is not a sensitivity", "unknown", &hint);
        }
        found
    }

    pub(super) fn object(&mut self, word: &Word) -> Option<ObjectPattern> {
        self.checked(word, ObjectPattern::parse)
    }

    pub(super) fn objects(&mut self, list: &[Word]) -> Vec<ObjectPattern> {
        list.iter().filter_map(|word| self.object(word)).collect()
    }

    /// Reads a word; what is wrong with it is said at its place.
    pub(super) fn checked<T>(
        &mut self,
        word: &Word,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(word.get_ref()) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = format!("{:?} cannot be read", word.get_ref());
                self.wrong(word.span(), &message, "here", &reason);
                None
            }
        }
    }
}

/// One spelling for one object, quoted or not; a glob stands for itself.
fn spelling(pattern: &ObjectPattern, written: &Word) -> String {
    match pattern.exact() {
        Some(exact) => exact.to_string(),
        None => written.get_ref().clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<SourceFile<'_>> = files
            .iter()
            .map(|&(name, text)| SourceFile { name, text })
            .collect();
        let Err(found) = compile(&files) else {
            return Vec::new();
        };
        assert_eq!(found.render(false).matches("Error: ").count(), found.len());
        let located = found.located().into_iter();
        located
            .map(|one| format!("{}:{}:{} {}", one.file, one.line, one.column, one.message))
            .collect()
    }

    #[test]
    fn what_ships_is_without_mistakes() {
        let rules = compile(&[]).unwrap_or_else(|found| panic!("{found}"));
        assert!(rules.tables.len() > 200 && rules.safe.len() > 500);
        assert!(rules.tables.iter().all(|table| table.shipped));
        for (name, expected) in [
            ("upper", true),
            ("pg_sleep", false),
            ("ts_rewrite", false),
            ("nextval", false),
        ] {
            let function = QualifiedName::new("pg_catalog", name);
            assert_eq!(rules.safe.contains(&function), expected, "{name}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = r#"
[[table]]
name = "customers"
sensitivity = "secret"
[table.columns]
a = "intern"
b = { sensitivity = "internal", mask = "blur" }
c = { sensitivity = "internal", mask = { sql = " " } }

[[table]]
name = "pg_catalog.pg_class"

[[grant]]
id = "g"
agents = [""]
users = ["*"]
actions = ["select", "read"]
tables = ["*.t"]
clearance = "internal"
rows = ""
when = { hours = "7-8", days = "monday", timezone = "Mars/Olympus", networks = ["10/8"], max_risk = 101 }
limits = { rows_per_statement = 0 }

[[grant]]
id = "h"
agents = ["*"]
users = ["*"]
actions = ["select", "call"]

[[deny]]
tables = []
columns = []

[[delegation]]
users = ["*"]
agents = ["*"]
clearance = "internal"
actions = ["select"]
max_ttl = "soon"
max_depth = 0

[[function]]
name = "pg_catalog.pg_sleep"
touches = { tables = ["public.*"], columns = ["public.t"] }
"#;
        let found = mistakes(&[("shop.toml", text)]);
        let places: Vec<&str> = found
            .iter()
            .filter_map(|one| one.strip_prefix("shop.toml:")?.split(':').next())
            .collect();
        let expected = [
            "3", "4", "6", "7", "8", "11", "15", "17", "18", "20", "21", "21", "21", "21", "21",
            "22", "24", "24", "24", "30", "30", "39", "40", "43", "44", "44",
        ];
        assert_eq!(places, expected, "{found:#?}");
    }

    #[test]
    fn nothing_is_named_twice() {
        let table = "[[table]]\nname = \"public.t\"\n";
        let quoted = "[[table]]\nname = \"\\\"public\\\".t\"\n";
        let found = mistakes(&[("a.toml", table), ("b.toml", quoted)]);
        assert_eq!(found, ["b.toml:2:8 this table is named twice"]);
        let grant = "[[grant]]\nid = \"g\"\nagents = [\"a\"]\nusers = [\"u\"]\n\
                     actions = [\"select\"]\ntables = [\"public.t\"]\nclearance = \"public\"\n";
        let found = mistakes(&[("a.toml", &format!("{grant}{grant}"))]);
        assert_eq!(found, ["a.toml:9:6 this grant is named twice"]);
        let shipped = grant.replace("\"g\"", "\"shipped:pg_catalog\"");
        assert_eq!(mistakes(&[("a.toml", &shipped)]).len(), 1);
    }

    #[test]
    fn a_call_needs_functions_and_nothing_else() {
        let grant =
            "[[grant]]\nid = \"g\"\nagents = [\"a\"]\nusers = [\"u\"]\nactions = [\"call\"]\n";
        assert_eq!(mistakes(&[("a.toml", grant)]).len(), 1);
        let whole = format!("{grant}functions = [\"public.close_*\"]\n");
        assert!(mistakes(&[("a.toml", &whole)]).is_empty());
        let select = whole.replace("call", "select") + "clearance = \"public\"\n";
        assert_eq!(mistakes(&[("a.toml", &select)]).len(), 2);
    }
}
