//! WITH: common table expressions, recursive ones included.

use std::rc::Rc;

use pg_raw_parse::raw::SetOperation::SETOP_NONE;
use pg_raw_parse::{Node, nodes};

use crate::refusal::Refusal;

use super::analyser::{Analyser, at, strings};
use super::expression::Made;
use super::scope::{Columns, Cte, Ctes, Origin, ScopeColumn};
use super::select::{Outer, With, arms, united};

impl<'a> Analyser<'a> {
    /// A WITH clause: the CTEs it brings into view, or `None` where there is none.
    pub(super) fn with_clause<'p>(
        &mut self,
        with: Option<&'a nodes::WithClause>,
        outer: Outer<'a, '_>,
        ctes: With<'a, 'p>,
    ) -> Result<Option<Ctes<'a, 'p>>, Refusal> {
        let Some(with) = with else {
            return Ok(None);
        };
        let mut local = Ctes {
            outer: ctes,
            list: Vec::new(),
        };
        if with.recursive {
            let ahead = with.ctes().iter().map(|cte| Cte {
                name: cte.ctename().unwrap_or_default(),
                columns: None,
                tested: Vec::new(),
            });
            local.list.extend(ahead);
        }
        for cte in with.ctes() {
            self.tested.push(Made::new());
            let columns = self.cte(cte, with.recursive, outer, &mut local);
            let tested = self.tested.pop().unwrap_or_default();
            let name = cte.ctename().unwrap_or_default();
            set_cte(&mut local, name, columns?, tested);
        }
        Ok(Some(local))
    }

    fn cte(
        &mut self,
        cte: &'a nodes::CommonTableExpr,
        recursive: bool,
        outer: Outer<'a, '_>,
        local: &mut Ctes<'a, '_>,
    ) -> Result<Columns<'a>, Refusal> {
        if cte.search_clause().is_some() || cte.cycle_clause().is_some() {
            return Err(at(
                Refusal::unsupported("SEARCH and CYCLE clauses are not supported")
                    .with_hint("track the path in a column of the recursive query"),
                cte.location,
            ));
        }
        let names = strings(cte.aliascolnames()).unwrap_or_default();
        let Node::SelectStmt(select) = cte.ctequery() else {
            let columns = self.query(cte.ctequery(), outer, Some(local))?;
            return Ok(columns.derived().renamed(names.into_iter()));
        };
        if !recursive || select.op == SETOP_NONE || select.with_clause().is_some() {
            let columns = self.select(select, outer, Some(local))?;
            return Ok(columns.derived().renamed(names.into_iter()));
        }
        let (left, right) = arms(select)?;
        self.enter()?;
        let name = cte.ctename().unwrap_or_default();
        let first = self.select(left, outer, Some(local))?.derived();
        let first = first.renamed(names.iter().copied());
        set_cte(local, name, first.clone(), first.sources());
        let second = self.select(right, outer, Some(local))?;
        let columns = mixed(united(first, &second));
        self.note_tested(&columns.sources());
        self.set_operation_tail(select, outer, Some(local), &columns)?;
        self.leave();
        Ok(columns)
    }
}

fn set_cte<'a>(ctes: &mut Ctes<'a, '_>, name: &'a str, columns: Columns<'a>, tested: Made) {
    let columns = Some(columns);
    match ctes.list.iter_mut().find(|cte| cte.name == name) {
        Some(cte) => (cte.columns, cte.tested) = (columns, tested),
        None => ctes.list.push(Cte {
            name,
            columns,
            tested,
        }),
    }
}

/// Columns of a recursive query: from round to round a value can move from any of them to any other.
fn mixed(columns: Columns<'_>) -> Columns<'_> {
    let all: Rc<[_]> = Rc::from(columns.sources());
    let list = columns.list.into_iter().map(|column| ScopeColumn {
        name: column.name,
        origin: Origin::Derived(Rc::clone(&all)),
    });
    Columns {
        list: list.collect(),
        open: columns.open,
    }
}
