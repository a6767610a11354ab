//! The database's schema as pgward knows it: a [`Snapshot`] of relations, columns, views with what
//! they are made of, inheritance, functions and operators, and the resolution of names in it the
//! way Postgres resolves them. A snapshot is data: it is read from JSON (what the database's own
//! catalog answered, or a file of `pgward catalog dump`) and never talks to a server.

mod document;
mod lineage;
mod snapshot;

pub use document::{
    Column, Dependency, Document, Function, ImplicitCall, Operator, QualifiedParts, Relation,
    RelationKind,
};
pub use lineage::{Lineage, Sources};
pub use snapshot::{ColumnId, RelationId, SearchPath, Snapshot};

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON of a catalog snapshot.
    #[error("not a catalog snapshot: {0}")]
    Json(#[from] serde_json::Error),
    /// A snapshot of another format than this build reads.
    #[error("catalog snapshot has format {found}, this build reads {expected}")]
    Format {
        /// The format found.
        found: u32,
        /// The format this build reads.
        expected: u32,
    },
    /// Something is named twice.
    #[error("catalog snapshot names {0} twice")]
    Duplicate(String),
}
