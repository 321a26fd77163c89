//! The memory of the index: fixed pages of slots, cut from 2 MiB chunks of anonymous memory.
//!
//! Invariant: a page once handed out stays mapped, at the same address, as long as the arena lives. Pages that are
//! given back are handed out again, never unmapped, so a reader that comes late reads slots of another group, which
//! its sequence check then rejects, but never unmapped memory. Page 0 is never handed out: it stands for "none", and
//! is mapped all the same.
//!
//! Chunks begin as ordinary pages of the system, so that a write that touches one for the first time pays for 4 KiB
//! and not for 2 MiB. Only [`Arena::prepare`], called from a background thread, advises huge pages and touches a
//! chunk ahead of its use. What the pages hold is for others.

#![expect(unsafe_code, reason = "slots live in anonymous mappings that are addressed through raw pointers")]

use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::{Error, Result};
use memmap2::{Advice, MmapOptions, MmapRaw};

/// Slots in a page; a power of two, so that a position splits by shifting.
pub(super) const SLOTS_PER_PAGE: usize = 1 << SLOTS_PER_PAGE_SHIFT;
pub(super) const SLOTS_PER_PAGE_SHIFT: u32 = 8;
pub(super) const PAGE_BYTES: usize = size_of::<Page>();

/// A huge page of x86-64 and aarch64.
const CHUNK_BYTES: usize = 2 << 20;
const PAGES_PER_CHUNK: usize = CHUNK_BYTES / PAGE_BYTES;
/// A page id is the chunk's number over this many bits of place in it.
const PAGE_IN_CHUNK_BITS: u32 = PAGES_PER_CHUNK.next_power_of_two().trailing_zeros();
/// 512 GiB of slots: 17 thousand million keys. The table of chunk addresses takes 2 MiB of addresses, touched as used.
const MAX_CHUNKS: usize = 1 << 18;
pub(super) const MAX_PAGES: usize = MAX_CHUNKS * PAGES_PER_CHUNK;

/// Below this many chunks (64 MiB) the arena is made ready in small steps: a huge page would cost a small store
/// more memory a key than it saves in address translation.
const SMALL_ARENA_CHUNKS: usize = 32;
/// How far ahead of use a small arena is made ready, in pages: 132 KiB, about three times what one growth takes.
const SMALL_AHEAD_PAGES: usize = 22;
/// A large arena gets its next chunk when this many pages of the ready ones are left.
const LARGE_AHEAD_PAGES: usize = PAGES_PER_CHUNK / 4;
/// Mappings grow with the arena, so the table of them never needs to.
const MAX_EXTENTS: usize = 512;
/// The smallest page the system maps; one write in each faults a range in.
const SYSTEM_PAGE_BYTES: usize = 4096;

const _: () = assert!(PAGES_PER_CHUNK <= 1 << PAGE_IN_CHUNK_BITS && PAGE_BYTES % SYSTEM_PAGE_BYTES == 2048);

/// A place for one key: its digest and its location's word, 0 when the slot is free.
#[repr(C)]
pub(super) struct Slot {
    pub(super) lo: AtomicU64,
    pub(super) hi: AtomicU64,
    pub(super) location: AtomicU64,
}

/// A page of slots.
#[repr(C)]
pub(super) struct Page(pub(super) [Slot; SLOTS_PER_PAGE]);

/// Names a page of one arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageId(pub(super) u32);

impl PageId {
    pub(super) const NONE: PageId = PageId(0);

    /// The id of the `index`-th page ever cut.
    fn nth(index: usize) -> Self {
        let id = ((index / PAGES_PER_CHUNK) << PAGE_IN_CHUNK_BITS) | (index % PAGES_PER_CHUNK);
        PageId(u32::try_from(id).expect("MAX_CHUNKS keeps ids within 32 bits"))
    }
}

/// Fields that every reader loads, kept off the lines that growth writes.
#[repr(align(128))]
struct Shared {
    /// Address of each chunk; points into `Arena::_table`.
    chunks: *const AtomicPtr<Page>,
}

/// Hands out pages.
pub(super) struct Arena {
    shared: Shared,
    /// Pages that can be taken without asking the system for addresses.
    available: AtomicUsize,
    /// Whether [`Arena::prepare`] has something to do.
    wants_prepare: AtomicBool,
    growth: Mutex<Growth>,
    _table: MmapRaw,
}

// SAFETY: the only field that is not Send by itself is the pointer in `shared`. It points into `_table`, which moves
// with the arena and whose memory stays where it is.
unsafe impl Send for Arena {}
// SAFETY: as above; what it points to are atomics.
unsafe impl Sync for Arena {}

struct Growth {
    extents: Vec<MmapRaw>,
    mapped_pages: usize,
    /// Index of the first page never handed out.
    fresh: usize,
    /// Index of the first page that `prepare` has not touched.
    ready: usize,
    /// Pages taken at once by `Arena::take_fresh`; `prepare` goes through them too.
    presized: usize,
    /// Head of the list of pages given back; each holds the next one's id in its first location word.
    free_head: PageId,
    free_pages: usize,
}

impl Arena {
    /// An arena with at least `pages` pages to hand out, none of them touched.
    pub(super) fn new(pages: usize) -> Result<Self> {
        let table = map(MAX_CHUNKS * size_of::<AtomicPtr<Page>>())?;
        let arena = Arena {
            shared: Shared { chunks: table.as_mut_ptr().cast() },
            available: AtomicUsize::new(0),
            wants_prepare: AtomicBool::new(true),
            growth: Mutex::new(Growth {
                extents: Vec::with_capacity(MAX_EXTENTS),
                mapped_pages: 0,
                fresh: 1,
                ready: 1,
                presized: 0,
                free_head: PageId::NONE,
                free_pages: 0,
            }),
            _table: table,
        };
        arena.ensure(pages.max(1))?;
        Ok(arena)
    }

    /// The page called `id`, which came from this arena or is `PageId::NONE`.
    #[inline(always)]
    pub(super) fn page(&self, id: PageId) -> &Page {
        // SAFETY: ids are made by `PageId::nth` for mapped pages only, so the chunk's number is within the table,
        // its entry was set before the id existed, and whoever holds the id got it through an acquiring load or a
        // lock (or, in a reader that lost a race, after the id was published by one: a chunk's entry never changes
        // again). The page is mapped as long as `self` lives and is only ever accessed through atomics.
        unsafe {
            let chunk = &*self.shared.chunks.add((id.0 >> PAGE_IN_CHUNK_BITS) as usize);
            let first = chunk.load(Ordering::Relaxed);
            &*first.add((id.0 & ((1 << PAGE_IN_CHUNK_BITS) - 1)) as usize)
        }
    }

    /// Pages that [`Arena::take`] can hand out without asking the system.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.available.load(Ordering::Relaxed)
    }

    /// Makes sure that `pages` pages can be taken.
    pub(super) fn ensure(&self, pages: usize) -> Result<()> {
        if self.available() >= pages {
            return Ok(());
        }
        let mut growth = self.growth.lock();
        let result = self.map_until(&mut growth, pages);
        self.available.store(growth.available(), Ordering::Relaxed);
        result
    }

    /// Hands out a page for each element of `ids`, or none. Their contents are whatever was there.
    pub(super) fn take(&self, ids: &mut [PageId]) -> Result<()> {
        let mut growth = self.growth.lock();
        self.map_until(&mut growth, ids.len())?;
        for id in ids.iter_mut() {
            *id = match growth.free_head {
                PageId::NONE => {
                    growth.fresh += 1;
                    PageId::nth(growth.fresh - 1)
                }
                head => {
                    let next = self.page(head).0[0].location.load(Ordering::Relaxed);
                    growth.free_head = PageId(u32::try_from(next).expect("give_back stored an id"));
                    growth.free_pages -= 1;
                    head
                }
            };
        }
        self.note(&growth);
        Ok(())
    }

    /// Hands out `count` pages that were never used, all slots free; `each` is told every id in turn.
    pub(super) fn take_fresh(&self, count: usize, mut each: impl FnMut(PageId)) -> Result<()> {
        let mut growth = self.growth.lock();
        let taken = growth.free_pages;
        self.map_until(&mut growth, taken + count)?;
        for index in growth.fresh..growth.fresh + count {
            each(PageId::nth(index));
        }
        growth.fresh += count;
        growth.presized = growth.fresh;
        self.note(&growth);
        Ok(())
    }

    /// Takes pages back. The caller has unlinked them and published that.
    pub(super) fn give_back(&self, ids: &[PageId]) {
        let mut growth = self.growth.lock();
        for &id in ids {
            self.page(id).0[0].location.store(u64::from(growth.free_head.0), Ordering::Relaxed);
            growth.free_head = id;
        }
        growth.free_pages += ids.len();
        self.note(&growth);
    }

    /// Bytes handed out or made ready at the highest point so far.
    pub(super) fn bytes(&self) -> u64 {
        let growth = self.growth.lock();
        (growth.fresh.max(growth.ready) * PAGE_BYTES) as u64
    }

    /// Whether [`Arena::prepare`] would do anything.
    #[inline]
    pub(super) fn wants_prepare(&self) -> bool {
        self.wants_prepare.load(Ordering::Relaxed)
    }

    /// Faults in memory ahead of its use: at most one chunk a call. Answers whether there is more to do.
    pub(super) fn prepare(&self) -> bool {
        let mut growth = self.growth.lock();
        // Addresses are asked for here, too, so that the puts to come need not. Failure is theirs to report.
        let _ = self.map_until(&mut growth, LARGE_AHEAD_PAGES);
        let Some(step) = growth.next_step() else {
            self.note(&growth);
            return false;
        };
        if step.huge {
            growth.advise_huge(self.page(PageId::nth(step.from)));
        }
        drop(growth);
        self.touch(step.from, step.to);
        let mut growth = self.growth.lock();
        growth.ready = growth.ready.max(step.to);
        self.note(&growth);
        growth.next_step().is_some()
    }

    /// Faults in every system page of pages `from..to` by a write. An exchange of 0 for 0 is one that a compiler does
    /// not turn into a read, and where it fails the memory is there already.
    fn touch(&self, from: usize, to: usize) {
        for index in from..to {
            let page = self.page(PageId::nth(index));
            for slot in page.0.iter().step_by(SYSTEM_PAGE_BYTES / 2 / size_of::<Slot>()) {
                let _ = slot.location.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    fn note(&self, growth: &Growth) {
        self.available.store(growth.available(), Ordering::Relaxed);
        self.wants_prepare.store(growth.next_step().is_some(), Ordering::Relaxed);
    }

    /// Maps chunks until `pages` pages are available.
    fn map_until(&self, growth: &mut Growth, pages: usize) -> Result<()> {
        let available = growth.available();
        if available >= pages {
            return Ok(());
        }
        let mapped_chunks = growth.mapped_pages / PAGES_PER_CHUNK;
        let needed_chunks = (pages - available).div_ceil(PAGES_PER_CHUNK);
        let chunks = needed_chunks.max(mapped_chunks / 8);
        let bytes = chunks.saturating_mul(CHUNK_BYTES);
        if mapped_chunks + chunks > MAX_CHUNKS || growth.extents.len() == MAX_EXTENTS {
            return Err(Error::NoMemory { bytes });
        }
        // One chunk more than is used, since the mapping need not begin on a chunk's boundary. It is never touched.
        let extent = map(bytes + CHUNK_BYTES)?;
        // Where huge pages are the system's default, a first touch would cost a put 2 MiB; see the module's head.
        #[cfg(target_os = "linux")]
        let _ = extent.advise(Advice::NoHugePage);
        let first = extent.as_mut_ptr();
        let skip = first.align_offset(CHUNK_BYTES);
        for number in 0..chunks {
            // SAFETY: within the extent, which is `chunks + 1` chunks long, of which alignment skips less than one;
            // and within the table, since the sum was checked against its length.
            unsafe {
                let chunk = first.add(skip + number * CHUNK_BYTES).cast::<Page>();
                (*self.shared.chunks.add(mapped_chunks + number)).store(chunk, Ordering::Release);
            }
        }
        growth.extents.push(extent);
        growth.mapped_pages += chunks * PAGES_PER_CHUNK;
        Ok(())
    }
}

/// A range of pages for `prepare` to touch.
struct Step {
    from: usize,
    to: usize,
    huge: bool,
}

impl Growth {
    fn available(&self) -> usize {
        self.free_pages + self.mapped_pages.saturating_sub(self.fresh)
    }

    fn next_step(&self) -> Option<Step> {
        let chunk_end = |index: usize| (index / PAGES_PER_CHUNK + 1) * PAGES_PER_CHUNK;
        let from = if self.ready < self.presized { self.ready } else { self.ready.max(self.fresh) };
        let small = from < SMALL_ARENA_CHUNKS * PAGES_PER_CHUNK;
        let presized = from < self.presized;
        let (to, due) = match (presized, small) {
            // The rest of the chunk may never be needed.
            (true, true) => (self.presized.min(chunk_end(from)), true),
            (true, false) => (chunk_end(from), true),
            (false, true) => {
                let to = (self.fresh + SMALL_AHEAD_PAGES).min(chunk_end(from));
                (to, from < self.fresh + SMALL_AHEAD_PAGES / 2)
            }
            (false, false) => (chunk_end(from), from < self.fresh + LARGE_AHEAD_PAGES),
        };
        let to = to.min(self.mapped_pages);
        let whole = from % PAGES_PER_CHUNK == 0 && to == chunk_end(from);
        let huge = whole && (!small || presized);
        (due && from < to).then_some(Step { from, to, huge })
    }

    /// Asks for a huge page under the chunk that begins with `page`. Where there are none, ordinary ones will do.
    fn advise_huge(&self, page: &Page) {
        let address = std::ptr::from_ref(page).addr();
        for extent in &self.extents {
            let start = extent.as_ptr().addr();
            if (start..start + extent.len()).contains(&address) {
                #[cfg(target_os = "linux")]
                let _ = extent.advise_range(Advice::HugePage, address - start, CHUNK_BYTES);
            }
        }
    }
}

/// Anonymous memory, all zero, taken from the system when touched.
pub(super) fn map(bytes: usize) -> Result<MmapRaw> {
    MmapOptions::new().len(bytes).map_anon().map(MmapRaw::from).map_err(|_| Error::NoMemory { bytes })
}

/// Asks for the cache line at `at`; never faults, never waits.
#[inline(always)]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it has no effect on memory whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_taken_at_once_are_made_ready_and_few_beyond() {
        for count in [1, 100, PAGES_PER_CHUNK - 1, PAGES_PER_CHUNK, 3 * PAGES_PER_CHUNK + 5] {
            let arena = Arena::new(count).unwrap();
            arena.take_fresh(count, |_| ()).unwrap();
            while arena.prepare() {}
            let growth = arena.growth.lock();
            let wanted = growth.fresh..=growth.fresh + SMALL_AHEAD_PAGES;
            assert!(wanted.contains(&growth.ready), "{count} pages: {} ready, not {wanted:?}", growth.ready);
        }
    }
}
