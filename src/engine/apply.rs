//! Takes over changes of another store: with their versions, and with the cursor up to which they came, in one batch.
//!
//! So a replica that was stopped anywhere knows what it has: its cursor is that of just the changes that it holds. Recency
//! is position here, too; the versions are those of the store where the changes were made.

use super::db::Db;
use super::distinct::last_of_each_key;
use super::feed::Change;
use super::foreign::Foreign;
use super::write::BatchEntry;
use crate::error::{Error, Result};
use crate::format::applied::MAX_CURSOR_LEN;
use crate::format::record::{Flags, VERSION_END};
use crate::io::env::Env;
use crate::sync::Arc;

impl<E: Env> Db<E> {
    /// Does `changes` in their order, all of them or none, and stores `cursor` with them, up to 1024 bytes that say where to
    /// go on; an empty one leaves that which is there. Of several changes to one key the last counts. Versions, deadlines
    /// and what is JSON are taken over as they are; the store's own versions go on above them. No changes and a cursor store
    /// that alone.
    ///
    /// # Errors
    /// `Invalid` for a version that is 0 or not below 2^63, and for a cursor that is too long; `TooLarge` over 64 KiB of a
    /// key, 4 GiB - 1 of a value, and when several changes take more than 512 MiB; otherwise as [`Db::put`].
    pub fn apply(&self, changes: &[Change<'_>], cursor: &[u8]) -> Result<()> {
        if cursor.len() > MAX_CURSOR_LEN {
            let what = format!("the cursor has {} bytes, accepted are up to {MAX_CURSOR_LEN}", cursor.len());
            return Err(Error::Invalid(what));
        }
        for (at, Change { version, .. }) in changes.iter().enumerate() {
            if !(1..VERSION_END).contains(version) {
                let what = format!("change {at} has version {version}, accepted is 1 to {}", VERSION_END - 1);
                return Err(Error::Invalid(what));
            }
        }
        let last = last_of_each_key(changes.len(), |at| changes[at].key)?;
        let (mut entries, mut versions) = (Vec::new(), Vec::new());
        let room =
            entries.try_reserve_exact(last.len()).and_then(|()| versions.try_reserve_exact(last.len()));
        room.map_err(|_| Error::no_memory::<(BatchEntry<'_>, u64)>(last.len()))?;
        entries.extend(last.iter().map(|&at| changes[at].entry()));
        versions.extend(last.iter().map(|&at| changes[at].version));
        if entries.is_empty() && cursor.is_empty() {
            return self.inner().check_writable();
        }
        let foreign = Foreign { versions: &versions, cursor };
        self.write_batch(&entries, Some(&foreign), || self.inner().lock_when(&[])).map(drop)
    }

    /// The cursor that the last [`Db::apply`] with one stored; `None` when there was none. It is that of just the changes
    /// that the store holds, after a crash, too.
    ///
    /// # Errors
    /// `Forked`.
    pub fn applied_cursor(&self) -> Result<Option<Arc<[u8]>>> {
        let inner = self.inner();
        inner.check_process()?;
        match inner.writer() {
            Ok(writer) => Ok(writer.lock().applied_cursor().clone()),
            Err(_) => Ok(inner.shown_cursor()),
        }
    }
}

impl<'a> Change<'a> {
    fn entry(&self) -> BatchEntry<'a> {
        let Change { key, value, deadline, is_json, .. } = *self;
        match value {
            Some(value) => {
                BatchEntry { key, value, flags: if is_json { Flags::JSON } else { Flags::NONE }, deadline }
            }
            None => BatchEntry { key, value: &[], flags: Flags::TOMBSTONE, deadline: None },
        }
    }
}
