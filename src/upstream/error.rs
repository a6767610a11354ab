//! What can go wrong on the way to the database. `Display` is for operators and logs, and names
//! hosts and roles; [`Error::refusal`] is what a client may be told, and names neither. No text
//! here ever holds a password.

use std::io;
use std::path::PathBuf;

use crate::refusal::{Reason, Refusal, SqlState};

/// Why the database could not be reached, signed in to or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not make sense.
    #[error("upstream: {0}")]
    Config(String),
    /// A file that the configuration names cannot be read.
    #[error("upstream: cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No connection could be opened.
    #[error("cannot connect to the database at {address}: {source}")]
    Unreachable {
        /// `host:port` or the socket's path.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The database did not answer in time.
    #[error("the database at {address} did not answer within {milliseconds} ms")]
    Timeout {
        /// `host:port` or the socket's path.
        address: String,
        /// The time it was given, in milliseconds.
        milliseconds: u64,
    },
    /// The connection broke before it was ready.
    #[error("the connection to the database was lost: {0}")]
    Lost(#[from] io::Error),
    /// The server has no TLS although the configuration asks for it.
    #[error(
        "the database at {0} does not accept TLS connections, and sslmode does not allow plain text"
    )]
    TlsRefused(String),
    /// The TLS handshake failed: an untrusted certificate, a wrong name, no common version.
    #[error("TLS with the database at {address} failed: {source}")]
    Tls {
        /// `host:port`.
        address: String,
        /// What the TLS library said.
        source: io::Error,
    },
    /// The peer does not speak the protocol as it should; an attack is possible.
    #[error("the database broke the protocol: {0}")]
    Protocol(String),
    /// The login cannot be completed in a way that pgward accepts.
    #[error("signing in to the database failed: {0}")]
    Authentication(String),
    /// The database answered with an error.
    #[error("the database answered {code}: {message:?}")]
    Rejected {
        /// SQLSTATE.
        code: String,
        /// The primary message.
        message: String,
    },
    /// A setting that decides what text means is not what pgward asked for.
    #[error("the database reports {name} = {value:?}; pgward needs {wanted:?}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What the database reports; empty where it reports nothing.
        value: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A startup parameter that pgward sets itself, or that the packet cannot carry.
    #[error("the startup parameter {0:?} cannot be passed to the database")]
    Parameter(String),
    /// The schema could not be read.
    #[error("the database's schema could not be read: {0}")]
    Introspect(String),
    /// The machine gave no random bytes.
    #[error("no random bytes could be had")]
    Random,
}

impl Error {
    /// What the client may be told: that the database is not there for it, and no more.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Rejected { code, .. } => rejected(code),
            Self::Timeout { .. } => unavailable("the database did not answer in time"),
            Self::Parameter(_) => Refusal::protocol("a startup parameter is not allowed"),
            Self::Config(_)
            | Self::File { .. }
            | Self::Unreachable { .. }
            | Self::Lost(_)
            | Self::TlsRefused(_)
            | Self::Tls { .. }
            | Self::Protocol(_)
            | Self::Authentication(_)
            | Self::Setting { .. }
            | Self::Introspect(_)
            | Self::Random => unavailable("the database is not available"),
        }
    }
}

/// 57P03: nothing the client can do but wait.
fn unavailable(message: &str) -> Refusal {
    Refusal::new(SqlState::CANNOT_CONNECT_NOW, Reason::Unavailable, message)
}

/// The database's own refusal, by its code alone.
fn rejected(code: &str) -> Refusal {
    match code {
        "53300" => Refusal::new(
            SqlState::TOO_MANY_CONNECTIONS,
            Reason::Unavailable,
            "sorry, too many clients already",
        ),
        "22023" | "42704" | "42602" => Refusal::new(
            SqlState("22023"),
            Reason::Protocol,
            "the database did not accept a startup parameter",
        ),
        "57P03" => unavailable("the database is starting up or shutting down"),
        _ => unavailable("the database is not available"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_learn_no_names() {
        let error = Error::Unreachable {
            address: "db.internal:5432".to_owned(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert!(error.to_string().contains("db.internal:5432"));
        let refusal = error.refusal();
        assert_eq!(refusal.code, SqlState::CANNOT_CONNECT_NOW);
        assert!(!refusal.message.contains("db.internal"));

        for (code, expected) in [
            ("53300", "53300"),
            ("28P01", "57P03"),
            ("3D000", "57P03"),
            ("22023", "22023"),
        ] {
            let error = Error::Rejected {
                code: code.to_owned(),
                message: "role \"pgward\" at db.internal".to_owned(),
            };
            let refusal = error.refusal();
            assert_eq!(refusal.code.0, expected);
            assert!(!refusal.message.contains("pgward"));
        }
    }
}
