//! Walks through a sorted run in either direction.
//!
//! A run is a chain of links, each of a segment: its hint, read and verified some blocks at a time, or entries in memory.
//! The keys of a link are all less than those of the next.

use super::hint_reader::Hint;
use super::runs::{MemoryRun, prefix};
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::format::names;
use crate::io::env::File;
use crate::sync::Arc;
use std::ops::Range;

/// How many blocks are read at a time, at the most: about 64 KiB, so that those of ten runs stay in the processor's cache.
const BLOCKS_AT_ONCE: usize = 16;

/// Records in the order of their keys, of one key the newest first.
pub enum SortedRun<F: File> {
    /// A sealed segment's.
    Hint(Arc<Hint<F>>),
    /// Some of a segment's that has no hint.
    Memory(Arc<MemoryRun>),
}

/// A link of a run.
pub struct Link<F: File> {
    /// Its records.
    pub records: SortedRun<F>,
    /// The place of their segment in the log.
    pub rank: usize,
    /// The sorted run that the segment is of, when a merge wrote it.
    pub run: Option<u64>,
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
    chain: Vec<Link<F>>,
    direction: Direction,
    /// The link that the cursor is in.
    link: usize,
    /// The blocks of a hint that `bytes` holds the entries of.
    blocks: Range<usize>,
    bytes: Vec<u8>,
    /// Where each of these entries begins. Nobody asks before a walk goes backwards or has to find its start.
    starts: Vec<usize>,
    /// How many blocks are read next.
    at_once: usize,
    /// The entry at the cursor, if it is at one.
    current: Option<Current>,
}

/// An entry among the bytes at hand.
#[derive(Clone, Copy)]
struct Current {
    /// Its number, if the walk goes backwards.
    number: usize,
    /// The first bytes of its key.
    prefix: u64,
    /// Where its key is, which it ends with.
    key: (usize, usize),
    /// All but its key.
    head: HintEntry<'static>,
}

impl<F: File> RunCursor<F> {
    /// Nowhere in the run of these links.
    pub fn new(chain: Vec<Link<F>>, direction: Direction) -> Self {
        RunCursor {
            chain,
            direction,
            link: 0,
            blocks: 0..0,
            bytes: Vec::new(),
            starts: Vec::new(),
            at_once: 1,
            current: None,
        }
    }

    /// The entry at the cursor, if there is one.
    #[inline]
    pub fn entry(&self) -> Option<HintEntry<'_>> {
        let current = self.current.as_ref()?;
        Some(HintEntry { key: &self.bytes()[current.key.0..current.key.1], ..current.head })
    }

    /// The first bytes of the key at the cursor, as a number; 0 where there is none.
    #[inline]
    pub fn prefix(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.prefix)
    }

    /// The place in the log of the segment that the cursor is in.
    #[inline]
    pub fn rank(&self) -> usize {
        self.chain.get(self.link).map_or(0, |link| link.rank)
    }

    /// Moves to where a walk begins.
    ///
    /// # Errors
    /// `Corrupt` when a hint is damaged; `Io`, `NoMemory`.
    pub fn seek(&mut self, start: Start<'_>) -> Result<()> {
        self.at_once = 1;
        // All entries before the one wanted, or before the one behind it, are on this side of `key`.
        let (key, with_equal) = match (start, self.direction) {
            (Start::End, _) => return self.seek_end(),
            (Start::At(key), Direction::Forward) | (Start::Beyond(key), Direction::Reverse) => (key, false),
            (Start::Beyond(key), Direction::Forward) | (Start::At(key), Direction::Reverse) => (key, true),
        };
        let is_before = |entry: &HintEntry<'_>| entry.key < key || with_equal && entry.key == key;
        // Looked for is the last link that begins before the place, or the first; then of its blocks likewise.
        let link = partition(self.chain.len().saturating_sub(1), |others| {
            self.enter(others + 1, 0)?;
            Ok(self.first().is_some_and(|first| is_before(&first)))
        })?;
        let block = partition(self.block_count(link).saturating_sub(1), |others| {
            self.enter(link, others + 1)?;
            Ok(self.first().is_some_and(|first| is_before(&first)))
        })?;
        self.enter(link, block)?;
        self.index()?;
        let before = partition(self.held(), |number| Ok(is_before(&self.numbered(number))))?;
        match self.direction {
            Direction::Forward if before == self.held() => self.set_forward(self.bytes().len()),
            Direction::Forward => self.set_forward(self.start(before)),
            Direction::Reverse => self.set_reverse(before),
        }
    }

    /// Moves to the next entry, if the cursor is at one.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn advance(&mut self) -> Result<()> {
        match (&self.current, self.direction) {
            (Some(current), Direction::Forward) => self.set_forward(current.key.1),
            (Some(current), Direction::Reverse) => self.set_reverse(current.number),
            (None, _) => Ok(()),
        }
    }

    fn seek_end(&mut self) -> Result<()> {
        match self.direction {
            Direction::Forward => {
                self.enter(0, 0)?;
                self.set_forward(0)
            }
            Direction::Reverse => {
                let link = self.chain.len().saturating_sub(1);
                self.enter(link, self.block_count(link).saturating_sub(1))?;
                self.index()?;
                self.set_reverse(self.held())
            }
        }
    }

    /// Stands at the entry that begins at `start` of the bytes at hand, or at the first of what comes next.
    #[inline]
    fn set_forward(&mut self, start: usize) -> Result<()> {
        if start < self.bytes().len() { self.set(start, 0) } else { self.go_on_forward() }
    }

    #[cold]
    fn go_on_forward(&mut self) -> Result<()> {
        let (passed, from_link) = (self.passed_key(), self.link);
        while self.link < self.chain.len() {
            let (from, count) = (self.blocks.end, self.block_count(self.link));
            if from < count {
                self.at_once = (2 * self.at_once).min(BLOCKS_AT_ONCE);
                self.load(from..count.min(from + self.at_once))?;
            } else if self.link + 1 < self.chain.len() {
                self.enter(self.link + 1, 0)?;
            } else {
                break;
            }
            if !self.bytes().is_empty() {
                self.set(0, 0)?;
                return self.check_order(passed.as_deref(), from_link);
            }
        }
        self.current = None;
        Ok(())
    }

    /// Stands at the entry before number `number` of those at hand, or at the last of what comes before.
    #[inline]
    fn set_reverse(&mut self, number: usize) -> Result<()> {
        match number.checked_sub(1) {
            Some(number) => self.set(self.start(number), number),
            None => self.go_on_reverse(),
        }
    }

    #[cold]
    fn go_on_reverse(&mut self) -> Result<()> {
        let (passed, from_link) = (self.passed_key(), self.link);
        loop {
            let to = self.blocks.start;
            if to > 0 {
                self.at_once = (2 * self.at_once).min(BLOCKS_AT_ONCE);
                self.load(to.saturating_sub(self.at_once)..to)?;
            } else if self.link > 0 {
                let link = self.link - 1;
                self.enter(link, self.block_count(link).saturating_sub(1))?;
            } else {
                break;
            }
            self.index()?;
            if let Some(number) = self.held().checked_sub(1) {
                self.set(self.start(number), number)?;
                return self.check_order(passed.as_deref(), from_link);
            }
        }
        self.current = None;
        Ok(())
    }

    /// The key at the cursor, which is about to go on.
    fn passed_key(&self) -> Option<Vec<u8>> {
        self.entry().map(|entry| entry.key.to_vec())
    }

    /// An error when the chain is no run: what it consists of says the manifest, which no block's checksum covers.
    fn check_order(&self, passed: Option<&[u8]>, from_link: usize) -> Result<()> {
        let (Some(passed), Some(entry)) = (passed, self.entry()) else { return Ok(()) };
        let ahead = match self.direction {
            Direction::Forward => passed < entry.key,
            Direction::Reverse => passed > entry.key,
        };
        // Only in one segment a key has several records.
        if ahead || passed == entry.key && self.link == from_link {
            return Ok(());
        }
        if self.link == from_link {
            return Err(self.damaged());
        }
        Err(Error::corrupt(names::MANIFEST, 0, "segments said to be one sorted run are none"))
    }

    #[inline]
    fn set(&mut self, start: usize, number: usize) -> Result<()> {
        let rest = &self.bytes()[start..];
        let Some((entry, after)) = HintEntry::decode(rest) else { return Err(self.damaged()) };
        let end = start + rest.len() - after.len();
        let (prefix, key) = (prefix(entry.key), (end - entry.key.len(), end));
        let head = HintEntry { key: &[], ..entry };
        self.current = Some(Current { number, prefix, key, head });
        Ok(())
    }

    /// The bytes at hand, in which entries lie one behind the other.
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Memory(run)) => run.bytes(),
            _ => &self.bytes,
        }
    }

    fn first(&self) -> Option<HintEntry<'_>> {
        Some(HintEntry::decode(self.bytes())?.0)
    }

    /// How many entries are at hand, once they are indexed.
    fn held(&self) -> usize {
        match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Memory(run)) => run.len(),
            _ => self.starts.len(),
        }
    }

    /// Where entry `number` of those at hand begins.
    #[inline]
    fn start(&self, number: usize) -> usize {
        match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Memory(run)) => run.start(number),
            _ => self.starts[number],
        }
    }

    fn numbered(&self, number: usize) -> HintEntry<'_> {
        HintEntry::decode(&self.bytes()[self.start(number)..]).expect("it was indexed").0
    }

    /// How many blocks a link's hint has.
    fn block_count(&self, link: usize) -> usize {
        match self.chain.get(link).map(|link| &link.records) {
            Some(SortedRun::Hint(hint)) => hint.block_count(),
            _ => 0,
        }
    }

    /// Takes one block of a link at hand, if it has that, or a link in memory.
    fn enter(&mut self, link: usize, block: usize) -> Result<()> {
        (self.link, self.current) = (link, None);
        self.load(block..self.block_count(link).min(block + 1))
    }

    /// Takes the entries of `blocks` at hand.
    fn load(&mut self, blocks: Range<usize>) -> Result<()> {
        self.current = None;
        self.starts.clear();
        self.blocks = blocks.start..blocks.end.max(blocks.start);
        match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Hint(hint)) => {
                let whole = hint.read_bytes(self.blocks.clone(), &mut self.bytes)?;
                if whole { Ok(()) } else { Err(self.damaged()) }
            }
            _ => Ok(()),
        }
    }

    /// Finds out where the entries at hand begin.
    fn index(&mut self) -> Result<()> {
        if !self.starts.is_empty() || self.block_count(self.link) == 0 {
            return Ok(());
        }
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            self.starts.push(self.bytes.len() - rest.len());
            let Some((_, after)) = HintEntry::decode(rest) else { return Err(self.damaged()) };
            rest = after;
        }
        Ok(())
    }

    #[cold]
    fn damaged(&self) -> Error {
        let name = match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Hint(hint)) => hint.name(),
            _ => "a run in memory",
        };
        Error::corrupt(name, 0, "a block does not match its checksum")
    }
}

/// How many of `count` things are before a place, which they are first of all.
fn partition(count: usize, mut is_before: impl FnMut(usize) -> Result<bool>) -> Result<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle)? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
