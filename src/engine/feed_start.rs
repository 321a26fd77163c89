//! Where in the log a feed goes on.
//!
//! A position is a segment and how much of it lies before; where a segment has just been begun, the end of the one before
//! it. Everything from there to the log's end must be as it was written, in segments that follow one another by their
//! headers: what was merged lacks changes, and what a recovery discarded was handed out for nothing. Recoveries copy what
//! was not proven durable; the manifest says where to.

use super::listed::RECORDS_AT;
use super::shared::{FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::segment_header::{HeaderState, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::Env;
use crate::io::whole::read_full;
use crate::segment::view::Segment;
use crate::sync::Arc;
use std::collections::{HashSet, VecDeque};

/// A segment's uid and how much of it lies before a position.
pub(super) type LogPlace = (u64, u64);

/// The segments that a feed has to read, the first from an offset on.
pub(super) struct Start<E: Env> {
    pub(super) segments: VecDeque<Arc<Segment<FileOf<E>>>>,
    pub(super) at: u64,
}

impl<E: Env> Inner<E> {
    /// Where a feed at `link` goes on; `None` when it cannot.
    pub(super) fn start_of_feed(&self, link: LogPlace) -> Result<Option<Start<E>>> {
        let writer = self.writer()?.lock();
        let view = self.view.load_full();
        let (active, end_link) = (writer.active().clone(), writer.end_link());
        let active_len = writer.active_len();
        drop(writer);
        // After the view: of what a merge has put in other segments' place by now, neither is there.
        let manifest = self.manifest.lock();
        let (listed, moved) = (manifest.segments.iter().map(|entry| entry.uid), manifest.moved.clone());
        let listed: HashSet<_> = listed.collect();
        drop(manifest);
        // What a merge is about to write, and a spare, may never be listed.
        let segments: Vec<_> = view.segments().filter(|at| listed.contains(&at.uid)).cloned().collect();
        let active_rank = segments.iter().position(|segment| segment.uid == active.uid);
        let Some(active_rank) = active_rank else { return Ok(None) };
        let end_of = |rank: usize| match rank == active_rank {
            true => active_len,
            false => segments[rank].readable_len(),
        };
        let in_log = |(uid, offset): LogPlace| {
            let rank = segments[..=active_rank].iter().position(|segment| segment.uid == uid)?;
            let merged = segments[rank].run.is_some();
            let held = if merged { offset == end_of(rank) } else { offset <= end_of(rank) };
            held.then_some((rank, offset))
        };
        let copied = || moved.iter().find_map(|moved| in_log(moved.end_of(link.0, link.1)?));
        let mut found = in_log(link).or_else(copied);
        if found.is_none() {
            for (rank, segment) in segments[..=active_rank].iter().enumerate() {
                if self.follows(segment, end_of(rank), end_link, link)? {
                    found = Some((rank, RECORDS_AT));
                }
            }
        }
        let Some((first, at)) = found else { return Ok(None) };
        for rank in first + 1..=active_rank {
            let before = (segments[rank - 1].uid, end_of(rank - 1));
            if !self.follows(&segments[rank], end_of(rank), end_link, before)? {
                return Ok(None);
            }
        }
        Ok(Some(Start { segments: segments[first..=active_rank].iter().cloned().collect(), at }))
    }

    /// Whether a segment, of which there are `len` bytes, goes on from `link`, as it was written. One without any, which is
    /// the active one, will go on from `end_link`.
    fn follows(
        &self,
        segment: &Segment<FileOf<E>>,
        len: u64,
        end_link: LogPlace,
        link: LogPlace,
    ) -> Result<bool> {
        if len == 0 { Ok(end_link == link) } else { self.continues(segment, link) }
    }

    /// Whether a segment that has a header goes on from `link`, as it was written.
    pub(super) fn continues(&self, segment: &Segment<FileOf<E>>, link: LogPlace) -> Result<bool> {
        if segment.run.is_some() {
            return Ok(false);
        }
        let mut head = [0; SEGMENT_HEADER_LEN];
        let got = read_full(&segment.file, &mut head, 0);
        let got = got.map_err(|err| Error::io("read", &segment.name, err))?;
        Ok(matches!(SegmentHeader::decode(&head[..got]), HeaderState::Valid(header)
            if header.uid == segment.uid && (header.predecessor_uid, header.predecessor_len) == link))
    }
}
