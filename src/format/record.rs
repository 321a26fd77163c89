//! One record: two checksums, sizes, flags, version, key, value.
//!
//! `header_crc` covers the key, then the header behind itself, then the segment's uid and the record's
//! offset. The key comes first so that a writer hashes it before it knows where the record will lie. Uid and
//! offset are covered so that bytes of another segment, stored inside a value, never pass for a record.

use super::checksum::{crc32c, crc32c_more};
use super::coding::{set_u32, set_u64, u32_at, u64_at};

const AT_HEADER_CRC: usize = 0;
const AT_VALUE_CRC: usize = AT_HEADER_CRC + 4;
const AT_KEY_LEN_AND_FLAGS: usize = AT_VALUE_CRC + 4;
const AT_VALUE_LEN: usize = AT_KEY_LEN_AND_FLAGS + 4;
const AT_VERSION: usize = AT_VALUE_LEN + 4;
const AT_DEADLINE: usize = AT_VERSION + 8;

/// Length of a header without a deadline.
pub const RECORD_HEADER_LEN: usize = AT_DEADLINE;
/// Length of a header with a deadline.
pub const RECORD_HEADER_MAX_LEN: usize = AT_DEADLINE + 8;
/// Records begin at multiples of this.
pub const RECORD_ALIGN: u64 = 8;
/// The longest key in bytes.
pub const MAX_KEY_LEN: usize = 64 << 10;
/// The longest stored value in bytes.
pub const MAX_VALUE_LEN: u64 = u32::MAX as u64;

/// One more than the largest version: a signed 64-bit clock of nanoseconds ends there, in the year 2262.
pub const VERSION_END: u64 = 1 << 63;

const KEY_LEN_BITS: u32 = 20;

/// Facts about a record. A type is a flag, never a magic value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// A plain record.
    pub const NONE: Flags = Flags(0);
    /// The key was deleted.
    pub const TOMBSTONE: Flags = Flags(1);
    /// The next record belongs to the same batch.
    pub const BATCH_CONTINUES: Flags = Flags(1 << 1);
    /// The value was put as a JSON document.
    pub const JSON: Flags = Flags(1 << 2);
    /// A deadline follows the version.
    pub const EXPIRES: Flags = Flags(1 << 3);
    /// The stored value is compressed.
    pub const COMPRESSED: Flags = Flags(1 << 4);
    /// The store's own record, no key's.
    pub const INTERNAL: Flags = Flags(1 << 5);

    const KNOWN: u16 = (1 << 6) - 1;

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags and a key's length, in the word that holds both.
    pub(super) fn with_key_len(self, key_len: usize) -> u32 {
        u32::try_from(key_len).unwrap_or(u32::MAX) | u32::from(self.0) << KEY_LEN_BITS
    }

    /// Flags and key length out of their word; `None` when they cannot be.
    pub(super) fn and_key_len(word: u32) -> Option<(Self, u32)> {
        let key_len = word & ((1 << KEY_LEN_BITS) - 1);
        let flags = Flags(u16::try_from(word >> KEY_LEN_BITS).ok()?);
        (key_len as usize <= MAX_KEY_LEN && flags.0 & !Flags::KNOWN == 0).then_some((flags, key_len))
    }

    /// Whether a record of these flags and this deadline is a value at the time that `now_ns` answers.
    #[inline]
    pub fn is_value(self, deadline: Option<u64>, now_ns: impl FnOnce() -> u64) -> bool {
        !self.has(Flags::TOMBSTONE) && deadline.is_none_or(|deadline| deadline > now_ns())
    }

    /// These flags without those.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// A decoded record header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// Checksum over key, header, place.
    pub header_crc: u32,
    /// Checksum over the stored value.
    pub value_crc: u32,
    /// The record's flags.
    pub flags: Flags,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// Length of the stored value in bytes.
    pub value_len: u32,
    /// The version: ns since 1970, strictly increasing.
    pub version: u64,
    /// When the record expires, ns since 1970.
    pub deadline: Option<u64>,
}

impl RecordHeader {
    /// Reads a header from the first bytes of `bytes`; `None` when they are too few, or no header can look so.
    /// Says nothing about the checksums.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < RECORD_HEADER_LEN {
            return None;
        }
        let (flags, key_len) = Flags::and_key_len(u32_at(bytes, AT_KEY_LEN_AND_FLAGS))?;
        let version = u64_at(bytes, AT_VERSION);
        if version >= VERSION_END {
            return None;
        }
        let deadline = match flags.has(Flags::EXPIRES) {
            false => None,
            true if bytes.len() < RECORD_HEADER_MAX_LEN => return None,
            true => Some(u64_at(bytes, AT_DEADLINE)),
        };
        Some(RecordHeader {
            header_crc: u32_at(bytes, AT_HEADER_CRC),
            value_crc: u32_at(bytes, AT_VALUE_CRC),
            flags,
            key_len,
            value_len: u32_at(bytes, AT_VALUE_LEN),
            version,
            deadline,
        })
    }

    /// Length of the header in bytes.
    pub fn header_len(&self) -> usize {
        if self.deadline.is_some() { RECORD_HEADER_MAX_LEN } else { RECORD_HEADER_LEN }
    }

    /// Offset of the value from the record's first byte.
    pub fn value_at(&self) -> usize {
        self.header_len() + self.key_len as usize
    }

    /// Length of the whole record, padding included: the distance to the next.
    pub fn record_len(&self) -> u64 {
        record_len(self.deadline.is_some(), self.key_len as usize, self.value_len)
    }

    /// Whether `header_crc` is right for this key and place. `bytes` begin with the header.
    pub fn verify(&self, bytes: &[u8], key: &[u8], uid: u64, offset: u64) -> bool {
        self.header_crc == bound_crc(0, key, &bytes[AT_VALUE_CRC..self.header_len()], uid, offset)
    }

    /// A uid for which [`RecordHeader::verify`] holds at this place, which says nothing of whether there is a record.
    /// All uids that differ from a segment's in nothing its records' checksums tell are one: of 2^32, that below 2^32.
    pub fn uid_for(&self, bytes: &[u8], key: &[u8], offset: u64) -> u64 {
        let crc_for = |uid| bound_crc(0, key, &bytes[AT_VALUE_CRC..self.header_len()], uid, offset);
        // Each bit of the uid flips bits of the checksum, whatever the others are. By their highest: these, and whose.
        let mut flips = [(0u32, 0u64); 32];
        let without = crc_for(0);
        for bit in 0..32 {
            let (mut flipped, mut uid) = (crc_for(1 << bit) ^ without, 1 << bit);
            while let Some(top) = flipped.checked_ilog2() {
                let known = &mut flips[top as usize];
                if known.0 == 0 {
                    *known = (flipped, uid);
                    break;
                }
                flipped ^= known.0;
                uid ^= known.1;
            }
        }
        let (mut wanted, mut found) = (self.header_crc ^ without, 0);
        for (top, (flipped, uid)) in flips.iter().enumerate().rev() {
            if wanted >> top & 1 == 1 {
                wanted ^= flipped;
                found ^= uid;
            }
        }
        found
    }

    /// Whether the record has expired at `now_ns`.
    pub fn is_expired(&self, now_ns: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now_ns)
    }
}

/// Length of a whole record, padding included.
pub(super) fn record_len(expires: bool, key_len: usize, value_len: u32) -> u64 {
    let header_len = if expires { RECORD_HEADER_MAX_LEN } else { RECORD_HEADER_LEN };
    ((header_len + key_len) as u64 + u64::from(value_len)).next_multiple_of(RECORD_ALIGN)
}

/// The checksum of the key, of which `crc` covers what is not in `key`, the header behind the checksum, uid and offset.
#[inline]
fn bound_crc(crc: u32, key: &[u8], header_rest: &[u8], uid: u64, offset: u64) -> u32 {
    crc32c_more(crc, [key, header_rest, &uid.to_le_bytes(), &offset.to_le_bytes()])
}

/// A record about to be written: all that can be computed before its place and version are known.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    flags: Flags,
    key_len: u32,
    value_len: u32,
    key_crc: u32,
    value_crc: u32,
    deadline: Option<u64>,
}

impl Draft {
    /// Checksums key and stored value, whose lengths the caller has checked against [`MAX_KEY_LEN`] and
    /// [`MAX_VALUE_LEN`].
    pub fn new(key: &[u8], value: &[u8], flags: Flags, deadline: Option<u64>) -> Self {
        debug_assert!(key.len() <= MAX_KEY_LEN && value.len() as u64 <= MAX_VALUE_LEN);
        Draft {
            flags: if deadline.is_some() { flags.and(Flags::EXPIRES) } else { flags.without(Flags::EXPIRES) },
            key_len: u32::try_from(key.len()).unwrap_or(u32::MAX),
            value_len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            key_crc: crc32c(key),
            value_crc: crc32c(value),
            deadline,
        }
    }

    /// The draft of a record that was read and is written again elsewhere: its value checksum is kept, even
    /// a wrong one.
    pub fn copy_of(header: &RecordHeader, key: &[u8]) -> Self {
        Draft {
            flags: header.flags,
            key_len: header.key_len,
            value_len: header.value_len,
            key_crc: crc32c(key),
            value_crc: header.value_crc,
            deadline: header.deadline,
        }
    }

    /// The draft with the batch-continues flag set.
    pub fn continued(mut self) -> Self {
        self.flags = self.flags.and(Flags::BATCH_CONTINUES);
        self
    }

    /// The draft without the batch-continues flag.
    pub fn alone(mut self) -> Self {
        self.flags = self.flags.without(Flags::BATCH_CONTINUES);
        self
    }

    /// The record's flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Length of the whole record, padding included.
    pub fn record_len(&self) -> u64 {
        self.unpadded_len().next_multiple_of(RECORD_ALIGN)
    }

    /// How many zero bytes follow the value.
    pub fn padding(&self) -> usize {
        usize::try_from(self.record_len() - self.unpadded_len()).unwrap_or(0)
    }

    /// Length of the header in bytes.
    pub fn header_len(&self) -> usize {
        if self.deadline.is_some() { RECORD_HEADER_MAX_LEN } else { RECORD_HEADER_LEN }
    }

    /// The header for a place and a version: the first [`Draft::header_len`] bytes count.
    pub fn header(&self, version: u64, uid: u64, offset: u64) -> [u8; RECORD_HEADER_MAX_LEN] {
        let mut out = [0; RECORD_HEADER_MAX_LEN];
        set_u32(&mut out, AT_VALUE_CRC, self.value_crc);
        set_u32(&mut out, AT_KEY_LEN_AND_FLAGS, self.flags.with_key_len(self.key_len as usize));
        set_u32(&mut out, AT_VALUE_LEN, self.value_len);
        set_u64(&mut out, AT_VERSION, version);
        set_u64(&mut out, AT_DEADLINE, self.deadline.unwrap_or(0));
        let crc = bound_crc(self.key_crc, &[], &out[AT_VALUE_CRC..self.header_len()], uid, offset);
        set_u32(&mut out, AT_HEADER_CRC, crc);
        out
    }

    /// What [`RecordHeader::decode`] makes of the header, but for its checksum: that depends on the place.
    pub fn as_header(&self, version: u64) -> RecordHeader {
        RecordHeader {
            header_crc: 0,
            value_crc: self.value_crc,
            flags: self.flags,
            key_len: self.key_len,
            value_len: self.value_len,
            version,
            deadline: self.deadline,
        }
    }

    fn unpadded_len(&self) -> u64 {
        self.header_len() as u64 + u64::from(self.key_len) + u64::from(self.value_len)
    }
}

/// A whole record, its checksums verified.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The header.
    pub header: RecordHeader,
    /// The key.
    pub key: &'a [u8],
    /// The stored value.
    pub value: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: u64 = 77;
    const OFFSET: u64 = 72;

    fn encode(draft: &Draft, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = draft.header(5, UID, OFFSET)[..draft.header_len()].to_vec();
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len() + draft.padding(), 0);
        bytes
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        for (key_len, value_len, deadline) in [(0, 0, None), (3, 5, None), (MAX_KEY_LEN, 9, Some(42))] {
            let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
            let draft = Draft::new(&key, &value, Flags::JSON, deadline).continued();
            let bytes = encode(&draft, &key, &value);
            let header = RecordHeader::decode(&bytes).expect("a header");
            assert_eq!((header.version, header.deadline), (5, deadline));
            assert_eq!((header.key_len as usize, header.value_len as usize), (key_len, value_len));
            assert!(header.flags.has(Flags::JSON.and(Flags::BATCH_CONTINUES)));
            assert_eq!(header.flags.has(Flags::EXPIRES), deadline.is_some());
            assert_eq!((header.record_len(), header.record_len() % 8), (bytes.len() as u64, 0));
            assert_eq!(header.value_crc, crc32c(&value));
            assert!(header.verify(&bytes, &key, UID, OFFSET));
        }
    }

    #[test]
    fn a_record_belongs_to_its_segment_and_offset() {
        let bytes = encode(&Draft::new(b"k", b"v", Flags::NONE, None), b"k", b"v");
        let header = RecordHeader::decode(&bytes).expect("a header");
        assert!(!header.verify(&bytes, b"k", UID + 1, OFFSET));
        assert!(!header.verify(&bytes, b"k", UID, OFFSET + 8));
        assert!(!header.verify(&bytes, b"j", UID, OFFSET));
    }

    #[test]
    fn every_flipped_bit_of_header_and_key_is_noticed() {
        let (key, value) = (b"some key", b"some value");
        let whole = encode(&Draft::new(key, value, Flags::NONE, Some(1)), key, value);
        for bit in 0..(RECORD_HEADER_MAX_LEN + key.len()) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let good = RecordHeader::decode(&bytes).is_some_and(|header| {
                let key = bytes.get(header.header_len()..header.value_at());
                key.is_some_and(|key| header.verify(&bytes, key, UID, OFFSET))
            });
            assert!(!good, "bit {bit}");
        }
    }

    #[test]
    fn the_uid_that_one_record_agrees_with_tells_the_others_of_its_segment() {
        let record = |key: &[u8], uid, offset| {
            let draft = Draft::new(key, b"v", Flags::NONE, Some(9));
            (draft.header(5, uid, offset), key.to_vec())
        };
        for uid in [1, UID, 0x1122_3344_5566_7788, u64::MAX] {
            let (bytes, key) = record(b"first", uid, OFFSET);
            let found = RecordHeader::decode(&bytes).expect("a header").uid_for(&bytes, &key, OFFSET);
            assert!(found < 1 << 32);
            for (key, offset) in [(&b"first"[..], OFFSET), (b"", 4096), (b"another", 1 << 34)] {
                let (bytes, key) = record(key, uid, offset);
                let header = RecordHeader::decode(&bytes).expect("a header");
                assert!(header.verify(&bytes, &key, found, offset));
                assert!(!header.verify(&bytes, &key, found, offset + 8));
                let (bytes, _) = record(&key, uid ^ 2, offset);
                assert!(!RecordHeader::decode(&bytes).expect("a header").verify(&bytes, &key, found, offset));
            }
        }
    }

    #[test]
    fn zeros_are_no_record() {
        let header = RecordHeader::decode(&[0; 64]).expect("zeros decode");
        assert!(!header.verify(&[0; 64], &[], UID, OFFSET));
    }
}
