//! The walk over Postgres's tree that finds what a statement touches. This file holds the state of
//! a walk and the small steps that all grammar productions share; each production has a file of its
//! own. What a production does not name is refused, never skipped.

use std::collections::HashSet;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use pg_raw_parse::{Node, list::NodeList, nodes};

use crate::access::{Access, Action, ColumnUse, FunctionUse, OutputColumn, RelationUse, Use};
use crate::catalog::{ColumnId, QualifiedParts, RelationId, SearchPath, Snapshot};
use crate::ident::{QualifiedName, quote};
use crate::refusal::{Reason, Refusal, SqlState};

use super::expression::Made;
use super::names::Names;
use super::qualify::Prefix;
use super::scope::{Columns, Origin, ScopeColumn};
use super::settings::{Effect, Settings};
use super::tree::DEPTH_MAX;

/// Steps one walk may take, so that no text costs unbounded time: self-joined CTEs with stars double
/// their columns each time. A statement of a thousand columns takes a few thousand.
const WORK_MAX: usize = 5_000_000;

/// What an analysis runs against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) settings: &'a Settings,
    pub(super) path: &'a SearchPath,
}

/// Types, a function that may run for values of them, and the place of what runs it.
type Implicit<'a> = (&'a [String], &'a QualifiedParts, i32);

/// One column use before names are spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    pub(super) schemas: Vec<Prefix<'a>>,
    /// Where an unqualified column name stands that other things bear too, and the table it means.
    pub(super) tables: Vec<Prefix<'a>>,
    pub(super) effect: Effect,
    /// Texts that run when this statement runs (EXECUTE, FETCH).
    pub(super) nested: Vec<Arc<str>>,
    /// Parameters whose values name a setting to be shown: judged when they are bound.
    pub(super) setting_parameters: Vec<u32>,
    /// Names of types that values may be of, besides those of columns.
    types: HashSet<&'a str>,
    relations: Vec<(RelationId, Action, i32)>,
    columns: Vec<(RawUse, Option<usize>)>,
    columns_seen: HashSet<RawUse>,
    functions: Vec<FunctionUse>,
    operators: Vec<Implicit<'a>>,
    outputs: Vec<OutputColumn>,
    command: &'static str,
    depth: usize,
    /// Steps left of [`WORK_MAX`].
    work: usize,
    /// False while a name may mean an output column whose name is not known.
    pub(super) names_are_sure: bool,
    /// What each subquery of an expression, and each CTE, around what is walked has looked at so far.
    pub(super) tested: Vec<Made>,
    /// What the named windows of each query around are made of.
    pub(super) windows: Vec<Made>,
}

impl<'a> Analyser<'a> {
    pub(super) fn new(ground: Ground<'a>) -> Self {
        Self {
            ground,
            names: Names::default(),
            schemas: Vec::new(),
            tables: Vec::new(),
            effect: Effect::None,
            nested: Vec::new(),
            setting_parameters: Vec::new(),
            types: HashSet::new(),
            relations: Vec::new(),
            columns: Vec::new(),
            columns_seen: HashSet::new(),
            functions: Vec::new(),
            operators: Vec::new(),
            outputs: Vec::new(),
            command: "",
            depth: 0,
            work: WORK_MAX,
            names_are_sure: true,
            tested: Vec::new(),
            windows: Vec::new(),
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

    /// Pays for that many steps: names looked through, columns copied.
    ///
    /// # Errors
    /// 54000 when the statement has used up [`WORK_MAX`].
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Refusal> {
        let left = self.work.checked_sub(steps);
        self.work = left.ok_or_else(|| {
            Refusal::limit("statement is too complex: it names too many columns and relations")
                .with_hint("split it, or name the columns it needs instead of *")
        })?;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn use_relation(&mut self, id: RelationId, action: Action, location: i32) {
        self.relations.push((id, action, location));
    }

    /// Notes a relation that is written to: defaults fill what an INSERT does not name, an UPDATE
    /// computes generated columns anew.
    pub(super) fn use_target(&mut self, id: RelationId, action: Action, location: i32) {
        self.use_relation(id, action, location);
        if matches!(action, Action::Insert | Action::Update) {
            self.use_all_types(id);
        }
    }

    /// How many uses of relations have been noted so far.
    pub(super) fn relations_used(&self) -> usize {
        self.relations.len()
    }

    /// The relations among some of those uses.
    pub(super) fn relations_in(&self, range: Range<usize>) -> Vec<RelationId> {
        let uses = self.relations.get(range).unwrap_or_default();
        uses.iter().map(|(id, _, _)| *id).collect()
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
        if self.columns_seen.insert(raw) {
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

    /// Notes the type of a cast, a parameter or a column definition.
    ///
    /// # Errors
    /// 0A000 for `column%TYPE`, which names a type without saying which.
    pub(super) fn use_type(&mut self, name: &'a nodes::TypeName) -> Result<(), Refusal> {
        if name.pct_type {
            return Err(at(
                Refusal::unsupported("%TYPE is not supported").with_hint("name the type itself"),
                name.location,
            ));
        }
        let last = name.names().iter().next_back();
        if let Some(last) = last.and_then(|part| part.sval()) {
            self.use_type_named(last);
        }
        Ok(())
    }

    /// Notes a type by its name.
    pub(super) fn use_type_named(&mut self, name: &'a str) {
        self.types.insert(name);
    }

    /// Notes the types of all columns of a relation and of its children: those that a write does not
    /// name get a default's value, or are computed anew.
    fn use_all_types(&mut self, id: RelationId) {
        let snapshot = self.ground.snapshot;
        let Some(relation) = snapshot.at(id) else {
            return;
        };
        for member in snapshot.family(relation) {
            let types = member
                .columns
                .iter()
                .filter_map(|column| column.typname.as_deref());
            self.types.extend(types);
        }
    }

    /// Notes an operator, written out or not. Which function runs depends on types that are not
    /// known here.
    pub(super) fn operator_named(&mut self, name: &str, location: i32) {
        for operator in self.ground.snapshot.operators_named(name) {
            let types = operator.types.as_slice();
            self.operators.push((types, &operator.function, location));
        }
    }

    /// Functions of the database that run without being written out: behind operators, casts, checks
    /// of domains, operator classes. Each counts where the statement names one of its types, or reads
    /// or writes a column of one; without types of its own, always.
    fn use_implicit_calls(&mut self) {
        let snapshot = self.ground.snapshot;
        let mut waiting: Vec<Implicit<'_>> = std::mem::take(&mut self.operators);
        let calls = snapshot.document().implicit_calls.iter();
        waiting.extend(calls.map(|call| (call.types.as_slice(), &call.function, -1)));
        // A function that runs takes and gives values of types for which others run.
        let mut seen = 0;
        loop {
            while let Some(used) = self.functions.get(seen) {
                self.types.extend(snapshot.types_of(&used.function));
                seen = seen.saturating_add(1);
            }
            let (running, rest) = waiting
                .into_iter()
                .partition::<Vec<_>, _>(|(types, ..)| self.touches_type(types));
            waiting = rest;
            if running.is_empty() {
                return;
            }
            for (_, function, location) in running {
                self.use_function(QualifiedName::from(function), false, location);
            }
        }
    }

    fn touches_type(&self, types: &[String]) -> bool {
        let snapshot = self.ground.snapshot;
        let is_of = |name: &str| types.iter().any(|of| of == name);
        let typed = |used: &RawUse| {
            let column = snapshot.column_definition(used.id);
            let row = snapshot.at(used.id.relation);
            column.is_some_and(|column| column.typname.as_deref().is_some_and(is_of))
                || used.used == Use::WholeRow && row.is_some_and(|row| is_of(&row.name))
        };
        types.is_empty()
            || self.types.iter().any(|name| is_of(name))
            || self.columns.iter().any(|(used, _)| typed(used))
    }

    /// Sets the result's columns, once, for the outermost query.
    pub(super) fn set_outputs(&mut self, columns: &Columns<'a>) {
        let snapshot = self.ground.snapshot;
        // Without knowing how many there are, which is which is not known either.
        let all = columns.open.then(|| columns.sources());
        self.outputs = columns
            .list
            .iter()
            .map(|column| OutputColumn {
                name: column.name.map(str::to_owned),
                sources: spell(
                    snapshot,
                    all.as_deref().unwrap_or_else(|| column.origin.sources()),
                ),
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
        self.use_implicit_calls();
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
            relations: relation_uses(snapshot, &self.relations),
            columns,
            functions: once(self.functions),
            outputs: self.outputs,
        };
        (access, self.names, self.effect)
    }
}

/// Relations by name, each action on each once.
fn relation_uses(snapshot: &Snapshot, used: &[(RelationId, Action, i32)]) -> Vec<RelationUse> {
    let mut seen = HashSet::new();
    used.iter()
        .filter(|(id, action, _)| seen.insert((*id, *action)))
        .filter_map(|(id, action, location)| {
            Some(RelationUse {
                relation: snapshot.at(*id)?.qualified(),
                action: *action,
                offset: usize::try_from(*location).ok(),
            })
        })
        .collect()
}

/// Each function once.
fn once(mut functions: Vec<FunctionUse>) -> Vec<FunctionUse> {
    let mut seen = HashSet::new();
    functions.retain(|used| seen.insert((used.function.clone(), used.procedure)));
    functions
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
    let mut kind = Kind::default();
    // Ends with an error once the name is complete: the rest of the tree may be too deep to print.
    let _ = write!(kind, "{node:?}");
    let Kind(kind) = kind;
    Refusal::unsupported(format!("{kind} is not supported in {place}"))
        .with_hint("write the statement without it")
}

/// Takes the first word of what is written into it.
#[derive(Default)]
struct Kind(String);

impl Write for Kind {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        self.0
            .push_str(part.get(..end.unwrap_or(part.len())).unwrap_or_default());
        end.map_or(Ok(()), |_| Err(std::fmt::Error))
    }
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
