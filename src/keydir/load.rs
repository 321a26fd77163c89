//! Loading: several threads bring in segments in any order, and the newest record of each key must win.
//!
//! Recency is position: the order of the segments, which the caller knows, then the offset. Each location is kept or not
//! by comparing positions under its group's writer, so the outcome does not depend on the order in which segments come. A
//! deletion keeps its slot, as a tombstone, until all segments are in: without it an older record that comes later would
//! bring the key back. Then [`Keydir::sweep`] takes the tombstones out.

use super::digest::Digest;
use super::group::{Cover, pages_for};
use super::grow::relayout;
use super::location::{Location, SegmentSlot};
use super::table::{Change, Keydir, Tally};
use crate::Result;
use std::cell::Cell;
use std::cmp::Ordering;

/// Digests prefetched together: enough to keep the processor's line buffers busy, few enough to stay cached.
const WINDOW: usize = 16;

/// What loading a location did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// The key was not known.
    Added,
    /// Two records of the key are known; this is the older one's location, which the index does not hold (any more).
    Superseded(Location),
    /// This very record was loaded before.
    Known,
}

impl Keydir {
    /// Brings in a location unless the index holds a later position for the key. A deletion comes as a tombstone.
    /// Older segments have lower ranks.
    ///
    /// # Errors
    /// `NoMemory`; the location was not brought in.
    pub fn insert_newest<R: Ord>(
        &self,
        digest: Digest,
        location: Location,
        rank: impl Fn(SegmentSlot) -> R,
    ) -> Result<LoadOutcome> {
        let mut tally = Tally::default();
        let outcome = self.load_one(digest, location, &rank, &mut tally);
        self.settle(tally);
        outcome
    }

    /// Brings in many locations, and tells `on_superseded` each one that is not the newest of its key, or that is and
    /// was brought in before: of all that came, what was not told is what the index holds. Waits for memory once for
    /// many digests rather than once for each.
    ///
    /// # Errors
    /// `NoMemory`; some locations were brought in.
    pub fn load_batch<R: Ord>(
        &self,
        batch: &[(Digest, Location)],
        rank: impl Fn(SegmentSlot) -> R,
        mut on_superseded: impl FnMut(Location),
    ) -> Result<()> {
        let mut tally = Tally::default();
        let mut result = Ok(());
        'batch: for window in batch.chunks(WINDOW) {
            for &(digest, _) in window {
                self.prefetch_group(digest);
            }
            for &(digest, _) in window {
                self.prefetch_for_insert(digest);
            }
            for &(digest, location) in window {
                match self.load_one(digest, location, &rank, &mut tally) {
                    Ok(LoadOutcome::Superseded(older)) => on_superseded(older),
                    Ok(LoadOutcome::Known) => on_superseded(location),
                    Ok(LoadOutcome::Added) => (),
                    Err(error) => {
                        result = Err(error);
                        break 'batch;
                    }
                }
            }
        }
        self.settle(tally);
        result
    }

    fn load_one<R: Ord>(
        &self,
        digest: Digest,
        location: Location,
        rank: &impl Fn(SegmentSlot) -> R,
        tally: &mut Tally,
    ) -> Result<LoadOutcome> {
        let age = |found: Location| {
            if found.slot() == location.slot() {
                found.offset().cmp(&location.offset())
            } else {
                rank(found.slot()).cmp(&rank(location.slot()))
            }
        };
        let found = self.change(digest, true, tally, |found| match found {
            Some(found) if age(found).is_ge() => Change::Keep,
            _ => Change::Put(location),
        })?;
        Ok(match found.map(|found| (age(found), found)) {
            None => LoadOutcome::Added,
            Some((Ordering::Equal, _)) => LoadOutcome::Known,
            Some((Ordering::Less, found)) => LoadOutcome::Superseded(found),
            Some((Ordering::Greater, _)) => LoadOutcome::Superseded(location),
        })
    }

    /// Takes out all keys whose location `is_unwanted`, such as the tombstones once all segments are in. Reads and writes
    /// may go on meanwhile.
    pub fn sweep(&self, is_unwanted: impl Fn(Location) -> bool) {
        let tally = Cell::new(Tally::default());
        let is_unwanted = |at| {
            let unwanted = is_unwanted(at);
            if unwanted {
                let mut counted = tally.get();
                counted.count(Some(at), -1);
                tally.set(counted);
            }
            unwanted
        };
        self.for_each_group(Cover::ALL, |writer| {
            if writer.remove_all(is_unwanted) > 0 && pages_for(writer.count()) < writer.pages() {
                // Pages are for other groups to use; without memory to move to, the group stays as it is.
                let _ = relayout(self.arena(), writer, pages_for(writer.count()));
            }
        });
        self.overflow().remove_all(is_unwanted);
        self.settle(tally.get());
    }
}
