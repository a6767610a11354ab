//! SELECT: WITH, set operations, VALUES, the target list, grouping, ordering, locking.

use std::ops::Range;
use std::rc::Rc;

use pg_raw_parse::raw::A_Expr_Kind::AEXPR_NULLIF;
use pg_raw_parse::raw::CoercionForm::COERCE_IMPLICIT_CAST;
use pg_raw_parse::raw::MinMaxOp::IS_LEAST;
use pg_raw_parse::raw::SetOperation::SETOP_NONE;
use pg_raw_parse::raw::SubLinkType::{ARRAY_SUBLINK, EXISTS_SUBLINK};
use pg_raw_parse::{Node, list::NodeList, nodes};

use crate::access::{Action, Use};
use crate::refusal::Refusal;

use super::analyser::{Analyser, at, unknown_node};
use super::column::{TARGETS_MAX, too_many_targets};
use super::expression::Made;
use super::scope::{Columns, Ctes, Found, FromItem, Origin, Scope, ScopeColumn, merge};

pub(super) type Outer<'a, 'p> = Option<&'p Scope<'a, 'p>>;
pub(super) type With<'a, 'p> = Option<&'p Ctes<'a, 'p>>;

impl<'a> Analyser<'a> {
    /// Any query that has a result: SELECT, VALUES, or a data-modifying statement with RETURNING.
    pub(super) fn query(
        &mut self,
        node: Node<'a>,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        if let Node::SelectStmt(select) = node {
            return self.select(select, outer, ctes);
        }
        self.write(node, ctes)
    }

    pub(super) fn select(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        self.enter()?;
        self.command("SELECT");
        if let Some(into) = select.into_clause() {
            let location = into.rel().map_or(-1, |rel| rel.location);
            return Err(at(
                Refusal::unsupported("SELECT INTO is not allowed")
                    .with_hint("leave INTO out and read the rows"),
                location,
            ));
        }
        let local = self.with_clause(select.with_clause(), outer, ctes)?;
        let ctes = local.as_ref().or(ctes);
        let columns = if select.op != SETOP_NONE {
            self.set_operation(select, outer, ctes)?
        } else if !select.values_lists().is_empty() {
            self.values(select, outer, ctes)?
        } else {
            self.simple_select(select, outer, ctes)?
        };
        self.leave();
        Ok(columns)
    }

    fn simple_select(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let mut scope = Scope {
            outer,
            ctes,
            items: Vec::new(),
        };
        let read = self.relations_used();
        self.read_from(select.from_clause(), &mut scope)?;
        let read = read..self.relations_used();
        self.shown_setting(select, &mut scope.items);
        let windows = self.named_windows(select, &scope)?;
        self.windows.push(windows);
        let outputs = self.selected(select, &scope);
        self.windows.pop();
        let outputs = outputs?;
        self.locking(select, &scope, read)?;
        Ok(outputs.derived())
    }

    /// What the windows of a WINDOW clause are made of.
    fn named_windows(
        &mut self,
        select: &'a nodes::SelectStmt,
        scope: &Scope<'a, '_>,
    ) -> Result<Made, Refusal> {
        let mut made = Made::new();
        for node in select.window_clause() {
            let Node::WindowDef(window) = node else {
                return Err(unknown_node(node, "WINDOW"));
            };
            let more = self.window(window, scope)?;
            merge(&mut made, &more);
        }
        Ok(made)
    }

    /// The clauses of a SELECT that see its FROM.
    fn selected(
        &mut self,
        select: &'a nodes::SelectStmt,
        scope: &Scope<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let outputs = self.target_list(select.target_list().iter(), scope)?;
        self.expression(select.where_clause(), scope, Use::Predicate)?;
        for node in select.group_clause() {
            self.group_item(node, scope, &outputs)?;
        }
        self.expression(select.having_clause(), scope, Use::Predicate)?;
        for node in select.distinct_clause() {
            self.order_item(node, scope, &outputs)?;
        }
        self.tail(select, scope, scope, &outputs)?;
        Ok(outputs)
    }

    /// ORDER BY, LIMIT and OFFSET, each with the names that it sees.
    fn tail(
        &mut self,
        select: &'a nodes::SelectStmt,
        scope: &Scope<'a, '_>,
        limits: &Scope<'a, '_>,
        outputs: &Columns<'a>,
    ) -> Result<(), Refusal> {
        for sort in select.sort_clause() {
            self.operator_names(sort.use_op(), sort.location)?;
            self.order_item(sort.node(), scope, outputs)?;
        }
        self.expression(select.limit_count(), limits, Use::Predicate)?;
        self.expression(select.limit_offset(), limits, Use::Predicate)?;
        Ok(())
    }

    fn set_operation(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let (left, right) = arms(select)?;
        let left = self.select(left, outer, ctes)?;
        let right = self.select(right, outer, ctes)?;
        let columns = united(left, &right);
        self.set_operation_tail(select, outer, ctes, &columns)?;
        Ok(columns)
    }

    /// ORDER BY of a set operation sees its output columns alone, LIMIT and OFFSET see none of them:
    /// a name there means a column further out.
    pub(super) fn set_operation_tail(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
        columns: &Columns<'a>,
    ) -> Result<(), Refusal> {
        let scope = Scope {
            outer,
            ctes,
            items: vec![FromItem {
                columns: columns.clone(),
                entries: Vec::new(),
            }],
        };
        let limits = Scope {
            outer,
            ctes,
            items: Vec::new(),
        };
        self.tail(select, &scope, &limits, columns)?;
        no_locking(select)
    }

    fn values(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Outer<'a, '_>,
        ctes: With<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        const NAMES: [&str; 8] = [
            "column1", "column2", "column3", "column4", "column5", "column6", "column7", "column8",
        ];
        let scope = Scope {
            outer,
            ctes,
            items: Vec::new(),
        };
        let mut columns = Columns::default();
        for row in select.values_lists() {
            let Node::NodeList(row) = row else {
                return Err(unknown_node(row, "VALUES"));
            };
            for (index, value) in row.iter().enumerate() {
                let sources = self.expression(value, &scope, Use::Output)?;
                let column = ScopeColumn {
                    name: NAMES.get(index).copied(),
                    origin: Origin::Derived(Rc::from(sources)),
                };
                match columns.list.get_mut(index) {
                    Some(known) => *known = joined(known, &column),
                    None => columns.list.push(column),
                }
            }
        }
        self.tail(select, &scope, &scope, &columns)?;
        no_locking(select)?;
        Ok(columns)
    }

    /// The target list of SELECT or RETURNING.
    pub(super) fn target_list(
        &mut self,
        targets: impl Iterator<Item = &'a nodes::ResTarget>,
        scope: &Scope<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let mut outputs = Columns::default();
        for target in targets {
            if let Node::ColumnRef(column) = target.val()
                && matches!(column.fields().iter().next_back(), Some(Node::A_Star(_)))
            {
                let star = self.star(column, scope)?;
                outputs.open |= star.open;
                outputs.list.extend(star.list);
                continue;
            }
            if let Node::A_Indirection(field) = target.val()
                && matches!(
                    field.indirection().iter().next_back(),
                    Some(Node::A_Star(_))
                )
            {
                self.expression(field.arg(), scope, Use::Output)?;
                self.subscripts(field.indirection().iter(), scope, Use::Output)?;
                outputs.open = true;
                continue;
            }
            if outputs.list.len() > TARGETS_MAX {
                return Err(too_many_targets());
            }
            let sources = self.expression(target.val(), scope, Use::Output)?;
            outputs.list.push(ScopeColumn {
                name: target.name().or_else(|| invented_name(target.val())),
                origin: Origin::Derived(Rc::from(sources)),
            });
        }
        Ok(outputs)
    }

    /// GROUP BY takes a bare name as an input column first, as an output column second.
    fn group_item(
        &mut self,
        node: Node<'a>,
        scope: &Scope<'a, '_>,
        outputs: &Columns<'a>,
    ) -> Result<(), Refusal> {
        if let Node::GroupingSet(set) = node {
            for part in set.content() {
                self.group_item(part, scope, outputs)?;
            }
            return Ok(());
        }
        if let Some(name) = bare_name(node)
            && matches!(scope.column(name), Found::Nothing)
            && names_output(outputs, name)
        {
            self.names.columns.push(name.to_owned());
            return Ok(());
        }
        // The items of a list in parentheses are items themselves.
        if let Node::RowExpr(row) = node
            && row.row_format == COERCE_IMPLICIT_CAST
        {
            for part in row.args() {
                self.group_item(part, scope, outputs)?;
            }
            return Ok(());
        }
        self.item(node, scope, outputs)
    }

    /// An item of ORDER BY, GROUP BY or DISTINCT ON that is no output column by its name, as far as
    /// those names are known.
    fn item(
        &mut self,
        node: Node<'a>,
        scope: &Scope<'a, '_>,
        outputs: &Columns<'a>,
    ) -> Result<(), Refusal> {
        let unknown = outputs.open || outputs.list.iter().any(|column| column.name.is_none());
        let before = self.names_are_sure;
        self.names_are_sure = before && !(unknown && bare_name(node).is_some());
        let walked = self.expression(node, scope, Use::Predicate);
        self.names_are_sure = before;
        walked.map(drop)
    }

    /// ORDER BY and DISTINCT ON take a bare name as an output column first.
    fn order_item(
        &mut self,
        node: Node<'a>,
        scope: &Scope<'a, '_>,
        outputs: &Columns<'a>,
    ) -> Result<(), Refusal> {
        if let Some(name) = bare_name(node)
            && names_output(outputs, name)
        {
            self.names.columns.push(name.to_owned());
            return Ok(());
        }
        self.item(node, scope, outputs)
    }

    /// FOR UPDATE and its kin need the privilege to update, as in Postgres. What is locked behind a
    /// subquery or an aliased join is not told apart: there, all relations that FROM reads count.
    fn locking(
        &mut self,
        select: &'a nodes::SelectStmt,
        scope: &Scope<'a, '_>,
        read: Range<usize>,
    ) -> Result<(), Refusal> {
        for clause in select.locking_clause() {
            let all = clause.locked_rels().is_empty();
            let mut locked = Vec::new();
            // An alias may mean what an aliased join hides.
            let mut behind = all || select.from_clause().iter().any(has_aliased_join);
            for node in clause.locked_rels() {
                let Node::RangeVar(range) = node else {
                    return Err(unknown_node(node, "FOR UPDATE"));
                };
                let name = range.relname().unwrap_or_default();
                let entries = scope.items.iter().flat_map(|item| &item.entries);
                let entry = entries.clone().find(|entry| entry.alias == name);
                match entry.and_then(|entry| entry.relation) {
                    Some(relation) => locked.push(relation),
                    None => behind = true,
                }
            }
            if behind {
                locked.extend(self.relations_in(read.clone()));
            }
            for relation in locked {
                self.use_relation(relation, Action::Update, -1);
            }
        }
        Ok(())
    }
}

fn has_aliased_join(node: Node<'_>) -> bool {
    let Node::JoinExpr(join) = node else {
        return false;
    };
    join.alias().is_some() || has_aliased_join(join.larg()) || has_aliased_join(join.rarg())
}

/// Postgres locks no rows of set operations and VALUES.
fn no_locking(select: &nodes::SelectStmt) -> Result<(), Refusal> {
    if select.locking_clause().is_empty() {
        return Ok(());
    }
    Err(
        Refusal::unsupported("FOR UPDATE is not allowed with UNION, INTERSECT, EXCEPT or VALUES")
            .with_hint("lock the rows in a query of their own"),
    )
}

pub(super) fn arms(
    select: &nodes::SelectStmt,
) -> Result<(&nodes::SelectStmt, &nodes::SelectStmt), Refusal> {
    select
        .larg()
        .zip(select.rarg())
        .ok_or_else(|| Refusal::unsupported("set operation without two sides"))
}

/// Columns of a set operation: named by the left side, made of both.
pub(super) fn united<'a>(left: Columns<'a>, right: &Columns<'a>) -> Columns<'a> {
    let open = left.open || right.open;
    let all = right.sources();
    let list = left
        .list
        .into_iter()
        .enumerate()
        .map(|(index, column)| {
            // With an open side positions cannot be paired: everything on the right may be meant.
            let other = match right.list.get(index) {
                Some(other) if !open => other.origin.sources(),
                _ => &all,
            };
            let mut sources = column.origin.sources().to_vec();
            merge(&mut sources, other);
            ScopeColumn {
                name: column.name,
                origin: Origin::Derived(Rc::from(sources)),
            }
        })
        .collect();
    Columns { list, open }
}

fn joined<'a>(one: &ScopeColumn<'a>, other: &ScopeColumn<'a>) -> ScopeColumn<'a> {
    let mut sources = one.origin.sources().to_vec();
    merge(&mut sources, other.origin.sources());
    ScopeColumn {
        name: one.name,
        origin: Origin::Derived(Rc::from(sources)),
    }
}

fn bare_name(node: Node<'_>) -> Option<&str> {
    let Node::ColumnRef(column) = node else {
        return None;
    };
    let mut fields = column.fields().iter();
    let name = fields.next()?.as_str()?;
    fields.next().is_none().then_some(name)
}

fn names_output(outputs: &Columns<'_>, name: &str) -> bool {
    outputs.list.iter().any(|column| column.name == Some(name))
}

/// The name Postgres gives an unnamed output column (`FigureColname` in `parse_target.c`), where it
/// is certain; `None` elsewhere, and then any name may be the column's.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a column without a certain name"
)]
fn invented_name(node: Node<'_>) -> Option<&str> {
    match node {
        Node::ColumnRef(column) => last_str(column.fields()),
        Node::FuncCall(call) => last_str(call.funcname()),
        Node::TypeCast(cast) => match cast.arg() {
            inner @ (Node::ColumnRef(_) | Node::FuncCall(_)) => invented_name(inner),
            _ => None,
        },
        Node::CoalesceExpr(_) => Some("coalesce"),
        Node::MinMaxExpr(expr) => Some(match expr.op {
            IS_LEAST => "least",
            _ => "greatest",
        }),
        Node::A_Expr(expr) if expr.kind == AEXPR_NULLIF => Some("nullif"),
        Node::A_ArrayExpr(_) => Some("array"),
        Node::RowExpr(_) => Some("row"),
        Node::GroupingFunc(_) => Some("grouping"),
        Node::SubLink(link) if link.sub_link_type == EXISTS_SUBLINK => Some("exists"),
        Node::SubLink(link) if link.sub_link_type == ARRAY_SUBLINK => Some("array"),
        // Named by its ELSE, where that has a name.
        Node::CaseExpr(case) if matches!(case.defresult(), Node::None | Node::A_Const(_)) => {
            Some("case")
        }
        _ => None,
    }
}

fn last_str(list: &NodeList) -> Option<&str> {
    list.iter().next_back()?.as_str()
}
