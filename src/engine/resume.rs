//! Goes on with the index that a checkpoint holds.
//!
//! Nothing of it is read before it is asked for. A part that turns out damaged then is no reason to refuse: from that
//! moment on, whatever is still to come comes from the log, which is read into an index of its own. What came before
//! had its checksum and stays.

use super::checkpoint::{Checkpoint, state_of};
use super::load::{Seen, load_apart};
use super::origin::{Origin, read_part};
use super::shared::{FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::checkpoint::{CheckpointEntry, ENTRY_LEN, PartLine};
use crate::format::manifest::Sealed;
use crate::format::names::CHECKPOINT;
use crate::format::record::RECORD_HEADER_LEN;
use crate::format::segment_header::SEGMENT_HEADER_LEN;
use crate::io::env::{Dir, Env, File};
use crate::keydir::location::{Location, MAX_SEGMENT_SLOTS, SegmentSlot};
use crate::keydir::{Digest, Entry, Keydir, Part, Source};
use crate::segment::view::Segment;
use crate::sync::{Arc, Mutex, Ordering};
use std::collections::HashMap;
use std::sync::Weak;

/// A segment with the length that it had when the store was opened.
type Stated<E> = (Arc<Segment<FileOf<E>>>, u64);

impl<F: File> Checkpoint<F> {
    /// An index that will be what the checkpoint says; `None` if it can be none.
    pub(super) fn keydir(&self) -> Result<Option<Keydir>> {
        let slots = self.tables.segments.iter().map(|line| line.slot);
        let mut sorted: Vec<_> = slots.collect();
        sorted.sort_unstable();
        let one_each = sorted.windows(2).all(|pair| pair[0] != pair[1]);
        if !one_each || sorted.last().is_some_and(|&slot| slot >= MAX_SEGMENT_SLOTS) {
            return Ok(None);
        }
        Keydir::of_parts(self.tables.parts.iter().map(part_of).collect())
    }

    /// Makes the checkpoint the source of the store's keydir, which [`Checkpoint::keydir`] made, and takes over what it
    /// says of the segments.
    pub(super) fn resume<E: Env>(self, store: &Arc<Inner<E>>, segments: &[Stated<E>]) -> Seen
    where
        E::Dir: Dir<File = F>,
    {
        let Checkpoint { file, tables } = self;
        let by_uid: HashMap<_, _> = segments.iter().map(|(segment, _)| (segment.uid, segment)).collect();
        let mut slots = Vec::new();
        for line in &tables.segments {
            let at = line.slot as usize;
            slots.resize(slots.len().max(at + 1), None);
            let Some(segment) = by_uid.get(&line.uid) else { continue };
            segment.add_live(line.live_bytes);
            segment.unreclaimable_bytes.store(line.unreclaimable_bytes, Ordering::Relaxed);
            segment.set_hint_state(state_of(line.hint));
            slots[at] = Some((segment.slot, line.len));
        }
        let header = tables.header;
        let seen = Seen {
            highest_version: header.last_version,
            youngest: Sealed {
                len: header.active_len,
                highest_version: header.active_highest_version,
                records: header.active_records,
                tombstones: header.active_tombstones,
            },
        };
        let starts = tables.starts();
        let origin = Arc::new(Origin {
            tables,
            damaged: false.into(),
            hints_seen: false.into(),
            damage_told: false.into(),
        });
        let _ = store.origin.set(origin.clone());
        store.keydir.set_source(Arc::new(CheckpointSource {
            file,
            origin,
            starts,
            slots,
            store: Arc::downgrade(store),
            segments: segments.to_vec(),
            of_log: Mutex::new(None),
        }));
        seen
    }
}

/// Where the parts of the keydir come from.
struct CheckpointSource<E: Env> {
    file: FileOf<E>,
    origin: Arc<Origin>,
    /// Where each part begins in the file.
    starts: Vec<u64>,
    /// For each slot of the checkpoint's: the segment's slot now, and its length.
    slots: Vec<Option<(SegmentSlot, u64)>>,
    store: Weak<Inner<E>>,
    segments: Vec<Stated<E>>,
    /// The index read from the log, once a part was found damaged.
    of_log: Mutex<Option<Arc<Keydir>>>,
}

impl<E: Env> Source for CheckpointSource<E> {
    fn read(&self, at: usize, out: &mut Vec<Entry>) -> Result<()> {
        let line = self.origin.tables.parts[at];
        if !self.origin.damaged.load(Ordering::Acquire) {
            if self.read_part(&line, self.starts[at], out)? {
                return Ok(());
            }
            self.give_up(self.starts[at]);
        }
        out.clear();
        self.index_of_log()?.entries_of(part_of(&line), out);
        Ok(())
    }
}

impl<E: Env> CheckpointSource<E> {
    /// Appends the entries of a part to `out`; `false` when it is damaged or cannot be read.
    fn read_part(&self, line: &PartLine, start: u64, out: &mut Vec<Entry>) -> Result<bool> {
        let bytes = read_part(&self.file, line, start)?;
        Ok(bytes.is_some_and(|bytes| self.decode_part(line, &bytes, out).is_some()))
    }

    /// The same of bytes whose checksum is right.
    fn decode_part(&self, line: &PartLine, bytes: &[u8], out: &mut Vec<Entry>) -> Option<()> {
        let cover = part_of(line);
        for bytes in bytes.chunks_exact(ENTRY_LEN) {
            let CheckpointEntry { lo, hi, location } = CheckpointEntry::decode(bytes);
            let digest = Digest { lo, hi };
            let ascends = out.last().is_none_or(|(last, _)| (last.hi, last.lo) < (hi, lo));
            let location = Location::from_word(location).filter(|_| ascends && cover.admits(digest))?;
            out.push((digest, self.translated(location)?));
        }
        Some(())
    }

    /// The location with its segment's slot of now, if there can be a record.
    fn translated(&self, location: Location) -> Option<Location> {
        let (slot, len) = (*self.slots.get(location.slot().0 as usize)?)?;
        let fits = location.offset() >= SEGMENT_HEADER_LEN as u64
            && location.offset() + RECORD_HEADER_LEN as u64 <= len
            && !location.is_tombstone();
        fits.then(|| location.in_slot(slot))
    }

    /// Takes nothing from the file any more.
    fn give_up(&self, at: u64) {
        let first = !self.origin.damaged.swap(true, Ordering::AcqRel);
        if let Some(store) = self.store.upgrade().filter(|_| first) {
            let what = "it is damaged, or cannot be read: the index is read from the log instead";
            store.health.note_background_error(&Error::corrupt(CHECKPOINT, at, what));
        }
    }

    /// The index as the log has it.
    fn index_of_log(&self) -> Result<Arc<Keydir>> {
        let mut of_log = self.of_log.lock();
        if let Some(keydir) = &*of_log {
            return Ok(keydir.clone());
        }
        let closed = || Error::corrupt(CHECKPOINT, 0, "the store is gone");
        let store = self.store.upgrade().ok_or_else(closed)?;
        let keydir = load_apart(&store, &self.segments)?;
        *of_log = Some(keydir.clone());
        Ok(keydir)
    }
}

fn part_of(line: &PartLine) -> Part {
    Part { depth: line.depth, prefix: line.prefix, entries: line.entries }
}
