//! The second judge: sqlparser reads the canonical text on its own and must see the same names as
//! Postgres's parser did. It decides nothing else. Where it cannot read a text or sees something
//! that Postgres has no word for, the two disagree and the statement is refused.

use std::borrow::Cow;
use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, Assignment, AssignmentTarget, ConflictTarget, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, MergeAction, MergeUpdateKind, ObjectName,
    ObjectNamePart, OnConflictAction, OnInsert, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::refusal::{Reason, Refusal, SqlState};

use super::names::Names;

/// What the second parser does not read, and what it is shown instead. Neither holds a name; inside a
/// quoted name the change shows as a disagreement.
const STAND_INS: [(&str, &str); 3] = [
    (" FOR NO KEY UPDATE", " FOR UPDATE"),
    (" FOR KEY SHARE", " FOR SHARE"),
    (" BETWEEN SYMMETRIC ", " BETWEEN "),
];

/// Holds a canonical text against the names that Postgres's parser saw in it.
///
/// # Errors
/// 0A000 where the second parser cannot read the text, or sees other names.
pub(super) fn agree(text: &str, mut expected: Names) -> Result<(), Refusal> {
    let mut text = Cow::Borrowed(text);
    for (written, shown) in STAND_INS {
        if text.contains(written) {
            text = Cow::Owned(text.replace(written, shown));
        }
    }
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, &text)
        .map_err(|_| disagreement("the second parser cannot read it"))?;
    let [statement] = statements.as_slice() else {
        return Err(disagreement("the second parser sees several statements"));
    };
    let mut witness = Witness::default();
    let _ = statement.visit(&mut witness);
    let mut seen = witness.into_names().ok_or_else(|| {
        disagreement("the second parser reads it as something that Postgres does not have")
    })?;
    expected.sort();
    seen.sort();
    if seen.relations != expected.relations {
        return Err(disagreement("the parsers see different relations"));
    }
    if seen.columns != expected.columns {
        return Err(disagreement("the parsers see different columns"));
    }
    if seen.functions != expected.functions {
        return Err(disagreement("the parsers see different functions"));
    }
    Ok(())
}

fn disagreement(detail: &str) -> Refusal {
    Refusal::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        Reason::Disagreement,
        "statement is not understood beyond doubt",
    )
    .with_detail(detail.to_owned())
    .with_hint("write the statement in a simpler way")
}

/// Collects names in the order of the visit.
#[derive(Default)]
struct Witness {
    names: Names,
    /// Names that the visit will bring as columns and that are none (fields, argument names).
    not_columns: Vec<String>,
    /// The next relation visited is a function's name.
    skip_relation: bool,
    /// Something was seen that no Postgres statement holds.
    foreign: bool,
}

impl Witness {
    fn into_names(mut self) -> Option<Names> {
        for name in &self.not_columns {
            let place = self.names.columns.iter().position(|column| column == name);
            self.names.columns.swap_remove(place?);
        }
        (!self.foreign).then_some(self.names)
    }

    fn column(&mut self, name: String) {
        self.names.columns.push(name);
    }

    fn target(&mut self, name: &ObjectName) {
        let first = name.0.first().and_then(ObjectNamePart::as_ident);
        match first {
            Some(ident) => self.column(spelled(ident)),
            None => self.foreign = true,
        }
    }

    fn assignments(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            match &assignment.target {
                AssignmentTarget::ColumnName(name) => self.target(name),
                AssignmentTarget::Tuple(names) => names.iter().for_each(|name| self.target(name)),
            }
        }
    }

    fn items(&mut self, items: &[SelectItem]) {
        for item in items {
            match item {
                SelectItem::Wildcard(_) => self.column("*".to_owned()),
                SelectItem::QualifiedWildcard(kind, _) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.column(format!("{}.*", dotted(name)));
                    }
                }
                SelectItem::UnnamedExpr(_)
                | SelectItem::ExprWithAlias { .. }
                | SelectItem::ExprWithAliases { .. } => {}
            }
        }
    }

    fn function(&mut self, function: &Function) {
        self.function_name(&function.name);
        let FunctionArguments::List(list) = &function.args else {
            return;
        };
        for argument in &list.args {
            self.argument(argument);
        }
    }

    fn argument(&mut self, argument: &FunctionArg) {
        let value = match argument {
            FunctionArg::Named { arg, .. } | FunctionArg::Unnamed(arg) => arg,
            FunctionArg::ExprNamed { name, arg, .. } => {
                if let Expr::Identifier(ident) = name {
                    self.not_columns.push(spelled(ident));
                }
                arg
            }
        };
        if let FunctionArgExpr::QualifiedWildcard(name) = value {
            self.column(format!("{}.*", dotted(name)));
        }
    }

    fn function_name(&mut self, name: &ObjectName) {
        match name.0.last().and_then(ObjectNamePart::as_ident) {
            Some(ident) => self.names.function(&spelled(ident)),
            None => self.foreign = true,
        }
    }

    /// `(expr).field` and `array[1]`. To sqlparser the dots of `table.array[1]` are field accesses
    /// too; where no parenthesis stands before them they are parts of the column's name.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no name before the dots")]
    fn fields(&mut self, root: &Expr, chain: &[AccessExpr]) {
        let mut path = match root {
            Expr::Identifier(ident) => Some(vec![spelled(ident)]),
            Expr::CompoundIdentifier(parts) => Some(parts.iter().map(spelled).collect()),
            _ => None,
        };
        let before = path.as_ref().map(|parts| parts.join("."));
        let mut leading = true;
        for access in chain {
            let AccessExpr::Dot(Expr::Identifier(ident)) = access else {
                leading = false;
                continue;
            };
            self.not_columns.push(spelled(ident));
            if let (true, Some(parts)) = (leading, &mut path) {
                parts.push(spelled(ident));
            }
        }
        if let (Some(before), Some(parts)) = (before, path) {
            self.not_columns.push(before);
            self.column(parts.join("."));
        }
    }

    fn conflict(&mut self, on: &OnInsert) {
        let OnInsert::OnConflict(conflict) = on else {
            self.foreign = true;
            return;
        };
        if let Some(ConflictTarget::Columns { columns, .. }) = &conflict.conflict_target {
            columns.iter().for_each(|ident| self.column(spelled(ident)));
        }
        if let OnConflictAction::DoUpdate(update) = &conflict.action {
            self.assignments(&update.assignments);
        }
    }

    fn merge_action(&mut self, action: &MergeAction) {
        match action {
            MergeAction::Insert(insert) => {
                insert.columns.iter().for_each(|name| self.target(name));
            }
            MergeAction::Update(update) => match &update.kind {
                MergeUpdateKind::Set(assignments) => self.assignments(assignments),
                MergeUpdateKind::Wildcard => self.foreign = true,
            },
            MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
        }
    }
}

impl Visitor for Witness {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if !std::mem::take(&mut self.skip_relation) {
            self.names.relations.push(dotted(relation));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(arguments),
                ..
            } => {
                self.skip_relation = true;
                self.function_name(name);
                for argument in &arguments.args {
                    self.argument(argument);
                }
            }
            TableFactor::Function { name, args, .. } => {
                self.function_name(name);
                for argument in args {
                    self.argument(argument);
                }
            }
            TableFactor::UNNEST { .. } => self.names.function("unnest"),
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::TableFunction { .. } => {}
            TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => self.foreign = true,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.items(&select.projection);
        ControlFlow::Continue(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "kinds of statements are the authority's matter; names in others stay unseen and differ"
    )]
    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Insert(insert) => {
                insert.columns.iter().for_each(|name| self.target(name));
                insert.on.iter().for_each(|on| self.conflict(on));
                self.items(insert.returning.as_deref().unwrap_or_default());
            }
            Statement::Update(update) => {
                self.assignments(&update.assignments);
                self.items(update.returning.as_deref().unwrap_or_default());
            }
            Statement::Delete(delete) => {
                self.items(delete.returning.as_deref().unwrap_or_default());
            }
            Statement::Merge(merge) => {
                for clause in &merge.clauses {
                    self.merge_action(&clause.action);
                }
            }
            Statement::Call(function) => self.function(function),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => {
                // DEFAULT is a keyword to Postgres and a name to sqlparser.
                let keyword = ident.quote_style.is_none() && ident.value == "DEFAULT";
                if !keyword {
                    self.column(spelled(ident));
                }
            }
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<String> = parts.iter().map(spelled).collect();
                self.column(parts.join("."));
            }
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { root, access_chain } => self.fields(root, access_chain),
            Expr::JsonAccess { .. }
            | Expr::RLike { .. }
            | Expr::Convert { .. }
            | Expr::Prefixed { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::MatchAgainst { .. }
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(..)
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::MemberOf(_) => self.foreign = true,
            Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::IsJson { .. }
            | Expr::IsNormalized { .. }
            | Expr::In { .. }
            | Expr::Between { .. }
            | Expr::BinaryOp { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::UnaryOp { .. }
            | Expr::Cast { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. }
            | Expr::Collate { .. }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_)
            | Expr::GroupingSets(_)
            | Expr::Cube(_)
            | Expr::Rollup(_)
            | Expr::Tuple(_)
            | Expr::Array(_)
            | Expr::Interval(_) => {}
        }
        ControlFlow::Continue(())
    }
}

/// An identifier as Postgres stores it.
fn spelled(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

fn dotted(name: &ObjectName) -> String {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| "?".to_owned(), spelled))
        .collect();
    parts.join(".")
}
