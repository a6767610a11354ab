//! The compiled policy: validated rules and the indexes a decision needs. Made by
//! [`super::compile`] alone; nothing here can be changed afterwards.

use std::collections::{HashMap, HashSet};

use crate::access::Action;
use crate::ident::QualifiedName;
use crate::principal::{Agent, Principal, User};

use super::conditions::Conditions;
use super::diagnostics::{Place, Sources};
use super::mask::Mask;
use super::pattern::{Glob, ObjectIndex, ObjectPattern, UserPattern};
use super::sensitivity::Sensitivity;

/// A policy that is ready to decide. It knows no database: labels are worked out against a
/// snapshot when they are asked for.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) sources: Sources,
    pub(super) tables: Vec<TableRule>,
    pub(super) table_index: ObjectIndex,
    pub(super) grants: Vec<Grant>,
    pub(super) grant_index: ObjectIndex,
    /// The `functions` of grants.
    pub(super) call_index: ObjectIndex,
    pub(super) denies: Vec<Deny>,
    pub(super) delegations: Vec<Delegation>,
    pub(super) functions: Vec<FunctionRule>,
    pub(super) function_index: ObjectIndex,
    /// Functions of the system schemas that may be called freely.
    pub(super) safe: HashSet<QualifiedName>,
}

impl Rules {
    pub(super) fn empty(sources: Sources) -> Self {
        Self {
            sources,
            tables: Vec::new(),
            table_index: ObjectIndex::default(),
            grants: Vec::new(),
            grant_index: ObjectIndex::default(),
            call_index: ObjectIndex::default(),
            denies: Vec::new(),
            delegations: Vec::new(),
            functions: Vec::new(),
            function_index: ObjectIndex::default(),
            safe: HashSet::new(),
        }
    }
}

/// Whether a schema's labels and functions are pgward's own business.
pub(super) fn is_system(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ActionSet(u8);

impl ActionSet {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(0b1_1111);

    pub(super) fn with(self, action: Action) -> Self {
        Self(self.0 | bit(action))
    }

    pub(super) fn has(self, action: Action) -> bool {
        self.0 & bit(action) != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

const fn bit(action: Action) -> u8 {
    match action {
        Action::Select => 1,
        Action::Insert => 2,
        Action::Update => 4,
        Action::Delete => 8,
        Action::Call => 16,
    }
}

/// A column's own label, as written.
#[derive(Debug, Clone)]
pub(super) struct ColumnLabel {
    pub(super) sensitivity: Sensitivity,
    pub(super) mask: Option<Mask>,
}

/// A `[[table]]` entry.
#[derive(Debug, Clone)]
pub(super) struct TableRule {
    pub(super) pattern: ObjectPattern,
    pub(super) default: Option<Sensitivity>,
    pub(super) columns: HashMap<String, ColumnLabel>,
    pub(super) place: Place,
    pub(super) shipped: bool,
}

/// A `[[grant]]` entry.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) id: String,
    pub(super) agents: Vec<Glob>,
    pub(super) users: Vec<UserPattern>,
    pub(super) actions: ActionSet,
    pub(super) tables: Vec<ObjectPattern>,
    pub(super) functions: Vec<ObjectPattern>,
    pub(super) clearance: Sensitivity,
    /// Whether only some rows are granted.
    pub(super) rows: bool,
    pub(super) hidden: HashSet<String>,
    pub(super) unmasked: HashSet<String>,
    pub(super) conditions: Conditions,
    /// Whether it holds only up to a risk.
    pub(super) risk: bool,
    /// Whether it holds only within limits.
    pub(super) limits: bool,
    pub(super) place: Place,
    pub(super) shipped: bool,
}

impl Grant {
    /// Whether it speaks of that principal: every agent of the chain, and the user.
    pub(super) fn concerns(&self, principal: &Principal) -> bool {
        all_agents(&self.agents, &principal.chain) && any_user(&self.users, &principal.user)
    }
}

/// A `[[deny]]` entry.
#[derive(Debug, Clone)]
pub(super) struct Deny {
    pub(super) id: String,
    pub(super) agents: Vec<Glob>,
    pub(super) users: Vec<UserPattern>,
    pub(super) tables: Vec<ObjectPattern>,
    pub(super) actions: ActionSet,
    /// `None` for the relation as a whole.
    pub(super) columns: Option<HashSet<String>>,
    pub(super) place: Place,
}

impl Deny {
    /// Whether it speaks of that principal: any agent of the chain is enough.
    pub(super) fn concerns(&self, principal: &Principal) -> bool {
        any_agent(&self.agents, &principal.chain) && any_user(&self.users, &principal.user)
    }

    /// Whether it forbids the relation as a whole.
    pub(super) fn strikes(&self, relation: &QualifiedName, action: Action) -> bool {
        self.columns.is_none() && self.is_about(relation, action)
    }

    /// Whether it forbids that column.
    pub(super) fn strikes_column(
        &self,
        relation: &QualifiedName,
        column: &str,
        action: Action,
    ) -> bool {
        let named = self
            .columns
            .as_ref()
            .is_some_and(|names| names.contains(column));
        named && self.is_about(relation, action)
    }

    pub(super) fn is_about(&self, relation: &QualifiedName, action: Action) -> bool {
        self.actions.has(action) && self.tables.iter().any(|table| table.matches(relation))
    }
}

/// A `[[delegation]]` entry.
#[derive(Debug, Clone)]
pub(super) struct Delegation {
    pub(super) users: Vec<UserPattern>,
    pub(super) agents: Vec<Glob>,
    pub(super) clearance: Sensitivity,
    pub(super) actions: ActionSet,
    /// The longest a delegated token may live, in seconds.
    pub(super) ttl_seconds_max: Option<i64>,
    /// The most agents in a chain.
    pub(super) depth_max: Option<usize>,
}

impl Delegation {
    /// Whether it lets that user hand authority to that chain.
    pub(super) fn concerns(&self, principal: &Principal) -> bool {
        any_user(&self.users, &principal.user)
            && all_agents(&self.agents, &principal.chain)
            && self
                .depth_max
                .is_none_or(|most| principal.chain.len() <= most)
    }
}

/// A `[[function]]` entry.
#[derive(Debug, Clone)]
pub(super) struct FunctionRule {
    pub(super) pattern: ObjectPattern,
    /// Relations it may read wholly.
    pub(super) tables: Vec<QualifiedName>,
    /// Single columns it may read.
    pub(super) columns: Vec<(QualifiedName, String)>,
    pub(super) place: Place,
}

fn all_agents(globs: &[Glob], chain: &[Agent]) -> bool {
    !chain.is_empty() && chain.iter().all(|agent| is_named(globs, agent))
}

fn any_agent(globs: &[Glob], chain: &[Agent]) -> bool {
    chain.iter().any(|agent| is_named(globs, agent))
}

fn is_named(globs: &[Glob], agent: &Agent) -> bool {
    globs.iter().any(|glob| glob.matches(&agent.sub))
}

fn any_user(patterns: &[UserPattern], user: &User) -> bool {
    patterns.iter().any(|pattern| pattern.matches(user))
}
