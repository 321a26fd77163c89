//! For each key the place of its newest record, in a store that is not open.

use super::findings::Findings;
use super::load_tasks::location;
use super::origin::read_part;
use super::sources::Sources;
use crate::error::Result;
use crate::format::checkpoint::{CheckpointEntry, ENTRY_LEN};
use crate::format::names::CHECKPOINT;
use crate::io::env::File;
use crate::keydir::location::{Location, SegmentSlot};
use crate::keydir::{Digest, Keydir, LoadOutcome, Secret};
use crate::segment::scanner::Scanned;
use std::collections::HashMap;

/// The newest record of each key that came. A source's number is its slot and its rank.
pub(crate) struct Newest {
    index: Keydir,
    secret: Secret,
}

impl Newest {
    /// None yet.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn new(secret: Secret) -> Result<Self> {
        Ok(Newest { index: Keydir::new(0)?, secret })
    }

    /// A key's digest, and the place of `record` in source number `source`.
    pub(crate) fn place_of(&self, source: usize, record: &Scanned<'_>) -> Option<(Digest, Location)> {
        let header = &record.header;
        let slot = SegmentSlot::nth(source)?;
        let (len, expires) = (header.record_len(), header.deadline.is_some());
        Some((self.secret.digest(record.key), location(slot, record.offset, len, header.flags, expires)))
    }

    /// Brings in a record.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn enter(&self, digest: Digest, at: Location) -> Result<LoadOutcome> {
        self.index.insert_newest(digest, at, |slot| slot)
    }

    /// The place of the key's newest record, which may be a deletion.
    pub(crate) fn get(&self, digest: Digest) -> Option<Location> {
        self.index.get(digest)
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> u64 {
        self.index.len()
    }

    /// The digest of `key`.
    pub(crate) fn digest(&self, key: &[u8]) -> Digest {
        self.secret.digest(key)
    }

    /// Checks the checkpoint that belongs to the log against what came, which is all of it. Answers its length.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn check_checkpoint<F: File>(
        &self,
        sources: &Sources<F>,
        found: &mut Findings,
    ) -> Result<u64> {
        let Some(checkpoint) = &sources.checkpoint else { return Ok(0) };
        let tables = &checkpoint.tables;
        let by_uid: HashMap<_, _> =
            (0..).zip(&sources.list).map(|(at, source)| (source.entry.uid, at)).collect();
        let of_line = |(slot, uid)| Some((slot, SegmentSlot::nth(*by_uid.get(uid)?)?));
        let slots: HashMap<_, _> =
            tables.segments.iter().map(|line| (line.slot, &line.uid)).filter_map(of_line).collect();
        let (mut whole, mut wrong) = (true, None);
        for (line, start) in tables.parts.iter().zip(tables.starts()) {
            let place = (start, u64::from(line.entries) * ENTRY_LEN as u64);
            let Some(bytes) = read_part(&checkpoint.file, line, start)? else {
                whole = false;
                found.note(
                    CHECKPOINT,
                    place,
                    "a part does not match its checksum: the index is read from the log",
                );
                continue;
            };
            let is_right = |bytes: &[u8]| {
                let CheckpointEntry { lo, hi, location } = CheckpointEntry::decode(bytes);
                let stated = Location::from_word(location)?;
                let stated = stated.in_slot(*slots.get(&stated.slot().0)?);
                (self.index.get(Digest { lo, hi }) == Some(stated)).then_some(())
            };
            if bytes.chunks_exact(ENTRY_LEN).any(|bytes| is_right(bytes).is_none()) {
                wrong = wrong.or(Some(place));
            }
        }
        if whole && tables.header.entries != self.len() {
            wrong = wrong.or(Some((0, 0)));
        }
        if let Some(place) = wrong {
            found.damage(CHECKPOINT, place, "it does not say where the newest records are");
        }
        Ok(tables.header.file_len().unwrap_or(0))
    }
}
