//! What the columns of views and generated columns are made of. The facts are worked out by
//! [`crate::sql`] from the views' definitions; this file only keeps them. What is not recorded is
//! unknown, and unknown counts as the worst.

use std::collections::{BTreeSet, HashMap};

use crate::ident::QualifiedName;

/// What a column is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// These columns, down to relations that are not views. Empty for a constant or a count.
    Known(BTreeSet<(QualifiedName, String)>),
    /// It could not be worked out.
    Opaque,
}

/// Lineage of all views of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    columns: HashMap<QualifiedName, HashMap<String, Sources>>,
    underlying: HashMap<QualifiedName, BTreeSet<QualifiedName>>,
}

impl Lineage {
    /// Records what one column is made of.
    pub fn record(&mut self, relation: &QualifiedName, column: &str, sources: Sources) {
        self.columns
            .entry(relation.clone())
            .or_default()
            .insert(column.to_owned(), sources);
    }

    /// Records the relations beneath a view, through views on views.
    pub fn record_underlying(&mut self, view: &QualifiedName, below: BTreeSet<QualifiedName>) {
        self.underlying.insert(view.clone(), below);
    }

    /// What the column is made of; `None` where nothing was recorded.
    pub fn sources(&self, relation: &QualifiedName, column: &str) -> Option<&Sources> {
        self.columns.get(relation)?.get(column)
    }

    /// The relations beneath a view; `None` where they are not known.
    pub fn underlying(&self, view: &QualifiedName) -> Option<&BTreeSet<QualifiedName>> {
        self.underlying.get(view)
    }
}
