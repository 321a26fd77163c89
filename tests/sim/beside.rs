//! Readers beside a writer, call by call.
//!
//! A writer runs a random history in one thread and may do only the calls that it is granted; a reader in the other grants
//! it some before each of its own. So whatever the writer does to the directory comes between any two looks of the reader:
//! appends, failed and cut back ones too, rotations, seals, hints, merges, closes, recoveries. Now and then the writer is
//! killed at one of its calls. The reader must hold what an exact prefix of the writes leaves, with all that were
//! acknowledged before it began (rules P1 and P3), and must never take the writer's work for damage.
//! `BITCASK_BESIDE_SEEDS` and `BITCASK_BESIDE_FIRST_SEED` choose the histories; a failure prints the seed.

use crate::support;
use crate::support::gated::{Baton, Gated};
use crate::support::{
    DIR, State, Step, Write, apply, empty, history, merge_policy, observe, options, perform, setting,
};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::verify::verify;
use bitcask::format::marker::MARKER_LEN;
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim, Survival};
use bitcask::options::{Options, SyncMode};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const STEPS: usize = 60;

/// What the writer has done so far, for the reader to compare with.
struct Past {
    /// The state after each write. The last may be that of a write that is not acknowledged yet.
    states: Mutex<Vec<State>>,
    acknowledged: AtomicUsize,
    /// Whether there is a store.
    made: AtomicBool,
}

impl Past {
    fn new() -> Self {
        Past {
            states: Mutex::new(vec![empty()]),
            acknowledged: AtomicUsize::new(0),
            made: AtomicBool::new(false),
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn begin(&self, write: &Write) {
        let mut states = self.states.lock().expect("no panic");
        let mut next = states.last().expect("the first").clone();
        apply(&mut next, write);
        states.push(next);
    }

    fn forget_last(&self) {
        self.states.lock().expect("no panic").pop();
    }

    fn acknowledge(&self) {
        self.acknowledged.store(self.states.lock().expect("no panic").len() - 1, Ordering::SeqCst);
    }
}

/// The writer's thread.
struct Writer {
    sim: Sim,
    options: Options,
    past: Arc<Past>,
    baton: Arc<Baton>,
    rng: Rng,
    kills: usize,
}

impl Writer {
    fn run(mut self) -> usize {
        let mut open = self.reopen();
        for step in history(&mut self.rng, STEPS) {
            if self.rng.chance(1, 25) {
                self.baton.set_lives(Some(self.rng.below(12)));
            }
            let (world, db) = open;
            open = match self.step(&db, &step) {
                Ok(()) if matches!(step, Step::Reopen) => match db.close() {
                    Ok(()) => self.reopen(),
                    Err(_) => self.after_kill(&world),
                },
                Ok(()) => (world, db),
                Err(_) => {
                    world.die();
                    drop(db);
                    self.after_kill(&world)
                }
            };
        }
        self.baton.set_lives(None);
        let (_, db) = open;
        db.close().expect("a close on a healthy disk");
        self.kills
    }

    fn step(&mut self, db: &Db<Gated>, step: &Step) -> bitcask::Result<()> {
        match step {
            Step::Write(write) => {
                let room = self.rng.below(60) as u64;
                if self.rng.chance(1, 12) {
                    self.sim.set_free_bytes(Some(room));
                }
                self.past.begin(write);
                let answer = perform(db, write);
                self.sim.set_free_bytes(None);
                match answer {
                    Ok(()) => self.past.acknowledge(),
                    Err(Error::NoSpace { .. }) if !self.baton.is_dead() => self.past.forget_last(),
                    Err(err) => return Err(err),
                }
            }
            Step::Sync => db.sync()?,
            Step::LogThread => {}
            Step::MergeThread => db.step_merge_thread()?,
            Step::Merge(percent) => drop(db.merge(&merge_policy(*percent))?),
            Step::Reopen => {}
        }
        if self.rng.chance(1, 5) {
            db.step_log_thread()?;
        }
        if self.rng.chance(1, 12) {
            db.merge(&merge_policy([1, 40][self.rng.below(2)]))?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> (Gated, Db<Gated>) {
        loop {
            let baton = self.baton.clone();
            let world = Gated::new(&self.sim, Arc::new(move || baton.pass()));
            match Db::open(world.clone(), Path::new(DIR), &self.options) {
                Ok(db) => {
                    self.past.made.store(true, Ordering::SeqCst);
                    return (world, db);
                }
                Err(_) => self.revive(&world),
            }
        }
    }

    fn revive(&mut self, world: &Gated) {
        world.die();
        self.baton.set_lives(None);
        self.kills += 1;
    }

    /// The next process finds out whether the write that was under way got into the log.
    fn after_kill(&mut self, killed: &Gated) -> (Gated, Db<Gated>) {
        self.revive(killed);
        let (world, db) = self.reopen();
        let found = observe(&db).expect("a healthy disk");
        if self.past.states.lock().expect("no panic").last() != Some(&found) {
            self.past.forget_last();
            assert_eq!(self.past.states.lock().expect("no panic").last(), Some(&found), "after a kill");
        }
        self.past.acknowledge();
        (world, db)
    }
}

/// Frees the reader from waiting for a writer that has panicked.
struct Ends(Arc<Baton>, Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.free();
    }
}

/// The reader's side: a store beside which a writer works.
struct Beside {
    past: Arc<Past>,
    baton: Arc<Baton>,
    ended: Arc<AtomicBool>,
    world: Gated,
    options: Options,
    refreshing: Arc<Refreshing>,
}

/// What goes on between the calls of a refresh: reads, and faults.
#[derive(Default)]
struct Refreshing {
    watch: Mutex<Option<Watch>>,
    faults: AtomicBool,
}

/// Reads all keys of a handle now and then: none may go back to an older value.
struct Watch {
    db: Arc<Db<Gated>>,
    past: Arc<Past>,
    /// For each key a number of writes after which it had the value shown last.
    shown: Vec<usize>,
    wrong: Option<String>,
}

impl Watch {
    fn look(&mut self) {
        for (at, shown) in self.shown.iter_mut().enumerate() {
            let found = match self.db.get(&support::key(at), <[u8]>::to_vec) {
                Ok(found) => found,
                Err(err) => {
                    self.wrong.get_or_insert(format!("key {at} during a refresh: {err}"));
                    return;
                }
            };
            let states = self.past.states.lock().expect("no panic");
            let has = |state: &State| state[at].map(support::value) == found;
            match (*shown..states.len()).find(|&writes| has(&states[writes])) {
                Some(writes) => *shown = writes,
                None => {
                    self.wrong.get_or_insert(format!("key {at} went back to {found:?} during a refresh"));
                }
            }
        }
    }
}

impl Beside {
    /// Refreshes `db` while it is read; `false` when a fault that was laid ended it.
    fn refresh(&self, db: &Arc<Db<Gated>>, shown: &mut Vec<usize>, faults: bool) -> Result<bool, String> {
        let least = self.past.acknowledged();
        let watch =
            Watch { db: db.clone(), past: self.past.clone(), shown: std::mem::take(shown), wrong: None };
        *self.refreshing.watch.lock().expect("no panic") = Some(watch);
        self.refreshing.faults.store(faults, Ordering::SeqCst);
        let outcome = db.refresh();
        let watch = self.refreshing.watch.lock().expect("no panic").take();
        let mut watch = watch.expect("it was just put there");
        watch.look();
        *shown = watch.shown;
        if let Some(wrong) = watch.wrong {
            return Err(wrong);
        }
        match outcome {
            Ok(()) => self.check(db, least).map(|_| true),
            Err(Error::Io { source, .. }) if faults && source.raw_os_error() == Some(libc::EIO) => Ok(false),
            Err(err) => Err(format!("refresh: {err}")),
        }
    }

    /// What the reader shows: the state after how many writes, of those from `least` on.
    fn check(&self, db: &Db<Gated>, least: usize) -> Result<usize, String> {
        let most = self.past.states.lock().expect("no panic").len() - 1;
        let found = observe(db)?;
        let stats = db.stats().map_err(|err| err.to_string())?;
        if stats.corrupt_records > 0 || stats.degraded.is_some() {
            return Err(format!("the writer's work was taken for damage: {:?}", stats.degraded));
        }
        let states = self.past.states.lock().expect("no panic");
        // A write may have been refused meanwhile.
        let most = most.min(states.len() - 1);
        (least..=most).rev().find(|&writes| states[writes] == found).ok_or_else(|| {
            format!("{found:?} is not the state of {least} to {most} writes: {:?}", &states[least..=most])
        })
    }

    fn open(&self) -> Result<Option<Db<Gated>>, String> {
        let (made, least) = (self.past.made.load(Ordering::SeqCst), self.past.acknowledged());
        match Db::open(self.world.clone(), Path::new(DIR), &self.options) {
            Ok(db) => self.check(&db, least).map(|_| Some(db)),
            Err(Error::Io { source, .. }) if !made && source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(err) => Err(format!("open: {err}")),
        }
    }
}

/// Runs `reader` beside the writer of history `seed`, until that has ended; answers how often the writer was killed.
fn beside(
    seed: u64,
    mut reader: impl FnMut(&Beside, &mut Rng) -> Result<(), String>,
) -> Result<usize, String> {
    let mut rng = Rng::derive(&[seed, 5]);
    let sync = [SyncMode::None, SyncMode::IntervalMs(5), SyncMode::Always][rng.below(3)];
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    let (past, baton, ended) =
        (Arc::new(Past::new()), Arc::new(Baton::default()), Arc::new(AtomicBool::new(false)));
    let writer = Writer {
        sim: sim.clone(),
        options: options(sync),
        past: past.clone(),
        baton: baton.clone(),
        rng: Rng::derive(&[seed, 6]),
        kills: 0,
    };
    let ends = Ends(baton.clone(), ended.clone());
    let writer = std::thread::spawn(move || {
        let _ends = ends;
        writer.run()
    });
    let (draws, its_baton) = (Mutex::new(Rng::derive(&[seed, 7])), baton.clone());
    let refreshing: Arc<Refreshing> = Arc::default();
    let its_refreshing = refreshing.clone();
    let gate = move || {
        // The watch reads through the same gate, all at one instant.
        let Ok(mut watch) = its_refreshing.watch.try_lock() else { return Ok(()) };
        let mut draws = draws.lock().expect("no panic");
        if draws.chance(1, 5) {
            its_baton.grant(1 + draws.below(8));
        }
        let Some(watch) = &mut *watch else { return Ok(()) };
        let fails = draws.chance(1, 40) && its_refreshing.faults.load(Ordering::SeqCst);
        drop(draws);
        watch.look();
        if fails { Err(std::io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    };
    let options = Options { read_only: true, ..options(sync) };
    let here = Beside { past, baton, ended, world: Gated::new(&sim, Arc::new(gate)), options, refreshing };
    let mut outcome = Ok(());
    while outcome.is_ok() && !here.ended.load(Ordering::SeqCst) {
        here.baton.grant(1 + rng.below(30));
        outcome = reader(&here, &mut rng);
    }
    here.baton.free();
    let kills = writer.join().map_err(|_| "the writer panicked".to_string());
    outcome.and(kills)
}

fn seeds() -> std::ops::Range<u64> {
    let first = setting("BITCASK_BESIDE_FIRST_SEED", 1);
    first..first + setting("BITCASK_BESIDE_SEEDS", 1000)
}

#[test]
fn an_open_beside_a_writer_shows_all_that_was_acknowledged_before_it() {
    let (mut opens, mut kills) = (0, 0);
    for seed in seeds() {
        let reader = |here: &Beside, _: &mut Rng| {
            opens += u64::from(here.open()?.is_some());
            Ok(())
        };
        kills += beside(seed, reader).unwrap_or_else(|err| panic!("seed {seed}: {err}"));
    }
    println!("{opens} opens, {kills} kills");
    assert!(opens > 0 && kills > 0);
}

#[test]
fn a_verification_beside_a_writer_takes_none_of_its_work_for_damage() {
    let (mut looks, mut kills) = (0, 0);
    for seed in seeds() {
        let reader = |here: &Beside, _: &mut Rng| {
            let made = here.past.made.load(Ordering::SeqCst);
            match verify(&here.world, Path::new(DIR)) {
                Ok(found) if found.is_sound() => looks += 1,
                Ok(found) => return Err(found.to_json()),
                Err(Error::Io { .. }) if !made => {}
                Err(err) => return Err(format!("verify: {err}")),
            }
            Ok(())
        };
        kills += beside(seed, reader).unwrap_or_else(|err| panic!("seed {seed}: {err}"));
    }
    println!("{looks} verifications, {kills} kills");
    assert!(looks > 0 && kills > 0);
}

#[test]
fn a_refresh_shows_all_that_was_acknowledged_before_it_and_no_key_goes_back() {
    let (mut refreshes, mut failed, mut kills) = (0u64, 0u64, 0);
    for seed in seeds() {
        let mut held: Option<(Arc<Db<Gated>>, Vec<usize>)> = None;
        let reader = |here: &Beside, rng: &mut Rng| {
            let (db, mut shown) = match held.take().filter(|_| !rng.chance(1, 30)) {
                Some(held) => held,
                None => match here.open()? {
                    Some(db) => (Arc::new(db), vec![0; support::KEYS]),
                    None => return Ok(()),
                },
            };
            match here.refresh(&db, &mut shown, rng.chance(1, 3))? {
                true => refreshes += 1,
                false => failed += 1,
            }
            if here.ended.load(Ordering::SeqCst) {
                here.refresh(&db, &mut shown, false)?;
                let tell = |db: &Db<Gated>| db.stats().map(|stats| (stats.keys, stats.live_bytes));
                let fresh = here.open()?.expect("there is a store");
                let (told, expected) = (tell(&db), tell(&fresh));
                if told.ok() != expected.ok() {
                    return Err("the counts are not those of an open".to_string());
                }
            }
            held = Some((db, shown));
            Ok(())
        };
        kills += beside(seed, reader).unwrap_or_else(|err| panic!("seed {seed}: {err}"));
    }
    println!("{refreshes} refreshes, {failed} that a fault ended, {kills} kills");
    assert!(refreshes > 0 && failed > 0 && kills > 0);
}

/// The writer cuts a write that failed off again, between any two looks of the reader.
#[test]
fn a_marker_whose_record_is_cut_off_is_no_part_of_the_log() {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    let db = support::open(&sim, &options(SyncMode::None)).expect("a new store opens");
    db.put(b"key", b"value").expect("a put");
    db.sync().expect("a sync");
    let (name, whole) = sim.files(DIR).pop_first().expect("a segment");
    // The marker gets onto the disk, the record that it rides in front of does not, and it stays there for now.
    sim.fail(FaultPlan::nth(1).only(&[Call::Write]).short(MARKER_LEN).then_error());
    sim.fail(FaultPlan::nth(1).only(&[Call::Truncate]).sticky());
    assert!(db.put(b"key", b"another").is_err());
    sim.clear_faults();
    let killed = || sim.crash(sim.op_count(), Survival::Everything);
    let torn = killed().read_file(DIR, &name).expect("the segment");
    assert_eq!(torn.len() as u64, whole + MARKER_LEN as u64);
    let mut calls = 1;
    for cut_at in 0.. {
        if cut_at > calls {
            break;
        }
        let image = killed();
        let (passed, machine) = (Arc::new(AtomicUsize::new(0)), image.clone());
        let (counted, name, cut) = (passed.clone(), name.clone(), torn[..torn.len() - MARKER_LEN].to_vec());
        let gate = move || {
            if counted.fetch_add(1, Ordering::SeqCst) == cut_at {
                machine.write_file(DIR, &name, &cut);
            }
            Ok(())
        };
        let options = Options { read_only: true, ..options(SyncMode::None) };
        let db =
            Db::open(Gated::new(&image, Arc::new(gate)), Path::new(DIR), &options).expect("a reader opens");
        assert_eq!(
            db.get(b"key", <[u8]>::to_vec).expect("a value"),
            Some(b"value".to_vec()),
            "cut at {cut_at}"
        );
        assert_eq!(db.stats().expect("open").degraded, None, "cut at {cut_at}");
        calls = passed.load(Ordering::SeqCst);
    }
    assert!(calls > 8, "{calls} calls");
}
