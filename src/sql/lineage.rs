//! Works out what the columns of views, materialized views and generated columns are made of, by
//! analysing the views' own definitions. What cannot be followed is recorded as opaque.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::catalog::{Lineage, Relation, Snapshot, Sources};
use crate::ident::QualifiedName;

use super::settings::Settings;
use super::{analyse_definition, analyser::Ground};

/// Views on views deeper than this are opaque.
const DEPTH_MAX: usize = 32;

/// Attaches lineage to a snapshot. To be done once for each snapshot, before it is used.
#[must_use]
pub fn trace(snapshot: Snapshot) -> Snapshot {
    let mut lineage = Lineage::default();
    let mut tracer = Tracer {
        snapshot: &snapshot,
        settings: Settings::new(&snapshot),
        done: HashMap::new(),
    };
    for relation in &snapshot.document().relations {
        if relation.definition.is_some() {
            tracer.trace_view(relation, &mut lineage);
        }
        trace_generated(&snapshot, relation, &mut lineage);
    }
    snapshot.with_lineage(lineage)
}

type ColumnSet = BTreeSet<(QualifiedName, String)>;
/// The sources of a view's columns in order, or `None` where they cannot be followed.
type Followed = Option<Rc<[ColumnSet]>>;

/// Follows views, each once.
struct Tracer<'a> {
    snapshot: &'a Snapshot,
    settings: Settings,
    done: HashMap<QualifiedName, Followed>,
}

impl Tracer<'_> {
    fn trace_view(&mut self, view: &Relation, lineage: &mut Lineage) {
        let name = view.qualified();
        let sources = self.view_sources(view, 0);
        for (index, column) in view.columns.iter().enumerate() {
            let of_column = sources
                .as_ref()
                .and_then(|all| all.get(index).cloned())
                .map_or(Sources::Opaque, Sources::Known);
            lineage.record(&name, &column.name, of_column);
        }
        let mut below = BTreeSet::new();
        if collect_below(self.snapshot, view, &mut below, 0) {
            lineage.record_underlying(&name, below);
        }
    }

    fn view_sources(&mut self, view: &Relation, depth: usize) -> Followed {
        if depth > DEPTH_MAX {
            return None;
        }
        let name = view.qualified();
        if let Some(known) = self.done.get(&name) {
            return known.clone();
        }
        let found = self.follow(view, depth);
        self.done.insert(name, found.clone());
        found
    }

    fn follow(&mut self, view: &Relation, depth: usize) -> Followed {
        let path = self.settings.search_path(self.snapshot);
        let ground = Ground {
            snapshot: self.snapshot,
            settings: &self.settings,
            path: &path,
        };
        let access = analyse_definition(view.definition.as_deref()?, ground)?;
        // A function of the database's own may read anything: its result is of unknown making.
        let user_code = |name: &QualifiedName| name.schema != "pg_catalog";
        let unknown = access
            .functions
            .iter()
            .any(|used| user_code(&used.function));
        if unknown || access.outputs.len() != view.columns.len() {
            return None;
        }
        access
            .outputs
            .iter()
            .map(|output| self.resolve(&output.sources, depth))
            .collect()
    }

    /// Follows columns of views down to relations that are not views.
    fn resolve(&mut self, sources: &[(QualifiedName, String)], depth: usize) -> Option<ColumnSet> {
        let mut found = ColumnSet::new();
        for (name, column) in sources {
            let relation = self.snapshot.relation(name)?;
            // A system view has no definition here: it is governed by its own name.
            if !relation.kind.is_view() || relation.definition.is_none() {
                found.insert((name.clone(), column.clone()));
                continue;
            }
            let index = relation.columns.iter().position(|c| c.name == *column)?;
            let below = self.view_sources(relation, depth.saturating_add(1))?;
            found.extend(below.get(index)?.iter().cloned());
        }
        Some(found)
    }
}

/// All relations beneath a view by `pg_depend`; false where one is not in the snapshot.
fn collect_below(
    snapshot: &Snapshot,
    view: &Relation,
    below: &mut BTreeSet<QualifiedName>,
    depth: usize,
) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    view.depends_on.iter().all(|dependency| {
        let name = QualifiedName::new(&dependency.schema, &dependency.name);
        let Some(relation) = snapshot.relation(&name) else {
            return false;
        };
        let nested = !relation.kind.is_view()
            || below.contains(&name)
            || collect_below(snapshot, relation, below, depth.saturating_add(1));
        below.insert(name);
        nested
    })
}

/// A generated column is made of others of its row. Read through a parent, the column is made of what
/// each child computes it from, too.
fn trace_generated(snapshot: &Snapshot, relation: &Relation, lineage: &mut Lineage) {
    let name = relation.qualified();
    let family: Vec<&Relation> = snapshot.family(relation).collect();
    for column in &relation.columns {
        let mut sources = ColumnSet::new();
        let mut opaque = false;
        for member in &family {
            let own = member.column(&column.name);
            opaque |= own.is_some_and(|own| own.generated_by_code);
            let from = own.and_then(|own| own.generated_from.as_ref());
            let named = from.into_iter().flatten();
            sources.extend(named.map(|source| (member.qualified(), source.clone())));
        }
        if opaque {
            lineage.record(&name, &column.name, Sources::Opaque);
        } else if !sources.is_empty() {
            lineage.record(&name, &column.name, Sources::Known(sources));
        }
    }
}
