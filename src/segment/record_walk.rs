//! From record to record of a segment, as they lie in it.

use super::runs::first_bytes;
use super::view::Segment;
use crate::error::Result;
use crate::format::checksum::crc32c;
use crate::format::hint::HintEntry;
use crate::format::record::{Flags, RECORD_HEADER_LEN, RecordHeader};
use crate::io::env::File;
use crate::sync::Arc;

/// How much of a segment is announced to the device at a time, at first and at the most.
const ANNOUNCED_BYTES: u64 = 32 << 10;
const MOST_ANNOUNCED_BYTES: u64 = 1 << 20;
/// The most bytes that a stretch of records takes.
const STRETCH_BYTES: u64 = 16 << 10;
/// As much of a segment as mostly holds header and key.
const HEAD_BYTES: u64 = 512;

/// A walk that is at a record. The segment is mapped, and a merge has laid its records in the order of their keys.
pub struct RecordWalk<F: File> {
    segment: Arc<Segment<F>>,
    offset: u64,
    header: RecordHeader,
    key: Vec<u8>,
    prefix: u128,
    /// Having come to `due`, the walk announces more to the device. Up to `announced` it has; how much is next.
    due: u64,
    announced: u64,
    announce_bytes: u64,
}

/// A record that was verified as a whole. Its value is neither compressed nor does it expire.
#[derive(Clone, Copy, Debug)]
pub struct PlainRecord {
    /// The place of its segment in the log.
    pub rank: usize,
    /// Where it begins in the segment.
    pub offset: u64,
    /// Its version.
    pub version: u64,
    /// Its flags.
    pub flags: Flags,
    /// Length of its key in bytes.
    pub key_len: u32,
    /// Length of its value in bytes.
    pub value_len: u32,
}

impl PlainRecord {
    /// What a hint says of it, which has this key.
    pub fn entry<'k>(&self, key: &'k [u8]) -> HintEntry<'k> {
        let PlainRecord { offset, version, flags, value_len, .. } = *self;
        HintEntry { offset, flags, value_len, version, deadline: None, key }
    }

    /// Its key, if the record in `segment`, of so many bytes, is just this and sound.
    #[inline]
    pub fn key_in<'s, F: File>(&self, segment: &'s Segment<F>, len: u64) -> Option<&'s [u8]> {
        let record = segment.mapped(self.offset, len)?;
        let header = RecordHeader::decode(record)?;
        let is_it = header.key_len == self.key_len
            && header.value_len == self.value_len
            && header.version == self.version
            && header.flags.without(Flags::BATCH_CONTINUES) == self.flags
            && header.deadline.is_none();
        let (key_at, value_at) = (header.header_len(), header.value_at());
        let key = record.get(key_at..value_at).filter(|_| is_it)?;
        let value = record.get(value_at..value_at + header.value_len as usize)?;
        let is_sound =
            header.verify(record, key, segment.uid, self.offset) && crc32c(value) == header.value_crc;
        is_sound.then_some(key)
    }

    /// Where its key begins in the segment.
    #[inline]
    pub fn key_at(&self) -> u64 {
        self.offset + RECORD_HEADER_LEN as u64
    }

    /// Where its value begins in the segment.
    #[inline]
    pub fn value_at(&self) -> u64 {
        self.key_at() + u64::from(self.key_len)
    }
}

/// What comes next in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// A record.
    Record,
    /// The end of the segment.
    End,
    /// Something that is no sound record.
    Unsound,
}

impl<F: File> RecordWalk<F> {
    /// At the record at `offset`, or at the first behind it that is a key's; `None` when that is not sound, or the
    /// segment is not mapped.
    pub fn new(segment: &Arc<Segment<F>>, offset: u64) -> Option<Self> {
        let (segment, announce_bytes) = (segment.clone(), ANNOUNCED_BYTES);
        let header = RecordHeader::default();
        let (key, prefix, due, announced) = (Vec::new(), 0, 0, 0);
        let mut walk = RecordWalk { segment, offset, header, key, prefix, due, announced, announce_bytes };
        let is_there = walk.load(offset, true) == Ok(WalkStep::Record);
        is_there.then_some(walk)
    }

    /// Moves to the next record, if there is one.
    ///
    /// # Errors
    /// `Corrupt` when its key is not behind the one before.
    #[inline]
    pub fn advance(&mut self) -> Result<WalkStep> {
        self.load(self.offset + self.header.record_len(), false).map_err(|offset| {
            self.segment.damaged(offset, "records of a sorted run are not in the order of their keys")
        })
    }

    /// Comes to the first record from `offset` on that is a key's, if it is sound. Where its key is not behind the one
    /// before, that is an error, unless the record is the walk's `first`.
    #[inline]
    fn load(&mut self, mut offset: u64, first: bool) -> std::result::Result<WalkStep, u64> {
        let (segment, end) = (&*self.segment, self.segment.readable_len());
        loop {
            let left = end.saturating_sub(offset);
            if left == 0 {
                return Ok(WalkStep::End);
            }
            let Some(bytes) = segment.mapped(offset, left.min(HEAD_BYTES)) else {
                return Ok(WalkStep::Unsound);
            };
            let Some(header) = RecordHeader::decode(bytes) else { return Ok(WalkStep::Unsound) };
            let (at, len) = (header.header_len(), header.key_len as usize);
            let key = match bytes.get(at..at + len) {
                Some(key) => key,
                None => segment.mapped(offset + at as u64, len as u64).unwrap_or_default(),
            };
            if header.record_len() > left || !header.verify(bytes, key, segment.uid, offset) {
                return Ok(WalkStep::Unsound);
            }
            if header.flags.has(Flags::INTERNAL) {
                offset += header.record_len();
                continue;
            }
            let prefix = first_bytes(key);
            if !first && (prefix < self.prefix || prefix == self.prefix && key <= &self.key[..]) {
                return Err(offset);
            }
            self.key.clear();
            self.key.extend_from_slice(key);
            (self.offset, self.header, self.prefix) = (offset, header, prefix);
            if offset >= self.due {
                self.announce();
            }
            return Ok(WalkStep::Record);
        }
    }

    /// Moves over the next records, and appends them to `out` until that holds `most`, as long as they are plain, sound and
    /// in order, and the first bytes of their keys are less than `bound`. What comes then is left to
    /// [`RecordWalk::advance`], which costs several times as much a record.
    pub fn stretch(&mut self, rank: usize, bound: u128, most: usize, out: &mut Vec<PlainRecord>) {
        let segment = &*self.segment;
        let mut offset = self.offset + self.header.record_len();
        let left = segment.readable_len().min(self.due).saturating_sub(offset);
        let Some(mut rest) = segment.mapped(offset, left.min(STRETCH_BYTES)) else { return };
        let (mut passed, mut prefix, mut last) = (&self.key[..], self.prefix, None);
        while out.len() < most {
            let Some(header) = RecordHeader::decode(rest) else { break };
            let (key_at, value_at, len) = (header.header_len(), header.value_at(), header.record_len());
            let Some((record, behind)) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len))
            else {
                break;
            };
            let (key, value) =
                (&record[key_at..value_at], &record[value_at..value_at + header.value_len as usize]);
            let first_bytes = first_bytes(key);
            let is_plain = header.flags.without(Flags::JSON) == Flags::NONE;
            let is_ahead = first_bytes > prefix || first_bytes == prefix && key > passed;
            if !is_plain
                || !is_ahead
                || first_bytes >= bound
                || !header.verify(record, key, segment.uid, offset)
                || crc32c(value) != header.value_crc
            {
                break;
            }
            let RecordHeader { version, flags, key_len, value_len, .. } = header;
            out.push(PlainRecord { rank, offset, version, flags, key_len, value_len });
            (passed, prefix, last) = (key, first_bytes, Some((offset, header)));
            (rest, offset) = (behind, offset + len);
        }
        if let Some((offset, header)) = last {
            let key = passed.to_vec();
            (self.offset, self.header, self.prefix, self.key) = (offset, header, prefix, key);
        }
    }

    /// What a hint says of the record.
    #[inline]
    pub fn entry(&self) -> HintEntry<'_> {
        HintEntry::of(&self.header, &self.key, self.offset)
    }

    /// The first bytes of its key, as [`first_bytes`] has them.
    #[inline]
    pub fn prefix(&self) -> u128 {
        self.prefix
    }

    /// Where the record begins in the segment.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where its value begins in the segment.
    #[inline]
    pub fn value_at(&self) -> u64 {
        self.offset + self.header.value_at() as u64
    }

    /// Whether its value is compressed.
    #[inline]
    pub fn is_compressed(&self) -> bool {
        self.header.flags.has(Flags::COMPRESSED)
    }

    /// The record's stored value.
    ///
    /// # Errors
    /// `Corrupt` when it does not match its checksum.
    #[inline]
    pub fn value(&self) -> Result<&[u8]> {
        let value =
            self.segment.mapped(self.value_at(), u64::from(self.header.value_len)).unwrap_or_default();
        if crc32c(value) == self.header.value_crc {
            Ok(value)
        } else {
            Err(self.segment.damaged_value(self.offset))
        }
    }

    /// Tells the device what the walk will read next: the longer it has gone on, the more.
    #[cold]
    fn announce(&mut self) {
        let from = self.announced.max(self.offset);
        let to = self.segment.readable_len().min(self.offset + self.announce_bytes);
        self.segment.announce(from, to.saturating_sub(from));
        (self.due, self.announced) = (self.offset + self.announce_bytes / 2, to);
        self.announce_bytes = (2 * self.announce_bytes).min(MOST_ANNOUNCED_BYTES);
    }
}
