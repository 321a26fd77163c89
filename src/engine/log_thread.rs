//! The log thread: it follows the writer, so that no put ever waits for the disk.

use super::bell::Bell;
use super::shared::Inner;
use crate::io::env::Env;
use crate::options::SyncMode;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How soon failed work is tried again, at first and at most.
const RETRY_AFTER: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// The thread's whole life. It holds the store only while it works, so that a forked child, in which it does
/// not exist, can free the store's memory.
pub(crate) fn run<E: Env>(bell: &Bell, store: &Weak<Inner<E>>, sync: SyncMode) {
    let interval = match sync {
        SyncMode::IntervalMs(ms) => Some(Duration::from_millis(ms)),
        SyncMode::None | SyncMode::Always => None,
    };
    let mut next_sync = interval.map(|interval| Instant::now() + interval);
    let mut retry: Option<Duration> = None;
    loop {
        let until_sync = next_sync.map(|at| at.saturating_duration_since(Instant::now()));
        let limits = [until_sync, retry];
        if bell.wait(limits.into_iter().flatten().min()).is_none() {
            return;
        }
        let Some(store) = store.upgrade() else {
            return;
        };
        let due = next_sync.is_some_and(|at| at <= Instant::now());
        if due {
            next_sync = interval.map(|interval| Instant::now() + interval);
        }
        let work = AssertUnwindSafe(|| store.run_log_jobs(due));
        retry = match catch_unwind(work) {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(retry.map_or(RETRY_AFTER, |last| (2 * last).min(RETRY_AFTER_MAX))),
            Err(_) => {
                store.health.poison("the log thread panicked");
                return;
            }
        };
    }
}
