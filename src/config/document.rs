//! The configuration as it is written: TOML, with overrides from the environment, its relative paths
//! turned into ones that begin at the file's directory. Tables are taken out one by one, so that what
//! nobody took is known to be a mistake. What the tables mean is said elsewhere.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::Error;

/// What may stand at the top level.
const KEYS: &[&str] = &[
    "audit", "catalog", "issuer", "limits", "listen", "log", "oauth", "policies", "tls", "upstream",
];

/// Environment variables that take the place of a key: name, table (empty: the top level), key.
pub(super) const OVERRIDES: &[(&str, &str, &str)] = &[
    ("PGWARD_LISTEN", "", "listen"),
    ("PGWARD_POLICIES", "", "policies"),
    ("PGWARD_TLS_CERTIFICATE", "tls", "certificate"),
    ("PGWARD_TLS_KEY", "tls", "key"),
    ("PGWARD_UPSTREAM_URL", "upstream", "url"),
    ("PGWARD_UPSTREAM_HOST", "upstream", "host"),
    ("PGWARD_UPSTREAM_PORT", "upstream", "port"),
    ("PGWARD_UPSTREAM_DATABASE", "upstream", "database"),
    ("PGWARD_UPSTREAM_USER", "upstream", "user"),
    ("PGWARD_UPSTREAM_PASSWORD", "upstream", "password"),
    ("PGWARD_UPSTREAM_PASSWORD_FILE", "upstream", "password_file"),
    ("PGWARD_UPSTREAM_SSLMODE", "upstream", "sslmode"),
    ("PGWARD_UPSTREAM_SSLROOTCERT", "upstream", "sslrootcert"),
    ("PGWARD_AUDIT_PATH", "audit", "path"),
    ("PGWARD_LOG_LEVEL", "log", "level"),
    ("PGWARD_LOG_FORMAT", "log", "format"),
];

/// Keys that hold paths: table (empty: the top level), key.
const PATHS: &[(&str, &str)] = &[
    ("", "policies"),
    ("tls", "certificate"),
    ("tls", "key"),
    ("upstream", "password_file"),
    ("upstream", "sslrootcert"),
    ("issuer", "jwks_file"),
    ("audit", "path"),
    ("audit", "signing_key"),
];

/// Keys of `[upstream]` that say where the password is; one replaces the others.
const PASSWORDS: [&str; 3] = ["password", "password_file", "password_env"];

/// A configuration that is being taken apart.
pub(super) struct Document {
    path: PathBuf,
    text: String,
    table: Table,
}

impl Document {
    /// Reads a text. `path` is the file it came from; `environment` looks a variable up.
    pub(super) fn new(
        path: &Path,
        text: String,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let table = toml::from_str::<Table>(&text).map_err(|error| Error::Syntax {
            path: path.to_owned(),
            line: line_at(&text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let mut document = Self {
            path: path.to_owned(),
            text,
            table,
        };
        document.override_from(environment);
        document.resolve_paths();
        Ok(document)
    }

    /// Takes a table out; `None` where it is not there.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Error> {
        match self.table.remove(name) {
            None => Ok(None),
            Some(value) => match value.try_into() {
                Ok(taken) => Ok(Some(taken)),
                Err(error) => Err(self.fault(name, &without_value(error.message()))),
            },
        }
    }

    /// Takes the entries of an array of tables out, each with its number.
    pub(super) fn take_all<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<T>, Error> {
        match self.table.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(entries)) => entries
                .into_iter()
                .map(|entry| {
                    entry
                        .try_into()
                        .map_err(|error| self.fault(name, &without_value(error.message())))
                })
                .collect(),
            Some(_) => Err(self.fault(name, &format!("write it as [[{name}]]"))),
        }
    }

    /// Takes one key out of a table, before the table itself is taken.
    pub(super) fn take_key(&mut self, table: &str, key: &str) -> Option<Value> {
        self.table.get_mut(table)?.as_table_mut()?.remove(key)
    }

    /// Whether a table is there and has keys.
    pub(super) fn has_keys(&self, table: &str) -> bool {
        let found = self.table.get(table).and_then(Value::as_table);
        found.is_some_and(|table| !table.is_empty())
    }

    /// A path that begins at the directory of the file.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// Refuses a table or key of the top level that there is not.
    pub(super) fn check_keys(&self) -> Result<(), Error> {
        match self.table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.fault(
                key,
                "unknown; the tables are tls, upstream, issuer, audit, oauth, catalog, limits and \
                 log, the keys outside them listen and policies",
            )),
        }
    }

    /// An error about a table or a key of the top level.
    pub(super) fn fault(&self, place: &str, message: &str) -> Error {
        Error::Value {
            path: self.path.clone(),
            line: line_of(&self.text, place, quoted(message)),
            place: shown(&self.text, place),
            message: message.to_owned(),
        }
    }

    /// Puts variables of the environment in the place of keys.
    fn override_from(&mut self, environment: &dyn Fn(&str) -> Option<String>) {
        for (variable, table, key) in OVERRIDES {
            if let Some(value) = environment(variable) {
                self.put(table, key, value);
            }
        }
    }

    fn put(&mut self, table: &str, key: &str, value: String) {
        let target = if table.is_empty() {
            &mut self.table
        } else {
            let entry = self.table.entry(table);
            match entry.or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(target) => target,
                // Not a table: taking it will say so.
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => return,
            }
        };
        match (table, key) {
            ("upstream", "url") => target.clear(),
            ("upstream", _) if PASSWORDS.contains(&key) => {
                PASSWORDS
                    .iter()
                    .for_each(|other| drop(target.remove(*other)));
            }
            _ => {}
        }
        let value = match (key, value.parse()) {
            ("port", Ok(number)) => Value::Integer(number),
            _ => Value::String(value),
        };
        target.insert(key.to_owned(), value);
    }

    /// Relative paths begin at the directory of the file.
    fn resolve_paths(&mut self) {
        let base = self.path.parent().map(Path::to_owned).unwrap_or_default();
        for (table, key) in PATHS {
            if table.is_empty() {
                resolve_in(&mut self.table, key, &base);
                continue;
            }
            match self.table.get_mut(*table) {
                Some(Value::Table(found)) => resolve_in(found, key, &base),
                Some(Value::Array(entries)) => {
                    let tables = entries.iter_mut().filter_map(Value::as_table_mut);
                    tables.for_each(|found| resolve_in(found, key, &base));
                }
                _ => {}
            }
        }
    }
}

fn resolve_in(table: &mut Table, key: &str, base: &Path) {
    match table.get_mut(key) {
        Some(Value::String(path)) => resolve(path, base),
        Some(Value::Array(paths)) => {
            for path in paths {
                if let Value::String(path) = path {
                    resolve(path, base);
                }
            }
        }
        _ => {}
    }
}

fn resolve(path: &mut String, base: &Path) {
    // `sslrootcert = "system"` is a word; an empty path is a mistake of its own.
    if path.is_empty() || path == "system" {
        return;
    }
    if let Some(resolved) = base.join(&*path).to_str() {
        *path = resolved.to_owned();
    }
}

/// A message of the TOML library without the value it is about.
fn without_value(message: &str) -> String {
    let message = message.trim_end();
    match message.split_once(", expected ") {
        Some((start, expected)) if !start.starts_with("unknown field") => {
            format!("wrong type or value, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// The first word in backquotes: the key that a message is about.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// How a place is written in the file.
fn shown(text: &str, place: &str) -> String {
    if header(text, &format!("[[{place}]]")).is_some() {
        format!("[[{place}]]")
    } else if header(text, &format!("[{place}]")).is_some() {
        format!("[{place}]")
    } else {
        place.to_owned()
    }
}

/// The line (from 1) that an error is about: the key's within its table, else the table's, else the
/// key's of that name at the top level.
fn line_of(text: &str, place: &str, key: Option<&str>) -> Option<usize> {
    let single = header(text, &format!("[{place}]"));
    let Some(start) = single.or_else(|| header(text, &format!("[[{place}]]"))) else {
        return text
            .lines()
            .position(|line| is_assignment(line, place))
            .map(from_one);
    };
    let body = text.lines().enumerate().skip(start);
    let of_key = body
        .take_while(|(_, line)| !line.trim_start().starts_with('['))
        .find(|(_, line)| key.is_some_and(|key| is_assignment(line, key)))
        .map(|(index, _)| from_one(index));
    of_key.or(Some(start))
}

/// The line (from 1) of a table's header.
fn header(text: &str, header: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.trim_start().starts_with(header))
        .map(from_one)
}

fn is_assignment(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
}

fn from_one(index: usize) -> usize {
    index.saturating_add(1)
}

/// The line (from 1) of a byte offset.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    from_one(before.filter(|byte| **byte == b'\n').count())
}
