//! Who is acting: the human at the root, the chain of agents, and the facts of the token that
//! binds them. These are plain values; what makes them believable is [`crate::token`].

use std::collections::BTreeMap;

use crate::clock::Timestamp;

/// A user attribute that policies may use (`:user.region`). Claims of other shapes are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A JSON string.
    Text(String),
    /// A JSON integer.
    Integer(i64),
    /// A JSON boolean.
    Boolean(bool),
    /// A JSON array of strings.
    List(Vec<String>),
}

/// The human or service on whose authority everything happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The token's `sub`.
    pub sub: String,
    /// The token's `groups` claim; policies name them `group:support`.
    pub groups: Vec<String>,
    /// Further claims that policies may use.
    pub attributes: BTreeMap<String, Attribute>,
}

/// One link of the chain of agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `act.sub` (RFC 8693 section 4.1).
    pub sub: String,
    /// `act.iss`, where the link names another issuer.
    pub issuer: Option<String>,
}

/// One `postgres_access` object of `authorization_details` (RFC 9396). Absent members do not
/// narrow; present ones only ever do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessDetail {
    /// Databases it is meant for; pgward ignores an object whose locations do not name it.
    pub locations: Option<Vec<String>>,
    /// `select`, `insert`, `update`, `delete`, `call`.
    pub actions: Option<Vec<String>>,
    /// `schema.table` to its columns; `None` stands for `"*"`.
    pub tables: Option<BTreeMap<String, Option<Vec<String>>>>,
    /// The highest sensitivity it may reach.
    pub clearance: Option<String>,
    /// What the access is for.
    pub purpose: Option<String>,
}

/// The user's own token, behind a delegated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseToken {
    /// `iss` of the base token.
    pub issuer: String,
    /// `jti` of the base token.
    pub jti: String,
    /// When the base token ends.
    pub expires_at: Timestamp,
}

/// Facts of the delegated token that the audit log and the session need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// `iss`.
    pub issuer: String,
    /// `jti`.
    pub jti: String,
    /// `client_id`.
    pub client_id: Option<String>,
    /// When this token ends (`exp`, or the base token's end where that is sooner).
    pub expires_at: Timestamp,
    /// The user's own token, where the delegated one names it.
    pub base: Option<BaseToken>,
}

/// Who is acting, for whom, and on what authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The human at the root.
    pub user: User,
    /// The agents, the one that acts now first, the one nearest to the user last. Never empty.
    pub chain: Vec<Agent>,
    /// `scope`, split at spaces.
    pub scope: Vec<String>,
    /// The token's `postgres_access` objects; `None` where the token has no such claim.
    pub authorization_details: Option<Vec<AccessDetail>>,
    /// Facts of the token.
    pub token: TokenFacts,
}

impl Principal {
    /// The agent that acts now.
    pub fn agent(&self) -> &str {
        self.chain.first().map_or("", |agent| agent.sub.as_str())
    }

    /// `user ← agent 1 ← agent 2`, for people.
    pub fn describe(&self) -> String {
        let mut text = format!("user \"{}\"", self.user.sub);
        for agent in self.chain.iter().rev() {
            text.push_str(&format!(" via agent \"{}\"", agent.sub));
        }
        text
    }
}
