//! Fails the Nth call of fixed histories, for every N and in every way, and judges what the store says and keeps.
//!
//! An operation that answered OK is there afterwards; one that answered an error is there whole or not at all;
//! reads go on; what a reopen or a power cut leaves is a prefix of the writes no shorter than the last sync.
//! `BITCASK_FAULT_HISTORIES` and `BITCASK_FAULT_FIRST_HISTORY` choose the histories.

use crate::support;
use crate::support::{
    State, Step, Write, apply, empty, history, history_of_documents, merge_policy, observe, open, options,
    perform, segments_with_dictionary, setting, with_dictionaries,
};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::io::sim::{Call, Dirty, FaultPlan, Rng, Sim, Survival};
use bitcask::options::{Options, SyncMode};
use std::collections::BTreeSet;

const STEPS: usize = 26;
/// After so many failed writes a run ends, so that the states that may be stay few.
const MAX_FAILED_WRITES: usize = 4;

/// What an error may have done: the states that the writes so far may have led to.
type States = BTreeSet<State>;

/// How calls are failed.
#[derive(Clone, Copy, Debug)]
struct Fault {
    calls: &'static [Call],
    errno: i32,
    sticky: bool,
    done: bool,
    short: Option<usize>,
    then_error: bool,
    dirty: Dirty,
}

const PLAIN: Fault = Fault {
    calls: &Call::ALL,
    errno: libc::EIO,
    sticky: false,
    done: false,
    short: None,
    then_error: false,
    dirty: Dirty::Dropped,
};

/// All that answers nothing but errors, reads left whole.
const NO_READS: [Call; 10] = [
    Call::Create,
    Call::Rename,
    Call::Remove,
    Call::SyncDir,
    Call::Write,
    Call::Truncate,
    Call::SyncData,
    Call::Names,
    Call::Random,
    Call::Len,
];

/// Calls that merges make, reads left whole.
const MERGING: [Call; 5] = [Call::Create, Call::Rename, Call::Write, Call::SyncData, Call::SyncDir];

fn faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    for errno in [libc::EIO, libc::ENOSPC, libc::EINTR] {
        faults.push(Fault { errno, ..PLAIN });
        faults.push(Fault { errno, sticky: true, calls: &NO_READS, ..PLAIN });
    }
    faults.push(Fault { calls: &Call::CHANGING, done: true, ..PLAIN });
    for short in [1, 40, 100, 150, 400] {
        let torn = Fault { calls: &[Call::Write], short: Some(short), then_error: true, ..PLAIN };
        faults.push(torn);
        faults.push(Fault { errno: libc::ENOSPC, sticky: true, ..torn });
        faults.push(Fault { then_error: false, ..torn });
    }
    for dirty in [Dirty::Dropped, Dirty::PartlyDropped(7), Dirty::Kept] {
        for sticky in [false, true] {
            faults.push(Fault { calls: &[Call::SyncData], dirty, sticky, ..PLAIN });
            faults.push(Fault { calls: &[Call::SyncDir], dirty, sticky, ..PLAIN });
        }
    }
    for calls in [&[Call::SyncData][..], &[Call::Write], &[Call::Rename], &[Call::Truncate]] {
        let name = Fault { calls: leaked(calls), ..PLAIN };
        faults.push(Fault { done: true, ..name });
        faults.push(Fault { done: true, sticky: true, ..name });
        faults.push(Fault { errno: libc::ENOSPC, ..name });
    }
    // The write fails and so does cutting off what it left.
    faults.push(Fault { calls: &[Call::Write, Call::Truncate], done: true, sticky: true, ..PLAIN });
    faults
}

/// The one place that needs the lists above to live as long as the program.
fn leaked(calls: &[Call]) -> &'static [Call] {
    Box::leak(calls.into())
}

impl Fault {
    fn plan(&self, nth: u64) -> FaultPlan {
        let mut plan = FaultPlan::nth(nth).only(self.calls).errno(self.errno).dirty(self.dirty);
        if self.sticky {
            plan = plan.sticky();
        }
        if self.done {
            plan = plan.done_anyway();
        }
        if let Some(bytes) = self.short {
            plan = plan.short(bytes);
        }
        if self.then_error {
            plan = plan.then_error();
        }
        plan
    }

    /// Whether it makes calls short and nothing else: then nothing may be noticed.
    fn is_harmless(&self) -> bool {
        self.short.is_some() && !self.then_error
    }
}

/// One history under one fault.
struct Run {
    sim: Sim,
    options: Options,
    db: Option<Db<Sim>>,
    /// The states that are possible after each number of writes.
    possible: Vec<States>,
    failed_writes: usize,
    fault: Fault,
    cases: u64,
}

type Judged<T> = Result<T, String>;

impl Run {
    fn new(seed: u64, options: Options, fault: Fault) -> Run {
        let sim = Sim::new(seed);
        sim.make_dirs(support::DIR);
        sim.start_log();
        let possible = vec![States::from([empty()])];
        let options = Options { checkpoint: !seed.is_multiple_of(4), ..options };
        Run { sim, options, db: None, possible, failed_writes: 0, fault, cases: 0 }
    }

    fn writes(&self) -> u64 {
        self.possible.len() as u64 - 1
    }

    fn now(&self) -> &States {
        &self.possible[self.possible.len() - 1]
    }

    /// Opens the store; an open that fails must leave a directory that opens once the fault is gone.
    fn open(&mut self) -> Judged<()> {
        self.db = match open(&self.sim, &self.options) {
            Ok(db) => Some(db),
            Err(err) => {
                self.check_error(&err, "open")?;
                if self.fault.sticky {
                    self.sim.clear_faults();
                }
                let db =
                    open(&self.sim, &self.options).map_err(|err| format!("open after the fault: {err}"))?;
                Some(db)
            }
        };
        let found = self.observe()?;
        if !self.now().contains(&found) {
            return Err(format!("reopened to {found:?}, possible is {:?}", self.now()));
        }
        // Recovery has made what it shows durable.
        self.possible.push(States::from([found]));
        self.sim.mark_synced(self.writes());
        Ok(())
    }

    fn db(&self) -> &Db<Sim> {
        self.db.as_ref().expect("the store is open between steps")
    }

    /// Errors that a fault may cause: its own, or that of a handle which an earlier one poisoned.
    fn check_error(&self, err: &Error, during: &str) -> Judged<()> {
        let fits = match err {
            Error::NoSpace { .. } => self.fault.errno == libc::ENOSPC,
            Error::Io { .. } => self.fault.errno != libc::ENOSPC,
            Error::Poisoned { .. } => self.poisoned().is_some(),
            _ => false,
        };
        if fits && !self.fault.is_harmless() { Ok(()) } else { Err(format!("{during} answered: {err}")) }
    }

    fn poisoned(&self) -> Option<String> {
        self.db.as_ref()?.stats().expect("no fork happened").poisoned
    }

    /// Reads all keys: reads go on whatever happened to writes. One that is failed itself is not the last.
    fn observe(&self) -> Judged<State> {
        let fired = self.sim.faults_fired();
        let found = observe(self.db());
        let failed_itself = found.is_err() && self.sim.faults_fired() > fired;
        if failed_itself { observe(self.db()) } else { found }.map_err(|err| format!("reads: {err}"))
    }

    fn write(&mut self, write: &Write) -> Judged<()> {
        let poisoned = self.poisoned();
        let fired = self.sim.faults_fired();
        let answer = perform(self.db(), write);
        let with: States = self.now().iter().cloned().map(|state| applied(state, write)).collect();
        match answer {
            Ok(_) if poisoned.is_some() => return Err("a poisoned store took a write".to_string()),
            Ok(()) => self.possible.push(with),
            Err(err) => {
                self.check_error(&err, "a write")?;
                let background = self.db().stats().expect("no fork happened").background_errors > 0;
                if fired == self.sim.faults_fired() && poisoned.is_none() && !self.fault.sticky {
                    if !background {
                        return Err(format!("a write failed although no call did: {err}"));
                    }
                    // The log thread would have tried again by now.
                    self.db().step_log_thread().map_err(|err| format!("the log thread, again: {err}"))?;
                }
                if poisoned.is_some() && !matches!(err, Error::Poisoned { .. }) {
                    return Err(format!("a poisoned store answered: {err}"));
                }
                self.failed_writes += 1;
                if poisoned.is_none() {
                    self.possible.push(self.now().union(&with).cloned().collect());
                }
                let found = self.observe()?;
                if !self.now().contains(&found) {
                    return Err(format!("after a failed write {found:?}, possible is {:?}", self.now()));
                }
                return Ok(());
            }
        }
        self.sim.mark(self.writes());
        if self.options.sync == SyncMode::Always {
            self.sim.mark_synced(self.writes());
        }
        Ok(())
    }

    fn sync(&mut self) -> Judged<()> {
        match self.db().sync() {
            Ok(()) if self.poisoned().is_some() => Err("a poisoned store said it synced".to_string()),
            Ok(()) => {
                self.sim.mark_synced(self.writes());
                Ok(())
            }
            Err(err) => {
                self.check_error(&err, "sync")?;
                match self.poisoned() {
                    Some(_) => Ok(()),
                    None => Err(format!("a failed sync did not poison: {err}")),
                }
            }
        }
    }

    fn close(&mut self) -> Judged<()> {
        let poisoned = self.poisoned();
        let db = self.db.take().expect("the store is open between steps");
        match db.close() {
            Ok(()) if poisoned.is_some() => return Err("a poisoned store closed cleanly".to_string()),
            Ok(()) => self.sim.mark_synced(self.writes()),
            Err(Error::Poisoned { .. }) if poisoned.is_some() => {}
            Err(err) => self.check_error(&err, "close")?,
        }
        let manifest = self.sim.read_file(support::DIR, "manifest.json").unwrap_or_default();
        let clean = String::from_utf8_lossy(&manifest).contains("clean_close");
        if poisoned.is_some() && clean {
            return Err("a poisoned store was marked as cleanly closed".to_string());
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Judged<()> {
        match step {
            Step::Write(write) => self.write(write),
            Step::Sync => self.sync(),
            Step::LogThread => match self.db().step_log_thread() {
                Err(err) if self.poisoned().is_none() => self.check_error(&err, "the log thread"),
                _ => Ok(()),
            },
            Step::Merge(percent) => match self.db().merge(&merge_policy(*percent)) {
                Err(err) if self.poisoned().is_none() => self.check_error(&err, "a merge"),
                _ => Ok(()),
            },
            Step::MergeThread => match self.db().step_merge_thread() {
                Err(err) if self.poisoned().is_none() => self.check_error(&err, "the merge thread"),
                _ => Ok(()),
            },
            Step::Reopen => {
                self.close()?;
                self.open()
            }
        }
    }

    /// Cuts the power now and at some earlier operation, recovers, and cuts it again.
    fn cut_power(&mut self, seed: u64) -> Judged<()> {
        let end = self.sim.op_count();
        let at = Rng::derive(&[seed, 3]).below(end + 1);
        let kinds = [Survival::SyncedOnly, Survival::Random(seed), Survival::Random(seed + 1)];
        for (at, survival) in kinds.into_iter().flat_map(|survival| [(at, survival), (end, survival)]) {
            let image = self.sim.crash(at, survival);
            image.start_log();
            let least = usize::try_from(self.sim.synced(at).unwrap_or(0)).expect("a count of writes");
            let failed = |err| format!("power cut at operation {at} of {end}, {survival:?}: {err}");
            let found = self.judge_image(&image).map_err(failed)?;
            if !self.possible[least..].iter().any(|states| states.contains(&found)) {
                return Err(failed(format!("{found:?} is none of {:?}", &self.possible[least..])));
            }
            let again = image.crash(image.op_count(), Survival::SyncedOnly);
            let later = self.judge_image(&again).map_err(failed)?;
            if later != found {
                return Err(failed(format!("recovered {found:?}, after a second cut {later:?}")));
            }
            self.cases += 2;
        }
        Ok(())
    }

    fn judge_image(&self, image: &Sim) -> Judged<State> {
        let db = open(image, &self.options).map_err(|err| format!("open: {err}"))?;
        let found = observe(&db)?;
        let stats = db.stats().map_err(|err| err.to_string())?;
        match (stats.corrupt_records, stats.degraded) {
            (0, None) => Ok(found),
            (_, degraded) => Err(format!("a crash was taken for damage: {degraded:?}")),
        }
    }

    /// The fault goes away: a handle that is not poisoned goes on by itself, a poisoned one once it is reopened.
    fn recover(&mut self) -> Judged<()> {
        self.sim.clear_faults();
        self.fault.sticky = false;
        if self.poisoned().is_none() {
            if let Err(err) = self.db().step_log_thread() {
                return Err(format!("the log thread without a fault: {err}"));
            }
            self.write(&Write::Put(2, 900_001))?;
            if !self.now().iter().all(|state| state[2] == Some(900_001)) {
                return Err("writes did not resume when the fault was gone".to_string());
            }
        }
        self.close()?;
        self.open()?;
        self.write(&Write::Put(3, 900_002))?;
        self.sync()?;
        let found = self.observe()?;
        if found[3] != Some(900_002) || self.failed_writes > 0 && self.poisoned().is_some() {
            return Err("the reopened store does not take writes".to_string());
        }
        self.cases += 1;
        Ok(())
    }

    fn run(&mut self, steps: &[Step], nth: u64) -> Judged<()> {
        self.sim.fail(self.fault.plan(nth));
        self.open()?;
        for step in steps {
            self.step(step)?;
            if self.failed_writes >= MAX_FAILED_WRITES {
                break;
            }
        }
        let only_writes = self.fault.calls == [Call::Write];
        if only_writes && self.poisoned().is_some() {
            return Err(format!("a failed write that was cut off poisoned: {:?}", self.poisoned()));
        }
        self.cut_power(nth)?;
        self.recover()?;
        self.cut_power(nth)
    }
}

fn applied(mut state: State, write: &Write) -> State {
    apply(&mut state, write);
    state
}

fn modes(seed: u64) -> SyncMode {
    match seed % 3 {
        0 => SyncMode::Always,
        1 => SyncMode::None,
        _ => SyncMode::IntervalMs(5),
    }
}

/// Fails every call of one history in one way; answers runs and judged images.
fn every_call(seed: u64, steps: &[Step], options: &Options, fault: Fault) -> (u64, u64) {
    let (mut runs, mut cases) = (0, 0);
    for nth in 1.. {
        let mut run = Run::new(seed, options.clone(), fault);
        if let Err(err) = run.run(steps, nth) {
            let log = run.sim.log_text();
            let log: String = log.lines().map(|line| format!("{}\n", &line[..line.len().min(90)])).collect();
            panic!("history {seed}, call {nth}, {fault:?}: {err}\n{log}");
        }
        runs += 1;
        cases += run.cases;
        if run.sim.faults_fired() == 0 {
            break;
        }
    }
    (runs, cases)
}

#[test]
fn whatever_call_fails_nothing_acknowledged_is_lost_and_nothing_is_half() {
    let first = setting("BITCASK_FAULT_FIRST_HISTORY", 1);
    let histories = setting("BITCASK_FAULT_HISTORIES", 6);
    let (mut runs, mut cases) = (0, 0);
    for seed in first..first + histories {
        let steps = history(&mut Rng::derive(&[seed, 5]), STEPS);
        for fault in faults() {
            let (more_runs, more_cases) = every_call(seed, &steps, &options(modes(seed)), fault);
            runs += more_runs;
            cases += more_cases;
        }
    }
    println!("{runs} runs with a failing call, {cases} states judged, 0 violations");
    assert!(runs > 1000 * histories, "only {runs} runs");
}

#[test]
fn whatever_call_of_merges_with_dictionaries_fails_every_value_reads() {
    let steps = history_of_documents(&mut Rng::derive(&[3, 9]), 0);
    let merge = Fault { calls: &MERGING, ..PLAIN };
    let faults = [
        PLAIN,
        Fault { sticky: true, ..merge },
        Fault { errno: libc::ENOSPC, sticky: true, ..merge },
        Fault { done: true, ..merge },
    ];
    let (mut runs, mut cases) = (0, 0);
    for fault in faults {
        let (more_runs, more_cases) = every_call(3, &steps, &with_dictionaries(SyncMode::None), fault);
        runs += more_runs;
        cases += more_cases;
    }
    println!("{runs} runs with a failing call, {cases} states judged, 0 violations");
    let mut sound = Run::new(3, with_dictionaries(SyncMode::None), PLAIN);
    sound.run(&steps, 1 << 40).expect("nothing fails");
    assert!(!segments_with_dictionary(&sound.sim).is_empty(), "no merge made a dictionary");
}

#[test]
fn a_disk_that_fills_up_at_any_byte_refuses_writes_and_takes_them_again_when_there_is_space() {
    let steps = history(&mut Rng::derive(&[11, 5]), 60);
    let writes =
        || steps.iter().filter_map(|step| if let Step::Write(write) = step { Some(write) } else { None });
    let mut refused_somewhere = false;
    for free in (0..6000).step_by(16) {
        let mut run =
            Run::new(free, options(SyncMode::None), Fault { errno: libc::ENOSPC, sticky: true, ..PLAIN });
        let judged: Judged<()> = (|| {
            run.open()?;
            run.sim.set_free_bytes(Some(free));
            for write in writes() {
                run.write(write)?;
                // Without room for a manifest no spare can be made; what that answers is checked here.
                if let Err(err) = run.db().step_log_thread() {
                    run.check_error(&err, "the log thread")?;
                }
                if run.failed_writes >= MAX_FAILED_WRITES {
                    refused_somewhere = true;
                    break;
                }
            }
            if run.poisoned().is_some() {
                return Err("a full disk poisoned the store".to_string());
            }
            run.sim.set_free_bytes(None);
            run.recover()?;
            run.cut_power(free)
        })();
        judged.unwrap_or_else(|err| panic!("{free} free bytes: {err}\n{}", run.sim.log_text()));
    }
    assert!(refused_somewhere, "no write was ever refused");
}
