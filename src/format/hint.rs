//! A hint: the records of one sealed segment in the order of their keys, so that nobody has to read the values.
//!
//! A header, blocks of entries, a table of the blocks, a filter. Each part has its own checksum, so that a reader
//! verifies what it uses and no more. A hint is advisory: it is bound to its segment by uid and length, and one that
//! is missing, stale or damaged is made anew from the segment.

use super::checksum::crc32c;
use super::coding::{Id128, set_u32, set_u64, u32_at, u64_at};
use super::filter::{filter_len, is_filter_len};
use super::record::{
    Flags, MAX_KEY_LEN, RECORD_ALIGN, RECORD_HEADER_LEN, RecordHeader, VERSION_END, record_len,
};

/// "A hint", in eight bytes no text file begins with.
pub const MAGIC: [u8; 8] = *b"\x89bithnt\n";
/// The format this library writes, and the only one it reads.
pub const FORMAT: u32 = 1;

const AT_FORMAT: usize = MAGIC.len();
const AT_FEATURES: usize = AT_FORMAT + 4;
const AT_DATABASE: usize = AT_FEATURES + 4;
const AT_UID: usize = AT_DATABASE + 16;
const AT_SEGMENT_LEN: usize = AT_UID + 8;
const AT_ENTRIES: usize = AT_SEGMENT_LEN + 8;
const AT_TOMBSTONES: usize = AT_ENTRIES + 8;
const AT_BLOCKS: usize = AT_TOMBSTONES + 8;
const AT_BLOCKS_LEN: usize = AT_BLOCKS + 8;
const AT_FILTER_LEN: usize = AT_BLOCKS_LEN + 8;
const AT_TABLE_CRC: usize = AT_FILTER_LEN + 8;
const AT_FILTER_CRC: usize = AT_TABLE_CRC + 4;
const AT_RESERVED: usize = AT_FILTER_CRC + 4;
const AT_CRC: usize = AT_RESERVED + 4;

/// Length of the header in bytes; the first block begins here.
pub const HINT_HEADER_LEN: usize = AT_CRC + 4;

/// A block is closed by the entry that brings it to this length.
pub const BLOCK_TARGET_LEN: usize = 4096;
/// The longest block there can be.
pub const BLOCK_MAX_LEN: usize = BLOCK_TARGET_LEN + ENTRY_HEAD_MAX_LEN + MAX_KEY_LEN;

const AT_BLOCK_OFFSET: usize = 0;
const AT_BLOCK_ENTRIES: usize = AT_BLOCK_OFFSET + 8;
const AT_BLOCK_CRC: usize = AT_BLOCK_ENTRIES + 4;
/// Length of a block's line in the table.
pub const BLOCK_REF_LEN: usize = AT_BLOCK_CRC + 4;

const AT_OFFSET: usize = 0;
const AT_KEY_LEN_AND_FLAGS: usize = AT_OFFSET + 4;
const AT_VALUE_LEN: usize = AT_KEY_LEN_AND_FLAGS + 4;
const AT_VERSION: usize = AT_VALUE_LEN + 4;
const AT_DEADLINE: usize = AT_VERSION + 8;
const ENTRY_HEAD_LEN: usize = AT_DEADLINE;
const ENTRY_HEAD_MAX_LEN: usize = AT_DEADLINE + 8;

/// What a hint says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintHeader {
    /// The database it belongs to.
    pub database: Id128,
    /// The segment's uid.
    pub uid: u64,
    /// The segment's final length in bytes.
    pub segment_len: u64,
    /// How many entries there are: one for each record that is not internal.
    pub entries: u64,
    /// How many of them are tombstones.
    pub tombstones: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// Bytes of all blocks.
    pub blocks_len: u64,
    /// Bytes of the filter.
    pub filter_len: u64,
    /// Checksum of the table.
    pub table_crc: u32,
    /// Checksum of the filter.
    pub filter_crc: u32,
}

impl HintHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HINT_HEADER_LEN] {
        let mut out = [0; HINT_HEADER_LEN];
        out[..MAGIC.len()].copy_from_slice(&MAGIC);
        set_u32(&mut out, AT_FORMAT, FORMAT);
        out[AT_DATABASE..AT_UID].copy_from_slice(&self.database.0);
        set_u64(&mut out, AT_UID, self.uid);
        set_u64(&mut out, AT_SEGMENT_LEN, self.segment_len);
        set_u64(&mut out, AT_ENTRIES, self.entries);
        set_u64(&mut out, AT_TOMBSTONES, self.tombstones);
        set_u64(&mut out, AT_BLOCKS, self.blocks);
        set_u64(&mut out, AT_BLOCKS_LEN, self.blocks_len);
        set_u64(&mut out, AT_FILTER_LEN, self.filter_len);
        set_u32(&mut out, AT_TABLE_CRC, self.table_crc);
        set_u32(&mut out, AT_FILTER_CRC, self.filter_crc);
        let crc = crc32c(&out[..AT_CRC]);
        set_u32(&mut out, AT_CRC, crc);
        out
    }

    /// Reads the header of a hint file of `file_len` bytes; `None` when it is damaged, of a newer format, or says what
    /// cannot be of such a file.
    pub fn decode(bytes: &[u8], file_len: u64) -> Option<Self> {
        let head = bytes.get(..HINT_HEADER_LEN)?;
        let whole = head[..MAGIC.len()] == MAGIC && crc32c(&head[..AT_CRC]) == u32_at(head, AT_CRC);
        if !whole || u32_at(head, AT_FORMAT) != FORMAT || u32_at(head, AT_FEATURES) != 0 {
            return None;
        }
        let mut database = [0; 16];
        database.copy_from_slice(&head[AT_DATABASE..AT_UID]);
        let header = HintHeader {
            database: Id128(database),
            uid: u64_at(head, AT_UID),
            segment_len: u64_at(head, AT_SEGMENT_LEN),
            entries: u64_at(head, AT_ENTRIES),
            tombstones: u64_at(head, AT_TOMBSTONES),
            blocks: u64_at(head, AT_BLOCKS),
            blocks_len: u64_at(head, AT_BLOCKS_LEN),
            filter_len: u64_at(head, AT_FILTER_LEN),
            table_crc: u32_at(head, AT_TABLE_CRC),
            filter_crc: u32_at(head, AT_FILTER_CRC),
        };
        // No part can be larger than what so many records need.
        let bounded = header.entries <= header.segment_len / RECORD_HEADER_LEN as u64
            && header.blocks <= header.entries
            && is_filter_len(header.filter_len)
            && header.filter_len <= filter_len(header.entries);
        (bounded && header.file_len() == Some(file_len)).then_some(header)
    }

    /// Whether a file that begins with `bytes` can be a hint of `database`, of whatever format. Its header is written
    /// last, and what a torn write left out is zeros.
    pub fn may_be_of(bytes: &[u8], database: Id128) -> bool {
        let written = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let agrees = |at: usize, meant: &[u8]| {
            let found = bytes[..written].get(at..).unwrap_or_default();
            found.iter().zip(meant).all(|(byte, meant)| byte == meant)
        };
        agrees(0, &MAGIC) && agrees(AT_DATABASE, &database.0)
    }

    /// Where the table begins.
    pub fn table_at(&self) -> Option<u64> {
        (HINT_HEADER_LEN as u64).checked_add(self.blocks_len)
    }

    /// Where the filter begins.
    pub fn filter_at(&self) -> Option<u64> {
        self.table_at()?.checked_add(self.blocks.checked_mul(BLOCK_REF_LEN as u64)?)
    }

    /// Length of the whole file.
    pub fn file_len(&self) -> Option<u64> {
        self.filter_at()?.checked_add(self.filter_len)
    }
}

/// A block's line in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Where the block begins in the file. It ends where the next one begins, the last one at the table.
    pub offset: u64,
    /// How many entries it has.
    pub entries: u32,
    /// Its checksum.
    pub crc: u32,
}

impl BlockRef {
    /// Appends the line to a table.
    pub fn encode(&self, table: &mut Vec<u8>) {
        table.extend_from_slice(&self.offset.to_le_bytes());
        table.extend_from_slice(&self.entries.to_le_bytes());
        table.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads the line at the start of `bytes`, which hold one.
    pub fn decode(bytes: &[u8]) -> Self {
        BlockRef {
            offset: u64_at(bytes, AT_BLOCK_OFFSET),
            entries: u32_at(bytes, AT_BLOCK_ENTRIES),
            crc: u32_at(bytes, AT_BLOCK_CRC),
        }
    }
}

/// One record, without its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintEntry<'a> {
    /// Where the record begins in the segment, in bytes.
    pub offset: u64,
    /// Its flags, batch-continues left out.
    pub flags: Flags,
    /// Length of its stored value in bytes.
    pub value_len: u32,
    /// Its version.
    pub version: u64,
    /// When it expires, ns since 1970.
    pub deadline: Option<u64>,
    /// Its key.
    pub key: &'a [u8],
}

impl<'a> HintEntry<'a> {
    /// The entry of the record at `offset`.
    pub fn of(header: &RecordHeader, key: &'a [u8], offset: u64) -> Self {
        HintEntry {
            offset,
            flags: header.flags.without(Flags::BATCH_CONTINUES),
            value_len: header.value_len,
            version: header.version,
            deadline: header.deadline,
            key,
        }
    }

    /// Length of the whole record in its segment, padding included.
    pub fn record_len(&self) -> u64 {
        record_len(self.deadline.is_some(), self.key.len(), self.value_len)
    }

    /// Appends the entry to a block. The offset is below 32 GiB and the key at most [`MAX_KEY_LEN`] long.
    pub fn encode(&self, block: &mut Vec<u8>) {
        debug_assert!(self.flags.has(Flags::EXPIRES) == self.deadline.is_some());
        let offset = u32::try_from(self.offset / RECORD_ALIGN).unwrap_or(u32::MAX);
        block.extend_from_slice(&offset.to_le_bytes());
        block.extend_from_slice(&self.flags.with_key_len(self.key.len()).to_le_bytes());
        block.extend_from_slice(&self.value_len.to_le_bytes());
        block.extend_from_slice(&self.version.to_le_bytes());
        if let Some(deadline) = self.deadline {
            block.extend_from_slice(&deadline.to_le_bytes());
        }
        block.extend_from_slice(self.key);
    }

    /// Reads the entry at the start of `bytes`, and the rest of them; `None` when no entry can look so.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        if bytes.len() < ENTRY_HEAD_LEN {
            return None;
        }
        let (flags, key_len) = Flags::and_key_len(u32_at(bytes, AT_KEY_LEN_AND_FLAGS))?;
        let (offset, version) =
            (u64::from(u32_at(bytes, AT_OFFSET)) * RECORD_ALIGN, u64_at(bytes, AT_VERSION));
        if version >= VERSION_END || flags.has(Flags::INTERNAL) || offset == 0 {
            return None;
        }
        let head_len = if flags.has(Flags::EXPIRES) { ENTRY_HEAD_MAX_LEN } else { ENTRY_HEAD_LEN };
        let (head, rest) = bytes.split_at_checked(head_len)?;
        let (key, rest) = rest.split_at_checked(key_len as usize)?;
        let deadline = flags.has(Flags::EXPIRES).then(|| u64_at(head, AT_DEADLINE));
        let value_len = u32_at(head, AT_VALUE_LEN);
        Some((HintEntry { offset, flags, value_len, version, deadline, key }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HintHeader {
        HintHeader {
            database: Id128([7; 16]),
            uid: 9,
            segment_len: 4096,
            entries: 3,
            tombstones: 1,
            blocks: 2,
            blocks_len: 200,
            filter_len: 32,
            table_crc: 5,
            filter_crc: 6,
        }
    }

    fn file_len(header: &HintHeader) -> u64 {
        header.file_len().expect("a length that fits")
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let header = sample();
        assert_eq!(HintHeader::decode(&header.encode(), file_len(&header)), Some(header));
    }

    #[test]
    fn every_flipped_bit_of_a_header_and_every_cut_is_noticed() {
        let (whole, len) = (sample().encode(), file_len(&sample()));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(HintHeader::decode(&bytes, len), None, "bit {bit}");
        }
        (0..whole.len()).for_each(|cut| assert_eq!(HintHeader::decode(&whole[..cut], len), None));
        assert_eq!(HintHeader::decode(&whole, len - 1), None);
    }

    #[test]
    fn lengths_that_overflow_are_no_header() {
        for wild in [
            HintHeader { blocks: u64::MAX, ..sample() },
            HintHeader { blocks_len: u64::MAX, ..sample() },
            HintHeader { filter_len: u64::MAX - 31, ..sample() },
        ] {
            assert_eq!(HintHeader::decode(&wild.encode(), 400), None);
        }
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let mut block = Vec::new();
        let entries = [
            HintEntry { offset: 72, flags: Flags::NONE, value_len: 0, version: 1, deadline: None, key: b"" },
            HintEntry {
                offset: (1 << 35) - 8,
                flags: Flags::JSON.and(Flags::EXPIRES),
                value_len: u32::MAX,
                version: VERSION_END - 1,
                deadline: Some(42),
                key: &[b'k'; MAX_KEY_LEN],
            },
            HintEntry {
                offset: 8,
                flags: Flags::TOMBSTONE,
                value_len: 0,
                version: 3,
                deadline: None,
                key: b"k",
            },
        ];
        entries.iter().for_each(|entry| entry.encode(&mut block));
        let mut rest = &block[..];
        for entry in entries {
            let (read, after) = HintEntry::decode(rest).expect("an entry");
            assert_eq!(read, entry);
            rest = after;
        }
        assert!(rest.is_empty());
        assert!(HintEntry::decode(&block[..ENTRY_HEAD_LEN - 1]).is_none());
    }
}
