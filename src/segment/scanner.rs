//! Reads a segment's records in order, for recovery and loading.
//!
//! The file is read in large steps into one buffer, so a scan runs at the speed of a plain read. No size in
//! the file makes the scanner allocate: a value larger than the buffer is checksummed as it streams by, or passed over.

use crate::error::{Error, Result};
use crate::format::applied;
use crate::format::checksum::{crc32c, crc32c_more};
use crate::format::marker::Watermark;
use crate::format::record::{Flags, MAX_KEY_LEN, RECORD_ALIGN, RECORD_HEADER_MAX_LEN, RecordHeader};
use crate::io::env::File;
use crate::io::whole::read_full;

const BUFFER_LEN: usize = 256 << 10;
const _: () = assert!(BUFFER_LEN > 2 * (RECORD_HEADER_MAX_LEN + MAX_KEY_LEN));

/// A record as the scanner passes it.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Where it begins, in bytes from the segment's start.
    pub offset: u64,
    /// Its header, verified.
    pub header: RecordHeader,
    /// Its key.
    pub key: &'a [u8],
    /// Whether the value matches its checksum; `true` of one that was passed over.
    pub value_ok: bool,
    /// What a watermark marker states.
    pub watermark: Option<Watermark>,
    /// The cursor in a record that begins a batch of another store's changes.
    pub applied: Option<&'a [u8]>,
    /// All of it, padding included; of one that is larger than the scanner's buffer, no more than header and key.
    pub bytes: &'a [u8],
}

impl<'a> Scanned<'a> {
    /// The record at the start of `bytes`, which hold all of it.
    #[inline]
    fn new(offset: u64, header: RecordHeader, bytes: &'a [u8]) -> Self {
        let key = &bytes[header.header_len()..header.value_at()];
        let value = &bytes[header.value_at()..header.value_at() + header.value_len as usize];
        let value_ok = crc32c(value) == header.value_crc;
        let internal = value_ok && header.flags.has(Flags::INTERNAL);
        let watermark = if internal { Watermark::decode(value) } else { None };
        let applied = if internal { applied::decode(value) } else { None };
        let len = usize::try_from(header.record_len()).unwrap_or(usize::MAX);
        Scanned { offset, header, key, value_ok, watermark, applied, bytes: &bytes[..len] }
    }

    /// Where the record after it begins.
    pub fn end(&self) -> u64 {
        self.offset + self.header.record_len()
    }

    /// The stored value and the padding behind it, if they are at hand.
    pub fn value_and_padding(&self) -> Option<(&'a [u8], &'a [u8])> {
        let whole = self.bytes.len() as u64 == self.header.record_len();
        let rest = self.bytes.get(self.header.value_at()..).filter(|_| whole)?;
        rest.split_at_checked(self.header.value_len as usize)
    }
}

/// Whether `bytes` hold all of the record that they seem to begin with.
#[inline]
fn is_whole(bytes: &[u8]) -> bool {
    RecordHeader::decode(bytes).is_some_and(|header| header.record_len() <= bytes.len() as u64)
}

/// The header at the start of `bytes` if it is genuine and they hold all of its record.
#[inline]
fn whole_header(bytes: &[u8], uid: u64, offset: u64) -> Option<RecordHeader> {
    let header = RecordHeader::decode(bytes).filter(|header| header.record_len() <= bytes.len() as u64)?;
    header.verify(bytes, &bytes[header.header_len()..header.value_at()], uid, offset).then_some(header)
}

/// What comes next in a segment.
#[derive(Debug)]
pub enum Step<'a> {
    /// A record.
    Record(Scanned<'a>),
    /// Bytes at `offset` that are no record.
    Bad {
        /// Where they begin.
        offset: u64,
    },
    /// The end of the range.
    End,
}

/// A pass over a range of a segment.
pub struct Scanner<'f, F: File> {
    file: &'f F,
    name: &'f str,
    uid: u64,
    at: u64,
    end: u64,
    buf: Vec<u8>,
    buf_at: u64,
    /// Whether values larger than the buffer are read.
    reads_large_values: bool,
}

impl<'f, F: File> Scanner<'f, F> {
    /// Scans `start..end` of the segment with `uid`; `start` is a record boundary.
    pub fn new(file: &'f F, name: &'f str, uid: u64, start: u64, end: u64) -> Self {
        Scanner { file, name, uid, at: start, end, buf: Vec::new(), buf_at: start, reads_large_values: true }
    }

    /// Passes over values larger than the buffer, for those who look for keys: a step then reads no more than a buffer
    /// or two.
    #[must_use]
    pub fn over_large_values(self) -> Self {
        Scanner { reads_large_values: false, ..self }
    }

    /// The name of the file.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The next record, or what is there instead. After [`Step::Bad`] the scanner stands still until
    /// [`Scanner::resync`].
    pub fn step(&mut self) -> Result<Step<'_>> {
        let offset = self.at;
        if offset >= self.end {
            return Ok(Step::End);
        }
        if self.held(offset).is_none_or(|bytes| !is_whole(bytes)) {
            self.fill(offset)?;
        }
        let at = usize::try_from(offset - self.buf_at).unwrap_or(usize::MAX);
        match self.held(offset).and_then(|bytes| whole_header(bytes, self.uid, offset)) {
            Some(header) => {
                self.at = offset + header.record_len();
                Ok(Step::Record(Scanned::new(offset, header, &self.buf[at..])))
            }
            None => self.step_slowly(offset),
        }
    }

    /// A record that is larger than the buffer, or none at all.
    #[cold]
    fn step_slowly(&mut self, offset: u64) -> Result<Step<'_>> {
        let Some(header) = self.verified_header(offset)? else {
            return Ok(Step::Bad { offset });
        };
        let value_at = offset + header.value_at() as u64;
        let value_ok = !self.reads_large_values
            || self.stream_crc(value_at, u64::from(header.value_len))? == Some(header.value_crc);
        self.at = offset + header.record_len();
        let head = self.window(offset, header.value_at())?;
        let key = head.get(header.header_len()..header.value_at()).unwrap_or_default();
        Ok(Step::Record(Scanned {
            offset,
            header,
            key,
            value_ok,
            watermark: None,
            applied: None,
            bytes: head,
        }))
    }

    /// Where the next record is looked for.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Moves to the first record at `from` or behind it, but before `until`, and answers where it begins. Nothing
    /// but a record of this very place can be taken for one, so this works from anywhere in the segment.
    pub fn seek(&mut self, from: u64, until: u64) -> Result<Option<u64>> {
        self.search(from, until)
    }

    /// Moves past damage to the next record that begins before `until`, and answers where it begins.
    pub fn resync(&mut self, until: u64) -> Result<Option<u64>> {
        self.search(self.at + RECORD_ALIGN, until)
    }

    fn search(&mut self, from: u64, until: u64) -> Result<Option<u64>> {
        let until = until.min(self.end);
        self.at = from.min(until);
        while self.at < until {
            if self.verified_header(self.at)?.is_some() {
                return Ok(Some(self.at));
            }
            self.at = (self.at + RECORD_ALIGN).min(until);
        }
        Ok(None)
    }

    fn verified_header(&mut self, offset: u64) -> Result<Option<RecordHeader>> {
        let (uid, left) = (self.uid, self.end - offset);
        let bytes = self.window(offset, RECORD_HEADER_MAX_LEN)?;
        let Some(header) = RecordHeader::decode(bytes) else {
            return Ok(None);
        };
        if header.record_len() > left {
            return Ok(None);
        }
        let bytes = self.window(offset, header.value_at())?;
        let verified = bytes
            .get(header.header_len()..header.value_at())
            .is_some_and(|key| header.verify(bytes, key, uid, offset));
        Ok(verified.then_some(header))
    }

    /// Up to `want` bytes at `offset`; fewer at the range's end.
    fn window(&mut self, offset: u64, want: usize) -> Result<&[u8]> {
        let held_end = self.buf_at + self.buf.len() as u64;
        let want_end = (offset + want as u64).min(self.end);
        if offset < self.buf_at || want_end > held_end {
            self.fill(offset)?;
        }
        let from = usize::try_from(offset - self.buf_at).unwrap_or(usize::MAX);
        let rest = self.buf.get(from..).unwrap_or_default();
        Ok(&rest[..rest.len().min(want)])
    }

    /// What the buffer holds from `offset` on.
    #[inline]
    fn held(&self, offset: u64) -> Option<&[u8]> {
        self.buf.get(usize::try_from(offset.checked_sub(self.buf_at)?).ok()?..)
    }

    fn fill(&mut self, offset: u64) -> Result<()> {
        let want = usize::try_from(self.end - offset).unwrap_or(usize::MAX).min(BUFFER_LEN);
        self.buf.resize(want, 0);
        self.buf_at = offset;
        let got =
            read_full(self.file, &mut self.buf, offset).map_err(|err| Error::io("read", self.name, err))?;
        self.buf.truncate(got);
        Ok(())
    }

    /// The checksum of a value too large for the buffer, or `None` when it is cut off.
    fn stream_crc(&mut self, start: u64, len: u64) -> Result<Option<u32>> {
        let (mut crc, mut at, end) = (0, start, start + len);
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(BUFFER_LEN);
            let bytes = self.window(at, want)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            crc = crc32c_more(crc, [bytes]);
            at += bytes.len() as u64;
        }
        Ok(Some(crc))
    }
}
