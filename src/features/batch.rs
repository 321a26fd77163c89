//! A batch: operations gathered in memory and written whole or not at all.
//!
//! A key's last operation wins and the others are not written. At which versions keys must be, a batch may say, too. It
//! belongs to no store until it is written, and to one thread at a time.

use super::json;
use crate::engine::{BatchEntry, Db, Expected, MAX_BATCH_LEN, Outcome, WriteOptions, last_of_each_key};
use crate::error::{Error, Result};
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::Env;
use std::ops::Range;

/// Operations to be written together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    expected: Vec<(Range<usize>, u64)>,
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

    /// Has the batch written only if `key` is at this version then, 0 for a key that has no value. The key may be one that
    /// the batch writes or any other.
    ///
    /// # Errors
    /// As [`Batch::put`].
    pub fn expect(&mut self, key: &[u8], version: u64) -> Result<()> {
        let expected = &mut self.expected;
        expected.try_reserve(1).map_err(|_| Error::no_memory::<(Range<usize>, u64)>(expected.len() + 1))?;
        let key = self.keep(key, &[])?;
        self.expected.push((key, version));
        Ok(())
    }

    /// Forgets all operations and what was expected, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
        self.expected.clear();
    }

    /// How many operations were added.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether no operation was added.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn add(&mut self, key: &[u8], value: &[u8], flags: Flags) -> Result<()> {
        let operations = &mut self.operations;
        operations.try_reserve(1).map_err(|_| Error::no_memory::<Operation>(operations.len() + 1))?;
        let key = self.keep(key, value)?;
        self.operations.push(Operation { key, value_end: self.bytes.len(), flags });
        Ok(())
    }

    /// Copies key and value, and answers where the key is.
    fn keep(&mut self, key: &[u8], value: &[u8]) -> Result<Range<usize>> {
        if key.len() > MAX_KEY_LEN {
            return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
        }
        let added = key.len() as u64 + value.len() as u64;
        let size = added.saturating_add(self.bytes.len() as u64);
        if size > MAX_BATCH_LEN {
            return Err(Error::TooLarge { what: "batch", size, limit: MAX_BATCH_LEN });
        }
        let (start, len) = (self.bytes.len(), key.len() + value.len());
        self.bytes.try_reserve(len).map_err(|_| Error::no_memory::<u8>(start + len))?;
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(start..start + key.len())
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.bytes[self.operations[at].key.clone()]
    }

    fn entry(&self, at: usize, deadline: Option<u64>) -> BatchEntry<'_> {
        let Operation { key, value_end, flags } = &self.operations[at];
        let deadline = deadline.filter(|_| !flags.has(Flags::TOMBSTONE));
        BatchEntry { key: self.key(at), value: &self.bytes[key.end..*value_end], flags: *flags, deadline }
    }

    fn expected(&self) -> Result<Vec<Expected<'_>>> {
        let mut expected = Vec::new();
        let room = expected.try_reserve_exact(self.expected.len());
        room.map_err(|_| Error::no_memory::<Expected<'_>>(self.expected.len()))?;
        let one = |(key, version): &(Range<usize>, u64)| Expected {
            key: &self.bytes[key.clone()],
            version: *version,
        };
        expected.extend(self.expected.iter().map(one));
        Ok(expected)
    }

    /// The operations that count, in the order in which they were added; what they put has this deadline.
    fn entries(&self, deadline: Option<u64>) -> Result<Vec<BatchEntry<'_>>> {
        let last = last_of_each_key(self.operations.len(), |at| self.key(at))?;
        let mut entries = Vec::new();
        let room = entries.try_reserve_exact(last.len());
        room.map_err(|_| Error::no_memory::<BatchEntry<'_>>(last.len()))?;
        entries.extend(last.into_iter().map(|at| self.entry(at, deadline)));
        Ok(entries)
    }
}

impl<E: Env> Db<E> {
    /// Writes `batch` if all that it expects holds: after a crash all of it is there or nothing. All its records have one
    /// version. A conflict tells of the first key, in the order in which they were named, that is not at the version
    /// expected. The batch is not cleared.
    ///
    /// # Errors
    /// As [`Db::put`], and as [`Db::get`] of the keys that it expects something of; `TooLarge` when the records take more
    /// than 256 MiB.
    pub fn write(&self, batch: &Batch) -> Result<Outcome> {
        self.write_with(batch, &WriteOptions::default())
    }

    /// [`Db::write`], all puts of the batch with one expiry.
    ///
    /// # Errors
    /// As [`Db::write`]; `Invalid` when `options` expect a version, since they name no key.
    pub fn write_with(&self, batch: &Batch, options: &WriteOptions) -> Result<Outcome> {
        if options.expected.is_some() {
            return Err(Error::Invalid("of which key a version is expected a batch says itself".to_string()));
        }
        self.write_entries(&batch.entries(self.deadline(options.expiry))?, &batch.expected()?)
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
        let entries = batch.entries(None).unwrap();
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
