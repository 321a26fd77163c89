//! A read-only view of a file's page cache.
//!
//! The mapping is shared, so bytes that [`write_at`](crate::io::env::File::write_at) puts behind its old end
//! appear in it, and it may be made longer than the file: a growing segment is mapped once, not at each
//! append. It is held as a raw pointer, never as one slice, because a slice would claim that bytes beyond the
//! file's end exist; only ranges that were asked for become slices.
#![expect(unsafe_code, reason = "a range of the mapping becomes a slice; prefetch takes an address")]

use crate::io::env::Map;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::io;
use std::os::fd::RawFd;

/// From this length on a range is announced to the kernel before it is touched. Without read-ahead each page of
/// a cold value is a disk access of its own (64 KiB: 1,880 us, announced 266 us); below it the call would cost
/// a warm read more than it saves a cold one.
const ANNOUNCED_BYTES: usize = 32 << 10;

/// What a processor fetches at a time.
const LINE_BYTES: usize = 64;

/// A mapping of a [`DiskFile`](super::DiskFile).
#[derive(Debug)]
pub struct DiskMap {
    /// `None` maps nothing: the kernel refuses a mapping of length 0.
    pages: Option<MmapRaw>,
}

impl DiskMap {
    /// Maps the first `len` bytes, or answers `None` where the address space is too small for whole segments.
    pub(super) fn new(fd: RawFd, len: u64) -> io::Result<Option<Self>> {
        if !cfg!(target_pointer_width = "64") {
            return Ok(None);
        }
        if len == 0 {
            return Ok(Some(DiskMap { pages: None }));
        }
        let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        let pages = MmapOptions::new().len(len).map_raw_read_only(fd)?;
        // One record is wanted, not its neighbours: read-ahead fetched 636 KiB for a cold record of 100 bytes
        // here and took 830 us instead of 95. Warm pages are mapped in groups either way (0.07 faults a read).
        // Only advice, so a refusal changes nothing.
        let _ = pages.advise(Advice::Random);
        Ok(Some(DiskMap { pages: Some(pages) }))
    }

    /// The address of `offset` when `len` bytes from there lie inside the mapping.
    fn at(&self, offset: u64, len: usize) -> Option<*const u8> {
        let offset = usize::try_from(offset).ok()?;
        let mapped = self.pages.as_ref().map_or(0, MmapRaw::len);
        if offset.checked_add(len)? > mapped {
            return None;
        }
        match &self.pages {
            Some(pages) => Some(pages.as_ptr().wrapping_add(offset)),
            None => Some(std::ptr::NonNull::dangling().as_ptr()),
        }
    }
}

impl Map for DiskMap {
    fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = self.at(offset, len)?;
        if len >= ANNOUNCED_BYTES {
            self.announce(offset, len);
        }
        // SAFETY: `at` has checked that the range lies inside the mapping (or is empty and the pointer
        // dangles, which an empty slice allows); the mapping lives as long as `self`; by the contract of
        // `Map` the file holds the range already and nobody writes it again. A file cut short by another
        // program is SIGBUS, which the manual says; it is never other bytes.
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }

    #[cold]
    fn announce(&self, offset: u64, len: usize) {
        if let (Some(pages), Ok(offset)) = (&self.pages, usize::try_from(offset)) {
            // Only advice, so a refusal changes nothing.
            let _ = pages.advise_range(Advice::WillNeed, offset, len);
        }
    }

    #[inline]
    fn prefetch(&self, offset: u64, len: usize) {
        if let Some(address) = self.at(offset, len) {
            (0..len).step_by(LINE_BYTES).for_each(|line| prefetch_line(address.wrapping_add(line)));
        }
    }
}

#[inline]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint that never faults, whatever the address; SSE is part of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction is a hint that never faults, whatever the address; it changes no register.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
