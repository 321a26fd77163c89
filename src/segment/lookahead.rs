//! Has records whose values will be read soon fetched from memory.
//!
//! Where the order of the keys is not that of the log, each record is a cache miss and mostly a page that the processor
//! has to look up too. Those of several entries are asked for together, and a batch ahead, so that they have time to arrive.

use super::view::Segment;
use crate::format::hint::HintEntry;
use crate::io::env::File;

/// What a processor fetches at a time.
pub const LINE_BYTES: u64 = 64;
/// The most records that are asked for at a time. A walk begins with one, for short scans.
const BATCH: usize = 16;

/// About half as many records as may be on their way for all cursors of a walk: twice as many of 140 bytes no longer fit
/// the fastest cache, which makes a walk through ten runs a third slower.
const BATCHES: usize = 60;

/// How far a cursor has looked ahead among the entries at hand.
///
/// Places are of any kind that ascends in the direction of the walk.
#[derive(Default)]
pub struct Lookahead {
    /// Having come here, the cursor looks further ahead.
    due: usize,
    /// Behind what was asked for.
    end: usize,
    /// How many records are asked for next, and at the most.
    batch: usize,
    most: usize,
}

impl Lookahead {
    /// That of one of so many cursors.
    pub fn of(cursors: usize) -> Self {
        Lookahead { most: (BATCHES / cursors.max(1)).clamp(2, BATCH), ..Lookahead::default() }
    }

    /// Nothing of what is now at hand was asked for.
    pub fn restart(&mut self) {
        (self.due, self.end) = (0, 0);
    }

    /// A walk begins.
    pub fn begin(&mut self) {
        (self.due, self.end, self.batch) = (0, 0, 1);
    }

    /// Nothing more is to be asked for of what is at hand.
    pub fn stop(&mut self) {
        self.due = usize::MAX;
    }

    /// Whether it is time to look further ahead for a cursor that comes to `place`.
    #[inline]
    pub fn is_due(&self, place: usize) -> bool {
        place >= self.due
    }

    /// Asks for the records of the entries behind those that were asked for already, or at `place` if that is further.
    /// `next` answers the entry at a place and the place behind it; `None` at the end.
    pub fn look<'e, F: File>(
        &mut self,
        segment: &Segment<F>,
        place: usize,
        next: impl Fn(usize) -> Option<(HintEntry<'e>, usize)>,
    ) {
        let begin = self.end.max(place);
        let (mut records, mut count, mut at) = ([(0, 0); BATCH], 0, begin);
        while count < self.batch
            && let Some((entry, behind)) = next(at)
        {
            records[count] = (entry.offset, entry.record_len());
            (count, at) = (count + 1, behind);
        }
        // One line of each comes first, in a loop so short that the processor looks up the pages of several at once.
        let records = &records[..count];
        records.iter().for_each(|&(offset, _)| segment.prefetch(offset, 1));
        records
            .iter()
            .for_each(|&(offset, len)| segment.prefetch(offset + LINE_BYTES, len.saturating_sub(LINE_BYTES)));
        self.due = if count < self.batch { usize::MAX } else { begin };
        self.end = at;
        self.batch = (2 * self.batch).min(self.most);
    }
}
