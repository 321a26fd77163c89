//! Values on their way into the log: as they were given, or compressed where that was chosen and pays.
//!
//! All of it happens before the write mutex is taken. What is appended uses no dictionary: those come with merges.

use super::shared::Inner;
use crate::error::{Error, Result};
use crate::format::compressed::{Scratch, with_compressor};
use crate::format::record::Flags;
use crate::io::env::Env;
use crate::options::Compression;
use crate::sync::Ordering;
use std::ops::{Deref, Range};

/// A value as it is stored.
pub(super) enum Stored<'v> {
    /// As it was given.
    Given(&'v [u8]),
    /// Compressed.
    Compressed(Scratch),
}

impl Deref for Stored<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Stored::Given(value) => value,
            Stored::Compressed(scratch) => scratch,
        }
    }
}

/// The values of a batch that are stored compressed.
#[derive(Default)]
pub(super) struct CompressedValues {
    bytes: Vec<u8>,
    /// For each value its place among the bytes, if it is compressed; nothing if none is to be.
    places: Vec<Option<Range<usize>>>,
}

impl CompressedValues {
    /// The value number `at` as it is stored, and the flags of its record, which are to be `flags` otherwise.
    #[inline]
    pub(super) fn stored<'v>(&'v self, at: usize, value: &'v [u8], flags: Flags) -> (&'v [u8], Flags) {
        match self.places.get(at) {
            Some(Some(place)) => (&self.bytes[place.clone()], flags.and(Flags::COMPRESSED)),
            _ => (value, flags),
        }
    }
}

impl<E: Env> Inner<E> {
    /// `value` as it is to be stored, and the flags of its record, which are to be `flags` otherwise.
    #[inline]
    pub(super) fn stored<'v>(&self, value: &'v [u8], flags: Flags) -> (Stored<'v>, Flags) {
        match &self.options.compression {
            None => (Stored::Given(value), flags),
            Some(how) => self.compressed(how, value, flags),
        }
    }

    fn compressed<'v>(&self, how: &Compression, value: &'v [u8], flags: Flags) -> (Stored<'v>, Flags) {
        let mut out = Scratch::take();
        out.clear();
        if !self.compress(how, value, &mut out) {
            return (Stored::Given(value), flags);
        }
        (Stored::Compressed(out), flags.and(Flags::COMPRESSED))
    }

    /// The values of a batch, compressed as far as it pays.
    pub(super) fn stored_all<'v>(
        &self,
        values: impl ExactSizeIterator<Item = &'v [u8]>,
    ) -> Result<CompressedValues> {
        let mut all = CompressedValues::default();
        let Some(how) = &self.options.compression else { return Ok(all) };
        let room = all.places.try_reserve_exact(values.len());
        room.map_err(|_| Error::no_memory::<Option<Range<usize>>>(values.len()))?;
        for value in values {
            let start = all.bytes.len();
            let pays = self.compress(how, value, &mut all.bytes);
            all.places.push(pays.then_some(start..all.bytes.len()));
        }
        Ok(all)
    }

    /// Appends the stored form of `value` to `out`; `false` when it does not pay.
    fn compress(&self, how: &Compression, value: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let pays = with_compressor(|compressor| compressor.compress(how, value, out));
        if pays {
            let (raw, stored) = (value.len() as u64, (out.len() - start) as u64);
            self.counters.compressed_raw_bytes.fetch_add(raw, Ordering::Relaxed);
            self.counters.compressed_bytes.fetch_add(stored, Ordering::Relaxed);
        }
        pays
    }
}
