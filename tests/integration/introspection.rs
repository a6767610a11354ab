//! What the snapshot says of code that runs without being called, for every way there is to have some:
//! on a database of its own, with objects that a DBA could well have made.

use pgward::catalog::Snapshot;
use pgward::upstream::{Config, Connector};

use crate::world::{database, world};

/// `spy` stands for code that reads what it likes; each object below runs it in another way.
const OBJECTS: &str = r#"
CREATE SCHEMA x;
CREATE FUNCTION x.spy(text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT true';
CREATE FUNCTION x.pair(text, integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT x.spy($1)';
CREATE FUNCTION x.diff(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN $1 - $2; END';
CREATE FUNCTION x.computed(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';

CREATE OPERATOR x.=#? (LEFTARG = text, RIGHTARG = integer, FUNCTION = x.pair);
CREATE DOMAIN x.plain AS text CHECK (x.spy(VALUE));
CREATE DOMAIN x.by_operator AS text CHECK (VALUE OPERATOR(x.=#?) 1);
CREATE DOMAIN x.by_cast AS text CHECK ((VALUE::x.plain) IS NOT NULL);
CREATE TYPE x.spans AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = x.diff);

CREATE TYPE x.key AS (id integer);
CREATE DOMAIN x.narrow AS x.key;
CREATE TYPE x.holder AS (inner_key x.narrow[]);
CREATE FUNCTION x.key_text(x.key) RETURNS text LANGUAGE sql STABLE AS 'SELECT ''''::text';
CREATE CAST (x.key AS text) WITH FUNCTION x.key_text(x.key);
CREATE FUNCTION x.key_of(integer) RETURNS x.key LANGUAGE sql AS 'SELECT ROW($1)::x.key';

CREATE FUNCTION x.one(x.key, integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
CREATE FUNCTION x.two(x.key, integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
CREATE FUNCTION x.three(integer, x.key) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
CREATE OPERATOR x.<=> (LEFTARG = x.key, RIGHTARG = integer, FUNCTION = x.one, NEGATOR = OPERATOR(x.<!>));
CREATE OPERATOR x.<!> (LEFTARG = x.key, RIGHTARG = integer, FUNCTION = x.two,
                       NEGATOR = OPERATOR(x.<=>), COMMUTATOR = OPERATOR(x.<~>));
CREATE OPERATOR x.<~> (LEFTARG = integer, RIGHTARG = x.key, FUNCTION = x.three,
                       COMMUTATOR = OPERATOR(x.<!>));
CREATE OPERATOR x.= (LEFTARG = x.key, RIGHTARG = integer, FUNCTION = x.one);

CREATE TABLE x.rows (a text, k x.key, h x.holder, r x.spans,
                     g text GENERATED ALWAYS AS (x.computed(a)) STORED,
                     u text GENERATED ALWAYS AS (upper(a)) STORED);
CREATE SCHEMA "a,b";
GRANT USAGE ON SCHEMA "a,b", x TO pgward_app;
ALTER ROLE pgward_app IN DATABASE shop SET search_path TO "a,b", public;
"#;

/// The types for whose values a function of the schema runs.
fn types(snapshot: &Snapshot, function: &str) -> Vec<String> {
    let calls = snapshot.document().implicit_calls.iter();
    let mut found: Vec<String> = calls
        .filter(|call| call.function.schema == "x" && call.function.name == function)
        .flat_map(|call| call.types.iter().cloned())
        .collect();
    found.sort();
    found
}

/// The names of operators under which a function of the schema runs, and for which types.
fn operators(snapshot: &Snapshot, function: &str) -> Vec<(String, usize)> {
    let operators = snapshot.document().operators.iter();
    let mut found: Vec<(String, usize)> = operators
        .filter(|operator| operator.function.schema == "x" && operator.function.name == function)
        .map(|operator| (operator.name.clone(), operator.types.len()))
        .collect();
    found.sort();
    found
}

#[test]
fn code_that_runs_unasked_is_in_the_snapshot() {
    let world = world();
    let database = world.runtime.block_on(database());
    let config = Config::from_url(&database.app_url()).unwrap();
    let objects = OBJECTS.replace("DATABASE shop", &format!("DATABASE {}", database.name()));
    let snapshot = world.runtime.block_on(async {
        let client = pgward::cli::demo::database::connect(database.superuser_url())
            .await
            .unwrap();
        client.batch_execute(&objects).await.unwrap();
        Connector::new(&config).unwrap().introspect().await.unwrap()
    });
    let has = |function: &str, wanted: &[&str]| {
        let found = types(&snapshot, function);
        for name in wanted {
            assert!(
                found.iter().any(|one| one == name),
                "{function}: {name} not in {found:?}"
            );
        }
    };
    has("spy", &["plain", "_plain", "by_cast"]);
    has("pair", &["by_operator", "_by_operator"]);
    has("diff", &["spans", "_spans"]);
    has(
        "key_text",
        &[
            "key", "_key", "narrow", "_narrow", "holder", "rows", "_rows",
        ],
    );
    assert!(types(&snapshot, "computed").is_empty());

    let under = |function: &str| {
        let names = operators(&snapshot, function).into_iter();
        names.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(under("one"), ["<!>", "<=>", "<~>", "="]);
    assert_eq!(under("two"), ["<!>", "<=>", "<~>"]);
    assert_eq!(under("three"), ["<!>", "<=>", "<~>"]);
    // `=` is found for a literal among the built-in ones first; the others are not.
    let counted = operators(&snapshot, "one");
    let always = |name: &str| {
        counted
            .iter()
            .any(|(one, types)| one == name && *types == 0)
    };
    assert!(always("<=>") && !always("="), "{counted:?}");

    let rows = snapshot
        .document()
        .relations
        .iter()
        .find(|one| one.schema == "x")
        .unwrap();
    let column = |name: &str| rows.column(name).unwrap();
    assert!(column("g").generated_by_code && !column("u").generated_by_code);
    assert_eq!(
        column("u").generated_from.as_deref(),
        Some(&["a".to_owned()][..])
    );
    assert_eq!(column("k").typname.as_deref(), Some("key"));
    assert_eq!(column("a").typname, None);
    let key_of = snapshot.functions_named("key_of").next().unwrap();
    assert_eq!(key_of.types, ["key"]);
    assert_eq!(snapshot.document().search_path, ["a,b", "public"]);
}
