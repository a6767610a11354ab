//! `*.cases.toml`: what an agent should and should not be able to do, written beside the policy.
//! This file reads them; the gate runs them.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::{Spanned, Value};

use crate::clock::Timestamp;
use crate::ident::QualifiedName;
use crate::principal::{AccessDetail, Agent, Attribute, Principal, TokenFacts, User};

use super::diagnostics::{Diagnostic, Diagnostics, Place, Severity, SourceFile, Sources};
use super::document::{self, FileKind, RawCase, Word};
use super::pattern::parse_column;

/// What a case expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The statement is sent as it is.
    Allow,
    /// It is refused.
    Deny,
    /// It is sent changed: masked, filtered.
    Rewrite,
}

/// One test of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, for people.
    pub name: String,
    /// The file it is in.
    pub file: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// The agent that acts.
    pub agent: String,
    /// The agents before it, the one that called it first.
    pub chain: Vec<String>,
    /// On whose authority.
    pub user: User,
    /// The statement.
    pub sql: String,
    /// What should come of it.
    pub expect: Expect,
    /// The column a refusal must be about: relation and column, as a denial names them.
    pub column: Option<(QualifiedName, String)>,
    /// The SQLSTATE of a refusal.
    pub code: Option<String>,
    /// The purpose the token carries.
    pub purpose: Option<String>,
    /// The moment; the present one where it is not given.
    pub time: Option<Timestamp>,
    /// The client's address.
    pub client: Option<IpAddr>,
}

impl Case {
    /// The principal of the case, with a token that ends an hour after `now`.
    pub fn principal(&self, now: Timestamp) -> Principal {
        let agents = std::iter::once(&self.agent).chain(&self.chain);
        let chain = agents.map(|sub| Agent {
            sub: sub.clone(),
            issuer: None,
        });
        let detail = self.purpose.clone().map(|purpose| AccessDetail {
            purpose: Some(purpose),
            ..AccessDetail::default()
        });
        Principal {
            user: self.user.clone(),
            chain: chain.collect(),
            scope: Vec::new(),
            authorization_details: detail.map(|detail| vec![detail]),
            token: TokenFacts {
                issuer: "policy test".to_owned(),
                jti: self.name.clone(),
                client_id: None,
                expires_at: Timestamp::from_seconds(now.seconds().saturating_add(3_600)),
                base: None,
            },
        }
    }
}

/// Whether a file of that name holds cases and no policy.
pub fn is_cases_file(name: &str) -> bool {
    name.ends_with(".cases.toml")
}

/// Reads the cases of all files.
///
/// # Errors
/// Every mistake in every file.
pub fn load_cases(files: &[SourceFile<'_>]) -> Result<Vec<Case>, Diagnostics> {
    let sources = Sources::new(files.iter());
    let mut reader = Reader {
        file: 0,
        sources: sources.clone(),
        found: Vec::new(),
    };
    let mut cases = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let document = document::read(number, FileKind::Cases, file.text, &mut reader.found);
        reader.file = number;
        for entry in document.cases {
            cases.extend(reader.case(entry.span, entry.raw));
        }
    }
    if reader.found.is_empty() {
        Ok(cases)
    } else {
        Err(Diagnostics::new(sources, reader.found))
    }
}

struct Reader {
    file: usize,
    sources: Sources,
    found: Vec<Diagnostic>,
}

impl Reader {
    fn case(&mut self, span: Range<usize>, raw: RawCase) -> Option<Case> {
        let expect = self.expect(&raw.expect);
        let user = self.user(raw.user);
        let time = raw.time.as_ref().and_then(|word| self.time(word));
        let client = raw.client.as_ref().and_then(|word| self.client(word));
        let column = raw.column.as_ref().and_then(|word| self.column(word));
        if let Some(word) = &raw.code
            && !is_sqlstate(word.get_ref())
        {
            let hint = "an SQLSTATE has five digits or capital letters: 42501";
            self.wrong(word.span(), "this is not an SQLSTATE", hint);
        }
        let place = Place {
            file: self.file,
            span,
        };
        let text = |word: Option<Word>| word.map(Spanned::into_inner);
        Some(Case {
            name: raw.name.into_inner(),
            file: self.sources.name(&place).to_owned(),
            line: self.sources.line(&place),
            agent: raw.agent.into_inner(),
            chain: raw.chain.into_iter().map(Spanned::into_inner).collect(),
            user: user?,
            sql: raw.sql.into_inner(),
            expect: expect?,
            column,
            code: text(raw.code),
            purpose: text(raw.purpose),
            time,
            client,
        })
    }

    fn expect(&mut self, word: &Word) -> Option<Expect> {
        match word.get_ref().as_str() {
            "allow" => Some(Expect::Allow),
            "deny" => Some(Expect::Deny),
            "rewrite" => Some(Expect::Rewrite),
            _ => {
                let hint = "known are allow, deny and rewrite";
                self.wrong(word.span(), "this cannot be expected", hint);
                None
            }
        }
    }

    fn user(&mut self, raw: Spanned<BTreeMap<String, Spanned<Value>>>) -> Option<User> {
        let span = raw.span();
        let mut user = User::default();
        for (name, value) in raw.into_inner() {
            let at = value.span();
            match (name.as_str(), attribute(value.into_inner())) {
                ("sub", Some(Attribute::Text(sub))) => user.sub = sub,
                ("groups", Some(Attribute::List(groups))) => user.groups = groups,
                ("sub", _) => self.wrong(at, "a user's sub is a string", "write sub = \"alice\""),
                ("groups", _) => {
                    let hint = "write groups = [\"support\"]";
                    self.wrong(at, "a user's groups are a list of strings", hint);
                }
                (_, Some(attribute)) => {
                    user.attributes.insert(name.clone(), attribute);
                }
                (_, None) => {
                    let hint = "write a string, a whole number, true, false or a list of strings";
                    self.wrong(at, "a user cannot have such an attribute", hint);
                }
            }
        }
        if user.sub.is_empty() {
            self.wrong(span, "this user has no sub", "add sub = \"alice\"");
            return None;
        }
        Some(user)
    }

    fn column(&mut self, word: &Word) -> Option<(QualifiedName, String)> {
        match parse_column(word.get_ref()) {
            Ok(column) => Some(column),
            Err(reason) => {
                self.wrong(word.span(), "this is not a column", &reason);
                None
            }
        }
    }

    fn time(&mut self, word: &Word) -> Option<Timestamp> {
        match word.get_ref().parse::<jiff::Timestamp>() {
            Ok(time) => Some(Timestamp::from_micros(time.as_microsecond())),
            Err(_) => {
                let hint = "write time = \"2025-03-31T09:00:00Z\"";
                self.wrong(word.span(), "this is not a moment", hint);
                None
            }
        }
    }

    fn client(&mut self, word: &Word) -> Option<IpAddr> {
        let address = word.get_ref().parse().ok();
        if address.is_none() {
            let hint = "write client = \"10.0.0.7\"";
            self.wrong(word.span(), "this is not an address", hint);
        }
        address
    }

    fn wrong(&mut self, span: Range<usize>, message: &str, hint: &str) {
        self.found.push(Diagnostic {
            severity: Severity::Error,
            place: Place {
                file: self.file,
                span,
            },
            message: message.to_owned(),
            label: "here".to_owned(),
            hint: Some(hint.to_owned()),
        });
    }
}

fn attribute(value: Value) -> Option<Attribute> {
    match value {
        Value::String(text) => Some(Attribute::Text(text)),
        Value::Integer(number) => Some(Attribute::Integer(number)),
        Value::Boolean(flag) => Some(Attribute::Boolean(flag)),
        Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .map(Attribute::List),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn is_sqlstate(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    text.len() == 5 && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Vec<Case>, Diagnostics> {
        load_cases(&[SourceFile {
            name: "shop.cases.toml",
            text,
        }])
    }

    #[test]
    fn reads_a_case() {
        let cases = load(
            r#"
[[case]]
name   = "support bot may not read ssn"
agent  = "support-bot"
chain  = ["planner"]
user   = { sub = "alice", groups = ["support"], region = "EU", level = 3, staff = true }
sql    = "SELECT ssn FROM customers"
expect = "deny"
column = "public.customers.ssn"
code   = "42501"
purpose = "support"
time   = "2025-03-31T09:00:00Z"
client = "10.0.0.7"
"#,
        )
        .unwrap();
        let case = &cases[0];
        assert_eq!((case.line, case.expect), (2, Expect::Deny));
        let ssn = (QualifiedName::new("public", "customers"), "ssn".to_owned());
        assert_eq!(case.column, Some(ssn));
        assert_eq!(case.user.attributes.len(), 3);
        assert_eq!(case.time, Some(Timestamp::from_seconds(1_743_411_600)));
        let principal = case.principal(Timestamp::from_seconds(0));
        assert_eq!(principal.agent(), "support-bot");
        assert_eq!(principal.chain.len(), 2);
        assert_eq!(principal.user.groups, ["support"]);
        let details = principal.authorization_details.unwrap();
        assert_eq!(details[0].purpose.as_deref(), Some("support"));
    }

    #[test]
    fn tells_every_mistake() {
        let found = load(
            r#"
[[case]]
name = "a"
agent = "b"
user = { groups = "support", when = 1979-05-27 }
sql = "SELECT 1"
expect = "maybe"
column = "ssn"
code = "4250"
time = "noon"
client = "here"
[[case]]
name = "c"
"#,
        )
        .unwrap_err();
        assert_eq!(found.len(), 9, "{found}");
        assert!(load("[[grant]]\nid = \"g\"\n").is_err());
        assert!(load("").unwrap().is_empty());
    }

    #[test]
    fn knows_its_files() {
        assert!(is_cases_file("policies/shop.cases.toml"));
        assert!(!is_cases_file("policies/shop.toml"));
    }
}
