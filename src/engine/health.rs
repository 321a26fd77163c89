//! Whether the store may still write, and what went wrong behind the caller's back.

use crate::error::{Error, Result};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// The state of an open handle after failures.
#[derive(Default)]
pub(crate) struct Health {
    poisoned: AtomicBool,
    reason: Mutex<Option<String>>,
    background_failing: AtomicBool,
    background_errors: AtomicU64,
    last_background: Mutex<Option<String>>,
}

impl Health {
    /// Stops all writes for good: what the device holds is no longer known.
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

    pub(crate) fn poison_reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Notes how a round of background work ended.
    pub(crate) fn note_background(&self, outcome: &Result<()>) {
        self.background_failing.store(outcome.is_err(), Ordering::Release);
        if let Err(err) = outcome {
            self.background_errors.fetch_add(1, Ordering::Relaxed);
            *self.last_background.lock() = Some(err.to_string());
        }
    }

    /// Whether the last round of background work failed.
    pub(crate) fn background_failing(&self) -> bool {
        self.background_failing.load(Ordering::Acquire)
    }

    pub(crate) fn background_errors(&self) -> u64 {
        self.background_errors.load(Ordering::Relaxed)
    }

    pub(crate) fn last_background_error(&self) -> Option<String> {
        self.last_background.lock().clone()
    }
}
