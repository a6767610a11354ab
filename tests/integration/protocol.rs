//! The protocol itself: order of messages, skipping to Sync, COPY, cancel, limits, and what happens
//! to those who break it.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::raw::{
    Raw, bind, close, describe, execute, frame, parse, query, startup, startup_of, sync,
};
use crate::world::world;

#[test]
fn several_statements_in_one_message_are_decided_before_any_is_sent() {
    let mut raw = world().login("support-bot");
    let reply = raw.query("SELECT 1; SELECT 2; UPDATE tickets SET status = 'open' WHERE id = 2");
    assert_eq!(reply.tags(), ["SELECT 1", "SELECT 1", "UPDATE 1"]);
    let reply =
        raw.query("UPDATE tickets SET status = 'closed' WHERE id = 2; SELECT ssn FROM customers");
    assert_eq!(reply.code(), "42501");
    assert_eq!(reply.tags(), Vec::<String>::new());
    let status = raw.query("SELECT status FROM tickets WHERE id = 2");
    assert_eq!(status.rows(), [[Some("open".to_owned())]]);
}

#[test]
fn a_refusal_inside_a_transaction_fails_it_as_postgres_would() {
    let mut raw = world().login("support-bot");
    raw.query("BEGIN");
    assert_eq!(raw.query("SELECT ssn FROM customers").status(), Some('E'));
    assert_eq!(raw.query("SELECT 1").code(), "25P02");
    assert_eq!(raw.query("ROLLBACK").status(), Some('I'));
}

#[test]
fn a_pipeline_skips_to_sync_after_a_refusal() {
    let mut raw = world().login("support-bot");
    let messages = [
        parse("", "SELECT name FROM customers ORDER BY id LIMIT 1"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT ssn FROM customers"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT 'must be skipped'"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
        query("SELECT 'after'"),
    ];
    raw.send(&messages.concat());
    let first = raw.reply();
    assert_eq!(first.letters(), "12DCEZ");
    assert_eq!(first.code(), "42501");
    let second = raw.reply();
    assert_eq!(second.rows(), [[Some("after".to_owned())]]);
}

#[test]
fn a_refused_pipeline_is_rolled_back_as_a_whole() {
    let mut raw = world().login("support-bot");
    let messages = [
        parse("", "UPDATE tickets SET status = 'closed' WHERE id = 5"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT ssn FROM customers"),
        sync(),
    ];
    let before = raw.query("SELECT status FROM tickets WHERE id = 5").rows();
    raw.send(&messages.concat());
    assert_eq!(raw.reply().code(), "42501");
    assert_eq!(
        raw.query("SELECT status FROM tickets WHERE id = 5").rows(),
        before
    );
}

#[test]
fn named_statements_portals_and_suspension() {
    let mut raw = world().login("support-bot");
    let messages = [
        parse("s", "SELECT id FROM customers WHERE id > $1 ORDER BY id"),
        describe(b'S', "s"),
        bind("p", "s", &["0"]),
        describe(b'P', "p"),
        execute("p", 2),
        execute("p", 1),
        close(b'P', "p"),
        execute("p", 1),
        sync(),
    ];
    raw.send(&messages.concat());
    let reply = raw.reply();
    assert_eq!(reply.letters(), "1tT2TDDsDs3EZ");
    assert_eq!(reply.code(), "34000");
    raw.send(
        &[
            bind("", "s", &["0"]),
            execute("", 1),
            close(b'S', "s"),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(raw.reply().letters(), "2Ds3Z");
    raw.send(&[bind("", "s", &["0"]), sync()].concat());
    assert_eq!(raw.reply().code(), "26000");
}

#[test]
fn flush_brings_answers_without_sync() {
    let mut raw = world().login("support-bot");
    raw.send(&[parse("", "SELECT 1"), frame(b'H', b"")].concat());
    assert_eq!(raw.message().unwrap().tag, b'1');
    raw.send(&[bind("", "", &[]), execute("", 0), sync()].concat());
    assert_eq!(raw.reply().letters(), "2DCZ");
}

#[test]
fn the_empty_query_and_unknown_names() {
    let mut raw = world().login("support-bot");
    assert_eq!(raw.query("").letters(), "IZ");
    assert_eq!(raw.query(" ; -- nothing").letters(), "IZ");
    raw.send(&[parse("", ""), bind("", "", &[]), execute("", 0), sync()].concat());
    assert_eq!(raw.reply().letters(), "12IZ");
    raw.send(&[bind("", "nowhere", &[]), sync()].concat());
    assert_eq!(raw.reply().code(), "26000");
    raw.send(&[execute("nowhere", 0), sync()].concat());
    assert_eq!(raw.reply().code(), "34000");
}

#[test]
fn copy_in_and_out() {
    let mut raw = world().login("support-bot");
    raw.query("BEGIN");
    raw.send(&query(
        "COPY tickets (customer_id, subject, body) FROM STDIN",
    ));
    assert_eq!(raw.message().unwrap().tag, b'G');
    raw.send(&[frame(b'd', b"1\tcopied\tby a test\n"), frame(b'c', b"")].concat());
    let reply = raw.reply();
    assert_eq!(reply.tags(), ["COPY 1"]);
    let out = raw.query("COPY (SELECT subject FROM tickets WHERE body = 'by a test') TO STDOUT");
    assert_eq!(out.letters(), "HdcCZ");
    assert!(out.contains("copied"));
    raw.send(&query(
        "COPY tickets (customer_id, subject, body) FROM STDIN",
    ));
    assert_eq!(raw.message().unwrap().tag, b'G');
    raw.send(&[frame(b'd', b"not a number\tx\ty\n"), frame(b'c', b"")].concat());
    assert_eq!(raw.reply().code(), "22P02");
    assert_eq!(raw.query("ROLLBACK").status(), Some('I'));
}

#[test]
fn errors_come_back_with_the_position_in_the_clients_text() {
    let mut raw = world().login("support-bot");
    let sql = "select   /* long comment */  1 / 0 ,  nosuchfunction(1)";
    assert_eq!(raw.query("select 1/0").code(), "22012");
    let refused = raw.query(sql).error().unwrap();
    assert_eq!(refused.code(), "42501");
    // The database's own error, about the canonical text, is mapped back.
    let sql = "select   /* a comment */  name + 1 from   customers";
    let error = raw.query(sql).error().unwrap();
    assert_eq!(error.code(), "42883");
    let place: usize = error.get(b'P').unwrap().parse().unwrap();
    assert!(sql[place - 1..].starts_with("+ 1"), "{place}");
}

#[test]
fn cancel_works_with_the_sessions_own_key_alone() {
    let mut raw = world().login("support-bot");
    let (id, key) = raw.key.clone().unwrap();
    let slow = "SELECT count(*) FROM products a, products b, products c, products d, products e, \
                products f, products g, products h, products i, products j, products k, products l";
    let cancel = |id: u32, key: &[u8]| {
        let mut other = Raw::open(world().port);
        let length = (12 + key.len() as u32).to_be_bytes();
        other.send(
            &[
                &length[..],
                &80_877_102_u32.to_be_bytes(),
                &id.to_be_bytes(),
                key,
            ]
            .concat(),
        );
        // Whatever is said of it, the connection ends.
        while other.message().is_some() {}
    };
    raw.send(&query(slow));
    std::thread::sleep(Duration::from_millis(300));
    let mut wrong = key.clone();
    wrong[0] ^= 1;
    let since = Instant::now();
    cancel(id, &wrong);
    cancel(id.wrapping_add(1), &key);
    cancel(id, &[]);
    raw.stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut byte = [0];
    let silent = raw.stream.peek(&mut byte);
    assert!(
        silent.is_err(),
        "a wrong key cancelled after {:?}",
        since.elapsed()
    );
    raw.stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    cancel(id, &key);
    assert_eq!(raw.reply().code(), "57014");
    assert_eq!(raw.query("SELECT 1").tags(), ["SELECT 1"]);
}

#[test]
fn the_key_is_pgwards_own_and_no_two_are_alike() {
    let a = world().login("support-bot").key.unwrap();
    let b = world().login("support-bot").key.unwrap();
    assert_ne!(a, b);
    let mut direct = world().login("ops-bot");
    let pid = direct.query("SELECT pg_backend_pid()").rows()[0][0]
        .clone()
        .unwrap();
    let (id, _) = direct.key.clone().unwrap();
    assert_ne!(id.to_string(), pid);
}

#[test]
fn function_calls_are_refused_in_order() {
    let mut raw = world().login("support-bot");
    raw.send(
        &[
            frame(b'F', &[0, 0, 8, 0, 0, 0, 0, 0, 0, 0]),
            query("SELECT 1"),
        ]
        .concat(),
    );
    let refused = raw.reply();
    assert_eq!(refused.code(), "0A000");
    assert_eq!(raw.reply().tags(), ["SELECT 1"]);
}

#[test]
fn replication_is_refused() {
    let world = world();
    let mut raw = Raw::open(world.port);
    let parameters = [
        ("user", "x"),
        ("database", world.database.name()),
        ("replication", "true"),
    ];
    raw.send(&startup(&parameters));
    raw.message();
    raw.send(&frame(
        b'p',
        &[world.token("support-bot").as_bytes(), b"\0"].concat(),
    ));
    let reply = raw.reply();
    assert_eq!(reply.code(), "0A000");
    assert!(reply.closed);
}

#[test]
fn gssenc_is_declined_and_protocol_3_2_is_spoken() {
    let world = world();
    let mut raw = Raw::open(world.port);
    raw.send(&[&8_u32.to_be_bytes()[..], &80_877_104_u32.to_be_bytes()].concat());
    let mut byte = [0];
    std::io::Read::read_exact(&mut raw.stream, &mut byte).unwrap();
    assert_eq!(&byte, b"N");
    let parameters = [("user", "agent"), ("database", world.database.name())];
    raw.send(&startup_of((3 << 16) | 2, &parameters));
    assert_eq!(raw.message().unwrap().tag, b'R');
    raw.send(&frame(
        b'p',
        &[world.token("support-bot").as_bytes(), b"\0"].concat(),
    ));
    let raw = raw.finish_login().unwrap();
    assert!(raw.key.unwrap().1.len() > 4, "3.2 has long keys");
    // 3.9 with an unknown option is negotiated down.
    let mut raw = Raw::open(world.port);
    raw.send(&startup_of(
        (3 << 16) | 9,
        &[parameters[0], parameters[1], ("_pq_.x", "1")],
    ));
    let negotiated = raw.message().unwrap();
    assert_eq!(negotiated.tag, b'v');
    assert_eq!(&negotiated.body[..8], [0, 3, 0, 2, 0, 0, 0, 1]);
}

#[test]
fn those_who_break_the_protocol_are_told_and_cut_off() {
    let world = world();
    let long = vec![b'x'; 20_000];
    let cases: [(&str, Vec<u8>); 5] = [
        (
            "startup too long",
            [&20_004_u32.to_be_bytes()[..], &long].concat(),
        ),
        ("startup of four bytes", vec![0, 0, 0, 4]),
        ("protocol 2", startup_of(2 << 16, &[("user", "x")])),
        (
            "no terminator",
            [&9_u32.to_be_bytes()[..], &(3_u32 << 16).to_be_bytes(), b"u"].concat(),
        ),
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
    ];
    for (name, bytes) in cases {
        let mut raw = Raw::open(world.port);
        raw.send(&bytes);
        let reply = raw.reply();
        assert!(reply.closed, "{name}");
    }
    // Where the framing is lost the connection ends.
    for bytes in [
        startup(&[("user", "x")]),
        vec![b'Q', 0, 0, 0, 3],
        vec![b'Q', 0x7f, 0xff, 0xff, 0xff],
        frame(b'~', b""),
    ] {
        let mut raw = world.login("support-bot");
        raw.send(&bytes);
        let reply = raw.reply();
        assert!(
            reply.closed && reply.error().is_some(),
            "{bytes:?}: {reply:?}"
        );
    }
    // Where only a body is wrong the message is refused, as Postgres does.
    for bytes in [
        frame(b'Q', b"SELECT 1"),
        frame(b'Q', b"SELECT 1\0; SELECT ssn FROM customers\0"),
        frame(b'P', b"\0SELECT 1\0\0\x01"),
        frame(b'S', b"x"),
    ] {
        let mut raw = world.login("support-bot");
        raw.send(&[bytes.clone(), sync()].concat());
        let reply = raw.reply();
        assert_eq!(reply.code(), "08P01", "{bytes:?}: {reply:?}");
        assert_eq!(reply.rows().len(), 0);
        assert!(!reply.contains("CANARY"));
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_and_the_session_goes_on() {
    let mut raw = world().login("support-bot");
    raw.send(&frame(b'Q', b"SELECT '\xff'\0"));
    assert_eq!(raw.reply().code(), "22021");
    assert_eq!(raw.query("SELECT 1").tags(), ["SELECT 1"]);
}

#[test]
fn half_a_login_is_ended_by_the_clock() {
    let mut raw = Raw::open(world().port);
    raw.stream.write_all(&[0, 0]).unwrap();
    let since = Instant::now();
    let reply = raw.reply();
    assert!(reply.closed);
    assert!(
        since.elapsed() < Duration::from_secs(29),
        "the socket's own timeout ended it"
    );
}

#[test]
fn a_large_result_streams_and_stays_whole() {
    let mut raw = world().login("support-bot");
    let reply = raw.query("SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n");
    assert_eq!(reply.tags(), ["SELECT 20000"]);
    let rows = reply.rows();
    assert_eq!(rows[19_999][0].as_deref(), Some("20000"));
}

#[test]
fn chains_and_nested_comments_are_refused_and_cost_nobody_the_server() {
    let comments = format!(
        "SELECT 1 /*{}{}*/",
        "/*".repeat(20_000),
        "*/".repeat(20_000)
    );
    for sql in [
        format!("SELECT 1{}", "::int".repeat(45_000)),
        format!("SELECT 1{}", " + 1".repeat(45_000)),
        comments,
    ] {
        let mut raw = world().login("support-bot");
        assert_eq!(raw.query(&sql).code(), "54000");
        assert_eq!(raw.query("SELECT 1").tags(), ["SELECT 1"]);
    }
}

/// EXECUTE and FETCH run queries. What a named statement of the protocol does besides would not be
/// seen, and names that run each other without end have brought a server down.
#[test]
fn names_run_nothing_but_queries() {
    let world = world();
    let mut raw = world.login("support-bot");
    let named = [
        "DEALLOCATE ALL",
        "SET search_path TO sales",
        "ROLLBACK",
        "BEGIN",
        "SHOW timezone",
    ];
    for text in named {
        raw.send(&[parse("u", text), sync()].concat());
        assert_eq!(raw.reply().code(), "", "{text}");
        assert_eq!(raw.query("EXECUTE u").code(), "0A000", "{text}");
        raw.send(&[close(b'S', "u"), sync()].concat());
        raw.reply();
    }
    raw.query("BEGIN");
    let series = [
        parse("a", "SELECT 1"),
        parse("b", "EXECUTE a"),
        parse("x", "EXPLAIN (COSTS off) EXECUTE a"),
        bind("p", "x", &[]),
        sync(),
    ];
    raw.send(&series.concat());
    assert_eq!(raw.reply().code(), "");
    let again = [
        close(b'S', "a"),
        parse("a", "EXECUTE b"),
        sync(),
        query("FETCH ALL FROM p"),
    ];
    raw.send(&again.concat());
    raw.reply();
    assert_eq!(raw.reply().code(), "0A000");
    raw.query("ROLLBACK");
    assert_eq!(raw.query("SELECT 1").rows().len(), 1);
}

/// Portals that ROLLBACK TO has destroyed are counted until the transaction ends: they may be there.
#[test]
fn portals_cannot_be_gathered_without_end() {
    let world = world();
    let few = "\n[limits]\nstatements_held_max = 5\nportals_held_max = 5\n";
    let (server, _) = world.another("portals", |config| config + few);
    let token = world.token("support-bot");
    let port = server.local_addr().port();
    let login = Raw::login(port, "support-bot", world.database.name(), token);
    let mut raw = login.unwrap_or_else(|reply| panic!("{:?}", reply.error()));
    raw.query("BEGIN");
    let refused = (0..20).any(|n| {
        raw.query("SAVEPOINT s");
        let series = [
            parse("", &format!("SELECT {n}")),
            bind("p", "", &[]),
            sync(),
        ];
        raw.send(&series.concat());
        let code = raw.reply().code();
        raw.query("ROLLBACK TO s");
        code == "54000"
    });
    assert!(refused);
    raw.query("ROLLBACK");
    raw.send(&[parse("", "SELECT 1"), bind("p", "", &[]), sync()].concat());
    assert_eq!(raw.reply().code(), "");
    world.runtime.block_on(server.shutdown());
}

/// Nothing goes on for a client that is gone: what waits is cancelled, and the backend ends.
#[test]
fn what_a_client_leaves_behind_ends() {
    let world = world();
    let superuser = world.superuser();
    let sql = |text: &str| {
        world
            .runtime
            .block_on(superuser.batch_execute(text))
            .unwrap()
    };
    // Within its transaction a session does not see what others do now.
    let other = world.superuser();
    let count = |text: &str| -> i64 {
        let row = world.runtime.block_on(other.query_one(text, &[])).unwrap();
        row.get(0)
    };
    sql("INSERT INTO tickets (id, subject, body) VALUES (7001, 'left', 'x')");
    sql("BEGIN; UPDATE tickets SET body = 'held' WHERE id = 7001");
    let mut raw = world.login("support-bot");
    raw.send(&query(
        "UPDATE tickets SET status = 'waiting' WHERE id = 7001",
    ));
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE usename = 'pgward_app' AND query LIKE '%waiting%7001%'";
    let until = |wanted: i64| {
        let met = (0..300).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            count(waiting) == wanted
        });
        assert!(met, "{wanted} backends wait");
    };
    until(1);
    drop(raw);
    until(0);
    sql("COMMIT");
    let changed = "SELECT count(*) FROM tickets WHERE id = 7001 AND status = 'waiting'";
    assert_eq!(count(changed), 0);
    sql("DELETE FROM tickets WHERE id = 7001");
}
