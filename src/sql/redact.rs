//! A statement without its literals, for the audit log, and a fingerprint that is equal for
//! statements that differ in literals alone.

use aws_lc_rs::digest::{SHA256, digest};

use pg_raw_parse::{Node, nodes};

use crate::ident::quote;

use super::utility::refused_kind;
use super::{Statement, tree, with_stack};

/// In place of a query that has no canonical text.
const HIDDEN: &str = "<a query that cannot be shown>";

/// A statement fit for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The statement with `$1`, `$2` … for its literals.
    pub text: String,
    /// The first 16 hexadecimal digits of the SHA-256 of that text.
    pub fingerprint: String,
}

/// Removes the literals of a text. A text that does not parse is not shown at all: what is a
/// literal in it cannot be told.
pub fn redact(text: &str) -> Redacted {
    with_stack(|| redact_parsed(text))
}

/// The same for a statement that was analysed: of a query the text is canonical already.
pub fn redact_statement(statement: &Statement) -> Redacted {
    if !statement.is_query {
        return redact(&statement.text);
    }
    with_stack(|| fingerprinted(without_literals(&statement.text)))
}

fn redact_parsed(text: &str) -> Redacted {
    let shown = match tree::parse(text) {
        Ok(parsed) => {
            let all: Vec<String> = parsed.stmts().map(statement).collect();
            all.join("; ")
        }
        Err(_) => format!("<text of {} bytes that does not parse>", text.len()),
    };
    fingerprinted(shown)
}

fn fingerprinted(shown: String) -> Redacted {
    let hash = digest(&SHA256, shown.as_bytes());
    let fingerprint = hash
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Redacted {
        text: shown,
        fingerprint,
    }
}

/// One statement without literals. Only the kinds named here are shown whole.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an allow-list: of every other kind only its name is shown"
)]
fn statement(node: Node<'_>) -> String {
    match node {
        Node::SelectStmt(_)
        | Node::InsertStmt(_)
        | Node::UpdateStmt(_)
        | Node::DeleteStmt(_)
        | Node::MergeStmt(_) => query(node),
        Node::ExplainStmt(explain) => format!("EXPLAIN {}", statement(explain.query())),
        Node::PrepareStmt(prepare) => format!(
            "PREPARE {} AS {}",
            quote(prepare.name().unwrap_or_default()),
            statement(prepare.query())
        ),
        Node::DeclareCursorStmt(declare) => format!(
            "DECLARE {} CURSOR FOR {}",
            quote(declare.portalname().unwrap_or_default()),
            statement(declare.query())
        ),
        Node::ExecuteStmt(execute) => {
            format!("EXECUTE {}(…)", quote(execute.name().unwrap_or_default()))
        }
        Node::VariableSetStmt(set) => format!("SET {}", set.name().unwrap_or("…")),
        Node::CopyStmt(copy) => copied(copy),
        Node::CallStmt(call) => called(call),
        Node::TransactionStmt(_)
        | Node::FetchStmt(_)
        | Node::ClosePortalStmt(_)
        | Node::DeallocateStmt(_)
        | Node::DiscardStmt(_)
        | Node::ConstraintsSetStmt(_)
        | Node::UnlistenStmt(_)
        | Node::VariableShowStmt(_) => tree::deparse(node).unwrap_or_default(),
        other => format!("<{}>", refused_kind(other).message),
    }
}

fn query(node: Node<'_>) -> String {
    let text = tree::deparse(node).ok();
    text.map_or_else(|| HIDDEN.to_owned(), |text| without_literals(&text))
}

/// The canonical text of a query with `$n` for its literals.
fn without_literals(text: &str) -> String {
    tree::normalize(text).unwrap_or_else(|| HIDDEN.to_owned())
}

fn copied(copy: &nodes::CopyStmt) -> String {
    let direction = if copy.is_from { "FROM" } else { "TO" };
    let Some(relation) = copy.relation() else {
        return format!("COPY ({}) {direction} …", statement(copy.query()));
    };
    let schema = relation
        .schemaname()
        .map(|schema| format!("{}.", quote(schema)));
    let name = quote(relation.relname().unwrap_or_default());
    format!("COPY {}{name} {direction} …", schema.unwrap_or_default())
}

fn called(call: &nodes::CallStmt) -> String {
    let names = call.funccall().map(|function| {
        let parts = function.funcname().iter().filter_map(Node::as_str);
        parts.map(quote).collect::<Vec<_>>().join(".")
    });
    format!("CALL {}(…)", names.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_literal_survives() {
        for text in [
            "SELECT * FROM t WHERE a = 'CANARY' AND b = 5",
            "EXECUTE p('CANARY')",
            "SET application_name = 'CANARY'",
            "PREPARE p AS SELECT 'CANARY'",
            "DECLARE c CURSOR FOR SELECT 'CANARY'",
            "COPY (SELECT 'CANARY') TO STDOUT",
            "EXPLAIN SELECT $$CANARY$$",
            "SELECT E'CAN\\x41RY' || U&'CANARY'",
            "CALL p('CANARY')",
            "INSERT INTO t VALUES ('CANARY', b'1010', x'1F')",
            "SELECT interval 'CANARY'",
            "SELECT 'CANARY",
            "DO $$ CANARY $$",
            "ALTER ROLE r PASSWORD 'CANARY'",
            "CREATE TABLE t (a text DEFAULT 'CANARY')",
            "COMMENT ON TABLE t IS 'CANARY'",
            "COPY t FROM STDIN WITH (NULL 'CANARY')",
            "NOTIFY c, 'CANARY'",
            "SELECT 1; SET x = 'CANARY'",
        ] {
            let shown = redact(text).text;
            assert!(!shown.contains("CANARY"), "{text}: {shown}");
        }
        let one = redact("SELECT a FROM t WHERE b = 1");
        assert_eq!(one, redact("SELECT a FROM t WHERE b = 2"));
        assert_ne!(one, redact("SELECT a FROM t WHERE c = 1"));
    }
}
