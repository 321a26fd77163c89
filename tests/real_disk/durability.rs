//! Who waits for syncs, how many there are, and when they happen.

use crate::support::Scratch;
use crate::{open, small_segments, wait_until};
use bitcask::engine::Db;
use bitcask::io::env::Env;
use bitcask::io::sim::{Call, Sim};
use bitcask::options::{Options, SyncMode};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const DIR: &str = "/store";

/// Lets held syncs go, also when a claim fails: a close would wait for them for good.
struct Release<'s>(&'s Sim);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

fn fill(db: &Db<impl Env>, puts: u32, value: &[u8]) {
    for number in 0..puts {
        db.put(&number.to_le_bytes(), value).expect("put");
    }
}

fn simulated(options: &Options) -> (Sim, Db<Sim>) {
    let sim = Sim::with_threads(1);
    sim.make_dirs(DIR);
    let db = Db::open(sim.clone(), Path::new(DIR), options).expect("a new store opens");
    (sim, db)
}

#[test]
fn puts_that_wait_for_one_sync_are_all_covered_by_the_next() {
    const THREADS: u64 = 8;
    let (sim, db) = simulated(&Options { sync: SyncMode::Always, ..Options::default() });
    sim.hold_syncs();
    thread::scope(|scope| {
        let (db, _release) = (&db, Release(&sim));
        for number in 0..THREADS {
            scope.spawn(move || db.put(&number.to_le_bytes(), b"value").expect("put"));
        }
        wait_until("all have appended", || db.stats().expect("open").records_written == THREADS);
        sim.wait_for_held_syncs(1);
    });
    // The first sync may have begun before some of the others appended; the second covers them all.
    assert!(db.stats().expect("open").syncs <= 2, "{} syncs", db.stats().expect("open").syncs);
}

#[test]
fn eight_threads_of_synced_puts_do_fewer_syncs_than_puts() {
    const THREADS: u32 = 8;
    const PUTS: u32 = 250;
    let scratch = Scratch::new();
    let db = open(scratch.path(), &Options { sync: SyncMode::Always, ..Options::default() }).expect("open");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let db = &db;
            scope.spawn(move || {
                for number in 0..PUTS {
                    db.put(&(thread * PUTS + number).to_le_bytes(), b"value").expect("put");
                }
            });
        }
    });
    let (stats, puts) = (db.stats().expect("open"), u64::from(THREADS * PUTS));
    let ratio = stats.syncs as f64 / puts as f64;
    println!("{THREADS} threads: {} syncs for {puts} puts, {ratio:.3} a put", stats.syncs);
    assert_eq!((stats.unsynced_bytes, db.count().expect("open")), (0, puts));
    // How many puts a sync covers depends on how long the disk takes for one; on any disk some share.
    assert!(stats.syncs < puts, "{} syncs for {puts} puts", stats.syncs);
}

#[test]
fn puts_go_on_and_move_to_the_spare_while_a_sync_hangs() {
    let (sim, db) = simulated(&small_segments());
    sim.hold_syncs();
    let value = [7; 1000];
    thread::scope(|scope| {
        let _release = Release(&sim);
        // A sync on this thread would hang: that it ends is the claim.
        let putting = scope.spawn(|| fill(&db, 200, &value));
        wait_until("the puts are done", || putting.is_finished());
        sim.wait_for_held_syncs(1);
        check_spare(&sim, &db);
    });
    wait_until("the segment that was left is sealed", || db.stats().expect("open").rotations > 0);
    assert_eq!(db.get(&0u32.to_le_bytes(), <[u8]>::to_vec).expect("get"), Some(value.to_vec()));
}

fn check_spare(sim: &Sim, db: &Db<Sim>) {
    let in_spare = sim.files(DIR)["000000000002.data"];
    assert!(in_spare > 64 << 10, "the spare holds {in_spare} bytes");
    assert_eq!(db.stats().expect("open").rotations, 0, "sealed before it was synced");
    assert_eq!(sim.syncs_waiting(), 1, "somebody besides the log thread waits for the disk");
}

#[test]
fn a_put_makes_one_write_call_and_no_other() {
    let (sim, db) = simulated(&Options::default());
    db.put(b"first", b"brings the segment's header").expect("put");
    let before: Vec<u64> = Call::ALL.map(|call| sim.calls(call)).to_vec();
    db.put(b"second", b"value").expect("put");
    let made = Call::ALL.iter().zip(before).map(|(&call, before)| (call, sim.calls(call) - before));
    assert_eq!(made.filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [(Call::Write, 1)]);
}

#[test]
fn an_interval_syncs_without_being_asked() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &Options { sync: SyncMode::IntervalMs(10), ..Options::default() })
        .expect("open");
    db.put(b"key", b"value").expect("put");
    wait_until("the put is synced", || db.stats().expect("open").unsynced_bytes == 0);
    assert!(db.stats().expect("open").syncs > 0);
}

#[test]
fn without_an_interval_nothing_is_synced_until_asked() {
    let (sim, db) = simulated(&Options::default());
    let before = sim.syncs();
    db.put(b"key", b"value").expect("put");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(sim.syncs(), before);
    db.sync().expect("sync");
    assert_eq!((sim.syncs(), db.stats().expect("open").unsynced_bytes), (before + 1, 0));
}

#[test]
fn a_close_does_not_wait_out_an_interval_or_a_retry() {
    for sync in [SyncMode::None, SyncMode::IntervalMs(3_600_000), SyncMode::Always] {
        // The machine may be busy with other tests; one close of five shows what the library itself waits for.
        let fastest = (0..5).map(|_| {
            let (_sim, db) = simulated(&Options { sync, ..small_segments() });
            fill(&db, 100, &[7; 1000]);
            let start = Instant::now();
            db.close().expect("close");
            start.elapsed()
        });
        let fastest = fastest.min().expect("five rounds");
        assert!(fastest < Duration::from_millis(100), "{sync:?}: {fastest:?}");
    }
}

#[test]
fn a_synced_store_on_the_real_disk_closes_within_100_ms() {
    let scratch = Scratch::new();
    let rounds = (0..5).map(|_| {
        let db = open(scratch.path(), &Options::default()).expect("open");
        fill(&db, 1000, &[7; 100]);
        db.sync().expect("sync");
        let start = Instant::now();
        db.close().expect("close");
        start.elapsed()
    });
    let fastest = rounds.min().expect("five rounds");
    println!("closed in {fastest:?}");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}
