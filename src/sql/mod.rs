//! Text to [`Access`]: what a statement touches, by two independent parsers.
//!
//! Postgres's own parser (libpg_query) is the authority. Its tree is walked production by
//! production, names are resolved against the catalog snapshot, relations are qualified in the
//! tree, and the canonical text of that tree is what will be sent. That text is then read again
//! from the start: it must be the same tree, touch exactly the same, and a second parser that
//! shares no code with the first (sqlparser) must see the same relations, columns and functions in
//! it. Whatever one of these steps does not understand is refused.
//!
//! Architecture invariant: nothing here knows who asks, or what a policy is. Nothing does I/O.

mod analyser;
mod column;
mod copy;
mod cte;
mod expression;
mod from;
mod function;
mod lineage;
mod merge;
mod names;
mod position;
mod precheck;
mod qualify;
mod redact;
mod scope;
mod select;
mod settable;
mod settings;
mod shown;
mod tree;
mod utility;
mod witness;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use pg_raw_parse::Node;
use pg_raw_parse::nodes::RawStmt;

use crate::access::Access;
use crate::catalog::Snapshot;
use crate::refusal::{Reason, Refusal, SqlState};
use crate::wire::Limits;

use analyser::{Analyser, Ground};
use names::Names;
use qualify::Prefix;

pub use lineage::trace;
pub use position::client_offset;
pub use redact::{Redacted, redact, redact_statement};
pub use settable::{check_set, check_show};
pub use settings::{Effect, Settings};

/// Stack that an analysis may need, in bytes; more is mapped where less is left.
const STACK_BYTES: usize = 8 << 20;

/// One analysed statement of a text.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What it touches; offsets are into the client's text.
    pub access: Access,
    /// The canonical text, relations qualified: what may be sent.
    pub text: Arc<str>,
    /// Whether it is a query, and not a statement around one.
    pub is_query: bool,
    /// What it does to the session once it has succeeded.
    pub effect: Effect,
    /// Numbers of the parameters whose values must pass [`check_show`] when they are bound.
    pub setting_parameters: Vec<u32>,
}

impl Statement {
    /// The empty query, which touches nothing.
    pub fn empty() -> Self {
        Self {
            access: Access::default(),
            text: Arc::from(""),
            is_query: false,
            effect: Effect::None,
            setting_parameters: Vec::new(),
        }
    }
}

/// Analyses a text as one message holds it: any number of statements.
///
/// Settings that a statement changes are in force for the statements after it.
///
/// # Errors
/// The first statement that is refused, with its number in the text and why.
pub fn analyse(
    text: &str,
    snapshot: &Snapshot,
    settings: &Settings,
    limits: &Limits,
) -> Result<Vec<Statement>, (usize, Refusal)> {
    precheck::precheck(text, limits).map_err(|refusal| (0, refusal))?;
    with_stack(|| analyse_all(text, snapshot, settings, limits))
}

/// Runs a step with stack to spare.
fn with_stack<T>(step: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_BYTES, STACK_BYTES.saturating_mul(2), step)
}

fn analyse_all(
    text: &str,
    snapshot: &Snapshot,
    settings: &Settings,
    limits: &Limits,
) -> Result<Vec<Statement>, (usize, Refusal)> {
    let tree = tree::parse(text).map_err(|refusal| (0, refusal))?;
    if tree.len() > limits.statements_per_message_max {
        let refusal = Refusal::limit("too many statements in one message");
        return Err((0, refusal));
    }
    let mut settings = Cow::Borrowed(settings);
    let mut statements = Vec::with_capacity(tree.len());
    for (index, raw) in tree.iter().enumerate() {
        let found = analyse_one(raw, snapshot, &settings).map_err(|refusal| (index, refusal))?;
        if found.effect != Effect::None {
            settings.to_mut().apply(&found.effect);
        }
        statements.push(found);
    }
    Ok(statements)
}

/// The steps of one statement, in the order of the front page.
fn analyse_one(
    raw: &RawStmt,
    snapshot: &Snapshot,
    settings: &Settings,
) -> Result<Statement, Refusal> {
    let path = settings.search_path(snapshot);
    let ground = Ground {
        snapshot,
        settings,
        path: &path,
    };
    let first = walk(raw.stmt(), ground)?;
    let qualified = tree::guarded(|| qualify::qualify(raw, &first.schemas, &first.tables))?;
    let text = tree::deparse(qualify::inner(&qualified))?;
    let again = tree::parse(&text).map_err(|_| unfaithful())?;
    let mut roots = again.stmts();
    let root = roots.next().ok_or_else(unfaithful)?;
    if roots.next().is_some() || !tree::same(qualify::inner(&qualified), root) {
        return Err(unfaithful());
    }
    let second = walk(root, ground)?;
    let all_written_out = second.schemas.is_empty() && second.tables.is_empty();
    if !same_access(&first.access, &second.access) || !all_written_out {
        return Err(unfaithful());
    }
    if let Some(text) = judged_text(root, &text)? {
        witness::agree(&text, second.names)?;
    }
    if !second.setting_parameters.is_empty() && !utility::is_query(root) {
        return Err(parameter_setting());
    }
    let access = with_nested(first.access, &first.nested, ground)?;
    Ok(Statement {
        access,
        text: Arc::from(text),
        is_query: utility::is_query(root),
        effect: second.effect,
        setting_parameters: second.setting_parameters,
    })
}

/// The text that the second parser judges: the query in the statement, whatever is around it.
/// Statements without a query name nothing that could be hidden in them.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "queries, or statements without one"
)]
fn judged_text<'t>(root: Node<'_>, whole: &'t str) -> Result<Option<Cow<'t, str>>, Refusal> {
    let query = match root {
        Node::ExplainStmt(explain) => return judged_inner(explain.query()),
        Node::PrepareStmt(prepare) => prepare.query(),
        Node::DeclareCursorStmt(declare) => declare.query(),
        Node::CopyStmt(copy) => copy.query(),
        Node::CallStmt(_) => return Ok(Some(Cow::Borrowed(whole))),
        other => {
            return Ok(utility::is_query(other).then_some(Cow::Borrowed(whole)));
        }
    };
    judged_inner(query)
}

fn judged_inner<'t>(query: Node<'_>) -> Result<Option<Cow<'t, str>>, Refusal> {
    if utility::is_query(query) {
        return Ok(Some(Cow::Owned(tree::deparse(query)?)));
    }
    Ok(None)
}

/// What one walk over a tree found.
struct Walked<'a> {
    access: Access,
    names: Names,
    effect: Effect,
    schemas: Vec<Prefix<'a>>,
    tables: Vec<Prefix<'a>>,
    nested: Vec<Arc<str>>,
    setting_parameters: Vec<u32>,
}

fn walk<'a>(node: Node<'a>, ground: Ground<'a>) -> Result<Walked<'a>, Refusal> {
    let mut analyser = Analyser::new(ground);
    analyser.statement(node)?;
    let schemas = std::mem::take(&mut analyser.schemas);
    let tables = std::mem::take(&mut analyser.tables);
    let nested = std::mem::take(&mut analyser.nested);
    let setting_parameters = std::mem::take(&mut analyser.setting_parameters);
    let (access, names, effect) = analyser.into_access();
    Ok(Walked {
        access,
        names,
        effect,
        schemas,
        tables,
        nested,
        setting_parameters,
    })
}

/// Adds what the queries touch that a statement runs by a name (EXECUTE, FETCH). Anything but a query
/// is not run in that way: what it does to the session would not be seen, and names that run names
/// have no end.
fn with_nested(
    mut access: Access,
    nested: &[Arc<str>],
    ground: Ground<'_>,
) -> Result<Access, Refusal> {
    for text in nested {
        let tree = tree::parse(text)?;
        for node in tree.stmts() {
            if !utility::is_query(node) {
                return Err(
                    Refusal::unsupported("only queries can be run by EXECUTE and FETCH")
                        .with_hint("send the statement itself"),
                );
            }
            let found = walk(node, ground)?;
            if !found.setting_parameters.is_empty() {
                return Err(parameter_setting());
            }
            access.absorb(found.access);
        }
    }
    Ok(access)
}

/// What a view's definition touches; `None` where it cannot be analysed.
fn analyse_definition(definition: &str, ground: Ground<'_>) -> Option<Access> {
    let tree = tree::parse(definition).ok()?;
    let node = tree.stmts().next()?;
    with_stack(|| walk(node, ground).ok().map(|found| found.access))
}

/// Whether two analyses found the same, places in the text aside.
fn same_access(one: &Access, other: &Access) -> bool {
    let placeless = |access: &Access| {
        let mut access = access.clone();
        access.relations.iter_mut().for_each(|r| r.offset = None);
        access.columns.iter_mut().for_each(|c| c.offset = None);
        access.functions.iter_mut().for_each(|f| f.offset = None);
        access
    };
    placeless(one) == placeless(other)
}

fn parameter_setting() -> Refusal {
    Refusal::unsupported("the setting's name in current_setting must be a constant here")
        .with_hint("write the name itself, or bind the parameter in the extended protocol")
}

fn unfaithful() -> Refusal {
    Refusal::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        Reason::Disagreement,
        "statement is not the same after it is written in canonical form",
    )
    .with_hint("write the statement in a simpler way")
}
