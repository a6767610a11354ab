//! `SELECT … FROM pg_settings WHERE name = '…'` is SHOW by another name, which drivers use: it follows
//! the same rule. Any other query of that view is governed by the policy, column by column.

use pg_raw_parse::raw::A_Expr_Kind as Kind;
use pg_raw_parse::{ConstValue, Node, nodes};

use super::analyser::{Analyser, strings};
use super::scope::{FromItem, Origin};
use super::settable::check_show;

impl<'a> Analyser<'a> {
    /// Takes the value of a setting for harmless where the query reads the rows of settings that may be
    /// shown, and nothing else. The condition must stand alone: what stands beside it could run first.
    pub(super) fn shown_setting(&self, select: &'a nodes::SelectStmt, items: &mut [FromItem<'a>]) {
        let [item] = items else {
            return;
        };
        let [entry] = item.entries.as_mut_slice() else {
            return;
        };
        let relation = entry.relation.and_then(|id| self.ground.snapshot.at(id));
        let is_view = relation.is_some_and(|relation| {
            relation.schema == "pg_catalog" && relation.name == "pg_settings"
        });
        if !is_view || has_column_aliases(select) {
            return;
        }
        let named = settings_named(select.where_clause(), entry.alias).unwrap_or_default();
        if !named.is_empty() && named.iter().all(|name| check_show(name).is_ok()) {
            let mut columns = entry.columns.list.iter_mut();
            if let Some(value) = columns.find(|column| column.name == Some("setting")) {
                value.origin = Origin::nothing();
            }
            item.columns = entry.columns.clone();
        }
    }
}

fn has_column_aliases(select: &nodes::SelectStmt) -> bool {
    select.from_clause().iter().any(|node| {
        let Node::RangeVar(range) = node else {
            return true;
        };
        let alias = range.alias();
        alias.is_some_and(|alias| !alias.colnames().is_empty())
    })
}

/// The names that a condition of the form `name = '…'` or `name IN ('…', …)` asks for.
fn settings_named<'a>(condition: Node<'a>, alias: &str) -> Option<Vec<&'a str>> {
    let Node::A_Expr(expr) = condition else {
        return None;
    };
    let Node::ColumnRef(column) = expr.lexpr() else {
        return None;
    };
    let is_name = match strings(column.fields())?.as_slice() {
        ["name"] => true,
        [table, "name"] => *table == alias,
        _ => false,
    };
    if !is_name || strings(expr.name())?.as_slice() != ["="] {
        return None;
    }
    match (expr.kind, expr.rexpr()) {
        (Kind::AEXPR_OP, name) => Some(vec![text(name)?]),
        (Kind::AEXPR_IN, Node::NodeList(names)) => names.iter().map(text).collect(),
        _ => None,
    }
}

fn text(node: Node<'_>) -> Option<&str> {
    let Node::A_Const(constant) = node else {
        return None;
    };
    let ConstValue::String(text) = constant.val()? else {
        return None;
    };
    Some(text)
}
