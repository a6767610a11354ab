//! The patterns of a policy: `*` in the names of agents and users, in the table part of
//! `schema.table`, and nowhere else. Built once when the policy is loaded; matching allocates
//! nothing. Names are compared as the catalog stores them: nothing here folds case.

use std::collections::HashMap;
use std::fmt;

use crate::ident::QualifiedName;
use crate::principal::User;

/// Text in which `*` stands for any characters, none included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// What stands between the stars; one segment where there is no star.
    segments: Vec<String>,
}

impl Glob {
    /// The pattern of that text.
    pub(super) fn new(text: &str) -> Self {
        Self {
            segments: text.split('*').map(str::to_owned).collect(),
        }
    }

    /// Whether the text matches from end to end.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.segments.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(inner) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut inner) = inner.strip_suffix(last.as_str()) else {
            return false;
        };
        for segment in middle {
            match inner.split_once(segment.as_str()) {
                Some((_, after)) => inner = after,
                None => return false,
            }
        }
        true
    }

    /// Whether it is made of stars alone.
    pub(super) fn is_any(&self) -> bool {
        self.segments.len() > 1 && self.segments.iter().all(String::is_empty)
    }
}

/// Whom a rule means: `alice`, `svc-*`, `group:support`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserPattern {
    /// The token's `sub`.
    Sub(Glob),
    /// One of the token's `groups`.
    Group(Glob),
}

impl UserPattern {
    /// The pattern of that text.
    pub(super) fn new(text: &str) -> Self {
        match text.strip_prefix("group:") {
            Some(group) => Self::Group(Glob::new(group)),
            None => Self::Sub(Glob::new(text)),
        }
    }

    /// Whether it means that user.
    pub(super) fn matches(&self, user: &User) -> bool {
        match self {
            Self::Sub(glob) => glob.matches(&user.sub),
            Self::Group(glob) => user.groups.iter().any(|group| glob.matches(group)),
        }
    }

    /// Whether it means everybody.
    pub(super) fn is_any(&self) -> bool {
        match self {
            Self::Sub(glob) => glob.is_any(),
            Self::Group(_) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    Exact(QualifiedName),
    Glob { schema: String, name: Glob },
}

/// `schema.table`, `schema.*`, `schema.log_*`; parts in double quotes are taken as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectPattern {
    pattern: NamePattern,
    /// As the policy spells it.
    written: String,
}

impl ObjectPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words for a DBA.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = split_name(text)?;
        let [schema, name] = parts.as_slice() else {
            return Err("expected schema.table".to_owned());
        };
        if schema.is_glob() {
            return Err("* may stand in the table part only".to_owned());
        }
        let pattern = if name.is_glob() {
            NamePattern::Glob {
                schema: schema.text.clone(),
                name: Glob::new(&name.text),
            }
        } else {
            NamePattern::Exact(QualifiedName::new(&schema.text, &name.text))
        };
        let written = text.to_owned();
        Ok(Self { pattern, written })
    }

    /// Whether the object matches.
    pub(super) fn matches(&self, object: &QualifiedName) -> bool {
        match &self.pattern {
            NamePattern::Exact(exact) => exact == object,
            NamePattern::Glob { schema, name } => {
                *schema == object.schema && name.matches(&object.name)
            }
        }
    }

    /// The one object it names, where it has no star.
    pub(super) fn exact(&self) -> Option<&QualifiedName> {
        match &self.pattern {
            NamePattern::Exact(exact) => Some(exact),
            NamePattern::Glob { .. } => None,
        }
    }

    /// The schema it is about.
    pub(super) fn schema(&self) -> &str {
        match &self.pattern {
            NamePattern::Exact(exact) => &exact.schema,
            NamePattern::Glob { schema, .. } => schema,
        }
    }

    /// Whether some name could match both; two globs of one schema are taken to overlap.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self.exact(), other.exact()) {
            (Some(exact), _) => other.matches(exact),
            (None, Some(exact)) => self.matches(exact),
            (None, None) => self.schema() == other.schema(),
        }
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Reads the name of one relation, without a star.
///
/// # Errors
/// What is wrong with it, in words for a DBA.
pub(super) fn parse_object(text: &str) -> Result<QualifiedName, String> {
    match ObjectPattern::parse(text)?.exact() {
        Some(exact) => Ok(exact.clone()),
        None => Err("* is not allowed here: name one relation".to_owned()),
    }
}

/// Reads `schema.table.column`, without a star.
///
/// # Errors
/// What is wrong with it, in words for a DBA.
pub(super) fn parse_column(text: &str) -> Result<(QualifiedName, String), String> {
    let parts = split_name(text)?;
    let [schema, table, column] = parts.as_slice() else {
        return Err("expected schema.table.column".to_owned());
    };
    if parts.iter().any(Part::is_glob) {
        return Err("* is not allowed here: name one column".to_owned());
    }
    let relation = QualifiedName::new(&schema.text, &table.text);
    Ok((relation, column.text.clone()))
}

struct Part {
    text: String,
    quoted: bool,
}

impl Part {
    fn is_glob(&self) -> bool {
        !self.quoted && self.text.contains('*')
    }
}

fn split_name(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inside) => take_quoted(inside)?,
            None => take_bare(rest),
        };
        if part.text.is_empty() {
            return Err("a part of the name is empty".to_owned());
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err("a double quote must surround a whole part".to_owned()),
        }
    }
}

fn take_bare(text: &str) -> (Part, &str) {
    let end = text.find(['.', '"']).unwrap_or(text.len());
    let (part, after) = text.split_at_checked(end).unwrap_or((text, ""));
    let part = Part {
        text: part.to_owned(),
        quoted: false,
    };
    (part, after)
}

fn take_quoted(inside: &str) -> Result<(Part, &str), String> {
    let mut text = String::new();
    let mut chars = inside.chars();
    while let Some(next) = chars.next() {
        if next != '"' {
            text.push(next);
        } else if let Some(after) = chars.as_str().strip_prefix('"') {
            text.push('"');
            chars = after.chars();
        } else {
            return Ok((Part { text, quoted: true }, chars.as_str()));
        }
    }
    Err("a double quote is not closed".to_owned())
}

/// Which rules, by number, have a pattern that matches a name: a hash lookup for the exact ones,
/// a walk over the globs of the name's schema for the others.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectIndex {
    exact: HashMap<QualifiedName, Vec<usize>>,
    globs: HashMap<String, Vec<(Glob, usize)>>,
}

impl ObjectIndex {
    /// Adds a rule under one of its patterns.
    pub(super) fn insert(&mut self, pattern: &ObjectPattern, rule: usize) {
        match &pattern.pattern {
            NamePattern::Exact(exact) => {
                let rules = self.exact.entry(exact.clone()).or_default();
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
            NamePattern::Glob { schema, name } => {
                let globs = self.globs.entry(schema.clone()).or_default();
                globs.push((name.clone(), rule));
            }
        }
    }

    /// Rules that name the object without a star.
    pub(super) fn exact(&self, object: &QualifiedName) -> &[usize] {
        self.exact.get(object).map_or(&[], Vec::as_slice)
    }

    /// Rules whose globs match the object; a rule comes once per glob that does.
    pub(super) fn globs(&self, object: &QualifiedName) -> impl Iterator<Item = usize> {
        let globs = self
            .globs
            .get(&object.schema)
            .map_or(&[][..], Vec::as_slice);
        globs
            .iter()
            .filter(|(glob, _)| glob.matches(&object.name))
            .map(|(_, rule)| *rule)
    }

    /// Rules that match either way, each once, in the order they were written.
    pub(super) fn all(&self, object: &QualifiedName) -> Vec<usize> {
        let mut rules = self.exact(object).to_vec();
        rules.extend(self.globs(object));
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            (
                "support-bot",
                &["support-bot"],
                &["support-bot2", "", "Support-bot"],
            ),
            (
                "support-*",
                &["support-", "support-bot"],
                &["support", "x-support-a"],
            ),
            ("*-bot", &["-bot", "a-bot"], &["bot", "a-bots"]),
            (
                "a*b*c",
                &["abc", "aXbXc", "abbc", "abcbc"],
                &["ab", "acb", "abcd"],
            ),
            ("*", &["", "anything"], &[]),
            ("**", &["", "anything"], &[]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*ab*ab*", &["abab", "xabyabz"], &["ab", "aab"]),
            ("ä*", &["ä", "äpfel"], &["a"]),
        ];
        for (pattern, yes, no) in cases {
            let glob = Glob::new(pattern);
            for text in yes {
                assert!(glob.matches(text), "{pattern} should match {text}");
            }
            for text in no {
                assert!(!glob.matches(text), "{pattern} should not match {text}");
            }
        }
        assert!(Glob::new("*").is_any() && Glob::new("**").is_any());
        assert!(!Glob::new("").is_any() && !Glob::new("a*").is_any());
    }

    #[test]
    fn users_and_groups_are_apart() {
        let user = User {
            sub: "alice".to_owned(),
            groups: vec!["support".to_owned()],
            ..User::default()
        };
        for (pattern, expected) in [
            ("alice", true),
            ("al*", true),
            ("group:support", true),
            ("group:sup*", true),
            ("support", false),
            ("group:alice", false),
            ("*", true),
        ] {
            assert_eq!(
                UserPattern::new(pattern).matches(&user),
                expected,
                "{pattern}"
            );
        }
        let named_like_a_group = User {
            sub: "group:support".to_owned(),
            ..User::default()
        };
        assert!(!UserPattern::new("group:support").matches(&named_like_a_group));
    }

    #[test]
    fn object_patterns() {
        let customers = QualifiedName::new("public", "customers");
        for (text, expected) in [
            ("public.customers", true),
            ("public.*", true),
            ("public.cust*", true),
            ("\"public\".\"customers\"", true),
            ("hr.*", false),
            ("public.Customers", false),
            ("public.\"cust*\"", false),
        ] {
            let pattern = ObjectPattern::parse(text).unwrap();
            assert_eq!(pattern.matches(&customers), expected, "{text}");
        }
        let weird = QualifiedName::new("a.b", "say \"hi\"");
        let pattern = ObjectPattern::parse("\"a.b\".\"say \"\"hi\"\"\"").unwrap();
        assert!(pattern.matches(&weird));
        for wrong in [
            "customers",
            "a.b.c",
            "*.customers",
            "pub*.t",
            ".t",
            "a.",
            "",
            "a.\"b",
            "a.b\"c\"",
            "\"a\"b.c",
        ] {
            assert!(ObjectPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn columns() {
        let (relation, column) = parse_column("public.customers.\"two words\"").unwrap();
        assert_eq!(relation, QualifiedName::new("public", "customers"));
        assert_eq!(column, "two words");
        assert!(parse_column("public.customers").is_err());
        assert!(parse_column("public.customers.*").is_err());
        assert!(parse_object("public.*").is_err());
    }

    #[test]
    fn the_index_answers_like_the_patterns() {
        let texts = [
            "public.customers",
            "public.*",
            "hr.*",
            "public.*s",
            "public.orders",
        ];
        let patterns: Vec<ObjectPattern> = texts
            .iter()
            .map(|text| ObjectPattern::parse(text).unwrap())
            .collect();
        let mut index = ObjectIndex::default();
        for (rule, pattern) in patterns.iter().enumerate() {
            index.insert(pattern, rule);
        }
        for object in [
            ("public", "customers"),
            ("public", "x"),
            ("hr", "pay"),
            ("s", "t"),
        ] {
            let object = QualifiedName::new(object.0, object.1);
            let expected: Vec<usize> = (0..patterns.len())
                .filter(|rule| patterns[*rule].matches(&object))
                .collect();
            assert_eq!(index.all(&object), expected, "{object}");
        }
    }

    #[test]
    fn overlap() {
        for (one, other, expected) in [
            ("a.b", "a.*", true),
            ("a.*", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "b.*", false),
            ("a.x*", "a.y*", true),
        ] {
            let one = ObjectPattern::parse(one).unwrap();
            assert_eq!(
                one.overlaps(&ObjectPattern::parse(other).unwrap()),
                expected
            );
        }
    }
}
