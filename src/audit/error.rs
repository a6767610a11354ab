//! What can go wrong with the audit log: opening it, its keys, and writing to it. The texts are for
//! operators; what a client may see of a failure comes from [`Failed::refusal`] alone.

use std::io;

use crate::refusal::{Reason, Refusal, SqlState};

use super::verify::Broken;

/// Why the audit log cannot be opened. pgward does not start without it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or created.
    #[error("the audit log {path} cannot be opened: {error}")]
    Open {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The file cannot be read, so its chain cannot be continued.
    #[error("the audit log {path} cannot be read: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The first checkpoint cannot be written.
    #[error("the audit log {path} cannot be written: {error}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Another process writes this file: two writers would break each other's chain.
    #[error("the audit log {path} is in use by another process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file's first or last record does not verify, or its last line is cut short.
    #[error(
        "the audit log {path} cannot be continued: {broken}; keep the file as it is, see \
         `pgward audit verify`, and start a new one"
    )]
    Broken {
        /// The file.
        path: String,
        /// The record at fault.
        broken: Broken,
    },
    /// The file was begun under another signing key, or under none.
    #[error(
        "the audit log {path} was begun with {found}, the configuration has {configured}: one \
         file has one key, so start a new file"
    )]
    OtherKey {
        /// The file.
        path: String,
        /// The key of the file.
        found: String,
        /// The key of the configuration.
        configured: String,
    },
    /// The signing key cannot be used.
    #[error("the audit log's signing key {path} cannot be used: {error}")]
    Key {
        /// The key's file.
        path: String,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The writer thread cannot be started.
    #[error("the audit writer cannot be started: {0}")]
    Thread(io::Error),
}

/// Why a key cannot be used. Never holds any part of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(io::Error),
    /// Not a `PRIVATE KEY` (PKCS #8) in PEM.
    #[error("not a private key in PEM: expected a block BEGIN PRIVATE KEY (PKCS #8, Ed25519)")]
    NotPrivate,
    /// Not a `PUBLIC KEY` (SPKI) in PEM and not 64 hexadecimal digits.
    #[error("not a public key: expected a block BEGIN PUBLIC KEY or 64 hexadecimal digits")]
    NotPublic,
    /// A key, but not one for Ed25519.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// The system could not make a key.
    #[error("an Ed25519 key cannot be made")]
    Generate,
}

/// The audit log did not take a record. Whatever the record describes must not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log did not take a record: {why}")]
pub struct Failed {
    why: String,
}

impl Failed {
    /// A failure and its cause, for operators.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }

    /// What the client is told: 58000, without file names or causes.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(
            SqlState::SYSTEM_ERROR,
            Reason::Unavailable,
            "the audit log is not available, so no statement may run",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_does_not_see_the_cause() {
        let failed = Failed::new("/var/log/pgward/audit.jsonl: No space left on device");
        assert!(failed.to_string().contains("No space left"));
        let refusal = failed.refusal();
        assert_eq!(refusal.code, SqlState::SYSTEM_ERROR);
        assert!(!refusal.message.contains("space"));
        assert_eq!(refusal.detail, None);
    }
}
