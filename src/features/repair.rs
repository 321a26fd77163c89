//! Salvages what is left of a damaged store into a new one, and never touches the old.
//!
//! Every record whose checksums are right is intact, wherever it lies: behind damage, in a segment without a header,
//! behind the torn end of a log, without any manifest. The newest intact record of each key wins. So a key whose newest
//! record is lost comes back with an older value, or not at all; the report names it where the lost record's key is
//! known, and counts the holes in which records of any key may be lost. A batch of which a part is damaged is salvaged in
//! part; one that lacks its end at the end of the log was never acknowledged and is left out.
//!
//! The new store is of the same database and has a new history (rule H1). Its manifest is written last.

use super::elsewhere::open_elsewhere;
use super::progress::Progress;
use super::verify::{Verification, examine, open_to_read};
use crate::engine::{Findings, List, Lost, Met, Newest, Salvage, Sources};
use crate::error::{Error, Result};
use crate::format::record::Flags;
use crate::io::env::{Dir, Env, File};
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::log;
use crate::options::Options;
use crate::segment::scanner::Scanned;
use std::collections::HashMap;
use std::path::Path;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Keys that have a value in the new store.
    pub keys: u64,
    /// Its segments.
    pub segments: u64,
    /// Bytes in them.
    pub bytes_written: u64,
    /// Keys whose newest record is lost.
    pub lost: List,
    /// Stretches of the log in which records of unknown keys may be lost.
    pub holes: u64,
    /// Keys of the new store that such a record may have been newer than.
    pub doubtful_keys: u64,
    /// Records of a batch without an end, at the end of the log, that were left out.
    pub left_out: u64,
    /// What was found in the damaged store.
    pub source: Verification,
}

impl Repair {
    /// One JSON object.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"keys\":{},\"segments\":{},\"bytes_written\":{},\"lost_count\":{},\"lost\":{},\"holes\":{},\
             \"doubtful_keys\":{},\"left_out\":{},\"source\":{}}}",
            self.keys,
            self.segments,
            self.bytes_written,
            self.lost.total,
            self.lost.to_json(),
            self.holes,
            self.doubtful_keys,
            self.left_out,
            self.source.to_json()
        )
    }
}

/// Salvages the store in directory `source` into a new one in `dest`, a directory that is empty or does not exist yet.
/// Changes nothing in `source`.
///
/// # Errors
/// `Invalid` when `dest` is not empty, or lies in `source`; `Locked` when a writer has either of them open; `Format` for
/// files of a newer version; `Io` also when there is no store in `source`; `NoSpace`, `NoMemory`. What was begun in `dest`
/// is removed then.
pub fn repair<E: Env>(env: &E, source: &Path, dest: &Path) -> Result<Repair> {
    let shown = source.display().to_string();
    let from = open_to_read(env, source, &shown)?;
    if !from.try_lock().map_err(|err| Error::io("lock", &shown, err))? {
        return Err(Error::Locked { holder: from.lock_holder(), path: shown });
    }
    let _from_lock = Lock(&from);
    let mut found = Findings::default();
    let sources = Sources::find(&from, &shown, &mut found)?;
    let shown_dest = dest.display().to_string();
    let to = open_elsewhere(env, &from.0, Options::default().file_mode, dest)?;
    let _to_lock = Lock(&to);
    check_empty(&to, &shown_dest)?;
    let mut out = Salvage::new(env, &to, &shown_dest, sources.manifest.as_ref(), sources.database)?;
    let mut choice = Choice::new(Newest::new(out.secret().clone())?, sources.log_end());
    let (report, found) = examine(&from, &shown, &sources, found, |at, met| {
        let is_proven = |offset| sources.manifest.is_some() && offset < sources.list[at].proven;
        choice.meet(at, met, is_proven)
    })?;
    choice.end_source()?;
    let mut repair = Repair { source: Verification { findings: found, ..report }, ..Repair::default() };
    choice.account_for(&sources, &mut repair);
    out.note_version(choice.highest_version);
    let mut progress = Progress::new();
    for (at, source) in sources.list.iter().enumerate() {
        let doubtful = &mut repair.doubtful_keys;
        let mut dropped = 0;
        repair.keys += out.copy(source, |record| match choice.judge(at, record) {
            Fate::Kept { is_doubtful } => {
                *doubtful += u64::from(is_doubtful);
                true
            }
            Fate::Deletion => {
                dropped = dropped.max(record.header.version);
                false
            }
            Fate::Dead => false,
        })?;
        out.note_dropped(dropped);
        progress.tell(format_args!(
            "{shown}: copied what is intact of {} of {} segments: {} bytes",
            at + 1,
            sources.list.len(),
            out.bytes
        ));
    }
    if repair.keys != choice.newest.len() {
        let changed = std::io::Error::other("it read otherwise the second time; try again");
        return Err(Error::io("read", shown, changed));
    }
    out.finish(repair.keys)?;
    (repair.segments, repair.bytes_written) = (out.segments(), out.bytes);
    log::info(format_args!(
        "{shown}: salvaged {} keys into {shown_dest}: {} keys have lost their newest record, {} holes",
        repair.keys, repair.lost.total, repair.holes
    ));
    Ok(repair)
}

/// Refuses a directory in which there is something.
fn check_empty<D: Dir>(dir: &D, shown: &str) -> Result<()> {
    let names = dir.names().map_err(|err| Error::io("list", shown, err))?;
    match names.first() {
        Some(name) => Err(Error::Invalid(format!(
            "{shown} is not empty: it holds {name}; name another directory, or remove what a repair left unfinished"
        ))),
        None => Ok(()),
    }
}

/// A directory that is locked as a writer would, until this is dropped.
struct Lock<'d, D: Dir>(&'d D);

impl<D: Dir> Drop for Lock<'_, D> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// A place in the log: the source's number, and the offset.
type Place = (usize, u64);

/// Keys of lost records are kept up to so many bytes altogether.
const LOST_KEYS_BYTES: usize = 16 << 20;

/// The newest record of a key that is lost.
struct LostRecord {
    at: Place,
    len: u64,
    key: Option<Box<[u8]>>,
}

/// Which records are to be salvaged.
struct Choice {
    newest: Newest,
    log_end: Option<usize>,
    source: usize,
    /// The batch that is not complete yet: where it began, whether it was proven durable, and its intact records.
    batch: Option<(u64, bool)>,
    pending: Vec<(Digest, Location)>,
    lost: HashMap<Digest, LostRecord>,
    lost_keys_bytes: usize,
    holes: u64,
    newest_hole: Option<Place>,
    left_out: u64,
    highest_version: u64,
}

/// What becomes of a record.
enum Fate {
    Kept { is_doubtful: bool },
    Deletion,
    Dead,
}

impl Choice {
    fn new(newest: Newest, log_end: Option<usize>) -> Self {
        Choice {
            newest,
            log_end,
            source: 0,
            batch: None,
            pending: Vec::new(),
            lost: HashMap::new(),
            lost_keys_bytes: 0,
            holes: 0,
            newest_hole: None,
            left_out: 0,
            highest_version: 0,
        }
    }

    /// Takes note of what was met in source number `source`. `is_proven` tells what was durable before the crash, if there
    /// was one.
    fn meet(&mut self, source: usize, met: Met<'_>, is_proven: impl Fn(u64) -> bool) -> Result<()> {
        if source != self.source {
            self.end_source()?;
            self.source = source;
        }
        match met {
            Met::Record { record, batch_at } => {
                let Some((digest, at)) = self.newest.place_of(source, record) else { return Ok(()) };
                self.highest_version = self.highest_version.max(record.header.version);
                if self.batch.is_some_and(|(batch, _)| batch != batch_at) {
                    self.enter_batch()?;
                }
                if record.header.flags.has(Flags::BATCH_CONTINUES) {
                    self.batch.get_or_insert((batch_at, is_proven(batch_at)));
                    self.pending.try_reserve(1).map_err(|_| Error::NoMemory { bytes: self.pending.len() })?;
                    self.pending.push((digest, at));
                    return Ok(());
                }
                self.enter_batch()?;
                self.newest.enter(digest, at).map(drop)
            }
            Met::Lost(lost) => self.note_lost(source, &lost),
            Met::Hole { from } => {
                self.holes += 1;
                self.newest_hole = self.newest_hole.max(Some((source, from)));
                Ok(())
            }
        }
    }

    /// The batch is as complete as it will ever be.
    fn enter_batch(&mut self) -> Result<()> {
        self.batch = None;
        self.pending.drain(..).try_for_each(|(digest, at)| self.newest.enter(digest, at).map(drop))
    }

    /// Nothing more comes of the source.
    fn end_source(&mut self) -> Result<()> {
        let is_proven = self.batch.is_none_or(|(_, is_proven)| is_proven);
        if self.log_end == Some(self.source) && !is_proven {
            self.left_out += self.pending.len() as u64;
            self.pending.clear();
        }
        self.enter_batch()
    }

    fn note_lost(&mut self, source: usize, lost: &Lost<'_>) -> Result<()> {
        self.highest_version = self.highest_version.max(lost.version);
        let (digest, at) = (self.newest.digest(lost.key), (source, lost.offset));
        if self.lost.get(&digest).is_some_and(|known| known.at >= at) {
            return Ok(());
        }
        self.lost.try_reserve(1).map_err(|_| Error::NoMemory { bytes: self.lost.len() })?;
        let is_kept = self.lost_keys_bytes + lost.key.len() <= LOST_KEYS_BYTES;
        let key: Option<Box<[u8]>> = is_kept.then(|| Box::from(lost.key));
        self.lost_keys_bytes += key.as_deref().map_or(0, <[u8]>::len);
        self.lost.insert(digest, LostRecord { at, len: lost.len, key });
        Ok(())
    }

    /// What all has come to, once all has come.
    fn account_for<F: File>(&mut self, sources: &Sources<F>, repair: &mut Repair) {
        if sources.unreadable > 0 {
            // Nobody knows how new its records were.
            self.newest_hole = Some((usize::MAX, 0));
        }
        repair.holes = self.holes + sources.unreadable;
        repair.left_out = self.left_out;
        let mut lost: Vec<_> = self.lost.iter().collect();
        lost.sort_unstable_by_key(|(_, lost)| lost.at);
        for (digest, LostRecord { at, len, key }) in lost {
            let kept = self.newest.get(*digest);
            if kept.is_some_and(|kept| place_of(kept) > *at) {
                continue;
            }
            let what = match kept {
                None => "its newest record is lost, and no older one is left",
                Some(kept) if kept.is_tombstone() => {
                    "its newest record is lost; the one before is a deletion"
                }
                Some(_) => "its newest record is lost; it has an older value",
            };
            repair.lost.add(&sources.list[at.0].name, (at.1, *len), what, key.as_deref());
        }
    }

    /// What becomes of a record of source number `source`.
    fn judge(&self, source: usize, record: &Scanned<'_>) -> Fate {
        let at = (source, record.offset);
        match self.newest.get(self.newest.digest(record.key)) {
            Some(newest) if place_of(newest) != at => Fate::Dead,
            None => Fate::Dead,
            Some(newest) if newest.is_tombstone() => Fate::Deletion,
            Some(_) => Fate::Kept { is_doubtful: self.newest_hole > Some(at) },
        }
    }
}

fn place_of(at: Location) -> Place {
    (at.slot().0 as usize, at.offset())
}
