//! Reads records in their order, values included, as a feed does.
//!
//! Where the segment is mapped nothing is copied. Elsewhere the file is read ahead into a window, so that small records
//! do not cost a call each.

use super::view::Segment;
use crate::error::{Error, Result};
use crate::format::record::{MAX_KEY_LEN, RECORD_HEADER_MAX_LEN, Record, RecordHeader};
use crate::io::env::File;
use crate::io::whole::read_full;

/// How much is read at a time, at least.
const WINDOW_BYTES: u64 = 64 << 10;
/// What a header and its key take at most.
const HEAD_MAX_LEN: u64 = (RECORD_HEADER_MAX_LEN + MAX_KEY_LEN) as u64;
/// A window larger than this is given back when the record is passed that it was for.
const KEPT_BYTES: usize = 1 << 20;

/// Bytes of one segment.
#[derive(Default)]
pub struct Window {
    uid: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The record at `offset` of `segment`, which is complete up to `end`.
    ///
    /// # Errors
    /// `Corrupt` when there is none; `Io`, `NoMemory`.
    pub fn record<'a, F: File>(
        &'a mut self,
        segment: &'a Segment<F>,
        offset: u64,
        end: u64,
    ) -> Result<Record<'a>> {
        let left = end.saturating_sub(offset);
        if let Some(bytes) = segment.mapped(offset, left) {
            return segment.check(offset, bytes);
        }
        let (header, _) =
            segment.check_header(offset, self.hold(segment, offset, left.min(HEAD_MAX_LEN), end)?)?;
        if header.record_len() > left {
            return Err(segment.damaged(offset, "the record is cut off"));
        }
        let bytes = self.hold(segment, offset, header.record_len(), end)?;
        segment.check(offset, bytes)
    }

    /// The header that a record at `offset` of `segment` seems to have; nothing is verified.
    ///
    /// # Errors
    /// `Io`, `NoMemory`.
    pub fn peek<F: File>(
        &mut self,
        segment: &Segment<F>,
        offset: u64,
        end: u64,
    ) -> Result<Option<RecordHeader>> {
        let len = end.saturating_sub(offset).min(RECORD_HEADER_MAX_LEN as u64);
        Ok(RecordHeader::decode(match segment.mapped(offset, len) {
            Some(bytes) => bytes,
            None => self.hold(segment, offset, len, end)?,
        }))
    }

    /// `len` bytes at `offset` and maybe more, all of them before `end`; fewer where the file ends.
    fn hold<F: File>(&mut self, segment: &Segment<F>, offset: u64, len: u64, end: u64) -> Result<&[u8]> {
        let held_end = self.at + self.bytes.len() as u64;
        if self.uid != segment.uid || offset < self.at || offset + len > held_end {
            let want = len.max(WINDOW_BYTES).min(end - offset);
            let want = usize::try_from(want).map_err(|_| Error::NoMemory { bytes: usize::MAX })?;
            if want < self.bytes.capacity() && self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            (self.uid, self.at) = (segment.uid, offset);
            self.bytes.try_reserve_exact(want).map_err(|_| Error::NoMemory { bytes: want })?;
            self.bytes.resize(want, 0);
            let got = read_full(&segment.file, &mut self.bytes, offset);
            let got = got.inspect_err(|_| self.bytes.clear());
            self.bytes.truncate(got.map_err(|err| Error::io("read", &segment.name, err))?);
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..).unwrap_or_default())
    }
}
