//! Snapshots and scans answer as a map of that moment does, whatever is done to the store meanwhile.

use crate::support;
use crate::support::{DIR, merge_policy, open, setting};
use bitcask::Error;
use bitcask::engine::{Db, Snapshot};
use bitcask::features::batch::Batch;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::io::sim::{FaultPlan, Rng, Sim, Survival};
use bitcask::options::{IoMode, MergeMode, Options, SyncMode};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

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

fn taken(scan: &mut Scan<Sim>, most: usize) -> Rows {
    let mut found = Vec::new();
    while found.len() < most && scan.advance().expect("a sound store") {
        found.push((scan.key().expect("a key").to_vec(), scan.value().expect("a value").to_vec()));
    }
    found
}

/// All that a scan has, asked again whenever a call failed; and how often one did.
fn persisted(snapshot: &Arc<Snapshot<Sim>>, options: &ScanOptions<'_>, together: bool) -> (Rows, u64) {
    let (mut found, mut failures) = (Vec::new(), 0);
    let mut failed = |err: Error| {
        assert!(matches!(err, Error::Io { .. }), "{err}");
        failures += 1;
    };
    let mut scan = loop {
        match Scan::new(snapshot.clone(), options) {
            Ok(scan) => break scan,
            Err(err) => failed(err),
        }
    };
    loop {
        let more = if together {
            let mut count = 0;
            scan.take_while(|entry| {
                count += 1;
                if count < 5 {
                    found.push((entry.key().to_vec(), entry.value().to_vec()));
                }
                count < 5
            })
        } else {
            let more = scan.advance();
            found.extend(scan.key().zip(scan.value()).map(|(key, value)| (key.to_vec(), value.to_vec())));
            more
        };
        match more {
            Ok(true) => {}
            Ok(false) => return (found, failures),
            Err(err) => failed(err),
        }
    }
}

/// The same by many at once, as few as one, the last of which is refused.
fn taken_together(scan: &mut Scan<Sim>, most: usize, rng: &mut Rng) -> Rows {
    let mut found = Vec::new();
    loop {
        let until = most.min(found.len() + 1 + rng.below(50));
        let more = scan.take_while(|entry| {
            let takes = found.len() < until;
            if takes {
                let [first, second] = entry.pieces();
                assert_eq!([first, second].concat(), [entry.key(), entry.value()].concat());
                found.push((entry.key().to_vec(), entry.value().to_vec()));
            }
            takes
        });
        assert!(scan.key().is_none() && scan.value().is_none(), "there is nothing to show");
        if !more.expect("a sound store") || found.len() == most {
            return found;
        }
    }
}

fn expected(model: &Model, options: &ScanOptions<'_>) -> Rows {
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
    if seed.is_multiple_of(2) {
        sim.map_files();
    }
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

/// Records in the order of their keys, in several segments, that a walk goes through one behind the other.
#[test]
fn a_walk_from_record_to_record_finds_all_but_what_is_damaged() {
    find_all_but_what_is_damaged(true);
}

#[test]
fn a_walk_through_records_that_lie_anyhow_finds_all_but_what_is_damaged() {
    find_all_but_what_is_damaged(false);
}

fn find_all_but_what_is_damaged(merged: bool) {
    let (sim, mut model, mut rng) = (Sim::new(4), Model::new(), Rng::new(4));
    sim.map_files();
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
        let value = vec![1; rng.below(60)];
        db.put(&key, &value).expect("a put");
        model.insert(key, value);
        if n % 100 == 0 {
            db.step_log_thread().expect("jobs");
        }
    }
    db.step_log_thread().expect("jobs");
    db.step_merge_thread().expect("hints");
    if merged {
        assert!(db.merge(&merge_policy(0)).expect("a merge") > 0);
    }
    // What follows is beside the merged segments.
    for n in (0..5_000).step_by(97) {
        let key = format!("{n:05}").into_bytes();
        db.put(&key, b"new").expect("a put");
        model.insert(key, b"new".to_vec());
    }
    let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
    let options = ScanOptions::default();
    let mut scan = Scan::new(snapshot.clone(), &options).expect("a scan");
    assert!(taken(&mut scan, usize::MAX) == expected(&model, &options));
    for round in 0..300 {
        let (from, upper) = (format!("{:05}", rng.below(5_002)), format!("{:05}", rng.below(5_002)));
        let options = ScanOptions { upper: upper.as_bytes(), ..options };
        let mut scan = Scan::new(snapshot.clone(), &options).expect("a scan");
        scan.seek(from.as_bytes()).expect("a seek");
        let most = if round % 3 == 0 { usize::MAX } else { 1 + rng.below(200) };
        let found =
            if rng.chance(1, 2) { taken(&mut scan, most) } else { taken_together(&mut scan, most, &mut rng) };
        let mut rows = expected(&model, &ScanOptions { lower: from.as_bytes(), ..options });
        rows.truncate(most);
        assert!(found == rows, "{from} to {upper}, {most}");
    }
    // A header, a value, and two records one behind the other.
    let mut damaged = Vec::new();
    let segments: Vec<_> = sim.files(DIR).into_iter().filter(|(name, _)| name.ends_with(".data")).collect();
    let mut walk = Scan::new(snapshot.clone(), &options).expect("a scan");
    for (step, at) in
        [(7, 9), (700, 40), (1_500, 0), (1, 0), (900, 33), (1_001, 45), (77, 50), (311, 3), (402, 16)]
    {
        for _ in 0..step {
            assert!(walk.advance().expect("a sound store"));
        }
        let key = walk.key().expect("a key").to_vec();
        let needle = [&key[..], walk.value().expect("a value")].concat();
        // The newest.
        let place = segments.iter().rev().find_map(|(name, _)| {
            let bytes = sim.read_file(DIR, name)?;
            let at = bytes.windows(needle.len()).rposition(|part| part == needle)?;
            Some((name, at as u64 - 24))
        });
        let (name, record) = place.expect("the record");
        // Empty values have no byte to damage but their record's.
        sim.corrupt(DIR, name, record + if needle.len() > 20 { at } else { 9 }, 1);
        damaged.push(key);
    }
    for together in [false, true] {
        let mut scan = Scan::new(snapshot.clone(), &options).expect("a scan");
        let (mut found, mut errors) = (Vec::new(), 0);
        loop {
            let step = if together {
                scan.take_while(|entry| {
                    found.push(entry.key().to_vec());
                    true
                })
            } else {
                scan.advance().inspect(|there| found.extend(there.then(|| scan.key().unwrap().to_vec())))
            };
            match step {
                Ok(false) => break,
                Ok(true) => {}
                Err(Error::Corrupt { .. }) => errors += 1,
                Err(err) => panic!("{err}"),
            }
        }
        let sound: Vec<_> = model.keys().filter(|key| !damaged.contains(key)).cloned().collect();
        assert_eq!(errors, damaged.len(), "together: {together}");
        assert!(found == sound, "together: {together}");
    }
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
fn whatever_call_fails_a_scan_that_is_asked_again_leaves_nothing_out() {
    let sim = Sim::new(4);
    sim.make_dirs(DIR);
    let options = Options { io: IoMode::Pread, merge: MergeMode::Manual, ..support::options(SyncMode::None) };
    let db = open(&sim, &options).expect("it opens");
    let mut model = Model::new();
    let mut put = |number: u32, byte: u8| {
        let (key, value) = (number.wrapping_mul(0x9E37_79B9).to_be_bytes().to_vec(), vec![byte; 200]);
        db.put(&key, &value).expect("a put");
        db.step_log_thread().expect("jobs");
        model.insert(key, value);
    };
    // A merged run, segments with hints, some without, and the active one.
    (0..12).for_each(|number| put(number, 1));
    db.merge(&merge_policy(1)).expect("a merge");
    (6..18).for_each(|number| put(number, 2));
    db.step_merge_thread().expect("hints");
    (14..20).for_each(|number| put(number, 3));
    db.close().expect("a close");
    let (mut runs, mut fired) = (0, 0);
    for way in 0..8 {
        let is = |bit: u32| way >> bit & 1 == 1;
        let (together, reverse, keys_only) = (is(0), is(1), is(2));
        let scan = ScanOptions { reverse, keys_only, ..ScanOptions::default() };
        for nth in 1.. {
            let sim = sim.crash(sim.op_count(), Survival::SyncedOnly);
            let db = open(&sim, &Options { read_only: true, ..options.clone() }).expect("it opens");
            let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
            sim.fail(FaultPlan::nth(nth));
            let (found, failures) = persisted(&snapshot, &scan, together);
            assert!(found == expected(&model, &scan), "call {nth}, {scan:?}, together: {together}");
            assert!(failures <= sim.faults_fired());
            (runs, fired) = (runs + 1, fired + failures);
            if sim.faults_fired() == 0 {
                break;
            }
        }
    }
    println!("{runs} runs, {fired} errors");
    assert!(fired > 100);
}

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
        // A short one has its filter there, which no walk reads.
        let long = |(name, len): &(String, u64)| name.ends_with(".hint") && *len > 6_000;
        let hints: Vec<_> = sim.files(DIR).into_iter().filter(long).collect();
        hints.iter().for_each(|(name, len)| {
            (3_000..20_000.min(*len)).step_by(2_000).for_each(|at| sim.corrupt(DIR, name, at, 1))
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
            // A walk from record to record has left a hint behind. Whoever comes later meets what it did not, and nobody
            // meets one twice.
            let met = db.stats().expect("stats").damaged_hints - known;
            assert!(
                met > 0 && hints - met <= u64::from(merged && !reverse && before > 0),
                "{met} of {hints}"
            );
            for _ in 0..2 {
                let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
                let mut scan = Scan::new(snapshot, &options).expect("a scan");
                assert!(taken(&mut scan, usize::MAX) == expected(&model, &options));
                assert_eq!(db.stats().expect("stats").damaged_hints, known + hints);
            }
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
