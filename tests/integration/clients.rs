//! Real drivers, each a program of its own in `tests/clients`, doing a day's work through pgward.
//! A client that is not installed is skipped with its reason, unless PGWARD_TEST_CLIENTS=required.

use std::process::Command;

use crate::world::world;

/// The exit status of a client that is not installed.
const SKIPPED: i32 = 77;

fn client(name: &str, channel: &str) {
    let world = world();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run");
    let output = Command::new(program)
        .arg(name)
        .env("PGWARD_HOST", "127.0.0.1")
        .env("PGWARD_PORT", world.port.to_string())
        .env("PGWARD_USER", "support-bot")
        .env("PGWARD_DB", world.database.name())
        .env("PGWARD_TOKEN", world.token("support-bot"))
        .env("PGWARD_CHANNEL", channel)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{name} by {channel}: {}", said.trim());
    let required = std::env::var("PGWARD_TEST_CLIENTS").is_ok_and(|word| word == "required");
    if output.status.code() == Some(SKIPPED) && !required {
        return;
    }
    assert!(output.status.success(), "{name} by {channel}: {said}");
}

macro_rules! clients {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                client(stringify!($name), "password");
                client(stringify!($name), "options");
            }
        )*
    };
}

clients!(psql, psycopg3, asyncpg, sqlalchemy, node_pg, jdbc, pgbench);

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
