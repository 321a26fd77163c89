//! Deleting a range of keys.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_store, null};
use super::handles::Handle;
use super::iter::{IterOptions, scan_options};
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};

/// Removes all keys of a range and their values, except those that are written meanwhile: they keep what they are given.
///
/// A deletion of a range is not atomic. It goes through a snapshot of the store, reading no values, and writes batches of
/// some hundred deletions, each of which is atomic: after a crash it is there whole or not at all. When an error or a
/// crash ends it early, calling it again removes the rest. Values that have expired are not looked at.
///
/// @param db       the store; not NULL
/// @param range    prefix and bounds as for an iterator, flags 0; not NULL: to remove all keys, give
///                 BITCASK_ITER_OPTIONS_INIT
/// @param deleted  receives how many keys had a value and were removed, 0 unless BITCASK_OK; may be NULL
/// @param err      receives the reason of a failure, and how many keys were removed before it; may be NULL
/// @return BITCASK_OK, also if there were none, or: E_INVALID, E_TOO_LARGE (a bound longer than any key), E_CORRUPT, or an
///         error as for bitcask_batch_write()
///
/// Threads: any number; other writers wait for one batch at the longest. Blocks: as long as it takes, see
/// bitcask_iter_new() and bitcask_batch_write(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_delete_range(
    db: *mut Handle,
    range: *const IterOptions,
    deleted: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let deleted = Out::zeroed(deleted);
        guard_store(db, err, |store| {
            let range = scan_options("range", range, 0)?.ok_or_else(|| null("range"))?;
            deleted.set(store.delete_range(&range)?);
            Ok(BITCASK_OK)
        })
    }
}
