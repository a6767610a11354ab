//! Writes out in Postgres's tree what names were taken to mean. The schema goes before every relation
//! name that has none, so that it means the same relation whatever the server's `search_path` is by
//! the time it runs; references to CTEs stay as they are. The table goes before a column's name that
//! something further out bears too: were Postgres to look elsewhere than we did, it would find nothing
//! instead of that.

use std::collections::HashMap;

use pg_raw_parse::make;
use pg_raw_parse::nodes::{ColumnRefMut, RangeVarMut, RawStmt};
use pg_raw_parse::transform::{
    Transform, transform_column_ref, transform_range_var, transform_raw_stmt,
};
use pg_raw_parse::{Node, Owned};

/// A place in the text, and the name that belongs before what stands there.
pub(super) type Prefix<'a> = (i32, &'a str);

/// A copy of the statement with its names qualified.
///
/// `schemas` holds the places of unqualified relation names and the schema each one means, `tables`
/// the same for columns and their tables or aliases.
pub(super) fn qualify(
    statement: &RawStmt,
    schemas: &[Prefix<'_>],
    tables: &[Prefix<'_>],
) -> Owned<RawStmt> {
    make::owned(|mem| {
        let mut copy = mem.make_unique(statement);
        let mut walk = Qualify {
            mem,
            schemas: schemas.iter().copied().collect(),
            tables: tables.iter().copied().collect(),
        };
        transform_raw_stmt(copy.as_mut(), &mut walk);
        copy
    })
}

struct Qualify<'mem, 's> {
    mem: make::MemoryToken<'mem>,
    schemas: HashMap<i32, &'s str>,
    tables: HashMap<i32, &'s str>,
}

impl<'mem> Transform<'mem> for Qualify<'mem, '_> {
    fn transform_range_var<'mutref>(&mut self, mut node: RangeVarMut<'mem, 'mutref>) {
        if let Some(schema) = self.schemas.get(&node.location)
            && node.schemaname().is_none()
        {
            let schema = self.mem.copy_string(schema);
            node.set_schemaname(Some(schema));
        }
        transform_range_var(node, self);
    }

    fn transform_column_ref<'mutref>(&mut self, mut node: ColumnRefMut<'mem, 'mutref>) {
        if let Some(table) = self.tables.get(&node.location)
            && node.fields().len() == 1
        {
            let table = self.mem.make_string(Some(table)).uncast();
            node.fields_mut().insert(self.mem, 0, table);
        }
        transform_column_ref(node, self);
    }
}

/// The statement inside a RawStmt.
pub(super) fn inner(statement: &Owned<RawStmt>) -> Node<'_> {
    statement.stmt()
}
