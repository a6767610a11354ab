//! The snapshot as it is written down: the JSON that the introspection query answers with and that
//! `pgward catalog dump` prints. Plain data, one struct per kind of object.

use serde::{Deserialize, Serialize};

use crate::ident::QualifiedName;

/// The format number of `Document` that this build writes and reads.
pub(super) const FORMAT: u32 = 1;

/// A whole snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The number of this format.
    pub format: u32,
    /// `server_version_num`, for instance 150018.
    pub server_version_num: u32,
    /// The database's name.
    pub database: String,
    /// The role pgward uses; what `$user` stands for in `search_path`.
    pub role: String,
    /// The role's `search_path` in this database, as far as its schemas exist.
    pub search_path: Vec<String>,
    /// All schemas.
    pub schemas: Vec<String>,
    /// Relations of all schemas but `pg_toast` and temporary ones.
    pub relations: Vec<Relation>,
    /// Functions outside `pg_catalog` and `information_schema`.
    pub functions: Vec<Function>,
    /// Operators outside `pg_catalog`, also under the names of operators that they negate or commute
    /// (the planner swaps them); those left out whose function is C code that is not volatile.
    pub operators: Vec<Operator>,
    /// Functions outside `pg_catalog` that Postgres runs unasked for values of certain types.
    #[serde(default)]
    pub implicit_calls: Vec<ImplicitCall>,
    /// Names of all functions in `pg_catalog`, each once.
    #[serde(default)]
    pub builtin_functions: Vec<String>,
}

/// `pg_class.relkind`, for what can stand in a FROM clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    /// `r`
    #[serde(rename = "r")]
    Table,
    /// `p`
    #[serde(rename = "p")]
    PartitionedTable,
    /// `v`
    #[serde(rename = "v")]
    View,
    /// `m`
    #[serde(rename = "m")]
    MaterializedView,
    /// `f`
    #[serde(rename = "f")]
    ForeignTable,
    /// `S`
    #[serde(rename = "S")]
    Sequence,
}

impl RelationKind {
    /// Whether its rows come from a query.
    pub const fn is_view(self) -> bool {
        matches!(self, Self::View | Self::MaterializedView)
    }
}

/// One relation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: RelationKind,
    /// Columns in `attnum` order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Direct parents by inheritance or partitioning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<QualifiedParts>,
    /// `pg_get_viewdef`; names it leaves unqualified resolve by the document's `search_path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// What a view's rule depends on, from `pg_depend`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Whether rules other than a view's own `_RETURN` are attached: what such a relation does on
    /// a write cannot be seen in the statement.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_rules: bool,
}

impl Relation {
    /// Its schema-qualified name.
    pub fn qualified(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, &self.name)
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A qualified name in the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualifiedParts {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl From<&QualifiedParts> for QualifiedName {
    fn from(parts: &QualifiedParts) -> Self {
        Self::new(&parts.schema, &parts.name)
    }
}

/// One column.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// `attname`.
    pub name: String,
    /// `format_type(atttypid, atttypmod)`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `pg_type.typname`, for a type that an implicit call names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typname: Option<String>,
    /// For a generated column, the columns of the same table it is computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_from: Option<Vec<String>>,
    /// Whether functions of the database compute it: it may then be made of anything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub generated_by_code: bool,
}

/// One dependency of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Schema of the relation depended on.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The column, or none for the relation as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// One function, procedure, aggregate or window function; overloads are listed one by one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `pg_get_function_identity_arguments`.
    pub arguments: String,
    /// `prokind`: f, p, a or w.
    pub kind: String,
    /// `pg_language.lanname`.
    pub language: String,
    /// `provolatile`: i, s or v.
    pub volatility: String,
    /// `prosecdef`.
    pub security_definer: bool,
    /// `typname` of those types of its arguments and result that an implicit call names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// One operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Schema.
    pub schema: String,
    /// Name, for instance `<->`.
    pub name: String,
    /// `typname` of its argument types that are not built in, and of types made of those. None at
    /// all: its arguments are built in, or it is found for literals alone.
    #[serde(default)]
    pub types: Vec<String>,
    /// The function behind it.
    pub function: QualifiedParts,
}

/// A function that runs wherever a value of one of some types is made, compared or changed: behind a
/// cast, a domain's check or an operator class. C code that is not volatile is left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImplicitCall {
    /// The function.
    pub function: QualifiedParts,
    /// `typname` of the types, those made of them included (arrays, domains, row types, ranges).
    /// None at all stands for every type: a type that is built in has such a function.
    pub types: Vec<String>,
    /// `pg_type.oid` of the same types.
    pub oids: Vec<u32>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape serde asks for"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
