//! Backups of an open store.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::guard_store;
use super::handles::Handle;
use super::json::JsonOut;
use super::open::directory;
use super::report::ErrorOut;
use super::status::Status;
use std::ffi::c_char;

/// Makes a directory a backup of the store as it is now: all writes that have returned, batches as a whole or not at all.
/// Writes and merges go on meanwhile. See "Backups" above for what a backup is and what the report says.
///
/// The directory is made, with mode 0700, if there is none (its parent must exist). It may be empty, or hold an earlier
/// backup of the same store that was never opened for writing: then only what is new is brought, and what is no longer of
/// the store is removed at the end. When this answers BITCASK_OK, all of the backup is durable, also writes that the store
/// itself has not synced yet. Until then, and whenever it fails or is cut off, the earlier backup is there as it was.
///
/// A store that takes no more writes (E_POISONED) can be backed up, as it reads. So can a degraded one, and the backup is
/// degraded as it is.
///
/// @param db          the store, which may be read-only: then what it shows is backed up; not NULL
/// @param dest        the directory, in the system's own encoding; not NULL, not empty
/// @param report      receives a report as one JSON object, with an uncounted NUL behind it; may be NULL; NULL unless
///                    BITCASK_OK
/// @param report_len  receives its length in bytes; may be NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (`dest` is the store's own directory or in it, holds files that are not a backup's, a
///         backup of another database, one that was opened for writing, or one of a later state than the store is in),
///         E_LOCKED (another backup into it is under way, or it is open for writing), E_CORRUPT (its manifest is damaged,
///         or a segment of the store that had to be read turned out so), E_FORMAT (it is of a newer version), E_IO,
///         E_NO_SPACE, E_NO_MEMORY, E_FORKED
///
/// Ownership: free `*report` with bitcask_free(). Threads: any number; backups into different directories run at the same
/// time. Blocks until the backup is complete, which takes as long as copying what cannot be linked, and for a moment while
/// the store's manifest is replaced. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_backup(
    db: *const Handle,
    dest: *const c_char,
    report: *mut *mut c_char,
    report_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(report, report_len);
        guard_store(db, err, |store| {
            let made = store.backup(directory("dest", dest)?)?;
            output.offer(&made.to_json())
        })
    }
}
