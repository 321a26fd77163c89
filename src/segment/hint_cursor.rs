//! Walks through a hint entry by entry, and through several hints in the order of their keys.
//!
//! Blocks are verified as they are entered. Damage is an error here: whoever walks through hints has no use for a part.

use super::hint_reader::Hint;
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::io::env::File;
use std::cmp::Ordering;
use std::ops::Range;

/// How many blocks are read at a time: about 128 KiB.
const BLOCKS_AT_ONCE: usize = 32;

/// A place in a hint.
pub struct HintCursor<'h, F: File> {
    hint: &'h Hint<F>,
    /// The blocks that are not read yet.
    left: Range<usize>,
    /// Entries of blocks that were verified.
    bytes: Vec<u8>,
    at: usize,
    current: Option<Current>,
}

/// The entry at the cursor: where its bytes are, and its key among them.
#[derive(Clone, Copy)]
struct Current {
    start: usize,
    key: (usize, usize),
}

impl<'h, F: File> HintCursor<'h, F> {
    /// Before the first entry.
    pub fn new(hint: &'h Hint<F>) -> Self {
        HintCursor { hint, left: 0..hint.block_count(), bytes: Vec::new(), at: 0, current: None }
    }

    /// Moves to the next entry; `false` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when the hint is damaged; `Io`, `NoMemory`.
    pub fn advance(&mut self) -> Result<bool> {
        self.current = None;
        if self.at == self.bytes.len() {
            if self.left.is_empty() {
                return Ok(false);
            }
            let until = self.left.end.min(self.left.start + BLOCKS_AT_ONCE);
            self.bytes.clear();
            if !self.hint.read_bytes(self.left.start..until, &mut self.bytes)? {
                return Err(self.damaged());
            }
            (self.left.start, self.at) = (until, 0);
        }
        let rest = &self.bytes[self.at..];
        let (entry, after) = HintEntry::decode(rest).ok_or_else(|| self.damaged())?;
        let len = rest.len() - after.len();
        self.current =
            Some(Current { start: self.at, key: (self.at + len - entry.key.len(), self.at + len) });
        self.at += len;
        Ok(true)
    }

    /// The entry at the cursor, if there is one.
    pub fn entry(&self) -> Option<HintEntry<'_>> {
        Some(HintEntry::decode(&self.bytes[self.current?.start..])?.0)
    }

    fn key(&self) -> Option<&[u8]> {
        let (start, end) = self.current?.key;
        Some(&self.bytes[start..end])
    }

    fn damaged(&self) -> Error {
        Error::corrupt(self.hint.name(), 0, "a block does not match its checksum")
    }
}

/// Several hints as one: by key, of one key the records of later hints first.
pub struct MergedHints<'h, F: File> {
    /// Oldest segment first.
    cursors: Vec<HintCursor<'h, F>>,
    /// A binary heap of cursors that stand at an entry; the first is where the least key is.
    heap: Vec<usize>,
    started: bool,
}

impl<'h, F: File> MergedHints<'h, F> {
    /// Before the first entry of `hints`, whose segments are given oldest first.
    pub fn new(hints: impl IntoIterator<Item = &'h Hint<F>>) -> Self {
        MergedHints {
            cursors: hints.into_iter().map(HintCursor::new).collect(),
            heap: Vec::new(),
            started: false,
        }
    }

    /// Moves to the next entry; `false` when there is none.
    ///
    /// # Errors
    /// As [`HintCursor::advance`].
    pub fn advance(&mut self) -> Result<bool> {
        if !std::mem::replace(&mut self.started, true) {
            for at in 0..self.cursors.len() {
                if self.cursors[at].advance()? {
                    self.heap.push(at);
                }
            }
            (0..self.heap.len() / 2).rev().for_each(|at| self.sift_down(at));
        } else if let Some(&least) = self.heap.first() {
            if !self.cursors[least].advance()? {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(!self.heap.is_empty())
    }

    /// The entry at the cursor and which of the hints it is of.
    pub fn entry(&self) -> Option<(usize, HintEntry<'_>)> {
        let &least = self.heap.first()?;
        Some((least, self.cursors[least].entry()?))
    }

    /// Orders two cursors by their keys, and the later hint before the earlier.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.cursors[a].key().cmp(&self.cursors[b].key()).then(b.cmp(&a))
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
    use crate::io::sim::{Sim, SimFile};
    use crate::keydir::Secret;
    use crate::segment::hint_writer::{HintBuilder, HintId};
    use std::path::Path;

    const DIR: &str = "/hints";

    /// A hint of these keys, at offsets that ascend.
    fn hint(sim: &Sim, number: u64, keys: &[u64]) -> Hint<SimFile> {
        let dir = sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).unwrap();
        let (name, id) =
            (number.to_string(), HintId { database: Id128([1; 16]), uid: number, segment_len: 1 << 24 });
        let mut builder = HintBuilder::default();
        for (offset, key) in (1..).zip(keys) {
            let key = format!("key {key:06}");
            let header =
                Draft::new(key.as_bytes(), b"", Flags::NONE, None).header(number, number, 8 * offset);
            builder.add(&RecordHeader::decode(&header).unwrap(), key.as_bytes(), 8 * offset).unwrap();
        }
        let file = dir.create(&name).unwrap();
        assert!(builder.write(&file, &name, id, &Secret::new(&[0; 16]), || true).unwrap());
        Hint::open(dir.open(&name, false).unwrap(), name, id).unwrap().unwrap()
    }

    #[test]
    fn several_hints_are_walked_by_key_and_the_newest_record_of_a_key_comes_first() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let keys: [Vec<u64>; 4] = [
            (0..9000).map(|n| n * 7 % 9001).collect(),
            Vec::new(),
            (0..500).chain(0..500).collect(),
            (8000..20_000).rev().collect(),
        ];
        let hints: Vec<_> = (0..).zip(&keys).map(|(number, keys)| hint(&sim, number, keys)).collect();
        let mut expected: Vec<(u64, usize, u64)> = Vec::new();
        for (at, keys) in keys.iter().enumerate() {
            expected.extend((1..).zip(keys).map(|(offset, &key)| (key, at, 8 * offset)));
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
        let mut merged = MergedHints::new(&hints);
        for (key, at, offset) in expected {
            assert!(merged.advance().unwrap());
            let (from, entry) = merged.entry().unwrap();
            assert_eq!((entry.key, from, entry.offset), (format!("key {key:06}").as_bytes(), at, offset));
        }
        assert!(!merged.advance().unwrap() && merged.entry().is_none());
    }

    #[test]
    fn a_damaged_block_is_an_error() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let hint = hint(&sim, 1, &(0..1000).collect::<Vec<_>>());
        sim.corrupt(DIR, "1", 20_000, 1);
        let mut merged = MergedHints::new([&hint]);
        let outcome = (0..1000).try_for_each(|_| merged.advance().map(|_| ()));
        assert!(matches!(outcome, Err(Error::Corrupt { .. })));
    }
}
