//! Writes the segments that a merge makes, each with its hint.

use super::copy::Copier;
use super::pace::Pace;
use super::repack::Repacker;
use super::segment_files::{create_segment, fresh_uid};
use super::shared::{FileOf, Inner, may_map};
use super::survivors::{Input, Survivor, Survivors};
use crate::error::{Error, Result};
use crate::format::dictionary_record;
use crate::format::hint::HintEntry;
use crate::format::manifest::Sealed;
use crate::format::names;
use crate::format::record::{Draft, Flags, RecordHeader};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::{Dir, Env, File};
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::{HintBuilder, HintId};
use crate::segment::view::{HintState, Segment, SegmentId};
use crate::sync::{Arc, Ordering};

/// Records up to this length are read at once when they are not mapped; any header and key are shorter.
const READ_AT_ONCE: u64 = READ_AT_ONCE_LEN as u64;
const READ_AT_ONCE_LEN: usize = 128 << 10;

/// How much of an output's hint is read at a time.
const BLOCKS_AT_ONCE: usize = 64;

/// A segment that a merge wrote, and its hint.
pub(super) struct Output<E: Env> {
    pub(super) segment: Arc<Segment<FileOf<E>>>,
    pub(super) sealed: Sealed,
    pub(super) hint: Hint<FileOf<E>>,
}

/// Files that no manifest lists yet; removed unless they are kept.
pub(super) struct Unlisted<'s, E: Env> {
    store: &'s Inner<E>,
    pub(super) names: Vec<String>,
    pub(super) segments: Vec<Arc<Segment<FileOf<E>>>>,
}

impl<'s, E: Env> Unlisted<'s, E> {
    pub(super) fn new(store: &'s Inner<E>) -> Self {
        Unlisted { store, names: Vec::new(), segments: Vec::new() }
    }
}

impl<E: Env> Drop for Unlisted<'_, E> {
    fn drop(&mut self) {
        if !self.segments.is_empty() {
            self.store.view.remove(&self.segments);
        }
        for name in &self.names {
            let _ = self.store.dir.remove(name);
        }
    }
}

/// A merge that writes its outputs.
pub(super) struct Outputs<'m, E: Env> {
    pub(super) store: &'m Inner<E>,
    pub(super) inputs: &'m [Input<E>],
    pub(super) survivors: Survivors<'m, E>,
    pub(super) repacker: Repacker<'m, E>,
    pub(super) unlisted: Unlisted<'m, E>,
    pub(super) pace: Pace<'m>,
}

impl<E: Env> Outputs<'_, E> {
    /// Writes all outputs; `None` when the store is closing.
    pub(super) fn write_all(&mut self) -> Result<Option<Vec<Output<E>>>> {
        let mut outputs: Vec<Output<E>> = Vec::new();
        let mut first = self.survivors.next(&mut self.pace)?;
        while let Some(record) = first {
            let run = outputs.first().map(|first| first.segment.number);
            let Some((output, rest)) = self.write(run, record)? else {
                return Ok(None);
            };
            outputs.push(output);
            first = rest;
        }
        Ok((!self.survivors.stopped).then_some(outputs))
    }

    /// Writes one output of `run`, or the first of a run, from `record` on until it is full; `None` when the store is
    /// closing. Answers also the record that did not fit any more.
    fn write(
        &mut self,
        run: Option<u64>,
        mut record: Survivor,
    ) -> Result<Option<(Output<E>, Option<Survivor>)>> {
        let store = self.store;
        let (number, uid) = (store.take_number()?, fresh_uid(&store.env)?);
        let (name, hint_name) = (names::segment(number), names::hint(number));
        let file = create_segment(&store.dir, number)?;
        self.unlisted.names.push(name.clone());
        let header =
            SegmentHeader { database: store.database, uid, number, predecessor_uid: 0, predecessor_len: 0 };
        let mut copier = Copier::new(&file, &name, &header);
        if let Some(bytes) = self.repacker.dictionary() {
            let dictionary = dictionary_record::encode(bytes, record.version, uid, copier.len());
            copier.append_bytes(&dictionary.ok_or_else(|| Error::no_memory::<u8>(bytes.len()))?)?;
        }
        let mut builder = HintBuilder::default();
        let rest = loop {
            if !self.keep(&record, &mut copier, &mut builder)? {
                return Ok(None);
            }
            let next = self.survivors.next(&mut self.pace)?;
            if self.survivors.stopped {
                return Ok(None);
            }
            match next {
                Some(next) if copier.len() + next.len <= store.options.max_segment_bytes => record = next,
                rest => break rest,
            }
        };
        let sealed = copier.finish()?;
        let hint_file = store.dir.create(&hint_name).map_err(|err| Error::io("create", &hint_name, err))?;
        self.unlisted.names.push(hint_name.clone());
        let id = HintId { database: store.database, uid, segment_len: sealed.len };
        let go_on = || !store.merge_bell.is_stopping();
        if !builder.write(&hint_file, &hint_name, id, &store.secret, go_on)? {
            return Ok(None);
        }
        hint_file.sync_data().map_err(|err| Error::io("sync", &hint_name, err))?;
        let hint = Hint::open(hint_file, hint_name.clone(), id)?.ok_or_else(|| not_as_written(&hint_name))?;
        if !store.each_entry(&hint, |_| ())? {
            return Ok(None);
        }
        let segment = store.view.add(Some(self.inputs[0].segment.slot), |slot| {
            let map_len = (store.mapped && may_map(slot)).then_some(sealed.len);
            let mut segment = Segment::new(SegmentId { number, uid, slot }, file, sealed.len, map_len);
            segment.run = run.or(Some(number));
            Ok(Arc::new(segment))
        })?;
        segment.set_hint_state(HintState::Whole);
        self.unlisted.segments.push(segment.clone());
        store.counters.merge_written_bytes.fetch_add(sealed.len, Ordering::Relaxed);
        Ok(Some((Output { segment, sealed, hint }, rest)))
    }

    /// Writes a record to an output; `false` when the store is closing.
    fn keep(
        &mut self,
        record: &Survivor,
        copier: &mut Copier<'_, FileOf<E>>,
        builder: &mut HintBuilder,
    ) -> Result<bool> {
        let (source, key) = (&self.inputs[record.input].segment, self.survivors.key(record));
        let before = copier.len();
        if record.as_tombstone {
            let draft = Draft::new(key, &[], Flags::TOMBSTONE, None);
            append(copier, builder, &draft, record.version, key, &[])?;
            return Ok(!self.pace.spend(copier.len() - before));
        }
        let mut buf = Vec::new();
        let bytes = source.read_some(record.offset, record.len.min(READ_AT_ONCE), record.len, &mut buf)?;
        let header = RecordHeader::decode(bytes)
            .filter(|header| header.record_len() == record.len && header.version == record.version)
            .filter(|header| bytes.get(header.header_len()..header.value_at()) == Some(key))
            .filter(|header| header.verify(bytes, key, source.uid, record.offset));
        let Some(header) = header else {
            // A damaged segment is never merged.
            source.set_hint_state(HintState::Impossible);
            return Err(source.damaged(record.offset, "a merge found no such record"));
        };
        if let Some((flags, value)) = self.repacker.repack(source, record, &header, bytes)? {
            let draft = Draft::new(key, value, flags, header.deadline).alone();
            append(copier, builder, &draft, header.version, key, value)?;
            return Ok(!self.pace.spend(copier.len() - before));
        }
        let draft = Draft::copy_of(&header, key).alone();
        let place = copier.begin(&draft, header.version)?;
        // A mapped record is there as a whole, but a large one is not to be gathered in memory.
        let at_hand = bytes.len().min(READ_AT_ONCE_LEN);
        copier.append_bytes(&bytes[header.header_len()..at_hand])?;
        builder.add(&header, key, place)?;
        if self.pace.spend(copier.len() - before) {
            return Ok(false);
        }
        let (read, end) = (record.offset + at_hand as u64, record.offset + record.len);
        copier.append(&source.file, &source.name, read, end, |bytes| !self.pace.spend(bytes))
    }
}

/// Appends a record whose bytes are at hand.
fn append<F: File>(
    copier: &mut Copier<'_, F>,
    builder: &mut HintBuilder,
    draft: &Draft,
    version: u64,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let place = copier.begin(draft, version)?;
    copier.append_bytes(key)?;
    copier.append_bytes(value)?;
    copier.append_bytes(&[0; 8][..draft.padding()])?;
    builder.add(&draft.as_header(version), key, place)
}

impl<E: Env> Inner<E> {
    /// Hands the entries of an output's hint to `each`; `false` when the store is closing.
    pub(super) fn each_entry(
        &self,
        hint: &Hint<FileOf<E>>,
        mut each: impl FnMut(&HintEntry<'_>),
    ) -> Result<bool> {
        for from in (0..hint.block_count()).step_by(BLOCKS_AT_ONCE) {
            if self.merge_bell.is_stopping() {
                return Ok(false);
            }
            let blocks = from..hint.block_count().min(from + BLOCKS_AT_ONCE);
            let whole = hint.read(blocks, |entry| {
                each(entry);
                Ok(())
            })?;
            if !whole {
                return Err(not_as_written(hint.name()));
            }
        }
        Ok(true)
    }
}

fn not_as_written(hint: &str) -> Error {
    Error::corrupt(hint, 0, "a hint just written does not read back as it was written")
}
