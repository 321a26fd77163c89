//! Snapshots and scans answer as a map of that moment does, whatever is done to the store meanwhile.

mod support;

use bitcask::Error;
use bitcask::engine::{Db, Snapshot};
use bitcask::features::batch::Batch;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::io::sim::{Rng, Sim};
use bitcask::options::{MergeMode, Options, SyncMode};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use support::{DIR, merge_policy, open, setting};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Short keys over a small alphabet, so that prefixes and neighbours abound; now and then a long one.
fn key(rng: &mut Rng) -> Vec<u8> {
    const BYTES: [u8; 4] = [0, b'a', b'b', 0xFF];
    let len = if rng.chance(1, 30) { 300 } else { rng.below(4) };
    (0..len).map(|_| BYTES[rng.below(BYTES.len())]).collect()
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let mut value = vec![0; [0, 10, 100, 700][rng.below(4)]];
    rng.fill(&mut value);
    value
}

fn taken(scan: &mut Scan<Sim>, most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    while found.len() < most && scan.advance().expect("a sound store") {
        found.push((scan.key().expect("a key").to_vec(), scan.value().expect("a value").to_vec()));
    }
    found
}

fn expected(model: &Model, options: &ScanOptions<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let within = |key: &[u8]| {
        key.starts_with(options.prefix)
            && key >= options.lower
            && (options.upper.is_empty() || key < options.upper)
    };
    let mut rows: Vec<_> = model
        .iter()
        .filter(|(key, _)| within(key))
        .map(|(key, value)| (key.clone(), if options.keys_only { Vec::new() } else { value.clone() }))
        .collect();
    if options.reverse {
        rows.reverse();
    }
    rows
}

fn check(snapshot: &Arc<Snapshot<Sim>>, model: &Model, rng: &mut Rng) {
    for _ in 0..4 {
        let [prefix, lower, upper] =
            [4, 2, 2].map(|of| if rng.chance(1, of) { key(rng) } else { Vec::new() });
        let (reverse, keys_only) = (rng.chance(1, 2), rng.chance(1, 3));
        let options = ScanOptions { reverse, keys_only, prefix: &prefix, lower: &lower, upper: &upper };
        let mut scan = Scan::new(snapshot.clone(), &options).expect("a scan");
        let all = expected(model, &options);
        assert_eq!(taken(&mut scan, usize::MAX), all, "{options:?}");
        assert!(!scan.advance().expect("the end") && scan.key().is_none());
        for _ in 0..3 {
            let to = key(rng);
            scan.seek(&to).expect("a seek");
            let rest: Vec<_> = all
                .iter()
                .filter(|(key, _)| if reverse { *key <= to } else { *key >= to })
                .cloned()
                .collect();
            let most = rng.below(rest.len() + 2);
            assert_eq!(taken(&mut scan, most), rest[..most.min(rest.len())], "{options:?} from {to:?}");
        }
    }
    for _ in 0..10 {
        let key = key(rng);
        let found = snapshot.get(&key, <[u8]>::to_vec).expect("a get");
        assert_eq!(found.as_ref(), model.get(&key), "{key:?}");
    }
    let range = (Bound::Included(&b"a"[..]), Bound::Excluded(&b"b"[..]));
    for (key, value) in model.range::<[u8], _>(range) {
        assert_eq!(snapshot.get(key, <[u8]>::to_vec).expect("a get").as_ref(), Some(value));
    }
}

fn write(db: &Db<Sim>, model: &mut Model, rng: &mut Rng) {
    match rng.below(10) {
        0..=5 => {
            let (key, value) = (key(rng), value(rng));
            db.put(&key, &value).expect("a put");
            model.insert(key, value);
        }
        6..=7 => {
            let key = key(rng);
            assert_eq!(db.delete(&key).expect("a deletion"), model.remove(&key).is_some());
        }
        _ => {
            let mut batch = Batch::new();
            for _ in 0..1 + rng.below(4) {
                let (key, value) = (key(rng), value(rng));
                if rng.chance(2, 3) {
                    batch.put(&key, &value).expect("a put");
                    model.insert(key, value);
                } else {
                    batch.delete(&key).expect("a deletion");
                    model.remove(&key);
                }
            }
            db.write(&batch).expect("a batch").version().expect("a version");
        }
    }
}

fn history(seed: u64) {
    let mut rng = Rng::derive(&[seed, 21]);
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    let options =
        Options { merge: MergeMode::Manual, max_segment_bytes: 3000, ..support::options(SyncMode::None) };
    let (mut db, mut model) = (open(&sim, &options).expect("a new store"), Model::new());
    let mut snapshots: Vec<(Arc<Snapshot<Sim>>, Model)> = Vec::new();
    for _ in 0..250 {
        match rng.below(40) {
            0..=24 => write(&db, &mut model, &mut rng),
            25..=27 => db.step_log_thread().expect("jobs"),
            28 => db.step_merge_thread().expect("jobs"),
            29..=30 => drop(db.merge(&merge_policy([1, 30, 70][rng.below(3)])).expect("a merge")),
            31..=33 => snapshots.push((Arc::new(db.snapshot().expect("a snapshot")), model.clone())),
            34 if !snapshots.is_empty() => drop(snapshots.swap_remove(rng.below(snapshots.len()))),
            35 if rng.chance(1, 5) => {
                db.close().expect("a close");
                for (snapshot, _) in snapshots.drain(..) {
                    assert!(matches!(snapshot.get(b"", |_| ()), Err(Error::Closed)));
                    assert!(matches!(Scan::new(snapshot, &ScanOptions::default()), Err(Error::Closed)));
                }
                db = open(&sim, &options).expect("an open");
            }
            _ if !snapshots.is_empty() => {
                let (snapshot, then) = &snapshots[rng.below(snapshots.len())];
                check(snapshot, then, &mut rng);
            }
            _ => {}
        }
    }
    check(&Arc::new(db.snapshot().expect("a snapshot")), &model, &mut rng);
}

#[test]
fn whatever_is_done_meanwhile_a_snapshot_and_its_scans_answer_as_a_map_of_that_moment() {
    let first = setting("BITCASK_SCAN_FIRST_SEED", 1);
    for seed in first..first + setting("BITCASK_SCAN_SEEDS", 150) {
        let run = std::panic::AssertUnwindSafe(|| history(seed));
        if std::panic::catch_unwind(run).is_err() {
            panic!("seed {seed}");
        }
    }
}

/// Hints of many blocks, where most of a seek is in finding the right one.
#[test]
fn a_seek_in_large_segments_finds_its_key() {
    let (sim, mut rng, mut model) = (Sim::new(2), Rng::new(2), Model::new());
    sim.make_dirs(DIR);
    let options = Options { merge: MergeMode::Manual, ..Options::default() };
    let db = open(&sim, &options).expect("a new store");
    for n in 0..6_000u32 {
        let key = format!("{:05}", n * 7 % 6_000 * 2).into_bytes();
        db.put(&key, &n.to_le_bytes()).expect("a put");
        model.insert(key, n.to_le_bytes().to_vec());
    }
    db.close().expect("a close");
    let db = open(&sim, &Options { max_segment_bytes: 65_536, ..options.clone() }).expect("an open");
    db.put(b"x", b"1").expect("a put");
    db.step_log_thread().expect("jobs");
    db.delete(b"x").expect("a deletion");
    db.step_merge_thread().expect("hints");
    assert!(sim.files(DIR).iter().any(|(name, len)| name.ends_with(".hint") && *len > 100_000));
    let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
    for reverse in [false, true] {
        let mut scan =
            Scan::new(snapshot.clone(), &ScanOptions { reverse, ..ScanOptions::default() }).expect("a scan");
        for _ in 0..500 {
            let to = format!("{:05}", rng.below(12_002)).into_bytes();
            scan.seek(&to).expect("a seek");
            let found = taken(&mut scan, 100);
            let forward =
                model.range(to.clone()..).take(100).map(|(key, value)| (key.clone(), value.clone()));
            let backward =
                model.range(..=to.clone()).rev().take(100).map(|(key, value)| (key.clone(), value.clone()));
            let expected: Vec<_> = if reverse { backward.collect() } else { forward.collect() };
            assert!(found == expected, "from {to:?}, reverse: {reverse}");
        }
    }
}

/// A hint that is damaged behind the back of a walk costs time: the segment's records stand in for it.
#[test]
fn walks_and_snapshots_go_on_over_hints_that_turn_out_damaged() {
    let (sim, mut model) = (Sim::new(3), Model::new());
    sim.make_dirs(DIR);
    let options = Options {
        merge: MergeMode::Manual,
        max_segment_bytes: 65_536,
        checkpoint: false,
        ..support::options(SyncMode::None)
    };
    let db = open(&sim, &options).expect("a new store");
    for n in 0..6_000u32 {
        let key = format!("{:05}", n * 7 % 5_000).into_bytes();
        db.put(&key, &n.to_le_bytes()).expect("a put");
        model.insert(key, n.to_le_bytes().to_vec());
        if n % 500 == 0 {
            db.step_log_thread().expect("jobs");
        }
    }
    db.step_log_thread().expect("jobs");
    let damage = || {
        let hints: Vec<_> = sim.files(DIR).into_iter().filter(|(name, _)| name.ends_with(".hint")).collect();
        hints.iter().for_each(|(name, _)| {
            (3_000..20_000).step_by(2_000).for_each(|at| sim.corrupt(DIR, name, at, 1))
        });
        hints.len() as u64
    };
    for merged in [false, true] {
        if merged {
            assert!(db.merge(&merge_policy(1)).expect("a merge") > 0);
        }
        for (reverse, before) in [(false, 0), (true, 0), (false, 500), (true, 500)] {
            db.step_merge_thread().expect("hints");
            let known = db.stats().expect("stats").damaged_hints;
            let options = ScanOptions { reverse, ..ScanOptions::default() };
            let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
            let mut scan = Scan::new(snapshot.clone(), &options).expect("a scan");
            let mut found = taken(&mut scan, before);
            let hints = damage();
            assert!(hints > 1);
            found.extend(taken(&mut scan, usize::MAX));
            assert!(found == expected(&model, &options), "{options:?}, merged: {merged}");
            let met = db.stats().expect("stats").damaged_hints;
            assert_eq!(met, known + hints, "each is met once");
            // Who comes later does not meet it again.
            let mut scan = Scan::new(Arc::new(db.snapshot().expect("a snapshot")), &options).expect("a scan");
            assert!(taken(&mut scan, usize::MAX) == expected(&model, &options));
            assert_eq!(db.stats().expect("stats").damaged_hints, met);
        }
        db.step_merge_thread().expect("hints");
        let snapshot = db.snapshot().expect("a snapshot");
        let then = model.clone();
        for n in (0..5_000).step_by(3) {
            let key = format!("{n:05}").into_bytes();
            db.put(&key, b"new").expect("a put");
            model.insert(key, b"new".to_vec());
        }
        damage();
        for n in 0..5_100 {
            let key = format!("{n:05}").into_bytes();
            assert_eq!(snapshot.get(&key, <[u8]>::to_vec).expect("a get").as_ref(), then.get(&key));
        }
    }
    assert_eq!(db.stats().expect("stats").corrupt_records, 0);
}
