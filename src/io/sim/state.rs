//! All that a simulated machine knows, under one lock.
//!
//! Invariant: `disk` is `base` with every operation of `log` applied, so [`State::record`] is the only way to
//! change it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::crash::{Cursor, Mark};
use super::disk::{DirChange, DirId, Dirty, Disk, FileId, Inode, Node, Op};
use super::fault::{Call, Faults, Verdict};
use super::path::os_error;
use super::rng::Rng;
use crate::sync::Arc;

/// How far the clock goes at each look.
const TICK_NS: u64 = 1_000;

/// The lock of a directory, held by one open handle.
pub(super) struct Held {
    pub(super) dir: DirId,
    pub(super) handle: u64,
}

pub(super) struct State {
    pub(super) disk: Disk,
    pub(super) base: Disk,
    pub(super) log: Arc<Vec<Op>>,
    pub(super) acknowledged: Arc<Vec<Mark>>,
    pub(super) synced: Arc<Vec<Mark>>,
    /// Where the last crash image was taken, so that the next need not start over.
    pub(super) cursor: Option<Cursor>,
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) clock_ns: u64,
    pub(super) faults: Faults,
    pub(super) counts: [u64; Call::COUNT],
    pub(super) locks: Vec<Held>,
    pub(super) next_handle: u64,
    /// How many handles each open file has.
    pub(super) open_files: BTreeMap<FileId, usize>,
    pub(super) free_bytes: Option<u64>,
    pub(super) syncs_held: bool,
    pub(super) syncs_waiting: usize,
}

/// How a call that may begin is to go on.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// How many bytes it may transfer.
    pub(super) limit: Option<usize>,
    /// The error to answer once the work is done.
    errno: Option<i32>,
}

impl Outcome {
    /// The answer of a call whose work is done.
    pub(super) fn finish(self) -> io::Result<()> {
        self.errno.map_or(Ok(()), |errno| Err(os_error(errno)))
    }
}

impl State {
    pub(super) fn new(disk: Disk, seed: u64, clock_ns: u64) -> Self {
        State {
            base: disk.clone(),
            disk,
            log: Arc::default(),
            acknowledged: Arc::default(),
            synced: Arc::default(),
            cursor: None,
            seed,
            rng: Rng::new(seed),
            clock_ns,
            faults: Faults::default(),
            counts: [0; Call::COUNT],
            locks: Vec::new(),
            next_handle: 0,
            open_files: BTreeMap::new(),
            free_bytes: None,
            syncs_held: false,
            syncs_waiting: 0,
        }
    }

    pub(super) fn start_log(&mut self) {
        self.drop_unreachable();
        self.base = self.disk.clone();
        self.log = Arc::default();
        self.acknowledged = Arc::default();
        self.synced = Arc::default();
        self.cursor = None;
    }

    /// Frees the bytes of files that no handle has open and no crash can bring back. Their numbers stay taken.
    fn drop_unreachable(&mut self) {
        let mut reachable: BTreeSet<FileId> = self.open_files.keys().copied().collect();
        for dir in &self.disk.dirs {
            let pending = dir.pending.iter().filter_map(DirChange::node);
            reachable.extend(
                dir.seen.values().chain(dir.durable.values()).copied().chain(pending).filter_map(|node| {
                    match node {
                        Node::File(file) => Some(file),
                        Node::Dir(_) | Node::Special => None,
                    }
                }),
            );
        }
        let nothing = Arc::new(Inode::default());
        for (file, inode) in self.disk.files.iter_mut().enumerate() {
            if !reachable.contains(&file) {
                *inode = nothing.clone();
            }
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.clock_ns += TICK_NS;
        self.clock_ns
    }

    /// Counts the call and asks the faults about it.
    pub(super) fn judge(&mut self, call: Call, name: Option<&str>) -> Verdict {
        self.counts[call as usize] += 1;
        self.faults.judge(call, name)
    }

    /// [`State::judge`] for calls where a failure without effect needs no further thought.
    pub(super) fn begin(&mut self, call: Call, name: Option<&str>) -> io::Result<Outcome> {
        match self.judge(call, name) {
            Verdict::Pass => Ok(Outcome { limit: None, errno: None }),
            Verdict::Short(bytes) => Ok(Outcome { limit: Some(bytes), errno: None }),
            Verdict::Fail { errno, done: true, .. } => Ok(Outcome { limit: None, errno: Some(errno) }),
            Verdict::Fail { errno, .. } => Err(os_error(errno)),
        }
    }

    /// Carries out an operation and writes it down.
    pub(super) fn record(&mut self, op: Op) {
        self.disk.apply(&op);
        Arc::make_mut(&mut self.log).push(op);
    }

    /// What a failing sync does to the unsynced changes.
    pub(super) fn sync_failure(&mut self, dirty: Dirty, call: Call) -> Dirty {
        match dirty {
            // The seed alone would give every failure of one plan the same draws.
            Dirty::PartlyDropped(seed) => {
                Dirty::PartlyDropped(Rng::derive(&[seed, self.counts[call as usize]]).next_u64())
            }
            other => other,
        }
    }

    /// Takes the space for a write of `len` bytes at `offset`, or for as much of it as there is room.
    pub(super) fn take_space(&mut self, file: FileId, offset: u64, len: usize) -> io::Result<usize> {
        let Some(free) = self.free_bytes else { return Ok(len) };
        let growth = (offset + len as u64).saturating_sub(self.disk.files[file].allocated);
        let missing = growth.saturating_sub(free);
        let taken = len.saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        if taken == 0 && len > 0 {
            return Err(os_error(libc::ENOSPC));
        }
        self.free_bytes = Some(free - (growth - missing));
        Ok(taken)
    }

    /// Gives back what `bytes` of a file took.
    pub(super) fn give_space(&mut self, bytes: u64) {
        self.free_bytes = self.free_bytes.map(|free| free + bytes);
    }
}
