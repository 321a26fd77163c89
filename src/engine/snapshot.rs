//! The store as it was at one moment.
//!
//! A snapshot is a view and a length: the segments there were, and how much of the active one. It pins its segments, so
//! merges may unlink them but not take them away; the keydir is not copied. A key whose newest record of now is in the
//! snapshot is found through the keydir. For any other, the newest record that the snapshot holds is searched for in the
//! sorted runs of its segments, newest first.

use super::db::Db;
use super::feed_start::LogPlace;
use super::meta::Meta;
use super::shared::{FileOf, Inner};
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::filter;
use crate::format::hint::HintEntry;
use crate::format::manifest::SegmentState;
use crate::format::names;
use crate::format::record::{Flags, Record};
use crate::io::env::{Dir, Env};
use crate::keydir::Digest;
use crate::keydir::location::SegmentSlot;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::HintId;
use crate::segment::record_walk::PlainRecord;
use crate::segment::run_cursor::{Direction, Link, RunCursor, SortedRun, Start};
use crate::segment::view::{HintState, Segment, View};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use once_cell::sync::OnceCell;
use std::collections::HashSet;

/// The hints of segments in the first so many slots stay open once a snapshot has read them, so that the next snapshot
/// finds them read: each is a file descriptor, and in memory 24 bytes for 4 KiB of it.
const MOST_KEPT_HINTS: u32 = 64;

/// See the file's head. It may be used from many threads, and outlives the handle, after whose close it answers `Closed`.
pub struct Snapshot<E: Env> {
    store: Arc<Inner<E>>,
    view: Arc<View<FileOf<E>>>,
    /// The place in the log of the segment that was active, and how much of it there was.
    active: usize,
    active_len: u64,
    /// The history that it is of, and where in the log it ends, as a segment's header states what it follows.
    end: (Id128, LogPlace),
    /// For each segment its hint, once somebody asked for it; `None` where it has none.
    hints: Vec<OnceCell<Option<OpenHint<E>>>>,
}

/// A hint and, once somebody asked for it, its filter; `None` for a damaged one.
struct OpenHint<E: Env> {
    hint: Arc<Hint<FileOf<E>>>,
    filter: OnceCell<Option<Vec<u8>>>,
    /// Whether a block turned out damaged, after which nobody looks at it any more.
    is_damaged: AtomicBool,
}

impl<E: Env> OpenHint<E> {
    fn new(hint: Arc<Hint<FileOf<E>>>) -> Self {
        OpenHint { hint, filter: OnceCell::new(), is_damaged: AtomicBool::new(false) }
    }
}

/// Where a record is: the place of its segment in the log, and what a hint says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) rank: usize,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) flags: Flags,
    pub(crate) version: u64,
    pub(crate) deadline: Option<u64>,
}

impl Found {
    #[inline]
    pub(crate) fn new(rank: usize, entry: &HintEntry<'_>) -> Self {
        let HintEntry { offset, flags, version, deadline, .. } = *entry;
        Found { rank, offset, len: entry.record_len(), flags, version, deadline }
    }
}

impl<E: Env> Db<E> {
    /// The store as it is now: all writes that have returned, batches as a whole or not at all. Costs the same whatever
    /// the store holds, and blocks nobody. On a read-only handle it waits for a refresh.
    ///
    /// # Errors
    /// `Io` on a read-only handle whose last refresh failed half-way; `Forked`.
    pub fn snapshot(&self) -> Result<Snapshot<E>> {
        let store = self.inner_arc();
        store.check_process()?;
        match store.writer() {
            Ok(writer) => Ok(Snapshot::of_writer(store, writer, |_| ()).0),
            Err(_) => Snapshot::of_reader(store, &store.refreshing.lock()),
        }
    }
}

impl<E: Env> Snapshot<E> {
    fn new(
        store: &Arc<Inner<E>>,
        view: Arc<View<FileOf<E>>>,
        active: usize,
        active_len: u64,
        end: LogPlace,
    ) -> Self {
        let mut hints = Vec::new();
        hints.resize_with(view.segments().len(), OnceCell::new);
        let end = (store.manifest.lock().history, end);
        Snapshot { store: store.clone(), view, active, active_len, end, hints }
    }

    /// That of a store with a writer, and what that one answers at the same moment.
    pub(super) fn of_writer<R>(
        store: &Arc<Inner<E>>,
        writer: &Mutex<Writer<FileOf<E>>>,
        ask: impl FnOnce(&Writer<FileOf<E>>) -> R,
    ) -> (Self, R) {
        let writer = writer.lock();
        let view = store.view.load_full();
        let active = view.rank(writer.active().slot).unwrap_or(0);
        let (active_len, end) = (writer.active_len(), writer.end_link());
        let answer = ask(&writer);
        drop(writer);
        (Snapshot::new(store, view, active, active_len, end), answer)
    }

    /// That of a read-only handle, whose last refresh left `unfinished` segments.
    pub(super) fn of_reader(store: &Arc<Inner<E>>, unfinished: &HashSet<SegmentSlot>) -> Result<Self> {
        if !unfinished.is_empty() {
            let source = std::io::Error::other("the last refresh failed half-way: refresh the handle first");
            return Err(Error::io("take a snapshot of", &store.path, source));
        }
        let view = store.view.load_full();
        let newest = view.segments().enumerate().rfind(|(_, segment)| segment.readable_len() > 0);
        let (active, active_len) = newest.map_or((0, 0), |(rank, segment)| (rank, segment.readable_len()));
        let manifest = store.manifest.lock();
        let is_unsealed = |uid| {
            let entry = manifest.segments.iter().find(|entry| entry.uid == uid);
            entry.is_some_and(|entry| matches!(entry.state, SegmentState::Unsealed { .. }))
        };
        let end = match newest {
            Some((_, segment)) if is_unsealed(segment.uid) => (segment.uid, active_len),
            _ => manifest.last_sealed.unwrap_or_default(),
        };
        drop(manifest);
        Ok(Snapshot::new(store, view, active, active_len, end))
    }

    /// Hands the value that `key` had to `read`; `None` when it had none, or has expired since.
    ///
    /// # Errors
    /// As [`Db::get`]; `Closed` after the close of the store.
    pub fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        self.get_with(key, |value, _| read(value))
    }

    /// As [`Snapshot::get`], with what the store knows of the value beside it.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8], Meta) -> R) -> Result<Option<R>> {
        self.check_open()?;
        self.store.check_readable(key)?;
        let digest = self.store.secret.digest(key);
        self.store.keydir.touch(digest)?;
        let mut buf = Vec::new();
        let newest = self.store.keydir.get(digest).filter(|at| !at.is_tombstone());
        if let Some((at, segment)) = newest.and_then(|at| Some((at, self.view.segment(at.slot())?)))
            && self.view.rank(at.slot()).is_some_and(|rank| at.offset() < self.end_of(rank))
        {
            let found = self.store.read_found(key, at, segment, &self.view, &mut buf, |_, _, record| {
                let meta = Meta::of(&record.header);
                self.store.value_of(segment, at.offset(), record, |value| read(value, meta))
            })?;
            return found.transpose();
        }
        self.check_sound()?;
        let found = loop {
            match self.find(key, digest) {
                Err(err) if self.forsake_hint(&err) => {}
                found => break found?,
            }
        };
        let Some(found) = found else { return Ok(None) };
        if !found.flags.is_value(found.deadline, || self.store.env.now_ns()) {
            return Ok(None);
        }
        let record = self.read(&found, key, &mut buf)?;
        let (segment, meta) = (self.segment(found.rank), Meta::of(&record.header));
        self.store.value_of(segment, found.offset, &record, |value| read(value, meta)).map(Some)
    }

    /// The history that it is of, and where in the log it ends.
    pub(super) fn end(&self) -> (Id128, LogPlace) {
        self.end
    }

    /// Has its store refuse all writes from now on.
    pub fn poison(&self, reason: &str) {
        self.store.poison(reason);
    }

    /// Whether it is of this store.
    pub fn is_of(&self, store: &Db<E>) -> bool {
        Arc::ptr_eq(&self.store, store.inner_arc())
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        self.store.check_process()?;
        if self.store.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// An error for what cannot be answered in a degraded store.
    pub(crate) fn check_sound(&self) -> Result<()> {
        match self.store.degraded.get() {
            None => Ok(()),
            Some(degraded) => Err(Error::corrupt(
                &self.store.path,
                0,
                format!("the store is degraded: {}", degraded.reason),
            )),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.store.env.now_ns()
    }

    /// The segments, oldest first, each with how many of its bytes are the snapshot's.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&Arc<Segment<FileOf<E>>>, u64)> {
        self.view.segments().enumerate().map(|(rank, segment)| (segment, self.end_of(rank)))
    }

    /// The segment at this place in the log.
    pub(crate) fn segment(&self, rank: usize) -> &Arc<Segment<FileOf<E>>> {
        self.view.at(rank)
    }

    /// The record of `key` that a hint tells of, or a run in memory.
    #[inline]
    pub(crate) fn read<'a>(&'a self, found: &Found, key: &[u8], buf: &'a mut Vec<u8>) -> Result<Record<'a>> {
        let segment = self.segment(found.rank);
        let record = self.store.noted(segment.read(found.offset, found.len, buf))?;
        if record.key != key {
            return self.store.noted(Err(segment.damaged(found.offset, "the record is another key's")));
        }
        Ok(record)
    }

    /// Notes that a record is damaged, if that is what went wrong.
    #[inline]
    pub(crate) fn noted<T>(&self, outcome: Result<T>) -> Result<T> {
        self.store.noted(outcome)
    }

    /// The value of a record of which `stored` is compressed, into `out`.
    pub(crate) fn decompress(
        &self,
        rank: usize,
        offset: u64,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.store.noted(self.segment(rank).decompress(&self.store.dictionaries, offset, stored, out))
    }

    /// Bytes of a segment where they are mapped.
    #[inline]
    pub(crate) fn mapped(&self, rank: usize, offset: u64, len: u64) -> Option<&[u8]> {
        self.segment(rank).mapped(offset, len)
    }

    /// Tells the processor that these bytes of a segment will be read.
    #[inline]
    pub(crate) fn prefetch(&self, rank: usize, offset: u64, len: u64) {
        self.segment(rank).prefetch(offset, len);
    }

    /// The key of a record of so many bytes, if it is sound.
    #[inline]
    pub(crate) fn plain_key(&self, plain: &PlainRecord, len: u64) -> Option<&[u8]> {
        plain.key_in(self.segment(plain.rank), len)
    }

    /// Where the snapshot's part of the segment at this place ends.
    pub(crate) fn end_of(&self, rank: usize) -> u64 {
        match rank.cmp(&self.active) {
            std::cmp::Ordering::Less => self.segment(rank).readable_len(),
            std::cmp::Ordering::Equal => self.active_len,
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// Sorted records in which all of the snapshot are, and maybe later ones; oldest segment first. They are for a walk
    /// that reads the values too, or not.
    pub(crate) fn links(&self, with_values: bool) -> Result<Vec<Link<FileOf<E>>>> {
        let mut links = Vec::new();
        for rank in 0..=self.active {
            links.extend(self.links_of(rank, with_values)?);
        }
        Ok(links)
    }

    fn links_of(&self, rank: usize, with_values: bool) -> Result<Vec<Link<FileOf<E>>>> {
        if self.end_of(rank) == 0 {
            return Ok(Vec::new());
        }
        let segment = self.segment(rank);
        let values = with_values.then_some(segment);
        let link = |records| Link { records, rank, run: segment.run, values: values.cloned() };
        if let Some(open) = self.hint(rank)? {
            return Ok(vec![link(SortedRun::Hint(open.hint.clone()))]);
        }
        let runs = segment.runs_upto(self.end_of(rank))?;
        Ok(runs.into_iter().map(|run| link(SortedRun::Memory(run))).collect())
    }

    /// Does without a hint in which `err` met damage, from now on; `false` when it met something else. The segment's
    /// records stand in for it, and the merge thread makes it again.
    #[cold]
    pub(crate) fn forsake_hint(&self, err: &Error) -> bool {
        let Error::Corrupt { file, .. } = err else { return false };
        let opened = (0..).zip(&self.hints).filter_map(|(rank, hint)| Some((rank, hint.get()?.as_ref()?)));
        let Some((rank, open)) = opened.into_iter().find(|(_, open)| open.hint.name() == file) else {
            return false;
        };
        if open.is_damaged.swap(true, Ordering::Relaxed) {
            return true;
        }
        self.segment(rank).forget_hint(&open.hint);
        self.store.health.tell_damage(err);
        self.store.counters.damaged_hints.fetch_add(1, Ordering::Relaxed);
        if self.segment(rank).hint_state() == HintState::Whole {
            self.segment(rank).set_hint_state(HintState::Missing);
            self.store.merge_bell.ring();
        }
        true
    }

    fn hint(&self, rank: usize) -> Result<Option<&OpenHint<E>>> {
        let opened = self.hints[rank].get_or_try_init(|| {
            let segment = self.segment(rank);
            if let Some(hint) = segment.kept_hint() {
                return Ok(Some(OpenHint::new(hint)));
            }
            // Only a sealed segment has one.
            if segment.hint_state() != HintState::Whole {
                return Ok(None);
            }
            let name = names::hint(segment.number);
            let id = HintId {
                database: self.store.database,
                uid: segment.uid,
                segment_len: segment.readable_len(),
            };
            // One that is gone, or that cannot be opened, costs time and nothing else.
            let Ok(file) = self.store.dir.open(&name, false) else { return Ok(None) };
            let Some(hint) = Hint::open(file, name, id)?.map(Arc::new) else { return Ok(None) };
            if segment.slot.0 < MOST_KEPT_HINTS {
                segment.keep_hint(hint.clone());
            }
            Ok(Some(OpenHint::new(hint)))
        });
        Ok(opened?.as_ref().filter(|open| !open.is_damaged.load(Ordering::Relaxed)))
    }

    /// The newest record of `key` in the snapshot.
    fn find(&self, key: &[u8], digest: Digest) -> Result<Option<Found>> {
        for rank in (0..=self.active).rev() {
            if let Some(open) = self.hint(rank)? {
                let bits = open.filter.get_or_try_init(|| open.hint.filter())?;
                if bits.as_ref().is_some_and(|bits| !filter::may_contain(bits, digest.lo)) {
                    continue;
                }
            }
            let mut newest: Option<Found> = None;
            for link in self.links_of(rank, false)? {
                let mut cursor = RunCursor::new(vec![link], Direction::Forward, 1);
                cursor.seek(Start::At(key))?;
                while let Some(entry) = cursor.entry().filter(|entry| entry.key == key) {
                    if entry.offset < self.end_of(rank) {
                        let found = Found::new(rank, &entry);
                        if newest.is_none_or(|newest| newest.offset < found.offset) {
                            newest = Some(found);
                        }
                        break;
                    }
                    cursor.advance()?;
                }
            }
            if newest.is_some() {
                return Ok(newest);
            }
        }
        Ok(None)
    }
}
