//! Merges beside writers and readers.

use crate::support::Scratch;
use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::{IoMode, MergeMode, MergePolicy, Options};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KEYS: u64 = 400;
/// The writers go on until there were this many merges beside them.
const MERGES: u64 = 40;

fn open(dir: &std::path::Path, io: IoMode) -> Store {
    let options = Options { io, max_segment_bytes: 64 << 10, merge: MergeMode::Manual, ..Options::default() };
    Store::open(Disk, dir, &options).expect("the store opens")
}

/// The value of a key in a round: both, many times over.
fn value(key: u64, round: u64) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..1 + key % 9 {
        value.extend_from_slice(&key.to_le_bytes());
        value.extend_from_slice(&round.to_le_bytes());
    }
    value
}

/// The round in a value, which must be whole and of the key.
fn round_of(key: u64, bytes: &[u8]) -> u64 {
    let round = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
    assert_eq!(bytes, value(key, round), "key {key}");
    round
}

fn race(io: IoMode) {
    let scratch = Scratch::new();
    let db = open(scratch.path(), io);
    let written: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    let merges = AtomicU64::new(0);
    std::thread::scope(|threads| {
        let writers: Vec<_> = (0..2)
            .map(|half| {
                let (db, written, merges) = (&db, &written, &merges);
                threads.spawn(move || {
                    for round in 1.. {
                        if merges.load(Ordering::Relaxed) >= MERGES {
                            return;
                        }
                        for key in (half..KEYS).step_by(2) {
                            db.put(&key.to_be_bytes(), &value(key, round)).expect("a put");
                            written[usize::try_from(key).expect("small")].store(round, Ordering::Release);
                        }
                        db.delete(&(KEYS + half).to_be_bytes()).expect("a delete");
                        db.put(&(KEYS + half).to_be_bytes(), b"comes and goes").expect("a put");
                    }
                })
            })
            .collect();
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                merges.fetch_add(db.merge(&MergePolicy::everything()).expect("a merge"), Ordering::Relaxed);
            }
        });
        for seed in 0..2 {
            let (db, written, done) = (&db, &written, &done);
            threads.spawn(move || {
                let mut key = seed;
                while !done.load(Ordering::Relaxed) {
                    key = (key * 31 + 17) % KEYS;
                    let least = written[usize::try_from(key).expect("small")].load(Ordering::Acquire);
                    let found =
                        db.get(&key.to_be_bytes(), |bytes| round_of(key, bytes)).expect("a sound record");
                    assert!(
                        found.unwrap_or(0) >= least,
                        "key {key}: {found:?} after {least} was acknowledged"
                    );
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().expect("a writer ends"));
        done.store(true, Ordering::Relaxed);
    });
    db.merge(&MergePolicy::everything()).expect("a last merge");
    let check = |db: &Store| {
        assert_eq!(db.count().expect("a count"), KEYS + 2);
        for (key, round) in (0..).zip(&written) {
            let found = db.get(&u64::to_be_bytes(key), |bytes| round_of(key, bytes)).expect("a get");
            assert_eq!(found, Some(round.load(Ordering::Relaxed)));
        }
        let stats = db.stats().expect("stats");
        assert_eq!((stats.corrupt_records, stats.poisoned, stats.background_errors), (0, None, 0));
        stats.live_bytes
    };
    let live = check(&db);
    db.close().expect("a close");
    assert_eq!(check(&open(scratch.path(), io)), live, "live bytes by counting and by loading");
}

#[test]
fn gets_and_puts_beside_merges_are_never_wrong_with_mappings() {
    race(IoMode::Mmap);
}

#[test]
fn gets_and_puts_beside_merges_are_never_wrong_without_mappings() {
    race(IoMode::Pread);
}

#[test]
fn a_close_ends_a_slow_merge_at_once_and_leaves_everything_as_it_was() {
    let scratch = Scratch::new();
    let slow = MergePolicy {
        trigger_percent: 1,
        threshold_percent: 1,
        bytes_per_second: 64 << 10,
        ..MergePolicy::default()
    };
    let options = Options { max_segment_bytes: 1 << 20, merge_policy: slow, ..Options::default() };
    let db = Store::open(Disk, scratch.path(), &options).expect("the store opens");
    // Half of what the first segments hold is overwritten; the syncs give the log thread time to seal them.
    for n in (0..60_000u64).chain((0..60_000).step_by(2)) {
        db.put(&n.to_be_bytes(), &[7; 100]).expect("a put");
        if n % 4000 == 0 {
            db.sync().expect("a sync");
        }
    }
    db.sync().expect("a sync");
    crate::wait_until("a merge is under way", || db.stats().expect("stats").merge_done_bytes > 0);
    let begin = Instant::now();
    db.close().expect("a close");
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    let options = Options { merge: MergeMode::Manual, ..Options::default() };
    let db = Store::open(Disk, scratch.path(), &options).expect("it opens");
    assert_eq!(db.count().expect("a count"), 60_000);
    assert_eq!(db.stats().expect("stats").recovered_records, 0, "a clean close");
}

#[test]
fn a_large_value_is_merged_at_the_pace_too_and_a_close_does_not_wait_for_it() {
    const LARGE: usize = 24 << 20;
    let scratch = Scratch::new();
    let paced = MergePolicy {
        trigger_percent: 1,
        threshold_percent: 1,
        bytes_per_second: 16 << 20,
        ..MergePolicy::default()
    };
    let options = Options { max_segment_bytes: 40 << 20, merge_policy: paced, ..Options::default() };
    let db = Store::open(Disk, scratch.path(), &options).expect("the store opens");
    db.put(b"dead", &vec![1; 8 << 20]).expect("a put");
    db.put(b"large", &vec![2; LARGE]).expect("a put");
    db.delete(b"dead").expect("a delete");
    db.put(b"next", &vec![3; 16 << 20]).expect("a put");
    db.sync().expect("a sync");
    let bytes_of_segments = || {
        let files = std::fs::read_dir(scratch.path()).expect("a directory");
        let segments = files
            .map(|file| file.expect("an entry"))
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "data"));
        segments.map(|file| file.metadata().map_or(0, |meta| meta.len())).sum::<u64>()
    };
    let before = bytes_of_segments();
    crate::wait_until("a value is being copied", || bytes_of_segments() > before + (1 << 20));
    std::thread::sleep(Duration::from_millis(200));
    let copied = bytes_of_segments() - before;
    assert!(copied < LARGE as u64 / 2, "{copied} bytes were copied at once");
    let begin = Instant::now();
    db.close().expect("a close");
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    assert_eq!(bytes_of_segments(), before, "what was not finished is gone");
    let options = Options { merge: MergeMode::Manual, ..Options::default() };
    let db = Store::open(Disk, scratch.path(), &options).expect("it opens");
    assert_eq!(db.get(b"large", <[u8]>::to_vec).expect("a get"), Some(vec![2; LARGE]));
    assert_eq!(db.stats().expect("stats").recovered_records, 0, "a clean close");
}
