//! Deletes keys that were found in a snapshot, unless they were written since.

use super::db::Db;
use super::expected::{Locked, Seen};
use super::shared::Inner;
use super::snapshot::{Found, Snapshot};
use super::write::BatchEntry;
use super::write_options::Outcome;
use crate::error::{Error, Result};
use crate::format::record::Flags;
use crate::io::env::Env;

impl<E: Env> Db<E> {
    /// Deletes, as one batch, those of the keys that were not written since `snapshot` was taken, and answers how many.
    /// What was found of each is where the snapshot has its newest record. A key must occur only once.
    ///
    /// # Errors
    /// As [`Db::write_entries`]; `Corrupt` also when a merge has moved a record that is damaged.
    pub(crate) fn delete_found(&self, snapshot: &Snapshot<E>, keys: &[(Found, &[u8])]) -> Result<usize> {
        let inner = self.inner();
        let (mut seen, mut entries) = (Vec::new(), Vec::new());
        let room = seen.try_reserve_exact(keys.len()).and_then(|()| entries.try_reserve_exact(keys.len()));
        room.map_err(|_| Error::no_memory::<BatchEntry<'_>>(keys.len()))?;
        loop {
            seen.clear();
            entries.clear();
            for &(found, key) in keys {
                if let Some(newest) = inner.see_unwritten(snapshot, &found, key)? {
                    seen.push(newest);
                    entries.push(BatchEntry { key, value: &[], flags: Flags::TOMBSTONE, deadline: None });
                }
            }
            if entries.is_empty() {
                return Ok(0);
            }
            let outcome = self.write_batch(&entries, None, || {
                let writer = inner.lock_writer()?;
                let holds = seen.iter().all(|seen| inner.is_unchanged(seen));
                Ok(if holds { Locked::Holds(writer) } else { Locked::Conflict(0) })
            })?;
            if let Outcome::Written(_) = outcome {
                return Ok(entries.len());
            }
        }
    }
}

impl<E: Env> Inner<E> {
    /// The newest record of `key`, if it is the one that was found in `snapshot`.
    fn see_unwritten(&self, snapshot: &Snapshot<E>, found: &Found, key: &[u8]) -> Result<Option<Seen>> {
        let digest = self.secret.digest(key);
        self.keydir.touch(digest)?;
        let Some(at) = self.keydir.get(digest).filter(|at| !at.is_tombstone()) else { return Ok(None) };
        // The snapshot holds the segment, so that no other has its slot.
        let segment = snapshot.segment(found.rank);
        if (at.slot(), at.offset()) == (segment.slot, found.offset) {
            return Ok(Some(Seen::record(digest, at, segment.uid, None)));
        }
        // A merge moves records, and leaves them their versions.
        let seen = self.see(key, digest)?;
        Ok(Some(seen).filter(|seen| seen.is_of_version(found.version)))
    }
}
