//! Groups that are there before their contents are.
//!
//! An index that a checkpoint describes has all its groups from the start, with room for what each will hold, and every
//! one of them waits for its part. Whoever comes to a group first brings its part in; nobody sees a part of a part.

use super::arena::{Arena, PageId, SLOTS_PER_PAGE};
use super::digest::Digest;
use super::group::{Cover, Group, MAX_PAGES_PER_GROUP, pages_for};
use super::grow::Fill;
use super::location::Location;
use super::overflow::Overflow;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use crate::{Error, Result};

/// How many parts can be brought in at the same time.
const STRIPES: usize = 16;

/// A key's digest and its newest record's location.
pub type Entry = (Digest, Location);

/// The entries whose digests share the `depth` lowest bits of their first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many bits the digests share.
    pub depth: u32,
    /// These bits.
    pub prefix: u32,
    /// How many entries there are.
    pub entries: u32,
}

impl Part {
    /// Whether the digest's entry, if there is one, is in this part.
    pub fn admits(self, digest: Digest) -> bool {
        self.cover().admits(digest.lo)
    }

    pub(super) fn cover(self) -> Cover {
        Cover { depth: self.depth, prefix: self.prefix }
    }

    pub(super) fn pages(self) -> usize {
        pages_for(self.entries as usize)
    }
}

/// Where the contents of an index come from.
pub trait Source: Send + Sync {
    /// Appends the entries of part number `at` to `out`, ascending by `hi`, then `lo`.
    ///
    /// # Errors
    /// `Io`, `NoMemory`: the caller may try again.
    fn read(&self, at: usize, out: &mut Vec<Entry>) -> Result<()>;
}

/// The parts that were not brought in yet.
#[derive(Default)]
pub(super) struct Pending {
    left: AtomicUsize,
    parts: Vec<Part>,
    source: Mutex<Option<Arc<dyn Source>>>,
    /// Held while a part is brought in.
    stripes: [Mutex<()>; STRIPES],
    /// The first part that [`Pending::next`] has not come to.
    next: AtomicUsize,
}

/// How the counts differ from what a part was said to hold.
#[derive(Clone, Copy, Default)]
pub(super) struct BroughtIn {
    pub(super) live: i64,
    pub(super) tombstones: i64,
}

impl Pending {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Pending { left: AtomicUsize::new(parts.len()), parts, ..Pending::default() }
    }

    pub(super) fn set_source(&self, source: Arc<dyn Source>) {
        *self.source.lock() = Some(source);
    }

    /// Whether there are none.
    #[inline(always)]
    pub(super) fn is_over(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// One of them that nobody was sent to before, if there is one.
    pub(super) fn next(&self) -> Option<Part> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        // Without end the counter would wrap around one day.
        self.parts.get(at).copied().or_else(|| {
            self.next.fetch_sub(1, Ordering::Relaxed);
            None
        })
    }

    /// Sends [`Pending::next`] through all parts once more, after some could not be brought in.
    pub(super) fn start_over(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// Brings in part number `at`, for which `group` waits or waited until a moment ago.
    ///
    /// # Errors
    /// `NoMemory`, and what the source answers; the group goes on waiting.
    pub(super) fn bring_in(
        &self,
        arena: &Arena,
        overflow: &Overflow,
        group: &Group,
        at: usize,
    ) -> Result<BroughtIn> {
        let _stripe = self.stripes[at % STRIPES].lock();
        if group.pending_part().is_none() {
            return Ok(BroughtIn::default());
        }
        let source = self.source.lock().clone().expect("the source is there as long as a group waits");
        let stated = self.parts[at].entries;
        let mut entries = Vec::new();
        entries.try_reserve_exact(stated as usize).map_err(|_| Error::no_memory::<Entry>(stated as usize))?;
        source.read(at, &mut entries)?;

        let mut ids = [PageId::NONE; MAX_PAGES_PER_GROUP];
        let held = group.copy_pages(&mut ids);
        let pages = pages_for(entries.len()).max(held);
        arena.take(&mut ids[held..pages])?;
        let ids = &ids[..pages];
        let (fitting, others) = entries.split_at(entries.len().min(pages * SLOTS_PER_PAGE));
        let mut fill = Fill::new(arena, ids, fitting.len());
        fitting.iter().for_each(|&(digest, location)| fill.push(digest, location));
        fill.finish();
        others.iter().for_each(|&(digest, location)| overflow.insert(digest, location));
        group.end_wait(ids, fitting.len());
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.source.lock() = None;
        }
        let tombstones = entries.iter().filter(|(_, location)| location.is_tombstone()).count();
        let signed = |count: usize| i64::try_from(count).expect("fewer than 2^63");
        Ok(BroughtIn {
            live: signed(entries.len() - tombstones) - i64::from(stated),
            tombstones: signed(tombstones),
        })
    }
}
