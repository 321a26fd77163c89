//! Writes that say what must be there: expected versions, batches with preconditions, counters.

use crate::support::gated::Gated;
use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::{Db, Expiry, Meta, Outcome, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::io::sim::Sim;
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock, Weak};
use std::thread;

fn manual() -> Options {
    Options { merge: MergeMode::Manual, checkpoint: false, ..options(SyncMode::None) }
}

fn fresh() -> (Sim, Db<Sim>) {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    let db = open(&sim, &manual()).expect("a new store opens");
    (sim, db)
}

fn expecting(version: u64) -> WriteOptions {
    WriteOptions { expected: Some(version), ..WriteOptions::default() }
}

fn expiring(ttl_ms: u64) -> WriteOptions {
    WriteOptions { expiry: Expiry::AfterMs(ttl_ms), ..WriteOptions::default() }
}

fn get(db: &Db<Sim>, key: &[u8]) -> Option<Vec<u8>> {
    db.get(key, <[u8]>::to_vec).expect("the key reads")
}

fn version(db: &Db<Sim>, key: &[u8]) -> u64 {
    db.meta(key).expect("the key reads").map_or(0, |meta| meta.version)
}

fn written(db: &Db<Sim>) -> u64 {
    db.stats().expect("open").bytes_written
}

#[test]
fn a_write_is_made_at_the_expected_version_and_at_no_other() {
    let (_sim, db) = fresh();
    let first = db.put(b"k", b"1").expect("a put");
    let Ok(Outcome::Written(second)) = db.put_with(b"k", b"2", &expecting(first)) else { panic!("no put") };
    assert_eq!((get(&db, b"k"), version(&db, b"k")), (Some(b"2".to_vec()), second));
    let bytes = written(&db);
    for wrong in [0, first, second - 1, second + 1, u64::MAX] {
        assert_eq!(db.put_with(b"k", b"3", &expecting(wrong)).expect("no error"), Outcome::Conflict(second));
        assert_eq!(db.delete_with(b"k", &expecting(wrong)).expect("no error"), Outcome::Conflict(second));
        let json = db.put_json_with(b"k", b"3", &expecting(wrong)).expect("no error");
        assert_eq!(json, Outcome::Conflict(second));
    }
    assert_eq!((get(&db, b"k"), written(&db)), (Some(b"2".to_vec()), bytes), "a conflict wrote something");
    assert!(matches!(db.delete_with(b"k", &expecting(second)), Ok(Outcome::Written(at)) if at > second));
    assert_eq!(get(&db, b"k"), None);
}

#[test]
fn version_0_is_that_of_a_key_without_a_value() {
    let (sim, db) = fresh();
    db.put(b"deleted", b"1").expect("a put");
    assert!(db.delete(b"deleted").expect("a deletion"));
    let _ = db.put_with(b"expired", b"1", &expiring(1)).expect("a put");
    sim.advance_clock_ns(1_000_000);
    for key in [&b"never put"[..], b"deleted", b"expired"] {
        let bytes = written(&db);
        assert_eq!(version(&db, key), 0);
        assert_eq!(db.put_with(key, b"2", &expecting(7)).expect("no error"), Outcome::Conflict(0));
        assert_eq!(db.delete_with(key, &expecting(7)).expect("no error"), Outcome::Conflict(0));
        assert_eq!(written(&db), bytes);
        assert_eq!(db.delete_with(key, &expecting(0)).expect("no error"), Outcome::NotFound);
        assert_eq!(written(&db) > bytes, key == b"expired", "that it is gone is written down");
    }
    for key in [&b"never put"[..], b"deleted", b"expired"] {
        let Ok(Outcome::Written(at)) = db.put_with(key, b"2", &expecting(0)) else { panic!("no put") };
        assert_eq!(db.put_with(key, b"3", &expecting(0)).expect("no error"), Outcome::Conflict(at));
        assert_eq!(get(&db, key), Some(b"2".to_vec()));
    }
}

#[test]
fn a_batch_is_written_when_all_that_it_expects_holds() {
    let (_sim, db) = fresh();
    let guard = db.put(b"guard", b"1").expect("a put");
    let own = db.put(b"own", b"1").expect("a put");
    let mut batch = Batch::new();
    batch.put(b"own", b"2").expect("room");
    batch.put(b"new", b"2").expect("room");
    for (key, version) in [(&b"guard"[..], guard), (b"own", own), (b"new", 0), (b"nobody", 0)] {
        batch.expect(key, version).expect("room");
    }
    let Ok(Outcome::Written(all)) = db.write(&batch) else { panic!("no batch") };
    assert_eq!([version(&db, b"own"), version(&db, b"new"), version(&db, b"guard")], [all, all, guard]);
    let bytes = written(&db);
    // The first that fails is told of, in the order in which they were named.
    assert_eq!(db.write(&batch).expect("no error"), Outcome::Conflict(all));
    batch.clear();
    batch.put(b"other", b"3").expect("room");
    batch.expect(b"guard", guard).expect("room");
    batch.expect(b"nobody", 5).expect("room");
    batch.expect(b"own", own).expect("room");
    assert_eq!(db.write(&batch).expect("no error"), Outcome::Conflict(0));
    assert_eq!((get(&db, b"other"), written(&db)), (None, bytes), "a conflict wrote something");
    // Without operations it only asks.
    batch.clear();
    batch.expect(b"guard", guard).expect("room");
    assert!(matches!(db.write(&batch), Ok(Outcome::Written(_))));
    batch.expect(b"guard", guard + 1).expect("room");
    assert_eq!(db.write(&batch).expect("no error"), Outcome::Conflict(guard));
    assert_eq!(written(&db), bytes);
    batch.clear();
    assert!(matches!(db.write(&batch), Ok(Outcome::Written(_))), "a cleared batch expects nothing");
}

#[test]
fn a_batch_says_itself_what_it_expects() {
    let (_sim, db) = fresh();
    assert!(matches!(db.write_with(&Batch::new(), &expecting(0)), Err(Error::Invalid(_))));
}

#[test]
fn a_version_stays_with_its_value_through_merges_and_opens() {
    let (sim, db) = fresh();
    let mut versions = Vec::new();
    for number in 0..40u8 {
        let _ = db.put(&[number], &[0; 100]).expect("a put");
        versions.push(db.put(&[number], &[number; 100]).expect("a put"));
        db.step_log_thread().expect("jobs");
    }
    let check = |db: &Db<Sim>, versions: &[u64]| {
        let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
        let mut scan = Scan::new(snapshot.clone(), &ScanOptions::default()).expect("a scan");
        let keys_only = ScanOptions { keys_only: true, ..ScanOptions::default() };
        let mut keys = Scan::new(snapshot.clone(), &keys_only).expect("a scan");
        for (number, &version) in (0..).zip(versions) {
            let meta = Meta { version, deadline: None };
            assert_eq!(db.meta(&[number]).expect("it reads"), Some(meta));
            let of_value = |value: &[u8], meta| (value.to_vec(), meta);
            let found = Some((vec![number; 100], meta));
            assert_eq!(db.get_with(&[number], of_value).expect("it reads"), found);
            assert_eq!(snapshot.get_with(&[number], of_value).expect("it reads"), found);
            assert!(scan.advance().expect("it reads") && keys.advance().expect("it reads"));
            assert_eq!((scan.version(), keys.version()), (Some(version), Some(version)));
        }
        assert!(!scan.advance().expect("it reads") && scan.version().is_none());
    };
    check(&db, &versions);
    let before = Arc::new(db.snapshot().expect("a snapshot"));
    assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0);
    check(&db, &versions);
    let found = before.get_with(&[1], |_, meta| meta.version).expect("it reads");
    assert_eq!(found, Some(versions[1]), "found through the hints of segments that were merged");
    assert!(matches!(db.put_with(&[7], b"", &expecting(versions[7])), Ok(Outcome::Written(_))));
    versions[7] = db.put(&[7], &[7; 100]).expect("a put");
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    check(&db, &versions);
}

#[test]
fn a_value_that_is_damaged_has_its_version_still_and_one_whose_header_is_has_none() {
    for at_from_end in [8, 40] {
        let (sim, db) = fresh();
        let version = db.put(b"k", &[1; 16]).expect("a put");
        let (name, len) = sim
            .files(DIR)
            .into_iter()
            .filter(|(name, _)| name.ends_with(".data"))
            .max_by_key(|f| f.1)
            .unwrap();
        sim.corrupt(DIR, &name, len - at_from_end, 1);
        let put = db.put_with(b"k", b"2", &expecting(version));
        if at_from_end == 8 {
            assert!(matches!(put, Ok(Outcome::Written(_))));
            assert_eq!(get(&db, b"k"), Some(b"2".to_vec()));
        } else {
            assert!(matches!(put, Err(Error::Corrupt { .. })));
        }
    }
}

#[test]
fn a_counter_counts_from_nothing_and_is_a_value_of_8_bytes() {
    let (sim, db) = fresh();
    for (delta, sum) in [(5, 5), (-7, -2), (0, -2), (2, 0), (i64::MIN, i64::MIN)] {
        assert_eq!(db.counter_add(b"c", delta).expect("a counter"), sum);
        assert_eq!(get(&db, b"c"), Some(sum.to_le_bytes().to_vec()));
    }
    let bytes = written(&db);
    let refused = |key: &[u8], delta| match db.counter_add(key, delta) {
        Err(Error::Invalid(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(b"c", -1).contains("-9223372036854775808"));
    assert_eq!(written(&db), bytes);
    db.put(b"text", b"twelve bytes").expect("a put");
    db.put(b"empty", b"").expect("a put");
    let bytes = written(&db);
    assert!(refused(b"text", 1).contains("12 bytes") && refused(b"empty", 1).contains("0 bytes"));
    assert_eq!((get(&db, b"text"), written(&db)), (Some(b"twelve bytes".to_vec()), bytes));
    db.put(b"put", &41i64.to_le_bytes()).expect("a put");
    assert_eq!(db.counter_add(b"put", 1).expect("a counter"), 42);
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!(db.counter_add(b"put", 0).expect("a counter"), 42);
}

#[test]
fn a_read_only_handle_takes_none_of_these_writes() {
    let (sim, db) = fresh();
    db.put(b"k", b"1").expect("a put");
    db.close().expect("a close");
    let db = open(&sim, &Options { read_only: true, ..manual() }).expect("it opens");
    let refused = |answer: Result<Outcome, Error>| matches!(answer, Err(Error::ReadOnly));
    assert!(refused(db.put_with(b"k", b"2", &expecting(0))));
    assert!(refused(db.delete_with(b"k", &expecting(0))));
    assert!(refused(db.write(&Batch::new())));
    assert!(matches!(db.counter_add(b"k", 1), Err(Error::ReadOnly)));
    assert!(matches!(db.expire(b"k", 1), Err(Error::ReadOnly)));
    assert!(matches!(db.persist(b"k"), Err(Error::ReadOnly)));
    assert!(version(&db, b"k") > 0);
}

const THREADS: usize = 4;

#[test]
fn of_threads_that_expect_the_same_version_just_one_gets_through() {
    let (_sim, db) = fresh();
    let (start, winners) = (Barrier::new(THREADS), AtomicUsize::new(0));
    for round in 0..100u8 {
        let current = version(&db, b"k");
        winners.store(0, Ordering::Relaxed);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (db, start, winners) = (&db, &start, &winners);
                scope.spawn(move || {
                    let mut batch = Batch::new();
                    batch.put(b"k", &[round, 9]).expect("room");
                    batch.expect(b"k", current).expect("room");
                    start.wait();
                    let outcome = match number {
                        0 => db.write(&batch),
                        _ => db.put_with(b"k", &[round, 1], &expecting(current)),
                    };
                    match outcome.expect("no error") {
                        Outcome::Written(_) => drop(winners.fetch_add(1, Ordering::Relaxed)),
                        other => assert!(matches!(other, Outcome::Conflict(at) if at > current)),
                    }
                });
            }
        });
        assert_eq!(winners.load(Ordering::Relaxed), 1, "round {round}");
        assert!(version(&db, b"k") > current);
    }
}

#[test]
fn what_threads_add_to_a_counter_beside_merges_is_all_in_it() {
    const EACH: usize = 300;
    let (sim, db) = fresh();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let adding: Vec<_> = (0..THREADS)
            .map(|number| {
                let db = &db;
                scope.spawn(move || {
                    for at in 0..EACH {
                        db.counter_add(&[(at % 3).to_le_bytes()[0]], 1).expect("a counter");
                        if number == 0 && at % 50 == 0 {
                            db.put(b"other", &[0; 200]).expect("a put");
                        }
                    }
                })
            })
            .collect();
        let merging = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                db.step_log_thread().expect("jobs");
                db.merge(&MergePolicy::everything()).expect("a merge");
            }
        });
        adding.into_iter().for_each(|thread| thread.join().expect("no panic"));
        done.store(true, Ordering::Relaxed);
        merging.join().expect("no panic");
    });
    let sums = |db: &Db<Sim>| [0u8, 1, 2].map(|key| db.counter_add(&[key], 0).expect("a counter"));
    let each = i64::try_from(THREADS * EACH / 3).expect("a small number");
    assert_eq!(sums(&db), [each; 3]);
    db.close().expect("a close");
    assert_eq!(sums(&open(&sim, &manual()).expect("it opens")), [each; 3]);
}

/// At the first read of each from a file somebody else adds to the counter, which takes the write mutex: if the reader held
/// it, both would wait for ever. And what was added is not lost.
#[test]
fn what_a_write_depends_on_is_read_without_the_write_mutex() {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    let (writer, armed, reads) = (
        Arc::new(OnceLock::<Weak<Db<Gated>>>::new()),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let read = {
        let (writer, armed, reads) = (writer.clone(), armed.clone(), reads.clone());
        move || {
            if let Some(db) =
                writer.get().and_then(Weak::upgrade).filter(|_| armed.swap(false, Ordering::Relaxed))
            {
                reads.fetch_add(1, Ordering::Relaxed);
                let (done, waits) = std::sync::mpsc::channel();
                thread::spawn(move || {
                    db.counter_add(b"c", 10).expect("a counter");
                    drop(db);
                    done.send(()).expect("it is waited for");
                });
                let limit = std::time::Duration::from_secs(20);
                waits
                    .recv_timeout(limit)
                    .map_err(|_| std::io::Error::other("the write mutex is held over a read"))?;
            }
            Ok(())
        }
    };
    let world = Gated::new(&sim, Arc::new(|| Ok(()))).with_reads(Arc::new(read));
    let db = Arc::new(Db::open(world, Path::new(DIR), &manual()).expect("a new store"));
    writer.set(Arc::downgrade(&db)).expect("once");
    let at = db.put_with(b"k", b"{}", &expiring(1 << 40)).expect("a put").version().expect("a version");
    let mut batch = Batch::new();
    batch.put(b"b", b"").expect("room");
    batch.expect(b"k", at).expect("room");
    type Write<'a> = (&'a str, &'a dyn Fn() -> bool);
    let writes: [Write<'_>; 8] = [
        ("a batch", &|| matches!(db.write(&batch), Ok(Outcome::Written(_)))),
        ("a put", &|| matches!(db.put_with(b"k", b"{}", &expecting(at)), Ok(Outcome::Written(_)))),
        ("expire", &|| db.expire(b"k", 1 << 40).expect("a key")),
        ("a deletion of what may expire", &|| db.delete(b"k").expect("a deletion")),
        ("a counter", &|| db.counter_add(b"c", 1).expect("a counter") == 51),
        ("a patch", &|| {
            db.put(b"j", b"{}").expect("a put");
            db.patch_json(b"j", b"{\"a\": 1}").expect("a patch")
        }),
        ("persist", &|| db.persist(b"j").expect("a key")),
        ("a deletion", &|| {
            let at = db.meta(b"j").expect("it reads").expect("a value").version;
            matches!(db.delete_with(b"j", &expecting(at)), Ok(Outcome::Written(_)))
        }),
    ];
    for (what, write) in writes {
        let before = reads.load(Ordering::Relaxed);
        armed.store(true, Ordering::Relaxed);
        assert!(write(), "{what}");
        assert_eq!(reads.load(Ordering::Relaxed), before + 1, "{what} read nothing");
    }
}
