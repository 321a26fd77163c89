//! The segments of a store that may be damaged, as well as they can be told.
//!
//! A valid manifest says which there are, in which order, and how far each goes (rule M2). Where there is none the
//! segments speak for themselves: a header names database and uid, and the versions give the order. For any one key
//! versions rise with the position; what a merge wrote has versions of the segments it was made of, which no other
//! segment's lie among; so of two segments with records of one key the one with the higher highest version has the
//! newer, also where a merge's inputs are still there beside what it wrote.
//!
//! Nothing is changed, and nothing is taken for granted but that somebody else may write meanwhile (`readers`).

use super::checkpoint::Checkpoint;
use super::findings::Findings;
use super::headless::{Links, find_uid, highest_in_hint, hint_header, most_common};
use super::listed::{Listed, RECORDS_AT, open_segment};
use super::manifest_file;
use super::readers::in_force;
use super::recover::{Judgement, Verdict, judge};
use super::segment_files::too_many_segments;
use super::survey::Survey;
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::segment_header::HeaderState;
use crate::io::env::{Dir, File};
use crate::keydir::location::{MAX_RECORD_OFFSET, SegmentSlot};
use crate::segment::view::{Segment, SegmentId};
use std::collections::{HashMap, HashSet};
use std::io;

const MISSING: &str = "the manifest lists it, and it is missing";

/// A segment of a store that may be damaged.
pub(crate) struct Source<F: File> {
    /// The file, up to where records are looked for; `None` where it is missing.
    pub(crate) segment: Option<Segment<F>>,
    /// Its file name.
    pub(crate) name: String,
    /// What the manifest says of it, or is supposed to have said.
    pub(crate) entry: SegmentEntry,
    /// Bytes in the file.
    pub(crate) file_len: u64,
    /// Whether anything says that it is complete.
    pub(crate) is_sealed: bool,
    /// How long it was, as far as anything says so.
    pub(crate) stated: u64,
    /// Below this everything was durable: what is bad there is damage.
    pub(crate) proven: u64,
    /// Where the log in it ends for an open. What lies behind belongs to writes that were never durable.
    pub(crate) good: u64,
}

/// All of them.
pub(crate) struct Sources<F: File> {
    /// The manifest, if it is valid.
    pub(crate) manifest: Option<Manifest>,
    /// The database that they are of, if that is known.
    pub(crate) database: Option<Id128>,
    /// Oldest first; each has its own number for a slot.
    pub(crate) list: Vec<Source<F>>,
    /// Segments of which nobody can tell a record.
    pub(crate) unreadable: u64,
    /// The checkpoint that belongs to the log.
    pub(super) checkpoint: Option<Checkpoint<F>>,
}

impl<F: File> Source<F> {
    fn new(listed: Listed<F>, at: usize, verdict: Verdict, end: u64) -> Result<Self> {
        let Listed { entry, name, file, file_len, .. } = listed;
        let slot = SegmentSlot::nth(at).ok_or_else(too_many_segments)?;
        let id = SegmentId { number: entry.number, uid: entry.uid, slot };
        // No location can name a record further on.
        let segment = Segment::new(id, file, end.min(file_len).min(MAX_RECORD_OFFSET), None);
        let is_sealed = matches!(entry.state, SegmentState::Sealed(_));
        let Verdict { durable: proven, good } = verdict;
        Ok(Source { segment: Some(segment), name, entry, file_len, is_sealed, stated: proven, proven, good })
    }

    fn missing(entry: SegmentEntry) -> Self {
        let (name, stated) = (names::segment(entry.number), entry.kept_len());
        let is_sealed = matches!(entry.state, SegmentState::Sealed(_));
        let (proven, good) = (stated, stated);
        Source { segment: None, name, entry, file_len: 0, is_sealed, stated, proven, good }
    }
}

impl<F: File> Sources<F> {
    /// Finds them in `dir`, whose path is `path`.
    ///
    /// # Errors
    /// `Io` also when there is no store; `Format` for files of a newer version; `NoMemory`.
    pub(crate) fn find<D: Dir<File = F>>(dir: &D, path: &str, found: &mut Findings) -> Result<Self> {
        // In this order: a writer makes the first segment behind the first manifest.
        let names = dir.names().map_err(|err| Error::io("list", path, err))?;
        match manifest_file::load(dir) {
            Ok(Some(manifest)) => return Sources::by_manifest(dir, path, manifest, found),
            Ok(None) => {}
            Err(Error::Corrupt { offset, what, .. }) => {
                found.damage(names::MANIFEST, (offset, 0), what);
                return Sources::by_headers(dir, &names, found);
            }
            Err(err) => return Err(err),
        }
        if !names.iter().any(|name| names::parse_segment(name).is_some()) {
            return Err(Error::io("find a store in", path, io::Error::from_raw_os_error(libc::ENOENT)));
        }
        found.damage(names::MANIFEST, (0, 0), "it is missing");
        Sources::by_headers(dir, &names, found)
    }

    /// Whether there is a checkpoint that belongs to the log.
    pub(crate) fn has_checkpoint(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// The one that the log ends in, where a write may lack its end that nobody was answered. `None` where all is sealed.
    pub(crate) fn log_end(&self) -> Option<usize> {
        let last = self.list.iter().rposition(|source| source.file_len > RECORDS_AT)?;
        (!self.list[last].is_sealed).then_some(last)
    }

    fn by_manifest<D: Dir<File = F>>(
        dir: &D,
        path: &str,
        manifest: Manifest,
        found: &mut Findings,
    ) -> Result<Self> {
        let mut seen = None;
        let outcome = in_force(dir, path, manifest, |manifest| {
            let all = open_each(dir, manifest)?;
            let missing = all.iter().find_map(|opened| opened.as_ref().err().copied());
            seen = Some((manifest.clone(), all));
            let name = |entry: SegmentEntry| names::segment(entry.number);
            missing.map_or(Ok(()), |entry| Err(Error::corrupt(name(entry), 0, MISSING)))
        });
        match outcome {
            // What is missing under the manifest in force is damage.
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(err) => return Err(err),
        }
        let (manifest, all) =
            seen.ok_or_else(|| Error::corrupt(names::MANIFEST, 0, "it changes all the time"))?;
        for entry in all.iter().filter_map(|opened| opened.as_ref().err()) {
            found.damage(&names::segment(entry.number), (0, entry.kept_len()), MISSING);
        }
        for listed in all.iter().flatten() {
            let name = names::segment(listed.entry.number);
            if listed.name != name {
                found.damage(&name, (0, 0), format!("the segment is in {}", listed.name));
            }
        }
        let is_sealed = |entry: &SegmentEntry| matches!(entry.state, SegmentState::Sealed(_));
        let (mut sealed, mut unsealed, mut missing) = (Vec::new(), Vec::new(), HashMap::new());
        for opened in all {
            match opened {
                Ok(listed) if is_sealed(&listed.entry) => sealed.push(listed),
                Ok(listed) => unsealed.push(listed),
                Err(entry) => drop(missing.insert(entry.uid, entry)),
            }
        }
        let judgement = judge(&unsealed, manifest.clean_close)?;
        let whole = missing.is_empty();
        let checkpoint = Checkpoint::find(dir, &manifest, &sealed, &unsealed, &judgement).filter(|_| whole);
        check_headers(&manifest, &sealed, &unsealed, &judgement, found);
        let links = Links::of(unsealed.iter().map(|listed| &listed.header));
        let mut present = sealed
            .into_iter()
            .map(|listed| {
                let len = listed.entry.kept_len();
                (listed, Verdict { durable: len, good: len }, len)
            })
            .chain(unsealed.into_iter().zip(judgement.verdicts).map(|(listed, verdict)| {
                let end = listed.file_len;
                (listed, verdict, end)
            }));
        let next = |(at, entry): (usize, &SegmentEntry)| match missing.get(&entry.uid) {
            Some(&entry) => Ok(Source::missing(entry)),
            None => {
                let (listed, verdict, end) =
                    present.next().ok_or_else(|| Error::corrupt(names::MANIFEST, 0, "it lists too much"))?;
                let source = Source::new(listed, at, verdict, end)?;
                let stated = links.len_of(entry.uid).filter(|_| !source.is_sealed).unwrap_or(0);
                Ok(Source { stated: source.stated.max(stated), ..source })
            }
        };
        let list = manifest.segments.iter().enumerate().map(next).collect::<Result<_>>()?;
        Ok(Sources {
            database: Some(manifest.database),
            manifest: Some(manifest),
            list,
            unreadable: 0,
            checkpoint,
        })
    }

    fn by_headers<D: Dir<File = F>>(dir: &D, names: &[String], found: &mut Findings) -> Result<Self> {
        let mut candidates = Vec::new();
        for number in names.iter().filter_map(|name| names::parse_segment(name)) {
            let entry = unsealed_entry(number, 0);
            let file = open_segment(dir, &entry, false)?;
            // A header that is no manifest's is judged as it is.
            let listed = Listed::look_at_any(entry, file)?;
            candidates.push((listed, hint_header(dir, number)?));
        }
        candidates.sort_by_key(|(listed, _)| listed.entry.number);
        let database = most_common(candidates.iter().filter_map(|(listed, _)| match listed.header {
            HeaderState::Valid(header) => Some(header.database),
            _ => None,
        }));
        let database = database.or_else(|| {
            most_common(candidates.iter().filter_map(|(_, hint)| hint.as_ref().map(|hint| hint.database)))
        });
        let links = Links::of(candidates.iter().map(|(listed, _)| &listed.header));
        let (mut ranked, mut unreadable) = (Vec::new(), 0);
        for (mut listed, hint) in candidates {
            let hint = hint.filter(|hint| Some(hint.database) == database);
            let uid = match listed.header {
                HeaderState::Valid(header) if Some(header.database) != database => {
                    found.note(&listed.name, (0, listed.file_len), "it is of another database");
                    continue;
                }
                HeaderState::Valid(header) => Some(header.uid),
                _ => {
                    let of_hint = hint.as_ref().map(|hint| hint.uid);
                    find_uid(&listed, of_hint, links.unseen())?
                }
            };
            if uid.is_none() && listed.header == HeaderState::Blank && listed.file_len <= RECORDS_AT {
                // A spare, or nothing is left of it to tell that it was none.
                continue;
            }
            if let HeaderState::Valid(header) = listed.header
                && links.lacks(header.predecessor_uid)
            {
                let what = "the segment that was written before it is not there: it was merged, or is lost";
                found.note(&listed.name, (0, RECORDS_AT), what);
            }
            if !listed.has_header() {
                let what = match uid {
                    Some(_) => "the header is damaged",
                    None => "the header is damaged, and no record can be told without it",
                };
                found.damage(&listed.name, (0, RECORDS_AT), what);
            }
            let Some(uid) = uid else {
                unreadable += 1;
                continue;
            };
            listed.entry = unsealed_entry(listed.entry.number, uid);
            let of_hint = hint.filter(|hint| hint.uid == uid).map(|hint| hint.segment_len);
            let stated = of_hint.or_else(|| links.len_of(uid));
            let of_hint = of_hint.map_or(Ok(0), |len| highest_in_hint(dir, &listed, database, len))?;
            let highest = Survey::of(&listed)?.highest_version.max(of_hint);
            ranked.push((highest, listed, stated));
        }
        ranked.sort_by_key(|(highest, listed, _)| (*highest, listed.entry.number));
        let sources = ranked.into_iter().enumerate().map(|(at, (_, listed, stated))| {
            let end = stated.unwrap_or(listed.file_len);
            let mut source = Source::new(listed, at, Verdict { durable: end, good: end }, end)?;
            if let (Some(len), SegmentState::Unsealed { durable }) = (stated, &mut source.entry.state) {
                *durable = len;
                source.is_sealed = true;
            }
            Ok(source)
        });
        let list = sources.collect::<Result<_>>()?;
        Ok(Sources { manifest: None, database, list, unreadable, checkpoint: None })
    }
}

fn unsealed_entry(number: u64, uid: u64) -> SegmentEntry {
    SegmentEntry { number, uid, run: None, state: SegmentState::Unsealed { durable: 0 } }
}

/// A listed segment, or what the manifest says of one that is missing.
type Opened<F> = std::result::Result<Listed<F>, SegmentEntry>;

/// Opens the files that a manifest lists, newest first as [`open_listed`](super::listed::open_listed) does.
fn open_each<D: Dir>(dir: &D, manifest: &Manifest) -> Result<Vec<Opened<D::File>>> {
    let open = |&entry| match open_segment(dir, &entry, false) {
        Ok(file) => Ok(Ok((entry, file))),
        Err(Error::Corrupt { .. }) => Ok(Err(entry)),
        Err(err) => Err(err),
    };
    let files: Vec<_> = manifest.segments.iter().map(open).collect::<Result<_>>()?;
    let look = |opened| match opened {
        Ok((entry, file)) => Listed::look_at(entry, file, manifest.database).map(Ok),
        Err(entry) => Ok(Err(entry)),
    };
    let mut opened: Vec<_> = files.into_iter().rev().map(look).collect::<Result<_>>()?;
    opened.reverse();
    if opened.iter().any(is_elsewhere) {
        find_elsewhere(dir, manifest.database, &mut opened)?;
    }
    Ok(opened)
}

/// Whether a segment is not in the file that it should be in.
fn is_elsewhere<F: File>(opened: &Opened<F>) -> bool {
    opened
        .as_ref()
        .map_or(true, |listed| !listed.has_header() && listed.file_len.max(listed.entry.kept_len()) > 0)
}

/// Takes the files of other names in which such segments are, as the headers tell.
fn find_elsewhere<D: Dir>(dir: &D, database: Id128, opened: &mut [Opened<D::File>]) -> Result<()> {
    let names = dir.names().map_err(|err| Error::io("list", names::MANIFEST, err))?;
    for number in names.iter().filter_map(|name| names::parse_segment(name)) {
        let entry = unsealed_entry(number, 0);
        let Ok(found) = open_segment(dir, &entry, false).and_then(|file| Listed::look_at_any(entry, file))
        else {
            continue;
        };
        let HeaderState::Valid(header) = found.header else { continue };
        let is_it = |opened: &&mut Opened<_>| {
            let entry = opened.as_ref().map_or_else(|entry| *entry, |listed| listed.entry);
            (entry.uid, entry.number, database) == (header.uid, header.number, header.database)
                && is_elsewhere(opened)
        };
        if let Some(place) = opened.iter_mut().find(is_it) {
            let entry = place.as_ref().map_or_else(|entry| *entry, |listed| listed.entry);
            *place = Ok(Listed { entry, ..found });
        }
    }
    Ok(())
}

/// Headers below the watermark must be there, and name as predecessor what precedes them, if that is still there.
fn check_headers<F: File>(
    manifest: &Manifest,
    sealed: &[Listed<F>],
    unsealed: &[Listed<F>],
    judgement: &Judgement,
    found: &mut Findings,
) {
    let proven = unsealed.iter().zip(&judgement.verdicts).filter(|(_, verdict)| verdict.durable > 0);
    let kept: Vec<_> = sealed
        .iter()
        .map(|listed| (listed, listed.entry.kept_len()))
        .chain(proven.map(|(listed, verdict)| (listed, verdict.durable)))
        .collect();
    let listed_uids: HashSet<_> = manifest.segments.iter().map(|entry| entry.uid).collect();
    let mut before = None;
    for (listed, len) in kept {
        let place = (0, RECORDS_AT);
        match listed.header {
            HeaderState::Valid(header) => {
                let link = (header.predecessor_uid, header.predecessor_len);
                if listed_uids.contains(&link.0) && before != Some(link) {
                    found.damage(&listed.name, place, "its header does not fit the segment before it");
                }
            }
            _ => found.damage(&listed.name, place, "the header is damaged, or of another segment"),
        }
        before = Some((listed.entry.uid, len));
    }
}
