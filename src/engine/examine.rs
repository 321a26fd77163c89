//! Reads every byte of a segment that may be damaged, and of its hint, and tells what is not as it should be.
//!
//! Every record's checksums are verified, stored values are decompressed, and what must hold between records is
//! checked: that batches are whole, that a merged segment has its keys in order. (Not that versions rise: recency is
//! position.) The hint has a file of its own (`examine_hint`).

use super::listed::RECORDS_AT;
use super::met::{Context, Each, Hole, Lost, Met, digest};
use super::sources::Source;
use crate::error::{Error, Result};
use crate::format::compressed::Head;
use crate::format::dictionary::Dictionaries;
use crate::format::hint::HintEntry;
use crate::format::manifest::{Sealed, SegmentState};
use crate::format::names;
use crate::format::record::{Flags, Record};
use crate::io::env::{Dir, File};
use crate::io::patient::PatientFile;
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::segment::view::Segment;

const NOT_DECOMPRESSED: &str = "the value cannot be decompressed";
const LACKS_DICTIONARY: &str = "the dictionary that the value was compressed with is damaged";

/// The examination of one segment.
struct Examination<'s, F: File> {
    source: &'s Source<PatientFile<F>>,
    segment: &'s Segment<PatientFile<F>>,
    tally: Sealed,
    holes: Vec<Hole>,
    /// The digests of all records, as a hint would list them, added up.
    sum: u128,
    /// The batch that is not complete yet: the version of its records, if they have one, and where it began.
    batch: Option<(Option<u64>, u64)>,
    /// Whether the segment's dictionary was looked for in vain.
    lacks_dictionary: bool,
    dictionaries: Dictionaries,
    buf: Vec<u8>,
    value: Vec<u8>,
}

impl<D: Dir> Context<'_, D> {
    /// Reads all of `source` and its hint, and hands what it meets to `each`: the records in their order, also those
    /// behind the log's end, and then what was lost. Answers what the segment holds up to the log's end.
    ///
    /// # Errors
    /// `Io`, `NoMemory`, and what `each` answers. Damage is none.
    pub(crate) fn examine(
        &mut self,
        source: &Source<PatientFile<D::File>>,
        each: Each<'_>,
    ) -> Result<Sealed> {
        let Some(segment) = &source.segment else {
            let holes = vec![Hole { from: RECORDS_AT, to: source.stated.max(RECORDS_AT), is_named: false }];
            self.ask_hint(source, holes, None, each)?;
            return Ok(Sealed::default());
        };
        self.files += 1;
        self.bytes += source.file_len;
        self.last_of_run = self.last_of_run.take().filter(|(run, _)| Some(*run) == source.entry.run);
        if source.file_len < source.proven {
            let what = format!("it ends there, not at byte {}", source.proven);
            self.found.damage(&source.name, (source.file_len, source.proven - source.file_len), what);
        } else if source.file_len > source.good {
            let what = "the log ends there: what follows is not whole, or left of a log that did not";
            self.found.note(&source.name, (source.good, source.file_len - source.good), what);
        }
        let mut pass = Examination {
            source,
            segment,
            tally: Sealed::default(),
            holes: Vec::new(),
            sum: 0,
            batch: None,
            lacks_dictionary: false,
            dictionaries: Dictionaries::default(),
            buf: Vec::new(),
            value: Vec::new(),
        };
        self.scan(&mut pass, each)?;
        self.check_counts(&pass);
        let Examination { mut holes, sum, tally, .. } = pass;
        if source.file_len < source.stated {
            let from = source.file_len.max(RECORDS_AT);
            let to = source.stated.max(from);
            match holes.last_mut().filter(|last| last.to == from) {
                Some(last) => last.to = to,
                None => push(&mut holes, Hole { from, to, is_named: false })?,
            }
        }
        self.ask_hint(source, holes, Some(sum), each)?;
        Ok(tally)
    }

    fn scan(&mut self, pass: &mut Examination<'_, D::File>, each: Each<'_>) -> Result<()> {
        let segment = pass.segment;
        let end = segment.readable_len();
        let mut scanner = Scanner::new(&segment.file, &segment.name, segment.uid, RECORDS_AT, end);
        loop {
            match scanner.step()? {
                Step::Record(record) => self.record(pass, &record, each)?,
                Step::Bad { offset } => {
                    let to = scanner.resync(end)?.unwrap_or(end);
                    pass.batch = None;
                    push(&mut pass.holes, Hole { from: offset, to, is_named: false })?;
                }
                Step::End => break,
            }
        }
        self.end_batch(pass, end);
        Ok(())
    }

    fn record(
        &mut self,
        pass: &mut Examination<'_, D::File>,
        record: &Scanned<'_>,
        each: Each<'_>,
    ) -> Result<()> {
        let header = &record.header;
        let place = (record.offset, header.record_len());
        let is_proven = record.offset < pass.source.proven;
        let batch_at = self.follow_batch(pass, record);
        if is_proven {
            self.check_order(pass, record);
        }
        let is_internal = header.flags.has(Flags::INTERNAL);
        let wrong = pass.what_is_wrong(record)?;
        if record.offset < pass.source.good
            && let Some((_, padding)) = record.value_and_padding()
            && padding.iter().any(|&byte| byte != 0)
        {
            let at = record.end() - padding.len() as u64;
            self.found.note(&pass.source.name, (at, padding.len() as u64), "padding that is not zero");
        }
        if !is_internal && record.offset < pass.source.good {
            pass.tally.records += 1;
            pass.tally.tombstones += u64::from(header.flags.has(Flags::TOMBSTONE));
            pass.tally.highest_version = pass.tally.highest_version.max(header.version);
            let entry = HintEntry::of(header, record.key, record.offset);
            pass.sum = pass.sum.wrapping_add(digest(&self.sums, &entry, &mut pass.buf));
        }
        match wrong {
            Some(what) if is_internal => {
                if is_proven {
                    self.found.damage(&pass.source.name, place, what);
                }
                Ok(())
            }
            Some(what) => {
                if is_proven {
                    self.found.damage_of(&pass.source.name, place, what, record.key);
                }
                let (offset, len) = place;
                each(Met::Lost(Lost { key: record.key, version: header.version, offset, len }))
            }
            None if is_internal => Ok(()),
            None => each(Met::Record { record, batch_at }),
        }
    }

    /// Passes a record, and answers where its batch began.
    fn follow_batch(&mut self, pass: &mut Examination<'_, D::File>, record: &Scanned<'_>) -> u64 {
        let (version, flags) = (record.header.version, record.header.flags);
        let fits = |of: Option<u64>| !flags.has(Flags::INTERNAL) && of.is_none_or(|of| of == version);
        if pass.batch.is_some_and(|(of, _)| !fits(of)) {
            self.end_batch(pass, record.offset);
        }
        // Another store's changes have the versions that they had there.
        let of = record.applied.is_none().then_some(version);
        let batch = pass.batch.unwrap_or((of, record.offset));
        pass.batch = flags.has(Flags::BATCH_CONTINUES).then_some(batch);
        batch.1
    }

    /// What must hold between a proven record and the one before it.
    fn check_order(&mut self, pass: &Examination<'_, D::File>, record: &Scanned<'_>) {
        let flags = record.header.flags;
        let (place, name) = ((record.offset, record.header.record_len()), &pass.source.name);
        let Some(run) = pass.source.entry.run else { return };
        if flags.has(Flags::INTERNAL) {
            return;
        }
        match &mut self.last_of_run {
            Some((last_run, last)) if *last_run == run => {
                if last.as_slice() >= record.key {
                    self.found.damage_of(
                        name,
                        place,
                        "its key is not greater than the one before",
                        record.key,
                    );
                }
                last.clear();
                last.extend_from_slice(record.key);
            }
            last => *last = Some((run, record.key.to_vec())),
        }
    }

    /// A batch that is not complete at `end` has lost its last record, if it was proven durable.
    fn end_batch(&mut self, pass: &mut Examination<'_, D::File>, end: u64) {
        if let Some((_, from)) = pass.batch.take().filter(|(_, from)| *from < pass.source.proven) {
            let what = "a batch without its last record";
            self.found.damage(&pass.source.name, (from, end.saturating_sub(from)), what);
        }
    }

    /// The manifest's counts must be right where nothing is missing.
    fn check_counts(&mut self, pass: &Examination<'_, D::File>) {
        let (Examination { source, tally, holes, .. }, whole) =
            (pass, pass.source.file_len >= pass.source.proven);
        if let SegmentState::Sealed(stated) = source.entry.state
            && holes.is_empty()
            && whole
            && (Sealed { len: stated.len, ..*tally }) != stated
        {
            let what = format!(
                "the manifest states {} records, {} tombstones and the highest version {} for {}, there are {}, {} \
                 and {}",
                stated.records,
                stated.tombstones,
                stated.highest_version,
                source.name,
                tally.records,
                tally.tombstones,
                tally.highest_version
            );
            self.found.damage(names::MANIFEST, (0, 0), what);
        }
    }
}

impl<F: File> Examination<'_, F> {
    /// Why a record is not intact, if it is not.
    fn what_is_wrong(&mut self, record: &Scanned<'_>) -> Result<Option<&'static str>> {
        let (header, segment) = (record.header, self.segment);
        if !record.value_ok {
            let failed = segment.file.is_unreadable(record.offset, header.record_len());
            return Ok(Some(if failed {
                "the device cannot read all of its value"
            } else {
                "the value does not match its checksum"
            }));
        }
        if !header.flags.has(Flags::COMPRESSED) {
            return Ok(None);
        }
        let whole = match record.value_and_padding() {
            Some((value, _)) => Record { header, key: record.key, value },
            None => segment.read(record.offset, header.record_len(), &mut self.buf)?,
        };
        let takes_dictionary = Head::decode(whole.value).is_some_and(|head| head.dictionary != 0);
        if takes_dictionary && self.lacks_dictionary {
            return Ok(Some(LACKS_DICTIONARY));
        }
        match segment.decompress(&self.dictionaries, record.offset, whole.value, &mut self.value) {
            Ok(()) => Ok(None),
            Err(Error::Corrupt { .. }) if takes_dictionary => {
                // Not to be looked for again with each value.
                self.lacks_dictionary = !matches!(segment.dictionary(&self.dictionaries), Ok(Some(_)));
                Ok(Some(if self.lacks_dictionary { LACKS_DICTIONARY } else { NOT_DECOMPRESSED }))
            }
            Err(Error::Corrupt { .. }) => Ok(Some(NOT_DECOMPRESSED)),
            Err(err) => Err(err),
        }
    }
}

fn push(holes: &mut Vec<Hole>, hole: Hole) -> Result<()> {
    holes.try_reserve(1).map_err(|_| Error::no_memory::<Hole>(holes.len() + 1))?;
    holes.push(hole);
    Ok(())
}
