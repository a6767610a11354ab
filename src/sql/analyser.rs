//! The walk over Postgres's tree that finds what a statement touches. This file holds the state of
//! a walk and the small steps that all grammar productions share; each production has a file of its
//! own. What a production does not name is refused, never skipped.

use std::sync::Arc;

use pg_raw_parse::{Node, list::NodeList, nodes};

use crate::access::{Access, Action, ColumnUse, FunctionUse, OutputColumn, RelationUse, Use};
use crate::catalog::{ColumnId, RelationId, SearchPath, Snapshot};
use crate::ident::{QualifiedName, quote};
use crate::refusal::{Reason, Refusal, SqlState};

use super::names::Names;
use super::scope::{Columns, Origin, ScopeColumn};
use super::settings::{Effect, Settings};
use super::tree::DEPTH_MAX;

/// What an analysis runs against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) settings: &'a Settings,
    pub(super) path: &'a SearchPath,
}

/// One column use before names are spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RawUse {
    id: ColumnId,
    used: Use,
    action: Action,
    star: bool,
}

/// The state of one statement's walk.
pub(super) struct Analyser<'a> {
    pub(super) ground: Ground<'a>,
    pub(super) names: Names,
    /// Where an unqualified relation name stands, and the schema it means.
    pub(super) schemas: Vec<(i32, &'a str)>,
    pub(super) effect: Effect,
    /// Texts that run when this statement runs (EXECUTE, FETCH).
    pub(super) nested: Vec<Arc<str>>,
    /// Parameters whose values name a setting to be shown: judged when they are bound.
    pub(super) setting_parameters: Vec<u32>,
    /// Names of types that the statement casts to.
    types: Vec<String>,
    relations: Vec<RelationUse>,
    columns: Vec<(RawUse, Option<usize>)>,
    functions: Vec<FunctionUse>,
    outputs: Vec<OutputColumn>,
    command: &'static str,
    depth: usize,
}

impl<'a> Analyser<'a> {
    pub(super) fn new(ground: Ground<'a>) -> Self {
        Self {
            ground,
            names: Names::default(),
            schemas: Vec::new(),
            effect: Effect::None,
            nested: Vec::new(),
            setting_parameters: Vec::new(),
            types: Vec::new(),
            relations: Vec::new(),
            columns: Vec::new(),
            functions: Vec::new(),
            outputs: Vec::new(),
            command: "",
            depth: 0,
        }
    }

    /// Names the command, once.
    pub(super) fn command(&mut self, command: &'static str) {
        if self.command.is_empty() {
            self.command = command;
        }
    }

    /// One step deeper into the tree.
    ///
    /// # Errors
    /// 54000 past [`DEPTH_MAX`].
    pub(super) fn enter(&mut self) -> Result<(), Refusal> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX {
            return Err(Refusal::limit("statement is nested too deeply")
                .with_hint("split it, or use IN (…) instead of a chain of operators"));
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn use_relation(&mut self, id: RelationId, action: Action, location: i32) {
        if let Some(relation) = self.ground.snapshot.at(id) {
            let relation = RelationUse {
                relation: relation.qualified(),
                action,
                offset: usize::try_from(location).ok(),
            };
            self.relations.push(relation);
        }
    }

    pub(super) fn use_column(
        &mut self,
        id: ColumnId,
        used: Use,
        action: Action,
        star: bool,
        location: i32,
    ) {
        let raw = RawUse {
            id,
            used,
            action,
            star,
        };
        if !self.columns.iter().any(|(known, _)| *known == raw) {
            self.columns.push((raw, usize::try_from(location).ok()));
        }
    }

    pub(super) fn use_function(&mut self, function: QualifiedName, procedure: bool, location: i32) {
        self.functions.push(FunctionUse {
            function,
            procedure,
            offset: usize::try_from(location).ok(),
        });
    }

    /// Notes a type that is cast to.
    pub(super) fn use_type(&mut self, name: &str) {
        self.types.push(name.to_owned());
    }

    /// Casts that users have defined run their functions, written out or not. Which cast applies
    /// depends on types that are not known here, so every cast counts whose type the statement
    /// casts to, or reads a column or a row of.
    fn use_casts(&mut self) {
        let snapshot = self.ground.snapshot;
        for cast in &snapshot.document().casts {
            let touched = |name: &String| {
                self.types.contains(name)
                    || self.columns.iter().any(|(used, _)| {
                        snapshot
                            .column_at(used.id)
                            .is_some_and(|(relation, column)| {
                                let whole = used.used == Use::WholeRow && relation.name == *name;
                                let typed = relation.column(column).is_some_and(|found| {
                                    let last = found.data_type.rsplit('.').next();
                                    last.is_some_and(|last| last.trim_matches('"') == name)
                                });
                                whole || typed
                            })
                    })
            };
            if touched(&cast.source)
                || self.types.contains(&cast.target) && !is_common(&cast.target)
            {
                let function = QualifiedName::from(&cast.function);
                self.functions.push(FunctionUse {
                    function,
                    procedure: false,
                    offset: None,
                });
            }
        }
    }

    /// Sets the result's columns, once, for the outermost query.
    pub(super) fn set_outputs(&mut self, columns: &Columns<'a>) {
        let snapshot = self.ground.snapshot;
        self.outputs = columns
            .list
            .iter()
            .map(|column| OutputColumn {
                name: column.name.map(str::to_owned),
                sources: spell(snapshot, column.origin.sources()),
            })
            .collect();
    }

    /// The columns of a relation as a scope sees them.
    pub(super) fn relation_columns(&self, id: RelationId) -> Columns<'a> {
        let relation = self.ground.snapshot.at(id);
        let columns = relation.map_or(&[][..], |relation| relation.columns.as_slice());
        let list = columns
            .iter()
            .zip(0_u32..)
            .map(|(column, index)| ScopeColumn {
                name: Some(column.name.as_str()),
                origin: Origin::Base(ColumnId {
                    relation: id,
                    column: index,
                }),
            })
            .collect();
        Columns { list, open: false }
    }

    /// The relation that a name means, noted for qualification.
    ///
    /// # Errors
    /// 42P01 where there is none, 0A000 for a name with a database part.
    pub(super) fn resolve_relation(
        &mut self,
        range: &'a nodes::RangeVar,
    ) -> Result<RelationId, Refusal> {
        let name = range.relname().unwrap_or_default();
        let snapshot = self.ground.snapshot;
        if range.catalogname().is_some() {
            return Err(at(
                Refusal::unsupported("cross-database references are not implemented")
                    .with_hint("write schema.table"),
                range.location,
            ));
        }
        let found = snapshot.resolve(self.ground.path, range.schemaname(), name);
        let Some(id) = found else {
            return Err(unknown_relation(range));
        };
        if range.schemaname().is_none()
            && let Some(relation) = snapshot.at(id)
        {
            self.schemas.push((range.location, &relation.schema));
        }
        Ok(id)
    }

    /// Ends the walk.
    pub(super) fn into_access(mut self) -> (Access, Names, Effect) {
        self.use_casts();
        let snapshot = self.ground.snapshot;
        let spelled = self.columns.iter().filter_map(|(raw, offset)| {
            let (relation, column) = snapshot.column_at(raw.id)?;
            Some(ColumnUse {
                relation: relation.qualified(),
                column: column.to_owned(),
                used: raw.used,
                action: raw.action,
                offset: *offset,
                star: raw.star,
            })
        });
        let columns = spelled.collect();
        let access = Access {
            command: self.command,
            relations: self.relations,
            columns,
            functions: self.functions,
            outputs: self.outputs,
        };
        (access, self.names, self.effect)
    }
}

/// Built-in types that everything can be cast to: a user's cast to one counts by its source.
fn is_common(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "bytea"
            | "float8"
            | "int4"
            | "int8"
            | "json"
            | "jsonb"
            | "numeric"
            | "text"
            | "varchar"
    )
}

/// Base columns by name.
pub(super) fn spell(snapshot: &Snapshot, ids: &[ColumnId]) -> Vec<(QualifiedName, String)> {
    ids.iter()
        .filter_map(|id| snapshot.column_at(*id))
        .map(|(relation, column)| (relation.qualified(), column.to_owned()))
        .collect()
}

/// The strings of a list of names; `None` where something else is among them.
pub(super) fn strings(list: &NodeList) -> Option<Vec<&str>> {
    list.iter().map(Node::as_str).collect()
}

/// Puts a place of the tree on a refusal.
pub(super) fn at(refusal: Refusal, location: i32) -> Refusal {
    match usize::try_from(location) {
        Ok(offset) => refusal.at(offset),
        Err(_) => refusal,
    }
}

/// The refusal of a node that no production names.
pub(super) fn unknown_node(node: Node<'_>, place: &str) -> Refusal {
    let debug = format!("{node:?}");
    let kind: String = debug
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    Refusal::unsupported(format!("{kind} is not supported in {place}"))
        .with_hint("write the statement without it")
}

fn unknown_relation(range: &nodes::RangeVar) -> Refusal {
    let name = range.relname().unwrap_or_default();
    let shown = range.schemaname().map_or_else(
        || quote(name),
        |schema| QualifiedName::new(schema, name).to_string(),
    );
    let refusal = Refusal::new(
        SqlState::UNDEFINED_TABLE,
        Reason::Unresolved,
        format!("relation \"{}\" does not exist", shown.replace('"', "")),
    );
    at(refusal, range.location)
}
