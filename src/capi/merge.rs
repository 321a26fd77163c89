//! Merging on demand.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{guard_store, text};
use super::handles::Handle;
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};
use crate::options::MergePolicy;
use std::ffi::c_char;

/// Merges segments now: what is dead in them is left behind, and their space is given back.
///
/// Reads and writes go on. Without options whatever has dead bytes is merged, all but the segment that is being
/// written to; see "Merge" for what can be chosen.
/// Progress is in the statistics: merge_done_bytes of merge_input_bytes. Until the last moment of each merge
/// everything is as it was before it, so a merge that fails, or whose process dies, costs nothing but its work.
///
/// @param db            the store; not NULL
/// @param options_json  a JSON object of options, NUL-terminated; NULL or "" for none
/// @param err           receives the reason of a failure; may be NULL
/// @return BITCASK_OK, also when there was nothing to merge; or: E_INVALID (an option, or the store was opened
///         with "merge": "off"), E_CORRUPT (a segment turned out damaged: it is left alone from now on),
///         E_NO_SPACE, E_IO, E_NO_MEMORY, E_POISONED, E_READ_ONLY, E_FORKED
///
/// Threads: any number; merges take their turn. Blocks until the merges are done, which may take as long as
/// reading and writing all segments. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_merge(
    db: *mut Handle,
    options_json: *const c_char,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let policy = MergePolicy::from_json(text("options_json", options_json)?.unwrap_or_default())?;
            store.merge(&policy)?;
            Ok(BITCASK_OK)
        })
    }
}
