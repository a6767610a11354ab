//! pgward over the wire, against real Postgres: one file for each kind of test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "what is not as expected ends the test"
)]

mod attacks;
mod audit;
mod changes;
mod cli;
mod clients;
mod container;
mod everyday;
mod fidelity;
#[allow(dead_code, reason = "the fuzz targets need more of it")]
#[path = "../fuzz/mutate.rs"]
mod mutate;
mod introspection;
mod mutations;
mod oracle;
mod process;
mod protocol;
mod raw;
mod tls;
mod tokens;
mod world;
