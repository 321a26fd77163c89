//! Walks through a sorted run in either direction.
//!
//! A run is a chain of links, each of a segment: its hint, read and verified some blocks at a time, or entries in memory.
//! The keys of a link are all less than those of the next. When the values are wanted too, and a merge has laid the
//! records in the order of their keys, a walk forward goes from record to record instead, where the hint has led it to
//! the first: one stream of memory is read, not two.

use super::hint_reader::Hint;
use super::lookahead::Lookahead;
use super::record_walk::{RecordWalk, WalkStep};
use super::runs::{MemoryRun, first_bytes};
use super::view::Segment;
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::format::names;
use crate::format::segment_header::SEGMENT_HEADER_LEN;
use crate::io::env::File;
use crate::sync::Arc;
use std::cmp::Ordering;
use std::ops::Range;

/// How many blocks are read at a time, at the most: about 64 KiB, so that those of ten runs stay in the processor's cache.
const BLOCKS_AT_ONCE: usize = 16;
const FIRST_RECORD: u64 = SEGMENT_HEADER_LEN as u64;

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
    /// The segment, if the values are going to be read.
    pub values: Option<Arc<Segment<F>>>,
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys, of one key the newest record first.
    Forward,
    /// Descending keys, of one key the oldest record first.
    Reverse,
}

impl Direction {
    /// How no key compares to one behind it.
    #[inline]
    fn against(self) -> Ordering {
        match self {
            Direction::Forward => Ordering::Greater,
            Direction::Reverse => Ordering::Less,
        }
    }
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
    /// What of the entries at hand was fetched from memory.
    lookahead: Lookahead,
    /// The record at the cursor, if the walk is one from record to record here.
    walk: Option<RecordWalk<F>>,
    /// Else the entry at the cursor, if it is at one.
    current: Option<Current>,
}

/// An entry among the bytes at hand.
#[derive(Clone, Copy)]
struct Current {
    /// Its number, if the walk goes backwards.
    number: usize,
    /// The first bytes of its key.
    prefix: u128,
    /// Where its key is among the bytes at hand. An entry ends with it.
    key: (usize, usize),
    /// All but its key.
    head: HintEntry<'static>,
}

impl<F: File> RunCursor<F> {
    /// Nowhere in the run of these links. It is one of so many `cursors` of a walk.
    pub fn new(chain: Vec<Link<F>>, direction: Direction, cursors: usize) -> Self {
        RunCursor {
            chain,
            direction,
            link: 0,
            blocks: 0..0,
            bytes: Vec::new(),
            starts: Vec::new(),
            at_once: 1,
            lookahead: Lookahead::of(cursors),
            walk: None,
            current: None,
        }
    }

    /// The entry at the cursor, if there is one.
    #[inline]
    pub fn entry(&self) -> Option<HintEntry<'_>> {
        if let Some(walk) = &self.walk {
            return Some(walk.entry());
        }
        let current = self.current.as_ref()?;
        Some(HintEntry { key: &self.bytes()[current.key.0..current.key.1], ..current.head })
    }

    /// Whether the cursor is at no entry.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.walk.is_none() && self.current.is_none()
    }

    /// The record at the cursor, if it came there from another record.
    #[inline]
    pub fn walk(&self) -> Option<&RecordWalk<F>> {
        self.walk.as_ref()
    }

    /// The same, to move it.
    #[inline]
    pub fn walk_mut(&mut self) -> Option<&mut RecordWalk<F>> {
        self.walk.as_mut()
    }

    /// The first bytes of the key at the cursor, as a number; 0 where there is none.
    #[inline]
    pub fn prefix(&self) -> u128 {
        match &self.walk {
            Some(walk) => walk.prefix(),
            None => self.current.as_ref().map_or(0, |current| current.prefix),
        }
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
        self.lookahead.begin();
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
        let before = self.seek_in(link, is_before)?;
        match self.direction {
            Direction::Forward if before < self.held() => {
                let (offset, start) = (self.numbered(before).offset, self.start(before));
                if self.begin_walk(offset) { Ok(()) } else { self.set_forward(start) }
            }
            Direction::Forward => self.set_forward(self.bytes().len()),
            Direction::Reverse => self.set_reverse(before),
        }
    }

    /// Takes entries of a link at hand, and answers how many of them are before a place that others may be behind.
    fn seek_in(&mut self, link: usize, is_before: impl Fn(&HintEntry<'_>) -> bool) -> Result<usize> {
        let block = partition(self.block_count(link).saturating_sub(1), |others| {
            self.enter(link, others + 1)?;
            Ok(self.first().is_some_and(|first| is_before(&first)))
        })?;
        self.enter(link, block)?;
        self.index()?;
        partition(self.held(), |number| Ok(is_before(&self.numbered(number))))
    }

    /// Moves to the next entry, if the cursor is at one.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn advance(&mut self) -> Result<()> {
        if let Some(walk) = &mut self.walk {
            return match walk.advance()? {
                WalkStep::Record => Ok(()),
                step => self.leave_records(step),
            };
        }
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
                if self.begin_walk(FIRST_RECORD) { Ok(()) } else { self.set_forward(0) }
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
        if start >= self.bytes().len() {
            return self.go_on_forward();
        }
        if self.lookahead.is_due(start) {
            self.look_ahead(start);
        }
        self.set(start, 0)
    }

    #[cold]
    fn go_on_forward(&mut self) -> Result<()> {
        self.go_on(|cursor| {
            while cursor.link < cursor.chain.len() {
                let (from, count) = (cursor.blocks.end, cursor.block_count(cursor.link));
                if from < count {
                    cursor.at_once = (2 * cursor.at_once).min(BLOCKS_AT_ONCE);
                    cursor.load(from..count.min(from + cursor.at_once))?;
                } else if cursor.link + 1 < cursor.chain.len() {
                    cursor.enter(cursor.link + 1, 0)?;
                    if cursor.begin_walk(FIRST_RECORD) {
                        return Ok(());
                    }
                } else {
                    break;
                }
                if !cursor.bytes().is_empty() {
                    return cursor.set_forward(0);
                }
            }
            (cursor.walk, cursor.current) = (None, None);
            Ok(())
        })
    }

    /// Leaves the bytes at hand by `step`, and makes sure that it led ahead. If it failed, the cursor still shows where it
    /// was, but can only be sent elsewhere.
    fn go_on(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (passed, from_link) = (self.passed(), self.link);
        let gone_on = step(self).and_then(|()| self.check_order(passed.as_ref(), from_link));
        if let (Err(_), Some((key, head))) = (&gone_on, passed) {
            let current = Current { number: 0, prefix: first_bytes(&key), key: (0, key.len()), head };
            (self.walk, self.bytes, self.current) = (None, key, Some(current));
        }
        gone_on
    }

    /// Stands at the entry before number `number` of those at hand, or at the last of what comes before.
    #[inline]
    fn set_reverse(&mut self, number: usize) -> Result<()> {
        let Some(number) = number.checked_sub(1) else { return self.go_on_reverse() };
        if self.lookahead.is_due(self.held() - number) {
            self.look_ahead(self.held() - number);
        }
        self.set(self.start(number), number)
    }

    /// Has the records fetched of entries that come soon, if the walk is one that reads values. Forward, places among
    /// the entries at hand are where they begin; backwards how many come before them.
    #[cold]
    fn look_ahead(&mut self, place: usize) {
        let mut lookahead = std::mem::take(&mut self.lookahead);
        match self.chain.get(self.link).and_then(|link| link.values.as_ref()) {
            None => lookahead.stop(),
            Some(segment) => lookahead.look(segment, place, |place| match self.direction {
                Direction::Forward => {
                    let (entry, after) = HintEntry::decode(&self.bytes()[place..])?;
                    Some((entry, self.bytes().len() - after.len()))
                }
                Direction::Reverse => {
                    let number = self.held().checked_sub(place)?;
                    Some((HintEntry::decode(&self.bytes()[self.start(number)..])?.0, place + 1))
                }
            }),
        }
        self.lookahead = lookahead;
    }

    /// Stands at the record at `offset`, or at the first behind it that is a key's; `false` when the walk does not go from
    /// record to record here, or meets none that is sound.
    fn begin_walk(&mut self, offset: u64) -> bool {
        let link = self.chain.get(self.link).filter(|link| link.run.is_some());
        let segment = link.and_then(|link| link.values.as_ref());
        if let Some(segment) = segment.filter(|_| self.direction == Direction::Forward) {
            self.walk = RecordWalk::new(segment, offset);
        }
        self.walk.is_some()
    }

    /// Goes on in the next link, or from what is no sound record by the hint: it knows whose record that was.
    #[cold]
    fn leave_records(&mut self, step: WalkStep) -> Result<()> {
        if step == WalkStep::End {
            self.blocks = self.block_count(self.link)..self.block_count(self.link);
            return self.go_on_forward();
        }
        self.go_on(|cursor| {
            let passed = cursor.passed().map(|(key, _)| key).unwrap_or_default();
            let before = cursor.seek_in(cursor.link, |entry| entry.key <= &passed[..])?;
            let start = if before < cursor.held() { cursor.start(before) } else { cursor.bytes().len() };
            cursor.set_forward(start)
        })
    }

    #[cold]
    fn go_on_reverse(&mut self) -> Result<()> {
        self.go_on(|cursor| {
            loop {
                let to = cursor.blocks.start;
                if to > 0 {
                    cursor.at_once = (2 * cursor.at_once).min(BLOCKS_AT_ONCE);
                    cursor.load(to.saturating_sub(cursor.at_once)..to)?;
                } else if cursor.link > 0 {
                    let link = cursor.link - 1;
                    cursor.enter(link, cursor.block_count(link).saturating_sub(1))?;
                } else {
                    break;
                }
                cursor.index()?;
                if cursor.held() > 0 {
                    return cursor.set_reverse(cursor.held());
                }
            }
            cursor.current = None;
            Ok(())
        })
    }

    /// The key at the cursor, which is about to go on, and the rest of the entry.
    fn passed(&self) -> Option<(Vec<u8>, HintEntry<'static>)> {
        let entry = self.entry()?;
        Some((entry.key.to_vec(), HintEntry { key: &[], ..entry }))
    }

    /// An error when the chain is no run: what it consists of says the manifest, which no block's checksum covers.
    fn check_order(&self, passed: Option<&(Vec<u8>, HintEntry<'static>)>, from_link: usize) -> Result<()> {
        let (Some((passed, _)), Some(entry)) = (passed, self.entry()) else { return Ok(()) };
        let passed = &passed[..];
        let order = passed.cmp(entry.key);
        // Only in one segment a key has several records.
        if order == Ordering::Equal && self.link == from_link || order == self.direction.against().reverse() {
            return Ok(());
        }
        if self.link == from_link {
            return Err(self.disordered());
        }
        Err(Error::corrupt(names::MANIFEST, 0, "segments said to be one sorted run are none"))
    }

    #[inline]
    fn set(&mut self, start: usize, number: usize) -> Result<()> {
        let rest = &self.bytes()[start..];
        let Some((entry, after)) = HintEntry::decode(rest) else { return Err(self.damaged()) };
        let end = start + rest.len() - after.len();
        let (prefix, key) = (first_bytes(entry.key), (end - entry.key.len(), end));
        if let Some(last) = &self.current {
            let last_key = || &self.bytes()[last.key.0..last.key.1];
            let order = last.prefix.cmp(&prefix).then_with(|| last_key().cmp(entry.key));
            if order == self.direction.against() {
                return Err(self.disordered());
            }
        }
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
        self.link = link;
        self.load(block..self.block_count(link).min(block + 1))
    }

    /// Takes the entries of `blocks` at hand.
    fn load(&mut self, blocks: Range<usize>) -> Result<()> {
        (self.walk, self.current) = (None, None);
        self.lookahead.restart();
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
        self.corrupt("a block does not match its checksum")
    }

    #[cold]
    fn disordered(&self) -> Error {
        self.corrupt("its entries are not in the order of their keys")
    }

    fn corrupt(&self, what: &str) -> Error {
        let name = match self.chain.get(self.link).map(|link| &link.records) {
            Some(SortedRun::Hint(hint)) => hint.name(),
            _ => "a run in memory",
        };
        Error::corrupt(name, 0, what)
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
