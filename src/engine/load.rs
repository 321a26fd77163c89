//! Fills the keydir from hints and segments, on all cores.
//!
//! A sealed segment is loaded from its hint, where that is whole and agrees with the manifest; from its data otherwise.
//! Segments are cut into parts that are read in any order and at the same time (`load_tasks`). The keydir keeps the
//! newest position of each key, deletions included, and the deletions are swept when all is in. A range of data begins
//! at the first record found in it, and when all are done each must begin where the one before it ended: what lies
//! between is damage. In data, every checksum is verified.

use super::listed::RECORDS_AT;
use super::load_tasks::{Pass, Task, run};
use super::shared::{Degraded, FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::manifest::{Sealed, SegmentState};
use crate::format::names;
use crate::io::env::{Dir, Env, File};
use crate::keydir::Keydir;
use crate::keydir::location::Location;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::HintId;
use crate::segment::view::{HintState, Position, Segment, View};
use crate::sync::{Arc, Ordering};
use std::collections::{HashMap, HashSet};

/// A segment and the length that it is supposed to have.
type Stated<E> = (Arc<Segment<FileOf<E>>>, u64);

/// What loading found out.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) highest_version: u64,
    /// What the writer's active segment holds.
    pub(super) youngest: Sealed,
}

/// How a segment was loaded.
struct Loaded {
    from_hint: bool,
    passes: Vec<Pass>,
}

/// Loads all segments.
pub(super) fn load<E: Env>(store: &Arc<Inner<E>>, segments: &[Stated<E>]) -> Result<Seen> {
    // Memory that is ready as a whole comes in huge pages, which loading feels more than anything else.
    while store.keydir.prepare() {}
    let loaded = load_parts(store, segments, None)?;
    let damage = Damage::of(&store.view.load(), segments, &loaded);
    let active = store.writer().ok().map(|writer| writer.lock().active().uid);
    let mut seen = Seen::default();
    let merged: HashSet<_> = {
        let manifest = store.manifest.lock();
        manifest.segments.iter().filter(|entry| entry.run.is_some()).map(|entry| entry.uid).collect()
    };
    for ((segment, _), Loaded { from_hint, passes }) in segments.iter().zip(loaded) {
        if from_hint {
            segment.set_hint_state(HintState::Whole);
        }
        let mut held = Sealed { len: segment.readable_len(), ..Sealed::default() };
        for pass in &passes {
            held.records += pass.records;
            held.tombstones += pass.tombstones;
            held.highest_version = held.highest_version.max(pass.highest_version);
        }
        if merged.contains(&segment.uid) {
            // The merge that wrote it found all else worth keeping: it is not to be merged again for that.
            let kept = held.len.saturating_sub(passes.iter().map(|pass| pass.value_bytes).sum());
            segment.unreclaimable_bytes.store(kept, Ordering::Relaxed);
        }
        seen.highest_version = seen.highest_version.max(held.highest_version);
        if active == Some(segment.uid) {
            seen.youngest = held;
        }
    }
    // A reader keeps them: a merge under way may yet put older records of their keys in a new segment.
    if damage.settle(store) && store.writer.is_some() {
        sweep_tombstones(&store.keydir);
    }
    Ok(seen)
}

/// Loads all segments as they were when the store was opened, into an index apart from the store's.
pub(super) fn load_apart<E: Env>(store: &Arc<Inner<E>>, segments: &[Stated<E>]) -> Result<Arc<Keydir>> {
    let index = Arc::new(Keydir::new(store.keydir.len())?);
    while index.prepare() {}
    let loaded = load_parts(store, segments, Some(&index))?;
    if Damage::of(&store.view.load(), segments, &loaded).settle(store) {
        sweep_tombstones(&index);
    }
    Ok(index)
}

fn sweep_tombstones(index: &Keydir) {
    if index.tombstones() > 0 {
        index.sweep(Location::is_tombstone);
    }
}

/// Loads each segment from its hint if that turns out to be whole, else from its data.
fn load_parts<E: Env>(
    store: &Arc<Inner<E>>,
    segments: &[Stated<E>],
    apart: Option<&Arc<Keydir>>,
) -> Result<Vec<Loaded>> {
    let hints = hints(store, segments);
    let data = |(segment, stated): &Stated<E>| Task::of_data(segment, end_of(segment, *stated)).collect();
    let tasks = segments.iter().zip(&hints).map(|(segment, hint)| match hint {
        Some(hint) => Task::of_hint(&segment.0, hint.clone()).collect(),
        None => data(segment),
    });
    let mut loaded = run_for_each(store, segments, tasks.collect(), apart)?;
    for (loaded, hint) in loaded.iter_mut().zip(&hints) {
        loaded.from_hint = hint.is_some() && loaded.passes.iter().all(|pass| !pass.bad_hint);
    }
    let failed = |(at, loaded): (usize, &Loaded)| (hints[at].is_some() && !loaded.from_hint).then_some(at);
    let again: Vec<_> = loaded.iter().enumerate().filter_map(failed).collect();
    let segments: Vec<_> = again.iter().map(|&at| segments[at].clone()).collect();
    let tasks = segments.iter().map(data).collect();
    for (at, from_data) in again.into_iter().zip(run_for_each(store, &segments, tasks, apart)?) {
        loaded[at] = from_data;
    }
    Ok(loaded)
}

/// Does the tasks of all segments, and sorts the outcomes by segment.
fn run_for_each<E: Env>(
    store: &Arc<Inner<E>>,
    segments: &[Stated<E>],
    tasks: Vec<Vec<Task<E>>>,
    apart: Option<&Arc<Keydir>>,
) -> Result<Vec<Loaded>> {
    let counts: Vec<_> = tasks.iter().map(Vec::len).collect();
    let mut passes = run(store, tasks.into_iter().flatten().collect(), apart).into_iter();
    let mut of_segment = |(count, (segment, _)): (usize, &Stated<E>)| {
        let died = || Err(Error::io("load", &segment.name, std::io::Error::other("a loading thread died")));
        let passes = passes.by_ref().take(count).map(|pass| pass.unwrap_or_else(died));
        Ok(Loaded { from_hint: false, passes: passes.collect::<Result<_>>()? })
    };
    counts.into_iter().zip(segments).map(&mut of_segment).collect()
}

/// For each segment its hint, if it has one.
fn hints<E: Env>(store: &Inner<E>, segments: &[Stated<E>]) -> Vec<Option<Arc<Hint<FileOf<E>>>>> {
    let manifest = store.manifest.lock().clone();
    let sealed: HashMap<_, _> = manifest
        .segments
        .iter()
        .filter_map(|entry| match entry.state {
            SegmentState::Sealed(sealed) => Some((entry.uid, sealed)),
            SegmentState::Unsealed { .. } => None,
        })
        .collect();
    segments.iter().map(|(segment, _)| hint_of(store, segment, sealed.get(&segment.uid)?)).collect()
}

/// The hint of a sealed segment if it has one that agrees with the manifest. What cannot be read is none.
pub(super) fn hint_of<E: Env>(
    store: &Inner<E>,
    segment: &Segment<FileOf<E>>,
    sealed: &Sealed,
) -> Option<Arc<Hint<FileOf<E>>>> {
    let id = HintId { database: store.database, uid: segment.uid, segment_len: sealed.len };
    let name = names::hint(segment.number);
    let hint = Hint::open(store.dir.open(&name, false).ok()?, name, id).ok()??;
    let header = hint.header();
    let agrees = (header.entries, header.tombstones) == (sealed.records, sealed.tombstones);
    agrees.then(|| Arc::new(hint))
}

/// Where a segment ends, as far as loading goes: it may grow meanwhile.
fn end_of<F: File>(segment: &Segment<F>, stated: u64) -> u64 {
    stated.min(segment.readable_len())
}

/// What is damaged in all segments.
#[derive(Default)]
struct Damage {
    records: u64,
    /// The newest place where records were lost that no one can name.
    newest: Option<(Position, String)>,
}

impl Damage {
    /// What the loading of all segments met.
    fn of<F: File>(view: &View<F>, segments: &[(Arc<Segment<F>>, u64)], loaded: &[Loaded]) -> Self {
        let mut damage = Damage::default();
        for ((segment, stated), Loaded { from_hint, passes }) in segments.iter().zip(loaded) {
            if *from_hint {
                // What is cut off is told by its keys, which are known.
                damage.records += u64::from(end_of(segment, *stated) < *stated);
            } else {
                damage.check(view, segment, *stated, passes);
            }
        }
        damage
    }

    /// Degrades the store for what no one can name. Where there is nothing of the kind, it answers that the tombstones
    /// have done their work.
    fn settle<E: Env>(self, store: &Inner<E>) -> bool {
        store.counters.corrupt_records.fetch_add(self.records, Ordering::Relaxed);
        let Some((at, reason)) = self.newest else { return true };
        let _ = store.degraded.set(Degraded { at, reason });
        false
    }

    /// Puts the ranges of one segment together.
    fn check<F: File>(&mut self, view: &View<F>, segment: &Segment<F>, stated: u64, passes: &[Pass]) {
        let end = end_of(segment, stated);
        if end < stated {
            self.add(view, segment, end, &format!("it ends there, not at byte {stated}"));
        }
        let lost = |to: u64| format!("no record can be read up to byte {to}");
        let mut expected = Some(RECORDS_AT).filter(|_| !passes.is_empty());
        for pass in passes {
            self.records += pass.bad_values;
            for (from, to) in &pass.gaps {
                self.add(view, segment, *from, &lost(*to));
            }
            if let Some(first) = pass.first {
                if let Some(from) = expected.filter(|&from| from != first) {
                    self.add(view, segment, from, &lost(first));
                }
                expected = pass.next;
            }
        }
        if let Some(from) = expected.filter(|&from| from != end) {
            self.add(view, segment, from, &lost(end));
        }
    }

    fn add<F: File>(&mut self, view: &View<F>, segment: &Segment<F>, offset: u64, what: &str) {
        self.records += 1;
        let at = Position { rank: view.rank(segment.slot).unwrap_or(0), offset };
        if self.newest.as_ref().is_none_or(|(held, _)| *held < at) {
            self.newest = Some((at, format!("{} is damaged at byte {offset}: {what}", segment.name)));
        }
    }
}
