//! The demo's identity provider and the agents it vouches for: a key made on the spot, and tokens
//! signed with it.

use crate::clock::Timestamp;
use crate::principal::{Agent, Attribute};
use crate::secret::Secret;
use crate::token::{Claims, SigningKey, mint};

use super::super::token::random_id;

/// The demo's `iss`.
pub const ISSUER: &str = "https://issuer.example";
/// The demo's `aud`.
pub const AUDIENCE: &str = "pgward";
/// How long a demo token lives, in seconds.
pub const LIFETIME_SECONDS: u32 = 3600;

/// Who delegates to whom: user, group, region, and the agents, the one that acts last.
const DELEGATIONS: &[(&str, &str, &str, &[&str])] = &[
    ("alice", "support", "EU", &["support-bot"]),
    ("alice", "support", "EU", &["support-bot", "support-triage"]),
    ("bob", "analysts", "US", &["analyst-bot"]),
    ("carol", "operations", "EU", &["ops-bot"]),
];

/// An agent with its token.
#[derive(Debug, Clone)]
pub struct DemoAgent {
    /// The agent that acts.
    pub name: String,
    /// The user behind it.
    pub user: String,
    /// Its delegated token.
    pub token: Secret,
}

/// Tokens for all agents of the demo.
///
/// # Errors
/// A key that cannot sign, or no randomness.
pub fn all(key: &SigningKey, now: Timestamp) -> anyhow::Result<Vec<DemoAgent>> {
    DELEGATIONS
        .iter()
        .map(|(user, group, region, chain)| {
            let acting = chain.last().copied().unwrap_or_default();
            let id = random_id()?;
            let mut claims =
                Claims::new(ISSUER, AUDIENCE, user, acting, &id, now, LIFETIME_SECONDS);
            claims.chain = chain.iter().rev().map(|name| agent(name)).collect();
            claims.client_id = Some(acting.to_owned());
            claims.groups = vec![(*group).to_owned()];
            claims
                .attributes
                .insert("region".to_owned(), Attribute::Text((*region).to_owned()));
            Ok(DemoAgent {
                name: acting.to_owned(),
                user: (*user).to_owned(),
                token: mint(key, &claims)?,
            })
        })
        .collect()
}

fn agent(sub: &str) -> Agent {
    Agent {
        sub: sub.to_owned(),
        issuer: None,
    }
}
