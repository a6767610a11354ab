//! Postgres as the oracle of the analysis: the columns that it records in `pg_depend` for a
//! temporary view of a query are the columns the query touches. We may say more (a whole row is all
//! its columns to us), never less.

use std::collections::BTreeSet;

use pgward::catalog::{Snapshot, Sources};
use pgward::ident::QualifiedName;
use pgward::sql::{self, Settings};
use pgward::wire::Limits;

use crate::mutate::{self, Random};
use crate::world::{World, world};

/// Most of them are no statement.
const MUTATIONS: usize = 10_000;

type Touched = BTreeSet<(String, String, String)>;

/// Every SQL text in the data files, whoever is to say it.
fn texts() -> Vec<String> {
    let mut texts = mutate::statements("attacks");
    texts.extend(mutate::statements("everyday"));
    texts
}

/// What Postgres says, or `None` where it makes no view of the text.
async fn oracle(client: &tokio_postgres::Client, sql: &str) -> Option<Touched> {
    let made = client
        .batch_execute(&format!("BEGIN; CREATE TEMP VIEW oracle AS {sql}"))
        .await;
    let touched = match made {
        Ok(()) => client
            .query(
                "SELECT n.nspname::text, c.relname::text, a.attname::text
                 FROM pg_rewrite r
                 JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
                 JOIN pg_class c ON c.oid = d.refobjid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
                 WHERE r.ev_class = 'oracle'::regclass AND d.refobjid <> r.ev_class",
                &[],
            )
            .await
            .ok()
            .map(|rows| {
                let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
                rows.iter().map(row).collect()
            }),
        Err(_) => None,
    };
    let _ = client.batch_execute("ROLLBACK").await;
    touched
}

/// A column and what the policy sees through it: the same column of its parents, and what a view's
/// column is made of.
fn reached(snapshot: &Snapshot, name: &QualifiedName, column: &str, into: &mut Touched) {
    let mut add = |name: &QualifiedName, column: &str| {
        into.insert((name.schema.clone(), name.name.clone(), column.to_owned()));
    };
    add(name, column);
    for parent in snapshot.ancestors(name) {
        add(&parent, column);
    }
    if let Some(Sources::Known(below)) = snapshot.lineage().sources(name, column) {
        below.iter().for_each(|(name, column)| add(name, column));
    }
}

pub(crate) async fn snapshot(world: &World) -> Snapshot {
    let config = pgward::upstream::Config::from_url(&world.database.app_url()).unwrap();
    let connector = pgward::upstream::Connector::new(&config).unwrap();
    sql::trace(connector.introspect().await.unwrap())
}

/// How our answers compare with Postgres's.
#[derive(Debug, Default)]
struct Compared {
    agreed: usize,
    more: usize,
    refused: usize,
    less: Vec<String>,
}

fn compare(world: &World, texts: impl Iterator<Item = String>) -> Compared {
    let client = world.superuser();
    let mut compared = Compared::default();
    world.runtime.block_on(async {
        let snapshot = snapshot(world).await;
        let settings = Settings::new(&snapshot);
        for text in texts {
            let Some(theirs) = oracle(&client, &text).await else {
                continue;
            };
            let Ok(statements) = sql::analyse(&text, &snapshot, &settings, &Limits::default())
            else {
                compared.refused += 1;
                continue;
            };
            let uses = statements.iter().flat_map(|one| &one.access.columns);
            let mut ours = Touched::new();
            for used in uses {
                reached(&snapshot, &used.relation, &used.column, &mut ours);
            }
            // One setting of pg_settings follows the rule of SHOW; its columns are then not counted.
            let missing: Vec<_> = theirs
                .difference(&ours)
                .filter(|(_, relation, _)| relation != "pg_settings")
                .collect();
            if !missing.is_empty() {
                compared.less.push(format!("{text}\n    {missing:?}"));
            } else if ours.len() > theirs.len() {
                compared.more += 1;
            } else {
                compared.agreed += 1;
            }
        }
    });
    println!(
        "agreed {}, we said more {}, less {}, refused {}",
        compared.agreed,
        compared.more,
        compared.less.len(),
        compared.refused
    );
    compared
}

#[test]
fn we_never_say_less_than_postgres() {
    let compared = compare(world(), texts().into_iter());
    assert!(compared.agreed > 100, "{compared:?}");
    assert!(compared.less.is_empty(), "{}", compared.less.join("\n"));
}

/// The same for statements that nobody thought of.
#[test]
fn nor_of_mutations() {
    let seeds = texts();
    let mut random = Random::new(777);
    let mutations = std::iter::repeat_with(|| mutate::sql(&mut random, &seeds));
    // Several statements in one text would run outside of the view.
    let single = mutations.take(MUTATIONS).filter(|text| !text.contains(';'));
    let compared = compare(world(), single);
    assert!(compared.agreed > 100, "{compared:?}");
    assert!(compared.less.is_empty(), "{}", compared.less.join("\n"));
}
