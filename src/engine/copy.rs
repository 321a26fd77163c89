//! Copies the unproven end of the log into a new segment (rule M4).
//!
//! After a failed sync the page cache may show bytes that the device does not hold, and a second sync says that
//! all is well. So what recovery cannot prove durable is never left where it lies: it is written again.

use super::listed::Listed;
use crate::error::{Error, Result};
use crate::format::manifest::Sealed;
use crate::format::record::{Draft, Flags, RecordHeader};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::File;
use crate::keydir::location::MAX_RECORD_OFFSET;
use crate::segment::reader::read_full;
use crate::segment::scanner::{Scanner, Step};
use std::io::{self, IoSlice};

const FLUSH_AT_BYTES: usize = 1 << 20;

/// Writes records of other segments into a new one.
pub(super) struct Copier<'f, F: File> {
    file: &'f F,
    name: &'f str,
    uid: u64,
    pending: Vec<u8>,
    flushed: u64,
    sealed: Sealed,
}

impl<'f, F: File> Copier<'f, F> {
    /// Begins the new, empty file with `header`.
    pub(super) fn new(file: &'f F, name: &'f str, header: &SegmentHeader) -> Self {
        let pending = header.encode().to_vec();
        Copier { file, name, uid: header.uid, pending, flushed: 0, sealed: Sealed::default() }
    }

    /// Copies the records of `from..to`, which have been judged whole.
    pub(super) fn copy(&mut self, source: &Listed<F>, from: u64, to: u64) -> Result<()> {
        let mut scanner = Scanner::new(&source.file, &source.name, source.entry.uid, from, to);
        loop {
            let record = match scanner.step()? {
                Step::Record(record) => record,
                Step::End => return Ok(()),
                Step::Bad { offset } => {
                    let what = "a record changed between two reads";
                    return Err(Error::corrupt(&source.name, offset, what));
                }
            };
            if record.header.flags.has(Flags::INTERNAL) {
                continue;
            }
            let draft = Draft::copy_of(&record.header, record.key);
            self.add(source, record.offset, &record.header, &draft)?;
        }
    }

    fn add(&mut self, source: &Listed<F>, offset: u64, header: &RecordHeader, draft: &Draft) -> Result<()> {
        let place = self.flushed + self.pending.len() as u64;
        if place >= MAX_RECORD_OFFSET {
            return Err(Error::TooLarge { what: "unproven log", size: place, limit: MAX_RECORD_OFFSET });
        }
        let bytes = draft.header(header.version, self.uid, place);
        self.pending.extend_from_slice(&bytes[..draft.header_len()]);
        let (mut at, end) = (offset + draft.header_len() as u64, offset + header.record_len());
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(FLUSH_AT_BYTES);
            let old = self.pending.len();
            self.pending.resize(old + want, 0);
            let got = read_full(&source.file, &mut self.pending[old..], at)
                .map_err(|err| Error::io("read", &source.name, err))?;
            if got < want {
                return Err(Error::corrupt(&source.name, at, "the file became shorter while it was read"));
            }
            at += want as u64;
            if self.pending.len() >= FLUSH_AT_BYTES {
                self.flush()?;
            }
        }
        self.sealed.records += 1;
        self.sealed.tombstones += u64::from(header.flags.has(Flags::TOMBSTONE));
        self.sealed.highest_version = self.sealed.highest_version.max(header.version);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let failed = |err| Error::io("write", self.name, err);
        let mut done = 0;
        while done < self.pending.len() {
            let at = self.flushed + done as u64;
            match self.file.write_at(&[IoSlice::new(&self.pending[done..])], at).map_err(failed)? {
                0 => return Err(failed(io::ErrorKind::WriteZero.into())),
                wrote => done += wrote,
            }
        }
        self.flushed += done as u64;
        self.pending.clear();
        Ok(())
    }

    /// Makes the new segment durable and tells what it holds.
    pub(super) fn finish(mut self) -> Result<Sealed> {
        self.flush()?;
        self.file.sync_data().map_err(|err| Error::io("sync", self.name, err))?;
        self.sealed.len = self.flushed;
        Ok(self.sealed)
    }
}
