//! Whether the store may still write, and what went wrong behind the caller's back.

use crate::error::{Error, Result};
use crate::log::{self, Level};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use std::collections::HashSet;
use std::io;

/// The state of an open handle after failures.
#[derive(Default)]
pub(crate) struct Health {
    /// The store's, for the log.
    path: String,
    poisoned: AtomicBool,
    /// Whether the log was told.
    poisoned_told: AtomicBool,
    reason: Mutex<Option<String>>,
    log_failing: AtomicBool,
    background_errors: AtomicU64,
    last_background: Mutex<Option<BackgroundError>>,
    /// Files of whose damage the log was told.
    damaged: Mutex<HashSet<String>>,
}

/// What is kept of an error, which cannot be told twice.
struct BackgroundError {
    text: String,
    os_errno: i32,
}

impl Health {
    /// The health of the store at `path`.
    pub(crate) fn of(path: &str) -> Self {
        Health { path: path.to_string(), ..Health::default() }
    }

    /// Stops all writes for good: what the device holds is no longer known. May be called under any lock; whoever holds
    /// none calls [`Health::tell_poisoned`] after it.
    pub(crate) fn poison(&self, reason: &str) {
        let mut held = self.reason.lock();
        held.get_or_insert_with(|| reason.to_string());
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// An error when the store is poisoned.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_poisoned() {
            return Ok(());
        }
        Err(Error::Poisoned { reason: self.reason.lock().clone().unwrap_or_default() })
    }

    /// Tells the log that the store is poisoned, once. Called without a lock, since it may run the program's code.
    pub(crate) fn tell_poisoned(&self) {
        if self.is_poisoned()
            && log::wants(Level::Error)
            && !self.poisoned_told.swap(true, Ordering::Relaxed)
            && let Err(err) = self.check()
        {
            log::error(format_args!("{}: {err}", self.path));
        }
    }

    /// Tells the log of damage, once a file. Called without a lock.
    pub(crate) fn tell_damage(&self, err: &Error) {
        if let Error::Corrupt { file, .. } = err
            && log::wants(Level::Warn)
            && self.damaged.lock().insert(file.clone())
        {
            log::warn(format_args!("{}: {err}", self.path));
        }
    }

    pub(crate) fn poison_reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Notes how a round of the log thread's work ended, which writes may come to depend on.
    pub(crate) fn note_log_jobs(&self, outcome: &Result<()>) {
        if let Err(err) = outcome {
            self.note_background_error(err);
        }
        // Last, so that whoever sees the flag finds the error.
        self.log_failing.store(outcome.is_err(), Ordering::Release);
    }

    /// Notes a failure of background work.
    pub(crate) fn note_background_error(&self, err: &Error) {
        self.background_errors.fetch_add(1, Ordering::Relaxed);
        let kept = BackgroundError { text: err.to_string(), os_errno: err.os_errno() };
        *self.last_background.lock() = Some(kept);
    }

    /// Why the last round of the log thread's work failed, if it did; a system error keeps its number.
    pub(crate) fn log_failure(&self) -> Option<io::Error> {
        if !self.log_failing.load(Ordering::Acquire) {
            return None;
        }
        let last = self.last_background.lock();
        last.as_ref().map(|err| match err.os_errno {
            0 => io::Error::other(err.text.clone()),
            errno => io::Error::from_raw_os_error(errno),
        })
    }

    pub(crate) fn background_errors(&self) -> u64 {
        self.background_errors.load(Ordering::Relaxed)
    }

    pub(crate) fn last_background_error(&self) -> Option<String> {
        self.last_background.lock().as_ref().map(|err| err.text.clone())
    }
}
