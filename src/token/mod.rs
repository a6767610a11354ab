//! A string becomes a [`Verified`] principal, or nothing. This is where trust begins: [`peek`]
//! routes a token that nobody has believed yet, [`verify()`] is the only way to a [`Verified`], and
//! everything here is pure: the keys and the time are handed in, nothing is fetched, read or
//! logged. No refusal of this module repeats a part of the token.
//!
//! The formats: JWT (RFC 7519) in compact JWS (RFC 7515) with the access token profile (RFC 9068),
//! the chain of agents in `act` (RFC 8693), `authorization_details` (RFC 9396), keys as JWK
//! (RFC 7517).

mod refusals;
mod json;
mod error;
mod keys;
mod config;
mod compact;
mod details;
mod claims;
mod verify;
mod mint;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_claims;
#[cfg(test)]
mod tests_signatures;

pub use compact::{Peek, TOKEN_BYTES_MAX, peek};
pub use config::{Config, Issuer, KeySource};
pub use error::Error;
pub use keys::{Algorithm, KeySet, VerifyingKey};
pub use mint::{Claims, SigningKey, mint};
pub(crate) use refusals::{unknown_issuer, unknown_key};
pub use verify::{Verified, verify};
