//! The index under several threads at once. Each test runs for a bounded time and counts what it checked.

use super::{Random, at, digest};
use crate::keydir::{Digest, Keydir};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Growth goes on beside readers, who look up keys that were inserted before.
fn present_keys_stay_present(digest: impl Fn(u64) -> Digest + Sync) {
    const KEYS: u64 = 400_000;
    let keydir = Keydir::new(0).unwrap();
    let inserted = AtomicU64::new(0);
    let checked = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..KEYS {
                keydir.reserve(1).unwrap();
                keydir.insert(digest(key), at(key));
                inserted.store(key + 1, Ordering::Release);
            }
        });
        for seed in 0..2 {
            let (keydir, inserted, checked, digest) = (&keydir, &inserted, &checked, &digest);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                loop {
                    let end = inserted.load(Ordering::Acquire);
                    for _ in 0..64 {
                        let key = random.below(end.max(1));
                        let found = keydir.get(digest(key));
                        if key < end {
                            assert_eq!(found, Some(at(key)), "key {key} of {end}");
                            checked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if end == KEYS {
                        break;
                    }
                }
            });
        }
    });
    assert!(checked.into_inner() > KEYS / 4);
}

#[test]
fn a_key_inserted_before_is_found_while_groups_grow_and_split() {
    present_keys_stay_present(digest);
}

/// All keys in a few homes, so that every insert and removal moves many slots, and in few groups, so that all meet.
#[test]
fn a_key_is_found_while_its_neighbours_come_and_go() {
    const KEPT: u64 = 1_000;
    const ROUNDS: u64 = 150_000;
    let crowded = |key: u64| Digest { lo: digest(key).lo, hi: ((digest(key).hi % 64) << 58) | key };
    let keydir = Keydir::new(0).unwrap();
    for key in 0..KEPT {
        keydir.insert(crowded(key), at(key));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (keydir, done) = (&keydir, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !done.load(Ordering::Relaxed) {
                    let key = random.below(KEPT);
                    assert_eq!(keydir.get(crowded(key)), Some(at(key)));
                    let other = KEPT + random.below(KEPT);
                    assert!(keydir.get(crowded(other)).is_none_or(|found| found == at(other)));
                }
            });
        }
        let mut random = Random::new(7);
        for _ in 0..ROUNDS {
            let key = KEPT + random.below(KEPT);
            if random.below(2) == 0 {
                keydir.insert(crowded(key), at(key));
            } else {
                keydir.remove(crowded(key));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A location names its key and round, so a mixture of two would be seen.
#[test]
fn a_location_is_never_torn() {
    const KEYS: u64 = 500;
    const ROUNDS: u64 = 1_000;
    let location = |key: u64, round: u64| at(key << 24 | round << 12 | key);
    let keydir = Keydir::new(0).unwrap();
    for key in 0..KEYS {
        keydir.insert(digest(key), location(key, 0));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (keydir, done) = (&keydir, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut newest = vec![0; KEYS as usize];
                while !done.load(Ordering::Relaxed) {
                    let key = random.below(KEYS);
                    let found = keydir.get(digest(key)).unwrap();
                    let round = (found.offset() / 8 - 1) >> 12;
                    assert_eq!(found, location(key, round));
                    assert!(newest[key as usize] <= round, "key {key} went back");
                    newest[key as usize] = round;
                }
            });
        }
        for round in 1..ROUNDS {
            for key in 0..KEYS {
                keydir.insert(digest(key), location(key, round));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Puts and relocations of the same keys: every relocation that answers true counts, and no put is lost.
#[test]
fn change_if_beside_puts_loses_no_put() {
    const KEYS: u64 = 64;
    const ROUNDS: u64 = 3_000;
    let keydir = Keydir::new(0).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(3);
            while !done.load(Ordering::Relaxed) {
                let key = digest(random.below(KEYS));
                if let Some(old) = keydir.get(key) {
                    // Moves a record to where only relocation puts it, and back.
                    let new = if old.may_expire() { at(old.offset() / 8 - 1) } else { old.as_expiring() };
                    keydir.change_if(key, |at| at == old, Some(new));
                }
            }
        });
        for round in 0..ROUNDS {
            for key in 0..KEYS {
                let put = at(round * KEYS + key);
                keydir.insert(digest(key), put);
                let found = keydir.get(digest(key)).unwrap();
                assert_eq!(
                    (found.slot(), found.offset()),
                    (put.slot(), put.offset()),
                    "a relocation undid a put"
                );
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(keydir.len(), KEYS);
}

#[test]
fn writers_on_all_threads_leave_what_each_wrote() {
    const KEYS: u64 = 100_000;
    let keydir = Keydir::new(0).unwrap();
    thread::scope(|scope| {
        for thread in 0..3 {
            let keydir = &keydir;
            scope.spawn(move || {
                for key in (thread * KEYS..).take(KEYS as usize) {
                    keydir.reserve(1).unwrap();
                    keydir.insert(digest(key), at(key));
                    if key % 3 == 0 {
                        assert_eq!(keydir.remove(digest(key)), Some(at(key)));
                    }
                    if key % 1_000 == 0 {
                        keydir.prepare();
                    }
                }
            });
        }
    });
    for key in 0..3 * KEYS {
        assert_eq!(keydir.get(digest(key)), (key % 3 != 0).then_some(at(key)));
    }
    assert_eq!(keydir.len(), 2 * KEYS);
}
