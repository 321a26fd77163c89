//! Crashes the simulated machine at every operation of random histories and judges what is left.
//!
//! Rule P1: the state after a crash is that of an exact prefix of the writes, no shorter than the last sync (after
//! `kill -9`: than the last acknowledged write), batches whole or absent. `BITCASK_CRASH_SEEDS` and
//! `BITCASK_CRASH_FIRST_SEED` choose the histories; a failure prints the seed.

#![expect(clippy::cast_possible_truncation, reason = "a run has a few dozen writes")]

mod support;

use bitcask::Error;
use bitcask::io::env::Env;
use bitcask::io::sim::{Crasher, Rng, Sim, Survival};
use bitcask::options::{Options, SyncMode};
use support::{
    State, Step, Write, apply, empty, history, merge_policy, observe, open, options, perform, setting,
};

const STEPS: usize = 40;

/// A recorded run: the machine with its log, and the state after each number of writes.
struct Run {
    sim: Sim,
    options: Options,
    states: Vec<State>,
}

fn record(seed: u64) -> Run {
    let mut rng = Rng::derive(&[seed, 1]);
    let sync = match rng.below(4) {
        0 => SyncMode::Always,
        1 => SyncMode::IntervalMs(5),
        _ => SyncMode::None,
    };
    // Without checkpoints a clean open reads hints and segments.
    let checkpoint = Rng::derive(&[seed, 6]).chance(3, 4);
    let options = Options { checkpoint, ..options(sync) };
    let sim = Sim::new(seed);
    sim.make_dirs(support::DIR);
    let mut states = vec![empty()];
    let mut db = open(&sim, &options).expect("a new store opens");
    for step in history(&mut rng, STEPS) {
        let writes = states.len() as u64 - 1;
        match step {
            Step::Write(write) => {
                // Now and then the disk is full for one write, which then is no part of the history.
                let room = rng.below(60) as u64;
                if rng.chance(1, 12) {
                    sim.set_free_bytes(Some(room));
                }
                let answer = perform(&db, &write);
                let refused = matches!(answer, Err(Error::NoSpace { .. }));
                sim.set_free_bytes(None);
                if !refused {
                    answer.expect("a write on a healthy disk");
                    let mut next = states[states.len() - 1].clone();
                    apply(&mut next, &write);
                    states.push(next);
                    sim.mark(writes + 1);
                    if sync == SyncMode::Always {
                        sim.mark_synced(writes + 1);
                    }
                }
            }
            Step::Sync => {
                db.sync().expect("a sync on a healthy disk");
                sim.mark_synced(writes);
            }
            Step::LogThread => db.step_log_thread().expect("jobs on a healthy disk"),
            Step::Merge(percent) => {
                db.merge(&merge_policy(percent)).expect("a merge on a healthy disk");
            }
            Step::MergeThread => db.step_merge_thread().expect("jobs on a healthy disk"),
            Step::Reopen => {
                db.close().expect("a close on a healthy disk");
                sim.mark_synced(writes);
                if rng.chance(1, 2) {
                    let back_ns = 1 + rng.below(1 << 40) as u64;
                    sim.set_clock_ns(sim.now_ns().saturating_sub(back_ns));
                }
                db = open(&sim, &options).expect("a clean store opens");
            }
        }
    }
    drop(db);
    Run { sim, options, states }
}

/// Opens the image and answers how many writes its state is the result of.
fn judge(run: &Run, image: &Sim, least: u64, most: u64) -> Result<u64, String> {
    // Before the first manifest there is nothing for a reader to open.
    let reader = open(image, &Options { read_only: true, ..run.options.clone() });
    let read = reader.ok().map(|db| observe(&db)).transpose()?;
    let db = open(image, &run.options).map_err(|err| format!("open: {err}"))?;
    let found = observe(&db)?;
    match read {
        None if found != empty() => return Err("a writer opens what a reader refuses".to_string()),
        Some(read) if read != found => return Err(format!("a reader saw {read:?}, a writer {found:?}")),
        _ => {}
    }
    let stats = db.stats().map_err(|err| err.to_string())?;
    if stats.corrupt_records > 0 || stats.degraded.is_some() {
        return Err(format!("a crash was taken for damage: {:?}", stats.degraded));
    }
    (least..=most).rev().find(|&writes| run.states[writes as usize] == found).ok_or_else(|| {
        format!(
            "the state {found:?} is not that of {least} to {most} writes: {:?}",
            &run.states[least as usize..=most as usize]
        )
    })
}

/// Judges an image, then cuts its power in the middle of its recovery and after it, and judges those.
fn judge_twice(
    run: &Run,
    image: &Sim,
    least: u64,
    least_durable: u64,
    most: u64,
    seed: u64,
) -> Result<u64, String> {
    image.start_log();
    let writes = judge(run, image, least, most)?;
    let again = image.crash(image.op_count(), Survival::SyncedOnly);
    judge(run, &again, writes, writes).map_err(|err| format!("power cut after recovery and close: {err}"))?;
    let mut rng = Rng::derive(&[seed, 2]);
    let at = rng.below(image.op_count() + 1);
    let survival = Survival::Random(rng.next_u64());
    let nested = if rng.chance(1, 2) {
        image.crash(at, survival)
    } else {
        image.crash_within(at.max(1), survival, seed)
    };
    judge(run, &nested, least_durable, most)
        .map_err(|err| format!("crash at operation {at} of recovery, {survival:?}: {err}"))?;
    Ok(3)
}

/// The operations of a run, without the bytes they wrote.
fn short_log(sim: &Sim) -> String {
    sim.log_text().lines().map(|line| format!("{}\n", &line[..line.len().min(90)])).collect()
}

fn crash_everywhere(seed: u64) -> u64 {
    let run = record(seed);
    let mut cases = 0;
    let mut crasher: Crasher = run.sim.crasher();
    loop {
        let at = crasher.at_op();
        let synced = crasher.synced().unwrap_or(0);
        let acknowledged = crasher.acknowledged().unwrap_or(0);
        let most = (acknowledged + 1).min(run.states.len() as u64 - 1);
        let draw = |n: u64| Survival::Random(seed.wrapping_mul(1009) + 31 * at as u64 + n);
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
                if torn { crasher.torn_image(survival, seed + at as u64) } else { crasher.image(survival) };
            match judge_twice(&run, &image, least, synced, most, seed + at as u64) {
                Ok(judged) => cases += judged,
                Err(err) => panic!(
                    "seed {seed}, {} operation {at}, {survival:?}: {err}\n{}",
                    if torn { "within" } else { "after" },
                    short_log(&run.sim)
                ),
            }
        }
        if !crasher.advance() {
            return cases;
        }
    }
}

#[test]
fn after_a_crash_at_any_operation_the_state_is_a_prefix_no_shorter_than_the_last_sync() {
    let first = setting("BITCASK_CRASH_FIRST_SEED", 1);
    let seeds = setting("BITCASK_CRASH_SEEDS", 60);
    let cases: u64 = (first..first + seeds).map(crash_everywhere).sum();
    println!("{cases} crash cases, 0 violations");
    assert!(cases > seeds * STEPS as u64, "only {cases} cases ran");
}

#[test]
fn a_put_during_a_sync_does_not_state_what_the_sync_has_yet_to_prove() {
    let sim = Sim::with_threads(7);
    sim.make_dirs(support::DIR);
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("a new store opens");
    perform(&db, &Write::Put(2, 1)).expect("a put");
    db.sync().expect("a sync");
    sim.start_log();
    perform(&db, &Write::Put(3, 2)).expect("a put");
    sim.hold_syncs();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| db.sync());
        sim.wait_for_held_syncs(1);
        perform(&db, &Write::Put(4, 3)).expect("a put while a sync is under way");
        let mut run = Run { sim: sim.clone(), options: options.clone(), states: vec![empty()] };
        for write in [Write::Put(2, 1), Write::Put(3, 2), Write::Put(4, 3)] {
            let mut next = run.states[run.states.len() - 1].clone();
            apply(&mut next, &write);
            run.states.push(next);
        }
        let mut judged = (0..200).map(|seed| {
            let image = sim.crash(sim.op_count(), Survival::Random(seed));
            judge(&run, &image, 1, 3).map_err(|err| format!("survival seed {seed}: {err}"))
        });
        let failed = judged.find_map(Result::err);
        // First let the other thread go: a panic here would wait for it for ever.
        sim.release_syncs();
        syncing.join().expect("the syncing thread ends").expect("a sync");
        assert_eq!(failed, None);
    });
}
