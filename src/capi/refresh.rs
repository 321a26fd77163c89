//! Bringing a reader up to date.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::guard_store;
use super::handles::Handle;
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};

/// Brings a read-only handle up to date: it then shows every write that was answered, by the writer's process, before
/// this call. A handle that writes sees everything anyway, and the call does nothing.
///
/// Reads by other threads go on meanwhile; each key goes from the value it had to the one it has at once. The cost
/// goes with what was written since the last call; after a merge also with the number of keys. In a backup all is read anew
/// if its store was opened again meanwhile.
///
/// @param db   the store; not NULL
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_CORRUPT (what is new is damaged, or the store was opened degraded: a new handle tells
///         what can still be vouched for), E_IO (also when another store is in the directory now, or none: open the
///         path anew), E_FORMAT, E_NO_MEMORY, E_INVALID, E_FORKED. The handle then goes on with what it had and
///         perhaps some of what is new, never with an older value than it showed, and the next call goes on.
///
/// Threads: any number; refreshes of one handle take their turn. Blocks while it reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_refresh(db: *const Handle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            store.refresh()?;
            Ok(BITCASK_OK)
        })
    }
}
