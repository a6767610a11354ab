//! Where the database is and how pgward signs in to it: the `[upstream]` table of the
//! configuration, or a connection URL, turned into one validated value. It never opens a
//! connection and never falls back to a weaker one.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::error::Error;
use super::url;
use crate::secret::Secret;

/// Postgres's own port.
const PORT: u16 = 5432;
/// Milliseconds a connection may take to become ready, where the configuration is silent.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// The longest `connect_timeout_ms`, in milliseconds.
const CONNECT_TIMEOUT_MS_MAX: u64 = 600_000;
/// The word of `sslrootcert` that stands for the certificates the machine trusts.
const SYSTEM_ROOTS: &str = "system";

/// How far the connection to the database is protected (libpq's `sslmode`; Postgres manual,
/// "SSL Support" of libpq). `allow` and `prefer` do not exist: they fall back to plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SslMode {
    /// Plain text. The only mode of a Unix socket.
    Disable,
    /// TLS with whatever certificate the server shows; with `sslrootcert` the same as `verify-ca`.
    Require,
    /// TLS with a certificate that `sslrootcert` vouches for, under any name.
    VerifyCa,
    /// TLS with a trusted certificate that carries the configured host name.
    VerifyFull,
}

impl SslMode {
    /// The word used in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl TryFrom<String> for SslMode {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        if matches!(word.as_str(), "allow" | "prefer") {
            return Err(format!(
                "sslmode \"{word}\" can fall back to plain text; write \"verify-full\", or \
                 \"disable\" where plain text is meant"
            ));
        }
        [
            Self::Disable,
            Self::Require,
            Self::VerifyCa,
            Self::VerifyFull,
        ]
        .into_iter()
        .find(|mode| mode.word() == word)
        .ok_or_else(|| {
            "sslmode must be \"disable\", \"require\", \"verify-ca\" or \"verify-full\"".to_owned()
        })
    }
}

/// Whether the SCRAM login is tied to the TLS connection (libpq's `channel_binding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Always: a login without it is given up.
    Require,
}

/// Where the password comes from. It is read again for every connection, so that a rotated file
/// needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PasswordSource {
    /// There is none: the database must not ask.
    None,
    /// It stands in the configuration.
    Given(Secret),
    /// The content of a file, without its last line break.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl PasswordSource {
    /// Reads the password. Fails where the file or the variable cannot be read.
    pub(crate) fn read(&self) -> Result<Option<Secret>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Given(secret) => Ok(Some(secret.clone())),
            Self::File(path) => {
                let text =
                    Secret::new(std::fs::read_to_string(path).map_err(|source| Error::File {
                        path: path.clone(),
                        source,
                    })?);
                let line = text.expose();
                let line = line.strip_suffix('\n').unwrap_or(line);
                password(line.strip_suffix('\r').unwrap_or(line)).map(Some)
            }
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => password(Secret::new(text).expose()).map(Some),
                Err(_) => Err(Error::Config(format!(
                    "password_env names the environment variable {name}, which is not set"
                ))),
            },
        }
    }
}

/// A password as the wire can carry it: not empty, no NUL.
fn password(text: &str) -> Result<Secret, Error> {
    if text.is_empty() || text.contains('\0') {
        return Err(Error::Config(
            "the password is empty or contains a NUL".to_owned(),
        ));
    }
    Ok(Secret::new(text))
}

/// Whose signature on a server certificate counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Nobody's: any certificate will do.
    Any,
    /// The certificate authorities the machine trusts.
    System,
    /// The certificates in a PEM file.
    File(PathBuf),
}

/// The database behind pgward and how to sign in to it.
#[derive(Clone, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: PasswordSource,
    pub(super) sslmode: SslMode,
    pub(super) roots: Roots,
    pub(super) channel_binding: ChannelBinding,
    pub(super) connect_timeout: Duration,
}

impl Config {
    /// Reads a connection URL: `postgres://user:password@host:port/database?sslmode=…` (Postgres
    /// manual, "Connection URIs"). Parameters: those of the `[upstream]` table under libpq's names
    /// (`dbname`, `connect_timeout` in seconds).
    ///
    /// # Errors
    /// [`Error::Config`], which never repeats the URL.
    pub fn from_url(text: &str) -> Result<Self, Error> {
        Self::try_from(url::parse(text)?)
    }

    /// Host name, address, or the directory of a Unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port, or the number in the Unix socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The database all sessions use.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role all sessions use.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How far the connection is protected.
    pub fn sslmode(&self) -> SslMode {
        self.sslmode
    }

    /// How long a connection may take to become ready.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// `host:port`, for operators; never shown to clients.
    pub(crate) fn address(&self) -> String {
        if self.is_unix() {
            format!("{}/.s.PGSQL.{}", self.host.trim_end_matches('/'), self.port)
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the host is the directory of a Unix socket.
    pub(crate) fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address())
            .field("database", &self.database)
            .field("user", &self.user)
            .field("sslmode", &self.sslmode)
            .finish_non_exhaustive()
    }
}

/// The `[upstream]` table as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_env: Option<String>,
    pub(super) sslmode: Option<SslMode>,
    pub(super) sslrootcert: Option<String>,
    pub(super) channel_binding: Option<ChannelBinding>,
    pub(super) connect_timeout_ms: Option<u64>,
}

impl TryFrom<RawConfig> for Config {
    type Error = Error;

    fn try_from(mut raw: RawConfig) -> Result<Self, Error> {
        named("host", &raw.host)?;
        named("database", &raw.database)?;
        named("user", &raw.user)?;
        let sslmode = sslmode(&raw)?;
        let roots = roots(&raw, sslmode)?;
        let channel_binding = raw.channel_binding.unwrap_or(ChannelBinding::Prefer);
        if channel_binding == ChannelBinding::Require && sslmode == SslMode::Disable {
            return refused("channel_binding = \"require\" needs TLS; set sslmode");
        }
        Ok(Self {
            port: port(raw.port)?,
            password: password_source(&mut raw)?,
            connect_timeout: connect_timeout(raw.connect_timeout_ms)?,
            host: raw.host,
            database: raw.database,
            user: raw.user,
            sslmode,
            roots,
            channel_binding,
        })
    }
}

/// A configuration error in one line.
fn refused<T>(words: impl Into<String>) -> Result<T, Error> {
    Err(Error::Config(words.into()))
}

/// Refuses a name that the startup packet could not carry.
fn named(what: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return refused(format!("{what} is missing or empty"));
    }
    if value.contains('\0') {
        return refused(format!("{what} contains a NUL"));
    }
    Ok(())
}

fn port(port: Option<u16>) -> Result<u16, Error> {
    match port {
        Some(0) => refused("port must be between 1 and 65535"),
        Some(port) => Ok(port),
        None => Ok(PORT),
    }
}

fn connect_timeout(ms: Option<u64>) -> Result<Duration, Error> {
    let ms = ms.unwrap_or(CONNECT_TIMEOUT_MS);
    if ms == 0 || ms > CONNECT_TIMEOUT_MS_MAX {
        return refused(format!(
            "connect_timeout_ms must be between 1 and {CONNECT_TIMEOUT_MS_MAX}"
        ));
    }
    Ok(Duration::from_millis(ms))
}

/// The one source of the password.
fn password_source(raw: &mut RawConfig) -> Result<PasswordSource, Error> {
    let given = raw.password.take().map(Secret::new);
    match (given, raw.password_file.take(), raw.password_env.take()) {
        (None, None, None) => Ok(PasswordSource::None),
        (Some(text), None, None) => password(text.expose()).map(PasswordSource::Given),
        (None, Some(path), None) => Ok(PasswordSource::File(path)),
        (None, None, Some(name)) => Ok(PasswordSource::Env(name)),
        _ => refused("set only one of password, password_file and password_env"),
    }
}

/// The mode in force. Where none is set: none needed inside the machine, `verify-full` outside.
fn sslmode(raw: &RawConfig) -> Result<SslMode, Error> {
    let unix = raw.host.starts_with('/');
    match raw.sslmode {
        None | Some(SslMode::Disable) if unix => Ok(SslMode::Disable),
        Some(_) if unix => refused("a Unix socket has no TLS; remove sslmode or set \"disable\""),
        Some(SslMode::Require) if raw.sslrootcert.is_some() => Ok(SslMode::VerifyCa),
        Some(mode) => Ok(mode),
        None if raw.sslrootcert.is_none() && is_loopback(&raw.host) => Ok(SslMode::Disable),
        None => Ok(SslMode::VerifyFull),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Which certificates the mode trusts.
fn roots(raw: &RawConfig, sslmode: SslMode) -> Result<Roots, Error> {
    match (sslmode, raw.sslrootcert.as_deref()) {
        (_, Some("")) => refused("sslrootcert is empty"),
        (SslMode::Disable, Some(_)) => refused("sslrootcert has no use with sslmode \"disable\""),
        (SslMode::Disable | SslMode::Require, _) => Ok(Roots::Any),
        (SslMode::VerifyCa, None) => refused("sslmode \"verify-ca\" needs sslrootcert"),
        (SslMode::VerifyCa, Some(SYSTEM_ROOTS)) => refused(
            "with sslrootcert = \"system\" anybody's certificate would do; set sslmode = \
             \"verify-full\"",
        ),
        (SslMode::VerifyFull, None | Some(SYSTEM_ROOTS)) => Ok(Roots::System),
        (SslMode::VerifyCa | SslMode::VerifyFull, Some(path)) => Ok(Roots::File(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    const REQUIRED: &str = "host = \"db.internal\"\ndatabase = \"shop\"\nuser = \"pgward\"\n";

    #[test]
    fn defaults_are_the_safe_ones() {
        let remote = config(REQUIRED).unwrap();
        assert_eq!(remote.port(), 5432);
        assert_eq!(remote.sslmode(), SslMode::VerifyFull);
        assert_eq!(remote.roots, Roots::System);
        assert_eq!(remote.channel_binding, ChannelBinding::Prefer);
        assert_eq!(remote.connect_timeout(), Duration::from_secs(5));
        for host in ["localhost", "127.0.0.1", "::1", "/var/run/postgresql"] {
            let text = REQUIRED.replace("db.internal", host);
            assert_eq!(config(&text).unwrap().sslmode(), SslMode::Disable, "{host}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, words) in [
            ("sslmode = \"prefer\"", "fall back to plain text"),
            ("sslmode = \"verify\"", "sslmode must be"),
            ("sslmode = \"verify-ca\"", "needs sslrootcert"),
            (
                "sslmode = \"verify-ca\"\nsslrootcert = \"system\"",
                "verify-full",
            ),
            ("sslmode = \"disable\"\nsslrootcert = \"ca.pem\"", "no use"),
            (
                "sslmode = \"disable\"\nchannel_binding = \"require\"",
                "needs TLS",
            ),
            ("port = 0", "port must be"),
            ("connect_timeout_ms = 0", "connect_timeout_ms must be"),
            ("password = \"\"", "password is empty"),
            ("password = \"a\"\npassword_env = \"B\"", "only one of"),
            ("colour = \"blue\"", "unknown field"),
        ] {
            let error = config(&format!("{REQUIRED}{line}\n")).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
        let unix = REQUIRED.replace("db.internal", "/tmp");
        let error = config(&format!("{unix}sslmode = \"require\"")).unwrap_err();
        assert!(error.contains("Unix socket"), "{error}");
        assert!(config("host = \"a\"\nuser = \"b\"").is_err());
    }

    #[test]
    fn require_with_roots_verifies_them() {
        let text = format!("{REQUIRED}sslmode = \"require\"\nsslrootcert = \"ca.pem\"");
        let config = config(&text).unwrap();
        assert_eq!(config.sslmode(), SslMode::VerifyCa);
        assert_eq!(config.roots, Roots::File("ca.pem".into()));
    }

    #[test]
    fn debug_shows_no_password() {
        let config = config(&format!("{REQUIRED}password = \"hunter2\"")).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.password.read().unwrap().unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_password_file_loses_its_line_break() {
        let path = std::env::temp_dir().join(format!("pgward-password-{}", std::process::id()));
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let source = PasswordSource::File(path.clone());
        assert_eq!(source.read().unwrap().unwrap().expose(), "hunter2");
        std::fs::write(&path, "\n").unwrap();
        assert!(source.read().is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(source.read().is_err());
    }

    #[test]
    fn addresses_for_operators() {
        for (host, address) in [
            ("db.internal", "db.internal:5432"),
            ("::1", "[::1]:5432"),
            ("/tmp/", "/tmp/.s.PGSQL.5432"),
        ] {
            let text = REQUIRED.replace("db.internal", host);
            assert_eq!(config(&text).unwrap().address(), address);
        }
    }
}
