//! A small shop for the tests of this module: a schema, a policy, principals, and a short notation
//! for what a statement touches. Nothing of it exists outside tests.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::access::{Access, Action, ColumnUse, FunctionUse, RelationUse, Use};
use crate::catalog::{Lineage, Snapshot, Sources};
use crate::clock::Timestamp;
use crate::ident::QualifiedName;
use crate::principal::{Agent, Principal, TokenFacts, User};

use super::pattern::parse_column;
use super::{Rules, SourceFile, load};

/// Friday, 2024-06-07, 12:00 UTC.
pub(super) const NOON: Timestamp = Timestamp::from_seconds(1_717_761_600);

/// `public.customers` taken apart.
pub(super) fn name(text: &str) -> QualifiedName {
    let (schema, name) = text.split_once('.').unwrap();
    QualifiedName::new(schema, name)
}

fn relation(kind: &str, full: &str, columns: &str) -> Value {
    let full = name(full);
    let columns: Vec<Value> = columns
        .split_whitespace()
        .map(|column| match column.split_once('=') {
            Some((column, from)) => {
                json!({"name": column, "type": "text", "generated_from": [from]})
            }
            None => json!({"name": column, "type": "text"}),
        })
        .collect();
    json!({"schema": full.schema, "name": full.name, "kind": kind, "columns": columns})
}

fn child(full: &str, columns: &str, parent: &str) -> Value {
    let mut value = relation("r", full, columns);
    let parent = name(parent);
    value["parents"] = json!([{"schema": parent.schema, "name": parent.name}]);
    value
}

fn view(kind: &str, full: &str, columns: &str, below: &[&str]) -> Value {
    let mut value = relation(kind, full, columns);
    let below: Vec<Value> = below
        .iter()
        .map(|text| {
            let mut parts = text.splitn(3, '.');
            let (schema, name) = (parts.next().unwrap(), parts.next().unwrap());
            match parts.next() {
                Some(column) => json!({"schema": schema, "name": name, "column": column}),
                None => json!({"schema": schema, "name": name}),
            }
        })
        .collect();
    value["depends_on"] = Value::Array(below);
    value
}

fn relations() -> Vec<Value> {
    let customer = "id name region email phone ssn card_number notes name_upper=name ssn_last4=ssn";
    vec![
        relation("r", "public.customers", customer),
        child(
            "public.customers_archive",
            &format!("{customer} archived_on"),
            "public.customers",
        ),
        relation("r", "public.orders", "id customer_id status note"),
        relation("r", "public.order_items", "order_id line quantity price"),
        relation("r", "public.products", "id name price"),
        relation("r", "public.secrets", "id token"),
        relation("r", "hr.employees", "id name salary"),
        relation("p", "sales.events", "id kind payload"),
        child("sales.events_2023", "id kind payload", "sales.events"),
        child("sales.events_2024", "id kind payload", "sales.events"),
        view(
            "v",
            "public.customer_contacts",
            "id name mail tax_id",
            &["public.customers"],
        ),
        view(
            "v",
            "public.customer_overview",
            "id name reference spent",
            &[
                "public.customer_contacts.id",
                "public.customer_contacts.name",
                "public.customer_contacts.tax_id",
                "public.order_totals.total",
            ],
        ),
        view(
            "v",
            "public.order_totals",
            "order_id total lines",
            &["public.orders", "public.order_items"],
        ),
        view(
            "v",
            "public.customer_rows",
            "id customer",
            &["public.customers"],
        ),
        view(
            "v",
            "public.customer_hints",
            "id name ssn_hint",
            &["public.customers"],
        ),
        view(
            "m",
            "public.customer_cards",
            "customer_id region card",
            &["public.customers"],
        ),
        view("v", "public.customer_report", "line entry", &[]),
        view("v", "public.staff", "id name", &["hr.employees"]),
        relation("r", "pg_catalog.pg_class", "oid relname relkind"),
        relation("r", "pg_catalog.pg_proc", "oid proname prosrc"),
        relation("r", "pg_catalog.pg_authid", "oid rolname rolpassword"),
        relation("v", "pg_catalog.pg_settings", "name setting boot_val"),
        relation("v", "pg_catalog.pg_stats", "attname most_common_vals"),
    ]
}

/// The schema of the shop.
pub(super) fn shop() -> Snapshot {
    let document = json!({
        "format": 1, "server_version_num": 150000, "database": "shop", "role": "app",
        "search_path": ["public"], "schemas": ["public", "hr", "sales", "pg_catalog"],
        "relations": relations(), "operators": [],
        "functions": [
            {"schema": "public", "name": "order_total", "arguments": "integer", "kind": "f",
             "language": "sql", "volatility": "s", "security_definer": false},
            {"schema": "public", "name": "close_month", "arguments": "", "kind": "p",
             "language": "sql", "volatility": "v", "security_definer": false}],
    });
    Snapshot::from_json(&document.to_string())
        .unwrap()
        .with_lineage(lineage())
}

fn lineage() -> Lineage {
    let mut lineage = Lineage::default();
    for (column, sources) in [
        ("public.customer_contacts.id", "public.customers.id"),
        ("public.customer_contacts.name", "public.customers.name"),
        ("public.customer_contacts.mail", "public.customers.email"),
        ("public.customer_contacts.tax_id", "public.customers.ssn"),
        ("public.customer_overview.id", "public.customers.id"),
        ("public.customer_overview.name", "public.customers.name"),
        ("public.customer_overview.reference", "public.customers.ssn"),
        (
            "public.customer_overview.spent",
            "public.order_items.quantity public.order_items.price",
        ),
        ("public.order_totals.order_id", "public.orders.id"),
        (
            "public.order_totals.total",
            "public.order_items.quantity public.order_items.price",
        ),
        ("public.order_totals.lines", ""),
        ("public.customer_rows.id", "public.customers.id"),
        ("public.customer_hints.id", "public.customers.id"),
        ("public.customer_hints.name", "public.customers.name"),
        ("public.customer_hints.ssn_hint", "public.customers.ssn"),
        ("public.customer_cards.customer_id", "public.customers.id"),
        ("public.customer_cards.region", "public.customers.region"),
        ("public.customer_cards.card", "public.customers.card_number"),
        ("public.staff.id", "hr.employees.id"),
        ("public.staff.name", "hr.employees.name"),
    ] {
        let (relation, column) = parse_column(column).unwrap();
        let sources: BTreeSet<(QualifiedName, String)> = sources
            .split_whitespace()
            .map(|one| parse_column(one).unwrap())
            .collect();
        lineage.record(&relation, &column, Sources::Known(sources));
    }
    lineage.record(&name("public.customer_rows"), "customer", Sources::Opaque);
    lineage
}

/// The policy of the shop.
pub(super) const SHOP: &str = r#"
[[table]]
name = "public.customers"
sensitivity = "internal"
[table.columns]
name = "public"
email = { sensitivity = "confidential", mask = "email" }
phone = { sensitivity = "confidential", mask = "last4" }
ssn = "restricted"
card_number = "restricted"

[[table]]
name = "public.orders"
sensitivity = "internal"

[[table]]
name = "public.order_items"
sensitivity = "internal"

[[table]]
name = "public.products"
sensitivity = "public"

[[table]]
name = "public.customer_hints"
sensitivity = "internal"
columns = { ssn_hint = "internal" }

[[table]]
name = "sales.events"
sensitivity = "internal"

[[table]]
name = "sales.events_2023"
columns = { payload = "confidential" }

[[table]]
name = "hr.employees"
sensitivity = "internal"

[[grant]]
id = "support-reads"
agents = ["support-*", "planner"]
users = ["group:support", "alice"]
actions = ["select"]
tables = ["public.*", "sales.events"]
clearance = "internal"
columns = { deny = ["notes"] }

[[grant]]
id = "support-orders"
agents = ["support-*"]
users = ["group:support"]
actions = ["select", "insert", "update"]
tables = ["public.orders"]
clearance = "internal"

[[grant]]
id = "support-closes"
agents = ["support-*"]
users = ["group:support"]
actions = ["call"]
functions = ["public.close_*"]

[[grant]]
id = "staff"
agents = ["support-*"]
users = ["*"]
actions = ["select"]
tables = ["hr.*"]
clearance = "internal"

[[deny]]
id = "no-hr"
tables = ["hr.*"]

[[function]]
name = "public.order_total"
touches = { tables = ["public.order_items"] }

[[function]]
name = "public.close_month"
"#;

/// Rules of that text; a mistake in it fails the test.
pub(super) fn rules(text: &str) -> Rules {
    let file = SourceFile {
        name: "shop.toml",
        text,
    };
    load(&[file]).unwrap_or_else(|found| panic!("{found}"))
}

/// Rules of the shop.
pub(super) fn shop_rules() -> Rules {
    rules(SHOP)
}

/// Bob of the support, by way of support-bot.
pub(super) fn bob() -> Principal {
    principal("bob", &["support"], &["support-bot"])
}

/// A principal with the given agents, the one that acts first.
pub(super) fn principal(sub: &str, groups: &[&str], agents: &[&str]) -> Principal {
    Principal {
        user: User {
            sub: sub.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        },
        chain: agents
            .iter()
            .map(|sub| Agent {
                sub: (*sub).to_owned(),
                issuer: None,
            })
            .collect(),
        scope: Vec::new(),
        authorization_details: None,
        token: TokenFacts {
            issuer: "https://issuer.example".to_owned(),
            jti: "j".to_owned(),
            client_id: None,
            expires_at: Timestamp::from_seconds(NOON.seconds() + 600),
            base: None,
        },
    }
}

/// What a statement touches, one thing a word: `select public.t` (also insert, update, delete),
/// `read public.t.c` (also filter, row, star, write-insert, write-update), `call public.f`,
/// `procedure public.p`.
pub(super) fn access(text: &str) -> Access {
    let mut access = Access {
        command: "SELECT",
        ..Access::default()
    };
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let (verb, object) = one.split_once(' ').unwrap();
        let offset = Some(7);
        if let Some(action) = Action::from_word(verb).filter(|action| *action != Action::Call) {
            access.relations.push(RelationUse {
                relation: name(object),
                action,
                offset,
            });
        } else if matches!(verb, "call" | "procedure") {
            access.functions.push(FunctionUse {
                function: name(object),
                procedure: verb == "procedure",
                offset,
            });
        } else {
            let (relation, column) = parse_column(object).unwrap();
            let (used, action) = match verb {
                "read" | "star" => (Use::Output, Action::Select),
                "filter" => (Use::Predicate, Action::Select),
                "row" => (Use::WholeRow, Action::Select),
                "write-insert" => (Use::Written, Action::Insert),
                "write-update" => (Use::Written, Action::Update),
                other => panic!("{other}"),
            };
            access.columns.push(ColumnUse {
                relation,
                column,
                used,
                action,
                offset,
                star: verb == "star",
            });
        }
    }
    access
}
