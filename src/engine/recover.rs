//! Judges the unsealed end of the log, without writing anything.
//!
//! Below the watermark everything was acknowledged by the device: what is bad there is damage. Above it, the
//! log is good up to the first record, batch or link between segments that is not whole (rules P1 and the
//! chain rule of the design); the rest was never acknowledged as synced and is discarded.

use super::listed::{Listed, RECORDS_AT};
use super::survey::Survey;
use crate::error::Result;
use crate::format::manifest::CleanClose;
use crate::format::segment_header::HeaderState;
use crate::io::env::File;
use crate::sync::Arc;

/// What an unsealed segment turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// Bytes proven durable: the segment keeps them where they are.
    pub(super) durable: u64,
    /// End of the good log in it; records between `durable` and here must be copied (rule M4).
    pub(super) good: u64,
}

/// A cursor stored with applied changes, and the uid of the segment that it is in.
pub(super) type Applied = (Arc<[u8]>, u64);

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
    /// The last cursor stored with applied changes in the unsealed segments; none after a clean close, whose manifest has
    /// it.
    pub(super) applied: Option<Applied>,
    /// What was found in each unsealed segment; nothing after a clean close, when nothing needs to be searched for.
    pub(super) surveys: Vec<Survey>,
}

/// Judges the unsealed segments, oldest first.
pub(super) fn judge<F: File>(unsealed: &[Listed<F>], clean: Option<CleanClose>) -> Result<Judgement> {
    let mut judgement =
        Judgement { verdicts: vec![Verdict::default(); unsealed.len()], ..Judgement::default() };
    let clean_end = clean.and_then(|close| Some((close, clean_end(unsealed, close)?)));
    let mark = match clean_end {
        Some((close, mark)) => {
            judgement.highest_version = close.last_version;
            judgement.surveys.resize_with(unsealed.len(), Survey::default);
            Some(mark)
        }
        None => {
            judgement.surveys = unsealed.iter().map(Survey::of).collect::<Result<_>>()?;
            let versions = judgement.surveys.iter().map(|survey| survey.highest_version);
            judgement.highest_version = versions.max().unwrap_or(0);
            watermark(unsealed, &judgement.surveys, clean)
        }
    };
    let (marked, durable) = mark.unwrap_or((0, 0));
    for at in 0..marked {
        let kept = final_len(&unsealed[at], unsealed.get(at + 1));
        judgement.verdicts[at] = Verdict { durable: kept, good: kept };
    }
    if let Some(verdict) = judgement.verdicts.get_mut(marked) {
        *verdict = Verdict { durable, good: durable };
    }
    judge_tail(unsealed, marked, durable, &mut judgement)?;
    judgement.applied = last_applied(unsealed, &judgement)?;
    let usable = |&(at, len): &(usize, u64)| len == 0 || matches!(unsealed[at].header, HeaderState::Valid(_));
    judgement.resume = clean_end.map(|(_, end)| end).filter(usable).map(|(at, _)| at);
    Ok(judgement)
}

/// The furthest position that anything states as durable: `(index, offset)`.
fn watermark<F: File>(
    unsealed: &[Listed<F>],
    surveys: &[Survey],
    clean: Option<CleanClose>,
) -> Option<(usize, u64)> {
    let of_close = clean.and_then(|close| {
        let at = unsealed.iter().position(|listed| listed.entry.number == close.active)?;
        Some((at, close.len))
    });
    let of_manifest = unsealed.iter().enumerate().map(|(at, listed)| (at, listed.entry.kept_len()));
    let of_markers = surveys.iter().flat_map(|survey| &survey.watermarks).filter_map(|stated| {
        let at = unsealed.iter().position(|listed| listed.entry.uid == stated.uid)?;
        Some((at, stated.offset))
    });
    of_close.into_iter().chain(of_manifest).chain(of_markers).filter(|&(_, offset)| offset > 0).max()
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

/// The cursor stored with the last applied changes in the unsealed segments.
fn last_applied<F: File>(unsealed: &[Listed<F>], judgement: &Judgement) -> Result<Option<Applied>> {
    let judged = unsealed.iter().zip(&judgement.surveys).zip(&judgement.verdicts);
    for ((listed, survey), verdict) in judged.rev().filter(|(_, verdict)| verdict.good > RECORDS_AT) {
        if let Some(cursor) = survey.applied_below(listed, verdict.good)? {
            return Ok(Some((cursor, listed.entry.uid)));
        }
    }
    Ok(None)
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
        let good = judgement.surveys[at].good_from(listed, start.max(RECORDS_AT))?;
        judgement.verdicts[at].good = good;
        judgement.discarded += listed.file_len.saturating_sub(good);
        whole = listed.file_len <= good;
        previous = Some((listed.entry.uid, good));
    }
    Ok(())
}
