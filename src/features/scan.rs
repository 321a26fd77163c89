//! Walks through a snapshot in the order of the keys.
//!
//! The runs of all segments are merged, and of each key the newest record decides. Keys are gathered some ahead, so that
//! the values of several are on their way from memory at the same time; the first few one by one, for short scans.

use crate::engine::{Found, Snapshot};
use crate::error::{Error, Result};
use crate::format::compressed::Scratch;
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::{Dir, Env};
use crate::segment::run_cursor::{Direction, MergedRuns, Start};
use crate::segment::runs::prefix;
use crate::sync::Arc;
use std::ops::Range;

/// The most keys that are gathered at a time.
const GROUP: usize = 64;

/// Which part of a snapshot a scan walks through, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions<'o> {
    /// From the last key to the first.
    pub reverse: bool,
    /// Values are not read.
    pub keys_only: bool,
    /// Only keys that begin so.
    pub prefix: &'o [u8],
    /// Only this key and greater ones.
    pub lower: &'o [u8],
    /// Only keys less than this one, unless it is empty.
    pub upper: &'o [u8],
}

type FileOf<E> = <<E as Env>::Dir as Dir>::File;

/// A walk. One thread at a time may use it. It outlives the handle, after whose close it answers `Closed`.
pub struct Scan<E: Env> {
    snapshot: Arc<Snapshot<E>>,
    runs: MergedRuns<FileOf<E>>,
    direction: Direction,
    keys_only: bool,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    /// Whether the runs stand where the walk is to go on.
    placed: bool,
    /// The last key of the group before, which the walk goes on behind if the runs are not placed.
    passed: Option<Vec<u8>>,
    group: Vec<(Found, Range<usize>)>,
    /// Keys of the group.
    keys: Vec<u8>,
    /// The first of the group that was not handed out.
    next: usize,
    group_len: usize,
    current: Option<usize>,
    buf: Vec<u8>,
    value: Range<usize>,
    /// The value, if it was compressed.
    raw: Option<Scratch>,
}

impl<E: Env> Scan<E> {
    /// Before the first key of `snapshot` that `options` let through.
    ///
    /// # Errors
    /// `Corrupt` when the store is degraded, so that nobody can tell all keys, or a segment without a hint is damaged;
    /// `Io`, `NoMemory`; `Closed`, `Forked`.
    pub fn new(snapshot: Arc<Snapshot<E>>, options: &ScanOptions<'_>) -> Result<Self> {
        snapshot.check_open()?;
        snapshot.check_sound()?;
        let direction = if options.reverse { Direction::Reverse } else { Direction::Forward };
        let past_prefix = successor(options.prefix);
        let upper = [Some(options.upper).filter(|upper| !upper.is_empty()), past_prefix.as_deref()];
        Ok(Scan {
            runs: MergedRuns::new(snapshot.runs()?, direction),
            snapshot,
            direction,
            keys_only: options.keys_only,
            lower: options.lower.max(options.prefix).to_vec(),
            upper: upper.into_iter().flatten().min().map(<[u8]>::to_vec),
            placed: false,
            passed: None,
            group: Vec::with_capacity(GROUP),
            keys: Vec::new(),
            next: 0,
            group_len: 1,
            current: None,
            buf: Vec::new(),
            value: 0..0,
            raw: None,
        })
    }

    /// Moves to the next key; `false` at the end, where it stays.
    ///
    /// # Errors
    /// `Corrupt` when the record is damaged, and the next call goes on behind it, or when a hint is; `Io`, `NoMemory`;
    /// `Closed`, `Forked`.
    pub fn advance(&mut self) -> Result<bool> {
        self.current = None;
        self.snapshot.check_open()?;
        if self.next == self.group.len() && !self.gather()? {
            return Ok(false);
        }
        let at = self.next;
        self.next += 1;
        if !self.keys_only {
            self.read(at)?;
        }
        self.current = Some(at);
        Ok(true)
    }

    /// Goes back by the one call of [`Scan::advance`] that came just before this.
    pub(crate) fn step_back(&mut self) {
        self.next = self.next.saturating_sub(1);
        self.current = None;
    }

    /// Goes to `key`: the next call of [`Scan::advance`] moves to the first key from there on, in the scan's direction and
    /// within its bounds.
    ///
    /// # Errors
    /// `TooLarge` for a key that no store can hold; as [`Scan::advance`].
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.snapshot.check_open()?;
        if key.len() > MAX_KEY_LEN {
            return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
        }
        self.begin_group();
        (self.passed, self.group_len) = (None, 1);
        let upper = self.upper.as_deref();
        let start = match self.direction {
            Direction::Forward => Start::At(key.max(&self.lower)),
            Direction::Reverse => match upper {
                Some(upper) if key >= upper => Start::Beyond(upper),
                _ => Start::At(key),
            },
        };
        self.placed = false;
        self.runs.seek(start)?;
        self.placed = true;
        Ok(())
    }

    /// The key that the scan is at; `None` before the first, after the last and after an error.
    pub fn key(&self) -> Option<&[u8]> {
        Some(&self.keys[self.group[self.current?].1.clone()])
    }

    /// Its value; empty in a scan of keys only.
    pub fn value(&self) -> Option<&[u8]> {
        let found = &self.group[self.current?].0;
        if self.keys_only {
            return Some(&[]);
        }
        if let Some(raw) = &self.raw {
            return Some(raw);
        }
        Some(self.snapshot.bytes(found, self.value.clone()).unwrap_or_else(|| &self.buf[self.value.clone()]))
    }

    /// The version of its value.
    pub fn version(&self) -> Option<u64> {
        Some(self.group[self.current?].0.version)
    }

    fn read(&mut self, at: usize) -> Result<()> {
        let (found, key) = &self.group[at];
        let segment = self.snapshot.segment(found.rank);
        let record = segment.read(found.offset, found.len, &mut self.buf)?;
        if record.key != &self.keys[key.clone()] {
            return Err(Error::corrupt(&segment.name, found.offset, "the record is another key's"));
        }
        if record.header.flags.has(Flags::COMPRESSED) {
            segment.decompress(found.offset, &record, self.raw.get_or_insert_with(Scratch::take))?;
        } else {
            self.raw = None;
            let start = record.header.value_at();
            self.value = start..start + record.value.len();
        }
        Ok(())
    }

    fn begin_group(&mut self) {
        if let Some((_, key)) = self.group.last() {
            let passed = self.passed.get_or_insert_default();
            passed.clear();
            passed.extend_from_slice(&self.keys[key.clone()]);
        }
        self.group.clear();
        self.keys.clear();
        (self.next, self.current) = (0, None);
    }

    /// Fills the group; `false` when there are no more keys. After a failure the next call tries the same.
    fn gather(&mut self) -> Result<bool> {
        self.begin_group();
        if !std::mem::take(&mut self.placed) {
            self.runs.seek(match (self.direction, &self.passed, &self.upper) {
                (_, Some(passed), _) => Start::Beyond(passed),
                (Direction::Forward, ..) if self.lower.is_empty() => Start::End,
                (Direction::Forward, ..) => Start::At(&self.lower),
                (Direction::Reverse, _, Some(upper)) => Start::Beyond(upper),
                (Direction::Reverse, ..) => Start::End,
            })?;
        }
        let now_ns = self.snapshot.now_ns();
        while self.group.len() < self.group_len {
            let Some((_, entry)) = self.runs.entry().filter(|(_, entry)| self.is_within(entry.key)) else {
                break;
            };
            let key = self.keys.len()..self.keys.len() + entry.key.len();
            self.keys.extend_from_slice(entry.key);
            match self.newest(key.clone())?.filter(|found| found.is_live(now_ns)) {
                Some(found) => self.group.push((found, key)),
                None => self.keys.truncate(key.start),
            }
        }
        self.placed = true;
        self.group_len = (2 * self.group_len).min(GROUP);
        if !self.keys_only {
            for (found, _) in &self.group {
                self.snapshot.segment(found.rank).prefetch(found.offset, found.len);
            }
        }
        Ok(!self.group.is_empty())
    }

    /// Passes all records of the key that the runs stand at, and answers the newest that is in the snapshot.
    fn newest(&mut self, key: Range<usize>) -> Result<Option<Found>> {
        let key = &self.keys[key];
        let prefix = prefix(key);
        let mut newest: Option<Found> = None;
        while let Some((rank, entry)) = self.runs.entry() {
            let is_newer = newest.is_none_or(|newest| (newest.rank, newest.offset) < (rank, entry.offset));
            if is_newer && entry.offset < self.snapshot.end_of(rank) {
                newest = Some(Found::new(rank, &entry));
            }
            self.runs.advance()?;
            if !self.runs.is_at(key, prefix) {
                break;
            }
        }
        Ok(newest)
    }

    fn is_within(&self, key: &[u8]) -> bool {
        match self.direction {
            Direction::Forward => self.upper.as_deref().is_none_or(|upper| key < upper),
            Direction::Reverse => key >= &self.lower[..],
        }
    }
}

/// The least key that is greater than all that begin with `prefix`, if there is one.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}
