//! Backups: the store as it is at one moment, in another directory, which opens as a store.
//!
//! In a backup every segment is sealed (rule M3): a writer that opens it begins a new one, so files that the backup shares
//! with its store by hard links are never written to by either. Segments that are sealed in the store are linked, or
//! copied where that cannot be; of the log's unsealed end what there is at the moment is copied. The manifest comes last.
//! Until then the directory is what it was before: the backup that was there is complete, and what is not listed by its
//! manifest is removed by the next backup.
//!
//! A segment is known by its uid. One that an earlier backup holds is kept, also where a crash left less of it in the store;
//! one that was unsealed then and has grown since is put in the earlier one's place by a rename. What it holds more lies
//! past the end that the earlier manifest states, so that stays true.

mod destination;
mod transfer;

use crate::engine::{Db, tally};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::io::env::{Dir, Env, File};
use crate::log;
use crate::segment::view::{HintState, Segment};
use crate::stats::{Field, flat_object};
use crate::sync::Arc;
use destination::Destination;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Instant;
use transfer::{Transfer, Transferred};

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Segments that share their bytes with the store's files.
    pub segments_linked: u64,
    /// Segments that were copied.
    pub segments_copied: u64,
    /// Segments that the earlier backup in the same directory held already.
    pub segments_kept: u64,
    /// Segments of the earlier backup that were removed.
    pub segments_removed: u64,
    /// Bytes of the segments that were linked.
    pub bytes_linked: u64,
    /// Bytes of the segments that were copied.
    pub bytes_copied: u64,
    /// Bytes of the segments that were kept.
    pub bytes_kept: u64,
    /// Keys that have a value, counted while writes go on.
    pub keys: u64,
    /// The highest version there was.
    pub last_version: u64,
    /// The database's id, 32 hex digits.
    pub database_id: String,
    /// The id of the run of history that the backup is of, 32 hex digits.
    pub history_id: String,
    /// Why the store, and so the backup, cannot vouch for all that it holds, if it cannot.
    pub degraded: Option<String>,
    /// How long it took.
    pub ms: u64,
}

impl BackupReport {
    /// One flat JSON object, members in the order of the fields; `last_version` is a decimal string.
    pub fn to_json(&self) -> String {
        use Field::{Condition, Number, Text, Version};
        // No `..`: a new field stops the build here.
        let BackupReport {
            segments_linked,
            segments_copied,
            segments_kept,
            segments_removed,
            bytes_linked,
            bytes_copied,
            bytes_kept,
            keys,
            last_version,
            database_id,
            history_id,
            degraded,
            ms,
        } = self;
        flat_object([
            ("segments_linked", Number(*segments_linked)),
            ("segments_copied", Number(*segments_copied)),
            ("segments_kept", Number(*segments_kept)),
            ("segments_removed", Number(*segments_removed)),
            ("bytes_linked", Number(*bytes_linked)),
            ("bytes_copied", Number(*bytes_copied)),
            ("bytes_kept", Number(*bytes_kept)),
            ("keys", Number(*keys)),
            ("last_version", Version(*last_version)),
            ("database_id", Text(Some(database_id))),
            ("history_id", Text(Some(history_id))),
            ("degraded", Condition(degraded.as_deref())),
            ("ms", Number(*ms)),
        ])
    }

    fn count(&mut self, transferred: Transferred, len: u64) {
        let (segments, bytes) = match transferred {
            Transferred::Linked => (&mut self.segments_linked, &mut self.bytes_linked),
            Transferred::Copied => (&mut self.segments_copied, &mut self.bytes_copied),
            Transferred::Kept => (&mut self.segments_kept, &mut self.bytes_kept),
        };
        *segments += 1;
        *bytes += len;
    }
}

/// A segment of the log, and how much of it is to be in the backup.
struct Part<F: File> {
    entry: SegmentEntry,
    segment: Arc<Segment<F>>,
    len: u64,
}

impl<E: Env> Db<E> {
    /// Makes directory `to` a backup of the store as it is now: all writes that have returned, batches whole. It is made if
    /// there is none (its parent must exist), and may hold an earlier backup of the same store, of which what is still in
    /// use is kept. Writes and merges go on meanwhile. When it returns, the backup is durable, also of writes that the
    /// store itself has not synced yet. Whatever fails or is cut off before leaves the earlier backup as it was.
    ///
    /// A poisoned store can be backed up, as it reads; so can a degraded one, damage and all.
    ///
    /// # Errors
    /// `Invalid` when `to` is or lies in the store's own directory, holds anything but a backup of this database that no
    /// writer has opened since, or one of a later state; `Locked` when it is in use by another backup or a writer; `Corrupt`
    /// when the earlier backup's manifest is damaged; `Io`, `NoSpace`, `NoMemory`, `Forked`.
    pub fn backup(&self, to: &Path) -> Result<BackupReport> {
        let begun = Instant::now();
        let store = self.inner();
        store.check_process()?;
        let mut to = Destination::open(&store.env, &store.dir, store.options.file_mode, to)?;
        let (snapshot, manifest) = self.moment()?;
        let parts = parts_of(&manifest, snapshot.segments())?;
        // Cursors of feeds are of the store's history, which nobody goes on with in a backup.
        let (keys, moved) = (store.keydir.len(), Vec::new());
        let next = Manifest { backup: true, clean_close: None, keys, moved, ..manifest };
        let names = to.admit(&next)?;
        let mut report = BackupReport {
            keys: next.keys,
            last_version: next.last_version,
            database_id: next.database.to_string(),
            history_id: next.history.to_string(),
            degraded: store.degraded.get().map(|degraded| degraded.reason.clone()),
            ..BackupReport::default()
        };
        let bytes = parts.iter().map(|part| part.len).sum();
        let transfer = Transfer::new(&store.dir, &to, &store.path, bytes);
        let next = fill(&to, next, parts, &names, transfer, &mut report);
        let next = next.inspect_err(|_| to.give_up())?;
        report.segments_removed = to.complete(&next)?;
        report.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        log::info(format_args!(
            "{}: backed up to {} in {} ms: {} segments linked, {} copied, {} kept, {} removed",
            store.path,
            to.path,
            report.ms,
            report.segments_linked,
            report.segments_copied,
            report.segments_kept,
            report.segments_removed,
        ));
        Ok(report)
    }
}

/// The segments that `manifest` lists and that hold anything, with how much of them the snapshot has.
fn parts_of<'s, F: File>(
    manifest: &Manifest,
    held: impl Iterator<Item = (&'s Arc<Segment<F>>, u64)>,
) -> Result<Vec<Part<F>>> {
    let held: HashMap<_, _> = held.map(|(segment, end)| (segment.uid, (segment, end))).collect();
    let mut parts = Vec::with_capacity(manifest.segments.len());
    for &entry in &manifest.segments {
        let (segment, len) = match (held.get(&entry.uid), entry.state) {
            (Some((segment, _)), SegmentState::Sealed(sealed)) => (segment, sealed.len),
            (Some((segment, end)), SegmentState::Unsealed { .. }) => (segment, *end),
            (None, SegmentState::Unsealed { .. }) => continue,
            (None, SegmentState::Sealed(_)) => {
                let what = "the manifest lists this segment, but it is not open";
                return Err(Error::corrupt(names::segment(entry.number), 0, what));
            }
        };
        if len > 0 {
            parts.push(Part { entry, segment: Arc::clone(segment), len });
        }
    }
    Ok(parts)
}

/// Brings all segments and their hints to the directory, and answers the manifest that lists them.
fn fill<D: Dir>(
    to: &Destination<D>,
    mut next: Manifest,
    parts: Vec<Part<D::File>>,
    names: &HashSet<String>,
    mut transfer: Transfer<'_, D>,
    report: &mut BackupReport,
) -> Result<Manifest> {
    next.segments.clear();
    for Part { entry, segment, len } in parts {
        let kept = to.kept(&entry, &segment, len);
        let transferred = match (kept, entry.state) {
            (Some(_), _) => {
                transfer.pass(len);
                Transferred::Kept
            }
            (None, SegmentState::Sealed(_)) => transfer.link_or_copy(&segment.name, &segment.file, len)?,
            (None, SegmentState::Unsealed { .. }) => {
                transfer.copy(&segment.name, &segment.file, len)?;
                Transferred::Copied
            }
        };
        if matches!(entry.state, SegmentState::Unsealed { .. }) {
            next.last_sealed = Some((entry.uid, len));
        }
        let state = match (entry.state, kept) {
            (state @ SegmentState::Sealed(_), _) => state,
            (_, Some(state @ SegmentState::Sealed(earlier))) if earlier.len == len => state,
            _ => {
                let file = to.dir.open(&segment.name, false);
                let file = file.map_err(|err| to.failed("open", &segment.name, err))?;
                SegmentState::Sealed(tally(entry, file, next.database, len)?)
            }
        };
        report.count(transferred, len);
        next.segments.push(SegmentEntry { state, ..entry });
        let hint = names::hint(entry.number);
        if segment.hint_state() == HintState::Whole && !names.contains(&hint) {
            transfer.bring_hint(&hint)?;
        }
    }
    Ok(next)
}
