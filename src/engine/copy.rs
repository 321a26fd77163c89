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
use crate::segment::output::Output;
use crate::segment::reader::read_full;
use crate::segment::scanner::{Scanner, Step};

/// How much of a value is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Writes records of other segments into a new one.
pub(super) struct Copier<'f, F: File> {
    out: Output<'f, F>,
    uid: u64,
    sealed: Sealed,
}

impl<'f, F: File> Copier<'f, F> {
    /// Begins the new, empty file with `header`.
    pub(super) fn new(file: &'f F, name: &'f str, header: &SegmentHeader) -> Self {
        let mut out = Output::new(file, name, 0);
        out.pending.extend_from_slice(&header.encode());
        Copier { out, uid: header.uid, sealed: Sealed::default() }
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
        let place = self.out.end();
        if place >= MAX_RECORD_OFFSET {
            return Err(Error::TooLarge { what: "unproven log", size: place, limit: MAX_RECORD_OFFSET });
        }
        let bytes = draft.header(header.version, self.uid, place);
        self.out.pending.extend_from_slice(&bytes[..draft.header_len()]);
        let (mut at, end) = (offset + draft.header_len() as u64, offset + header.record_len());
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let pending = &mut self.out.pending;
            let old = pending.len();
            pending.resize(old + want, 0);
            let got = read_full(&source.file, &mut pending[old..], at)
                .map_err(|err| Error::io("read", &source.name, err))?;
            if got < want {
                return Err(Error::corrupt(&source.name, at, "the file became shorter while it was read"));
            }
            at += want as u64;
            self.out.flush_if_large()?;
        }
        self.sealed.records += 1;
        self.sealed.tombstones += u64::from(header.flags.has(Flags::TOMBSTONE));
        self.sealed.highest_version = self.sealed.highest_version.max(header.version);
        Ok(())
    }

    /// Makes the new segment durable and tells what it holds.
    pub(super) fn finish(mut self) -> Result<Sealed> {
        self.out.flush()?;
        self.out.file.sync_data().map_err(|err| Error::io("sync", self.out.name, err))?;
        self.sealed.len = self.out.end();
        Ok(self.sealed)
    }
}
