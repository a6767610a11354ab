//! The part of the compiler that reads grants and denies, and the small words they share with
//! delegations: actions, agents, users, lengths of time. See [`super::compile`] for the rest.

use std::collections::HashSet;
use std::ops::Range;

use jiff::tz::TimeZone;

use crate::access::Action;

use super::compile::Compiler;
use super::conditions::{Conditions, Days, Hours, Network};
use super::document::{RawDeny, RawGrant, RawWhen, Word};
use super::pattern::{Glob, UserPattern};
use super::rules::{ActionSet, Deny, Grant};
use super::sensitivity::Sensitivity;

impl Compiler {
    pub(super) fn grant(&mut self, span: Range<usize>, raw: &RawGrant) {
        self.once("grant", raw.id.get_ref(), raw.id.span());
        let actions = self.actions(&raw.actions);
        self.scope(&span, raw, actions);
        if let Some(rows) = raw
            .rows
            .as_ref()
            .filter(|rows| rows.get_ref().trim().is_empty())
        {
            let hint = "write an SQL predicate, or leave `rows` out";
            self.wrong(rows.span(), "this row filter is empty", "empty", hint);
        }
        let exceptions = raw.columns.as_ref();
        let grant = Grant {
            id: raw.id.get_ref().clone(),
            agents: self.agents(&raw.agents),
            users: self.users(&raw.users),
            actions,
            tables: self.objects(raw.tables.as_deref().unwrap_or_default()),
            functions: self.objects(raw.functions.as_deref().unwrap_or_default()),
            clearance: self.clearance(raw.clearance.as_ref()),
            rows: raw.rows.is_some(),
            hidden: exceptions.map_or_else(HashSet::new, |one| names(&one.deny)),
            unmasked: exceptions.map_or_else(HashSet::new, |one| names(&one.unmask)),
            conditions: self.conditions(raw.when.as_ref()),
            risk: raw
                .when
                .as_ref()
                .is_some_and(|when| when.max_risk.is_some()),
            limits: self.limits(raw),
            place: self.place(span),
            shipped: self.shipped,
        };
        let number = self.rules.grants.len();
        for pattern in &grant.tables {
            self.rules.grant_index.insert(pattern, number);
        }
        for pattern in &grant.functions {
            self.rules.call_index.insert(pattern, number);
        }
        self.rules.grants.push(grant);
    }

    /// `tables` go with actions on tables, `functions` with `call`.
    fn scope(&mut self, span: &Range<usize>, raw: &RawGrant, actions: ActionSet) {
        let calls = actions.has(Action::Call);
        let works_on_tables = [
            Action::Select,
            Action::Insert,
            Action::Update,
            Action::Delete,
        ]
        .into_iter()
        .any(|action| actions.has(action));
        let is_missing = |list: &Option<Vec<Word>>| list.as_ref().is_none_or(Vec::is_empty);
        if works_on_tables && is_missing(&raw.tables) {
            let hint = "add tables = [\"schema.table\"]";
            self.wrong(span.clone(), "this grant names no table", "here", hint);
        }
        if calls && is_missing(&raw.functions) {
            let hint = "`call` is for procedures: add functions = [\"schema.procedure\"]";
            self.wrong(span.clone(), "this grant names no procedure", "here", hint);
        }
        if !calls && !is_missing(&raw.functions) {
            let hint = "add \"call\" to its actions, or leave `functions` out";
            self.wrong(
                span.clone(),
                "this grant lets nothing be called",
                "here",
                hint,
            );
        }
        if works_on_tables && raw.clearance.is_none() {
            let hint = "add clearance = \"internal\", or another sensitivity";
            self.wrong(span.clone(), "this grant has no clearance", "here", hint);
        }
    }

    pub(super) fn deny(&mut self, number: usize, span: Range<usize>, raw: &RawDeny) {
        let place = self.place(span);
        let id = match &raw.id {
            Some(id) => {
                self.once("deny", id.get_ref(), id.span());
                id.get_ref().clone()
            }
            None => {
                let file = self.rules.sources.name(&place);
                format!("{file}#deny-{}", number.saturating_add(1))
            }
        };
        if raw.tables.is_empty() {
            let hint = "add tables = [\"schema.table\"]";
            self.wrong(place.span.clone(), "this deny names no table", "here", hint);
        }
        let everybody = || vec![UserPattern::new("*")];
        let deny = Deny {
            id,
            agents: match &raw.agents {
                Some(list) => self.agents(list),
                None => vec![Glob::new("*")],
            },
            users: match &raw.users {
                Some(list) => self.users(list),
                None => everybody(),
            },
            tables: self.objects(&raw.tables),
            actions: match &raw.actions {
                Some(list) => self.actions(list),
                None => ActionSet::ALL,
            },
            columns: raw.columns.as_deref().map(names),
            place,
        };
        if deny.columns.as_ref().is_some_and(HashSet::is_empty) {
            let hint = "leave `columns` out to deny the tables as a whole";
            let at = deny.place.span.clone();
            self.wrong(at, "this deny lists no column", "here", hint);
        }
        self.rules.denies.push(deny);
    }

    pub(super) fn actions(&mut self, list: &[Word]) -> ActionSet {
        let mut set = ActionSet::NONE;
        for word in list {
            match Action::from_word(word.get_ref()) {
                Some(action) => set = set.with(action),
                None => {
                    let hint = "known are select, insert, update, delete and call";
                    self.wrong(word.span(), "this is not an action", "unknown", hint);
                }
            }
        }
        set
    }

    pub(super) fn agents(&mut self, list: &[Word]) -> Vec<Glob> {
        self.not_empty(list);
        list.iter().map(|word| Glob::new(word.get_ref())).collect()
    }

    pub(super) fn users(&mut self, list: &[Word]) -> Vec<UserPattern> {
        self.not_empty(list);
        list.iter()
            .map(|word| UserPattern::new(word.get_ref()))
            .collect()
    }

    fn not_empty(&mut self, list: &[Word]) {
        for word in list.iter().filter(|word| word.get_ref().is_empty()) {
            let hint = "write a name, group:name, or * for all";
            self.wrong(word.span(), "this names nobody", "empty", hint);
        }
    }

    fn clearance(&mut self, word: Option<&Word>) -> Sensitivity {
        word.and_then(|word| self.sensitivity(word))
            .unwrap_or(Sensitivity::Public)
    }

    fn limits(&mut self, raw: &RawGrant) -> bool {
        let Some(limits) = &raw.limits else {
            return false;
        };
        let inside = limits.get_ref();
        for number in [&inside.rows_per_statement, &inside.statements_per_minute]
            .into_iter()
            .flatten()
            .filter(|number| *number.get_ref() <= 0)
        {
            let hint = "a limit is at least 1; to allow nothing, leave the grant out";
            self.wrong(number.span(), "this limit is not positive", "here", hint);
        }
        if inside.rows_per_statement.is_none() && inside.statements_per_minute.is_none() {
            let hint = "name rows_per_statement or statements_per_minute, or leave `limits` out";
            self.wrong(limits.span(), "these limits limit nothing", "here", hint);
        }
        true
    }

    fn conditions(&mut self, raw: Option<&RawWhen>) -> Conditions {
        let Some(raw) = raw else {
            return Conditions::default();
        };
        if let Some(risk) = &raw.max_risk
            && !(0..=100).contains(risk.get_ref())
        {
            let hint = "a risk is a number from 0 to 100";
            self.wrong(risk.span(), "this is not a risk", "here", hint);
        }
        Conditions {
            hours: raw.hours.as_ref().and_then(|word| {
                let example = "write hours = \"07:00-20:00\"";
                self.checked(word, |text| Hours::parse(text).ok_or(example.to_owned()))
            }),
            days: raw.days.as_ref().and_then(|word| {
                let example = "write days = \"mon-fri\" or \"mon,wed,sat-sun\"";
                self.checked(word, |text| Days::parse(text).ok_or(example.to_owned()))
            }),
            zone: raw
                .timezone
                .as_ref()
                .and_then(|word| self.checked(word, zone)),
            networks: raw.networks.as_ref().map(|list| {
                list.iter()
                    .filter_map(|word| self.checked(word, Network::parse))
                    .collect()
            }),
            purposes: raw.purposes.as_ref().map(|list| {
                let purposes = list.iter().map(|word| word.get_ref().clone());
                purposes.collect()
            }),
        }
    }
}

fn names(list: &[Word]) -> HashSet<String> {
    list.iter().map(|word| word.get_ref().clone()).collect()
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        "expected the name of a time zone this machine knows: Europe/Berlin".to_owned()
    })
}

/// Reads `15m`: a whole number and s, m, h or d.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    let each: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let count: i64 = digits.then(|| number.parse().ok()).flatten()?;
    count.checked_mul(each).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, expected) in [
            ("15m", Some(900)),
            ("90s", Some(90)),
            ("2h", Some(7_200)),
            ("1d", Some(86_400)),
            ("0s", None),
            ("15", None),
            ("m", None),
            ("", None),
            ("-5m", None),
            ("1.5h", None),
            ("15 m", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
