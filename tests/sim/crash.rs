//! Crashes the simulated machine at every operation of random histories and judges what is left.
//!
//! `BITCASK_CRASH_SEEDS` and `BITCASK_CRASH_FIRST_SEED` choose the histories; a failure prints the seed.

use crate::support::crashes::Run;
use crate::support::{
    Step, Write, compression, history, history_of_documents, merge_policy, options, perform,
    segments_with_dictionary, setting, with_dictionaries,
};
use bitcask::io::env::Env;
use bitcask::io::sim::{Rng, Survival};
use bitcask::options::{Options, SyncMode};

const STEPS: usize = 40;

fn record(seed: u64) -> Run {
    let mut rng = Rng::derive(&[seed, 1]);
    let sync = match rng.below(4) {
        0 => SyncMode::Always,
        1 => SyncMode::IntervalMs(5),
        _ => SyncMode::None,
    };
    // Without checkpoints a clean open reads hints and segments.
    let checkpoint = Rng::derive(&[seed, 6]).chance(3, 4);
    let mut run = Run::new(seed, Options { checkpoint, ..options(sync) });
    run.merges_after = seed.is_multiple_of(2);
    let mut compressing = Rng::derive(&[seed, 8]);
    run.options.compression = compression(&mut compressing);
    let steps = history(&mut rng, STEPS);
    play(&mut run, &steps, &mut rng, &mut compressing);
    run
}

/// Does the steps, and answers after how many of them a merge had made a dictionary.
fn play(run: &mut Run, steps: &[Step], rng: &mut Rng, compressing: &mut Rng) -> usize {
    let mut db = run.open();
    let mut with_dictionary = 0;
    for step in steps {
        match step {
            Step::Write(write) => {
                // Now and then the disk is full for one write, which then is no part of the history.
                let room = rng.below(60) as u64;
                if rng.chance(1, 12) {
                    run.sim.set_free_bytes(Some(room));
                }
                run.try_write(&db, write);
                run.sim.set_free_bytes(None);
            }
            Step::Sync => run.sync(&db),
            Step::LogThread => db.step_log_thread().expect("jobs on a healthy disk"),
            Step::Merge(percent) => {
                db.merge(&merge_policy(*percent)).expect("a merge on a healthy disk");
                with_dictionary += usize::from(!segments_with_dictionary(&run.sim).is_empty());
            }
            Step::MergeThread => db.step_merge_thread().expect("jobs on a healthy disk"),
            Step::Reopen => {
                run.close(db);
                if rng.chance(1, 2) {
                    let back_ns = 1 + rng.below(1 << 40) as u64;
                    run.sim.set_clock_ns(run.sim.now_ns().saturating_sub(back_ns));
                }
                run.options.compression = compression(compressing);
                db = run.open();
            }
        }
    }
    drop(db);
    with_dictionary
}

#[test]
fn after_a_crash_at_any_operation_the_state_is_a_prefix_no_shorter_than_the_last_sync() {
    let first = setting("BITCASK_CRASH_FIRST_SEED", 1);
    let seeds = setting("BITCASK_CRASH_SEEDS", 60);
    let cases: u64 = (first..first + seeds).map(|seed| record(seed).crash_everywhere(seed)).sum();
    println!("{cases} crash cases, 0 violations");
    assert!(cases > seeds * STEPS as u64, "only {cases} cases ran");
}

#[test]
fn a_crash_at_any_operation_of_a_store_with_dictionaries_leaves_values_that_read() {
    let first = setting("BITCASK_CRASH_FIRST_SEED", 1);
    let seeds = setting("BITCASK_CRASH_SEEDS", 30) / 10;
    let (mut cases, mut with_dictionary) = (0, 0);
    for seed in first..first + seeds {
        let mut rng = Rng::derive(&[seed, 9]);
        let mut run = Run::new(seed, with_dictionaries(SyncMode::None));
        let steps = history_of_documents(&mut rng, STEPS / 2);
        with_dictionary += play(&mut run, &steps, &mut rng, &mut Rng::derive(&[seed, 10]));
        cases += run.crash_everywhere(seed);
    }
    println!("{cases} crash cases, {with_dictionary} merges left dictionaries, 0 violations");
    assert!(with_dictionary as u64 >= seeds, "only {with_dictionary} merges left dictionaries");
}

#[test]
fn a_put_during_a_sync_does_not_state_what_the_sync_has_yet_to_prove() {
    let mut run = Run::new(7, options(SyncMode::None));
    let db = run.open();
    run.write(&db, &Write::Put(2, 1));
    run.sync(&db);
    run.write(&db, &Write::Put(3, 2));
    run.sim.hold_syncs();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| db.sync());
        run.sim.wait_for_held_syncs(1);
        // No panic here: it would wait for the other thread for ever.
        let put = perform(&db, &Write::Put(4, 3));
        run.note(&Write::Put(4, 3));
        let mut judged = (0..200).map(|seed| {
            let image = run.sim.crash(run.sim.op_count(), Survival::Random(seed));
            run.judge(&image, 1, 3).map_err(|err| format!("survival seed {seed}: {err}"))
        });
        let failed = judged.find_map(Result::err);
        run.sim.release_syncs();
        syncing.join().expect("the syncing thread ends").expect("a sync");
        put.expect("a put while a sync is under way");
        assert_eq!(failed, None);
    });
}
