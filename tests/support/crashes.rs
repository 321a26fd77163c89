//! Records what is done to a store, then crashes the machine at every operation of that and judges what is left.
//!
//! Rule P1: the state after a crash is that of an exact prefix of the writes, no shorter than the last sync (after
//! `kill -9`: than the last acknowledged write), batches whole or absent. What a store is found to hold it still holds
//! after all that can be merged was merged.

use super::{DIR, State, Write, apply, check_walks, empty, observe_with, open, perform};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::verify::verify;
use bitcask::format::manifest::{Manifest, SegmentState};
use bitcask::format::names;
use bitcask::io::sim::{Crasher, Rng, Sim, Survival};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::path::Path;

/// What a judge answers: why it is not as it must be.
pub type Judged<T> = Result<T, String>;

/// A recorded run: the machine with its log, and the state after each number of writes.
pub struct Run {
    /// The machine.
    pub sim: Sim,
    /// What the store is opened with, before a crash and after it.
    pub options: Options,
    /// How many keys may be counted although their values have expired.
    pub expired: u64,
    /// Whether everything is merged after each crash.
    pub merges_after: bool,
    states: Vec<State>,
}

impl Run {
    /// A machine without a store; crashes begin before its first operation.
    pub fn new(seed: u64, options: Options) -> Run {
        let sim = Sim::new(seed);
        sim.make_dirs(DIR);
        let merges_after = options.merge != MergeMode::Off;
        Run { sim, options, expired: 0, merges_after, states: vec![empty()] }
    }

    /// Opens the store on a healthy disk.
    pub fn open(&self) -> Db<Sim> {
        open(&self.sim, &self.options).expect("the store opens")
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The state after all writes.
    pub fn state(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    /// Notes a write that was acknowledged.
    pub fn note(&mut self, write: &Write) {
        let mut next = self.state().clone();
        apply(&mut next, write);
        self.states.push(next);
        self.sim.mark(self.writes());
        if self.options.sync == SyncMode::Always {
            self.sim.mark_synced(self.writes());
        }
    }

    /// Writes; `false` when the disk is full, and then the write is no part of the history.
    pub fn try_write(&mut self, db: &Db<Sim>, write: &Write) -> bool {
        match perform(db, write) {
            Err(Error::NoSpace { .. }) => return false,
            answer => answer.expect("a write on a healthy disk"),
        }
        self.note(write);
        true
    }

    /// Writes on a healthy disk with room.
    pub fn write(&mut self, db: &Db<Sim>, write: &Write) {
        assert!(self.try_write(db, write), "the disk is full");
    }

    /// Syncs.
    pub fn sync(&self, db: &Db<Sim>) {
        db.sync().expect("a sync on a healthy disk");
        self.sim.mark_synced(self.writes());
    }

    /// Closes.
    pub fn close(&self, db: Db<Sim>) {
        db.close().expect("a close on a healthy disk");
        self.sim.mark_synced(self.writes());
    }

    /// Whether the open store holds what was written.
    pub fn holds(&self, db: &Db<Sim>) -> Judged<()> {
        let found = observe_with(db, self.expired)?;
        if found == *self.state() { Ok(()) } else { Err(format!("{found:?} instead of {:?}", self.state())) }
    }

    /// From here on crashes happen: what was done before is durable and cannot be taken away any more.
    pub fn start(&mut self) {
        self.states.drain(..self.states.len() - 1);
        self.sim.start_log();
    }

    /// Goes on with another machine, which durably has all writes so far.
    pub fn on(self, sim: Sim) -> Run {
        let mut run = Run { sim, ..self };
        run.start();
        run
    }

    /// Goes on with what a crash left of the first `writes` writes.
    pub fn go_back_to(&mut self, writes: u64, sim: Sim) {
        self.states.truncate(index(writes) + 1);
        self.sim = sim;
        self.start();
    }

    /// Opens the image and answers how many writes its state is the result of.
    pub fn judge(&self, image: &Sim, least: u64, most: u64) -> Judged<u64> {
        is_sound(image).map_err(|err| format!("before recovery: {err}"))?;
        // Before the first manifest there is nothing for a reader to open.
        let reader = open(image, &Options { read_only: true, ..self.options.clone() });
        let read = reader.ok().map(|db| observe_with(&db, self.expired)).transpose()?;
        let db = open(image, &self.options).map_err(|err| format!("open: {err}"))?;
        let found = observed(&db, self.expired)?;
        match read {
            None if found != empty() => return Err("a writer opens what a reader refuses".to_string()),
            Some(read) if read != found => {
                return Err(format!("a reader saw {read:?}, a writer {found:?}"));
            }
            _ => {}
        }
        is_sound(image).map_err(|err| format!("after recovery: {err}"))?;
        let stats = db.stats().map_err(|err| err.to_string())?;
        if stats.corrupt_records > 0 || stats.degraded.is_some() {
            return Err(format!("a crash was taken for damage: {:?}", stats.degraded));
        }
        let states = &self.states[index(least)..=index(most)];
        let writes = states.iter().rposition(|state| *state == found).ok_or_else(|| {
            format!("the state {found:?} is not that of {least} to {most} writes: {states:?}")
        })?;
        let names = stray_files(image)?;
        if !names.is_empty() {
            return Err(format!("an open leaves files that no manifest lists: {names:?}"));
        }
        if self.merges_after {
            self.merge_everything(&db)?;
            let merged = observed(&db, self.expired)?;
            if merged != found {
                return Err(format!("{found:?} before all is merged, {merged:?} after it"));
            }
        }
        Ok(least + writes as u64)
    }

    fn merge_everything(&self, db: &Db<Sim>) -> Judged<()> {
        let merged = db.step_log_thread().and_then(|()| db.merge(&MergePolicy::everything()));
        merged.map(drop).map_err(|err| format!("a merge after the crash: {err}"))
    }

    /// Judges an image, then cuts its power in the middle of its recovery and after it, and judges those.
    fn judge_twice(&self, image: &Sim, least: u64, least_durable: u64, most: u64, seed: u64) -> Judged<u64> {
        image.start_log();
        let writes = self.judge(image, least, most)?;
        let again = image.crash(image.op_count(), Survival::SyncedOnly);
        self.judge(&again, writes, writes)
            .map_err(|err| format!("power cut after recovery and close: {err}"))?;
        let mut rng = Rng::derive(&[seed, 2]);
        let at = rng.below(image.op_count() + 1);
        let survival = Survival::Random(rng.next_u64());
        let nested = if rng.chance(1, 2) {
            image.crash(at, survival)
        } else {
            image.crash_within(at.max(1), survival, seed)
        };
        self.judge(&nested, least_durable, most)
            .map_err(|err| format!("crash at operation {at} of recovery, {survival:?}: {err}"))?;
        Ok(3)
    }

    /// Crashes after and within every operation, by kills and power cuts, judges what is left, and answers how many
    /// states were judged.
    pub fn crash_everywhere(&self, seed: u64) -> u64 {
        let mut cases = 0;
        let mut crasher: Crasher = self.sim.crasher();
        loop {
            let at = crasher.at_op() as u64;
            let synced = crasher.synced().unwrap_or(0);
            let acknowledged = crasher.acknowledged().unwrap_or(0);
            let most = (acknowledged + 1).min(self.writes());
            let draw = |n: u64| Survival::Random(seed.wrapping_mul(1009) + 31 * at + n);
            let images = [
                (Survival::Everything, acknowledged, false),
                (Survival::SyncedOnly, synced, false),
                (draw(0), synced, false),
                (draw(1), synced, false),
                (draw(2), synced, true),
                (Survival::Everything, acknowledged, true),
            ];
            for (survival, least, torn) in images {
                let image =
                    if torn { crasher.torn_image(survival, seed + at) } else { crasher.image(survival) };
                match self.judge_twice(&image, least, synced, most, seed + at) {
                    Ok(judged) => cases += judged,
                    Err(err) => panic!(
                        "seed {seed}, {} operation {at}, {survival:?}: {err}\n{}",
                        if torn { "within" } else { "after" },
                        short_log(&self.sim)
                    ),
                }
            }
            if !crasher.advance() {
                return cases;
            }
        }
    }
}

/// Whether a verification finds no damage: what a crash leaves is none. Before the first manifest there is no store.
fn is_sound(image: &Sim) -> Judged<()> {
    match verify(image, Path::new(DIR)) {
        Ok(found) if found.is_sound() => Ok(()),
        Ok(found) => Err(format!("a verification takes a crash for damage: {}", found.to_json())),
        Err(_) if !image.has_dir(DIR) || !image.files(DIR).contains_key(names::MANIFEST) => Ok(()),
        Err(err) => Err(format!("verify: {err}")),
    }
}

/// What the store holds, as reads and walks agree.
fn observed(db: &Db<Sim>, expired: u64) -> Judged<State> {
    let state = observe_with(db, expired)?;
    check_walks(db, &state)?;
    Ok(state)
}

fn index(writes: u64) -> usize {
    usize::try_from(writes).expect("a run has a few dozen writes")
}

/// The operations of a run, without the bytes they wrote.
fn short_log(sim: &Sim) -> String {
    sim.log_text().lines().map(|line| format!("{}\n", &line[..line.len().min(90)])).collect()
}

/// The manifest of a simulated store.
pub fn manifest(sim: &Sim) -> Manifest {
    Manifest::decode(&sim.read_file(DIR, names::MANIFEST).expect("a manifest")).expect("a sound one")
}

/// Segments that no manifest lists, and hints of none of its sealed segments.
fn stray_files(sim: &Sim) -> Judged<Vec<String>> {
    let manifest = sim.read_file(DIR, names::MANIFEST).ok_or("no manifest")?;
    let listed = Manifest::decode(&manifest).map_err(|err| format!("{err:?}"))?.segments;
    let is_stray = |name: &String| {
        let of_segment = names::parse_segment(name).map(|number| (number, false));
        let of_hint = names::parse_hint(name).map(|number| (number, true));
        of_segment.or(of_hint).is_some_and(|(number, sealed)| {
            !listed.iter().any(|entry| {
                entry.number == number && (!sealed || matches!(entry.state, SegmentState::Sealed(_)))
            })
        })
    };
    Ok(sim.files(DIR).into_keys().filter(is_stray).collect())
}
