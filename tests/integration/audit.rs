//! The audit log as it is written for real sessions: who, on whose behalf, what, decided how; in an
//! unbroken chain, without literals.

use std::io::BufReader;
use std::time::Duration;

use pgward::audit::{PublicKey, verify};
use serde_json::Value;

use crate::raw::{frame, query};
use crate::world::{World, world};

/// The records of one session's decisions, once they are written.
fn decisions(world: &World, containing: &str) -> Vec<Value> {
    for _ in 0..100 {
        let log = world.audit_log();
        let found: Vec<Value> = log
            .lines()
            .filter(|line| line.contains(containing) && line.contains("\"kind\":\"decision\""))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if !found.is_empty() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no record holds {containing}");
}

#[test]
fn a_decision_is_recorded_with_everybody_on_it() {
    let world = world();
    let mut raw = world.login("support-triage");
    raw.query("SELECT name AS audit_probe_a FROM customers WHERE name = 'a secret literal'");
    raw.query("SELECT ssn AS audit_probe_b FROM customers");
    let permitted = &decisions(world, "audit_probe_a")[0];
    assert_eq!(permitted["user"], "alice");
    assert_eq!(
        permitted["chain"],
        serde_json::json!(["support-triage", "support-bot"])
    );
    assert_eq!(permitted["decision"], "permit");
    assert_eq!(permitted["columns"][0]["relation"], "public.customers");
    assert_eq!(
        permitted["rules"],
        serde_json::json!(["support-reads-the-shop"])
    );
    assert!(
        !permitted.to_string().contains("a secret literal"),
        "{permitted}"
    );
    let denied = &decisions(world, "audit_probe_b")[0];
    assert_eq!(denied["decision"], "deny");
    assert_eq!(denied["sqlstate"], "42501");
    assert_eq!(denied["reason"], "policy");
    let session = permitted["session"].as_str().unwrap();
    let decision = permitted["decision_id"].as_str().unwrap();
    let log = world.audit_log();
    let outcome = log
        .lines()
        .find(|line| line.contains("\"kind\":\"outcome\"") && line.contains(decision))
        .expect("the outcome is recorded too");
    let outcome: Value = serde_json::from_str(outcome).unwrap();
    assert_eq!(outcome["result"], "complete");
    assert_eq!(outcome["session"], session);
}

#[test]
fn the_log_verifies_and_a_change_is_named() {
    let world = world();
    let mut raw = world.login("support-bot");
    raw.query("SELECT 1 AS audit_probe_c");
    decisions(world, "audit_probe_c");
    let log = world.audit_log();
    let key = std::fs::read_to_string(world.directory.join("audit-key.pub")).unwrap();
    let key = PublicKey::parse(&key).unwrap();
    let whole = log
        .rsplit_once('\n')
        .map_or("", |(whole, _)| whole)
        .to_owned()
        + "\n";
    verify(BufReader::new(whole.as_bytes()), Some(&key)).unwrap();
    let line = whole
        .lines()
        .position(|line| line.contains("audit_probe_c"))
        .unwrap();
    let forged = whole.replace("audit_probe_c", "audit_probe_d");
    let broken = verify(BufReader::new(forged.as_bytes()), Some(&key)).unwrap_err();
    assert_eq!(usize::try_from(broken.line).unwrap(), line + 1, "{broken}");
}

/// The result of a decision, once it is recorded.
fn result_of(world: &World, decision: &Value) -> String {
    let id = decision["decision_id"].as_str().unwrap();
    for _ in 0..100 {
        let log = world.audit_log();
        let mut lines = log.lines().filter(|line| line.contains(id));
        if let Some(line) = lines.find(|line| line.contains("\"kind\":\"outcome\"")) {
            let outcome: Value = serde_json::from_str(line).unwrap();
            return outcome["result"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no outcome of {id}");
}

/// Postgres runs what was sent before a client said goodbye, or was gone: so it did not get lost.
#[test]
fn what_a_client_leaves_behind_is_accounted_for() {
    let world = world();
    let text = "SELECT pg_catalog.length(repeat('x', 100000000)) AS audit_probe_left";
    for goodbye in [true, false] {
        let probe = format!("{text}_{goodbye}");
        let mut raw = world.login("ops-bot");
        raw.send(&query(&probe));
        if goodbye {
            raw.send(&frame(b'X', b""));
        }
        drop(raw);
        let decision = &decisions(world, &format!("audit_probe_left_{goodbye}"))[0];
        assert_eq!(decision["decision"], "permit", "{decision}");
        assert_eq!(result_of(world, decision), "complete", "{goodbye}");
    }
}

/// A client that sends no more still reads.
#[test]
fn a_client_that_has_closed_one_direction_gets_its_answer() {
    let mut raw = world().login("support-bot");
    raw.send(&query("SELECT name FROM customers ORDER BY id LIMIT 2"));
    raw.send_no_more();
    let reply = raw.reply();
    assert_eq!(reply.rows().len(), 2, "{:?}", reply.error());
}
