//! Faults that other stores of this kind have had in merges, hints, deletions, expiry and file numbers: each with a
//! crash at every operation, by kill and by power cut, within recovery too, and with everything merged afterwards.

use crate::support;
use crate::support::crashes::{Run, manifest};
use crate::support::{DIR, Write, key, merge_policy, options, value};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::format::manifest::SegmentState;
use bitcask::format::names;
use bitcask::format::record::{Draft, Flags};
use bitcask::io::env::Env;
use bitcask::io::sim::{Call, FaultPlan, Sim, Survival};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::collections::BTreeMap;

/// The key that is deleted or expires.
const GONE: usize = 5;
/// The keys that are written over and over.
const DEAD: [usize; 3] = [2, 3, 4];
/// A value that fills segments by itself.
const LONG: usize = 9;

fn manual() -> Options {
    Options { merge: MergeMode::Manual, ..options(SyncMode::None) }
}

/// Values that were not put before.
struct Values(u32);

impl Values {
    fn put(&mut self, key: usize) -> Write {
        self.0 += 1;
        Write::Put(key, self.0)
    }

    /// A put of several segments' length: the segment with it is nearly all live.
    fn put_long(&mut self) -> Write {
        self.0 = (self.0 + 1..).find(|number| value(*number).len() > 4096).expect("some value is long");
        Write::Put(LONG, self.0)
    }
}

/// Overwrites the dead keys, with the log thread behind each put, until a segment was sealed.
fn fill(run: &mut Run, db: &Db<Sim>, values: &mut Values) {
    let rotations = || db.stats().expect("stats").rotations;
    let before = rotations();
    for key in DEAD.into_iter().cycle() {
        run.write(db, &values.put(key));
        db.step_log_thread().expect("jobs on a healthy disk");
        if rotations() > before {
            return;
        }
    }
}

fn merge_all(db: &Db<Sim>) -> u64 {
    db.merge(&MergePolicy::everything()).expect("a merge on a healthy disk")
}

/// The sealed segments: their numbers and tombstones.
fn sealed(sim: &Sim) -> Vec<(u64, u64)> {
    let segments = manifest(sim).segments.into_iter();
    let sealed = segments.filter_map(|entry| match entry.state {
        SegmentState::Sealed(sealed) => Some((entry.number, sealed.tombstones)),
        SegmentState::Unsealed { .. } => None,
    });
    sealed.collect()
}

/// The first segment holds an older value of [`GONE`] and much that lives, the second its deletion among what is
/// dead, and both have hints.
fn deletion_in_a_later_segment(values: &mut Values) -> Run {
    let mut run = Run::new(1, manual());
    let db = run.open();
    run.write(&db, &values.put(GONE));
    run.write(&db, &values.put_long());
    fill(&mut run, &db, values);
    run.write(&db, &Write::Delete(GONE));
    fill(&mut run, &db, values);
    fill(&mut run, &db, values);
    run.close(db);
    let db = run.open();
    db.step_merge_thread().expect("hints");
    assert_eq!(db.stats().expect("stats").merges, 0, "merged before its time");
    run.close(db);
    run
}

#[test]
fn no_resurrection_when_a_hint_is_missing_and_only_the_segment_of_the_tombstone_is_merged() {
    let mut cases = 0;
    // The hint is missing at the open and cannot be made again, or goes while the store is open.
    for missing_at_open in [true, false] {
        let values = &mut Values(0);
        let mut run = deletion_in_a_later_segment(values);
        // One that was opened from a checkpoint would look at the hints once more.
        let merge_policy = merge_policy(60);
        run.options = Options { merge_policy, checkpoint: false, ..options(SyncMode::None) };
        run.start();
        let (first, _) = sealed(&run.sim)[0];
        let hint = names::hint(first);
        if missing_at_open {
            run.sim.remove_file(DIR, &hint);
            run.sim.fail(FaultPlan::nth(1).only(&[Call::Create]).on(&hint).errno(libc::ENOSPC).sticky());
        }
        let db = run.open();
        if !missing_at_open {
            run.sim.remove_file(DIR, &hint);
        }
        let hints = db.step_merge_thread();
        assert_eq!(hints.is_err(), missing_at_open, "{hints:?}");
        assert!(db.stats().expect("stats").merges > 0, "the segment of the tombstone was not merged");
        assert_eq!(sealed(&run.sim)[0].0, first, "the older segment was merged too");
        assert!(sealed(&run.sim)[1..].iter().any(|&(_, tombstones)| tombstones == 1), "the tombstone went");
        run.sim.clear_faults();
        run.write(&db, &values.put(6));
        fill(&mut run, &db, values);
        merge_all(&db);
        run.close(db);
        cases += run.crash_everywhere(1);
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn no_resurrection_by_a_hint_that_is_damaged_stale_or_of_another_segment() {
    let mut cases = 0;
    for harm in ["cut", "header", "filter", "other"] {
        for at_open in [true, false] {
            let values = &mut Values(0);
            let mut run = deletion_in_a_later_segment(values);
            run.start();
            let (hint, other) = (names::hint(sealed(&run.sim)[0].0), names::hint(sealed(&run.sim)[1].0));
            let sim = run.sim.clone();
            let whole = sim.files(DIR)[&hint];
            let do_harm = || match harm {
                "cut" => sim.cut_file(DIR, &hint, whole / 2),
                "header" => sim.corrupt(DIR, &hint, 30, 1),
                "filter" => sim.corrupt(DIR, &hint, whole - 1, 0xFF),
                _ => sim.write_file(DIR, &hint, &sim.read_file(DIR, &other).expect("a hint")),
            };
            if at_open {
                do_harm();
            }
            let db = run.open();
            if !at_open {
                do_harm();
            }
            db.merge(&merge_policy(60)).expect("a merge on a healthy disk");
            assert!(
                db.stats().expect("stats").merges > 0,
                "{harm}: the segment of the tombstone was not merged"
            );
            fill(&mut run, &db, values);
            merge_all(&db);
            run.close(db);
            cases += run.crash_everywhere(2);
        }
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn no_resurrection_by_a_merge_behind_a_torn_tail() {
    let mut cases = 0;
    for cut in [1, 9, 24, 150] {
        let values = &mut Values(0);
        let mut run = deletion_in_a_later_segment(values);
        let db = run.open();
        run.write(&db, &values.put(GONE));
        run.write(&db, &Write::Delete(GONE));
        run.sync(&db);
        db.put(b"torn", &[9; 150]).expect("a put");
        let image = run.sim.crash(run.sim.op_count(), Survival::Everything);
        let name = names::segment(active(&run.sim));
        image.cut_file(DIR, &name, run.sim.files(DIR)[&name] - cut);
        drop(db);
        let mut run = run.on(image);
        let db = run.open();
        run.write(&db, &values.put(6));
        fill(&mut run, &db, values);
        fill(&mut run, &db, values);
        assert!(db.merge(&merge_policy(60)).expect("a merge on a healthy disk") > 0);
        fill(&mut run, &db, values);
        assert!(merge_all(&db) > 0);
        // Dropped without its close: the next open recovers again.
        db.poison("killed");
        drop(db);
        cases += run.crash_everywhere(3);
    }
    println!("{cases} crash cases, 0 violations");
}

/// The number of the segment that is written to.
fn active(sim: &Sim) -> u64 {
    let segments = manifest(sim).segments.into_iter();
    let mut written = segments.filter(|entry| sim.files(DIR)[&names::segment(entry.number)] > 0);
    written.next_back().expect("a segment").number
}

#[test]
fn puts_that_answer_ok_after_a_full_disk_read_back() {
    let mut cases = 0;
    for free in (0..900).step_by(60) {
        let values = &mut Values(0);
        let mut run = Run::new(free, manual());
        let db = run.open();
        run.write(&db, &values.put(6));
        run.write(&db, &values.put(GONE));
        fill(&mut run, &db, values);
        run.sim.set_free_bytes(Some(free));
        let mut refused = 0;
        while refused < 3 {
            refused += u32::from(!run.try_write(&db, &values.put(DEAD[0])));
        }
        for answer in [db.step_log_thread(), db.merge(&MergePolicy::everything()).map(drop)] {
            assert!(matches!(answer, Ok(()) | Err(Error::NoSpace { .. })), "{free} free bytes: {answer:?}");
        }
        run.sim.set_free_bytes(None);
        run.write(&db, &Write::Delete(GONE));
        fill(&mut run, &db, values);
        run.sync(&db);
        run.write(&db, &Write::Batch(vec![(6, Some(900_001)), (7, Some(900_002))]));
        merge_all(&db);
        run.close(db);
        cases += run.crash_everywhere(free);
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn a_merge_cut_off_anywhere_loses_nothing_and_leaves_no_file() {
    let mut cases = 0;
    for sync in [SyncMode::None, SyncMode::Always] {
        let values = &mut Values(0);
        let mut run = Run::new(4, Options { sync, ..manual() });
        let db = run.open();
        for key in [0, 1, 6, 7, 8, GONE] {
            run.write(&db, &values.put(key));
        }
        run.write(&db, &values.put_long());
        fill(&mut run, &db, values);
        run.write(&db, &Write::Batch(vec![(GONE, None), (7, Some(900_001)), (8, None)]));
        fill(&mut run, &db, values);
        run.start();
        assert!(merge_all(&db) > 0);
        assert!(sealed(&run.sim).len() > 1, "the merge had one output only");
        run.write(&db, &values.put(8));
        fill(&mut run, &db, values);
        assert!(merge_all(&db) > 0, "outputs are inputs of the next merge");
        run.close(db);
        cases += run.crash_everywhere(4);
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn what_is_written_in_the_same_second_as_a_merge_is_not_lost() {
    let mut cases = 0;
    // The merge has judged what it reads and is held at its first sync; the clock stands still.
    for seed in 5..9 {
        let values = &mut Values(0);
        let mut run = Run::new(seed, manual());
        let now_ns = run.sim.now_ns();
        let db = run.open();
        for key in [0, 6, 7, 8, GONE] {
            run.sim.set_clock_ns(now_ns);
            run.write(&db, &values.put(key));
        }
        fill(&mut run, &db, values);
        fill(&mut run, &db, values);
        run.start();
        run.sim.hold_syncs();
        let during = [
            values.put(6),
            Write::Delete(7),
            Write::Batch(vec![(8, Some(900_001)), (GONE, None)]),
            values.put(DEAD[0]),
            values.put(6),
        ];
        std::thread::scope(|threads| {
            let merging = threads.spawn(|| db.merge(&MergePolicy::everything()));
            run.sim.wait_for_held_syncs(1);
            // No panic before the merge can go on: it would wait for that for ever.
            let answers: Vec<_> = during
                .iter()
                .map(|write| {
                    run.sim.set_clock_ns(now_ns);
                    let answer = support::perform(&db, write);
                    run.note(write);
                    answer
                })
                .collect();
            run.sim.release_syncs();
            answers.into_iter().for_each(|answer| answer.expect("a write during a merge"));
            assert!(merging.join().expect("the merge ends").expect("a merge on a healthy disk") > 0);
        });
        run.sim.set_clock_ns(now_ns);
        assert_eq!(run.holds(&db), Ok(()));
        fill(&mut run, &db, values);
        assert!(merge_all(&db) > 0);
        run.close(db);
        cases += run.crash_everywhere(seed);
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn the_active_segment_is_never_merged() {
    let values = &mut Values(0);
    let mut run = Run::new(6, manual());
    let db = run.open();
    let mut merges = 0;
    for round in 0..3 {
        // Once with nothing sealed, once with a spare that is empty, once right behind a rotation.
        (0..round).for_each(|_| fill(&mut run, &db, values));
        run.write(&db, &values.put(DEAD[0]));
        run.write(&db, &Write::Delete(DEAD[0]));
        let writable = |sim: &Sim| -> BTreeMap<u64, Vec<u8>> {
            let segments = manifest(sim).segments.into_iter();
            let unsealed = segments.filter(|entry| matches!(entry.state, SegmentState::Unsealed { .. }));
            unsealed
                .map(|entry| {
                    (entry.number, sim.read_file(DIR, &names::segment(entry.number)).expect("a file"))
                })
                .collect()
        };
        let before = writable(&run.sim);
        merges += merge_all(&db);
        // What the writer has left is sealed first, and may be merged.
        let after = writable(&run.sim);
        let same = after.iter().all(|(number, bytes)| before.get(number) == Some(bytes));
        assert!(same && !after.is_empty(), "round {round}");
        run.write(&db, &values.put(6));
    }
    assert!(merges > 0, "there was nothing to merge");
    run.close(db);
    println!("{} crash cases, 0 violations", run.crash_everywhere(6));
}

#[test]
fn merges_of_nothing_live_pile_up_no_empty_segments() {
    let values = &mut Values(0);
    let mut run = Run::new(7, manual());
    let db = run.open();
    for round in 0..4 {
        (0..3).for_each(|_| fill(&mut run, &db, values));
        DEAD.iter().for_each(|&key| run.write(&db, &values.put(key)));
        assert!(merge_all(&db) > 0, "round {round}");
        assert_eq!(sealed(&run.sim).len(), 0, "round {round}: nothing in them was live");
        // What is listed but sealed; the judge looks for what is not listed at all.
        assert!(run.sim.files(DIR).len() <= 3, "{:?}", run.sim.files(DIR));
    }
    run.close(db);
    println!("{} crash cases, 0 violations", run.crash_everywhere(7));
}

#[test]
fn numbers_of_files_that_merges_made_or_removed_are_never_used_again() {
    let values = &mut Values(0);
    let mut run = Run::new(8, manual());
    run.start();
    let db = run.open();
    for key in [0, 6, 7, 8] {
        run.write(&db, &values.put(key));
    }
    for _ in 0..3 {
        (0..2).for_each(|_| fill(&mut run, &db, values));
        merge_all(&db);
    }
    run.close(db);
    let numbers = |sim: &Sim| -> Vec<u64> {
        let files = sim.files(DIR).into_keys();
        files.filter_map(|name| names::parse_segment(&name).or(names::parse_hint(&name))).collect()
    };
    let mut crasher = run.sim.crasher();
    let (mut seen, mut images) = (0, 0);
    while crasher.advance() {
        let at = crasher.at_op() as u64;
        seen = seen.max(numbers(&crasher.image(Survival::Everything)).into_iter().max().unwrap_or(0));
        for survival in [Survival::Everything, Survival::RandomIndependent(at), Survival::RandomPrefix(at)] {
            let image = crasher.image(survival);
            let old = numbers(&image);
            // After a kill every number that any file had, after a power cut those that can be known.
            let known = image.read_file(DIR, names::MANIFEST).map_or(1, |_| manifest(&image).next_number);
            let named = old.iter().max().map_or(1, |highest| highest + 1);
            let killed = if survival == Survival::Everything { seen + 1 } else { 1 };
            let least = known.max(named).max(killed);
            let db = support::open(&image, &run.options).expect("the store opens");
            db.put(&key(6), b"more").expect("a put");
            db.step_log_thread().expect("jobs");
            merge_all(&db);
            let new: Vec<_> = numbers(&image).into_iter().filter(|number| !old.contains(number)).collect();
            assert!(
                new.iter().all(|&number| number >= least),
                "operation {at}, {survival:?}: {new:?} are new, from {least} on they may be"
            );
            images += 1;
        }
    }
    assert!(seen > 10, "too few files: {seen}");
    println!("{images} images, 0 violations");
}

/// A closed store in which the newest record of [`GONE`] has expired, above an older value in another segment. This
/// version has no call that sets a deadline: the record is written by hand.
fn expired_above_a_value(values: &mut Values) -> Run {
    let mut run = Run::new(9, manual());
    let db = run.open();
    run.write(&db, &values.put(GONE));
    run.write(&db, &values.put_long());
    fill(&mut run, &db, values);
    run.write(&db, &values.put(7));
    run.close(db);
    let mut manifest = manifest(&run.sim);
    let close = manifest.clean_close.as_mut().expect("a clean close");
    let name = names::segment(close.active);
    let mut bytes = run.sim.read_file(DIR, &name).expect("the active segment");
    let uid = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let (key, value) = (key(GONE), value(1));
    let draft = Draft::new(&key, &value, Flags::NONE, Some(1));
    close.last_version += 1;
    let header = draft.header(close.last_version, uid, bytes.len() as u64);
    bytes.extend_from_slice(&header[..draft.header_len()]);
    bytes.extend_from_slice(&key);
    bytes.extend_from_slice(&value);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    close.len = bytes.len() as u64;
    run.sim.write_file(DIR, &name, &bytes);
    run.sim.write_file(DIR, names::MANIFEST, &manifest.encode());
    run.note(&Write::Delete(GONE));
    run.expired = 1;
    run.start();
    run
}

#[test]
fn expiry_found_by_a_read_or_a_merge_never_removes_a_newer_put() {
    let mut cases = 0;
    for during_merge in [false, true] {
        let values = &mut Values(10);
        let mut run = expired_above_a_value(values);
        let db = run.open();
        let operations = run.sim.op_count();
        assert_eq!(run.holds(&db), Ok(()), "the key has expired");
        assert_eq!(run.sim.op_count(), operations, "a read changed something");
        let newer = values.put(GONE);
        if during_merge {
            fill(&mut run, &db, values);
            run.sim.hold_syncs();
            std::thread::scope(|threads| {
                let merging = threads.spawn(|| db.merge(&merge_policy(1)));
                run.sim.wait_for_held_syncs(1);
                let answer = support::perform(&db, &newer);
                run.note(&newer);
                run.sim.release_syncs();
                answer.expect("a put during a merge");
                assert!(merging.join().expect("the merge ends").expect("a merge on a healthy disk") > 0);
            });
        } else {
            run.write(&db, &newer);
        }
        assert_eq!(run.holds(&db), Ok(()));
        fill(&mut run, &db, values);
        merge_all(&db);
        assert_eq!(run.holds(&db), Ok(()));
        run.close(db);
        cases += run.crash_everywhere(9);
    }
    println!("{cases} crash cases, 0 violations");
}

#[test]
fn a_truncated_hint_does_not_keep_what_expired() {
    let mut cases = 0;
    for part in [0, 2, 3] {
        let values = &mut Values(10);
        let mut run = expired_above_a_value(values);
        let db = run.open();
        fill(&mut run, &db, values);
        db.step_merge_thread().expect("hints");
        run.close(db);
        run.start();
        for (number, _) in sealed(&run.sim) {
            let hint = names::hint(number);
            run.sim.cut_file(DIR, &hint, run.sim.files(DIR)[&hint] * part / 4);
        }
        let db = run.open();
        assert!(merge_all(&db) > 0);
        let counted = db.count().expect("a count");
        assert_eq!(
            counted,
            run.state().iter().flatten().count() as u64,
            "the expired key is gone from the count"
        );
        run.close(db);
        cases += run.crash_everywhere(10);
    }
    println!("{cases} crash cases, 0 violations");
}
