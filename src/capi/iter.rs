//! Iterators: the keys of a snapshot in order.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, bytes, grown, guard_iter, guard_store, guard_void, key_bytes};
use super::handles::{Handle, IterHandle, SnapshotHandle};
use super::report::ErrorOut;
use super::status::{BITCASK_BUFFER_TOO_SMALL, BITCASK_DONE, BITCASK_OK, Status};
use crate::features::scan::{Scan, ScanOptions};
use crate::format::record::MAX_KEY_LEN;
use crate::io::disk::Disk;
use crate::sync::Arc;
use crate::{Error, Result};
use std::ffi::c_void;
use std::ptr;

/// A flag of an iterator: from the last key to the first.
pub const BITCASK_ITER_REVERSE: u32 = 1;
/// A flag of an iterator: values are not read and come out empty.
pub const BITCASK_ITER_KEYS_ONLY: u32 = 2;

/// What an iterator goes through, and how. Set it up with `BITCASK_ITER_OPTIONS_INIT`, which lets every key through.
/// Prefix and bounds intersect; a bound of length 0 is none, whatever its address. Keys are compared byte by byte as
/// unsigned numbers, and a key comes before all longer ones that begin with it. Since 1.0.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IterOptions {
    /// sizeof(bitcask_iter_options) as the caller was compiled; `BITCASK_ITER_OPTIONS_INIT` sets it.
    pub struct_size: u32,
    /// 0, or `BITCASK_ITER_REVERSE` and `BITCASK_ITER_KEYS_ONLY` added together.
    pub flags: u32,
    /// Only keys that begin with these bytes.
    pub prefix: *const c_void,
    /// Their number.
    pub prefix_len: usize,
    /// Only this key and those after it.
    pub lower: *const c_void,
    /// Its length.
    pub lower_len: usize,
    /// Only keys before this one.
    pub upper: *const c_void,
    /// Its length.
    pub upper_len: usize,
}

/// Makes an iterator. It stands before its first key: call bitcask_iter_next() to come to it.
///
/// The first iterator after new writes sorts these in memory, about a microsecond each; those of segments that have a
/// hint, which the library makes in the background, need nothing. The keys of a segment are read in pieces of 64 KiB.
///
/// @param db        the store; not NULL
/// @param snapshot  what to go through: a snapshot of `db`, or NULL for the store as it is now
/// @param options   bounds and flags, copied; NULL for all keys in order
/// @param out       receives the iterator; not NULL; NULL unless BITCASK_OK
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE (a bound longer than any key), E_CORRUPT (also in a store that is
///         degraded, see "Statistics"), E_IO, E_NO_MEMORY, E_CLOSED, E_FORKED
///
/// Ownership: free it with bitcask_iter_free(), before or after the snapshot or the store. Threads: any number.
/// Blocks: while the device reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_new(
    db: *const Handle,
    snapshot: *const SnapshotHandle,
    options: *const IterOptions,
    out: *mut *mut IterHandle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = Out::zeroed(out);
        guard_store(db, err, |store| {
            out.required("out")?;
            let taken = BITCASK_ITER_REVERSE | BITCASK_ITER_KEYS_ONLY;
            let options = scan_options("options", options, taken)?.unwrap_or_default();
            let snapshot = match snapshot.as_ref() {
                None => Arc::new(store.snapshot()?),
                Some(held) if held.snapshot.is_of(store) => held.snapshot.clone(),
                Some(_) => return Err(Error::Invalid("snapshot is of another store than db".to_string())),
            };
            let scan = Scan::new(snapshot, &options)?;
            out.set(Box::into_raw(Box::new(IterHandle { scan, is_broken: false })));
            Ok(BITCASK_OK)
        })
    }
}

/// Comes to the next key.
///
/// @param iter  the iterator; not NULL
/// @param err   receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_DONE: there is none, also when asked again; or: E_INVALID, E_CORRUPT (this record is
///         damaged: the next call goes on behind it; two in a row: more than a record is, and bitcask_iter_seek() may
///         lead past it), E_IO and E_NO_MEMORY (the next call tries the same), E_CLOSED, E_FORKED, E_POISONED (after
///         E_PANIC)
///
/// Threads: one at a time an iterator. Blocks: while the device reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_next(iter: *mut IterHandle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { guard_iter(iter, err, |scan| Ok(if scan.advance()? { BITCASK_OK } else { BITCASK_DONE })) }
}

/// Comes to many next keys at once, for languages in which a call costs more than what it does.
///
/// As many entries as fit are written to `buf`, one behind the other without gaps: the key's length and the value's as
/// uint32_t in the machine's byte order, then the bytes of both. Copy the lengths out, they need not be aligned.
/// bitcask_iter_key() has nothing to show afterwards; calls of this function and of bitcask_iter_next() may take turns.
///
/// @param iter   the iterator; not NULL
/// @param buf    memory for `cap` bytes; may be NULL if `cap` is 0
/// @param cap    its size
/// @param count  receives the number of entries; not NULL
/// @param len    receives the number of bytes they take; not NULL
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK: there is at least one; BITCASK_DONE: there are no more keys; BITCASK_BUFFER_TOO_SMALL: `len` is
///         what the next entry takes, and the iterator did not move; or an error as for bitcask_iter_next(), which
///         concerns the entry after those that earlier calls gave. Unless BITCASK_OK, `count` is 0.
///
/// Threads: one at a time an iterator. Blocks: while the device reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_next_many(
    iter: *mut IterHandle,
    buf: *mut c_void,
    cap: usize,
    count: *mut usize,
    len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let (count, len) = (Out::zeroed(count), Out::zeroed(len));
        guard_iter(iter, err, |scan| {
            count.required("count")?;
            len.required("len")?;
            if buf.is_null() && cap > 0 {
                return Err(Error::Invalid(format!("buf is NULL but cap is {cap}")));
            }
            let (mut entries, mut used, mut refused) = (0usize, 0usize, 0usize);
            let more = scan.take_while(|entry| {
                let [first, second] = entry.pieces();
                let needed = 8 + first.len() + second.len();
                if needed > cap - used {
                    refused = needed;
                    return false;
                }
                // `needed` bytes can be written there. It is no slice, because the caller need not have initialised it.
                let to = buf.cast::<u8>().add(used);
                to.cast::<[[u8; 4]; 2]>().write([length(entry.key()), length(entry.value())]);
                ptr::copy_nonoverlapping(first.as_ptr(), to.add(8), first.len());
                ptr::copy_nonoverlapping(second.as_ptr(), to.add(8 + first.len()), second.len());
                (entries, used) = (entries + 1, used + needed);
                true
            })?;
            if entries == 0 && more {
                len.set(refused);
                return Ok(BITCASK_BUFFER_TOO_SMALL);
            }
            count.set(entries);
            len.set(used);
            Ok(if entries > 0 { BITCASK_OK } else { BITCASK_DONE })
        })
    }
}

/// Goes elsewhere: the next call of bitcask_iter_next() comes to the first key that is `key` or after it, with
/// BITCASK_ITER_REVERSE to the first that is `key` or before it, within the iterator's bounds.
///
/// @param iter  the iterator; not NULL
/// @param key   `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param err   receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE, E_CLOSED, E_FORKED, E_POISONED (after E_PANIC)
///
/// Threads: one at a time an iterator. Does not block: reading is left to the next call. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_seek(
    iter: *mut IterHandle,
    key: *const c_void,
    key_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_iter(iter, err, |scan| {
            scan.seek(key_bytes(key, key_len)?)?;
            Ok(BITCASK_OK)
        })
    }
}

/// The key that the iterator has come to.
///
/// @param iter  the iterator; may be NULL
/// @param len   receives the key's length, 0 if there is none; may be NULL
/// @return the bytes, valid until the next call on the iterator; NULL before the first key, after the last, and after
///         an error. An empty key is not NULL.
///
/// Threads: one at a time an iterator. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_key(iter: *const IterHandle, len: *mut usize) -> *const c_void {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { part(iter, len, |scan| scan.key()) }
}

/// The value of the key that the iterator has come to; of length 0 with BITCASK_ITER_KEYS_ONLY. No NUL follows it.
///
/// @param iter  the iterator; may be NULL
/// @param len   receives the value's length, 0 if there is none; may be NULL
/// @return as bitcask_iter_key()
///
/// Threads: one at a time an iterator. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_value(iter: *const IterHandle, len: *mut usize) -> *const c_void {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { part(iter, len, |scan| scan.value()) }
}

/// The version of the value that the iterator has come to, as bitcask_get_version() tells it; also with
/// BITCASK_ITER_KEYS_ONLY.
///
/// @param iter  the iterator; may be NULL
/// @return the version; 0 where bitcask_iter_key() answers NULL
///
/// Threads: one at a time an iterator. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_version(iter: *const IterHandle) -> u64 {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { shown(iter) }.and_then(Scan::version).unwrap_or(0)
}

/// Ends an iterator; the bytes it showed must not be read any more.
///
/// @param iter  an iterator, also of a store that was closed since; NULL does nothing
///
/// Threads: any, but not while another uses it. May close and so remove files of merged segments; cannot fail.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_free(iter: *mut IterHandle) {
    guard_void(|| {
        if !iter.is_null() {
            // SAFETY: the caller's, as the module `capi` states it.
            drop(unsafe { Box::from_raw(iter) });
        }
    });
}

/// What the engine is to walk through, `None` for NULL. Only flags in `taken` may be set; `name` is the parameter's.
///
/// # Safety
/// As for [`grown`], and the addresses in it are as [`bytes`] wants them.
pub(super) unsafe fn scan_options<'a>(
    name: &str,
    options: *const IterOptions,
    taken: u32,
) -> Result<Option<ScanOptions<'a>>> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { grown(name, options)? }) else { return Ok(None) };
    if given.flags & !taken != 0 {
        let what = format!("{name}.flags is {:#x}, this function takes bits of {taken:#x}", given.flags);
        return Err(Error::Invalid(what));
    }
    let limit = MAX_KEY_LEN as u64;
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Some(ScanOptions {
            reverse: given.flags & BITCASK_ITER_REVERSE != 0,
            keys_only: given.flags & BITCASK_ITER_KEYS_ONLY != 0,
            prefix: bytes("prefix", given.prefix, given.prefix_len, limit)?,
            lower: bytes("lower", given.lower, given.lower_len, limit)?,
            upper: bytes("upper", given.upper, given.upper_len, limit)?,
        }))
    }
}

/// The walk, unless a defect was caught in it.
///
/// # Safety
/// `iter` is NULL or an iterator.
unsafe fn shown<'a>(iter: *const IterHandle) -> Option<&'a Scan<Disk>> {
    // SAFETY: the caller's promise.
    unsafe { iter.as_ref() }.filter(|iter| !iter.is_broken).map(|iter| &iter.scan)
}

/// # Safety
/// `iter` is NULL or an iterator, `len` NULL or writable.
unsafe fn part(
    iter: *const IterHandle,
    len: *mut usize,
    part: impl Fn(&Scan<Disk>) -> Option<&[u8]>,
) -> *const c_void {
    // SAFETY: the caller's promise.
    unsafe {
        let len = Out::zeroed(len);
        let Some(bytes) = shown(iter).and_then(part) else {
            return ptr::null();
        };
        len.set(bytes.len());
        bytes.as_ptr().cast::<c_void>()
    }
}

/// A length as it is packed: those of keys and values are below 2^32.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_ne_bytes()
}
