//! The policy files on disk: which files the configured paths stand for, and their texts. What they
//! mean is the policy's business.

use std::path::{Path, PathBuf};

use crate::policy::{Rules, SourceFile, is_cases_file, load};

use super::error::Error;

/// The name that policy files end in.
const EXTENSION: &str = "toml";

/// Policy files as they were read: name and text, in the order of the configured paths and of the
/// names in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts(Vec<(String, String)>);

impl Texts {
    /// Reads what the paths stand for: a file itself, and of a directory every `*.toml` that is not
    /// a file of test cases. Subdirectories are not looked into.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut texts = Vec::new();
        for path in paths {
            for file in files(path)? {
                let text =
                    std::fs::read_to_string(&file).map_err(|reason| unreadable(&file, reason))?;
                texts.push((file.display().to_string(), text));
            }
        }
        Ok(Self(texts))
    }

    /// What the texts mean.
    pub(super) fn compile(&self) -> Result<Rules, Error> {
        let sources: Vec<SourceFile<'_>> = self
            .0
            .iter()
            .map(|(name, text)| SourceFile { name, text })
            .collect();
        load(&sources).map_err(Error::Policy)
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The files that a path stands for.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let metadata = std::fs::metadata(path).map_err(|reason| unreadable(path, reason))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path).map_err(|reason| unreadable(path, reason))?;
    for entry in entries {
        let file = entry.map_err(|reason| unreadable(path, reason))?.path();
        if is_policy(&file) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file in a policy directory is part of the policy.
pub(super) fn is_policy(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_hidden = name.starts_with('.');
    let is_toml = file.extension().is_some_and(|known| known == EXTENSION);
    is_toml && !is_hidden && !is_cases_file(&name)
}

fn unreadable(path: &Path, reason: std::io::Error) -> Error {
    Error::PolicyRead {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_policy_files_by_their_names() {
        for (name, policy) in [
            ("shop.toml", true),
            ("shop.cases.toml", false),
            (".shop.toml", false),
            ("shop.toml~", false),
            ("README.md", false),
        ] {
            assert_eq!(
                is_policy(Path::new("policies").join(name).as_path()),
                policy,
                "{name}"
            );
        }
    }

    #[test]
    fn reads_a_directory_in_the_order_of_names() {
        let directory = std::env::temp_dir().join(format!("pgward-policy-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("nested.toml")).unwrap();
        for (name, text) in [("b.toml", "2"), ("a.toml", "1"), ("a.cases.toml", "x")] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let read = Texts::read(std::slice::from_ref(&directory)).unwrap();
        let texts: Vec<&str> = read.0.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["1", "2"]);
        let missing = directory.join("missing.toml");
        assert!(Texts::read(&[missing]).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
