//! Loading in any order, on any number of threads, gives what the last record of each key says.

use super::{Random, at, contents, digest};
use crate::keydir::location::Location;
use crate::keydir::{Digest, Keydir, LoadOutcome};
use std::thread;

const KEYS: u64 = 30_000;

/// Records of random keys in position order, one in eight a deletion.
fn records(count: u64) -> Vec<(Digest, Location)> {
    let mut random = Random::new(11);
    (0..count)
        .map(|n| {
            let key = digest(random.below(KEYS));
            (key, if random.below(8) == 0 { at(n).as_tombstone() } else { at(n) })
        })
        .collect()
}

#[test]
fn two_threads_load_what_one_does() {
    let records = records(200_000);
    let (in_order, parallel) = (Keydir::new(0).unwrap(), Keydir::new(KEYS).unwrap());
    for &(digest, location) in &records {
        in_order.insert(digest, location);
    }
    // Each thread takes every other piece, the second one backwards.
    let lost: u64 = thread::scope(|scope| {
        let pieces: Vec<_> = records.chunks(700).collect();
        let (even, odd): (Vec<_>, Vec<_>) = (0..).zip(pieces).partition(|(n, _)| n % 2 == 0);
        let load = |pieces: Vec<(u64, &[_])>| {
            let mut lost = 0;
            for (_, piece) in pieces {
                parallel.load_batch(piece, |slot| slot, |_| lost += 1).unwrap();
            }
            lost
        };
        let first = scope.spawn(move || load(even));
        let second = scope.spawn(move || load(odd.into_iter().rev().collect()));
        first.join().unwrap() + second.join().unwrap()
    });
    assert_eq!(contents(&parallel), contents(&in_order));
    assert_eq!((parallel.len(), parallel.tombstones()), (in_order.len(), in_order.tombstones()));
    assert_eq!(lost + parallel.len() + parallel.tombstones(), records.len() as u64);
}

#[test]
fn the_record_that_lost_is_named() {
    let keydir = Keydir::new(0).unwrap();
    let key = digest(0);
    assert_eq!(keydir.insert_newest(key, at(5), |slot| slot).unwrap(), LoadOutcome::Added);
    assert_eq!(keydir.insert_newest(key, at(3), |slot| slot).unwrap(), LoadOutcome::Superseded(at(3)));
    assert_eq!(keydir.insert_newest(key, at(9), |slot| slot).unwrap(), LoadOutcome::Superseded(at(5)));
    assert_eq!(keydir.insert_newest(key, at(9).as_expiring(), |slot| slot).unwrap(), LoadOutcome::Known);
    assert_eq!(keydir.get(key), Some(at(9)));
}

#[test]
fn an_older_record_does_not_bring_back_a_deleted_key() {
    let keydir = Keydir::new(0).unwrap();
    keydir.insert_newest(digest(0), at(5).as_tombstone(), |slot| slot).unwrap();
    keydir.insert_newest(digest(0), at(4), |slot| slot).unwrap();
    assert_eq!(keydir.len(), 0);
    keydir.sweep(Location::is_tombstone);
    assert_eq!(keydir.get(digest(0)), None);
}

#[test]
fn a_sweep_leaves_the_keys_and_nothing_else() {
    for share in [2, 5, 100] {
        let is_deleted = |key: u64| key % 100 < share || key / 100 % 100 < share;
        let keydir = Keydir::new(0).unwrap();
        for key in 0..KEYS {
            let location = if is_deleted(key) { at(key).as_tombstone() } else { at(key) };
            keydir.insert(digest(key), location);
        }
        keydir.sweep(Location::is_tombstone);
        for key in 0..KEYS {
            assert_eq!(keydir.get(digest(key)), (!is_deleted(key)).then_some(at(key)));
        }
        assert_eq!(contents(&keydir).len() as u64, keydir.len());
        assert_eq!(keydir.tombstones(), 0);
    }
}

#[test]
fn memory_that_a_sweep_frees_is_used_again() {
    let keydir = Keydir::new(0).unwrap();
    for key in 0..KEYS {
        keydir.insert(digest(key), at(key).as_tombstone());
    }
    let before = keydir.memory_bytes();
    keydir.sweep(Location::is_tombstone);
    for key in KEYS..KEYS + KEYS / 2 {
        keydir.insert(digest(key), at(key));
    }
    assert!(keydir.memory_bytes() < before + before / 10);
}
