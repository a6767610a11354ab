//! What a principal holds at this moment: the grants that speak of it, narrowed by its token and by
//! the delegations that could have issued it. It knows nothing of sensitivity labels' origin, of
//! denies, or of the statement; [`super::decide`] puts those together.

use core::net::IpAddr;
use std::cell::Cell;

use crate::access::Action;
use crate::clock::Timestamp;
use crate::ident::QualifiedName;
use crate::principal::{AccessDetail, Principal};

use super::conditions::Unmet;
use super::labels::Label;
use super::pattern::ObjectPattern;
use super::rules::{ActionSet, Grant, Rules};
use super::sensitivity::Sensitivity;

/// How a grant stands to the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It speaks of others.
    Apart,
    /// It speaks of this one, and something is in the way.
    Blocked(Obstacle),
    /// It holds.
    Usable,
}

/// What keeps a grant from holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It asks for a row filter, which this version does not apply.
    Rows,
    /// It asks for limits, which this version does not count.
    Limits,
    /// It asks for a risk, which this version does not know.
    Risk,
    /// It does not hold at this time.
    Time,
    /// It does not hold from that address.
    Network,
}

impl Obstacle {
    /// For the audit log and `policy explain`.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Rows => "asks for a row filter, which this version does not apply",
            Self::Limits => "asks for limits, which this version does not count",
            Self::Risk => "asks for a risk score, which this version does not have",
            Self::Time => "does not hold at this time",
            Self::Network => "does not hold from this address",
        }
    }
}

/// One way in which a principal may act on one relation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Power<'a> {
    pub(super) grant: &'a Grant,
    /// The highest label it reaches.
    pub(super) clearance: Sensitivity,
    /// The highest label the token and the delegation let through, whatever the grant says.
    ceiling: Sensitivity,
    /// The only columns the token lets through.
    columns: Option<&'a [String]>,
}

impl Power<'_> {
    /// Whether it covers a column with that label.
    pub(super) fn covers(&self, column: &str, label: &Label<'_>) -> bool {
        self.is_listed(column) && !self.grant.hidden.contains(column) && self.clears(column, label)
    }

    fn is_listed(&self, column: &str) -> bool {
        self.columns
            .is_none_or(|names| names.iter().any(|name| name == column))
    }

    fn clears(&self, column: &str, label: &Label<'_>) -> bool {
        let is_unmasked = label.mask.is_some() && self.grant.unmasked.contains(column);
        label.sensitivity <= self.clearance || (is_unmasked && label.sensitivity <= self.ceiling)
    }

    /// Why it does not cover a column, for the audit log and `policy explain`.
    pub(super) fn shortfall(&self, column: &str, label: &Label<'_>) -> String {
        let id = &self.grant.id;
        if self.grant.hidden.contains(column) {
            format!("grant {id} excludes the column")
        } else if !self.is_listed(column) {
            format!("grant {id}: the token does not list the column")
        } else {
            format!(
                "grant {id} clears {}, the column is {}",
                self.clearance, label.sensitivity
            )
        }
    }
}

/// What one object of the token's `authorization_details` and one delegation let through together.
struct Cap<'a> {
    actions: ActionSet,
    clearance: Sensitivity,
    tables: Option<Vec<(ObjectPattern, Option<&'a [String]>)>>,
    purpose: Option<&'a str>,
}

/// What a principal holds at this moment, in that database.
pub(super) struct Entitlement<'a> {
    rules: &'a Rules,
    pub(super) principal: &'a Principal,
    now: Timestamp,
    client: Option<IpAddr>,
    caps: Vec<Cap<'a>>,
    /// Standing of each grant, worked out when first asked for.
    standings: Vec<Cell<Option<Standing>>>,
}

impl<'a> Entitlement<'a> {
    pub(super) fn new(
        rules: &'a Rules,
        principal: &'a Principal,
        database: &str,
        now: Timestamp,
        client: Option<IpAddr>,
    ) -> Self {
        Self {
            rules,
            principal,
            now,
            client,
            caps: caps(rules, principal, database, now),
            standings: vec![Cell::new(None); rules.grants.len()],
        }
    }

    /// Whether the token and the delegations let nothing through at all.
    pub(super) fn is_void(&self) -> bool {
        self.caps.is_empty()
    }

    /// The ways in which the principal may do that to the relation.
    pub(super) fn powers(&self, relation: &QualifiedName, action: Action) -> Vec<Power<'a>> {
        let mut powers = Vec::new();
        for (grant, standing) in self.grants_on(relation, action) {
            if standing == Standing::Usable {
                self.add_powers(grant, relation, action, &mut powers);
            }
        }
        powers
    }

    /// The grants that let somebody do that to the relation and speak of this principal.
    pub(super) fn grants_on(
        &self,
        relation: &QualifiedName,
        action: Action,
    ) -> impl Iterator<Item = (&'a Grant, Standing)> {
        let numbers = self.rules.grant_index.all(relation);
        self.speaking(numbers, action)
    }

    /// A grant by which the principal may call that procedure.
    pub(super) fn call(&self, procedure: &QualifiedName) -> Option<&'a Grant> {
        let numbers = self.rules.call_index.all(procedure);
        self.speaking(numbers, Action::Call)
            .filter(|(_, standing)| *standing == Standing::Usable)
            .map(|(grant, _)| grant)
            .find(|grant| {
                self.caps
                    .iter()
                    .any(|cap| cap.actions.has(Action::Call) && has_purpose(grant, cap))
            })
    }

    fn speaking(
        &self,
        numbers: Vec<usize>,
        action: Action,
    ) -> impl Iterator<Item = (&'a Grant, Standing)> {
        numbers
            .into_iter()
            .filter_map(move |number| {
                Some((self.rules.grants.get(number)?, self.standing(number)?))
            })
            .filter(move |(grant, standing)| {
                grant.actions.has(action) && *standing != Standing::Apart
            })
    }

    fn standing(&self, number: usize) -> Option<Standing> {
        let known = self.standings.get(number)?;
        if let Some(standing) = known.get() {
            return Some(standing);
        }
        let standing = self.judge(self.rules.grants.get(number)?);
        known.set(Some(standing));
        Some(standing)
    }

    fn judge(&self, grant: &Grant) -> Standing {
        if !grant.concerns(self.principal) {
            return Standing::Apart;
        }
        let obstacle = match grant.conditions.holds(self.now, self.client) {
            Err(Unmet::Time) => Some(Obstacle::Time),
            Err(Unmet::Network) => Some(Obstacle::Network),
            Ok(()) if grant.rows => Some(Obstacle::Rows),
            Ok(()) if grant.limits => Some(Obstacle::Limits),
            Ok(()) if grant.risk => Some(Obstacle::Risk),
            Ok(()) => None,
        };
        obstacle.map_or(Standing::Usable, Standing::Blocked)
    }

    fn add_powers(
        &self,
        grant: &'a Grant,
        relation: &QualifiedName,
        action: Action,
        powers: &mut Vec<Power<'a>>,
    ) {
        // What ships for the system schemas is not part of anybody's authority over data: a token
        // for one table must still be able to look up a type. It takes some authority, though.
        if grant.shipped {
            if !self.is_void() {
                powers.push(Power {
                    grant,
                    clearance: grant.clearance,
                    ceiling: grant.clearance,
                    columns: None,
                });
            }
            return;
        }
        for cap in &self.caps {
            if !cap.actions.has(action) || !has_purpose(grant, cap) {
                continue;
            }
            let mut add = |columns: Option<&'a [String]>| {
                powers.push(Power {
                    grant,
                    clearance: grant.clearance.min(cap.clearance),
                    ceiling: cap.clearance,
                    columns,
                });
            };
            match &cap.tables {
                None => add(None),
                Some(tables) => {
                    for (_, columns) in tables.iter().filter(|(table, _)| table.matches(relation)) {
                        add(*columns);
                    }
                }
            }
        }
    }
}

fn has_purpose(grant: &Grant, cap: &Cap<'_>) -> bool {
    let Some(purposes) = &grant.conditions.purposes else {
        return true;
    };
    cap.purpose
        .is_some_and(|purpose| purposes.iter().any(|one| one == purpose))
}

/// Every object of the token with every delegation that fits. No object for this database, or no
/// delegation that fits where the policy has any: nothing.
fn caps<'a>(
    rules: &Rules,
    principal: &'a Principal,
    database: &str,
    now: Timestamp,
) -> Vec<Cap<'a>> {
    let details: Vec<Cap<'a>> = match &principal.authorization_details {
        None => vec![whole()],
        Some(details) => details
            .iter()
            .filter_map(|detail| narrowed(detail, database))
            .collect(),
    };
    if rules.delegations.is_empty() {
        return details;
    }
    let left = principal
        .token
        .expires_at
        .micros()
        .saturating_sub(now.micros());
    let fitting: Vec<_> = rules
        .delegations
        .iter()
        .filter(|one| one.concerns(principal))
        .filter(|one| {
            let most = one
                .ttl_seconds_max
                .map(|seconds| seconds.saturating_mul(1_000_000));
            most.is_none_or(|most| left <= most)
        })
        .collect();
    let with_each = details.iter().flat_map(|detail| {
        fitting.iter().map(move |delegation| Cap {
            actions: detail.actions.and(delegation.actions),
            clearance: detail.clearance.min(delegation.clearance),
            tables: detail.tables.clone(),
            purpose: detail.purpose,
        })
    });
    with_each.collect()
}

const fn whole<'a>() -> Cap<'a> {
    Cap {
        actions: ActionSet::ALL,
        clearance: Sensitivity::Restricted,
        tables: None,
        purpose: None,
    }
}

/// One object of `authorization_details`; `None` where it is for another database, or says
/// something that is not understood.
fn narrowed<'a>(detail: &'a AccessDetail, database: &str) -> Option<Cap<'a>> {
    let is_for_us = detail
        .locations
        .as_ref()
        .is_none_or(|names| names.iter().any(|name| name == database));
    let clearance = match &detail.clearance {
        None => Sensitivity::Restricted,
        Some(word) => Sensitivity::from_word(word)?,
    };
    let actions = detail.actions.as_ref().map_or(ActionSet::ALL, |words| {
        let known = words.iter().filter_map(|word| Action::from_word(word));
        known.fold(ActionSet::NONE, ActionSet::with)
    });
    let tables = detail.tables.as_ref().map(|tables| {
        let named = tables.iter().filter_map(|(name, columns)| {
            let pattern = ObjectPattern::parse(name).ok()?;
            Some((pattern, columns.as_deref()))
        });
        named.collect()
    });
    is_for_us.then_some(Cap {
        actions,
        clearance,
        tables,
        purpose: detail.purpose.as_deref(),
    })
}
