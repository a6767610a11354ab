//! Names of relations, columns and functions as Postgres stores them: case already folded,
//! cut to 63 bytes. This file quotes and prints them; it never resolves one.

use std::fmt;

/// The longest identifier Postgres keeps, in bytes (`NAMEDATALEN - 1`).
pub const IDENT_BYTES_MAX: usize = 63;

/// A schema-qualified name, parts as they stand in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// The schema (`pg_namespace.nspname`).
    pub schema: String,
    /// The object's own name (`relname`, `proname` …).
    pub name: String,
}

impl QualifiedName {
    /// Builds a name from its two catalog parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// The identifier as SQL needs it: bare where that is safe, else in double quotes.
pub fn quote(ident: &str) -> String {
    let bare = ident
        .bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_lowercase() || (i > 0 && b.is_ascii_digit()))
        && !ident.is_empty();
    if bare {
        ident.to_owned()
    } else {
        format!("\"{}\"", ident.replace('"', "\"\""))
    }
}

/// Folds an unquoted identifier the way a UTF-8 server does: ASCII letters only.
pub fn fold(ident: &str) -> String {
    ident.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_where_needed() {
        assert_eq!(quote("customers"), "customers");
        assert_eq!(quote("Order"), "\"Order\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote("1a"), "\"1a\"");
        assert_eq!(QualifiedName::new("hr", "Pay").to_string(), "hr.\"Pay\"");
    }
}
