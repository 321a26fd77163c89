//! Snapshots: the store as it was at one moment.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_snapshot, guard_store, guard_void, key_bytes};
use super::handles::{Handle, SnapshotHandle};
use super::memory::{Buffer, ValueOut};
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};
use crate::sync::Arc;
use std::ffi::c_void;

/// Holds the store as it is now: all writes that have returned, batches as a whole or not at all. Whatever is put,
/// deleted or merged afterwards, the snapshot stays as it is. Values with a deadline expire in it, too.
///
/// A snapshot costs the same whatever the store holds, and no write waits for it. It keeps the files of its segments
/// from being given back to the system, so do not hold it longer than needed.
///
/// @param db   the store; not NULL
/// @param out  receives the snapshot; not NULL; NULL unless BITCASK_OK
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_FORKED
///
/// Ownership: free it with bitcask_snapshot_free(), before or after the store is closed; after that all calls on it
/// but this answer E_CLOSED. Threads: any number. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_snapshot_new(
    db: *const Handle,
    out: *mut *mut SnapshotHandle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = Out::zeroed(out);
        guard_store(db, err, |store| {
            out.required("out")?;
            let snapshot = Arc::new(store.snapshot()?);
            out.set(Box::into_raw(Box::new(SnapshotHandle { snapshot })));
            Ok(BITCASK_OK)
        })
    }
}

/// Copies the value that a key had when the snapshot was taken.
///
/// Costs about as much as bitcask_get() if the key was not written since. Otherwise the hints of the segments are
/// asked, newest first.
///
/// @param snapshot   the snapshot; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      receives a copy, never NULL on BITCASK_OK, also for an empty value, and a NUL follows it that
///                   `value_len` does not count; not NULL
/// @param value_len  receives its length; not NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND; or: E_INVALID, E_TOO_LARGE, E_CORRUPT, E_IO, E_NO_MEMORY, E_CLOSED,
///         E_FORKED. Unless BITCASK_OK, the outputs are zero.
///
/// Ownership: free the value with bitcask_free(). Threads: any number. Blocks: while the device reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_snapshot_get(
    snapshot: *const SnapshotHandle,
    key: *const c_void,
    key_len: usize,
    value: *mut *mut c_void,
    value_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = ValueOut::zeroed(value, value_len);
        guard_snapshot(snapshot, err, |snapshot| {
            out.required()?;
            let key = key_bytes(key, key_len)?;
            out.set(snapshot.get(key, Buffer::copy_of)?)
        })
    }
}

/// Ends a snapshot. Iterators over it go on.
///
/// @param snapshot  a snapshot, also of a store that was closed since; NULL does nothing
///
/// Threads: any, but not while another uses it. May close and so remove files of merged segments; cannot fail.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_snapshot_free(snapshot: *mut SnapshotHandle) {
    guard_void(|| {
        if !snapshot.is_null() {
            // SAFETY: the caller's, as the module `capi` states it.
            drop(unsafe { Box::from_raw(snapshot) });
        }
    });
}
