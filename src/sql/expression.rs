//! Expressions: every node that can compute a value, and the columns its value is made of.

use pg_raw_parse::raw::A_Expr_Kind as Kind;
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::access::Use;
use crate::catalog::ColumnId;
use crate::refusal::Refusal;

use super::analyser::{Analyser, at, unknown_node};
use super::scope::{Scope, merge};

/// The base columns that a value is made of.
pub(super) type Made = Vec<ColumnId>;

impl<'a> Analyser<'a> {
    /// Walks an expression. A null node is an absent one and touches nothing.
    pub(super) fn expression(
        &mut self,
        node: Node<'a>,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        self.enter()?;
        let made = self.expression_node(node, scope, used)?;
        self.leave();
        self.spend(made.len().saturating_add(1))?;
        self.note_tested(&made);
        Ok(made)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an allow-list: every node not named here is refused"
    )]
    fn expression_node(
        &mut self,
        node: Node<'a>,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        match node {
            Node::None | Node::ParamRef(_) | Node::SetToDefault(_) => Ok(Made::new()),
            Node::A_Const(constant) => self.constant(constant),
            Node::SQLValueFunction(_) => Ok(Made::new()),
            Node::MergeSupportFunc(_) if self.server_has(170_000) => Ok(Made::new()),
            Node::CurrentOfExpr(_) => {
                Err(Refusal::unsupported("WHERE CURRENT OF is not supported")
                    .with_hint("name the row by its primary key"))
            }
            Node::ColumnRef(column) => self.column_ref(column, scope, used),
            Node::NodeList(list) => self.expressions(list.iter(), scope, used),
            Node::A_Expr(expr) => self.operator(expr, scope, used),
            Node::BoolExpr(expr) => self.expressions(expr.args().iter(), scope, used),
            Node::NullTest(test) => self.expression(test.arg(), scope, used),
            Node::BooleanTest(test) => self.expression(test.arg(), scope, used),
            Node::TypeCast(cast) => self.type_cast(cast, scope, used),
            Node::CollateClause(collate) => self.expression(collate.arg(), scope, used),
            Node::CaseExpr(case) => self.case(case, scope, used),
            Node::CoalesceExpr(expr) => self.expressions(expr.args().iter(), scope, used),
            Node::MinMaxExpr(expr) => self.expressions(expr.args().iter(), scope, used),
            Node::A_ArrayExpr(array) => self.expressions(array.elements().iter(), scope, used),
            Node::RowExpr(row) => self.expressions(row.args().iter(), scope, used),
            Node::GroupingFunc(grouping) => {
                self.expressions(grouping.args().iter(), scope, Use::Predicate)
            }
            Node::NamedArgExpr(named) => self.expression(named.arg(), scope, used),
            Node::SubLink(link) => self.sublink(link, scope, used),
            Node::FuncCall(call) => self.function_call(call, scope, used),
            Node::A_Indirection(field) => self.indirection(field, scope, used),
            Node::MultiAssignRef(multi) => self.multi_assign(multi, scope, used),
            other => Err(unknown_node(other, "an expression")),
        }
    }

    /// Notes columns that the subquery around this place depends on.
    pub(super) fn note_tested(&mut self, made: &[ColumnId]) {
        if let Some(tested) = self.tested.last_mut() {
            merge(tested, made);
        }
    }

    pub(super) fn expressions(
        &mut self,
        nodes: impl Iterator<Item = Node<'a>>,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let mut made = Made::new();
        for node in nodes {
            let more = self.expression(node, scope, used)?;
            merge(&mut made, &more);
        }
        Ok(made)
    }

    /// Whether the server is of that version (`server_version_num`) or newer. An older one takes newer
    /// syntax for something else, such as a function of that name.
    fn server_has(&self, version: u32) -> bool {
        self.ground.snapshot.document().server_version_num >= version
    }

    /// Numbers in other bases and with underscores are new in Postgres 16: older servers read
    /// `0x1F` as `0` under the name `x1f`.
    fn constant(&mut self, constant: &'a nodes::A_Const) -> Result<Made, Refusal> {
        let newer = matches!(constant.val(), Some(ConstValue::Float(digits))
            if digits.contains(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | 'e' | 'E' | '+' | '-')));
        if newer && !self.server_has(160_000) {
            return Err(at(
                Refusal::unsupported("this server does not know numbers of that form")
                    .with_hint("write the number in decimal digits without underscores"),
                constant.location,
            ));
        }
        Ok(Made::new())
    }

    fn operator(
        &mut self,
        expr: &'a nodes::A_Expr,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        self.operator_names(expr.name(), expr.location)?;
        if matches!(
            expr.kind,
            Kind::AEXPR_BETWEEN
                | Kind::AEXPR_NOT_BETWEEN
                | Kind::AEXPR_BETWEEN_SYM
                | Kind::AEXPR_NOT_BETWEEN_SYM
        ) {
            for name in ["<=", ">=", "<", ">"] {
                self.operator_named(name, expr.location);
            }
        }
        self.expressions([expr.lexpr(), expr.rexpr()].into_iter(), scope, used)
    }

    fn type_cast(
        &mut self,
        cast: &'a nodes::TypeCast,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        if let Some(name) = cast.type_name() {
            self.use_type(name)?;
            self.expressions(name.typmods().iter(), scope, used)?;
        }
        self.expression(cast.arg(), scope, used)
    }

    /// The conditions of CASE decide, its results are the value; both count as the value, since a
    /// condition shows through which result came.
    fn case(
        &mut self,
        case: &'a nodes::CaseExpr,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let mut made = self.expression(case.arg(), scope, used)?;
        if !matches!(case.arg(), Node::None) {
            self.operator_named("=", case.location);
        }
        for node in case.args() {
            let Node::CaseWhen(when) = node else {
                return Err(unknown_node(node, "CASE"));
            };
            let more = self.expressions([when.expr(), when.result()].into_iter(), scope, used)?;
            merge(&mut made, &more);
        }
        let more = self.expression(case.defresult(), scope, used)?;
        merge(&mut made, &more);
        Ok(made)
    }

    fn sublink(
        &mut self,
        link: &'a nodes::SubLink,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        self.operator_names(link.oper_name(), link.location)?;
        // `IN (SELECT …)` has no operator written out.
        self.operator_named("=", link.location);
        let mut made = self.expression(link.testexpr(), scope, used)?;
        // Whatever the subquery looks at shows through its value as well.
        self.tested.push(Made::new());
        let columns = self.query(link.subselect(), Some(scope), scope.ctes);
        let tested = self.tested.pop().unwrap_or_default();
        merge(&mut made, &columns?.sources());
        merge(&mut made, &tested);
        self.note_tested(&tested);
        Ok(made)
    }

    /// `(expr).field`, `array[1]`: the whole of the expression is read.
    fn indirection(
        &mut self,
        field: &'a nodes::A_Indirection,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let mut made = self.expression(field.arg(), scope, used)?;
        let more = self.subscripts(field.indirection().iter(), scope, used)?;
        merge(&mut made, &more);
        Ok(made)
    }

    /// The subscripts and fields after an expression or an assignment's target.
    pub(super) fn subscripts(
        &mut self,
        parts: impl Iterator<Item = Node<'a>>,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let mut made = Made::new();
        for part in parts {
            if let Node::A_Indices(index) = part {
                let more =
                    self.expressions([index.lidx(), index.uidx()].into_iter(), scope, used)?;
                merge(&mut made, &more);
            } else if let Some(name) = part.as_str() {
                self.field_function(name, -1);
            } else if !matches!(part, Node::A_Star(_)) {
                return Err(unknown_node(part, "a subscript"));
            }
        }
        Ok(made)
    }

    /// `(a, b) = (SELECT …)`: the source stands once in the tree for each column; only the first
    /// is walked, the others share it.
    fn multi_assign(
        &mut self,
        multi: &'a nodes::MultiAssignRef,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        if multi.colno > 1 {
            return Ok(Made::new());
        }
        self.expression(multi.source(), scope, used)
    }

    pub(super) fn window(
        &mut self,
        window: &'a nodes::WindowDef,
        scope: &Scope<'a, '_>,
    ) -> Result<Made, Refusal> {
        let mut made = self.expressions(window.partition_clause().iter(), scope, Use::Predicate)?;
        for sort in window.order_clause() {
            let more = self.sort(sort, scope)?;
            merge(&mut made, &more);
        }
        let ends = [window.start_offset(), window.end_offset()];
        let more = self.expressions(ends.into_iter(), scope, Use::Predicate)?;
        merge(&mut made, &more);
        Ok(made)
    }

    /// ORDER BY inside an aggregate or a window, where names are expressions only.
    pub(super) fn sort(
        &mut self,
        sort: &'a nodes::SortBy,
        scope: &Scope<'a, '_>,
    ) -> Result<Made, Refusal> {
        self.operator_names(sort.use_op(), sort.location)?;
        self.expression(sort.node(), scope, Use::Predicate)
    }
}
