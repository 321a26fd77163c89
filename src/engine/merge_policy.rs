//! Which segments are worth merging.
//!
//! Only a contiguous run of sealed, undamaged segments can be merged (rule M1). The segments of one sorted run count as
//! one. As in Bitcask, a segment is worth a merge of its own past a trigger, and is taken along by its neighbours past a
//! lower threshold, or when it is small.

use crate::options::MergePolicy;
use std::ops::Range;

/// How many small segments next to each other are worth joining.
const SMALL_JOINED: usize = 4;
/// How many segments one merge takes, unless a single sorted run has more. While they are merged the hint of each is
/// open and a part of it in memory: a quarter of the 1024 descriptors that a process usually may have, and 32 MiB.
const MAX_INPUTS: usize = 256;

/// What the policy knows of a sealed segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) bytes: u64,
    /// Bytes that a merge would probably give back.
    pub(super) dead_bytes: u64,
    pub(super) run: Option<u64>,
    /// Whether it can be merged at all.
    pub(super) mergeable: bool,
}

/// Segments that are merged together or not at all.
struct Unit {
    segments: Range<usize>,
    bytes: u64,
    dead_bytes: u64,
    mergeable: bool,
}

impl MergePolicy {
    /// The segments to merge next, of all sealed ones in order: of the stretches worth it, the one with the most dead
    /// bytes.
    pub(super) fn choose(&self, segments: &[Candidate]) -> Option<Range<usize>> {
        let units = units(segments);
        let stretches = units.split(|unit| !self.takes(unit)).filter(|stretch| !stretch.is_empty());
        let windows = stretches.filter_map(|stretch| self.best_window(stretch));
        windows.max_by_key(|&(dead_bytes, _)| dead_bytes).map(|(_, segments)| segments)
    }

    fn takes(&self, unit: &Unit) -> bool {
        unit.mergeable
            && (self.triggers(unit)
                || unit.dead_bytes * 100 >= unit.bytes * self.threshold_percent
                || unit.dead_bytes >= self.threshold_bytes
                || self.is_small(unit))
    }

    fn triggers(&self, unit: &Unit) -> bool {
        unit.dead_bytes * 100 >= unit.bytes * self.trigger_percent || unit.dead_bytes >= self.trigger_bytes
    }

    fn is_small(&self, unit: &Unit) -> bool {
        unit.bytes < self.small_segment_bytes
    }

    /// Of units next to each other, those that give back the most and are worth it; and how much that is.
    fn best_window(&self, stretch: &[Unit]) -> Option<(u64, Range<usize>)> {
        let mut best = None;
        for from in 0..stretch.len() {
            let (mut bytes, mut dead_bytes) = (0u64, 0);
            let (mut triggered, mut small) = (false, 0);
            for (at, unit) in stretch.iter().enumerate().skip(from) {
                bytes = bytes.saturating_add(unit.bytes);
                let segments = stretch[from].segments.start..unit.segments.end;
                if (bytes > self.max_input_bytes || segments.len() > MAX_INPUTS) && at > from {
                    break;
                }
                dead_bytes += unit.dead_bytes;
                triggered |= self.triggers(unit);
                small += usize::from(self.is_small(unit));
                let worth = triggered || small >= SMALL_JOINED;
                let size = at - from;
                if worth
                    && best
                        .as_ref()
                        .is_none_or(|&(held, held_size, _)| (held, held_size) < (dead_bytes, size))
                {
                    best = Some((dead_bytes, size, segments));
                }
            }
        }
        best.map(|(dead_bytes, _, segments)| (dead_bytes, segments))
    }
}

fn units(segments: &[Candidate]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut last_run = None;
    for (at, segment) in segments.iter().enumerate() {
        match units.last_mut().filter(|_| segment.run.is_some() && segment.run == last_run) {
            Some(unit) => {
                unit.segments.end = at + 1;
                unit.bytes += segment.bytes;
                unit.dead_bytes += segment.dead_bytes;
                unit.mergeable &= segment.mergeable;
            }
            None => units.push(Unit {
                segments: at..at + 1,
                bytes: segment.bytes,
                dead_bytes: segment.dead_bytes,
                mergeable: segment.mergeable,
            }),
        }
        last_run = segment.run;
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn segment(mib: u64, dead_percent: u64) -> Candidate {
        let bytes = mib * MIB;
        Candidate { bytes, dead_bytes: bytes * dead_percent / 100, run: None, mergeable: true }
    }

    fn choose(segments: &[Candidate]) -> Option<Range<usize>> {
        MergePolicy::default().choose(segments)
    }

    #[test]
    fn nothing_is_merged_for_nothing() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[segment(256, 0), segment(256, 39), segment(256, 59), segment(5, 0)]), None);
    }

    #[test]
    fn a_segment_past_the_trigger_takes_along_its_neighbours_past_the_threshold() {
        let segments =
            [segment(256, 10), segment(256, 45), segment(256, 61), segment(3, 0), segment(256, 10)];
        assert_eq!(choose(&segments), Some(1..4));
    }

    #[test]
    fn the_stretch_with_the_most_dead_bytes_is_taken_first() {
        let segments = [segment(256, 70), segment(256, 10), segment(256, 90), segment(256, 10)];
        assert_eq!(choose(&segments), Some(2..3));
    }

    #[test]
    fn small_segments_are_joined_when_there_are_some() {
        assert_eq!(choose(&[segment(1, 0); 3]), None);
        assert_eq!(choose(&[segment(1, 0); 4]), Some(0..4));
        assert_eq!(choose(&[segment(1, 0); 9]), Some(0..9));
    }

    #[test]
    fn no_more_segments_are_taken_than_may_have_their_hints_open_unless_one_run_has_more() {
        let mut segments = [segment(1, 0); 2 * MAX_INPUTS];
        assert_eq!(choose(&segments), Some(0..MAX_INPUTS));
        segments[..MAX_INPUTS + 1].fill(Candidate { run: Some(7), ..segment(1, 90) });
        assert_eq!(choose(&segments), Some(0..MAX_INPUTS + 1));
    }

    #[test]
    fn damaged_segments_are_never_taken_and_part_what_is_beside_them() {
        let mut segments = [segment(256, 90); 5];
        segments[1].mergeable = false;
        assert_eq!(choose(&segments), Some(2..5));
    }

    #[test]
    fn a_sorted_run_is_taken_whole_or_not() {
        let mut segments = [segment(256, 0), segment(256, 0), segment(256, 40), segment(256, 70)];
        for segment in &mut segments[..3] {
            segment.run = Some(7);
        }
        // The run as a whole has 13 % of dead bytes: too few.
        assert_eq!(choose(&segments), Some(3..4));
        segments[1].dead_bytes = segments[1].bytes;
        assert_eq!(choose(&segments), Some(0..4));
    }

    #[test]
    fn no_more_is_taken_than_the_limit_unless_one_alone_is_larger() {
        let policy = MergePolicy { max_input_bytes: 600 * MIB, ..MergePolicy::default() };
        let mut segments = [segment(256, 70); 6];
        segments[4] = segment(256, 90);
        assert_eq!(policy.choose(&segments), Some(3..5));
        assert_eq!(policy.choose(&[segment(700, 90)]), Some(0..1));
    }
}
