//! What names can mean at one place of a query: the columns and aliases of its FROM items, level
//! above level. Lookups follow Postgres (`parse_relation.c`): columns of all levels first, the
//! nearest level winning, then an alias as a whole row.

use std::rc::Rc;

use crate::catalog::{ColumnId, RelationId};

/// Where the values of a column come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A column of a relation: using it is an access.
    Base(ColumnId),
    /// Something computed from these columns; they were counted where it was computed.
    Derived(Rc<[ColumnId]>),
}

impl Origin {
    /// An origin that is made of nothing.
    pub(super) fn nothing() -> Self {
        Self::Derived(Rc::from([]))
    }

    /// Whether it is the same column's, not only made of the same.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Base(one), Self::Base(other)) => one == other,
            (Self::Derived(one), Self::Derived(other)) => Rc::ptr_eq(one, other),
            (Self::Base(_), Self::Derived(_)) | (Self::Derived(_), Self::Base(_)) => false,
        }
    }

    /// The base columns behind it.
    pub(super) fn sources(&self) -> &[ColumnId] {
        match self {
            Self::Base(id) => std::slice::from_ref(id),
            Self::Derived(ids) => ids,
        }
    }
}

/// One column in view.
#[derive(Debug, Clone)]
pub(super) struct ScopeColumn<'a> {
    /// Its name; `None` where Postgres invents one that is not modelled.
    pub(super) name: Option<&'a str>,
    /// What it is made of.
    pub(super) origin: Origin,
}

/// The columns of a row type. `open` says that there may be more than are listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns<'a> {
    /// The columns known, in order.
    pub(super) list: Vec<ScopeColumn<'a>>,
    /// Whether names that are not listed may exist too (a function's result, for one).
    pub(super) open: bool,
}

impl<'a> Columns<'a> {
    /// All base columns behind these columns.
    pub(super) fn sources(&self) -> Vec<ColumnId> {
        let mut all = Vec::new();
        for column in &self.list {
            merge(&mut all, column.origin.sources());
        }
        all
    }

    /// The same columns seen from outside the query that makes them: computed, no longer base.
    pub(super) fn derived(self) -> Self {
        let list = self
            .list
            .into_iter()
            .map(|column| ScopeColumn {
                name: column.name,
                origin: Origin::Derived(Rc::from(column.origin.sources())),
            })
            .collect();
        Self { list, ..self }
    }

    /// The columns renamed from the left by a list of alias names. Where it is not known how many
    /// there are, neither is which of them a name means: it is then made of all of them.
    pub(super) fn renamed(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        let mut names = names.peekable();
        if self.open && names.peek().is_some() {
            let all = Origin::Derived(Rc::from(self.sources()));
            let named = names.map(Some).chain([None]).map(|name| ScopeColumn {
                name,
                origin: all.clone(),
            });
            self.list = named.collect();
            return self;
        }
        for (index, name) in names.enumerate() {
            match self.list.get_mut(index) {
                Some(column) => column.name = Some(name),
                None => self.list.push(ScopeColumn {
                    name: Some(name),
                    origin: Origin::nothing(),
                }),
            }
        }
        self
    }
}

/// A name that can stand before a dot.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    /// The alias, or the relation's own name.
    pub(super) alias: &'a str,
    /// The schema, where `schema.relation.column` is allowed (no alias given).
    pub(super) schema: Option<&'a str>,
    /// The relation, where it is one.
    pub(super) relation: Option<RelationId>,
    /// Its columns.
    pub(super) columns: Columns<'a>,
}

impl Entry<'_> {
    fn is_called(&self, schema: Option<&str>, alias: &str) -> bool {
        self.alias == alias && (schema.is_none() || self.schema == schema)
    }
}

/// One item of a FROM clause, joins merged into one.
#[derive(Debug, Clone, Default)]
pub(super) struct FromItem<'a> {
    /// What `*` and unqualified names see.
    pub(super) columns: Columns<'a>,
    /// What can stand before a dot.
    pub(super) entries: Vec<Entry<'a>>,
}

impl<'a> FromItem<'a> {
    /// An item with one alias over its columns.
    pub(super) fn single(entry: Entry<'a>) -> Self {
        Self {
            columns: entry.columns.clone(),
            entries: vec![entry],
        }
    }
}

/// A common table expression in view.
#[derive(Debug, Clone)]
pub(super) struct Cte<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its columns; `None` while it stands ahead of where we are (`WITH RECURSIVE` only).
    pub(super) columns: Option<Columns<'a>>,
    /// The base columns that its rows depend on.
    pub(super) tested: Vec<ColumnId>,
}

/// The CTEs of a WITH clause, and those outside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ctes<'a, 'p> {
    /// The WITH clause further out.
    pub(super) outer: Option<&'p Ctes<'a, 'p>>,
    /// This clause's.
    pub(super) list: Vec<Cte<'a>>,
}

impl<'a> Ctes<'a, '_> {
    /// The nearest CTE of that name.
    pub(super) fn find(&self, name: &str) -> Option<&Cte<'a>> {
        self.list
            .iter()
            .rev()
            .find(|cte| cte.name == name)
            .or_else(|| self.outer.and_then(|outer| outer.find(name)))
    }
}

/// One query level.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a, 'p> {
    /// The level outside.
    pub(super) outer: Option<&'p Scope<'a, 'p>>,
    /// CTEs in view.
    pub(super) ctes: Option<&'p Ctes<'a, 'p>>,
    /// The FROM items so far.
    pub(super) items: Vec<FromItem<'a>>,
}

/// What a lookup of an unqualified name at one level found.
pub(super) enum Found<'s, 'a> {
    /// One column.
    Column(&'s ScopeColumn<'a>),
    /// More than one: ambiguous.
    Several,
    /// None, and none can be there.
    Nothing,
    /// None listed, but an open item may have it.
    Perhaps,
}

impl<'a, 'p> Scope<'a, 'p> {
    /// Looks an unqualified column name up at this level alone.
    pub(super) fn column(&self, name: &str) -> Found<'_, 'a> {
        let mut found = None;
        let mut open = false;
        for item in &self.items {
            open |= item.columns.open;
            for column in &item.columns.list {
                open |= column.name.is_none();
                if column.name == Some(name) && found.replace(column).is_some() {
                    return Found::Several;
                }
            }
        }
        match found {
            Some(column) => Found::Column(column),
            None if open => Found::Perhaps,
            None => Found::Nothing,
        }
    }

    /// The levels outside of this one, the nearest first.
    pub(super) fn outside(&self) -> impl Iterator<Item = &'p Self> {
        std::iter::successors(self.outer, |scope| scope.outer)
    }

    /// How many names a lookup at this level, and at all levels outside, goes through.
    pub(super) fn size(&self) -> usize {
        let of = |item: &FromItem<'a>| {
            let entries = item.entries.len();
            item.columns
                .list
                .len()
                .saturating_add(entries)
                .saturating_add(1)
        };
        let here: usize = self.items.iter().map(of).sum();
        here.saturating_add(self.outer.map_or(0, Scope::size))
    }

    /// Looks up what stands before a dot, at this level and outwards.
    pub(super) fn entry(&self, schema: Option<&str>, alias: &str) -> Option<&Entry<'a>> {
        let here = self.items.iter().flat_map(|item| &item.entries);
        let mut matching = here.filter(|entry| entry.is_called(schema, alias));
        matching
            .next()
            .or_else(|| self.outer.and_then(|outer| outer.entry(schema, alias)))
    }

    /// Everything of that alias at the levels outside of this one.
    pub(super) fn entries_outside(&self, schema: Option<&str>, alias: &str) -> Vec<&Entry<'a>> {
        let levels = self.outside();
        let entries = levels.flat_map(|scope| scope.items.iter().flat_map(|item| &item.entries));
        entries
            .filter(|entry| entry.is_called(schema, alias))
            .collect()
    }

    /// Whether no column further out bears a name.
    pub(super) fn is_lone(&self, name: &str) -> bool {
        !self.outside().any(|scope| {
            let mut columns = scope.items.iter().flat_map(|item| &item.columns.list);
            columns.any(|column| column.name == Some(name))
        })
    }

    /// The alias under which a column of this level can be written out: the only entry that has a
    /// column of that name, where it is that very column (and not one merged by a join) and no other
    /// of the level's columns could have that name.
    pub(super) fn owner(&self, column: &ScopeColumn<'a>) -> Option<&'a str> {
        let uncertain = |columns: &Columns<'a>| {
            columns.open || columns.list.iter().any(|column| column.name.is_none())
        };
        if self.items.iter().any(|item| uncertain(&item.columns)) {
            return None;
        }
        // What can be named with its alias alone (`old`, `new`, `excluded`) is no rival.
        let items = self
            .items
            .iter()
            .filter(|item| !item.columns.list.is_empty());
        let mut owners = items.flat_map(|item| &item.entries).filter_map(|entry| {
            let mut columns = entry.columns.list.iter();
            let own = columns.find(|own| own.name == column.name)?;
            Some((entry, own))
        });
        let (owner, own) = owners.next()?;
        let alone = owners.next().is_none() && own.origin.is(&column.origin);
        let first = self.entry(None, owner.alias);
        let addressed = first.is_some_and(|first| std::ptr::eq(first, owner));
        (alone && addressed).then_some(owner.alias)
    }

    /// Whether an alias stands at a level from this one up to `end`, `end` itself left out.
    pub(super) fn hides(&self, alias: &str, end: &Self) -> bool {
        std::iter::once(self)
            .chain(self.outside())
            .take_while(|scope| !std::ptr::eq(*scope, end))
            .flat_map(|scope| &scope.items)
            .any(|item| item.entries.iter().any(|entry| entry.alias == alias))
    }

    /// Whether a relation is among this level's items (it then has the system columns).
    pub(super) fn has_relation(&self) -> bool {
        self.items
            .iter()
            .flat_map(|item| &item.entries)
            .any(|entry| entry.relation.is_some())
    }
}

/// The system columns of every relation (Postgres manual, section 5.6). They hold no user data.
pub(super) fn is_system_column(name: &str) -> bool {
    matches!(
        name,
        "tableoid" | "ctid" | "xmin" | "xmax" | "cmin" | "cmax"
    )
}

/// Adds what is not there yet; both are in order.
pub(super) fn merge(into: &mut Vec<ColumnId>, more: &[ColumnId]) {
    for id in more {
        if let Err(place) = into.binary_search(id) {
            into.insert(place, *id);
        }
    }
}
