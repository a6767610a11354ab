//! How sensitive a column really is: its own label, the labels of its relatives, and the labels of
//! what it is made of. Nothing here asks who wants to read it.
//!
//! - A `[[table]]` entry without a star that names the column decides. Otherwise the entry's own
//!   `sensitivity` and every glob that matches are heard, and the highest wins; a glob's own
//!   `sensitivity` is not heard where an entry names the table, or one above it that the glob
//!   matches too.
//! - Tables of one inheritance or partition tree share the highest label any of them has. A table
//!   that has no entry is covered by those above it, never by those below.
//! - A column of a view or a generated column is at least as sensitive as what it is made of,
//!   unless an entry without a star names that very column. A table's `sensitivity` can raise such
//!   a column and never lowers it.
//! - What has no label, or cannot be seen through, is restricted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::catalog::Snapshot;
use crate::ident::QualifiedName;

use super::family::{Family, MadeOf, made_of, parts_between};
use super::mask::Mask;
use super::rules::{Rules, TableRule, is_system};
use super::sensitivity::Sensitivity;

/// How many steps from view to source are followed; beyond it a column is restricted.
const DEPTH_MAX: u8 = 32;

/// Why a column has the label it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An entry names the column.
    Column,
    /// An entry names the table.
    Table,
    /// It is made of a column that carries the label.
    Lineage,
    /// It is made of something that cannot be seen through.
    Opaque,
    /// Nothing labels it.
    Unlabelled,
}

/// The label of a column as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'r> {
    /// How sensitive the column is.
    pub sensitivity: Sensitivity,
    /// How it is to be masked for those it is above.
    pub mask: Option<&'r Mask>,
    /// Why.
    pub origin: Origin,
}

impl Label<'_> {
    const UNLABELLED: Self = Self {
        sensitivity: Sensitivity::Restricted,
        mask: None,
        origin: Origin::Unlabelled,
    };
    const OPAQUE: Self = Self {
        sensitivity: Sensitivity::Restricted,
        mask: None,
        origin: Origin::Opaque,
    };
}

impl Rules {
    /// The label of a column in that database.
    pub fn label(&self, relation: &QualifiedName, column: &str, snapshot: &Snapshot) -> Label<'_> {
        Labels::new(self, snapshot).label(relation, column)
    }
}

/// Labels of one database under one policy. Made anew for every decision; it remembers which
/// entries speak of a relation, so that asking for all its columns is cheap.
pub(super) struct Labels<'r, 's> {
    rules: &'r Rules,
    snapshot: &'s Snapshot,
    known: RefCell<HashMap<QualifiedName, Rc<Tree>>>,
}

/// The entries that speak of a relation, each combination once.
struct Tree {
    /// Of the relation itself and of those above it.
    up: Vec<Entries>,
    /// Of its other relatives.
    rest: Vec<Entries>,
    /// Globs whose own sensitivity an entry without a star has replaced.
    replaced: Vec<usize>,
}

/// The entries that speak of one relation.
#[derive(PartialEq, Eq)]
struct Entries {
    exact: Option<usize>,
    globs: Vec<usize>,
}

impl<'r, 's> Labels<'r, 's> {
    pub(super) fn new(rules: &'r Rules, snapshot: &'s Snapshot) -> Self {
        Self {
            rules,
            snapshot,
            known: RefCell::new(HashMap::new()),
        }
    }

    /// The label of a column.
    pub(super) fn label(&self, relation: &QualifiedName, column: &str) -> Label<'r> {
        self.label_within(relation, column, DEPTH_MAX)
    }

    fn label_within(&self, relation: &QualifiedName, column: &str, depth: u8) -> Label<'r> {
        let declared = self.declared(relation, column);
        let own = declared.unwrap_or(Label::UNLABELLED);
        let Some(found) = self.snapshot.relation(relation) else {
            return own;
        };
        // What the views of the system schemas are made of is not in a snapshot; the shipped
        // entries were written with their definitions at hand.
        if is_system(&relation.schema) || self.names(relation, column) {
            return own;
        }
        let Some(deeper) = depth.checked_sub(1) else {
            return Label::OPAQUE;
        };
        let sources = match made_of(self.snapshot, relation, column) {
            MadeOf::Itself => return own,
            MadeOf::Unknown => return Label::OPAQUE,
            MadeOf::Columns(sources) => sources,
        };
        // A table's own column counts even without a label; a view's is what it is made of.
        let mut highest = if found.kind.is_view() {
            declared
        } else {
            Some(own)
        };
        for (source, source_column) in sources {
            let label = self.label_within(&source, &source_column, deeper);
            let origin = match label.origin {
                Origin::Opaque => Origin::Opaque,
                Origin::Column | Origin::Table | Origin::Lineage | Origin::Unlabelled => {
                    Origin::Lineage
                }
            };
            highest = higher(highest, Label { origin, ..label });
        }
        match highest {
            Some(label) if found.kind.is_view() => self.through_views(relation, column, label),
            Some(label) => label,
            None => Label::UNLABELLED,
        }
    }

    /// Labels of views in between. Lineage goes straight down to tables, so a label somebody put on
    /// a view halfway would be lost: it counts wherever that view's column can be part of this one.
    fn through_views(&self, view: &QualifiedName, column: &str, own: Label<'r>) -> Label<'r> {
        let origin = Origin::Lineage;
        parts_between(self.snapshot, view, column)
            .iter()
            .filter_map(|(middle, part)| self.declared(middle, part))
            .fold(own, |highest, label| {
                max(highest, Label { origin, ..label })
            })
    }

    /// The highest label that entries give the column, in the relation's whole tree.
    fn declared(&self, relation: &QualifiedName, column: &str) -> Option<Label<'r>> {
        let tree = self.tree(relation);
        let highest = |entries: &[Entries], start: Option<Label<'r>>| {
            let spoken = entries
                .iter()
                .filter_map(|one| self.spoken(&tree, one, column));
            spoken.fold(start, higher)
        };
        let above = highest(&tree.up, None)?;
        highest(&tree.rest, Some(above))
    }

    /// What the entries of one relation say of a column.
    fn spoken(&self, tree: &Tree, entries: &Entries, column: &str) -> Option<Label<'r>> {
        let exact = self.table(entries.exact);
        if let Some(label) = exact.and_then(|table| column_label(table, column)) {
            return Some(label);
        }
        let mut highest = exact.and_then(table_label);
        let is_covered = highest.is_some();
        for number in &entries.globs {
            let Some(table) = self.table(Some(*number)) else {
                continue;
            };
            let spoken = match column_label(table, column) {
                None if !is_covered && !tree.replaced.contains(number) => table_label(table),
                named => named,
            };
            if let Some(label) = spoken {
                highest = higher(highest, label);
            }
        }
        highest
    }

    /// Whether an entry without a star names that very column.
    fn names(&self, relation: &QualifiedName, column: &str) -> bool {
        let exact = self.rules.table_index.exact(relation).first().copied();
        self.table(exact)
            .is_some_and(|table| table.columns.contains_key(column))
    }

    fn table(&self, number: Option<usize>) -> Option<&'r TableRule> {
        self.rules.tables.get(number?)
    }

    fn tree(&self, relation: &QualifiedName) -> Rc<Tree> {
        if let Some(tree) = self.known.borrow().get(relation) {
            return Rc::clone(tree);
        }
        let family = Family::of(self.snapshot, relation);
        let up = self.entries(&family.up);
        let has_default = |entries: &&Entries| {
            let exact = self.table(entries.exact);
            exact.is_some_and(|table| table.default.is_some())
        };
        let named = up.iter().filter(has_default);
        let replaced = named.flat_map(|entries| entries.globs.clone()).collect();
        let rest = self.entries(&family.rest);
        let tree = Rc::new(Tree { up, rest, replaced });
        let mut known = self.known.borrow_mut();
        known.insert(relation.clone(), Rc::clone(&tree));
        tree
    }

    fn entries(&self, names: &[QualifiedName]) -> Vec<Entries> {
        let mut all: Vec<Entries> = Vec::new();
        for name in names {
            let entries = Entries {
                exact: self.rules.table_index.exact(name).first().copied(),
                globs: self.rules.table_index.globs(name).collect(),
            };
            let is_silent = entries.exact.is_none() && entries.globs.is_empty();
            if !is_silent && !all.contains(&entries) {
                all.push(entries);
            }
        }
        all
    }
}

fn higher<'r>(one: Option<Label<'r>>, other: Label<'r>) -> Option<Label<'r>> {
    Some(one.map_or(other, |one| max(one, other)))
}

/// The higher of two labels; of two equal ones the first, unless only the other has a mask.
fn max<'r>(one: Label<'r>, other: Label<'r>) -> Label<'r> {
    let is_higher = other.sensitivity > one.sensitivity;
    let adds_a_mask = other.sensitivity == one.sensitivity && one.mask.is_none();
    if is_higher || (adds_a_mask && other.mask.is_some()) {
        other
    } else {
        one
    }
}

fn column_label<'r>(table: &'r TableRule, column: &str) -> Option<Label<'r>> {
    let label = table.columns.get(column)?;
    Some(Label {
        sensitivity: label.sensitivity,
        mask: label.mask.as_ref(),
        origin: Origin::Column,
    })
}

fn table_label(table: &TableRule) -> Option<Label<'_>> {
    let sensitivity = table.default?;
    Some(Label {
        sensitivity,
        mask: None,
        origin: Origin::Table,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{rules, shop, shop_rules};
    use super::*;

    fn word(rules: &Rules, column: &str) -> String {
        let (relation, column) = super::super::pattern::parse_column(column).unwrap();
        let label = rules.label(&relation, &column, &shop());
        format!("{} {:?}", label.sensitivity, label.origin)
    }

    #[test]
    fn labels_of_the_shop() {
        let rules = shop_rules();
        for (column, expected) in [
            ("public.customers.name", "public Column"),
            ("public.customers.region", "internal Table"),
            ("public.customers.ssn", "restricted Column"),
            // generated columns
            ("public.customers.name_upper", "internal Table"),
            ("public.customers.ssn_last4", "restricted Lineage"),
            // a child without an entry
            ("public.customers_archive.name", "public Column"),
            ("public.customers_archive.ssn", "restricted Column"),
            ("public.customers_archive.archived_on", "internal Table"),
            // no entry at all
            ("public.secrets.token", "restricted Unlabelled"),
            ("public.nothing.at_all", "restricted Unlabelled"),
            // partitions share the highest label
            ("sales.events.kind", "internal Table"),
            ("sales.events.payload", "confidential Column"),
            ("sales.events_2023.payload", "confidential Column"),
            ("sales.events_2024.payload", "confidential Column"),
            ("sales.events_2024.kind", "internal Table"),
            // views without an entry
            ("public.customer_contacts.id", "internal Lineage"),
            ("public.customer_contacts.name", "public Lineage"),
            ("public.customer_contacts.mail", "confidential Lineage"),
            ("public.customer_contacts.tax_id", "restricted Lineage"),
            ("public.customer_overview.reference", "restricted Lineage"),
            // constants and counts have no sources: as if unlabelled
            ("public.order_totals.lines", "restricted Unlabelled"),
            ("public.customer_rows.customer", "restricted Opaque"),
            // never recorded
            ("public.customer_report.entry", "restricted Opaque"),
            // declassified by name, and only by name
            ("public.customer_hints.ssn_hint", "internal Column"),
            ("public.customer_hints.name", "internal Table"),
            ("public.customer_cards.card", "restricted Lineage"),
            ("public.customer_cards.region", "internal Lineage"),
        ] {
            assert_eq!(word(&rules, column), expected, "{column}");
        }
    }

    #[test]
    fn a_mask_comes_along() {
        let rules = shop_rules();
        let shop = shop();
        let customers = QualifiedName::new("public", "customers");
        let contacts = QualifiedName::new("public", "customer_contacts");
        assert_eq!(
            rules.label(&customers, "email", &shop).mask,
            Some(&Mask::Email)
        );
        assert_eq!(
            rules.label(&contacts, "mail", &shop).mask,
            Some(&Mask::Email)
        );
        assert_eq!(rules.label(&customers, "ssn", &shop).mask, None);
    }

    #[test]
    fn globs_and_exact_entries() {
        let rules = rules(
            r#"
            [[table]]
            name = "public.*"
            sensitivity = "confidential"
            columns = { ssn = "restricted", name = "public" }
            [[table]]
            name = "public.c*"
            sensitivity = "internal"
            [[table]]
            name = "public.customers"
            sensitivity = "public"
            columns = { notes = "internal" }
            "#,
        );
        for (column, expected) in [
            // the entry names the column
            ("public.customers.notes", "internal Column"),
            // a glob names it: the higher of that and the entry's own
            ("public.customers.ssn", "restricted Column"),
            ("public.customers.name", "public Table"),
            // globs' own sensitivity is not heard where an entry names the table
            ("public.customers.region", "public Table"),
            // … nor for a child of that table
            ("public.customers_archive.region", "public Table"),
            // two globs: the higher
            ("public.customer_cards.region", "confidential Table"),
            ("public.orders.id", "confidential Table"),
            ("public.secrets.token", "confidential Table"),
            ("hr.employees.name", "restricted Unlabelled"),
        ] {
            assert_eq!(word(&rules, column), expected, "{column}");
        }
    }

    #[test]
    fn a_label_below_does_not_cover_what_is_above() {
        let rules = rules(
            r#"
            [[table]]
            name = "sales.events_2023"
            sensitivity = "public"
            "#,
        );
        assert_eq!(word(&rules, "sales.events_2023.kind"), "public Table");
        assert_eq!(
            word(&rules, "sales.events_2024.kind"),
            "restricted Unlabelled"
        );
        assert_eq!(word(&rules, "sales.events.kind"), "restricted Unlabelled");
    }

    #[test]
    fn a_label_on_a_view_in_between_counts() {
        let rules = rules(
            r#"
            [[table]]
            name = "public.customers"
            sensitivity = "public"
            [[table]]
            name = "public.customer_contacts"
            columns = { tax_id = "confidential", mail = "public" }
            "#,
        );
        assert_eq!(
            word(&rules, "public.customer_contacts.tax_id"),
            "confidential Column"
        );
        assert_eq!(
            word(&rules, "public.customer_overview.reference"),
            "confidential Lineage"
        );
        assert_eq!(
            word(&rules, "public.customer_overview.name"),
            "public Lineage"
        );
    }

    #[test]
    fn a_table_default_raises_a_view_and_never_lowers_it() {
        let rules = rules(
            r#"
            [[table]]
            name = "public.customers"
            sensitivity = "internal"
            columns = { ssn = "restricted" }
            [[table]]
            name = "public.customer_contacts"
            sensitivity = "confidential"
            [[table]]
            name = "public.customer_cards"
            sensitivity = "public"
            [[table]]
            name = "public.order_totals"
            sensitivity = "public"
            "#,
        );
        assert_eq!(
            word(&rules, "public.customer_contacts.name"),
            "confidential Table"
        );
        assert_eq!(
            word(&rules, "public.customer_contacts.tax_id"),
            "restricted Lineage"
        );
        assert_eq!(
            word(&rules, "public.customer_cards.region"),
            "internal Lineage"
        );
        assert_eq!(word(&rules, "public.order_totals.lines"), "public Table");
    }

    #[test]
    fn the_system_schemas_are_governed_by_what_ships() {
        let rules = rules("");
        for (column, expected) in [
            ("pg_catalog.pg_class.relname", "public Table"),
            ("pg_catalog.pg_authid.rolpassword", "restricted Table"),
            ("pg_catalog.pg_proc.prosrc", "confidential Column"),
            ("pg_catalog.pg_stats.most_common_vals", "restricted Table"),
            ("pg_catalog.pg_from_the_future.x", "restricted Unlabelled"),
            ("information_schema.columns.column_name", "public Table"),
            (
                "information_schema.user_mapping_options.option_value",
                "restricted Table",
            ),
        ] {
            assert_eq!(word(&rules, column), expected, "{column}");
        }
    }
}
