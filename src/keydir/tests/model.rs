//! The index against a hash map.

use super::{Random, at, contents, digest};
use crate::keydir::Keydir;
use std::collections::HashMap;

/// Runs random operations on keys below `keys`, and compares every answer.
fn agree(seed: u64, keys: u64, operations: u64, expected_keys: u64) {
    let mut random = Random::new(seed);
    let keydir = Keydir::new(expected_keys).unwrap();
    let mut model = HashMap::new();
    let mut live = 0u64;
    for step in 0..operations {
        let key = random.below(keys);
        // Long phases of growth and of shrinking.
        let inserts = if (step * 4 / operations).is_multiple_of(2) { 6 } else { 2 };
        let location = if random.below(16) == 0 { at(step).as_tombstone() } else { at(step) };
        let old = model.get(&key).copied();
        match random.below(9) {
            choice if choice < inserts => {
                keydir.reserve(1).unwrap();
                assert_eq!(keydir.insert(digest(key), location), model.insert(key, location), "step {step}");
            }
            7 => {
                let expected = if random.below(2) == 0 { old.unwrap_or(at(0)) } else { at(step + 1) };
                let replaced = old == Some(expected);
                let changed = keydir.change_if(digest(key), |at| at == expected, Some(location));
                assert_eq!(changed.is_some(), replaced, "step {step}");
                if replaced {
                    model.insert(key, location);
                }
            }
            8 => assert_eq!(keydir.get(digest(key)), old, "step {step}"),
            _ => assert_eq!(keydir.remove(digest(key)), model.remove(&key), "step {step}"),
        }
        live -= u64::from(old.is_some_and(|old| !old.is_tombstone()));
        live += u64::from(model.get(&key).is_some_and(|new| !new.is_tombstone()));
        assert_eq!(keydir.len(), live, "step {step}");
    }
    let mut expected: Vec<_> =
        model.iter().map(|(&key, &location)| (digest(key).lo, digest(key).hi, location)).collect();
    expected.sort_unstable();
    assert_eq!(contents(&keydir), expected);
    for key in 0..keys {
        assert_eq!(keydir.get(digest(key)), model.get(&key).copied(), "key {key}");
    }
}

#[test]
fn it_answers_as_a_hash_map_does() {
    agree(1, 100, 200_000, 0);
    agree(2, 3_000, 400_000, 0);
    agree(3, 60_000, 1_000_000, 0);
    agree(4, 60_000, 200_000, 50_000);
}
