//! Backups on the simulated machine: what is in them, what is refused, and what crashes and failing calls leave.

use crate::support;
use crate::support::{
    DIR, State, Step, Write, apply, empty, history, merge_policy, observe, open, options, perform,
};
use bitcask::Error;
use bitcask::engine::{Change, Db};
use bitcask::features::backup::BackupReport;
use bitcask::format::manifest::{Manifest, SegmentState};
use bitcask::format::names;
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim, Survival};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::path::Path;

const TO: &str = "/backup";

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    sim
}

fn backup(db: &Db<Sim>) -> BackupReport {
    db.backup(Path::new(TO)).expect("a backup on a healthy disk")
}

fn open_backup(sim: &Sim, read_only: bool) -> bitcask::Result<Db<Sim>> {
    Db::open(sim.clone(), Path::new(TO), &Options { read_only, ..options(SyncMode::None) })
}

/// What the backup holds, as a reader sees it.
fn held(sim: &Sim) -> Result<State, String> {
    let db = open_backup(sim, true).map_err(|err| format!("open: {err}"))?;
    let stats = db.stats().map_err(|err| err.to_string())?;
    if stats.corrupt_records > 0 || stats.degraded.is_some() {
        return Err(format!("damage in a backup: {:?}", stats.degraded));
    }
    observe(&db)
}

fn manifest(sim: &Sim) -> Manifest {
    Manifest::decode(&sim.read_file(TO, names::MANIFEST).expect("a manifest")).expect("a sound one")
}

/// Does steps, whose writes are applied to `state`, too.
fn step(sim: &Sim, db: &mut Option<Db<Sim>>, state: &mut State, step: &Step) {
    let open_db = db.as_ref().expect("an open store");
    match step {
        Step::Write(write) => {
            perform(open_db, write).expect("a write");
            apply(state, write);
        }
        Step::Sync => open_db.sync().expect("a sync"),
        Step::LogThread => open_db.step_log_thread().expect("log jobs"),
        Step::MergeThread => open_db.step_merge_thread().expect("merge jobs"),
        Step::Merge(percent) => drop(open_db.merge(&merge_policy(*percent)).expect("a merge")),
        Step::Reopen => {
            db.take().expect("an open store").close().expect("a close");
            *db = Some(open(sim, &options(SyncMode::None)).expect("an open"));
        }
    }
}

/// A store with `writes` puts of keys in turn, a few segments of them sealed.
fn filled(sim: &Sim, writes: u32) -> (Db<Sim>, State) {
    let by_hand = Options { merge: MergeMode::Manual, ..options(SyncMode::None) };
    let db = open(sim, &by_hand).expect("an open");
    let mut state = empty();
    put_more(&db, &mut state, 0..writes);
    (db, state)
}

fn put_more(db: &Db<Sim>, state: &mut State, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let write = Write::Put(2 + number as usize % 5, number);
        perform(db, &write).expect("a put");
        apply(state, &write);
        db.step_log_thread().expect("log jobs");
    }
}

#[test]
fn a_backup_holds_what_was_written_before_it_and_nothing_of_what_came_after() {
    for seed in 0..200 {
        let sim = machine(seed);
        let mut db = Some(open(&sim, &options(SyncMode::None)).expect("an open"));
        let (mut state, mut backups) = (empty(), 0);
        let mut rng = Rng::derive(&[seed, 20]);
        for next in history(&mut rng, 60) {
            step(&sim, &mut db, &mut state, &next);
            if rng.chance(1, 8) {
                let report = backup(db.as_ref().expect("an open store"));
                backups += 1;
                assert_eq!(held(&sim), Ok(state.clone()), "seed {seed}, backup {backups}");
                assert_eq!(report.keys, state[..support::KEYS].iter().flatten().count() as u64);
                let listed = manifest(&sim);
                assert!(listed.backup && listed.clean_close.is_none());
                assert!(listed.segments.iter().all(|entry| matches!(entry.state, SegmentState::Sealed(_))));
                let segments = report.segments_linked + report.segments_copied + report.segments_kept;
                assert_eq!(segments, listed.segments.len() as u64);
            }
        }
    }
}

#[test]
fn what_is_read_of_a_backup_leaves_it_as_it_is_and_a_writer_begins_another_history() {
    let sim = machine(1);
    let (db, state) = filled(&sim, 60);
    let report = backup(&db);
    let stats = db.stats().expect("stats");
    assert_eq!((report.database_id, report.history_id.clone()), (stats.database_id, stats.history_id));
    assert_eq!(report.last_version, stats.last_version);
    let before = sim.contents(TO);
    let reader = open_backup(&sim, true).expect("a reader");
    assert_eq!(observe(&reader), Ok(state.clone()));
    assert_eq!(reader.stats().expect("stats").history_id, report.history_id);
    reader.close().expect("a close");
    assert_eq!(sim.contents(TO), before);

    let store_before = sim.contents(DIR);
    let writer = open_backup(&sim, false).expect("a writer");
    assert_ne!(writer.stats().expect("stats").history_id, report.history_id);
    assert!(!manifest(&sim).backup);
    let mut written = state.clone();
    put_more(&writer, &mut written, 100..160);
    writer.merge(&MergePolicy::everything()).expect("a merge");
    assert_eq!(observe(&writer), Ok(written));
    assert_eq!(sim.contents(DIR), store_before, "a writer of the backup changed files of the store");
    let refused = db.backup(Path::new(TO)).expect_err("a backup into what was written to");
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    writer.close().expect("a close");
    let refused = db.backup(Path::new(TO)).expect_err("a backup into what was written to");
    assert!(refused.to_string().contains("was opened for writing"), "{refused}");
}

#[test]
fn the_next_backup_keeps_what_it_has_and_takes_out_what_is_gone() {
    let sim = machine(2);
    let (db, mut state) = filled(&sim, 61);
    db.step_merge_thread().expect("hints");
    let first = backup(&db);
    assert!(first.segments_linked > 2 && first.segments_copied == 1 && first.segments_kept == 0, "{first:?}");
    let again = backup(&db);
    assert_eq!(again.segments_kept, first.segments_linked + first.segments_copied);
    assert_eq!((again.segments_linked, again.segments_copied, again.segments_removed), (0, 0, 0));
    assert_eq!(again.bytes_kept, first.bytes_linked + first.bytes_copied);

    // The one that was copied is written to on: it is copied again, and linked once it is sealed.
    perform(&db, &Write::Put(2, 61)).expect("a put");
    apply(&mut state, &Write::Put(2, 61));
    let grown = backup(&db);
    assert_eq!((grown.segments_kept, grown.segments_copied), (first.segments_linked, 1), "{grown:?}");
    assert_eq!(held(&sim), Ok(state.clone()));
    put_more(&db, &mut state, 62..120);
    let more = backup(&db);
    assert_eq!(more.segments_kept, first.segments_linked);
    assert!(more.segments_linked > 1 && more.segments_copied == 1, "{more:?}");
    assert_eq!(held(&sim), Ok(state.clone()));

    db.merge(&MergePolicy::everything()).expect("a merge");
    let merged = backup(&db);
    let listed = manifest(&sim);
    assert!(merged.segments_removed > 2 && listed.segments.len() < 4, "{merged:?}");
    assert_eq!(held(&sim), Ok(state));
    // Nothing is left but what the manifest lists, and hints, which a reader takes.
    let mut expected: Vec<_> = listed.segments.iter().map(|entry| names::segment(entry.number)).collect();
    let sealed_in_store = |entry: &&bitcask::format::manifest::SegmentEntry| {
        sim.read_file(DIR, &names::hint(entry.number)).is_some()
    };
    expected.extend(listed.segments.iter().filter(sealed_in_store).map(|entry| names::hint(entry.number)));
    expected.push(names::MANIFEST.to_string());
    expected.sort();
    assert_eq!(sim.files(TO).into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn where_files_cannot_be_linked_they_are_copied() {
    for errno in [libc::EXDEV, libc::EPERM, libc::EMLINK, libc::EOPNOTSUPP] {
        let sim = machine(3);
        let (db, state) = filled(&sim, 60);
        db.step_merge_thread().expect("hints");
        sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(errno).sticky());
        let report = backup(&db);
        sim.clear_faults();
        assert_eq!(report.segments_linked, 0);
        assert!(report.segments_copied > 2);
        assert_eq!(held(&sim), Ok(state));
        let (store, copy) = (sim.contents(DIR), sim.contents(TO));
        let hints: Vec<_> = copy.iter().filter(|(name, _)| names::parse_hint(name).is_some()).collect();
        assert!(hints.len() > 2 && hints.into_iter().all(|(name, bytes)| store[name] == *bytes));
    }
}

#[test]
fn a_segment_that_is_missing_or_cut_in_an_earlier_backup_is_brought_again() {
    let sim = machine(4);
    let (db, state) = filled(&sim, 60);
    sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(libc::EXDEV).sticky());
    backup(&db);
    sim.clear_faults();
    let listed = manifest(&sim);
    let names: Vec<_> = listed.segments.iter().map(|entry| names::segment(entry.number)).collect();
    sim.remove_file(TO, &names[0]);
    sim.cut_file(TO, &names[1], 100);
    let report = backup(&db);
    assert_eq!((report.segments_linked, report.segments_kept), (2, listed.segments.len() as u64 - 2));
    assert_eq!(held(&sim), Ok(state));
}

#[test]
fn a_directory_that_is_no_place_for_the_backup_is_refused_and_left_as_it_is() {
    let sim = machine(5);
    sim.make_dirs("/other");
    let (db, mut state) = filled(&sim, 30);
    let other = Db::open(sim.clone(), Path::new("/other"), &options(SyncMode::None)).expect("an open");
    perform(&other, &Write::Put(1, 1)).expect("a put");
    other.backup(Path::new("/of-other")).expect("a backup");
    backup(&db);
    // A later state: the store was set back to what it was at the first backup.
    sim.make_dirs("/later");
    for (name, bytes) in sim.contents(DIR) {
        sim.write_file("/later", &name, &bytes);
    }
    put_more(&db, &mut state, 30..90);
    backup(&db);
    let set_back = Db::open(sim.clone(), Path::new("/later"), &options(SyncMode::None)).expect("an open");

    sim.make_dirs("/with-file");
    sim.write_file("/with-file", "letters.txt", b"dear");
    sim.make_dirs("/with-segment");
    let segment = sim.read_file(DIR, &names::segment(1)).expect("a segment");
    sim.write_file("/with-segment", &names::segment(1), &segment);
    sim.make_dirs("/with-foreign");
    db.backup(Path::new("/with-foreign")).expect("a backup");
    let foreign = sim.read_file("/other", &names::segment(1)).expect("a segment");
    sim.write_file("/with-foreign", &names::segment(999), &foreign);
    sim.make_dirs("/damaged");
    db.backup(Path::new("/damaged")).expect("a backup");
    sim.corrupt("/damaged", names::MANIFEST, 20, 1);

    for (db, to, why) in [
        (&db, DIR, "/store is the store's own directory"),
        (&db, "/store/below", "is the store's own directory, or in it"),
        (&db, "/", "holds "),
        (&db, "/other/absent/deeper", "cannot open /other/absent/deeper"),
        (&db, "/other", "is in use"),
        (&db, "/of-other", "holds another database"),
        (&set_back, TO, "holds a later state"),
        (&db, "/with-file", "holds letters.txt, which is no file of a backup"),
        (&db, "/with-segment", "holds 000000000001.data, which no manifest says"),
        (&db, "/with-foreign", "holds 000000000999.data, which is not this database's"),
        (&db, "/damaged", "/damaged/manifest.json is damaged"),
    ] {
        let dirs =
            [DIR, "/other", "/of-other", TO, "/with-file", "/with-segment", "/with-foreign", "/damaged"];
        let before = dirs.map(|dir| sim.contents(dir));
        let refused = db.backup(Path::new(to)).expect_err(to).to_string();
        assert!(refused.contains(why), "{to}: {refused}");
        assert_eq!(dirs.map(|dir| sim.contents(dir)), before, "{to}");
    }
    assert!(!sim.has_dir("/store/below"));
    other.close().expect("a close");
    let refused = db.backup(Path::new("/other")).expect_err("a store").to_string();
    assert!(refused.contains("holds another database"), "{refused}");
    assert_eq!(held(&sim), Ok(state));
}

#[test]
fn a_backup_of_a_copy_that_went_another_way_does_not_take_the_place_of_one_of_the_store() {
    let sim = machine(6);
    let (db, mut state) = filled(&sim, 30);
    db.backup(Path::new("/copy")).expect("a backup");
    let copy = Db::open(sim.clone(), Path::new("/copy"), &options(SyncMode::None)).expect("a writer");
    put_more(&db, &mut state, 30..90);
    backup(&db);
    put_more(&copy, &mut empty(), 200..300);
    let refused = copy.backup(Path::new(TO)).expect_err("another copy").to_string();
    assert!(refused.contains("than the store: it is a backup of a copy"), "{refused}");
    assert_eq!(held(&sim), Ok(state));
}

/// A store with an earlier backup or none, more writes, and the states of both backups; ready for the next.
fn before_a_backup(seed: u64, earlier: bool) -> (Sim, Db<Sim>, Option<State>, State) {
    let sim = machine(seed);
    let mut db = Some(open(&sim, &options(SyncMode::None)).expect("an open"));
    let mut state = empty();
    let mut rng = Rng::derive(&[seed, 21]);
    for next in history(&mut rng, 30) {
        step(&sim, &mut db, &mut state, &next);
    }
    let before = earlier.then(|| {
        backup(db.as_ref().expect("an open store"));
        state.clone()
    });
    for next in history(&mut rng, 30) {
        step(&sim, &mut db, &mut state, &next);
    }
    let db = db.expect("an open store");
    // Files that cannot be linked are copied, which takes other calls.
    if seed.is_multiple_of(2) {
        sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(libc::EXDEV).sticky());
    }
    (sim, db, before, state)
}

/// What must be true of a machine on which a backup was cut off or failed.
fn judge(sim: &Sim, before: Option<&State>, after: &State) -> Result<bool, String> {
    let has_manifest = sim.has_dir(TO) && sim.read_file(TO, names::MANIFEST).is_some();
    let is_new = match (has_manifest, before) {
        (false, None) => {
            // There is nothing that could be taken for an empty store.
            if sim.has_dir(TO) && !sim.files(TO).is_empty() && open_backup(sim, false).is_ok() {
                return Err("what was cut off opens".to_string());
            }
            false
        }
        (false, Some(_)) => return Err("the earlier backup's manifest is gone".to_string()),
        (true, before) => {
            let found = held(sim)?;
            if found != *after && before != Some(&found) {
                return Err(format!("{found:?} is neither {before:?} nor {after:?}"));
            }
            found == *after
        }
    };
    let db = open(sim, &options(SyncMode::None)).map_err(|err| format!("the store: {err}"))?;
    let state = observe(&db)?;
    let stats = db.stats().map_err(|err| err.to_string())?;
    if stats.corrupt_records > 0 || stats.degraded.is_some() {
        return Err(format!("the store is damaged: {:?}", stats.degraded));
    }
    // The clock goes on, and so does the store.
    sim.advance_clock_ns(1_000_000_000);
    let mut state = state;
    put_more(&db, &mut state, 5000..5002);
    let report = db.backup(Path::new(TO)).map_err(|err| format!("the next backup: {err}"))?;
    if held(sim)? != state {
        return Err(format!("after the next backup {report:?}: {:?} instead of {state:?}", held(sim)?));
    }
    if let Some(name) = sim.files(TO).keys().find(|name| name.ends_with(".new")) {
        return Err(format!("the next backup leaves {name}"));
    }
    db.close().map_err(|err| format!("the store's close: {err}"))?;
    // And it is a store.
    let writer = open_backup(sim, false).map_err(|err| format!("a writer of the backup: {err}"))?;
    if observe(&writer)? != state {
        return Err("a writer finds something else than a reader".to_string());
    }
    put_more(&writer, &mut state, 6000..6030);
    writer.merge(&MergePolicy::everything()).map_err(|err| format!("a merge in the backup: {err}"))?;
    if observe(&writer)? != state { Err("a merge changed the backup".to_string()) } else { Ok(is_new) }
}

#[test]
fn a_crash_at_any_operation_leaves_the_earlier_backup_or_the_new_one_and_the_store_as_it_was() {
    let (mut cases, mut new) = (0, 0);
    for seed in 0..24 {
        let (sim, db, before, after) = before_a_backup(seed, seed % 4 < 2);
        db.sync().expect("a sync");
        sim.start_log();
        backup(&db);
        sim.clear_faults();
        // Until the backup has returned, the crash may come before its manifest.
        let mut crasher = sim.crasher();
        loop {
            let at = crasher.at_op();
            let is_last = at == sim.op_count();
            let draw = |n: u64| Survival::Random(seed.wrapping_mul(1013) + 31 * at as u64 + n);
            let kinds = [Survival::Everything, Survival::SyncedOnly, draw(0), draw(1), draw(2)];
            for (survival, torn) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                let image = if torn {
                    crasher.torn_image(survival, seed + at as u64)
                } else {
                    crasher.image(survival)
                };
                let what = || {
                    format!("seed {seed}, operation {at} of {}, {survival:?}, torn {torn}", sim.op_count())
                };
                match judge(&image, before.as_ref(), &after) {
                    Ok(is_new) => {
                        assert!(is_new || !is_last, "{}: what was acknowledged is gone", what());
                        cases += 1;
                        new += u64::from(is_new);
                    }
                    Err(err) => panic!("{}: {err}\n{}", what(), short(&sim)),
                }
            }
            if !crasher.advance() {
                break;
            }
        }
    }
    println!("{cases} crashes of backups, {new} of them after the manifest, 0 violations");
    assert!(cases > 2000 && new > 0 && new < cases);
}

fn short(sim: &Sim) -> String {
    sim.log_text().lines().map(|line| format!("{}\n", &line[..line.len().min(90)])).collect()
}

#[test]
fn whatever_call_of_a_backup_fails_the_earlier_one_or_the_new_one_is_there_and_the_store_goes_on() {
    let kinds: [fn(u64) -> FaultPlan; 6] = [
        FaultPlan::nth,
        |nth| FaultPlan::nth(nth).errno(libc::ENOSPC),
        |nth| FaultPlan::nth(nth).errno(libc::ENOSPC).only(&Call::CHANGING).sticky(),
        |nth| FaultPlan::nth(nth).only(&Call::CHANGING).sticky(),
        |nth| FaultPlan::nth(nth).only(&Call::CHANGING).done_anyway(),
        |nth| FaultPlan::nth(nth).only(&[Call::Write, Call::Read]).short(40),
    ];
    let (mut cases, mut failed) = (0, 0);
    for (seed, plan) in (0..8).flat_map(|seed| kinds.iter().map(move |plan| (seed, plan))) {
        for nth in 1.. {
            let (sim, db, before, after) = before_a_backup(seed, seed % 4 < 2);
            db.sync().expect("a sync");
            let fired = sim.faults_fired();
            let plan = plan(nth);
            sim.fail(plan.clone());
            let answer = db.backup(Path::new(TO));
            let links_fail = seed.is_multiple_of(2);
            let has_fired = sim.faults_fired() > fired + if links_fail { sim.calls(Call::Link) } else { 0 };
            sim.clear_faults();
            let what = format!("seed {seed}, call {nth}, {plan:?}: {:?}", answer.as_ref().err());
            let stats = db.stats().expect("stats");
            assert_eq!((stats.poisoned, observe(&db)), (None, Ok(after.clone())), "{what}");
            drop(db);
            let is_new = judge(&sim, before.as_ref(), &after).unwrap_or_else(|err| panic!("{what}: {err}"));
            assert!(answer.is_err() || is_new, "{what}");
            cases += 1;
            failed += u64::from(answer.is_err());
            if !has_fired {
                break;
            }
        }
    }
    println!("{cases} backups with a failing call, {failed} answered so, 0 violations");
    assert!(failed > 500 && cases > failed);
}

#[test]
fn a_full_disk_is_no_fuller_for_a_backup_that_failed() {
    let sim = machine(7);
    let (db, state) = filled(&sim, 60);
    sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(libc::EXDEV).sticky());
    sim.set_free_bytes(Some(3000));
    let err = db.backup(Path::new(TO)).expect_err("no room");
    assert!(matches!(err, Error::NoSpace { .. }), "{err}");
    assert!(err.to_string().contains("/backup/0000"), "{err}");
    assert_eq!(sim.files(TO).into_keys().collect::<Vec<_>>(), [names::BACKUP_NEW]);
    let left = sim.free_bytes().expect("a limit");
    assert!(left + 1000 > 3000, "{left}");
    sim.set_free_bytes(None);
    backup(&db);
    assert_eq!(held(&sim), Ok(state));
}

#[test]
fn a_reader_of_a_backup_goes_on_to_the_next_one() {
    for seed in 0..100 {
        let sim = machine(seed);
        let mut db = Some(open(&sim, &options(SyncMode::None)).expect("an open"));
        let (mut state, mut rng) = (empty(), Rng::derive(&[seed, 22]));
        backup(db.as_ref().expect("an open store"));
        let reader = open_backup(&sim, true).expect("a reader");
        for next in history(&mut rng, 60) {
            step(&sim, &mut db, &mut state, &next);
            if rng.chance(1, 6) {
                let shown = observe(&reader);
                backup(db.as_ref().expect("an open store"));
                assert_eq!(observe(&reader), shown, "seed {seed}");
                reader.refresh().unwrap_or_else(|err| panic!("seed {seed}: {err}"));
                assert_eq!(observe(&reader), Ok(state.clone()), "seed {seed}");
            }
        }
    }
}

#[test]
fn a_reader_of_the_store_backs_up_what_it_shows() {
    for seed in 0..100 {
        let sim = machine(seed);
        let mut db = Some(open(&sim, &options(SyncMode::None)).expect("an open"));
        let (mut state, mut rng) = (empty(), Rng::derive(&[seed, 23]));
        let read_only = Options { read_only: true, ..options(SyncMode::None) };
        let reader = open(&sim, &read_only).expect("a reader");
        for next in history(&mut rng, 60) {
            step(&sim, &mut db, &mut state, &next);
            if rng.chance(1, 6) {
                if rng.chance(2, 3) {
                    reader.refresh().expect("a refresh");
                }
                let before = sim.contents(DIR);
                backup(&reader);
                assert_eq!(held(&sim), observe(&reader), "seed {seed}");
                assert_eq!(sim.contents(DIR), before);
            }
        }
    }
}

#[test]
fn a_poisoned_store_and_a_degraded_one_are_backed_up_as_they_read() {
    let sim = machine(8);
    let (db, state) = filled(&sim, 60);
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]));
    db.sync().expect_err("a failing sync");
    sim.clear_faults();
    assert!(db.stats().expect("stats").poisoned.is_some());
    let report = backup(&db);
    assert_eq!((report.degraded, held(&sim)), (None, Ok(state)));

    let sim = machine(9);
    let (db, _) = filled(&sim, 60);
    db.close().expect("a close");
    let listed = support::crashes::manifest(&sim).segments[0];
    for name in sim.files(DIR).into_keys().filter(|name| name.ends_with(".hint") || name.ends_with("point")) {
        sim.remove_file(DIR, &name);
    }
    sim.corrupt(DIR, &names::segment(listed.number), 72, 1);
    let options = Options { merge: MergeMode::Off, ..options(SyncMode::None) };
    let db = open(&sim, &options).expect("a degraded store opens");
    let why = db.stats().expect("stats").degraded;
    assert!(why.is_some());
    assert_eq!(backup(&db).degraded, why);
    let copy = open_backup(&sim, true).expect("a degraded backup opens");
    assert_eq!(copy.stats().expect("stats").degraded, why);
    for key in 0..support::KEYS {
        let value = |db: &Db<Sim>| db.get(&support::key(key), <[u8]>::to_vec).map_err(|err| err.to_string());
        let of_store = value(&db).map_err(|err| err.replace(DIR, TO));
        assert_eq!(value(&copy), of_store);
    }
}

#[test]
fn a_backup_of_a_replica_goes_on_from_the_cursor_of_what_it_holds() {
    let sim = machine(10);
    let (db, _) = filled(&sim, 10);
    let read_only = Options { read_only: true, ..options(SyncMode::None) };
    let reader = open(&sim, &read_only).expect("a reader");
    for number in 0..60_u64 {
        let (cursor, value) = (number.to_le_bytes(), vec![7; 100]);
        let change = Change {
            key: b"applied",
            value: Some(&value),
            version: 5 + number,
            deadline: None,
            is_json: false,
            ends_batch: true,
        };
        db.apply(&[change], &cursor).expect("an application");
        db.step_log_thread().expect("log jobs");
        reader.refresh().expect("a refresh");
        for source in [&db, &reader] {
            backup(source);
            let copy = open_backup(&sim, true).expect("a reader of the backup");
            assert_eq!(
                copy.applied_cursor().expect("a cursor").as_deref(),
                Some(cursor.as_slice()),
                "{number}"
            );
        }
    }
    let copy = open_backup(&sim, false).expect("a writer of the backup");
    assert_eq!(copy.applied_cursor().expect("a cursor").as_deref(), Some(59_u64.to_le_bytes().as_slice()));
}

#[test]
fn a_report_is_one_flat_object() {
    let report = BackupReport {
        segments_linked: 3,
        bytes_linked: 700,
        last_version: u64::MAX,
        database_id: "0123".to_string(),
        ms: 9,
        ..BackupReport::default()
    };
    assert_eq!(
        report.to_json(),
        "{\"segments_linked\":3,\"segments_copied\":0,\"segments_kept\":0,\"segments_removed\":0,\
         \"bytes_linked\":700,\"bytes_copied\":0,\"bytes_kept\":0,\"keys\":0,\
         \"last_version\":\"18446744073709551615\",\"database_id\":\"0123\",\"history_id\":\"\",\
         \"degraded\":null,\"ms\":9}"
    );
}

#[test]
fn a_backup_cut_off_after_a_crash_of_the_store_leaves_the_earlier_one_whole() {
    let sim = machine(11);
    let roomy = Options { max_segment_bytes: 1 << 16, ..options(SyncMode::None) };
    let db = open(&sim, &roomy).expect("an open");
    let mut state = empty();
    put_more(&db, &mut state, 0..20);
    db.sync().expect("a sync");
    put_more(&db, &mut state, 20..40);
    backup(&db);
    let before = state.clone();
    db.poison("killed");
    drop(db);
    // The segment that was copied ends at the watermark now; what follows that was copied to another.
    let db = open(&sim, &options(SyncMode::None)).expect("an open");
    put_more(&db, &mut state, 40..50);
    db.sync().expect("a sync");
    sim.fail(FaultPlan::nth(1).only(&[Call::Link]).errno(libc::EXDEV).sticky());
    sim.start_log();
    assert_eq!(backup(&db).segments_kept, 1);
    sim.clear_faults();
    for at in 0..=sim.op_count() {
        let image = sim.crash(at, Survival::Everything);
        judge(&image, Some(&before), &state).unwrap_or_else(|err| panic!("operation {at}: {err}"));
    }
}

#[test]
fn a_reader_of_a_backup_follows_it_back_when_its_store_has_lost_what_the_backup_had() {
    let sim = machine(3);
    let (db, mut state) = filled(&sim, 6);
    let mut synced = empty();
    // The second marks the first as durable, so that what they are in is kept; the third is lost.
    for number in 6..9 {
        synced.clone_from(&state);
        let write = Write::Put(if number == 8 { 3 } else { 4 }, number);
        perform(&db, &write).expect("a put");
        apply(&mut state, &write);
        if number < 8 {
            db.sync().expect("a sync");
        }
    }
    backup(&db);
    let reader = open_backup(&sim, true).expect("a reader");
    assert_eq!(observe(&reader), Ok(state));
    // The store's machine loses power, the reader's does not.
    let (image, mut state) = (sim.crash(sim.op_count(), Survival::SyncedOnly), synced);
    let db = open(&image, &options(SyncMode::None)).expect("an open");
    assert_eq!(observe(&db), Ok(state.clone()));
    put_more(&db, &mut state, 20..21);
    backup(&db);
    assert_eq!(held(&image), Ok(state.clone()));
    let (before, after) = (sim.contents(TO), image.contents(TO));
    before.keys().for_each(|name| sim.remove_file(TO, name));
    after.iter().for_each(|(name, bytes)| sim.write_file(TO, name, bytes));
    reader.refresh().expect("a refresh");
    assert_eq!(observe(&reader), Ok(state));
}
