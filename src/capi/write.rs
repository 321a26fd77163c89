//! Writing one key, and making writes durable.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{guard_store, key_bytes, value_bytes};
use super::handles::Handle;
use super::report::ErrorOut;
use super::status::{BITCASK_NOT_FOUND, BITCASK_OK, Status};
use std::ffi::c_void;

/// Stores a value under a key, in place of any earlier one and its deadline.
///
/// When it answers BITCASK_OK the write has reached the kernel, so it survives the death of this process; what
/// it takes to survive a power cut is said under "Durability". When it answers an error the write may or may
/// not be there after a crash, but never half of it.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      `value_len` bytes, at most 2^32 - 1; may be NULL if `value_len` is 0
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE, E_NO_SPACE (nothing was changed; try again when there is
///         space), E_IO, E_NO_MEMORY, E_READ_ONLY, E_POISONED, E_FORKED
///
/// Ownership: nothing is kept of `key` and `value`. Threads: any number on one store; writes take their turn.
/// Blocks: for one write to the kernel; with "sync": "always" until the device has it. A write that fails after
/// the system may have taken some of it is cut off again, and that waits for one sync of the segment, as do the
/// writes behind it. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_put(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let value = value_bytes("value", value, value_len)?;
            store.put(key, value)?;
            Ok(BITCASK_OK)
        })
    }
}

/// Removes a key and its value.
///
/// @param db   the store; not NULL
/// @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK: the key was there and is not any more, as durable as any write; BITCASK_NOT_FOUND: there
///         was no such key and nothing was written, or its value had expired; or an error as for bitcask_put()
///
/// That a value which had expired is gone is written down, so that no clock that is set back shows it again.
///
/// In a store that is degraded, see "Statistics", it writes the removal and answers BITCASK_OK also for a key that
/// the store cannot vouch for, where bitcask_get() answers E_CORRUPT: the key may have been there or not, and is
/// not any more.
///
/// Threads and blocking: as bitcask_put(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_delete(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let was_there = store.delete(key_bytes(key, key_len)?)?;
            Ok(if was_there { BITCASK_OK } else { BITCASK_NOT_FOUND })
        })
    }
}

/// Waits until every write that was answered before this call is durable against power loss.
///
/// A sync that fails is final: the system may have dropped the bytes and say OK the next time, so the handle
/// stops taking writes (E_POISONED). Reads go on. Close and open the store to see what the device really has.
///
/// @param db   the store; not NULL
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_IO, E_NO_SPACE, E_NO_MEMORY, E_POISONED, E_READ_ONLY, E_FORKED
///
/// Threads: any number; callers at the same time share one sync. Blocks until the device answers.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_sync(db: *mut Handle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            store.sync()?;
            Ok(BITCASK_OK)
        })
    }
}
