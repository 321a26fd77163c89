//! Sorted runs of a segment that has no hint: its records without their values, kept in memory.
//!
//! Runs are made when a scan asks for them, of what was appended since the last one asked: that much is sorted, and then
//! merged with earlier runs that are not much larger, so that there are few of them and each record is merged few times.

use super::scanner::{Scanned, Scanner, Step};
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::format::record::Flags;
use crate::format::segment_header::SEGMENT_HEADER_LEN;
use crate::io::env::File;
use crate::sync::{Arc, Mutex};
use std::cmp::Ordering;

/// Records of one segment in the order of their keys, of one key the newest first.
#[derive(Default)]
pub struct MemoryRun {
    /// The entries one behind the other, as a hint has them.
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl MemoryRun {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Entry number `at`, which is there.
    pub fn entry(&self, at: usize) -> HintEntry<'_> {
        let (entry, _) = HintEntry::decode(&self.bytes[self.starts[at]..]).expect("it was encoded here");
        entry
    }

    /// All entries, one behind the other as a hint has them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where entry number `at` begins.
    pub fn start(&self, at: usize) -> usize {
        self.starts[at]
    }

    fn push(&mut self, entry: &HintEntry<'_>) -> Result<()> {
        let most = entry.key.len() + 64;
        self.bytes.try_reserve(most).map_err(|_| Error::NoMemory { bytes: self.bytes.len() + most })?;
        self.starts.try_reserve(1).map_err(|_| Error::no_memory::<usize>(self.len() + 1))?;
        self.starts.push(self.bytes.len());
        entry.encode(&mut self.bytes);
        Ok(())
    }

    fn add(&mut self, record: &Scanned<'_>) -> Result<()> {
        self.push(&HintEntry::of(&record.header, record.key, record.offset))
    }

    /// The same entries in order.
    fn sorted(self) -> Result<Self> {
        let mut order: Vec<(u64, usize)> = Vec::new();
        order.try_reserve_exact(self.len()).map_err(|_| Error::no_memory::<(u64, usize)>(self.len()))?;
        order.extend((0..self.len()).map(|at| (prefix(self.entry(at).key), at)));
        order
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&self.entry(a.1), &self.entry(b.1))));
        let mut sorted = MemoryRun::default();
        order.iter().try_for_each(|&(_, at)| sorted.push(&self.entry(at)))?;
        Ok(sorted)
    }

    fn merged(a: &Self, b: &Self) -> Result<Self> {
        let (mut merged, mut left, mut right) = (MemoryRun::default(), 0, 0);
        while left < a.len() || right < b.len() {
            let from_left = right == b.len()
                || left < a.len() && compare(&a.entry(left), &b.entry(right)) == Ordering::Less;
            if from_left {
                merged.push(&a.entry(left))?;
                left += 1;
            } else {
                merged.push(&b.entry(right))?;
                right += 1;
            }
        }
        Ok(merged)
    }
}

/// The first eight bytes of a key as a number: it decides most comparisons.
#[inline]
pub fn prefix(key: &[u8]) -> u64 {
    u64::from_be_bytes(padded(key))
}

/// How many bytes of a key [`first_bytes`] has.
pub const FIRST_BYTES: usize = size_of::<u128>();

/// The first sixteen bytes likewise.
#[inline]
pub fn first_bytes(key: &[u8]) -> u128 {
    u128::from_be_bytes(padded(key))
}

/// The first bytes of a key, and zeros where it has none.
#[inline]
fn padded<const N: usize>(key: &[u8]) -> [u8; N] {
    if let Some(head) = key.first_chunk() {
        return *head;
    }
    let mut head = [0; N];
    head[..key.len()].copy_from_slice(key);
    head
}

fn compare(a: &HintEntry<'_>, b: &HintEntry<'_>) -> Ordering {
    a.key.cmp(b.key).then(b.offset.cmp(&a.offset))
}

/// The runs of one segment.
#[derive(Default)]
pub struct Runs(Mutex<State>);

#[derive(Default)]
struct State {
    /// Every record before this offset is in a run.
    upto: u64,
    /// Each at least twice as large as the next.
    runs: Vec<Arc<MemoryRun>>,
}

impl Runs {
    /// The runs, with all records before `end` in them and maybe later ones; `scan` begins a pass over the segment from
    /// one offset to another.
    ///
    /// # Errors
    /// `Corrupt` when something before `end` is no record; `Io`, `NoMemory`.
    pub fn upto<'s, F: File>(
        &self,
        end: u64,
        scan: impl FnOnce(u64, u64) -> Scanner<'s, F>,
    ) -> Result<Vec<Arc<MemoryRun>>> {
        let mut state = self.0.lock();
        if state.upto < end {
            let run = read(scan(state.upto.max(SEGMENT_HEADER_LEN as u64), end))?;
            if !run.is_empty() {
                state.add(run)?;
            }
            state.upto = end;
        }
        Ok(state.runs.clone())
    }

    /// Lets the memory go.
    pub fn clear(&self) {
        *self.0.lock() = State::default();
    }
}

impl State {
    fn add(&mut self, mut run: MemoryRun) -> Result<()> {
        let mut runs = self.runs.clone();
        while let Some(last) = runs.pop_if(|last| last.len() < 2 * run.len()) {
            run = MemoryRun::merged(&last, &run)?;
        }
        runs.push(Arc::new(run));
        self.runs = runs;
        Ok(())
    }
}

fn read<F: File>(mut scanner: Scanner<'_, F>) -> Result<MemoryRun> {
    let mut run = MemoryRun::default();
    loop {
        match scanner.step()? {
            Step::Record(record) if record.header.flags.has(Flags::INTERNAL) => {}
            Step::Record(record) => run.add(&record)?,
            Step::Bad { offset } => {
                return Err(Error::corrupt(scanner.name(), offset, "a scan found no record there"));
            }
            Step::End => return run.sorted(),
        }
    }
}
