//! What may be done and what may not, and the words of a refusal.

use crate::access::Action;
use crate::clock::Timestamp;
use crate::refusal::SqlState;

use super::super::fixtures::{NOON, SHOP, bob, name, principal, rules, shop, shop_rules};
use super::super::{Decision, Mask, SourceFile, load, reach};
use super::{allows, decided, denied, permitted, with_details};

const BOB: &[(&str, &str)] = &[
    ("", "permit open"),
    (
        "select public.order_items, read public.order_items.price",
        "permit open",
    ),
    (
        "select public.orders, filter public.orders.note",
        "permit open",
    ),
    ("select public.customers", "permit"),
    (
        "select public.customers, read public.customers.name",
        "permit",
    ),
    (
        "select public.customers, filter public.customers.region",
        "permit",
    ),
    (
        "insert public.orders, write-insert public.orders.status",
        "permit open",
    ),
    (
        "update public.orders, write-update public.orders.note, read public.orders.id",
        "permit open",
    ),
    (
        "select public.customer_hints, read public.customer_hints.ssn_hint",
        "permit",
    ),
    (
        "select public.customer_contacts, read public.customer_contacts.name",
        "permit",
    ),
    (
        "select public.customer_rows, read public.customer_rows.id",
        "permit",
    ),
    ("select sales.events, read sales.events.kind", "permit"),
    // columns
    (
        "select public.customers, read public.customers.ssn",
        "column \"ssn\" of relation \"customers\"",
    ),
    (
        "select public.customers, filter public.customers.ssn",
        "column \"ssn\" of relation \"customers\"",
    ),
    (
        "select public.customers, read public.customers.email",
        "column \"email\" of relation \"customers\"",
    ),
    (
        "select public.customers, read public.customers.notes",
        "column \"notes\" of relation \"customers\"",
    ),
    (
        "select public.customers, read public.customers.ssn_last4",
        "column \"ssn_last4\" of relation \"customers\"",
    ),
    (
        "select public.customer_contacts, read public.customer_contacts.tax_id",
        "column \"tax_id\" of relation \"customer_contacts\"",
    ),
    (
        "select public.customer_overview, read public.customer_overview.reference",
        "column \"reference\" of relation \"customer_overview\"",
    ),
    (
        "select public.customer_rows, read public.customer_rows.customer",
        "column \"customer\" of relation \"customer_rows\"",
    ),
    (
        "select public.customer_cards, read public.customer_cards.card",
        "column \"card\" of relation \"customer_cards\"",
    ),
    (
        "select sales.events, read sales.events.payload",
        "column \"payload\" of relation \"events\"",
    ),
    // relations
    ("select public.secrets", "table secrets"),
    ("select public.customer_report", "view customer_report"),
    ("select public.nothing", "table nothing"),
    ("select sales.events_2023", "table events_2023"),
    ("select hr.employees", "table employees"),
    ("select public.staff", "view staff"),
    ("delete public.orders", "table orders"),
    (
        "update public.customers, write-update public.customers.name",
        "table customers",
    ),
    ("read public.secrets.token", "table secrets"),
    // functions
    ("call pg_catalog.upper", "permit open"),
    ("call information_schema._pg_expandarray", "permit open"),
    ("call public.order_total", "permit"),
    ("procedure public.close_month", "permit"),
    ("call pg_catalog.pg_sleep", "function pg_sleep"),
    ("call pg_catalog.query_to_xml", "function query_to_xml"),
    ("call pg_catalog.set_config", "function set_config"),
    ("call public.leak", "function leak"),
    // the system schemas
    (
        "select pg_catalog.pg_class, read pg_catalog.pg_class.relname",
        "permit open",
    ),
    (
        "select pg_catalog.pg_proc, read pg_catalog.pg_proc.proname",
        "permit",
    ),
    (
        "select pg_catalog.pg_proc, read pg_catalog.pg_proc.prosrc",
        "column \"prosrc\" of relation \"pg_proc\"",
    ),
    (
        "select pg_catalog.pg_settings, read pg_catalog.pg_settings.setting",
        "column \"setting\" of relation \"pg_settings\"",
    ),
    (
        "select pg_catalog.pg_settings, read pg_catalog.pg_settings.boot_val",
        "column \"boot_val\" of relation \"pg_settings\"",
    ),
    ("select pg_catalog.pg_authid", "table pg_authid"),
    ("select pg_catalog.pg_stats", "view pg_stats"),
    ("update pg_catalog.pg_class", "table pg_class"),
];

#[test]
fn what_bob_of_the_support_may_do() {
    let rules = shop_rules();
    for (touched, expected) in BOB.iter().copied() {
        let found = match decided(&rules, &bob(), touched) {
            Decision::Permit(permit) if permit.is_open() => "permit open".to_owned(),
            Decision::Permit(_) => "permit".to_owned(),
            Decision::Denial(denial) => {
                assert_eq!(denial.refusal.code, SqlState::INSUFFICIENT_PRIVILEGE);
                let message = denial.refusal.message;
                message
                    .strip_prefix("permission denied for ")
                    .unwrap()
                    .to_owned()
            }
        };
        assert_eq!(found, expected, "{touched}");
    }
}

#[test]
fn a_refusal_says_who_where_and_what_instead() {
    let rules = shop_rules();
    let ssn = denied(
        &rules,
        &bob(),
        "select public.customers, read public.customers.ssn",
    );
    let refusal = &ssn.refusal;
    assert_eq!(
        refusal.detail.as_deref(),
        Some("Refused to user \"bob\" via agent \"support-bot\".")
    );
    assert_eq!(
        refusal.hint.as_deref(),
        Some("columns you can read: id, name, region, name_upper")
    );
    assert_eq!(refusal.offset, Some(7));
    assert_eq!(ssn.rules, ["support-reads"]);
    let column = (name("public.customers"), "ssn".to_owned());
    assert_eq!(ssn.column, Some(column));
    assert_eq!(
        ssn.notes,
        ["grant support-reads clears internal, the column is restricted"]
    );
    for (touched, hint) in [
        ("read public.customers.email", "may only be shown masked"),
        ("star public.customers.ssn", "name columns instead of *"),
        (
            "row public.customers.ssn",
            "name columns instead of the whole row",
        ),
        (
            "delete public.orders",
            "you can read it, not delete from it",
        ),
        (
            "select public.secrets",
            "relations you can read: public.customers, ",
        ),
        ("call public.leak", "may not be called here"),
    ] {
        let denial = denied(&rules, &bob(), touched);
        let found = denial.refusal.hint.unwrap();
        assert!(found.contains(hint), "{touched}: {found}");
        // the client is never told which lever to pull
        for word in ["support-", "clearance", "grant", "restricted", "no-hr"] {
            assert!(!found.contains(word), "{touched}: {found}");
        }
        assert!(
            !found.contains("hr.") && !found.contains("secrets"),
            "{found}"
        );
    }
    assert_eq!(
        denied(&rules, &bob(), "select public.staff").rules,
        ["no-hr"]
    );
    let used = permitted(&rules, &bob(), "select public.orders, update public.orders");
    assert_eq!(used.rules(), ["support-orders", "support-reads"]);
}

#[test]
fn functions_touch_what_their_entry_says() {
    for (touches, function, expected) in [
        (
            "tables = [\"public.products\"]",
            "call public.order_total",
            true,
        ),
        (
            "tables = [\"public.customers\"]",
            "call public.order_total",
            false,
        ),
        (
            "tables = [\"hr.employees\"]",
            "call public.order_total",
            false,
        ),
        (
            "tables = [\"public.nothing\"]",
            "call public.order_total",
            false,
        ),
        (
            "columns = [\"public.customers.name\"]",
            "call public.order_total",
            true,
        ),
        (
            "columns = [\"public.customers.ssn\"]",
            "call public.order_total",
            false,
        ),
        ("tables = []", "procedure public.order_total", false),
    ] {
        let text = SHOP.replace("tables = [\"public.order_items\"]", touches);
        assert_eq!(
            allows(&rules(&text), &bob(), function),
            expected,
            "{touches} {function}"
        );
    }
    let nobody = with_details(Vec::new());
    assert!(!allows(&shop_rules(), &nobody, "call public.close_month"));
    assert!(allows(&shop_rules(), &nobody, "call pg_catalog.now"));
    let alice = principal("alice", &[], &["support-bot"]);
    assert!(!allows(
        &shop_rules(),
        &alice,
        "procedure public.close_month"
    ));
}

#[test]
fn the_reach_of_a_principal() {
    let found = reach(&shop_rules(), &bob(), &shop(), NOON, None);
    let orders = found
        .iter()
        .find(|one| one.relation == name("public.orders"))
        .unwrap();
    assert_eq!(
        orders.actions,
        [Action::Select, Action::Insert, Action::Update]
    );
    assert!(orders.withheld.is_empty());
    let customers = found
        .iter()
        .find(|one| one.relation == name("public.customers"))
        .unwrap();
    assert_eq!(customers.readable, ["id", "name", "region", "name_upper"]);
    let email = customers
        .withheld
        .iter()
        .find(|one| one.column == "email")
        .unwrap();
    assert!(email.masked);
    for closed in [
        "public.secrets",
        "public.staff",
        "hr.employees",
        "pg_catalog.pg_class",
    ] {
        assert!(
            !found.iter().any(|one| one.relation == name(closed)),
            "{closed}"
        );
    }
    let later = Timestamp::from_seconds(NOON.seconds() + 1);
    assert_eq!(reach(&shop_rules(), &bob(), &shop(), later, None), found);
}

#[test]
fn the_example_of_masks_is_a_policy() {
    let file = SourceFile {
        name: "masking-example.toml",
        text: include_str!("../../../policies/masking-example.toml"),
    };
    let rules = load(&[file]).unwrap_or_else(|found| panic!("{found}"));
    let label = rules.label(&name("example.people"), "iban", &shop());
    assert_eq!(
        label.mask,
        Some(&Mask::Partial {
            prefix: 4,
            suffix: 2
        })
    );
}
