//! Writes the hint of a segment.
//!
//! The records of a segment are collected without their values, sorted by key, the newest of a key first, and written
//! behind room for the header, which comes last. So a hint that was not finished has no header, and nothing has to be
//! synced for its sake.

use crate::error::{Error, Result};
use crate::format::checksum::crc32c;
use crate::format::coding::Id128;
use crate::format::filter;
use crate::format::hint::{
    BLOCK_MAX_LEN, BLOCK_REF_LEN, BLOCK_TARGET_LEN, BlockRef, HINT_HEADER_LEN, HintEntry, HintHeader,
};
use crate::format::record::{Flags, RecordHeader};
use crate::io::env::File;
use crate::io::whole::write_all;
use crate::keydir::Secret;
use crate::segment::output::Output;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// How many items are sorted at once: some milliseconds' work.
const RUN_LEN: usize = 1 << 15;
/// How often the caller is asked whether to go on.
const ASK_EVERY_BYTES: usize = 1 << 20;

/// Which segment a hint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintId {
    /// The database.
    pub database: Id128,
    /// The segment's uid.
    pub uid: u64,
    /// The segment's final length in bytes.
    pub segment_len: u64,
}

/// The records of one segment, in any order.
#[derive(Default)]
pub struct HintBuilder {
    /// The entries as they will be written, one behind the other.
    arena: Vec<u8>,
    order: Vec<Item>,
    tombstones: u64,
}

/// Where an entry is in the arena, and the first bytes of its key, which decide most comparisons.
#[derive(Clone, Copy)]
struct Item {
    prefix: u64,
    at: usize,
}

impl HintBuilder {
    /// Adds a record, which is not internal.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn add(&mut self, header: &RecordHeader, key: &[u8], offset: u64) -> Result<()> {
        let most = key.len() + HINT_HEADER_LEN;
        self.arena.try_reserve(most).map_err(|_| Error::NoMemory { bytes: self.arena.len() + most })?;
        self.order.try_reserve(1).map_err(|_| Error::no_memory::<Item>(self.order.len() + 1))?;
        self.order.push(Item { prefix: prefix(key), at: self.arena.len() });
        HintEntry::of(header, key, offset).encode(&mut self.arena);
        self.tombstones += u64::from(header.flags.has(Flags::TOMBSTONE));
        Ok(())
    }

    /// Writes the hint to `file`, which is new and empty; `false` when `go_on` answered so and it was not finished.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `NoMemory`.
    pub fn write<F: File>(
        mut self,
        file: &F,
        name: &str,
        id: HintId,
        secret: &Secret,
        go_on: impl Fn() -> bool,
    ) -> Result<bool> {
        if !self.sort_runs(&go_on) {
            return Ok(false);
        }
        let mut body = Body::new(Output::new(file, name, HINT_HEADER_LEN as u64), secret);
        let mut unasked = 0;
        for item in self.merged() {
            let (entry, encoded) = self.entry(item);
            body.add(entry.key, encoded)?;
            unasked += encoded.len();
            if unasked >= ASK_EVERY_BYTES {
                if !go_on() {
                    return Ok(false);
                }
                unasked = 0;
            }
        }
        let header = body.finish(HintHeader {
            database: id.database,
            uid: id.uid,
            segment_len: id.segment_len,
            entries: self.order.len() as u64,
            tombstones: self.tombstones,
            ..HintHeader::default()
        })?;
        write_all(file, &header.encode(), 0).map_err(|err| Error::io("write", name, err))?;
        Ok(true)
    }

    /// Sorts run by run, so that it can be told to stop between them.
    fn sort_runs(&mut self, go_on: impl Fn() -> bool) -> bool {
        let mut order = std::mem::take(&mut self.order);
        let done = order.chunks_mut(RUN_LEN).all(|run| {
            run.sort_unstable_by(|a, b| self.compare(a, b));
            go_on()
        });
        self.order = order;
        done
    }

    /// All items in order, from runs that are.
    fn merged(&self) -> impl Iterator<Item = &Item> {
        let mut heads: BinaryHeap<Head<'_>> = self
            .order
            .chunks(RUN_LEN)
            .filter_map(|run| Some(Head { builder: self, item: run.first()?, rest: &run[1..] }))
            .collect();
        std::iter::from_fn(move || {
            let mut least = heads.peek_mut()?;
            let item = least.item;
            match least.rest.split_first() {
                Some((next, rest)) => (least.item, least.rest) = (next, rest),
                None => drop(PeekMut::pop(least)),
            }
            Some(item)
        })
    }

    /// By key, then the newest first.
    fn compare(&self, a: &Item, b: &Item) -> Ordering {
        a.prefix.cmp(&b.prefix).then_with(|| {
            let ((a, _), (b, _)) = (self.entry(a), self.entry(b));
            a.key.cmp(b.key).then(b.offset.cmp(&a.offset))
        })
    }

    /// An entry, and its bytes.
    fn entry(&self, item: &Item) -> (HintEntry<'_>, &[u8]) {
        let bytes = &self.arena[item.at..];
        let (entry, rest) = HintEntry::decode(bytes).expect("the arena holds entries");
        (entry, &bytes[..bytes.len() - rest.len()])
    }
}

/// The first item of a run that is not written yet; the greatest head is the one that comes first.
struct Head<'a> {
    builder: &'a HintBuilder,
    item: &'a Item,
    rest: &'a [Item],
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.builder.compare(other.item, self.item)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

/// All of a hint behind its header, as it is written.
struct Body<'f, F: File> {
    out: Output<'f, F>,
    secret: &'f Secret,
    table: Vec<u8>,
    /// The block in the making.
    block: Vec<u8>,
    entries: u32,
    /// Of each key, for the filter.
    hashes: Vec<u64>,
    last_hash: Option<u64>,
}

impl<'f, F: File> Body<'f, F> {
    fn new(out: Output<'f, F>, secret: &'f Secret) -> Self {
        let (table, block, hashes) = (Vec::new(), Vec::with_capacity(BLOCK_MAX_LEN), Vec::new());
        Body { out, secret, table, block, entries: 0, hashes, last_hash: None }
    }

    fn add(&mut self, key: &[u8], encoded: &[u8]) -> Result<()> {
        let hash = self.secret.digest(key).lo;
        if self.last_hash.replace(hash) != Some(hash) {
            self.hashes.try_reserve(1).map_err(|_| Error::no_memory::<u64>(self.hashes.len() + 1))?;
            self.hashes.push(hash);
        }
        self.block.extend_from_slice(encoded);
        self.entries += 1;
        if self.block.len() >= BLOCK_TARGET_LEN { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> Result<()> {
        let (offset, entries, crc) = (self.out.end(), self.entries, crc32c(&self.block));
        BlockRef { offset, entries, crc }.encode(&mut self.table);
        self.out.pending.append(&mut self.block);
        self.entries = 0;
        self.out.flush_if_large()
    }

    /// Writes table and filter, and completes the header.
    fn finish(mut self, header: HintHeader) -> Result<HintHeader> {
        if self.entries > 0 {
            self.close_block()?;
        }
        let blocks_len = self.out.end() - HINT_HEADER_LEN as u64;
        self.out.pending.extend_from_slice(&self.table);
        self.out.flush()?;
        self.out.pending = filter_of(&self.hashes)?;
        let (filter_len, filter_crc) = (self.out.pending.len() as u64, crc32c(&self.out.pending));
        self.out.flush()?;
        let blocks = (self.table.len() / BLOCK_REF_LEN) as u64;
        Ok(HintHeader {
            blocks,
            blocks_len,
            filter_len,
            table_crc: crc32c(&self.table),
            filter_crc,
            ..header
        })
    }
}

/// The first eight bytes of a key, as a number that sorts like them.
fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(bytes.len());
    bytes[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(bytes)
}

fn filter_of(hashes: &[u64]) -> Result<Vec<u8>> {
    let len = usize::try_from(filter::filter_len(hashes.len() as u64)).unwrap_or(usize::MAX);
    let mut filter = Vec::new();
    filter.try_reserve_exact(len).map_err(|_| Error::NoMemory { bytes: len })?;
    filter.resize(len, 0);
    hashes.iter().for_each(|&hash| filter::insert(&mut filter, hash));
    Ok(filter)
}
