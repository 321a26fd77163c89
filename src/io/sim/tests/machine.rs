//! Locks, clock, randomness, threads and the gate.

use super::*;
use crate::sync::{Arc, AtomicU64, Ordering};

#[test]
fn a_lock_shuts_out_every_other_handle_and_can_be_taken_again_by_its_own() {
    let (sim, dir) = machine();
    let other = open_dir(&sim);
    assert!(dir.try_lock().unwrap());
    assert!(!other.try_lock().unwrap());
    assert!(dir.try_lock().unwrap());
    assert!(other.lock_holder().contains("holds the lock"));
}

#[test]
fn a_lock_ends_with_unlock_with_its_handle_and_with_the_machine() {
    let (sim, dir) = machine();
    let other = open_dir(&sim);
    assert!(dir.try_lock().unwrap());
    assert!(open_dir(&after(&sim, Survival::Everything)).try_lock().unwrap());
    dir.unlock().unwrap();
    assert!(other.try_lock().unwrap());
    drop(other);
    assert!(dir.try_lock().unwrap());
}

#[test]
fn directories_are_locked_apart() {
    let (sim, dir) = machine();
    assert!(dir.try_lock().unwrap());
    let other = sim.open_dir(Path::new("/other"), OPTIONS).unwrap();
    assert!(other.try_lock().unwrap());
}

#[test]
fn the_clock_moves_at_every_look_and_can_be_set_back() {
    let sim = Sim::new(1);
    let first = sim.now_ns();
    assert!(sim.now_ns() > first);
    sim.set_clock_ns(500);
    assert_eq!(sim.now_ns(), 1500);
    sim.advance_clock_ns(1_000_000);
    assert_eq!(sim.now_ns(), 1_002_500);
}

#[test]
fn random_bytes_come_from_the_seed() {
    let draw = |seed| {
        let mut bytes = [0; 20];
        Sim::new(seed).fill_random(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_fork_changes_the_process_token_of_all_handles() {
    let sim = Sim::new(1);
    let token = sim.process_token();
    sim.clone().set_process_token(token + 1);
    assert_ne!(sim.process_token(), token);
}

#[test]
fn without_threads_the_test_steps_the_jobs() {
    let sim = Sim::new(1);
    assert!(sim.spawn("job", Box::new(|| panic!("must not run"))).unwrap().is_none());
    assert_eq!(sim.parallelism(), 1);
}

#[test]
fn writes_go_on_while_a_sync_hangs_and_are_not_covered_by_it() {
    let sim = Sim::with_threads(1);
    sim.make_dirs(DIR);
    let file = Arc::new(synced_file(&open_dir(&sim), "a", b""));
    write(&file, 0, b"before").unwrap();
    sim.hold_syncs();
    let done = Arc::new(AtomicU64::new(0));
    let work = {
        let (file, done) = (file.clone(), done.clone());
        move || {
            file.sync_data().unwrap();
            done.store(1, Ordering::SeqCst);
        }
    };
    let thread = sim.spawn("sync", Box::new(work)).unwrap().unwrap();
    sim.wait_for_held_syncs(1);
    write(&file, 6, b" during").unwrap();
    assert_eq!((done.load(Ordering::SeqCst), sim.syncs_waiting()), (0, 1));
    assert_eq!(read(&file), b"before during");
    sim.release_syncs();
    thread.join();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"before");
}

#[test]
#[should_panic(expected = "in the background")]
fn a_background_panic_reaches_the_one_who_joins() {
    let sim = Sim::with_threads(1);
    sim.spawn("job", Box::new(|| panic!("in the background"))).unwrap().unwrap().join();
}
