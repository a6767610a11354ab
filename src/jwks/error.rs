//! What can go wrong with other people's keys, in words for the operator's log. No key and no
//! token is in them; what the agent is told is decided in [`super`].

use std::path::PathBuf;

use crate::token;

/// Why an issuer's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two `[[issuer]]` tables have the same `issuer`.
    #[error("issuer \"{0}\" is configured twice")]
    IssuerTwice(String),
    /// `jwks_uri` is no address that pgward will fetch from.
    #[error("issuer \"{issuer}\": jwks_uri {fault}")]
    Uri {
        /// The issuer.
        issuer: String,
        /// What to change.
        fault: &'static str,
    },
    /// No TLS provider was installed for the process before keys were loaded.
    #[error("no TLS provider is installed")]
    NoProvider,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(String),
    /// The key file cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// `jwks_file`.
        path: PathBuf,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The issuer did not answer, or not in time.
    #[error("cannot fetch the key set: {0}")]
    Fetch(String),
    /// The issuer answered with something other than 200.
    #[error("cannot fetch the key set: status {0}")]
    Status(u16),
    /// More bytes than any key set needs.
    #[error("the key set is longer than {} bytes", super::JWKS_BYTES_MAX)]
    TooLong,
    /// The key set itself is not to be trusted.
    #[error(transparent)]
    KeySet(#[from] token::Error),
}

/// An error with its causes: the library's own first line says too little.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
