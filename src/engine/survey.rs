//! One pass over an unsealed segment, for all that recovery asks of it.
//!
//! Everything recovery needs to know of the end of the log is noted while each byte is read once: how far the log is
//! whole, the markers and versions in it, those behind damage included, and how many records lie below which offset.

use super::listed::{Listed, RECORDS_AT};
use crate::error::Result;
use crate::format::coding::Id128;
use crate::format::manifest::{Sealed, SegmentEntry};
use crate::format::marker::Watermark;
use crate::format::record::Flags;
use crate::io::env::File;
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::sync::Arc;

/// How far apart the offsets are below which the records were counted.
const COUNTED_EVERY_BYTES: u64 = 1 << 20;

/// What a pass found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The last batch boundary before anything that is not whole.
    pub(super) good: u64,
    /// The highest version in any record, also behind damage.
    pub(super) highest_version: u64,
    /// For each segment that markers name, the last position that one states.
    pub(super) watermarks: Vec<Watermark>,
    /// The last cursor stored with applied changes before `good`.
    pub(super) applied: Option<Arc<[u8]>>,
    /// Whether there is any, also behind damage.
    has_applied: bool,
    /// What lies below some offsets, at or before `good` and ascending.
    counted: Vec<Sealed>,
}

/// The last batch boundary of a log that is followed record by record.
struct Boundary {
    good: u64,
    /// The batch that is not complete yet.
    batch: Option<Batch>,
}

/// What the records of a batch have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// One version.
    Own(u64),
    /// They are another store's, each with the version that it had there.
    Applied,
}

impl Boundary {
    /// Passes a record, and answers whether it continues the log.
    fn pass(&mut self, record: &Scanned<'_>) -> bool {
        let (flags, version) = (record.header.flags, record.header.version);
        let begins_applied = record.applied.is_some();
        let fits = match self.batch {
            None => true,
            Some(Batch::Own(of)) => of == version && !begins_applied,
            Some(Batch::Applied) => !flags.has(Flags::INTERNAL),
        };
        if !record.value_ok || !fits {
            return false;
        }
        if flags.has(Flags::BATCH_CONTINUES) {
            let begun = if begins_applied { Batch::Applied } else { Batch::Own(version) };
            self.batch.get_or_insert(begun);
        } else if begins_applied || !flags.has(Flags::INTERNAL) {
            // A marker is written with what follows it: alone it is left of a write that is not whole.
            self.batch = None;
            self.good = record.offset + record.header.record_len();
        }
        true
    }
}

impl Survey {
    /// Reads all of `listed`.
    pub(super) fn of<F: File>(listed: &Listed<F>) -> Result<Self> {
        Survey::through(listed.scanner(RECORDS_AT, listed.file_len), |_| Ok(()))
    }

    /// Reads all that `scanner` has before it, and hands the records to `each` up to the first that is not whole. Those
    /// behind `good` belong to a batch that is not.
    pub(super) fn through<F: File>(
        mut scanner: Scanner<'_, F>,
        mut each: impl FnMut(&Scanned<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut survey = Survey::default();
        let mut boundary = Boundary { good: scanner.position(), batch: None };
        let mut whole = true;
        let mut applied = None;
        let mut below = Sealed { len: scanner.position(), ..Sealed::default() };
        loop {
            match scanner.step()? {
                Step::Record(record) => {
                    survey.note(&record);
                    whole = whole && boundary.pass(&record);
                    if whole {
                        each(&record)?;
                        note_applied(&mut applied, &record);
                        if boundary.batch.is_none() && applied.is_some() {
                            survey.applied = applied.take();
                        }
                        count(&mut below, &record);
                        survey.keep(&below, &boundary);
                    }
                }
                Step::Bad { .. } => {
                    whole = false;
                    scanner.resync(u64::MAX)?;
                }
                Step::End => break,
            }
        }
        survey.good = boundary.good;
        Ok(survey)
    }

    fn note(&mut self, record: &Scanned<'_>) {
        self.highest_version = self.highest_version.max(record.header.version);
        self.has_applied |= record.applied.is_some();
        let Some(stated) = record.watermark else { return };
        match self.watermarks.iter_mut().find(|known| known.uid == stated.uid) {
            Some(known) => known.offset = known.offset.max(stated.offset),
            None => self.watermarks.push(stated),
        }
    }

    fn keep(&mut self, below: &Sealed, boundary: &Boundary) {
        let last = self.counted.last().map_or(RECORDS_AT, |last| last.len);
        if boundary.batch.is_none() && below.len >= last + COUNTED_EVERY_BYTES {
            self.counted.push(*below);
        }
    }

    /// The last batch boundary before anything that is not whole, in the log followed from `start` on.
    pub(super) fn good_from<F: File>(&self, listed: &Listed<F>, start: u64) -> Result<u64> {
        if (RECORDS_AT..=self.good).contains(&start) {
            return Ok(self.good);
        }
        let mut boundary = Boundary { good: start, batch: None };
        let mut scanner = listed.scanner(start, listed.file_len);
        while let Step::Record(record) = scanner.step()? {
            if !boundary.pass(&record) {
                break;
            }
        }
        Ok(boundary.good)
    }

    /// The last cursor stored with applied changes in the log, of which `good` bytes of the segment are.
    pub(super) fn applied_below<F: File>(&self, listed: &Listed<F>, good: u64) -> Result<Option<Arc<[u8]>>> {
        if !self.has_applied || good == self.good {
            return Ok(self.applied.clone());
        }
        let mut applied = None;
        let mut scanner = listed.scanner(RECORDS_AT, good.min(listed.file_len));
        loop {
            match scanner.step()? {
                Step::Record(record) => note_applied(&mut applied, &record),
                Step::Bad { .. } => drop(scanner.resync(good)?),
                Step::End => return Ok(applied),
            }
        }
    }

    /// What the manifest is to say of the first `len` bytes of the segment.
    pub(super) fn count<F: File>(&self, listed: &Listed<F>, len: u64) -> Result<Sealed> {
        let nearest = self.counted.iter().rfind(|counted| counted.len <= len);
        let mut sealed = nearest.copied().unwrap_or(Sealed { len: RECORDS_AT, ..Sealed::default() });
        let end = len.min(listed.file_len);
        let mut scanner = listed.scanner(sealed.len, end);
        loop {
            match scanner.step()? {
                Step::Record(record) => count(&mut sealed, &record),
                Step::Bad { .. } => {
                    scanner.resync(end)?;
                }
                Step::End => return Ok(Sealed { len, ..sealed }),
            }
        }
    }
}

/// Keeps the cursor that a record holds, if it does.
fn note_applied(applied: &mut Option<Arc<[u8]>>, record: &Scanned<'_>) {
    if let Some(cursor) = record.applied.filter(|cursor| !cursor.is_empty()) {
        *applied = Some(cursor.into());
    }
}

/// What a manifest is to say of the first `len` bytes of the segment in `file`.
pub(crate) fn tally<F: File>(entry: SegmentEntry, file: F, database: Id128, len: u64) -> Result<Sealed> {
    Survey::default().count(&Listed::look_at(entry, file, database)?, len)
}

/// Adds a record to what lies below an offset.
fn count(below: &mut Sealed, record: &Scanned<'_>) {
    below.len = record.offset + record.header.record_len();
    if !record.header.flags.has(Flags::INTERNAL) {
        below.records += 1;
        below.tombstones += u64::from(record.header.flags.has(Flags::TOMBSTONE));
        below.highest_version = below.highest_version.max(record.header.version);
    }
}
