//! Real drivers, each a program of its own in `tests/clients`, doing a day's work through pgward.
//! A client that is not installed is skipped with its reason, unless PGWARD_TEST_CLIENTS=required.

use std::path::Path;
use std::process::Command;

use crate::tls;
use crate::world::world;

/// The exit status of a client that is not installed.
const SKIPPED: i32 = 77;

/// Where a client connects to.
struct Place<'a> {
    port: u16,
    channel: &'a str,
    /// The authority that vouches for pgward's certificate: TLS is then demanded.
    authority: Option<&'a Path>,
}

fn client(name: &str, place: &Place<'_>) {
    let world = world();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run");
    let mut command = Command::new(program);
    command
        .arg(name)
        .env("PGWARD_HOST", "127.0.0.1")
        .env("PGWARD_PORT", place.port.to_string())
        .env("PGWARD_USER", "support-bot")
        .env("PGWARD_DB", world.database.name())
        .env("PGWARD_TOKEN", world.token("support-bot"))
        .env("PGWARD_CHANNEL", place.channel);
    if let Some(authority) = place.authority {
        command.env("PGWARD_SSLROOTCERT", authority);
    }
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let way = format!(
        "{name} by {}{}",
        place.channel,
        place.authority.map_or("", |_| " in TLS")
    );
    println!("{way}: {}", said.trim());
    let required = std::env::var("PGWARD_TEST_CLIENTS").is_ok_and(|word| word == "required");
    if output.status.code() == Some(SKIPPED) && !required {
        return;
    }
    assert!(output.status.success(), "{way}: {said}");
}

/// By password and by options in plain text, and by password in TLS.
fn every_way(name: &str) {
    let port = world().port;
    for channel in ["password", "options"] {
        let authority = None;
        client(
            name,
            &Place {
                port,
                channel,
                authority,
            },
        );
    }
    let encrypted = tls::shared();
    let authority = Some(encrypted.authority.as_path());
    let port = encrypted.port;
    client(
        name,
        &Place {
            port,
            channel: "password",
            authority,
        },
    );
}

macro_rules! clients {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                every_way(stringify!($name));
            }
        )*
    };
}

clients!(psql, psycopg3, asyncpg, sqlalchemy, node_pg, jdbc, pgbench);

/// A client that knows SASL OAUTHBEARER, in plain text on loopback and in TLS.
#[test]
fn oauthbearer() {
    let world = world();
    let ask = "\n[oauth]\nmethod = \"oauthbearer\"\nscope = \"pgward\"\nopenid_configuration = \
               \"https://issuer.example/.well-known/openid-configuration\"\n";
    let channel = "oauthbearer";
    let (server, _) = world.another("oauth", |config| config + ask);
    let port = server.local_addr().port();
    let authority = None;
    client(
        "oauthbearer",
        &Place {
            port,
            channel,
            authority,
        },
    );
    let encrypted = tls::Encrypted::with("oauth-tls", ask);
    let (port, authority) = (encrypted.port, Some(encrypted.authority.as_path()));
    client(
        "oauthbearer",
        &Place {
            port,
            channel,
            authority,
        },
    );
    world.runtime.block_on(server.shutdown());
    world.runtime.block_on(encrypted.server.shutdown());
}

/// tokio-postgres is linked in: prepared statements, parameters, a transaction, COPY, a refusal.
#[test]
fn tokio_postgres_works() {
    let world = world();
    world.runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(world.port)
            .user("support-bot");
        config
            .dbname(world.database.name())
            .password(world.token("support-bot"));
        let (mut client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statement = client
            .prepare("SELECT id, name, created_at FROM customers WHERE id = $1")
            .await
            .unwrap();
        for id in 1..=3 {
            let row = client.query_one(&statement, &[&id]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), id);
        }
        let error = client
            .query("SELECT ssn FROM customers", &[])
            .await
            .unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
        let transaction = client.transaction().await.unwrap();
        let changed = transaction
            .execute(
                "UPDATE tickets SET status = $1 WHERE id = $2",
                &[&"closed", &3],
            )
            .await
            .unwrap();
        assert_eq!(changed, 1);
        transaction.rollback().await.unwrap();
        let many = client
            .query("SELECT n FROM generate_series(1, 5000) AS n", &[])
            .await
            .unwrap();
        assert_eq!(many.len(), 5000);
    });
}
