//! A simulated machine: the world the crash and fault tests run the engine in.
//!
//! Invariant: everything that happens follows from the seed and the calls made, so a run replays exactly, log
//! and crash images included. A [`Sim`] records every operation that changes its disk; [`Sim::crash`] and
//! [`Sim::crasher`] answer what a disk would hold had the machine stopped after any of them, by the model in
//! [`crash`]. [`Sim::fail`] fails calls, and the helpers in `outside` do what a hostile hand would do.
//!
//! ```
//! use bitcask::io::env::{Dir, DirOptions, Env, File};
//! use bitcask::io::sim::{Sim, Survival};
//! use std::{io::IoSlice, path::Path};
//!
//! let sim = Sim::new(42);
//! sim.make_dirs("/db");
//! let dir = sim.open_dir(Path::new("/db"), DirOptions { create: false, file_mode: 0o600 })?;
//! sim.start_log();
//! let file = dir.create("a")?;
//! file.write_at(&[IoSlice::new(b"one")], 0)?;
//! sim.mark(1);
//! let mut crasher = sim.crasher();
//! loop {
//!     // Nothing was synced, so the file is there only after `kill -9`, and whole once it was acknowledged.
//!     assert!(crasher.image(Survival::SyncedOnly).files("/db").is_empty());
//!     let killed = crasher.image(Survival::Everything);
//!     assert!(crasher.acknowledged().is_none() || killed.read_file("/db", "a").unwrap() == b"one");
//!     if !crasher.advance() {
//!         break;
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! There are no threads unless the test asks for real ones ([`Sim::with_threads`]), and no mappings. What the
//! engine makes of it all is the tests' business.

mod content;
mod crash;
mod disk;
mod fault;
mod handle;
mod outside;
mod path;
mod rng;
mod state;
#[cfg(test)]
mod tests;
mod threads;

use std::io;
use std::path::Path;

use crate::io::env::{DirOptions, Env, Thread};
use crate::sync::{Arc, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};

pub use crash::{Crasher, Mark, Survival};
pub use disk::{DirId, Dirty, FileId, Op};
pub use fault::{Call, FaultPlan};
pub use handle::{NoMap, SimDir, SimFile};
pub use rng::Rng;

use crash::{Cursor, mark_at};
use disk::Disk;
use state::State;

/// Where the clock of a new machine stands: 2023-11-14.
const FIRST_CLOCK_NS: u64 = 1_700_000_000_000_000_000;

/// What [`Env::process_token`] answers until a test sets another.
const FIRST_PROCESS_TOKEN: u64 = 1;

/// A simulated machine. Clones are the same machine.
#[derive(Clone)]
pub struct Sim {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when syncs are released and when one begins to wait.
    gate: Condvar,
    process_token: AtomicU64,
    threads: bool,
}

impl Sim {
    /// A machine with an empty root directory and no threads.
    pub fn new(seed: u64) -> Self {
        Sim::of(State::new(Disk::new(), seed, FIRST_CLOCK_NS), false)
    }

    /// A machine whose [`Env::spawn`] starts real threads. The order of calls is then the scheduler's, so
    /// such a run does not replay.
    pub fn with_threads(seed: u64) -> Self {
        Sim::of(State::new(Disk::new(), seed, FIRST_CLOCK_NS), true)
    }

    fn of_disk(disk: Disk, seed: u64, clock_ns: u64) -> Self {
        Sim::of(State::new(disk, seed, clock_ns), false)
    }

    fn of(state: State, threads: bool) -> Self {
        Sim {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                gate: Condvar::new(),
                process_token: AtomicU64::new(FIRST_PROCESS_TOKEN),
                threads,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// How many operations have been recorded: the number of the last one.
    pub fn op_count(&self) -> usize {
        self.state().log.len()
    }

    /// The recorded operations.
    pub fn log(&self) -> Arc<Vec<Op>> {
        self.state().log.clone()
    }

    /// The log as text, a numbered line an operation, for failure reports.
    pub fn log_text(&self) -> String {
        let log = self.log();
        log.iter().enumerate().map(|(i, op)| format!("{} {op}\n", i + 1)).collect()
    }

    /// Forgets the log and the marks: the disk as it is now, unsynced changes and all, becomes the beginning.
    /// The log holds every byte written, so a long run that wants no images calls this now and then.
    pub fn start_log(&self) {
        self.state().start_log();
    }

    /// Notes that the writes up to `n` were acknowledged, as of the operations so far.
    pub fn mark(&self, n: u64) {
        let state = &mut *self.state();
        Arc::make_mut(&mut state.acknowledged).push(Mark { at_op: state.log.len(), n });
    }

    /// Notes that the writes up to `n` were acknowledged as durable, as of the operations so far.
    pub fn mark_synced(&self, n: u64) {
        let state = &mut *self.state();
        Arc::make_mut(&mut state.synced).push(Mark { at_op: state.log.len(), n });
    }

    /// The last [`Sim::mark`] at or before operation `at_op`.
    pub fn acknowledged(&self, at_op: usize) -> Option<u64> {
        mark_at(&self.state().acknowledged, at_op)
    }

    /// The last [`Sim::mark_synced`] at or before operation `at_op`.
    pub fn synced(&self, at_op: usize) -> Option<u64> {
        mark_at(&self.state().synced, at_op)
    }

    /// What a crash just after operation `at_op` leaves; 0 is before the first. No lock is held there, no
    /// fault is laid, space is unlimited, and its log is empty. Asking in ascending order costs one replay in all.
    pub fn crash(&self, at_op: usize, survival: Survival) -> Sim {
        self.crasher_at(at_op).image(survival)
    }

    /// What a crash in the middle of operation `op` leaves; `seed` chooses how much of it happened.
    pub fn crash_within(&self, op: usize, survival: Survival, seed: u64) -> Sim {
        assert!(op > 0, "operations are numbered from 1");
        self.crasher_at(op - 1).torn_image(survival, seed)
    }

    /// A walk over the log as it is now, from its beginning.
    pub fn crasher(&self) -> Crasher {
        let state = self.state();
        state.crasher(Cursor { disk: state.base.clone(), at_op: 0 })
    }

    fn crasher_at(&self, at_op: usize) -> Crasher {
        let state = &mut *self.state();
        let kept = state.cursor.take().filter(|cursor| cursor.at_op <= at_op);
        let mut cursor = kept.unwrap_or_else(|| Cursor { disk: state.base.clone(), at_op: 0 });
        cursor.advance_to(&state.log, at_op);
        state.cursor = Some(cursor.clone());
        state.crasher(cursor)
    }

    /// Lays a fault.
    pub fn fail(&self, plan: FaultPlan) {
        self.state().faults.lay(plan);
    }

    /// Takes all laid faults away.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How many calls were failed or shortened by laid faults.
    pub fn faults_fired(&self) -> u64 {
        self.state().faults.fired()
    }

    /// How many calls of any kind were made, refused ones included.
    pub fn call_count(&self) -> u64 {
        self.state().counts.iter().sum()
    }

    /// How many calls of one kind were made, refused ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.state().counts[call as usize]
    }

    /// How many `sync_data` calls were made.
    pub fn syncs(&self) -> u64 {
        self.calls(Call::SyncData)
    }

    /// How many bytes files may still grow by; `None` for no limit. A write that goes past it is short, the
    /// next one answers `ENOSPC`. Truncation and removal give bytes back.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// What [`Sim::set_free_bytes`] set, less what was taken since.
    pub fn free_bytes(&self) -> Option<u64> {
        self.state().free_bytes
    }

    /// Sets the clock, forward or back.
    pub fn set_clock_ns(&self, now_ns: u64) {
        self.state().clock_ns = now_ns;
    }

    /// Moves the clock forward.
    pub fn advance_clock_ns(&self, by_ns: u64) {
        self.state().clock_ns += by_ns;
    }

    /// Sets what [`Env::process_token`] answers: another number makes this a forked child.
    pub fn set_process_token(&self, token: u64) {
        self.shared.process_token.store(token, Ordering::Relaxed);
    }

    /// Makes every `sync_data` hang before it does anything, until [`Sim::release_syncs`]. For tests with
    /// threads; a single thread that syncs would wait for itself.
    pub fn hold_syncs(&self) {
        self.state().syncs_held = true;
    }

    /// Lets hanging syncs go on. They cover what was written before they were called, not what came since.
    pub fn release_syncs(&self) {
        self.state().syncs_held = false;
        self.shared.gate.notify_all();
    }

    /// How many syncs hang now.
    pub fn syncs_waiting(&self) -> usize {
        self.state().syncs_waiting
    }

    /// Waits until at least `count` syncs hang.
    pub fn wait_for_held_syncs(&self, count: usize) {
        let mut state = self.state();
        while state.syncs_waiting < count {
            self.shared.gate.wait(&mut state);
        }
    }
}

impl Env for Sim {
    type Dir = SimDir;

    fn open_dir(&self, path: &Path, options: DirOptions) -> io::Result<SimDir> {
        SimDir::open_path(self, path, options)
    }

    fn now_ns(&self) -> u64 {
        self.state().tick()
    }

    fn fill_random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.begin(Call::Random, None)?;
        state.rng.fill(out);
        outcome.finish()
    }

    fn process_token(&self) -> u64 {
        self.shared.process_token.load(Ordering::Relaxed)
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Option<Box<dyn Thread>>> {
        self.state().begin(Call::Spawn, None)?.finish()?;
        if self.shared.threads { threads::spawn(name, work).map(Some) } else { Ok(None) }
    }
}
