//! What a merge keeps, drops and survives, on the simulated machine.

use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::format::filter;
use bitcask::format::hint::HintHeader;
use bitcask::format::manifest::{Manifest, SegmentState};
use bitcask::format::names;
use bitcask::format::record::{Draft, Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim, Survival};
use bitcask::keydir::Secret;
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::collections::BTreeMap;

/// Eight puts of seven keys, in four segments.
const EIGHT: &[(&str, u8)] =
    &[("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5), ("e", 6), ("f", 7), ("g", 8)];

/// Without checkpoints, so that an open finds out what a merge left.
fn manual() -> Options {
    Options { merge: MergeMode::Manual, checkpoint: false, ..options(SyncMode::None) }
}

fn fresh() -> (Sim, Db<Sim>) {
    let sim = Sim::new(3);
    sim.make_dirs(DIR);
    let db = open(&sim, &manual()).expect("a new store opens");
    (sim, db)
}

/// Puts values of 300 bytes, two of which fill a segment, with the log thread behind each.
fn put_all(db: &Db<Sim>, puts: &[(&str, u8)]) {
    for &(key, byte) in puts {
        db.put(key.as_bytes(), &[byte; 300]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
}

fn get(db: &Db<Sim>, key: &str) -> Option<u8> {
    db.get(key.as_bytes(), |value| {
        assert!(value.len() == 300 && value.iter().all(|&byte| byte == value[0]), "whole values");
        value[0]
    })
    .expect("the key reads")
}

fn manifest(sim: &Sim) -> Manifest {
    Manifest::decode(&sim.read_file(DIR, "manifest.json").expect("a manifest")).expect("a sound one")
}

fn sealed(sim: &Sim) -> Vec<(u64, bitcask::format::manifest::Sealed)> {
    let entries = manifest(sim).segments;
    let sealed = entries.iter().filter_map(|entry| match entry.state {
        SegmentState::Sealed(sealed) => Some((entry.number, sealed)),
        SegmentState::Unsealed { .. } => None,
    });
    sealed.collect()
}

fn tombstones(sim: &Sim) -> u64 {
    sealed(sim).iter().map(|(_, sealed)| sealed.tombstones).sum()
}

/// A closed store of [`EIGHT`] with hints, and where the value of b begins in the first segment.
fn closed_with_hints() -> (Sim, u64) {
    let (sim, db) = fresh();
    put_all(&db, EIGHT);
    db.step_merge_thread().expect("hints");
    db.close().expect("a close");
    let bytes = sim.read_file(DIR, &names::segment(1)).expect("the first segment");
    let value = bytes.windows(300).position(|w| w.iter().all(|&byte| byte == 2)).expect("b's value");
    (sim, value as u64)
}

/// Only segments that are dead for the most part.
fn only_worst() -> MergePolicy {
    MergePolicy {
        trigger_percent: 60,
        threshold_percent: 60,
        small_segment_bytes: 0,
        ..MergePolicy::everything()
    }
}

#[test]
fn what_the_writer_has_left_is_merged_without_waiting_for_the_log_thread() {
    let (sim, db) = fresh();
    for byte in 1..=4 {
        db.put(b"a", &[byte; 300]).expect("a put");
    }
    assert!(sealed(&sim).is_empty(), "the log thread has not come to it");
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert_eq!((get(&db, "a"), db.stats().expect("stats").segments), (Some(4), 1));
}

#[test]
fn what_cannot_be_sealed_keeps_nothing_else_from_being_merged() {
    let (sim, db) = fresh();
    put_all(&db, &[("a", 1), ("a", 2), ("a", 3)]);
    assert_eq!(sealed(&sim).len(), 1);
    for byte in 4..=5 {
        db.put(b"a", &[byte; 300]).expect("a put");
    }
    sim.fail(FaultPlan::nth(1).only(&[Call::Rename]).errno(libc::ENOSPC));
    let failed = db.merge(&MergePolicy::everything());
    assert!(matches!(failed, Err(Error::NoSpace { .. })), "{failed:?}");
    let stats = db.stats().expect("stats");
    assert_eq!((stats.merges, stats.poisoned, get(&db, "a")), (1, None, Some(5)));
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert!(sealed(&sim).is_empty(), "all in them is dead");
}

#[test]
fn what_is_dead_goes_and_what_is_live_stays_in_the_order_of_the_keys() {
    let (sim, db) = fresh();
    put_all(&db, &[("c", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("x", 6), ("y", 7)]);
    let before = db.stats().expect("stats");
    assert_eq!(sealed(&sim).len(), 3);
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    let after = db.stats().expect("stats");
    assert!(after.disk_bytes + 600 < before.disk_bytes && after.live_bytes == before.live_bytes);
    for (key, byte) in [("a", 3), ("b", 5), ("c", 4), ("x", 6), ("y", 7)] {
        assert_eq!(get(&db, key), Some(byte));
    }
    let merged = sealed(&sim);
    let name = names::segment(merged[0].0);
    let bytes = sim.read_file(DIR, &name).expect("the output");
    let values: Vec<u8> =
        bytes.windows(300).filter(|w| w.iter().all(|b| *b == w[0] && *b > 0)).map(|w| w[0]).collect();
    assert_eq!(values, [3, 5], "by key");
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!((get(&db, "a"), get(&db, "c"), db.count().expect("a count")), (Some(3), Some(4), 5));
}

#[test]
fn inputs_leave_no_file_behind_and_a_merge_of_nothing_live_leaves_no_output() {
    let (sim, db) = fresh();
    put_all(&db, &[("k", 1); 10]);
    assert_eq!(sealed(&sim).len(), 4);
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert_eq!(sealed(&sim).len(), 0, "nothing in them was live");
    let files: Vec<_> = sim.files(DIR).into_keys().collect();
    assert_eq!(files.len(), 3, "manifest, active, spare: {files:?}");
    assert_eq!(get(&db, "k"), Some(1));
    assert_eq!(db.merge(&MergePolicy::everything()).expect("no merge"), 0);
}

/// A store whose oldest segment holds k and little that is dead; a newer one, dead for the most part, its deletion.
fn deleted_over_an_older_value() -> (Sim, Db<Sim>) {
    let (sim, db) = fresh();
    put_all(&db, &[("k", 1)]);
    db.put(b"wide", &[1; 500]).expect("a put");
    put_all(&db, &[("live", 1)]);
    db.delete(b"k").expect("a delete");
    put_all(&db, &[("dead", 1), ("live", 2), ("dead", 2), ("dead", 3), ("dead", 4), ("dead", 5)]);
    db.step_merge_thread().expect("hints");
    assert_eq!((sealed(&sim)[0].1.records, sealed(&sim)[1].1.tombstones), (2, 1));
    (sim, db)
}

/// Merges all but the oldest segment.
fn merge_newer(sim: &Sim, db: &Db<Sim>) {
    let before = sealed(sim);
    let policy = MergePolicy { trigger_percent: 50, threshold_percent: 50, ..only_worst() };
    assert!(db.merge(&policy).expect("a merge") > 0);
    let after = sealed(sim);
    assert!(after[0] == before[0] && !after.contains(&before[1]), "{after:?} of {before:?}");
}

#[test]
fn a_deleted_key_stays_deleted_when_only_its_tombstones_segment_is_merged() {
    let (sim, db) = deleted_over_an_older_value();
    merge_newer(&sim, &db);
    assert_eq!(tombstones(&sim), 1, "the deletion is still needed");
    for survival in [Survival::Everything, Survival::SyncedOnly] {
        let image = sim.crash(sim.op_count(), survival);
        let db = open(&image, &manual()).expect("it opens");
        assert_eq!((get(&db, "k"), get(&db, "live")), (None, Some(2)));
    }
    // With the older segment merged too, nothing needs the deletion any more.
    put_all(&db, &[("live", 3)]);
    let version = manifest(&sim).last_version;
    db.merge(&MergePolicy::everything()).expect("a merge");
    assert_eq!(tombstones(&sim), 0);
    assert!((1..=version).contains(&manifest(&sim).highest_dropped_tombstone));
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!((get(&db, "k"), get(&db, "live")), (None, Some(3)));
}

#[test]
fn an_expired_value_is_merged_into_a_deletion_while_an_older_value_lies_below() {
    let (sim, db) = fresh();
    put_all(&db, &[("k", 1)]);
    // Leaves no room for the next, and the older segment with too little that is dead to be merged.
    db.put(b"wide", &[1; 500]).expect("a put");
    put_all(&db, &[("live", 1)]);
    db.close().expect("a close");
    // This version has no call that sets a deadline: the record is written by hand.
    let mut manifest = manifest(&sim);
    let close = manifest.clean_close.as_mut().expect("a clean close");
    let name = names::segment(close.active);
    let mut bytes = sim.read_file(DIR, &name).expect("the active segment");
    let uid = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let draft = Draft::new(b"k", &[9; 300], Flags::NONE, Some(1));
    close.last_version += 1;
    bytes.extend_from_slice(&draft.header(close.last_version, uid, bytes.len() as u64));
    bytes.extend_from_slice(b"k");
    bytes.extend_from_slice(&[9; 300]);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    close.len = bytes.len() as u64;
    sim.write_file(DIR, &name, &bytes);
    sim.write_file(DIR, "manifest.json", &manifest.encode());

    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!(
        (get(&db, "k"), db.count().expect("a count")),
        (None, 3),
        "expired, and counted until a merge"
    );
    put_all(&db, &[("live", 2), ("dead", 2), ("dead", 3), ("dead", 4), ("dead", 5)]);
    db.step_merge_thread().expect("hints");
    merge_newer(&sim, &db);
    assert_eq!(tombstones(&sim), 1, "the deletion is needed");
    assert_eq!((get(&db, "k"), db.count().expect("a count")), (None, 3), "gone from the count");
    let image = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let db = open(&image, &manual()).expect("it opens");
    assert_eq!((get(&db, "k"), get(&db, "live")), (None, Some(2)));
}

#[test]
fn what_was_written_as_a_batch_is_merged_into_records_of_their_own() {
    let (sim, db) = fresh();
    let mut batch = Batch::new();
    (0..3u8).for_each(|key| batch.put(&[key], &[key; 300]).expect("room"));
    db.write(&batch).expect("a batch").version().expect("a version");
    put_all(&db, &[("dead", 1), ("dead", 2), ("dead", 3), ("dead", 4)]);
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    let output = sim.read_file(DIR, &names::segment(sealed(&sim)[0].0)).expect("the output");
    let header = RecordHeader::decode(&output[SEGMENT_HEADER_LEN..]).expect("a record");
    assert_eq!(header.flags, Flags::NONE);
}

#[test]
fn a_disk_that_is_full_in_the_middle_leaves_everything_as_it_was() {
    let (sim, db) = fresh();
    put_all(&db, EIGHT);
    db.step_merge_thread().expect("hints");
    let before: BTreeMap<_, _> = sim.contents(DIR);
    for free in [0, 100, 400, 700, 1100] {
        sim.set_free_bytes(Some(free));
        let err = db.merge(&MergePolicy::everything()).expect_err("no room");
        assert!(matches!(err, Error::NoSpace { .. }), "{err}");
        assert!(sim.contents(DIR) == before, "{free} free bytes: files changed");
        assert_eq!((get(&db, "a"), get(&db, "g")), (Some(4), Some(8)));
    }
    sim.set_free_bytes(None);
    db.put(b"more", b"1").expect("a put");
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert_eq!((get(&db, "a"), get(&db, "b"), get(&db, "g")), (Some(4), Some(2), Some(8)));
}

#[test]
fn whatever_call_fails_in_a_merge_the_next_ones_lose_nothing() {
    for nth in 1.. {
        let (sim, db) = fresh();
        put_all(&db, EIGHT);
        db.step_merge_thread().expect("hints");
        sim.fail(FaultPlan::nth(nth));
        let failed = db.merge(&MergePolicy::everything()).is_err();
        let fired = sim.faults_fired() > 0;
        sim.clear_faults();
        // Half of what the first merge wrote is dead now: another merge judges all of it again.
        if db.stats().expect("stats").poisoned.is_none() {
            put_all(&db, &[("b", 2), ("d", 5), ("x", 1), ("y", 2), ("z", 3)]);
            db.merge(&MergePolicy::everything()).expect("a merge");
        }
        let all = [("a", 4), ("b", 2), ("c", 3), ("d", 5), ("e", 6), ("f", 7), ("g", 8)];
        all.iter().for_each(|&(key, byte)| assert_eq!(get(&db, key), Some(byte), "call {nth}, key {key}"));
        drop(db);
        let db = open(&sim, &manual()).expect("it opens");
        all.iter().for_each(|&(key, byte)| assert_eq!(get(&db, key), Some(byte), "call {nth}, key {key}"));
        if !fired {
            assert!(nth > 20 && !failed, "only {nth} calls");
            return;
        }
    }
}

#[test]
fn a_value_with_a_wrong_checksum_is_copied_as_it_is() {
    let (sim, value) = closed_with_hints();
    sim.corrupt(DIR, &names::segment(1), value + 5, 1);
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert!(matches!(db.get(b"b", |_| ()), Err(Error::Corrupt { .. })));
    assert_eq!((get(&db, "a"), get(&db, "c")), (Some(4), Some(3)));
}

#[test]
fn a_segment_with_a_damaged_header_is_never_merged() {
    let (sim, value) = closed_with_hints();
    // The key, which the header's checksum covers.
    sim.corrupt(DIR, &names::segment(1), value - 1, 1);
    let db = open(&sim, &manual()).expect("it opens");
    let before = sealed(&sim);
    assert!(matches!(db.merge(&MergePolicy::everything()), Err(Error::Corrupt { .. })));
    assert_eq!(sealed(&sim), before);
    db.merge(&MergePolicy::everything()).expect("the others can be");
    assert_eq!(sealed(&sim)[0], before[0]);
    assert!(matches!(db.get(b"b", |_| ()), Err(Error::Corrupt { .. })));
    assert_eq!((get(&db, "a"), get(&db, "g")), (Some(4), Some(8)));
}

#[test]
fn pins_stay_valid_when_their_segments_are_merged_away() {
    let (_sim, db) = fresh();
    put_all(&db, EIGHT);
    let pin = db.get_pinned(b"b").expect("a pin").expect("a value");
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    db.close().expect("a close");
    assert_eq!(pin.value(), &[2; 300]);
}

#[test]
fn merging_again_and_again_finds_an_end() {
    let (sim, db) = fresh();
    for round in 0..30u8 {
        let keys = ["a", "b", "c", "d", "e", "f", "g"];
        put_all(&db, &keys.map(|key| (key, round + 1)));
        db.delete(b"a").expect("a delete");
        db.merge(&MergePolicy::everything()).expect("a merge");
        assert_eq!(db.merge(&MergePolicy::everything()).expect("no merge"), 0, "round {round}");
        assert!(sealed(&sim).len() <= 5, "{:?}", sealed(&sim));
    }
}

#[test]
fn a_reopen_does_not_begin_merges_that_give_nothing_back() {
    let (sim, db) = fresh();
    put_all(&db, &[("k", 1), ("live", 1), ("dead", 0)]);
    db.delete(b"k").expect("a delete");
    put_all(&db, &[("dead", 1), ("dead", 2), ("dead", 3), ("dead", 4), ("dead", 5)]);
    while db.merge(&only_worst()).expect("a merge") > 0 {}
    let output = sealed(&sim)[1];
    assert_eq!(
        (output.1.records, output.1.tombstones),
        (1, 1),
        "a deletion that is needed, and nothing else"
    );
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!(db.merge(&only_worst()).expect("no merge"), 0);
}

#[test]
fn live_and_dead_bytes_are_those_of_a_full_scan_after_any_history() {
    for seed in 0..40u64 {
        let mut rng = Rng::derive(&[seed, 9]);
        let (sim, db) = fresh();
        for _ in 0..300 {
            let key = [u8::try_from(rng.below(40)).expect("a small number")];
            match rng.below(12) {
                0..=7 => drop(db.put(&key, &vec![1; rng.below(200)]).expect("a put")),
                8..=9 => drop(db.delete(&key).expect("a delete")),
                10 => db.step_log_thread().expect("jobs"),
                _ => drop(db.merge(&MergePolicy::everything()).expect("a merge")),
            }
        }
        let running = db.stats().expect("stats");
        db.close().expect("a close");
        let scanned = open(&sim, &manual()).expect("it opens").stats().expect("stats");
        assert_eq!(running.live_bytes, scanned.live_bytes, "seed {seed}");
        assert!(running.disk_bytes >= scanned.live_bytes);
    }
}

#[test]
fn a_merge_opens_nothing_any_more_once_the_manifest_lists_its_outputs() {
    let (sim, db) = fresh();
    put_all(&db, EIGHT);
    db.step_merge_thread().expect("hints");
    let inputs = sealed(&sim).len() as u64;
    // Descriptors run out when the hints of the inputs are open.
    sim.fail(FaultPlan::nth(inputs + 1).only(&[Call::Open]).errno(libc::EMFILE).sticky());
    assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
    assert_eq!((get(&db, "a"), get(&db, "b"), get(&db, "g")), (Some(4), Some(2), Some(8)));
    assert_eq!(db.stats().expect("stats").poisoned, None);
}

#[test]
fn a_hint_that_cannot_be_written_keeps_no_other_from_being_written() {
    for (calls, errno, name) in [
        (Call::Create, libc::EMFILE, names::hint(1)),
        (Call::Write, libc::ENOSPC, names::hint(1)),
        (Call::Read, libc::EIO, names::segment(1)),
    ] {
        let (sim, db) = fresh();
        put_all(&db, EIGHT);
        sim.fail(FaultPlan::nth(1).only(&[calls]).on(&name).errno(errno).sticky());
        db.step_merge_thread().expect_err("the first hint cannot be made");
        let has_hint = |(number, _): &(u64, _)| sim.files(DIR).contains_key(&names::hint(*number));
        let hints: Vec<_> = sealed(&sim).iter().map(has_hint).collect();
        assert_eq!(hints, [false, true, true], "{calls:?}");
        // What has a hint is merged all the same, and then the caller is told.
        let first = sealed(&sim)[0];
        put_all(&db, &[("c", 3), ("d", 5), ("e", 6), ("f", 7)]);
        db.merge(&MergePolicy::everything()).expect_err("the first hint still cannot be made");
        assert_eq!((sealed(&sim)[0], db.stats().expect("stats").merges), (first, 1), "{calls:?}");
        sim.clear_faults();
        db.step_merge_thread().expect("hints");
        assert!(sealed(&sim).iter().all(has_hint), "{calls:?}");
    }
}

#[test]
fn a_hint_is_made_without_reading_values_that_are_large() {
    let (sim, db) = fresh();
    db.put(b"large", &vec![7; 4 << 20]).expect("a put");
    put_all(&db, &[("a", 1), ("b", 2), ("c", 3)]);
    // Limits that no read reaches: they count the reads.
    sim.fail(FaultPlan::nth(1).only(&[Call::Read]).on(&names::segment(1)).short(1 << 30).sticky());
    db.step_merge_thread().expect("hints");
    assert!((1..=4).contains(&sim.faults_fired()), "{} reads", sim.faults_fired());
    assert!(sim.files(DIR).contains_key(&names::hint(1)));
}

/// A store of many segments that hold other keys, then some whose keys were all deleted again: those keys, and how many
/// segments came first.
fn deleted_in_newer_segments() -> (Sim, Db<Sim>, Vec<[u8; 4]>, usize) {
    let (sim, db) = fresh();
    for key in 0..700u32 {
        db.put(&key.to_be_bytes(), b"").expect("a put");
        db.step_log_thread().expect("jobs");
    }
    put_all(&db, &[("fill", 1), ("fill", 2), ("fill", 3), ("fill", 4)]);
    let older = sealed(&sim).len();
    let keys: Vec<_> = (1000..1100u32).map(u32::to_be_bytes).collect();
    for key in &keys {
        db.put(key, b"").expect("a put");
        db.step_log_thread().expect("jobs");
    }
    for key in &keys {
        db.delete(key).expect("a delete");
        db.step_log_thread().expect("jobs");
    }
    put_all(&db, &[("fill", 1), ("fill", 2), ("fill", 3), ("fill", 4)]);
    db.step_merge_thread().expect("hints");
    (sim, db, keys, older)
}

#[test]
fn a_deletion_goes_when_no_older_segment_holds_the_key_whatever_the_filters_say() {
    let (sim, db, keys, older) = deleted_in_newer_segments();
    let secret = Secret::new(&manifest(&sim).hash_secret);
    let maybe = |(number, _): &(u64, _)| {
        let bytes = sim.read_file(DIR, &names::hint(*number)).expect("a hint");
        let header = HintHeader::decode(&bytes, bytes.len() as u64).expect("a sound one");
        let at = usize::try_from(header.filter_at().expect("a place")).expect("a small file");
        keys.iter().filter(|key| filter::may_contain(&bytes[at..], secret.digest(*key).lo)).count()
    };
    let before = sealed(&sim);
    assert!(before[..older].iter().map(maybe).sum::<usize>() > 0, "no filter errs: the test says nothing");
    assert_eq!(tombstones(&sim), 100);
    assert!(db.merge(&only_worst()).expect("a merge") > 0);
    assert_eq!((&sealed(&sim)[..older - 1], tombstones(&sim)), (&before[..older - 1], 0));
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert!(keys.iter().all(|key| !db.exists(key).expect("an answer")));
    assert_eq!(db.count().expect("a count"), 701);
}

#[test]
fn a_deletion_stays_while_the_hint_of_an_older_segment_is_damaged_anywhere() {
    let hint = names::hint(1);
    let kept = |damage: &dyn Fn(&Sim)| {
        let (sim, db) = deleted_over_an_older_value();
        damage(&sim);
        merge_newer(&sim, &db);
        sim.clear_faults();
        assert_eq!(tombstones(&sim), 1, "the deletion is still needed");
        drop(db);
        let db = open(&sim, &manual()).expect("it opens");
        assert_eq!((get(&db, "k"), get(&db, "live")), (None, Some(2)));
        sim
    };
    let len = kept(&|_| ()).files(DIR)[&hint];
    for at in 0..len {
        kept(&|sim| sim.corrupt(DIR, &hint, at, 1));
    }
    kept(&|sim| sim.remove_file(DIR, &hint));
    kept(&|sim| sim.cut_file(DIR, &hint, len - 1));
    for nth in 1..=4 {
        kept(&|sim| sim.fail(FaultPlan::nth(nth).only(&[Call::Open, Call::Read]).on(&hint).sticky()));
    }
}

#[test]
fn the_hints_of_older_segments_are_read_for_deletions_alone() {
    let (sim, db) = fresh();
    put_all(&db, &[("live 1", 1), ("live 2", 1), ("live 3", 1), ("dead", 1), ("dead", 2), ("dead", 3)]);
    put_all(&db, &[("dead", 4), ("dead", 5)]);
    db.step_merge_thread().expect("hints");
    sim.fail(FaultPlan::nth(1).only(&[Call::Open, Call::Read]).on(&names::hint(1)).sticky());
    assert!(db.merge(&only_worst()).expect("a merge") > 0);
    assert_eq!(sim.faults_fired(), 0);
}

#[test]
fn outputs_that_are_more_than_their_inputs_lose_nothing_when_they_are_merged_again() {
    let (sim, mut db) = fresh();
    let mut held = BTreeMap::new();
    let check = |db: &Db<Sim>, held: &BTreeMap<String, u8>| {
        for (key, &byte) in held {
            let len = if key.starts_with('a') { 520 } else { 300 };
            let found = db.get(key.as_bytes(), <[u8]>::to_vec).expect("the key reads");
            assert_eq!(found, Some(vec![byte; len]), "{key}");
        }
        assert_eq!(db.count().expect("a count"), held.len() as u64);
    };
    for round in 0..6u8 {
        // A large and a small value fill a segment. By key the large ones come first, and no two of them fit one.
        for n in [round, round + 1, round + 2, round + 3] {
            for (key, len) in [(format!("a{n}"), 520), (format!("b{n}"), 300)] {
                db.put(key.as_bytes(), &vec![round; len]).expect("a put");
                db.step_log_thread().expect("jobs");
                held.insert(key, round);
            }
        }
        let before = sealed(&sim).len();
        // The outputs of the round before are merged again, with half of what they hold overwritten.
        assert_eq!(db.merge(&MergePolicy::everything()).expect("a merge"), 1);
        assert!(round > 0 || sealed(&sim).len() > before, "{} of {before}", sealed(&sim).len());
        check(&db, &held);
        db.step_merge_thread().expect("jobs");
        check(&open(&sim.crash(sim.op_count(), Survival::Everything), &manual()).expect("it opens"), &held);
        if round % 2 == 1 {
            db.close().expect("a close");
            db = open(&sim, &manual()).expect("it opens");
            check(&db, &held);
        }
    }
}
