//! The first bytes of a segment: whose it is, and what it follows.
//!
//! These 72 bytes keep their layout in every future format, so that an older library can tell a newer
//! segment from a damaged one: the checksum is judged first, then the format number.

use super::checksum::crc32c;
use super::coding::{Id128, set_u32, set_u64, u32_at, u64_at};

/// "A segment", in eight bytes no text file begins with.
pub const MAGIC: [u8; 8] = *b"\x89bitcsk\n";
/// The format this library writes, and the newest it reads.
pub const FORMAT: u32 = 1;
/// Incompatible features this library understands.
pub const KNOWN_FEATURES: u32 = 0;

const AT_FORMAT: usize = MAGIC.len();
const AT_FEATURES: usize = AT_FORMAT + 4;
const AT_DATABASE: usize = AT_FEATURES + 4;
const AT_UID: usize = AT_DATABASE + 16;
const AT_NUMBER: usize = AT_UID + 8;
const AT_PREDECESSOR_UID: usize = AT_NUMBER + 8;
const AT_PREDECESSOR_LEN: usize = AT_PREDECESSOR_UID + 8;
const AT_RESERVED: usize = AT_PREDECESSOR_LEN + 8;
const AT_CRC: usize = AT_RESERVED + 4;

/// Length of the header in bytes; the first record begins here.
pub const SEGMENT_HEADER_LEN: usize = AT_CRC + 4;

/// A segment's identity and its link to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The database it belongs to.
    pub database: Id128,
    /// A random number no other segment has.
    pub uid: u64,
    /// The number in its name.
    pub number: u64,
    /// Uid of the segment written before it, 0 for the first.
    pub predecessor_uid: u64,
    /// Final length of that segment in bytes.
    pub predecessor_len: u64,
}

/// What the first bytes of a segment file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderState {
    /// A header that this library reads.
    Valid(SegmentHeader),
    /// Zeros or nothing: a spare that was never written to, or whose first write never reached the disk.
    Blank,
    /// Whole, but of a newer library: format number and feature bits.
    Newer {
        /// The format number found.
        format: u32,
        /// The feature bits found.
        features: u32,
    },
    /// Anything else.
    Damaged,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        out[..MAGIC.len()].copy_from_slice(&MAGIC);
        set_u32(&mut out, AT_FORMAT, FORMAT);
        set_u32(&mut out, AT_FEATURES, 0);
        out[AT_DATABASE..AT_UID].copy_from_slice(&self.database.0);
        set_u64(&mut out, AT_UID, self.uid);
        set_u64(&mut out, AT_NUMBER, self.number);
        set_u64(&mut out, AT_PREDECESSOR_UID, self.predecessor_uid);
        set_u64(&mut out, AT_PREDECESSOR_LEN, self.predecessor_len);
        let crc = crc32c(&out[..AT_CRC]);
        set_u32(&mut out, AT_CRC, crc);
        out
    }

    /// Judges the first bytes of a segment file; a shorter file gives fewer.
    pub fn decode(bytes: &[u8]) -> HeaderState {
        let head = &bytes[..bytes.len().min(SEGMENT_HEADER_LEN)];
        if head.iter().all(|&byte| byte == 0) {
            return HeaderState::Blank;
        }
        if head.len() < SEGMENT_HEADER_LEN
            || head[..MAGIC.len()] != MAGIC
            || crc32c(&head[..AT_CRC]) != u32_at(head, AT_CRC)
        {
            return HeaderState::Damaged;
        }
        let (format, features) = (u32_at(head, AT_FORMAT), u32_at(head, AT_FEATURES));
        if format != FORMAT || features & !KNOWN_FEATURES != 0 {
            return HeaderState::Newer { format, features };
        }
        let mut database = [0; 16];
        database.copy_from_slice(&head[AT_DATABASE..AT_UID]);
        HeaderState::Valid(SegmentHeader {
            database: Id128(database),
            uid: u64_at(head, AT_UID),
            number: u64_at(head, AT_NUMBER),
            predecessor_uid: u64_at(head, AT_PREDECESSOR_UID),
            predecessor_len: u64_at(head, AT_PREDECESSOR_LEN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            database: Id128(*b"0123456789abcdef"),
            uid: 0x1122_3344_5566_7788,
            number: 7,
            predecessor_uid: 9,
            predecessor_len: 4096,
        }
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        assert_eq!(SegmentHeader::decode(&sample().encode()), HeaderState::Valid(sample()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = sample().encode();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_or_feature_is_told_from_damage() {
        for (at, value) in [(AT_FORMAT, 2), (AT_FEATURES, 0x8000_0000)] {
            let mut bytes = sample().encode();
            set_u32(&mut bytes, at, value);
            let crc = crc32c(&bytes[..AT_CRC]);
            set_u32(&mut bytes, AT_CRC, crc);
            assert!(matches!(SegmentHeader::decode(&bytes), HeaderState::Newer { .. }));
        }
    }

    #[test]
    fn zeros_and_nothing_are_blank_and_a_cut_header_is_damaged() {
        assert_eq!(SegmentHeader::decode(&[]), HeaderState::Blank);
        assert_eq!(SegmentHeader::decode(&[0; 500]), HeaderState::Blank);
        for len in 1..SEGMENT_HEADER_LEN {
            assert_eq!(SegmentHeader::decode(&sample().encode()[..len]), HeaderState::Damaged, "{len} bytes");
        }
    }
}
