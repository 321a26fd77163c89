//! Faults that other stores of this kind have had, each shown to be absent here.

#![expect(clippy::cast_possible_truncation, reason = "counters of a few dozen")]

use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::format::names;
use bitcask::format::record::{MAX_KEY_LEN, RECORD_HEADER_LEN};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::sim::{Call, FaultPlan, Sim, Survival};
use bitcask::options::{MergePolicy, Options, SyncMode};
use std::collections::BTreeSet;

const SECOND_NS: u64 = 1_000_000_000;

fn machine() -> Sim {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    sim
}

fn store(sim: &Sim) -> Db<Sim> {
    open(sim, &Options::default()).expect("the store opens")
}

fn get(db: &Db<Sim>, key: &[u8]) -> Option<Vec<u8>> {
    db.get(key, <[u8]>::to_vec).expect("the key reads")
}

/// The store as it is found after `kill -9`.
fn killed(sim: &Sim) -> Sim {
    sim.crash(sim.op_count(), Survival::Everything)
}

fn numbers(sim: &Sim) -> BTreeSet<u64> {
    sim.files(DIR).keys().filter_map(|name| names::parse_segment(name)).collect()
}

#[test]
fn a_value_that_begins_with_a_tombstone_marker_survives() {
    let sim = machine();
    let db = store(&sim);
    let values = [&b"bitcask_tombstone"[..], b"bitcask_tombstone2\0\0\0\x01", b"\0", b"", &[0xFF; 40]];
    for (at, value) in values.iter().enumerate() {
        db.put(&[at as u8], value).expect("a put");
    }
    let killed = killed(&sim);
    db.close().expect("a close");
    for sim in [sim, killed] {
        for _ in 0..3 {
            let db = open(&sim, &options(SyncMode::None)).expect("the store opens");
            for (at, value) in values.iter().enumerate() {
                assert_eq!(get(&db, &[at as u8]).as_deref(), Some(*value));
            }
            // The next round finds them merged.
            (0..12).for_each(|n| drop(db.put(b"dead", &[n; 300]).and_then(|_| db.step_log_thread())));
            assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0);
            db.close().expect("a close");
        }
    }
}

#[test]
fn one_corrupt_size_neither_ends_the_load_nor_stays_untold() {
    let sim = machine();
    let db = store(&sim);
    for n in 0..100u8 {
        db.put(&[n], &[n; 50]).expect("a put");
    }
    db.close().expect("a close");
    let record = (RECORD_HEADER_LEN as u64 + 1 + 50).next_multiple_of(8);
    for value_len_byte in 12..16 {
        let image = killed(&sim);
        let harmed = SEGMENT_HEADER_LEN as u64 + 10 * record;
        image.corrupt(DIR, "000000000001.data", harmed + value_len_byte, 0x40);
        // An open that reads the log.
        let db = open(&image, &Options { checkpoint: false, ..Options::default() }).expect("an open");
        let stats = db.stats().expect("stats");
        assert!(stats.corrupt_records > 0 && stats.degraded.is_some());
        for n in 0..100u8 {
            match db.get(&[n], <[u8]>::to_vec) {
                Ok(found) => {
                    assert!(n > 10, "key {n} is older than the damage");
                    assert_eq!(found, Some(vec![n; 50]), "key {n}");
                }
                Err(Error::Corrupt { .. }) => assert!(n <= 10, "key {n} is newer than the damage"),
                Err(err) => panic!("key {n}: {err}"),
            }
        }
    }
}

#[test]
fn the_longest_key_is_stored_and_a_longer_one_is_too_large() {
    let sim = machine();
    let db = store(&sim);
    let (longest, longer) = (vec![b'k'; MAX_KEY_LEN], vec![b'k'; MAX_KEY_LEN + 1]);
    assert_eq!(MAX_KEY_LEN, 65_536);
    db.put(&longest, b"v").expect("a key of 64 KiB");
    fn is_too_large<T>(answer: Result<T, Error>) -> bool {
        matches!(answer, Err(Error::TooLarge { what: "key", size: 65_537, limit: 65_536 }))
    }
    assert!(is_too_large(db.put(&longer, b"v")));
    assert!(is_too_large(db.get(&longer, <[u8]>::to_vec)));
    assert!(is_too_large(db.exists(&longer)));
    assert!(is_too_large(db.delete(&longer)));
    assert!(is_too_large(db.get_pinned(&longer)));
    db.get_many(&[&longer, &longest], |at, answer| match at {
        0 => assert!(is_too_large(answer)),
        _ => assert_eq!(answer.expect("the other key of the call reads"), Some(&b"v"[..])),
    })
    .expect("get_many answers a key at a time");
    db.close().expect("a close");
    assert_eq!(get(&store(&sim), &longest).as_deref(), Some(&b"v"[..]));
}

#[test]
fn lock_files_of_another_store_block_nothing_and_stay() {
    let sim = machine();
    let left = ["bitcask.write.lock", "bitcask.merge.lock", "LOCK", ".lock"];
    left.iter().for_each(|name| sim.write_file(DIR, name, b""));
    for round in 0..2u8 {
        let db = open(&sim, &options(SyncMode::None)).expect("the store opens");
        for n in 0..12 {
            db.put(b"k", &[round + n; 300]).expect("a put");
            db.step_log_thread().expect("jobs");
        }
        assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0);
        assert_eq!(get(&db, b"k"), Some(vec![round + 11; 300]));
        db.close().expect("a close");
    }
    left.iter().for_each(|name| assert_eq!(sim.read_file(DIR, name).as_deref(), Some(&b""[..]), "{name}"));
}

#[test]
fn a_reader_that_never_ends_freezes_neither_index_nor_merges() {
    let sim = machine();
    let db = open(&sim, &options(SyncMode::None)).expect("the store opens");
    db.put(b"pinned", &[1; 300]).expect("a put");
    let pin = db.get_pinned(b"pinned").expect("a pin").expect("a value");
    for n in 0..40u8 {
        db.put(&[n % 8], &[n; 300]).expect("a put");
        db.put(b"pinned", &[n; 300]).expect("a put");
        db.step_log_thread().expect("jobs");
        if n % 10 == 9 {
            assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0, "put {n}");
        }
    }
    assert_eq!((pin.value(), get(&db, b"pinned")), (&[1; 300][..], Some(vec![39; 300])));
    // As a thread that was killed in the middle of its work leaves it.
    std::mem::forget(pin);
    assert_eq!(db.count().expect("a count"), 9);
    assert!(sim.files(DIR).len() < 15, "what was merged stays: {:?}", sim.files(DIR));
    db.close().expect("a close");
    assert_eq!(get(&store(&sim), b"pinned"), Some(vec![39; 300]));
}

#[test]
fn puts_after_a_full_disk_read_back() {
    let sim = machine();
    let db = store(&sim);
    db.put(b"before", b"1").expect("a put");
    // Room for a part of the record: the write is short, then refused.
    sim.set_free_bytes(Some(100));
    assert!(matches!(db.put(b"refused", &[7; 5000]), Err(Error::NoSpace { .. })));
    assert_eq!(get(&db, b"before").as_deref(), Some(&b"1"[..]));
    sim.set_free_bytes(None);
    for n in 0..20u8 {
        db.put(&[n], &[n; 300]).expect("a put after space came back");
    }
    let image = killed(&sim);
    db.close().expect("a close");
    for sim in [sim, image] {
        let db = store(&sim);
        assert_eq!(get(&db, b"refused"), None);
        for n in 0..20u8 {
            assert_eq!(get(&db, &[n]), Some(vec![n; 300]));
        }
    }
}

#[test]
fn what_is_written_after_a_torn_tail_is_there_after_the_next_open() {
    let sim = machine();
    let db = store(&sim);
    db.put(b"a", b"1").expect("a put");
    db.put(b"deleted", b"1").expect("a put");
    assert!(db.delete(b"deleted").expect("a delete"));
    db.put(b"torn", &[9; 1000]).expect("a put");
    let whole = sim.read_file(DIR, "000000000001.data").expect("the segment").len() as u64;
    for cut in [1, 8, 500, 1000] {
        let image = killed(&sim);
        image.cut_file(DIR, "000000000001.data", whole - cut);
        for round in 0..3u8 {
            let db = store(&image);
            assert_eq!((get(&db, b"torn"), get(&db, b"deleted")), (None, None), "cut {cut} round {round}");
            for n in 0..round {
                assert_eq!(get(&db, &[n]), Some(vec![n; 50]), "cut {cut} round {round}");
            }
            db.put(&[round], &[round; 50]).expect("a put after recovery");
            db.close().expect("a close");
        }
    }
}

#[test]
fn versions_increase_and_the_newest_value_wins_with_the_clock_set_back() {
    let sim = machine();
    let start = 1_800_000_000 * SECOND_NS;
    let mut last = 0;
    for round in 0..6u64 {
        sim.set_clock_ns(start - round * 1000 * SECOND_NS);
        let db = open(&sim, &options(SyncMode::None)).expect("the store opens");
        for n in 0..10u8 {
            let version = db.put(b"k", &[round as u8, n]).expect("a put");
            assert!(version > last, "round {round}: {version} after {last}");
            last = version;
            sim.set_clock_ns(start - (round * 1000 + u64::from(n)) * SECOND_NS);
        }
        db.step_log_thread().expect("jobs");
        // Every other round ends in a kill: the handle is dropped without its close.
        if round % 2 == 0 {
            db.poison("killed");
        }
        drop(db);
        let db = open(&sim, &options(SyncMode::None)).expect("the store opens");
        assert_eq!(get(&db, b"k"), Some(vec![round as u8, 9]));
        assert_eq!(db.count().ok(), Some(1));
    }
}

#[test]
fn file_numbers_are_never_used_again_after_a_crash_in_a_rotation() {
    let sim = machine();
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("a new store opens");
    sim.start_log();
    for n in 0..60u8 {
        db.put(&[n % 7], &[n; 90]).expect("a put");
        if n % 5 == 0 {
            db.step_log_thread().expect("jobs");
        }
    }
    let mut crasher = sim.crasher();
    let mut seen_before: BTreeSet<u64> = BTreeSet::new();
    while crasher.advance() {
        let image = crasher.image(Survival::Everything);
        let old = numbers(&image);
        seen_before.extend(&old);
        let files = image.contents(DIR);
        let db = open(&image, &options).expect("a killed store opens");
        drop(db);
        let highest = seen_before.last().copied().unwrap_or(0);
        for (name, _) in image.contents(DIR) {
            let Some(number) = names::parse_segment(&name) else { continue };
            assert!(files.contains_key(&name) || number > highest, "{name} was used before, up to {highest}");
        }
    }
    assert!(seen_before.len() > 4, "too few rotations: {seen_before:?}");
}

#[test]
fn a_number_used_up_by_a_failed_rotation_is_not_used_again() {
    let sim = machine();
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("a new store opens");
    let fill = |n: u8| (0..12).try_for_each(|_| db.put(&[n], &[n; 90]).map(|_| ()));
    fill(1).expect("puts on a healthy disk");
    let used_up = numbers(&sim).last().map(|last| last + 1);
    sim.fail(FaultPlan::nth(1).only(&[Call::Rename, Call::SyncData]).on("manifest"));
    assert!(db.step_log_thread().is_err(), "the manifest could not be written");
    sim.clear_faults();
    db.step_log_thread().expect("the next round works");
    // Also when its file is gone again: a power cut may bring the name back.
    assert!(numbers(&sim).last().copied() > used_up, "{:?}", numbers(&sim));
}

#[test]
fn a_data_file_inside_a_value_is_never_taken_for_records() {
    const COPY: &[u8; 8] = b"the copy";
    let sim = machine();
    let db = store(&sim);
    for n in 0..30u8 {
        db.put(&[n], b"old").expect("a put");
    }
    let file = sim.read_file(DIR, "000000000001.data").expect("the segment");
    for n in 0..30u8 {
        assert!(db.delete(&[n]).expect("a delete"));
    }
    db.sync().expect("a sync");
    let at = sim.files(DIR)["000000000001.data"];
    // With a key of this length the copied records are aligned as records are.
    db.put(COPY, &file).expect("a data file as a value");
    db.put(b"after", b"1").expect("a put");
    db.close().expect("a close");
    let end = sim.read_file(DIR, "000000000001.data").expect("the segment").len() as u64;
    assert!(end > at + file.len() as u64, "the value lies in the same segment");
    // Wherever the record of the copy and what precedes it is damaged, the scan comes upon the copied records.
    for offset in (at..at + 120).step_by(4) {
        let image = killed(&sim);
        image.corrupt(DIR, "000000000001.data", offset, 0xFF);
        let db = store(&image);
        assert_eq!(get(&db, b"after").as_deref(), Some(&b"1"[..]));
        for n in 0..30u8 {
            let found = db.get(&[n], <[u8]>::to_vec);
            assert!(
                matches!(found, Ok(None) | Err(Error::Corrupt { .. })),
                "byte {offset}, key {n}: {found:?}"
            );
        }
        assert!(!matches!(db.get(COPY, <[u8]>::len), Ok(None)), "byte {offset}: the copy went silently");
    }
}

#[test]
fn a_segment_swapped_for_another_of_the_same_store_gives_no_records() {
    let sim = machine();
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("a new store opens");
    for n in 0..40u8 {
        db.put(&[n % 4], &[n; 90]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    db.close().expect("a close");
    let names: Vec<String> = sim.files(DIR).into_keys().filter(|name| name.ends_with(".data")).collect();
    let newest = &names[names.len() - 2];
    let oldest = sim.read_file(DIR, &names[0]).expect("the oldest segment");
    sim.write_file(DIR, newest, &oldest);
    let db = open(&sim, &options).expect("damage in a segment lets the store open");
    for n in 0..4u8 {
        let found = db.get(&[n], <[u8]>::to_vec);
        assert!(matches!(found, Err(Error::Corrupt { .. })), "key {n} answers {found:?}");
    }
    assert!(db.stats().expect("stats").degraded.is_some());
}

/// A store of three sealed segments with hints, equal in all lengths and counts.
/// An open of it reads the hints: there is no checkpoint.
fn with_hints() -> (Sim, Options) {
    let (sim, options) = (machine(), Options { checkpoint: false, ..options(SyncMode::None) });
    let db = open(&sim, &options).expect("a new store opens");
    for number in 0..13u8 {
        db.put(&[number], &[number; 300]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    db.step_merge_thread().expect("jobs");
    db.close().expect("a close");
    (sim, options)
}

fn hint(number: u64) -> String {
    names::hint(number)
}

fn reads_all(sim: &Sim, options: &Options) {
    let db = open(sim, options).expect("the store opens");
    for number in 0..13u8 {
        assert_eq!(get(&db, &[number]), Some(vec![number; 300]), "key {number}");
    }
    assert_eq!(db.count().expect("a count"), 13);
    let stats = db.stats().expect("stats");
    assert_eq!((stats.corrupt_records, stats.degraded), (0, None));
}

#[test]
fn a_hint_of_another_segment_is_not_believed() {
    let (sim, options) = with_hints();
    let (first, second) = (sim.read_file(DIR, &hint(2)), sim.read_file(DIR, &hint(3)));
    let (first, second) = (first.expect("a hint"), second.expect("a hint"));
    assert_eq!((first.len(), &first[40..56]), (second.len(), &second[40..56]), "alike but for the uid");
    sim.write_file(DIR, &hint(2), &second);
    sim.write_file(DIR, &hint(3), &first);
    reads_all(&sim, &options);
}

#[test]
fn a_hint_of_an_earlier_length_of_its_segment_is_not_believed() {
    let (sim, options) = with_hints();
    let mut bytes = sim.read_file(DIR, &hint(1)).expect("a hint");
    let shorter = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) - 8;
    bytes[40..48].copy_from_slice(&shorter.to_le_bytes());
    let crc = bitcask::format::checksum::crc32c(&bytes[..100]);
    bytes[100..104].copy_from_slice(&crc.to_le_bytes());
    sim.write_file(DIR, &hint(1), &bytes);
    reads_all(&sim, &options);
}

#[test]
fn hints_that_are_missing_or_damaged_are_written_again() {
    let (sim, options) = with_hints();
    let whole = sim.contents(DIR);
    sim.remove_file(DIR, &hint(1));
    sim.corrupt(DIR, &hint(2), 110, 1);
    sim.cut_file(DIR, &hint(3), 50);
    reads_all(&sim, &options);
    let db = open(&sim, &options).expect("the store opens");
    db.step_merge_thread().expect("jobs");
    let again = sim.contents(DIR);
    (1..=3).for_each(|number| assert_eq!(again.get(&hint(number)), whole.get(&hint(number)), "{number}"));
}

#[test]
fn a_store_that_can_write_no_hint_works_and_tells() {
    let (sim, options) = (machine(), options(SyncMode::None));
    let db = open(&sim, &options).expect("a new store opens");
    for number in 0..9u8 {
        db.put(&[number], &[number; 300]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    sim.fail(FaultPlan::nth(1).only(&[Call::Create]).errno(libc::ENOSPC).sticky());
    assert!(db.step_merge_thread().is_err());
    let stats = db.stats().expect("stats");
    assert!(
        stats.background_errors == 1 && stats.last_background_error.is_some_and(|err| err.contains(".hint"))
    );
    assert_eq!(stats.poisoned, None);
    db.put(b"more", b"1").expect("a put");
    sim.clear_faults();
    db.step_merge_thread().expect("the next round works");
    assert!(sim.files(DIR).contains_key(&hint(1)));
}

#[test]
fn a_clean_close_after_a_write_that_failed_in_a_new_segment_still_guards_the_end_of_the_log() {
    let sim = machine();
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("a new store opens");
    for n in 0..5u8 {
        db.put(&[n], &[n; 150]).expect("a put");
    }
    db.sync().expect("a sync");
    sim.fail(FaultPlan::nth(1).only(&[Call::Write]));
    assert!(db.put(b"moves on", &[7; 900]).is_err(), "the first write of the next segment fails");
    sim.clear_faults();
    db.close().expect("a close");
    let len = sim.files(DIR)["000000000001.data"];
    sim.cut_file(DIR, "000000000001.data", len - 20);
    let db = open(&sim, &options).expect("a damaged segment lets the store open");
    let found = db.get(&[4], <[u8]>::to_vec);
    assert!(matches!(found, Err(Error::Corrupt { .. })), "a key was lost without a word: {found:?}");
}

/// In the original, a process that opened a store for reading skipped the file that the writer had open.
#[test]
fn a_read_only_opener_does_not_miss_the_active_file() {
    let sim = machine();
    let options = options(SyncMode::None);
    let db = open(&sim, &options).expect("the store opens");
    for n in 0..100u8 {
        db.put(&[n], &[n; 50]).expect("a put");
        if n % 20 == 0 {
            db.step_log_thread().expect("no fault was laid");
        }
        let reader = open(&sim, &Options { read_only: true, ..options.clone() }).expect("a reader opens");
        assert_eq!(get(&reader, &[n]), Some(vec![n; 50]), "the newest key, in the active segment");
        assert_eq!(reader.count().expect("open"), u64::from(n) + 1);
    }
}
