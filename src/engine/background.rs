//! The background threads of a writer's handle: the log thread, which follows the writer so that no put ever waits
//! for the disk, and the merge thread, so that neither hints nor merges delay a sync.

use super::bell::Bell;
use super::shared::Inner;
use crate::error::{Error, Result};
use crate::io::env::Env;
use crate::log::{self, Level};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How soon failed work is tried again, at first and at most.
const RETRY_AFTER: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// What a thread does.
pub(crate) struct Duty<E: Env> {
    /// As it is told of when the thread panics.
    pub(crate) name: &'static str,
    /// How often the job is due without a ring of the bell.
    pub(crate) interval: Option<Duration>,
    /// One round of work; `true` when it is due by the interval.
    pub(crate) job: fn(&Inner<E>, bool) -> Result<()>,
}

/// A thread's whole life. It holds the store only while it works, so that a forked child, in which it does not
/// exist, can free the store's memory.
pub(crate) fn run<E: Env>(bell: &Bell, store: &Weak<Inner<E>>, duty: &Duty<E>) {
    let mut next_due = duty.interval.map(|interval| Instant::now() + interval);
    let mut retry: Option<Duration> = None;
    let mut told = HashSet::new();
    loop {
        let until_due = next_due.map(|at| at.saturating_duration_since(Instant::now()));
        let limits = [until_due, retry];
        if bell.wait(limits.into_iter().flatten().min()).is_none() {
            return;
        }
        let Some(store) = store.upgrade() else {
            return;
        };
        let due = next_due.is_some_and(|at| at <= Instant::now());
        if due {
            next_due = duty.interval.map(|interval| Instant::now() + interval);
        }
        let work = AssertUnwindSafe(|| (duty.job)(&store, due));
        let poison = |_: &_| store.health.poison(&format!("the {} panicked", duty.name));
        let outcome = catch_unwind(work).inspect_err(poison);
        store.health.tell_poisoned();
        retry = match outcome {
            Ok(Ok(())) => {
                told.clear();
                None
            }
            Ok(Err(err)) => {
                tell_failure(&store, duty.name, &err, &mut told);
                Some(retry.map_or(RETRY_AFTER, |last| (2 * last).min(RETRY_AFTER_MAX)))
            }
            Err(_) => return,
        };
    }
}

/// Tells the log of failed work, once until it succeeds. What poisoned the store was told of as such.
fn tell_failure<E: Env>(store: &Inner<E>, name: &str, err: &Error, told: &mut HashSet<String>) {
    if store.health.is_poisoned() || !log::wants(Level::Error) {
        return;
    }
    // Each try may take a new file number.
    let text = err.to_string();
    if told.insert(text.chars().filter(|c| !c.is_ascii_digit()).collect()) {
        log::error(format_args!("{}: the {name} failed and tries again: {text}", store.path));
    }
}
