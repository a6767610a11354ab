//! How `policy explain` shows what was found: the statement underlined, a line for each relation,
//! column and function, the lineage of the result, the decision and its reason.

use std::fmt::Write;
use std::ops::Range;

use ariadne::{Color, Config, IndexType, Label, Report, ReportKind, sources};

use crate::access::Access;
use crate::catalog::{Snapshot, Sources};
use crate::gate::Judged;
use crate::ident::{QualifiedName, quote};
use crate::policy::Rules;

/// For people.
pub(super) fn text(
    sql: &str,
    judged: &[Judged],
    rules: &Rules,
    snapshot: &Snapshot,
    colour: bool,
) -> anyhow::Result<String> {
    let mut out = String::new();
    for (index, one) in judged.iter().enumerate() {
        out.push_str(&underlined(sql, one, rules, snapshot, colour)?);
        touched(&mut out, &one.access, rules, snapshot)?;
        lineage(&mut out, &one.access, snapshot)?;
        let number = index.saturating_add(1);
        match &one.refusal {
            None => writeln!(out, "statement {number}: ALLOWED")?,
            Some(refusal) => {
                writeln!(
                    out,
                    "statement {number}: DENIED {}: {}",
                    refusal.code.0, refusal.message
                )?;
                let more = [("detail", &refusal.detail), ("hint", &refusal.hint)];
                for (name, text) in more {
                    if let Some(text) = text {
                        writeln!(out, "  {name}: {text}")?;
                    }
                }
            }
        }
        if !one.rules.is_empty() {
            writeln!(out, "  by: {}", one.rules.join(", "))?;
        }
    }
    Ok(out)
}

/// The statement with what it touches underlined.
fn underlined(
    sql: &str,
    judged: &Judged,
    rules: &Rules,
    snapshot: &Snapshot,
    colour: bool,
) -> anyhow::Result<String> {
    let mut labels: Vec<(Range<usize>, String, Color)> = Vec::new();
    for relation in &judged.access.relations {
        if let Some(place) = relation.offset {
            let text = format!("{} {}", relation.action, relation.relation);
            labels.push((word_at(sql, place), text, Color::Cyan));
        }
    }
    for column in judged.access.columns.iter().filter(|column| !column.star) {
        if let Some(place) = column.offset {
            let label = rules.label(&column.relation, &column.column, snapshot);
            let text = format!(
                "{} {}.{}: {}",
                column.used.word(),
                column.relation.name,
                column.column,
                label.sensitivity
            );
            labels.push((word_at(sql, place), text, Color::Yellow));
        }
    }
    if let Some((refusal, place)) = judged.refusal.as_ref().and_then(|r| Some((r, r.offset?))) {
        labels.push((word_at(sql, place), refusal.message.clone(), Color::Red));
    }
    let name = "statement";
    let config = Config::default()
        .with_color(colour)
        .with_index_type(IndexType::Byte);
    let report = Report::build(ReportKind::Custom("SQL", Color::Blue), (name, 0..sql.len()))
        .with_config(config)
        .with_labels(labels.into_iter().map(|(place, text, color)| {
            Label::new((name, place))
                .with_message(text)
                .with_color(color)
        }))
        .finish();
    let mut bytes = Vec::new();
    report.write(sources([(name, sql)]), &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if colour {
        return Ok(text);
    }
    // The heading of a report is coloured in any case.
    Ok(text.replace("\u{1b}[34m", "").replace("\u{1b}[0m", ""))
}

/// The name that starts at a byte offset.
fn word_at(sql: &str, start: usize) -> Range<usize> {
    let tail = sql.get(start..).unwrap_or_default();
    let mut quoted = false;
    let end = tail
        .char_indices()
        .find(|(_, c)| {
            quoted ^= *c == '"';
            !(quoted || c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '*'))
        })
        .map_or(tail.len(), |(end, _)| end);
    let start = start.min(sql.len());
    start..start.saturating_add(end.max(1)).min(sql.len())
}

fn touched(
    out: &mut String,
    access: &Access,
    rules: &Rules,
    snapshot: &Snapshot,
) -> anyhow::Result<()> {
    for relation in &access.relations {
        writeln!(
            out,
            "  relation {} ({})",
            relation.relation, relation.action
        )?;
    }
    for column in &access.columns {
        let label = rules.label(&column.relation, &column.column, snapshot);
        writeln!(
            out,
            "  column   {}.{} ({}): {}",
            column.relation,
            quote(&column.column),
            column.used.word(),
            label.sensitivity
        )?;
    }
    for function in &access.functions {
        writeln!(out, "  function {}", function.function)?;
    }
    Ok(())
}

/// What each column of the result is made of, through every view.
fn lineage(out: &mut String, access: &Access, snapshot: &Snapshot) -> anyhow::Result<()> {
    for (index, output) in access.outputs.iter().enumerate() {
        let number = index.saturating_add(1);
        let name = output.name.as_deref().unwrap_or("?column?");
        let sources: Vec<String> = output
            .sources
            .iter()
            .map(|(relation, column)| source(relation, column, snapshot))
            .collect();
        let made = if sources.is_empty() {
            "nothing stored".to_owned()
        } else {
            sources.join(", ")
        };
        writeln!(out, "  result {number} {} ← {made}", quote(name))?;
    }
    Ok(())
}

fn source(relation: &QualifiedName, column: &str, snapshot: &Snapshot) -> String {
    let shown = format!("{relation}.{}", quote(column));
    match snapshot.lineage().sources(relation, column) {
        Some(Sources::Known(below)) if !below.is_empty() => {
            let below: Vec<String> = below
                .iter()
                .map(|(relation, column)| format!("{relation}.{}", quote(column)))
                .collect();
            format!("{shown} ← {}", below.join(" + "))
        }
        Some(Sources::Opaque) => format!("{shown} ← (cannot be followed)"),
        Some(Sources::Known(_)) | None => shown,
    }
}

/// For programs.
pub(super) fn json(
    judged: &[Judged],
    rules: &Rules,
    snapshot: &Snapshot,
) -> anyhow::Result<String> {
    let statements: Vec<serde_json::Value> = judged
        .iter()
        .map(|one| statement_json(one, rules, snapshot))
        .collect();
    Ok(serde_json::to_string_pretty(&statements)?)
}

fn statement_json(judged: &Judged, rules: &Rules, snapshot: &Snapshot) -> serde_json::Value {
    let access = &judged.access;
    let columns: Vec<serde_json::Value> = access
        .columns
        .iter()
        .map(|column| {
            let label = rules.label(&column.relation, &column.column, snapshot);
            serde_json::json!({
                "relation": column.relation.to_string(),
                "column": column.column,
                "use": column.used.word(),
                "sensitivity": label.sensitivity.to_string(),
            })
        })
        .collect();
    let relations: Vec<serde_json::Value> = access
        .relations
        .iter()
        .map(|relation| {
            serde_json::json!({
                "relation": relation.relation.to_string(),
                "action": relation.action.word(),
            })
        })
        .collect();
    let functions: Vec<String> = access
        .functions
        .iter()
        .map(|function| function.function.to_string())
        .collect();
    let refusal = judged.refusal.as_ref().map(|refusal| {
        serde_json::json!({
            "sqlstate": refusal.code.0,
            "reason": refusal.reason.label(),
            "message": refusal.message,
            "detail": refusal.detail,
            "hint": refusal.hint,
            "offset": refusal.offset,
        })
    });
    serde_json::json!({
        "command": access.command,
        "statement": judged.redacted,
        "relations": relations,
        "columns": columns,
        "functions": functions,
        "decision": if judged.refusal.is_some() { "deny" } else { "permit" },
        "refusal": refusal,
        "rules": judged.rules,
    })
}
