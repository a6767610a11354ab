//! The words of a refusal: Postgres's own message, who was refused, and what in the statement to
//! change. What the client reads never names a rule, a label or a value; the notes beside it do,
//! and are for the DBA.

use crate::access::{Action, ColumnUse, FunctionUse, Use};
use crate::catalog::{RelationKind, Snapshot};
use crate::ident::QualifiedName;
use crate::refusal::{Reason, Refusal, SqlState};

use super::decide::Denial;
use super::entitlement::{Obstacle, Power, Standing};
use super::hints;
use super::labels::Label;
use super::rules::{Deny, Grant};
use super::situation::Situation;

/// Something that is done to a relation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch<'s> {
    pub(super) relation: &'s QualifiedName,
    pub(super) action: Action,
    /// Byte offset in the client's text.
    pub(super) offset: Option<usize>,
}

/// Why a relation is refused.
pub(super) enum RelationCause<'a> {
    /// The snapshot does not have it.
    Unknown,
    Denied(&'a Deny),
    NotGranted,
    /// None of its columns can be read.
    NothingReadable,
    /// It is a view, and this relation beneath it is open only in part.
    FilteredBeneath(QualifiedName),
}

/// Why a column is refused.
pub(super) enum ColumnCause<'a> {
    Denied(&'a Deny),
    NotCleared(Label<'a>),
}

/// Why a function is refused.
pub(super) enum FunctionCause {
    NotListed,
    /// It reads this, which the principal may not.
    Touches(String),
    /// No grant lets the procedure be called.
    NotCallable,
}

/// `permission denied for table customers`
pub(super) fn relation(
    situation: &Situation<'_>,
    touch: &Touch<'_>,
    cause: RelationCause<'_>,
) -> Box<Denial> {
    let kind = kind(situation.snapshot, touch.relation);
    let message = format!("permission denied for {kind} {}", touch.relation.name);
    let speaking: Vec<(&Grant, Standing)> = situation
        .entitlement
        .grants_on(touch.relation, touch.action)
        .collect();
    let (rules, notes) = match &cause {
        RelationCause::Unknown => (Vec::new(), vec![format!("{} is not known", touch.relation)]),
        RelationCause::Denied(deny) => (
            vec![deny.id.clone()],
            vec![format!(
                "deny {} forbids {} on {}",
                deny.id, touch.action, touch.relation
            )],
        ),
        RelationCause::NotGranted => (
            speaking.iter().map(|(grant, _)| grant.id.clone()).collect(),
            not_granted(situation, touch, &speaking),
        ),
        RelationCause::NothingReadable => (
            speaking.iter().map(|(grant, _)| grant.id.clone()).collect(),
            vec![format!(
                "no column of {} is within reach of these grants",
                touch.relation
            )],
        ),
        RelationCause::FilteredBeneath(below) => (
            speaking.iter().map(|(grant, _)| grant.id.clone()).collect(),
            vec![format!(
                "{} reads {below}, which is granted by rows only",
                touch.relation
            )],
        ),
    };
    let hint = relation_hint(situation, touch, &cause, &speaking);
    denial(situation, message, hint, touch.offset, rules, notes)
}

fn not_granted(
    situation: &Situation<'_>,
    touch: &Touch<'_>,
    speaking: &[(&Grant, Standing)],
) -> Vec<String> {
    if situation.entitlement.is_void() {
        return vec!["the token and the delegations let nothing through here".to_owned()];
    }
    if speaking.is_empty() {
        let (action, relation) = (touch.action, touch.relation);
        return vec![format!(
            "no grant gives this principal {action} on {relation}"
        )];
    }
    speaking
        .iter()
        .map(|(grant, standing)| match standing {
            Standing::Blocked(obstacle) => format!("grant {} {}", grant.id, obstacle.words()),
            Standing::Usable | Standing::Apart => {
                format!(
                    "grant {} is not let through by token or delegation",
                    grant.id
                )
            }
        })
        .collect()
}

fn relation_hint(
    situation: &Situation<'_>,
    touch: &Touch<'_>,
    cause: &RelationCause<'_>,
    speaking: &[(&Grant, Standing)],
) -> Option<String> {
    let wanted = match cause {
        RelationCause::Unknown | RelationCause::Denied(_) | RelationCause::NothingReadable => None,
        RelationCause::FilteredBeneath(_) => Some("a row filter"),
        RelationCause::NotGranted => speaking.iter().find_map(|(_, standing)| match standing {
            Standing::Blocked(Obstacle::Rows) => Some("a row filter"),
            Standing::Blocked(Obstacle::Limits) => Some("limits"),
            Standing::Blocked(Obstacle::Risk) => Some("a risk score"),
            Standing::Blocked(Obstacle::Time | Obstacle::Network)
            | Standing::Usable
            | Standing::Apart => None,
        }),
    };
    let wanted = wanted.map(|what| {
        format!(
            "it is open to you only with {what}, which this version of pgward refuses to do half"
        )
    });
    let others = hints::instead_of(situation, touch);
    join([wanted, others])
}

/// `permission denied for column "ssn" of relation "customers"`
pub(super) fn column(
    situation: &Situation<'_>,
    one: &ColumnUse,
    powers: &[Power<'_>],
    cause: ColumnCause<'_>,
) -> Box<Denial> {
    let message = format!(
        "permission denied for column \"{}\" of relation \"{}\"",
        one.column, one.relation.name
    );
    let place = format!("{}.{}", one.relation, one.column);
    let (rules, notes) = match &cause {
        ColumnCause::Denied(deny) => (
            vec![deny.id.clone()],
            vec![format!("deny {} forbids {place}", deny.id)],
        ),
        ColumnCause::NotCleared(label) => (
            powers.iter().map(|power| power.grant.id.clone()).collect(),
            powers
                .iter()
                .map(|power| power.shortfall(&one.column, label))
                .collect(),
        ),
    };
    let masked = match cause {
        ColumnCause::NotCleared(label) if label.mask.is_some() => Some(format!(
            "\"{}\" may only be shown masked, which this version of pgward refuses to do half: \
             leave it out",
            one.column
        )),
        ColumnCause::NotCleared(_) | ColumnCause::Denied(_) => None,
    };
    let how = match one.used {
        Use::WholeRow => Some("name columns instead of the whole row".to_owned()),
        Use::Output if one.star => Some("name columns instead of *".to_owned()),
        Use::Output | Use::Predicate | Use::Written => None,
    };
    let action = match one.used {
        Use::Written => one.action,
        Use::Output | Use::Predicate | Use::WholeRow => Action::Select,
    };
    let others = hints::columns(situation, &one.relation, action);
    let hint = join([masked, how, others]);
    let mut denial = denial(situation, message, hint, one.offset, rules, dedup(notes));
    denial.column = Some((one.relation.clone(), one.column.clone()));
    denial
}

/// `permission denied for function leak`
pub(super) fn function(
    situation: &Situation<'_>,
    one: &FunctionUse,
    cause: FunctionCause,
) -> Box<Denial> {
    let kind = if one.procedure {
        "procedure"
    } else {
        "function"
    };
    let message = format!("permission denied for {kind} {}", one.function.name);
    let (hint, note) = match cause {
        FunctionCause::NotListed => (
            format!("this {kind} may not be called here: leave it out"),
            format!("{} is not on the list", one.function),
        ),
        FunctionCause::Touches(what) => (
            format!("this {kind} reads what you may not read: leave it out"),
            format!("{} touches {what}", one.function),
        ),
        FunctionCause::NotCallable => (
            "you may not call this procedure: leave it out".to_owned(),
            format!("no grant with the action call covers {}", one.function),
        ),
    };
    denial(
        situation,
        message,
        Some(hint),
        one.offset,
        Vec::new(),
        vec![note],
    )
}

fn denial(
    situation: &Situation<'_>,
    message: String,
    hint: Option<String>,
    offset: Option<usize>,
    rules: Vec<String>,
    notes: Vec<String>,
) -> Box<Denial> {
    let who = situation.entitlement.principal.describe();
    let mut refusal = Refusal::new(SqlState::INSUFFICIENT_PRIVILEGE, Reason::Policy, message)
        .with_detail(format!("Refused to {who}."));
    refusal.hint = hint;
    refusal.offset = offset;
    Box::new(Denial {
        refusal,
        column: None,
        rules: dedup(rules),
        notes,
    })
}

/// What Postgres calls it in its own refusals (`aclcheck_error`).
fn kind(snapshot: &Snapshot, relation: &QualifiedName) -> &'static str {
    match snapshot.relation(relation).map(|found| found.kind) {
        Some(RelationKind::View) => "view",
        Some(RelationKind::MaterializedView) => "materialized view",
        Some(RelationKind::ForeignTable) => "foreign table",
        Some(RelationKind::Sequence) => "sequence",
        Some(RelationKind::Table | RelationKind::PartitionedTable) | None => "table",
    }
}

fn join<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn dedup(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}
