//! What agents and drivers say every day must pass, over the wire, in both protocols.

use serde::Deserialize;

use crate::world::{data_files, world};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "for readers of the data")]
    about: Option<String>,
    statement: Vec<Everyday>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everyday {
    #[serde(default)]
    #[allow(dead_code, reason = "for readers of the data")]
    name: Option<String>,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default = "support", rename = "as")]
    agent: String,
}

fn support() -> String {
    "support-bot".to_owned()
}

#[test]
fn everyday_statements_pass() {
    let world = world();
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, text) in data_files("everyday") {
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let family = file.family.unwrap_or(name);
        println!("{family}: {} entries", file.statement.len());
        for entry in &file.statement {
            let steps = entry.sql.iter().chain(&entry.steps);
            for extended in [false, true] {
                let mut raw = world.login(&entry.agent);
                // What is written must not be seen by the next statement's test.
                let whole: Vec<&String> = steps.clone().collect();
                let undo = !whole.iter().any(|step| step.starts_with("DISCARD ALL"));
                if undo {
                    raw.query("BEGIN");
                }
                for step in steps.clone() {
                    count += usize::from(!extended);
                    let reply = if extended {
                        raw.extended(step, &[])
                    } else {
                        raw.query(step)
                    };
                    let several = extended && reply.code() == "42601";
                    if let Some(error) = reply.error()
                        && !several
                    {
                        failures.push(format!("{family} ({extended}): {step}\n    {error:?}"));
                    }
                }
                raw.query("ROLLBACK");
            }
        }
    }
    println!("{count} everyday statements");
    assert!(count >= 150, "{count} statements");
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn gaps_are_refused_plainly() {
    let world = world();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gaps.toml");
    let file: File = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for entry in &file.statement {
        let mut raw = world.login(&entry.agent);
        let steps = entry.sql.iter().chain(&entry.steps);
        let errors: Vec<_> = steps.filter_map(|step| raw.query(step).error()).collect();
        let refused = errors
            .iter()
            .find(|error| ["42501", "0A000"].contains(&error.code()));
        assert!(
            refused.is_some(),
            "{:?} {:?} is no gap any more",
            entry.sql,
            entry.steps
        );
    }
}
