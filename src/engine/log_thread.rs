//! The log thread: it follows the writer, so that no put ever waits for the disk.
//!
//! It syncs behind the writer, seals the segments the writer left, keeps a spare prepared and listed, and gets
//! memory ready for the keydir. Without threads (under simulation) the same jobs are stepped by hand.

use super::db::Inner;
use super::db::{FileOf, growing_map_len, may_map};
use super::manifest_file::{self, ReplaceError};
use super::open::{create_segment, fresh_uid, take_number, too_many_segments};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::io::env::{Dir, Env};
use crate::options::SyncMode;
use crate::segment::view::{Segment, SegmentId};
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// Unsynced bytes at which the log thread is woken.
pub(crate) const SYNC_BEHIND_BYTES: u64 = 16 << 20;

/// How soon failed work is tried again, at first and at most.
const RETRY_AFTER: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// How the log thread is told what to do.
#[derive(Default)]
pub(crate) struct Bell {
    /// Lets a writer see without a lock that it need not ring again.
    ringing: AtomicBool,
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    work: bool,
    stop: bool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::AcqRel) {
            self.state.lock().work = true;
            self.rung.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_one();
    }

    /// Waits for the bell, or for `limit`; `None` means stop, otherwise whether the bell was rung.
    fn wait(&self, limit: Option<Duration>) -> Option<bool> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if std::mem::take(&mut state.work) {
                self.ringing.store(false, Ordering::Release);
                return Some(true);
            }
            match until {
                None => self.rung.wait(&mut state),
                Some(until) => {
                    if self.rung.wait_until(&mut state, until).timed_out() && !state.work && !state.stop {
                        return Some(false);
                    }
                }
            }
        }
    }
}

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

impl<E: Env> Inner<E> {
    /// One round of the log thread's work. A failure is noted in the stats; it is tried again in the next
    /// round unless it poisoned the store.
    pub(crate) fn run_log_jobs(&self, sync_now: bool) -> Result<()> {
        if self.health.is_poisoned() {
            return Ok(());
        }
        let outcome = self.log_jobs(sync_now);
        self.health.note_background(&outcome);
        outcome
    }

    fn log_jobs(&self, sync_now: bool) -> Result<()> {
        while self.keydir.prepare() {}
        let (appended, left, needs_spare) = {
            let writer = self.writer()?.lock();
            (writer.appended(), !writer.retired.is_empty(), writer.spare.is_none())
        };
        let unsynced = appended.saturating_sub(self.commits.durable());
        if sync_now || left || unsynced >= SYNC_BEHIND_BYTES {
            self.commit(appended)?;
        }
        if left || needs_spare {
            self.seal_and_prepare(true)?;
        }
        Ok(())
    }

    /// Seals what the writer left and has been synced (rule M3) and, if `prepare`, lists a new spare where there is
    /// none, in one manifest. What can be sealed is sealed also when no spare can be made.
    pub(crate) fn seal_and_prepare(&self, prepare: bool) -> Result<()> {
        let _replacing = self.replacing.lock();
        let durable = self.commits.durable();
        let mut next = self.manifest.lock().clone();
        let (sealed, needs_spare) = {
            let writer = self.writer()?.lock();
            let synced = writer.retired.iter().take_while(|left| left.end <= durable);
            let sealed: Vec<_> = synced.map(|left| (left.segment.uid, left.sealed)).collect();
            next.last_version = writer.last_version();
            (sealed, prepare && writer.spare.is_none())
        };
        for &(uid, sealed) in &sealed {
            for entry in next.segments.iter_mut().filter(|entry| entry.uid == uid) {
                entry.state = SegmentState::Sealed(sealed);
            }
        }
        let spare = if needs_spare { self.create_spare(&mut next).map(Some) } else { Ok(None) };
        // A number is used up whatever becomes of the file.
        self.manifest.lock().next_number = next.next_number;
        if sealed.is_empty() && !matches!(spare, Ok(Some(_))) {
            return spare.map(drop);
        }
        if let Err(failed) = manifest_file::replace(&self.dir, &next) {
            match (&failed, &spare) {
                (ReplaceError::Unknown(err), _) => self.health.poison(&err.to_string()),
                (ReplaceError::Unchanged(_), Ok(Some(spare))) => drop(self.dir.remove(&spare.name)),
                (ReplaceError::Unchanged(_), _) => {}
            }
            return Err(failed.into_error());
        }
        *self.manifest.lock() = next;
        if let Ok(Some(spare)) = &spare {
            self.view.store(Arc::new(self.view.load().with(spare.clone())));
        }
        let mut writer = self.writer()?.lock();
        writer.retired.drain(..sealed.len());
        let made = spare.map(|spare| {
            if spare.is_some() {
                writer.spare = spare;
            }
        });
        drop(writer);
        self.counters.rotations.fetch_add(sealed.len() as u64, Ordering::Relaxed);
        made
    }

    /// Creates an empty segment file and enters it in `manifest`. Its name is durable before the manifest
    /// that lists it, so that a listed file which is missing is always damage.
    fn create_spare(&self, manifest: &mut Manifest) -> Result<Arc<Segment<FileOf<E>>>> {
        let number = take_number(manifest)?;
        let uid = fresh_uid(&self.env)?;
        let view = self.view.load();
        let slot = view.free_slot().ok_or_else(too_many_segments)?;
        let rank = view.segments().map(|segment| segment.rank).max().map_or(0, |rank| rank + 1);
        let file = create_segment(&self.dir, number)?;
        if let Err(err) = self.dir.sync() {
            let _ = self.dir.remove(&names::segment(number));
            return Err(Error::io("sync", &self.path, err));
        }
        let map_len = (self.mapped && may_map(slot)).then(|| growing_map_len(self.options.max_segment_bytes));
        let segment = Segment::new(SegmentId { number, uid, slot, rank }, file, 0, map_len);
        manifest.segments.push(SegmentEntry {
            number,
            uid,
            run: None,
            state: SegmentState::Unsealed { durable: 0 },
        });
        Ok(Arc::new(segment))
    }
}
