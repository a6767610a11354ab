//! COPY: out of a query or a table to the client, or from the client into a table. Never to or
//! from the server's files or programs.

use pg_raw_parse::{Node, nodes};

use crate::access::{Action, Use};
use crate::refusal::Refusal;

use super::analyser::{Analyser, strings};
use super::scope::{Columns, FromItem, Origin, Scope};

/// What an option's value must be. Postgres checks that when the statement runs; its deparser, which
/// comes first here, takes it for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text.
    Text,
    /// A word or a number, or nothing at all.
    Flag,
    /// `*` or a list of columns.
    Columns,
}

/// Options that only change how the data looks.
const OPTIONS: &[(&str, Value)] = &[
    ("default", Value::Text),
    ("delimiter", Value::Text),
    ("encoding", Value::Word(&["utf8", "utf-8"])),
    ("escape", Value::Text),
    ("force_not_null", Value::Columns),
    ("force_null", Value::Columns),
    ("force_quote", Value::Columns),
    ("format", Value::Word(&["text", "csv", "binary"])),
    ("header", Value::Flag),
    ("null", Value::Text),
    ("quote", Value::Text),
];

impl<'a> Analyser<'a> {
    pub(super) fn copy(&mut self, copy: &'a nodes::CopyStmt) -> Result<(), Refusal> {
        self.command("COPY");
        if copy.is_program {
            return Err(
                Refusal::unsupported("COPY to or from a program is not allowed")
                    .with_hint("use COPY … TO STDOUT or FROM STDIN"),
            );
        }
        if copy.filename().is_some() {
            return Err(
                Refusal::unsupported("COPY to or from a file is not allowed")
                    .with_hint("use COPY … TO STDOUT or FROM STDIN"),
            );
        }
        for option in copy.options() {
            check_option(option)?;
        }
        if matches!(copy.query(), Node::None) {
            return self.copy_relation(copy);
        }
        let columns = self.query(copy.query(), None, None)?;
        self.set_outputs(&columns);
        Ok(())
    }

    fn copy_relation(&mut self, copy: &'a nodes::CopyStmt) -> Result<(), Refusal> {
        let action = if copy.is_from {
            Action::Insert
        } else {
            Action::Select
        };
        let (_, entry) = self.target(copy.relation(), action)?;
        let named = strings(copy.attlist()).unwrap_or_default();
        let used = if copy.is_from {
            Use::Written
        } else {
            Use::Output
        };
        let mut outputs = Columns::default();
        for name in &named {
            self.names.columns.push((*name).to_owned());
            if !entry.columns.list.iter().any(|c| c.name == Some(name)) {
                return Err(Refusal::new(
                    crate::refusal::SqlState::UNDEFINED_COLUMN,
                    crate::refusal::Reason::Unresolved,
                    format!(
                        "column \"{name}\" of relation \"{}\" does not exist",
                        entry.alias
                    ),
                ));
            }
        }
        for column in &entry.columns.list {
            let wanted = named.is_empty() || column.name.is_some_and(|name| named.contains(&name));
            if let Origin::Base(id) = column.origin
                && wanted
            {
                self.use_column(id, used, action, named.is_empty(), -1);
                outputs.list.push(column.clone());
            }
        }
        if !copy.is_from {
            self.set_outputs(&outputs);
        }
        let scope = Scope {
            items: vec![FromItem::single(entry)],
            ..Scope::default()
        };
        self.expression(copy.where_clause(), &scope, Use::Predicate)?;
        Ok(())
    }
}

fn check_option(option: &nodes::DefElem) -> Result<(), Refusal> {
    let name = option.defname().unwrap_or_default();
    let Some((_, value)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
        return Err(Refusal::unsupported(format!(
            "COPY option \"{name}\" is not supported"
        )));
    };
    let fits = match (value, option.arg()) {
        (Value::Word(words), Node::String(given)) => {
            let given = given.sval().unwrap_or_default();
            words.iter().any(|word| given.eq_ignore_ascii_case(word))
        }
        (Value::Text | Value::Flag, Node::String(_)) => true,
        (Value::Flag, Node::None | Node::Integer(_) | Node::Boolean(_)) => true,
        (Value::Columns, Node::A_Star(_)) => true,
        (Value::Columns, Node::NodeList(columns)) => strings(columns).is_some(),
        (_, _) => false,
    };
    let expected = match value {
        Value::Word(words) => words.join(" or "),
        Value::Text => "a text in quotes".to_owned(),
        Value::Flag => "true or false".to_owned(),
        Value::Columns => "* or a list of columns".to_owned(),
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::unsupported(format!(
        "COPY option \"{name}\" must be {expected}"
    )))
}
