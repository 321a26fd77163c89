//! Which group holds a digest: extendible hashing by the low bits of `lo`, one array of group pointers a depth.
//!
//! A group of depth d with prefix p holds the digests whose d low bits of `lo` are p. Its pointer stands in level d
//! at index p. A search begins at the deepest level in use and goes up past empty entries, so a split writes two
//! entries and nothing is ever copied or doubled: a level is memory that is zero until a group comes to stand in it.
//! Digests spread evenly, so nearly all groups stand in the two deepest levels.
//!
//! Invariant: entries are set once and never cleared or changed. A group found through an entry may have been split
//! since, in which case its own cover says that it no longer holds the digest, and the search is to be repeated: the
//! entry of the group split off was written before the cover changed. Groups never move and are never freed.

#![expect(unsafe_code, reason = "groups and levels live in anonymous mappings, reached through raw pointers")]

use super::arena::map;
use super::group::{Cover, Group};
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Mutex, Ordering};
use crate::{Error, Result};
use memmap2::MmapRaw;

/// The deepest level: 64 million groups, over 10^11 keys.
pub(super) const MAX_DEPTH: u32 = 26;
/// Levels up to this one share the first mapping.
const SHALLOW_DEPTH: u32 = 8;
/// Groups in a mapping of headers, unless more are asked for: 1 MiB.
const GROUPS_PER_SLAB: usize = (1 << 20) / size_of::<Group>();
const MAX_SLABS: usize = 1 << 13;

type Entry = AtomicPtr<Group>;

/// Finds and creates groups.
pub(super) struct Directory {
    /// The deepest level with an entry.
    depth: AtomicU32,
    /// First entry of each level, null where there is no memory yet.
    levels: [AtomicPtr<Entry>; MAX_DEPTH as usize + 1],
    /// Groups that can be created without asking the system for memory.
    available: AtomicUsize,
    groups: AtomicUsize,
    growth: Mutex<Growth>,
}

struct Growth {
    levels: Vec<MmapRaw>,
    slabs: Vec<MmapRaw>,
    /// Groups created in the last slab.
    used: usize,
    /// Groups that fit in the last slab.
    capacity: usize,
}

impl Directory {
    /// A directory that has room for `groups` groups and none yet; the caller then publishes one for every digest, none
    /// deeper than `depth`.
    pub(super) fn new(depth: u32, groups: usize) -> Result<Self> {
        let directory = Directory {
            depth: AtomicU32::new(depth),
            levels: [const { AtomicPtr::new(std::ptr::null_mut()) }; MAX_DEPTH as usize + 1],
            available: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
            growth: Mutex::new(Growth {
                levels: Vec::with_capacity(MAX_DEPTH as usize + 1),
                slabs: Vec::with_capacity(64),
                used: 0,
                capacity: 0,
            }),
        };
        directory.ensure(groups)?;
        directory.ensure_level(depth)?;
        Ok(directory)
    }

    /// The group that holds digests with this `lo`, or did until a moment ago: its cover decides.
    #[inline(always)]
    pub(super) fn find(&self, lo: u64) -> &Group {
        let mut depth = self.depth.load(Ordering::Acquire);
        loop {
            let group = self.entry(depth, lo).load(Ordering::Acquire);
            if !group.is_null() {
                // SAFETY: entries point to headers in slabs that are unmapped with the directory only, initialised
                // before the entry was published (release, acquire), and made of atomics.
                return unsafe { &*group };
            }
            debug_assert!(depth > 0, "some level above holds a group for every digest");
            depth -= 1;
        }
    }

    #[inline(always)]
    fn entry(&self, depth: u32, lo: u64) -> &Entry {
        let level = self.levels[depth as usize].load(Ordering::Acquire);
        debug_assert!(!level.is_null());
        let index = low_bits(lo, depth);
        // SAFETY: `depth` is at most `self.depth`, or a level that the caller ensured. Those and all above are mapped
        // with 2^depth entries, and stay so as long as the directory lives.
        unsafe { &*level.add(index) }
    }

    /// The deepest level in use.
    pub(super) fn depth(&self) -> u32 {
        self.depth.load(Ordering::Acquire)
    }

    /// How many groups there are.
    #[inline]
    pub(super) fn groups(&self) -> usize {
        self.groups.load(Ordering::Relaxed)
    }

    /// Groups that can be created without asking the system.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.available.load(Ordering::Relaxed)
    }

    /// Bytes in use by headers and levels.
    pub(super) fn bytes(&self) -> u64 {
        let entries = 2usize << self.depth();
        (self.groups() * size_of::<Group>() + entries * size_of::<Entry>()) as u64
    }

    /// Makes sure that `groups` groups can be created.
    pub(super) fn ensure(&self, groups: usize) -> Result<()> {
        if self.available() >= groups {
            return Ok(());
        }
        let mut growth = self.growth.lock();
        if growth.capacity - growth.used >= groups {
            return Ok(());
        }
        if growth.slabs.len() == MAX_SLABS {
            return Err(Error::NoMemory { bytes: groups * size_of::<Group>() });
        }
        let capacity = groups.max(GROUPS_PER_SLAB);
        let slab = map(capacity.saturating_mul(size_of::<Group>()))?;
        growth.slabs.push(slab);
        growth.used = 0;
        growth.capacity = capacity;
        self.available.store(capacity, Ordering::Relaxed);
        Ok(())
    }

    /// Makes sure that level `depth` and all above it have memory.
    pub(super) fn ensure_level(&self, depth: u32) -> Result<()> {
        let depth = depth.min(MAX_DEPTH);
        if !self.levels[depth as usize].load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let mut growth = self.growth.lock();
        for level in 0..=depth {
            if !self.levels[level as usize].load(Ordering::Relaxed).is_null() {
                continue;
            }
            // Level d of the shared mapping begins at entry 2^d, after the 2^d - 1 entries of all above and one unused.
            let (first, last) = if level <= SHALLOW_DEPTH { (0, SHALLOW_DEPTH) } else { (level, level) };
            let entries = if first == 0 { 2 << SHALLOW_DEPTH } else { 1usize << level };
            let mapping = map(entries * size_of::<Entry>())?;
            for level in first..=last {
                let offset = if first == 0 { 1 << level } else { 0 };
                // SAFETY: within the mapping by the sizes above, which page alignment makes right for pointers.
                let start = unsafe { mapping.as_mut_ptr().cast::<Entry>().add(offset) };
                self.levels[level as usize].store(start, Ordering::Release);
            }
            growth.levels.push(mapping);
        }
        Ok(())
    }

    /// Memory for one group, all zero, reachable by nobody.
    pub(super) fn create(&self) -> Result<&Group> {
        self.ensure(1)?;
        let mut growth = self.growth.lock();
        if growth.used == growth.capacity {
            // Another thread took the last one in between.
            return Err(Error::NoMemory { bytes: size_of::<Group>() });
        }
        let slab = growth.slabs.last().expect("capacity is of the last slab").as_mut_ptr();
        // SAFETY: within the slab, since `used < capacity`; zero bytes are a valid group; mapped as long as `self`.
        let group = unsafe { &*slab.cast::<Group>().add(growth.used) };
        growth.used += 1;
        self.available.store(growth.capacity - growth.used, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
        Ok(group)
    }

    /// Publishes `group`, made by [`Directory::create`], as the one for `cover`, whose level was ensured.
    pub(super) fn publish(&self, cover: Cover, group: &Group) {
        let group = std::ptr::from_ref(group).cast_mut();
        self.entry(cover.depth, u64::from(cover.prefix)).store(group, Ordering::Release);
        self.depth.fetch_max(cover.depth, Ordering::Release);
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "MAX_DEPTH bits fit")]
fn low_bits(lo: u64, depth: u32) -> usize {
    (lo & ((1 << depth) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_deepest_group_published() {
        let directory = Directory::new(0, 1).unwrap();
        let root = directory.create().unwrap();
        directory.publish(Cover { depth: 0, prefix: 0 }, root);
        assert!(std::ptr::eq(directory.find(u64::MAX), root));

        let split_off = directory.create().unwrap();
        directory.ensure_level(12).unwrap();
        directory.publish(Cover { depth: 12, prefix: 0xABC }, split_off);
        assert!(std::ptr::eq(directory.find(0xF_FABC), split_off));
        assert!(std::ptr::eq(directory.find(0xF_FABD), root));
    }

    #[test]
    fn groups_ensured_are_available() {
        let directory = Directory::new(0, 1).unwrap();
        directory.ensure(3 * GROUPS_PER_SLAB).unwrap();
        assert!(directory.available() >= 3 * GROUPS_PER_SLAB);
    }
}
