//! Denies, and row filters beneath views: what no grant can get around.

use super::super::fixtures::{SHOP, bob, principal, rules};
use super::{allows, denied};

const DENIES: &[(&str, &str, bool)] = &[
    (
        "tables = [\"public.orders\"]",
        "select public.orders",
        false,
    ),
    (
        "tables = [\"public.orders\"]",
        "select public.order_items",
        true,
    ),
    (
        "tables = [\"public.*\"]\nactions = [\"insert\"]",
        "select public.orders",
        true,
    ),
    (
        "tables = [\"public.*\"]\nactions = [\"insert\"]",
        "insert public.orders",
        false,
    ),
    (
        "tables = [\"public.orders\"]\nagents = [\"planner\"]",
        "select public.orders",
        true,
    ),
    (
        "tables = [\"public.orders\"]\nagents = [\"support-*\"]",
        "select public.orders",
        false,
    ),
    (
        "tables = [\"public.orders\"]\nusers = [\"group:support\"]",
        "select public.orders",
        false,
    ),
    (
        "tables = [\"public.orders\"]\nusers = [\"carol\"]",
        "select public.orders",
        true,
    ),
    // through views, and views on views
    (
        "tables = [\"public.customers\"]",
        "select public.customer_contacts",
        false,
    ),
    (
        "tables = [\"public.customers\"]",
        "select public.customer_overview",
        false,
    ),
    (
        "tables = [\"public.customers\"]",
        "select public.customer_cards",
        false,
    ),
    (
        "tables = [\"public.customer_contacts\"]",
        "select public.customer_overview",
        false,
    ),
    (
        "tables = [\"public.customer_contacts\"]",
        "select public.customers",
        true,
    ),
    // up and down inheritance, and through views to a relative
    (
        "tables = [\"public.customers\"]",
        "select public.customers_archive",
        false,
    ),
    (
        "tables = [\"public.customers_archive\"]",
        "select public.customers",
        false,
    ),
    (
        "tables = [\"public.customers_archive\"]",
        "select public.customer_contacts",
        false,
    ),
    (
        "tables = [\"sales.events_2024\"]",
        "select sales.events",
        false,
    ),
    // single columns
    (
        "tables = [\"public.customers\"]\ncolumns = [\"region\"]",
        "read public.customers.region",
        false,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"region\"]",
        "read public.customers.name",
        true,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"region\"]",
        "read public.customers_archive.region",
        false,
    ),
    (
        "tables = [\"public.customers_archive\"]\ncolumns = [\"region\"]",
        "read public.customers.region",
        false,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"region\"]",
        "read public.customer_cards.region",
        false,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"region\"]",
        "read public.customer_cards.customer_id",
        true,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"name\"]",
        "read public.customers.name_upper",
        false,
    ),
    (
        "tables = [\"public.customers\"]\ncolumns = [\"name\"]",
        "read public.customer_overview.name",
        false,
    ),
    (
        "tables = [\"public.customer_contacts\"]\ncolumns = [\"name\"]",
        "read public.customer_overview.name",
        false,
    ),
    // declassified by name, and denied all the same
    (
        "tables = [\"public.customers\"]\ncolumns = [\"ssn\"]",
        "read public.customer_hints.ssn_hint",
        false,
    ),
    (
        "tables = [\"public.orders\"]\ncolumns = [\"note\"]\nactions = [\"update\"]",
        "update public.orders, write-update public.orders.note",
        false,
    ),
    (
        "tables = [\"public.orders\"]\ncolumns = [\"note\"]\nactions = [\"update\"]",
        "read public.orders.note",
        true,
    ),
    // the system schemas
    (
        "tables = [\"pg_catalog.pg_class\"]",
        "select pg_catalog.pg_class",
        false,
    ),
    (
        "tables = [\"pg_catalog.pg_settings\"]\ncolumns = [\"setting\"]",
        "read pg_catalog.pg_settings.setting",
        false,
    ),
    (
        "tables = [\"pg_catalog.pg_settings\"]\ncolumns = [\"setting\"]",
        "read pg_catalog.pg_settings.name",
        true,
    ),
];

#[test]
fn a_deny_always_wins() {
    for (deny, touched, expected) in DENIES.iter().copied() {
        let rules = rules(&format!("{SHOP}\n[[deny]]\nid = \"d\"\n{deny}\n"));
        assert_eq!(
            allows(&rules, &bob(), touched),
            expected,
            "{deny}: {touched}"
        );
    }
    let rules = rules(&format!(
        "{SHOP}\n[[deny]]\nid = \"d\"\ntables = [\"public.orders\"]\nagents = [\"planner\"]\n"
    ));
    let chain = principal("bob", &["support"], &["support-bot", "planner"]);
    assert!(!allows(&rules, &chain, "select public.orders"));
    assert_eq!(denied(&rules, &chain, "select public.orders").rules, ["d"]);
}

#[test]
fn a_column_that_cannot_be_seen_through_falls_to_any_deny_beneath() {
    let text = format!(
        "{SHOP}\n[[table]]\nname = \"public.customer_rows\"\ncolumns = {{ customer = \"internal\" }}\n"
    );
    let touched = "read public.customer_rows.customer";
    assert!(allows(&rules(&text), &bob(), touched));
    let deny = "[[deny]]\ntables = [\"public.customers\"]\ncolumns = [\"ssn\"]\n";
    assert!(!allows(&rules(&format!("{text}{deny}")), &bob(), touched));
}

#[test]
fn a_view_above_a_row_filter_is_refused() {
    let text = r#"
        [[table]]
        name = "public.orders"
        sensitivity = "internal"
        [[table]]
        name = "public.order_totals"
        sensitivity = "internal"
        columns = { total = "internal" }
        [[grant]]
        id = "filtered"
        agents = ["*"]
        users = ["*"]
        actions = ["select"]
        tables = ["public.orders"]
        clearance = "internal"
        rows = "customer_id = 1"
        [[grant]]
        id = "view"
        agents = ["*"]
        users = ["*"]
        actions = ["select"]
        tables = ["public.order_totals"]
        clearance = "internal"
    "#;
    let touched = "select public.order_totals, read public.order_totals.total";
    let denial = denied(&rules(text), &bob(), touched);
    assert!(denial.refusal.hint.unwrap().contains("a row filter"));
    assert!(denial.notes[0].contains("public.orders"));
    let whole = text.replace("rows = \"customer_id = 1\"", "");
    assert!(allows(&rules(&whole), &bob(), touched));
}
