//! The files of a policy: read from the files and directories that the configuration or the command
//! line names. What is in them is [`crate::policy`]'s business.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::policy::{SourceFile, is_cases_file};

/// Policy files and the files of cases beside them, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    files: Vec<(String, String)>,
}

impl PolicyFiles {
    /// Reads every `*.toml` of the directories, and the files themselves.
    ///
    /// # Errors
    /// A path that cannot be read, or holds text that is not UTF-8; the path is in the message.
    pub fn read(paths: &[PathBuf]) -> io::Result<Self> {
        let mut found = Vec::new();
        for path in paths {
            collect(path, &mut found)?;
        }
        found.sort();
        found.dedup();
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).map_err(|error| named(&path, &error))?;
            Ok((path.display().to_string(), text))
        };
        let files: io::Result<Vec<_>> = found.into_iter().map(read).collect();
        Ok(Self { files: files? })
    }

    /// The policy itself.
    pub fn policies(&self) -> Vec<SourceFile<'_>> {
        self.sources(false)
    }

    /// Its tests.
    pub fn cases(&self) -> Vec<SourceFile<'_>> {
        self.sources(true)
    }

    fn sources(&self, cases: bool) -> Vec<SourceFile<'_>> {
        let wanted = self
            .files
            .iter()
            .filter(|(name, _)| is_cases_file(name) == cases);
        wanted
            .map(|(name, text)| SourceFile { name, text })
            .collect()
    }
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let is_directory = fs::metadata(path)
        .map_err(|error| named(path, &error))?
        .is_dir();
    if !is_directory {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|error| named(path, &error))? {
        let path = entry?.path();
        let is_toml = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if is_toml && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file in a policy directory counts, by its name: `*.toml`, not hidden.
pub(crate) fn is_policy_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".toml") && !name.starts_with('.')
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_policy_files_by_their_names() {
        for (name, counts) in [
            ("shop.toml", true),
            ("shop.cases.toml", true),
            (".shop.toml", false),
            ("shop.toml~", false),
            ("README.md", false),
        ] {
            assert_eq!(
                is_policy_file(&Path::new("policies").join(name)),
                counts,
                "{name}"
            );
        }
    }

    #[test]
    fn tells_policies_from_their_tests() {
        let directory = std::env::temp_dir().join(format!("pgward-policy-{}", std::process::id()));
        fs::create_dir_all(directory.join("nested.toml")).unwrap();
        for (name, text) in [("b.toml", "2"), ("a.toml", "1"), ("a.cases.toml", "x")] {
            fs::write(directory.join(name), text).unwrap();
        }
        let read = PolicyFiles::read(std::slice::from_ref(&directory)).unwrap();
        let texts: Vec<&str> = read.policies().iter().map(|file| file.text).collect();
        assert_eq!(texts, ["1", "2"]);
        let cases: Vec<&str> = read.cases().iter().map(|file| file.text).collect();
        assert_eq!(cases, ["x"]);
        assert!(PolicyFiles::read(&[directory.join("missing.toml")]).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
