//! Several sorted runs as one: by key in a direction, of one key the newest record first (backwards the oldest).
//!
//! A tournament: each run's cursor plays against the winner of the rest, and the losers stay where they lost. When the
//! winner has moved on it plays only against those on its way up, one comparison a round, and nearly all of these are
//! decided by the first sixteen bytes of the keys.

use super::record_walk::{PlainRecord, RecordWalk};
use super::run_cursor::{Direction, Link, RunCursor, Start};
use super::runs::{FIRST_BYTES, first_bytes};
use crate::error::Result;
use crate::format::hint::HintEntry;
use crate::io::env::File;
use std::cmp::Ordering;

/// See the file's head.
pub struct MergedRuns<F: File> {
    cursors: Vec<RunCursor<F>>,
    /// The winner, then the loser of each match; that of number `n` comes out of those of `2 n` and `2 n + 1`.
    matches: Vec<Player>,
    /// The winner stays it as long as its prefix is less than this one. Found out for a winner that walks from record to
    /// record, which often stays.
    runner_up: u128,
    /// The key that was passed last.
    passed: Vec<u8>,
    direction: Direction,
}

/// A cursor, and what decides most of its matches.
#[derive(Clone, Copy, Default)]
struct Player {
    /// The less, the earlier it comes.
    prefix: u128,
    cursor: usize,
}

impl<F: File> MergedRuns<F> {
    /// Nowhere in the records of segments, which are given oldest first.
    pub fn new(links: impl IntoIterator<Item = Link<F>>, direction: Direction) -> Self {
        let mut chains: Vec<Vec<Link<F>>> = Vec::new();
        for link in links {
            // Those of one segment, or of segments that do not lie side by side, may have keys in common.
            let goes_on =
                |last: &Link<F>| link.run.is_some() && last.run == link.run && last.rank + 1 == link.rank;
            match chains.last_mut().filter(|chain| chain.last().is_some_and(goes_on)) {
                Some(chain) => chain.push(link),
                None => chains.push(vec![link]),
            }
        }
        let count = chains.len();
        let cursors: Vec<_> =
            chains.into_iter().map(|chain| RunCursor::new(chain, direction, count)).collect();
        MergedRuns { cursors, matches: Vec::new(), runner_up: 0, passed: Vec::new(), direction }
    }

    /// Moves to where a walk begins.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    pub fn seek(&mut self, start: Start<'_>) -> Result<()> {
        self.matches.clear();
        self.cursors.iter_mut().try_for_each(|cursor| cursor.seek(start))?;
        let count = self.cursors.len();
        let mut winners = vec![Player::default(); count];
        winners.extend((0..count).map(|cursor| self.player(cursor)));
        self.matches.resize(count, Player::default());
        for number in (1..count).rev() {
            let (one, other) = (winners[2 * number], winners[2 * number + 1]);
            let first = self.precedes(one, other);
            (winners[number], self.matches[number]) = if first { (one, other) } else { (other, one) };
        }
        if let Some(winner) = self.matches.first_mut() {
            *winner = winners[1];
            self.runner_up = self.runner_up();
        }
        Ok(())
    }

    /// Moves to the next record. If that fails, the walk still shows where it was, but can only be sent elsewhere.
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn advance(&mut self) -> Result<()> {
        let Some(&Player { cursor, .. }) = self.matches.first() else { return Ok(()) };
        self.cursors[cursor].advance()?;
        let mut winner = self.player(cursor);
        if winner.prefix < self.runner_up {
            self.matches[0] = winner;
            return Ok(());
        }
        let mut number = (self.cursors.len() + cursor) / 2;
        while number > 0 {
            let other = self.matches[number];
            let stays = self.precedes(winner, other);
            self.matches[number] = if stays { other } else { winner };
            winner = if stays { winner } else { other };
            number /= 2;
        }
        self.matches[0] = winner;
        self.runner_up = self.runner_up();
        Ok(())
    }

    /// Moves to the next record of another key. If that fails, as [`MergedRuns::advance`].
    ///
    /// # Errors
    /// As [`RunCursor::seek`].
    #[inline]
    pub fn pass_key(&mut self) -> Result<()> {
        match self.matches.first() {
            // No other run has the key, and a sorted run has none twice.
            Some(winner) if winner.prefix < self.runner_up => self.advance(),
            _ => self.pass_all(),
        }
    }

    /// Moves over the next records and appends them to `out`, until that holds `most`, where that is as simple as
    /// [`RecordWalk::stretch`] has it, and the keys are less than `upper`.
    pub fn stretch(&mut self, upper: Option<&[u8]>, most: usize, out: &mut Vec<PlainRecord>) {
        let Some(winner) = self.matches.first_mut() else { return };
        let rank = self.cursors[winner.cursor].rank();
        let Some(walk) = self.cursors[winner.cursor].walk_mut() else { return };
        walk.stretch(rank, self.runner_up.min(upper.map_or(u128::MAX, first_bytes)), most, out);
        winner.prefix = walk.prefix();
    }

    fn pass_all(&mut self) -> Result<()> {
        let (prefix, key) = (self.prefix(), self.entry().map_or(&[][..], |(_, entry)| entry.key));
        let len = key.len();
        if len <= FIRST_BYTES {
            // With its length these are the key.
            loop {
                self.advance()?;
                if self.prefix() != prefix || self.entry().is_none_or(|(_, entry)| entry.key.len() != len) {
                    return Ok(());
                }
            }
        }
        let mut passed = std::mem::take(&mut self.passed);
        passed.clear();
        passed.extend_from_slice(self.entry().map_or(&[], |(_, entry)| entry.key));
        let outcome = loop {
            match self.advance() {
                Ok(()) if self.is_at(&passed, prefix) => {}
                outcome => break outcome,
            }
        };
        self.passed = passed;
        outcome
    }

    /// Whether the walk has come to a record of `key`, of which `prefix` are the first bytes.
    #[inline]
    pub fn is_at(&self, key: &[u8], prefix: u128) -> bool {
        self.winner().is_some_and(|cursor| {
            cursor.prefix() == prefix && cursor.entry().is_some_and(|entry| entry.key == key)
        })
    }

    /// The record that the walk has come to, and the place of its segment in the log.
    #[inline]
    pub fn entry(&self) -> Option<(usize, HintEntry<'_>)> {
        let cursor = self.winner()?;
        Some((cursor.rank(), cursor.entry()?))
    }

    /// The record and the place of its segment in the log, if its run is walked through from record to record.
    #[inline]
    pub fn walk(&self) -> Option<(usize, &RecordWalk<F>)> {
        let cursor = self.winner()?;
        Some((cursor.rank(), cursor.walk()?))
    }

    /// The first bytes of its key, as a number.
    #[inline]
    pub fn prefix(&self) -> u128 {
        self.winner().map_or(0, RunCursor::prefix)
    }

    /// The least prefix of those that play against the winner when it moves on; 0 if it is not worth knowing.
    #[inline]
    fn runner_up(&self) -> u128 {
        let Some(winner) = self.matches.first().filter(|winner| self.cursors[winner.cursor].walk().is_some())
        else {
            return 0;
        };
        let (mut number, mut least) = ((self.cursors.len() + winner.cursor) / 2, u128::MAX);
        while number > 0 {
            least = least.min(self.matches[number].prefix);
            number /= 2;
        }
        least
    }

    #[inline]
    fn winner(&self) -> Option<&RunCursor<F>> {
        self.cursors.get(self.matches.first()?.cursor)
    }

    #[inline]
    fn player(&self, cursor: usize) -> Player {
        let at = &self.cursors[cursor];
        let prefix = match self.direction {
            _ if at.is_at_end() => u128::MAX,
            Direction::Forward => at.prefix(),
            Direction::Reverse => !at.prefix(),
        };
        Player { prefix, cursor }
    }

    #[inline]
    fn precedes(&self, one: Player, other: Player) -> bool {
        if one.prefix != other.prefix { one.prefix < other.prefix } else { self.is_before(one, other) }
    }

    /// Decides between keys whose first bytes are the same. A cursor at its end comes last.
    fn is_before(&self, one: Player, other: Player) -> bool {
        let (one, other) = (&self.cursors[one.cursor], &self.cursors[other.cursor]);
        let (Some(a), Some(b)) = (one.entry(), other.entry()) else { return one.entry().is_some() };
        let newest_first = (other.rank(), b.offset).cmp(&(one.rank(), a.offset));
        let order = a.key.cmp(b.key).then(newest_first);
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Reverse => order == Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::format::coding::Id128;
    use crate::format::record::{Draft, Flags, RecordHeader};
    use crate::io::env::{Dir, DirOptions, Env};
    use crate::io::sim::{Rng, Sim, SimFile};
    use crate::keydir::Secret;
    use crate::segment::hint_reader::Hint;
    use crate::segment::hint_writer::{HintBuilder, HintId};
    use crate::segment::run_cursor::SortedRun;
    use crate::sync::Arc;
    use std::path::Path;

    const DIR: &str = "/hints";

    type Record = (Vec<u8>, usize, u64);

    fn key(n: usize) -> Vec<u8> {
        format!("key {n:06}").into_bytes()
    }

    /// A hint of these keys, at offsets that ascend.
    fn hint(sim: &Sim, number: u64, keys: &[usize]) -> Arc<Hint<SimFile>> {
        sim.make_dirs(DIR);
        let options = DirOptions { create: false, file_mode: 0o600 };
        let dir = sim.open_dir(Path::new(DIR), options).unwrap();
        let id = HintId { database: Id128([1; 16]), uid: number, segment_len: 1 << 24 };
        let (name, mut builder) = (number.to_string(), HintBuilder::default());
        for (offset, n) in (1..).map(|n| 8 * n).zip(keys) {
            let header = Draft::new(&key(*n), b"", Flags::NONE, None).header(number, number, offset);
            builder.add(&RecordHeader::decode(&header).unwrap(), &key(*n), offset).unwrap();
        }
        let file = dir.create(&name).unwrap();
        assert!(builder.write(&file, &name, id, &Secret::new(&[0; 16]), || true).unwrap());
        Arc::new(Hint::open(dir.open(&name, false).unwrap(), name, id).unwrap().unwrap())
    }

    fn link(hint: &Arc<Hint<SimFile>>, rank: usize, run: Option<u64>) -> Link<SimFile> {
        Link { records: SortedRun::Hint(hint.clone()), rank, run, values: None }
    }

    /// What a map would hold of these hints, in the order of a walk forward.
    fn sorted(keys: &[Vec<usize>]) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        for (rank, keys) in keys.iter().enumerate() {
            all.extend((1..).zip(keys).map(|(at, n)| (key(*n), rank, 8 * at)));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0).then((b.1, b.2).cmp(&(a.1, a.2))));
        all
    }

    fn walked(runs: &mut MergedRuns<SimFile>, most: usize) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        while let Some((rank, entry)) = runs.entry().filter(|_| found.len() < most) {
            found.push((entry.key.to_vec(), rank, entry.offset));
            runs.advance()?;
        }
        Ok(found)
    }

    #[test]
    fn every_start_in_either_direction_finds_what_lies_behind_it() {
        let (sim, mut rng) = (Sim::new(1), Rng::derive(&[3]));
        // Many blocks each; the records of one key fill several; a sorted run of three segments.
        let keys: [Vec<usize>; 7] = [
            (0..9_000).filter(|n| n % 3 == 0).collect(),
            (0..2_000).map(|_| rng.below(9_000)).collect(),
            Vec::new(),
            std::iter::repeat_n(700, 600).chain(600..900).collect(),
            (100..3_000).step_by(2).collect(),
            vec![3_500],
            (4_000..8_000).collect(),
        ];
        let runs = [None, None, None, None, Some(5), Some(5), Some(5)];
        let hints: Vec<_> = (1..).zip(&keys).map(|(number, keys)| hint(&sim, number, keys)).collect();
        for only in [0..7, 0..1, 4..7, 2..3, 0..0, 3..6] {
            for (direction, round) in [Direction::Forward, Direction::Reverse].into_iter().zip([0, 1]) {
                let links = only.clone().map(|rank| link(&hints[rank], rank, runs[rank]));
                let mut merged = MergedRuns::new(links, direction);
                let mut all = sorted(&keys);
                all.retain(|(_, rank, _)| only.contains(rank));
                for round in round..200 {
                    let n = if round % 3 == 0 { 650 + rng.below(100) } else { rng.below(9_002) };
                    let name = key(n);
                    let start = [Start::End, Start::At(&name), Start::Beyond(&name)][round % 3];
                    let is_behind = |other: &&Record| match (start, direction) {
                        (Start::End, _) => true,
                        (Start::At(_), Direction::Forward) => other.0 >= name,
                        (Start::At(_), Direction::Reverse) => other.0 <= name,
                        (Start::Beyond(_), Direction::Forward) => other.0 > name,
                        (Start::Beyond(_), Direction::Reverse) => other.0 < name,
                    };
                    let mut expected: Vec<_> = all.iter().filter(is_behind).cloned().collect();
                    if direction == Direction::Reverse {
                        expected.reverse();
                    }
                    let most = if round % 20 == 0 { usize::MAX } else { 1_500 };
                    merged.seek(start).unwrap();
                    let found = walked(&mut merged, most).unwrap();
                    assert!(
                        found == expected[..most.min(expected.len())],
                        "{only:?} {start:?} {direction:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_damaged_block_is_an_error_and_not_an_end() {
        let sim = Sim::new(1);
        let hint = hint(&sim, 1, &(0..3000).collect::<Vec<_>>());
        sim.corrupt(DIR, "1", 30_000, 1);
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut runs = MergedRuns::new([link(&hint, 0, None)], direction);
            runs.seek(Start::End).unwrap();
            assert!(matches!(walked(&mut runs, usize::MAX), Err(Error::Corrupt { file, .. }) if file == "1"));
        }
    }

    #[test]
    fn segments_that_are_no_sorted_run_are_an_error_and_no_wrong_order() {
        let sim = Sim::new(1);
        let hints = [hint(&sim, 1, &[1, 2, 5]), hint(&sim, 2, &[5, 6])];
        for direction in [Direction::Forward, Direction::Reverse] {
            let links = (0..).zip(&hints).map(|(rank, hint)| link(hint, rank, Some(1)));
            let mut runs = MergedRuns::new(links, direction);
            runs.seek(Start::End).unwrap();
            assert!(matches!(walked(&mut runs, usize::MAX), Err(Error::Corrupt { .. })));
        }
    }
}
