//! The checkpoint: the keydir as of a clean close, in parts that can be read and verified one by one.
//!
//! A header, the entries of all parts, a table of the segments that locations name, a table of the parts. It is
//! advisory, and good only for the very log that the close left: a writer's open goes on from there, and from then on
//! the generation tells that the checkpoint is of the past.

use super::checksum::crc32c;
use super::coding::{Id128, set_u32, set_u64, u32_at, u64_at};

/// "An index", in eight bytes no text file begins with.
pub const MAGIC: [u8; 8] = *b"\x89bitidx\n";
/// The format this library writes, and the only one it reads.
pub const FORMAT: u32 = 1;

const AT_FORMAT: usize = MAGIC.len();
const AT_FEATURES: usize = AT_FORMAT + 4;
const AT_DATABASE: usize = AT_FEATURES + 4;
const AT_GENERATION: usize = AT_DATABASE + 16;
const AT_LAST_VERSION: usize = AT_GENERATION + 8;
const AT_ACTIVE_UID: usize = AT_LAST_VERSION + 8;
const AT_ACTIVE_LEN: usize = AT_ACTIVE_UID + 8;
const AT_ACTIVE_HIGHEST_VERSION: usize = AT_ACTIVE_LEN + 8;
const AT_ACTIVE_RECORDS: usize = AT_ACTIVE_HIGHEST_VERSION + 8;
const AT_ACTIVE_TOMBSTONES: usize = AT_ACTIVE_RECORDS + 8;
const AT_ENTRIES: usize = AT_ACTIVE_TOMBSTONES + 8;
const AT_SEGMENTS: usize = AT_ENTRIES + 8;
const AT_PARTS: usize = AT_SEGMENTS + 4;
const AT_TABLES_CRC: usize = AT_PARTS + 4;
const AT_CRC: usize = AT_TABLES_CRC + 4;

/// Length of the header in bytes; the first entry begins here.
pub const CHECKPOINT_HEADER_LEN: usize = AT_CRC + 4;

const AT_ENTRY_LO: usize = 0;
const AT_ENTRY_HI: usize = AT_ENTRY_LO + 8;
const AT_ENTRY_LOCATION: usize = AT_ENTRY_HI + 8;
/// Length of an entry in bytes.
pub const ENTRY_LEN: usize = AT_ENTRY_LOCATION + 8;

const AT_LINE_UID: usize = 0;
const AT_LINE_LEN: usize = AT_LINE_UID + 8;
const AT_LINE_LIVE: usize = AT_LINE_LEN + 8;
const AT_LINE_UNRECLAIMABLE: usize = AT_LINE_LIVE + 8;
const AT_LINE_SLOT: usize = AT_LINE_UNRECLAIMABLE + 8;
const AT_LINE_HINT: usize = AT_LINE_SLOT + 4;
/// Length of a segment's line in bytes.
pub const SEGMENT_LINE_LEN: usize = AT_LINE_HINT + 4;

const AT_PART_COVER: usize = 0;
const AT_PART_ENTRIES: usize = AT_PART_COVER + 4;
const AT_PART_CRC: usize = AT_PART_ENTRIES + 4;
/// Length of a part's line in bytes.
pub const PART_LINE_LEN: usize = AT_PART_CRC + 4;

/// The most entries that a part may have.
pub const PART_MAX_ENTRIES: u32 = 1 << 16;
/// The most low bits of a digest that the entries of a part may share.
const MAX_DEPTH: u32 = 31;

/// What a checkpoint says of itself and of the close that left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// The database it belongs to.
    pub database: Id128,
    /// The manifest's generation.
    pub generation: u64,
    /// The version of the newest record.
    pub last_version: u64,
    /// The active segment's uid.
    pub active_uid: u64,
    /// The active segment's length in bytes.
    pub active_len: u64,
    /// The highest version in the active segment.
    pub active_highest_version: u64,
    /// Records in the active segment, tombstones included, internal ones not.
    pub active_records: u64,
    /// Tombstones in the active segment.
    pub active_tombstones: u64,
    /// How many entries there are: one for each key.
    pub entries: u64,
    /// How many segments are named.
    pub segments: u32,
    /// How many parts there are.
    pub parts: u32,
    /// Checksum of both tables.
    pub tables_crc: u32,
}

impl CheckpointHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; CHECKPOINT_HEADER_LEN] {
        let mut out = [0; CHECKPOINT_HEADER_LEN];
        out[..MAGIC.len()].copy_from_slice(&MAGIC);
        set_u32(&mut out, AT_FORMAT, FORMAT);
        out[AT_DATABASE..AT_GENERATION].copy_from_slice(&self.database.0);
        set_u64(&mut out, AT_GENERATION, self.generation);
        set_u64(&mut out, AT_LAST_VERSION, self.last_version);
        set_u64(&mut out, AT_ACTIVE_UID, self.active_uid);
        set_u64(&mut out, AT_ACTIVE_LEN, self.active_len);
        set_u64(&mut out, AT_ACTIVE_HIGHEST_VERSION, self.active_highest_version);
        set_u64(&mut out, AT_ACTIVE_RECORDS, self.active_records);
        set_u64(&mut out, AT_ACTIVE_TOMBSTONES, self.active_tombstones);
        set_u64(&mut out, AT_ENTRIES, self.entries);
        set_u32(&mut out, AT_SEGMENTS, self.segments);
        set_u32(&mut out, AT_PARTS, self.parts);
        set_u32(&mut out, AT_TABLES_CRC, self.tables_crc);
        let crc = crc32c(&out[..AT_CRC]);
        set_u32(&mut out, AT_CRC, crc);
        out
    }

    /// Reads the header of a checkpoint of `file_len` bytes; `None` when it is damaged, of a newer format, or says what
    /// cannot be of such a file.
    pub fn decode(bytes: &[u8], file_len: u64) -> Option<Self> {
        let head = bytes.get(..CHECKPOINT_HEADER_LEN)?;
        let whole = head[..MAGIC.len()] == MAGIC && crc32c(&head[..AT_CRC]) == u32_at(head, AT_CRC);
        if !whole || u32_at(head, AT_FORMAT) != FORMAT || u32_at(head, AT_FEATURES) != 0 {
            return None;
        }
        let mut database = [0; 16];
        database.copy_from_slice(&head[AT_DATABASE..AT_GENERATION]);
        let header = CheckpointHeader {
            database: Id128(database),
            generation: u64_at(head, AT_GENERATION),
            last_version: u64_at(head, AT_LAST_VERSION),
            active_uid: u64_at(head, AT_ACTIVE_UID),
            active_len: u64_at(head, AT_ACTIVE_LEN),
            active_highest_version: u64_at(head, AT_ACTIVE_HIGHEST_VERSION),
            active_records: u64_at(head, AT_ACTIVE_RECORDS),
            active_tombstones: u64_at(head, AT_ACTIVE_TOMBSTONES),
            entries: u64_at(head, AT_ENTRIES),
            segments: u32_at(head, AT_SEGMENTS),
            parts: u32_at(head, AT_PARTS),
            tables_crc: u32_at(head, AT_TABLES_CRC),
        };
        (header.file_len() == Some(file_len)).then_some(header)
    }

    /// Whether a file that begins with `bytes` can be a checkpoint of `database`, of whatever format, whole or not.
    pub fn may_be_of(bytes: &[u8], database: Id128) -> bool {
        bytes.starts_with(&MAGIC) && bytes.get(AT_DATABASE..AT_GENERATION) == Some(&database.0)
    }

    /// Where the tables begin.
    pub fn tables_at(&self) -> Option<u64> {
        (CHECKPOINT_HEADER_LEN as u64).checked_add(self.entries.checked_mul(ENTRY_LEN as u64)?)
    }

    /// Length of the table of segments.
    pub fn segments_len(&self) -> u64 {
        u64::from(self.segments) * SEGMENT_LINE_LEN as u64
    }

    /// Length of both tables.
    pub fn tables_len(&self) -> u64 {
        self.segments_len() + u64::from(self.parts) * PART_LINE_LEN as u64
    }

    /// Length of the whole file.
    pub fn file_len(&self) -> Option<u64> {
        self.tables_at()?.checked_add(self.tables_len())
    }
}

/// A key's digest and its newest record's location, as three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// The digest's first word.
    pub lo: u64,
    /// The digest's second word.
    pub hi: u64,
    /// The location: 20 bits segment slot, 32 bits offset / 8, 8 bits size class, 4 bits flags.
    pub location: u64,
}

impl CheckpointEntry {
    /// Appends the entry to a part.
    pub fn encode(&self, part: &mut Vec<u8>) {
        for word in [self.lo, self.hi, self.location] {
            part.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads the entry at the start of `bytes`, which hold one.
    pub fn decode(bytes: &[u8]) -> Self {
        CheckpointEntry {
            lo: u64_at(bytes, AT_ENTRY_LO),
            hi: u64_at(bytes, AT_ENTRY_HI),
            location: u64_at(bytes, AT_ENTRY_LOCATION),
        }
    }
}

/// A segment that locations name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLine {
    /// The segment's uid.
    pub uid: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes of records that are their keys' newest.
    pub live_bytes: u64,
    /// Bytes that no key points to and that a merge kept all the same.
    pub unreclaimable_bytes: u64,
    /// The slot by which locations name it.
    pub slot: u32,
    /// Whether it has a hint.
    pub hint: HintMark,
}

/// What was known of a segment's hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintMark {
    /// There was none.
    Missing = 0,
    /// It was whole.
    Whole = 1,
    /// The segment is damaged, so that none can be made.
    Impossible = 2,
}

impl SegmentLine {
    /// Appends the line to a table.
    pub fn encode(&self, table: &mut Vec<u8>) {
        for word in [self.uid, self.len, self.live_bytes, self.unreclaimable_bytes] {
            table.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.slot, self.hint as u32] {
            table.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads the line at the start of `bytes`, which hold one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let known = [HintMark::Missing, HintMark::Whole, HintMark::Impossible];
        let mark = u32_at(bytes, AT_LINE_HINT);
        Some(SegmentLine {
            uid: u64_at(bytes, AT_LINE_UID),
            len: u64_at(bytes, AT_LINE_LEN),
            live_bytes: u64_at(bytes, AT_LINE_LIVE),
            unreclaimable_bytes: u64_at(bytes, AT_LINE_UNRECLAIMABLE),
            slot: u32_at(bytes, AT_LINE_SLOT),
            hint: known.into_iter().find(|&known| known as u32 == mark)?,
        })
    }
}

/// A part: the entries whose digests share their lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLine {
    /// How many low bits of a digest's first word the entries share.
    pub depth: u32,
    /// These bits.
    pub prefix: u32,
    /// How many entries there are.
    pub entries: u32,
    /// Their checksum.
    pub crc: u32,
}

impl PartLine {
    /// Appends the line to a table.
    pub fn encode(&self, table: &mut Vec<u8>) {
        for word in [1 << self.depth | self.prefix, self.entries, self.crc] {
            table.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads the line at the start of `bytes`, which hold one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let cover = u32_at(bytes, AT_PART_COVER);
        let depth = MAX_DEPTH.checked_sub(cover.leading_zeros())?;
        let line = PartLine {
            depth,
            prefix: cover ^ 1 << depth,
            entries: u32_at(bytes, AT_PART_ENTRIES),
            crc: u32_at(bytes, AT_PART_CRC),
        };
        (line.entries <= PART_MAX_ENTRIES).then_some(line)
    }
}

/// The lines of both tables, if `tables` has the header's checksum and the parts hold all entries and every digest
/// belongs to just one of them. Parts come in the order of their prefixes, read from the lowest bit.
pub fn decode_tables(header: &CheckpointHeader, tables: &[u8]) -> Option<(Vec<SegmentLine>, Vec<PartLine>)> {
    let split = usize::try_from(header.segments_len()).ok()?;
    let (segments, parts) = tables.split_at_checked(split).filter(|_| crc32c(tables) == header.tables_crc)?;
    let segments = segments.chunks_exact(SEGMENT_LINE_LEN).map(SegmentLine::decode);
    let parts = parts.chunks_exact(PART_LINE_LEN).map(PartLine::decode).collect::<Option<Vec<_>>>()?;
    let (mut next, mut entries) = (0u64, 0);
    for part in &parts {
        if u64::from(part.prefix.reverse_bits()) != next {
            return None;
        }
        next += 1 << (u32::BITS - part.depth);
        entries += u64::from(part.entries);
    }
    let complete = next == 1 << u32::BITS && entries == header.entries;
    complete.then_some((segments.collect::<Option<_>>()?, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> SegmentLine {
        SegmentLine {
            uid: 9,
            len: 4096,
            live_bytes: 800,
            unreclaimable_bytes: 72,
            slot: 3,
            hint: HintMark::Impossible,
        }
    }

    /// Three parts: of digests that end in 0, in 01 and in 11.
    fn parts() -> Vec<PartLine> {
        [(1, 0b0, 2), (2, 0b01, 1), (2, 0b11, 0)]
            .map(|(depth, prefix, entries)| PartLine { depth, prefix, entries, crc: 7 })
            .to_vec()
    }

    fn tables(parts: &[PartLine]) -> Vec<u8> {
        let mut tables = Vec::new();
        segment().encode(&mut tables);
        parts.iter().for_each(|part| part.encode(&mut tables));
        tables
    }

    fn header(parts: &[PartLine]) -> CheckpointHeader {
        CheckpointHeader {
            database: Id128([7; 16]),
            generation: 1,
            last_version: 2,
            active_uid: 3,
            active_len: 4,
            active_highest_version: 5,
            active_records: 6,
            active_tombstones: 7,
            entries: parts.iter().map(|part| u64::from(part.entries)).sum(),
            segments: 1,
            parts: u32::try_from(parts.len()).unwrap(),
            tables_crc: crc32c(&tables(parts)),
        }
    }

    fn decoded(parts: &[PartLine]) -> Option<(Vec<SegmentLine>, Vec<PartLine>)> {
        decode_tables(&header(parts), &tables(parts))
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let header = header(&parts());
        assert_eq!(CheckpointHeader::decode(&header.encode(), header.file_len().unwrap()), Some(header));
    }

    #[test]
    fn every_flipped_bit_of_a_header_and_every_cut_is_noticed() {
        let (whole, len) = (header(&parts()).encode(), header(&parts()).file_len().unwrap());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CheckpointHeader::decode(&bytes, len), None, "bit {bit}");
        }
        (0..whole.len()).for_each(|cut| assert_eq!(CheckpointHeader::decode(&whole[..cut], len), None));
        assert_eq!(CheckpointHeader::decode(&whole, len - 1), None);
    }

    #[test]
    fn lengths_that_overflow_are_no_header() {
        let wild = CheckpointHeader { entries: u64::MAX / 24, ..header(&parts()) };
        assert_eq!(CheckpointHeader::decode(&wild.encode(), 400), None);
    }

    #[test]
    fn tables_are_read_as_they_are_written() {
        assert_eq!(decoded(&parts()), Some((vec![segment()], parts())));
        let root = [PartLine { depth: 0, prefix: 0, entries: 5, crc: 1 }];
        assert_eq!(decoded(&root), Some((vec![segment()], root.to_vec())));
    }

    #[test]
    fn every_flipped_bit_of_the_tables_is_noticed() {
        let whole = tables(&parts());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_tables(&header(&parts()), &bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn parts_that_overlap_or_leave_digests_out_are_refused() {
        let [a, b, c] = parts().try_into().unwrap();
        let root = PartLine { depth: 0, prefix: 0, entries: 3, crc: 7 };
        let many = PartLine { entries: PART_MAX_ENTRIES + 1, ..root };
        for wrong in [
            vec![],
            vec![a],
            vec![a, b],
            vec![b, c],
            vec![a, c, b],
            vec![a, b, c, c],
            vec![root, a, b, c],
            vec![many],
        ] {
            assert_eq!(decoded(&wrong), None, "{wrong:?}");
        }
        let short = CheckpointHeader { entries: 4, ..header(&parts()) };
        assert_eq!(decode_tables(&short, &tables(&parts())), None);
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let entry = CheckpointEntry { lo: 1, hi: u64::MAX - 1, location: 3 };
        let mut part = Vec::new();
        entry.encode(&mut part);
        assert_eq!((CheckpointEntry::decode(&part), part.len()), (entry, ENTRY_LEN));
    }
}
