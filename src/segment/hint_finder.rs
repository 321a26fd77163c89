//! Looks for keys in a hint, in ascending order, without keeping its file open.
//!
//! Only the blocks' places are known, not the keys they begin with, so a block has to be read to compare with it. As the
//! keys ascend, the search goes on from the block where the last one ended, in growing steps and then by halves: few
//! keys cost a binary search each, and many read each block about once.

use super::hint_reader::HintIndex;
use crate::error::{Error, Result};
use crate::format::hint::HintEntry;
use crate::io::env::File;
use std::cmp::Ordering;

/// See the file's head.
pub struct HintFinder {
    index: HintIndex,
    /// No key that will be asked for lies before this block.
    at: usize,
    /// Which block is in `bytes`, whole.
    held: Option<usize>,
    bytes: Vec<u8>,
}

impl HintFinder {
    /// Before the first key.
    pub fn new(index: HintIndex) -> Self {
        HintFinder { index, at: 0, held: None, bytes: Vec::new() }
    }

    /// Whether the hint has an entry of `key`, which is no less than the one asked for before. `open` opens the hint's
    /// file by its name, if it has to be read.
    ///
    /// # Errors
    /// `Corrupt` where a block is not what it was when the hint was opened; `Io`, `NoMemory`, and what `open` answers.
    pub fn holds<F: File>(&mut self, key: &[u8], open: impl FnOnce(&str) -> Result<F>) -> Result<bool> {
        let mut high = self.index.block_count();
        if high == 0 {
            return Ok(false);
        }
        if self.held == Some(self.at)
            && let Some(holds) = self.look(key)
        {
            return Ok(holds);
        }
        let file = open(self.index.name())?;
        let mut step = 1;
        // The last block that begins with the key or a lesser one is to be found: if any has the key, that one has.
        while self.at + 1 < high {
            let block = self.at + step.min((high - self.at) / 2);
            self.hold(&file, block)?;
            if HintEntry::decode(&self.bytes).is_none_or(|(first, _)| first.key > key) {
                high = block;
                continue;
            }
            (self.at, step) = (block, 2 * step);
            if let Some(holds) = self.look(key) {
                return Ok(holds);
            }
        }
        self.hold(&file, self.at)?;
        Ok(self.look(key).unwrap_or(false))
    }

    fn hold<F: File>(&mut self, file: &F, block: usize) -> Result<()> {
        if self.held == Some(block) {
            return Ok(());
        }
        self.held = None;
        if !self.index.read_block(file, block, &mut self.bytes)? {
            return Err(Error::corrupt(self.index.name(), 0, "a block does not match its checksum"));
        }
        self.held = Some(block);
        Ok(())
    }

    /// Whether the block `at`, which is held, has the key; `None` when all its keys are lesser ones and others follow.
    fn look(&self, key: &[u8]) -> Option<bool> {
        let mut rest = &self.bytes[..];
        while let Some((entry, after)) = HintEntry::decode(rest) {
            match entry.key.cmp(key) {
                Ordering::Less => rest = after,
                Ordering::Equal => return Some(true),
                Ordering::Greater => return Some(false),
            }
        }
        (self.at + 1 == self.index.block_count()).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::coding::Id128;
    use crate::format::record::{Draft, Flags, RecordHeader};
    use crate::io::env::{Dir, DirOptions, Env};
    use crate::io::sim::{Call, FaultPlan, Rng, Sim, SimFile};
    use crate::keydir::Secret;
    use crate::segment::hint_reader::Hint;
    use crate::segment::hint_writer::{HintBuilder, HintId};
    use std::path::Path;

    const DIR: &str = "/hints";
    const ID: HintId = HintId { database: Id128([1; 16]), uid: 1, segment_len: 1 << 24 };

    fn open(sim: &Sim) -> Result<SimFile> {
        let options = DirOptions { create: false, file_mode: 0o600 };
        let dir = sim.open_dir(Path::new(DIR), options).expect("a directory");
        dir.open("1", false).map_err(|err| Error::io("open", "1", err))
    }

    fn key(n: u64) -> Vec<u8> {
        format!("key {n:06}").into_bytes()
    }

    /// A hint that holds each key so many times.
    fn finder(keys: impl Iterator<Item = (u64, usize)>) -> (Sim, HintFinder) {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let mut builder = HintBuilder::default();
        let all = keys.flat_map(|(n, times)| std::iter::repeat_n(key(n), times));
        for (offset, key) in (1..).map(|n| 8 * n).zip(all) {
            let header = Draft::new(&key, b"", Flags::NONE, None).header(offset, 1, offset);
            builder.add(&RecordHeader::decode(&header).expect("a header"), &key, offset).expect("memory");
        }
        let options = DirOptions { create: false, file_mode: 0o600 };
        let file = sim.open_dir(Path::new(DIR), options).expect("a directory").create("1").expect("a file");
        assert!(builder.write(&file, "1", ID, &Secret::new(&[0; 16]), || true).expect("a hint"));
        let hint = Hint::open(open(&sim).expect("a file"), "1".to_string(), ID).expect("no error");
        (sim, HintFinder::new(hint.expect("a hint").into_index()))
    }

    #[test]
    fn every_key_that_is_there_is_found_and_no_other() {
        for (count, every) in [(0, 1), (1, 1), (100, 1), (5000, 1), (5000, 7), (5000, 900)] {
            // Now and then the entries of a key fill several blocks.
            let times = |n: u64| if n % 1000 == 500 { 400 } else { 1 };
            let (sim, mut finder) = finder((0..count).map(|n| (2 * n, times(n))));
            for n in (0..2 * count + 3).step_by(every) {
                let holds = finder.holds(&key(n), |_| open(&sim)).expect("no error");
                assert_eq!(holds, n % 2 == 0 && n < 2 * count, "{n} of {count}");
            }
        }
    }

    #[test]
    fn many_keys_read_each_block_about_once_and_few_read_few() {
        let (sim, mut finder) = finder((0..20_000).map(|n| (n, 1)));
        let blocks = finder.index.block_count() as u64;
        let reads = |finder: &mut HintFinder, keys: &mut dyn Iterator<Item = u64>| {
            sim.clear_faults();
            // Limits that no read reaches: they count the reads.
            let fired = sim.faults_fired();
            sim.fail(FaultPlan::nth(1).only(&[Call::Read]).short(1 << 20).sticky());
            keys.for_each(|n| assert!(finder.holds(&key(n), |_| open(&sim)).expect("no error")));
            sim.faults_fired() - fired
        };
        let one = reads(&mut finder, &mut (13_000..13_001));
        assert!(one < 20 && blocks > 100, "{one} reads for one of {blocks} blocks");
        finder.at = 0;
        let all = reads(&mut finder, &mut (0..20_000));
        assert!(all <= blocks + 1, "{all} reads for {blocks} blocks");
    }

    #[test]
    fn damage_and_failed_reads_are_errors_and_no_answer() {
        let mut rng = Rng::derive(&[5]);
        for _ in 0..50 {
            let (sim, mut finder) = finder((0..2000).map(|n| (n, 1)));
            let len = sim.files(DIR)["1"];
            for _ in 0..8 {
                sim.corrupt(DIR, "1", rng.below(usize::try_from(len).expect("small")) as u64, 1);
            }
            let answers: Vec<_> = (0..2000).map(|n| finder.holds(&key(n), |_| open(&sim))).collect();
            assert!(
                answers.iter().all(|answer| !matches!(answer, Ok(false))),
                "a key that is there is denied"
            );
        }
        let (sim, mut finder) = finder((0..2000).map(|n| (n, 1)));
        sim.fail(FaultPlan::nth(2).only(&[Call::Read]).sticky());
        finder.holds(&key(900), |_| open(&sim)).expect_err("a read failed");
        sim.clear_faults();
        assert!(finder.holds(&key(900), |_| open(&sim)).expect("no error"), "and is done again");
    }
}
