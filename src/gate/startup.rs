//! Startup parameters: those that set a session setting follow the same rules as `SET`.

use crate::refusal::Refusal;
use crate::sql::{Settings, check_set};

/// What to pass to the database for a startup parameter of the client; `None` where pgward keeps
/// it to itself (`user`, `database`, and what pgward pins).
///
/// # Errors
/// 0A000 for a parameter that `SET` would refuse too, and for replication.
pub fn check_startup_parameter(
    name: &str,
    value: &str,
    settings: &mut Settings,
) -> Result<Option<(String, String)>, Refusal> {
    let folded = name.to_ascii_lowercase();
    match folded.as_str() {
        "user" | "database" | "options" => Ok(None),
        "replication" => replication(value),
        "search_path" => {
            settings.set_default_path(value)?;
            Ok(Some((folded, value.to_owned())))
        }
        // Both are pinned: whatever passes the check is what pgward sends anyway.
        "client_encoding" | "standard_conforming_strings" => {
            check_set(&folded, &[value]).map(|()| None)
        }
        _ => {
            check_set(&folded, &[value])?;
            Ok(Some((folded, value.to_owned())))
        }
    }
}

fn replication(value: &str) -> Result<Option<(String, String)>, Refusal> {
    let off = ["false", "off", "no", "0"];
    if off.contains(&value.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    Err(
        Refusal::unsupported("replication connections are not supported")
            .with_hint("connect without the replication parameter"),
    )
}
