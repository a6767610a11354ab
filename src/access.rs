//! What a statement touches: relations, columns and functions, each with how it is used. Both
//! sides of a decision speak these words; nothing here knows SQL or policy.

use std::fmt;

use crate::ident::QualifiedName;

/// What is done to a relation, or to a function (`call`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Rows are read.
    Select,
    /// Rows are added.
    Insert,
    /// Rows are changed.
    Update,
    /// Rows are removed.
    Delete,
    /// A procedure is called.
    Call,
}

impl Action {
    /// The word used in policies and in the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Call => "call",
        }
    }

    /// The action of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Select,
            Self::Insert,
            Self::Update,
            Self::Delete,
            Self::Call,
        ]
        .into_iter()
        .find(|action| action.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a column is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Its value can reach the result.
    Output,
    /// Its value decides which rows, groups or order come back.
    Predicate,
    /// It is assigned.
    Written,
    /// It is read as part of the whole row.
    WholeRow,
}

impl Use {
    /// The word used by `policy explain` and the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Predicate => "predicate",
            Self::Written => "written",
            Self::WholeRow => "whole-row",
        }
    }
}

/// A relation a statement touches, once per action and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationUse {
    /// The relation, as the catalog names it.
    pub relation: QualifiedName,
    /// What is done to it.
    pub action: Action,
    /// Byte offset of the name in the client's text.
    pub offset: Option<usize>,
}

/// A column a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    /// The relation it belongs to.
    pub relation: QualifiedName,
    /// The column (`attname`).
    pub column: String,
    /// How it is used.
    pub used: Use,
    /// The action it is part of: `Select` for all reading.
    pub action: Action,
    /// Byte offset of the name in the client's text.
    pub offset: Option<usize>,
    /// Whether a `*` brought it in.
    pub star: bool,
}

/// A function a statement calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionUse {
    /// The function; `pg_catalog` for built-ins.
    pub function: QualifiedName,
    /// Whether it is called as a procedure (`CALL`).
    pub procedure: bool,
    /// Byte offset of the name in the client's text.
    pub offset: Option<usize>,
}

/// One column of a result and where its values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name in the result; `None` where Postgres would invent one.
    pub name: Option<String>,
    /// The columns its value is made of (relation, column), through subqueries and CTEs.
    pub sources: Vec<(QualifiedName, String)>,
}

/// Everything one statement touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// The command, in the words of Postgres's command tags (`SELECT`, `COPY`, `SET` …).
    pub command: &'static str,
    /// Relations.
    pub relations: Vec<RelationUse>,
    /// Columns.
    pub columns: Vec<ColumnUse>,
    /// Functions, operators' functions included where they are not built in.
    pub functions: Vec<FunctionUse>,
    /// The result's columns with their lineage; empty where there is no result.
    pub outputs: Vec<OutputColumn>,
}

impl Access {
    /// Adds what another statement touches that runs when this one runs. Places in that other text
    /// mean nothing in this one and are dropped.
    pub fn absorb(&mut self, other: Self) {
        let relations = other.relations.into_iter();
        self.relations.extend(relations.map(|relation| RelationUse {
            offset: None,
            ..relation
        }));
        let columns = other.columns.into_iter();
        self.columns.extend(columns.map(|column| ColumnUse {
            offset: None,
            ..column
        }));
        let functions = other.functions.into_iter();
        self.functions.extend(functions.map(|function| FunctionUse {
            offset: None,
            ..function
        }));
        if self.outputs.is_empty() {
            self.outputs = other.outputs;
        }
    }
}
