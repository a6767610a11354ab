//! What is wrong with a policy, told the way a compiler tells it: file, line, the text itself and a
//! caret under it, all mistakes at once. This file only keeps and prints them; it never decides
//! what a mistake is, and it reads no file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ariadne::{CharSet, Color, Config, Label, Report, ReportKind};
use serde::Serialize;

/// A policy file as it was read.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// The name to show in diagnostics.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// Whether a policy can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and probably says something else than was meant.
    Warning,
}

#[derive(Debug)]
struct Source {
    name: String,
    text: String,
}

/// The texts that places point into. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sources(Arc<[Source]>);

impl Sources {
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a SourceFile<'a>>) -> Self {
        Self(
            files
                .map(|file| Source {
                    name: file.name.to_owned(),
                    text: file.text.to_owned(),
                })
                .collect(),
        )
    }

    /// The name of the file a place is in.
    pub(super) fn name(&self, place: &Place) -> &str {
        self.0
            .get(place.file)
            .map_or("", |source| source.name.as_str())
    }

    /// The line a place begins on, from 1.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.0
            .get(place.file)
            .map_or(0, |source| position(&source.text, place.span.start).0)
    }
}

/// Somewhere in one of the files: byte offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file's number among the sources.
    pub(super) file: usize,
    /// From and to, in bytes.
    pub(super) span: Range<usize>,
}

/// One mistake or warning.
#[derive(Debug, Clone)]
pub(super) struct Diagnostic {
    pub(super) severity: Severity,
    pub(super) place: Place,
    /// The whole of it in one sentence.
    pub(super) message: String,
    /// What stands at the caret.
    pub(super) label: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

/// One mistake or warning with its place worked out, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    /// Error or warning.
    pub severity: Severity,
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The whole of it in one sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Mistakes and warnings, in the order of the files.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    sources: Sources,
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(sources: Sources, mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|one| (one.place.file, one.place.span.start));
        Self { sources, found }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// All of them with file, line and column.
    pub fn located(&self) -> Vec<Located> {
        self.found.iter().map(|one| self.locate(one)).collect()
    }

    /// All of them for people, with the text and a caret; colour only where asked for.
    pub fn render(&self, color: bool) -> String {
        let reports: Vec<String> = self.found.iter().map(|one| self.draw(one, color)).collect();
        reports.join("\n")
    }

    fn locate(&self, one: &Diagnostic) -> Located {
        let source = self.sources.0.get(one.place.file);
        let text = source.map_or("", |source| source.text.as_str());
        let (line, column) = position(text, one.place.span.start);
        Located {
            severity: one.severity,
            file: self.sources.name(&one.place).to_owned(),
            line,
            column,
            message: one.message.clone(),
            hint: one.hint.clone(),
        }
    }

    fn draw(&self, one: &Diagnostic, color: bool) -> String {
        let drawn = self.sources.0.get(one.place.file).and_then(|source| {
            let span = characters(&source.text, &one.place.span)?;
            draw_in(source, span, one, color)
        });
        drawn.unwrap_or_else(|| {
            let Located {
                file,
                line,
                message,
                ..
            } = self.locate(one);
            format!("{file}:{line}: {message}\n")
        })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

fn draw_in(source: &Source, span: Range<usize>, one: &Diagnostic, color: bool) -> Option<String> {
    let (kind, paint) = match one.severity {
        Severity::Error => (ReportKind::Error, Color::Red),
        Severity::Warning => (ReportKind::Warning, Color::Yellow),
    };
    let config = Config::new()
        .with_color(color)
        .with_char_set(CharSet::Ascii);
    let label = Label::new((source.name.clone(), span.clone()))
        .with_message(&one.label)
        .with_color(paint);
    // The configuration comes first: labels take their colour from it when they are added.
    let mut report = Report::build(kind, (source.name.clone(), span))
        .with_config(config)
        .with_message(&one.message)
        .with_label(label);
    if let Some(hint) = &one.hint {
        report = report.with_help(hint);
    }
    let cache = (
        source.name.clone(),
        ariadne::Source::from(source.text.as_str()),
    );
    let mut drawn = Vec::new();
    report.finish().write(cache, &mut drawn).ok()?;
    let text = String::from_utf8_lossy(&drawn);
    // Lines are padded to the right; nobody wants that in a log.
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Some(lines.join("\n") + "\n")
}

/// Byte offsets turned into character offsets, kept on one line and at least one character wide:
/// a caret needs something to point at. `None` where the text is blank.
fn characters(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let last = text.trim_end().char_indices().next_back()?.0;
    let start = floor(text, span.start.min(last));
    let line_end = text
        .get(start..)
        .and_then(|rest| rest.find(['\n', '\r']))
        .map_or(text.len(), |at| start.saturating_add(at));
    let end = floor(text, span.end.min(line_end)).max(start);
    let before = text.get(..start)?.chars().count();
    let wide = text.get(start..end)?.chars().count().max(1);
    Some(before..before.saturating_add(wide))
}

/// Line and column (in characters) of a byte offset, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..floor(text, offset)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    (line, column.saturating_add(1))
}

/// The nearest character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostics(text: &str, spans: &[Range<usize>]) -> Diagnostics {
        let file = SourceFile {
            name: "shop.toml",
            text,
        };
        let found = spans
            .iter()
            .map(|span| Diagnostic {
                severity: Severity::Error,
                place: Place {
                    file: 0,
                    span: span.clone(),
                },
                message: "this is wrong".to_owned(),
                label: "here".to_owned(),
                hint: Some("write something else".to_owned()),
            })
            .collect();
        Diagnostics::new(Sources::new([file].iter()), found)
    }

    #[test]
    fn points_at_the_place() {
        let text = "[[table]]\nname = \"público\"\n";
        let at = text.find("\"p").unwrap();
        let place = at..text.len() - 1;
        let found = diagnostics(text, std::slice::from_ref(&place));
        let located = found.located();
        assert_eq!((located[0].line, located[0].column), (2, 8));
        let drawn = found.render(false);
        assert!(drawn.contains("Error: this is wrong"), "{drawn}");
        assert!(drawn.contains("shop.toml:2:8"), "{drawn}");
        assert!(drawn.contains("name = \"público\""), "{drawn}");
        assert!(drawn.contains("^^^"), "{drawn}");
        assert!(drawn.contains("write something else"), "{drawn}");
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
        assert!(found.render(true).contains('\u{1b}'));
    }

    #[test]
    fn no_span_is_too_strange_to_draw() {
        for text in [
            "",
            "\n",
            "a",
            "a\n",
            "é\n\n",
            "a\r\nb\r\n",
            "[[table]]\nname = 1",
        ] {
            let end = text.len();
            let spans = [
                0..0,
                0..end,
                end..end,
                end..end + 5,
                1..end.max(1),
                900..901,
            ];
            let found = diagnostics(text, &spans);
            assert_eq!(found.len(), spans.len());
            assert!(found.render(false).contains("this is wrong"), "{text:?}");
        }
    }

    #[test]
    fn are_sorted_by_place() {
        let found = diagnostics("aaa\nbbb\nccc\n", &[8..9, 0..1, 4..5]);
        let lines: Vec<usize> = found.located().iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}
