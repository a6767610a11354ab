//! Column references: `column`, `table.column`, `schema.table.column`, whole rows and stars.

use pg_raw_parse::{Node, nodes};

use crate::access::{Action, Use};
use crate::refusal::{Reason, Refusal, SqlState};

use super::analyser::{Analyser, at, strings};
use super::expression::Made;
use super::scope::{Columns, Entry, Found, Origin, Scope, ScopeColumn, is_system_column, merge};

/// Most columns in a target list.
pub(super) const TARGETS_MAX: usize = 1_664;

impl<'a> Analyser<'a> {
    pub(super) fn column_ref(
        &mut self,
        column: &'a nodes::ColumnRef,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        if matches!(column.fields().iter().next_back(), Some(Node::A_Star(_))) {
            return self.row_star(column, scope);
        }
        self.spend(scope.size())?;
        let fields = strings(column.fields()).unwrap_or_default();
        self.names.columns.push(fields.join("."));
        match fields.as_slice() {
            [name] => self.bare(name, column.location, scope, used),
            [table, name] => self.dotted(None, table, name, column.location, scope, used),
            [schema, table, name] => {
                self.dotted(Some(schema), table, name, column.location, scope, used)
            }
            _ => Err(at(
                Refusal::unsupported("column reference has too many parts"),
                column.location,
            )),
        }
    }

    /// A name alone: the nearest level that has such a column, then a whole row.
    fn bare(
        &mut self,
        name: &str,
        location: i32,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let mut level = Some(scope);
        let mut perhaps = false;
        while let Some(here) = level {
            match here.column(name) {
                Found::Column(column) => {
                    let made = self.take(column, used, location);
                    let sure = !perhaps && self.names_are_sure;
                    let alias = scope.entry(None, name).is_some();
                    let settled = !alias && here.is_lone(name)
                        || sure && self.pin(column, location, scope, here);
                    if !settled {
                        self.take_bearers(name, location, scope, here, used);
                    }
                    return Ok(made);
                }
                Found::Several => {
                    return Err(at(
                        Refusal::new(
                            SqlState::AMBIGUOUS_COLUMN,
                            Reason::Unresolved,
                            format!("column reference \"{name}\" is ambiguous"),
                        )
                        .with_hint("put the table's name or alias before the column"),
                        location,
                    ));
                }
                Found::Perhaps => perhaps = true,
                // Views and joins have none: names further out count too.
                Found::Nothing if is_system_column(name) && here.has_relation() => perhaps = true,
                Found::Nothing => {}
            }
            level = here.outer;
        }
        if let Some(entry) = scope.entry(None, name) {
            let made = self.whole_row(entry, location);
            for twin in scope.entries_outside(None, name) {
                self.whole_row(twin, location);
            }
            return Ok(made);
        }
        if perhaps {
            return Ok(Made::new());
        }
        Err(missing(&format!("\"{name}\""), location))
    }

    /// Makes sure that a column's name cannot come to mean something else that bears it, by writing out
    /// its table. Which names are in view where follows Postgres here; if it does so wrongly, nothing
    /// must come of it. False where that would change what the name means.
    fn pin(
        &mut self,
        column: &ScopeColumn<'a>,
        location: i32,
        scope: &Scope<'a, '_>,
        here: &Scope<'a, '_>,
    ) -> bool {
        let Some(table) = here.owner(column) else {
            return false;
        };
        let hidden = !here.entries_outside(None, table).is_empty() || scope.hides(table, here);
        if !hidden {
            self.tables.push((location, table));
        }
        !hidden
    }

    /// Counts everything that bears a name besides the column it was taken for.
    fn take_bearers(
        &mut self,
        name: &str,
        location: i32,
        scope: &Scope<'a, '_>,
        here: &Scope<'a, '_>,
        used: Use,
    ) {
        if let Some(entry) = scope.entry(None, name) {
            self.whole_row(entry, location);
        }
        for outside in here.outside() {
            for column in outside.items.iter().flat_map(|item| &item.columns.list) {
                if column.name == Some(name) {
                    self.take(column, used, location);
                }
            }
        }
    }

    fn dotted(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &'a str,
        location: i32,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        let Some(entry) = scope.entry(schema, table) else {
            return Err(at(
                Refusal::new(
                    SqlState::UNDEFINED_TABLE,
                    Reason::Unresolved,
                    format!("missing FROM-clause entry for table \"{table}\""),
                ),
                location,
            ));
        };
        let mut named = entry.columns.list.iter().filter(|c| c.name == Some(name));
        if let Some(column) = named.next() {
            let mut made = self.take(column, used, location);
            // A second column of that name is an error in Postgres; counting it costs nothing.
            for twin in named {
                let more = self.take(twin, used, location);
                merge(&mut made, &more);
            }
            // The same alias further out: counted in case it is the one that Postgres sees.
            for outside in scope.entries_outside(schema, table) {
                for column in outside.columns.list.iter().filter(|c| c.name == Some(name)) {
                    self.take(column, used, location);
                }
            }
            return Ok(made);
        }
        let system = is_system_column(name) && entry.relation.is_some();
        if system {
            return Ok(Made::new());
        }
        let columns = &entry.columns;
        if columns.open || columns.list.iter().any(|c| c.name.is_none()) {
            let made = columns.sources();
            self.field_function(name, location);
            return Ok(made);
        }
        Err(missing(&format!("{table}.{name}"), location))
    }

    /// `*` or `table.*` as an item of a target list: every column it stands for.
    pub(super) fn star(
        &mut self,
        column: &'a nodes::ColumnRef,
        scope: &Scope<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        let columns = self.starred(column, scope)?;
        if columns.list.len() > TARGETS_MAX {
            return Err(too_many_targets());
        }
        for column_seen in &columns.list {
            if let Origin::Base(id) = column_seen.origin {
                self.use_column(id, Use::Output, Action::Select, true, column.location);
            }
        }
        Ok(columns)
    }

    /// `table.*` inside an expression: the whole row.
    fn row_star(
        &mut self,
        column: &'a nodes::ColumnRef,
        scope: &Scope<'a, '_>,
    ) -> Result<Made, Refusal> {
        let columns = self.starred(column, scope)?;
        Ok(self.take_all(&columns, column.location))
    }

    fn starred(
        &mut self,
        column: &'a nodes::ColumnRef,
        scope: &Scope<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        self.spend(scope.size())?;
        let parts: Vec<&str> = column.fields().iter().filter_map(Node::as_str).collect();
        let mut name = parts.clone();
        name.push("*");
        self.names.columns.push(name.join("."));
        let entry = match parts.as_slice() {
            [] => return Ok(self.all_items(scope)),
            [table] => scope.entry(None, table),
            [schema, table] => scope.entry(Some(schema), table),
            _ => None,
        };
        let table = parts.last().copied().unwrap_or_default();
        // The same alias further out: counted in case it is the one that Postgres sees.
        for outside in scope.entries_outside(None, table) {
            self.whole_row(outside, column.location);
        }
        entry.map(|entry| entry.columns.clone()).ok_or_else(|| {
            at(
                Refusal::new(
                    SqlState::UNDEFINED_TABLE,
                    Reason::Unresolved,
                    format!("missing FROM-clause entry for table \"{table}\""),
                ),
                column.location,
            )
        })
    }

    fn all_items(&self, scope: &Scope<'a, '_>) -> Columns<'a> {
        let mut all = Columns::default();
        for item in &scope.items {
            all.open |= item.columns.open;
            all.list.extend(item.columns.list.iter().cloned());
        }
        all
    }

    /// Every column of a relation, an alias or a join, as one value.
    fn whole_row(&mut self, entry: &Entry<'a>, location: i32) -> Made {
        self.take_all(&entry.columns, location)
    }

    fn take_all(&mut self, columns: &Columns<'a>, location: i32) -> Made {
        for column in &columns.list {
            if let Origin::Base(id) = column.origin {
                self.use_column(id, Use::WholeRow, Action::Select, false, location);
            }
        }
        columns.sources()
    }

    fn take(&mut self, column: &ScopeColumn<'a>, used: Use, location: i32) -> Made {
        if let Origin::Base(id) = column.origin {
            self.use_column(id, used, Action::Select, false, location);
        }
        column.origin.sources().to_vec()
    }
}

/// Postgres's own bound, in its own words (`MaxTupleAttributeNumber` in `htup_details.h`).
pub(super) fn too_many_targets() -> Refusal {
    Refusal::limit(format!(
        "target lists can have at most {TARGETS_MAX} entries"
    ))
    .with_hint("name the columns you need instead of *")
}

fn missing(shown: &str, location: i32) -> Refusal {
    at(
        Refusal::new(
            SqlState::UNDEFINED_COLUMN,
            Reason::Unresolved,
            format!("column {shown} does not exist"),
        ),
        location,
    )
}
