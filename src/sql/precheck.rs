//! The first look at a text, linear in its length: bounds that keep both parsers from being made
//! slow or deep. It never decides what a statement means.

use crate::refusal::{Reason, Refusal, SqlState};
use crate::wire::Limits;

/// Comment openings allowed in one text: the lexer is quadratic in nested comments.
const COMMENT_OPENINGS_MAX: usize = 500;
/// Length of a run of operator characters: Postgres keeps 63 bytes of an operator's name.
const OPERATOR_RUN_MAX: usize = 63;

/// Refuses texts that no parser should see.
///
/// # Errors
/// 54000 for a limit passed, 22021 for a NUL.
pub(super) fn precheck(text: &str, limits: &Limits) -> Result<(), Refusal> {
    if text.len() > limits.statement_bytes_max {
        return Err(Refusal::limit(format!(
            "statement of {} bytes is longer than the limit of {}",
            text.len(),
            limits.statement_bytes_max
        )));
    }
    let mut depth: usize = 0;
    let mut comments: usize = 0;
    let mut run: usize = 0;
    let mut previous = 0_u8;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            0 => return Err(nul(offset)),
            b'(' | b'[' => depth = depth.saturating_add(1),
            b')' | b']' => depth = depth.saturating_sub(1),
            b'*' if previous == b'/' => comments = comments.saturating_add(1),
            _ => {}
        }
        run = if is_operator(byte) {
            run.saturating_add(1)
        } else {
            0
        };
        if depth > limits.nesting_depth_max {
            return Err(too_much("parentheses nested too deeply", offset));
        }
        // Long runs inside comments and literals are refused as well: a ruler of dashes is rare
        // enough in what agents write, and telling the two apart takes a lexer.
        if run > OPERATOR_RUN_MAX && byte != b'-' && byte != b'*' && byte != b'=' {
            return Err(too_much("run of operator characters too long", offset));
        }
        if comments > COMMENT_OPENINGS_MAX {
            return Err(too_much("too many comments", offset));
        }
        previous = byte;
    }
    Ok(())
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
    )
}

fn nul(offset: usize) -> Refusal {
    Refusal::new(
        SqlState::NOT_IN_REPERTOIRE,
        Reason::Syntax,
        "statement contains a NUL byte",
    )
    .at(offset)
}

fn too_much(what: &str, offset: usize) -> Refusal {
    Refusal::limit(format!("statement is too complex: {what}")).at(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_on_both_sides() {
        let limits = Limits::default();
        let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
        assert!(precheck(&nested(limits.nesting_depth_max), &limits).is_ok());
        assert!(precheck(&nested(limits.nesting_depth_max + 1), &limits).is_err());
        assert!(precheck("SELECT 1 -- ------------- ok", &limits).is_ok());
        assert!(precheck(&format!("SELECT 1 {} 2", "+".repeat(64)), &limits).is_err());
        assert!(precheck(&"/*".repeat(501), &limits).is_err());
        assert!(precheck("SELECT '\0'", &limits).is_err());
        let long = " ".repeat(limits.statement_bytes_max + 1);
        assert!(precheck(&long, &limits).is_err());
    }
}
