//! pgward: a Postgres wire-protocol proxy that puts zero trust between AI agents and a database.
//!
//! The order of the modules below is the architecture: a module may use only those above it.
//! `tests/architecture.rs` holds the law.

// GROUND: words that everybody shares.
pub mod ident;
pub mod secret;
pub mod clock;
pub mod refusal;
pub mod principal;
pub mod access;

// PURE: no sockets, no files, no clock, no async.
pub mod wire;
pub mod token;
pub mod catalog;
pub mod sql;
pub mod policy;
pub mod gate;

// EDGES: the outside world, one kind of it each.
pub mod audit;
pub mod jwks;
pub mod upstream;

// FLOWS: one connection from its greeting to its end.
pub mod session;

// TOP: the parts put together.
pub mod config;
pub mod server;
pub mod cli;
