//! `pgward.toml`: one file, and the environment, become one valid [`Config`], or an error that says
//! where and what to write. Each part of pgward owns its own table; this module takes the file apart
//! and checks what only the whole can show. It opens nothing and connects to nothing.
//!
//! ```toml
//! listen   = "127.0.0.1:6543"        # an address and a port; 0 is any free port
//! policies = ["policies"]            # files, or directories with *.toml
//!
//! [tls]                              # towards agents
//! certificate = "server.pem"         # the chain, PEM
//! key         = "server.key"         # PKCS #8, PEM
//! # required  = true                 # true: everybody; false: nobody; left out: all but this machine
//!
//! [upstream]                         # the database; or url = "postgres://…" alone
//! host         = "db.internal"
//! database     = "shop"
//! user         = "pgward"
//! password_env = "PGWARD_DB_PASSWORD"
//! sslrootcert  = "db-ca.pem"
//!
//! [[issuer]]                         # whose tokens count; as many as there are
//! issuer     = "https://issuer.example"
//! audience   = ["pgward"]
//! algorithms = ["EdDSA"]
//! jwks_uri   = "https://issuer.example/jwks.json"
//!
//! [audit]
//! path        = "audit.jsonl"
//! signing_key = "audit-key.pem"
//!
//! [oauth]                            # how a token is asked for that is not in the startup packet
//! method = "password"                # or "oauthbearer", with openid_configuration and scope
//!
//! [catalog]
//! refresh_seconds = 30               # how often the database's schema is read again
//!
//! [limits]                           # every limit of the protocol, see `wire::Limits`
//! sessions_max = 1000
//!
//! [log]
//! level  = "info"                    # as RUST_LOG has it
//! format = "text"                    # or "json"
//! ```
//!
//! Relative paths begin at the directory of the file. Some keys can be overridden by the environment:
//! `PGWARD_LISTEN`, `PGWARD_POLICIES`, `PGWARD_TLS_CERTIFICATE`, `PGWARD_TLS_KEY`,
//! `PGWARD_UPSTREAM_URL`, `…_HOST`, `…_PORT`, `…_DATABASE`, `…_USER`, `…_PASSWORD`,
//! `…_PASSWORD_FILE`, `…_SSLMODE`, `…_SSLROOTCERT`, `PGWARD_AUDIT_PATH`, `PGWARD_LOG_LEVEL`,
//! `PGWARD_LOG_FORMAT`.

mod error;
mod document;
mod policies;
mod tables;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use crate::audit;
use crate::session::{Login, TlsRequired};
use crate::token::{self, Issuer};
use crate::upstream;
use crate::wire::Limits;

pub use error::Error;
pub use policies::PolicyFiles;
pub(crate) use policies::is_policy_file;
pub use tables::{Format, Log, Tls};

use document::Document;
use tables::{RawCatalog, RawPolicies, RawTls};

/// Where pgward listens, where the configuration is silent.
const LISTEN: &str = "127.0.0.1:6543";

/// Where the policies are, where the configuration is silent.
const POLICIES: &str = "policies";

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Policy files, and directories with policy files.
    pub policies: Vec<PathBuf>,
    /// The certificate towards agents; none where there is no TLS.
    pub tls: Option<Tls>,
    /// Who must use TLS.
    pub tls_required: TlsRequired,
    /// The database.
    pub upstream: upstream::Config,
    /// Whose tokens count.
    pub issuers: Vec<Issuer>,
    /// The audit log.
    pub audit: audit::Config,
    /// How a token is asked for.
    pub login: Login,
    /// How often the database's schema is read again.
    pub catalog_refresh: Duration,
    /// The limits of the protocol.
    pub limits: Limits,
    /// The process's own log.
    pub log: Log,
}

impl Config {
    /// Reads a file, and the environment.
    ///
    /// # Errors
    /// The first mistake, with file, line and what to write.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|reason| Error::Read {
            path: path.to_owned(),
            reason,
        })?;
        Self::parse(path, text, &|name| std::env::var(name).ok())
    }

    /// Reads a text that came from the file `path`; `environment` looks a variable up.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        path: &Path,
        text: String,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut document = Document::new(path, text, environment)?;
        document.check_keys()?;
        let listen = listen(&mut document)?;
        let raw: RawTls = document.take("tls")?.unwrap_or_default();
        let (tls, tls_required) = raw
            .checked()
            .map_err(|fault| document.fault("tls", &fault))?;
        reachable(&document, listen, tls.is_some(), tls_required)?;
        let policies = document
            .take("policies")?
            .map_or_else(|| vec![document.beside(POLICIES)], RawPolicies::paths);
        if policies.is_empty() {
            return Err(document.fault("policies", "name at least one file or directory"));
        }
        let catalog: RawCatalog = document.take("catalog")?.unwrap_or_default();
        let limits: Limits = document.take("limits")?.unwrap_or_default();
        limits
            .check()
            .map_err(|error| document.fault("limits", &error.to_string()))?;
        Ok(Self {
            listen,
            policies,
            tls,
            tls_required,
            upstream: upstream(&mut document)?,
            issuers: issuers(&mut document)?,
            audit: document
                .take("audit")?
                .ok_or_else(|| document.fault("audit", "missing; write [audit] with path = …"))?,
            login: document.take("oauth")?.unwrap_or_default(),
            catalog_refresh: catalog
                .refresh()
                .map_err(|fault| document.fault("catalog", &fault))?,
            limits,
            log: document.take("log")?.unwrap_or_default(),
        })
    }
}

fn listen(document: &mut Document) -> Result<SocketAddr, Error> {
    let text: Option<String> = document.take("listen")?;
    text.as_deref().unwrap_or(LISTEN).parse().map_err(|_| {
        document.fault(
            "listen",
            "write an address and a port, such as \"127.0.0.1:6543\" or \"0.0.0.0:6543\"",
        )
    })
}

/// Agents must be able to come in.
fn reachable(
    document: &Document,
    listen: SocketAddr,
    tls: bool,
    required: TlsRequired,
) -> Result<(), Error> {
    if tls || required.allows_plain(listen.ip().is_loopback()) {
        return Ok(());
    }
    Err(document.fault(
        "tls",
        "agents must use TLS there; set certificate and key in [tls], or required = false on a \
         network that nobody else can read",
    ))
}

fn upstream(document: &mut Document) -> Result<upstream::Config, Error> {
    const TABLE: &str = "upstream";
    let Some(url) = document.take_key(TABLE, "url") else {
        return document.take(TABLE)?.ok_or_else(|| {
            let message = "missing; write [upstream] with host, database, user and password_env";
            document.fault(TABLE, message)
        });
    };
    if document.has_keys(TABLE) {
        return Err(document.fault(TABLE, "`url` stands alone: remove the other keys"));
    }
    let _empty: Option<Value> = document.take(TABLE)?;
    let Value::String(url) = url else {
        return Err(document.fault(TABLE, "`url` must be a text"));
    };
    upstream::Config::from_url(&url).map_err(|error| document.fault(TABLE, &error.to_string()))
}

fn issuers(document: &mut Document) -> Result<Vec<Issuer>, Error> {
    let tables: Vec<token::Config> = document.take_all("issuer")?;
    if tables.is_empty() {
        let message = "missing; write [[issuer]] with issuer, audience, algorithms and jwks_uri";
        return Err(document.fault("issuer", message));
    }
    let checked = tables.into_iter().map(Issuer::new);
    checked
        .collect::<Result<_, _>>()
        .map_err(|error| document.fault("issuer", &error.to_string()))
}
