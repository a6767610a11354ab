//! Writes the schema before every relation name that has none, in Postgres's tree. What is sent
//! then means the same relation whatever the server's `search_path` is by the time it runs. Only
//! names that were resolved to relations are touched, so references to CTEs stay as they are.

use pg_raw_parse::make;
use pg_raw_parse::nodes::{RangeVarMut, RawStmt};
use pg_raw_parse::transform::{Transform, transform_range_var, transform_raw_stmt};
use pg_raw_parse::{Node, Owned};

/// A copy of the statement with its relations qualified.
///
/// `schemas` holds the places of unqualified relation names and the schema each one means.
pub(super) fn qualify(statement: &RawStmt, schemas: &[(i32, &str)]) -> Owned<RawStmt> {
    make::owned(|mem| {
        let mut copy = mem.make_unique(statement);
        let mut walk = Qualify { mem, schemas };
        transform_raw_stmt(copy.as_mut(), &mut walk);
        copy
    })
}

struct Qualify<'mem, 's> {
    mem: make::MemoryToken<'mem>,
    schemas: &'s [(i32, &'s str)],
}

impl<'mem> Transform<'mem> for Qualify<'mem, '_> {
    fn transform_range_var<'mutref>(&mut self, mut node: RangeVarMut<'mem, 'mutref>) {
        let place = node.location;
        let schema = self.schemas.iter().find(|(at, _)| *at == place);
        if let Some((_, schema)) = schema
            && node.schemaname().is_none()
        {
            let schema = self.mem.copy_string(schema);
            node.set_schemaname(Some(schema));
        }
        transform_range_var(node, self);
    }
}

/// The statement inside a RawStmt.
pub(super) fn inner(statement: &Owned<RawStmt>) -> Node<'_> {
    statement.stmt()
}
