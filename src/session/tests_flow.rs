//! Tests of [`super::flow`] and [`super::answers`]: which answer belongs to which message, in every
//! way a pipeline can go.

use std::sync::Arc;
use std::time::Instant;

use crate::audit::OutcomeResult::{self, Cancelled, Complete, Error, Lost, NotExecuted, Suspended};
use crate::catalog::Snapshot;
use crate::refusal::Refusal;
use crate::sql::{Effect, Settings};
use crate::wire::Target;

use super::flow::{Flow, OutOfStep, Shown};
use super::held::{Held, Needs, Place};
use super::names::Found;
use super::pending::{Batch, Entry, Outcome, Running, Turned};

const SNAPSHOT: &str = r#"{"format":1,"server_version_num":170000,"database":"d","role":"r",
    "search_path":["public"],"schemas":["public","a"],"relations":[],"functions":[],
    "operators":[]}"#;

const ALL: Needs = Needs {
    statements: true,
    cursors: true,
};

fn flow() -> Flow {
    let snapshot = Snapshot::from_json(SNAPSHOT).unwrap();
    Flow::new(Settings::new(&snapshot))
}

fn held(text: &str) -> Arc<Held> {
    Arc::new(Held::undecided(&[Arc::from(text)]))
}

fn statement(decision: &str, effect: Effect, copy_in: bool) -> Running {
    Running {
        decision: decision.to_owned(),
        command: "SELECT",
        effect,
        text: Arc::from("SELECT 1"),
        open: false,
        may_copy_in: copy_in,
    }
}

fn batch(flow: &Flow, statements: Vec<Running>) -> Batch {
    let place = Place {
        client: Arc::from(""),
        sent: Vec::new(),
    };
    Batch::new(statements, Arc::new(place), flow.series(), Instant::now())
}

fn parse(flow: &mut Flow, name: &str, text: &str) -> Arc<Held> {
    let held = held(text);
    let entry = Entry::Parse(name.to_owned(), Arc::clone(&held));
    flow.send(entry).unwrap();
    held
}

fn bind(flow: &mut Flow, portal: &str, held: &Arc<Held>) {
    let entry = Entry::Bind(portal.to_owned(), Arc::clone(held));
    flow.send(entry).unwrap();
}

fn execute(flow: &mut Flow, decision: &str) {
    execute_with(flow, statement(decision, Effect::None, false));
}

fn execute_with(flow: &mut Flow, statement: Running) {
    let batch = batch(flow, vec![statement]);
    flow.send(Entry::Execute(batch)).unwrap();
}

fn query(flow: &mut Flow, statements: Vec<Running>) {
    let batch = batch(flow, statements);
    flow.send(Entry::Query(batch)).unwrap();
}

fn refused(flow: &mut Flow, message: &str) {
    let turned = Turned {
        refusal: Refusal::unsupported(message),
        position: None,
    };
    flow.send(Entry::Refused(Box::new(turned))).unwrap();
}

fn results(outcomes: &[Outcome]) -> Vec<(&str, OutcomeResult)> {
    outcomes
        .iter()
        .map(|outcome| (outcome.decision.as_str(), outcome.result))
        .collect()
}

#[test]
fn a_series_is_answered_in_order() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    bind(&mut flow, "", &held);
    flow.send(Entry::DescribePortal).unwrap();
    execute(&mut flow, "x");
    flow.send(Entry::Sync).unwrap();
    assert_eq!(flow.data(), Err(OutOfStep));
    flow.parse_complete().unwrap();
    flow.bind_complete().unwrap();
    flow.row_description().unwrap();
    flow.data().unwrap();
    let done = flow.command_complete("SELECT 1").unwrap();
    assert_eq!(results(&done), [("x", Complete)]);
    assert!(flow.ready(b'I').unwrap().is_empty());
    assert!(flow.is_idle());
}

#[test]
fn an_error_skips_to_the_sync_that_was_sent() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    bind(&mut flow, "", &held);
    execute(&mut flow, "first");
    execute(&mut flow, "second");
    refused(&mut flow, "never reached");
    flow.send(Entry::Sync).unwrap();
    bind(&mut flow, "", &held);
    execute(&mut flow, "third");
    flow.send(Entry::Sync).unwrap();

    flow.parse_complete().unwrap();
    flow.bind_complete().unwrap();
    let (shown, outcomes) = flow.error("22012");
    assert!(matches!(shown, Shown::Error { open: false, .. }));
    assert_eq!(
        results(&outcomes),
        [("first", Error), ("second", NotExecuted)]
    );
    assert!(!flow.is_skipping());
    flow.ready(b'I').unwrap();
    flow.bind_complete().unwrap();
    let done = flow.command_complete("SELECT 0").unwrap();
    assert_eq!(results(&done), [("third", Complete)]);
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn an_error_skips_what_comes_before_its_sync() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    let (_, outcomes) = flow.error("42601");
    assert!(outcomes.is_empty() && flow.is_skipping());
    assert!(
        flow.send(Entry::Bind(String::new(), Arc::clone(&held)))
            .is_err()
    );
    let late = batch(&flow, vec![statement("late", Effect::None, false)]);
    let skipped = flow.send(Entry::Execute(late)).unwrap_err();
    assert_eq!(results(&skipped), [("late", NotExecuted)]);
    // A Query is skipped as well, and gets no ReadyForQuery.
    let late = batch(&flow, vec![statement("query", Effect::None, false)]);
    assert!(flow.send(Entry::Query(late)).is_err());
    assert!(flow.is_answered());
    flow.send(Entry::Sync).unwrap();
    assert!(!flow.is_skipping());
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn a_refusal_waits_for_its_turn() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    bind(&mut flow, "", &held);
    execute(&mut flow, "before");
    refused(&mut flow, "no");
    flow.send(Entry::Sync).unwrap();
    flow.parse_complete().unwrap();
    flow.bind_complete().unwrap();
    flow.command_complete("SELECT 1").unwrap();
    let (shown, outcomes) = flow.error("26000");
    let Shown::Refusal(turned) = shown else {
        panic!("the error stands for the refusal");
    };
    assert_eq!(turned.refusal.message, "no");
    assert!(outcomes.is_empty());
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn a_refused_query_is_two_messages() {
    let mut flow = flow();
    refused(&mut flow, "no");
    flow.send(Entry::Sync).unwrap();
    query(&mut flow, vec![statement("next", Effect::None, false)]);
    assert!(matches!(flow.error("26000").0, Shown::Refusal(_)));
    flow.ready(b'T').unwrap();
    assert_eq!(
        results(&flow.command_complete("SELECT 1").unwrap()),
        [("next", Complete)]
    );
    flow.ready(b'T').unwrap();
    assert!(flow.is_answered() && !flow.is_idle(), "in a transaction");
}

#[test]
fn a_query_fails_at_its_second_statement() {
    let mut flow = flow();
    let statements = ["a", "b", "c"].map(|id| statement(id, Effect::None, false));
    query(&mut flow, statements.into());
    query(&mut flow, vec![statement("next", Effect::None, false)]);
    flow.row_description().unwrap();
    flow.data().unwrap();
    let done = flow.command_complete("SELECT 1").unwrap();
    assert_eq!(results(&done), [("a", Complete)]);
    let (_, outcomes) = flow.error("57014");
    assert_eq!(results(&outcomes), [("b", Cancelled), ("c", NotExecuted)]);
    assert_eq!(outcomes[0].code.as_deref(), Some("57014"));
    assert_eq!(
        flow.command_complete("SELECT 1").unwrap_err(),
        OutOfStep,
        "nothing more comes of it"
    );
    assert!(flow.ready(b'I').unwrap().is_empty());
    assert_eq!(
        results(&flow.command_complete("").unwrap()),
        [("next", Complete)]
    );
    flow.ready(b'I').unwrap();
}

#[test]
fn an_error_at_the_end_of_a_series_is_followed_by_ready() {
    let mut flow = flow();
    flow.send(Entry::Sync).unwrap();
    let (shown, outcomes) = flow.error("23505");
    assert!(matches!(
        shown,
        Shown::Error {
            open: false,
            place: None
        }
    ));
    assert!(outcomes.is_empty() && !flow.is_skipping());
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn copy_data_is_asked_for_and_ends() {
    let mut flow = flow();
    execute_with(&mut flow, statement("copy", Effect::None, true));
    assert!(!flow.knows_copying(), "the database has not answered");
    flow.copy_begins(true).unwrap();
    assert!(flow.knows_copying() && flow.is_copying());
    flow.copy_ended();
    assert!(flow.knows_copying() && !flow.is_copying());
    flow.send(Entry::Sync).unwrap();
    flow.command_complete("COPY 3").unwrap();
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn a_copy_that_fails_in_the_extended_protocol_skips_to_sync() {
    let mut flow = flow();
    execute_with(&mut flow, statement("copy", Effect::None, true));
    flow.copy_begins(true).unwrap();
    let (_, outcomes) = flow.error("22P02");
    assert_eq!(results(&outcomes), [("copy", Error)]);
    assert!(!flow.is_copying() && flow.is_skipping());
    flow.send(Entry::Sync).unwrap();
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn a_copy_that_fails_in_a_query_skips_nothing() {
    let mut flow = flow();
    let copies = ["a", "b"].map(|id| statement(id, Effect::None, true));
    query(&mut flow, copies.into());
    flow.copy_begins(true).unwrap();
    flow.copy_ended();
    assert!(!flow.knows_copying(), "there is a second COPY");
    flow.command_complete("COPY 1").unwrap();
    assert!(!flow.knows_copying());
    flow.copy_begins(true).unwrap();
    assert!(flow.is_copying());
    let (_, outcomes) = flow.error("22P02");
    assert_eq!(results(&outcomes), [("b", Error)]);
    assert!(!flow.is_copying() && !flow.is_skipping());
    flow.ready(b'I').unwrap();
    assert!(flow.is_idle());
}

#[test]
fn a_portal_is_suspended_and_run_again() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    bind(&mut flow, "p", &held);
    execute(&mut flow, "one");
    flow.parse_complete().unwrap();
    flow.bind_complete().unwrap();
    flow.data().unwrap();
    assert_eq!(results(&flow.suspended().unwrap()), [("one", Suspended)]);
    execute(&mut flow, "two");
    flow.send(Entry::Sync).unwrap();
    flow.command_complete("SELECT 1").unwrap();
    assert!(matches!(flow.portal("p"), Found::One(_)));
    flow.ready(b'T').unwrap();
    assert!(matches!(flow.portal("p"), Found::One(_)), "still open");
    flow.send(Entry::Sync).unwrap();
    flow.ready(b'I').unwrap();
    assert!(matches!(flow.portal("p"), Found::Nothing), "it has ended");
}

#[test]
fn what_does_not_fit_is_told() {
    let mut flow = flow();
    assert_eq!(flow.parse_complete(), Err(OutOfStep));
    assert_eq!(flow.bind_complete(), Err(OutOfStep));
    assert_eq!(flow.close_complete(), Err(OutOfStep));
    assert_eq!(flow.no_data(), Err(OutOfStep));
    assert_eq!(flow.row_description(), Err(OutOfStep));
    assert_eq!(flow.parameter_description(), Err(OutOfStep));
    assert_eq!(flow.data(), Err(OutOfStep));
    assert_eq!(flow.copy_begins(false), Err(OutOfStep));
    assert_eq!(flow.suspended(), Err(OutOfStep));
    assert_eq!(flow.ready(b'I'), Err(OutOfStep));
    execute(&mut flow, "x");
    assert_eq!(flow.copy_begins(true), Err(OutOfStep), "it is no COPY");
    assert_eq!(flow.ready(b'I'), Err(OutOfStep));
    assert_eq!(results(&flow.lost()), [("x", Lost)]);
}

#[test]
fn a_statement_that_the_database_does_not_take_is_not_held() {
    let mut flow = flow();
    let old = parse(&mut flow, "s", "SELECT 1");
    flow.send(Entry::Sync).unwrap();
    flow.parse_complete().unwrap();
    flow.ready(b'I').unwrap();
    flow.send(Entry::Close(Target::Statement("s".to_owned())))
        .unwrap();
    parse(&mut flow, "s", "SELECT 2");
    flow.send(Entry::Sync).unwrap();
    assert!(!flow.knows_statement("s"), "it may be either");
    flow.close_complete().unwrap();
    let _ = flow.error("42601");
    flow.ready(b'I').unwrap();
    assert!(matches!(flow.statement("s"), Found::Nothing));
    assert_eq!(old.texts.len(), 1);
}

#[test]
fn the_unnamed_statement_is_replaced_and_dropped() {
    let mut flow = flow();
    let first = parse(&mut flow, "", "SELECT 1");
    let second = parse(&mut flow, "", "SELECT 2");
    let found = |flow: &Flow| match flow.statement("") {
        Found::One(held) => Some(held),
        Found::Nothing | Found::Unsure => None,
    };
    assert!(Arc::ptr_eq(&found(&flow).unwrap(), &second));
    flow.parse_complete().unwrap();
    assert!(!Arc::ptr_eq(&found(&flow).unwrap(), &first));
    flow.parse_complete().unwrap();
    query(&mut flow, vec![statement("q", Effect::None, false)]);
    flow.command_complete("").unwrap();
    flow.ready(b'I').unwrap();
    assert!(found(&flow).is_none());
}

#[test]
fn sql_drops_statements_of_the_protocol() {
    let cases = [
        (Effect::DiscardAll, false, false),
        (Effect::Deallocate(None), false, false),
        (Effect::Deallocate(Some("s".to_owned())), false, true),
        (Effect::None, true, true),
    ];
    for (effect, s, t) in cases {
        let mut flow = flow();
        for name in ["s", "t"] {
            parse(&mut flow, name, "SELECT 1");
            flow.parse_complete().unwrap();
        }
        assert_eq!(flow.tracked().settings().held(), 2);
        query(&mut flow, vec![statement("q", effect, false)]);
        flow.command_complete("").unwrap();
        flow.ready(b'I').unwrap();
        let is_held = |name| matches!(flow.statement(name), Found::One(_));
        assert_eq!((is_held("s"), is_held("t")), (s, t));
        let left = usize::from(s) + usize::from(t);
        assert_eq!(flow.tracked().settings().held(), left);
    }
}

#[test]
fn a_cursor_of_sql_takes_the_place_of_a_portal() {
    let mut flow = flow();
    let held = parse(&mut flow, "", "SELECT 1");
    bind(&mut flow, "c", &held);
    flow.parse_complete().unwrap();
    flow.bind_complete().unwrap();
    let declare = Effect::Declare {
        name: "c".to_owned(),
        text: Arc::from("SELECT 2"),
    };
    execute_with(&mut flow, statement("d", declare, false));
    assert!(!flow.knows_portal("c") && flow.knows_portal(""));
    flow.command_complete("DECLARE CURSOR").unwrap();
    assert!(flow.knows_portal("c"));
    assert!(matches!(flow.portal("c"), Found::Nothing));
    // Both texts count, whichever the name stands for.
    assert_eq!(flow.tracked().settings().cursor("c").unwrap().len(), 2);
}

#[test]
fn what_texts_mean_waits_for_what_may_change_it() {
    let path = Effect::SearchPath {
        entries: Some(vec!["a".to_owned()]),
        local: false,
    };
    let mut flow = flow();
    execute_with(&mut flow, statement("set", path, false));
    assert!(!flow.is_settled(Needs::default()));
    flow.command_complete("SET").unwrap();
    assert!(flow.is_settled(Needs::default()), "in the same series");
    flow.send(Entry::Sync).unwrap();
    assert!(
        !flow.is_settled(Needs::default()),
        "the series may yet fail"
    );
    flow.ready(b'I').unwrap();
    assert!(flow.is_settled(Needs::default()));

    parse(&mut flow, "s", "SELECT 1");
    assert!(flow.is_settled(Needs::default()) && !flow.is_settled(ALL));
    flow.parse_complete().unwrap();
    assert!(flow.is_settled(ALL));
    let prepare = Effect::Prepare {
        name: "p".to_owned(),
        text: Arc::from("SELECT 1"),
    };
    execute_with(&mut flow, statement("prepare", prepare, false));
    assert!(!flow.knows_statement("x") && flow.knows_statement(""));
    assert!(!flow.is_settled(ALL));
}

#[test]
fn there_is_only_so_much_room() {
    let mut flow = flow();
    let mut sent = 0;
    while flow.has_room() {
        flow.send(Entry::Sync).unwrap();
        sent += 1;
    }
    assert_eq!(sent, 1_000);
    flow.ready(b'I').unwrap();
    assert!(flow.has_room());
    let _ = flow.lost();
    let long = "x".repeat(5 * 1024 * 1024);
    parse(&mut flow, "", &long);
    assert!(!flow.has_room(), "texts count");
    flow.parse_complete().unwrap();
    assert!(flow.has_room());
}
