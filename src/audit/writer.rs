//! The one thread that writes the log. It alone numbers and chains records, so their order in the
//! file is the order in which they left the queue. It never drops a record while the file takes
//! them; when the file stops taking them it fails, and says so to everyone who asks.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::config::{Config, OnFailure};
use super::error::Failed;
use super::ledger::Ledger;

/// Lines are written at the latest when so many bytes of them wait.
const BATCH_BYTES: usize = 256 * 1024;

/// With `on_failure = "continue"`: how many bytes of lines are held for a file that fails, before
/// further records are lost.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// With `on_failure = "continue"`: how long after a failure the file is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the thread sleeps between two looks at the queue while lines wait for their time. It
/// bounds what a full queue makes a caller wait, and lets senders pass without waking the thread.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Append these members of a record; answer once they are on disk, where an answer is wanted.
    Record(Vec<u8>, Option<oneshot::Sender<()>>),
    /// End the log, and answer once its last checkpoint is on disk.
    Close(oneshot::Sender<()>),
}

/// What the thread and the handles share.
#[derive(Debug, Default)]
pub(super) struct State {
    failed: AtomicBool,
    why: Mutex<Option<String>>,
}

impl State {
    /// Whether the last write failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Why no record is taken.
    pub(super) fn failure(&self) -> Failed {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        Failed::new(why.as_deref().unwrap_or("the log is closed"))
    }

    /// Notes a failure; true if there was none before.
    fn fail(&self, why: String) -> bool {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        !self.failed.swap(true, Ordering::AcqRel)
    }

    /// Notes that writing works; true if it did not before.
    fn recover(&self) -> bool {
        self.failed.swap(false, Ordering::AcqRel)
    }
}

/// The thread's own state.
pub(super) struct Writer {
    receiver: mpsc::Receiver<Command>,
    ledger: Ledger,
    state: Arc<State>,
    buffer: Duration,
    stop: bool,
    /// When what waits is to be written; `None` while nothing waits.
    flush_at: Option<Instant>,
    /// Who waits for it to be on disk.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What to do next.
enum Step {
    Take(Command),
    Flush,
    End,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

impl Writer {
    /// A writer for a log that was just opened.
    pub(super) fn new(
        receiver: mpsc::Receiver<Command>,
        ledger: Ledger,
        state: Arc<State>,
        config: &Config,
    ) -> Self {
        let flush_at = (ledger.held() > 0).then(Instant::now);
        Self {
            receiver,
            ledger,
            state,
            buffer: Duration::from_millis(config.buffer_ms),
            stop: config.on_failure == OnFailure::Stop,
            flush_at,
            waiting: Vec::new(),
        }
    }

    /// Works until the log is closed, every handle is gone, or (with `on_failure = "stop"`) a
    /// write fails. Blocks: only for a thread of its own.
    pub(super) fn run(mut self) {
        loop {
            let life = match self.next() {
                Step::Take(Command::Record(body, ack)) => self.append(&body, ack),
                Step::Take(Command::Close(ack)) => {
                    let closed = self.close();
                    // The file is given free first, so that whoever waits can open it again.
                    drop(self);
                    if closed {
                        answer(ack);
                    }
                    return;
                }
                Step::Flush => self.flush(),
                Step::End => {
                    self.close();
                    Life::Over
                }
            };
            if life == Life::Over {
                return;
            }
        }
    }

    /// The next command, or the time to write.
    fn next(&mut self) -> Step {
        loop {
            match self.receiver.try_recv() {
                Ok(command) => return Step::Take(command),
                Err(TryRecvError::Disconnected) => return Step::End,
                Err(TryRecvError::Empty) => {}
            }
            let Some(flush_at) = self.flush_at else {
                return self.receiver.blocking_recv().map_or(Step::End, Step::Take);
            };
            let left = flush_at.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.waiting.is_empty() {
                return Step::Flush;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }

    fn append(&mut self, body: &[u8], ack: Option<oneshot::Sender<()>>) -> Life {
        let failing = self.state.has_failed();
        if failing && self.ledger.held() >= HELD_BYTES_MAX {
            self.ledger.lose();
            ack.into_iter().for_each(answer);
            return Life::GoesOn;
        }
        if let Err(error) = self.ledger.append(body) {
            return self.fail(&error);
        }
        self.waiting.extend(ack);
        let now = Instant::now();
        let flush_at = *self.flush_at.get_or_insert(now + self.buffer);
        // Without a buffer time, lines are written when the queue is empty: see `next`.
        let late = !self.buffer.is_zero() && now >= flush_at;
        let full = !failing && self.ledger.held() >= BATCH_BYTES;
        if late || full {
            self.flush()
        } else {
            Life::GoesOn
        }
    }

    fn flush(&mut self) -> Life {
        if let Err(error) = self.ledger.flush() {
            return self.fail(&error);
        }
        self.flush_at = None;
        if self.state.recover() {
            tracing::warn!("the audit log is written again");
        }
        self.waiting.drain(..).for_each(answer);
        Life::GoesOn
    }

    /// With `on_failure = "stop"` nobody gets an answer, and the queue closes with the thread.
    fn fail(&mut self, error: &io::Error) -> Life {
        if self.state.fail(error.to_string()) {
            tracing::error!(%error, stops = self.stop, "the audit log cannot be written");
        }
        if self.stop {
            self.ledger.give_up();
            return Life::Over;
        }
        self.ledger.go_on();
        self.waiting.drain(..).for_each(answer);
        self.flush_at = Some(Instant::now() + RETRY_AFTER);
        Life::GoesOn
    }

    /// Writes the last checkpoint; false if that failed.
    fn close(&mut self) -> bool {
        if let Err(error) = self.ledger.close() {
            self.state.fail(error.to_string());
            tracing::error!(%error, "the end of the audit log cannot be written");
            self.ledger.give_up();
            return false;
        }
        self.waiting.drain(..).for_each(answer);
        true
    }
}

/// Whoever asked may have gone meanwhile; that is no failure of the log.
fn answer(ack: oneshot::Sender<()>) {
    let _gone = ack.send(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_keeps_the_cause() {
        let state = State::default();
        assert!(!state.has_failed());
        assert!(state.failure().to_string().contains("closed"));
        assert!(state.fail("no space".to_owned()));
        assert!(!state.fail("no space".to_owned()));
        assert!(state.has_failed());
        assert!(state.failure().to_string().contains("no space"));
        assert!(state.recover());
        assert!(!state.has_failed());
    }
}
