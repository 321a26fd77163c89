//! Brings a reader up to date with what a writer has done since.
//!
//! The manifest in force is compared with the view. Of a segment that is known, what lies past the end known so far is
//! read; a segment that is not is loaded; what the manifest lists no more is gone: merged, or copied by a recovery. All goes
//! into the keydir newest first, with the segments that are gone ranked as the oldest. So the first record of a key that
//! comes is the one that counts, and a key goes from what it was to what it is in one step, also if the refresh fails
//! half-way. At the end the keys that are still in a segment that is gone are taken out, since a merge has dropped them,
//! and the segments leave the view.
//!
//! Deletions stay in a reader's keydir until their segment is gone. A merge that was under way when a key was deleted may
//! put an older record of it in a new segment; but there is one merge at a time, so when one has taken the deletion's
//! segment, any that knew nothing of it is done, and what it wrote has been loaded or merged again.
//!
//! Records that are not whole are never loaded, so after the death of a writer a recovery discards nothing that a reader has
//! shown. Only where the system dropped bytes after a failed sync can it. A recovery that discards anything draws a new
//! history id (rule H1), and then nothing is taken for known.

use super::listed::{Listed, RECORDS_AT, open_segment};
use super::load::hint_of;
use super::load_tasks::{Task, enter, location, run};
use super::manifest_file;
use super::readers::in_force;
use super::recover::Applied;
use super::shared::{FileOf, Inner, growing_map_len, may_map};
use super::survey::Survey;
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, Sealed, SegmentEntry, SegmentState};
use crate::format::record::Flags;
use crate::format::segment_header::HeaderState;
use crate::io::env::{Env, File};
use crate::keydir::Digest;
use crate::keydir::location::{Location, SegmentSlot};
use crate::log;
use crate::segment::scanner::{Scanned, Scanner, Step};
use crate::segment::view::{Segment, SegmentId};
use crate::sync::{Arc, Ordering};
use std::collections::{HashMap, HashSet};

/// Records entered in the keydir at a time.
const GROUP: usize = 64;

/// A listed segment as it was found.
enum Found<F: File> {
    /// One of the view, and the length of its file where that matters.
    Known {
        segment: Arc<Segment<F>>,
        entry: SegmentEntry,
        file_len: u64,
    },
    New(Listed<F>),
}

/// A segment of the new view, and what of it is to be loaded.
struct Part<F: File> {
    segment: Arc<Segment<F>>,
    news: News,
}

enum News {
    None,
    /// Records past the end known so far, oldest first, and where they end.
    Tail {
        records: Vec<(Digest, Location)>,
        end: u64,
        highest_version: u64,
    },
    /// What a sealed segment holds past the end known so far.
    Rest(Sealed),
}

/// Whether the file of a known segment is the one that is meant: the next backup into a directory puts a longer file in
/// the place of a segment that was still written to.
fn holds<F: File>(segment: &Segment<F>, entry: &SegmentEntry) -> Result<bool> {
    match entry.state {
        SegmentState::Sealed(sealed) if sealed.len > segment.readable_len() => {
            let file_len = segment.file.len().map_err(|err| Error::io("read", &segment.name, err))?;
            Ok(file_len >= sealed.len)
        }
        _ => Ok(true),
    }
}

/// Whether what is known of the segments of `held` still holds. It does not if the log has another history. A store that
/// lost a tail to a power cut goes on with its history, since nobody can have read what was lost there, but a backup may
/// have it: the next one is of the shorter log.
fn goes_on(manifest: &Manifest, held: &Manifest) -> bool {
    let may_be_shorter = manifest.backup && manifest.generation != held.generation;
    manifest.history == held.history && !may_be_shorter
}

/// See [`Db::refresh`](super::Db::refresh).
pub(super) fn refresh<E: Env>(store: &Arc<Inner<E>>) -> Result<()> {
    store.check_process()?;
    if store.writer.is_some() {
        return Ok(());
    }
    let mut unfinished = store.refreshing.lock();
    store.check_not_degraded()?;
    let (manifest, found) = store.look(&unfinished)?;
    let parts = store.take_in(found, &mut unfinished)?;
    let current: HashSet<_> = parts.iter().map(|part| part.segment.slot).collect();
    let view = store.view.load();
    let gone: Vec<_> = view.segments().filter(|segment| !current.contains(&segment.slot)).cloned().collect();
    drop(view);
    let has_news = |part: &&Part<_>| !matches!(part.news, News::None);
    unfinished.extend(parts.iter().filter(has_news).map(|part| part.segment.slot));
    let mut highest_version = manifest.last_version;
    if !gone.is_empty() || !unfinished.is_empty() {
        // What is still to come from a checkpoint was written for the segments as they were.
        while store.keydir.bring_in_next()? {}
        store.check_not_degraded()?;
        let current = parts.iter().map(|part| &part.segment);
        store.view.arrange(gone.iter().chain(current).cloned().collect());
    }
    for Part { segment, news } in parts.into_iter().rev() {
        highest_version = highest_version.max(store.bring_in(&segment, news)?);
        unfinished.remove(&segment.slot);
    }
    if !gone.is_empty() {
        let slots: HashSet<_> = gone.iter().map(|segment| segment.slot).collect();
        store.keydir.sweep(|at| slots.contains(&at.slot()));
        store.view.remove(&gone);
    }
    unfinished.clear();
    let mut held = store.manifest.lock();
    let last_version = held.last_version.max(highest_version);
    *held = Manifest { last_version, ..manifest };
    drop(held);
    store.show_applied();
    // Whoever holds this finds the manifest of the view.
    drop(unfinished);
    log::debug(format_args!("{}: refreshed; {} segments are gone", store.path, gone.len()));
    Ok(())
}

impl<E: Env> Inner<E> {
    fn check_not_degraded(&self) -> Result<()> {
        let Some(degraded) = self.degraded.get() else { return Ok(()) };
        let what = format!("a degraded store must be opened anew to be read on: {}", degraded.reason);
        Err(Error::corrupt(&self.path, 0, what))
    }

    /// The manifest in force and its segments, of which those that a failed refresh left `unfinished` are new again.
    fn look(&self, unfinished: &HashSet<SegmentSlot>) -> Result<(Manifest, Vec<Found<FileOf<E>>>)> {
        let first = manifest_file::load(&self.dir)?.ok_or_else(|| self.replaced("there is none any more"))?;
        let (view, held) = (self.view.load(), self.manifest.lock().clone());
        let known: HashMap<_, _> = view
            .segments()
            .filter(|segment| !unfinished.contains(&segment.slot))
            .map(|segment| (segment.uid, segment))
            .collect();
        in_force(&self.dir, &self.path, first, |manifest| {
            if manifest.database != self.database {
                return Err(self.replaced("there is another one now"));
            }
            let open = |&entry: &SegmentEntry| match known.get(&entry.uid) {
                Some(&segment) if goes_on(manifest, &held) && holds(segment, &entry)? => {
                    Ok((entry, Ok(segment.clone())))
                }
                _ => Ok((entry, Err(open_segment(&self.dir, &entry, false)?))),
            };
            let files: Vec<_> = manifest.segments.iter().map(open).collect::<Result<_>>()?;
            // Newest first, for the reason that `open_listed` has.
            let look = |(entry, file)| match file {
                Ok(segment) => Found::look_again(segment, entry),
                Err(file) => Listed::look_at(entry, file, manifest.database).map(Found::New),
            };
            let mut found: Vec<_> = files.into_iter().rev().map(look).collect::<Result<_>>()?;
            found.reverse();
            Ok(found)
        })
    }

    fn replaced(&self, what: &str) -> Error {
        let source = std::io::Error::other(format!("{what}; close the handle and open the path anew"));
        Error::io("go on reading the store in", &self.path, source)
    }

    /// Gives every new segment that holds anything its place in the view, and finds out how far the log goes.
    fn take_in(
        &self,
        found: Vec<Found<FileOf<E>>>,
        unfinished: &mut HashSet<SegmentSlot>,
    ) -> Result<Vec<Part<FileOf<E>>>> {
        let mut parts = Vec::with_capacity(found.len());
        let mut log = Follow::default();
        for found in found {
            let (entry, file_len) = (found.entry(), found.file_len());
            let (segment, news) = match (found, entry.state) {
                (Found::Known { segment, .. }, SegmentState::Sealed(sealed)) => {
                    let grown = sealed.len > segment.readable_len();
                    (segment, if grown { News::Rest(sealed) } else { News::None })
                }
                (Found::New(listed), SegmentState::Sealed(sealed)) => {
                    let bad_headers = u64::from(!listed.has_header());
                    self.counters.corrupt_records.fetch_add(bad_headers, Ordering::Relaxed);
                    let segment = self.add(listed, sealed.len, Some(sealed.len))?;
                    unfinished.insert(segment.slot);
                    (segment, News::Rest(sealed))
                }
                (Found::Known { segment, .. }, SegmentState::Unsealed { .. }) => {
                    let news = log.follow(self, &segment, file_len)?;
                    (segment, news)
                }
                (Found::New(listed), SegmentState::Unsealed { .. }) => {
                    if !log.admits(&listed) {
                        log.pass_by(listed)?;
                        continue;
                    }
                    let segment = self.add(listed, RECORDS_AT, None)?;
                    unfinished.insert(segment.slot);
                    let news = log.follow(self, &segment, file_len)?;
                    (segment, news)
                }
            };
            parts.push(Part { segment, news });
        }
        if let Some(found) = log.applied.take() {
            self.applied.lock().found = Some(found);
        }
        log.judge()?;
        Ok(parts)
    }

    /// Shows the cursor that was found with applied changes in what is new. Without one, that which was shown before is the
    /// last as long as its segment is not sealed and the store not closed; then the manifest has it, or a later one.
    fn show_applied(&self) {
        let mut applied = self.applied.lock();
        let manifest = self.manifest.lock();
        let is_unsealed = |uid| {
            let entry = manifest.segments.iter().find(|entry| entry.uid == uid);
            entry.is_some_and(|entry| matches!(entry.state, SegmentState::Unsealed { .. }))
        };
        let before = applied.shown.take().filter(|_| manifest.clean_close.is_none());
        applied.shown = applied.found.take().or(before).filter(|(_, uid)| is_unsealed(*uid));
    }

    /// Adds a segment of which `readable` bytes are known to be complete; one that is not `sealed` is mapped further.
    fn add(
        &self,
        listed: Listed<FileOf<E>>,
        readable: u64,
        sealed: Option<u64>,
    ) -> Result<Arc<Segment<FileOf<E>>>> {
        let Listed { entry: SegmentEntry { number, uid, run, .. }, file, file_len, name, .. } = listed;
        if file_len < readable {
            return Err(Error::corrupt(name, file_len, format!("it ends there, not at byte {readable}")));
        }
        self.view.add(None, |slot| {
            let map_len = sealed.unwrap_or_else(|| growing_map_len(self.options.max_segment_bytes));
            let mapped = self.mapped && may_map(slot);
            let id = SegmentId { number, uid, slot };
            let mut segment = Segment::new(id, file, readable, mapped.then_some(map_len));
            segment.run = run;
            segment.surplus_bytes = sealed.map_or(0, |len| file_len - len);
            Ok(Arc::new(segment))
        })
    }

    /// Loads what is new in a segment, and answers the highest version in it.
    fn bring_in(self: &Arc<Self>, segment: &Arc<Segment<FileOf<E>>>, news: News) -> Result<u64> {
        match news {
            News::None => Ok(0),
            News::Tail { records, end, highest_version } => {
                // The bytes are there before anybody is sent to them.
                segment.set_readable_len(end);
                self.enter_newest_first(segment, records)?;
                Ok(highest_version)
            }
            News::Rest(sealed) => {
                let from = segment.readable_len();
                let whole = from == sealed.len;
                if !(whole && self.bring_in_hint(segment, &sealed)?) {
                    let from = if whole { RECORDS_AT } else { from };
                    let records = self.records_of(segment, from, sealed.len)?;
                    segment.set_readable_len(sealed.len);
                    self.enter_newest_first(segment, records)?;
                }
                Ok(sealed.highest_version)
            }
        }
    }

    /// Loads a segment from its hint; `false` when it has none that is whole.
    fn bring_in_hint(self: &Arc<Self>, segment: &Arc<Segment<FileOf<E>>>, sealed: &Sealed) -> Result<bool> {
        let Some(hint) = hint_of(self, segment, sealed) else { return Ok(false) };
        // One by one: the entries of a key come newest first.
        for task in Task::of_hint(segment, hint) {
            for pass in run(self, vec![task], None).into_iter().flatten() {
                if pass?.bad_hint {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// All records in a range of a sealed segment, which is damaged if there is anything else.
    fn records_of(
        &self,
        segment: &Segment<FileOf<E>>,
        from: u64,
        to: u64,
    ) -> Result<Vec<(Digest, Location)>> {
        let mut scanner = Scanner::new(&segment.file, &segment.name, segment.uid, from, to);
        let mut records = Vec::new();
        loop {
            match scanner.step()? {
                Step::Record(record) => {
                    let damaged = u64::from(!record.value_ok);
                    self.counters.corrupt_records.fetch_add(damaged, Ordering::Relaxed);
                    self.note(segment, &record, &mut records)?;
                }
                Step::Bad { offset } => return Err(segment.damaged(offset, "no record can be read there")),
                Step::End => return Ok(records),
            }
        }
    }

    fn note(
        &self,
        segment: &Segment<FileOf<E>>,
        record: &Scanned<'_>,
        records: &mut Vec<(Digest, Location)>,
    ) -> Result<()> {
        let header = &record.header;
        if header.flags.has(Flags::INTERNAL) {
            return Ok(());
        }
        if records.len() == records.capacity() {
            let more = records.len().max(GROUP);
            records.try_reserve(more).map_err(|_| Error::no_memory::<(Digest, Location)>(more))?;
        }
        let expires = header.deadline.is_some();
        let at = location(segment.slot, record.offset, header.record_len(), header.flags, expires);
        records.push((self.secret.digest(record.key), at));
        Ok(())
    }

    fn enter_newest_first(
        &self,
        segment: &Segment<FileOf<E>>,
        mut records: Vec<(Digest, Location)>,
    ) -> Result<()> {
        records.reverse();
        records.chunks(GROUP).try_for_each(|records| enter(self, segment, records).map(drop))
    }
}

impl<F: File> Found<F> {
    fn look_again(segment: Arc<Segment<F>>, entry: SegmentEntry) -> Result<Self> {
        let grows = match entry.state {
            SegmentState::Sealed(sealed) => sealed.len > segment.readable_len(),
            SegmentState::Unsealed { .. } => true,
        };
        let read = |err| Error::io("read", &segment.name, err);
        let file_len = if grows { segment.file.len().map_err(read)? } else { segment.readable_len() };
        Ok(Found::Known { segment, entry, file_len })
    }

    fn entry(&self) -> SegmentEntry {
        match self {
            Found::Known { entry, .. } => *entry,
            Found::New(listed) => listed.entry,
        }
    }

    fn file_len(&self) -> u64 {
        match self {
            Found::Known { file_len, .. } => *file_len,
            Found::New(listed) => listed.file_len,
        }
    }
}

/// The unsealed end of the log, followed as recovery would, from the ends known so far.
#[derive(Default)]
struct Follow {
    /// Of the unsealed segments that were passed: name, uid, and how far the log goes in them.
    passed: Vec<(String, u64, u64)>,
    /// Which of them was the first that is not whole.
    stopped_at: Option<usize>,
    /// What markers state: uid and offset.
    marks: Vec<(u64, u64)>,
    /// The last cursor that was stored with applied changes.
    applied: Option<Applied>,
}

impl Follow {
    /// Whether a new segment is the next of the log, as far as that is whole.
    fn admits<F: File>(&self, listed: &Listed<F>) -> bool {
        let HeaderState::Valid(header) = listed.header else { return false };
        let link = (header.predecessor_uid, header.predecessor_len);
        self.stopped_at.is_none()
            && listed.file_len > RECORDS_AT
            && self.passed.last().is_none_or(|(_, uid, end)| (*uid, *end) == link)
    }

    /// Follows the log through a segment.
    fn follow<E: Env>(
        &mut self,
        store: &Inner<E>,
        segment: &Segment<FileOf<E>>,
        file_len: u64,
    ) -> Result<News> {
        let from = segment.readable_len();
        let mut records = Vec::new();
        let scanner = Scanner::new(&segment.file, &segment.name, segment.uid, from, file_len.max(from));
        let survey = Survey::through(scanner, |record| store.note(segment, record, &mut records))?;
        self.marks.extend(survey.watermarks.iter().map(|stated| (stated.uid, stated.offset)));
        if self.stopped_at.is_some() {
            self.passed.push((segment.name.clone(), segment.uid, from));
            return Ok(News::None);
        }
        if file_len > survey.good {
            self.stopped_at = Some(self.passed.len());
        }
        self.passed.push((segment.name.clone(), segment.uid, survey.good));
        while records.last().is_some_and(|(_, at)| at.offset() >= survey.good) {
            records.pop();
        }
        let Survey { good: end, highest_version, applied, .. } = survey;
        self.applied = applied.map(|cursor| (cursor, segment.uid)).or(self.applied.take());
        Ok(if records.is_empty() { News::None } else { News::Tail { records, end, highest_version } })
    }

    /// Passes a segment that is no part of the log, or not yet.
    fn pass_by<F: File>(&mut self, listed: Listed<F>) -> Result<()> {
        self.stopped_at.get_or_insert(self.passed.len());
        let survey = Survey::of(&listed)?;
        self.marks.extend(survey.watermarks.iter().map(|stated| (stated.uid, stated.offset)));
        self.passed.push((listed.name, listed.entry.uid, 0));
        Ok(())
    }

    /// The log ends where it is not whole. Damage it is only if a marker states that more of it was durable.
    fn judge(self) -> Result<()> {
        let Some(stopped_at) = self.stopped_at else { return Ok(()) };
        let (name, _, end) = &self.passed[stopped_at];
        let past_end = |&(uid, offset): &(u64, u64)| {
            let at = self.passed.iter().position(|(_, passed, _)| *passed == uid);
            at.is_some_and(|at| (at, offset) > (stopped_at, *end))
        };
        if self.marks.iter().any(past_end) {
            return Err(Error::corrupt(name, *end, "no record can be read there, and one was durable"));
        }
        Ok(())
    }
}
