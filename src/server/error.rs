//! Why the server cannot start, or cannot take what has changed. The texts are for operators.

use std::io;
use std::path::PathBuf;

use crate::audit;
use crate::catalog;
use crate::jwks;
use crate::policy::Diagnostics;
use crate::upstream;

/// Why the server cannot start, or go on with something new.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A policy file or directory cannot be read.
    #[error("the policy cannot be read: {0}")]
    PolicyRead(io::Error),
    /// The policy has mistakes.
    #[error("the policy has mistakes:\n{0}")]
    Policy(Diagnostics),
    /// The certificate or key towards agents cannot be used.
    #[error("TLS: {} {fault}", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The issuers' keys cannot be used.
    #[error(transparent)]
    Keys(#[from] jwks::Error),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The database cannot be reached, or its schema not be read.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The database's schema is not what this build reads.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        reason: io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    /// A task of the server failed.
    #[error("a task of the server failed")]
    Task,
}
