//! What fails on the log thread is told to somebody.

use crate::{small_segments, wait_until};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::io::sim::{Call, FaultPlan, Sim, Survival};
use bitcask::options::{Options, SyncMode};
use std::path::Path;

const DIR: &str = "/store";

fn simulated(options: &Options) -> (Sim, Db<Sim>) {
    let sim = Sim::with_threads(1);
    sim.make_dirs(DIR);
    let db = Db::open(sim.clone(), Path::new(DIR), options).expect("a new store opens");
    (sim, db)
}

#[test]
fn a_failed_sync_reaches_the_stats_and_the_next_write() {
    let (sim, db) = simulated(&Options { sync: SyncMode::IntervalMs(5), ..Options::default() });
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]));
    db.put(b"key", b"value").expect("the put came before the sync");
    wait_until("the failure is in the stats", || db.stats().expect("open").background_errors > 0);
    let stats = db.stats().expect("open");
    let said = stats.last_background_error.expect("an error was counted");
    assert!(said.contains("sync"), "{said}");
    assert!(stats.poisoned.is_some());
    let refused = db.put(b"other", b"value");
    assert!(matches!(&refused, Err(Error::Poisoned { reason }) if reason.contains("sync")), "{refused:?}");
    assert_eq!(db.get(b"key", <[u8]>::to_vec).expect("reads go on"), Some(b"value".to_vec()));
    assert!(db.close().is_err(), "a poisoned store has no clean close");
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_on_the_disk_after_a_reopen() {
    let (sim, db) = simulated(&Options::default());
    db.put(b"key", b"value").expect("put");
    // By default the simulated kernel does as Linux: it drops the bytes, goes on showing them, and a second sync
    // says that all is well.
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]));
    assert!(db.sync().is_err());
    assert!(db.close().is_err());
    sim.clear_faults();
    let db = Db::open(sim.clone(), Path::new(DIR), &Options::default()).expect("open");
    assert_eq!(db.get(b"key", <[u8]>::to_vec).expect("get"), Some(b"value".to_vec()));
    let image = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let after_power_cut = Db::open(image, Path::new(DIR), &Options::default()).expect("open");
    assert_eq!(after_power_cut.get(b"key", <[u8]>::to_vec).expect("get"), Some(b"value".to_vec()));
}

/// Puts until the writer has filled all there is while no new segment can be made; answers how many went well.
fn put_until_refused(db: &Db<Sim>) -> (u32, Error) {
    for put in 0..2000u32 {
        if let Err(err) = db.put(&put.to_le_bytes(), &[7; 1000]) {
            return (put, err);
        }
        // 64 KiB segments, of which the spare is the last that there is.
        if put > 300 {
            wait_until("the failure is noted", || db.stats().expect("open").background_errors > 0);
        }
    }
    panic!("the writer never ran out of segments");
}

#[test]
fn without_space_for_a_new_segment_writes_answer_no_space() {
    let (sim, db) = simulated(&small_segments());
    sim.fail(FaultPlan::nth(1).only(&[Call::Create]).errno(libc::ENOSPC).sticky());
    let (_, refused) = put_until_refused(&db);
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
}

#[test]
fn a_spare_that_cannot_be_made_is_told_and_tried_again() {
    let (sim, db) = simulated(&small_segments());
    sim.fail(FaultPlan::nth(1).only(&[Call::Create]).errno(libc::EMFILE).sticky());
    let (put, refused) = put_until_refused(&db);
    assert!(refused.to_string().contains("prepare a segment"), "{refused}");
    assert_eq!(refused.os_errno(), libc::EMFILE);
    assert!(db.stats().expect("open").poisoned.is_none());
    sim.clear_faults();
    wait_until("a spare is there again", || db.put(b"after", b"").is_ok());
    for number in 0..put {
        assert!(db.exists(&number.to_le_bytes()).expect("open"), "put {number} of {put}");
    }
}
