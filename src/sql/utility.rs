//! The kinds of statements there are: an allow-list. Queries go to their own files; what is here
//! are the statements around them. Everything else is refused by its name.

use std::sync::Arc;

use pg_raw_parse::raw::TransactionStmtKind as Tx;
use pg_raw_parse::raw::VariableSetKind as Set;
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::access::Use;
use crate::refusal::{Reason, Refusal, SqlState};

use super::analyser::{Analyser, unknown_node};
use super::scope::Scope;
use super::settable::{check_search_path, check_set, check_show};
use super::settings::Effect;
use super::tree;

impl<'a> Analyser<'a> {
    /// A whole statement.
    ///
    /// # Errors
    /// Whatever is refused in it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an allow-list: every kind of statement not named here is refused"
    )]
    pub(super) fn statement(&mut self, node: Node<'a>) -> Result<(), Refusal> {
        match node {
            Node::SelectStmt(select) => {
                let columns = self.select(select, None, None)?;
                self.set_outputs(&columns);
                Ok(())
            }
            Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => {
                let columns = self.write(node, None)?;
                self.set_outputs(&columns);
                Ok(())
            }
            Node::CopyStmt(copy) => self.copy(copy),
            Node::ExplainStmt(explain) => self.explain(explain),
            Node::PrepareStmt(prepare) => self.prepare(prepare),
            Node::ExecuteStmt(execute) => self.execute(execute),
            Node::DeallocateStmt(deallocate) => {
                self.command("DEALLOCATE");
                self.effect = Effect::Deallocate(deallocate.name().map(str::to_owned));
                Ok(())
            }
            Node::DeclareCursorStmt(declare) => self.declare(declare),
            Node::FetchStmt(fetch) => self.fetch(fetch),
            Node::ClosePortalStmt(close) => {
                self.command("CLOSE CURSOR");
                self.effect = Effect::CloseCursor(close.portalname().map(str::to_owned));
                Ok(())
            }
            Node::TransactionStmt(transaction) => self.transaction(transaction),
            Node::ConstraintsSetStmt(_) => {
                self.command("SET CONSTRAINTS");
                Ok(())
            }
            Node::UnlistenStmt(_) => {
                self.command("UNLISTEN");
                Ok(())
            }
            Node::VariableSetStmt(set) => self.set(set),
            Node::VariableShowStmt(show) => {
                self.command("SHOW");
                check_show(show.name().unwrap_or_default())
            }
            Node::DiscardStmt(discard) => {
                self.command("DISCARD");
                if discard.target == pg_raw_parse::raw::DiscardMode::DISCARD_ALL {
                    self.effect = Effect::DiscardAll;
                }
                Ok(())
            }
            Node::CallStmt(call) => self.call(call),
            other => Err(refused_kind(other)),
        }
    }

    fn explain(&mut self, explain: &'a nodes::ExplainStmt) -> Result<(), Refusal> {
        const OPTIONS: &[&str] = &[
            "analyze",
            "buffers",
            "costs",
            "format",
            "generic_plan",
            "memory",
            "serialize",
            "settings",
            "summary",
            "timing",
            "verbose",
            "wal",
        ];
        self.command("EXPLAIN");
        for option in explain.options() {
            let name = option.defname().unwrap_or_default();
            if OPTIONS.binary_search(&name).is_err() {
                return Err(Refusal::unsupported(format!(
                    "EXPLAIN option \"{name}\" is not supported"
                )));
            }
        }
        let query = explain.query();
        if matches!(query, Node::DeclareCursorStmt(_)) || !is_query_or_execute(query) {
            return Err(refused_kind(query));
        }
        self.statement(query)
    }

    fn prepare(&mut self, prepare: &'a nodes::PrepareStmt) -> Result<(), Refusal> {
        self.command("PREPARE");
        if !is_query(prepare.query()) {
            return Err(refused_kind(prepare.query()));
        }
        for name in prepare.argtypes() {
            self.use_type(name)?;
        }
        self.statement(prepare.query())?;
        self.effect = Effect::Prepare {
            name: prepare.name().unwrap_or_default().to_owned(),
            text: Arc::from(tree::deparse(prepare.query())?),
        };
        Ok(())
    }

    fn execute(&mut self, execute: &'a nodes::ExecuteStmt) -> Result<(), Refusal> {
        self.command("EXECUTE");
        let name = execute.name().unwrap_or_default();
        let Some(texts) = self.ground.settings.statement(name) else {
            return Err(Refusal::new(
                SqlState::INVALID_STATEMENT_NAME,
                Reason::Unresolved,
                format!("prepared statement \"{name}\" does not exist"),
            ));
        };
        self.nested.extend(texts.iter().map(Arc::clone));
        self.expressions(execute.params().iter(), &Scope::default(), Use::Output)?;
        Ok(())
    }

    fn declare(&mut self, declare: &'a nodes::DeclareCursorStmt) -> Result<(), Refusal> {
        self.command("DECLARE CURSOR");
        self.statement(declare.query())?;
        self.effect = Effect::Declare {
            name: declare.portalname().unwrap_or_default().to_owned(),
            text: Arc::from(tree::deparse(declare.query())?),
        };
        Ok(())
    }

    fn fetch(&mut self, fetch: &'a nodes::FetchStmt) -> Result<(), Refusal> {
        self.command(if fetch.ismove { "MOVE" } else { "FETCH" });
        let name = fetch.portalname().unwrap_or_default();
        let Some(texts) = self.ground.settings.cursor(name) else {
            return Err(Refusal::new(
                SqlState("34000"),
                Reason::Unresolved,
                format!("cursor \"{name}\" does not exist"),
            ));
        };
        self.nested.extend(texts.iter().map(Arc::clone));
        Ok(())
    }

    fn transaction(&mut self, transaction: &'a nodes::TransactionStmt) -> Result<(), Refusal> {
        let savepoint = transaction.savepoint_name().unwrap_or_default().to_owned();
        let chain = transaction.chain;
        let (command, effect) = match transaction.kind {
            Tx::TRANS_STMT_BEGIN => ("BEGIN", Effect::Begin),
            Tx::TRANS_STMT_START => ("START TRANSACTION", Effect::Begin),
            Tx::TRANS_STMT_COMMIT => ("COMMIT", Effect::Commit { chain }),
            Tx::TRANS_STMT_ROLLBACK => ("ROLLBACK", Effect::Rollback { chain }),
            Tx::TRANS_STMT_SAVEPOINT => {
                self.ground.settings.check_savepoint()?;
                ("SAVEPOINT", Effect::Savepoint(savepoint))
            }
            Tx::TRANS_STMT_RELEASE => ("RELEASE", Effect::Release(savepoint)),
            Tx::TRANS_STMT_ROLLBACK_TO => ("ROLLBACK", Effect::RollbackTo(savepoint)),
            _ => {
                return Err(Refusal::unsupported("two-phase commit is not supported")
                    .with_hint("use COMMIT or ROLLBACK"));
            }
        };
        self.command(command);
        self.effect = effect;
        Ok(())
    }

    fn set(&mut self, set: &'a nodes::VariableSetStmt) -> Result<(), Refusal> {
        let name = set.name().unwrap_or_default();
        let resets = matches!(set.kind, Set::VAR_RESET | Set::VAR_RESET_ALL);
        self.command(if resets { "RESET" } else { "SET" });
        if set.kind == Set::VAR_RESET_ALL {
            self.effect = Effect::ResetAll;
            return Ok(());
        }
        if set.kind == Set::VAR_SET_MULTI {
            return set_transaction(name);
        }
        for argument in set.args() {
            check_argument(argument)?;
        }
        let values: Vec<String> = set.args().iter().map(constant).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        if !name.eq_ignore_ascii_case("search_path") {
            return check_set(name, &values);
        }
        if set.kind == Set::VAR_SET_CURRENT {
            return Err(Refusal::unsupported("SET … FROM CURRENT is not supported"));
        }
        check_search_path(&values)?;
        let plain = set.kind == Set::VAR_SET_VALUE;
        self.effect = Effect::SearchPath {
            entries: plain.then(|| values.iter().map(|value| (*value).to_owned()).collect()),
            local: set.is_local,
        };
        Ok(())
    }

    fn call(&mut self, call: &'a nodes::CallStmt) -> Result<(), Refusal> {
        self.command("CALL");
        let Some(function) = call.funccall() else {
            return Err(Refusal::unsupported("CALL names no procedure"));
        };
        self.function_name(function, true)?;
        self.expressions(function.args().iter(), &Scope::default(), Use::Output)?;
        Ok(())
    }
}

pub(super) fn is_query(node: Node<'_>) -> bool {
    matches!(
        node,
        Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)
    )
}

fn is_query_or_execute(node: Node<'_>) -> bool {
    is_query(node) || matches!(node, Node::ExecuteStmt(_))
}

/// An argument of SET is a constant, or an interval with its fields (`INTERVAL '1' HOUR`): Postgres's
/// deparser takes those for granted.
#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a constant")]
fn check_argument(argument: Node<'_>) -> Result<(), Refusal> {
    let fits = match argument {
        Node::A_Const(constant) => constant.val().is_some(),
        Node::TypeCast(cast) => {
            let fields = cast
                .type_name()
                .is_some_and(|name| !name.typmods().is_empty());
            fields && matches!(cast.arg(), Node::A_Const(_))
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::unsupported("SET takes constants only")
        .with_hint("write the value in quotes, for instance SET TIME ZONE 'UTC'"))
}

fn set_transaction(name: &str) -> Result<(), Refusal> {
    match name {
        "TRANSACTION" | "SESSION CHARACTERISTICS" => Ok(()),
        _ => Err(Refusal::unsupported(format!("SET {name} is not supported"))),
    }
}

/// A constant of SET as text. What is no constant becomes a text that no rule allows.
#[expect(clippy::wildcard_enum_match_arm, reason = "no rule allows this text")]
fn constant(node: Node<'_>) -> String {
    let constant = match node {
        Node::A_Const(constant) => constant,
        Node::TypeCast(cast) => return self::constant(cast.arg()),
        _ => return "?".to_owned(),
    };
    match constant.val() {
        Some(ConstValue::String(text) | ConstValue::Float(text)) => text.to_owned(),
        Some(ConstValue::Integer(number)) => number.to_string(),
        Some(ConstValue::Boolean(flag)) => flag.to_string(),
        _ => "?".to_owned(),
    }
}

/// The refusal of a kind of statement, by the words an agent wrote.
#[expect(clippy::wildcard_enum_match_arm, reason = "named by its node instead")]
pub(super) fn refused_kind(node: Node<'_>) -> Refusal {
    let words = match node {
        Node::DoStmt(_) => "DO",
        Node::NotifyStmt(_) => "NOTIFY",
        Node::ListenStmt(_) => "LISTEN",
        Node::LockStmt(_) => "LOCK TABLE",
        Node::VacuumStmt(_) => "VACUUM and ANALYZE",
        Node::TruncateStmt(_) => "TRUNCATE",
        Node::GrantStmt(_) | Node::GrantRoleStmt(_) => "GRANT and REVOKE",
        Node::AlterSystemStmt(_) => "ALTER SYSTEM",
        Node::CreateTableAsStmt(_) => "CREATE TABLE AS",
        Node::CheckPointStmt(_) => "CHECKPOINT",
        Node::RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW",
        Node::ReindexStmt(_) => "REINDEX",
        Node::ClusterStmt(_) => "CLUSTER",
        Node::LoadStmt(_) => "LOAD",
        Node::SecLabelStmt(_) => "SECURITY LABEL",
        Node::CommentStmt(_) => "COMMENT",
        other => return schema_change(other),
    };
    Refusal::unsupported(format!("{words} is not allowed through pgward"))
        .with_hint("use SELECT, INSERT, UPDATE, DELETE, MERGE or COPY")
}

/// `CreateStmt` becomes `CREATE`, `AlterTableStmt` becomes `ALTER`, and so on.
fn schema_change(node: Node<'_>) -> Refusal {
    let refusal = unknown_node(node, "a statement");
    let kind = refusal.message.split(' ').next().unwrap_or_default();
    let verb = [
        "Create", "Alter", "Drop", "Rename", "Define", "Import", "Reassign",
    ]
    .into_iter()
    .find(|verb| kind.starts_with(verb));
    let words = match verb {
        Some("Define" | "Import") => "CREATE",
        Some("Rename") => "ALTER",
        Some(verb) => verb,
        None if matches!(
            node,
            Node::ViewStmt(_) | Node::IndexStmt(_) | Node::RuleStmt(_)
        ) =>
        {
            "CREATE"
        }
        None => kind,
    };
    Refusal::unsupported(format!(
        "{} is not allowed through pgward",
        words.to_ascii_uppercase()
    ))
    .with_hint("use SELECT, INSERT, UPDATE, DELETE, MERGE or COPY")
}
