//! Fills the keydir from the segments, on all cores.
//!
//! Segments are cut into ranges that are scanned in any order and at the same time. The keydir keeps the newest
//! position of each key, deletions included, and the deletions are swept when all is in. A range begins at the
//! first record found in it, and when all are done each must begin where the one before it ended: what lies
//! between is damage. Every checksum is verified.

use super::listed::RECORDS_AT;
use super::shared::{Degraded, FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::manifest::Sealed;
use crate::format::record::Flags;
use crate::io::env::{Env, File};
use crate::keydir::Digest;
use crate::keydir::location::{Location, MAX_RECORD_OFFSET};
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::segment::view::{Position, Segment};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// Records entered in the keydir together, so that their cache misses overlap.
const GROUP: usize = 64;
/// How much of a segment one thread takes at a time.
const RANGE_BYTES: u64 = 16 << 20;

/// A segment and the length that it is supposed to have.
type Stated<E> = (Arc<Segment<FileOf<E>>>, u64);

/// What loading found out.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) highest_version: u64,
    /// What the writer's active segment holds.
    pub(super) youngest: Sealed,
}

/// Scans all segments.
pub(super) fn load<E: Env>(store: &Arc<Inner<E>>, segments: &[Stated<E>]) -> Result<Seen> {
    // Memory that is ready as a whole comes in huge pages, which loading feels more than anything else.
    while store.keydir.prepare() {}
    let ranges: Vec<_> = segments.iter().flat_map(|(segment, _)| ranges(segment)).collect();
    // Twice as many threads as can run: while some wait for the device, the others compute.
    let threads = (2 * store.env.parallelism()).min(ranges.len()).max(1);
    let passes = ranges.iter().map(|_| None).collect();
    let work = Arc::new(Work {
        store: store.clone(),
        ranges,
        next: AtomicUsize::new(0),
        passes: Mutex::new(passes),
    });
    let mut helpers = Vec::new();
    for _ in 1..threads {
        let work = work.clone();
        match store.env.spawn("bitcask-load", Box::new(move || work.run())) {
            Ok(Some(thread)) => helpers.push(thread),
            Ok(None) | Err(_) => break,
        }
    }
    work.run();
    for helper in helpers {
        helper.join();
    }
    let mut passes = std::mem::take(&mut *work.passes.lock()).into_iter();
    let active = store.writer().ok().map(|writer| writer.lock().active().uid);
    let (mut seen, mut damage) = (Seen::default(), Damage::default());
    for (segment, stated) in segments {
        let passes = passes.by_ref().take(ranges_of(segment).count());
        let died = || Err(Error::io("load", &segment.name, std::io::Error::other("a loading thread died")));
        let passes: Vec<_> = passes.map(|pass| pass.unwrap_or_else(died)).collect::<Result<_>>()?;
        damage.check(segment, *stated, &passes);
        let mut held = Sealed { len: segment.readable_len(), ..Sealed::default() };
        for pass in &passes {
            held.records += pass.records;
            held.tombstones += pass.tombstones;
            held.highest_version = held.highest_version.max(pass.highest_version);
        }
        seen.highest_version = seen.highest_version.max(held.highest_version);
        if active == Some(segment.uid) {
            seen.youngest = held;
        }
    }
    store.counters.corrupt_records.fetch_add(damage.records, Ordering::Relaxed);
    match damage.newest {
        Some((at, reason)) => {
            let _ = store.degraded.set(Degraded { at, reason });
        }
        None => store.keydir.sweep_tombstones(),
    }
    Ok(seen)
}

/// A part of a segment.
struct Range<E: Env> {
    segment: Arc<Segment<FileOf<E>>>,
    from: u64,
    to: u64,
}

fn ranges_of<F: File>(segment: &Segment<F>) -> impl Iterator<Item = (u64, u64)> {
    // No location can name a record that begins further on, so there is none.
    let end = segment.readable_len().min(MAX_RECORD_OFFSET);
    let step = usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX);
    (RECORDS_AT..end).step_by(step).map(move |from| (from, (from + RANGE_BYTES).min(end)))
}

fn ranges<E: Env>(segment: &Arc<Segment<FileOf<E>>>) -> Vec<Range<E>> {
    ranges_of(segment).map(|(from, to)| Range { segment: segment.clone(), from, to }).collect()
}

/// What was met in a range.
#[derive(Default)]
struct Pass {
    records: u64,
    tombstones: u64,
    highest_version: u64,
    bad_values: u64,
    /// Where the first record begins, if one does.
    first: Option<u64>,
    /// Where the record after the last begins; `None` when the range ends in damage.
    next: Option<u64>,
    /// Damage between records: from, to.
    gaps: Vec<(u64, u64)>,
}

/// What is damaged in all segments.
#[derive(Default)]
struct Damage {
    records: u64,
    /// The newest place where records were lost that no one can name.
    newest: Option<(Position, String)>,
}

impl Damage {
    /// Puts the ranges of one segment together.
    fn check<F: File>(&mut self, segment: &Segment<F>, stated: u64, passes: &[Pass]) {
        let end = segment.readable_len();
        if end < stated {
            self.add(segment, end, &format!("it ends there, not at byte {stated}"));
        }
        let lost = |to: u64| format!("no record can be read up to byte {to}");
        let mut expected = Some(RECORDS_AT).filter(|_| !passes.is_empty());
        for pass in passes {
            self.records += pass.bad_values;
            for (from, to) in &pass.gaps {
                self.add(segment, *from, &lost(*to));
            }
            if let Some(first) = pass.first {
                if let Some(from) = expected.filter(|&from| from != first) {
                    self.add(segment, from, &lost(first));
                }
                expected = pass.next;
            }
        }
        if let Some(from) = expected.filter(|&from| from != end) {
            self.add(segment, from, &lost(end));
        }
    }

    fn add<F: File>(&mut self, segment: &Segment<F>, offset: u64, what: &str) {
        self.records += 1;
        let at = Position { rank: segment.rank, offset };
        if self.newest.as_ref().is_none_or(|(held, _)| *held < at) {
            self.newest = Some((at, format!("{} is damaged at byte {offset}: {what}", segment.name)));
        }
    }
}

struct Work<E: Env> {
    store: Arc<Inner<E>>,
    ranges: Vec<Range<E>>,
    next: AtomicUsize,
    passes: Mutex<Vec<Option<Result<Pass>>>>,
}

impl<E: Env> Work<E> {
    fn run(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = self.ranges.get(at) else {
                return;
            };
            let pass = self.scan(range);
            self.passes.lock()[at] = Some(pass);
        }
    }

    fn scan(&self, range: &Range<E>) -> Result<Pass> {
        let Range { segment, from, to } = range;
        let mut scanner =
            Scanner::new(&segment.file, &segment.name, segment.uid, *from, segment.readable_len());
        let mut pass = Pass::default();
        let mut group = Group { store: &self.store, segment, pairs: Vec::with_capacity(GROUP) };
        pass.first = scanner.seek(*from, *to)?;
        if pass.first.is_none() {
            return Ok(pass);
        }
        while scanner.position() < *to {
            match scanner.step()? {
                Step::Record(record) => {
                    pass.count(&record);
                    if !record.header.flags.has(Flags::INTERNAL) {
                        let digest = self.store.secret.digest(record.key);
                        group.add(digest, location(segment, &record))?;
                    }
                }
                Step::Bad { offset } => match scanner.resync(*to)? {
                    Some(until) => pass.gaps.push((offset, until)),
                    None => {
                        pass.gaps.push((offset, *to));
                        group.flush()?;
                        return Ok(pass);
                    }
                },
                Step::End => break,
            }
        }
        pass.next = Some(scanner.position());
        group.flush()?;
        Ok(pass)
    }
}

impl Pass {
    fn count(&mut self, record: &Scanned<'_>) {
        self.bad_values += u64::from(!record.value_ok);
        if !record.header.flags.has(Flags::INTERNAL) {
            self.records += 1;
            self.tombstones += u64::from(record.header.flags.has(Flags::TOMBSTONE));
            self.highest_version = self.highest_version.max(record.header.version);
        }
    }
}

fn location<F: File>(segment: &Segment<F>, record: &Scanned<'_>) -> Location {
    let mut at = Location::new(segment.slot, record.offset, record.header.record_len());
    if record.header.flags.has(Flags::TOMBSTONE) {
        at = at.as_tombstone();
    }
    if record.header.deadline.is_some() {
        at = at.as_expiring();
    }
    at
}

struct Group<'a, E: Env> {
    store: &'a Inner<E>,
    segment: &'a Segment<FileOf<E>>,
    pairs: Vec<(Digest, Location)>,
}

impl<E: Env> Group<'_, E> {
    fn add(&mut self, digest: Digest, at: Location) -> Result<()> {
        self.pairs.push((digest, at));
        if self.pairs.len() == GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let live =
            self.pairs.iter().filter(|(_, at)| !at.is_tombstone()).map(|(_, at)| at.typical_len()).sum();
        self.segment.add_live(live);
        let view = self.store.view.load();
        self.store.keydir.load_batch(&self.pairs, |lost| {
            if let Some(segment) = view.segment(lost.slot()).filter(|_| !lost.is_tombstone()) {
                segment.sub_live(lost.typical_len());
            }
        })?;
        self.pairs.clear();
        Ok(())
    }
}
