//! Tokens on the wire: the three ways to bring one, and what is said of those that do not count.

use pgward::clock::{Clock, SystemClock, Timestamp};
use pgward::token::{Algorithm, Claims, SigningKey, mint};

use crate::raw::{Raw, Reply, frame, startup};
use crate::world::{World, world};

fn claims(world: &World) -> Claims {
    let (issuer, audience) = world.trust();
    let now = SystemClock.now();
    let mut claims = Claims::new(issuer, audience, "alice", "support-bot", "t-1", now, 600);
    claims.groups = vec!["support".to_owned()];
    claims
}

fn refused(world: &World, key: &SigningKey, claims: &Claims) -> Reply {
    let token = mint(key, claims).unwrap();
    let login = Raw::login(world.port, "agent", world.database.name(), token.expose());
    let reply = match login {
        Ok(_) => panic!("logged in with {claims:?}"),
        Err(reply) => reply,
    };
    assert_eq!(reply.code(), "28000", "{:?}", reply.error());
    assert!(reply.closed);
    for part in token.expose().split('.') {
        assert!(!reply.contains(part), "the token is echoed");
    }
    reply
}

fn message(reply: &Reply) -> String {
    reply.error().unwrap().get(b'M').unwrap().to_owned()
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let world = world();
    let now = SystemClock.now().seconds();
    let at = Timestamp::from_seconds;
    type Change = Box<dyn Fn(&mut Claims)>;
    let cases: [(&str, Change); 6] = [
        (
            "expired",
            Box::new(move |c| {
                c.iat = at(now - 1000);
                c.nbf = at(now - 1000);
                c.exp = at(now - 10);
            }),
        ),
        ("not valid yet", Box::new(move |c| c.nbf = at(now + 100))),
        (
            "not meant for",
            Box::new(|c| c.aud = vec!["someone else".to_owned()]),
        ),
        (
            "issuer",
            Box::new(|c| c.iss = "https://other.example".to_owned()),
        ),
        ("agent", Box::new(|c| c.chain.clear())),
        ("long", Box::new(move |c| c.exp = at(now + 1_000_000))),
    ];
    for (word, change) in cases {
        let mut claims = claims(world);
        change(&mut claims);
        let said = message(&refused(world, &world.key, &claims));
        assert!(said.contains(word), "{word}: {said}");
    }
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let said = message(&refused(world, &stranger, &claims(world)));
    assert!(said.contains("key"), "{said}");
}

#[test]
fn no_token_and_no_jwt() {
    let world = world();
    for credential in ["", "secret", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let login = Raw::login(world.port, "postgres", world.database.name(), credential);
        let Err(reply) = login else {
            panic!("logged in with {credential:?}");
        };
        assert_eq!(reply.code(), "28000");
        assert!(reply.closed);
    }
}

#[test]
fn a_token_may_come_as_a_startup_parameter_or_in_options() {
    let world = world();
    let token = world.token("support-bot");
    let quoted = format!("-c pgward.token={token} -c  TimeZone=UTC --extra_float_digits=3");
    for (name, value) in [("pgward.token", token), ("options", quoted.as_str())] {
        let mut raw = Raw::open(world.port);
        let parameters = [
            ("user", "agent"),
            ("database", world.database.name()),
            (name, value),
        ];
        raw.send(&startup(&parameters));
        let mut raw = raw
            .finish_login()
            .unwrap_or_else(|reply| panic!("{:?}", reply.error()));
        assert_eq!(
            raw.query("SELECT count(*) FROM customers").tags(),
            ["SELECT 1"]
        );
        let shown =
            raw.query("SELECT current_setting('pgward.user'), current_setting('pgward.agent')");
        assert_eq!(
            shown.rows(),
            [[Some("alice".to_owned()), Some("support-bot".to_owned())]]
        );
    }
}

#[test]
fn the_token_reaches_neither_the_database_nor_the_log() {
    let world = world();
    let token = world.token("support-bot").to_owned();
    let mut raw = Raw::open(world.port);
    let options = format!("-c pgward.token={token}");
    let parameters = [
        ("user", "agent"),
        ("database", world.database.name()),
        ("options", options.as_str()),
    ];
    raw.send(&startup(&parameters));
    let mut raw = raw
        .finish_login()
        .unwrap_or_else(|reply| panic!("{:?}", reply.error()));
    let error = raw.query("SELECT ssn FROM customers");
    assert!(!error.contains(&token));
    let superuser = world.superuser();
    let rows = world
        .runtime
        .block_on(superuser.query("SELECT row_to_json(a)::text FROM pg_stat_activity a", &[]))
        .unwrap();
    assert!(rows.len() > 1);
    for row in rows {
        let text: String = row.get(0);
        assert!(!text.contains(&token));
    }
    assert!(!world.audit_log().contains(&token));
}

#[test]
fn settings_at_startup_follow_the_rules_of_set() {
    let world = world();
    let token = world.token("support-bot");
    for (name, value) in [
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("standard_conforming_strings", "off"),
        ("client_encoding", "LATIN1"),
        ("row_security", "off"),
        ("options", "-c role=postgres"),
        ("options", "-c standard_conforming_strings=off"),
        ("options", "-c\\ role=postgres"),
        ("options", "--session-authorization=postgres"),
        ("options", "-crole=postgres"),
        ("pgward.user", "root"),
        ("search_path", "hr, pg_catalog"),
    ] {
        let mut raw = Raw::open(world.port);
        let parameters = [
            ("user", "agent"),
            ("database", world.database.name()),
            ("pgward.token", token),
            (name, value),
        ];
        raw.send(&startup(&parameters));
        let Err(reply) = raw.finish_login() else {
            panic!("{name}={value} was let through");
        };
        assert!(reply.closed, "{name}={value}");
        assert!(!reply.code().is_empty(), "{name}={value}");
    }
}

#[test]
fn another_database_is_refused() {
    let world = world();
    let login = Raw::login(world.port, "agent", "postgres", world.token("support-bot"));
    let Err(reply) = login else {
        panic!("logged in to another database");
    };
    assert_eq!(reply.code(), "3D000");
}

#[test]
fn the_identity_cannot_be_set_afterwards() {
    let mut raw = world().login("support-bot");
    for sql in [
        "SET pgward.\"user\" = 'root'",
        "SELECT set_config('pgward.user', 'root', false)",
        "RESET pgward.\"user\"",
    ] {
        assert_eq!(raw.query(sql).code(), "0A000", "{sql}");
    }
    let shown = raw.query("SHOW pgward.\"user\"");
    assert_eq!(shown.rows(), [[Some("alice".to_owned())]]);
    raw.query("DISCARD ALL");
    assert_eq!(
        raw.query("SHOW pgward.\"user\"").rows(),
        [[Some("alice".to_owned())]]
    );
}

#[test]
fn a_password_message_twice_or_elsewhere_is_a_protocol_error() {
    let mut raw = world().login("support-bot");
    raw.send(&frame(b'p', b"again\0"));
    let reply = raw.reply();
    assert_eq!(reply.code(), "08P01");
    assert!(reply.closed);
}
