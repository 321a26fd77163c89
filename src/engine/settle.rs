//! Makes the directory ready for the first write: what the judgement on the log's end asks for is done.
//!
//! Only new files are written (rule M4): new segments first, then the manifest that lists them, then the names that
//! no manifest lists any more go.

use super::assembly::Assembly;
use super::copy::Copier;
use super::listed::{Listed, RECORDS_AT};
use super::manifest_file::{self, ReplaceError};
use super::orphans::remove_orphans;
use super::recover::Judgement;
use super::segment_files::{create_segment, fresh_uid, random_id, take_number};
use super::shared::FileOf;
use super::writer::WriterStart;
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, Sealed, SegmentEntry, SegmentState};
use crate::format::marker::Watermark;
use crate::format::names;
use crate::format::segment_header::{HeaderState, SegmentHeader};
use crate::io::env::{Dir, Env};
use crate::keydir::location::MAX_SEGMENT_SLOTS;

/// A directory that is being made ready.
pub(super) struct Recovery<'a, E: Env> {
    pub(super) env: &'a E,
    pub(super) dir: &'a E::Dir,
    pub(super) path: &'a str,
    /// The manifest that will be written.
    pub(super) next: Manifest,
    pub(super) judgement: Judgement,
    /// Whether the checkpoint, if there is one, is of the past.
    pub(super) stale_checkpoint: bool,
    /// Files that no manifest on the disk lists yet.
    pub(super) created: Vec<String>,
}

/// Where the log goes on.
struct Layout<F> {
    active: Listed<F>,
    tally: Sealed,
    spare: Listed<F>,
    predecessor: (u64, u64),
    copied: u64,
}

/// The manifest that now stands, the segments, the writer's start, and how many records were copied.
pub(super) type Settled<F> = (Manifest, Assembly<F>, Option<WriterStart<F>>, u64);

impl<E: Env> Recovery<'_, E> {
    /// Does what the judgement asks for.
    pub(super) fn settle(
        mut self,
        mut assembly: Assembly<FileOf<E>>,
        sealed: Vec<Listed<FileOf<E>>>,
        unsealed: Vec<Listed<FileOf<E>>>,
        names: &[String],
    ) -> Result<Settled<FileOf<E>>> {
        self.advance(names)?;
        let layout = self.lay_out(&mut assembly, sealed, unsealed);
        let Layout { active, tally, spare, predecessor, copied } = match layout {
            Ok(layout) => layout,
            Err(err) => {
                self.give_up();
                return Err(err);
            }
        };
        match manifest_file::replace(self.dir, &self.next) {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(err)) => {
                self.give_up();
                return Err(err);
            }
            Err(ReplaceError::Unknown(err)) => return Err(err),
        }
        remove_orphans(self.dir, &self.next, self.stale_checkpoint);
        if names.iter().any(|name| name == names::BACKUP_NEW) {
            let _ = self.dir.remove(names::BACKUP_NEW);
        }
        let active_uid = active.entry.uid;
        let writer = WriterStart {
            database: self.next.database,
            max_segment_bytes: assembly.max_segment_bytes,
            active: assembly.add_listed(active, tally.len, true)?,
            tally,
            predecessor,
            spare: Some(assembly.add_listed(spare, 0, true)?),
            last_version: self.next.last_version,
            applied_cursor: self.next.applied_cursor.clone(),
            watermark: (tally.len > 0).then_some(Watermark { uid: active_uid, offset: tally.len }),
        };
        Ok((self.next, assembly, Some(writer), copied))
    }

    /// Removes what this open created, so that a failure on a full disk does not make it fuller.
    fn give_up(&self) {
        for name in &self.created {
            let _ = self.dir.remove(name);
        }
    }

    /// Puts every segment in its place in the next manifest, and writes the new files that it will list.
    fn lay_out(
        &mut self,
        assembly: &mut Assembly<FileOf<E>>,
        sealed: Vec<Listed<FileOf<E>>>,
        unsealed: Vec<Listed<FileOf<E>>>,
    ) -> Result<Layout<FileOf<E>>> {
        let mut entries: Vec<_> = sealed.iter().map(|listed| listed.entry).collect();
        assembly.add_sealed(sealed)?;
        let fresh = self.copy(&unsealed)?;
        let mut active = None;
        let mut empty = Vec::new();
        for (at, listed) in unsealed.into_iter().enumerate() {
            let durable = self.judgement.verdicts[at].durable;
            if self.judgement.resume == Some(at) {
                // What else it holds is counted while it is loaded.
                active = Some((listed, Sealed { len: durable, ..Sealed::default() }));
            } else if durable > RECORDS_AT {
                let state = SegmentState::Sealed(self.judgement.surveys[at].count(&listed, durable)?);
                self.next.last_sealed = Some((listed.entry.uid, durable));
                entries.push(SegmentEntry { state, ..listed.entry });
                assembly.add_listed(listed, durable, false)?;
            } else if listed.file_len == 0 && self.judgement.resume.is_some() {
                // After a crash an empty file may have held records; then it keeps neither its uid nor its name.
                empty.push(listed);
            }
        }
        let predecessor = self.next.last_sealed.unwrap_or_default();
        let copied = fresh.as_ref().map_or(0, |(_, tally)| tally.records);
        let (active, tally) = match active.or(fresh) {
            Some(ready) => ready,
            None => (self.empty_segment(&mut empty)?, Sealed::default()),
        };
        let spare = self.empty_segment(&mut empty)?;
        for (listed, durable) in [(&active, tally.len), (&spare, 0)] {
            entries.push(SegmentEntry { state: SegmentState::Unsealed { durable }, ..listed.entry });
        }
        self.dir.sync().map_err(|err| Error::io("sync", self.path, err))?;
        self.next.moved.retain(|moved| entries.iter().any(|entry| entry.uid == moved.to));
        self.next.segments = entries;
        Ok(Layout { active, tally, spare, predecessor, copied })
    }

    /// What every writer's open changes in the manifest.
    fn advance(&mut self, names: &[String]) -> Result<()> {
        let seen = highest_number(names)?;
        let next = &mut self.next;
        next.generation = next
            .generation
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(names::MANIFEST, 0, "its generation is the last there can be"))?;
        next.next_number = next.next_number.max(seen + 1);
        let closed = next.clean_close.take().map_or(0, |close| close.last_version);
        let stored = next.segments.iter().map(|entry| entry.highest_version()).max().unwrap_or(0);
        for floor in [next.highest_dropped_tombstone, closed, stored, self.judgement.highest_version] {
            next.last_version = next.last_version.max(floor);
        }
        if let Some((cursor, _)) = self.judgement.applied.take() {
            next.applied_cursor = Some(cursor);
        }
        // What is written to a backup is no part of the history that it was taken of.
        if std::mem::take(&mut next.backup) || self.judgement.discarded > 0 {
            next.history = random_id(self.env)?;
        }
        Ok(())
    }

    /// Writes the records that are not proven durable to a new segment, and answers it with what it holds.
    fn copy(&mut self, unsealed: &[Listed<FileOf<E>>]) -> Result<Option<(Listed<FileOf<E>>, Sealed)>> {
        let ranges = || {
            let whole = unsealed.iter().zip(&self.judgement.verdicts);
            whole.map(|(listed, verdict)| (listed, verdict.durable.max(RECORDS_AT), verdict.good))
        };
        if ranges().all(|(_, from, to)| from >= to) {
            return Ok(None);
        }
        let kept = ranges().filter(|(_, from, _)| *from > RECORDS_AT).last();
        let (predecessor_uid, predecessor_len) =
            kept.map_or(self.next.last_sealed.unwrap_or_default(), |(at, from, _)| (at.entry.uid, from));
        let ranges: Vec<_> = ranges().filter(|(_, from, to)| from < to).collect();
        let mut listed = self.create()?;
        let header = SegmentHeader {
            database: self.next.database,
            uid: listed.entry.uid,
            number: listed.entry.number,
            predecessor_uid,
            predecessor_len,
        };
        let mut copier = Copier::new(&listed.file, &listed.name, &header);
        for (source, from, to) in ranges {
            copier.copy(source, from, to)?;
        }
        self.next.moved.extend(copier.take_moved());
        let tally = copier.finish()?;
        listed.file_len = tally.len;
        Ok(Some((listed, tally)))
    }

    fn empty_segment(&mut self, empty: &mut Vec<Listed<FileOf<E>>>) -> Result<Listed<FileOf<E>>> {
        match empty.pop() {
            Some(listed) => Ok(listed),
            None => self.create(),
        }
    }

    fn create(&mut self) -> Result<Listed<FileOf<E>>> {
        let number = take_number(&mut self.next)?;
        let uid = fresh_uid(self.env)?;
        let file = create_segment(self.dir, number)?;
        let name = names::segment(number);
        self.created.push(name.clone());
        let entry = SegmentEntry { number, uid, run: None, state: SegmentState::Unsealed { durable: 0 } };
        Ok(Listed { entry, name, file, file_len: 0, header: HeaderState::Blank })
    }
}

/// The highest number in the names of segments and hints, 0 if there are none.
fn highest_number(names: &[String]) -> Result<u64> {
    let numbered = |name| names::parse_segment(name).or(names::parse_hint(name)).map(|number| (number, name));
    match names.iter().filter_map(|name| numbered(name)).max() {
        Some((number, name)) if number + u64::from(MAX_SEGMENT_SLOTS) >= names::NUMBER_END => {
            let what = "its number leaves none for new segments; move the file away if it is not the store's";
            Err(Error::corrupt(name, 0, what))
        }
        Some((number, _)) => Ok(number),
        None => Ok(0),
    }
}
