//! The one path to `fdatasync`: for callers, the log thread and a closing handle alike.

use super::shared::Inner;
use crate::error::Result;
use crate::io::env::Env;
use crate::sync::Ordering;

impl<E: Env> Inner<E> {
    /// Returns when the first `target` appended bytes are durable. Called without a lock, since a failure is told to
    /// the log.
    pub(super) fn commit(&self, target: u64) -> Result<()> {
        self.commit_untold(target).inspect_err(|_| self.health.tell_poisoned())
    }

    /// The same for whoever holds a lock, and tells of a failure without it.
    pub(super) fn commit_untold(&self, target: u64) -> Result<()> {
        self.commits.reach(target, || self.health.check(), |already| self.sync_log(already))
    }

    /// Syncs the segments that were left and then the active one, so that no sync covers a later position while an
    /// earlier one is not durable. `already` bytes are durable; answers how many are now. What the writer appends
    /// or leaves meanwhile is not among them.
    ///
    /// A failure poisons: the page cache may show bytes that the device does not hold, and a second try would be
    /// told that all is well.
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
