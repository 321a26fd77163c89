//! A batch: operations gathered in memory and written whole or not at all.
//!
//! A key's last operation wins and the others are not written. A batch belongs to no store until it is written,
//! and to one thread at a time.

use super::json;
use crate::engine::{BatchEntry, Db, MAX_BATCH_LEN};
use crate::error::{Error, Result};
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::Env;
use std::collections::HashMap;
use std::ops::Range;

/// Operations to be written together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
}

struct Operation {
    key: Range<usize>,
    value: Range<usize>,
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
        let bytes = key.len() + value.len();
        let room = self.bytes.try_reserve(bytes).and_then(|()| self.operations.try_reserve(1));
        room.map_err(|_| Error::NoMemory { bytes })?;
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            start..self.bytes.len()
        };
        let operation = Operation { key: keep(key), value: keep(value), flags };
        self.operations.push(operation);
        Ok(())
    }

    /// The operations that count, in the order of each key's first occurrence.
    fn entries(&self) -> Vec<BatchEntry<'_>> {
        let mut entries: Vec<BatchEntry<'_>> = Vec::with_capacity(self.operations.len());
        let mut of_key = HashMap::with_capacity(self.operations.len());
        for operation in &self.operations {
            let key = &self.bytes[operation.key.clone()];
            let entry =
                BatchEntry { key, value: &self.bytes[operation.value.clone()], flags: operation.flags };
            let at = *of_key.entry(key).or_insert(entries.len());
            match entries.get_mut(at) {
                Some(earlier) => *earlier = entry,
                None => entries.push(entry),
            }
        }
        entries
    }
}

impl<E: Env> Db<E> {
    /// Writes `batch`: after a crash all of it is there or nothing. Answers the version that all its records
    /// have. The batch is not cleared.
    ///
    /// # Errors
    /// As [`Db::put`]; `TooLarge` when the records take more than 256 MiB.
    pub fn write(&self, batch: &Batch) -> Result<u64> {
        self.write_entries(&batch.entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_operation_on_a_key_wins() {
        let mut batch = Batch::new();
        for (key, value) in [(b"a", &b"1"[..]), (b"b", b"2"), (b"a", b"3")] {
            assert!(batch.put(key, value).is_ok());
        }
        assert!(batch.delete(b"b").is_ok());
        let entries: Vec<_> =
            batch.entries().iter().map(|entry| (entry.key, entry.value, entry.flags)).collect();
        assert_eq!(entries, [(&b"a"[..], &b"3"[..], Flags::NONE), (b"b", b"", Flags::TOMBSTONE)]);
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
