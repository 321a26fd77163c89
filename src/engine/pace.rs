//! Keeps background work to a number of bytes a second.

use super::bell::Bell;
use std::time::{Duration, Instant};

/// How many bytes are let through before the clock is looked at: at a low pace, those of a 16th of a second.
const LOOK_EVERY_BYTES: u64 = 1 << 20;
const LOOKS_PER_SECOND: u64 = 16;
const MIN_LOOK_EVERY_BYTES: u64 = 4 << 10;
const NS_PER_SECOND: u128 = 1_000_000_000;

/// See the file's head.
pub(super) struct Pace<'b> {
    /// 0 for no limit.
    bytes_per_second: u64,
    bell: &'b Bell,
    look_every_bytes: u64,
    begun: Instant,
    spent: u64,
    looked: u64,
}

impl<'b> Pace<'b> {
    pub(super) fn new(bytes_per_second: u64, bell: &'b Bell) -> Self {
        let look_every_bytes = match bytes_per_second {
            0 => LOOK_EVERY_BYTES,
            limit => (limit / LOOKS_PER_SECOND).clamp(MIN_LOOK_EVERY_BYTES, LOOK_EVERY_BYTES),
        };
        Pace { bytes_per_second, bell, look_every_bytes, begun: Instant::now(), spent: 0, looked: 0 }
    }

    /// Counts work that was done, waits if it was done too early, and answers whether to stop.
    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        self.spent += bytes;
        if self.spent - self.looked < self.look_every_bytes {
            return false;
        }
        self.looked = self.spent;
        if self.bytes_per_second == 0 {
            return self.bell.is_stopping();
        }
        let due_ns = u128::from(self.spent) * NS_PER_SECOND / u128::from(self.bytes_per_second);
        let due = Duration::from_nanos(u64::try_from(due_ns).unwrap_or(u64::MAX));
        match due.checked_sub(self.begun.elapsed()) {
            Some(early) => self.bell.pause(early),
            None => self.bell.is_stopping(),
        }
    }
}
