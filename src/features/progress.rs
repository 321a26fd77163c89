//! Long work tells the log how far it is.

use crate::log;
use std::fmt;
use std::time::{Duration, Instant};

/// How often.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// When the log was told last.
pub(super) struct Progress(Instant);

impl Progress {
    /// That of work which begins now.
    pub(super) fn new() -> Self {
        Progress(Instant::now())
    }

    /// Tells the log, unless that was a moment ago.
    pub(super) fn tell(&mut self, how_far: fmt::Arguments<'_>) {
        if self.0.elapsed() >= TELL_EVERY {
            self.0 = Instant::now();
            log::info(how_far);
        }
    }
}
