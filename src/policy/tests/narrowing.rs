//! What narrows a grant: the chain of agents, the token, conditions, delegations, and what this
//! version cannot carry out.

use std::collections::BTreeMap;

use crate::principal::{AccessDetail, Principal};

use super::super::fixtures::{NOON, SHOP, access, bob, principal, rules, shop, shop_rules};
use super::super::{Decision, decide};
use super::{allows, denied, with_details};

#[test]
fn every_agent_of_the_chain_and_the_user_must_match() {
    let rules = shop_rules();
    let read = "select public.orders, read public.orders.id";
    let insert = "insert public.orders";
    let support: &[&str] = &["support"];
    let cases: [(&str, &[&str], &[&str], (bool, bool)); 9] = [
        ("bob", support, &["support-bot"], (true, true)),
        ("bob", support, &["support-bot", "planner"], (true, false)),
        ("bob", support, &["planner", "support-bot"], (true, false)),
        ("bob", support, &["support-bot", "rogue"], (false, false)),
        ("bob", support, &["rogue", "support-bot"], (false, false)),
        ("bob", support, &[], (false, false)),
        ("alice", &[], &["support-bot"], (true, false)),
        ("group:support", &[], &["support-bot"], (false, false)),
        ("carol", &["sales"], &["support-bot"], (false, false)),
    ];
    for (user, groups, agents, expected) in cases {
        let who = principal(user, groups, agents);
        let found = (allows(&rules, &who, read), allows(&rules, &who, insert));
        assert_eq!(found, expected, "{user} {groups:?} {agents:?}");
        let catalog = allows(&rules, &who, "select pg_catalog.pg_class");
        assert_eq!(catalog, !agents.is_empty(), "{user} {agents:?}");
    }
}

#[test]
fn a_token_only_ever_narrows() {
    let rules = shop_rules();
    let words = |list: &[&str]| Some(list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    let table = |name: &str, columns: Option<&[&str]>| {
        Some(BTreeMap::from([(
            name.to_owned(),
            columns.map(|list| words(list).unwrap()),
        )]))
    };
    let any = AccessDetail::default;
    let name = "select public.customers, read public.customers.name";
    let region = "select public.customers, read public.customers.region";
    let order = "select public.orders, read public.orders.id";
    let insert = "insert public.orders";
    let catalog = "select pg_catalog.pg_class";
    let touched = [name, region, order, insert, catalog];
    let named = |tables| AccessDetail { tables, ..any() };
    let doing = |list: &[&str]| AccessDetail {
        actions: words(list),
        ..any()
    };
    let at = |list: &[&str]| AccessDetail {
        locations: words(list),
        ..any()
    };
    let up_to = |word: &str| AccessDetail {
        clearance: Some(word.to_owned()),
        ..any()
    };
    for (details, expected) in [
        (vec![any()], [true; 5]),
        (vec![], [false; 5]),
        (vec![at(&["shop"])], [true; 5]),
        (vec![at(&["other"])], [false; 5]),
        (vec![doing(&["select"])], [true, true, true, false, true]),
        (vec![doing(&["insert"])], [false, false, false, true, true]),
        (vec![doing(&["SELECT"])], [false, false, false, false, true]),
        (vec![up_to("public")], [true, false, false, true, true]),
        (vec![up_to("restricted")], [true; 5]),
        (vec![up_to("everything")], [false; 5]),
        (
            vec![named(table("public.customers", None))],
            [true, true, false, false, true],
        ),
        (
            vec![named(table("public.cust*", None))],
            [true, true, false, false, true],
        ),
        (
            vec![named(table("public.customers", Some(&["name"])))],
            [true, false, false, false, true],
        ),
        (
            vec![named(table("not a name", None))],
            [false, false, false, false, true],
        ),
        (
            // two objects add up, each within itself
            vec![
                AccessDetail {
                    tables: table("public.customers", None),
                    ..up_to("public")
                },
                AccessDetail {
                    tables: table("public.orders", None),
                    ..doing(&["select"])
                },
            ],
            [true, false, true, false, true],
        ),
    ] {
        let who = with_details(details.clone());
        let found = touched.map(|one| allows(&rules, &who, one));
        assert_eq!(found, expected, "{details:?}");
    }
    let above = with_details(vec![up_to("restricted")]);
    assert!(!allows(&rules, &above, "read public.customers.ssn"));
}

const ONE_TABLE: &str = r#"
[[table]]
name = "public.orders"
sensitivity = "internal"
columns = { note = { sensitivity = "confidential", mask = "redact" } }
[[grant]]
id = "g"
agents = ["support-*"]
users = ["*"]
actions = ["select"]
tables = ["public.orders"]
clearance = "internal"
"#;

#[test]
fn conditions_of_a_grant() {
    let read = "read public.orders.id";
    let purpose = |purpose: &str| AccessDetail {
        purpose: Some(purpose.to_owned()),
        ..AccessDetail::default()
    };
    for (when, client, details, expected) in [
        ("hours = \"07:00-20:00\", days = \"fri\"", None, None, true),
        ("hours = \"13:00-20:00\"", None, None, false),
        ("days = \"sat-thu\"", None, None, false),
        (
            "hours = \"13:00-15:00\", timezone = \"Europe/Berlin\"",
            None,
            None,
            true,
        ),
        ("networks = [\"10.0.0.0/8\"]", Some("10.1.2.3"), None, true),
        (
            "networks = [\"10.0.0.0/8\"]",
            Some("192.0.2.1"),
            None,
            false,
        ),
        ("networks = [\"10.0.0.0/8\"]", None, None, false),
        ("networks = []", Some("10.1.2.3"), None, false),
        ("purposes = [\"support\"]", None, None, false),
        (
            "purposes = [\"support\"]",
            None,
            Some(vec![purpose("support")]),
            true,
        ),
        (
            "purposes = [\"support\"]",
            None,
            Some(vec![purpose("sales")]),
            false,
        ),
        (
            "purposes = [\"support\"]",
            None,
            Some(vec![purpose("sales"), purpose("support")]),
            true,
        ),
        ("max_risk = 70", None, None, false),
    ] {
        let rules = rules(&format!("{ONE_TABLE}when = {{ {when} }}\n"));
        let who = Principal {
            authorization_details: details,
            ..bob()
        };
        let client = client.map(|address: &str| address.parse().unwrap());
        let decision = decide(&rules, &who, &access(read), &shop(), NOON, client);
        let found = matches!(decision, Decision::Permit(_));
        assert_eq!(found, expected, "{when} {client:?}");
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_and_said() {
    let read = "select public.orders, read public.orders.id";
    for (line, hint, note) in [
        (
            "rows = \"status = 'new'\"",
            "a row filter",
            "asks for a row filter",
        ),
        (
            "limits = { rows_per_statement = 10 }",
            "limits",
            "asks for limits",
        ),
        (
            "when = { max_risk = 70 }",
            "a risk score",
            "asks for a risk score",
        ),
    ] {
        let rules = rules(&format!("{ONE_TABLE}{line}\n"));
        let denial = denied(&rules, &bob(), read);
        assert_eq!(denial.refusal.message, "permission denied for table orders");
        let found = denial.refusal.hint.unwrap();
        assert!(
            found.contains(hint) && found.contains("refuses to do half"),
            "{found}"
        );
        assert!(denial.notes[0].contains(note), "{:?}", denial.notes);
        // another grant that asks for nothing of the kind is enough
        let second = ONE_TABLE.replace("\"g\"", "\"h\"");
        let (_, second) = second.split_once("[[grant]]").unwrap();
        let both = super::super::fixtures::rules(&format!("{ONE_TABLE}{line}\n[[grant]]{second}"));
        assert!(allows(&both, &bob(), read));
    }
    let masked = denied(&rules(ONE_TABLE), &bob(), "read public.orders.note");
    assert!(masked.refusal.hint.unwrap().contains("masked"));
    let unmasked = rules(&format!("{ONE_TABLE}columns = {{ unmask = [\"note\"] }}\n"));
    assert!(allows(&unmasked, &bob(), "read public.orders.note"));
    let detail = AccessDetail {
        clearance: Some("internal".to_owned()),
        ..AccessDetail::default()
    };
    assert!(!allows(
        &unmasked,
        &with_details(vec![detail]),
        "read public.orders.note"
    ));
}

#[test]
fn delegations_narrow_where_there_are_any() {
    let read = "select public.orders, read public.orders.id";
    let insert = "insert public.orders";
    let whole = "users = [\"group:support\"]\nagents = [\"support-*\"]\nclearance = \"internal\"\nactions = [\"select\", \"insert\"]\n";
    for (change, expected) in [
        (("", ""), (true, true)),
        (("group:support", "group:sales"), (false, false)),
        (("support-*", "planner"), (false, false)),
        (("\"internal\"", "\"public\""), (false, true)),
        ((", \"insert\"", ""), (true, false)),
        (("users", "max_depth = 1\nusers"), (true, true)),
        (("users", "max_ttl = \"15m\"\nusers"), (true, true)),
        (("users", "max_ttl = \"5m\"\nusers"), (false, false)),
    ] {
        let delegation = if change.0.is_empty() {
            whole.to_owned()
        } else {
            whole.replacen(change.0, change.1, 1)
        };
        let rules = rules(&format!("{SHOP}\n[[delegation]]\n{delegation}"));
        let found = (allows(&rules, &bob(), read), allows(&rules, &bob(), insert));
        assert_eq!(found, expected, "{change:?}");
        let catalog = allows(&rules, &bob(), "select pg_catalog.pg_class");
        assert_eq!(catalog, expected != (false, false));
    }
    let rules = rules(&format!("{SHOP}\n[[delegation]]\nmax_depth = 1\n{whole}"));
    let deep = principal("bob", &["support"], &["support-bot", "support-two"]);
    assert!(!allows(&rules, &deep, read));
}
