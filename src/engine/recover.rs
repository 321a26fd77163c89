//! Judges the unsealed end of the log, without writing anything.
//!
//! Below the watermark everything was acknowledged by the device: what is bad there is damage. Above it, the
//! log is good up to the first record, batch or link between segments that is not whole (rules P1 and the
//! chain rule of the design); the rest was never acknowledged as synced and is discarded.

use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::{CleanClose, Manifest, Sealed, SegmentEntry, SegmentState};
use crate::format::marker::Watermark;
use crate::format::names;
use crate::format::record::Flags;
use crate::format::segment_header::{HeaderState, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::{Dir, File};
use crate::segment::reader::read_full;
use crate::segment::scanner::{Scanner, Step};

/// The first record's offset.
pub(super) const RECORDS_AT: u64 = SEGMENT_HEADER_LEN as u64;

/// A segment file that the manifest lists.
pub(super) struct Listed<F> {
    pub(super) entry: SegmentEntry,
    pub(super) name: String,
    pub(super) file: F,
    pub(super) file_len: u64,
    pub(super) header: HeaderState,
}

/// What an unsealed segment turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// Bytes proven durable: the segment keeps them where they are.
    pub(super) durable: u64,
    /// End of the good log in it; records between `durable` and here must be copied (rule M4).
    pub(super) good: u64,
}

/// The judgement on the whole end of the log.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// One for each unsealed segment, in order.
    pub(super) verdicts: Vec<Verdict>,
    /// Bytes that are no part of the log any more.
    pub(super) discarded: u64,
    /// The active segment of a clean close, when the writer can go on with it.
    pub(super) resume: Option<usize>,
    /// The highest version seen in the unsealed segments, discarded records included.
    pub(super) highest_version: u64,
}

/// Opens the files that a manifest lists. A missing file is corruption: a segment is listed only once its name
/// is durable.
pub(super) fn open_listed<D: Dir>(dir: &D, manifest: &Manifest, write: bool) -> Result<Vec<Listed<D::File>>> {
    let mut listed = Vec::with_capacity(manifest.segments.len());
    for &entry in &manifest.segments {
        let name = names::segment(entry.number);
        let unsealed = matches!(entry.state, SegmentState::Unsealed { .. });
        let file = dir.open(&name, write && unsealed).map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound => {
                Error::corrupt(&name, 0, "the manifest lists this segment, but there is no such file")
            }
            _ => Error::io("open", &name, err),
        })?;
        let read = |err| Error::io("read", &name, err);
        let file_len = file.len().map_err(read)?;
        let mut head = [0; SEGMENT_HEADER_LEN];
        let got = read_full(&file, &mut head, 0).map_err(read)?;
        let header = judge_header(&head[..got], &entry, manifest.database, &name)?;
        listed.push(Listed { entry, name, file, file_len, header });
    }
    Ok(listed)
}

fn judge_header(head: &[u8], entry: &SegmentEntry, database: Id128, name: &str) -> Result<HeaderState> {
    match SegmentHeader::decode(head) {
        HeaderState::Newer { format, features } => Err(Error::Format {
            file: name.to_string(),
            what: format!(
                "the segment is of format {format} with features {features:#x}; this library reads format 1"
            ),
        }),
        HeaderState::Valid(header)
            if header.uid != entry.uid || header.number != entry.number || header.database != database =>
        {
            Ok(HeaderState::Damaged)
        }
        state => Ok(state),
    }
}

/// Judges the unsealed segments, oldest first.
pub(super) fn judge<F: File>(unsealed: &[Listed<F>], clean: Option<CleanClose>) -> Result<Judgement> {
    let mut judgement =
        Judgement { verdicts: vec![Verdict::default(); unsealed.len()], ..Judgement::default() };
    let (mark, highest_version) = watermark(unsealed, clean)?;
    judgement.highest_version = highest_version;
    let (marked, durable) = mark.unwrap_or((0, 0));
    for at in 0..marked {
        let kept = final_len(&unsealed[at], unsealed.get(at + 1));
        judgement.verdicts[at] = Verdict { durable: kept, good: kept };
    }
    if let Some(verdict) = judgement.verdicts.get_mut(marked) {
        *verdict = Verdict { durable, good: durable };
    }
    judge_tail(unsealed, marked, durable, &mut judgement)?;
    let resumed = clean.and_then(|close| clean_end(unsealed, close));
    let usable = |&(at, len): &(usize, u64)| len == 0 || matches!(unsealed[at].header, HeaderState::Valid(_));
    judgement.resume = resumed.filter(usable).map(|(at, _)| at);
    Ok(judgement)
}

/// The furthest position that anything states as durable: `(index, offset)`; and the highest version seen.
fn watermark<F: File>(
    unsealed: &[Listed<F>],
    clean: Option<CleanClose>,
) -> Result<(Option<(usize, u64)>, u64)> {
    if let Some(marked) = clean.and_then(|close| clean_end(unsealed, close)) {
        return Ok((Some(marked), clean.map_or(0, |close| close.last_version)));
    }
    let mut best = None;
    let mut highest_version = 0;
    let mut state = |uid: u64, offset: u64| {
        let at = unsealed.iter().position(|listed| listed.entry.uid == uid);
        best = best.max(at.filter(|_| offset > 0).map(|at| (at, offset)));
    };
    if let Some(close) = clean {
        unsealed
            .iter()
            .filter(|listed| listed.entry.number == close.active)
            .for_each(|listed| state(listed.entry.uid, close.len));
    }
    for listed in unsealed {
        if let SegmentState::Unsealed { durable } = listed.entry.state {
            state(listed.entry.uid, durable);
        }
        let mut scanner =
            Scanner::new(&listed.file, &listed.name, listed.entry.uid, RECORDS_AT, listed.file_len);
        loop {
            match scanner.step()? {
                Step::Record(record) => {
                    highest_version = highest_version.max(record.header.version);
                    if let Some(Watermark { uid, offset }) = record.watermark {
                        state(uid, offset);
                    }
                }
                Step::Bad { .. } => {
                    for Watermark { uid, offset } in scanner.later_watermarks()? {
                        state(uid, offset);
                    }
                    break;
                }
                Step::End => break,
            }
        }
    }
    Ok((best, highest_version))
}

/// The end of the log when it is just where a clean close left it: then nothing needs to be searched for.
fn clean_end<F: File>(unsealed: &[Listed<F>], close: CleanClose) -> Option<(usize, u64)> {
    let at = unsealed.iter().position(|listed| listed.entry.number == close.active)?;
    let (active, rest) = unsealed[at..].split_first()?;
    let untouched = active.file_len == close.len && rest.iter().all(|listed| listed.file_len == 0);
    (at == 0 && untouched).then_some((at, close.len))
}

/// Where a segment that lies wholly below the watermark ended: its successor says so.
fn final_len<F: File>(listed: &Listed<F>, next: Option<&Listed<F>>) -> u64 {
    match next.map(|next| next.header) {
        Some(HeaderState::Valid(header)) if header.predecessor_uid == listed.entry.uid => {
            header.predecessor_len
        }
        _ => listed.file_len,
    }
}

/// Follows the log above the watermark as far as it is whole.
fn judge_tail<F: File>(
    unsealed: &[Listed<F>],
    marked: usize,
    durable: u64,
    judgement: &mut Judgement,
) -> Result<()> {
    let mut previous: Option<(u64, u64)> = None;
    let mut whole = true;
    for (at, listed) in unsealed.iter().enumerate().skip(marked) {
        let start = if at == marked { durable } else { 0 };
        let linked = start > 0
            || matches!(listed.header, HeaderState::Valid(header)
            if previous.is_none_or(|link| link == (header.predecessor_uid, header.predecessor_len)));
        if !whole || !linked {
            judgement.discarded += listed.file_len.saturating_sub(start);
            whole = false;
            continue;
        }
        let good = good_end(listed, start.max(RECORDS_AT))?;
        judgement.verdicts[at].good = good;
        judgement.discarded += listed.file_len.saturating_sub(good);
        whole = listed.file_len <= good;
        previous = Some((listed.entry.uid, good));
    }
    Ok(())
}

/// The last batch boundary before anything that is not whole.
fn good_end<F: File>(listed: &Listed<F>, start: u64) -> Result<u64> {
    let mut scanner = Scanner::new(&listed.file, &listed.name, listed.entry.uid, start, listed.file_len);
    let mut good = start;
    let mut batch = None;
    loop {
        match scanner.step()? {
            Step::Record(record)
                if record.value_ok && batch.is_none_or(|version| version == record.header.version) =>
            {
                if record.header.flags.has(Flags::BATCH_CONTINUES) {
                    batch = Some(record.header.version);
                } else {
                    batch = None;
                    good = record.offset + record.header.record_len();
                }
            }
            Step::Record(_) | Step::Bad { .. } | Step::End => return Ok(good),
        }
    }
}

/// What the manifest is to say of the first `len` bytes of a segment.
pub(super) fn count<F: File>(listed: &Listed<F>, len: u64) -> Result<Sealed> {
    let mut sealed = Sealed { len, ..Sealed::default() };
    let end = len.min(listed.file_len);
    let mut scanner = Scanner::new(&listed.file, &listed.name, listed.entry.uid, RECORDS_AT, end);
    loop {
        match scanner.step()? {
            Step::Record(record) => {
                if !record.header.flags.has(Flags::INTERNAL) {
                    sealed.records += 1;
                    sealed.tombstones += u64::from(record.header.flags.has(Flags::TOMBSTONE));
                    sealed.highest_version = sealed.highest_version.max(record.header.version);
                }
            }
            Step::Bad { .. } => {
                scanner.resync(end)?;
            }
            Step::End => return Ok(sealed),
        }
    }
}
