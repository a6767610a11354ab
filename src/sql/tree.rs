//! Postgres's own parser and deparser (libpg_query through `pg_raw_parse`): text to tree, tree to
//! canonical text, and whether two trees are the same statement. This is the authority on what a
//! text means. A fault inside the binding refuses the statement and never unwinds further.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_raw_parse::{DeparseResult, Node, ParseResult};

use crate::refusal::{Reason, Refusal, SqlState};

/// Deepest tree that is walked; a chain of operators counts one level per operator.
pub(super) const DEPTH_MAX: usize = 400;

/// Parses a text with Postgres's grammar.
///
/// # Errors
/// 42601 with Postgres's own message for what does not parse.
pub(super) fn parse(text: &str) -> Result<ParseResult, Refusal> {
    guarded(|| pg_raw_parse::parse(text))?.map_err(|error| {
        let message = error.to_string();
        let words = message
            .strip_prefix("Invalid statement: ")
            .unwrap_or(&message);
        Refusal::new(SqlState::SYNTAX_ERROR, Reason::Syntax, words)
    })
}

/// The canonical text of one statement.
///
/// # Errors
/// 0A000 where Postgres's deparser has no text for the tree.
pub(super) fn deparse(statement: Node<'_>) -> Result<String, Refusal> {
    let text = guarded(|| {
        pg_raw_parse::deparse(statement).map(|found: DeparseResult| found.as_str().to_owned())
    })?;
    text.map_err(|_| {
        Refusal::unsupported("statement has no canonical form")
            .with_hint("write the statement in a simpler way")
    })
}

/// The text with its literals replaced by `$n`; `None` where it does not parse.
pub(super) fn normalize(text: &str) -> Option<String> {
    guarded(|| pg_raw_parse::normalize::normalize(text))
        .ok()?
        .ok()
}

/// Whether two trees are the same statement: equal in everything but places in the text.
pub(super) fn same(left: Node<'_>, right: Node<'_>) -> bool {
    let (mut a, mut b) = (Placeless::default(), Placeless::default());
    write!(a, "{left:?}").is_ok() && write!(b, "{right:?}").is_ok() && a.text == b.text
}

/// Runs a call into the binding; its own assertions must not take the connection down.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| Refusal::unsupported("statement is of a form that pgward cannot read"))
}

/// Collects a tree's debug text and leaves out the numbers that are places in the text: fields
/// whose name ends in `location`, `_start`, `_end` or `stmt_len`.
#[derive(Default)]
struct Placeless {
    text: String,
    /// Inside a quoted string, where nothing is a field name.
    quoted: bool,
    escaped: bool,
    /// The field name being read.
    word: String,
    /// Skipping the number of a place.
    skipping: bool,
}

impl Placeless {
    fn put(&mut self, c: char) {
        if self.quoted {
            self.text.push(c);
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.quoted = false,
                _ => {}
            }
            return;
        }
        if self.skipping {
            if c == ' ' || c == '-' || c.is_ascii_digit() {
                return;
            }
            self.skipping = false;
        }
        self.text.push(c);
        match c {
            '"' => self.quoted = true,
            ':' => {
                self.skipping = is_place(&self.word);
                self.word.clear();
            }
            c if c == '_' || c.is_ascii_alphanumeric() => self.word.push(c),
            _ => self.word.clear(),
        }
    }
}

impl Write for Placeless {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        part.chars().for_each(|c| self.put(c));
        Ok(())
    }
}

fn is_place(field: &str) -> bool {
    matches!(
        field,
        "location"
            | "stmt_location"
            | "name_location"
            | "stmt_len"
            | "list_start"
            | "list_end"
            | "rexpr_list_start"
            | "rexpr_list_end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(a: &str, b: &str) -> bool {
        let (a, b) = (parse(a).unwrap(), parse(b).unwrap());
        same(a.stmts().next().unwrap(), b.stmts().next().unwrap())
    }

    #[test]
    fn sameness_ignores_places_alone() {
        assert!(equal("SELECT a  FROM t", "select A from T"));
        assert!(equal("SELECT a /* x */ FROM t", "SELECT a FROM t"));
        for (a, b) in [
            ("SELECT a FROM t", "SELECT b FROM t"),
            ("SELECT a FROM t", "SELECT a FROM ONLY t"),
            ("SELECT 'location: 1'", "SELECT 'location: 2'"),
            ("SELECT 1", "SELECT -1"),
            ("DELETE FROM t WHERE a = 1", "DELETE FROM t"),
            ("SELECT 1 LIMIT 5", "SELECT 1 LIMIT 6"),
            ("SELECT '\"location: 1'", "SELECT '\"location: 2'"),
        ] {
            assert!(!equal(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_syntax_error_keeps_postgres_words() {
        let refusal = parse("SELEC 1").unwrap_err();
        assert_eq!(refusal.message, "syntax error at or near \"SELEC\"");
        assert_eq!(refusal.code, SqlState::SYNTAX_ERROR);
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let name = "é".repeat(40);
        let tree = parse(&format!("SELECT \"{name}\" FROM t")).unwrap();
        let text = deparse(tree.stmts().next().unwrap()).unwrap();
        assert!(text.contains(&"é".repeat(31)) && !text.contains(&"é".repeat(32)));
    }
}
