//! A batch: operations gathered in memory and written whole or not at all.
//!
//! A key's last operation wins and the others are not written. A batch belongs to no store until it is written,
//! and to one thread at a time.

use super::json;
use crate::engine::{BatchEntry, Db, MAX_BATCH_LEN};
use crate::error::{Error, Result};
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::Env;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Operations to be written together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
}

struct Operation {
    key: Range<usize>,
    /// The value begins where the key ends.
    value_end: usize,
    flags: Flags,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Adds a put.
    ///
    /// # Errors
    /// `TooLarge` over 64 KiB of key, or when keys and values of all operations pass 256 MiB; `NoMemory`. The
    /// batch is as it was.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.add(key, value, Flags::NONE)
    }

    /// Adds a put of a JSON document (RFC 8259), which is stored as given.
    ///
    /// # Errors
    /// As [`Batch::put`]; `NotJson`.
    pub fn put_json(&mut self, key: &[u8], document: &[u8]) -> Result<()> {
        json::validate(document)?;
        self.add(key, document, Flags::JSON)
    }

    /// Adds a deletion; the key need not have a value.
    ///
    /// # Errors
    /// As [`Batch::put`].
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.add(key, &[], Flags::TOMBSTONE)
    }

    /// Forgets all operations and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
    }

    /// How many operations were added.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn add(&mut self, key: &[u8], value: &[u8], flags: Flags) -> Result<()> {
        if key.len() > MAX_KEY_LEN {
            return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
        }
        let added = key.len() as u64 + value.len() as u64;
        let size = added.saturating_add(self.bytes.len() as u64);
        if size > MAX_BATCH_LEN {
            return Err(Error::TooLarge { what: "batch", size, limit: MAX_BATCH_LEN });
        }
        let start = self.bytes.len();
        let key_end = start + key.len();
        let value_end = key_end + value.len();
        let (bytes, operations) = (&mut self.bytes, &mut self.operations);
        bytes.try_reserve(value_end - start).map_err(|_| Error::no_memory::<u8>(value_end))?;
        operations.try_reserve(1).map_err(|_| Error::no_memory::<Operation>(operations.len() + 1))?;
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        operations.push(Operation { key: start..key_end, value_end, flags });
        Ok(())
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.bytes[self.operations[at].key.clone()]
    }

    fn entry(&self, at: usize) -> BatchEntry<'_> {
        let Operation { key, value_end, flags } = &self.operations[at];
        BatchEntry { key: self.key(at), value: &self.bytes[key.end..*value_end], flags: *flags }
    }

    /// The operations that count, in the order in which they were added.
    fn entries(&self) -> Result<Vec<BatchEntry<'_>>> {
        let last = self.last_of_each_key()?;
        let mut entries = Vec::new();
        let room = entries.try_reserve_exact(last.len());
        room.map_err(|_| Error::no_memory::<BatchEntry<'_>>(last.len()))?;
        entries.extend(last.iter().map(|&(_, at)| self.entry(at)));
        Ok(entries)
    }

    /// Each key's last operation, with a hash of the key. Sorted in place, which takes less memory than a table of
    /// the keys would, and by hash first, which spares nearly all comparisons of keys.
    fn last_of_each_key(&self) -> Result<Vec<(u64, usize)>> {
        let count = self.operations.len();
        let mut last = Vec::new();
        last.try_reserve_exact(count).map_err(|_| Error::no_memory::<(u64, usize)>(count))?;
        let hasher = RandomState::new();
        last.extend((0..count).map(|at| (hasher.hash_one(self.key(at)), at)));
        last.sort_unstable_by(|&(hash, at), &(other_hash, other)| {
            let by_key = hash.cmp(&other_hash).then_with(|| self.key(at).cmp(self.key(other)));
            by_key.then(other.cmp(&at))
        });
        last.dedup_by(|(hash, at), (kept_hash, kept)| hash == kept_hash && self.key(*at) == self.key(*kept));
        last.sort_unstable_by_key(|&(_, at)| at);
        Ok(last)
    }
}

impl<E: Env> Db<E> {
    /// Writes `batch`: after a crash all of it is there or nothing. Answers the version that all its records
    /// have. The batch is not cleared.
    ///
    /// # Errors
    /// As [`Db::put`]; `TooLarge` when the records take more than 256 MiB.
    pub fn write(&self, batch: &Batch) -> Result<u64> {
        self.write_entries(&batch.entries()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_operation_on_a_key_wins() {
        let mut batch = Batch::new();
        for (key, value) in [(b"a", &b"1"[..]), (b"b", b"2"), (b"c", b"3"), (b"a", b"4")] {
            assert!(batch.put(key, value).is_ok());
        }
        assert!(batch.delete(b"b").is_ok());
        let entries = batch.entries().unwrap();
        let entries: Vec<_> = entries.iter().map(|entry| (entry.key, entry.value, entry.flags)).collect();
        let expected =
            [(&b"c"[..], &b"3"[..], Flags::NONE), (b"a", b"4", Flags::NONE), (b"b", b"", Flags::TOMBSTONE)];
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_is_too_large_leaves_the_batch_as_it_was() {
        let mut batch = Batch::new();
        assert!(batch.put(b"a", b"1").is_ok());
        assert!(matches!(batch.put(&[0; MAX_KEY_LEN + 1], b""), Err(Error::TooLarge { what: "key", .. })));
        let value = vec![0; 200 << 20];
        assert!(batch.put(b"b", &value).is_ok());
        assert!(matches!(batch.put(b"c", &value), Err(Error::TooLarge { what: "batch", .. })));
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn a_document_that_is_not_json_is_refused() {
        let mut batch = Batch::new();
        assert!(matches!(batch.put_json(b"a", b"{"), Err(Error::NotJson { .. })));
        assert!(batch.is_empty());
    }
}
