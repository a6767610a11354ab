//! The denies that speak of a principal, and how far they reach: up and down inheritance, and
//! through views to everything beneath them. A deny always wins; nothing here looks at a grant.

use crate::access::Action;
use crate::catalog::Snapshot;
use crate::ident::QualifiedName;
use crate::principal::Principal;

use super::family::{MadeOf, beneath, line, made_of, parts_between};
use super::rules::{Deny, Rules};

/// How many steps from view to source are followed; beyond it a column counts as unknown.
const DEPTH_MAX: u8 = 32;

/// The denies that speak of one principal.
pub(super) struct Denies<'a> {
    found: Vec<&'a Deny>,
    /// Whether any of them is about single columns.
    on_columns: bool,
    snapshot: &'a Snapshot,
}

impl<'a> Denies<'a> {
    pub(super) fn new(rules: &'a Rules, principal: &Principal, snapshot: &'a Snapshot) -> Self {
        let all = rules.denies.iter();
        let found: Vec<&Deny> = all.filter(|deny| deny.concerns(principal)).collect();
        let on_columns = found.iter().any(|deny| deny.columns.is_some());
        Self {
            found,
            on_columns,
            snapshot,
        }
    }

    /// A deny that forbids the relation: itself, a relative, or anything beneath a view.
    pub(super) fn on_relation(&self, relation: &QualifiedName, action: Action) -> Option<&'a Deny> {
        if self.found.is_empty() {
            return None;
        }
        self.reach(relation).iter().find_map(|name| {
            let mut found = self.found.iter();
            found.find(|deny| deny.strikes(name, action)).copied()
        })
    }

    /// A deny that forbids the column: itself, the same column of a relative, or anything it is
    /// made of.
    pub(super) fn on_column(
        &self,
        relation: &QualifiedName,
        column: &str,
        action: Action,
    ) -> Option<&'a Deny> {
        if !self.on_columns {
            return None;
        }
        self.on_column_within(relation, column, action, DEPTH_MAX)
    }

    fn on_column_within(
        &self,
        relation: &QualifiedName,
        column: &str,
        action: Action,
        depth: u8,
    ) -> Option<&'a Deny> {
        let own = line(self.snapshot, relation);
        let struck = own
            .iter()
            .find_map(|name| self.striking(name, column, action));
        if struck.is_some() {
            return struck;
        }
        let sources = match (
            made_of(self.snapshot, relation, column),
            depth.checked_sub(1),
        ) {
            (MadeOf::Itself, _) => return None,
            (MadeOf::Unknown, _) | (MadeOf::Columns(_), None) => {
                return self.on_anything_beneath(relation, action);
            }
            (MadeOf::Columns(sources), Some(deeper)) => sources
                .iter()
                .find_map(|(name, part)| self.on_column_within(name, part, action, deeper)),
        };
        sources.or_else(|| {
            let parts = parts_between(self.snapshot, relation, column);
            parts
                .iter()
                .find_map(|(name, part)| self.striking(name, part, action))
        })
    }

    fn striking(&self, name: &QualifiedName, column: &str, action: Action) -> Option<&'a Deny> {
        let mut found = self.found.iter();
        found
            .find(|deny| deny.strikes_column(name, column, action))
            .copied()
    }

    /// For a column that cannot be seen through: any forbidden column of anything beneath.
    fn on_anything_beneath(&self, relation: &QualifiedName, action: Action) -> Option<&'a Deny> {
        let about = |name: &QualifiedName| {
            let mut found = self.found.iter();
            found
                .find(|deny| deny.columns.is_some() && deny.is_about(name, action))
                .copied()
        };
        self.beneath(relation).iter().find_map(about)
    }

    /// The relation and its line, and the same for everything beneath it.
    fn reach(&self, relation: &QualifiedName) -> Vec<QualifiedName> {
        let mut reach = line(self.snapshot, relation);
        reach.extend(self.beneath(relation));
        reach
    }

    fn beneath(&self, relation: &QualifiedName) -> Vec<QualifiedName> {
        let below = beneath(self.snapshot, relation);
        below
            .iter()
            .flat_map(|name| line(self.snapshot, name))
            .collect()
    }
}
