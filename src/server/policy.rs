//! The policy in force, from the files that the configuration names.

use std::path::{Path, PathBuf};

use crate::config::{PolicyFiles, is_policy_file};
use crate::policy::{Rules, is_cases_file, load};

use super::error::Error;

/// Reads the policy's files.
pub(super) fn read(paths: &[PathBuf]) -> Result<PolicyFiles, Error> {
    PolicyFiles::read(paths).map_err(Error::PolicyRead)
}

/// What the files mean.
pub(super) fn compile(files: &PolicyFiles) -> Result<Rules, Error> {
    load(&files.policies()).map_err(Error::Policy)
}

/// Whether a change of that file may change the policy.
pub(super) fn is_policy(file: &Path) -> bool {
    is_policy_file(file) && !is_cases_file(&file.to_string_lossy())
}
