//! A deletion of a range takes what had a value when it began and was not written since, and nothing else.

use crate::support;
use crate::support::crashes::Run;
use crate::support::gated::Gated;
use crate::support::{DIR, Write, key, merge_policy, open, options, setting};
use bitcask::Error;
use bitcask::engine::{Db, Expiry, WriteOptions};
use bitcask::features::delete_range::RangeDeletion;
use bitcask::features::scan::ScanOptions;
use bitcask::io::env::Env;
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

fn manual() -> Options {
    Options { merge: MergeMode::Manual, ..options(SyncMode::None) }
}

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    sim
}

fn name(rng: &mut Rng) -> Vec<u8> {
    const BYTES: [u8; 3] = [0, b'a', 0xFF];
    (0..rng.below(5)).map(|_| BYTES[rng.below(BYTES.len())]).collect()
}

fn get<E: Env>(db: &Db<E>, key: &[u8]) -> Option<Vec<u8>> {
    db.get(key, <[u8]>::to_vec).expect("the key reads")
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn compare(db: &Db<Sim>, model: &Model) {
    assert_eq!(db.count().expect("open"), model.len() as u64);
    model.iter().for_each(|(key, value)| assert_eq!(get(db, key).as_ref(), Some(value), "{key:?}"));
}

/// One deletion of a random range in random batches, between which anything happens to the keys.
fn deletion(db: &Db<Sim>, model: &mut Model, rng: &mut Rng) {
    let [prefix, lower, upper] = [4, 2, 2].map(|of| if rng.chance(1, of) { name(rng) } else { Vec::new() });
    let reverse = rng.chance(1, 4);
    let range = ScanOptions { reverse, keys_only: false, prefix: &prefix, lower: &lower, upper: &upper };
    let within =
        |key: &&Vec<u8>| key.starts_with(&prefix) && **key >= lower && (upper.is_empty() || **key < upper);
    let mut doomed: Vec<_> = model.keys().filter(within).cloned().collect();
    if reverse {
        doomed.reverse();
    }
    let (most, mut written) = (1 + rng.below(4), BTreeSet::new());
    let mut deletion = RangeDeletion::new(db, &range).expect("a deletion").in_batches_of(most);
    for batch in doomed.chunks(most) {
        for _ in 0..rng.below(4) {
            match rng.below(10) {
                0..=4 => {
                    let (key, value) = (name(rng), vec![rng.below(256).to_le_bytes()[0]; rng.below(200)]);
                    db.put(&key, &value).expect("a put");
                    model.insert(key.clone(), value);
                    written.insert(key);
                }
                5..=6 => {
                    let key = name(rng);
                    assert_eq!(db.delete(&key).expect("a deletion"), model.remove(&key).is_some());
                    written.insert(key);
                }
                7 => db.step_log_thread().expect("jobs"),
                8 => db.step_merge_thread().expect("jobs"),
                _ => drop(db.merge(&merge_policy(1)).expect("a merge")),
            }
        }
        let gone = batch.iter().filter(|key| !written.contains(*key));
        let gone = gone.filter(|key| model.remove(*key).is_some()).count();
        assert_eq!(deletion.step().expect("a batch"), Some(gone), "{range:?}");
    }
    assert_eq!(deletion.step().expect("the end"), None);
}

#[test]
fn what_is_written_meanwhile_stays_and_everything_else_in_the_range_goes() {
    let first = setting("BITCASK_SCAN_FIRST_SEED", 1);
    for seed in first..first + setting("BITCASK_SCAN_SEEDS", 100) {
        let (sim, mut rng, mut model) = (machine(seed), Rng::derive(&[seed, 31]), Model::new());
        let mut db = open(&sim, &manual()).expect("a new store");
        for round in 0..12 {
            for _ in 0..30 {
                let (key, value) = (name(&mut rng), vec![7; rng.below(200)]);
                db.put(&key, &value).expect("a put");
                model.insert(key, value);
            }
            deletion(&db, &mut model, &mut rng);
            compare(&db, &model);
            if round % 4 == 3 {
                db.close().expect("a close");
                db = open(&sim, &manual()).expect("an open");
                compare(&db, &model);
            }
        }
    }
}

#[test]
fn a_deletion_of_everything_leaves_nothing_and_counts_it() {
    let sim = machine(1);
    let large = Options { max_segment_bytes: 64 << 10, ..manual() };
    let db = open(&sim, &large).expect("a new store");
    for number in 0..3000u32 {
        db.put(&number.to_be_bytes(), b"value").expect("a put");
        if number % 100 == 0 {
            db.step_log_thread().expect("jobs");
        }
    }
    let short = WriteOptions { expiry: Expiry::AfterMs(1), ..WriteOptions::default() };
    assert!(db.put_with(b"expired", b"value", &short).expect("a put").version().is_some());
    sim.advance_clock_ns(1_000_000);
    let before = db.snapshot().expect("a snapshot");
    assert_eq!(db.delete_range(&ScanOptions::default()).expect("a deletion"), 3000);
    assert_eq!(db.count().expect("open"), 1, "what has expired is counted until a merge drops it");
    assert_eq!(db.delete_range(&ScanOptions::default()).expect("a deletion"), 0);
    assert_eq!(before.get(&7u32.to_be_bytes(), |_| ()).expect("it reads"), Some(()), "a snapshot stays");
    db.close().expect("a close");
    let db = open(&sim, &large).expect("it opens");
    assert_eq!(db.count().expect("open"), 1);
    db.merge(&MergePolicy::everything()).expect("a merge");
    assert_eq!(db.count().expect("open"), 0);
}

/// A merge has moved the records, so that each is looked at before its batch; then the first of them is written again.
#[test]
fn a_key_written_between_the_look_at_it_and_its_deletion_keeps_its_new_value() {
    let sim = machine(1);
    let db: Arc<Mutex<Option<Arc<Db<Gated>>>>> = Arc::default();
    let armed = Arc::new(Mutex::new(false));
    let gate = {
        let (db, armed) = (db.clone(), armed.clone());
        move || {
            if std::mem::take(&mut *armed.lock().expect("no panic")) {
                let db = db.lock().expect("no panic").clone().expect("it is open");
                db.put(b"key 0", b"new").expect("a put while nothing is locked");
            }
            Ok(())
        }
    };
    let opened = Db::open(Gated::new(&sim, Arc::new(gate)), Path::new(DIR), &manual()).expect("a new store");
    let opened = db.lock().expect("no panic").insert(Arc::new(opened)).clone();
    for number in 0..10 {
        opened.put(format!("key {number}").as_bytes(), &[1; 200]).expect("a put");
        opened.step_log_thread().expect("jobs");
    }
    opened.put(b"other", &[1; 200]).expect("a put");
    opened.step_log_thread().expect("jobs");
    let range = ScanOptions { prefix: b"key", ..ScanOptions::default() };
    let mut deletion = RangeDeletion::new(&opened, &range).expect("a deletion").in_batches_of(100);
    assert!(opened.merge(&MergePolicy::everything()).expect("a merge") > 0);
    // The walk reads hints, which are in memory once they were asked for: the first call is for a record's header.
    *armed.lock().expect("no panic") = true;
    let deleted = deletion.step().expect("a batch").expect("there are keys");
    assert!(!*armed.lock().expect("no panic"), "nothing was looked at");
    assert_eq!((deleted, opened.count().expect("open")), (9, 2));
    assert_eq!(get(&opened, b"key 0"), Some(b"new".to_vec()));
    db.lock().expect("no panic").take();
}

#[test]
fn a_batch_that_fails_deletes_nothing_of_itself_and_the_error_counts_what_went_before() {
    let sim = machine(1);
    let db = open(&sim, &Options { max_segment_bytes: 1 << 20, ..manual() }).expect("a new store");
    for number in 0..1000u32 {
        db.put(&number.to_be_bytes(), b"value").expect("a put");
    }
    for (nth, before) in [(1, 0), (2, 512)] {
        sim.fail(FaultPlan::nth(nth).only(&[Call::Write]).errno(libc::ENOSPC));
        match db.delete_range(&ScanOptions::default()) {
            Err(Error::NoSpace { .. }) if before == 0 => {}
            Err(Error::Stopped { deleted, source }) => {
                assert!(deleted == before && matches!(*source, Error::NoSpace { .. }));
            }
            other => panic!("{other:?}"),
        }
        sim.clear_faults();
        assert_eq!(db.count().expect("open"), 1000 - before);
    }
    assert_eq!(db.delete_range(&ScanOptions::default()).expect("the rest"), 488);
}

#[test]
fn a_store_that_takes_no_writes_takes_no_deletion() {
    let sim = machine(1);
    open(&sim, &manual()).expect("a new store").close().expect("a close");
    let reader = open(&sim, &Options { read_only: true, ..manual() }).expect("it opens");
    assert!(matches!(reader.delete_range(&ScanOptions::default()), Err(Error::ReadOnly)));
    drop(reader);
    let db = open(&sim, &manual()).expect("it opens");
    db.poison("a test");
    assert!(matches!(db.delete_range(&ScanOptions::default()), Err(Error::Poisoned { .. })));
}

/// Of a deletion that a crash ends some batches are done and the others are not; a batch is one write.
#[test]
fn a_crash_leaves_each_batch_of_a_deletion_whole_or_absent_and_the_next_one_does_the_rest() {
    let mut cases = 0;
    for seed in 1..=setting("BITCASK_CRASH_SEEDS", 12) {
        let sync = [SyncMode::None, SyncMode::Always][usize::from(seed % 3 == 0)];
        let mut rng = Rng::derive(&[seed, 32]);
        let mut run = Run::new(seed, options(sync));
        let db = run.open();
        for number in 0..14 {
            run.write(&db, &Write::Put(rng.below(support::KEYS), number));
            if rng.chance(1, 5) {
                db.step_log_thread().expect("jobs");
            }
        }
        if seed % 2 == 0 {
            db.merge(&merge_policy(1)).expect("a merge");
        }
        run.sync(&db);
        run.start();
        let most = 1 + rng.below(3);
        let mut in_order: Vec<usize> = (0..support::KEYS).filter(|at| run.state()[*at].is_some()).collect();
        in_order.sort_by_key(|at| key(*at));
        let mut deletion =
            RangeDeletion::new(&db, &ScanOptions::default()).expect("a deletion").in_batches_of(most);
        for batch in in_order.chunks(most) {
            assert_eq!(deletion.step().expect("a batch"), Some(batch.len()));
            run.note(&Write::Batch(batch.iter().map(|at| (*at, None)).collect()));
            if rng.chance(1, 4) {
                db.step_log_thread().expect("jobs");
            }
        }
        drop(db);
        cases += run.crash_everywhere(seed);
        let image = run.sim.crash(run.sim.op_count() / 2, bitcask::io::sim::Survival::Everything);
        let db = open(&image, &run.options).expect("it opens");
        let left = db.count().expect("open");
        assert_eq!(db.delete_range(&ScanOptions::default()).expect("the rest"), left);
        assert_eq!(db.count().expect("open"), 0);
    }
    println!("{cases} crash cases, 0 violations");
}
