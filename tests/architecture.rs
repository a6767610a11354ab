//! The law of the house: modules use only those above them in `lib.rs`, pure modules stay pure,
//! files stay small and open with prose, and the proof types have one constructor each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "what is not as expected ends the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that do no I/O: everything up to and with this one.
const LAST_PURE: &str = "gate";
const LINES_MAX: usize = 500;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules of `lib.rs` in their order.
fn modules() -> Vec<String> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned);
    let names: Vec<String> = names.collect();
    assert!(names.len() > 10, "lib.rs lists its modules one per line");
    names
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files of a module, with their text.
fn module_files(module: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let single = source().join(format!("{module}.rs"));
    if single.exists() {
        found.push(single);
    } else {
        files(&source().join(module), &mut found);
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// The text without its test module and without comments: what the law is about.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| match line.find("//") {
        Some(0) => "",
        Some(place) if line[..place].trim().is_empty() => "",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a file holds nothing but tests.
fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    name.starts_with("tests") || name == "testing" || name == "fake"
}

#[test]
fn a_module_uses_only_those_above_it() {
    let order = modules();
    let mut broken = Vec::new();
    for (place, module) in order.iter().enumerate() {
        for (path, text) in module_files(module) {
            if is_test_file(&path) {
                continue;
            }
            for below in &order[place + 1..] {
                for form in [format!("crate::{below}::"), format!("crate::{below};")] {
                    if code(&text).contains(&form) {
                        broken.push(format!("{} uses {below}", path.display()));
                    }
                }
            }
            if code(&text).contains("use crate::{") {
                broken.push(format!("{}: one `use crate::…` per module", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pure_modules_do_no_io() {
    const FORBIDDEN: &[&str] = &[
        "tokio",
        "async fn",
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime",
        "Instant",
    ];
    let order = modules();
    let last = order.iter().position(|module| module == LAST_PURE).unwrap();
    let mut broken = Vec::new();
    for module in order[..=last].iter().filter(|module| *module != "clock") {
        for (path, text) in module_files(module) {
            if is_test_file(&path) {
                continue;
            }
            for word in FORBIDDEN {
                if code(&text).contains(word) {
                    broken.push(format!("{} names {word}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn files_open_with_prose_and_stay_small() {
    let mut all = Vec::new();
    files(&source(), &mut all);
    assert!(all.len() > 50);
    let mut broken = Vec::new();
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            broken.push(format!("{} does not open with //!", path.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Where a value of the type is made by a struct literal: `Name {` or `Self {` inside its impl.
fn made(module: &str, name: &str) -> usize {
    let mut count = 0;
    for (_, text) in module_files(module) {
        let text = code(&text);
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with("impl") {
                inside = line.contains(&format!(" {name} {{"));
            } else if line == "}" {
                inside = false;
            }
            let literal = line.contains(&format!("{name} {{"))
                && !["struct ", "impl", "-> ", "for "]
                    .iter()
                    .any(|word| line.contains(word));
            count += usize::from(literal || inside && line.trim_end().ends_with("Self {"));
        }
    }
    count
}

#[test]
fn the_proofs_have_one_constructor_each() {
    for (module, name) in [
        ("token", "Verified"),
        ("policy", "Permit"),
        ("gate", "Cleared"),
    ] {
        for other in modules() {
            let expected = usize::from(other == module);
            let found = made(&other, name) - shadow(&other, module, name);
            assert_eq!(found, expected, "{other} makes {found} of {name}");
        }
    }
}

/// `fn new(…) -> Self {` ends like a literal and is none.
fn shadow(other: &str, module: &str, name: &str) -> usize {
    if other != module {
        return 0;
    }
    let files = module_files(module);
    let own = files.iter().map(|(_, text)| code(text));
    own.map(|text| {
        let start = text.find(&format!("impl {name} {{"));
        let body = start.map_or("", |start| &text[start..]);
        let body = body.split("\n}").next().unwrap_or_default();
        body.matches("-> Self {").count()
    })
    .sum()
}
