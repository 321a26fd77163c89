//! From a recorded run to machines that crashed somewhere in it.

use super::crash::{Cursor, Mark, Survival, mark_at};
use super::disk::{Disk, Op};
use super::machine::Sim;
use super::rng::Rng;
use super::state::State;
use crate::sync::Arc;

/// Walks forward over a recorded log and makes images on the way: the cheap form of [`Sim::crash`] for every
/// operation of a run.
#[derive(Clone)]
pub struct Crasher {
    log: Arc<Vec<Op>>,
    acknowledged: Arc<Vec<Mark>>,
    synced: Arc<Vec<Mark>>,
    cursor: Cursor,
    seed: u64,
    clock_ns: u64,
}

impl Crasher {
    fn over(state: &State, cursor: Cursor) -> Self {
        Crasher {
            log: state.log.clone(),
            acknowledged: state.acknowledged.clone(),
            synced: state.synced.clone(),
            cursor,
            seed: state.seed,
            clock_ns: state.clock_ns,
        }
    }

    /// How many operations have happened where the walk stands.
    pub fn at_op(&self) -> usize {
        self.cursor.at_op
    }

    /// One operation further; `false` at the log's end.
    pub fn advance(&mut self) -> bool {
        let more = self.cursor.at_op < self.log.len();
        if more {
            self.cursor.advance_to(&self.log, self.cursor.at_op + 1);
        }
        more
    }

    /// The operation that comes next, if any: the one that [`Crasher::torn_image`] tears.
    pub fn next_op(&self) -> Option<&Op> {
        self.log.get(self.cursor.at_op)
    }

    /// What a crash here leaves.
    pub fn image(&self, survival: Survival) -> Sim {
        self.sim(self.cursor.disk.image(survival), survival)
    }

    /// What a crash in the middle of the next operation leaves; at the log's end the same as
    /// [`Crasher::image`]. The seed chooses how much of the operation happened.
    pub fn torn_image(&self, survival: Survival, seed: u64) -> Sim {
        match self.next_op() {
            Some(op) => self.sim(self.cursor.torn(op, survival, seed), survival),
            None => self.image(survival),
        }
    }

    /// The last [`Sim::mark`] so far.
    pub fn acknowledged(&self) -> Option<u64> {
        mark_at(&self.acknowledged, self.cursor.at_op)
    }

    /// The last [`Sim::mark_synced`] so far.
    pub fn synced(&self) -> Option<u64> {
        mark_at(&self.synced, self.cursor.at_op)
    }

    fn sim(&self, disk: Disk, survival: Survival) -> Sim {
        let seed = Rng::derive(&[self.seed, self.cursor.at_op as u64, survival.number()]).next_u64();
        Sim::of_disk(disk, seed, self.clock_ns)
    }
}

impl Sim {
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
        Crasher::over(&state, Cursor { disk: state.base.clone(), at_op: 0 })
    }

    fn crasher_at(&self, at_op: usize) -> Crasher {
        let state = &mut *self.state();
        let kept = state.cursor.take().filter(|cursor| cursor.at_op <= at_op);
        let mut cursor = kept.unwrap_or_else(|| Cursor { disk: state.base.clone(), at_op: 0 });
        cursor.advance_to(&state.log, at_op);
        state.cursor = Some(cursor.clone());
        Crasher::over(state, cursor)
    }
}
