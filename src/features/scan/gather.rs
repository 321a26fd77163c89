//! Stretches of records that do not lie in the order of their keys.
//!
//! Each record is a cache miss, and mostly a page that the processor has to look up too. So the entries of several are found
//! first, the records fetched from memory meanwhile, and then all of them verified.

use crate::engine::Snapshot;
use crate::error::Result;
use crate::format::record::Flags;
use crate::io::env::{Dir, Env};
use crate::segment::lookahead::LINE_BYTES;
use crate::segment::merged_runs::MergedRuns;
use crate::segment::record_walk::PlainRecord;
use crate::segment::runs::first_bytes;

/// Behind how many first lines of records come the rest of the lines: the page is looked up by then.
const LAG: usize = 3;

type FileOf<E> = <<E as Env>::Dir as Dir>::File;

/// Where the runs stand when records were gathered.
pub(super) enum Stop {
    /// At the last of these.
    Last,
    /// At what comes next.
    Next,
    /// Nowhere: it goes on at this key.
    At(Vec<u8>),
    /// Nowhere: it goes on behind this key.
    Beyond(Vec<u8>),
}

/// What the entry of a record says that is to be read, but for what [`PlainRecord`] has.
struct Expected {
    /// The first bytes of its key.
    prefix: u128,
    len: u64,
}

/// Gathers records of a snapshot, forward.
#[derive(Default)]
pub(super) struct Gatherer {
    expected: Vec<Expected>,
    /// The key before them.
    before: Vec<u8>,
}

impl Gatherer {
    /// Appends the records behind that at which `runs` stand to `out`, until that holds `most`, as long as they are plain and
    /// sound and their keys less than `upper`.
    pub(super) fn gather<E: Env>(
        &mut self,
        snapshot: &Snapshot<E>,
        runs: &mut MergedRuns<FileOf<E>>,
        upper: Option<&[u8]>,
        most: usize,
        out: &mut Vec<PlainRecord>,
    ) -> Stop {
        self.before.clear();
        self.before.extend_from_slice(runs.entry().map_or(&[], |(_, entry)| entry.key));
        self.expected.clear();
        // A failure is met again by whoever goes there.
        let found = self.find(snapshot, runs, upper, most, out);
        let stop = found.unwrap_or_else(|stop| stop);
        out.iter().rev().take(LAG).for_each(|plain| fetch_rest(snapshot, plain));
        self.cut(snapshot, out).unwrap_or(stop)
    }

    /// Finds the entries of records, which need not be sound.
    fn find<E: Env>(
        &mut self,
        snapshot: &Snapshot<E>,
        runs: &mut MergedRuns<FileOf<E>>,
        upper: Option<&[u8]>,
        most: usize,
        out: &mut Vec<PlainRecord>,
    ) -> std::result::Result<Stop, Stop> {
        let key =
            |runs: &MergedRuns<FileOf<E>>| runs.entry().map_or(Vec::new(), |(_, entry)| entry.key.to_vec());
        let pass_key = |runs: &mut MergedRuns<FileOf<E>>| -> std::result::Result<(), Stop> {
            let passed: Result<()> = runs.pass_key();
            passed.map_err(|_| Stop::Beyond(key(runs)))
        };
        pass_key(runs)?;
        while let Some((rank, entry)) = runs.entry() {
            if upper.is_some_and(|upper| entry.key >= upper) || runs.walk().is_some() {
                break;
            }
            if entry.offset >= snapshot.end_of(rank) {
                // An older one of the key may be the snapshot's.
                runs.advance().map_err(|_| Stop::At(key(runs)))?;
                continue;
            }
            if entry.flags.has(Flags::TOMBSTONE) {
                pass_key(runs)?;
                continue;
            }
            let (len, key_len) = (entry.record_len(), u32::try_from(entry.key.len()).unwrap_or(u32::MAX));
            let is_plain = entry.deadline.is_none() && entry.flags.without(Flags::JSON) == Flags::NONE;
            if !is_plain || snapshot.mapped(rank, entry.offset, len).is_none() {
                break;
            }
            snapshot.prefetch(rank, entry.offset, 1);
            let (offset, version, flags, value_len) =
                (entry.offset, entry.version, entry.flags, entry.value_len);
            self.expected.push(Expected { prefix: runs.prefix(), len });
            out.push(PlainRecord { rank, offset, version, flags, key_len, value_len });
            if let Some(plain) = out.len().checked_sub(1 + LAG).and_then(|at| out.get(at)) {
                fetch_rest(snapshot, plain);
            }
            if out.len() == most {
                return Ok(Stop::Last);
            }
            pass_key(runs)?;
        }
        Ok(Stop::Next)
    }

    /// Cuts `out` before the first record that is not what its entry says, or that is not in order; tells where to go on if
    /// there is one.
    fn cut<E: Env>(&self, snapshot: &Snapshot<E>, out: &mut Vec<PlainRecord>) -> Option<Stop> {
        let (mut sound, mut passed) = (0, &self.before[..]);
        let mut last_prefix = first_bytes(passed);
        for (plain, Expected { prefix, len }) in out.iter().zip(&self.expected) {
            let is_next =
                |key: &&[u8]| first_bytes(key) == *prefix && (*prefix > last_prefix || *key > passed);
            let Some(key) = snapshot.plain_key(plain, *len).filter(is_next) else { break };
            (sound, passed, last_prefix) = (sound + 1, key, *prefix);
        }
        let stop = (sound < out.len()).then(|| Stop::Beyond(passed.to_vec()));
        out.truncate(sound);
        stop
    }
}

/// Has the lines of a record but the first fetched from memory.
#[inline]
fn fetch_rest<E: Env>(snapshot: &Snapshot<E>, plain: &PlainRecord) {
    let len = u64::from(plain.key_len) + u64::from(plain.value_len);
    snapshot.prefetch(plain.rank, plain.offset + LINE_BYTES, len.saturating_sub(LINE_BYTES / 2));
}
