//! What a merge makes of the values that it keeps.
//!
//! Where compression is chosen, small values are compressed again, with the dictionary that the merge found worth it
//! (`samples`), if it did. A value that was stored with a dictionary of its segment does not stay as it is unless the
//! outputs have the same one: nobody could read it. If it cannot be decompressed its segment is damaged and is not merged,
//! for with another dictionary it might come to other bytes. What is left alone goes along as it is, damaged or not.

use super::samples::Samples;
use super::shared::{FileOf, Inner};
use super::survivors::{Input, Survivor};
use crate::error::{Error, Result};
use crate::format::compressed::{Compressor, is_bound};
use crate::format::record::{Flags, RecordHeader};
use crate::io::env::Env;
use crate::options::{Codec, Compression};
use crate::segment::view::{HintState, Segment};
use crate::sync::Ordering;

use super::pace::Pace;

/// Stored values longer than this gain little from a dictionary, and were compressed when they were put.
const MAX_LEN: u32 = 64 << 10;

/// See the file's head.
pub(super) struct Repacker<'m, E: Env> {
    store: &'m Inner<E>,
    how: Compression,
    /// Whether compression is chosen, and not only to be kept where it is.
    is_chosen: bool,
    compressor: Compressor,
    dictionary: Option<Vec<u8>>,
    /// For each input whether it has the same dictionary as the outputs.
    has_same: Vec<bool>,
    buf: Vec<u8>,
    raw: Vec<u8>,
    stored: Vec<u8>,
}

impl<'m, E: Env> Repacker<'m, E> {
    /// For a merge of `inputs`, samples of which are read at the cost of `pace`.
    pub(super) fn new(store: &'m Inner<E>, inputs: &[Input<E>], pace: &mut Pace<'_>) -> Result<Self> {
        let chosen = store.options.compression;
        // What was worth a dictionary does not become larger because nothing is said about compression.
        let kept = || Compression { min_bytes: 0, ..Compression::new(Codec::Zstd) };
        let how = chosen.unwrap_or_else(kept);
        let mut repacker = Repacker {
            store,
            how,
            is_chosen: chosen.is_some(),
            compressor: Compressor::default(),
            dictionary: None,
            has_same: vec![false; inputs.len()],
            buf: Vec::new(),
            raw: Vec::new(),
            stored: Vec::new(),
        };
        if how.codec == Codec::Zstd
            && let Some(found) = Samples::find_dictionary(store, inputs, &how, chosen.is_some(), pace)?
            && let Some(compressor) = Compressor::with_dictionary(&found.bytes, how.dictionary_level)
        {
            (repacker.compressor, repacker.dictionary) = (compressor, Some(found.bytes));
            repacker.has_same = found.has_same;
        }
        Ok(repacker)
    }

    /// The dictionary that each output is to have.
    pub(super) fn dictionary(&self) -> Option<&[u8]> {
        self.dictionary.as_deref()
    }

    /// The stored value of `record`, whose first bytes or all are `bytes`, as it is to be from now on, with its flags;
    /// `None` when it stays as it is.
    ///
    /// # Errors
    /// `Corrupt` when it needs a dictionary and cannot be decompressed; the segment is damaged then.
    pub(super) fn repack(
        &mut self,
        source: &Segment<FileOf<E>>,
        record: &Survivor,
        header: &RecordHeader,
        bytes: &[u8],
    ) -> Result<Option<(Flags, &[u8])>> {
        let is_compressed = header.flags.has(Flags::COMPRESSED);
        let is_bound = is_compressed && is_bound(&bytes[header.value_at()..]);
        let is_taken = match (is_bound, is_compressed) {
            (true, _) => !self.has_same[record.input],
            _ if header.value_len > MAX_LEN => false,
            (_, true) => self.is_chosen && self.dictionary.is_some(),
            (_, false) => self.is_chosen,
        };
        if !is_taken {
            return Ok(None);
        }
        let read = match bytes.len() as u64 >= record.len {
            true => source.check(record.offset, bytes),
            false => source.read(record.offset, record.len, &mut self.buf),
        };
        let whole = match read {
            // Whoever reads it will see.
            Err(Error::Corrupt { .. }) => return Ok(None),
            read => read?,
        };
        let mut value = whole.value;
        if is_compressed {
            match source.decompress(&self.store.dictionaries, record.offset, whole.value, &mut self.raw) {
                Err(Error::Corrupt { .. }) if !is_bound => return Ok(None),
                Err(err) => {
                    if matches!(err, Error::Corrupt { .. }) {
                        source.set_hint_state(HintState::Impossible);
                    }
                    return Err(err);
                }
                Ok(()) => value = &self.raw,
            }
        }
        self.stored.clear();
        let pays = self.compressor.compress(&self.how, value, &mut self.stored);
        if pays && (is_bound || self.stored.len() < whole.value.len()) {
            let counters = &self.store.counters;
            counters.merge_raw_bytes.fetch_add(value.len() as u64, Ordering::Relaxed);
            counters.merge_compressed_bytes.fetch_add(self.stored.len() as u64, Ordering::Relaxed);
            return Ok(Some((header.flags.and(Flags::COMPRESSED), &self.stored)));
        }
        Ok(is_bound.then_some((header.flags.without(Flags::COMPRESSED), &self.raw)))
    }
}
