//! An open handle: its start, its end, and what it can tell.

use super::background::{self, Duty};
use super::bell::Bell;
use super::manifest_file::{self, ReplaceError};
use super::refresh::refresh;
use super::shared::Inner;
use crate::error::{Error, Result};
use crate::format::manifest::CleanClose;
use crate::format::names::CHECKPOINT;
use crate::io::env::{Dir, Env, Thread};
use crate::log;
use crate::options::{MergeMode, MergePolicy, SyncMode};
use crate::stats::Stats;
use crate::sync::{Arc, Ordering};
use std::time::Duration;

/// How soon a merge begins when the hours for it have come.
const LOOK_AT_WINDOW_EVERY: Duration = Duration::from_secs(60);

/// An open store. All methods may be called from many threads at once.
///
/// Dropping the handle closes it as [`Db::close`] does, without telling of errors.
pub struct Db<E: Env> {
    inner: Arc<Inner<E>>,
    threads: Vec<(Box<dyn Thread>, Arc<Bell>)>,
    open: bool,
}

/// A store on the real machine.
pub type Store = Db<crate::io::disk::Disk>;

impl<E: Env> Db<E> {
    pub(super) fn start(inner: Arc<Inner<E>>) -> Result<Self> {
        let interval = match inner.options.sync {
            SyncMode::IntervalMs(ms) => Some(Duration::from_millis(ms)),
            SyncMode::None | SyncMode::Always => None,
        };
        let mut db = Db { threads: Vec::new(), open: true, inner };
        if db.inner.writer.is_some() {
            let job = |inner: &Inner<E>, due| inner.run_log_jobs(due);
            db.spawn("bitcask-log", db.inner.bell.clone(), Duty { name: "log thread", interval, job })?;
            let job = |inner: &Inner<E>, _| inner.run_merge_jobs();
            let interval = db.inner.options.merge_policy.window.map(|_| LOOK_AT_WINDOW_EVERY);
            let duty = Duty { name: "merge thread", interval, job };
            db.spawn("bitcask-merge", db.inner.merge_bell.clone(), duty)?;
            // There may be hints to make, or dead bytes from before.
            db.inner.merge_bell.ring();
        }
        Ok(db)
    }

    fn spawn(&mut self, name: &str, bell: Arc<Bell>, duty: Duty<E>) -> Result<()> {
        let (its_bell, store) = (bell.clone(), Arc::downgrade(&self.inner));
        let work = Box::new(move || background::run(&its_bell, &store, &duty));
        let thread = self.inner.env.spawn(name, work);
        let thread = thread.map_err(|err| Error::io("start a thread for", &self.inner.path, err))?;
        self.threads.extend(thread.map(|thread| (thread, bell)));
        Ok(())
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Inner<E> {
        &self.inner
    }

    /// What the clock reads.
    pub(crate) fn now_ns(&self) -> u64 {
        self.inner.env.now_ns()
    }

    /// For what outlives the handle.
    pub(super) fn inner_arc(&self) -> &Arc<Inner<E>> {
        &self.inner
    }

    /// Returns when everything written so far is durable.
    ///
    /// # Errors
    /// `Io` when the device failed, after which the store is poisoned; `Poisoned`, `ReadOnly`, `Forked`.
    pub fn sync(&self) -> Result<()> {
        self.inner.check_writable()?;
        let appended = self.inner.writer()?.lock().appended();
        self.inner.commit(appended)
    }

    /// Refuses all writes from now on.
    pub fn poison(&self, reason: &str) {
        self.inner.poison(reason);
    }

    /// Does one round of the log thread's work, in a world without threads.
    ///
    /// # Errors
    /// What the work met; it is also in the stats.
    pub fn step_log_thread(&self) -> Result<()> {
        self.inner.run_log_jobs(false)
    }

    /// Does one round of the merge thread's work, in a world without threads.
    ///
    /// # Errors
    /// What the work met; it is also in the stats.
    pub fn step_merge_thread(&self) -> Result<()> {
        self.inner.run_merge_jobs()
    }

    /// Merges until the policy finds nothing more that is worth it, and answers how many merges there were. Seals
    /// the segments that the writer has left and makes the hints that are missing first. A degraded store is not merged.
    ///
    /// # Errors
    /// `Invalid` when the store was opened with `merge` off;
    /// `Io`, `NoSpace`, `NoMemory`: everything is as it was before the merge that failed; `Corrupt` when a segment turned
    /// out damaged, likewise; `Poisoned`, `ReadOnly`, `Forked`.
    pub fn merge(&self, policy: &MergePolicy) -> Result<u64> {
        self.inner.check_writable()?;
        if self.inner.options.merge == MergeMode::Off {
            return Err(Error::Invalid("the store was opened with merge \"off\"".to_string()));
        }
        // A segment that cannot be sealed, or have its hint made, keeps no other from being merged.
        let sealed = self.inner.seal_left();
        let hints = self.inner.write_hints();
        let merges = self.inner.merge_until_done(policy);
        let merges = merges.inspect_err(|_| self.inner.health.tell_poisoned())?;
        sealed.and(hints).map(|()| merges)
    }

    /// Brings in all that was acknowledged before the call, on a read-only handle; another one sees it anyway. Costs what
    /// was written since the last time, and a look at each key when segments were merged away. Reads go on meanwhile: each
    /// key goes from what it was to what it is at once.
    ///
    /// # Errors
    /// `Corrupt` when what is new is damaged or the store was opened degraded; `Io`, also when another store has taken the
    /// place of this one; `NoMemory`; `Forked`. The handle goes on with what it had and some of what is new, never with
    /// an older value than before, and the next call goes on from there.
    pub fn refresh(&self) -> Result<()> {
        refresh(&self.inner)
    }

    /// Stops the threads, makes everything durable, marks the close as clean and releases the directory.
    /// Everything is released even when it answers an error. In a forked child nothing but memory is.
    ///
    /// # Errors
    /// `Io`, `NoSpace`: the last writes may not be durable, the next open recovers; `Poisoned`; `Forked`.
    pub fn close(mut self) -> Result<()> {
        self.shut()
    }

    /// A picture of the store.
    ///
    /// # Errors
    /// `Forked`.
    pub fn stats(&self) -> Result<Stats> {
        self.inner.check_process()?;
        Ok(self.inner.stats())
    }

    fn shut(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.inner.closed.store(true, Ordering::Release);
        if let Err(err) = self.inner.check_process() {
            self.threads.drain(..).for_each(|(thread, _)| thread.forget());
            return Err(err);
        }
        self.inner.feeds.wake();
        self.threads.iter().for_each(|(_, bell)| bell.stop());
        self.threads.drain(..).for_each(|(thread, _)| thread.join());
        let closed = if self.inner.writer.is_some() { self.inner.close_cleanly() } else { Ok(()) };
        let unlocked = self.inner.dir.unlock().map_err(|err| Error::io("unlock", &self.inner.path, err));
        self.inner.health.tell_poisoned();
        match closed.and(unlocked) {
            Ok(()) => log::info(format_args!("{}: closed", self.inner.path)),
            Err(err) => {
                log::warn(format_args!("{}: closed, and the next open recovers: {err}", self.inner.path));
                return Err(err);
            }
        }
        Ok(())
    }
}

impl<E: Env> Drop for Db<E> {
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

impl<E: Env> Inner<E> {
    fn close_cleanly(&self) -> Result<()> {
        self.health.check()?;
        let appended = self.writer()?.lock().appended();
        self.commit(appended)?;
        self.seal_and_prepare(false)?;
        let mut last = self.manifest.lock().clone();
        let writer = self.writer()?.lock();
        last.last_version = writer.last_version();
        last.applied_cursor.clone_from(writer.applied_cursor());
        let close = CleanClose {
            active: writer.active().number,
            len: writer.active_len(),
            last_version: writer.last_version(),
        };
        let active = writer.tally();
        drop(writer);
        last.clean_close = Some(close);
        last.keys = self.keydir.len();
        self.write_checkpoint(&last, close, active);
        let replace = || manifest_file::replace(&self.dir, &last);
        let replaced = replace().or_else(|failed| match failed {
            // The checkpoint may have taken the last room, and matters less.
            ReplaceError::Unchanged(Error::NoSpace { .. }) if self.dir.remove(CHECKPOINT).is_ok() => {
                replace()
            }
            failed => Err(failed),
        });
        replaced.map_err(|failed| failed.into_error())
    }

    fn stats(&self) -> Stats {
        let view = self.view.load();
        let mut stats = Stats {
            keys: self.keydir.len(),
            keydir_bytes: self.keydir.memory_bytes(),
            compressed_raw_bytes: self.counters.compressed_raw_bytes.load(Ordering::Relaxed),
            compressed_bytes: self.counters.compressed_bytes.load(Ordering::Relaxed),
            dictionary_bytes: self.dictionaries.memory_bytes(),
            syncs: self.counters.syncs.load(Ordering::Relaxed),
            rotations: self.counters.rotations.load(Ordering::Relaxed),
            merges: self.counters.merges.load(Ordering::Relaxed),
            merge_raw_bytes: self.counters.merge_raw_bytes.load(Ordering::Relaxed),
            merge_compressed_bytes: self.counters.merge_compressed_bytes.load(Ordering::Relaxed),
            merge_written_bytes: self.counters.merge_written_bytes.load(Ordering::Relaxed),
            merge_input_bytes: self.counters.merge_input_bytes.load(Ordering::Relaxed),
            merge_done_bytes: self.counters.merge_done_bytes.load(Ordering::Relaxed),
            corrupt_records: self.counters.corrupt_records.load(Ordering::Relaxed),
            damaged_hints: self.counters.damaged_hints.load(Ordering::Relaxed),
            feeds: self.feeds.count() as u64,
            background_errors: self.health.background_errors(),
            recovered_bytes_discarded: self.counters.recovered_bytes_discarded.load(Ordering::Relaxed),
            recovered_records: self.counters.recovered_records.load(Ordering::Relaxed),
            degraded: self.degraded.get().map(|degraded| degraded.reason.clone()),
            opened_from_checkpoint: u64::from(self.origin.get().is_some()),
            poisoned: self.health.poison_reason(),
            last_background_error: self.health.last_background_error(),
            ..Stats::default()
        };
        for segment in view.segments() {
            let (len, live) = (segment.readable_len() + segment.surplus_bytes, segment.live_bytes());
            stats.segments += 1;
            stats.disk_bytes += len;
            stats.live_bytes += live;
            stats.dead_bytes += len.saturating_sub(live);
        }
        let manifest = self.manifest.lock();
        stats.generation = manifest.generation;
        stats.database_id = manifest.database.to_string();
        stats.history_id = manifest.history.to_string();
        stats.last_version = manifest.last_version;
        drop(manifest);
        if let Ok(writer) = self.writer() {
            let writer = writer.lock();
            stats.last_version = writer.last_version();
            stats.bytes_written = writer.appended();
            stats.records_written = writer.records();
            stats.unsynced_bytes = writer.appended().saturating_sub(self.commits.durable());
        }
        stats
    }
}
