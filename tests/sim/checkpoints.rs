//! A checkpoint is used when it is the closed log's own, and never otherwise; what is damaged in it does no harm.

use crate::support;
use crate::support::{DIR, open};
use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::format::checkpoint::{
    CHECKPOINT_HEADER_LEN, CheckpointHeader, ENTRY_LEN, PartLine, SEGMENT_LINE_LEN, SegmentLine,
    decode_tables,
};
use bitcask::format::checksum::crc32c;
use bitcask::format::coding::Id128;
use bitcask::format::names::{CHECKPOINT, MANIFEST};
use bitcask::io::sim::{Call, FaultPlan, Rng, Sim, Survival};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use bitcask::stats::Stats;
use std::collections::BTreeMap;

type Model = BTreeMap<u32, u32>;

/// Enough for several parts.
const MANY: u32 = 8_000;

fn plain() -> Options {
    let merge = MergeMode::Manual;
    Options { merge, max_segment_bytes: 64 << 10, ..support::options(SyncMode::None) }
}

fn without() -> Options {
    Options { checkpoint: false, ..plain() }
}

fn put(db: &Db<Sim>, model: &mut Model, key: u32, value: u32) {
    db.put(&key.to_le_bytes(), &value.to_le_bytes()).expect("a put");
    model.insert(key, value);
}

fn delete(db: &Db<Sim>, model: &mut Model, key: u32) {
    assert_eq!(db.delete(&key.to_le_bytes()).expect("a deletion"), model.remove(&key).is_some());
}

fn get(db: &Db<Sim>, key: u32) -> Option<u32> {
    let number = |value: &[u8]| u32::from_le_bytes(*value.first_chunk().expect("four bytes"));
    db.get(&key.to_le_bytes(), number).expect("a get")
}

/// A store of many keys over many segments, some deleted, some overwritten; closed.
fn closed(options: &Options) -> (Sim, Model) {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    let (db, mut model, mut rng) = (open(&sim, options).expect("a new store"), Model::new(), Rng::new(9));
    for n in 0..MANY + MANY / 2 {
        let key = if n < MANY { n } else { number(rng.below(MANY as usize)) };
        match rng.below(8) {
            0 if n >= MANY => delete(&db, &mut model, key),
            _ => put(&db, &mut model, key, n),
        }
        if n % 500 == 0 {
            db.step_log_thread().expect("jobs");
        }
    }
    db.step_log_thread().expect("jobs");
    db.step_merge_thread().expect("hints");
    db.close().expect("a close");
    sim.start_log();
    (sim, model)
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

fn image(sim: &Sim) -> Sim {
    sim.crash(sim.op_count(), Survival::Everything)
}

fn stats(db: &Db<Sim>) -> Stats {
    db.stats().expect("stats")
}

fn used(db: &Db<Sim>) -> bool {
    stats(db).opened_from_checkpoint == 1
}

fn check(db: &Db<Sim>, model: &Model) {
    assert_eq!(db.count().expect("a count"), model.len() as u64);
    for key in 0..MANY + 2 * MANY {
        assert_eq!(get(db, key), model.get(&key).copied(), "key {key}");
    }
}

/// The header and the tables of a checkpoint.
fn decode(bytes: &[u8]) -> (CheckpointHeader, Vec<SegmentLine>, Vec<PartLine>) {
    let header = CheckpointHeader::decode(bytes, bytes.len() as u64).expect("a header");
    let tables = usize::try_from(header.tables_at().expect("a place")).expect("small");
    let (segments, parts) = decode_tables(&header, &bytes[tables..]).expect("tables");
    (header, segments, parts)
}

/// The same entries under another header and other tables, with true checksums.
fn encode(bytes: &[u8], header: &CheckpointHeader, segments: &[SegmentLine], parts: &[PartLine]) -> Vec<u8> {
    let entries = bytes.len()
        - CHECKPOINT_HEADER_LEN
        - decode(bytes).1.len() * SEGMENT_LINE_LEN
        - decode(bytes).2.len() * bitcask::format::checkpoint::PART_LINE_LEN;
    let mut tables = Vec::new();
    segments.iter().for_each(|line| line.encode(&mut tables));
    parts.iter().for_each(|line| line.encode(&mut tables));
    let header =
        CheckpointHeader { segments: number(segments.len()), tables_crc: crc32c(&tables), ..*header };
    [&header.encode(), &bytes[CHECKPOINT_HEADER_LEN..CHECKPOINT_HEADER_LEN + entries], &tables].concat()
}

fn checkpoint(sim: &Sim) -> Vec<u8> {
    sim.read_file(DIR, CHECKPOINT).expect("a checkpoint")
}

/// Where part number `at` begins in the file.
fn start_of(bytes: &[u8], at: usize) -> u64 {
    let before: u64 = decode(bytes).2[..at].iter().map(|part| u64::from(part.entries)).sum();
    CHECKPOINT_HEADER_LEN as u64 + before * ENTRY_LEN as u64
}

#[test]
fn a_clean_close_leaves_an_index_that_is_what_the_log_says() {
    let (sim, model) = closed(&plain());
    let from_log = open(&image(&sim), &without()).expect("an open");
    let db = open(&sim, &plain()).expect("an open");
    assert!(used(&db) && !used(&from_log));
    check(&db, &model);
    check(&from_log, &model);
    let (found, expected) = (stats(&db), stats(&from_log));
    assert_eq!(
        (found.live_bytes, found.dead_bytes, found.segments, found.last_version),
        (expected.live_bytes, expected.dead_bytes, expected.segments, expected.last_version)
    );
}

#[test]
fn what_is_done_before_the_index_is_in_memory_is_right_whatever_it_is() {
    let (closed, model) = closed(&plain());
    for seed in 0..12 {
        let (sim, mut model, mut rng) = (image(&closed), model.clone(), Rng::new(seed));
        for _ in 0..3 {
            let db = open(&sim, &plain()).expect("an open");
            assert!(used(&db));
            for n in 0..rng.below(600) {
                let key = number(rng.below(MANY as usize + 500));
                match rng.below(9) {
                    0..=2 => put(&db, &mut model, key, number(n)),
                    3 => delete(&db, &mut model, key),
                    4 => {
                        let mut batch = Batch::new();
                        batch.put(&key.to_le_bytes(), &[7; 4]).expect("a put");
                        batch.delete(&(key / 2 + MANY).to_le_bytes()).expect("a deletion");
                        db.write(&batch).expect("a batch").version().expect("a version");
                        model.insert(key, 0x0707_0707);
                        model.remove(&(key / 2 + MANY));
                    }
                    5 => assert_eq!(
                        db.exists(&key.to_le_bytes()).expect("an answer"),
                        model.contains_key(&key)
                    ),
                    6 => {
                        let keys = [key, key + 1, key / 2].map(u32::to_le_bytes);
                        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
                        let mut found = Vec::new();
                        let many = db.get_many(&keys, |_, value| found.push(value.expect("a get").is_some()));
                        many.expect("gets");
                        let expected = [key, key + 1, key / 2].map(|key| model.contains_key(&key));
                        assert_eq!(found, expected);
                    }
                    7 if rng.chance(1, 20) => db.step_log_thread().expect("jobs"),
                    8 if rng.chance(1, 60) => db.step_merge_thread().expect("jobs"),
                    8 if rng.chance(1, 60) => drop(db.merge(&MergePolicy::everything()).expect("a merge")),
                    _ => assert_eq!(get(&db, key), model.get(&key).copied()),
                }
            }
            if rng.chance(1, 2) {
                check(&db, &model);
            }
            let found = stats(&db);
            db.close().expect("a close");
            let from_log = open(&image(&sim), &without()).expect("an open");
            check(&from_log, &model);
            assert_eq!(stats(&from_log).live_bytes, found.live_bytes, "seed {seed}");
        }
    }
}

#[test]
fn a_checkpoint_that_does_not_match_in_every_respect_is_ignored() {
    let (sim, model) = closed(&plain());
    let bytes = checkpoint(&sim);
    let (header, segments, parts) = decode(&bytes);
    assert!(parts.len() > 2 && segments.len() > 2);
    let with_header = |header: CheckpointHeader| encode(&bytes, &header, &segments, &parts);
    let with_segments = |change: &dyn Fn(&mut Vec<SegmentLine>)| {
        let mut segments = segments.clone();
        change(&mut segments);
        encode(&bytes, &header, &segments, &parts)
    };
    assert_eq!(with_header(header), bytes);
    let last = segments.len() - 1;
    let wrong = [
        ("database", with_header(CheckpointHeader { database: Id128([1; 16]), ..header })),
        ("older generation", with_header(CheckpointHeader { generation: header.generation - 1, ..header })),
        ("newer generation", with_header(CheckpointHeader { generation: header.generation + 1, ..header })),
        ("last version", with_header(CheckpointHeader { last_version: header.last_version - 1, ..header })),
        ("active uid", with_header(CheckpointHeader { active_uid: header.active_uid ^ 1, ..header })),
        ("active length", with_header(CheckpointHeader { active_len: header.active_len - 8, ..header })),
        ("a uid", with_segments(&|lines| lines[1].uid ^= 1)),
        ("a length", with_segments(&|lines| lines[1].len += 8)),
        ("the active segment's length", with_segments(&|lines| lines[last].len -= 8)),
        ("one less", with_segments(&|lines| lines.truncate(last))),
        ("one more", with_segments(&|lines| lines.push(lines[0]))),
        ("other order", with_segments(&|lines| lines.swap(0, 1))),
        ("a slot twice", with_segments(&|lines| lines[0].slot = lines[1].slot)),
        ("a slot that cannot be", with_segments(&|lines| lines[0].slot = 1 << 20)),
        ("nothing", Vec::new()),
        ("zeros", vec![0; bytes.len()]),
        ("a byte less", bytes[..bytes.len() - 1].to_vec()),
        ("a byte more", [&bytes[..], &[0]].concat()),
    ];
    for (what, wrong) in wrong {
        let sim = image(&sim);
        sim.write_file(DIR, CHECKPOINT, &wrong);
        let db = open(&sim, &plain()).expect(what);
        assert!(!used(&db), "{what}");
        assert_eq!((stats(&db).corrupt_records, stats(&db).background_errors), (0, 0), "{what}");
        check(&db, &model);
        db.close().expect("a close");
        assert!(used(&open(&sim, &plain()).expect("an open")), "{what}: the next close writes another");
    }
}

#[test]
fn a_checkpoint_of_an_earlier_close_is_ignored() {
    let (sim, mut model) = closed(&plain());
    let old = checkpoint(&sim);
    let db = open(&sim, &plain()).expect("an open");
    put(&db, &mut model, 1, 77);
    delete(&db, &mut model, 2);
    // A kill: the checkpoint is still there.
    let killed = image(&sim);
    assert_eq!(checkpoint(&killed), old);
    let recovered = open(&killed, &plain()).expect("an open");
    assert!(!used(&recovered));
    check(&recovered, &model);
    assert!(killed.read_file(DIR, CHECKPOINT).is_none(), "it is of the past, and takes room");

    db.close().expect("a close");
    sim.write_file(DIR, CHECKPOINT, &old);
    let db = open(&sim, &plain()).expect("an open");
    assert!(!used(&db));
    check(&db, &model);
}

#[test]
fn a_log_that_is_not_as_the_close_left_it_has_no_checkpoint() {
    let (closed, _) = closed(&plain());
    for (name, len) in closed.files(DIR).into_iter().filter(|(name, len)| name.ends_with(".data") && *len > 0)
    {
        let sim = image(&closed);
        sim.cut_file(DIR, &name, len - 8);
        let db = open(&sim, &plain()).expect("an open");
        assert!(!used(&db), "{name} was cut");
        assert!(stats(&db).corrupt_records > 0);
    }
    let sim = image(&closed);
    let (name, _) = sim.files(DIR).into_iter().find(|(name, _)| name.ends_with(".data")).expect("a segment");
    sim.corrupt(DIR, &name, 9, 1);
    assert!(!used(&open(&sim, &plain()).expect("an open")), "a segment's header is damaged");
}

/// All entries of a part are flipped somewhere, read after some others and before the rest.
#[test]
fn a_damaged_part_is_read_from_the_log() {
    let (closed, model) = closed(&plain());
    let bytes = checkpoint(&closed);
    let parts = decode(&bytes).2.len();
    for damaged in 0..parts {
        let (sim, mut model) = (image(&closed), model.clone());
        // In a location, one that could be and one that could not, or in a digest.
        let at = [17, 20, 1, 9][damaged % 4];
        sim.corrupt(DIR, CHECKPOINT, start_of(&bytes, damaged) + at, 4);
        let db = open(&sim, &plain()).expect("an open");
        assert!(used(&db));
        for key in (0..MANY).rev().step_by(37) {
            put(&db, &mut model, key, key);
            delete(&db, &mut model, key / 3);
            db.step_log_thread().expect("jobs");
        }
        check(&db, &model);
        let told = stats(&db);
        assert_eq!((told.background_errors, told.corrupt_records, &told.degraded), (1, 0, &None));
        assert!(told.last_background_error.is_some_and(|text| text.contains(CHECKPOINT)));
        db.merge(&MergePolicy::everything()).expect("a merge");
        check(&db, &model);
        db.close().expect("a close");
        let db = open(&sim, &plain()).expect("an open");
        assert!(used(&db));
        check(&db, &model);
    }
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_no_loss() {
    let (sim, model) = closed(&plain());
    for nth in 1..=5 {
        let sim = image(&sim);
        sim.fail(FaultPlan::nth(nth).on(CHECKPOINT).only(&[Call::Open, Call::Len, Call::Read]).sticky());
        let db = open(&sim, &plain()).expect("an open");
        check(&db, &model);
        assert!(sim.faults_fired() > 0);
    }
}

/// A closed store whose checkpoint is damaged in its second part, and whose log is where no hint says what was lost.
fn damaged_twice() -> (Sim, Model) {
    let (sim, model) = closed(&plain());
    let files = sim.files(DIR);
    let full: Vec<_> = files.iter().filter(|(name, len)| name.ends_with(".data") && **len > 30_000).collect();
    let name = full[full.len() / 2].0;
    // A record's header, somewhere.
    (20_000..20_064).for_each(|offset| sim.corrupt(DIR, name, offset, 255));
    sim.remove_file(DIR, &name.replace(".data", ".hint"));
    // The index is whole yet, and the checkpoint comes to say that the segment can have no hint.
    let db = open(&sim, &plain()).expect("an open");
    db.merge(&MergePolicy::everything()).expect("a merge that misses the hint");
    db.step_merge_thread().expect("hints");
    assert!(stats(&db).degraded.is_none());
    db.close().expect("a close");
    sim.corrupt(DIR, CHECKPOINT, start_of(&checkpoint(&sim), 1) + 20, 4);
    (sim, model)
}

/// No key is absent that was there, and none has an older value: it has the right answer or none.
fn check_what_is_answered(db: &Db<Sim>, model: &Model) {
    let (mut right, mut refused) = (0, 0);
    for key in 0..2 * MANY {
        match db.get(&key.to_le_bytes(), <[u8]>::to_vec) {
            Ok(found) => {
                assert_eq!(found, model.get(&key).map(|value| value.to_le_bytes().to_vec()), "key {key}");
                right += 1;
            }
            Err(bitcask::Error::Corrupt { .. }) => refused += 1,
            Err(err) => panic!("{err}"),
        }
    }
    assert!(right > 0 && refused > 0, "{right} right, {refused} refused");
    assert!(stats(db).degraded.is_some());
}

#[test]
fn a_damaged_part_over_a_damaged_log_answers_no_key_wrong() {
    let (sim, model) = damaged_twice();
    let db = open(&sim, &plain()).expect("an open");
    check_what_is_answered(&db, &model);
    db.close().expect("a close");
    assert!(sim.read_file(DIR, CHECKPOINT).is_none(), "a degraded store knows more than its index");
}

/// The close itself is what comes upon the damage.
#[test]
fn a_store_that_turns_out_degraded_at_its_close_leaves_no_checkpoint() {
    let (sim, mut model) = damaged_twice();
    let db = open(&sim, &plain()).expect("an open");
    put(&db, &mut model, 2, 77);
    assert!(stats(&db).degraded.is_none(), "the key is in another part");
    db.close().expect("a close");
    assert!(sim.read_file(DIR, CHECKPOINT).is_none(), "a degraded store knows more than its index");
    check_what_is_answered(&open(&sim, &plain()).expect("an open"), &model);
}

/// A merge brings the index in, and so is what comes upon the damage.
#[test]
fn a_store_that_turns_out_degraded_is_not_merged() {
    let (sim, model) = damaged_twice();
    let db = open(&sim, &plain()).expect("an open");
    assert_eq!(db.merge(&MergePolicy::everything()).expect("nothing to merge"), 0);
    check_what_is_answered(&db, &model);
}

#[test]
fn a_close_writes_no_checkpoint_when_it_is_not_to() {
    let (sim, model) = closed(&plain());
    let db = open(&sim, &without()).expect("an open");
    assert!(!used(&db), "an option against them is one against reading them, too");
    assert!(sim.read_file(DIR, CHECKPOINT).is_none());
    db.close().expect("a close");
    assert!(sim.read_file(DIR, CHECKPOINT).is_none());

    let db = open(&sim, &plain()).expect("an open");
    db.poison("a test");
    assert!(db.close().is_err());
    assert!(sim.read_file(DIR, CHECKPOINT).is_none(), "a poisoned handle writes none");
    check(&open(&sim, &plain()).expect("an open"), &model);
}

#[test]
fn a_store_that_was_only_read_keeps_its_checkpoint() {
    let (sim, model) = closed(&plain());
    // What was put before the first close may have no hint yet.
    let db = open(&sim, &plain()).expect("an open");
    db.step_merge_thread().expect("hints");
    db.close().expect("a close");
    let before = checkpoint(&sim);
    for _ in 0..3 {
        let db = open(&sim, &plain()).expect("an open");
        assert!(used(&db));
        assert_eq!(get(&db, 1), model.get(&1).copied());
        let writes = sim.calls(Call::Write);
        db.close().expect("a close");
        assert!(sim.calls(Call::Write) <= writes + 2, "the manifest and a header");
    }
    let after = checkpoint(&sim);
    assert_eq!(after[CHECKPOINT_HEADER_LEN..], before[CHECKPOINT_HEADER_LEN..]);
    assert_eq!(decode(&after).0, CheckpointHeader { generation: 5, ..decode(&before).0 });
    check(&open(&sim, &plain()).expect("an open"), &model);
}

#[test]
fn a_reader_uses_the_checkpoint_and_changes_nothing() {
    let (sim, model) = closed(&plain());
    let before = sim.contents(DIR);
    let db = open(&sim, &Options { read_only: true, ..plain() }).expect("a reader");
    assert!(used(&db));
    check(&db, &model);
    db.close().expect("a close");
    assert_eq!(sim.contents(DIR), before);
}

/// The log that a reader falls back to is that of its open, whatever a writer has made of it since.
#[test]
fn a_reader_with_a_damaged_part_finds_segments_that_a_writer_merged_away() {
    let (sim, model) = closed(&plain());
    sim.corrupt(DIR, CHECKPOINT, start_of(&checkpoint(&sim), 1) + 20, 4);
    let reader = open(&sim, &Options { read_only: true, ..plain() }).expect("a reader");
    assert_eq!(get(&reader, 2), model.get(&2).copied());
    let (db, mut later) = (open(&sim, &plain()).expect("an open"), model.clone());
    (0..MANY).step_by(3).for_each(|key| put(&db, &mut later, key, 5));
    (1..MANY).step_by(3).for_each(|key| delete(&db, &mut later, key));
    db.step_log_thread().expect("jobs");
    assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0);
    check(&db, &later);
    db.close().expect("a close");
    check(&reader, &model);
    assert_eq!((stats(&reader).background_errors, &stats(&reader).degraded), (1, &None));
}

#[test]
fn hints_that_are_known_are_not_made_again() {
    let (sim, _) = closed(&plain());
    let hints = |sim: &Sim| sim.contents(DIR).into_iter().filter(|(name, _)| name.ends_with(".hint"));
    let before: Vec<_> = hints(&sim).collect();
    assert!(before.len() > 2);
    let db = open(&sim, &plain()).expect("an open");
    let creations = sim.calls(Call::Create);
    db.step_merge_thread().expect("jobs");
    let made = sim.calls(Call::Create) - creations;
    assert_eq!(made, (hints(&sim).count() - before.len()) as u64);
    // One that is gone all the same is made again before a merge.
    sim.remove_file(DIR, &before[0].0);
    db.merge(&MergePolicy::everything()).expect("a merge");
    db.step_merge_thread().expect("jobs");
    assert!(db.merge(&MergePolicy::everything()).is_ok());
}

#[test]
fn whatever_fails_while_a_checkpoint_is_written_the_close_is_clean() {
    let (closed, mut model) = closed(&plain());
    let calls = [Call::Create, Call::Write, Call::Remove, Call::Open];
    for (errno, short) in [(libc::EIO, None), (libc::ENOSPC, None), (libc::ENOSPC, Some(100))] {
        for nth in 1..=6 {
            let sim = image(&closed);
            let db = open(&sim, &plain()).expect("an open");
            put(&db, &mut model, 3, nth);
            let mut plan = FaultPlan::nth(u64::from(nth)).on(CHECKPOINT).only(&calls).errno(errno);
            if let Some(bytes) = short {
                plan = plan.short(bytes).then_error();
            }
            sim.fail(plan);
            db.close().expect("a close");
            sim.clear_faults();
            let db = open(&sim, &plain()).expect("an open");
            assert_eq!(stats(&db).recovered_records, 0);
            check(&db, &model);
        }
    }
}

/// A checkpoint may take the last room there is.
#[test]
fn a_close_that_has_no_room_for_both_leaves_the_manifest() {
    let (sim, mut model) = closed(&plain());
    for calls in [Call::Create, Call::Write, Call::SyncData, Call::Rename] {
        let db = open(&sim, &plain()).expect("an open");
        put(&db, &mut model, 3, 33);
        sim.fail(FaultPlan::nth(1).on(MANIFEST).only(&[calls]).errno(libc::ENOSPC));
        db.close().expect("a close");
        sim.clear_faults();
        assert!(sim.read_file(DIR, CHECKPOINT).is_none(), "{calls:?}");
        let db = open(&sim, &plain()).expect("an open");
        assert_eq!(stats(&db).recovered_records, 0, "{calls:?}");
        check(&db, &model);
        db.close().expect("a close");
    }
}

/// The power goes at every operation of a close, and whatever is not synced survives in parts.
#[test]
fn a_power_cut_in_a_close_loses_nothing_that_was_synced() {
    let (sim, mut model) = closed(&plain());
    let db = open(&sim, &plain()).expect("an open");
    (0..50).for_each(|key| put(&db, &mut model, key * 7, key));
    db.sync().expect("a sync");
    sim.start_log();
    db.close().expect("a close");
    let mut found = [0; 2];
    for op in 0..=sim.op_count() {
        for seed in 0..6 {
            let image = match seed {
                0 => sim.crash(op, Survival::Everything),
                1 => sim.crash(op, Survival::SyncedOnly),
                _ => sim.crash(op, Survival::Random(seed)),
            };
            let db = open(&image, &plain()).expect("an open");
            found[usize::from(used(&db))] += 1;
            check(&db, &model);
        }
    }
    assert!(found.iter().all(|&count| count > 0), "with and without: {found:?}");
}
