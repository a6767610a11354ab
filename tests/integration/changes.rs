//! What changes while sessions run: the policy, the schema. Live sessions obey at their next
//! statement, prepared statements included, and a bad policy never replaces a good one.

use std::fs;
use std::time::Duration;

use pgward::server::Server;

use crate::raw::{Raw, bind, execute, parse, sync};
use crate::world::{World, world};

/// A pgward of one's own before the same database, and its policy file.
fn own(world: &World, name: &str) -> (Server, std::path::PathBuf) {
    let (server, directory) = world.another(name, |config| config);
    (server, directory.join("policies/shop.toml"))
}

fn login(world: &World, server: &Server) -> Raw {
    let token = world.token("support-bot");
    Raw::login(
        server.local_addr().port(),
        "agent",
        world.database.name(),
        token,
    )
    .unwrap_or_else(|reply| panic!("{:?}", reply.error()))
}

/// Repeats a query until it comes out as wished.
fn until(raw: &mut Raw, sql: &str, code: &str) {
    for _ in 0..100 {
        if raw.query(sql).code() == code {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{sql} does not come out as {code:?}");
}

#[test]
fn a_new_policy_binds_live_sessions_and_prepared_statements() {
    let world = world();
    let (server, policy) = own(world, "reload");
    let mut raw = login(world, &server);
    raw.send(&[parse("held", "SELECT name FROM customers LIMIT 1"), sync()].concat());
    assert_eq!(raw.reply().letters(), "1Z");
    raw.query("PREPARE sql_held AS SELECT name FROM customers LIMIT 1");
    let good = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, "this is not a policy").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(raw.query("SELECT name FROM customers LIMIT 1").code(), "");
    let closed = good.replace("    \"public.customers\",\n", "");
    fs::write(&policy, closed).unwrap();
    until(&mut raw, "SELECT name FROM customers LIMIT 1", "42501");
    raw.send(&[bind("", "held", &[]), execute("", 0), sync()].concat());
    assert_eq!(raw.reply().code(), "42501");
    assert_eq!(raw.query("EXECUTE sql_held").code(), "42501");
    fs::write(&policy, good).unwrap();
    until(&mut raw, "SELECT name FROM customers LIMIT 1", "");
    raw.send(&[bind("", "held", &[]), execute("", 0), sync()].concat());
    assert_eq!(raw.reply().letters(), "2DCZ");
    world.runtime.block_on(server.shutdown());
}

#[test]
fn a_new_table_is_found_and_is_restricted() {
    let world = world();
    let superuser = world.superuser();
    let mut raw = world.login("support-bot");
    assert_eq!(raw.query("SELECT * FROM born_later").code(), "42P01");
    let sql = "CREATE TABLE public.born_later (a text); \
               GRANT ALL ON public.born_later TO pgward_app; \
               INSERT INTO public.born_later VALUES ('CANARY')";
    world
        .runtime
        .block_on(superuser.batch_execute(sql))
        .unwrap();
    until(&mut raw, "SELECT a FROM born_later", "42501");
    let drop = superuser.batch_execute("DROP TABLE public.born_later");
    world.runtime.block_on(drop).unwrap();
}

#[test]
fn a_server_that_stops_tells_its_sessions() {
    let world = world();
    let (server, _) = own(world, "drain");
    let mut raw = login(world, &server);
    assert_eq!(raw.query("SELECT 1").code(), "");
    world.runtime.block_on(server.shutdown());
    let reply = raw.reply();
    assert_eq!(reply.code(), "57P01");
    assert!(reply.closed);
}
