//! Durability: who syncs, and for whom.
//!
//! Group commit after the fashion of database logs: whoever finds no sync under way leads one, and it covers
//! all that was appended before it began; the others wait for it. There is no hop to another thread. The log
//! thread and a closing handle commit in the same way, so there is one path to `fdatasync`.

use super::db::Inner;
use crate::error::Result;
use crate::io::env::Env;
use crate::sync::{Condvar, Mutex, Ordering};

/// How far the log is durable, in bytes appended since open.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    durable: u64,
    leading: bool,
}

/// Ends the leader's turn, also when it unwinds.
struct Turn<'a>(&'a Commits);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().leading = false;
        self.0.changed.notify_all();
    }
}

impl Commits {
    pub(crate) fn durable(&self) -> u64 {
        self.state.lock().durable
    }
}

impl<E: Env> Inner<E> {
    /// Returns when the first `target` appended bytes are durable.
    pub(crate) fn commit(&self, target: u64) -> Result<()> {
        let commits = &self.commits;
        let mut state = commits.state.lock();
        loop {
            if state.durable >= target {
                return Ok(());
            }
            self.health.check()?;
            if !state.leading {
                break;
            }
            commits.changed.wait(&mut state);
        }
        state.leading = true;
        let already = state.durable;
        drop(state);
        let turn = Turn(commits);
        let durable = self.sync_log(already)?;
        let mut state = commits.state.lock();
        state.durable = state.durable.max(durable);
        drop(state);
        drop(turn);
        Ok(())
    }

    /// Syncs the segments that were left and then the active one, so that no sync covers a later position
    /// while an earlier one is not durable. A failure poisons: the page cache may show bytes that the device
    /// does not hold, and a second try would be told that all is well.
    ///
    /// `already` bytes are durable; answers how many are now. What the writer appends or leaves meanwhile is not
    /// among them.
    fn sync_log(&self, already: u64) -> Result<u64> {
        let (segments, end, appended) = {
            let writer = self.writer()?.lock();
            let unsynced = writer.retired.iter().filter(|left| left.end > already);
            let mut segments: Vec<_> = unsynced.map(|left| left.segment.clone()).collect();
            if writer.active_len() > 0 {
                segments.push(writer.active().clone());
            }
            (segments, writer.end(), writer.appended())
        };
        for segment in &segments {
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
            segment.sync().inspect_err(|err| self.health.poison(&err.to_string()))?;
        }
        if end.offset > 0 {
            self.writer()?.lock().set_watermark(end);
        }
        Ok(appended)
    }
}
