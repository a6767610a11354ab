//! The DBAs' policy: TOML as it is written becomes [`Rules`], and [`decide`] holds what a statement
//! touches against what its principal may touch. Pure: no file, no clock, no database; the same
//! arguments always give the same answer.
//!
//! Nothing is allowed unless a grant allows it. Grants add up column by column, denies take away
//! and always win, and whatever has no label is restricted. What a principal may do is what its
//! grants give every agent of its chain, within the token's `authorization_details`, within the
//! delegations where the policy has any, at this moment and from this address.
//!
//! What this version cannot carry out it refuses: a column that may only be shown masked, a grant
//! that asks for a row filter, for limits or for a risk score permits nothing, and the refusal says
//! so.
//!
//! | file | holds |
//! |---|---|
//! | `document` | the TOML as written, with spans |
//! | `compile`, `words` | from what was written to what is meant, all mistakes at once |
//! | `diagnostics` | file, line and caret |
//! | `rules`, `pattern`, `sensitivity`, `mask`, `conditions` | the validated policy |
//! | `family`, `labels` | what a column is made of and how sensitive that makes it |
//! | `entitlement`, `denies`, `situation` | what one principal may do here and now |
//! | `decide`, `refuse`, `hints` | the decision, its words, and what to do instead |
//! | `lint`, `cases` | warnings, and tests of a policy |

mod cases;
mod compile;
mod conditions;
mod decide;
mod denies;
mod diagnostics;
mod document;
mod entitlement;
mod family;
mod hints;
mod labels;
mod lint;
mod mask;
mod pattern;
mod refuse;
mod rules;
mod sensitivity;
mod situation;
mod words;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use cases::{Case, Expect, is_cases_file, load_cases};
pub use decide::{Decision, Denial, Permit, decide};
pub use diagnostics::{Diagnostics, Located, Severity, SourceFile};
pub use hints::{Reach, Withheld, reach};
pub use labels::{Label, Origin};
pub use lint::lint;
pub use mask::Mask;
pub use rules::Rules;
pub use sensitivity::Sensitivity;

/// The part of every policy that ships with pgward: what of `pg_catalog` and `information_schema`
/// is open, and which built-in functions may be called. [`load`] puts it before everything else.
pub const SHIPPED: &[SourceFile<'static>] = &[
    SourceFile {
        name: "builtin/catalog.toml",
        text: include_str!("../../policies/builtin/catalog.toml"),
    },
    SourceFile {
        name: "builtin/information_schema.toml",
        text: include_str!("../../policies/builtin/information_schema.toml"),
    },
    SourceFile {
        name: "builtin/functions.toml",
        text: include_str!("../../policies/builtin/functions.toml"),
    },
];

/// Compiles a policy: the shipped part and the given files together. Files of test cases are not
/// policy and do not belong here ([`is_cases_file`]).
///
/// # Errors
/// Every mistake in every file, with its place.
pub fn load(files: &[SourceFile<'_>]) -> Result<Rules, Diagnostics> {
    compile::compile(files)
}
