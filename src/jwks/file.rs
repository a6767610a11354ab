//! An issuer's keys in a file: read at the start, and again whenever the file has changed, so that
//! a key taken out of it is no longer believed. It never writes, and it never falls back to the
//! keys it had before where the new file is wrong.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::token::{Algorithm, KeySet, VerifyingKey};

use super::JWKS_BYTES_MAX;
use super::error::Error;

/// The keys of one file.
pub(super) struct FileKeys {
    path: PathBuf,
    algorithms: Vec<Algorithm>,
    held: Mutex<Held>,
}

struct Held {
    stamp: Stamp,
    keys: KeySet,
}

/// What changes when a file changes.
#[derive(PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
        }
    }
}

impl FileKeys {
    /// Reads the file.
    pub(super) fn open(path: PathBuf, algorithms: Vec<Algorithm>) -> Result<Self, Error> {
        let held = read(&path, &algorithms)?;
        Ok(Self {
            path,
            algorithms,
            held: Mutex::new(held),
        })
    }

    /// The key of that id, as the file is now. The file is small and local: one `stat` per login,
    /// and a read where it changed, are not worth another thread.
    pub(super) fn key(&self, kid: &str) -> Result<Option<VerifyingKey>, Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = std::fs::metadata(&self.path).map_err(|reason| self.unreadable(reason))?;
        if Stamp::of(&metadata) != held.stamp {
            *held = read(&self.path, &self.algorithms)?;
        }
        Ok(held.keys.get(kid).cloned())
    }

    fn unreadable(&self, reason: std::io::Error) -> Error {
        Error::Read {
            path: self.path.clone(),
            reason,
        }
    }
}

fn read(path: &Path, algorithms: &[Algorithm]) -> Result<Held, Error> {
    let (stamp, bytes) = contents(path).map_err(|reason| Error::Read {
        path: path.to_owned(),
        reason,
    })?;
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let keys = KeySet::from_jwks(&bytes, algorithms)?;
    Ok(Held { stamp, keys })
}

/// The file's stamp, taken before its bytes: a change in between is seen next time.
fn contents(path: &Path) -> std::io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    let limit = u64::try_from(JWKS_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jwks::testing::TestFile;
    use crate::token::SigningKey;

    const ED: [Algorithm; 1] = [Algorithm::EdDsa];

    #[test]
    fn a_changed_file_is_read_again() {
        let first = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let second = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let file = TestFile::new(&first.jwks());
        let keys = FileKeys::open(file.path().to_owned(), ED.to_vec()).unwrap();
        assert!(keys.key(first.kid()).unwrap().is_some());
        assert!(keys.key(second.kid()).unwrap().is_none());

        file.write(&second.jwks(), Duration::from_secs(5));
        assert!(keys.key(first.kid()).unwrap().is_none());
        assert!(keys.key(second.kid()).unwrap().is_some());
    }

    #[test]
    fn a_wrong_file_takes_the_keys_away_until_it_is_right() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let file = TestFile::new(&key.jwks());
        let keys = FileKeys::open(file.path().to_owned(), ED.to_vec()).unwrap();
        for (place, bad) in ["", "{}", &" ".repeat(JWKS_BYTES_MAX + 1)]
            .iter()
            .enumerate()
        {
            file.write(bad, Duration::from_secs(10 + place as u64));
            assert!(keys.key(key.kid()).is_err());
        }
        file.write(&key.jwks(), Duration::from_secs(60));
        assert!(keys.key(key.kid()).unwrap().is_some());
        std::fs::remove_file(file.path()).unwrap();
        assert!(matches!(keys.key(key.kid()), Err(Error::Read { .. })));
    }

    #[test]
    fn a_file_that_is_not_there() {
        let path = PathBuf::from("no-such-directory/keys.json");
        let error = FileKeys::open(path, ED.to_vec()).err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("cannot read no-such-directory/keys.json: ")
        );
    }
}
