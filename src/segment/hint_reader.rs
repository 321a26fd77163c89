//! Reads the hint of a segment, and believes nothing that no checksum covers.
//!
//! A hint that is not the segment's, or damaged anywhere that was looked at, is answered as `None` or `false`: whoever
//! asked goes to the segment itself.

use super::hint_writer::HintId;
use crate::error::{Error, Result};
use crate::format::checksum::crc32c;
use crate::format::hint::{BLOCK_MAX_LEN, BLOCK_REF_LEN, BlockRef, HINT_HEADER_LEN, HintEntry, HintHeader};
use crate::io::env::File;
use crate::io::whole::read_full;
use std::ops::Range;

/// How many blocks are read at a time: about 256 KiB.
const BLOCKS_AT_ONCE: usize = 64;

/// A hint whose header and table are sound.
pub struct Hint<F: File> {
    file: F,
    index: HintIndex,
}

/// What says of a hint's file where its blocks are, and what they must be.
pub struct HintIndex {
    name: String,
    header: HintHeader,
    blocks: Vec<BlockRef>,
}

impl<F: File> Hint<F> {
    /// The hint in `file` if it is that of the segment `id`.
    ///
    /// # Errors
    /// `Io`, `NoMemory`; that it is not the segment's is no error.
    pub fn open(file: F, name: String, id: HintId) -> Result<Option<Self>> {
        let failed = |err| Error::io("read", &name, err);
        let mut head = [0; HINT_HEADER_LEN];
        let got = read_full(&file, &mut head, 0).map_err(failed)?;
        let Some(header) = HintHeader::decode(&head[..got], file.len().map_err(failed)?) else {
            return Ok(None);
        };
        if (HintId { database: header.database, uid: header.uid, segment_len: header.segment_len }) != id {
            return Ok(None);
        }
        let table = read_table(&file, &name, &header)?;
        let Some(blocks) = table.and_then(|table| blocks_of(&table, &header)) else {
            return Ok(None);
        };
        Ok(Some(Hint { file, index: HintIndex { name, header, blocks } }))
    }

    /// Closes the file.
    pub fn into_index(self) -> HintIndex {
        self.index
    }

    /// What it says of itself.
    pub fn header(&self) -> &HintHeader {
        &self.index.header
    }

    /// How many blocks there are.
    pub fn block_count(&self) -> usize {
        self.index.block_count()
    }

    /// Where a block begins in the file, or the blocks end, in bytes.
    pub fn block_at(&self, block: usize) -> u64 {
        let blocks = &self.index.blocks;
        blocks.get(block).map_or(HINT_HEADER_LEN as u64 + self.header().blocks_len, |block| block.offset)
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        self.index.name()
    }

    /// Hands the entries of `blocks` to `each`, in order; `false` when one is damaged, and then some may have been
    /// handed out before.
    ///
    /// # Errors
    /// `Io`, `NoMemory`, and what `each` answers.
    pub fn read(
        &self,
        blocks: Range<usize>,
        mut each: impl FnMut(&HintEntry<'_>) -> Result<()>,
    ) -> Result<bool> {
        let mut bytes = Vec::new();
        for start in blocks.clone().step_by(BLOCKS_AT_ONCE) {
            let part = start..blocks.end.min(start + BLOCKS_AT_ONCE);
            let entries = self.index.entries(part.clone());
            if !self.read_bytes(part, &mut bytes)? || !each_entry(&bytes, entries, &mut each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the bytes of `blocks`, which are entries back to back, into `out`; `false` when one is damaged.
    ///
    /// # Errors
    /// `Io`, `NoMemory`.
    pub fn read_bytes(&self, blocks: Range<usize>, out: &mut Vec<u8>) -> Result<bool> {
        self.index.read_bytes(&self.file, blocks, out)
    }

    /// The filter of its keys, or `None` when it is damaged.
    ///
    /// # Errors
    /// `Io`, `NoMemory`.
    pub fn filter(&self) -> Result<Option<Vec<u8>>> {
        let header = self.header();
        let (Some(at), Ok(len)) = (header.filter_at(), usize::try_from(header.filter_len)) else {
            return Ok(None);
        };
        let bytes = read_part(&self.file, self.name(), at, len)?;
        Ok(bytes.filter(|bytes| crc32c(bytes) == header.filter_crc))
    }
}

impl HintIndex {
    /// How many blocks there are.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The hint's file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the entries of one block, back to back, into `out`; `false` when it is damaged.
    ///
    /// # Errors
    /// `Io`, `NoMemory`.
    pub fn read_block<F: File>(&self, file: &F, block: usize, out: &mut Vec<u8>) -> Result<bool> {
        let blocks = block..block + 1;
        let whole = self.read_bytes(file, blocks.clone(), out)?;
        Ok(whole && each_entry(out, self.entries(blocks), &mut |_| Ok(()))?)
    }

    fn read_bytes<F: File>(&self, file: &F, blocks: Range<usize>, out: &mut Vec<u8>) -> Result<bool> {
        let (Some(first), Some(last)) = (self.blocks.get(blocks.start), blocks.end.checked_sub(1)) else {
            out.clear();
            return Ok(true);
        };
        let from = first.offset;
        let len = usize::try_from(self.end_of(last) - from).unwrap_or(usize::MAX);
        out.try_reserve(len.saturating_sub(out.len())).map_err(|_| Error::NoMemory { bytes: len })?;
        // What is there already need not be zeroed to be written over.
        out.resize(len, 0);
        let got = read_full(file, out, from).map_err(|err| Error::io("read", &self.name, err))?;
        let mut rest = &out[..got];
        for block in blocks {
            let len = usize::try_from(self.end_of(block) - self.blocks[block].offset).unwrap_or(usize::MAX);
            match rest.split_at_checked(len) {
                Some((bytes, after)) if crc32c(bytes) == self.blocks[block].crc => rest = after,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn entries(&self, blocks: Range<usize>) -> u64 {
        self.blocks[blocks].iter().map(|block| u64::from(block.entries)).sum()
    }

    fn end_of(&self, block: usize) -> u64 {
        let end = HINT_HEADER_LEN as u64 + self.header.blocks_len;
        self.blocks.get(block + 1).map_or(end, |next| next.offset)
    }
}

/// The table's bytes, or `None` when they are not what the header says.
fn read_table<F: File>(file: &F, name: &str, header: &HintHeader) -> Result<Option<Vec<u8>>> {
    // The header fits the file's length, so this allocates less than the file holds.
    let len = header.blocks.checked_mul(BLOCK_REF_LEN as u64).and_then(|len| usize::try_from(len).ok());
    let (Some(len), Some(at)) = (len, header.table_at()) else { return Ok(None) };
    let table = read_part(file, name, at, len)?;
    Ok(table.filter(|table| crc32c(table) == header.table_crc))
}

/// `len` bytes at `at`, if the file has them.
fn read_part<F: File>(file: &F, name: &str, at: u64, len: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory { bytes: len })?;
    bytes.resize(len, 0);
    let got = read_full(file, &mut bytes, at).map_err(|err| Error::io("read", name, err))?;
    Ok((got == len).then_some(bytes))
}

/// The lines of a table, if they make sense: blocks one behind the other that hold all entries.
fn blocks_of(table: &[u8], header: &HintHeader) -> Option<Vec<BlockRef>> {
    let blocks: Vec<_> = table.chunks_exact(BLOCK_REF_LEN).map(BlockRef::decode).collect();
    let end = header.table_at()?;
    let starts = blocks.iter().map(|block| block.offset).chain([end]);
    let ends = starts.clone().skip(1);
    let sound = |(start, end): (u64, u64)| start < end && end - start <= BLOCK_MAX_LEN as u64;
    let entries = blocks.iter().map(|block| u64::from(block.entries)).sum::<u64>();
    let first = blocks.first().map_or(end, |block| block.offset);
    let whole = first == HINT_HEADER_LEN as u64 && entries == header.entries && starts.zip(ends).all(sound);
    whole.then_some(blocks)
}

/// Hands the `entries` entries in `bytes` to `each`; `false` when there are others.
fn each_entry(
    bytes: &[u8],
    entries: u64,
    each: &mut impl FnMut(&HintEntry<'_>) -> Result<()>,
) -> Result<bool> {
    let mut rest = bytes;
    for _ in 0..entries {
        let Some((entry, after)) = HintEntry::decode(rest) else { return Ok(false) };
        each(&entry)?;
        rest = after;
    }
    Ok(rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::coding::Id128;
    use crate::format::record::{Draft, Flags, RecordHeader};
    use crate::io::env::{Dir, DirOptions, Env};
    use crate::io::sim::{Sim, SimFile};
    use crate::keydir::Secret;
    use crate::segment::hint_writer::HintBuilder;
    use std::path::Path;

    const ID: HintId = HintId { database: Id128([1; 16]), uid: 5, segment_len: 1 << 24 };
    const DIR: &str = "/hints";
    const NAME: &str = "000000000001.hint";

    fn header(key: &[u8], flags: Flags, version: u64) -> RecordHeader {
        let draft = Draft::new(key, b"value", flags, None);
        RecordHeader::decode(&draft.header(version, 5, 72)).expect("a header")
    }

    fn key(n: u64) -> Vec<u8> {
        // Equal up to past the prefix that sorting compares first.
        format!("a common beginning {:05}", n * 7919 % 100_000).into_bytes()
    }

    /// A hint of `keys` keys, each with two records, the second a tombstone.
    fn written(keys: u64) -> Sim {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let mut builder = HintBuilder::default();
        for n in 0..2 * keys {
            let flags = if n < keys { Flags::BATCH_CONTINUES } else { Flags::TOMBSTONE };
            let key = key(n % keys);
            builder.add(&header(&key, flags, n + 1), &key, 72 + n * 64).expect("memory");
        }
        let file = dir(&sim).create(NAME).expect("a file");
        assert!(builder.write(&file, NAME, ID, &Secret::new(&[3; 16]), || true).expect("a hint"));
        sim
    }

    fn dir(sim: &Sim) -> <Sim as Env>::Dir {
        sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).expect("a directory")
    }

    fn open(sim: &Sim, id: HintId) -> Option<Hint<SimFile>> {
        Hint::open(dir(sim).open(NAME, false).expect("a file"), NAME.to_string(), id).expect("no I/O error")
    }

    type Row = (Vec<u8>, u64, u64, bool);

    fn rows(hint: &Hint<SimFile>) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        let whole = hint.read(0..hint.block_count(), |entry| {
            let flags = entry.flags;
            rows.push((entry.key.to_vec(), entry.offset, entry.version, flags == Flags::TOMBSTONE));
            Ok(())
        });
        whole.expect("no I/O error").then_some(rows)
    }

    #[test]
    fn entries_come_by_key_and_the_newest_of_a_key_first() {
        for keys in [1, 2, 300, 40_000] {
            let hint = open(&written(keys), ID).expect("the hint");
            assert_eq!((hint.header().entries, hint.header().tombstones), (2 * keys, keys));
            let mut expected: Vec<Row> =
                (0..2 * keys).map(|n| (key(n % keys), 72 + n * 64, n + 1, n >= keys)).collect();
            expected.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            assert_eq!(rows(&hint), Some(expected), "{keys} keys");
        }
    }

    #[test]
    fn the_hint_of_a_segment_without_records_is_empty() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let file = dir(&sim).create(NAME).expect("a file");
        let secret = Secret::new(&[3; 16]);
        assert!(HintBuilder::default().write(&file, NAME, ID, &secret, || true).expect("a hint"));
        assert_eq!(rows(&open(&sim, ID).expect("the hint")), Some(Vec::new()));
    }

    #[test]
    fn the_hint_of_another_segment_is_none() {
        let sim = written(3);
        let Id128(bytes) = ID.database;
        for other in [
            HintId { uid: 6, ..ID },
            HintId { segment_len: 1 << 25, ..ID },
            HintId { database: Id128(bytes.map(|byte| byte + 1)), ..ID },
        ] {
            assert!(open(&sim, other).is_none());
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_changes_what_is_read() {
        let sim = written(40);
        let whole = sim.read_file(DIR, NAME).expect("the file");
        let right = rows(&open(&sim, ID).expect("the hint"));
        let blocks_end =
            HINT_HEADER_LEN + usize::try_from(open(&sim, ID).unwrap().header().blocks_len).unwrap();
        let filter_at = blocks_end + open(&sim, ID).unwrap().block_count() * BLOCK_REF_LEN;
        let read = |bytes: &[u8]| {
            sim.write_file(DIR, NAME, bytes);
            open(&sim, ID).and_then(|hint| rows(&hint))
        };
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The filter is not read here.
            let expected = if bit / 8 >= filter_at { right.clone() } else { None };
            assert_eq!(read(&bytes), expected, "bit {bit}");
        }
        (0..whole.len()).for_each(|len| assert_eq!(read(&whole[..len]), None, "{len} bytes"));
    }

    #[test]
    fn one_that_was_not_finished_is_none() {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let mut builder = HintBuilder::default();
        builder.add(&header(b"k", Flags::NONE, 1), b"k", 72).expect("memory");
        let file = dir(&sim).create(NAME).expect("a file");
        assert!(!builder.write(&file, NAME, ID, &Secret::new(&[3; 16]), || false).expect("no error"));
        assert!(open(&sim, ID).is_none());
    }
}
