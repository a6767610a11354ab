//! What is sent means what was written: every everyday query, and every one of them inside of levels
//! that bear the same names, brings the same rows by its own text and by the text that pgward sends.

use pgward::sql::{self, Settings};
use pgward::wire::Limits;

use crate::mutate;
use crate::oracle::snapshot;
use crate::raw::Raw;
use crate::world::{World, world};

/// Names that the shop's tables have, as columns of a level around a query.
const FAR: &str = "(SELECT 'far' AS id, 'far' AS name, 'far' AS region, 'far' AS status, 'far' AS tag, \
                   'far' AS price, 'far' AS customer_id, 'far' AS note, 'far' AS month, 'far' AS value, \
                   'far' AS key, 'far' AS n, 'far' AS total, 'far' AS kind, 'far' AS o, 'far' AS c)";

/// The rows of a text on the server itself, in some order; `None` where it fails or changes by itself.
fn rows(raw: &mut Raw, sql: &str) -> Option<Vec<Vec<Option<String>>>> {
    raw.query("BEGIN");
    raw.query("SET LOCAL statement_timeout = '5s'");
    let reply = raw.query(sql);
    raw.query("ROLLBACK");
    if reply.error().is_some() {
        return None;
    }
    let mut rows = reply.rows();
    rows.sort();
    Some(rows)
}

#[test]
fn what_is_sent_means_what_was_written() {
    let world: &World = world();
    let snapshot = world.runtime.block_on(snapshot(world));
    let settings = Settings::new(&snapshot);
    let url = world.database.superuser_url().parse().unwrap();
    let mut raw = Raw::login_scram(&url);
    let (mut same, mut differ) = (0, Vec::new());
    for text in mutate::statements("everyday") {
        let query = text.trim().trim_end_matches(';');
        let word = query.split_ascii_whitespace().next().unwrap_or_default();
        if !["SELECT", "WITH", "VALUES"].contains(&word.to_ascii_uppercase().as_str()) {
            continue;
        }
        let wrapped = [
            query.to_owned(),
            format!("SELECT (SELECT count(*) FROM ({query}) AS q) FROM {FAR} AS far"),
            format!(
                "SELECT (SELECT json_agg(q) FROM ({query}) AS q) FROM {FAR} AS near, {FAR} AS c"
            ),
            format!(
                "SELECT (SELECT (SELECT json_agg(q) FROM ({query}) AS q) \
                 FROM (SELECT 'mid' AS id, 'mid' AS name, 'mid' AS tag, 'mid' AS value) AS mid) FROM {FAR} AS o"
            ),
        ];
        for text in wrapped {
            let Ok(statements) = sql::analyse(&text, &snapshot, &settings, &Limits::default())
            else {
                continue;
            };
            let [statement] = statements.as_slice() else {
                continue;
            };
            let Some(ours) = rows(&mut raw, &text) else {
                continue;
            };
            let theirs = rows(&mut raw, &statement.text);
            // What differs from one run to the next says nothing: time, backend, size.
            if theirs.as_ref() != Some(&ours) && rows(&mut raw, &text).as_ref() == Some(&ours) {
                differ.push(format!("{text}\n    sent {}", statement.text));
            } else {
                same += 1;
            }
        }
    }
    println!(
        "{same} queries bring the same rows, {} do not",
        differ.len()
    );
    assert!(same > 500, "{same}");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
