//! Where digests go that the directory cannot tell apart.
//!
//! A group at the greatest depth cannot be split. It takes as many digests as it has slots, about three thousand that
//! agree in 26 bits; any more come here. With digests made under a secret that does not happen (the odds are below
//! 2^-60000), so this is for robustness: slow and plain, and it allocates.
//!
//! Invariant: a digest is in its group or here, never in both. Changes are made under the group's writer.

use super::digest::Digest;
use super::location::Location;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use std::collections::BTreeMap;

/// Digests by `hi` and `lo`.
#[derive(Default)]
pub(super) struct Overflow {
    /// Readers load this only; it says whether there is any need to lock.
    count: AtomicUsize,
    entries: Mutex<BTreeMap<(u64, u64), Location>>,
}

impl Overflow {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    #[inline]
    pub(super) fn get(&self, digest: Digest) -> Option<Location> {
        if self.is_empty() {
            return None;
        }
        self.entries.lock().get(&(digest.hi, digest.lo)).copied()
    }

    #[cold]
    pub(super) fn insert(&self, digest: Digest, location: Location) {
        let mut entries = self.entries.lock();
        entries.insert((digest.hi, digest.lo), location);
        self.count.store(entries.len(), Ordering::Release);
    }

    #[cold]
    pub(super) fn remove(&self, digest: Digest) {
        let mut entries = self.entries.lock();
        entries.remove(&(digest.hi, digest.lo));
        self.count.store(entries.len(), Ordering::Release);
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(Digest, Location)) {
        for (&(hi, lo), &location) in self.entries.lock().iter() {
            each(Digest { lo, hi }, location);
        }
    }

    /// Takes out every digest whose location `is_unwanted`, and answers how many.
    pub(super) fn remove_all(&self, is_unwanted: impl Fn(Location) -> bool) -> usize {
        let mut entries = self.entries.lock();
        let before = entries.len();
        entries.retain(|_, location| !is_unwanted(*location));
        self.count.store(entries.len(), Ordering::Release);
        before - entries.len()
    }
}
