//! A snapshot ready for questions: indexes over the document, and name resolution by
//! `search_path` (Postgres manual, section 5.10.3 "The Schema Search Path").

use std::collections::{HashMap, HashSet};

use crate::ident::QualifiedName;

use super::document::{Column, Document, FORMAT, Function, Operator, Relation};
use super::{Error, Lineage};

/// Schemas in the order in which unqualified names are looked up, `$user` resolved, schemas that
/// do not exist left out, `pg_catalog` put first where the path does not name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath(Vec<String>);

impl SearchPath {
    /// The schemas in order.
    pub fn schemas(&self) -> &[String] {
        &self.0
    }
}

/// A relation's place in its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(u32);

/// A column's place in its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId {
    /// The relation.
    pub relation: RelationId,
    /// Index into the relation's columns.
    pub column: u32,
}

/// The database's schema at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    document: Document,
    relations: HashMap<String, HashMap<String, RelationId>>,
    children: HashMap<QualifiedName, Vec<QualifiedName>>,
    functions: HashMap<String, Vec<usize>>,
    operators: HashMap<String, Vec<usize>>,
    schemas: HashSet<String>,
    builtin_functions: HashSet<String>,
    lineage: Lineage,
}

impl Snapshot {
    /// Reads a snapshot from its JSON.
    ///
    /// # Errors
    /// Text that is not a snapshot of this build's format, or that names a relation twice.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::new(serde_json::from_str(text)?)
    }

    /// Indexes a document.
    ///
    /// # Errors
    /// Another format, or a relation named twice.
    pub fn new(document: Document) -> Result<Self, Error> {
        if document.format != FORMAT {
            return Err(Error::Format {
                found: document.format,
                expected: FORMAT,
            });
        }
        let mut relations: HashMap<String, HashMap<String, RelationId>> = HashMap::new();
        let mut children: HashMap<QualifiedName, Vec<QualifiedName>> = HashMap::new();
        for (index, relation) in document.relations.iter().enumerate() {
            let id = RelationId(u32::try_from(index).unwrap_or(u32::MAX));
            let schema = relations.entry(relation.schema.clone()).or_default();
            if schema.insert(relation.name.clone(), id).is_some() {
                return Err(Error::Duplicate(relation.qualified().to_string()));
            }
            for parent in &relation.parents {
                let siblings = children.entry(parent.into()).or_default();
                siblings.push(relation.qualified());
            }
        }
        let functions = index_by(&document.functions, |function| &function.name);
        let operators = index_by(&document.operators, |operator| &operator.name);
        let schemas = document.schemas.iter().cloned().collect();
        let builtin_functions = document.builtin_functions.iter().cloned().collect();
        Ok(Self {
            document,
            relations,
            children,
            functions,
            operators,
            schemas,
            builtin_functions,
            lineage: Lineage::default(),
        })
    }

    /// The document behind the snapshot.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Attaches the lineage that was worked out for this snapshot.
    #[must_use]
    pub fn with_lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = lineage;
        self
    }

    /// Lineage of views and generated columns.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The relation of exactly that name.
    pub fn relation(&self, name: &QualifiedName) -> Option<&Relation> {
        self.at(self.lookup(&name.schema, &name.name)?)
    }

    /// The relation that a name in a statement means, or none.
    pub fn resolve(
        &self,
        path: &SearchPath,
        schema: Option<&str>,
        name: &str,
    ) -> Option<RelationId> {
        match schema {
            Some(schema) => self.lookup(schema, name),
            None => path
                .schemas()
                .iter()
                .find_map(|schema| self.lookup(schema, name)),
        }
    }

    /// The relation at a place of this snapshot.
    pub fn at(&self, id: RelationId) -> Option<&Relation> {
        self.document.relations.get(id.0 as usize)
    }

    /// The relation and name of a column at a place of this snapshot.
    pub fn column_at(&self, id: ColumnId) -> Option<(&Relation, &str)> {
        Some((self.at(id.relation)?, &self.column_definition(id)?.name))
    }

    /// The column at a place of this snapshot.
    pub fn column_definition(&self, id: ColumnId) -> Option<&Column> {
        self.at(id.relation)?.columns.get(id.column as usize)
    }

    /// Turns the entries of a `search_path` setting into the path that is really searched.
    pub fn search_path(&self, entries: &[String]) -> SearchPath {
        let named: Vec<String> = entries
            .iter()
            .map(|entry| match entry.as_str() {
                "$user" => self.document.role.clone(),
                other => other.to_owned(),
            })
            .filter(|schema| self.schemas.contains(schema))
            .collect();
        let mut path = Vec::with_capacity(named.len().saturating_add(1));
        if !named.iter().any(|schema| schema == "pg_catalog") {
            path.push("pg_catalog".to_owned());
        }
        path.extend(named);
        SearchPath(path)
    }

    /// Functions of that name outside the system schemas, in any schema.
    pub fn functions_named(&self, name: &str) -> impl Iterator<Item = &Function> {
        let found = self.functions.get(name).map_or(&[][..], Vec::as_slice);
        found
            .iter()
            .filter_map(|index| self.document.functions.get(*index))
    }

    /// Types of a function's arguments and result for which other functions run unasked.
    pub fn types_of(&self, function: &QualifiedName) -> impl Iterator<Item = &str> {
        let overloads = self.functions_named(&function.name);
        let schema = function.schema.clone();
        overloads
            .filter(move |overload| overload.schema == schema)
            .flat_map(|overload| overload.types.iter().map(String::as_str))
    }

    /// Whether `pg_catalog` has a function of that name, or may have where that is not known.
    pub fn is_builtin_function(&self, name: &str) -> bool {
        self.builtin_functions.is_empty() || self.builtin_functions.contains(name)
    }

    /// Whether Postgres runs functions of the database unasked for values of the type of that OID.
    pub fn has_implicit_calls(&self, oid: u32) -> bool {
        let calls = &self.document.implicit_calls;
        calls.iter().any(|call| call.oids.contains(&oid))
    }

    /// Operators of that name outside `pg_catalog`, in any schema.
    pub fn operators_named(&self, name: &str) -> impl Iterator<Item = &Operator> {
        let found = self.operators.get(name).map_or(&[][..], Vec::as_slice);
        found
            .iter()
            .filter_map(|index| self.document.operators.get(*index))
    }

    /// Direct children by inheritance or partitioning.
    pub fn children(&self, relation: &QualifiedName) -> &[QualifiedName] {
        self.children.get(relation).map_or(&[], Vec::as_slice)
    }

    /// All relations below by inheritance or partitioning, at any depth.
    pub fn descendants(&self, relation: &QualifiedName) -> Vec<QualifiedName> {
        self.closure(relation, |name| self.children(name).to_vec())
    }

    /// A relation and all relations below it.
    pub fn family<'s>(&'s self, relation: &'s Relation) -> impl Iterator<Item = &'s Relation> {
        let below = self.descendants(&relation.qualified());
        let below = below.into_iter().filter_map(|name| self.relation(&name));
        std::iter::once(relation).chain(below)
    }

    /// All relations above by inheritance or partitioning, at any depth.
    pub fn ancestors(&self, relation: &QualifiedName) -> Vec<QualifiedName> {
        self.closure(relation, |name| {
            self.relation(name)
                .map(|found| found.parents.iter().map(QualifiedName::from).collect())
                .unwrap_or_default()
        })
    }

    fn closure(
        &self,
        start: &QualifiedName,
        next: impl Fn(&QualifiedName) -> Vec<QualifiedName>,
    ) -> Vec<QualifiedName> {
        let mut found = Vec::new();
        let mut queue = next(start);
        while let Some(name) = queue.pop() {
            if name != *start && !found.contains(&name) {
                queue.extend(next(&name));
                found.push(name);
            }
        }
        found
    }

    fn lookup(&self, schema: &str, name: &str) -> Option<RelationId> {
        self.relations.get(schema)?.get(name).copied()
    }
}

fn index_by<T>(items: &[T], key: impl Fn(&T) -> &String) -> HashMap<String, Vec<usize>> {
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        index.entry(key(item).clone()).or_default().push(position);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot::from_json(
            r#"{"format":1,"server_version_num":150000,"database":"d","role":"app",
            "search_path":["$user","public"],"schemas":["public","app","pg_catalog"],
            "relations":[
              {"schema":"public","name":"t","kind":"p","columns":[{"name":"a","type":"integer"}]},
              {"schema":"public","name":"t1","kind":"r","columns":[{"name":"a","type":"integer"}],
               "parents":[{"schema":"public","name":"t"}]},
              {"schema":"app","name":"t","kind":"r","columns":[]},
              {"schema":"pg_catalog","name":"pg_class","kind":"r","columns":[]}],
            "functions":[],"operators":[]}"#,
        )
        .unwrap()
    }

    #[test]
    fn resolves_by_search_path() {
        let snapshot = snapshot();
        let path = snapshot.search_path(&["$user".into(), "public".into(), "nowhere".into()]);
        assert_eq!(path.schemas(), ["pg_catalog", "app", "public"]);
        let schema_of = |schema, name| {
            let id = snapshot.resolve(&path, schema, name)?;
            Some(snapshot.at(id)?.schema.as_str())
        };
        assert_eq!(schema_of(None, "t"), Some("app"));
        assert_eq!(schema_of(Some("public"), "t"), Some("public"));
        assert_eq!(schema_of(None, "nothing"), None);
        let explicit = snapshot.search_path(&["public".into(), "pg_catalog".into()]);
        assert_eq!(explicit.schemas(), ["public", "pg_catalog"]);
    }

    #[test]
    fn walks_inheritance_both_ways() {
        let snapshot = snapshot();
        let root = QualifiedName::new("public", "t");
        let leaf = QualifiedName::new("public", "t1");
        assert_eq!(snapshot.descendants(&root), vec![leaf.clone()]);
        assert_eq!(snapshot.ancestors(&leaf), vec![root]);
    }

    #[test]
    fn refuses_a_duplicate_and_another_format() {
        let mut document = snapshot().document.clone();
        document.relations.push(document.relations[0].clone());
        assert!(matches!(
            Snapshot::new(document.clone()),
            Err(Error::Duplicate(_))
        ));
        document.format = 2;
        assert!(matches!(Snapshot::new(document), Err(Error::Format { .. })));
    }
}
