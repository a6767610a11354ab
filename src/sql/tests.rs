//! Analyses of single statements against a small catalog, for what the attacks over the wire cannot
//! show: what exactly is counted, and that no text costs unbounded time or stack.

use std::fmt::Write as _;

use super::*;
use crate::access::{Action, Use};

fn snapshot(version: u32) -> Snapshot {
    let columns: Vec<String> = (0..100)
        .map(|n| format!(r#"{{"name":"c{n}","type":"text"}}"#))
        .collect();
    Snapshot::from_json(&format!(
        r#"{{"format":1,"server_version_num":{version},"database":"d","role":"app",
        "search_path":["public"],"schemas":["public","pg_catalog"],
        "relations":[
          {{"schema":"public","name":"t","kind":"r","columns":[{{"name":"a","type":"integer"}},
            {{"name":"key","type":"public.key","typname":"key"}}]}},
          {{"schema":"public","name":"wide","kind":"r","columns":[{}]}}],
        "functions":[
          {{"schema":"public","name":"pg_read_file","arguments":"integer","kind":"f",
            "language":"sql","volatility":"i","security_definer":false}},
          {{"schema":"public","name":"key_of","arguments":"integer","kind":"f",
            "language":"sql","volatility":"i","security_definer":false,"types":["key"]}}],
        "operators":[
          {{"schema":"public","name":">=","types":["key","_key"],
            "function":{{"schema":"public","name":"key_ge"}}}},
          {{"schema":"public","name":"=","types":["key","_key"],
            "function":{{"schema":"public","name":"key_eq"}}}},
          {{"schema":"public","name":"@@@","function":{{"schema":"public","name":"plain"}}}}],
        "implicit_calls":[{{"types":["key","_key"],"oids":[90000,90001],
            "function":{{"schema":"public","name":"key_text"}}}}],
        "builtin_functions":["pg_read_file","lower","xmlelement"]}}"#,
        columns.join(",")
    ))
    .unwrap()
}

fn analysed(text: &str, version: u32) -> Result<Vec<Statement>, Refusal> {
    let snapshot = snapshot(version);
    let settings = Settings::new(&snapshot);
    analyse(text, &snapshot, &settings, &Limits::default()).map_err(|(_, refusal)| refusal)
}

fn functions(text: &str) -> Vec<String> {
    let found = analysed(text, 160_000).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    let used = found.iter().flat_map(|one| &one.access.functions);
    let mut names: Vec<String> = used.map(|used| used.function.to_string()).collect();
    names.sort();
    names
}

#[test]
fn what_runs_without_being_called_is_counted() {
    let both = ["pg_catalog.pg_read_file", "public.pg_read_file"];
    assert_eq!(functions("SELECT pg_read_file('x')"), both);
    assert_eq!(functions("SELECT a >= 1, a = 2 FROM t"), [""; 0]);
    assert_eq!(functions("SELECT 1 @@@ 2"), ["public.plain"]);
    for (text, expected) in [
        ("SELECT '1'::key", &["public.key_text"][..]),
        ("SELECT '{1}'::key[]", &["public.key_text"]),
        ("SELECT '{1}'::_key", &["public.key_text"]),
        ("SELECT key FROM t", &["public.key_text"]),
        ("SELECT t FROM t", &["public.key_text"]),
        (
            "SELECT key BETWEEN 1 AND 2 FROM t",
            &["public.key_ge", "public.key_text"],
        ),
        (
            "SELECT CASE key WHEN 1 THEN 1 END FROM t",
            &["public.key_eq", "public.key_text"],
        ),
        (
            "SELECT 1 FROM t WHERE key IN (SELECT 1)",
            &["public.key_eq", "public.key_text"],
        ),
        (
            "SELECT 1 FROM t JOIN t AS u USING (key)",
            &["public.key_eq", "public.key_text"],
        ),
        ("PREPARE p (key) AS SELECT $1::text", &["public.key_text"]),
        ("SELECT key_of(1)", &["public.key_of", "public.key_text"]),
        (
            "SELECT key_of(1) = 5",
            &["public.key_eq", "public.key_of", "public.key_text"],
        ),
        ("INSERT INTO t (a) VALUES (1)", &["public.key_text"]),
        (
            "MERGE INTO t USING wide ON false WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
            &["public.key_text"],
        ),
    ] {
        assert_eq!(functions(text), expected, "{text}");
    }
    let snapshot = snapshot(160_000);
    assert!(snapshot.has_implicit_calls(90_001) && !snapshot.has_implicit_calls(25));
}

#[test]
fn limit_of_a_set_operation_means_columns_further_out() {
    let text =
        "SELECT (SELECT count(*) FROM ((SELECT 1 AS a) UNION ALL SELECT 2 LIMIT a) q) FROM t";
    let access = &analysed(text, 160_000).unwrap()[0].access;
    let used = access
        .columns
        .iter()
        .any(|used| used.column == "a" && used.used == Use::Predicate);
    assert!(used, "{access:?}");
}

#[test]
fn what_is_locked_is_counted() {
    for (text, locks) in [
        ("SELECT a FROM t FOR UPDATE", true),
        ("SELECT a FROM (SELECT a FROM t) AS s FOR UPDATE", true),
        (
            "SELECT s.a FROM wide, (SELECT a FROM t) AS s FOR SHARE OF s",
            true,
        ),
        (
            "SELECT j.a FROM (t CROSS JOIN wide) AS j FOR UPDATE OF j",
            true,
        ),
        ("SELECT t.a FROM wide, t FOR UPDATE OF wide", false),
        (
            "WITH w AS (SELECT a FROM t) SELECT a FROM w FOR UPDATE",
            false,
        ),
    ] {
        let access = &analysed(text, 160_000).unwrap()[0].access;
        let t = access
            .relations
            .iter()
            .any(|used| used.relation.name == "t" && used.action == Action::Update);
        assert_eq!(t, locks, "{text}");
    }
}

/// Texts as they are sent.
fn sent(text: &str) -> String {
    let found = analysed(text, 160_000).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    found[0].text.to_string()
}

#[test]
fn names_that_something_else_bears_are_written_out() {
    for (text, expected) in [
        (
            "SELECT (SELECT a FROM t LIMIT 1) FROM wide AS w(a)",
            "SELECT (SELECT t.a FROM public.t LIMIT 1) FROM public.wide w(a)",
        ),
        (
            "SELECT (SELECT max(a) FROM t AS x WHERE a > 1) FROM t AS a",
            "SELECT (SELECT max(x.a) FROM public.t x WHERE x.a > 1) FROM public.t a",
        ),
        (
            "SELECT a FROM t, wide AS a",
            "SELECT t.a FROM public.t, public.wide a",
        ),
        (
            "SELECT (SELECT c1 FROM wide LIMIT 1) FROM t",
            "SELECT (SELECT c1 FROM public.wide LIMIT 1) FROM public.t",
        ),
    ] {
        assert_eq!(sent(text), expected, "{text}");
    }
    // A merged column has no table: what else bears its name is counted.
    let text = "SELECT (SELECT a FROM t JOIN t AS u USING (a) LIMIT 1) FROM wide AS w(a)";
    let access = &analysed(text, 160_000).unwrap()[0].access;
    assert!(
        access.columns.iter().any(|used| used.column == "c0"),
        "{access:?}"
    );
}

#[test]
fn only_the_side_of_merge_that_has_a_row_is_in_view() {
    let arm = |clause: &str| {
        let text = format!("MERGE INTO t USING wide AS w ON false WHEN {clause}");
        analysed(&text, 170_000)
            .map(|_| ())
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(arm("MATCHED AND a = 1 AND c0 = '' THEN DELETE"), Ok(()));
    let unknown = Err(SqlState::UNDEFINED_COLUMN);
    assert_eq!(
        arm("NOT MATCHED AND a = 1 THEN INSERT (a) VALUES (1)"),
        unknown
    );
    assert_eq!(
        arm("NOT MATCHED THEN INSERT (a) VALUES (length(c0))"),
        Ok(())
    );
    assert_eq!(
        arm("NOT MATCHED BY SOURCE AND c0 = '' THEN DELETE"),
        unknown
    );
    assert_eq!(arm("NOT MATCHED BY SOURCE AND a = 1 THEN DELETE"), Ok(()));
}

#[test]
fn numbers_that_older_servers_read_otherwise_are_refused() {
    for text in [
        "SELECT 0xFFFFFFFFFFFF",
        "SELECT 1_000_000_000_000",
        "SELECT 0b1111111111111111111111111111111111111111",
        "SELECT 1 LIMIT 1_000_000_000_000",
    ] {
        assert!(analysed(text, 150_000).is_err(), "{text}");
        assert!(analysed(text, 160_000).is_ok(), "{text}");
    }
    let merge =
        "MERGE INTO t USING wide ON false WHEN MATCHED THEN DELETE RETURNING merge_action()";
    assert!(analysed(merge, 160_000).is_err() && analysed(merge, 170_000).is_ok());
    assert!(analysed("SELECT 1e10, 12345678901234567890, .5", 150_000).is_ok());
}

#[test]
fn stars_of_self_joins_do_not_double_for_ever() {
    let mut text = "WITH w0 AS (SELECT * FROM wide)".to_owned();
    for n in 1..30 {
        let _ = write!(
            text,
            ", w{n} AS (SELECT * FROM w{0} AS x, w{0} AS y)",
            n - 1
        );
    }
    let refusal = analysed(&format!("{text} SELECT 1"), 160_000).unwrap_err();
    assert_eq!(
        refusal.code,
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        "{refusal:?}"
    );
}

#[test]
fn wide_statements_end_at_a_bound() {
    let many = |item: &str, n: usize| vec![item; n].join(", ");
    let rows = format!("SELECT ROW({}) FROM wide AS w", many("w", 60_000));
    let items: Vec<String> = (0..20_000).map(|n| format!("t AS t{n}")).collect();
    let lookups = format!(
        "SELECT {} FROM {}",
        many("t19999.a", 1_000),
        items.join(", ")
    );
    let joins = format!("SELECT 1 FROM wide{}", " CROSS JOIN wide".repeat(300));
    for text in [rows, lookups, joins] {
        if let Err(refusal) = analysed(&text, 160_000) {
            let code = refusal.code;
            assert_eq!(code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        }
    }
}

#[test]
fn a_deep_tree_in_an_unknown_node_is_refused() {
    let chain = "+1".repeat(45_000);
    for text in [
        format!("SELECT xmlelement(name x, 1{chain})"),
        format!("CREATE TABLE u AS SELECT 1{chain}"),
        format!("CREATE VIEW u AS SELECT 1{chain}"),
        format!("DO 'x' LANGUAGE 'y'; ALTER TABLE t ADD CHECK (1{chain} > 0)"),
        format!("PREPARE p AS SELECT 1{chain}"),
        format!("DECLARE c CURSOR FOR SELECT 1{chain}"),
        format!("COPY (SELECT 1{chain}) TO STDOUT"),
        format!("EXPLAIN SELECT 1{chain}"),
        format!("CALL p(1{chain})"),
        format!("EXECUTE p(1{chain})"),
        format!("SET x TO 1; SELECT json_object('a': 1{chain})"),
    ] {
        let done = std::thread::spawn(move || analysed(&text, 160_000).is_err()).join();
        assert!(done.unwrap());
    }
}

/// A view on a view on a view, each of many columns: every one is analysed once.
#[test]
fn deep_stacks_of_views_are_followed_once_each() {
    let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    let columns = names
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"text"}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let relation = |name: &str, more: &str| {
        format!(r#"{{"schema":"public","name":"{name}","columns":[{columns}],{more}}}"#)
    };
    let mut relations = vec![relation("v0", r#""kind":"r""#)];
    for level in 1..=12 {
        let below = level - 1;
        let more = format!(
            r#""kind":"v","definition":"SELECT {} FROM v{below}",
            "depends_on":[{{"schema":"public","name":"v{below}"}}]"#,
            names.join(", ")
        );
        relations.push(relation(&format!("v{level}"), &more));
    }
    let json = format!(
        r#"{{"format":1,"server_version_num":150000,"database":"d","role":"r",
        "search_path":["public"],"schemas":["public"],"relations":[{}],
        "functions":[],"operators":[]}}"#,
        relations.join(",")
    );
    let traced = trace(Snapshot::from_json(&json).unwrap());
    let top = crate::ident::QualifiedName::new("public", "v12");
    let base = crate::ident::QualifiedName::new("public", "v0");
    let expected = crate::catalog::Sources::Known([(base, "c7".to_owned())].into());
    assert_eq!(traced.lineage().sources(&top, "c7"), Some(&expected));
}

#[test]
fn names_are_not_written_out_where_that_would_change_them() {
    for text in [
        // The function's column may be called like its alias.
        "DELETE FROM t USING unnest(ARRAY[1]) AS a WHERE t.a = a",
        // The joined column is neither side's.
        "SELECT a FROM generate_series(1, 3) AS a LEFT JOIN t USING (a)",
        // The function in between may have such a column.
        "SELECT (SELECT (SELECT max(a) FROM json_each_text('{}')) FROM t) FROM wide AS w(a)",
        // An output column without a certain name.
        "SELECT (SELECT (SELECT 1 AS a) FROM t ORDER BY a LIMIT 1) FROM wide AS w(a)",
        // The alias is another's further in.
        "SELECT (SELECT (SELECT a FROM (SELECT 1) AS t(x)) FROM t) FROM wide AS w(a)",
    ] {
        if let Ok(found) = analysed(text, 160_000) {
            let sent = found[0].text.replace("t.a = a", "");
            assert!(
                !sent.contains("t.a") && !sent.contains("generate_series.a"),
                "{sent}"
            );
        }
    }
}

#[test]
fn a_recursive_query_mixes_its_columns() {
    let text = "WITH RECURSIVE w(n, x, y) AS (SELECT 1, 'x', 'y' UNION ALL \
                SELECT n + 1, y, (SELECT min(c1) FROM wide) FROM w WHERE n < 4) SELECT x FROM w";
    let access = &analysed(text, 160_000).unwrap()[0].access;
    let sources = &access.outputs[0].sources;
    assert!(
        sources.iter().any(|(_, column)| column == "c1"),
        "{sources:?}"
    );
}

#[test]
fn what_a_subquery_tests_is_part_of_its_value() {
    for subquery in [
        "EXISTS (SELECT 1 FROM wide WHERE c1 = 'x')",
        "a IN (SELECT 1 FROM wide WHERE c1 = 'x')",
        "(SELECT count(*) FROM wide WHERE c1 = 'x')",
        "(SELECT c0 FROM wide ORDER BY c1 LIMIT 1)",
        "(SELECT 1 FROM wide JOIN t AS u ON c1 = 'x' LIMIT 1)",
        "(SELECT count(*) FROM (SELECT 1 FROM wide WHERE c1 = 'x') AS q)",
    ] {
        let text = format!("SELECT {subquery} AS shown FROM t");
        let access = &analysed(&text, 160_000).unwrap()[0].access;
        let sources = &access.outputs[0].sources;
        assert!(
            sources.iter().any(|(_, column)| column == "c1"),
            "{subquery}: {sources:?}"
        );
    }
}

#[test]
fn a_child_computes_what_its_parent_shows() {
    let json = r#"{"format":1,"server_version_num":150000,"database":"d","role":"r",
        "search_path":["public"],"schemas":["public"],"relations":[
          {"schema":"public","name":"above","kind":"r",
           "columns":[{"name":"a","type":"text"},{"name":"b","type":"text"}]},
          {"schema":"public","name":"below","kind":"r",
           "columns":[{"name":"a","type":"text"},
                      {"name":"b","type":"text","generated_from":["a"]},
                      {"name":"c","type":"text","generated_from":["a"],
                       "generated_by_code":true}],
           "parents":[{"schema":"public","name":"above"}]}],
        "functions":[],"operators":[]}"#;
    let traced = trace(Snapshot::from_json(json).unwrap());
    let name = |table: &str| crate::ident::QualifiedName::new("public", table);
    let expected = crate::catalog::Sources::Known([(name("below"), "a".to_owned())].into());
    for table in ["above", "below"] {
        assert_eq!(
            traced.lineage().sources(&name(table), "b"),
            Some(&expected),
            "{table}"
        );
    }
}

#[test]
fn a_constraint_names_columns_that_are_not_seen() {
    let insert = "INSERT INTO t (a) VALUES (1) ON CONFLICT";
    assert!(analysed(&format!("{insert} ON CONSTRAINT t_key DO NOTHING"), 160_000).is_err());
    assert!(analysed(&format!("{insert} (a) DO NOTHING"), 160_000).is_ok());
    assert!(analysed(&format!("{insert} DO NOTHING"), 160_000).is_ok());
    // A bare name could be the stored row's or the proposed one's.
    assert!(analysed(&format!("{insert} (a) DO UPDATE SET a = a + 1"), 160_000).is_err());
    assert!(
        analysed(
            &format!("{insert} (a) DO UPDATE SET a = t.a + excluded.a"),
            160_000
        )
        .is_ok()
    );
}

#[test]
fn what_a_value_depends_on_is_part_of_it() {
    for text in [
        "SELECT row_number() OVER w AS k FROM wide WINDOW w AS (ORDER BY c1)",
        "SELECT row_number() OVER (v) AS k FROM wide WINDOW v AS (PARTITION BY c1)",
        "SELECT (SELECT count(*) FROM wide JOIN (VALUES ('x')) AS v(c1) USING (c1)) AS k FROM t",
        "SELECT (SELECT count(*) FROM generate_series(1, length(c1))) AS k FROM wide",
        "SELECT (SELECT count(*) FROM (SELECT c1 FROM wide INTERSECT SELECT 'x') z) AS k FROM t",
        "SELECT (WITH RECURSIVE w(n, b) AS (SELECT 1, '' UNION ALL SELECT n + 1, c1 FROM w, wide \
         WHERE b <> 'x') SELECT count(*) FROM w) AS k FROM t",
        "WITH w AS (SELECT 1 AS id FROM wide WHERE c1 = 'x') SELECT (SELECT count(*) FROM w) AS k FROM t",
    ] {
        let access = &analysed(text, 160_000).unwrap()[0].access;
        let sources = &access.outputs[0].sources;
        assert!(
            sources.iter().any(|(_, column)| column == "c1"),
            "{text}: {sources:?}"
        );
    }
}

#[test]
fn a_field_may_be_a_cast() {
    for text in [
        "SELECT (a).key FROM wide AS w(a)",
        "SELECT g.key FROM unnest(ARRAY['x']) AS g",
        "SELECT (ARRAY['x'])[1].key",
    ] {
        assert_eq!(
            functions(text).last().map(String::as_str),
            Some("public.key_text"),
            "{text}"
        );
    }
}

#[test]
fn a_function_with_one_column_calls_it_like_its_alias() {
    let text = "SELECT (SELECT count(*) FROM generate_series(1, 3) AS c1 WHERE c1 > 1) FROM wide";
    let access = &analysed(text, 160_000).unwrap()[0].access;
    assert!(access.columns.is_empty(), "{access:?}");
    assert!(sent(text).contains("c1.c1 > 1"), "{}", sent(text));
}

#[test]
fn a_query_is_redacted_alike_from_its_canonical_text() {
    for text in [
        "select  a from t where a=1",
        "INSERT INTO t (a) VALUES (1), (2) RETURNING a",
        "EXPLAIN SELECT a FROM t WHERE a = 5",
        "BEGIN",
    ] {
        let statement = &analysed(text, 160_000).unwrap()[0];
        let shown = redact_statement(statement);
        assert_eq!(shown, redact(&statement.text));
        assert!(
            !shown.text.contains('5') && !shown.text.contains("= 1"),
            "{}",
            shown.text
        );
    }
}
