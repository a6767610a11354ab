//! COPY: out of a query or a table to the client, or from the client into a table. Never to or
//! from the server's files or programs.

use pg_raw_parse::{ConstValue, Node, nodes};

use crate::access::{Action, Use};
use crate::refusal::Refusal;

use super::analyser::{Analyser, strings};
use super::scope::{Columns, FromItem, Origin, Scope};

/// Options that only change how the data looks.
const OPTIONS: &[&str] = &[
    "default",
    "delimiter",
    "encoding",
    "escape",
    "force_not_null",
    "force_null",
    "force_quote",
    "format",
    "header",
    "null",
    "quote",
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
    if OPTIONS.binary_search(&name).is_err() {
        return Err(Refusal::unsupported(format!(
            "COPY option \"{name}\" is not supported"
        )));
    }
    let utf8 = option.arg().as_str().is_some_and(|value| {
        value.eq_ignore_ascii_case("utf8") || value.eq_ignore_ascii_case("utf-8")
    });
    let constant = matches!(option.arg(), Node::A_Const(c) if matches!(c.val(), Some(ConstValue::String("utf8" | "UTF8"))));
    if name == "encoding" && !utf8 && !constant {
        return Err(Refusal::unsupported("COPY encoding can only be UTF8"));
    }
    Ok(())
}
