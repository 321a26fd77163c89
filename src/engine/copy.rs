//! Writes records of other segments into a new one: the unproven end of the log (rule M4), or what a merge keeps.
//!
//! After a failed sync the page cache may show bytes that the device does not hold, and a second sync says that
//! all is well. So what recovery cannot prove durable is never left where it lies: it is written again.

use super::listed::Listed;
use crate::error::{Error, Result};
use crate::format::manifest::{Moved, Sealed};
use crate::format::record::{Draft, Flags};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::File;
use crate::io::whole::read_full;
use crate::keydir::location::MAX_RECORD_OFFSET;
use crate::segment::output::Output;
use crate::segment::scanner::Step;

/// How much of a value is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Writes records of other segments into a new one.
pub(super) struct Copier<'f, F: File> {
    out: Output<'f, F>,
    uid: u64,
    sealed: Sealed,
    /// Where the records were that [`Copier::copy`] copied.
    moved: Vec<Moved>,
}

impl<'f, F: File> Copier<'f, F> {
    /// Begins the new, empty file with `header`.
    pub(super) fn new(file: &'f F, name: &'f str, header: &SegmentHeader) -> Self {
        let mut out = Output::new(file, name, 0);
        out.pending.extend_from_slice(&header.encode());
        Copier { out, uid: header.uid, sealed: Sealed::default(), moved: Vec::new() }
    }

    /// Copies the records of `from..to`, which have been judged whole.
    pub(super) fn copy(&mut self, source: &Listed<F>, from: u64, to: u64) -> Result<()> {
        let mut scanner = source.scanner(from, to);
        loop {
            let record = match scanner.step()? {
                Step::Record(record) => record,
                Step::End => return Ok(()),
                Step::Bad { offset } => {
                    let what = "a record changed between two reads";
                    return Err(Error::corrupt(&source.name, offset, what));
                }
            };
            if record.header.flags.has(Flags::INTERNAL) && record.applied.is_none() {
                continue;
            }
            let draft = Draft::copy_of(&record.header, record.key);
            let rest = record.offset + draft.header_len() as u64;
            let at = self.begin(&draft, record.header.version)?;
            let end = record.offset + record.header.record_len();
            self.note_moved(Moved { from: source.entry.uid, start: record.offset, end, to: self.uid, at });
            self.append(&source.file, &source.name, rest, end, |_| true)?;
        }
    }

    /// Notes where a record came from, together with those that it lay behind there, too.
    fn note_moved(&mut self, record: Moved) {
        match self.moved.last_mut() {
            Some(last) if last.from == record.from && last.end == record.start => last.end = record.end,
            _ => self.moved.push(record),
        }
    }

    /// Begins a record with its header, and answers where it lies; key, value and padding are to follow.
    pub(super) fn begin(&mut self, draft: &Draft, version: u64) -> Result<u64> {
        let place = self.out.end();
        if place >= MAX_RECORD_OFFSET {
            return Err(Error::TooLarge { what: "segment", size: place, limit: MAX_RECORD_OFFSET });
        }
        let bytes = draft.header(version, self.uid, place);
        self.out.pending.extend_from_slice(&bytes[..draft.header_len()]);
        self.sealed.records += u64::from(!draft.flags().has(Flags::INTERNAL));
        self.sealed.tombstones += u64::from(draft.flags().has(Flags::TOMBSTONE));
        self.sealed.highest_version = self.sealed.highest_version.max(version);
        Ok(place)
    }

    /// Appends bytes that are at hand.
    pub(super) fn append_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.pending.extend_from_slice(bytes);
        self.out.flush_if_large()
    }

    /// Appends the bytes `at..end` of a file. `go_on` is told of each piece in bytes; `false` when it answered so and
    /// the rest was left out.
    pub(super) fn append<G: File>(
        &mut self,
        file: &G,
        name: &str,
        mut at: u64,
        end: u64,
        mut go_on: impl FnMut(u64) -> bool,
    ) -> Result<bool> {
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let pending = &mut self.out.pending;
            let old = pending.len();
            pending.resize(old + want, 0);
            let got = read_full(file, &mut pending[old..], at).map_err(|err| Error::io("read", name, err))?;
            if got < want {
                return Err(Error::corrupt(name, at, "the file became shorter while it was read"));
            }
            at += want as u64;
            self.out.flush_if_large()?;
            if !go_on(want as u64) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Length of the new segment so far.
    pub(super) fn len(&self) -> u64 {
        self.out.end()
    }

    /// Where the records were before, that [`Copier::copy`] copied.
    pub(super) fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// Makes the new segment durable and tells what it holds.
    pub(super) fn finish(mut self) -> Result<Sealed> {
        self.out.flush()?;
        self.out.file.sync_data().map_err(|err| Error::io("sync", self.out.name, err))?;
        self.sealed.len = self.out.end();
        Ok(self.sealed)
    }
}
