//! pgward over the wire, against real Postgres: one file for each kind of test.

mod attacks;
mod audit;
mod changes;
mod clients;
mod container;
mod everyday;
mod oracle;
mod protocol;
mod raw;
mod tokens;
mod world;
