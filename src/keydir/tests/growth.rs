//! How the index grows, and what it does with digests that no honest hash gives.

use super::{at, contents, digest};
use crate::keydir::{Digest, Keydir};

#[test]
fn every_key_is_found_after_each_stage_of_growth() {
    let keydir = Keydir::new(0).unwrap();
    let mut next_check = 1;
    for key in 0..300_000 {
        keydir.reserve(1).unwrap();
        assert_eq!(keydir.insert(digest(key), at(key)), None);
        if key == next_check {
            for key in 0..=key {
                assert_eq!(keydir.get(digest(key)), Some(at(key)));
            }
            assert_eq!(keydir.len(), key + 1);
            next_check += next_check / 3 + 1;
        }
    }
}

#[test]
fn load_stays_above_three_quarters_from_twenty_thousand_keys_on() {
    const SLOT_BYTES: u64 = 24;
    let keydir = Keydir::new(0).unwrap();
    let mut least = f64::MAX;
    for key in 0..1_500_000 {
        keydir.insert(digest(key), at(key));
        if key >= 20_000 && key % 500 == 0 {
            least = least.min(((key + 1) * SLOT_BYTES) as f64 / keydir.memory_bytes() as f64);
        }
    }
    assert!(least >= 0.75, "bytes of keys over bytes of memory fell to {least}");
}

/// Makes memory ready whenever the index asks for it, as the engine's log thread does.
fn fill_with_memory_made_ready(keydir: &Keydir, keys: u64) {
    for key in 0..keys {
        keydir.insert(digest(key), at(key));
        while keydir.wants_prepare() && keydir.prepare() {}
    }
}

#[test]
fn ten_thousand_keys_take_less_than_half_a_mebibyte_with_memory_made_ready() {
    for expected_keys in [0, 10_000] {
        let keydir = Keydir::new(expected_keys).unwrap();
        fill_with_memory_made_ready(&keydir, 10_000);
        assert!(keydir.memory_bytes() < 512 << 10, "{} bytes", keydir.memory_bytes());
    }
}

#[test]
fn room_asked_for_is_there_without_growth() {
    let keydir = Keydir::new(200_000).unwrap();
    let before = keydir.memory_bytes();
    for key in 0..200_000 {
        keydir.insert(digest(key), at(key));
    }
    assert!(keydir.memory_bytes() - before < before / 50);
    assert!(before < 200_000 * 30);
}

#[test]
fn a_large_reservation_covers_its_inserts() {
    let keydir = Keydir::new(0).unwrap();
    keydir.reserve(100_000).unwrap();
    let ready = keydir.arena().available();
    for key in 0..100_000 {
        keydir.insert(digest(key), at(key));
    }
    // Nothing more was mapped: what is in use and what is left is what was there.
    let used = (keydir.arena().bytes() as usize).div_ceil(crate::keydir::arena::PAGE_BYTES);
    assert!(keydir.arena().available() <= ready && keydir.arena().available() + used >= ready);
}

fn survives(keys: u64, digest: impl Fn(u64) -> Digest) {
    let keydir = Keydir::new(0).unwrap();
    for key in 0..keys {
        keydir.reserve(1).unwrap();
        assert_eq!(keydir.insert(digest(key), at(key)), None);
    }
    assert_eq!((keydir.len(), contents(&keydir).len() as u64), (keys, keys));
    for key in 0..keys {
        assert_eq!(keydir.get(digest(key)), Some(at(key)), "key {key}");
        assert_eq!(keydir.change_if(digest(key), |old| old == at(key), Some(at(key + keys))), Some(at(key)));
    }
    assert_eq!(keydir.get(digest(keys)), None);
    for key in 0..keys {
        assert_eq!(keydir.remove(digest(key)), Some(at(key + keys)), "key {key}");
    }
    assert!(keydir.is_empty() && contents(&keydir).is_empty());
}

#[test]
fn digests_of_one_home_are_kept() {
    for hi in [0, u64::MAX, 1 << 63] {
        survives(8_000, |key| Digest { lo: digest(key).lo, hi });
    }
}

#[test]
fn digests_of_one_group_are_kept() {
    survives(8_000, |key| Digest { lo: 0x1234_5678, hi: digest(key).hi });
    survives(8_000, |key| Digest { lo: key << 40, hi: 5 });
}

#[test]
fn digests_that_ascend_or_descend_are_kept() {
    survives(20_000, |key| Digest { lo: key, hi: key });
    survives(20_000, |key| Digest { lo: key, hi: u64::MAX - key });
}
