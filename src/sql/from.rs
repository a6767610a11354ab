//! FROM: relations, joins, subqueries, functions, samples; and what names they bring into view.

use std::rc::Rc;

use pg_raw_parse::{Node, list::NodeList, nodes};

use crate::access::{Action, Use};
use crate::refusal::{Reason, Refusal, SqlState};

use super::analyser::{Analyser, at, strings, unknown_node};
use super::scope::{Columns, Entry, FromItem, Origin, Scope, ScopeColumn, merge};

impl<'a> Analyser<'a> {
    /// The items of a FROM clause, each seeing those before it where it is lateral.
    pub(super) fn read_from(
        &mut self,
        list: &'a NodeList,
        scope: &mut Scope<'a, '_>,
    ) -> Result<(), Refusal> {
        for node in list {
            let item = self.read_from_item(node, scope)?;
            scope.items.push(item);
        }
        Ok(())
    }

    pub(super) fn read_from_item(
        &mut self,
        node: Node<'a>,
        scope: &mut Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        self.enter()?;
        let item = if let Node::RangeVar(range) = node {
            self.range_var(range, scope)
        } else if let Node::JoinExpr(join) = node {
            self.join(join, scope)
        } else if let Node::RangeSubselect(sub) = node {
            self.subselect(sub, scope)
        } else if let Node::RangeFunction(function) = node {
            self.range_function(function, scope)
        } else if let Node::RangeTableSample(sample) = node {
            self.sample(sample, scope)
        } else {
            Err(unknown_node(node, "FROM"))
        }?;
        self.leave();
        // What an item brings into view is copied a few times on its way.
        self.spend(item.columns.list.len().saturating_add(item.entries.len()))?;
        Ok(item)
    }

    fn range_var(
        &mut self,
        range: &'a nodes::RangeVar,
        scope: &Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        self.name_relation(range);
        if let Some(item) = self.cte_reference(range, scope)? {
            return Ok(item);
        }
        let id = self.resolve_relation(range)?;
        self.use_relation(id, Action::Select, range.location);
        Ok(FromItem::single(self.relation_entry(range, id)))
    }

    /// Notes a relation's name as it is written, for the comparison of the two parsers.
    pub(super) fn name_relation(&mut self, range: &nodes::RangeVar) {
        let name = range.relname().unwrap_or_default();
        self.names.relations.push(match range.schemaname() {
            Some(schema) => format!("{schema}.{name}"),
            None => name.to_owned(),
        });
    }

    fn cte_reference(
        &mut self,
        range: &'a nodes::RangeVar,
        scope: &Scope<'a, '_>,
    ) -> Result<Option<FromItem<'a>>, Refusal> {
        let name = range.relname().unwrap_or_default();
        if range.schemaname().is_some() || range.catalogname().is_some() {
            return Ok(None);
        }
        let Some(cte) = scope.ctes.and_then(|ctes| ctes.find(name)) else {
            return Ok(None);
        };
        let Some(columns) = cte.columns.clone() else {
            return Err(at(
                Refusal::unsupported(format!("forward reference to WITH query \"{name}\""))
                    .with_hint("put WITH queries in the order in which they use each other"),
                range.location,
            ));
        };
        self.note_tested(&cte.tested);
        let entry = Entry {
            alias: alias_name(range.alias()).unwrap_or(name),
            schema: None,
            relation: None,
            columns: columns.renamed(alias_columns(range.alias()).into_iter()),
        };
        Ok(Some(FromItem::single(entry)))
    }

    /// What a relation brings into view under its alias or its own name.
    pub(super) fn relation_entry(
        &self,
        range: &'a nodes::RangeVar,
        id: crate::catalog::RelationId,
    ) -> Entry<'a> {
        let alias = alias_name(range.alias());
        let relation = self.ground.snapshot.at(id);
        let schema = relation.map(|relation| relation.schema.as_str());
        Entry {
            alias: alias.unwrap_or_else(|| range.relname().unwrap_or_default()),
            schema: if alias.is_some() { None } else { schema },
            relation: Some(id),
            columns: self
                .relation_columns(id)
                .renamed(alias_columns(range.alias()).into_iter()),
        }
    }

    fn join(
        &mut self,
        join: &'a nodes::JoinExpr,
        scope: &mut Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        let left = self.read_from_item(join.larg(), scope)?;
        scope.items.push(left);
        let right = self.read_from_item(join.rarg(), scope);
        let left = scope.items.pop().unwrap_or_default();
        let right = right?;
        let shared = shared_columns(join, &left, &right)?;
        self.use_shared(&shared, &left, &right);
        if !shared.is_empty() {
            self.operator_named("=", -1);
        }
        let both = [&left, &right].map(|item| item.columns.list.len().saturating_add(1));
        self.spend(
            both.iter()
                .sum::<usize>()
                .saturating_mul(shared.len().saturating_add(1)),
        )?;
        let pair = Scope {
            outer: scope.outer,
            ctes: scope.ctes,
            items: vec![left, right],
        };
        self.expression(join.quals(), &pair, Use::Predicate)?;
        let mut joined = joined(pair.items, &shared);
        if let Some(alias) = join.join_using_alias() {
            let columns = joined.columns.list.iter().take(shared.len()).cloned();
            joined.entries.push(Entry {
                alias: alias.aliasname().unwrap_or_default(),
                schema: None,
                relation: None,
                columns: Columns {
                    list: columns.collect(),
                    open: false,
                },
            });
        }
        let named = join
            .alias()
            .is_some_and(|alias| !alias.colnames().is_empty());
        if named && joined.columns.open {
            return Err(Refusal::unsupported(
                "column names for a join with a function are not supported",
            )
            .with_hint("give the function an alias with column names, the join none"));
        }
        Ok(match join.alias() {
            Some(alias) => FromItem::single(Entry {
                alias: alias.aliasname().unwrap_or_default(),
                schema: None,
                relation: None,
                columns: joined
                    .columns
                    .renamed(alias_columns(Some(alias)).into_iter()),
            }),
            None => joined,
        })
    }

    /// Columns joined on are compared: both sides are read.
    fn use_shared(&mut self, shared: &[&'a str], left: &FromItem<'a>, right: &FromItem<'a>) {
        for item in [left, right] {
            let is_shared =
                |column: &&ScopeColumn<'a>| column.name.is_some_and(|name| shared.contains(&name));
            for column in item.columns.list.iter().filter(is_shared) {
                if let Origin::Base(id) = column.origin {
                    self.use_column(id, Use::Predicate, Action::Select, false, -1);
                }
                self.note_tested(column.origin.sources());
            }
        }
    }

    fn subselect(
        &mut self,
        sub: &'a nodes::RangeSubselect,
        scope: &Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        let outer = if sub.lateral {
            Some(scope)
        } else {
            scope.outer
        };
        let columns = self.query(sub.subquery(), outer, scope.ctes)?.derived();
        let columns = columns.renamed(alias_columns(sub.alias()).into_iter());
        Ok(match alias_name(sub.alias()) {
            Some(alias) => FromItem::single(Entry {
                alias,
                schema: None,
                relation: None,
                columns,
            }),
            None => FromItem {
                columns,
                entries: Vec::new(),
            },
        })
    }

    /// A function in FROM sees the items before it, LATERAL or not.
    fn range_function(
        &mut self,
        function: &'a nodes::RangeFunction,
        scope: &Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        let mut sources = Vec::new();
        let mut name = None;
        for node in function.functions() {
            let Node::NodeList(pair) = node else {
                return Err(unknown_node(node, "ROWS FROM"));
            };
            for part in pair {
                if let Node::FuncCall(call) = part {
                    name = name.or_else(|| call.funcname().iter().next_back()?.as_str());
                }
                if let Node::NodeList(definitions) = part {
                    self.column_definitions(definitions)?;
                    continue;
                }
                let found = self.expression(part, scope, Use::Output)?;
                merge(&mut sources, &found);
            }
        }
        let alias = alias_name(function.alias()).or(name).unwrap_or_default();
        for definition in function.coldeflist() {
            self.column_definition(definition)?;
        }
        let mut names: Vec<&str> = alias_columns(function.alias());
        names.extend(function.coldeflist().iter().filter_map(|def| def.colname()));
        let origin = Origin::Derived(Rc::from(sources));
        // What a function's columns are called without a list of names depends on what it returns:
        // no name is taken for granted, so that names further out are counted too.
        let scalar = self.is_scalar(function);
        let open = function.coldeflist().is_empty() && !scalar;
        if scalar {
            names.truncate(1);
            if names.is_empty() {
                names.push(alias);
            }
        }
        let unknown = open.then_some(None);
        let names = names.into_iter().map(Some).chain(unknown);
        let list = names.map(|name| ScopeColumn {
            name,
            origin: origin.clone(),
        });
        let columns = Columns {
            list: list.collect(),
            open,
        };
        Ok(FromItem::single(Entry {
            alias,
            schema: None,
            relation: None,
            columns,
        }))
    }

    /// Whether it is one call of a built-in function with one column, which is then called like the
    /// alias.
    fn is_scalar(&self, function: &'a nodes::RangeFunction) -> bool {
        const SCALAR: [&str; 3] = [
            "generate_series",
            "regexp_split_to_table",
            "string_to_table",
        ];
        let mut functions = function.functions().iter();
        let (Some(Node::NodeList(pair)), None) = (functions.next(), functions.next()) else {
            return false;
        };
        let Some(Node::FuncCall(call)) = pair.iter().next() else {
            return false;
        };
        let names = strings(call.funcname()).unwrap_or_default();
        let (["pg_catalog", name] | [name]) = names.as_slice() else {
            return false;
        };
        let users = self.ground.snapshot.functions_named(name).next().is_some();
        let plain = !function.ordinality && function.coldeflist().is_empty();
        plain && !users && SCALAR.contains(name)
    }

    fn column_definitions(&mut self, definitions: &'a NodeList) -> Result<(), Refusal> {
        for node in definitions {
            let Node::ColumnDef(definition) = node else {
                return Err(unknown_node(node, "ROWS FROM"));
            };
            self.column_definition(definition)?;
        }
        Ok(())
    }

    fn column_definition(&mut self, definition: &'a nodes::ColumnDef) -> Result<(), Refusal> {
        definition
            .type_name()
            .map_or(Ok(()), |name| self.use_type(name))
    }

    fn sample(
        &mut self,
        sample: &'a nodes::RangeTableSample,
        scope: &mut Scope<'a, '_>,
    ) -> Result<FromItem<'a>, Refusal> {
        let method = strings(sample.method()).unwrap_or_default();
        let known = matches!(
            method.as_slice(),
            ["bernoulli" | "system"] | ["pg_catalog", "bernoulli" | "system"]
        );
        if !known {
            return Err(at(
                Refusal::unsupported("only the BERNOULLI and SYSTEM sampling methods are allowed"),
                sample.location,
            ));
        }
        let item = self.read_from_item(sample.relation(), scope)?;
        // What is beside it in FROM is not in view here.
        let outside = Scope {
            outer: scope.outer,
            ctes: scope.ctes,
            items: Vec::new(),
        };
        for argument in sample.args() {
            self.expression(argument, &outside, Use::Predicate)?;
        }
        self.expression(sample.repeatable(), &outside, Use::Predicate)?;
        Ok(item)
    }
}

/// The columns of USING or NATURAL, in the order in which they lead the result.
fn shared_columns<'a>(
    join: &'a nodes::JoinExpr,
    left: &FromItem<'a>,
    right: &FromItem<'a>,
) -> Result<Vec<&'a str>, Refusal> {
    if !join.is_natural {
        let names = join.using_clause().iter().filter_map(|name| name.sval());
        return names
            .map(|name| {
                let known = |item: &FromItem<'a>| {
                    item.columns.open || item.columns.list.iter().any(|c| c.name == Some(name))
                };
                (known(left) && known(right))
                    .then_some(name)
                    .ok_or_else(|| {
                        Refusal::new(
                            SqlState::UNDEFINED_COLUMN,
                            Reason::Unresolved,
                            format!("column \"{name}\" specified in USING clause does not exist"),
                        )
                    })
            })
            .collect();
    }
    let unnamed = |item: &FromItem<'a>| item.columns.list.iter().any(|c| c.name.is_none());
    if left.columns.open || right.columns.open || unnamed(left) || unnamed(right) {
        return Err(
            Refusal::unsupported("NATURAL JOIN with a function is not supported")
                .with_hint("name the columns with JOIN … ON"),
        );
    }
    let names = left.columns.list.iter().filter_map(|column| column.name);
    Ok(names
        .filter(|name| right.columns.list.iter().any(|c| c.name == Some(*name)))
        .collect())
}

/// A join's columns: the shared ones merged and first, then the rest of both sides.
fn joined<'a>(items: Vec<FromItem<'a>>, shared: &[&'a str]) -> FromItem<'a> {
    let is_shared = |column: &ScopeColumn<'a>| column.name.is_some_and(|n| shared.contains(&n));
    let mut list = Vec::new();
    for name in shared {
        let mut sources = Vec::new();
        for column in items.iter().flat_map(|item| &item.columns.list) {
            if column.name == Some(*name) {
                merge(&mut sources, column.origin.sources());
            }
        }
        list.push(ScopeColumn {
            name: Some(*name),
            origin: Origin::Derived(Rc::from(sources)),
        });
    }
    let mut joined = FromItem::default();
    for item in items {
        joined.columns.open |= item.columns.open;
        list.extend(item.columns.list.into_iter().filter(|c| !is_shared(c)));
        joined.entries.extend(item.entries);
    }
    joined.columns.list = list;
    joined
}

pub(super) fn alias_name(alias: Option<&nodes::Alias>) -> Option<&str> {
    alias.and_then(nodes::Alias::aliasname)
}

fn alias_columns(alias: Option<&nodes::Alias>) -> Vec<&str> {
    alias
        .and_then(|alias| strings(alias.colnames()))
        .unwrap_or_default()
}
