//! Checks a hint against the segment that was read, and has it name what is lost.
//!
//! Entry by entry but in constant memory: the digests of records and entries are added up, and both sums must be one. What
//! holes in the segment have swallowed is named by the hint; the records of a hole are of unknown keys where it is not
//! whole.

use super::met::{Context, Each, Hole, Lost, Met, digest};
use super::sources::Source;
use crate::error::{Error, Result};
use crate::format::filter;
use crate::format::names;
use crate::io::env::{Dir, File};
use crate::io::patient::PatientFile;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::HintId;
use std::io;

impl<D: Dir> Context<'_, D> {
    /// Checks the hint against the sum of the records' digests, and has it name what is lost in the holes.
    pub(super) fn ask_hint(
        &mut self,
        source: &Source<PatientFile<D::File>>,
        mut holes: Vec<Hole>,
        sum: Option<u128>,
        each: Each<'_>,
    ) -> Result<()> {
        let is_whole = match self.hint_of(source)? {
            Some(hint) => self.read_hint(source, &hint, &mut holes, sum, each)?,
            None => false,
        };
        let segment = source.segment.as_ref();
        for hole in &holes {
            let len = hole.to - hole.from;
            if hole.from < source.proven && !hole.is_named && hole.from < source.file_len {
                let failed = segment.is_some_and(|segment| segment.file.is_unreadable(hole.from, len));
                let what = if failed {
                    "the device cannot read it"
                } else {
                    "these bytes are no record that was written"
                };
                self.found.damage(&source.name, (hole.from, len), what);
            }
            if !is_whole {
                each(Met::Hole { from: hole.from })?;
            }
        }
        Ok(())
    }

    /// The hint of a sealed segment, if there is one that its header and table make whole.
    fn hint_of(
        &mut self,
        source: &Source<PatientFile<D::File>>,
    ) -> Result<Option<Hint<PatientFile<D::File>>>> {
        let stated = source.entry.kept_len();
        // One beside a segment that is not sealed was made since: a recovery may have sealed less than what is read here.
        let (Some(database), true) = (self.database, source.is_sealed && stated > 0) else { return Ok(None) };
        let name = names::hint(source.entry.number);
        let file = match self.dir.open(&name, false) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(Error::io("open", name, err)),
        };
        let file_len = file.len().map_err(|err| Error::io("read", &name, err))?;
        let id = HintId { database, uid: source.entry.uid, segment_len: stated };
        let hint = Hint::open(file, name.clone(), id)?;
        self.files += 1;
        self.bytes += file_len;
        if hint.is_none() {
            self.found.note(&name, (0, file_len), "it is damaged or of another segment, and is made anew");
        }
        Ok(hint)
    }

    /// Reads all of a hint; `false` when a part of it is damaged, so that it does not name all records.
    fn read_hint(
        &mut self,
        source: &Source<PatientFile<D::File>>,
        hint: &Hint<PatientFile<D::File>>,
        holes: &mut [Hole],
        sum: Option<u128>,
        each: Each<'_>,
    ) -> Result<bool> {
        const MADE_ANEW: &str = "it does not match its checksum, and the hint is made anew";
        let filter = hint.filter()?;
        if filter.is_none() {
            let (at, len) = (hint.header().filter_at().unwrap_or(0), hint.header().filter_len);
            self.found.note(hint.name(), (at, len), MADE_ANEW);
        }
        let (mut whole, mut left, mut buf) = (true, sum, Vec::new());
        let mut last: Option<(Vec<u8>, u64)> = None;
        let (mut ruled_out, mut disordered) = (None, None);
        for block in 0..hint.block_count() {
            let (secret, sums) = (self.secret.as_ref(), &self.sums);
            let found = &mut *self.found;
            let is_sound = hint.read(block..block + 1, |entry| {
                if let (Some(filter), Some(secret)) = (&filter, secret)
                    && !filter::may_contain(filter, secret.digest(entry.key).lo)
                {
                    ruled_out = ruled_out.or(Some(block));
                }
                match &mut last {
                    Some((key, offset)) => {
                        if (key.as_slice(), u64::MAX - *offset) >= (entry.key, u64::MAX - entry.offset) {
                            disordered = disordered.or(Some(block));
                        }
                        key.clear();
                        key.extend_from_slice(entry.key);
                        *offset = entry.offset;
                    }
                    None => last = Some((entry.key.to_vec(), entry.offset)),
                }
                let next = holes.partition_point(|hole| hole.to <= entry.offset);
                match holes.get_mut(next).filter(|hole| hole.from <= entry.offset) {
                    Some(hole) => {
                        hole.is_named = true;
                        let (offset, len) = (entry.offset, entry.record_len());
                        found.damage_of(&source.name, (offset, len), "the record is lost", entry.key);
                        each(Met::Lost(Lost { key: entry.key, version: entry.version, offset, len }))
                    }
                    None => {
                        left = left.map(|left| left.wrapping_sub(digest(sums, entry, &mut buf)));
                        Ok(())
                    }
                }
            })?;
            if !is_sound {
                whole = false;
                self.found.note(hint.name(), (hint.block_at(block), 0), MADE_ANEW);
            }
        }
        let wrongs = [
            (ruled_out, "its filter rules out a key that it lists"),
            (disordered, "its entries are not in order"),
            (
                whole.then_some(0).filter(|_| left.unwrap_or(0) != 0),
                "it does not list what the segment holds",
            ),
        ];
        for (block, what) in wrongs {
            if let Some(block) = block {
                self.found.damage(hint.name(), (hint.block_at(block), 0), what);
            }
        }
        Ok(whole)
    }
}
