//! Deletes a range of keys: a walk through a snapshot, and a batch for every few hundred keys of it.
//!
//! Each batch is atomic and the whole is not, so that nothing grows with the range: no lock is held for longer, and no
//! write of others waits for more, than one batch takes. A key that is written meanwhile keeps its new value. What was
//! deleted is no longer found by the next walk, so that a deletion which was broken off goes on where it ended.

use super::scan::{Scan, ScanOptions};
use crate::engine::{Db, Found, Snapshot};
use crate::error::{Error, Result};
use crate::io::env::Env;
use crate::sync::Arc;
use std::ops::Range;

/// The most keys of a batch.
const BATCH_KEYS: usize = 512;
/// No more keys are added to a batch that has so many bytes of them.
const BATCH_BYTES: usize = 256 << 10;

/// A deletion under way.
pub struct RangeDeletion<'d, E: Env> {
    db: &'d Db<E>,
    snapshot: Arc<Snapshot<E>>,
    scan: Scan<E>,
    most_keys: usize,
}

impl<E: Env> Db<E> {
    /// Deletes the keys in `range` that have a value now, except those that are written meanwhile, and answers how many it
    /// deleted. After an error or a crash some may be deleted and others not; to call it again deletes the rest.
    ///
    /// # Errors
    /// As [`Scan::new`], [`Scan::advance`] and [`Db::write`]; `Stopped` around any of these once some keys are deleted.
    pub fn delete_range(&self, range: &ScanOptions<'_>) -> Result<u64> {
        let mut deletion = RangeDeletion::new(self, range)?;
        let mut deleted = 0;
        loop {
            match deletion.step() {
                Ok(Some(more)) => deleted += more as u64,
                Ok(None) => return Ok(deleted),
                Err(err) if deleted == 0 => return Err(err),
                Err(err) => return Err(Error::Stopped { deleted, source: Box::new(err) }),
            }
        }
    }
}

impl<'d, E: Env> RangeDeletion<'d, E> {
    /// Before the first batch.
    ///
    /// # Errors
    /// As [`Scan::new`]; `ReadOnly`, `Poisoned`.
    pub fn new(db: &'d Db<E>, range: &ScanOptions<'_>) -> Result<Self> {
        db.inner().check_writable()?;
        let snapshot = Arc::new(db.snapshot()?);
        let scan = Scan::new(snapshot.clone(), &ScanOptions { keys_only: true, ..*range })?;
        Ok(RangeDeletion { db, snapshot, scan, most_keys: BATCH_KEYS })
    }

    /// The same with at most so many keys a batch, at least 1.
    pub fn in_batches_of(self, most_keys: usize) -> Self {
        RangeDeletion { most_keys: most_keys.max(1), ..self }
    }

    /// Deletes what the next batch has room for, and answers how many keys that were; `None` when no keys are left.
    ///
    /// # Errors
    /// As [`Db::delete_range`]; nothing of the batch is deleted then, and the deletion cannot go on: begin another.
    pub fn step(&mut self) -> Result<Option<usize>> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut keys: Vec<(Found, Range<usize>)> = Vec::new();
        while keys.len() < self.most_keys && bytes.len() < BATCH_BYTES && self.scan.advance()? {
            let Some((found, key)) = self.scan.found().zip(self.scan.key()) else { break };
            let start = bytes.len();
            bytes.try_reserve(key.len()).map_err(|_| Error::no_memory::<u8>(start + key.len()))?;
            bytes.extend_from_slice(key);
            keys.push((found, start..bytes.len()));
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let keys: Vec<_> = keys.into_iter().map(|(found, key)| (found, &bytes[key])).collect();
        self.db.delete_found(&self.snapshot, &keys).map(Some)
    }
}
