//! INSERT, UPDATE and DELETE: what is written, what is read on the way, what is returned.

use pg_raw_parse::{Node, list::NodeList, nodes};

use crate::access::{Action, Use};
use crate::catalog::{ColumnId, RelationId};
use crate::refusal::{Reason, Refusal, SqlState};

use super::analyser::{Analyser, at, unknown_node};
use super::scope::{Columns, Ctes, Entry, FromItem, Origin, Scope, ScopeColumn};

impl<'a> Analyser<'a> {
    /// A data-modifying statement: its RETURNING columns.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an allow-list: every node not named here is refused"
    )]
    pub(super) fn write(
        &mut self,
        node: Node<'a>,
        ctes: Option<&Ctes<'a, '_>>,
    ) -> Result<Columns<'a>, Refusal> {
        self.enter()?;
        let columns = match node {
            Node::InsertStmt(insert) => self.insert(insert, ctes),
            Node::UpdateStmt(update) => self.update(update, ctes),
            Node::DeleteStmt(delete) => self.delete(delete, ctes),
            Node::MergeStmt(merge) => self.merge(merge, ctes),
            other => Err(unknown_node(other, "a query")),
        };
        self.leave();
        columns
    }

    fn insert(
        &mut self,
        insert: &'a nodes::InsertStmt,
        ctes: Option<&Ctes<'a, '_>>,
    ) -> Result<Columns<'a>, Refusal> {
        self.command("INSERT");
        let local = self.with_clause(insert.with_clause(), None, ctes)?;
        let ctes = local.as_ref().or(ctes);
        let (id, entry) = self.target(insert.relation(), Action::Insert)?;
        let given = if matches!(insert.select_stmt(), Node::None) {
            Columns::default()
        } else {
            self.query(insert.select_stmt(), None, ctes)?
        };
        let empty = Scope {
            ctes,
            ..Scope::default()
        };
        let named = insert.cols().iter().filter_map(res_target);
        if insert.cols().is_empty() {
            let count = if given.open {
                usize::MAX
            } else {
                given.list.len()
            };
            for column in entry.columns.list.iter().take(count) {
                self.written(column, Action::Insert, -1);
            }
        }
        self.written_targets(named, &entry, Action::Insert, &empty)?;
        let excluded = Entry {
            alias: "excluded",
            schema: None,
            relation: None,
            columns: entry.columns.clone(),
        };
        let mut scope = Scope {
            outer: None,
            ctes,
            items: vec![FromItem::single(entry)],
        };
        if let Some(conflict) = insert.on_conflict_clause() {
            self.on_conflict(conflict, id, excluded, &mut scope)?;
        }
        self.returning(insert.returning_clause(), scope)
    }

    /// `excluded` is the row proposed for insertion; beside it a bare name is ambiguous. What it
    /// holds may be a default's or a trigger's, so reading it is reading the column, as in Postgres.
    fn on_conflict(
        &mut self,
        conflict: &'a nodes::OnConflictClause,
        id: RelationId,
        excluded: Entry<'a>,
        scope: &mut Scope<'a, '_>,
    ) -> Result<(), Refusal> {
        if let Some(infer) = conflict.infer() {
            if infer.conname().is_some() {
                return Err(at(
                    Refusal::unsupported("ON CONFLICT ON CONSTRAINT is not supported")
                        .with_hint("name the constraint's columns: ON CONFLICT (column, …)"),
                    infer.location,
                ));
            }
            for node in infer.index_elems() {
                let Node::IndexElem(element) = node else {
                    return Err(unknown_node(node, "ON CONFLICT"));
                };
                if let Some(name) = element.name() {
                    self.names.columns.push(name.to_owned());
                    let column = self.target_column(id, name, infer.location)?;
                    self.use_column(column, Use::Predicate, Action::Select, false, -1);
                }
                self.expression(element.expr(), scope, Use::Predicate)?;
            }
            self.expression(infer.where_clause(), scope, Use::Predicate)?;
        }
        if conflict.target_list().is_empty() {
            return Ok(());
        }
        self.use_relation(id, Action::Update, conflict.location);
        scope.items.push(FromItem::single(excluded));
        let target = scope.items.first().and_then(|item| item.entries.first());
        if let Some(target) = target.cloned() {
            self.assignments(conflict.target_list().iter(), &target, scope)?;
        }
        self.expression(conflict.where_clause(), scope, Use::Predicate)?;
        scope.items.pop();
        Ok(())
    }

    fn update(
        &mut self,
        update: &'a nodes::UpdateStmt,
        ctes: Option<&Ctes<'a, '_>>,
    ) -> Result<Columns<'a>, Refusal> {
        self.command("UPDATE");
        let local = self.with_clause(update.with_clause(), None, ctes)?;
        let ctes = local.as_ref().or(ctes);
        let (_, entry) = self.target(update.relation(), Action::Update)?;
        let scope = self.target_scope(&entry, update.from_clause(), ctes)?;
        self.assignments(update.target_list().iter(), &entry, &scope)?;
        self.expression(update.where_clause(), &scope, Use::Predicate)?;
        self.returning(update.returning_clause(), scope)
    }

    fn delete(
        &mut self,
        delete: &'a nodes::DeleteStmt,
        ctes: Option<&Ctes<'a, '_>>,
    ) -> Result<Columns<'a>, Refusal> {
        self.command("DELETE");
        let local = self.with_clause(delete.with_clause(), None, ctes)?;
        let ctes = local.as_ref().or(ctes);
        let (_, entry) = self.target(delete.relation(), Action::Delete)?;
        let scope = self.target_scope(&entry, delete.using_clause(), ctes)?;
        self.expression(delete.where_clause(), &scope, Use::Predicate)?;
        self.returning(delete.returning_clause(), scope)
    }

    /// A scope of the target and the FROM or USING items. The items do not see the target: LATERAL
    /// references to it are an error in Postgres.
    fn target_scope<'p>(
        &mut self,
        entry: &Entry<'a>,
        from: &'a NodeList,
        ctes: Option<&'p Ctes<'a, 'p>>,
    ) -> Result<Scope<'a, 'p>, Refusal> {
        let mut scope = Scope {
            outer: None,
            ctes,
            items: Vec::new(),
        };
        self.read_from(from, &mut scope)?;
        scope.items.insert(0, FromItem::single(entry.clone()));
        Ok(scope)
    }

    /// The relation a statement writes to.
    pub(super) fn target(
        &mut self,
        range: Option<&'a nodes::RangeVar>,
        action: Action,
    ) -> Result<(RelationId, Entry<'a>), Refusal> {
        let Some(range) = range else {
            return Err(Refusal::unsupported("statement has no target relation"));
        };
        self.name_relation(range);
        let id = self.resolve_relation(range)?;
        if let Some(relation) = self.ground.snapshot.at(id)
            && (relation.has_rules || relation.kind.is_view())
        {
            let what = if relation.has_rules {
                "rules"
            } else {
                "a view"
            };
            return Err(at(
                Refusal::unsupported(format!(
                    "writing to \"{}\" is not supported: what {what} would do cannot be seen in \
                     the statement",
                    relation.name
                ))
                .with_hint("write to the table itself"),
                range.location,
            ));
        }
        self.use_target(id, action, range.location);
        Ok((id, self.relation_entry(range, id)))
    }

    /// `SET column = value, …`
    pub(super) fn assignments(
        &mut self,
        targets: impl Iterator<Item = &'a nodes::ResTarget> + Clone,
        entry: &Entry<'a>,
        scope: &Scope<'a, '_>,
    ) -> Result<(), Refusal> {
        self.written_targets(targets.clone(), entry, Action::Update, scope)?;
        for target in targets {
            self.expression(target.val(), scope, Use::Output)?;
        }
        Ok(())
    }

    /// Columns named as targets of an assignment or in an INSERT's column list.
    pub(super) fn written_targets(
        &mut self,
        targets: impl Iterator<Item = &'a nodes::ResTarget>,
        entry: &Entry<'a>,
        action: Action,
        scope: &Scope<'a, '_>,
    ) -> Result<(), Refusal> {
        let Some(id) = entry.relation else {
            return Err(Refusal::unsupported("statement has no target relation"));
        };
        for target in targets {
            let name = target.name().unwrap_or_default();
            self.names.columns.push(name.to_owned());
            let column = self.target_column(id, name, target.location)?;
            self.use_column(column, Use::Written, action, false, target.location);
            self.subscripts(target.indirection().iter(), scope, Use::Output)?;
            // `column.field = …` and `column[1] = …` keep the rest of the old value.
            if !target.indirection().is_empty() && action == Action::Update {
                self.use_column(column, Use::Output, Action::Select, false, target.location);
            }
        }
        Ok(())
    }

    fn target_column(
        &self,
        id: RelationId,
        name: &str,
        location: i32,
    ) -> Result<ColumnId, Refusal> {
        let relation = self.ground.snapshot.at(id);
        let columns = relation.map_or(&[][..], |relation| relation.columns.as_slice());
        let found = columns.iter().zip(0_u32..).find(|(c, _)| c.name == name);
        found
            .map(|(_, column)| ColumnId {
                relation: id,
                column,
            })
            .ok_or_else(|| {
                let table = relation.map_or("", |relation| relation.name.as_str());
                at(
                    Refusal::new(
                        SqlState::UNDEFINED_COLUMN,
                        Reason::Unresolved,
                        format!("column \"{name}\" of relation \"{table}\" does not exist"),
                    ),
                    location,
                )
            })
    }

    pub(super) fn written(&mut self, column: &ScopeColumn<'a>, action: Action, location: i32) {
        if let Origin::Base(id) = column.origin {
            self.use_column(id, Use::Written, action, false, location);
        }
    }

    /// RETURNING reads the target, and what else is in scope. `old` and `new` (Postgres 18) stand
    /// for the target.
    pub(super) fn returning(
        &mut self,
        clause: Option<&'a nodes::ReturningClause>,
        mut scope: Scope<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let Some(clause) = clause else {
            return Ok(Columns::default());
        };
        let mut aliases = vec!["old", "new"];
        aliases.extend(clause.options().iter().filter_map(|option| option.value()));
        let target = scope.items.first().and_then(|item| item.entries.first());
        let extra: Vec<Entry<'a>> = target
            .map(|target| aliases.iter().map(|alias| renamed(target, alias)).collect())
            .unwrap_or_default();
        scope.items.push(FromItem {
            columns: Columns::default(),
            entries: extra,
        });
        let targets = clause.exprs().iter().filter_map(res_target);
        Ok(self.target_list(targets, &scope)?.derived())
    }
}

fn renamed<'a>(entry: &Entry<'a>, alias: &'a str) -> Entry<'a> {
    Entry {
        alias,
        schema: None,
        ..entry.clone()
    }
}

/// The node as a ResTarget; lists of targets hold nothing else.
pub(super) fn res_target<'a>(node: Node<'a>) -> Option<&'a nodes::ResTarget> {
    if let Node::ResTarget(target) = node {
        Some(target)
    } else {
        None
    }
}
