//! Merges sealed segments: what is dead in them is left behind, what is kept is written in the order of the keys.
//!
//! The outputs and their hints are written and synced beside everything else. Then the log is synced past all that was
//! consulted (rule M5), the manifest puts the outputs in the inputs' place, the keydir is sent to the outputs key by
//! key, and only then do the inputs leave the view and their names the directory. Whatever goes wrong before the
//! manifest leaves everything as it was.

use super::copy::Copier;
use super::health::Health;
use super::manifest_file::ReplaceError;
use super::merge_policy::Candidate;
use super::pace::Pace;
use super::segment_files::{create_segment, fresh_uid};
use super::shared::{FileOf, Inner, may_map};
use super::survivors::{Input, Survivor, Survivors};
use crate::error::{Error, Result};
use crate::format::manifest::{Sealed, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::record::{Draft, Flags, RecordHeader};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::{Dir, Env, File};
use crate::keydir::location::Location;
use crate::options::MergePolicy;
use crate::segment::hint_writer::{HintBuilder, HintId};
use crate::segment::view::{HintState, Segment, SegmentId};
use crate::sync::{Arc, Ordering};

/// Records up to this length are read at once when they are not mapped; any header and key are shorter.
const READ_AT_ONCE: u64 = READ_AT_ONCE_LEN as u64;
const READ_AT_ONCE_LEN: usize = 128 << 10;

/// A segment is never small that is more than one such part of a full one: joined again and again, it would cost more
/// than it gives.
const SMALL_SHARE: u64 = 16;

/// A segment that a merge wrote.
struct Output<E: Env> {
    segment: Arc<Segment<FileOf<E>>>,
    sealed: Sealed,
}

/// How a merge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Segments were merged.
    Done,
    /// There is nothing to merge.
    Nothing,
    /// The store is closing.
    Stopped,
}

/// Files that no manifest lists yet; removed unless they are kept.
struct Unlisted<'s, E: Env> {
    store: &'s Inner<E>,
    names: Vec<String>,
    segments: Vec<Arc<Segment<FileOf<E>>>>,
}

impl<E: Env> Drop for Unlisted<'_, E> {
    fn drop(&mut self) {
        if !self.segments.is_empty() {
            self.store.view.remove(&self.segments);
        }
        for name in &self.names {
            let _ = self.store.dir.remove(name);
        }
    }
}

/// A merge between its manifest and the end of its work. Dropped, it poisons: keys left with the inputs would make what
/// the outputs hold of them look dead to the next merge.
struct Unfinished<'s>(&'s Health);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.poison("a merge could not send the index to the segments it wrote");
    }
}

impl<E: Env> Inner<E> {
    /// Merges until `policy` finds nothing more that is worth it, at most once for each segment that is there now, and
    /// answers how many merges there were.
    pub(crate) fn merge_until_done(&self, policy: &MergePolicy) -> Result<u64> {
        let most = self.view.load().segments().count() as u64;
        let mut merges = 0;
        while merges < most && self.merge(policy)? == Merged::Done {
            merges += 1;
        }
        Ok(merges)
    }

    /// Merges the segments that `policy` chooses. One merge at a time; others wait.
    fn merge(&self, policy: &MergePolicy) -> Result<Merged> {
        let _merging = self.merging.lock();
        self.health.check()?;
        // Keys that are not in the index yet would look dead, or be left with the inputs; and only with the last of them
        // is it known that the store is not degraded.
        self.bring_in_index()?;
        if self.keydir.is_partial() {
            return Ok(Merged::Stopped);
        }
        if self.degraded.get().is_some() {
            return Ok(Merged::Nothing);
        }
        let Some((inputs, older)) = self.choose(policy)? else {
            return Ok(Merged::Nothing);
        };
        self.counters
            .merge_input_bytes
            .store(inputs.iter().map(|input| input.segment.readable_len()).sum(), Ordering::Relaxed);
        self.counters.merge_done_bytes.store(0, Ordering::Relaxed);
        let pace = Pace::new(policy.bytes_per_second, &self.merge_bell);
        let outcome = self.merge_inputs(&inputs, &older, pace);
        if let Err(Error::Corrupt { file, .. }) = &outcome {
            // A hint that turned out damaged is made again.
            let damaged = inputs.iter().filter(|input| input.hint.name() == file);
            damaged.for_each(|input| input.segment.set_hint_state(HintState::Missing));
        }
        self.counters.merge_input_bytes.store(0, Ordering::Relaxed);
        outcome
    }

    /// What to merge, and the filters of all older segments if each has one.
    #[expect(clippy::type_complexity, reason = "an answer of two parts")]
    fn choose(&self, policy: &MergePolicy) -> Result<Option<(Vec<Input<E>>, Option<Vec<Vec<u8>>>)>> {
        let segments = self.sealed_segments();
        let candidates: Vec<_> = segments
            .iter()
            .map(|(segment, entry)| {
                let bytes = segment.readable_len();
                let kept = segment.live_bytes() + segment.unreclaimable_bytes.load(Ordering::Relaxed);
                let mergeable = segment.hint_state() == HintState::Whole && bytes == entry.kept_len();
                Candidate { bytes, dead_bytes: bytes.saturating_sub(kept), run: entry.run, mergeable }
            })
            .collect();
        let small_segment_bytes =
            policy.small_segment_bytes.min(self.options.max_segment_bytes / SMALL_SHARE);
        let policy = MergePolicy { small_segment_bytes, ..*policy };
        let Some(chosen) = policy.choose(&candidates) else { return Ok(None) };
        let mut inputs = Vec::new();
        for (segment, entry) in &segments[chosen.clone()] {
            let Some(hint) = self.hint_of(segment, entry)? else {
                // It was whole before: it will be made again.
                segment.set_hint_state(HintState::Missing);
                self.merge_bell.ring();
                return Ok(None);
            };
            inputs.push(Input { segment: segment.clone(), hint });
        }
        let filter = |(segment, entry): &(Arc<Segment<_>>, SegmentEntry)| {
            let known = segment.hint_state() == HintState::Whole;
            known.then(|| self.hint_of(segment, entry).ok()??.filter().ok()?).flatten()
        };
        let older = segments[..chosen.start].iter().map(filter).collect();
        Ok(Some((inputs, older)))
    }

    fn merge_inputs(
        &self,
        inputs: &[Input<E>],
        older: &Option<Vec<Vec<u8>>>,
        mut pace: Pace<'_>,
    ) -> Result<Merged> {
        let mut unlisted = Unlisted { store: self, names: Vec::new(), segments: Vec::new() };
        let mut survivors = Survivors::new(self, inputs, older);
        let mut outputs = Vec::new();
        let mut first = survivors.next()?;
        if survivors.stopped {
            return Ok(Merged::Stopped);
        }
        while let Some(record) = first {
            let written = self.write_output(inputs, &mut survivors, record, &mut unlisted, &mut pace)?;
            let Some((output, rest)) = written else {
                return Ok(Merged::Stopped);
            };
            outputs.push(output);
            first = rest;
        }
        self.dir.sync().map_err(|err| Error::io("sync", &self.path, err))?;
        if self.merge_bell.is_stopping() {
            return Ok(Merged::Stopped);
        }
        // Rule M5: what made records seem dead must be durable before they are gone.
        let appended = self.writer()?.lock().appended();
        self.commit(appended)?;
        let (expired, highest_dropped) = (std::mem::take(&mut survivors.expired), survivors.highest_dropped);
        if let Err(failed) = self.swap(inputs, &outputs, highest_dropped) {
            if matches!(failed, ReplaceError::Unknown(_)) {
                unlisted.names.clear();
            }
            return Err(failed.into_error());
        }
        unlisted.names.clear();
        unlisted.segments.clear();
        drop(unlisted);
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        let unfinished = Unfinished(&self.health);
        if !self.relocate(inputs, &outputs, &expired)? {
            self.index_is_behind.store(true, Ordering::Relaxed);
            std::mem::forget(unfinished);
            return Ok(Merged::Stopped);
        }
        std::mem::forget(unfinished);
        let gone: Vec<_> = inputs.iter().map(|input| input.segment.clone()).collect();
        self.view.remove(&gone);
        for segment in gone {
            // What stays is removed by the next open.
            let _ = self.dir.remove(&segment.name);
            let _ = self.dir.remove(&names::hint(segment.number));
        }
        Ok(Merged::Done)
    }

    /// Writes one output, from `record` on until it is full; `None` when the store is closing. Answers also the record
    /// that did not fit any more.
    fn write_output(
        &self,
        inputs: &[Input<E>],
        survivors: &mut Survivors<'_, E>,
        mut record: Survivor,
        unlisted: &mut Unlisted<'_, E>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<(Output<E>, Option<Survivor>)>> {
        let (number, uid) = (self.take_number()?, fresh_uid(&self.env)?);
        let (name, hint_name) = (names::segment(number), names::hint(number));
        let file = create_segment(&self.dir, number)?;
        unlisted.names.push(name.clone());
        let header =
            SegmentHeader { database: self.database, uid, number, predecessor_uid: 0, predecessor_len: 0 };
        let mut copier = Copier::new(&file, &name, &header);
        let mut builder = HintBuilder::default();
        let mut passed = survivors.passed_bytes;
        let rest = loop {
            let len = self.keep(
                &inputs[record.input].segment,
                survivors.key(&record),
                &record,
                &mut copier,
                &mut builder,
            )?;
            let next = survivors.next()?;
            if survivors.stopped {
                return Ok(None);
            }
            self.counters.merge_done_bytes.store(survivors.passed_bytes, Ordering::Relaxed);
            if pace.spend(len + survivors.passed_bytes - passed) {
                return Ok(None);
            }
            passed = survivors.passed_bytes;
            match next {
                Some(next) if copier.len() + next.len <= self.options.max_segment_bytes => record = next,
                rest => break rest,
            }
        };
        let sealed = copier.finish()?;
        let hint_file = self.dir.create(&hint_name).map_err(|err| Error::io("create", &hint_name, err))?;
        unlisted.names.push(hint_name.clone());
        let id = HintId { database: self.database, uid, segment_len: sealed.len };
        let go_on = || !self.merge_bell.is_stopping();
        if !builder.write(&hint_file, &hint_name, id, &self.secret, go_on)? {
            return Ok(None);
        }
        hint_file.sync_data().map_err(|err| Error::io("sync", &hint_name, err))?;
        let segment = self.view.add(Some(inputs[0].segment.slot), |slot| {
            let map_len = (self.mapped && may_map(slot)).then_some(sealed.len);
            Ok(Arc::new(Segment::new(SegmentId { number, uid, slot }, file, sealed.len, map_len)))
        })?;
        segment.set_hint_state(HintState::Whole);
        unlisted.segments.push(segment.clone());
        self.counters.merge_written_bytes.fetch_add(sealed.len, Ordering::Relaxed);
        Ok(Some((Output { segment, sealed }, rest)))
    }

    /// Copies a record, and answers its length.
    fn keep(
        &self,
        source: &Segment<FileOf<E>>,
        key: &[u8],
        record: &Survivor,
        copier: &mut Copier<'_, FileOf<E>>,
        builder: &mut HintBuilder,
    ) -> Result<u64> {
        let before = copier.len();
        if record.as_tombstone {
            let draft = Draft::new(key, &[], Flags::TOMBSTONE, None);
            let place = copier.begin(&draft, record.version)?;
            copier.append_bytes(key)?;
            copier.append_bytes(&[0; 8][..draft.padding()])?;
            let bytes = draft.header(record.version, 0, place);
            let header =
                RecordHeader::decode(&bytes).ok_or_else(|| source.damaged(record.offset, "no header"))?;
            builder.add(&header, key, place)?;
            return Ok(copier.len() - before);
        }
        let mut buf = Vec::new();
        let bytes = source.read_some(record.offset, record.len.min(READ_AT_ONCE), record.len, &mut buf)?;
        let header = RecordHeader::decode(bytes)
            .filter(|header| header.record_len() == record.len && header.version == record.version)
            .filter(|header| bytes.get(header.header_len()..header.value_at()) == Some(key))
            .filter(|header| header.verify(bytes, key, source.uid, record.offset));
        let Some(header) = header else {
            // A damaged segment is never merged.
            source.set_hint_state(HintState::Impossible);
            return Err(source.damaged(record.offset, "a merge found no such record"));
        };
        let draft = Draft::copy_of(&header, key).alone();
        let place = copier.begin(&draft, header.version)?;
        // A mapped record is there as a whole, but a large one is not to be gathered in memory.
        let at_hand = bytes.len().min(READ_AT_ONCE_LEN);
        copier.append_bytes(&bytes[header.header_len()..at_hand])?;
        let (read, end) = (record.offset + at_hand as u64, record.offset + record.len);
        copier.append(&source.file, &source.name, read, end)?;
        builder.add(&header, key, place)?;
        Ok(copier.len() - before)
    }

    /// Puts the outputs in the inputs' place, durably.
    fn swap(
        &self,
        inputs: &[Input<E>],
        outputs: &[Output<E>],
        highest_dropped: u64,
    ) -> std::result::Result<(), ReplaceError> {
        let _replacing = self.replacing.lock();
        let mut next = self.manifest.lock().clone();
        let first = next.segments.iter().position(|entry| entry.uid == inputs[0].segment.uid);
        let range = first.map(|first| first..first + inputs.len());
        let listed = range.clone().and_then(|range| next.segments.get(range));
        let same = |listed: &[SegmentEntry]| {
            listed.iter().zip(inputs).all(|(entry, input)| entry.uid == input.segment.uid)
        };
        let Some(range) = range.filter(|_| listed.is_some_and(same)) else {
            let what = "the segments that were merged are not side by side";
            return Err(ReplaceError::Unchanged(Error::corrupt(names::MANIFEST, 0, what)));
        };
        let run = outputs.first().map(|output| output.segment.number);
        let entries = outputs.iter().map(|output| SegmentEntry {
            number: output.segment.number,
            uid: output.segment.uid,
            run,
            state: SegmentState::Sealed(output.sealed),
        });
        next.segments.splice(range, entries);
        next.highest_dropped_tombstone = next.highest_dropped_tombstone.max(highest_dropped);
        next.keys = self.keydir.len();
        let last_version = self.writer().map(|writer| writer.lock().last_version());
        next.last_version = last_version.map_err(ReplaceError::Unchanged)?;
        self.replace_manifest(next)
    }

    /// Sends the keydir from the inputs to the outputs; `false` when the store is closing, which needs none of it.
    fn relocate(
        &self,
        inputs: &[Input<E>],
        outputs: &[Output<E>],
        expired: &[crate::keydir::Digest],
    ) -> Result<bool> {
        let in_inputs = |at: Location| inputs.iter().any(|input| input.segment.slot == at.slot());
        for &digest in expired {
            self.keydir.change_if(digest, in_inputs, None);
        }
        for Output { segment, sealed } in outputs {
            let entry = SegmentEntry {
                number: segment.number,
                uid: segment.uid,
                run: None,
                state: SegmentState::Sealed(*sealed),
            };
            let bad = || Error::corrupt(names::hint(segment.number), 0, "a hint just written cannot be read");
            let hint = self.hint_of(segment, &entry)?.ok_or_else(bad)?;
            let mut kept_bytes = 0;
            for block in 0..hint.block_count() {
                if self.merge_bell.is_stopping() {
                    return Ok(false);
                }
                let whole = hint.read(block..block + 1, |entry| {
                    if !entry.flags.has(Flags::TOMBSTONE) {
                        let mut to = Location::new(segment.slot, entry.offset, entry.record_len());
                        if entry.deadline.is_some() {
                            to = to.as_expiring();
                        }
                        // Counted first: whoever overwrites the key takes it off again.
                        kept_bytes += to.typical_len();
                        segment.add_live(to.typical_len());
                        if self.keydir.change_if(self.secret.digest(entry.key), in_inputs, Some(to)).is_none()
                        {
                            segment.sub_live(to.typical_len());
                        }
                    }
                    Ok(())
                })?;
                if !whole {
                    return Err(bad());
                }
            }
            // What is not a value's was found worth keeping.
            segment.unreclaimable_bytes.store(sealed.len.saturating_sub(kept_bytes), Ordering::Relaxed);
        }
        Ok(true)
    }
}
