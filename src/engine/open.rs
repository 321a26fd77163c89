//! Opens a store: lock, manifest, recovery, loading. A reader takes no lock and recovers nothing.
//!
//! Nothing in the directory is changed before a valid manifest was read and understood (rule M2).

use super::assembly::{Assembly, read_only};
use super::checkpoint::Checkpoint;
use super::db::Db;
use super::health::Health;
use super::listed::{Listed, open_listed};
use super::load;
use super::manifest_file;
use super::readers::in_force;
use super::recover::{self, Applied};
use super::segment_files::random_id;
use super::settle::Recovery;
use super::shared::{FileOf, Inner, OwnLines, SeenApplied, wants_mapping};
use super::views::Views;
use super::writer::{Writer, WriterStart};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, SegmentState};
use crate::format::names;
use crate::format::record::RECORD_HEADER_LEN;
use crate::io::env::{Dir, DirOptions, Env, File};
use crate::keydir::{Keydir, Secret};
use crate::log;
use crate::options::Options;
use crate::segment::view::{Segment, View};
use crate::sync::{Arc, Mutex, Ordering};
use std::path::Path;
use std::time::Instant;

impl<E: Env> Db<E> {
    /// Opens the store in directory `path`, and makes it when there is none and the options allow it.
    ///
    /// # Errors
    /// `Locked` when another handle, here or in another process, has it open for writing, as this one would; `Corrupt`
    /// when the manifest or a listed file is missing or the manifest is damaged, and then nothing was touched; `Format`
    /// for files of a newer version, likewise; `Io`, `NoSpace`, `NoMemory`.
    pub fn open(env: E, path: &Path, options: &Options) -> Result<Self> {
        let began = Instant::now();
        let shown = path.display().to_string();
        let process = env.process_token();
        let how = DirOptions { create: options.create && !options.read_only, file_mode: options.file_mode };
        let dir = env.open_dir(path, how).map_err(|err| Error::io("open", &shown, err))?;
        if !options.read_only && !dir.try_lock().map_err(|err| Error::io("lock", &shown, err))? {
            return Err(Error::Locked { holder: dir.lock_holder(), path: shown });
        }
        let prepared = match prepare(&env, &dir, &shown, options) {
            Ok(prepared) => prepared,
            Err(err) => {
                let _ = dir.unlock();
                return Err(err);
            }
        };
        let Prepared {
            manifest,
            segments,
            writer,
            keydir,
            checkpoint,
            mapped,
            discarded,
            copied,
            bad_headers,
            applied,
        } = prepared;
        let inner = Arc::new(Inner {
            database: manifest.database,
            secret: Secret::new(&manifest.hash_secret),
            view: Views::new(View::new(segments.iter().map(|(segment, _)| segment.clone()).collect())),
            writer: writer.map(|start| OwnLines(Mutex::new(Writer::new(start)))),
            merging: Mutex::new(()),
            refreshing: Default::default(),
            applied: Mutex::new(SeenApplied { shown: applied, found: None }),
            replacing: Mutex::new(()),
            manifest: Mutex::new(manifest),
            env,
            dir,
            health: Health::of(&shown),
            closed: Default::default(),
            path: shown,
            options: options.clone(),
            process,
            mapped,
            keydir,
            commits: Default::default(),
            feeds: Default::default(),
            bell: Default::default(),
            merge_bell: Default::default(),
            degraded: Default::default(),
            origin: Default::default(),
            dictionaries: Default::default(),
            index_is_behind: Default::default(),
            counters: Default::default(),
        });
        inner.counters.recovered_bytes_discarded.store(discarded, Ordering::Relaxed);
        inner.counters.recovered_records.store(copied, Ordering::Relaxed);
        inner.counters.corrupt_records.store(bad_headers, Ordering::Relaxed);
        let seen = match checkpoint {
            Some(checkpoint) => Ok(checkpoint.resume(&inner, &segments)),
            None => load::load(&inner, &segments),
        };
        match seen {
            Ok(seen) => inner.go_on_from(seen),
            Err(err) => {
                let _ = inner.dir.unlock();
                return Err(err);
            }
        }
        inner.tell_of_open(began);
        Db::start(inner)
    }
}

impl<E: Env> Inner<E> {
    /// Tells the log what an open found and did.
    fn tell_of_open(&self, began: Instant) {
        let path = &self.path;
        let [recovered, discarded, damaged] = [
            &self.counters.recovered_records,
            &self.counters.recovered_bytes_discarded,
            &self.counters.corrupt_records,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        if discarded > 0 {
            log::warn(format_args!(
                "{path}: {discarded} bytes at the log's end are not whole and were discarded"
            ));
        }
        if damaged > 0 {
            log::warn(format_args!("{path}: {damaged} damaged places found, each a record or more"));
        }
        if let Some(degraded) = self.degraded.get() {
            log::warn(format_args!("{path}: unknown and older keys answer errors: {}", degraded.reason));
        }
        let (keys, segments) = (self.keydir.len(), self.view.load().segments().count());
        let ms = began.elapsed().as_millis();
        let source = if self.origin.get().is_some() { "a checkpoint" } else { "the log" };
        log::info(format_args!(
            "{path}: opened in {ms} ms from {source}: {keys} keys, {segments} segments, {recovered} records \
             recovered, {discarded} bytes discarded"
        ));
    }

    /// Versions go on above everything that was ever seen, and the active segment's counts from what it holds.
    fn go_on_from(&self, seen: load::Seen) {
        let mut manifest = self.manifest.lock();
        manifest.last_version = manifest.last_version.max(seen.highest_version);
        drop(manifest);
        if let Ok(writer) = self.writer() {
            writer.lock().go_on_from(seen.highest_version, seen.youngest);
        }
    }
}

/// An open directory, understood and, for a writer, recovered.
struct Prepared<F: File> {
    manifest: Manifest,
    /// Each segment with the length that it is supposed to have.
    segments: Vec<(Arc<Segment<F>>, u64)>,
    writer: Option<WriterStart<F>>,
    keydir: Keydir,
    /// What the keydir is to be filled from.
    checkpoint: Option<Checkpoint<F>>,
    mapped: bool,
    discarded: u64,
    copied: u64,
    bad_headers: u64,
    /// What a reader found of applied changes that the manifest does not tell of yet.
    applied: Option<Applied>,
}

fn prepare<E: Env>(env: &E, dir: &E::Dir, path: &str, options: &Options) -> Result<Prepared<FileOf<E>>> {
    let names = dir.names().map_err(|err| Error::io("list", path, err))?;
    let manifest = match manifest_file::load(dir)? {
        Some(manifest) => confirmed(dir, manifest, options)?,
        None => first_manifest(env, dir, path, options, &names)?,
    };
    let (manifest, mut sealed) = if options.read_only {
        in_force(dir, path, manifest, |manifest| open_listed(dir, manifest, false))?
    } else {
        let listed = open_listed(dir, &manifest, true)?;
        (manifest, listed)
    };
    let is_sealed = |listed: &Listed<_>| matches!(listed.entry.state, SegmentState::Sealed(_));
    let unsealed = sealed.split_off(sealed.iter().take_while(|listed| is_sealed(listed)).count());
    let expected_keys = manifest.keys.min(most_keys(&sealed, &unsealed));
    let mut applied = None;
    let mut judgement = recover::judge(&unsealed, manifest.clean_close)?;
    let found = || Checkpoint::find(dir, &manifest, &sealed, &unsealed, &judgement);
    let checkpoint = options.checkpoint.then(found).flatten();
    let of_checkpoint = checkpoint.as_ref().map_or(Ok(None), Checkpoint::keydir)?;
    let checkpoint = checkpoint.filter(|_| of_checkpoint.is_some());
    let keydir = match of_checkpoint {
        Some(keydir) => keydir,
        None => Keydir::new(options.expected_keys.max(expected_keys))?,
    };
    let proven = unsealed.iter().zip(&judgement.verdicts).filter(|(_, verdict)| verdict.durable > 0);
    let bad_headers =
        sealed.iter().chain(proven.map(|(listed, _)| listed)).filter(|listed| !listed.has_header());
    let bad_headers = bad_headers.count() as u64;
    let assembly = Assembly {
        mapped: wants_mapping(options.io, dir),
        max_segment_bytes: options.max_segment_bytes,
        segments: Vec::with_capacity(manifest.segments.len() + 2),
    };
    let (discarded, settled) = if options.read_only {
        // What is not whole may be a write under way.
        applied = judgement.applied.take();
        (0, (manifest, read_only(assembly, sealed, unsealed, &judgement)?, None, 0))
    } else {
        let (discarded, stale_checkpoint) = (judgement.discarded, checkpoint.is_none());
        let recovery =
            Recovery { env, dir, path, next: manifest, judgement, stale_checkpoint, created: Vec::new() };
        (discarded, recovery.settle(assembly, sealed, unsealed, &names)?)
    };
    let (manifest, assembly, writer, copied) = settled;
    Ok(Prepared {
        keydir,
        checkpoint,
        mapped: assembly.mapped,
        segments: assembly.segments,
        manifest,
        writer,
        discarded,
        copied,
        bad_headers,
        applied,
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

/// How many keys there can be at the most, by the size of the segments.
fn most_keys<F: File>(sealed: &[Listed<F>], unsealed: &[Listed<F>]) -> u64 {
    let sealed = sealed.iter().map(|listed| listed.file_len.min(listed.entry.kept_len()));
    let bytes = sealed.chain(unsealed.iter().map(|listed| listed.file_len));
    bytes.fold(0, u64::saturating_add) / RECORD_HEADER_LEN as u64
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
    if names.iter().any(|name| name == names::BACKUP_NEW) {
        let what =
            "it is missing: a backup into this directory is under way or was cut off; back up into it again";
        return Err(Error::corrupt(names::MANIFEST, 0, what));
    }
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
        keys: 0,
        backup: false,
        applied_cursor: None,
        moved: Vec::new(),
        last_sealed: None,
        clean_close: None,
        segments: Vec::new(),
    };
    manifest_file::replace(dir, &manifest).map_err(|failed| failed.into_error())?;
    Ok(manifest)
}
