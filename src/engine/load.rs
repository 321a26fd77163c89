//! Fills the keydir from the segments, on all cores.
//!
//! Segments are scanned in any order and at the same time, so the keydir keeps the newest position of each key,
//! deletions included, and the deletions are swept when all segments are in. Every checksum is verified.

use super::db::{FileOf, Inner};
use super::read::Degraded;
use super::recover::RECORDS_AT;
use crate::error::Result;
use crate::format::record::Flags;
use crate::io::env::{Env, File};
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::segment::scanner::{Scanner, Step};
use crate::segment::view::{Position, Segment};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// Records entered in the keydir together, so that their cache misses overlap.
const GROUP: usize = 64;

/// A segment and the length that it is supposed to have.
type Stated<E> = (Arc<Segment<FileOf<E>>>, u64);

/// Scans all segments and answers the highest version.
pub(super) fn load<E: Env>(store: &Arc<Inner<E>>, mut segments: Vec<Stated<E>>) -> Result<u64> {
    segments.sort_by_key(|(segment, _)| std::cmp::Reverse(segment.readable_len()));
    let threads = store.env.parallelism().min(segments.len()).max(1);
    let work = Arc::new(Work {
        store: store.clone(),
        segments,
        next: AtomicUsize::new(0),
        outcome: Mutex::new(Ok(Seen::default())),
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
    let seen = std::mem::replace(&mut *work.outcome.lock(), Ok(Seen::default()))?;
    match seen.damaged_at {
        Some((at, reason)) => {
            let _ = store.degraded.set(Degraded { at, reason });
        }
        None => store.keydir.sweep_tombstones(),
    }
    store.counters.corrupt_records.fetch_add(seen.corrupt, Ordering::Relaxed);
    Ok(seen.highest_version)
}

struct Work<E: Env> {
    store: Arc<Inner<E>>,
    segments: Vec<Stated<E>>,
    next: AtomicUsize,
    outcome: Mutex<Result<Seen>>,
}

/// What was met on the way.
#[derive(Default)]
struct Seen {
    highest_version: u64,
    corrupt: u64,
    /// The newest place where records were lost that no one can name.
    damaged_at: Option<(Position, String)>,
}

impl Seen {
    fn merge(&mut self, other: Seen) {
        self.highest_version = self.highest_version.max(other.highest_version);
        self.corrupt += other.corrupt;
        let newer = |at: Position| self.damaged_at.as_ref().is_none_or(|(held, _)| *held < at);
        if other.damaged_at.as_ref().is_some_and(|(at, _)| newer(*at)) {
            self.damaged_at = other.damaged_at;
        }
    }

    fn damaged<F: File>(&mut self, segment: &Segment<F>, offset: u64, what: &str) {
        self.corrupt += 1;
        let at = Position { rank: segment.rank, offset };
        let reason = format!("{} is damaged at byte {offset}: {what}", segment.name);
        self.merge(Seen { damaged_at: Some((at, reason)), ..Seen::default() });
    }
}

impl<E: Env> Work<E> {
    fn run(&self) {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((segment, stated)) = self.segments.get(next) else {
                return;
            };
            let scanned = self.scan(segment, *stated);
            let mut outcome = self.outcome.lock();
            match (outcome.as_mut(), scanned) {
                (Ok(held), Ok(seen)) => held.merge(seen),
                (Ok(_), Err(err)) => *outcome = Err(err),
                (Err(_), _) => return,
            }
        }
    }

    fn scan(&self, segment: &Arc<Segment<FileOf<E>>>, stated: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        let end = segment.readable_len();
        if end < stated {
            seen.damaged(segment, end, &format!("it ends there, not at byte {stated}"));
        }
        let mut scanner = Scanner::new(&segment.file, &segment.name, segment.uid, RECORDS_AT, end);
        let mut group = Group { store: &self.store, segment, pairs: Vec::with_capacity(GROUP) };
        loop {
            match scanner.step()? {
                Step::Record(record) => {
                    seen.highest_version = seen.highest_version.max(record.header.version);
                    seen.corrupt += u64::from(!record.value_ok);
                    if record.header.flags.has(Flags::INTERNAL) {
                        continue;
                    }
                    let mut at = Location::new(segment.slot, record.offset, record.header.record_len());
                    if record.header.flags.has(Flags::TOMBSTONE) {
                        at = at.as_tombstone();
                    }
                    if record.header.deadline.is_some() {
                        at = at.as_expiring();
                    }
                    group.add(self.store.secret.digest(record.key), at)?;
                }
                Step::Bad { offset } => {
                    let found = scanner.resync()?;
                    let until = found.unwrap_or(end);
                    seen.damaged(segment, offset, &format!("no record can be read up to byte {until}"));
                }
                Step::End => {
                    group.flush()?;
                    return Ok(seen);
                }
            }
        }
    }
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
        self.store.keydir.load_batch(&self.pairs, |lost| {
            if !lost.is_tombstone() {
                self.store.sub_live(lost.slot(), lost.typical_len());
            }
        })?;
        self.pairs.clear();
        Ok(())
    }
}
