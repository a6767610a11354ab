//! Tests of [`super::settings`]: what is left of a `search_path` when transactions end.

use std::sync::Arc;

use crate::access::Access;
use crate::catalog::Snapshot;
use crate::gate::Judged;
use crate::sql::{Effect, Settings};

use super::settings::Tracked;

const SNAPSHOT: &str = r#"{"format":1,"server_version_num":170000,"database":"d","role":"r",
    "search_path":["public"],"schemas":["public","a","b"],"relations":[],"functions":[],
    "operators":[]}"#;

const COMMIT: Effect = Effect::Commit { chain: false };
const ROLLBACK: Effect = Effect::Rollback { chain: false };

fn snapshot() -> Snapshot {
    Snapshot::from_json(SNAPSHOT).unwrap()
}

fn tracked() -> Tracked {
    Tracked::new(Settings::new(&snapshot()))
}

fn path(tracked: &Tracked) -> String {
    let path = tracked.settings().search_path(&snapshot());
    path.schemas().last().unwrap().clone()
}

fn set(schema: &str) -> Effect {
    Effect::SearchPath {
        entries: Some(vec![schema.to_owned()]),
        local: false,
    }
}

fn set_local(schema: &str) -> Effect {
    Effect::SearchPath {
        entries: Some(vec![schema.to_owned()]),
        local: true,
    }
}

fn run(tracked: &mut Tracked, effect: &Effect, command: &str) {
    tracked.completed(effect, "", command, 1);
}

#[test]
fn a_set_lasts_unless_its_message_fails() {
    let mut one = tracked();
    run(&mut one, &set("a"), "SET");
    assert_eq!((path(&one).as_str(), one.implicit()), ("a", Some(1)));
    one.ready(b'I', false);
    assert_eq!((path(&one).as_str(), one.implicit()), ("a", None));
    run(&mut one, &set("b"), "SET");
    one.ready(b'I', true);
    assert_eq!(path(&one), "a");
}

#[test]
fn a_set_local_ends_with_its_transaction() {
    let mut one = tracked();
    run(&mut one, &set_local("a"), "SET");
    assert_eq!(path(&one), "a", "the rest of the series sees it");
    one.ready(b'I', false);
    assert_eq!(path(&one), "public");
    run(&mut one, &Effect::Begin, "BEGIN");
    run(&mut one, &set_local("a"), "SET");
    one.ready(b'T', false);
    assert_eq!(path(&one), "a");
    run(&mut one, &COMMIT, "COMMIT");
    one.ready(b'I', false);
    assert_eq!(path(&one), "public");
}

#[test]
fn a_rollback_undoes_a_set() {
    // command that ends the block, its tag, the path after it
    for (effect, tag, after) in [
        (COMMIT, "COMMIT", "a"),
        (COMMIT, "ROLLBACK", "public"),
        (ROLLBACK, "ROLLBACK", "public"),
    ] {
        let mut one = tracked();
        run(&mut one, &Effect::Begin, "BEGIN");
        run(&mut one, &set("a"), "SET");
        // A second BEGIN is only a warning.
        run(&mut one, &Effect::Begin, "BEGIN");
        one.ready(b'T', false);
        one.completed(&effect, "", tag, 2);
        one.ready(b'I', false);
        assert_eq!(path(&one), after, "{tag}");
        assert!(!one.is_touched());
    }
}

#[test]
fn a_commit_that_fails_undoes_a_set() {
    let mut one = tracked();
    run(&mut one, &Effect::Begin, "BEGIN");
    run(&mut one, &set("a"), "SET");
    one.ready(b'T', false);
    one.ready(b'I', true);
    assert_eq!(path(&one), "public");
}

#[test]
fn begin_takes_the_implicit_transaction_along() {
    let mut one = tracked();
    run(&mut one, &set("a"), "SET");
    run(&mut one, &Effect::Begin, "BEGIN");
    one.ready(b'T', false);
    run(&mut one, &ROLLBACK, "ROLLBACK");
    one.ready(b'I', false);
    assert_eq!(path(&one), "public");
}

#[test]
fn a_chained_transaction_is_a_block() {
    let mut one = tracked();
    run(&mut one, &Effect::Begin, "BEGIN");
    one.ready(b'T', false);
    run(&mut one, &COMMIT, "COMMIT");
    one.ready(b'T', false);
    run(&mut one, &set("a"), "SET");
    one.ready(b'T', false);
    run(&mut one, &ROLLBACK, "ROLLBACK");
    one.ready(b'I', false);
    assert_eq!(path(&one), "public");
}

fn judged(command: &'static str) -> Judged {
    Judged {
        access: Access {
            command,
            ..Access::default()
        },
        redacted: String::new(),
        fingerprint: String::new(),
        rules: Vec::new(),
        refusal: None,
    }
}

#[test]
fn a_savepoint_gives_the_path_back() {
    let mut one = tracked();
    run(&mut one, &Effect::Begin, "BEGIN");
    run(&mut one, &Effect::Savepoint("s".to_owned()), "SAVEPOINT");
    run(&mut one, &set("a"), "SET");
    let before = one.meaning();
    run(&mut one, &Effect::RollbackTo("s".to_owned()), "ROLLBACK");
    assert_ne!(one.meaning(), before);
    assert_eq!(path(&one), "public");
    run(&mut one, &COMMIT, "COMMIT");
    one.ready(b'I', false);
    assert_eq!(path(&one), "public");
}

#[test]
fn what_is_set_for_good_outlives_what_is_set_for_the_transaction() {
    let mut one = tracked();
    run(&mut one, &Effect::Begin, "BEGIN");
    run(&mut one, &set("a"), "SET");
    run(&mut one, &set_local("b"), "SET");
    assert_eq!(path(&one), "b");
    run(&mut one, &COMMIT, "COMMIT");
    one.ready(b'I', false);
    assert_eq!(path(&one), "a");
}

#[test]
fn one_text_does_not_mix_paths_and_transactions() {
    let one = tracked();
    let path = set("a");
    let local = set_local("a");
    let none = Effect::None;
    let cases: [(&[&'static str], &[&Effect], bool); 6] = [
        (&["SET", "SELECT"], &[&path, &none], true),
        (&["SET"], &[&local], true),
        (&["SET", "SELECT"], &[&local, &none], false),
        (&["BEGIN", "SET"], &[&Effect::Begin, &path], false),
        (
            &["SET", "ROLLBACK", "SELECT"],
            &[&path, &none, &none],
            false,
        ),
        (&["BEGIN", "SELECT"], &[&Effect::Begin, &none], true),
    ];
    for (commands, effects, fine) in cases {
        let judged: Vec<Judged> = commands.iter().map(|command| judged(command)).collect();
        assert_eq!(
            one.objection(&judged, effects).is_none(),
            fine,
            "{commands:?}"
        );
    }
}

#[test]
fn cursors_end_with_their_transaction() {
    let mut one = tracked();
    let declare = |name: &str| Effect::Declare {
        name: name.to_owned(),
        text: Arc::from("SELECT 1"),
    };
    run(&mut one, &Effect::Begin, "BEGIN");
    one.completed(&declare("c"), "DECLARE c CURSOR FOR SELECT 1", "", 1);
    let text = "DECLARE h CURSOR WITH HOLD FOR SELECT 1";
    one.completed(&declare("h"), text, "", 1);
    one.opened("p", &[Arc::from("SELECT 2")]);
    one.opened("", &[Arc::from("SELECT 3")]);
    one.ready(b'T', false);
    assert!(one.settings().cursor("c").is_some() && one.settings().cursor("p").is_some());
    run(&mut one, &COMMIT, "COMMIT");
    one.ready(b'I', false);
    assert_eq!(one.settings().cursor("c"), None);
    assert_eq!(one.settings().cursor("p"), None);
    assert!(one.settings().cursor("h").is_some());
    one.closed("h");
    assert_eq!(one.settings().held(), 0);
}

#[test]
fn protocol_statements_are_known_to_sql() {
    let mut one = tracked();
    one.prepared("", &Arc::from("SELECT 0"));
    one.prepared("p", &Arc::from("SELECT 1"));
    one.prepared("p", &Arc::from("SELECT 2"));
    let texts = one.settings().statement("p").unwrap();
    assert_eq!(texts.len(), 1, "only the last one can be there");
    one.deallocated("p");
    assert_eq!(one.settings().held(), 0);
}

#[test]
fn a_chained_transaction_is_a_block_too() {
    for (end, tag, after) in [
        (Effect::Commit { chain: true }, "COMMIT", "b"),
        (Effect::Rollback { chain: true }, "ROLLBACK", "public"),
    ] {
        let mut one = tracked();
        run(&mut one, &Effect::Begin, "BEGIN");
        run(&mut one, &set("b"), "SET");
        run(&mut one, &end, tag);
        run(&mut one, &set_local("a"), "SET");
        assert_eq!(path(&one), "a");
        run(&mut one, &ROLLBACK, "ROLLBACK");
        one.ready(b'I', false);
        assert_eq!(path(&one), after);
    }
}
