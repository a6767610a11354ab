//! Connection URLs (Postgres manual, "Connection URIs"), taken apart into the `[upstream]` table
//! they stand for. Only syntax: what the values mean is [`super::config`]'s. No error here repeats
//! any part of the URL except a parameter's name, because the URL may hold the password.

use super::config::{ChannelBinding, RawConfig, SslMode};
use super::error::Error;

/// Takes a URL apart. Fails with [`Error::Config`].
pub(super) fn parse(text: &str) -> Result<RawConfig, Error> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or_else(|| wrong("it must begin with postgres://"))?;
    if rest.contains('#') {
        return Err(wrong("write # as %23"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password with a bare ? would otherwise be taken for parameters, and named in the error.
    if query.contains('@') {
        return Err(wrong(
            "write ? and @ inside a password or parameter as %3F and %40",
        ));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut raw = RawConfig {
        database: decode(database)?,
        ..RawConfig::default()
    };
    let place = match authority.rsplit_once('@') {
        Some((login, place)) => {
            credentials(login, &mut raw)?;
            place
        }
        None => authority,
    };
    address(place, &mut raw)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        parameter(pair, &mut raw)?;
    }
    if raw.database.is_empty() {
        raw.database.clone_from(&raw.user);
    }
    Ok(raw)
}

fn wrong(words: &str) -> Error {
    Error::Config(format!("the connection URL is not valid: {words}"))
}

/// `user` or `user:password`.
fn credentials(login: &str, raw: &mut RawConfig) -> Result<(), Error> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    raw.user = decode(user)?;
    if !password.is_empty() {
        raw.password = Some(decode(password)?);
    }
    Ok(())
}

/// `host`, `host:port`, `[IPv6]`, `[IPv6]:port` or a percent-encoded socket directory.
fn address(place: &str, raw: &mut RawConfig) -> Result<(), Error> {
    if place.contains(',') {
        return Err(wrong("pgward takes one host"));
    }
    let (host, rest) = match place.strip_prefix('[') {
        Some(inner) => inner
            .split_once(']')
            .ok_or_else(|| wrong("a [ has no matching ]"))?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    raw.host = decode(host)?;
    match rest.strip_prefix(':') {
        Some("") => Ok(()),
        Some(digits) => {
            raw.port = Some(port(digits)?);
            Ok(())
        }
        None if rest.is_empty() => Ok(()),
        None => Err(wrong("text follows the ] of the host")),
    }
}

fn port(digits: &str) -> Result<u16, Error> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("the port is not a number"));
    }
    digits
        .parse()
        .map_err(|_| wrong("the port must be between 1 and 65535"))
}

/// One `name=value` of the query; it overrides what stands before the `?`, as in libpq.
fn parameter(pair: &str, raw: &mut RawConfig) -> Result<(), Error> {
    let (name, value) = pair
        .split_once('=')
        .ok_or_else(|| wrong("a parameter has no ="))?;
    let (name, value) = (decode(name)?, decode(value)?);
    match name.as_str() {
        "host" => raw.host = value,
        "port" => raw.port = Some(port(&value)?),
        "dbname" => raw.database = value,
        "user" => raw.user = value,
        "password" => raw.password = Some(value),
        "sslmode" => raw.sslmode = Some(SslMode::try_from(value).map_err(|words| wrong(&words))?),
        "sslrootcert" => raw.sslrootcert = Some(value),
        "channel_binding" => raw.channel_binding = Some(channel_binding(&value)?),
        "connect_timeout" => {
            let seconds: u64 = value
                .parse()
                .map_err(|_| wrong("connect_timeout is not a number of seconds"))?;
            raw.connect_timeout_ms = Some(seconds.saturating_mul(1_000));
        }
        _ => {
            return Err(wrong(&format!(
                "pgward does not know the parameter {name:?}"
            )));
        }
    }
    Ok(())
}

fn channel_binding(word: &str) -> Result<ChannelBinding, Error> {
    match word {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(wrong("channel_binding must be disable, prefer or require")),
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (rest.next().and_then(hex), rest.next().and_then(hex));
        match (high, low) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(wrong("a % is not followed by two hexadecimal digits")),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(wrong("percent-encoded text is not UTF-8, or holds a NUL")),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    #[test]
    fn urls_become_tables() {
        // (url, host, port, database, user, password)
        for (url, host, port, database, user, password) in [
            (
                "postgres://app:s3cret@db.internal:6432/shop",
                "db.internal",
                Some(6432),
                "shop",
                "app",
                Some("s3cret"),
            ),
            ("postgresql://app@db", "db", None, "app", "app", None),
            ("postgres://app:@db/", "db", None, "app", "app", None),
            ("postgres://app@db:/x", "db", None, "x", "app", None),
            (
                "postgres://app@[::1]:5433/x",
                "::1",
                Some(5433),
                "x",
                "app",
                None,
            ),
            (
                "postgres://app@[fe80::1]/x",
                "fe80::1",
                None,
                "x",
                "app",
                None,
            ),
            (
                "postgres://a%40b:p%3Aq%2F@%2Fvar%2Frun%2Fpostgresql/x",
                "/var/run/postgresql",
                None,
                "x",
                "a@b",
                Some("p:q/"),
            ),
            ("postgres://a:p@q@db/x", "db", None, "x", "a", Some("p@q")),
            (
                "postgres:///?host=/tmp&user=app&dbname=x&port=5555&password=p",
                "/tmp",
                Some(5555),
                "x",
                "app",
                Some("p"),
            ),
        ] {
            let raw = parse(url).unwrap();
            assert_eq!(raw.host, host, "{url}");
            assert_eq!(raw.port, port, "{url}");
            assert_eq!(raw.database, database, "{url}");
            assert_eq!(raw.user, user, "{url}");
            assert_eq!(raw.password.as_deref(), password, "{url}");
        }
    }

    #[test]
    fn parameters_are_read() {
        let url = "postgres://a@db/x?sslmode=verify-ca&sslrootcert=%2Fca.pem&\
                   channel_binding=require&connect_timeout=3";
        let raw = parse(url).unwrap();
        assert_eq!(raw.sslmode, Some(SslMode::VerifyCa));
        assert_eq!(raw.sslrootcert.as_deref(), Some("/ca.pem"));
        assert_eq!(raw.channel_binding, Some(ChannelBinding::Require));
        assert_eq!(raw.connect_timeout_ms, Some(3_000));
    }

    #[test]
    fn bad_urls_are_refused_without_repeating_them() {
        for (url, words) in [
            ("mysql://app:s3cret@db/x", "postgres://"),
            ("postgres://app:s3cret@a,b/x", "one host"),
            ("postgres://app:s3cret@[::1/x", "no matching ]"),
            ("postgres://app:s3cret@[::1]x/x", "follows the ]"),
            ("postgres://app:s3cret@db:12x/x", "not a number"),
            ("postgres://app:s3cret@db:+1/x", "not a number"),
            ("postgres://app:s3cret@db:70000/x", "65535"),
            ("postgres://app:s3cret@db:0/x", "65535"),
            ("postgres://app:s3cret%2@db/x", "hexadecimal"),
            ("postgres://app:s3cret%ff@db/x", "UTF-8"),
            ("postgres://app:s3cret%00@db/x", "NUL"),
            ("postgres://app:s3cret@db/x?sslmode", "no ="),
            ("postgres://app:s3cret@db/x?sslmode=prefer", "plain text"),
            ("postgres://app:s3cret@db/x?options=-cx%3Dy", "\"options\""),
            ("postgres://app:s3cret@db/x#y", "%23"),
            ("postgres://app:?s3cret=1@db/x", "%3F"),
            ("postgres://:s3cret@db/x", "user is missing"),
            ("postgres://app:s3cret@/x", "host is missing"),
        ] {
            let error = Config::from_url(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
