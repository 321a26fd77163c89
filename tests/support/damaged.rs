//! Small stores of random histories, and damage to them.

use super::{
    DIR, State, Step, Write, apply, compression, empty, history, merge_policy, open, options, perform,
};
use bitcask::io::sim::{Rng, Sim, Survival};
use bitcask::options::{MergeMode, Options, SyncMode};

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was closed.
    Closed,
    /// Its writer was killed.
    Killed,
}

/// A store that a random history has made.
pub struct Store {
    /// The machine.
    pub sim: Sim,
    /// What it was opened with.
    pub options: Options,
    /// What it held after each number of writes.
    pub states: Vec<State>,
}

impl Store {
    /// What it holds.
    pub fn last(&self) -> &State {
        self.states.last().expect("the first")
    }

    /// The machine once more.
    pub fn image(&self) -> Sim {
        self.sim.crash(self.sim.op_count(), Survival::Everything)
    }
}

/// The store of a history of `steps` steps, with merges, hints, compression and reopening as the seed has it.
pub fn store(seed: u64, steps: usize, left: Left) -> Store {
    let mut rng = Rng::derive(&[seed, 40]);
    let options = Options {
        merge: MergeMode::Manual,
        checkpoint: rng.chance(1, 2),
        compression: compression(&mut rng),
        ..options([SyncMode::None, SyncMode::Always][rng.below(2)])
    };
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    let mut db = open(&sim, &options).expect("a new store opens");
    let mut states = vec![empty()];
    for step in history(&mut rng, steps) {
        match step {
            Step::Write(write) => {
                // For each key versions rise: repair without a manifest goes by them, and takes no cursor along.
                let write = match write {
                    Write::Apply(operations, _) => Write::Batch(operations),
                    write => write,
                };
                perform(&db, &write).expect("a write on a healthy disk");
                let mut next = states.last().expect("the first").clone();
                apply(&mut next, &write);
                states.push(next);
            }
            Step::Sync => db.sync().expect("a sync on a healthy disk"),
            Step::LogThread => db.step_log_thread().expect("jobs on a healthy disk"),
            Step::MergeThread => db.step_merge_thread().expect("jobs on a healthy disk"),
            Step::Merge(percent) => {
                db.merge(&merge_policy(percent)).map(drop).expect("a merge on a healthy disk")
            }
            Step::Reopen => {
                db.close().expect("a close on a healthy disk");
                db = open(&sim, &options).expect("a closed store opens");
            }
        }
    }
    match left {
        Left::Closed => db.close().expect("a close on a healthy disk"),
        Left::Killed => {
            db.poison("killed");
            drop(db);
        }
    }
    sim.start_log();
    Store { sim, options, states }
}
