//! The keydir's checkpoint: written by a clean close, found again by the next open.
//!
//! It is good for one log only, the one that the close left: database, generation, the uids and lengths of all segments,
//! the log's end and the last version must be those of the manifest, and the files must be as the manifest says. It is
//! not synced: what a power cut takes of it is found out by checksums, and then the index is read from the log. The
//! header is written last.

use super::listed::Listed;
use super::origin::{Origin, Tables};
use super::recover::Judgement;
use super::shared::{FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::checkpoint::{
    CHECKPOINT_HEADER_LEN, CheckpointEntry, CheckpointHeader, HintMark, PART_MAX_ENTRIES, PartLine,
    SegmentLine,
};
use crate::format::checksum::crc32c;
use crate::format::manifest::{CleanClose, Manifest, Sealed};
use crate::format::names::CHECKPOINT;
use crate::io::env::{Dir, Env, File};
use crate::io::whole::write_all;
use crate::log::{self, Level};
use crate::segment::output::Output;
use crate::segment::view::{HintState, Segment};
use crate::sync::{Arc, Ordering};
use std::collections::HashMap;
use std::io;

/// A checkpoint that was found to belong to the log.
pub(super) struct Checkpoint<F: File> {
    pub(super) file: F,
    pub(super) tables: Tables,
}

impl<F: File> Checkpoint<F> {
    /// The checkpoint that belongs to just this log, if there is one.
    pub(super) fn find<D: Dir<File = F>>(
        dir: &D,
        manifest: &Manifest,
        sealed: &[Listed<F>],
        unsealed: &[Listed<F>],
        judgement: &Judgement,
    ) -> Option<Self> {
        let close = manifest.clean_close?;
        let active = unsealed.get(judgement.resume?)?;
        let whole = |listed: &Listed<F>| listed.has_header() && listed.file_len >= listed.entry.kept_len();
        if judgement.discarded > 0 || !sealed.iter().all(whole) {
            return None;
        }
        let file = dir.open(CHECKPOINT, false).ok()?;
        let tables = Tables::read(&file).ok()??;
        let sealed = sealed.iter().map(|listed| (listed.entry.uid, listed.entry.kept_len()));
        let active_link = (active.entry.uid, close.len);
        let expected = sealed.chain([active_link]).filter(|&(_, len)| len > 0);
        let header = &tables.header;
        let belongs = header.database == manifest.database
            && header.generation == manifest.generation
            && header.last_version == close.last_version
            && (header.active_uid, header.active_len) == active_link
            && tables.segments.iter().map(|line| (line.uid, line.len)).eq(expected);
        belongs.then_some(Checkpoint { file, tables })
    }
}

impl<E: Env> Inner<E> {
    /// Writes the checkpoint for a close that `closing` will be the manifest of, or leaves none. A failure costs the next
    /// open time and nothing else.
    pub(super) fn write_checkpoint(&self, closing: &Manifest, close: CleanClose, active: Sealed) {
        if self.still_good(closing, close, active) {
            return;
        }
        let written = match self.dir.remove(CHECKPOINT) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", CHECKPOINT, err)),
            _ if !self.options.checkpoint => return,
            _ => self.write_new_checkpoint(closing, close, active),
        };
        if let Err(err) = written {
            let _ = self.dir.remove(CHECKPOINT);
            log::warn(format_args!("{}: the next open takes longer: {err}", self.path));
        }
    }

    /// Tells the log of a checkpoint that turned out damaged, once. Called without a lock.
    pub(super) fn tell_of_bad_checkpoint(&self) {
        if let Some(origin) = self.origin.get()
            && origin.damaged.load(Ordering::Relaxed)
            && log::wants(Level::Warn)
            && !origin.damage_told.swap(true, Ordering::Relaxed)
        {
            log::warn(format_args!(
                "{}: {CHECKPOINT} is damaged or cannot be read: the index was read from the log",
                self.path
            ));
        }
    }

    /// Whether the keydir says all there is to say. A degraded store knows more, and one that was closed in the middle of
    /// a merge's end less.
    fn is_fit_for_checkpoint(&self) -> bool {
        self.degraded.get().is_none() && !self.index_is_behind.load(Ordering::Relaxed)
    }

    /// Makes the checkpoint that the store was opened from good for this close, too, if nothing has changed since.
    fn still_good(&self, closing: &Manifest, close: CleanClose, active: Sealed) -> bool {
        let Some(origin) = self.origin.get().filter(|origin| !origin.damaged.load(Ordering::Relaxed)) else {
            return false;
        };
        let header = CheckpointHeader { generation: closing.generation, ..origin.tables.header };
        let untouched = self.options.checkpoint
            && self.writer().is_ok_and(|writer| writer.lock().appended() == 0)
            && self.is_fit_for_checkpoint()
            && self.header(closing, close, active, &origin.tables) == header
            && self.segment_lines(closing).as_ref() == Some(&origin.tables.segments);
        untouched && self.write_header_over(origin, &header).unwrap_or(false)
    }

    fn write_header_over(&self, origin: &Origin, header: &CheckpointHeader) -> io::Result<bool> {
        let file = self.dir.open(CHECKPOINT, true)?;
        let same = Tables::read(&file)?.is_some_and(|tables| tables == origin.tables);
        if same {
            write_all(&file, &header.encode(), 0)?;
        }
        Ok(same)
    }

    fn write_new_checkpoint(&self, closing: &Manifest, close: CleanClose, active: Sealed) -> Result<()> {
        while self.is_fit_for_checkpoint() && self.keydir.bring_in_next()? {}
        // What came in last may have shown that the store is degraded.
        if !self.is_fit_for_checkpoint() {
            return Ok(());
        }
        let behind =
            || Error::corrupt(CHECKPOINT, 0, "the index names a segment that is not in the manifest");
        let segments = self.segment_lines(closing).ok_or_else(behind)?;
        let file = self.dir.create(CHECKPOINT).map_err(|err| Error::io("create", CHECKPOINT, err))?;
        let mut output = Output::new(&file, CHECKPOINT, CHECKPOINT_HEADER_LEN as u64);
        let mut parts = Vec::new();
        let in_parts = self.keydir.for_each_part(|part, entries| {
            let start = output.pending.len();
            for &(digest, location) in entries {
                CheckpointEntry { lo: digest.lo, hi: digest.hi, location: location.to_word() }
                    .encode(&mut output.pending);
            }
            let crc = crc32c(&output.pending[start..]);
            parts.push(PartLine { depth: part.depth, prefix: part.prefix, entries: part.entries, crc });
            output.flush_if_large()
        })?;
        if !in_parts || parts.iter().any(|part| part.entries > PART_MAX_ENTRIES) {
            return self.dir.remove(CHECKPOINT).map_err(|err| Error::io("remove", CHECKPOINT, err));
        }
        let mut tables = Vec::new();
        segments.iter().for_each(|line| line.encode(&mut tables));
        parts.iter().for_each(|part| part.encode(&mut tables));
        let tables_crc = crc32c(&tables);
        output.pending.append(&mut tables);
        output.flush()?;
        let tables = Tables { header: CheckpointHeader::default(), segments, parts };
        let header = CheckpointHeader { tables_crc, ..self.header(closing, close, active, &tables) };
        write_all(&file, &header.encode(), 0).map_err(|err| Error::io("write", CHECKPOINT, err))
    }

    /// What the header says, but for the checksum of the tables, which is taken from `tables`.
    fn header(
        &self,
        closing: &Manifest,
        close: CleanClose,
        active: Sealed,
        tables: &Tables,
    ) -> CheckpointHeader {
        let entry = closing.segments.iter().find(|entry| entry.number == close.active);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        CheckpointHeader {
            database: closing.database,
            generation: closing.generation,
            last_version: close.last_version,
            active_uid: entry.map_or(0, |entry| entry.uid),
            active_len: close.len,
            active_highest_version: active.highest_version,
            active_records: active.records,
            active_tombstones: active.tombstones,
            entries: tables.parts.iter().map(|part| u64::from(part.entries)).sum(),
            segments: count(tables.segments.len()),
            parts: count(tables.parts.len()),
            tables_crc: tables.header.tables_crc,
        }
    }

    /// The lines of all segments that hold something, in the manifest's order; `None` when the view has others.
    fn segment_lines(&self, closing: &Manifest) -> Option<Vec<SegmentLine>> {
        let view = self.view.load();
        let held: HashMap<_, _> = view
            .segments()
            .filter(|segment| segment.readable_len() > 0)
            .map(|segment| (segment.uid, segment))
            .collect();
        let listed = closing.segments.iter().filter_map(|entry| held.get(&entry.uid));
        let line = |segment: &&Arc<Segment<FileOf<E>>>| SegmentLine {
            uid: segment.uid,
            len: segment.readable_len(),
            live_bytes: segment.live_bytes(),
            unreclaimable_bytes: segment.unreclaimable_bytes.load(Ordering::Relaxed),
            slot: segment.slot.0,
            hint: mark_of(segment.hint_state()),
        };
        let lines: Vec<_> = listed.map(line).collect();
        (lines.len() == held.len()).then_some(lines)
    }
}

fn mark_of(state: HintState) -> HintMark {
    match state {
        HintState::Missing => HintMark::Missing,
        HintState::Whole => HintMark::Whole,
        HintState::Impossible => HintMark::Impossible,
    }
}

/// What a mark stands for.
pub(super) fn state_of(mark: HintMark) -> HintState {
    match mark {
        HintMark::Missing => HintState::Missing,
        HintMark::Whole => HintState::Whole,
        HintMark::Impossible => HintState::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Db;
    use crate::io::sim::Sim;
    use crate::options::Options;
    use std::path::Path;

    const DIR: &str = "/store";

    #[test]
    fn an_index_that_a_merge_left_behind_is_not_written() {
        for behind in [false, true] {
            let sim = Sim::new(1);
            sim.make_dirs(DIR);
            let db = Db::open(sim.clone(), Path::new(DIR), &Options::default()).unwrap();
            db.put(b"k", b"v").unwrap();
            db.inner().index_is_behind.store(behind, Ordering::Relaxed);
            db.close().unwrap();
            assert_eq!(sim.read_file(DIR, CHECKPOINT).is_none(), behind);
        }
    }
}
