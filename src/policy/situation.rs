//! One principal before one database at one moment: its entitlement, the labels, the denies, and
//! the questions that need all three. Both the decision and the hints ask here, so that a hint
//! never promises what a decision would refuse.

use core::net::IpAddr;

use crate::access::Action;
use crate::catalog::{Relation, Snapshot};
use crate::clock::Timestamp;
use crate::ident::QualifiedName;
use crate::principal::Principal;

use super::denies::Denies;
use super::entitlement::{Entitlement, Obstacle, Power, Standing};
use super::family::beneath;
use super::labels::Labels;
use super::rules::Rules;

/// One principal before one database at one moment.
pub(super) struct Situation<'a> {
    pub(super) rules: &'a Rules,
    pub(super) snapshot: &'a Snapshot,
    pub(super) entitlement: Entitlement<'a>,
    pub(super) labels: Labels<'a, 'a>,
    pub(super) denies: Denies<'a>,
}

impl<'a> Situation<'a> {
    pub(super) fn new(
        rules: &'a Rules,
        principal: &'a Principal,
        snapshot: &'a Snapshot,
        now: Timestamp,
        client: Option<IpAddr>,
    ) -> Self {
        let database = &snapshot.document().database;
        Self {
            rules,
            snapshot,
            entitlement: Entitlement::new(rules, principal, database, now, client),
            labels: Labels::new(rules, snapshot),
            denies: Denies::new(rules, principal, snapshot),
        }
    }

    /// The ways in which the principal may do that to the relation, once denies, row filters beneath
    /// and labels are taken into account.
    pub(super) fn powers(&self, relation: &QualifiedName, action: Action) -> Vec<Power<'a>> {
        let powers = self.entitlement.powers(relation, action);
        let is_barred = !powers.is_empty()
            && (self.denies.on_relation(relation, action).is_some()
                || self.filtered_beneath(relation).is_some()
                || !self.is_worth_touching(&powers, relation, action));
        if is_barred { Vec::new() } else { powers }
    }

    /// Reading takes a column that can be read, as it does in Postgres, where `count(*)` needs
    /// `SELECT` on some column.
    pub(super) fn is_worth_touching(
        &self,
        powers: &[Power<'a>],
        relation: &QualifiedName,
        action: Action,
    ) -> bool {
        let Some(found) = self.snapshot.relation(relation) else {
            return false;
        };
        let mut columns = found.columns.iter();
        action != Action::Select
            || found.columns.is_empty()
            || columns.any(|column| {
                self.covering(powers, relation, &column.name, action)
                    .is_some()
            })
    }

    /// A relation beneath a view of which the principal may see some rows only: the view would show
    /// the others.
    pub(super) fn filtered_beneath(&self, view: &QualifiedName) -> Option<QualifiedName> {
        if !self.rules.grants.iter().any(|grant| grant.rows) {
            return None;
        }
        beneath(self.snapshot, view).into_iter().find(|relation| {
            let on: Vec<Standing> = self
                .entitlement
                .grants_on(relation, Action::Select)
                .map(|(grant, standing)| match standing {
                    // Out of hours or not, a grant with a row filter says what is wanted here.
                    Standing::Blocked(_) if grant.rows => Standing::Blocked(Obstacle::Rows),
                    Standing::Blocked(_) | Standing::Usable | Standing::Apart => standing,
                })
                .collect();
            on.contains(&Standing::Blocked(Obstacle::Rows)) && !on.contains(&Standing::Usable)
        })
    }

    /// Whether one of these powers covers the column and no deny forbids it.
    pub(super) fn covering<'p>(
        &self,
        powers: &'p [Power<'a>],
        relation: &QualifiedName,
        column: &str,
        action: Action,
    ) -> Option<&'p Power<'a>> {
        let label = self.labels.label(relation, column);
        let power = powers.iter().find(|power| power.covers(column, &label))?;
        let is_denied = self.denies.on_column(relation, column, action).is_some();
        (!is_denied).then_some(power)
    }

    /// The columns of a relation the principal may use in that way, in their own order.
    pub(super) fn columns<'r>(&self, relation: &'r Relation, action: Action) -> Vec<&'r str> {
        let name = relation.qualified();
        let powers = self.powers(&name, action);
        relation
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|column| self.covering(&powers, &name, column, action).is_some())
            .collect()
    }

    /// Whether the principal may read that column.
    pub(super) fn reads(&self, relation: &QualifiedName, column: &str) -> bool {
        let powers = self.powers(relation, Action::Select);
        let is_known = self.snapshot.relation(relation).is_some();
        is_known
            && self
                .covering(&powers, relation, column, Action::Select)
                .is_some()
    }

    /// Whether the principal may read every column of the relation.
    pub(super) fn reads_wholly(&self, relation: &QualifiedName) -> bool {
        let powers = self.powers(relation, Action::Select);
        let Some(found) = self.snapshot.relation(relation) else {
            return false;
        };
        let is_read = |column: &str| {
            self.covering(&powers, relation, column, Action::Select)
                .is_some()
        };
        !powers.is_empty() && found.columns.iter().all(|column| is_read(&column.name))
    }
}
