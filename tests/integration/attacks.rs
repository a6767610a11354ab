//! Every attempt of `tests/data/attacks`, over the wire, in the simple and in the extended
//! protocol: refused with the code it names, and no canary in anything that comes back.

use serde::Deserialize;

use crate::raw::Raw;
use crate::world::{World, data_files, world};

const CANARY: &str = "CANARY";
/// In place of a code: the attempt may be answered, as long as no canary comes back. For names that
/// pgward pins when a statement is prepared, so that a later `search_path` has nothing to change.
const ANSWERED: &str = "answered";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    family: String,
    #[allow(dead_code, reason = "for readers of the data")]
    about: String,
    attack: Vec<Attack>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    name: String,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default = "support", rename = "as")]
    agent: String,
    code: Vec<String>,
    /// Whether it works on the server itself; `attacks_that_execute_do_so` holds it to its word.
    #[serde(default = "yes")]
    executes: bool,
}

fn support() -> String {
    "support-bot".to_owned()
}

const fn yes() -> bool {
    true
}

impl Attack {
    fn steps(&self) -> Vec<&str> {
        let steps = self.steps.iter().map(String::as_str);
        self.sql.as_deref().into_iter().chain(steps).collect()
    }
}

fn families() -> Vec<Family> {
    let files = data_files("attacks");
    let read = |(name, text): &(String, String)| {
        toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    files.iter().map(read).collect()
}

/// What went wrong with one attempt, if anything.
fn attempt(world: &World, attack: &Attack, extended: bool) -> Option<String> {
    let mut raw = world.login(&attack.agent);
    let mut codes = Vec::new();
    for step in attack.steps() {
        let reply = if extended {
            raw.extended(step, &[])
        } else {
            raw.query(step)
        };
        if reply.contains(CANARY) {
            return Some(format!(
                "LEAK at {step}: {:?} {:?}",
                reply.rows(),
                reply.error()
            ));
        }
        codes.extend(reply.error().map(|error| error.code().to_owned()));
        if reply.closed {
            break;
        }
    }
    if codes.is_empty() {
        codes.push(ANSWERED.to_owned());
    }
    // In the extended protocol a message holds one statement: several are refused for that. What
    // builds on a refused step fails as well, with a code of its own.
    let expected = |code: &String| attack.code.contains(code) || extended && code == "42601";
    (!codes.iter().any(expected)).then(|| format!("codes {codes:?}"))
}

#[test]
fn every_attempt_is_refused() {
    let world = world();
    let families = families();
    let mut failures = Vec::new();
    let mut count = 0;
    for family in &families {
        for attack in &family.attack {
            count += 1;
            for extended in [false, true] {
                if let Some(wrong) = attempt(world, attack, extended) {
                    let way = if extended { "extended" } else { "simple" };
                    failures.push(format!(
                        "{}/{} ({way}): {wrong}",
                        family.family, attack.name
                    ));
                }
            }
        }
        println!("{}: {} attempts", family.family, family.attack.len());
    }
    println!("{count} attempts in {} families", families.len());
    assert!(count >= 120, "{count} attempts");
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Attempts that are marked so really work when nothing stands between, and most bring a canary: a
/// test of the tests. On a database of its own, since they change things.
#[test]
fn attempts_that_execute_do_so_without_pgward() {
    let world = world();
    let database = world.runtime.block_on(crate::world::database());
    let url: tokio_postgres::Config = database.superuser_url().parse().unwrap();
    let mut failures = Vec::new();
    let (mut leaked, mut tried) = (0, 0);
    let mut raw = Raw::login_scram(&url);
    for family in families() {
        for attack in family.attack.iter().filter(|attack| attack.executes) {
            let Some(sql) = attack.sql.as_deref().filter(|sql| is_query(sql)) else {
                continue;
            };
            raw.query("BEGIN");
            let reply = raw.query(sql);
            tried += 1;
            leaked += usize::from(reply.contains(CANARY));
            if reply.error().is_some() && !reply.contains(CANARY) {
                failures.push(format!(
                    "{}/{}: {:?}",
                    family.family,
                    attack.name,
                    reply.error()
                ));
            }
            if reply.closed {
                raw = Raw::login_scram(&url);
            }
            raw.query("ROLLBACK");
        }
    }
    println!("{tried} tried, {leaked} bring a canary without pgward");
    assert!(leaked >= 200, "{leaked} of {tried}");
    // Some need a newer server, or something that cannot run in a transaction.
    assert!(
        failures.len() * 20 < tried,
        "{} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Whether a text is one that can be tried inside a transaction and taken back.
fn is_query(sql: &str) -> bool {
    let first = sql
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let queries = [
        "SELECT", "WITH", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE",
    ];
    queries.contains(&first.as_str()) && !sql.contains("pg_terminate_backend")
}

#[test]
fn the_same_connection_goes_on_after_a_refusal() {
    let mut raw: Raw = world().login("support-bot");
    let refused = raw.query("SELECT ssn FROM customers");
    assert_eq!(
        (refused.code().as_str(), refused.status()),
        ("42501", Some('I'))
    );
    let error = refused.error().unwrap();
    assert_eq!(
        error.get(b'M'),
        Some("permission denied for column \"ssn\" of relation \"customers\"")
    );
    assert_eq!(error.get(b'P'), Some("8"));
    assert!(error.get(b'H').unwrap().contains("name"), "{error:?}");
    assert!(error.get(b'D').unwrap().contains("alice"), "{error:?}");
    let answered = raw.query("SELECT name FROM customers ORDER BY id LIMIT 1");
    assert_eq!(answered.rows().len(), 1);
}
