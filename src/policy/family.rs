//! What stands above, below and beneath a relation: parents and children by inheritance or
//! partitioning, the relations a view reads, the columns a column is made of. The snapshot's word
//! for it, gathered without ever visiting a relation twice; this file knows nothing of labels.

use std::collections::{BTreeSet, HashSet};

use crate::catalog::{Relation, Snapshot, Sources};
use crate::ident::QualifiedName;

use super::rules::is_system;

/// A relation and its relatives by inheritance or partitioning.
pub(super) struct Family {
    /// The relation itself and all its ancestors.
    pub(super) up: Vec<QualifiedName>,
    /// Everything else that has an ancestor in common with it.
    pub(super) rest: Vec<QualifiedName>,
}

impl Family {
    /// Gathers the family.
    pub(super) fn of(snapshot: &Snapshot, relation: &QualifiedName) -> Self {
        if is_alone(snapshot, relation) {
            let up = vec![relation.clone()];
            return Self {
                up,
                rest: Vec::new(),
            };
        }
        let up = walk(vec![relation.clone()], |name| parents(snapshot, name));
        let all = walk(up.clone(), |name| snapshot.children(name).to_vec());
        // The walk answers with what it started from first.
        let rest = all.into_iter().skip(up.len()).collect();
        Self { up, rest }
    }
}

/// The relation, what it inherits from and what inherits from it: where its rows may come from or
/// belong to. Cousins are left out.
pub(super) fn line(snapshot: &Snapshot, relation: &QualifiedName) -> Vec<QualifiedName> {
    if is_alone(snapshot, relation) {
        return vec![relation.clone()];
    }
    let mut line = walk(vec![relation.clone()], |name| parents(snapshot, name));
    let below = walk(vec![relation.clone()], |name| {
        snapshot.children(name).to_vec()
    });
    line.extend(below.into_iter().skip(1));
    line
}

fn is_alone(snapshot: &Snapshot, relation: &QualifiedName) -> bool {
    let found = snapshot.relation(relation);
    found.is_none_or(|found| found.parents.is_empty()) && snapshot.children(relation).is_empty()
}

/// Everything a view reads, through views on views; nothing for what is not a view. Where lineage
/// knows less than the dependencies Postgres recorded, both count.
pub(super) fn beneath(snapshot: &Snapshot, view: &QualifiedName) -> BTreeSet<QualifiedName> {
    let is_view = snapshot
        .relation(view)
        .is_some_and(|found| found.kind.is_view());
    if !is_view {
        return BTreeSet::new();
    }
    let mut found: BTreeSet<QualifiedName> =
        walk(vec![view.clone()], |name| dependencies(snapshot, name))
            .into_iter()
            .collect();
    if let Some(known) = snapshot.lineage().underlying(view) {
        found.extend(known.iter().cloned());
    }
    found.remove(view);
    found
}

/// The columns of views in between that can be part of a view's column: those that are made of
/// nothing else than it is made of. Lineage itself goes straight down to tables.
pub(super) fn parts_between(
    snapshot: &Snapshot,
    view: &QualifiedName,
    column: &str,
) -> Vec<(QualifiedName, String)> {
    let lineage = snapshot.lineage();
    let Some(Sources::Known(whole)) = lineage.sources(view, column) else {
        return Vec::new();
    };
    let mut parts = columns_between(snapshot, view);
    parts.retain(|(middle, part)| match lineage.sources(middle, part) {
        Some(Sources::Known(sources)) => sources.is_subset(whole),
        Some(Sources::Opaque) | None => true,
    });
    parts
}

/// The columns of views that a view is built on, at any depth.
fn columns_between(snapshot: &Snapshot, view: &QualifiedName) -> Vec<(QualifiedName, String)> {
    let mut columns = Vec::new();
    for name in walk(vec![view.clone()], |name| dependencies(snapshot, name)) {
        let Some(above) = snapshot.relation(&name) else {
            continue;
        };
        for dependency in &above.depends_on {
            let name = QualifiedName::new(&dependency.schema, &dependency.name);
            let Some(middle) = snapshot.relation(&name).filter(|found| is_own_view(found)) else {
                continue;
            };
            match &dependency.column {
                Some(column) => columns.push((name, column.clone())),
                None => {
                    let all = middle.columns.iter();
                    columns.extend(all.map(|column| (name.clone(), column.name.clone())));
                }
            }
        }
    }
    columns
}

/// What a column is made of.
pub(super) enum MadeOf {
    /// It is stored as it is.
    Itself,
    /// These columns: of a view's column, or of a generated one.
    Columns(Vec<(QualifiedName, String)>),
    /// It cannot be seen through.
    Unknown,
}

/// What that column is made of. A view column without a recorded lineage is unknown.
pub(super) fn made_of(snapshot: &Snapshot, relation: &QualifiedName, column: &str) -> MadeOf {
    let Some(found) = snapshot.relation(relation) else {
        return MadeOf::Itself;
    };
    match snapshot.lineage().sources(relation, column) {
        Some(Sources::Known(sources)) => {
            let others = sources
                .iter()
                .filter(|source| source.0 != *relation || source.1 != column);
            MadeOf::Columns(others.cloned().collect())
        }
        Some(Sources::Opaque) => MadeOf::Unknown,
        None if found.kind.is_view() => MadeOf::Unknown,
        None => generated(found, relation, column),
    }
}

fn generated(found: &Relation, relation: &QualifiedName, column: &str) -> MadeOf {
    let from = found
        .column(column)
        .and_then(|column| column.generated_from.as_ref());
    match from {
        Some(from) => {
            let others = from.iter().filter(|source| *source != column);
            let named = others.map(|source| (relation.clone(), source.clone()));
            MadeOf::Columns(named.collect())
        }
        None => MadeOf::Itself,
    }
}

fn is_own_view(relation: &Relation) -> bool {
    relation.kind.is_view() && !is_system(&relation.schema)
}

fn parents(snapshot: &Snapshot, relation: &QualifiedName) -> Vec<QualifiedName> {
    let found = snapshot.relation(relation);
    found.map_or_else(Vec::new, |found| {
        found.parents.iter().map(QualifiedName::from).collect()
    })
}

fn dependencies(snapshot: &Snapshot, relation: &QualifiedName) -> Vec<QualifiedName> {
    let found = snapshot.relation(relation);
    found.map_or_else(Vec::new, |found| {
        let names = found.depends_on.iter();
        names
            .map(|one| QualifiedName::new(&one.schema, &one.name))
            .collect()
    })
}

/// Everything that can be reached, each once, the start first.
fn walk(
    start: Vec<QualifiedName>,
    next: impl Fn(&QualifiedName) -> Vec<QualifiedName>,
) -> Vec<QualifiedName> {
    let mut seen: HashSet<QualifiedName> = start.iter().cloned().collect();
    let mut queue = start.clone();
    let mut reached = start;
    while let Some(name) = queue.pop() {
        for found in next(&name) {
            if seen.insert(found.clone()) {
                queue.push(found.clone());
                reached.push(found);
            }
        }
    }
    reached
}
