//! The decision: what a statement touches, held against what its principal may touch here and now.
//! It looks at every relation, then at every column, then at every function, and stops at the first
//! that is refused. A [`Permit`] can be had nowhere else.

use core::net::IpAddr;
use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::access::{Access, Action, ColumnUse, FunctionUse, Use};
use crate::catalog::Snapshot;
use crate::clock::Timestamp;
use crate::ident::QualifiedName;
use crate::principal::Principal;
use crate::refusal::Refusal;

use super::entitlement::Power;
use super::family::{beneath, line};
use super::refuse::{self, ColumnCause, FunctionCause, RelationCause, Touch};
use super::rules::{FunctionRule, Rules, is_system};
use super::situation::Situation;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The statement may be sent.
    Permit(Permit),
    /// It may not.
    Denial(Denial),
}

/// Proof that a statement was decided and allowed. Only [`decide`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    rules: Vec<String>,
    open: bool,
}

impl Permit {
    /// The grants it rests on, by id.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Whether the principal may read every column of every relation the statement touches, and of
    /// every relation beneath those: then nothing an error of the database says is news to it.
    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// A statement that was decided and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What the client is told.
    pub refusal: Refusal,
    /// The column it is about, where it is about one.
    pub column: Option<(QualifiedName, String)>,
    /// The rules it rests on, by id: the deny, or the grants that were not enough.
    pub rules: Vec<String>,
    /// Why, in words for the DBA, `policy explain` and the audit log; never for the client.
    pub notes: Vec<String>,
}

/// Decides. Pure: the same arguments give the same answer.
pub fn decide(
    rules: &Rules,
    principal: &Principal,
    access: &Access,
    snapshot: &Snapshot,
    now: Timestamp,
    client: Option<IpAddr>,
) -> Decision {
    let situation = Situation::new(rules, principal, snapshot, now, client);
    match Judge::new(&situation).judge(access) {
        Ok(permit) => Decision::Permit(permit),
        Err(denial) => Decision::Denial(*denial),
    }
}

/// Something that is done to a relation, and what allows it.
struct Need<'s, 'a> {
    touch: Touch<'s>,
    powers: Vec<Power<'a>>,
}

struct Judge<'s, 'a> {
    situation: &'s Situation<'a>,
    /// Grants that were made use of.
    used: RefCell<BTreeSet<&'a str>>,
}

impl<'s, 'a> Judge<'s, 'a> {
    fn new(situation: &'s Situation<'a>) -> Self {
        Self {
            situation,
            used: RefCell::new(BTreeSet::new()),
        }
    }

    fn judge(&self, access: &Access) -> Result<Permit, Box<Denial>> {
        let mut needs = Vec::new();
        for touch in touches(access) {
            let powers = self.relation(&touch)?;
            needs.push(Need { touch, powers });
        }
        for column in &access.columns {
            self.column(&needs, column)?;
        }
        for function in &access.functions {
            self.function(function)?;
        }
        Ok(Permit {
            rules: self
                .used
                .borrow()
                .iter()
                .map(|id| (*id).to_owned())
                .collect(),
            open: self.is_open(&needs, access),
        })
    }

    fn relation(&self, touch: &Touch<'_>) -> Result<Vec<Power<'a>>, Box<Denial>> {
        let Touch {
            relation, action, ..
        } = *touch;
        let refused = |cause| Err(refuse::relation(self.situation, touch, cause));
        if self.situation.snapshot.relation(relation).is_none() {
            return refused(RelationCause::Unknown);
        }
        if let Some(deny) = self.situation.denies.on_relation(relation, action) {
            return refused(RelationCause::Denied(deny));
        }
        let powers = self.situation.entitlement.powers(relation, action);
        let Some(first) = powers.first() else {
            return refused(RelationCause::NotGranted);
        };
        if let Some(below) = self.situation.filtered_beneath(relation) {
            return refused(RelationCause::FilteredBeneath(below));
        }
        if !self.situation.is_worth_touching(&powers, relation, action) {
            return refused(RelationCause::NothingReadable);
        }
        self.used.borrow_mut().insert(&first.grant.id);
        Ok(powers)
    }

    fn column(&self, needs: &[Need<'_, 'a>], one: &ColumnUse) -> Result<(), Box<Denial>> {
        let action = action_of(one);
        let refused = |powers, cause| Err(refuse::column(self.situation, one, powers, cause));
        let need = needs
            .iter()
            .find(|need| need.touch.action == action && *need.touch.relation == one.relation);
        let powers = need.map_or(&[][..], |need| need.powers.as_slice());
        if let Some(deny) = self
            .situation
            .denies
            .on_column(&one.relation, &one.column, action)
        {
            return refused(powers, ColumnCause::Denied(deny));
        }
        let label = self.situation.labels.label(&one.relation, &one.column);
        let Some(power) = powers
            .iter()
            .find(|power| power.covers(&one.column, &label))
        else {
            return refused(powers, ColumnCause::NotCleared(label));
        };
        self.used.borrow_mut().insert(&power.grant.id);
        Ok(())
    }

    fn function(&self, one: &FunctionUse) -> Result<(), Box<Denial>> {
        let refused = |cause| Err(refuse::function(self.situation, one, cause));
        let rules = self.situation.rules;
        if is_system(&one.function.schema) {
            return if rules.safe.contains(&one.function) {
                Ok(())
            } else {
                refused(FunctionCause::NotListed)
            };
        }
        let listed = self.listed(&one.function);
        if listed.is_empty() || self.situation.entitlement.is_void() {
            return refused(FunctionCause::NotListed);
        }
        for rule in listed {
            if let Some(touched) = self.unreadable(rule) {
                return refused(FunctionCause::Touches(touched));
            }
        }
        if one.procedure {
            let Some(grant) = self.situation.entitlement.call(&one.function) else {
                return refused(FunctionCause::NotCallable);
            };
            self.used.borrow_mut().insert(&grant.id);
        }
        Ok(())
    }

    /// The entries that list a function: one without a star, or else every glob that matches.
    fn listed(&self, function: &QualifiedName) -> Vec<&'a FunctionRule> {
        let rules = self.situation.rules;
        let exact = rules.function_index.exact(function);
        let numbers: Vec<usize> = if exact.is_empty() {
            rules.function_index.globs(function).collect()
        } else {
            exact.to_vec()
        };
        numbers
            .into_iter()
            .filter_map(|number| rules.functions.get(number))
            .collect()
    }

    /// Something a function reads and the principal may not.
    fn unreadable(&self, rule: &FunctionRule) -> Option<String> {
        let mut tables = rule.tables.iter();
        if let Some(table) = tables.find(|table| !self.situation.reads_wholly(table)) {
            return Some(table.to_string());
        }
        let mut columns = rule.columns.iter();
        let found = columns.find(|(relation, column)| !self.situation.reads(relation, column));
        found.map(|(relation, column)| format!("{relation}.{column}"))
    }

    fn is_open(&self, needs: &[Need<'_, 'a>], access: &Access) -> bool {
        let mut functions = access.functions.iter();
        functions.all(|one| is_system(&one.function.schema))
            && needs.iter().all(|need| self.is_open_beneath(&need.touch))
    }

    fn is_open_beneath(&self, touch: &Touch<'_>) -> bool {
        let snapshot = self.situation.snapshot;
        let mut below = beneath(snapshot, touch.relation);
        below.insert(touch.relation.clone());
        if touch.action != Action::Select {
            // The row that a failed write quotes may be a child's, with the child's own columns.
            below = below.iter().flat_map(|name| line(snapshot, name)).collect();
        }
        below.iter().all(|name| self.situation.reads_wholly(name))
    }
}

/// Each relation with each action, once, in the order of the statement. Columns count too: an
/// UPDATE that reads a column needs `select` on its relation.
fn touches(access: &Access) -> Vec<Touch<'_>> {
    let named = access.relations.iter().map(|one| Touch {
        relation: &one.relation,
        action: one.action,
        offset: one.offset,
    });
    let through_columns = access.columns.iter().map(|one| Touch {
        relation: &one.relation,
        action: action_of(one),
        offset: one.offset,
    });
    let mut touches: Vec<Touch<'_>> = Vec::new();
    for touch in named.chain(through_columns) {
        let is_known = touches
            .iter()
            .any(|known| known.action == touch.action && known.relation == touch.relation);
        if !is_known {
            touches.push(touch);
        }
    }
    touches
}

/// What a use of a column needs: reading needs `select`, whatever the statement does beside.
fn action_of(one: &ColumnUse) -> Action {
    match one.used {
        Use::Written => one.action,
        Use::Output | Use::Predicate | Use::WholeRow => Action::Select,
    }
}
