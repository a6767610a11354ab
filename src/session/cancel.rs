//! Cancel keys. Every session gets a key of pgward's own making; a cancel request that shows it
//! cancels what that one session does at the database, and nothing else. Clients never see the
//! database's own keys, and a wrong key is answered like a right one: not at all.
//!
//! Source: Postgres manual, "Canceling Requests in Progress".

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::refusal::{Reason, Refusal, SqlState};
use crate::upstream::BackendKey;

/// The length of a key in protocol 3.0, in bytes.
const SHORT_KEY: usize = 4;
/// The length of a key since protocol 3.2, in bytes.
const LONG_KEY: usize = 32;

struct Session<K> {
    key: Vec<u8>,
    upstream: K,
}

/// The sessions that can be cancelled, each with what it takes to do so at the database.
pub struct Cancels<K = BackendKey> {
    sessions: Mutex<HashMap<u32, Session<K>>>,
}

impl<K> Default for Cancels<K> {
    fn default() -> Self {
        Self {
            sessions: Mutex::new(HashMap::new()),
        }
    }
}

impl<K> fmt::Debug for Cancels<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancels({} sessions)", self.lock().len())
    }
}

impl<K> Cancels<K> {
    /// Gives a session its key, for a client that speaks protocol 3.`minor`. It counts until the
    /// registration is dropped.
    ///
    /// # Errors
    /// 57P03 where the system has no random bytes.
    pub(super) fn register(
        self: &Arc<Self>,
        minor: u16,
        upstream: K,
    ) -> Result<Registration<K>, Refusal> {
        let mut key = vec![0; if minor < 2 { SHORT_KEY } else { LONG_KEY }];
        random(&mut key)?;
        loop {
            let mut id = [0; 4];
            random(&mut id)?;
            // Drivers read a signed number and take 0 for none.
            let process_id = (u32::from_be_bytes(id) & 0x7fff_ffff).max(1);
            let mut sessions = self.lock();
            if let Entry::Vacant(free) = sessions.entry(process_id) {
                free.insert(Session {
                    key: key.clone(),
                    upstream,
                });
                return Ok(Registration {
                    cancels: Arc::clone(self),
                    process_id,
                    key,
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Session<K>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone> Cancels<K> {
    /// The database's key of the session that this key belongs to. Keys are compared in constant
    /// time; which process ids there are is no secret.
    pub(super) fn find(&self, process_id: u32, key: &[u8]) -> Option<K> {
        let sessions = self.lock();
        let session = sessions.get(&process_id)?;
        verify_slices_are_equal(&session.key, key).ok()?;
        Some(session.upstream.clone())
    }
}

/// A session's place among those that can be cancelled.
pub(super) struct Registration<K = BackendKey> {
    cancels: Arc<Cancels<K>>,
    process_id: u32,
    key: Vec<u8>,
}

impl<K> Registration<K> {
    /// The process id to tell the client.
    pub(super) fn process_id(&self) -> u32 {
        self.process_id
    }

    /// The key to tell the client.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl<K> Drop for Registration<K> {
    fn drop(&mut self) {
        self.cancels.lock().remove(&self.process_id);
    }
}

/// Fills a buffer with random bytes.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), Refusal> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| {
        Refusal::new(
            SqlState::CANNOT_CONNECT_NOW,
            Reason::Unavailable,
            "the server has no random numbers",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_session_alone() {
        let cancels: Arc<Cancels<char>> = Arc::default();
        let one = cancels.register(0, 'a').unwrap();
        let other = cancels.register(2, 'b').unwrap();
        assert_eq!((one.key().len(), other.key().len()), (4, 32));
        assert_eq!(cancels.find(one.process_id(), one.key()), Some('a'));
        assert_eq!(cancels.find(other.process_id(), other.key()), Some('b'));
        assert_eq!(cancels.find(one.process_id(), other.key()), None);
        assert_eq!(cancels.find(other.process_id(), one.key()), None);
        assert_eq!(cancels.find(one.process_id(), b""), None);
        let mut wrong = one.key().to_vec();
        wrong[3] ^= 1;
        assert_eq!(cancels.find(one.process_id(), &wrong), None);
    }

    #[test]
    fn a_session_that_ended_is_not_found() {
        let cancels: Arc<Cancels<char>> = Arc::default();
        let one = cancels.register(0, 'a').unwrap();
        let (process_id, key) = (one.process_id(), one.key().to_vec());
        assert!(process_id > 0 && i32::try_from(process_id).is_ok());
        drop(one);
        assert_eq!(cancels.find(process_id, &key), None);
        assert_eq!(format!("{cancels:?}"), "Cancels(0 sessions)");
    }
}
