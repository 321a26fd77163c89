//! Walks through sorted runs in either direction: one of them, or several as one.
//!
//! A run is a hint, read and verified some blocks at a time, or entries in memory.

use super::hint_reader::Hint;
use super::runs::{MemoryRun, prefix};
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::io::env::File;
use crate::sync::Arc;
use std::cmp::Ordering;
use std::ops::Range;

/// How many blocks are read at a time, at the most: about 128 KiB.
const BLOCKS_AT_ONCE: usize = 32;

/// Records in the order of their keys, of one key the newest first.
pub enum SortedRun<F: File> {
    /// A sealed segment's.
    Hint(Arc<Hint<F>>),
    /// Some of a segment's that has no hint.
    Memory(Arc<MemoryRun>),
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys, of one key the newest record first.
    Forward,
    /// Descending keys, of one key the oldest record first.
    Reverse,
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'k> {
    /// At the end that the direction leads away from.
    End,
    /// At the first key, in the direction, that is this one or beyond it.
    At(&'k [u8]),
    /// At the first key, in the direction, that is beyond this one.
    Beyond(&'k [u8]),
}

/// A place in a run.
pub struct RunCursor<F: File> {
    run: SortedRun<F>,
    /// The blocks of a hint that `bytes` holds the entries of.
    blocks: Range<usize>,
    bytes: Vec<u8>,
    /// Where each of these entries begins.
    starts: Vec<usize>,
    /// How many blocks are read next.
    at_once: usize,
    /// The entry at the cursor, by its number in memory or among `starts`.
    at: Option<usize>,
    /// That entry, decoded.
    current: Current,
}

/// An entry whose key is somewhere else.
#[derive(Clone, Copy, Default)]
struct Current {
    /// The first bytes of its key.
    prefix: u64,
    /// Where its key is among the bytes at hand.
    key: (usize, usize),
    /// All but its key.
    head: HintEntry<'static>,
}

impl<F: File> RunCursor<F> {
    /// Nowhere in `run`.
    pub fn new(run: SortedRun<F>) -> Self {
        RunCursor {
            run,
            blocks: 0..0,
            bytes: Vec::new(),
            starts: Vec::new(),
            at_once: 1,
            at: None,
            current: Current::default(),
        }
    }

    /// The entry at the cursor, if there is one.
    #[inline]
    pub fn entry(&self) -> Option<HintEntry<'_>> {
        self.at?;
        let (start, end) = self.current.key;
        Some(HintEntry { key: &self.bytes()[start..end], ..self.current.head })
    }

    /// The bytes at hand, in which entries lie.
    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.run {
            SortedRun::Memory(run) => run.bytes(),
            SortedRun::Hint(_) => &self.bytes,
        }
    }

    /// Where entry number `at` of those at hand begins.
    #[inline]
    fn start(&self, at: usize) -> usize {
        match &self.run {
            SortedRun::Memory(run) => run.start(at),
            SortedRun::Hint(_) => self.starts[at],
        }
    }

    /// Moves to where a walk in `direction` begins.
    ///
    /// # Errors
    /// `Corrupt` when a hint is damaged; `Io`, `NoMemory`.
    pub fn seek(&mut self, start: Start<'_>, direction: Direction) -> Result<()> {
        self.at_once = 1;
        // All entries before the one wanted, or before the one behind it, are on this side of `key`.
        let (key, with_equal) = match (start, direction) {
            (Start::End, _) => return self.seek_end(direction),
            (Start::At(key), Direction::Forward) | (Start::Beyond(key), Direction::Reverse) => (key, false),
            (Start::Beyond(key), Direction::Forward) | (Start::At(key), Direction::Reverse) => (key, true),
        };
        let is_before = |entry: &HintEntry<'_>| entry.key < key || with_equal && entry.key == key;
        if let SortedRun::Hint(hint) = &self.run {
            let hint = hint.clone();
            // The last block that begins before the place holds it, or the next one begins with it.
            let (mut low, mut high) = (0, hint.block_count());
            while low < high {
                let middle = low + (high - low) / 2;
                self.load(middle..middle + 1)?;
                if is_before(&self.numbered(0)) { low = middle + 1 } else { high = middle }
            }
            let block = low.saturating_sub(1);
            self.load(block..hint.block_count().min(block + 1))?;
        }
        let before = self.partition(is_before);
        match direction {
            Direction::Forward => self.set_forward(before),
            Direction::Reverse => self.set_reverse(before),
        }
    }

    /// Moves to the next entry in `direction`, if the cursor is at one.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn advance(&mut self, direction: Direction) -> Result<()> {
        match (self.at, direction) {
            (Some(at), Direction::Forward) => self.set_forward(at + 1),
            (Some(at), Direction::Reverse) => self.set_reverse(at),
            (None, _) => Ok(()),
        }
    }

    fn seek_end(&mut self, direction: Direction) -> Result<()> {
        if let SortedRun::Hint(hint) = &self.run {
            let count = hint.block_count();
            let block = if direction == Direction::Forward { 0 } else { count.saturating_sub(1) };
            self.load(block..count.min(block + 1))?;
        }
        match direction {
            Direction::Forward => self.set_forward(0),
            Direction::Reverse => self.set_reverse(self.held()),
        }
    }

    /// Stands at entry number `at` of those at hand, or at the first of the next blocks.
    fn set_forward(&mut self, at: usize) -> Result<()> {
        if at < self.held() {
            return self.set(Some(at));
        }
        let SortedRun::Hint(hint) = &self.run else { return self.set(None) };
        let (from, count) = (self.blocks.end, hint.block_count());
        if from >= count {
            return self.set(None);
        }
        self.at_once = (2 * self.at_once).min(BLOCKS_AT_ONCE);
        self.load(from..count.min(from + self.at_once))?;
        self.set(Some(0))
    }

    /// Stands at the entry before number `at` of those at hand, or at the last of the blocks before.
    fn set_reverse(&mut self, at: usize) -> Result<()> {
        if at > 0 {
            return self.set(Some(at - 1));
        }
        let to = self.blocks.start;
        if to == 0 {
            return self.set(None);
        }
        self.at_once = (2 * self.at_once).min(BLOCKS_AT_ONCE);
        self.load(to.saturating_sub(self.at_once)..to)?;
        self.set(Some(self.held() - 1))
    }

    #[inline]
    fn set(&mut self, at: Option<usize>) -> Result<()> {
        self.at = at;
        if let Some(at) = at {
            let start = self.start(at);
            let rest = &self.bytes()[start..];
            let (entry, after) = HintEntry::decode(rest).expect("it was verified");
            let end = start + rest.len() - after.len();
            let key = (end - entry.key.len(), end);
            self.current = Current { prefix: prefix(entry.key), key, head: HintEntry { key: &[], ..entry } };
        }
        Ok(())
    }

    /// How many entries are at hand.
    #[inline]
    fn held(&self) -> usize {
        match &self.run {
            SortedRun::Memory(run) => run.len(),
            SortedRun::Hint(_) => self.starts.len(),
        }
    }

    #[inline]
    fn numbered(&self, at: usize) -> HintEntry<'_> {
        HintEntry::decode(&self.bytes()[self.start(at)..]).expect("it was verified").0
    }

    /// How many of the entries at hand are before a place, which they are first of all.
    fn partition(&self, is_before: impl Fn(&HintEntry<'_>) -> bool) -> usize {
        let (mut low, mut high) = (0, self.held());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(&self.numbered(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Takes the entries of `blocks` at hand, each of which has one.
    fn load(&mut self, blocks: Range<usize>) -> Result<()> {
        let SortedRun::Hint(hint) = &self.run else { return Ok(()) };
        let damaged = || Error::corrupt(hint.name(), 0, "a block does not match its checksum");
        (self.at, self.blocks) = (None, blocks.clone());
        self.bytes.clear();
        self.starts.clear();
        if blocks.is_empty() {
            return Ok(());
        }
        if !hint.read_bytes(blocks, &mut self.bytes)? {
            return Err(damaged());
        }
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            self.starts.push(self.bytes.len() - rest.len());
            (_, rest) = HintEntry::decode(rest).ok_or_else(damaged)?;
        }
        if self.starts.is_empty() { Err(damaged()) } else { Ok(()) }
    }
}

/// A run among others.
pub struct Input<F: File> {
    /// The run.
    pub run: SortedRun<F>,
    /// Its segment's place in the log, among the inputs.
    pub rank: usize,
}

/// Several runs as one: by key in a direction; in which order the records of one key come is left open.
pub struct MergedRuns<F: File> {
    cursors: Vec<(RunCursor<F>, usize)>,
    /// A binary heap of cursors that stand at an entry; the first is where the next key is.
    heap: Vec<usize>,
    direction: Direction,
}

impl<F: File> MergedRuns<F> {
    /// Nowhere in the inputs.
    pub fn new(inputs: impl IntoIterator<Item = Input<F>>, direction: Direction) -> Self {
        let cursors = inputs.into_iter().map(|input| (RunCursor::new(input.run), input.rank)).collect();
        MergedRuns { cursors, heap: Vec::new(), direction }
    }

    /// Moves to where a walk begins.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    pub fn seek(&mut self, start: Start<'_>) -> Result<()> {
        self.heap.clear();
        for (at, (cursor, _)) in self.cursors.iter_mut().enumerate() {
            cursor.seek(start, self.direction)?;
            if cursor.at.is_some() {
                self.heap.push(at);
            }
        }
        (0..self.heap.len() / 2).rev().for_each(|at| self.sift_down(at));
        Ok(())
    }

    /// Moves to the next record.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn advance(&mut self) -> Result<()> {
        let Some(&first) = self.heap.first() else { return Ok(()) };
        let (cursor, _) = &mut self.cursors[first];
        cursor.advance(self.direction)?;
        if cursor.at.is_none() {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(())
    }

    /// Whether the walk has come to a record of `key`, of which `prefix` are the first bytes.
    #[inline]
    pub fn is_at(&self, key: &[u8], prefix: u64) -> bool {
        let Some(&first) = self.heap.first() else { return false };
        let (cursor, _) = &self.cursors[first];
        cursor.current.prefix == prefix && cursor.entry().is_some_and(|entry| entry.key == key)
    }

    /// The record that the walk has come to, and the rank of its segment.
    #[inline]
    pub fn entry(&self) -> Option<(usize, HintEntry<'_>)> {
        let (cursor, rank) = &self.cursors[*self.heap.first()?];
        Some((*rank, cursor.entry()?))
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let (a, b) = (&self.cursors[a].0, &self.cursors[b].0);
        let ascending = a.current.prefix.cmp(&b.current.prefix).then_with(|| match (a.entry(), b.entry()) {
            (Some(a), Some(b)) => a.key.cmp(b.key),
            _ => Ordering::Equal,
        });
        if self.direction == Direction::Forward { ascending } else { ascending.reverse() }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = (2 * at + 1..2 * at + 3).filter(|&child| child < self.heap.len());
            let least = children.min_by(|&a, &b| self.compare(self.heap[a], self.heap[b]));
            match least {
                Some(child) if self.compare(self.heap[child], self.heap[at]).is_lt() => {
                    self.heap.swap(at, child);
                    at = child;
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::coding::Id128;
    use crate::format::record::{Draft, Flags, RecordHeader};
    use crate::io::env::{Dir, DirOptions, Env};
    use crate::io::sim::{Rng, Sim, SimFile};
    use crate::keydir::Secret;
    use crate::segment::hint_writer::{HintBuilder, HintId};
    use std::path::Path;

    const DIR: &str = "/hints";

    fn key(n: usize) -> Vec<u8> {
        format!("key {n:06}").into_bytes()
    }

    /// A hint of these keys, at offsets that ascend.
    fn hint(sim: &Sim, number: u64, keys: &[usize]) -> Arc<Hint<SimFile>> {
        let options = DirOptions { create: false, file_mode: 0o600 };
        let dir = sim.open_dir(Path::new(DIR), options).unwrap();
        let id = HintId { database: Id128([1; 16]), uid: number, segment_len: 1 << 24 };
        let (name, mut builder) = (number.to_string(), HintBuilder::default());
        for (offset, n) in (1..).map(|n| 8 * n).zip(keys) {
            let header = Draft::new(&key(*n), b"", Flags::NONE, None).header(number, number, offset);
            builder.add(&RecordHeader::decode(&header).unwrap(), &key(*n), offset).unwrap();
        }
        let file = dir.create(&name).unwrap();
        assert!(builder.write(&file, &name, id, &Secret::new(&[0; 16]), || true).unwrap());
        Arc::new(Hint::open(dir.open(&name, false).unwrap(), name, id).unwrap().unwrap())
    }

    #[test]
    fn every_start_in_either_direction_finds_what_lies_behind_it() {
        let (sim, mut rng) = (Sim::new(1), Rng::derive(&[3]));
        sim.make_dirs(DIR);
        // Many blocks each; the records of one key fill several.
        let keys: [Vec<usize>; 4] = [
            (0..9_000).filter(|n| n % 3 == 0).collect(),
            (0..2_000).map(|_| rng.below(9_000)).collect(),
            Vec::new(),
            std::iter::repeat_n(700, 600).chain(600..900).collect(),
        ];
        let hints: Vec<_> = (0..).zip(&keys).map(|(number, keys)| hint(&sim, number, keys)).collect();
        let mut sorted: Vec<usize> = keys.concat();
        sorted.sort_unstable();
        for (direction, round) in [Direction::Forward, Direction::Reverse].into_iter().zip([0, 1]) {
            let inputs = hints.iter().enumerate();
            let inputs = inputs.map(|(rank, hint)| Input { run: SortedRun::Hint(hint.clone()), rank });
            let mut runs = MergedRuns::new(inputs, direction);
            for round in round..200 {
                let n = if round % 3 == 0 { 650 + rng.below(100) } else { rng.below(9_002) };
                let name = key(n);
                let start = [Start::End, Start::At(&name), Start::Beyond(&name)][round % 3];
                let is_behind = |other: &&usize| match (start, direction) {
                    (Start::End, _) => true,
                    (Start::At(_), Direction::Forward) => **other >= n,
                    (Start::At(_), Direction::Reverse) => **other <= n,
                    (Start::Beyond(_), Direction::Forward) => **other > n,
                    (Start::Beyond(_), Direction::Reverse) => **other < n,
                };
                let mut expected: Vec<_> = sorted.iter().filter(is_behind).map(|n| key(*n)).collect();
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                let most = if round % 20 == 0 { usize::MAX } else { 1_500 };
                runs.seek(start).unwrap();
                let mut found = Vec::new();
                while let Some((_, entry)) = runs.entry().filter(|_| found.len() < most) {
                    found.push(entry.key.to_vec());
                    runs.advance().unwrap();
                }
                assert!(found == expected[..most.min(expected.len())], "{start:?} {direction:?}");
            }
        }
    }

    #[test]
    fn a_damaged_block_is_an_error_and_not_an_end() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let hint = hint(&sim, 1, &(0..3000).collect::<Vec<_>>());
        sim.corrupt(DIR, "1", 30_000, 1);
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut cursor = RunCursor::new(SortedRun::Hint(hint.clone()));
            cursor.seek(Start::End, direction).unwrap();
            let walk = (0..3000).try_for_each(|_| cursor.advance(direction));
            assert!(matches!(walk, Err(Error::Corrupt { .. })));
        }
    }
}
