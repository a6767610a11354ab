//! Which settings an agent may set and show. Whatever changes what names or bytes mean is pinned; what
//! is not on the lists is refused by name.

use crate::refusal::Refusal;

/// Settings that an agent may change: they alter how values look or how long a statement may run,
/// never what a statement means or whose authority it has.
const SETTABLE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "xmloption",
];

/// Settings that may be read besides those: facts that drivers ask for.
const SHOWABLE: &[&str] = &[
    "block_size",
    "default_table_access_method",
    "default_tablespace",
    "default_text_search_config",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "max_index_keys",
    "pgward.agent",
    "pgward.session",
    "pgward.user",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
];

/// Whether a setting may be set to these values.
///
/// # Errors
/// 0A000 for a setting that is not on the list, or a pinned one set to something else.
pub fn check_set(name: &str, values: &[&str]) -> Result<(), Refusal> {
    let name = name.to_ascii_lowercase();
    if SETTABLE.binary_search(&name.as_str()).is_err() {
        return Err(not_settable(&name));
    }
    let allowed: &[&str] = match name.as_str() {
        "client_encoding" => &["utf8", "utf-8", "unicode"],
        "standard_conforming_strings" => &["on", "true", "yes", "1"],
        "client_min_messages" => &["notice", "warning", "error"],
        _ => return Ok(()),
    };
    let plain = |value: &str| value.trim_matches(['\'', '"', ' ']).to_ascii_lowercase();
    if values
        .iter()
        .all(|value| allowed.contains(&plain(value).as_str()))
    {
        return Ok(());
    }
    Err(Refusal::unsupported(format!(
        "parameter \"{name}\" can only be set to {}",
        allowed.join(", ")
    )))
}

/// Whether a setting may be shown.
///
/// # Errors
/// 0A000 for a setting that is not on the lists.
pub fn check_show(name: &str) -> Result<(), Refusal> {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    if SETTABLE.binary_search(&name).is_ok() || SHOWABLE.binary_search(&name).is_ok() {
        return Ok(());
    }
    Err(
        Refusal::unsupported(format!("parameter \"{name}\" cannot be shown"))
            .with_hint("only harmless parameters can be shown, one by one"),
    )
}

/// Whether a `search_path` may be set.
///
/// # Errors
/// 0A000 for one that lets other names come before the built-in ones.
pub(super) fn check_search_path(entries: &[&str]) -> Result<(), Refusal> {
    let late = entries.iter().skip(1).any(|entry| *entry == "pg_catalog");
    if late {
        return Err(Refusal::unsupported(
            "search_path must not name pg_catalog after another schema",
        )
        .with_hint("leave pg_catalog out: it is always searched first"));
    }
    if entries.iter().any(|entry| entry.starts_with("pg_temp")) {
        return Err(Refusal::unsupported("search_path must not name pg_temp"));
    }
    Ok(())
}

fn not_settable(name: &str) -> Refusal {
    let refusal = Refusal::unsupported(format!("parameter \"{name}\" cannot be set"));
    match name {
        "role" | "session_authorization" => {
            refusal.with_hint("the role is fixed for the session; leave the SET out")
        }
        _ => refusal.with_hint("leave the SET out; only harmless parameters can be set"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(SETTABLE.is_sorted() && SHOWABLE.is_sorted());
    }

    #[test]
    fn pinned_and_unlisted_settings_are_refused() {
        assert!(check_set("DateStyle", &["ISO"]).is_ok());
        assert!(check_set("client_encoding", &["'UTF8'"]).is_ok());
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("standard_conforming_strings", "off"),
            ("client_min_messages", "debug5"),
            ("role", "postgres"),
            ("session_authorization", "postgres"),
            ("row_security", "off"),
            ("backslash_quote", "on"),
            ("pgward.user", "root"),
            ("session_preload_libraries", "x"),
        ] {
            assert!(check_set(name, &[value]).is_err(), "{name}");
        }
        assert!(check_show("server_version").is_ok());
        assert!(check_show("hba_file").is_err() && check_show("all").is_err());
    }
}
