//! Merges sealed segments: what is dead in them is left behind, what is kept is written in the order of the keys.
//!
//! The outputs and their hints are written, synced and read back beside everything else. Then the log is synced past all
//! that was consulted (rule M5), the manifest puts the outputs in the inputs' place, the keydir is sent to the outputs
//! key by key, and only then do the inputs leave the view and their names the directory. Whatever goes wrong before the
//! manifest leaves everything as it was. After it nothing is asked of the system but to read what was read before, for
//! what goes wrong then poisons.

use super::copy::Copier;
use super::health::Health;
use super::manifest_file::ReplaceError;
use super::merge_policy::Candidate;
use super::older::Older;
use super::pace::Pace;
use super::segment_files::{create_segment, fresh_uid};
use super::shared::{FileOf, Inner, may_map};
use super::survivors::{Input, Survivor, Survivors};
use crate::error::{Error, Result};
use crate::format::hint::{HintEntry, HintHeader};
use crate::format::manifest::{Sealed, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::record::{Draft, Flags, RecordHeader};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::{Dir, Env, File};
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::log::{self, Level};
use crate::options::MergePolicy;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::{HintBuilder, HintId};
use crate::segment::view::{HintState, Segment, SegmentId};
use crate::sync::{Arc, Ordering};
use std::ops::Range;
use std::time::Instant;

/// Records up to this length are read at once when they are not mapped; any header and key are shorter.
const READ_AT_ONCE: u64 = READ_AT_ONCE_LEN as u64;
const READ_AT_ONCE_LEN: usize = 128 << 10;

/// Keys sent to an output together, so that their cache misses overlap.
const SENT_TOGETHER: usize = 64;

/// A segment is never small that is more than one such part of a full one: joined again and again, it would cost more
/// than it gives.
const SMALL_SHARE: u64 = 16;
/// How much of an output's hint is read at a time.
const BLOCKS_AT_ONCE: usize = 64;

/// A segment that a merge wrote, and its hint.
struct Output<E: Env> {
    segment: Arc<Segment<FileOf<E>>>,
    sealed: Sealed,
    hint: Hint<FileOf<E>>,
}

/// A sealed segment, and what the manifest says of it.
type SealedSegment<E> = (Arc<Segment<FileOf<E>>>, SegmentEntry);

/// How a merge ended.
enum Merged {
    /// Segments were merged.
    Done { from: Amount, to: Amount },
    /// There is nothing to merge.
    Nothing,
    /// The store is closing.
    Stopped,
}

/// How much went into a merge, or came out.
struct Amount {
    segments: usize,
    bytes: u64,
    records: u64,
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
        for merges in 0..most {
            // Without the lock that the merge is under: what is chosen then may be something else.
            if log::wants(Level::Debug)
                && let Some(chosen) = self.choose(policy, &self.sealed_segments())
            {
                log::debug(format_args!("{}: begins to merge {} segments", self.path, chosen.len()));
            }
            let begun = Instant::now();
            let Merged::Done { from, to } = self.merge(policy)? else { return Ok(merges) };
            log::info(format_args!(
                "{}: merged {} segments of {} bytes into {} of {} in {} ms: {} records kept, {} left behind",
                self.path,
                from.segments,
                from.bytes,
                to.segments,
                to.bytes,
                begun.elapsed().as_millis(),
                to.records,
                from.records - to.records,
            ));
        }
        Ok(most)
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
        let sealed = self.sealed_segments();
        let Some(chosen) = self.choose(policy, &sealed) else {
            return Ok(Merged::Nothing);
        };
        let older = Older::new(self, sealed[..chosen.start].to_vec());
        let Some(inputs) = self.open_inputs(&sealed[chosen])? else {
            return Ok(Merged::Nothing);
        };
        self.counters
            .merge_input_bytes
            .store(inputs.iter().map(|input| input.segment.readable_len()).sum(), Ordering::Relaxed);
        self.counters.merge_done_bytes.store(0, Ordering::Relaxed);
        let pace = Pace::new(policy.bytes_per_second, &self.merge_bell);
        let outcome = self.merge_inputs(&inputs, older, pace);
        if let Err(Error::Corrupt { file, .. }) = &outcome {
            // A hint that turned out damaged is made again.
            let damaged = inputs.iter().filter(|input| input.hint.name() == file);
            damaged.for_each(|input| input.segment.set_hint_state(HintState::Missing));
        }
        self.counters.merge_input_bytes.store(0, Ordering::Relaxed);
        outcome
    }

    /// Which of the sealed segments to merge, if the store is not degraded.
    fn choose(&self, policy: &MergePolicy, sealed: &[SealedSegment<E>]) -> Option<Range<usize>> {
        if self.degraded.get().is_some() {
            return None;
        }
        let kept_for_feeds = self.kept_for_feeds(sealed);
        let candidates: Vec<_> = sealed
            .iter()
            .enumerate()
            .map(|(at, (segment, entry))| {
                let bytes = segment.readable_len();
                let kept = segment.live_bytes() + segment.unreclaimable_bytes.load(Ordering::Relaxed);
                let mergeable = at < kept_for_feeds
                    && segment.hint_state() == HintState::Whole
                    && bytes == entry.kept_len();
                Candidate { bytes, dead_bytes: bytes.saturating_sub(kept), run: entry.run, mergeable }
            })
            .collect();
        let small_segment_bytes =
            policy.small_segment_bytes.min(self.options.max_segment_bytes / SMALL_SHARE);
        MergePolicy { small_segment_bytes, ..*policy }.choose(&candidates)
    }

    /// From which of the sealed segments on they are left alone: what open feeds have not read, and what the option keeps.
    fn kept_for_feeds(&self, sealed: &[SealedSegment<E>]) -> usize {
        let mut kept_bytes = 0;
        let retained = sealed.iter().rev().take_while(|(segment, entry)| {
            let newer = kept_bytes;
            kept_bytes += segment.readable_len();
            // No feed reads what was merged.
            newer < self.options.feed_retention_bytes && entry.run.is_none()
        });
        let retained_from = sealed.len() - retained.count();
        let unread_from = self.feeds.first_unread(sealed.iter().map(|(segment, _)| segment.uid));
        unread_from.map_or(retained_from, |at| at.min(retained_from))
    }

    /// The segments with their hints; `None` when one has to be made again first.
    fn open_inputs(&self, chosen: &[SealedSegment<E>]) -> Result<Option<Vec<Input<E>>>> {
        let mut inputs = Vec::new();
        for (segment, entry) in chosen {
            let Some(hint) = self.hint_of(segment, entry)? else {
                // It was whole before: it will be made again.
                segment.set_hint_state(HintState::Missing);
                self.merge_bell.ring();
                return Ok(None);
            };
            inputs.push(Input { segment: segment.clone(), hint: Arc::new(hint) });
        }
        Ok(Some(inputs))
    }

    fn merge_inputs(&self, inputs: &[Input<E>], older: Older<'_, E>, mut pace: Pace<'_>) -> Result<Merged> {
        let mut unlisted = Unlisted { store: self, names: Vec::new(), segments: Vec::new() };
        let mut survivors = Survivors::new(self, inputs, older)?;
        let mut outputs = Vec::new();
        let mut first = survivors.next(&mut pace)?;
        while let Some(record) = first {
            let run = outputs.first().map(|first: &Output<E>| first.segment.number);
            let written = self.write_output(run, inputs, &mut survivors, record, &mut unlisted, &mut pace)?;
            let Some((output, rest)) = written else {
                return Ok(Merged::Stopped);
            };
            outputs.push(output);
            first = rest;
        }
        if survivors.stopped {
            return Ok(Merged::Stopped);
        }
        self.dir.sync().map_err(|err| Error::io("sync", &self.path, err))?;
        if self.merge_bell.is_stopping() {
            return Ok(Merged::Stopped);
        }
        // Rule M5: what made records seem dead must be durable before they are gone.
        let appended = self.writer()?.lock().appended();
        self.commit_untold(appended)?;
        if let Err(failed) = self.swap(inputs, &outputs, survivors.highest_dropped) {
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
        let relocated = self.relocate(inputs, &outputs, &survivors.expired)?;
        std::mem::forget(unfinished);
        if !relocated {
            self.index_is_behind.store(true, Ordering::Relaxed);
            return Ok(Merged::Stopped);
        }
        let gone: Vec<_> = inputs.iter().map(|input| input.segment.clone()).collect();
        // For snapshots that hold the segments on.
        inputs.iter().for_each(|input| input.segment.keep_hint(input.hint.clone()));
        self.view.remove(&gone);
        for segment in gone {
            // What stays is removed by the next open.
            let _ = self.dir.remove(&segment.name);
            let _ = self.dir.remove(&names::hint(segment.number));
        }
        let amount = |of: &[&HintHeader]| Amount {
            segments: of.len(),
            bytes: of.iter().map(|hint| hint.segment_len).sum(),
            records: of.iter().map(|hint| hint.entries).sum(),
        };
        let from: Vec<_> = inputs.iter().map(|input| input.hint.header()).collect();
        let to: Vec<_> = outputs.iter().map(|output| output.hint.header()).collect();
        Ok(Merged::Done { from: amount(&from), to: amount(&to) })
    }

    /// Writes one output of `run`, or the first of a run, from `record` on until it is full; `None` when the store is
    /// closing. Answers also the record that did not fit any more.
    fn write_output(
        &self,
        run: Option<u64>,
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
        let rest = loop {
            let (source, key) = (&inputs[record.input].segment, survivors.key(&record));
            if !self.keep(source, key, &record, &mut copier, &mut builder, pace)? {
                return Ok(None);
            }
            let next = survivors.next(pace)?;
            if survivors.stopped {
                return Ok(None);
            }
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
        let hint = Hint::open(hint_file, hint_name.clone(), id)?.ok_or_else(|| not_as_written(&hint_name))?;
        if !self.each_entry(&hint, |_| ())? {
            return Ok(None);
        }
        let segment = self.view.add(Some(inputs[0].segment.slot), |slot| {
            let map_len = (self.mapped && may_map(slot)).then_some(sealed.len);
            let mut segment = Segment::new(SegmentId { number, uid, slot }, file, sealed.len, map_len);
            segment.run = run.or(Some(number));
            Ok(Arc::new(segment))
        })?;
        segment.set_hint_state(HintState::Whole);
        unlisted.segments.push(segment.clone());
        self.counters.merge_written_bytes.fetch_add(sealed.len, Ordering::Relaxed);
        Ok(Some((Output { segment, sealed, hint }, rest)))
    }

    /// Copies a record; `false` when the store is closing.
    fn keep(
        &self,
        source: &Segment<FileOf<E>>,
        key: &[u8],
        record: &Survivor,
        copier: &mut Copier<'_, FileOf<E>>,
        builder: &mut HintBuilder,
        pace: &mut Pace<'_>,
    ) -> Result<bool> {
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
            return Ok(!pace.spend(copier.len() - before));
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
        builder.add(&header, key, place)?;
        if pace.spend(copier.len() - before) {
            return Ok(false);
        }
        let (read, end) = (record.offset + at_hand as u64, record.offset + record.len);
        copier.append(&source.file, &source.name, read, end, |bytes| !pace.spend(bytes))
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
        let entries = outputs.iter().map(|output| SegmentEntry {
            number: output.segment.number,
            uid: output.segment.uid,
            run: output.segment.run,
            state: SegmentState::Sealed(output.sealed),
        });
        next.segments.splice(range, entries);
        next.moved.retain(|moved| next.segments.iter().any(|entry| entry.uid == moved.to));
        next.highest_dropped_tombstone = next.highest_dropped_tombstone.max(highest_dropped);
        next.keys = self.keydir.len();
        let last_version = self.writer().map(|writer| writer.lock().last_version());
        next.last_version = last_version.map_err(ReplaceError::Unchanged)?;
        self.replace_manifest(next)
    }

    /// Sends the keydir from the inputs to the outputs; `false` when the store is closing, which needs none of it.
    fn relocate(&self, inputs: &[Input<E>], outputs: &[Output<E>], expired: &[Digest]) -> Result<bool> {
        let slots = || inputs.iter().map(|input| input.segment.slot.0 as usize);
        let mut is_input = vec![false; slots().max().map_or(0, |most| most + 1)];
        slots().for_each(|slot| is_input[slot] = true);
        let in_inputs = |at: Location| is_input.get(at.slot().0 as usize).is_some_and(|is_input| *is_input);
        for &digest in expired {
            self.keydir.change_if(digest, in_inputs, None);
        }
        for Output { segment, sealed, hint } in outputs {
            let mut kept_bytes = 0;
            let mut send = |group: &mut Vec<(Digest, Location)>| {
                group.iter().for_each(|(digest, _)| self.keydir.prefetch_group(*digest));
                group.iter().for_each(|(digest, _)| self.keydir.prefetch(*digest));
                for (digest, to) in group.drain(..) {
                    // Counted first: whoever overwrites the key takes it off again.
                    kept_bytes += to.typical_len();
                    segment.add_live(to.typical_len());
                    if self.keydir.change_if(digest, in_inputs, Some(to)).is_none() {
                        segment.sub_live(to.typical_len());
                    }
                }
            };
            let mut group = Vec::with_capacity(SENT_TOGETHER);
            let done = self.each_entry(hint, |entry| {
                if entry.flags.has(Flags::TOMBSTONE) {
                    return;
                }
                let mut to = Location::new(segment.slot, entry.offset, entry.record_len());
                if entry.deadline.is_some() {
                    to = to.as_expiring();
                }
                group.push((self.secret.digest(entry.key), to));
                if group.len() == SENT_TOGETHER {
                    send(&mut group);
                }
            })?;
            if !done {
                return Ok(false);
            }
            send(&mut group);
            // What is not a value's was found worth keeping.
            segment.unreclaimable_bytes.store(sealed.len.saturating_sub(kept_bytes), Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Hands the entries of an output's hint to `each`; `false` when the store is closing.
    fn each_entry(&self, hint: &Hint<FileOf<E>>, mut each: impl FnMut(&HintEntry<'_>)) -> Result<bool> {
        for from in (0..hint.block_count()).step_by(BLOCKS_AT_ONCE) {
            if self.merge_bell.is_stopping() {
                return Ok(false);
            }
            let blocks = from..hint.block_count().min(from + BLOCKS_AT_ONCE);
            let whole = hint.read(blocks, |entry| {
                each(entry);
                Ok(())
            })?;
            if !whole {
                return Err(not_as_written(hint.name()));
            }
        }
        Ok(true)
    }
}

fn not_as_written(hint: &str) -> Error {
    Error::corrupt(hint, 0, "a hint just written does not read back as it was written")
}
