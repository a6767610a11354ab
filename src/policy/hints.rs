//! What a principal can do instead: the columns it can read where it asked for too much, the
//! relations it can read where it asked for the wrong one. Also the whole reach of a principal, for
//! `policy show`. A hint names nothing the principal could not have used.

use core::net::IpAddr;

use crate::access::Action;
use crate::catalog::Snapshot;
use crate::clock::Timestamp;
use crate::ident::{QualifiedName, quote};
use crate::principal::Principal;

use super::refuse::Touch;
use super::rules::{Rules, is_system};
use super::sensitivity::Sensitivity;
use super::situation::Situation;

/// The most names a hint lists.
const NAMES_MAX: usize = 40;

/// The most relations looked at for one hint, so that a refusal in a database of a hundred thousand
/// tables costs no more than one in a small database.
const RELATIONS_LOOKED_AT_MAX: usize = 2_000;

/// One relation a principal can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The relation.
    pub relation: QualifiedName,
    /// What the principal may do to it.
    pub actions: Vec<Action>,
    /// The columns it may read.
    pub readable: Vec<String>,
    /// The columns it may not, with their labels.
    pub withheld: Vec<Withheld>,
}

/// A column that is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The column.
    pub column: String,
    /// Its label.
    pub sensitivity: Sensitivity,
    /// Whether the policy asks for it to be shown masked.
    pub masked: bool,
}

/// Everything outside the system schemas that a principal can reach at that moment.
pub fn reach(
    rules: &Rules,
    principal: &Principal,
    snapshot: &Snapshot,
    now: Timestamp,
    client: Option<IpAddr>,
) -> Vec<Reach> {
    let situation = Situation::new(rules, principal, snapshot, now, client);
    let relations = snapshot.document().relations.iter();
    relations
        .filter(|relation| !is_system(&relation.schema))
        .filter_map(|relation| {
            let name = relation.qualified();
            let actions: Vec<Action> = [
                Action::Select,
                Action::Insert,
                Action::Update,
                Action::Delete,
            ]
            .into_iter()
            .filter(|action| !situation.powers(&name, *action).is_empty())
            .collect();
            if actions.is_empty() {
                return None;
            }
            let readable = situation.columns(relation, Action::Select);
            let withheld = relation
                .columns
                .iter()
                .filter(|column| !readable.contains(&column.name.as_str()))
                .map(|column| withheld(&situation, &name, &column.name))
                .collect();
            Some(Reach {
                readable: readable.into_iter().map(str::to_owned).collect(),
                relation: name,
                actions,
                withheld,
            })
        })
        .collect()
}

fn withheld(situation: &Situation<'_>, relation: &QualifiedName, column: &str) -> Withheld {
    let label = situation.labels.label(relation, column);
    Withheld {
        column: column.to_owned(),
        sensitivity: label.sensitivity,
        masked: label.mask.is_some(),
    }
}

/// `columns you can read: id, name, region`
pub(super) fn columns(
    situation: &Situation<'_>,
    relation: &QualifiedName,
    action: Action,
) -> Option<String> {
    let found = situation.snapshot.relation(relation)?;
    let names = situation.columns(found, action);
    let names = list(names.into_iter().map(quote))?;
    Some(format!("columns you can {}: {names}", verb(action)))
}

/// What to do instead of touching a relation that is closed for it: read it where it was to be
/// written, or else the relations that can be read.
pub(super) fn instead_of(situation: &Situation<'_>, touch: &Touch<'_>) -> Option<String> {
    let is_write = touch.action != Action::Select;
    if is_write && !situation.powers(touch.relation, Action::Select).is_empty() {
        return Some(format!("you can read it, not {}", done(touch.action)));
    }
    let relations = situation.snapshot.document().relations.iter();
    let readable = relations
        .filter(|relation| !is_system(&relation.schema))
        .take(RELATIONS_LOOKED_AT_MAX)
        .filter(|relation| !situation.columns(relation, Action::Select).is_empty())
        .map(|relation| relation.qualified().to_string());
    let names = list(readable)?;
    Some(format!("relations you can read: {names}"))
}

fn list(mut names: impl Iterator<Item = String>) -> Option<String> {
    let shown: Vec<String> = names.by_ref().take(NAMES_MAX).collect();
    let more = if names.next().is_some() { ", …" } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Select => "read",
        Action::Insert => "insert",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Call => "call",
    }
}

const fn done(action: Action) -> &'static str {
    match action {
        Action::Select => "read it",
        Action::Insert => "insert into it",
        Action::Update => "update it",
        Action::Delete => "delete from it",
        Action::Call => "call it",
    }
}
