//! Thousands of mutations of the attacks, over the wire against real Postgres: whatever they have
//! become, and whatever is answered, no canary comes back.

use crate::mutate::{self, Random};
use crate::raw::Raw;
use crate::world::{World, world};

const ROUNDS: usize = 6_000;

/// A session in which nothing runs for long.
fn session(world: &World) -> Raw {
    let mut raw = world.login("support-bot");
    raw.query("SET statement_timeout = '1s'");
    raw
}

#[test]
fn mutated_attacks_bring_nothing_back() {
    let world = world();
    // What an attempt itself says would come back in what is said of it.
    let seeds: Vec<String> = mutate::statements("attacks")
        .iter()
        .map(|text| text.replace("CANARY", "bird"))
        .collect();
    let mut random = Random::new(20_261_125);
    let mut raw = session(world);
    let (mut answered, mut refused, mut failed) = (0, 0, 0);
    for round in 0..ROUNDS {
        let text = mutate::sql(&mut random, &seeds);
        let reply = raw.query(&text);
        assert!(
            !reply.contains("CANARY"),
            "LEAK by {text}: {:?} {:?}",
            reply.rows(),
            reply.error()
        );
        match reply.code().as_str() {
            "" => answered += 1,
            "42501" | "0A000" | "42601" => refused += 1,
            _ => failed += 1,
        }
        // What one has set must not shield the next.
        if reply.closed || round % 20 == 0 {
            raw = session(world);
        } else if reply.status() != Some('I') {
            raw.query("ROLLBACK");
        }
    }
    println!(
        "{ROUNDS} mutations: {answered} answered, {refused} refused, {failed} failed otherwise"
    );
    assert!(answered > ROUNDS / 50 && refused > ROUNDS / 10);
}
