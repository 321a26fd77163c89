//! The machine itself: its one lock, and what a test asks of it and sets on it.
//!
//! The engine's side of it is in `handle`, its crashes in `crasher`; both build on this file.

use super::crash::{Mark, mark_at};
use super::disk::{Disk, Op};
use super::fault::{Call, FaultPlan};
use super::state::State;
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};

/// Where the clock of a new machine stands: 2023-11-14.
const FIRST_CLOCK_NS: u64 = 1_700_000_000_000_000_000;

/// What `Env::process_token` answers until a test sets another.
const FIRST_PROCESS_TOKEN: u64 = 1;

/// A simulated machine. Clones are the same machine.
#[derive(Clone)]
pub struct Sim {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Signalled when syncs are released and when one begins to wait.
    pub(super) gate: Condvar,
    pub(super) process_token: AtomicU64,
    pub(super) threads: bool,
    pub(super) maps: AtomicBool,
}

impl Sim {
    /// A machine with an empty root directory and no threads.
    pub fn new(seed: u64) -> Self {
        Sim::of(State::new(Disk::new(), seed, FIRST_CLOCK_NS), false)
    }

    /// A machine whose [`Env::spawn`](crate::io::env::Env::spawn) starts real threads. The order of calls is
    /// then the scheduler's, so such a run does not replay.
    pub fn with_threads(seed: u64) -> Self {
        Sim::of(State::new(Disk::new(), seed, FIRST_CLOCK_NS), true)
    }

    /// From now on files can be mapped. Reads of a mapping are no calls: none fails, and the log does not hold them.
    pub fn map_files(&self) {
        self.shared.maps.store(true, Ordering::Relaxed);
    }

    pub(super) fn of_disk(disk: Disk, seed: u64, clock_ns: u64) -> Self {
        Sim::of(State::new(disk, seed, clock_ns), false)
    }

    fn of(state: State, threads: bool) -> Self {
        Sim {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                gate: Condvar::new(),
                process_token: AtomicU64::new(FIRST_PROCESS_TOKEN),
                threads,
                maps: AtomicBool::new(false),
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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

    /// Sets what [`Env::process_token`](crate::io::env::Env::process_token) answers: another number makes this
    /// a forked child.
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
