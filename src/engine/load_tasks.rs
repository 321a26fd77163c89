//! Reads segments into the keydir, in parts that any thread may take in any order.
//!
//! A part is a range of a segment, every record of which is verified, or some blocks of its hint. The keydir keeps the
//! newest position of each key, deletions included, so a part may also be read twice.

use super::listed::RECORDS_AT;
use super::shared::{FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::record::Flags;
use crate::io::env::{Env, File};
use crate::keydir::location::{Location, MAX_RECORD_OFFSET, SegmentSlot};
use crate::keydir::{Digest, Keydir};
use crate::segment::hint_reader::Hint;
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::segment::view::Segment;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use std::ops::Range;

/// Records entered in the keydir together, so that their cache misses overlap.
const GROUP: usize = 64;
/// How much of a segment one thread takes at a time.
const RANGE_BYTES: u64 = 16 << 20;
/// How many blocks of a hint one thread takes at a time: about 4 MiB.
const RANGE_BLOCKS: usize = 1024;

/// What one thread takes at a time.
pub(super) struct Task<E: Env> {
    segment: Arc<Segment<FileOf<E>>>,
    part: Part<FileOf<E>>,
}

enum Part<F: File> {
    Data { from: u64, to: u64 },
    Hint { hint: Arc<Hint<F>>, blocks: Range<usize> },
}

impl<E: Env> Task<E> {
    /// The parts of a segment that ends at `end`.
    pub(super) fn of_data(segment: &Arc<Segment<FileOf<E>>>, end: u64) -> impl Iterator<Item = Self> {
        // No location can name a record that begins further on, so there is none.
        let end = end.min(MAX_RECORD_OFFSET);
        let step = usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX);
        (RECORDS_AT..end).step_by(step).map(move |from| Task {
            segment: segment.clone(),
            part: Part::Data { from, to: (from + RANGE_BYTES).min(end) },
        })
    }

    /// The parts of a segment's hint.
    pub(super) fn of_hint(
        segment: &Arc<Segment<FileOf<E>>>,
        hint: Arc<Hint<FileOf<E>>>,
    ) -> impl Iterator<Item = Self> {
        let end = hint.block_count();
        (0..end).step_by(RANGE_BLOCKS).map(move |from| {
            let blocks = from..end.min(from + RANGE_BLOCKS);
            Task { segment: segment.clone(), part: Part::Hint { hint: hint.clone(), blocks } }
        })
    }
}

/// What was met in a part.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) records: u64,
    pub(super) tombstones: u64,
    pub(super) highest_version: u64,
    /// Bytes of records that are no deletions, by size class, dead or not.
    pub(super) value_bytes: u64,
    pub(super) bad_values: u64,
    /// Where the first record begins, if one does.
    pub(super) first: Option<u64>,
    /// Where the record after the last begins; `None` when the range ends in damage.
    pub(super) next: Option<u64>,
    /// Damage between records: from, to.
    pub(super) gaps: Vec<(u64, u64)>,
    /// Whether the hint was damaged.
    pub(super) bad_hint: bool,
}

impl Pass {
    fn count(&mut self, flags: Flags, version: u64) {
        self.records += 1;
        self.tombstones += u64::from(flags.has(Flags::TOMBSTONE));
        self.highest_version = self.highest_version.max(version);
    }
}

/// Does `tasks` on all cores, for the store's keydir or one apart from it; each has its outcome, or `None` when the
/// thread that took it died.
pub(super) fn run<E: Env>(
    store: &Arc<Inner<E>>,
    tasks: Vec<Task<E>>,
    apart: Option<&Arc<Keydir>>,
) -> Vec<Option<Result<Pass>>> {
    // Twice as many threads as can run: while some wait for the device, the others compute.
    let threads = (2 * store.env.parallelism()).min(tasks.len()).max(1);
    let passes = tasks.iter().map(|_| None).collect();
    let next = AtomicUsize::new(0);
    let (store, apart) = (store.clone(), apart.cloned());
    let work = Arc::new(Work { store, apart, tasks, next, passes: Mutex::new(passes) });
    let mut helpers = Vec::new();
    for _ in 1..threads {
        let its_work = work.clone();
        match work.store.env.spawn("bitcask-load", Box::new(move || its_work.run())) {
            Ok(Some(thread)) => helpers.push(thread),
            Ok(None) | Err(_) => break,
        }
    }
    work.run();
    for helper in helpers {
        helper.join();
    }
    std::mem::take(&mut *work.passes.lock())
}

struct Work<E: Env> {
    store: Arc<Inner<E>>,
    apart: Option<Arc<Keydir>>,
    tasks: Vec<Task<E>>,
    next: AtomicUsize,
    passes: Mutex<Vec<Option<Result<Pass>>>>,
}

impl<E: Env> Work<E> {
    fn run(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = self.tasks.get(at) else {
                return;
            };
            let pass = match &task.part {
                Part::Data { from, to } => self.scan(&task.segment, *from, *to),
                Part::Hint { hint, blocks } => self.read_hint(&task.segment, hint, blocks.clone()),
            };
            self.passes.lock()[at] = Some(pass);
        }
    }

    fn scan(&self, segment: &Segment<FileOf<E>>, from: u64, to: u64) -> Result<Pass> {
        let mut scanner =
            Scanner::new(&segment.file, &segment.name, segment.uid, from, segment.readable_len());
        let mut pass = Pass::default();
        let mut group = Group::new(&self.store, self.apart.as_deref(), segment);
        pass.first = scanner.seek(from, to)?;
        if pass.first.is_none() {
            return Ok(pass);
        }
        while scanner.position() < to {
            match scanner.step()? {
                Step::Record(record) => {
                    pass.bad_values += u64::from(!record.value_ok);
                    if !record.header.flags.has(Flags::INTERNAL) {
                        pass.count(record.header.flags, record.header.version);
                        group.add_record(&record)?;
                    }
                }
                Step::Bad { offset } => match scanner.resync(to)? {
                    Some(until) => pass.gaps.push((offset, until)),
                    None => {
                        pass.gaps.push((offset, to));
                        group.flush()?;
                        return Ok(pass);
                    }
                },
                Step::End => break,
            }
        }
        pass.next = Some(scanner.position());
        group.flush()?;
        pass.value_bytes = group.value_bytes;
        Ok(pass)
    }

    fn read_hint(
        &self,
        segment: &Segment<FileOf<E>>,
        hint: &Hint<FileOf<E>>,
        blocks: Range<usize>,
    ) -> Result<Pass> {
        let mut pass = Pass::default();
        let mut group = Group::new(&self.store, self.apart.as_deref(), segment);
        let end = hint.header().segment_len;
        let whole = hint.read(blocks, |entry| {
            pass.count(entry.flags, entry.version);
            // Bytes with a true checksum that name a place outside the segment were not written by this library.
            if entry.offset + entry.record_len() > end {
                return Err(Error::corrupt(
                    &segment.name,
                    entry.offset,
                    "its hint names a record past its end",
                ));
            }
            group.add(entry.key, entry.flags, entry.deadline.is_some(), entry.offset, entry.record_len())
        });
        match whole {
            Ok(true) => {
                group.flush()?;
                pass.value_bytes = group.value_bytes;
            }
            Ok(false) | Err(Error::Corrupt { .. } | Error::Io { .. }) => pass.bad_hint = true,
            Err(err) => return Err(err),
        }
        Ok(pass)
    }
}

/// The place of a record that was read at `offset` of the segment at `slot`.
pub(super) fn location(slot: SegmentSlot, offset: u64, len: u64, flags: Flags, expires: bool) -> Location {
    let mut at = Location::new(slot, offset, len);
    if flags.has(Flags::TOMBSTONE) {
        at = at.as_tombstone();
    }
    if expires {
        at = at.as_expiring();
    }
    at
}

/// Enters records of `segment` in the keydir, and counts which are live. Answers the bytes of values among them.
pub(super) fn enter<E: Env>(
    store: &Inner<E>,
    segment: &Segment<FileOf<E>>,
    pairs: &[(Digest, Location)],
) -> Result<u64> {
    let values = pairs.iter().filter(|(_, at)| !at.is_tombstone()).map(|(_, at)| at.typical_len()).sum();
    segment.add_live(values);
    let view = store.view.load();
    let rank = |slot| view.rank(slot);
    store.keydir.load_batch(pairs, rank, |lost| {
        if let Some(segment) = view.segment(lost.slot()).filter(|_| !lost.is_tombstone()) {
            segment.sub_live(lost.typical_len());
        }
    })?;
    Ok(values)
}

/// Records on their way into the keydir.
struct Group<'a, E: Env> {
    store: &'a Inner<E>,
    apart: Option<&'a Keydir>,
    segment: &'a Segment<FileOf<E>>,
    pairs: Vec<(Digest, Location)>,
    value_bytes: u64,
}

impl<'a, E: Env> Group<'a, E> {
    fn new(store: &'a Inner<E>, apart: Option<&'a Keydir>, segment: &'a Segment<FileOf<E>>) -> Self {
        Group { store, apart, segment, pairs: Vec::with_capacity(GROUP), value_bytes: 0 }
    }

    fn add_record(&mut self, record: &Scanned<'_>) -> Result<()> {
        let header = &record.header;
        self.add(record.key, header.flags, header.deadline.is_some(), record.offset, header.record_len())
    }

    fn add(&mut self, key: &[u8], flags: Flags, expires: bool, offset: u64, len: u64) -> Result<()> {
        let at = location(self.segment.slot, offset, len, flags, expires);
        self.pairs.push((self.store.secret.digest(key), at));
        if self.pairs.len() == GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        match self.apart {
            // The segments' counts are those of the store's own.
            Some(index) => {
                let view = self.store.view.load();
                index.load_batch(&self.pairs, |slot| view.rank(slot), |_| ())?;
            }
            None => self.value_bytes += enter(self.store, self.segment, &self.pairs)?,
        }
        self.pairs.clear();
        Ok(())
    }
}
