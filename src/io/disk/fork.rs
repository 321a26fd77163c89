//! Telling a process from its forked children, and closing in the child what belongs to the parent.
//!
//! Two invariants. A token is never 0, and is greater than every token handed out in a process that this one
//! was forked from. A registered descriptor is closed in each child before `fork` returns there, so that a
//! child that outlives the owner does not keep the owner's `flock`.
//!
//! The token lies on a page that the kernel zeroes in a child (`MADV_WIPEONFORK`), so even a child made by a
//! bare `clone` is told apart. Where the kernel or an emulator does not offer it, the `pthread_atfork` handler
//! zeroes the word, which sees every `fork` of the C library.
//!
//! The atomics are the standard library's own, not those of [`crate::sync`]: one of them is laid over raw
//! memory, and the handler runs in the child of a threaded process, where only async-signal-safe work is
//! allowed. Hence also no lock anywhere: a lock held by another thread at the fork stays held in the child.
#![expect(unsafe_code, reason = "a page from the kernel, a C library hook, and close in its handler")]

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};

unsafe extern "C" {
    /// The C library's own; the `libc` crate does not declare it for Linux.
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> libc::c_int;
}

/// Where the token lies before the first question. Stays 0.
static UNDECIDED: AtomicU64 = AtomicU64::new(0);
/// Where it lies when there is no page that a fork wipes.
static UNWIPED: AtomicU64 = AtomicU64::new(0);
/// Where it lies. Changes once, away from `UNDECIDED`, before the first token is handed out.
static TOKEN: AtomicPtr<AtomicU64> = AtomicPtr::new((&raw const UNDECIDED).cast_mut());
/// The last token issued here or in an ancestor: a child inherits it.
static LAST_ISSUED: AtomicU64 = AtomicU64::new(0);
/// Whether the handler is in place.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// This process's token.
#[inline]
pub(super) fn process_token() -> u64 {
    // SAFETY: `TOKEN` points at a static or at the page, which is never unmapped once it is in `TOKEN`.
    let token = unsafe { &*TOKEN.load(Ordering::Acquire) }.load(Ordering::Relaxed);
    if token != 0 { token } else { issue_token() }
}

/// The first question in this process, or the first since it was forked.
#[cold]
fn issue_token() -> u64 {
    // Without the handler the page alone still tells the child apart; `watch` reports the failure where it
    // matters.
    let _ = watch();
    let mut place = TOKEN.load(Ordering::Acquire);
    if ptr::eq(place, &raw const UNDECIDED) {
        let page = wiped_page();
        let chosen = page.unwrap_or((&raw const UNWIPED).cast_mut());
        place = match TOKEN.compare_exchange(place, chosen, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => chosen,
            Err(decided) => {
                if let Some(page) = page {
                    // SAFETY: the page was mapped above and lost the race, so nobody else knows of it.
                    unsafe { libc::munmap(page.cast(), page_bytes()) };
                }
                decided
            }
        };
    }
    // Counted before it is published: a child forked in between then starts above it.
    let candidate = LAST_ISSUED.fetch_add(1, Ordering::AcqRel) + 1;
    // SAFETY: as in `process_token`.
    match unsafe { &*place }.compare_exchange(0, candidate, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => candidate,
        Err(issued) => issued,
    }
}

fn page_bytes() -> usize {
    // SAFETY: a question without pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// A zeroed page that the kernel zeroes again in every child, where that is offered.
fn wiped_page() -> Option<*mut AtomicU64> {
    let len = page_bytes();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh anonymous mapping at a place of the kernel's choice touches no existing memory.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // An emulator that answers 0 to advice it does not know would leave the token standing in the child, so
    // advice that nobody knows must be refused first.
    // SAFETY: the range is the page just mapped, which holds nothing yet.
    let wiped =
        unsafe { libc::madvise(page, len, -1) != 0 && libc::madvise(page, len, libc::MADV_WIPEONFORK) == 0 };
    if !wiped {
        // SAFETY: the page was mapped above and nobody else knows of it.
        unsafe { libc::munmap(page, len) };
        return None;
    }
    Some(page.cast())
}

/// Puts the handler in place; called before anything is registered.
pub(super) fn watch() -> io::Result<()> {
    if WATCHING.load(Ordering::Acquire) {
        return Ok(());
    }
    // Two threads may both get here: a second run of the handler finds nothing left to do.
    // SAFETY: the handler is a plain function that lives as long as this library; when the library is unloaded
    // the C library takes back the handlers it registered.
    match unsafe { pthread_atfork(None, None, Some(in_child)) } {
        0 => {
            WATCHING.store(true, Ordering::Release);
            Ok(())
        }
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Runs in the child's only thread before `fork` returns there: atomics and `close`, nothing else.
unsafe extern "C" fn in_child() {
    UNWIPED.store(0, Ordering::Release);
    let mut block = Some(&FIRST_BLOCK);
    while let Some(Block { slots, next }) = block {
        for slot in slots {
            let fd = slot.swap(FREE, Ordering::AcqRel);
            if fd != FREE {
                // SAFETY: a registered descriptor is open, and in this process nobody uses it: `DiskDir`
                // compares tokens before it touches its own.
                unsafe { libc::close(fd) };
            }
        }
        // SAFETY: a block that was linked in is never freed.
        block = unsafe { next.load(Ordering::Acquire).as_ref() };
    }
}

/// No descriptor has this number.
const FREE: RawFd = -1;
const SLOTS_PER_BLOCK: usize = 62;

/// Registered descriptors; blocks are added, never taken away.
struct Block {
    slots: [AtomicI32; SLOTS_PER_BLOCK],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Self {
        Block {
            slots: [const { AtomicI32::new(FREE) }; SLOTS_PER_BLOCK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

static FIRST_BLOCK: Block = Block::new();

/// A descriptor's place in the registry.
#[derive(Debug)]
pub(super) struct Registration {
    slot: &'static AtomicI32,
}

impl Registration {
    /// Has `fd` closed in every child from now on.
    pub(super) fn new(fd: RawFd) -> Self {
        let mut block = &FIRST_BLOCK;
        loop {
            for slot in &block.slots {
                if slot.compare_exchange(FREE, fd, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return Registration { slot };
                }
            }
            block = block_after(block);
        }
    }

    /// Ends it; to be called before the descriptor is closed, else a child forked in between closes whatever
    /// has the number by then. In a child the handler has ended it already and the place may be taken anew.
    pub(super) fn end(&self) {
        self.slot.store(FREE, Ordering::Release);
    }
}

fn block_after(block: &'static Block) -> &'static Block {
    let mut next = block.next.load(Ordering::Acquire);
    if next.is_null() {
        let fresh = Box::into_raw(Box::new(Block::new()));
        next = match block.next.compare_exchange(next, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(linked) => {
                // SAFETY: `fresh` came out of a box above and was not linked in.
                drop(unsafe { Box::from_raw(fresh) });
                linked
            }
        };
    }
    // SAFETY: not null, and a block that was linked in is never freed.
    unsafe { &*next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_stable_and_not_zero() {
        let token = process_token();
        assert_ne!(token, 0);
        assert_eq!(process_token(), token);
    }

    #[test]
    fn threads_that_ask_first_together_get_one_token() {
        let all: Vec<u64> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(process_token)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|&token| token == all[0]), "{all:?}");
    }

    #[test]
    fn the_registry_grows_past_its_first_block_and_takes_places_back() {
        // Numbers no open file has here: a child forked by another test must not lose anything.
        let number = |i: usize| i32::try_from(1_000_000 + i).unwrap();
        let first: Vec<_> = (0..3 * SLOTS_PER_BLOCK).map(|i| Registration::new(number(i))).collect();
        let places: std::collections::HashSet<_> = first.iter().map(|r| ptr::from_ref(r.slot)).collect();
        assert_eq!(places.len(), first.len(), "each descriptor has a place of its own");
        first.iter().for_each(Registration::end);
        let again = Registration::new(number(0));
        assert!(places.contains(&ptr::from_ref(again.slot)), "a free place is used again");
        again.end();
    }
}
