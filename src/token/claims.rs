//! The claims of a token whose signature is good become a principal. Every claim that is used is
//! checked for its type, none is guessed or converted, and a claim that cannot be honoured (`cnf`)
//! refuses the token. The time is handed in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::principal::{Agent, Attribute, BaseToken, Principal, TokenFacts, User};
use crate::refusal::Refusal;

use super::config::Issuer;
use super::details;
use super::json;
use super::refusals;

/// The last second that a date in a token may name: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// What a date in a token must be. RFC 7519 allows fractions; no issuer needs them.
const SECONDS: &str = "whole seconds since 1970";

type Claims = Map<String, Value>;

/// Reads who is acting, for whom and on what authority, or says what is wrong with the claims.
pub(super) fn principal(
    claims: &Claims,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    check_audience(claims, issuer)?;
    let expires_at = check_times(claims, issuer, now)?;
    if claims.contains_key("cnf") {
        return Err(refusals::bound());
    }
    let base = base(claims, now)?;
    Ok(Principal {
        user: user(claims, issuer)?,
        chain: chain(claims, issuer)?,
        scope: scope(claims)?,
        authorization_details: details::read(claims)?,
        token: TokenFacts {
            issuer: required_text(claims, "iss")?,
            jti: required_text(claims, "jti")?,
            client_id: optional_text(claims, "client_id")?,
            expires_at: match &base {
                Some(base) => expires_at.min(base.expires_at),
                None => expires_at,
            },
            base,
        },
    })
}

/// `aud` (RFC 7519 section 4.1.3): a name or a list of names, one of them ours.
fn check_audience(claims: &Claims, issuer: &Issuer) -> Result<(), Refusal> {
    let value = claims.get("aud").ok_or_else(|| refusals::missing("aud"))?;
    let names = match json::text(value) {
        Some(name) => vec![name.to_owned()],
        None => json::texts(value)
            .ok_or_else(|| refusals::wrong_type("aud", "a text or a list of texts"))?,
    };
    if names.iter().any(|name| issuer.audience.contains(name)) {
        Ok(())
    } else {
        Err(refusals::wrong_audience())
    }
}

/// `exp`, `nbf`, `iat` (RFC 7519 sections 4.1.4 to 4.1.6). Returns when the token ends.
fn check_times(claims: &Claims, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, Refusal> {
    let expires = seconds(claims, "exp")?;
    let not_before = seconds(claims, "nbf")?;
    let issued = seconds(claims, "iat")?;
    if now >= Timestamp::from_seconds(expires) {
        return Err(refusals::expired());
    }
    let latest = now.seconds().saturating_add(issuer.leeway_seconds);
    if issued > latest {
        return Err(refusals::issued_in_the_future());
    }
    if not_before > latest {
        return Err(refusals::not_yet_valid());
    }
    if expires <= issued {
        return Err(refusals::ends_before_it_begins());
    }
    if expires.saturating_sub(issued) > issuer.lifetime_seconds_max {
        return Err(refusals::lifetime_too_long(issuer.lifetime_seconds_max));
    }
    Ok(Timestamp::from_seconds(expires))
}

/// `sub`, `groups` and the configured attributes. Attributes of shapes that policies cannot use
/// are left out.
fn user(claims: &Claims, issuer: &Issuer) -> Result<User, Refusal> {
    let groups = match claims.get("groups") {
        None => Vec::new(),
        Some(value) => {
            json::texts(value).ok_or_else(|| refusals::wrong_type("groups", "a list of texts"))?
        }
    };
    let attributes: BTreeMap<String, Attribute> = issuer
        .attributes
        .iter()
        .filter_map(|name| Some((name.clone(), attribute(claims.get(name)?)?)))
        .collect();
    Ok(User {
        sub: required_text(claims, "sub")?,
        groups,
        attributes,
    })
}

fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::String(text) => sql_text(text).map(Attribute::Text),
        Value::Number(number) => number.as_i64().map(Attribute::Integer),
        Value::Bool(flag) => Some(Attribute::Boolean(*flag)),
        Value::Array(items) => items
            .iter()
            .map(|item| sql_text(item.as_str()?))
            .collect::<Option<Vec<String>>>()
            .map(Attribute::List),
        Value::Null | Value::Object(_) => None,
    }
}

/// A text that Postgres could hold: without NUL.
fn sql_text(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| text.to_owned())
}

/// The agents in `act` (RFC 8693 section 4.1), the one that acts now first. Other members of a
/// link say more about the agent and are passed over.
fn chain(claims: &Claims, issuer: &Issuer) -> Result<Vec<Agent>, Refusal> {
    let mut chain: Vec<Agent> = Vec::new();
    let mut next = Some(claims.get("act").ok_or_else(refusals::no_agent)?);
    while let Some(link) = next {
        let agent = agent(link)
            .ok_or_else(|| refusals::wrong_type("act", "an object with a text \"sub\""))?;
        if chain.len() >= issuer.chain_max {
            return Err(refusals::chain_too_deep(issuer.chain_max));
        }
        if chain.iter().any(|before| before.sub == agent.sub) {
            return Err(refusals::agent_twice());
        }
        if !issuer.vouches_for(&agent.sub) {
            return Err(refusals::foreign_agent());
        }
        chain.push(agent);
        next = link.get("act");
    }
    Ok(chain)
}

/// One link; `None` where it is no object, has no `sub`, or has an `iss` that is no name.
fn agent(link: &Value) -> Option<Agent> {
    let sub = json::text(link.get("sub")?)?.to_owned();
    let issuer = match link.get("iss") {
        None => None,
        Some(value) => Some(json::text(value)?.to_owned()),
    };
    Some(Agent { sub, issuer })
}

/// `scope` (RFC 8693 section 4.2): names separated by spaces.
fn scope(claims: &Claims) -> Result<Vec<String>, Refusal> {
    let Some(value) = claims.get("scope") else {
        return Ok(Vec::new());
    };
    let text = value
        .as_str()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| refusals::wrong_type("scope", "names separated by spaces"))?;
    Ok(text
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// `base`: the user's own token behind this one, which must not have ended either.
fn base(claims: &Claims, now: Timestamp) -> Result<Option<BaseToken>, Refusal> {
    let Some(value) = claims.get("base") else {
        return Ok(None);
    };
    let base = base_token(value).ok_or_else(|| {
        refusals::wrong_type("base", "an object with \"iss\", \"jti\" and \"exp\" alone")
    })?;
    if now >= base.expires_at {
        return Err(refusals::base_expired());
    }
    Ok(Some(base))
}

fn base_token(value: &Value) -> Option<BaseToken> {
    let members = value.as_object().filter(|members| members.len() == 3)?;
    Some(BaseToken {
        issuer: json::text(members.get("iss")?)?.to_owned(),
        jti: json::text(members.get("jti")?)?.to_owned(),
        expires_at: Timestamp::from_seconds(whole_seconds(members.get("exp")?)?),
    })
}

fn required_text(claims: &Claims, name: &'static str) -> Result<String, Refusal> {
    optional_text(claims, name)?.ok_or_else(|| refusals::missing(name))
}

fn optional_text(claims: &Claims, name: &'static str) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => json::text(value)
            .map(|text| Some(text.to_owned()))
            .ok_or_else(|| refusals::wrong_type(name, refusals::TEXT)),
    }
}

fn seconds(claims: &Claims, name: &'static str) -> Result<i64, Refusal> {
    let value = claims.get(name).ok_or_else(|| refusals::missing(name))?;
    whole_seconds(value).ok_or_else(|| refusals::wrong_type(name, SECONDS))
}

fn whole_seconds(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .filter(|seconds| (0..=SECONDS_MAX).contains(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn issuer(more: &str) -> Issuer {
        let text = format!(
            "issuer = 'i'\naudience = ['db', 'db2']\nalgorithms = ['EdDSA']\n\
             jwks_file = 'unused'\n{more}"
        );
        Issuer::new(toml::from_str(&text).unwrap()).unwrap()
    }

    fn claims(changes: Value) -> Claims {
        let mut all = json!({
            "iss": "i", "aud": "db", "sub": "alice", "jti": "j",
            "iat": NOW, "nbf": NOW, "exp": NOW + 300,
            "act": { "sub": "bot" },
        });
        let members = all.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.clone()
    }

    fn read(changes: Value, more: &str) -> Result<Principal, Refusal> {
        let now = Timestamp::from_seconds(NOW);
        principal(&claims(changes), &issuer(more), now)
    }

    #[test]
    fn the_least_a_token_needs() {
        let principal = read(json!({}), "").unwrap();
        assert_eq!(principal.user.sub, "alice");
        assert_eq!(principal.agent(), "bot");
        assert_eq!(principal.scope, Vec::<String>::new());
        assert_eq!(principal.authorization_details, None);
        assert_eq!(principal.token.client_id, None);
        assert_eq!(principal.token.base, None);
    }

    #[test]
    fn everything_a_token_may_have() {
        let principal = read(
            json!({
                "aud": ["other", "db2"], "client_id": "c", "scope": " read  write ",
                "groups": ["support"], "region": "EU", "department": 7, "tenant": ["a", "b"],
                "country": { "not": "kept" }, "email": "nul\0byte", "admin": true,
                "act": { "sub": "a1", "iss": "i1", "act": { "sub": "a2", "client_id": "x" } },
                "base": { "iss": "idp", "jti": "b", "exp": NOW + 100 },
            }),
            "",
        )
        .unwrap();
        assert_eq!(principal.scope, ["read", "write"]);
        assert_eq!(principal.user.groups, ["support"]);
        assert_eq!(
            principal.user.attributes,
            BTreeMap::from([
                ("region".to_owned(), Attribute::Text("EU".to_owned())),
                ("department".to_owned(), Attribute::Integer(7)),
                (
                    "tenant".to_owned(),
                    Attribute::List(vec!["a".to_owned(), "b".to_owned()])
                ),
            ])
        );
        let subs: Vec<&str> = principal.chain.iter().map(|a| a.sub.as_str()).collect();
        assert_eq!(subs, ["a1", "a2"]);
        assert_eq!(principal.chain[0].issuer.as_deref(), Some("i1"));
        assert_eq!(principal.token.client_id.as_deref(), Some("c"));
        assert_eq!(
            principal.token.expires_at,
            Timestamp::from_seconds(NOW + 100)
        );
    }

    #[test]
    fn the_base_token_never_lengthens() {
        let base = json!({ "base": { "iss": "idp", "jti": "b", "exp": NOW + 9000 } });
        let principal = read(base, "").unwrap();
        assert_eq!(
            principal.token.expires_at,
            Timestamp::from_seconds(NOW + 300)
        );
    }

    #[test]
    fn moments_at_the_edges() {
        let cases = [
            (json!({ "exp": NOW + 1 }), true),
            (json!({ "iat": NOW - 9, "nbf": NOW - 9, "exp": NOW }), false),
            (json!({ "nbf": NOW + 5 }), true),
            (json!({ "nbf": NOW + 6 }), false),
            (json!({ "iat": NOW + 5 }), true),
            (json!({ "iat": NOW + 6 }), false),
            (json!({ "exp": NOW + 3600 }), true),
            (json!({ "exp": NOW + 3601 }), false),
            (json!({ "iat": NOW - 3600, "exp": NOW + 1 }), false),
            (json!({ "iat": NOW + 5, "exp": NOW + 5 }), false),
        ];
        for (changes, good) in cases {
            assert_eq!(read(changes.clone(), "").is_ok(), good, "{changes}");
        }
        let at = |micros| {
            let now = Timestamp::from_micros(micros);
            principal(&claims(json!({})), &issuer(""), now).is_ok()
        };
        assert!(at((NOW + 300) * 1_000_000 - 1));
        assert!(!at((NOW + 300) * 1_000_000));
    }

    #[test]
    fn an_issuer_may_be_held_to_its_agents() {
        let act = json!({ "act": { "sub": "support-bot", "act": { "sub": "support-router" } } });
        assert!(read(act.clone(), "agents = ['support-*']").is_ok());
        assert_eq!(
            read(act, "agents = ['support-bot']").unwrap_err().message,
            "token issuer may not vouch for this agent"
        );
    }

    #[test]
    fn a_chain_of_one_means_no_sub_agents() {
        let act = json!({ "act": { "sub": "a", "act": { "sub": "b" } } });
        assert_eq!(
            read(act, "chain_max = 1").unwrap_err().message,
            "token's chain of agents is longer than 1"
        );
    }
}
