//! What is done behind the writer: syncing, sealing, preparing spares and memory.
//!
//! No put ever waits for any of it. The log thread does these jobs; in a world without threads the test steps them.

use super::manifest_file::{self, ReplaceError};
use super::segment_files::{create_segment, fresh_uid, take_number};
use super::shared::{FileOf, Inner, growing_map_len, may_map};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::io::env::{Dir, Env};
use crate::log;
use crate::segment::view::{Segment, SegmentId};
use crate::sync::{Arc, Ordering};

/// Unsynced bytes at which the log thread is woken.
pub(super) const SYNC_BEHIND_BYTES: u64 = 16 << 20;

impl<E: Env> Inner<E> {
    /// One round of the log thread's work. A failure is noted in the stats; it is tried again in the next
    /// round unless it poisoned the store.
    pub(crate) fn run_log_jobs(&self, sync_now: bool) -> Result<()> {
        if self.health.is_poisoned() {
            return Ok(());
        }
        let outcome = self.log_jobs(sync_now);
        self.health.note_log_jobs(&outcome);
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

    /// Seals all that the writer has left, for those who cannot wait until the log thread comes to it.
    pub(super) fn seal_left(&self) -> Result<()> {
        let left = self.writer()?.lock().retired.back().map(|left| left.end);
        let Some(end) = left else { return Ok(()) };
        self.commit(end)?;
        self.seal_and_prepare(false)
    }

    /// Seals what the writer left and has been synced (rule M3) and, if `prepare`, lists a new spare where there is
    /// none, in one manifest. What can be sealed is sealed also when no spare can be made.
    pub(crate) fn seal_and_prepare(&self, prepare: bool) -> Result<()> {
        let replacing = self.replacing.lock();
        let durable = self.commits.durable();
        let mut next = self.manifest.lock().clone();
        next.keys = self.keydir.len();
        let (sealed, needs_spare) = {
            let writer = self.writer()?.lock();
            let synced = writer.retired.iter().take_while(|left| left.end <= durable);
            let sealed: Vec<_> = synced
                .inspect(|left| next.applied_cursor.clone_from(&left.applied_cursor))
                .map(|left| (left.segment.clone(), left.sealed))
                .collect();
            next.last_version = writer.last_version();
            (sealed, prepare && writer.spare.is_none())
        };
        for (segment, sealed) in &sealed {
            for entry in next.segments.iter_mut().filter(|entry| entry.uid == segment.uid) {
                entry.state = SegmentState::Sealed(*sealed);
            }
            next.last_sealed = Some((segment.uid, sealed.len));
        }
        let spare = if needs_spare { self.create_spare(&mut next).map(Some) } else { Ok(None) };
        if sealed.is_empty() && !matches!(spare, Ok(Some(_))) {
            return spare.map(drop);
        }
        if let Err(failed) = self.replace_manifest(next) {
            if let Ok(Some(spare)) = &spare {
                self.view.remove(std::slice::from_ref(spare));
                if matches!(failed, ReplaceError::Unchanged(_)) {
                    drop(self.dir.remove(&spare.name));
                }
            }
            return Err(failed.into_error());
        }
        let mut writer = self.writer()?.lock();
        writer.retired.drain(..sealed.len());
        let made = spare.map(|spare| {
            if spare.is_some() {
                writer.spare = spare;
            }
        });
        drop((writer, replacing));
        for (segment, sealed) in &sealed {
            log::debug(format_args!("{}: sealed {} at {} bytes", self.path, segment.name, sealed.len));
        }
        self.counters.rotations.fetch_add(sealed.len() as u64, Ordering::Relaxed);
        if !sealed.is_empty() {
            self.merge_bell.ring();
        }
        made
    }

    /// Creates an empty segment file and enters it in `manifest`. Its name is durable before the manifest
    /// that lists it, so that a listed file which is missing is always damage.
    fn create_spare(&self, manifest: &mut Manifest) -> Result<Arc<Segment<FileOf<E>>>> {
        let number = self.take_number()?;
        let uid = fresh_uid(&self.env)?;
        let file = create_segment(&self.dir, number)?;
        if let Err(err) = self.dir.sync() {
            let _ = self.dir.remove(&names::segment(number));
            return Err(Error::io("sync", &self.path, err));
        }
        let made = self.view.add(None, |slot| {
            let mapped = self.mapped && may_map(slot);
            let map_len = mapped.then(|| growing_map_len(self.options.max_segment_bytes));
            Ok(Arc::new(Segment::new(SegmentId { number, uid, slot }, file, 0, map_len)))
        });
        let segment = made.inspect_err(|_| drop(self.dir.remove(&names::segment(number))))?;
        let state = SegmentState::Unsealed { durable: 0 };
        manifest.segments.push(SegmentEntry { number, uid, run: None, state });
        Ok(segment)
    }

    /// Uses up the next file number, whatever becomes of the file.
    pub(super) fn take_number(&self) -> Result<u64> {
        take_number(&mut self.manifest.lock())
    }

    /// Puts `next` in the manifest's place, durably. The caller holds `replacing` since before `next` was copied from it.
    pub(super) fn replace_manifest(&self, mut next: Manifest) -> std::result::Result<(), ReplaceError> {
        next.next_number = self.manifest.lock().next_number;
        manifest_file::replace(&self.dir, &next).inspect_err(|failed| match failed {
            ReplaceError::Unknown(err) => self.health.poison(&err.to_string()),
            ReplaceError::Unchanged(_) => {}
        })?;
        let mut manifest = self.manifest.lock();
        // Numbers may have been used up meanwhile.
        next.next_number = manifest.next_number;
        *manifest = next;
        Ok(())
    }
}
