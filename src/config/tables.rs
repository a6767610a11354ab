//! The tables that belong to no part of pgward but its beginning: TLS towards agents, the policies'
//! places, the schema's refresh, the process's own log. Raw TOML in, valid values out.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::session::TlsRequired;

/// How often the schema is read again, in seconds, where the configuration is silent.
const REFRESH_SECONDS: u64 = 30;
/// The longest `refresh_seconds`.
const REFRESH_SECONDS_MAX: u64 = 86_400;

/// The certificate that agents are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// The `[tls]` table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    required: Option<bool>,
}

impl RawTls {
    /// Checks that the keys belong together.
    pub(super) fn checked(self) -> Result<(Option<Tls>, TlsRequired), String> {
        let required = match self.required {
            None => TlsRequired::Remote,
            Some(true) => TlsRequired::Always,
            Some(false) => TlsRequired::Never,
        };
        let tls = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err("`certificate` needs `key`".to_owned()),
            (None, Some(_)) => return Err("`key` needs `certificate`".to_owned()),
        };
        Ok((tls, required))
    }
}

/// `policies`: one place, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a path or a list of paths")]
pub(super) enum RawPolicies {
    /// One.
    One(PathBuf),
    /// Several.
    Several(Vec<PathBuf>),
}

impl RawPolicies {
    /// All places.
    pub(super) fn paths(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path],
            Self::Several(paths) => paths,
        }
    }
}

/// The `[catalog]` table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCatalog {
    refresh_seconds: Option<u64>,
}

impl RawCatalog {
    /// How often the schema is read again.
    pub(super) fn refresh(self) -> Result<Duration, String> {
        let seconds = self.refresh_seconds.unwrap_or(REFRESH_SECONDS);
        if (1..=REFRESH_SECONDS_MAX).contains(&seconds) {
            return Ok(Duration::from_secs(seconds));
        }
        Err(format!(
            "`refresh_seconds` must be between 1 and {REFRESH_SECONDS_MAX}"
        ))
    }
}

/// How the process's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The process's own log: the `[log]` table. It holds no tokens and no statements.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged, in the words of `RUST_LOG` (`info`, `pgward=debug`).
    pub level: String,
    /// How it is written.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}
