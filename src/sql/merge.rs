//! MERGE: the source is read, the target is read and written arm by arm.

use pg_raw_parse::nodes;
use pg_raw_parse::raw::CmdType::{CMD_DELETE, CMD_INSERT, CMD_NOTHING, CMD_UPDATE};
use pg_raw_parse::raw::MergeMatchKind::{
    MERGE_WHEN_MATCHED, MERGE_WHEN_NOT_MATCHED_BY_SOURCE, MERGE_WHEN_NOT_MATCHED_BY_TARGET,
};

use crate::access::{Action, Use};
use crate::refusal::Refusal;

use super::analyser::Analyser;
use super::scope::{Columns, Ctes, Entry, FromItem, Scope};
use super::write::res_target;

impl<'a> Analyser<'a> {
    pub(super) fn merge(
        &mut self,
        merge: &'a nodes::MergeStmt,
        ctes: Option<&Ctes<'a, '_>>,
    ) -> Result<Columns<'a>, Refusal> {
        self.command("MERGE");
        let local = self.with_clause(merge.with_clause(), None, ctes)?;
        let ctes = local.as_ref().or(ctes);
        let mut scope = Scope {
            outer: None,
            ctes,
            items: Vec::new(),
        };
        let source = self.read_from_item(merge.source_relation(), &mut scope)?;
        // Matching reads the target: Postgres asks for SELECT on it as well.
        let (id, entry) = self.target(merge.relation(), Action::Select)?;
        let target = FromItem::single(entry.clone());
        scope.items = vec![target.clone(), source.clone()];
        self.expression(merge.join_condition(), &scope, Use::Predicate)?;
        for clause in merge.merge_when_clauses() {
            // The side that has no row is not in view.
            let items = match clause.match_kind {
                MERGE_WHEN_MATCHED => vec![target.clone(), source.clone()],
                MERGE_WHEN_NOT_MATCHED_BY_SOURCE => vec![target.clone()],
                MERGE_WHEN_NOT_MATCHED_BY_TARGET => vec![source.clone()],
                _ => return Err(Refusal::unsupported("MERGE has an unknown kind of match")),
            };
            let seen = Scope {
                outer: None,
                ctes,
                items,
            };
            self.expression(clause.condition(), &seen, Use::Predicate)?;
            let action = arm_action(clause)?;
            if let Some(action) = action {
                self.use_target(id, action, merge.relation().map_or(-1, |r| r.location));
            }
            self.merge_arm(clause, &entry, action, &seen)?;
        }
        self.returning(merge.returning_clause(), scope)
    }

    fn merge_arm(
        &mut self,
        clause: &'a nodes::MergeWhenClause,
        entry: &Entry<'a>,
        action: Option<Action>,
        scope: &Scope<'a, '_>,
    ) -> Result<(), Refusal> {
        let targets = clause.target_list().iter().filter_map(res_target);
        if action == Some(Action::Update) {
            return self.assignments(targets, entry, scope);
        }
        if action != Some(Action::Insert) {
            return Ok(());
        }
        if clause.target_list().is_empty() && !clause.values().is_empty() {
            for column in entry.columns.list.iter().take(clause.values().len()) {
                self.written(column, Action::Insert, -1);
            }
        }
        self.written_targets(targets, entry, Action::Insert, scope)?;
        self.expressions(clause.values().iter(), scope, Use::Output)?;
        Ok(())
    }
}

fn arm_action(clause: &nodes::MergeWhenClause) -> Result<Option<Action>, Refusal> {
    match clause.command_type {
        CMD_UPDATE => Ok(Some(Action::Update)),
        CMD_INSERT => Ok(Some(Action::Insert)),
        CMD_DELETE => Ok(Some(Action::Delete)),
        CMD_NOTHING => Ok(None),
        _ => Err(Refusal::unsupported("MERGE has an unknown kind of action")),
    }
}
