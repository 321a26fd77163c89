//! Faults that this engine once had, found by a reader told to break it: each stays mended.

use bitcask::engine::Db;
use bitcask::format::hint::HINT_HEADER_LEN;
use bitcask::format::manifest::{Manifest, SegmentState};
use bitcask::format::record::{Draft, Flags};
use bitcask::io::sim::{Sim, Survival};
use bitcask::options::{Options, SyncMode};
use std::path::Path;
const DIR: &str = "/store";
fn open(sim: &Sim) -> bitcask::Result<Db<Sim>> {
    let o = Options { sync: SyncMode::None, max_segment_bytes: 1024, ..Options::default() };
    Db::open(sim.clone(), Path::new(DIR), &o)
}
/// A machine with an empty store, and the store.
fn fresh() -> (Sim, Db<Sim>) {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    let db = open(&sim).unwrap();
    (sim, db)
}

fn get(db: &Db<Sim>, k: &str) -> bitcask::Result<Option<Vec<u8>>> {
    db.get(k.as_bytes(), |v| v.to_vec())
}

#[test]
fn a_rotation_during_a_sync_does_not_count_the_tail_as_synced() {
    let (sim, db) = fresh();
    db.put(b"first", b"1").unwrap();
    sim.hold_syncs();
    std::thread::scope(|s| {
        let t = s.spawn(|| db.sync().unwrap());
        sim.wait_for_held_syncs(1);
        db.put(b"tail", &[7; 800]).unwrap(); // same segment, not covered by the sync under way
        db.put(b"next", &[8; 800]).unwrap(); // rotates
        sim.release_syncs();
        t.join().unwrap();
    });
    db.sync().unwrap(); // must cover everything
    let after = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let db2 = open(&after).unwrap();
    assert!(get(&db2, "tail").unwrap().is_some());
    assert!(get(&db2, "next").unwrap().is_some());
}

#[test]
fn a_full_disk_does_not_pile_up_files() {
    let (sim, db) = fresh();
    db.put(b"a", &[7; 800]).unwrap();
    db.put(b"b", &[8; 800]).unwrap();
    sim.set_free_bytes(Some(0));
    let before = sim.files(DIR).len();
    for _ in 0..20 {
        assert!(db.step_log_thread().is_err());
    }
    assert!(sim.files(DIR).len() <= before + 1);
}

#[test]
fn a_recovery_that_finds_no_space_gives_back_what_it_took() {
    let (sim, db) = fresh();
    for n in 0..20u32 {
        db.put(&n.to_le_bytes(), &[7; 800]).unwrap();
    }
    let image = sim.crash(sim.op_count(), Survival::Everything);
    image.set_free_bytes(Some(10_000));
    assert!(open(&image).is_err());
    assert_eq!(image.free_bytes(), Some(10_000));
}

#[test]
fn a_delete_in_a_degraded_store_settles_a_key_that_cannot_be_told() {
    let (sim, db) = fresh();
    db.put(b"k", b"1").unwrap();
    db.delete(b"k").unwrap();
    db.put(b"k", b"2").unwrap(); // its header will be damaged
    db.put(b"z", b"3").unwrap();
    db.close().unwrap();
    // header 72, then k,del, (markers) ... damage the record of value "2"
    let bytes = sim.read_file(DIR, "000000000001.data").unwrap();
    let at = bytes.windows(2).rposition(|w| w == b"k2").unwrap();
    sim.corrupt(DIR, "000000000001.data", at as u64, 1);
    let db = open(&sim).unwrap();
    assert!(get(&db, "k").is_err());
    assert!(db.delete(b"k").is_ok());
    assert_eq!(get(&db, "k").unwrap(), None);
}

#[test]
fn a_wild_clock_does_not_cost_the_store() {
    let (sim, db) = fresh();
    sim.set_clock_ns(1 << 63);
    db.put(b"k", b"1").unwrap();
    sim.set_clock_ns(1_700_000_000_000_000_000);
    db.close().unwrap();
    let db = open(&sim).map_err(|e| e.to_string());
    assert!(db.is_ok(), "{}", db.err().unwrap());
}

#[test]
fn a_clean_close_after_a_failed_first_append_seals_what_was_left() {
    let (sim, db) = fresh();
    db.put(b"a", &[7; 800]).unwrap();
    db.sync().unwrap();
    sim.set_free_bytes(Some(0));
    assert!(db.put(b"b", &[7; 800]).is_err());
    sim.set_free_bytes(None);
    db.close().unwrap();
    let db = open(&sim).unwrap();
    assert_eq!(db.stats().unwrap().recovered_records, 0, "a clean close was recovered");
}

#[test]
fn a_power_cut_that_takes_a_whole_segment_does_not_leave_history_and_uid() {
    let (sim, db) = fresh();
    db.put(b"a", b"1").unwrap();
    let h = db.stats().unwrap().history_id.clone();
    let uid = sim.read_file(DIR, "000000000001.data").unwrap()[32..40].to_vec();
    let image = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let db2 = open(&image).unwrap();
    db2.put(b"b", b"1").unwrap();
    let mut same = false;
    for (_, b) in image.contents(DIR) {
        if b.len() > 72 && b[32..40] == uid[..] {
            same = true;
        }
    }
    assert!(h != db2.stats().unwrap().history_id || !same);
}

fn edit(sim: &Sim, change: impl FnOnce(&mut Manifest)) {
    let mut m = Manifest::decode(&sim.read_file(DIR, "manifest.json").unwrap()).unwrap();
    change(&mut m);
    sim.write_file(DIR, "manifest.json", &m.encode());
}
fn closed() -> Sim {
    let (sim, db) = fresh();
    for n in 0..6u32 {
        db.put(&n.to_le_bytes(), &[7; 800]).unwrap();
        db.step_log_thread().unwrap();
    }
    db.close().unwrap();
    sim
}

#[test]
fn a_hostile_generation_is_corruption_and_no_panic() {
    let sim = closed();
    edit(&sim, |m| m.generation = u64::MAX);
    let _ = open(&sim).map(drop);
}

#[test]
fn hostile_record_counts_do_not_size_the_keydir() {
    let sim = closed();
    edit(&sim, |m| {
        for e in &mut m.segments {
            if let bitcask::format::manifest::SegmentState::Sealed(s) = &mut e.state {
                s.records = u64::MAX;
            }
        }
    });
    let _ = open(&sim).map(drop);
}

#[test]
fn hostile_lengths_do_not_panic() {
    let sim = closed();
    edit(&sim, |m| {
        for e in &mut m.segments {
            match &mut e.state {
                bitcask::format::manifest::SegmentState::Sealed(s) => s.len = u64::MAX,
                bitcask::format::manifest::SegmentState::Unsealed { durable } => *durable = u64::MAX,
            }
        }
    });
    match open(&sim) {
        Ok(db) => {
            db.put(b"x", b"y").unwrap();
            db.close().unwrap();
            open(&sim).map(drop).unwrap()
        }
        Err(err) => assert!(!err.to_string().is_empty()),
    }
}

#[test]
fn a_refused_open_changes_nothing() {
    let sim = closed();
    edit(&sim, |m| m.last_version = 1 << 63);
    let before = sim.contents(DIR);
    assert!(open(&sim).is_err());
    assert!(before == sim.contents(DIR), "the refused open rewrote the directory");
}

#[test]
fn a_rename_that_found_no_space_does_not_poison() {
    use bitcask::io::sim::{Call, FaultPlan};
    let (sim, db) = fresh();
    db.put(b"a", &[7; 800]).unwrap();
    db.put(b"b", &[8; 800]).unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::Rename]).errno(28));
    assert!(db.step_log_thread().is_err());
    sim.clear_faults();
    assert!(db.stats().unwrap().poisoned.is_none());
}

#[test]
fn a_put_refused_for_want_of_a_spare_says_no_space() {
    use bitcask::io::sim::{Call, FaultPlan};
    let (sim, db) = fresh();
    db.put(b"a", &[7; 800]).unwrap();
    db.put(b"b", &[8; 800]).unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::Create]).errno(28).sticky());
    assert!(db.step_log_thread().is_err());
    let mut got = None;
    for n in 0..9u8 {
        if let Err(e) = db.put(&[n], &[7; 800]) {
            got = Some(e);
            break;
        }
    }
    assert!(matches!(got, Some(bitcask::Error::NoSpace { .. })));
}

#[test]
fn a_rotation_during_a_sync_does_not_seal_an_unsynced_tail() {
    let (sim, db) = fresh();
    db.put(b"first", b"1").unwrap();
    sim.hold_syncs();
    std::thread::scope(|s| {
        let t = s.spawn(|| db.sync().unwrap());
        sim.wait_for_held_syncs(1);
        db.put(b"tail", &[7; 800]).unwrap();
        db.put(b"next", &[8; 800]).unwrap();
        sim.release_syncs();
        t.join().unwrap();
    });
    db.step_log_thread().unwrap();
    let after = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let db2 = open(&after).unwrap();
    assert_eq!(db2.stats().unwrap().degraded, None, "a power cut became damage");
}

#[test]
fn a_uid_is_not_used_again_after_a_crash() {
    let (sim, db) = fresh();
    db.put(b"a", b"1").unwrap();
    let h = db.stats().unwrap().history_id.clone();
    let uid = sim.read_file(DIR, "000000000001.data").unwrap()[32..40].to_vec();
    let image = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let db2 = open(&image).unwrap();
    for n in 0..3u8 {
        db2.put(&[n], &[1; 800]).unwrap();
    }
    let mut same = false;
    for (_, b) in image.contents(DIR) {
        if b.len() > 72 && b[32..40] == uid[..] {
            same = true;
        }
    }
    assert!(h != db2.stats().unwrap().history_id || !same);
}

#[test]
fn a_cut_off_batch_never_joins_a_later_write() {
    use bitcask::features::batch::Batch;
    use bitcask::io::sim::{Call, FaultPlan};
    let (sim, db) = fresh();
    db.put(b"0", b"0").unwrap();
    db.sync().unwrap();
    db.put(b"0", b"1").unwrap();
    let mut batch = Batch::new();
    batch.put(b"x", b"xx").unwrap();
    batch.put(b"w", b"ww").unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::Write]).short(32).then_error());
    assert!(db.write(&batch).is_err());
    sim.clear_faults();
    db.put(b"y", b"yy").unwrap();
    db.put(b"z", b"zz").unwrap();
    let mut bad = 0;
    for seed in 0..2000 {
        let image = sim.crash(sim.op_count(), Survival::Random(seed));
        let db2 = open(&image).unwrap();
        let has = |k: &str| get(&db2, k).unwrap().is_some();
        if has("x") && !has("w") || has("z") && !has("y") {
            bad += 1;
        }
    }
    assert_eq!(bad, 0, "of 2000");
}

#[test]
fn a_failed_write_that_was_done_never_replaces_a_later_one() {
    use bitcask::io::sim::{Call, FaultPlan};
    let (sim, db) = fresh();
    db.put(b"0", b"0").unwrap();
    db.sync().unwrap();
    db.put(b"0", b"1").unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::Write]).done_anyway());
    assert!(db.put(b"x", b"xx").is_err());
    sim.clear_faults();
    db.put(b"y", b"yy").unwrap();
    db.put(b"z", b"zz").unwrap();
    let mut bad = 0;
    for seed in 0..2000 {
        let image = sim.crash(sim.op_count(), Survival::Random(seed));
        let db2 = open(&image).unwrap();
        let has = |k: &str| get(&db2, k).unwrap().is_some();
        if has("z") && !has("y") {
            bad += 1;
        }
    }
    assert_eq!(bad, 0, "of 2000");
}

#[test]
fn stats_do_not_wait_for_the_disk() {
    let (sim, db) = fresh();
    db.put(b"a", &[7; 800]).unwrap();
    db.put(b"b", &[8; 800]).unwrap();
    db.sync().unwrap();
    sim.hold_syncs();
    std::thread::scope(|s| {
        s.spawn(|| db.step_log_thread().unwrap());
        sim.wait_for_held_syncs(1);
        let (tx, rx) = std::sync::mpsc::channel();
        let db = &db;
        s.spawn(move || {
            db.stats().unwrap();
            tx.send(()).unwrap();
        });
        let answered = rx.recv_timeout(std::time::Duration::from_millis(500)).is_ok();
        sim.release_syncs();
        assert!(answered);
    });
}

#[test]
fn a_version_behind_a_hole_in_the_log_is_not_given_out_again() {
    let (sim, db) = fresh();
    sim.set_clock_ns(1_800_000_000_000_000_000);
    let versions: Vec<u64> = (0..3u8).map(|n| db.put(&[n], &[n; 200]).unwrap()).collect();
    let image = sim.crash(sim.op_count(), Survival::Everything);
    let second_header = 72 + 232;
    image.corrupt(DIR, "000000000001.data", second_header, 1);
    image.set_clock_ns(1_700_000_000_000_000_000);
    let db = open(&image).unwrap();
    assert_eq!(db.count().unwrap(), 1, "the hole ends the log");
    assert!(db.put(b"new", b"1").unwrap() > versions[2]);
}

#[test]
fn a_reader_of_a_killed_store_tells_the_newest_version() {
    let (sim, db) = fresh();
    let version = db.put(b"k", b"1").unwrap();
    let image = sim.crash(sim.op_count(), Survival::Everything);
    let options = Options { read_only: true, ..Options::default() };
    let db = Db::open(image, Path::new(DIR), &options).unwrap();
    assert_eq!(db.stats().unwrap().last_version, version);
}

#[test]
fn what_recovery_leaves_in_old_files_counts_as_disk_and_dead_bytes() {
    let (sim, db) = fresh();
    db.put(b"kept", b"1").unwrap();
    db.sync().unwrap();
    for n in 0..3u8 {
        db.put(&[n], &[n; 200]).unwrap();
    }
    let image = sim.crash(sim.op_count(), Survival::Everything);
    let stats = open(&image).unwrap().stats().unwrap();
    let files = image.contents(DIR).into_iter().filter(|(name, _)| name.ends_with(".data"));
    assert_eq!(stats.disk_bytes, files.map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert_eq!(stats.dead_bytes, stats.disk_bytes - stats.live_bytes);
}

#[test]
fn a_name_that_leaves_no_number_is_refused_and_nothing_is_touched() {
    let sim = closed();
    sim.write_file(DIR, "999999999999.data", b"");
    let before = sim.contents(DIR);
    let err = open(&sim).map(drop).unwrap_err().to_string();
    assert!(err.contains("999999999999.data"), "{err}");
    assert_eq!(sim.contents(DIR), before);
}

#[test]
fn a_file_of_somebody_else_with_a_segments_name_is_left_alone() {
    let sim = closed();
    sim.write_file(DIR, "202611242200.data", b"my nightly dump\n");
    sim.write_file(DIR, "202611242201.data", b"\x89bit\0\0\0\0\0\0");
    sim.write_file(DIR, "202611242200.hint", b"use the other one\n");
    sim.write_file(DIR, "202611242201.hint", &[0; 300]);
    drop(open(&sim).unwrap());
    assert_eq!(sim.read_file(DIR, "202611242200.data").as_deref(), Some(&b"my nightly dump\n"[..]));
    assert_eq!(sim.read_file(DIR, "202611242201.data"), None, "a torn first write of ours");
    assert_eq!(sim.read_file(DIR, "202611242200.hint").as_deref(), Some(&b"use the other one\n"[..]));
    assert_eq!(sim.read_file(DIR, "202611242201.hint"), None, "a hint of ours without its header");
}

#[test]
fn a_hint_whose_header_a_power_cut_tore_anywhere_does_not_stay_for_ever() {
    let sim = closed();
    let db = open(&sim).unwrap();
    db.step_merge_thread().unwrap();
    db.close().unwrap();
    let hint = sim.read_file(DIR, "000000000001.hint").unwrap();
    for whole in 0..HINT_HEADER_LEN {
        let mut torn = hint.clone();
        torn[whole..HINT_HEADER_LEN].fill(0);
        sim.write_file(DIR, "000000000900.hint", &torn);
        drop(open(&sim).unwrap());
        assert_eq!(sim.read_file(DIR, "000000000900.hint"), None, "the first {whole} bytes were written");
    }
}

#[test]
fn a_bad_header_of_a_sealed_segment_is_told() {
    for blank in [false, true] {
        let sim = closed();
        let mut bytes = sim.read_file(DIR, "000000000001.data").unwrap();
        if blank {
            bytes[..72].fill(0)
        } else {
            bytes[3] ^= 1
        }
        sim.write_file(DIR, "000000000001.data", &bytes);
        let db = open(&sim).unwrap();
        let stats = db.stats().unwrap();
        assert_eq!((stats.corrupt_records, stats.degraded), (1, None));
        assert_eq!(get(&db, "\0\0\0\0").unwrap(), Some(vec![7; 800]));
    }
}

#[test]
fn a_version_that_cannot_be_is_damage_of_its_record_and_not_of_the_store() {
    let (sim, db) = fresh();
    let draft = Draft::new(b"forged", b"v", Flags::NONE, None);
    db.put(b"k", b"1").unwrap();
    db.close().unwrap();
    let mut bytes = sim.read_file(DIR, "000000000001.data").unwrap();
    let uid = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    let header = draft.header(u64::MAX, uid, bytes.len() as u64);
    bytes.extend_from_slice(&header[..draft.header_len()]);
    bytes.extend_from_slice(b"forgedv\0");
    sim.write_file(DIR, "000000000001.data", &bytes);
    let db = open(&sim).unwrap();
    assert_eq!(get(&db, "forged").unwrap(), None);
    assert!(db.put(b"k", b"2").is_ok());
}

#[test]
fn a_segment_that_recovery_seals_is_stated_with_the_counts_of_what_it_keeps() {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    let options = Options { max_segment_bytes: 16 << 20, ..Options::default() };
    let db = Db::open(sim.clone(), Path::new(DIR), &options).unwrap();
    let value = vec![7; 100_000];
    for n in 0..30u8 {
        db.put(&[n], &value).unwrap();
    }
    db.delete(&[0]).unwrap();
    db.sync().unwrap();
    for n in 30..60u8 {
        db.put(&[n], &value).unwrap();
    }
    let image = sim.crash(sim.op_count(), Survival::Everything);
    let db = Db::open(image.clone(), Path::new(DIR), &options).unwrap();
    assert_eq!((db.count().unwrap(), db.stats().unwrap().recovered_records), (59, 30));
    let manifest = Manifest::decode(&image.read_file(DIR, "manifest.json").unwrap()).unwrap();
    let SegmentState::Sealed(sealed) = manifest.segments[0].state else { panic!("recovery seals") };
    assert_eq!((sealed.records, sealed.tombstones), (31, 1));
}
