//! Samples of the values that a merge will keep, and the dictionary that is worth it for them.
//!
//! Samples are taken evenly from all inputs, of blocks of their hints and of entries in the blocks, and by no chance, so
//! that a merge can be repeated. A dictionary is judged by samples that it was not made of: it must save more than it
//! takes in all the outputs. One that inputs have already is kept as long as a new one would not do clearly better, since
//! what was compressed with it need not be touched then.

use super::pace::Pace;
use super::shared::Inner;
use super::survivors::Input;
use crate::error::{Error, Result};
use crate::format::compressed::Compressor;
use crate::format::dictionary::Dictionary;
use crate::format::dictionary_record::{MAX_LEN, encode, train};
use crate::format::record::Flags;
use crate::io::env::Env;
use crate::options::Compression;
use crate::sync::Arc;

/// The longest dictionary that is made. Longer ones save little more.
const MAX_DICTIONARY_LEN: u64 = 112 << 10;
const _: () = assert!(MAX_DICTIONARY_LEN <= MAX_LEN as u64);
/// Shorter ones are not worth a thought.
const MIN_DICTIONARY_LEN: u64 = 256;
/// A dictionary takes at most this share of what is kept, or of an output.
const DICTIONARY_SHARE: u64 = 8;
/// How many times as long as the dictionary all samples are. That bounds memory, and the time of the training, which no
/// close can end, to some tenths of a second.
const SAMPLES_PER_DICTIONARY: u64 = 30;
/// Of this many samples one judges the dictionary.
const JUDGE_EVERY: usize = 8;
/// About how many bytes of samples are taken from one block of a hint.
const BLOCK_QUOTA: u64 = 16 << 10;
/// Long values are alike at their beginnings, if at all.
const MAX_SAMPLE_LEN: usize = 8 << 10;
/// No value shorter than that is a sample: the training knows nothing shorter.
const MIN_SAMPLE_LEN: usize = 8;
/// A dictionary of inputs is kept unless a new one makes this share less of the samples.
const CLEARLY_BETTER_SHARE: u64 = 20;

/// Samples back to back.
#[derive(Default)]
struct Set {
    bytes: Vec<u8>,
    lens: Vec<usize>,
}

impl Set {
    fn add(&mut self, sample: &[u8]) -> Result<()> {
        self.bytes.try_reserve(sample.len()).map_err(|_| Error::NoMemory { bytes: sample.len() })?;
        self.bytes.extend_from_slice(sample);
        self.lens.push(sample.len());
        Ok(())
    }

    /// What the samples come to, stored.
    fn stored_len(&self, how: &Compression, mut compressor: Compressor) -> u64 {
        let (mut at, mut stored, mut total) = (0, Vec::new(), 0);
        for &len in &self.lens {
            stored.clear();
            let pays = compressor.compress(how, &self.bytes[at..at + len], &mut stored);
            total += if pays { stored.len() } else { len } as u64;
            at += len;
        }
        total
    }
}

/// See the file's head.
#[derive(Default)]
pub(super) struct Samples {
    training: Set,
    judges: Set,
    /// Bytes of the records that were looked at for judges, whether they became one or not.
    judged_bytes: u64,
    looked_at: usize,
}

/// A dictionary that is worth it.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    /// For each input whether it has the same.
    pub(super) has_same: Vec<bool>,
}

/// Values that are compressed, and how.
struct Candidates<'h> {
    how: &'h Compression,
    /// Whether all are, or only those of inputs that have a dictionary.
    all: bool,
}

impl Samples {
    /// The dictionary for the values of `inputs` that are compressed: `all` that `how` says, or those that have been
    /// compressed with one before. `None` when none is worth it, or the store is closing.
    pub(super) fn find_dictionary<E: Env>(
        store: &Inner<E>,
        inputs: &[Input<E>],
        how: &Compression,
        all: bool,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Found>> {
        let dictionaries = dictionaries_of(store, inputs)?;
        if !all && dictionaries.iter().all(Option::is_none) {
            return Ok(None);
        }
        let live_bytes: u64 = inputs.iter().map(|input| input.segment.live_bytes()).sum();
        let most =
            (live_bytes.min(store.options.max_segment_bytes) / DICTIONARY_SHARE).min(MAX_DICTIONARY_LEN);
        if most < MIN_DICTIONARY_LEN {
            return Ok(None);
        }
        let mut samples = Samples::default();
        let total: u64 = inputs.iter().map(|input| input.segment.readable_len()).sum();
        for (input, dictionary) in inputs.iter().zip(&dictionaries) {
            if !all && dictionary.is_none() {
                continue;
            }
            let share = u128::from(most * SAMPLES_PER_DICTIONARY) * u128::from(input.segment.readable_len());
            let quota = u64::try_from(share / u128::from(total.max(1))).unwrap_or(u64::MAX);
            if !samples.take(store, input, &Candidates { how, all }, quota, pace)? {
                return Ok(None);
            }
        }
        let held = held_by_most(inputs, &dictionaries);
        let held_bytes = match held {
            Some((_, input)) => inputs[input].segment.dictionary_bytes()?,
            None => None,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let trained = train(&samples.training.bytes, &samples.training.lens, most);
        if store.merge_bell.is_stopping() {
            return Ok(None);
        }
        let stored_len = |bytes: Option<&Vec<u8>>| {
            let compressor = Compressor::with_dictionary(bytes?, how.dictionary_level)?;
            Some(samples.judges.stored_len(how, compressor))
        };
        let (with_held, with_new) = (stored_len(held_bytes.as_ref()), stored_len(trained.as_ref()));
        let keeps_held = with_held.is_some_and(|held| {
            with_new.is_none_or(|new| held <= new.saturating_add(new / CLEARLY_BETTER_SHARE))
        });
        let (bytes, with) = if keeps_held { (held_bytes, with_held) } else { (trained, with_new) };
        let (Some(bytes), Some(with)) = (bytes, with) else { return Ok(None) };
        let saved = samples.judges.stored_len(how, Compressor::default()).saturating_sub(with);
        let record_len = encode(&bytes, 0, 0, 0).map_or(u64::MAX, |record| record.len() as u64);
        let outputs = live_bytes.div_ceil(store.options.max_segment_bytes);
        let saved_of_all =
            u128::from(saved) * u128::from(live_bytes) / u128::from(samples.judged_bytes.max(1));
        if saved_of_all <= u128::from(record_len) * u128::from(outputs) {
            return Ok(None);
        }
        let is_held = |dictionary: &Option<Arc<Dictionary>>| match (dictionary, held) {
            (Some(dictionary), Some((held, _))) => keeps_held && Arc::ptr_eq(dictionary, held),
            _ => false,
        };
        Ok(Some(Found { bytes, has_same: dictionaries.iter().map(is_held).collect() }))
    }

    /// Takes about `quota` bytes of samples from one input; `false` when the store is closing.
    fn take<E: Env>(
        &mut self,
        store: &Inner<E>,
        input: &Input<E>,
        candidates: &Candidates<'_>,
        quota: u64,
        pace: &mut Pace<'_>,
    ) -> Result<bool> {
        let blocks = input.hint.block_count();
        let taken = blocks.min(usize::try_from(quota.div_ceil(BLOCK_QUOTA)).unwrap_or(usize::MAX));
        let (mut entries, mut buf, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        for block in (0..taken).map(|nth| nth * blocks / taken) {
            entries.clear();
            let mut value_bytes = 0;
            // Whoever reads the whole hint will see that it is damaged.
            input.hint.read(block..block + 1, |entry| {
                if !entry.flags.has(Flags::TOMBSTONE) {
                    value_bytes += u64::from(entry.value_len);
                    entries.push((store.secret.digest(entry.key), entry.offset, entry.record_len()));
                }
                Ok(())
            })?;
            let block_quota = quota / taken as u64;
            let mean_len = value_bytes / (entries.len() as u64).max(1);
            let wanted = block_quota.div_ceil(mean_len.max(1)).min(entries.len() as u64);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let mut bytes = 0;
            for (digest, offset, len) in (0..wanted).map(|nth| entries[nth * entries.len() / wanted]) {
                let newest = store.keydir.get(digest);
                let slot = input.segment.slot;
                if bytes > block_quota || newest.is_none_or(|at| at.slot() != slot || at.offset() != offset) {
                    continue;
                }
                if pace.spend(len) {
                    return Ok(false);
                }
                let record = match input.segment.read(offset, len, &mut buf) {
                    Err(Error::Corrupt { .. }) => continue,
                    record => record?,
                };
                let mut value = record.value;
                if record.header.flags.has(Flags::COMPRESSED) {
                    match input.segment.decompress(&store.dictionaries, offset, record.value, &mut raw) {
                        Err(Error::Corrupt { .. }) => continue,
                        read => read?,
                    }
                    value = &raw;
                }
                let sample = &value[..value.len().min(MAX_SAMPLE_LEN)];
                bytes += sample.len() as u64;
                self.add(sample, len, candidates.takes(&record.header.flags, value))?;
            }
        }
        Ok(true)
    }

    fn add(&mut self, sample: &[u8], record_len: u64, is_candidate: bool) -> Result<()> {
        self.looked_at += 1;
        let judges = self.looked_at % JUDGE_EVERY == JUDGE_EVERY / 2;
        self.judged_bytes += if judges { record_len } else { 0 };
        match (is_candidate, judges) {
            (false, _) => Ok(()),
            (true, true) => self.judges.add(sample),
            (true, false) => self.training.add(sample),
        }
    }
}

impl Candidates<'_> {
    fn takes(&self, flags: &Flags, value: &[u8]) -> bool {
        let is_chosen = self.all || flags.has(Flags::COMPRESSED);
        is_chosen && value.len() >= MIN_SAMPLE_LEN && value.len() as u64 >= self.how.min_bytes
    }
}

/// The dictionary of each input. A damaged one is none: what takes it ends the merge.
fn dictionaries_of<E: Env>(store: &Inner<E>, inputs: &[Input<E>]) -> Result<Vec<Option<Arc<Dictionary>>>> {
    let dictionary = |input: &Input<E>| match input.segment.dictionary(&store.dictionaries) {
        Err(Error::Corrupt { .. }) => Ok(None),
        dictionary => Ok(dictionary?.cloned()),
    };
    inputs.iter().map(dictionary).collect()
}

/// Of the inputs' dictionaries the one that most of them have, by bytes, and an input that has it.
fn held_by_most<'d, E: Env>(
    inputs: &[Input<E>],
    dictionaries: &'d [Option<Arc<Dictionary>>],
) -> Option<(&'d Arc<Dictionary>, usize)> {
    let held =
        dictionaries.iter().enumerate().filter_map(|(at, dictionary)| Some((dictionary.as_ref()?, at)));
    held.max_by_key(|(dictionary, _)| {
        let same = |other: &Option<Arc<Dictionary>>| {
            other.as_ref().is_some_and(|other| Arc::ptr_eq(other, dictionary))
        };
        let bytes = inputs.iter().zip(dictionaries).filter(|(_, other)| same(other));
        bytes.map(|(input, _)| input.segment.live_bytes()).sum::<u64>()
    })
}
