//! Merges sealed segments: what is dead in them is left behind, what is kept is written in the order of the keys.
//!
//! The outputs and their hints are written, synced and read back beside everything else. Then the log is synced past all
//! that was consulted (rule M5), the manifest puts the outputs in the inputs' place, the keydir is sent to the outputs
//! key by key, and only then do the inputs leave the view and their names the directory. Whatever goes wrong before the
//! manifest leaves everything as it was. After it nothing is asked of the system but to read what was read before, for
//! what goes wrong then poisons.

use super::health::Health;
use super::manifest_file::ReplaceError;
use super::merge_output::{Output, Outputs, Unlisted};
use super::merge_policy::Candidate;
use super::older::Older;
use super::pace::Pace;
use super::repack::Repacker;
use super::shared::{FileOf, Inner};
use super::survivors::{Input, Survivors};
use crate::error::{Error, Result};
use crate::format::hint::HintHeader;
use crate::format::manifest::{SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::record::Flags;
use crate::io::env::{Dir, Env};
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::log::{self, Level};
use crate::options::MergePolicy;
use crate::segment::view::{HintState, Segment};
use crate::sync::{Arc, Ordering};
use std::ops::Range;
use std::time::Instant;

/// Keys sent to an output together, so that their cache misses overlap.
const SENT_TOGETHER: usize = 64;

/// A segment is never small that is more than one such part of a full one: joined again and again, it would cost more
/// than it gives.
const SMALL_SHARE: u64 = 16;

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
        let mut outputs = Outputs {
            store: self,
            inputs,
            repacker: Repacker::new(self, inputs, &mut pace)?,
            survivors: Survivors::new(self, inputs, older)?,
            unlisted: Unlisted::new(self),
            pace,
        };
        let Some(written) = outputs.write_all()? else {
            return Ok(Merged::Stopped);
        };
        let Outputs { survivors, mut unlisted, .. } = outputs;
        let outputs = written;
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
}
