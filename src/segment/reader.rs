//! Reads one record at a known place and proves that it is the one that was written.
//!
//! Both checksums are verified on every read. With a mapping nothing is copied; otherwise one `pread` fetches
//! the record. Sizes found in the bytes are believed only after the checksum over them.

use super::view::Segment;
use crate::error::{Error, Result};
use crate::format::checksum::crc32c;
use crate::format::record::{RECORD_HEADER_MAX_LEN, Record, RecordHeader};
use crate::io::env::{File, Map};
use crate::io::whole::read_full;

/// How many bytes of a record are asked for; the processor finds the rest by itself.
const PREFETCHED_BYTES: usize = 256;

impl<F: File> Segment<F> {
    /// The record at `offset`, whose length is at most `max_len`. `buf` is used when the record is not mapped.
    #[inline]
    pub fn read<'a>(&'a self, offset: u64, max_len: u64, buf: &'a mut Vec<u8>) -> Result<Record<'a>> {
        let len = max_len.min(self.readable_len().saturating_sub(offset));
        match self.mapped(offset, len) {
            Some(bytes) => self.check(offset, bytes),
            None => {
                self.fetch(offset, len, buf)?;
                self.check(offset, buf)
            }
        }
    }

    /// The header of the record at `offset` and its key, of at most `key_len` bytes; the value is not looked at.
    pub fn read_header<'a>(
        &'a self,
        offset: u64,
        max_len: u64,
        key_len: usize,
        buf: &'a mut Vec<u8>,
    ) -> Result<(RecordHeader, &'a [u8])> {
        let want = (RECORD_HEADER_MAX_LEN + key_len) as u64;
        self.check_header(offset, self.read_some(offset, want, max_len, buf)?)
    }

    /// Tells the processor that the first bytes of the `len` at `offset` will be read.
    #[inline]
    pub fn prefetch(&self, offset: u64, len: u64) {
        if let (Some(map), Ok(len)) = (&self.map, usize::try_from(len)) {
            map.prefetch(offset, len.min(PREFETCHED_BYTES));
        }
    }

    /// Tells the device that the bytes at `offset` will be read, if they are mapped.
    pub fn announce(&self, offset: u64, len: u64) {
        if let (Some(map), Ok(len)) = (&self.map, usize::try_from(len)) {
            map.announce(offset, len);
        }
    }

    /// The mapped bytes, which must be some that can be read, or `None` when they have to be fetched.
    #[inline]
    pub(crate) fn mapped(&self, offset: u64, len: u64) -> Option<&[u8]> {
        self.map.as_ref()?.bytes(offset, usize::try_from(len).ok()?)
    }

    /// The first `want` bytes of the record at `offset`, or all of it, at most `max_len`, where that costs no more; fewer
    /// where the segment ends. Nothing is verified.
    pub(crate) fn read_some<'a>(
        &'a self,
        offset: u64,
        want: u64,
        max_len: u64,
        buf: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        let len = max_len.min(self.readable_len().saturating_sub(offset));
        match self.mapped(offset, len) {
            Some(bytes) => Ok(bytes),
            None => {
                self.fetch(offset, want.min(len), buf)?;
                Ok(buf)
            }
        }
    }

    fn fetch(&self, offset: u64, len: u64, buf: &mut Vec<u8>) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| Error::NoMemory { bytes: usize::MAX })?;
        buf.clear();
        buf.try_reserve_exact(len).map_err(|_| Error::NoMemory { bytes: len })?;
        buf.resize(len, 0);
        let got = read_full(&self.file, buf, offset).map_err(|err| Error::io("read", &self.name, err))?;
        buf.truncate(got);
        Ok(())
    }

    /// The record at `offset`, all of which `bytes` hold.
    #[inline]
    pub(crate) fn check<'a>(&self, offset: u64, bytes: &'a [u8]) -> Result<Record<'a>> {
        let (header, key) = self.check_header(offset, bytes)?;
        let value = bytes
            .get(header.value_at()..header.value_at() + header.value_len as usize)
            .ok_or_else(|| self.damaged(offset, "the record is cut off"))?;
        if crc32c(value) != header.value_crc {
            return Err(self.damaged_value(offset));
        }
        Ok(Record { header, key, value })
    }

    #[inline]
    pub(super) fn check_header<'a>(&self, offset: u64, bytes: &'a [u8]) -> Result<(RecordHeader, &'a [u8])> {
        let header = RecordHeader::decode(bytes).ok_or_else(|| self.damaged(offset, "no record header"))?;
        let key = bytes
            .get(header.header_len()..header.value_at())
            .filter(|key| header.verify(bytes, key, self.uid, offset))
            .ok_or_else(|| self.damaged(offset, "the record header does not match its checksum"))?;
        Ok((header, key))
    }

    #[cold]
    pub(super) fn damaged_value(&self, offset: u64) -> Error {
        self.damaged(offset, "the value does not match its checksum")
    }

    #[cold]
    pub(crate) fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::corrupt(&self.name, offset, what)
    }
}
