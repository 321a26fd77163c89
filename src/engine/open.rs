//! Opens a store: lock, manifest, recovery, loading.
//!
//! Nothing in the directory is changed before a valid manifest was read and understood (rule M2), and recovery
//! writes only new files (rule M4): new segments first, then the manifest that lists them, then the names that
//! no manifest lists any more go.

use super::copy::Copier;
use super::db::{Db, FileOf, Inner, OwnLines, wants_mapping};
use super::load;
use super::manifest_file::{self, ReplaceError};
use super::recover::{self, Judgement, Listed, RECORDS_AT};
use super::writer::{VERSION_END, Writer, WriterStart};
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::{Manifest, Sealed, SegmentEntry, SegmentState};
use crate::format::marker::Watermark;
use crate::format::names;
use crate::format::segment_header::{HeaderState, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::{Dir, DirOptions, Env, File, LockKind};
use crate::keydir::location::{MAX_SEGMENT_SLOTS, SegmentSlot};
use crate::keydir::{Keydir, Secret};
use crate::options::Options;
use crate::segment::reader::read_full;
use crate::segment::view::{Segment, SegmentId, View};
use crate::sync::{Arc, Mutex, Ordering};
use arc_swap::ArcSwap;
use std::path::Path;

impl<E: Env> Db<E> {
    /// Opens the store in directory `path`, and makes it when there is none and the options allow it.
    ///
    /// # Errors
    /// `Locked` when another handle, here or in another process, has it open; `Corrupt` when the manifest or a
    /// listed file is missing or the manifest is damaged, and then nothing was touched; `Format` for files of a
    /// newer version, likewise; `Io`, `NoSpace`, `NoMemory`.
    pub fn open(env: E, path: &Path, options: &Options) -> Result<Self> {
        let shown = path.display().to_string();
        let process = env.process_token();
        let how = DirOptions { create: options.create && !options.read_only, file_mode: options.file_mode };
        let dir = env.open_dir(path, how).map_err(|err| Error::io("open", &shown, err))?;
        let kind = if options.read_only { LockKind::Shared } else { LockKind::Exclusive };
        if !dir.try_lock(kind).map_err(|err| Error::io("lock", &shown, err))? {
            return Err(Error::Locked { holder: dir.lock_holder(), path: shown });
        }
        let prepared = match prepare(&env, &dir, &shown, options) {
            Ok(prepared) => prepared,
            Err(err) => {
                let _ = dir.unlock();
                return Err(err);
            }
        };
        let Prepared { manifest, segments, writer, keydir, mapped, discarded, copied } = prepared;
        let inner = Arc::new(Inner {
            secret: Secret::new(&manifest.hash_secret),
            view: ArcSwap::from_pointee(View::new(segments.iter().map(|(segment, _)| segment.clone()))),
            writer: writer.map(|start| OwnLines(Mutex::new(Writer::new(start)))),
            replacing: Mutex::new(()),
            manifest: Mutex::new(manifest),
            env,
            dir,
            path: shown,
            options: options.clone(),
            process,
            mapped,
            keydir,
            commits: Default::default(),
            bell: Default::default(),
            health: Default::default(),
            degraded: Default::default(),
            counters: Default::default(),
        });
        inner.counters.recovered_bytes_discarded.store(discarded, Ordering::Relaxed);
        inner.counters.recovered_records.store(copied, Ordering::Relaxed);
        let loaded = load::load(&inner, &segments).and_then(|seen| inner.go_on_from(seen));
        if let Err(err) = loaded {
            let _ = inner.dir.unlock();
            return Err(err);
        }
        Db::start(inner)
    }
}

impl<E: Env> Inner<E> {
    /// Versions go on above everything that was ever seen, and the active segment's counts from what it holds.
    fn go_on_from(&self, seen: load::Seen) -> Result<()> {
        match self.writer() {
            Ok(writer) => check_version(writer.lock().go_on_from(seen.highest_version, seen.youngest)),
            Err(_) => Ok(()),
        }
    }
}

fn check_version(last: u64) -> Result<()> {
    if last < VERSION_END {
        return Ok(());
    }
    let what = format!("version {last} is past the largest that can be, {}", VERSION_END - 1);
    Err(Error::corrupt(names::MANIFEST, 0, what))
}

/// An open directory, understood and, for a writer, recovered.
struct Prepared<F: File> {
    manifest: Manifest,
    /// Each segment with the length that it is supposed to have.
    segments: Vec<(Arc<Segment<F>>, u64)>,
    writer: Option<WriterStart<F>>,
    keydir: Keydir,
    mapped: bool,
    discarded: u64,
    copied: u64,
}

fn prepare<E: Env>(env: &E, dir: &E::Dir, path: &str, options: &Options) -> Result<Prepared<FileOf<E>>> {
    let names = dir.names().map_err(|err| Error::io("list", path, err))?;
    let manifest = match manifest_file::load(dir)? {
        Some(manifest) => confirmed(dir, manifest, options)?,
        None => first_manifest(env, dir, path, options, &names)?,
    };
    let mut sealed = recover::open_listed(dir, &manifest, !options.read_only)?;
    let is_sealed = |listed: &Listed<_>| matches!(listed.entry.state, SegmentState::Sealed(_));
    let unsealed = sealed.split_off(sealed.iter().take_while(|listed| is_sealed(listed)).count());
    let judgement = recover::judge(&unsealed, manifest.clean_close)?;
    let assembly = Assembly {
        mapped: wants_mapping(options.io, dir),
        max_segment_bytes: options.max_segment_bytes,
        segments: Vec::with_capacity(manifest.segments.len() + 2),
    };
    let discarded = judgement.discarded;
    let (manifest, assembly, writer, copied) = if options.read_only {
        (manifest, read_only(assembly, sealed, unsealed, &judgement)?, None, 0)
    } else {
        let recovery = Recovery { env, dir, path, next: manifest, judgement, created: Vec::new() };
        recovery.settle(assembly, sealed, unsealed, &names)?
    };
    Ok(Prepared {
        keydir: Keydir::new(options.expected_keys)?,
        mapped: assembly.mapped,
        segments: assembly.segments,
        manifest,
        writer,
        discarded,
        copied,
    })
}

/// Makes sure that a manifest without segments is durable before the first segment is. An open that failed
/// may have left it in the page cache alone, and segments without a manifest would be corruption.
fn confirmed<D: Dir>(dir: &D, manifest: Manifest, options: &Options) -> Result<Manifest> {
    if manifest.segments.is_empty() && !options.read_only {
        manifest_file::replace(dir, &manifest).map_err(|failed| failed.into_error())?;
    }
    Ok(manifest)
}

/// Makes the manifest of a new store. It is durable before the first segment is created, so that segments
/// without a manifest are always corruption.
fn first_manifest<E: Env>(
    env: &E,
    dir: &E::Dir,
    path: &str,
    options: &Options,
    names: &[String],
) -> Result<Manifest> {
    if let Some(name) = names.iter().find(|name| names::parse_segment(name).is_some()) {
        let what = format!("it is missing, but there is a segment, {name}; nothing was touched");
        return Err(Error::corrupt(names::MANIFEST, 0, what));
    }
    if let Some(name) = names.iter().find(|name| name.ends_with(".bitcask.data")) {
        let what = "a file of the original Bitcask, whose directory this library does not open";
        return Err(Error::Format { file: name.clone(), what: what.to_string() });
    }
    if options.read_only || !options.create {
        let source = std::io::Error::from_raw_os_error(libc::ENOENT);
        return Err(Error::io("find a store in", path, source));
    }
    let manifest = Manifest {
        database: random_id(env)?,
        history: random_id(env)?,
        hash_secret: random_id(env)?.0,
        generation: 0,
        next_number: 1,
        last_version: 0,
        highest_dropped_tombstone: 0,
        clean_close: None,
        segments: Vec::new(),
    };
    manifest_file::replace(dir, &manifest).map_err(|failed| failed.into_error())?;
    Ok(manifest)
}

/// The segments of a view in the making, oldest first.
struct Assembly<F: File> {
    mapped: bool,
    max_segment_bytes: u64,
    segments: Vec<(Arc<Segment<F>>, u64)>,
}

impl<F: File> Assembly<F> {
    /// Adds a file whose first `stated` bytes are the segment; one that will be appended to is mapped further.
    fn add(
        &mut self,
        number: u64,
        uid: u64,
        file: F,
        file_len: u64,
        stated: u64,
        grows: bool,
    ) -> Result<Arc<Segment<F>>> {
        let at = self.segments.len();
        let slot = SegmentSlot::nth(at).ok_or_else(too_many_segments)?;
        let id = SegmentId { number, uid, slot, rank: at as u64 };
        let readable = stated.min(file_len);
        let map_len = if grows { super::db::growing_map_len(self.max_segment_bytes) } else { readable };
        let mapped = self.mapped && super::db::may_map(slot);
        let segment = Arc::new(Segment::new(id, file, readable, mapped.then_some(map_len)));
        self.segments.push((segment.clone(), stated));
        Ok(segment)
    }

    fn add_listed(&mut self, listed: Listed<F>, stated: u64, grows: bool) -> Result<Arc<Segment<F>>> {
        let Listed { entry, file, file_len, .. } = listed;
        self.add(entry.number, entry.uid, file, file_len, stated, grows)
    }

    fn add_sealed(&mut self, sealed: Vec<Listed<F>>) -> Result<()> {
        for listed in sealed {
            let stated = listed.entry.kept_len();
            self.add_listed(listed, stated, false)?;
        }
        Ok(())
    }
}

/// What a reader sees: the log as far as it is good, where it lies.
fn read_only<F: File>(
    mut assembly: Assembly<F>,
    sealed: Vec<Listed<F>>,
    unsealed: Vec<Listed<F>>,
    judgement: &Judgement,
) -> Result<Assembly<F>> {
    assembly.add_sealed(sealed)?;
    for (listed, verdict) in unsealed.into_iter().zip(&judgement.verdicts) {
        if verdict.good > RECORDS_AT {
            assembly.add_listed(listed, verdict.good, false)?;
        }
    }
    Ok(assembly)
}

/// Makes the directory ready for the first write.
struct Recovery<'a, E: Env> {
    env: &'a E,
    dir: &'a E::Dir,
    path: &'a str,
    /// The manifest that will be written.
    next: Manifest,
    judgement: Judgement,
    /// Files that no manifest on the disk lists yet.
    created: Vec<String>,
}

/// Where the log goes on.
struct Layout<F> {
    active: Listed<F>,
    tally: Sealed,
    spare: Listed<F>,
    predecessor: (u64, u64),
    copied: u64,
}

type Settled<F> = (Manifest, Assembly<F>, Option<WriterStart<F>>, u64);

impl<E: Env> Recovery<'_, E> {
    fn settle(
        mut self,
        mut assembly: Assembly<FileOf<E>>,
        sealed: Vec<Listed<FileOf<E>>>,
        unsealed: Vec<Listed<FileOf<E>>>,
        names: &[String],
    ) -> Result<Settled<FileOf<E>>> {
        self.advance(names)?;
        let layout = self.lay_out(&mut assembly, sealed, unsealed);
        let Layout { active, tally, spare, predecessor, copied } = match layout {
            Ok(layout) => layout,
            Err(err) => {
                self.give_up();
                return Err(err);
            }
        };
        match manifest_file::replace(self.dir, &self.next) {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(err)) => {
                self.give_up();
                return Err(err);
            }
            Err(ReplaceError::Unknown(err)) => return Err(err),
        }
        self.remove_orphans();
        let active_uid = active.entry.uid;
        let writer = WriterStart {
            database: self.next.database,
            max_segment_bytes: assembly.max_segment_bytes,
            active: assembly.add_listed(active, tally.len, true)?,
            tally,
            predecessor,
            spare: Some(assembly.add_listed(spare, 0, true)?),
            last_version: self.next.last_version,
            watermark: (tally.len > 0).then_some(Watermark { uid: active_uid, offset: tally.len }),
        };
        Ok((self.next, assembly, Some(writer), copied))
    }

    /// Removes what this open created, so that a failure on a full disk does not make it fuller.
    fn give_up(&self) {
        for name in &self.created {
            let _ = self.dir.remove(name);
        }
    }

    /// Puts every segment in its place in the next manifest, and writes the new files that it will list.
    fn lay_out(
        &mut self,
        assembly: &mut Assembly<FileOf<E>>,
        sealed: Vec<Listed<FileOf<E>>>,
        unsealed: Vec<Listed<FileOf<E>>>,
    ) -> Result<Layout<FileOf<E>>> {
        let mut entries: Vec<_> = sealed.iter().map(|listed| listed.entry).collect();
        assembly.add_sealed(sealed)?;
        let fresh = self.copy(&unsealed, last_link(&entries))?;
        let mut active = None;
        let mut empty = Vec::new();
        for (at, listed) in unsealed.into_iter().enumerate() {
            let durable = self.judgement.verdicts[at].durable;
            if self.judgement.resume == Some(at) {
                // What else it holds is counted while it is loaded.
                active = Some((listed, Sealed { len: durable, ..Sealed::default() }));
            } else if durable > RECORDS_AT {
                let state = SegmentState::Sealed(recover::count(&listed, durable)?);
                entries.push(SegmentEntry { state, ..listed.entry });
                assembly.add_listed(listed, durable, false)?;
            } else if listed.file_len == 0 && self.judgement.resume.is_some() {
                // After a crash an empty file may have held records; then it keeps neither its uid nor its name.
                empty.push(listed);
            }
        }
        let predecessor = last_link(&entries);
        let copied = fresh.as_ref().map_or(0, |(_, tally)| tally.records);
        let (active, tally) = match active.or(fresh) {
            Some(ready) => ready,
            None => (self.empty_segment(&mut empty)?, Sealed::default()),
        };
        let spare = self.empty_segment(&mut empty)?;
        for (listed, durable) in [(&active, tally.len), (&spare, 0)] {
            entries.push(SegmentEntry { state: SegmentState::Unsealed { durable }, ..listed.entry });
        }
        self.dir.sync().map_err(|err| Error::io("sync", self.path, err))?;
        self.next.segments = entries;
        Ok(Layout { active, tally, spare, predecessor, copied })
    }

    /// What every writer's open changes in the manifest.
    fn advance(&mut self, names: &[String]) -> Result<()> {
        let seen =
            names.iter().filter_map(|name| names::parse_segment(name).or(names::parse_hint(name))).max();
        let next = &mut self.next;
        next.generation = next
            .generation
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(names::MANIFEST, 0, "its generation is the last there can be"))?;
        next.next_number = next.next_number.max(seen.map_or(1, |number| number + 1));
        let closed = next.clean_close.take().map_or(0, |close| close.last_version);
        let stored = next.segments.iter().map(|entry| entry.highest_version()).max().unwrap_or(0);
        for floor in [next.highest_dropped_tombstone, closed, stored, self.judgement.highest_version] {
            next.last_version = next.last_version.max(floor);
        }
        check_version(next.last_version)?;
        if self.judgement.discarded > 0 {
            next.history = random_id(self.env)?;
        }
        Ok(())
    }

    /// Writes the records that are not proven durable to a new segment, and answers it with what it holds.
    fn copy(
        &mut self,
        unsealed: &[Listed<FileOf<E>>],
        sealed_link: (u64, u64),
    ) -> Result<Option<(Listed<FileOf<E>>, Sealed)>> {
        let ranges = || {
            let whole = unsealed.iter().zip(&self.judgement.verdicts);
            whole.map(|(listed, verdict)| (listed, verdict.durable.max(RECORDS_AT), verdict.good))
        };
        if ranges().all(|(_, from, to)| from >= to) {
            return Ok(None);
        }
        let kept = ranges().filter(|(_, from, _)| *from > RECORDS_AT).last();
        let (predecessor_uid, predecessor_len) =
            kept.map_or(sealed_link, |(at, from, _)| (at.entry.uid, from));
        let ranges: Vec<_> = ranges().filter(|(_, from, to)| from < to).collect();
        let mut listed = self.create()?;
        let header = SegmentHeader {
            database: self.next.database,
            uid: listed.entry.uid,
            number: listed.entry.number,
            predecessor_uid,
            predecessor_len,
        };
        let mut copier = Copier::new(&listed.file, &listed.name, &header);
        for (source, from, to) in ranges {
            copier.copy(source, from, to)?;
        }
        let tally = copier.finish()?;
        listed.file_len = tally.len;
        Ok(Some((listed, tally)))
    }

    fn empty_segment(&mut self, empty: &mut Vec<Listed<FileOf<E>>>) -> Result<Listed<FileOf<E>>> {
        match empty.pop() {
            Some(listed) => Ok(listed),
            None => self.create(),
        }
    }

    fn create(&mut self) -> Result<Listed<FileOf<E>>> {
        let number = take_number(&mut self.next)?;
        let uid = fresh_uid(self.env)?;
        let file = create_segment(self.dir, number)?;
        let name = names::segment(number);
        self.created.push(name.clone());
        let entry = SegmentEntry { number, uid, run: None, state: SegmentState::Unsealed { durable: 0 } };
        Ok(Listed { entry, name, file, file_len: 0, header: HeaderState::Blank })
    }

    /// Removes segment files that the manifest, which is durable, does not list. What fails is tried again by
    /// the next open; what a newer library or another store wrote is left alone.
    fn remove_orphans(&self) {
        for name in self.dir.names().unwrap_or_default() {
            let orphan = names::parse_segment(&name)
                .is_some_and(|number| self.next.segments.iter().all(|entry| entry.number != number));
            if orphan && self.is_ours(&name) {
                let _ = self.dir.remove(&name);
            }
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let Ok(file) = self.dir.open(name, false) else {
            return false;
        };
        let mut head = [0; SEGMENT_HEADER_LEN];
        let Ok(got) = read_full(&file, &mut head, 0) else {
            return false;
        };
        match SegmentHeader::decode(&head[..got]) {
            HeaderState::Valid(header) => header.database == self.next.database,
            HeaderState::Newer { .. } => false,
            HeaderState::Blank | HeaderState::Damaged => true,
        }
    }
}

/// Uid and length of the last of `entries`, for the header of the segment that follows it.
fn last_link(entries: &[SegmentEntry]) -> (u64, u64) {
    entries.last().map_or((0, 0), |entry| (entry.uid, entry.kept_len()))
}

/// Uses up the next file number.
pub(super) fn take_number(manifest: &mut Manifest) -> Result<u64> {
    let number = manifest.next_number;
    if number + 1 >= names::NUMBER_END {
        return Err(Error::Invalid(format!("file number {number} is the last one a name can hold")));
    }
    manifest.next_number += 1;
    Ok(number)
}

/// Locations can name this many segments and no more.
pub(super) fn too_many_segments() -> Error {
    let limit = u64::from(MAX_SEGMENT_SLOTS);
    Error::TooLarge { what: "number of segments", size: limit + 1, limit }
}

/// Creates the empty file of a segment.
pub(super) fn create_segment<D: Dir>(dir: &D, number: u64) -> Result<D::File> {
    let name = names::segment(number);
    dir.create(&name).map_err(|err| Error::io("create", name, err))
}

/// A uid that no other segment has: 64 random bits, never 0.
pub(super) fn fresh_uid<E: Env>(env: &E) -> Result<u64> {
    let mut bytes = [0; 8];
    loop {
        env.fill_random(&mut bytes).map_err(|err| Error::io("get randomness for", "a uid", err))?;
        match u64::from_le_bytes(bytes) {
            0 => continue,
            uid => return Ok(uid),
        }
    }
}

fn random_id<E: Env>(env: &E) -> Result<Id128> {
    let mut id = Id128::default();
    env.fill_random(&mut id.0).map_err(|err| Error::io("get randomness for", "an id", err))?;
    Ok(id)
}
