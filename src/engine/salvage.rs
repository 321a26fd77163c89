//! Writes what is left of a damaged store to a new one, segment for segment.
//!
//! The new store has no older records and no deletions, since nothing is left that they would hide. Its segments are
//! sealed and synced, and the manifest comes last: until then nobody opens it. Whatever is not finished is removed, but
//! by a crash.

use super::copy::Copier;
use super::listed::RECORDS_AT;
use super::manifest_file;
use super::segment_files::{create_segment, fresh_uid, random_id, take_number};
use super::shared::FileOf;
use super::sources::Source;
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::compressed::Head;
use crate::format::dictionary::Dictionaries;
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::record::{Draft, Flags, Record, RecordHeader};
use crate::format::segment_header::SegmentHeader;
use crate::io::env::{Dir, Env, File};
use crate::keydir::Secret;
use crate::segment::hint_writer::{HintBuilder, HintId};
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::segment::view::Segment;
use once_cell::sync::OnceCell;

/// A store in the making.
pub(crate) struct Salvage<'e, E: Env> {
    env: &'e E,
    dir: &'e E::Dir,
    path: &'e str,
    manifest: Manifest,
    secret: Secret,
    created: Vec<String>,
    is_finished: bool,
    /// Bytes of its segments.
    pub(crate) bytes: u64,
}

impl<'e, E: Env> Salvage<'e, E> {
    /// Begins a store in the empty directory `dir`, of the database that `manifest` is of, if there is one, or of
    /// `database`; its history is a new one (rule H1).
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn new(
        env: &'e E,
        dir: &'e E::Dir,
        path: &'e str,
        manifest: Option<&Manifest>,
        database: Option<Id128>,
    ) -> Result<Self> {
        let drawn = |known: Option<Id128>| known.map_or_else(|| random_id(env), Ok);
        let hash_secret = drawn(manifest.map(|manifest| Id128(manifest.hash_secret)))?.0;
        let stated = |of: fn(&Manifest) -> u64| manifest.map_or(0, of);
        let manifest = Manifest {
            database: drawn(database)?,
            history: random_id(env)?,
            hash_secret,
            generation: stated(|manifest| manifest.generation),
            next_number: stated(|manifest| manifest.next_number).max(1),
            last_version: stated(|manifest| {
                let closed = manifest.clean_close.map_or(0, |close| close.last_version);
                let sealed = manifest.segments.iter().map(SegmentEntry::highest_version).max();
                manifest.last_version.max(closed).max(sealed.unwrap_or(0))
            }),
            highest_dropped_tombstone: stated(|manifest| manifest.highest_dropped_tombstone),
            keys: 0,
            backup: false,
            // A replica that lost changes must not go on behind them.
            applied_cursor: None,
            moved: Vec::new(),
            last_sealed: None,
            clean_close: None,
            segments: Vec::new(),
        };
        let secret = Secret::new(&hash_secret);
        Ok(Salvage { env, dir, path, manifest, secret, created: Vec::new(), is_finished: false, bytes: 0 })
    }

    /// The secret of its digests.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> u64 {
        self.manifest.segments.len() as u64
    }

    /// No version that was seen is ever given out again.
    pub(crate) fn note_version(&mut self, version: u64) {
        self.manifest.last_version = self.manifest.last_version.max(version);
    }

    /// A deletion is left out.
    pub(crate) fn note_dropped(&mut self, version: u64) {
        let highest = &mut self.manifest.highest_dropped_tombstone;
        *highest = (*highest).max(version);
    }

    /// Copies the records of `source` that are to be `kept` to a segment of their own, and answers how many they are.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `NoMemory`, `TooLarge`.
    pub(crate) fn copy<F: File>(
        &mut self,
        source: &Source<F>,
        mut is_kept: impl FnMut(&Scanned<'_>) -> bool,
    ) -> Result<u64> {
        let Some(segment) = &source.segment else { return Ok(0) };
        let end = segment.readable_len();
        let mut scanner = Scanner::new(&segment.file, &segment.name, segment.uid, RECORDS_AT, end);
        let place = OnceCell::new();
        let mut output: Option<Output<'_, FileOf<E>>> = None;
        let mut buf = Vec::new();
        loop {
            match scanner.step()? {
                Step::Record(record) if record.value_ok && is_kept(&record) => {
                    let output = match &mut output {
                        Some(output) => output,
                        None => {
                            let place = place.get_or_try_init(|| self.create())?;
                            output.insert(Output::new(place))
                        }
                    };
                    output.add(segment, &record, &mut buf)?;
                }
                Step::Record(_) => {}
                Step::Bad { .. } => drop(scanner.resync(end)?),
                Step::End => break,
            }
        }
        output.map_or(Ok(0), |output| self.close(output))
    }

    fn create(&mut self) -> Result<NewSegment<FileOf<E>>> {
        let (number, uid) = (take_number(&mut self.manifest)?, fresh_uid(self.env)?);
        let file = create_segment(self.dir, number)?;
        let name = names::segment(number);
        self.created.push(name.clone());
        let (predecessor_uid, predecessor_len) = self.manifest.last_sealed.unwrap_or_default();
        let header =
            SegmentHeader { database: self.manifest.database, uid, number, predecessor_uid, predecessor_len };
        Ok(NewSegment { file, name, header })
    }

    /// Makes a segment durable and writes its hint.
    fn close(&mut self, output: Output<'_, FileOf<E>>) -> Result<u64> {
        let Output { copier, builder, place } = output;
        let sealed = copier.finish()?;
        let SegmentHeader { number, uid, database, .. } = place.header;
        let state = SegmentState::Sealed(sealed);
        self.manifest.segments.push(SegmentEntry { number, uid, run: None, state });
        self.manifest.last_sealed = Some((uid, sealed.len));
        self.bytes += sealed.len;
        let name = names::hint(number);
        let file = self.dir.create(&name).map_err(|err| Error::io("create", &name, err))?;
        self.created.push(name.clone());
        let id = HintId { database, uid, segment_len: sealed.len };
        builder.write(&file, &name, id, &self.secret, || true)?;
        Ok(sealed.records)
    }

    /// Makes it a store of `keys` keys.
    ///
    /// # Errors
    /// `Io`, `NoSpace`.
    pub(crate) fn finish(&mut self, keys: u64) -> Result<()> {
        self.manifest.keys = keys;
        self.dir.sync().map_err(|err| Error::io("sync", self.path, err))?;
        manifest_file::replace(self.dir, &self.manifest).map_err(|failed| {
            // It may stand, and then it lists them.
            let is_absent = |err: std::io::Error| err.kind() == std::io::ErrorKind::NotFound;
            let stands = || !self.dir.open(names::MANIFEST, false).is_err_and(is_absent);
            self.is_finished |= matches!(failed, manifest_file::ReplaceError::Unknown(_)) && stands();
            failed.into_error()
        })?;
        self.is_finished = true;
        Ok(())
    }
}

impl<E: Env> Drop for Salvage<'_, E> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.created.push(names::MANIFEST_NEW.to_string());
            for name in &self.created {
                let _ = self.dir.remove(name);
            }
        }
    }
}

/// A segment that is being written.
struct NewSegment<F> {
    file: F,
    name: String,
    header: SegmentHeader,
}

struct Output<'f, F: File> {
    copier: Copier<'f, F>,
    builder: HintBuilder,
    place: &'f NewSegment<F>,
}

impl<'f, F: File> Output<'f, F> {
    fn new(place: &'f NewSegment<F>) -> Self {
        let copier = Copier::new(&place.file, &place.name, &place.header);
        Output { copier, builder: HintBuilder::default(), place }
    }

    /// Adds a record of `source`, alone in its batch.
    fn add<G: File>(&mut self, source: &Segment<G>, record: &Scanned<'_>, buf: &mut Vec<u8>) -> Result<()> {
        let (header, key) = (&record.header, record.key);
        if header.flags.has(Flags::COMPRESSED) && self.add_decompressed(source, record, buf)? {
            return Ok(());
        }
        let draft = Draft::copy_of(header, key).alone();
        self.begin(&draft, header.version, key)?;
        match record.value_and_padding() {
            Some((value, _)) => {
                self.copier.append_bytes(key)?;
                self.copier.append_bytes(value)?;
            }
            None => {
                let from = record.offset + header.header_len() as u64;
                let to = record.end() - draft.padding() as u64;
                self.copier.append(&source.file, &source.name, from, to, |_| true)?;
            }
        }
        // No checksum covers padding, so it is made anew.
        self.copier.append_bytes(&[0; 8][..draft.padding()])
    }

    /// Adds a record whose value takes a dictionary, which stays behind, without its help; `false` of any other.
    fn add_decompressed<G: File>(
        &mut self,
        source: &Segment<G>,
        record: &Scanned<'_>,
        buf: &mut Vec<u8>,
    ) -> Result<bool> {
        let (header, key, mut read) = (record.header, record.key, Vec::new());
        let whole = match record.value_and_padding() {
            Some((value, _)) => Record { header, key, value },
            None => source.read(record.offset, header.record_len(), &mut read)?,
        };
        if Head::decode(whole.value).is_none_or(|head| head.dictionary == 0) {
            return Ok(false);
        }
        source.decompress(&Dictionaries::default(), record.offset, whole.value, buf)?;
        let draft = Draft::new(key, buf, header.flags.without(Flags::COMPRESSED), header.deadline).alone();
        self.begin(&draft, header.version, key)?;
        for bytes in [key, buf, &[0; 8][..draft.padding()]] {
            self.copier.append_bytes(bytes)?;
        }
        Ok(true)
    }

    fn begin(&mut self, draft: &Draft, version: u64, key: &[u8]) -> Result<()> {
        let offset = self.copier.begin(draft, version)?;
        let bytes = draft.header(version, self.place.header.uid, offset);
        let header = RecordHeader::decode(&bytes)
            .ok_or_else(|| Error::corrupt(&self.place.name, offset, "no header can look so"))?;
        self.builder.add(&header, key, offset)
    }
}
