//! A group: up to twelve pages that form one small table, kept in digest order.
//!
//! A digest's home is its rank by `hi`, scaled to the table. Invariants of the slots, whenever no writer is in:
//!
//! - the digests in use ascend with position, by `hi`, then `lo`;
//! - a digest's home lies in the same run of full slots as the digest itself.
//!
//! So a search begins at home, goes one way, and ends at the digest, at a free slot or at a digest beyond: misses end
//! as early as hits. An insert moves the shorter side of its run by one slot. Nothing wraps around, and a table may
//! be filled to the last slot whatever the digests are: evil ones make searches long, not wrong.
//!
//! **Writers** take the lock bit in `state` and so exclude each other. **Readers** write nothing. `seq` is odd while
//! slots or header change in ways that a search could trip over; a reader loads it before and after, and starts
//! again if it was odd or moved. As in Boehm's seqlocks (MSPC 2012), everything in between is read through atomics,
//! and fences order it: the reader's acquire fence before its second look pairs with the writer's release fence after
//! it made `seq` odd. Replacing a location is one store, seen whole or not at all, and leaves `seq` alone.
//!
//! **A present key is never reported absent.** While `seq` is even, the slots hold exactly the present digests that
//! the cover admits (the low bits of `lo`). A reader takes both, cover and slots, between two equal even values of
//! `seq`, so its answer was true at some instant of the call. If the cover does not admit the digest, the group was
//! split, and no answer is given: the caller searches the directory again. A split writes the directory before it
//! makes `seq` even, so whoever has seen the new cover under an even `seq` finds the new group.
//!
//! **Pages change hands.** Growth fills new pages, unlinks the old and gives them back; another group may fill them
//! while a reader of this one is still in them. Taking them synchronised with this group's change of `seq`, and
//! [`Fill::new`] has a release fence after the taking: a reader that saw anything of the new contents sees, past its
//! own acquire fence, that `seq` moved.
//!
//! **A group may be pending**: its digests are known to a checkpoint only. It looks as if a writer were in for good,
//! with the number of its part in `seq`, until [`Group::end_wait`] lets everyone in.

use super::arena::{Arena, Page, PageId, SLOTS_PER_PAGE, SLOTS_PER_PAGE_SHIFT, Slot, prefetch};
use super::digest::Digest;
use super::location::Location;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Pages in the largest group: with these, the header is one cache line.
pub(super) const MAX_PAGES_PER_GROUP: usize = 12;
/// A table grows when more than this share of its slots would be in use. Growing from n pages leaves a load of
/// 0.93 n / (n + 1); groups past the first split have 6 pages or more, so 0.797 is the least there is.
const MAX_LOAD_PERCENT: usize = 93;

const LINE_BYTES: isize = 64;
/// From the start of a slot: its middle, and half a line on.
const MIDDLE_OF_NEXT_LINE: isize = size_of::<Slot>() as isize / 2 + LINE_BYTES / 2;

const LOCKED: u32 = 1;
const PAGES_SHIFT: u32 = 1;
const PAGES_MASK: u32 = 15;
const COUNT_SHIFT: u32 = 5;

/// Marks a `seq` that holds, one bit up, the number of the part that is to be brought in.
const PENDING: u64 = 1 << 63;

/// A group's header. All zero is a group that nobody can reach yet.
#[repr(C, align(64))]
pub(super) struct Group {
    /// Odd while a change is under way or the group is pending.
    seq: AtomicU64,
    /// Bit 0: a writer is in. Then 4 bits: pages. The rest: slots in use.
    state: AtomicU32,
    /// The low bits of `lo` that digests here share, under a 1 that marks how many bits.
    cover: AtomicU32,
    pages: [AtomicU32; MAX_PAGES_PER_GROUP],
}

const _: () = assert!(size_of::<Group>() == 64 && MAX_PAGES_PER_GROUP <= PAGES_MASK as usize);

/// The digests that a group holds: those whose `depth` low bits of `lo` are `prefix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) depth: u32,
    pub(super) prefix: u32,
}

impl Cover {
    /// Of a group that holds every digest.
    pub(super) const ALL: Cover = Cover { depth: 0, prefix: 0 };

    #[inline(always)]
    fn from_word(word: u32) -> Self {
        let depth = 31 - (word | 1).leading_zeros();
        Cover { depth, prefix: word & ((1 << depth) - 1) }
    }

    fn to_word(self) -> u32 {
        1 << self.depth | self.prefix
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a cover has fewer than 32 bits")]
    pub(super) fn admits(self, lo: u64) -> bool {
        (lo as u32 ^ self.prefix) & ((1 << self.depth) - 1) == 0
    }

    /// The two halves that a split makes, by the next bit of `lo`.
    pub(super) fn halves(self) -> [Cover; 2] {
        let depth = self.depth + 1;
        [Cover { depth, prefix: self.prefix }, Cover { depth, prefix: self.prefix | 1 << self.depth }]
    }
}

/// How many slots of `pages` pages may be in use before the table is to grow.
pub(super) fn comfortable(pages: usize) -> usize {
    pages * SLOTS_PER_PAGE * MAX_LOAD_PERCENT / 100
}

/// The fewest pages that hold `count` digests and one more comfortably, at most a group's.
pub(super) fn pages_for(count: usize) -> usize {
    (1..MAX_PAGES_PER_GROUP).find(|&pages| count < comfortable(pages)).unwrap_or(MAX_PAGES_PER_GROUP)
}

/// What a reader found.
pub(super) enum Lookup {
    Found(Location),
    Absent,
    /// The group was split; search the directory again.
    Elsewhere,
    /// A writer was in; try again.
    Disturbed,
}

/// Where a search ended.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At this position.
    At(usize),
    /// Not there; it belongs between the position before and this one.
    Before(usize),
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a fraction of `capacity` is below it")]
pub(super) fn home(hi: u64, capacity: usize) -> usize {
    ((u128::from(hi) * capacity as u128) >> 64) as usize
}

/// A table as one thread sees it: the header's pages and a capacity read from it once.
#[derive(Clone, Copy)]
struct Table<'a> {
    group: &'a Group,
    arena: &'a Arena,
    capacity: usize,
}

impl<'a> Table<'a> {
    #[inline(always)]
    fn page(&self, position: usize) -> &'a Page {
        // Acquire: a reader may come upon an id before it can know that the header is changing, and must then find
        // the chunk's address in the arena's table.
        self.arena.page(PageId(self.group.pages[position >> SLOTS_PER_PAGE_SHIFT].load(Ordering::Acquire)))
    }

    #[inline(always)]
    fn slot(&self, position: usize) -> &'a Slot {
        &self.page(position).0[position % SLOTS_PER_PAGE]
    }

    #[inline(always)]
    fn is_free(&self, position: usize) -> bool {
        self.slot(position).location.load(Ordering::Relaxed) == 0
    }

    /// Searches for `digest`; ends within `capacity` steps whatever is read.
    #[inline(always)]
    fn search(&self, digest: Digest) -> (Place, u64) {
        let start = home(digest.hi, self.capacity);
        let mut position = start;
        let mut page = self.page(position);
        let mut slot = &page.0[position % SLOTS_PER_PAGE];
        let mut location = slot.location.load(Ordering::Relaxed);
        if location == 0 {
            return (Place::Before(position), 0);
        }
        let mut hi = slot.hi.load(Ordering::Relaxed);
        let precedes = |slot: &Slot, hi: u64| {
            hi < digest.hi || hi == digest.hi && slot.lo.load(Ordering::Relaxed) < digest.lo
        };
        if precedes(slot, hi) {
            loop {
                position += 1;
                if position == self.capacity {
                    return (Place::Before(position), 0);
                }
                if position.is_multiple_of(SLOTS_PER_PAGE) {
                    page = self.page(position);
                }
                slot = &page.0[position % SLOTS_PER_PAGE];
                location = slot.location.load(Ordering::Relaxed);
                hi = slot.hi.load(Ordering::Relaxed);
                if location == 0 || !precedes(slot, hi) {
                    break;
                }
            }
            if location != 0 && hi == digest.hi && slot.lo.load(Ordering::Relaxed) == digest.lo {
                return (Place::At(position), location);
            }
            return (Place::Before(position), 0);
        }
        loop {
            if hi == digest.hi && slot.lo.load(Ordering::Relaxed) == digest.lo {
                return (Place::At(position), location);
            }
            if precedes(slot, hi) {
                return (Place::Before(position + 1), 0);
            }
            if position == 0 {
                return (Place::Before(0), 0);
            }
            position -= 1;
            if position % SLOTS_PER_PAGE == SLOTS_PER_PAGE - 1 {
                page = self.page(position);
            }
            slot = &page.0[position % SLOTS_PER_PAGE];
            location = slot.location.load(Ordering::Relaxed);
            if location == 0 {
                return (Place::Before(position + 1), 0);
            }
            hi = slot.hi.load(Ordering::Relaxed);
        }
    }

    fn home_of(&self, position: usize) -> usize {
        home(self.slot(position).hi.load(Ordering::Relaxed), self.capacity)
    }

    fn copy(&self, from: usize, to: usize) {
        let (from, to) = (self.slot(from), self.slot(to));
        to.lo.store(from.lo.load(Ordering::Relaxed), Ordering::Relaxed);
        to.hi.store(from.hi.load(Ordering::Relaxed), Ordering::Relaxed);
        to.location.store(from.location.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Makes room before `boundary` by moving the shorter side of the run, and answers the position to write. On a tie
    /// it is `boundary` itself, which matters when that is a home with nothing in it. The table is not full.
    fn open(&self, boundary: usize) -> usize {
        for distance in 0.. {
            let right = boundary + distance;
            if right < self.capacity && self.is_free(right) {
                for position in (boundary..right).rev() {
                    self.copy(position, position + 1);
                }
                return boundary;
            }
            if distance < boundary && self.is_free(boundary - 1 - distance) {
                for position in boundary - distance..boundary {
                    self.copy(position, position - 1);
                }
                return boundary - 1;
            }
            assert!(distance <= self.capacity, "a table that is not full has a free slot");
        }
        unreachable!("the loop has no end")
    }

    /// Frees `position`, and moves into it, one by one, the neighbours that it would cut off from their homes.
    fn close(&self, position: usize) {
        let mut hole = position;
        while hole + 1 < self.capacity && !self.is_free(hole + 1) && self.home_of(hole + 1) <= hole {
            self.copy(hole + 1, hole);
            hole += 1;
        }
        if hole == position {
            while hole > 0 && !self.is_free(hole - 1) && self.home_of(hole - 1) >= hole {
                self.copy(hole - 1, hole);
                hole -= 1;
            }
        }
        self.slot(hole).location.store(0, Ordering::Relaxed);
    }
}

impl Group {
    fn table<'a>(&'a self, arena: &'a Arena, state: u32) -> Table<'a> {
        let pages = (state >> PAGES_SHIFT & PAGES_MASK) as usize;
        Table { group: self, arena, capacity: pages * SLOTS_PER_PAGE }
    }

    /// A reader's search.
    #[inline(always)]
    pub(super) fn lookup(&self, arena: &Arena, digest: Digest) -> Lookup {
        let before = self.seq.load(Ordering::Acquire);
        if !before.is_multiple_of(2) {
            return Lookup::Disturbed;
        }
        if !Cover::from_word(self.cover.load(Ordering::Relaxed)).admits(digest.lo) {
            return Lookup::Elsewhere;
        }
        let (place, location) = self.table(arena, self.state.load(Ordering::Relaxed)).search(digest);
        fence(Ordering::Acquire);
        if self.seq.load(Ordering::Relaxed) != before {
            return Lookup::Disturbed;
        }
        match (place, Location::from_word(location)) {
            (Place::At(_), Some(location)) => Lookup::Found(location),
            _ => Lookup::Absent,
        }
    }

    /// Asks for the cache line of the header.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        prefetch(std::ptr::from_ref(self));
    }

    /// Asks for the `lines` cache lines on each side of the middle of the digest's home.
    #[inline(always)]
    pub(super) fn prefetch_home(&self, arena: &Arena, digest: Digest, lines: isize) {
        let table = self.table(arena, self.state.load(Ordering::Relaxed));
        let slot = std::ptr::from_ref(table.slot(home(digest.hi, table.capacity)));
        for line in -lines..lines {
            prefetch(slot.wrapping_byte_offset(line * LINE_BYTES + MIDDLE_OF_NEXT_LINE));
        }
    }

    /// Keeps other writers out, unless one is in.
    #[inline]
    pub(super) fn try_lock<'a>(&'a self, arena: &'a Arena) -> Option<Writer<'a>> {
        let state = self.state.load(Ordering::Relaxed);
        let is_free = state & LOCKED == 0;
        let locked = is_free
            && self
                .state
                .compare_exchange_weak(state, state | LOCKED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        locked.then(|| Writer { table: self.table(arena, state), count: (state >> COUNT_SHIFT) as usize })
    }

    /// Gives a group that nobody can reach its first pages, all slots free or filled by [`Fill`].
    pub(super) fn initialise(&self, cover: Cover, pages: &[PageId], count: usize) {
        self.initialise_state(cover, pages, state_word(pages.len(), count));
    }

    /// Gives a group that nobody can reach its first pages, to be filled from part number `part` later.
    pub(super) fn initialise_pending(&self, cover: Cover, pages: &[PageId], part: usize) {
        self.seq.store(PENDING | (part as u64) << 1 | 1, Ordering::Relaxed);
        self.initialise_state(cover, pages, state_word(pages.len(), 0) | LOCKED);
    }

    fn initialise_state(&self, cover: Cover, pages: &[PageId], state: u32) {
        for (entry, id) in self.pages.iter().zip(pages) {
            entry.store(id.0, Ordering::Relaxed);
        }
        self.cover.store(cover.to_word(), Ordering::Relaxed);
        self.state.store(state, Ordering::Release);
    }

    /// The number of the part that the group waits for, if it does.
    #[inline]
    pub(super) fn pending_part(&self) -> Option<usize> {
        let seq = self.seq.load(Ordering::Acquire);
        let part = (seq & PENDING != 0).then_some((seq ^ PENDING) >> 1)?;
        Some(usize::try_from(part).expect("it was made of a usize"))
    }

    /// Copies the ids of the pages of a pending group to `ids`, and answers how many there are.
    pub(super) fn copy_pages(&self, ids: &mut [PageId; MAX_PAGES_PER_GROUP]) -> usize {
        *ids = std::array::from_fn(|index| PageId(self.pages[index].load(Ordering::Relaxed)));
        (self.state.load(Ordering::Relaxed) >> PAGES_SHIFT & PAGES_MASK) as usize
    }

    /// Ends the wait of a pending group, which has these pages now, filled with `count` digests. The caller keeps others
    /// from doing so.
    pub(super) fn end_wait(&self, pages: &[PageId], count: usize) {
        for (entry, id) in self.pages.iter().zip(pages) {
            entry.store(id.0, Ordering::Relaxed);
        }
        let state = state_word(pages.len(), count);
        self.state.store(state | LOCKED, Ordering::Relaxed);
        self.seq.store(0, Ordering::Release);
        // Writers last: they count up from an even `seq`.
        self.state.store(state, Ordering::Release);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a group has at most 12 pages and 3,072 slots")]
fn state_word(pages: usize, count: usize) -> u32 {
    debug_assert!(pages <= MAX_PAGES_PER_GROUP && count <= pages * SLOTS_PER_PAGE);
    (pages as u32) << PAGES_SHIFT | (count as u32) << COUNT_SHIFT
}

/// The one writer in a group; leaving is dropping it.
pub(super) struct Writer<'a> {
    table: Table<'a>,
    count: usize,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.table.group.state.store(state_word(self.pages(), self.count), Ordering::Release);
    }
}

impl<'a> Writer<'a> {
    pub(super) fn group(&self) -> &'a Group {
        self.table.group
    }

    pub(super) fn cover(&self) -> Cover {
        Cover::from_word(self.table.group.cover.load(Ordering::Relaxed))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn pages(&self) -> usize {
        self.table.capacity / SLOTS_PER_PAGE
    }

    pub(super) fn page_ids(&self) -> [PageId; MAX_PAGES_PER_GROUP] {
        std::array::from_fn(|index| PageId(self.table.group.pages[index].load(Ordering::Relaxed)))
    }

    /// Whether one more digest would make the table too full to be searched comfortably.
    pub(super) fn is_crowded(&self) -> bool {
        self.count >= comfortable(self.pages())
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == self.table.capacity
    }

    #[inline]
    pub(super) fn search(&self, digest: Digest) -> (Place, Option<Location>) {
        let (place, location) = self.table.search(digest);
        (place, Location::from_word(location))
    }

    /// Puts `location` in the place of another.
    #[inline]
    pub(super) fn replace(&self, position: usize, location: Location) {
        // Release: a reader that sees the location sees the segment that the writer made ready for it.
        self.table.slot(position).location.store(location.to_word(), Ordering::Release);
    }

    /// Adds a digest at the boundary that a search for it gave. The table is not full.
    #[inline]
    pub(super) fn insert(&mut self, boundary: usize, digest: Digest, location: Location) {
        let table = self.table;
        self.change(|| {
            let slot = table.slot(table.open(boundary));
            slot.lo.store(digest.lo, Ordering::Relaxed);
            slot.hi.store(digest.hi, Ordering::Relaxed);
            slot.location.store(location.to_word(), Ordering::Relaxed);
        });
        self.count += 1;
    }

    /// Takes a digest out.
    pub(super) fn remove(&mut self, position: usize) {
        let table = self.table;
        self.change(|| table.close(position));
        self.count -= 1;
    }

    /// Calls `each` for every digest, in order, with its position.
    pub(super) fn for_each(&self, mut each: impl FnMut(Digest, Location)) {
        for position in (0..self.table.capacity).step_by(SLOTS_PER_PAGE) {
            for slot in &self.table.page(position).0 {
                if let Some(location) = Location::from_word(slot.location.load(Ordering::Relaxed)) {
                    let (lo, hi) = (slot.lo.load(Ordering::Relaxed), slot.hi.load(Ordering::Relaxed));
                    each(Digest { lo, hi }, location);
                }
            }
        }
    }

    /// Takes out every digest whose location `is_unwanted`, and answers how many.
    pub(super) fn remove_all(&mut self, is_unwanted: impl Fn(Location) -> bool) -> usize {
        let before = self.count;
        for position in (0..self.table.capacity).rev() {
            // Closing a gap may bring one from further down, which has not been looked at, into this position.
            while Location::from_word(self.table.slot(position).location.load(Ordering::Relaxed))
                .is_some_and(&is_unwanted)
            {
                self.remove(position);
            }
        }
        before - self.count
    }

    /// Gives the group another cover and other pages, filled before; `publish` makes known where the digests are
    /// that it no longer covers.
    pub(super) fn install(&mut self, cover: Cover, pages: &[PageId], count: usize, publish: impl FnOnce()) {
        let group = self.table.group;
        self.change(|| {
            for (entry, id) in group.pages.iter().zip(pages) {
                entry.store(id.0, Ordering::Relaxed);
            }
            group.cover.store(cover.to_word(), Ordering::Relaxed);
            group.state.store(state_word(pages.len(), count) | LOCKED, Ordering::Relaxed);
            publish();
        });
        self.table.capacity = pages.len() * SLOTS_PER_PAGE;
        self.count = count;
    }

    /// Runs `body` while readers are told to wait.
    #[inline]
    fn change(&self, body: impl FnOnce()) {
        let seq = &self.table.group.seq;
        let before = seq.load(Ordering::Relaxed);
        seq.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        body();
        seq.store(before + 2, Ordering::Release);
    }
}

/// Waits a little longer each time, at last letting other threads run.
#[derive(Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn pause(&mut self) {
        self.0 += 1;
        if self.0 < 100 {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}
