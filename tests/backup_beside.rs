//! Backups of a store at work: between any two calls of a backup something else is done to the store.

mod support;

use bitcask::engine::Db;
use bitcask::format::names;
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim};
use bitcask::log::{self, Level};
use bitcask::options::{MergePolicy, Options, SyncMode};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use support::gated::{Gate, Gated};
use support::{DIR, State, Step, apply, empty, history, observe, options, perform};

const TO: &str = "/backup";

/// What is done between the calls of a backup.
struct Beside {
    db: Arc<Db<Gated>>,
    rng: Rng,
    steps: Vec<Step>,
    /// The state after each write.
    states: Vec<State>,
}

impl Beside {
    fn act(&mut self) {
        match self.steps.pop() {
            Some(Step::Write(write)) => {
                let mut next = self.states[self.states.len() - 1].clone();
                perform(&self.db, &write).expect("a write");
                apply(&mut next, &write);
                self.states.push(next);
            }
            Some(Step::Sync) => self.db.sync().expect("a sync"),
            _ if self.rng.chance(1, 3) => drop(self.db.merge(&MergePolicy::everything()).expect("a merge")),
            _ if self.rng.chance(1, 2) => self.db.step_merge_thread().expect("merge jobs"),
            _ => self.db.step_log_thread().expect("log jobs"),
        }
    }
}

/// What the gate takes to do something; nothing while that is done, or where nothing is to be.
static BESIDE: Mutex<Option<Beside>> = Mutex::new(None);

#[test]
fn a_backup_is_of_one_moment_whatever_is_written_and_merged_meanwhile() {
    let (mut backups, mut copied_more) = (0, 0);
    for seed in 0..250 {
        let sim = Sim::new(seed);
        sim.make_dirs(DIR);
        let gate: Gate = Arc::new(|| {
            let taken = BESIDE.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(mut beside) = taken {
                beside.act();
                *BESIDE.lock().unwrap_or_else(PoisonError::into_inner) = Some(beside);
            }
            Ok(())
        });
        let world = Gated::new(&sim, gate);
        let options = options(SyncMode::None);
        let db = Arc::new(Db::open(world, Path::new(DIR), &options).expect("an open"));
        let mut rng = Rng::derive(&[seed, 30]);
        let mut beside = Beside {
            db: db.clone(),
            rng: Rng::derive(&[seed, 31]),
            steps: history(&mut rng, 600),
            states: vec![empty()],
        };
        (0..40).for_each(|_| beside.act());
        // A link that cannot be is followed by a copy, which takes more calls.
        if seed.is_multiple_of(2) {
            sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(libc::EXDEV).sticky());
        }
        for backup in 0..4 {
            let before = beside.states.len() - 1;
            *BESIDE.lock().expect("no panics") = Some(beside);
            let answer = db.backup(Path::new(TO));
            beside = BESIDE.lock().expect("no panics").take().expect("it was put back");
            let report = answer.unwrap_or_else(|err| panic!("seed {seed}, backup {backup}: {err}"));
            let read_only = Options { read_only: true, ..options.clone() };
            let copy = Db::open(sim.clone(), Path::new(TO), &read_only).expect("the backup opens");
            let found = observe(&copy).unwrap_or_else(|err| panic!("seed {seed}, backup {backup}: {err}"));
            let stats = copy.stats().expect("stats");
            assert!(stats.degraded.is_none() && stats.corrupt_records == 0, "seed {seed}, backup {backup}");
            let possible = &beside.states[before..];
            assert!(possible.contains(&found), "seed {seed}, backup {backup}: {found:?} of {possible:?}");
            assert_eq!(observe(&db).as_ref(), beside.states.last().ok_or(&String::new()), "seed {seed}");
            backups += 1;
            copied_more += u64::from(report.segments_copied > 1 && !seed.is_multiple_of(2));
        }
        drop(beside);
    }
    println!("{backups} backups of stores at work, {copied_more} copied more than one segment");
    assert!(copied_more > 10, "{copied_more}");
}

#[test]
fn a_backup_that_takes_long_tells_how_far_it_is() {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    let (its, has_slept) = (sim.clone(), AtomicBool::new(false));
    let slow: Gate = Arc::new(move || {
        let is_copying = its.has_dir("/slow") && its.files("/slow").contains_key(names::BACKUP_FILE_NEW);
        if is_copying && !has_slept.swap(true, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2100));
        }
        Ok(())
    });
    let db = Db::open(Gated::new(&sim, slow), Path::new(DIR), &options(SyncMode::None)).expect("an open");
    db.put(b"key", &[1; 5000]).expect("a put");
    log::keep(|| 1, Some(Level::Info), 1 << 20);
    db.backup(Path::new("/slow")).expect("a backup");
    let mut told = Vec::new();
    while let Ok(Some(())) = log::next(|_, text| {
        told.push(text.to_string());
        Ok(())
    }) {}
    log::keep(|| 1, None, 0);
    let is_progress =
        |text: &&String| text.starts_with("/store: backed up ") && text.ends_with(" bytes to /slow");
    let progress: Vec<_> = told.iter().filter(is_progress).collect();
    assert_eq!(progress.len(), 1, "{told:?}");
    assert!(told.iter().any(|text| text.starts_with("/store: backed up to /slow in ")), "{told:?}");
}
