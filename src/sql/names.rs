//! The raw names of a statement, before any resolution: what both parsers must agree on. Lists,
//! not sets: a name used twice is there twice.

/// Names as one parser saw them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Relations in FROM, INTO and the like, CTE references included: `schema.name` or `name`.
    pub(super) relations: Vec<String>,
    /// Column references (`a.b`, `*`), and columns named as targets.
    pub(super) columns: Vec<String>,
    /// Functions called, by their last part.
    pub(super) functions: Vec<String>,
}

/// Functions that the two parsers write down differently, since SQL gives them a syntax of their
/// own. All are built in and safe; they are left out of the comparison.
const SPECIAL: &[&str] = &[
    "array",
    "btrim",
    "cast",
    "ceil",
    "ceiling",
    "coalesce",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "date_part",
    "exists",
    "extract",
    "floor",
    "greatest",
    "grouping",
    "interval",
    "is_normalized",
    "least",
    "like_escape",
    "localtime",
    "localtimestamp",
    "ltrim",
    "merge_action",
    "normalize",
    "nullif",
    "overlaps",
    "overlay",
    "pg_collation_for",
    "position",
    "row",
    "rtrim",
    "session_user",
    "similar_to_escape",
    "substr",
    "substring",
    "system_user",
    "timezone",
    "trim",
    "user",
    "xmlexists",
];

impl Names {
    /// Adds a function by its last name part.
    pub(super) fn function(&mut self, name: &str) {
        if SPECIAL.binary_search(&name).is_err() {
            self.functions.push(name.to_owned());
        }
    }

    /// Puts the names in an order in which two lists can be compared.
    pub(super) fn sort(&mut self) {
        self.relations.sort_unstable();
        self.columns.sort_unstable();
        self.functions.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_special_names_are_sorted() {
        assert!(SPECIAL.is_sorted());
        let mut names = Names::default();
        names.function("coalesce");
        names.function("leak");
        assert_eq!(names.functions, ["leak"]);
    }
}
