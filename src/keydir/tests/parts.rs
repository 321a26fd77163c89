//! An index made of parts answers as the one that the parts were taken from, whoever asks first.

use super::{Random, at, contents, digest};
use crate::keydir::{Entry, Keydir, Part, Source};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::thread;

const KEYS: u64 = 30_000;

/// Parts in memory.
#[derive(Default)]
struct Shelf {
    parts: Vec<Vec<Entry>>,
    reads: AtomicUsize,
    /// Reads that fail before one succeeds.
    failures: Mutex<usize>,
}

impl Source for Shelf {
    fn read(&self, at: usize, out: &mut Vec<Entry>) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock();
        if *failures > 0 {
            *failures -= 1;
            return Err(Error::NoMemory { bytes: 1 });
        }
        out.extend_from_slice(&self.parts[at]);
        Ok(())
    }
}

fn fill(keydir: &Keydir, keys: Range<u64>) {
    for n in keys {
        keydir.insert(digest(n), at(n));
    }
}

fn filled(keys: u64) -> Keydir {
    let keydir = Keydir::new(0).unwrap();
    fill(&keydir, 0..keys);
    keydir
}

fn parts_of(keydir: &Keydir) -> (Vec<Part>, Shelf) {
    let (mut parts, mut shelf) = (Vec::new(), Shelf::default());
    let all = keydir.for_each_part(|part, entries| {
        parts.push(part);
        shelf.parts.push(entries.to_vec());
        Ok(())
    });
    assert!(all.unwrap());
    (parts, shelf)
}

fn made_of(parts: Vec<Part>, shelf: Shelf) -> (Keydir, Arc<Shelf>) {
    let keydir = Keydir::of_parts(parts).unwrap().expect("an index");
    let shelf = Arc::new(shelf);
    keydir.set_source(shelf.clone());
    (keydir, shelf)
}

fn copy_of(keydir: &Keydir) -> (Keydir, Arc<Shelf>) {
    let (parts, shelf) = parts_of(keydir);
    made_of(parts, shelf)
}

fn bring_in_all(keydir: &Keydir) {
    while keydir.bring_in_next().unwrap() {}
}

#[test]
fn every_size_of_index_comes_back_from_its_parts() {
    for keys in [0, 1, 200, 3_000, KEYS] {
        let keydir = filled(keys);
        let (copy, shelf) = copy_of(&keydir);
        assert_eq!((copy.len(), copy.is_partial()), (keys, true));
        for n in 0..keys + 100 {
            copy.touch(digest(n)).unwrap();
            assert_eq!(copy.get(digest(n)), keydir.get(digest(n)));
        }
        bring_in_all(&copy);
        assert_eq!((copy.len(), copy.is_partial()), (keys, false));
        assert_eq!(shelf.reads.load(Ordering::Relaxed), shelf.parts.len(), "each part is read once");
        assert_eq!(Arc::strong_count(&shelf), 1, "the source is let go");
        assert_eq!(contents(&copy), contents(&keydir));
        assert_eq!(copy.memory_bytes() / 1024, copy_of(&copy).0.memory_bytes() / 1024);
    }
}

#[test]
fn one_question_brings_in_one_part() {
    let (copy, shelf) = copy_of(&filled(KEYS));
    copy.touch(digest(5)).unwrap();
    assert_eq!(copy.get(digest(5)), Some(at(5)));
    assert_eq!(shelf.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn changes_to_parts_that_are_not_in_yet_are_kept() {
    let (keydir, mut random) = (filled(KEYS), Random::new(3));
    let (copy, _) = copy_of(&keydir);
    for n in 0..3 * KEYS {
        let key = digest(random.below(KEYS + KEYS / 2));
        match random.below(4) {
            0 => assert_eq!(copy.remove(key), keydir.remove(key)),
            1 => assert_eq!(copy.insert(key, at(n)), keydir.insert(key, at(n))),
            2 => {
                let is_old = |location| location == at(n / 3);
                assert_eq!(
                    copy.change_if(key, is_old, Some(at(n))),
                    keydir.change_if(key, is_old, Some(at(n)))
                );
            }
            _ => assert_eq!(copy.get(key), keydir.get(key)),
        }
        if random.below(1000) == 0 {
            copy.bring_in_next().unwrap();
        }
    }
    assert_eq!((copy.len(), contents(&copy)), (keydir.len(), contents(&keydir)));
}

#[test]
fn threads_that_ask_for_the_same_parts_all_get_answers() {
    let (copy, shelf) = copy_of(&filled(KEYS));
    thread::scope(|scope| {
        for reader in 0..4u64 {
            let copy = &copy;
            scope.spawn(move || {
                let mut random = Random::new(reader / 2);
                for _ in 0..KEYS {
                    let n = random.below(KEYS);
                    copy.touch(digest(n)).unwrap();
                    assert_eq!(copy.get(digest(n)), Some(at(n)));
                }
            });
        }
        let copy = &copy;
        scope.spawn(move || fill(copy, KEYS..2 * KEYS));
        scope.spawn(move || bring_in_all(copy));
    });
    assert_eq!(shelf.reads.load(Ordering::Relaxed), shelf.parts.len());
    assert_eq!(contents(&copy), contents(&filled(2 * KEYS)));
}

#[test]
fn a_source_that_fails_is_asked_again() {
    let keydir = filled(KEYS);
    let (parts, shelf) = parts_of(&keydir);
    *shelf.failures.lock() = 3;
    let (copy, _) = made_of(parts, shelf);
    assert!(copy.touch(digest(1)).is_err() && copy.touch(digest(1)).is_err());
    assert!(copy.bring_in_next().is_err());
    assert_eq!(copy.len(), KEYS);
    bring_in_all(&copy);
    assert_eq!(contents(&copy), contents(&keydir));
}

/// What the log has may differ from what a damaged checkpoint said of itself.
#[test]
fn a_part_may_hold_other_entries_than_were_stated() {
    let parts = |entries| vec![Part { depth: 0, prefix: 0, entries }];
    for (stated, come) in [(0, 3_000), (3_000, 0), (3, 10_000), (700, 800)] {
        let mut entries: Vec<Entry> = (0..come).map(|n| (digest(n), at(n))).collect();
        if let Some(first) = entries.first_mut() {
            first.1 = first.1.as_tombstone();
        }
        entries.sort_unstable_by_key(|(digest, _)| (digest.hi, digest.lo));
        let expected: BTreeMap<_, _> =
            entries.iter().map(|(digest, at)| ((digest.hi, digest.lo), *at)).collect();
        let (keydir, _) = made_of(parts(stated), Shelf { parts: vec![entries], ..Shelf::default() });
        bring_in_all(&keydir);
        let found: BTreeMap<_, _> =
            contents(&keydir).into_iter().map(|(lo, hi, at)| ((hi, lo), at)).collect();
        assert_eq!(found, expected);
        assert_eq!((keydir.len(), keydir.tombstones()), (come.saturating_sub(1), come.min(1)));
        keydir.insert(digest(come + 1), at(1));
        assert_eq!(keydir.get(digest(come + 1)), Some(at(1)));
    }
}

#[test]
fn the_entries_of_a_part_are_found_in_an_index_of_any_shape() {
    let (parts, shelf) = parts_of(&filled(KEYS));
    for expected_keys in [0, 20 * KEYS] {
        let other = Keydir::new(expected_keys).unwrap();
        fill(&other, 0..KEYS);
        for (part, entries) in parts.iter().zip(&shelf.parts) {
            let mut found = Vec::new();
            other.entries_of(*part, &mut found);
            assert!(found == *entries, "{part:?}");
        }
    }
}

#[test]
fn an_index_that_overflows_cannot_be_had_in_parts() {
    let keydir = Keydir::new(0).unwrap();
    for n in 0..4_000 {
        keydir.insert(crate::keydir::Digest { lo: 0, hi: n }, at(n));
    }
    assert!(!keydir.for_each_part(|_, _| panic!("handed out")).unwrap());
}

#[test]
fn parts_deeper_than_any_group_are_refused() {
    let mut parts: Vec<_> = (1..=31).map(|depth| Part { depth, prefix: 0, entries: 0 }).collect();
    parts.push(Part { depth: 31, prefix: 1 << 30, entries: 0 });
    assert!(Keydir::of_parts(parts).unwrap().is_none());
    assert!(Keydir::of_parts(Vec::new()).unwrap().is_none());
}
