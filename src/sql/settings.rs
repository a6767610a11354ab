//! What a session has set so far, as far as it changes what later statements mean: `search_path`,
//! prepared statements, cursors, and the transactions and savepoints that may undo them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::{SearchPath, Snapshot};
use crate::refusal::Refusal;

use super::settable::check_search_path;

/// Savepoints that one transaction may hold.
const SAVEPOINTS_MAX: usize = 1_000;

/// What a statement does to the session once it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing that pgward has to know.
    #[default]
    None,
    /// A transaction block starts.
    Begin,
    /// A transaction block ends for good.
    Commit {
        /// `AND CHAIN`: the next one starts at once.
        chain: bool,
    },
    /// A transaction block is undone.
    Rollback {
        /// `AND CHAIN`: the next one starts at once.
        chain: bool,
    },
    /// A savepoint is set.
    Savepoint(String),
    /// A savepoint is given up, its changes kept.
    Release(String),
    /// Everything since a savepoint is undone.
    RollbackTo(String),
    /// `search_path` is set; `None` is its default.
    SearchPath {
        /// The entries.
        entries: Option<Vec<String>>,
        /// `SET LOCAL`: until the transaction ends.
        local: bool,
    },
    /// A statement is prepared under a name (SQL or protocol: one namespace).
    Prepare {
        /// Its name.
        name: String,
        /// Its canonical text.
        text: Arc<str>,
    },
    /// Prepared statements end: one, or all.
    Deallocate(Option<String>),
    /// A cursor is declared.
    Declare {
        /// Its name.
        name: String,
        /// The canonical text of its query.
        text: Arc<str>,
    },
    /// Cursors end: one, or all.
    CloseCursor(Option<String>),
    /// `RESET ALL`.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
}

/// `search_path` as it is and as it will be when the transaction has been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Paths {
    now: Vec<String>,
    committed: Vec<String>,
}

impl Paths {
    fn both(path: &[String]) -> Self {
        Self {
            now: path.to_vec(),
            committed: path.to_vec(),
        }
    }
}

/// What a session has set so far, as far as it changes what later statements mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    default_path: Vec<String>,
    paths: Paths,
    /// The paths at BEGIN and at every savepoint since, the oldest first.
    marks: Vec<(String, Paths)>,
    /// Every text a name may stand for: a name whose DEALLOCATE may have failed keeps the old one.
    statements: HashMap<String, Vec<Arc<str>>>,
    cursors: HashMap<String, Vec<Arc<str>>>,
    generation: u64,
}

impl Settings {
    /// The settings of a new session: the role's own `search_path`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let path = snapshot.document().search_path.clone();
        Self {
            paths: Paths::both(&path),
            default_path: path,
            marks: Vec::new(),
            statements: HashMap::new(),
            cursors: HashMap::new(),
            generation: 0,
        }
    }

    /// The `search_path` in force, resolved against a snapshot.
    pub fn search_path(&self, snapshot: &Snapshot) -> SearchPath {
        snapshot.search_path(&self.paths.now)
    }

    /// Counts up whenever something changes that later statements depend on.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The texts that a prepared statement's name may stand for.
    pub fn statement(&self, name: &str) -> Option<&[Arc<str>]> {
        self.statements.get(name).map(Vec::as_slice)
    }

    /// The texts that a cursor's name may stand for.
    pub fn cursor(&self, name: &str) -> Option<&[Arc<str>]> {
        self.cursors.get(name).map(Vec::as_slice)
    }

    /// How many prepared statements and cursors are held.
    pub fn held(&self) -> usize {
        let texts = self.statements.values().chain(self.cursors.values());
        texts.map(Vec::len).sum()
    }

    /// What their texts take, in bytes.
    pub fn held_bytes(&self) -> usize {
        let texts = self.statements.values().chain(self.cursors.values());
        texts.flatten().map(|text| text.len()).sum()
    }

    /// Applies what a statement that succeeded has done.
    pub fn apply(&mut self, effect: &Effect) {
        self.generation = self.generation.wrapping_add(1);
        match effect {
            Effect::None => {}
            // Within a block BEGIN does nothing.
            Effect::Begin if !self.marks.is_empty() => {}
            Effect::Begin => self.begin(),
            Effect::Commit { chain } => {
                self.paths.now.clone_from(&self.paths.committed);
                self.end(*chain);
            }
            Effect::Rollback { chain } => {
                if let Some((_, paths)) = self.marks.first() {
                    self.paths = paths.clone();
                }
                self.end(*chain);
            }
            Effect::Savepoint(name) => self.marks.push((name.clone(), self.paths.clone())),
            Effect::Release(name) => {
                if let Some(place) = self.mark(name) {
                    self.marks.truncate(place);
                }
            }
            Effect::RollbackTo(name) => {
                if let Some(place) = self.mark(name) {
                    self.marks.truncate(place.saturating_add(1));
                    if let Some((_, paths)) = self.marks.last() {
                        self.paths = paths.clone();
                    }
                }
            }
            Effect::SearchPath { entries, local } => {
                let path = entries.as_ref().unwrap_or(&self.default_path).clone();
                self.set_path(path, *local);
            }
            Effect::Prepare { name, text } => hold(&mut self.statements, name, text),
            Effect::Deallocate(name) => drop_held(&mut self.statements, name.as_deref()),
            Effect::Declare { name, text } => hold(&mut self.cursors, name, text),
            Effect::CloseCursor(name) => drop_held(&mut self.cursors, name.as_deref()),
            Effect::ResetAll => self.set_path(self.default_path.clone(), false),
            Effect::DiscardAll => {
                self.set_path(self.default_path.clone(), false);
                self.statements.clear();
                self.cursors.clear();
            }
        }
    }

    fn begin(&mut self) {
        self.marks = vec![(String::new(), self.paths.clone())];
    }

    /// The end of a transaction block. A chained one begins only where there was one.
    fn end(&mut self, chain: bool) {
        if chain && !self.marks.is_empty() {
            self.begin();
        } else {
            self.marks.clear();
        }
    }

    /// Whether a further savepoint may be set.
    ///
    /// # Errors
    /// 54000 past [`SAVEPOINTS_MAX`].
    pub(super) fn check_savepoint(&self) -> Result<(), Refusal> {
        if self.marks.len() > SAVEPOINTS_MAX {
            return Err(Refusal::limit(format!(
                "more than {SAVEPOINTS_MAX} savepoints in a transaction"
            ))
            .with_hint("release savepoints that are no longer needed"));
        }
        Ok(())
    }

    /// Sets `search_path` as a startup parameter does: it is then also what RESET returns to.
    ///
    /// # Errors
    /// 0A000 for a path that `SET` would not take either.
    pub fn set_default_path(&mut self, value: &str) -> Result<(), Refusal> {
        let entries = split_identifiers(value);
        let shown: Vec<&str> = entries.iter().map(String::as_str).collect();
        check_search_path(&shown)?;
        self.paths = Paths::both(&entries);
        self.default_path = entries;
        Ok(())
    }

    /// The mark of a savepoint, never the one of BEGIN.
    fn mark(&self, name: &str) -> Option<usize> {
        let place = self
            .marks
            .iter()
            .skip(1)
            .rposition(|(mark, _)| mark == name)?;
        place.checked_add(1)
    }

    fn set_path(&mut self, path: Vec<String>, local: bool) {
        // Outside a transaction block SET LOCAL has no effect.
        if local && self.marks.is_empty() {
            return;
        }
        if !local {
            self.paths.committed.clone_from(&path);
        }
        self.paths.now = path;
    }
}

fn hold(held: &mut HashMap<String, Vec<Arc<str>>>, name: &str, text: &Arc<str>) {
    let texts = held.entry(name.to_owned()).or_default();
    if !texts.contains(text) {
        texts.push(Arc::clone(text));
    }
}

fn drop_held(held: &mut HashMap<String, Vec<Arc<str>>>, name: Option<&str>) {
    match name {
        Some(name) => drop(held.remove(name)),
        None => held.clear(),
    }
}

/// The entries of a list of identifiers as Postgres splits it: commas, double quotes, folding.
fn split_identifiers(value: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut entry = String::new();
    let mut quoted = false;
    let mut was_quoted = false;
    for c in value.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                push_entry(&mut entries, &mut entry, &mut was_quoted);
            }
            c if quoted => entry.push(c),
            c if c.is_ascii_whitespace() => {}
            c => entry.push(c.to_ascii_lowercase()),
        }
    }
    push_entry(&mut entries, &mut entry, &mut was_quoted);
    entries
}

fn push_entry(entries: &mut Vec<String>, entry: &mut String, quoted: &mut bool) {
    if !entry.is_empty() || *quoted {
        entries.push(std::mem::take(entry));
    }
    *quoted = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_path_follows_transactions() {
        let json = r#"{"format":1,"server_version_num":1,"database":"d","role":"r",
            "search_path":["public"],"schemas":["public","hr","x"],"relations":[],
            "functions":[],"operators":[]}"#;
        let snapshot = Snapshot::from_json(json).unwrap();
        let mut settings = Settings::new(&snapshot);
        let set = |schema: &str, local| Effect::SearchPath {
            entries: Some(vec![schema.to_owned()]),
            local,
        };
        let mut run = |effects: &[Effect], expected: &str| {
            effects.iter().for_each(|effect| settings.apply(effect));
            let path = settings.search_path(&snapshot);
            assert_eq!(
                path.schemas().last().map(String::as_str),
                Some(expected),
                "{effects:?}"
            );
        };
        let savepoint = |name: &str| Effect::Savepoint(name.to_owned());
        run(&[set("hr", true)], "public");
        run(&[Effect::Begin, set("hr", false)], "hr");
        run(&[set("x", true)], "x");
        run(&[Effect::Commit { chain: false }], "hr");
        run(
            &[
                Effect::Begin,
                set("x", false),
                Effect::Rollback { chain: false },
            ],
            "hr",
        );
        run(&[Effect::Begin, savepoint("a"), set("x", false)], "x");
        run(&[savepoint("b"), set("public", true)], "public");
        run(&[Effect::Release("b".to_owned())], "public");
        run(&[Effect::RollbackTo("a".to_owned())], "hr");
        run(
            &[
                set("x", false),
                Effect::Release("a".to_owned()),
                Effect::Commit { chain: false },
            ],
            "x",
        );
        run(&[Effect::ResetAll], "public");
    }

    #[test]
    fn search_path_rules() {
        assert!(check_search_path(&["public", "hr"]).is_ok());
        assert!(check_search_path(&["pg_catalog", "hr"]).is_ok());
        assert!(check_search_path(&["hr", "pg_catalog"]).is_err());
        assert!(check_search_path(&["pg_temp"]).is_err());
        assert_eq!(
            split_identifiers("Public, \"My, S\" ,x"),
            ["public", "My, S", "x"]
        );
    }
}
