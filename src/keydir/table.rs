//! The index itself: from a key's digest to its newest record's location.
//!
//! Every call is safe from any thread. Reads write nothing shared and take no lock; writes to one key are serialised
//! by its group. Exact counts are kept beside the groups. Memory only grows: what removals free is used again by
//! later inserts, and goes back to the system with the index.
//!
//! Slots are found through [`directory`](super::directory), searched and changed in [`group`](super::group), grown in
//! [`grow`](super::grow); loading has rules of its own in [`load`](super::load), and an index may be there before its
//! contents are: see [`parts`](super::parts).

use super::arena::{Arena, MAX_PAGES, PAGE_BYTES, PageId};
use super::digest::Digest;
use super::directory::{Directory, MAX_DEPTH};
use super::group::{Backoff, Cover, Group, Lookup, MAX_PAGES_PER_GROUP, Place, Writer, comfortable};
use super::grow::{Growth, MAX_PAGES_PER_GROWTH, grow};
use super::location::Location;
use super::overflow::Overflow;
use super::parts::{BroughtIn, Pending};
use crate::sync::{AtomicU64, Ordering};
use crate::{Error, Result};

/// Pages and groups held ready beyond what one caller reserved, for growths that other threads are in the middle of.
const RESERVE_GROWTHS: usize = 8;
/// A growth adds at most this many pages to those in use: twelve become at most two times seven.
const MAX_PAGES_ADDED: usize = 2;
/// A page is never added for fewer keys than this, once its group has been grown to make room at all.
const MIN_KEYS_PER_PAGE: usize = 128;
/// Nor a group for fewer than this.
const MIN_KEYS_PER_GROUP: usize = 1024;

/// Cache lines on each side of a home that most searches end in.
const LINES_OF_A_SEARCH: isize = 1;
/// The same for inserts into a table as full as it gets: 15 slots are moved on average.
const LINES_OF_AN_INSERT: isize = 3;

/// The index. See the module.
pub struct Keydir {
    directory: Directory,
    arena: Arena,
    overflow: Overflow,
    pending: Pending,
    counts: Counts,
}

/// Written by every put; kept off the lines that readers load.
#[repr(align(128))]
#[derive(Default)]
struct Counts {
    live: AtomicU64,
    tombstones: AtomicU64,
}

/// What a change is to do with the location found.
pub(super) enum Change {
    Keep,
    Put(Location),
    Remove,
}

/// What changes did to the counts; added up by the caller.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) live: i64,
    pub(super) tombstones: i64,
}

impl Tally {
    #[inline]
    pub(super) fn count(&mut self, location: Option<Location>, by: i64) {
        match location {
            Some(location) if location.is_tombstone() => self.tombstones += by,
            Some(_) => self.live += by,
            None => (),
        }
    }
}

impl Keydir {
    /// An index with room for `expected_keys` keys; it grows past them. Memory is taken from the system as keys
    /// come, or by [`Keydir::prepare`].
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(expected_keys: u64) -> Result<Self> {
        let (depth, pages) = Self::shape_for(expected_keys)?;
        let groups = 1usize << depth;
        let arena = Arena::new(groups * pages)?;
        let directory = Directory::new(depth, groups)?;
        let mut ids = Vec::new();
        ids.try_reserve_exact(groups * pages).map_err(|_| Error::no_memory::<PageId>(groups * pages))?;
        arena.take_fresh(groups * pages, |id| ids.push(id))?;
        for (prefix, ids) in (0..).zip(ids.chunks(pages)) {
            let group = directory.create()?;
            let cover = Cover { depth, prefix };
            group.initialise(cover, ids, 0);
            directory.publish(cover, group);
        }
        Ok(Keydir::assembled(directory, arena, Pending::default(), 0))
    }

    /// An index of parts that were made ready, in which `live` keys are.
    pub(super) fn assembled(directory: Directory, arena: Arena, pending: Pending, live: u64) -> Self {
        let counts = Counts { live: AtomicU64::new(live), ..Counts::default() };
        Keydir { directory, arena, overflow: Overflow::default(), pending, counts }
    }

    /// Depth of the directory and pages a group such that `expected_keys` fit without growth, nearly always.
    fn shape_for(expected_keys: u64) -> Result<(u32, usize)> {
        let keys = usize::try_from(expected_keys).unwrap_or(usize::MAX);
        let too_many = || Error::NoMemory { bytes: (keys / comfortable(1) + 1).saturating_mul(PAGE_BYTES) };
        if keys / comfortable(1) >= MAX_PAGES {
            return Err(too_many());
        }
        // Groups differ in size by their square root; most fit with a twenty-fifth to spare.
        let keys = keys + keys / 25;
        let depth = (0..MAX_DEPTH)
            .find(|&depth| keys >> depth < comfortable(MAX_PAGES_PER_GROUP))
            .ok_or_else(too_many)?;
        Ok((depth, ((keys >> depth) + 1).div_ceil(comfortable(1)).min(MAX_PAGES_PER_GROUP)))
    }

    /// Asks the processor for the lines where `digest` is, so that a call soon after need not wait for memory.
    #[inline]
    pub fn prefetch(&self, digest: Digest) {
        self.directory.find(digest.lo).prefetch_home(&self.arena, digest, LINES_OF_A_SEARCH);
    }

    /// [`Keydir::prefetch`] for an insert, which moves slots as far as the nearest free one.
    #[inline]
    pub(super) fn prefetch_for_insert(&self, digest: Digest) {
        self.directory.find(digest.lo).prefetch_home(&self.arena, digest, LINES_OF_AN_INSERT);
    }

    /// Asks for the line that [`Keydir::prefetch`] itself must wait for; for callers with many digests at hand.
    #[inline]
    pub fn prefetch_group(&self, digest: Digest) {
        self.directory.find(digest.lo).prefetch();
    }

    /// Where the newest record of the key is.
    #[inline]
    pub fn get(&self, digest: Digest) -> Option<Location> {
        let mut backoff = Backoff::default();
        loop {
            match self.directory.find(digest.lo).lookup(&self.arena, digest) {
                Lookup::Found(location) => return Some(location),
                Lookup::Absent => return self.overflow.get(digest),
                Lookup::Elsewhere => backoff.pause(),
                Lookup::Disturbed => self.wait_for(self.directory.find(digest.lo), &mut backoff),
            }
        }
    }

    /// Waits for a writer to leave `group`, or brings in what the group waits for.
    #[cold]
    fn wait_for(&self, group: &Group, backoff: &mut Backoff) {
        match group.pending_part() {
            Some(_) => self.bring_in(group).expect("digests are touched before they are looked up"),
            None => backoff.pause(),
        }
    }

    /// Brings in what the group that `lo` belongs to waits for.
    #[cold]
    pub(super) fn bring_in_for(&self, lo: u64) -> Result<()> {
        self.bring_in(self.directory.find(lo))
    }

    fn bring_in(&self, group: &Group) -> Result<()> {
        let Some(part) = group.pending_part() else { return Ok(()) };
        let BroughtIn { live, tombstones } =
            self.pending.bring_in(&self.arena, &self.overflow, group, part)?;
        self.settle(Tally { live, tombstones });
        Ok(())
    }

    /// Waits for other writers of the group that `lo` belongs to, or did a moment ago, and keeps them out.
    #[inline]
    fn lock(&self, lo: u64) -> Writer<'_> {
        let mut backoff = Backoff::default();
        loop {
            let group = self.directory.find(lo);
            if let Some(writer) = group.try_lock(&self.arena) {
                return writer;
            }
            self.wait_for(group, &mut backoff);
        }
    }

    /// Makes sure that the next `additional` inserts cannot fail for memory. Cheap when they cannot.
    ///
    /// # Errors
    /// `NoMemory`; the index is as it was.
    #[inline]
    pub fn reserve(&self, additional: usize) -> Result<()> {
        // Each group that gets any may grow at once; past that, growth goes with the number of keys.
        let groups = self.directory.groups();
        let grown = additional.min(groups);
        let spread = additional / (groups * MIN_KEYS_PER_GROUP) + 1;
        let depth = self.directory.depth() + 1 + spread.ilog2();
        self.arena.ensure(
            grown * MAX_PAGES_ADDED + additional / MIN_KEYS_PER_PAGE + RESERVE_GROWTHS * MAX_PAGES_PER_GROWTH,
        )?;
        self.directory.ensure(grown + additional / MIN_KEYS_PER_GROUP + RESERVE_GROWTHS)?;
        self.directory.ensure_level(depth)
    }

    /// Sets the key's location and answers the one it had. A tombstone may be inserted; it is not counted as a key.
    ///
    /// # Panics
    /// When the index must grow, memory cannot be had and [`Keydir::reserve`] was not asked before.
    #[inline]
    pub fn insert(&self, digest: Digest, location: Location) -> Option<Location> {
        let mut tally = Tally::default();
        let old = self.change(digest, true, &mut tally, |_| Change::Put(location));
        self.settle(tally);
        old.expect("room in the keydir is reserved before a record is appended")
    }

    /// Removes the key and answers the location it had.
    #[inline]
    pub fn remove(&self, digest: Digest) -> Option<Location> {
        let mut tally = Tally::default();
        let old = self.change(digest, false, &mut tally, |_| Change::Remove);
        self.settle(tally);
        old.expect("only inserts need memory")
    }

    /// Sets the key's location to `new`, or takes the key out for `None`, if its location `is_old`; answers the one it
    /// had then.
    pub fn change_if(
        &self,
        digest: Digest,
        is_old: impl Fn(Location) -> bool,
        new: Option<Location>,
    ) -> Option<Location> {
        let mut tally = Tally::default();
        let found =
            self.change(digest, false, &mut tally, |found| match (found.filter(|&at| is_old(at)), new) {
                (None, _) => Change::Keep,
                (Some(_), Some(new)) => Change::Put(new),
                (Some(_), None) => Change::Remove,
            });
        self.settle(tally);
        found.expect("only inserts need memory").filter(|&at| is_old(at))
    }

    /// How many keys there are, tombstones left out.
    #[inline]
    pub fn len(&self) -> u64 {
        self.counts.live.load(Ordering::Relaxed)
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tombstones there are.
    pub fn tombstones(&self) -> u64 {
        self.counts.tombstones.load(Ordering::Relaxed)
    }

    /// Bytes of memory in use, at their highest so far.
    pub fn memory_bytes(&self) -> u64 {
        self.arena.bytes() + self.directory.bytes()
    }

    /// Whether [`Keydir::prepare`] has something to do; one load.
    #[inline]
    pub fn wants_prepare(&self) -> bool {
        self.arena.wants_prepare()
    }

    /// Makes memory ready before puts need it, at most 2 MiB a call, and answers whether there is more to do. For a
    /// background thread; nothing depends on it but the time puts take.
    pub fn prepare(&self) -> bool {
        self.arena.prepare()
    }

    /// Calls `each` for every key and tombstone, in no order. What is there from before the call until after it is
    /// seen once. `each` must not change the index.
    pub fn for_each(&self, mut each: impl FnMut(Digest, Location)) {
        self.for_each_group(Cover::ALL, |writer| writer.for_each(&mut each));
        self.overflow.for_each(each);
    }

    /// Calls `each` for every group that has a part in `within`, locked. A group that is split beside this is seen once,
    /// before or after, or each half is.
    pub(super) fn for_each_group(&self, within: Cover, mut each: impl FnMut(&mut Writer<'_>)) {
        let mut prefix = u64::from(within.prefix);
        loop {
            let mut writer = self.lock(prefix);
            let cover = writer.cover();
            if !cover.admits(prefix) {
                continue;
            }
            each(&mut writer);
            drop(writer);
            // Counts up in the cover's bits with the last the lowest: on to the half not seen of the deepest split
            // that has one. Groups never unite, so there is a group with that very prefix.
            let Some(bit) = (within.depth..cover.depth).rev().find(|bit| prefix >> bit & 1 == 0) else {
                return;
            };
            prefix = prefix & ((1 << bit) - 1) | 1 << bit;
        }
    }

    /// Looks the digest up, asks `decide` what to do, and does it, all at once as others see it. Answers what was
    /// there. With `may_insert` false, an absent digest stays absent and `decide` is not asked.
    ///
    /// # Errors
    /// `NoMemory`, with `may_insert` only; nothing changed.
    #[inline]
    pub(super) fn change(
        &self,
        digest: Digest,
        may_insert: bool,
        tally: &mut Tally,
        decide: impl FnOnce(Option<Location>) -> Change,
    ) -> Result<Option<Location>> {
        let mut backoff = Backoff::default();
        loop {
            let mut writer = self.lock(digest.lo);
            if !writer.cover().admits(digest.lo) {
                drop(writer);
                backoff.pause();
                continue;
            }
            let (place, found) = writer.search(digest);
            match place {
                Place::At(position) => {
                    match decide(found) {
                        Change::Keep => return Ok(found),
                        Change::Put(location) => {
                            writer.replace(position, location);
                            tally.count(Some(location), 1);
                        }
                        Change::Remove => writer.remove(position),
                    }
                    tally.count(found, -1);
                    return Ok(found);
                }
                Place::Before(boundary) => {
                    if let Some(found) = self.overflow.get(digest) {
                        match decide(Some(found)) {
                            Change::Keep => return Ok(Some(found)),
                            Change::Put(location) => {
                                self.overflow.insert(digest, location);
                                tally.count(Some(location), 1);
                            }
                            Change::Remove => self.overflow.remove(digest),
                        }
                        tally.count(Some(found), -1);
                        return Ok(Some(found));
                    }
                    if !may_insert {
                        return Ok(None);
                    }
                    if writer.is_crowded() && self.make_room(&mut writer)? == Growth::Done {
                        continue;
                    }
                    if let Change::Put(location) = decide(None) {
                        if writer.is_full() {
                            self.overflow.insert(digest, location);
                        } else {
                            writer.insert(boundary, digest, location);
                        }
                        tally.count(Some(location), 1);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// Grows a crowded group; without memory, it may be filled to its last slot.
    #[cold]
    fn make_room(&self, writer: &mut Writer<'_>) -> Result<Growth> {
        match grow(&self.arena, &self.directory, writer) {
            Err(_) if !writer.is_full() => Ok(Growth::AtLimit),
            result => result,
        }
    }

    /// Adds what changes did to the counts.
    #[inline]
    pub(super) fn settle(&self, tally: Tally) {
        for (count, by) in [(&self.counts.live, tally.live), (&self.counts.tombstones, tally.tombstones)] {
            if by != 0 {
                count.fetch_add(by as u64, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(super) fn overflow(&self) -> &Overflow {
        &self.overflow
    }

    #[inline]
    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keydir::tests::{at, digest};
    use crate::options::MAX_EXPECTED_KEYS;

    #[test]
    fn a_refusal_for_memory_says_how_much_the_keys_would_take() {
        for keys in [MAX_EXPECTED_KEYS, MAX_EXPECTED_KEYS / 2] {
            match Keydir::new(keys) {
                Err(Error::NoMemory { bytes }) => {
                    let per_key = bytes as u64 / keys;
                    assert!((24..40).contains(&per_key), "{bytes} bytes for {keys} keys");
                }
                Err(err) => panic!("{err}"),
                Ok(_) => panic!("an index for {keys} keys"),
            }
        }
    }

    #[test]
    fn a_reader_that_comes_late_to_a_split_is_sent_on() {
        let keydir = Keydir::new(0).unwrap();
        let root = keydir.directory.find(0);
        let mut key = 0;
        while keydir.directory.groups() == 1 {
            keydir.insert(digest(key), at(key));
            key += 1;
        }
        let mut sent_on = 0;
        for key in 0..key {
            let moved = !std::ptr::eq(keydir.directory.find(digest(key).lo), root);
            match root.lookup(&keydir.arena, digest(key)) {
                Lookup::Elsewhere => assert!(moved),
                Lookup::Found(location) => assert!(!moved && location == at(key)),
                Lookup::Absent | Lookup::Disturbed => panic!("key {key} is there and nobody writes"),
            }
            sent_on += u64::from(moved);
        }
        assert!(sent_on > key / 3);
    }
}
