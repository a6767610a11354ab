//! What changes on disk while the server runs: policies, and the certificate towards agents. A change
//! is taken up when the files change and at SIGHUP; what has mistakes is reported and leaves what was
//! there before in force. Sessions see a new policy at their next statement, a new certificate is for
//! new connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{PolicyFiles, Tls};
use crate::session::{Shared, replace};

use super::error::Error;
use super::policy::{compile, is_policy, read};
use super::schema::over;
use super::tls;

/// How long files are left alone after a change: editors and deployments write in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// The link that Kubernetes turns to put new files in a mounted directory.
const MOUNT_LINK: &str = "..data";

/// What is read from disk, and what was read last.
#[derive(Debug)]
pub(super) struct Files {
    policies: Vec<PathBuf>,
    tls: Option<Tls>,
    texts: Mutex<PolicyFiles>,
}

impl Files {
    /// The files of a configuration; `texts` are the policy's as they are in force.
    pub(super) fn new(policies: Vec<PathBuf>, tls: Option<Tls>, texts: PolicyFiles) -> Self {
        Self {
            policies,
            tls,
            texts: Mutex::new(texts),
        }
    }

    /// Reads everything again and puts it in force where it has changed. Whether the policy has.
    ///
    /// # Errors
    /// The first thing that cannot be used; everything else is in force.
    pub(super) fn reload(&self, shared: &Shared) -> Result<bool, Error> {
        let certificate = match &self.tls {
            None => Ok(()),
            Some(files) => tls::load(files).map(|config| shared.tls.store(Some(config))),
        };
        let changed = self.reload_policies(shared)?;
        certificate.map(|()| changed)
    }

    fn reload_policies(&self, shared: &Shared) -> Result<bool, Error> {
        let new = read(&self.policies)?;
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if *texts == new {
            return Ok(false);
        }
        let rules = compile(&new)?;
        tracing::info!(files = new.policies().len(), "a new policy is in force");
        *texts = new;
        replace(&shared.rules, rules);
        Ok(true)
    }

    /// Whether a path that has changed is one of these files.
    fn concerns(&self, changed: &Path) -> bool {
        let name = changed.file_name().unwrap_or_default();
        if name == MOUNT_LINK {
            return true;
        }
        let is_listed = |known: &PathBuf| changed.file_name() == known.file_name();
        let tls = self.tls.as_ref();
        is_policy(changed)
            || self.policies.iter().any(is_listed)
            || tls.is_some_and(|tls| is_listed(&tls.certificate) || is_listed(&tls.key))
    }

    /// The directories to be watched: a file that is replaced is only seen in its directory.
    fn directories(&self) -> Vec<PathBuf> {
        let files = self.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let mut directories: Vec<PathBuf> = Vec::new();
        for path in self.policies.iter().chain(files) {
            let directory = match path.parent() {
                _ if path.is_dir() => path.clone(),
                // A name alone: in the working directory.
                Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
                Some(parent) => parent.to_owned(),
                None => path.clone(),
            };
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        directories
    }
}

/// Reloads until the server stops serving.
pub(super) async fn keep_fresh(shared: Arc<Shared>, files: Arc<Files>) {
    let (changed, mut changes) = mpsc::channel(1);
    // Dropped only at the end: with it the watching ends.
    let watcher = watch(&files, changed.clone());
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be received");
            None
        }
    };
    let mut phase = shared.phase.clone();
    loop {
        tokio::select! {
            change = changes.recv() => {
                if change.is_none() {
                    break;
                }
                tokio::time::sleep(QUIET).await;
                while changes.try_recv().is_ok() {}
            }
            () = hung_up(hangup.as_mut()) => {}
            () = over(&mut phase) => break,
        }
        let (shared, files) = (Arc::clone(&shared), Arc::clone(&files));
        let reloading = tokio::task::spawn_blocking(move || report(files.reload(&shared)));
        // It was reported already, or panicked and said so.
        let _reloaded = reloading.await;
    }
    drop((watcher, changed));
}

/// Ends at the next SIGHUP.
async fn hung_up(hangup: Option<&mut tokio::signal::unix::Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn report(reloaded: Result<bool, Error>) {
    if let Err(error) = reloaded {
        tracing::error!("what was in force stays in force: {error}");
    }
}

/// Watches the directories of the files. Where that is not possible, SIGHUP is left.
fn watch(files: &Arc<Files>, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let concerned = Arc::clone(files);
    let handler = move |event: notify::Result<notify::Event>| {
        let concerns = match event {
            // Reading is no change; and reading is what a reload does.
            Ok(event) => {
                !event.kind.is_access() && event.paths.iter().any(|path| concerned.concerns(path))
            }
            Err(_) => true,
        };
        if concerns {
            // Full: a reload is due already.
            let _sent = changed.try_send(());
        }
    };
    let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
        for directory in files.directories() {
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "files cannot be watched; changes are taken up at SIGHUP");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_files() {
        let files = Files::new(
            vec![PathBuf::from("/p/one.policy"), PathBuf::from("/q")],
            Some(Tls {
                certificate: PathBuf::from("/t/server.pem"),
                key: PathBuf::from("/t/server.key"),
            }),
            PolicyFiles::default(),
        );
        for (path, concerns) in [
            ("/q/shop.toml", true),
            ("/q/shop.cases.toml", false),
            ("/p/one.policy", true),
            ("/p/two.policy", false),
            ("/t/server.key", true),
            ("/t/..data", true),
            ("/t/audit.jsonl", false),
        ] {
            assert_eq!(files.concerns(Path::new(path)), concerns, "{path}");
        }
        let directories = files.directories();
        assert!(directories.contains(&PathBuf::from("/p")));
        assert!(directories.contains(&PathBuf::from("/t")));
        let here = Files::new(
            vec![PathBuf::from("policy.toml")],
            None,
            PolicyFiles::default(),
        );
        assert_eq!(here.directories(), [PathBuf::from(".")]);
    }
}
