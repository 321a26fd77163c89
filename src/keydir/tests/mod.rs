//! What the index promises, seen from outside.

#![expect(clippy::cast_possible_truncation, reason = "the tests' numbers are small")]

use super::location::{Location, SegmentSlot};
use super::{Digest, Keydir};

mod concurrent;
mod growth;
mod loading;
mod model;
mod parts;

/// A generator whose every output is a digest or a choice; a seed replays exactly.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The digest of the `n`-th key.
pub(super) fn digest(n: u64) -> Digest {
    let mut random = Random::new(n.wrapping_mul(0xA24B_AED4_963E_E407));
    Digest { lo: random.next(), hi: random.next() }
}

/// A location that tells `n` back.
pub(super) fn at(n: u64) -> Location {
    Location::new(SegmentSlot((n >> 24) as u32), (n % (1 << 24) + 1) * 8, 100)
}

/// Every digest with its location, sorted.
pub(super) fn contents(keydir: &Keydir) -> Vec<(u64, u64, Location)> {
    let mut all = Vec::new();
    keydir.for_each(|digest, location| all.push((digest.lo, digest.hi, location)));
    all.sort_unstable();
    all
}

#[test]
fn a_new_index_is_empty_and_small() {
    let keydir = Keydir::new(0).unwrap();
    assert!(keydir.is_empty() && keydir.get(digest(1)).is_none() && contents(&keydir).is_empty());
    assert!(keydir.memory_bytes() < 64 << 10);
}

#[test]
fn more_keys_than_there_are_addresses_for_is_refused() {
    for keys in [u64::MAX, 1 << 50] {
        assert!(matches!(Keydir::new(keys), Err(crate::Error::NoMemory { .. })));
    }
}
