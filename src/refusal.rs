//! What a refused agent is told. A [`Refusal`] holds only words that are safe for the client: no
//! value from the database, no token, no policy lever. It is a value, not an error.

/// A Postgres error code (five characters, appendix A of the Postgres manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl SqlState {
    /// 42501 `insufficient_privilege`: the policy says no.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    /// 28000 `invalid_authorization_specification`: the identity is missing, wrong or over.
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    /// 0A000 `feature_not_supported`: pgward does not understand or does not carry it.
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// 54000 `program_limit_exceeded`: a named limit was passed.
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    /// 53300 `too_many_connections`.
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    /// 08P01 `protocol_violation`.
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    /// 08004 `sqlserver_rejected_establishment_of_sqlconnection`.
    pub const CONNECTION_REJECTED: Self = Self("08004");
    /// 57P01 `admin_shutdown`: pgward is draining.
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    /// 57P03 `cannot_connect_now`: the database or a sink is not reachable.
    pub const CANNOT_CONNECT_NOW: Self = Self("57P03");
    /// 58000 `system_error`: the audit sink failed, so nothing may run.
    pub const SYSTEM_ERROR: Self = Self("58000");
    /// 42601 `syntax_error`.
    pub const SYNTAX_ERROR: Self = Self("42601");
    /// 42P01 `undefined_table`.
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    /// 42703 `undefined_column`.
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    /// 42702 `ambiguous_column`.
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    /// 42712 `duplicate_alias`.
    pub const DUPLICATE_ALIAS: Self = Self("42712");
    /// 26000 `invalid_sql_statement_name`.
    pub const INVALID_STATEMENT_NAME: Self = Self("26000");
    /// 22021 `character_not_in_repertoire`: text that is not UTF-8.
    pub const NOT_IN_REPERTOIRE: Self = Self("22021");
    /// 25006 `read_only_sql_transaction`.
    pub const READ_ONLY: Self = Self("25006");
}

/// Why something was refused, for metrics and the audit log: a small closed set of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The policy does not allow it.
    Policy,
    /// The token, or the lack of one.
    Identity,
    /// Not a statement, node or message that pgward lets through.
    Unsupported,
    /// The text could not be parsed.
    Syntax,
    /// A name did not resolve.
    Unresolved,
    /// The two parsers did not agree about the statement.
    Disagreement,
    /// A limit was passed.
    Limit,
    /// A protocol rule was broken.
    Protocol,
    /// Something behind pgward is not available: database, audit sink, keys.
    Unavailable,
}

impl Reason {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Identity => "identity",
            Self::Unsupported => "unsupported",
            Self::Syntax => "syntax",
            Self::Unresolved => "unresolved",
            Self::Disagreement => "disagreement",
            Self::Limit => "limit",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A refusal, in the fields of an ErrorResponse. Every text in it is safe for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: SqlState,
    /// Metric and audit label.
    pub reason: Reason,
    /// The primary message, worded like Postgres's own.
    pub message: String,
    /// DETAIL: who was refused, and the decision's id once there is one.
    pub detail: Option<String>,
    /// HINT: what in the statement to change.
    pub hint: Option<String>,
    /// Byte offset (from 0) of the offending name in the client's own text, where it is known.
    pub offset: Option<usize>,
}

impl Refusal {
    /// A refusal with a message alone.
    pub fn new(code: SqlState, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            detail: None,
            hint: None,
            offset: None,
        }
    }

    /// 0A000: a statement or message that pgward does not let through.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            Reason::Unsupported,
            message,
        )
    }

    /// 28000: the identity is missing, wrong or over.
    pub fn identity(message: impl Into<String>) -> Self {
        Self::new(SqlState::INVALID_AUTHORIZATION, Reason::Identity, message)
    }

    /// 08P01: the client broke the protocol.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(SqlState::PROTOCOL_VIOLATION, Reason::Protocol, message)
    }

    /// 54000: a named limit was passed.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(SqlState::PROGRAM_LIMIT_EXCEEDED, Reason::Limit, message)
    }

    /// Adds a HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the place in the client's text (byte offset from 0).
    #[must_use]
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The POSITION field: characters from 1, as Postgres counts it, in `text`.
    pub fn position_in(&self, text: &str) -> Option<usize> {
        let before = text.get(..self.offset?)?;
        Some(before.chars().count().saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_characters_from_one() {
        let refusal = Refusal::unsupported("no").at(11);
        assert_eq!(refusal.position_in("SELECT 'é', x"), Some(11));
        assert_eq!(
            Refusal::unsupported("no").at(9).position_in("SELECT 'é'"),
            None
        );
        assert_eq!(refusal.position_in("SELECT"), None);
    }
}
