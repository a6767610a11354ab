//! What a policy says without probably meaning it: warnings, never mistakes. Some can be told from
//! the policy alone, some only against the schema of the database it is for.

use crate::catalog::Snapshot;
use crate::ident::QualifiedName;

use super::diagnostics::{Diagnostic, Diagnostics, Place, Severity};
use super::pattern::{Glob, ObjectPattern, UserPattern};
use super::rules::{Grant, Rules, TableRule};
use super::sensitivity::Sensitivity;

/// Warnings about a policy; with a snapshot, also about names that mean nothing in that database.
pub fn lint(rules: &Rules, snapshot: Option<&Snapshot>) -> Diagnostics {
    let mut linter = Linter { found: Vec::new() };
    let grants = rules.grants.iter().filter(|grant| !grant.shipped);
    for grant in grants {
        linter.unlabelled_tables(rules, grant);
        linter.everybody_everything(grant);
        linter.cannot_be_carried_out(grant);
        linter.chains_that_cannot_match(grant);
    }
    let tables = rules.tables.iter().filter(|table| !table.shipped);
    for table in tables {
        linter.labels_nothing(table);
        if let Some(snapshot) = snapshot {
            linter.names_nothing(table, snapshot);
        }
    }
    if let Some(snapshot) = snapshot {
        linter.unused_names(rules, snapshot);
    }
    Diagnostics::new(rules.sources.clone(), linter.found)
}

struct Linter {
    found: Vec<Diagnostic>,
}

impl Linter {
    fn warn(&mut self, place: &Place, message: String, hint: &str) {
        self.found.push(Diagnostic {
            severity: Severity::Warning,
            place: place.clone(),
            message,
            label: "here".to_owned(),
            hint: Some(hint.to_owned()),
        });
    }

    fn unlabelled_tables(&mut self, rules: &Rules, grant: &Grant) {
        if grant.clearance == Sensitivity::Restricted {
            return;
        }
        for pattern in &grant.tables {
            let is_labelled = rules
                .tables
                .iter()
                .any(|table| pattern.overlaps(&table.pattern));
            if !is_labelled {
                let message = format!(
                    "grant {} names {pattern}, which no [[table]] labels: all of it is restricted",
                    grant.id
                );
                self.warn(&grant.place, message, "label the table with a [[table]]");
            }
        }
    }

    fn everybody_everything(&mut self, grant: &Grant) {
        if grant.clearance < Sensitivity::Restricted {
            return;
        }
        let any_user = grant.users.iter().any(UserPattern::is_any);
        let any_agent = grant.agents.iter().any(Glob::is_any);
        if any_user || any_agent {
            let whom = if any_user {
                "every user"
            } else {
                "every agent"
            };
            let message = format!("grant {} clears {whom} for restricted columns", grant.id);
            self.warn(&grant.place, message, "name them, or lower the clearance");
        }
    }

    fn cannot_be_carried_out(&mut self, grant: &Grant) {
        let wanted = [
            (grant.rows, "a row filter"),
            (grant.limits, "limits"),
            (grant.risk, "a risk score"),
        ];
        for (_, what) in wanted.into_iter().filter(|(is_wanted, _)| *is_wanted) {
            let message = format!(
                "grant {} asks for {what}, which this version of pgward does not have: it permits \
                 nothing",
                grant.id
            );
            self.warn(
                &grant.place,
                message,
                "use a view with the wanted rows and grant that",
            );
        }
    }

    fn chains_that_cannot_match(&mut self, grant: &Grant) {
        let nobody = [
            (grant.agents.is_empty(), "no agent"),
            (grant.users.is_empty(), "no user"),
            (
                grant
                    .conditions
                    .networks
                    .as_ref()
                    .is_some_and(Vec::is_empty),
                "no network",
            ),
            (
                grant
                    .conditions
                    .purposes
                    .as_ref()
                    .is_some_and(Vec::is_empty),
                "no purpose",
            ),
        ];
        for (_, what) in nobody.into_iter().filter(|(is_empty, _)| *is_empty) {
            let message = format!("grant {} lists {what}: it permits nothing", grant.id);
            self.warn(&grant.place, message, "list some, or remove the grant");
        }
    }

    fn labels_nothing(&mut self, table: &TableRule) {
        if table.default.is_none() && table.columns.is_empty() {
            let message = format!("the entry for {} labels nothing", table.pattern);
            let hint = "give it a sensitivity, or columns";
            self.warn(&table.place, message, hint);
        }
    }

    fn names_nothing(&mut self, table: &TableRule, snapshot: &Snapshot) {
        let name = &table.pattern;
        let relations: Vec<_> = snapshot
            .document()
            .relations
            .iter()
            .filter(|relation| table.pattern.matches(&relation.qualified()))
            .collect();
        if relations.is_empty() {
            let message = format!("no table of this database is called {name}");
            self.warn(
                &table.place,
                message,
                "names are compared as the catalog stores them",
            );
            return;
        }
        let mut columns: Vec<&String> = table.columns.keys().collect();
        columns.sort();
        for column in columns {
            if !relations
                .iter()
                .any(|relation| relation.column(column).is_some())
            {
                let message = format!("{name} has no column \"{column}\"");
                self.warn(
                    &table.place,
                    message,
                    "names are compared as the catalog stores them",
                );
            }
        }
    }

    fn unused_names(&mut self, rules: &Rules, snapshot: &Snapshot) {
        let document = snapshot.document();
        let is_relation = |pattern: &ObjectPattern| {
            let mut relations = document.relations.iter();
            relations.any(|relation| pattern.matches(&relation.qualified()))
        };
        for deny in &rules.denies {
            for pattern in deny.tables.iter().filter(|pattern| !is_relation(pattern)) {
                let message = format!("no table of this database is called {pattern}");
                self.warn(&deny.place, message, "this deny forbids nothing there");
            }
        }
        for function in &rules.functions {
            let mut functions = document.functions.iter();
            let is_function = functions.any(|one| {
                function
                    .pattern
                    .matches(&QualifiedName::new(&one.schema, &one.name))
            });
            if !is_function {
                let name = &function.pattern;
                let message = format!("no function of this database is called {name}");
                self.warn(&function.place, message, "remove the entry");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{rules, shop, shop_rules};
    use super::*;

    fn messages(text: &str, snapshot: Option<&Snapshot>) -> Vec<String> {
        let found = lint(&rules(text), snapshot).located();
        found.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn the_shop_is_clean() {
        let found = lint(&shop_rules(), Some(&shop()));
        assert!(found.is_empty(), "{found}");
    }

    #[test]
    fn what_can_be_told_from_the_policy_alone() {
        let found = messages(
            r#"
            [[table]]
            name = "public.customers"
            [[grant]]
            id = "g"
            agents = ["*"]
            users = []
            actions = ["select"]
            tables = ["public.orders"]
            clearance = "internal"
            rows = "true"
            [[grant]]
            id = "h"
            agents = ["a"]
            users = ["*"]
            actions = ["select"]
            tables = ["public.orders"]
            clearance = "restricted"
            "#,
            None,
        );
        for expected in [
            "labels nothing",
            "grant g names public.orders",
            "grant g asks for a row filter",
            "grant g lists no user",
            "grant h clears every user",
        ] {
            let hits = found.iter().filter(|one| one.contains(expected)).count();
            assert_eq!(hits, 1, "{expected}: {found:?}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn what_takes_a_database() {
        let text = r#"
            [[table]]
            name = "public.Customers"
            sensitivity = "internal"
            [[table]]
            name = "public.customers"
            sensitivity = "internal"
            columns = { nme = "public" }
            [[deny]]
            tables = ["hr.*", "nowhere.*"]
            [[function]]
            name = "public.order_totl"
        "#;
        assert!(messages(text, None).is_empty());
        let found = messages(text, Some(&shop()));
        for expected in [
            "public.Customers",
            "no column \"nme\"",
            "nowhere",
            "order_totl",
        ] {
            assert!(
                found.iter().any(|one| one.contains(expected)),
                "{expected}: {found:?}"
            );
        }
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
