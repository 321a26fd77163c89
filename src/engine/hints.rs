//! Writes the hints that are missing, behind the writer's back.
//!
//! A hint is made of a sealed segment every record of which verifies. It is not synced: a power cut may take a part of
//! it, and then its checksums say so and it is made anew.

use super::listed::RECORDS_AT;
use super::shared::{FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::manifest::{Sealed, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::record::Flags;
use crate::io::env::{Dir, Env};
use crate::log;
use crate::options::MergeMode;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::{HintBuilder, HintId};
use crate::segment::scanner::{Scanner, Step};
use crate::segment::view::{HintState, Segment};
use crate::sync::{Arc, Ordering};
use std::collections::{HashMap, HashSet};
use std::io;

/// How often the scan of a segment asks whether to go on.
const ASK_EVERY_BYTES: u64 = 4 << 20;

/// What became of a hint that was missing.
enum Made {
    Written,
    /// There can be none.
    Impossible,
    /// The store is closing.
    Stopped,
}

impl<E: Env> Inner<E> {
    /// One round of the merge thread's work. A failure is noted in the stats, and it is tried again.
    pub(crate) fn run_merge_jobs(&self) -> Result<()> {
        if self.health.is_poisoned() {
            return Ok(());
        }
        let brought_in = self.bring_in_index().inspect_err(|err| self.health.note_background_error(err));
        self.tell_of_bad_checkpoint();
        brought_in?;
        // A segment that no hint can be made of must not keep the others from giving back their space.
        let hints = self.write_hints().inspect_err(|err| self.health.note_background_error(err));
        let policy = &self.options.merge_policy;
        let may_begin = self.options.merge == MergeMode::Auto && policy.may_begin_at(self.env.now_ns());
        if may_begin && let Err(err) = self.merge_until_done(policy) {
            // Tried again when the next segment is sealed: until then it would only be the same work in vain.
            self.health.note_background_error(&err);
            if !self.health.is_poisoned() {
                log::warn(format_args!("{}: a merge failed and left everything as it was: {err}", self.path));
            }
        }
        hints
    }

    /// Brings in what a checkpoint holds of the index, until the store is closing.
    pub(super) fn bring_in_index(&self) -> Result<()> {
        while self.keydir.is_partial() && self.keydir.prepare() && !self.merge_bell.is_stopping() {}
        while !self.merge_bell.is_stopping() && self.keydir.bring_in_next()? {}
        Ok(())
    }

    /// Makes the hints that are missing, until the store is closing. One that cannot be made keeps no other from it, and
    /// the first failure is answered in the end.
    pub(super) fn write_hints(&self) -> Result<()> {
        self.look_at_hints_of_checkpoint();
        let (mut outcome, mut failed) = (Ok(()), HashSet::new());
        loop {
            // For each segment anew: merges may take their turn in between, and the log is told without a lock.
            let merging = self.merging.lock();
            let mut missing = self.without_hint().into_iter();
            let Some((segment, sealed)) = missing.find(|(segment, _)| !failed.contains(&segment.uid)) else {
                return outcome;
            };
            let made = self.make_hint(&segment, &sealed);
            drop(merging);
            match made {
                Ok(Made::Written) => {
                    segment.forget_runs();
                    log::debug(format_args!("{}: wrote {}", self.path, names::hint(segment.number)));
                }
                Ok(Made::Impossible) => {}
                Ok(Made::Stopped) => return Ok(()),
                Err(err) => {
                    failed.insert(segment.uid);
                    outcome = outcome.and(Err(err));
                }
            }
        }
    }

    fn make_hint(&self, segment: &Segment<FileOf<E>>, sealed: &Sealed) -> Result<Made> {
        let builder = match self.gather(segment, sealed)? {
            None => return Ok(Made::Stopped),
            Some(Gathered::Damaged) => {
                segment.set_hint_state(HintState::Impossible);
                return Ok(Made::Impossible);
            }
            Some(Gathered::Whole(builder)) => builder,
        };
        if !self.write_hint(segment, sealed, builder)? {
            return Ok(Made::Stopped);
        }
        segment.set_hint_state(HintState::Whole);
        Ok(Made::Written)
    }

    /// The hint of a sealed segment, if there is one that is the segment's and whole as far as opening it tells.
    pub(super) fn hint_of(
        &self,
        segment: &Segment<FileOf<E>>,
        entry: &SegmentEntry,
    ) -> Result<Option<Hint<FileOf<E>>>> {
        let name = names::hint(segment.number);
        let id = HintId { database: self.database, uid: segment.uid, segment_len: entry.kept_len() };
        match self.dir.open(&name, false) {
            Ok(file) => Hint::open(file, name, id),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(Error::io("open", name, err)),
        }
    }

    /// A checkpoint tells of the hints that there were at the close: those that are gone or cut are to be made again.
    fn look_at_hints_of_checkpoint(&self) {
        let Some(origin) = self.origin.get() else { return };
        if origin.hints_seen.swap(true, Ordering::Relaxed) {
            return;
        }
        let stated = self.sealed_segments().into_iter();
        for (segment, entry) in stated.filter(|(segment, _)| segment.hint_state() == HintState::Whole) {
            if matches!(self.hint_of(&segment, &entry), Ok(None)) {
                segment.set_hint_state(HintState::Missing);
            }
        }
    }

    /// The sealed segments whose hint is missing, oldest first.
    fn without_hint(&self) -> Vec<(Arc<Segment<FileOf<E>>>, Sealed)> {
        let missing = self.sealed_segments().into_iter();
        let missing = missing.filter(|(segment, _)| segment.hint_state() == HintState::Missing);
        missing
            .filter_map(|(segment, entry)| match entry.state {
                SegmentState::Sealed(sealed) => Some((segment, sealed)),
                SegmentState::Unsealed { .. } => None,
            })
            .collect()
    }

    /// The sealed segments in the manifest's order.
    pub(super) fn sealed_segments(&self) -> Vec<(Arc<Segment<FileOf<E>>>, SegmentEntry)> {
        let view = self.view.load();
        let by_uid: HashMap<_, _> = view.segments().map(|segment| (segment.uid, segment)).collect();
        let manifest = self.manifest.lock();
        let sealed = manifest.segments.iter().filter(|entry| matches!(entry.state, SegmentState::Sealed(_)));
        sealed.filter_map(|&entry| Some((Arc::clone(by_uid.get(&entry.uid)?), entry))).collect()
    }

    /// All records of a segment; `None` when the store is closing.
    fn gather(&self, segment: &Segment<FileOf<E>>, sealed: &Sealed) -> Result<Option<Gathered>> {
        let mut builder = HintBuilder::default();
        let mut scanner = Scanner::new(&segment.file, &segment.name, segment.uid, RECORDS_AT, sealed.len)
            .over_large_values();
        let (mut records, mut tombstones, mut asked) = (0, 0, RECORDS_AT);
        loop {
            match scanner.step()? {
                Step::Record(record) if record.header.flags.has(Flags::INTERNAL) => {}
                Step::Record(record) => {
                    builder.add(&record.header, record.key, record.offset)?;
                    records += 1;
                    tombstones += u64::from(record.header.flags.has(Flags::TOMBSTONE));
                }
                Step::Bad { .. } => return Ok(Some(Gathered::Damaged)),
                Step::End => break,
            }
            if scanner.position() - asked >= ASK_EVERY_BYTES {
                asked = scanner.position();
                if self.merge_bell.is_stopping() {
                    return Ok(None);
                }
            }
        }
        // Counts other than the manifest's are those of a hint that no open would accept.
        let agrees = (records, tombstones) == (sealed.records, sealed.tombstones);
        Ok(Some(if agrees { Gathered::Whole(builder) } else { Gathered::Damaged }))
    }

    /// Writes a hint in the place of one that was of no use; `false` when the store is closing.
    fn write_hint(
        &self,
        segment: &Segment<FileOf<E>>,
        sealed: &Sealed,
        builder: HintBuilder,
    ) -> Result<bool> {
        let name = names::hint(segment.number);
        let id = HintId { database: self.database, uid: segment.uid, segment_len: sealed.len };
        match self.dir.remove(&name) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", name, err)),
            _ => {}
        }
        let file = self.dir.create(&name).map_err(|err| Error::io("create", &name, err))?;
        let go_on = || !self.merge_bell.is_stopping();
        let written = builder.write(&file, &name, id, &self.secret, go_on);
        if !matches!(written, Ok(true)) {
            let _ = self.dir.remove(&name);
        }
        written
    }
}

/// What a scan of a segment gathered.
enum Gathered {
    Whole(HintBuilder),
    Damaged,
}

#[cfg(test)]
mod tests {
    use crate::engine::db::Db;
    use crate::io::sim::Sim;
    use crate::options::Options;
    use std::path::Path;

    const DIR: &str = "/store";

    #[test]
    fn a_close_need_not_wait_for_an_index_that_is_being_brought_in() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let open = || Db::open(sim.clone(), Path::new(DIR), &Options::default()).unwrap();
        let db = open();
        db.put(b"a", b"1").unwrap();
        db.close().unwrap();
        let db = open();
        db.inner().merge_bell.stop();
        db.step_merge_thread().unwrap();
        assert!(db.inner().keydir.is_partial());
    }
}
