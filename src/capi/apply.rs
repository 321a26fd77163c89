//! Taking over changes of another store.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{bytes, grown, guard_store, key_bytes, null, struct_size, value_bytes};
use super::feed::{
    BITCASK_CHANGE_BATCH_END, BITCASK_CHANGE_DELETE, BITCASK_CHANGE_EXPIRES, BITCASK_CHANGE_JSON,
    BITCASK_CHANGE_PUT, GivenChange,
};
use super::handles::Handle;
use super::memory::{Buffer, ValueOut};
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};
use crate::engine::Change;
use crate::features::json;
use crate::{Error, Result};
use std::ffi::c_void;

/// Takes over changes of another store and stores a cursor with them, all together or not at all.
///
/// The changes are done in their order, with their versions and deadlines; of several to one key the last counts. The
/// store's own versions go on above the highest of them, of which there are none left above 2^63 - 2. With the cursor of
/// the feed behind them, the store holds just the changes before bitcask_applied_cursor(), whenever it may be stopped, so
/// going on from there does each change once.
///
/// Give whole batches in the order of the feed, any number of them. To fill an empty store give what bitcask_iter_change()
/// shows of a snapshot, in as many calls as you like, and the snapshot's cursor with the last of them.
///
/// @param db          the store; not NULL
/// @param changes     `count` changes, one behind the other, all with the same `struct_size`; may be NULL if `count` is 0
/// @param count       how many changes; 0 stores the cursor alone
/// @param cursor      up to 1024 bytes that bitcask_applied_cursor() is to give; may be NULL if `cursor_len` is 0
/// @param cursor_len  their number; 0 leaves the cursor that is there
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (also: a kind or flag that is unknown, a deletion with a value or deadline, a version
///         that is 0 or not below 2^63, a cursor that is too long; nothing was written), E_NOT_JSON, E_TOO_LARGE (also:
///         several changes take more than 512 MiB; a batch of the store they come from never does), or an error as for
///         bitcask_batch_write()
///
/// Ownership: everything is copied. Threads: any number, but whoever follows a feed does so in one. Blocks: as
/// bitcask_batch_write(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_apply(
    db: *mut Handle,
    changes: *const GivenChange,
    count: usize,
    cursor: *const c_void,
    cursor_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let changes = given_changes(changes, count)?;
            store.apply(&changes, bytes("cursor", cursor, cursor_len, u64::MAX)?)?;
            Ok(BITCASK_OK)
        })
    }
}

/// Gives the cursor that the last bitcask_apply() with one stored.
///
/// @param db          the store; not NULL; one that is open "read_only" tells what it knew at its last refresh
/// @param cursor      receives the cursor; not NULL
/// @param cursor_len  receives its length; not NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: none was ever stored; or: E_INVALID, E_NO_MEMORY, E_FORKED. Unless BITCASK_OK, the
///         outputs are zero.
///
/// Ownership: free the cursor with bitcask_free(). Threads: any number. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_applied_cursor(
    db: *const Handle,
    cursor: *mut *mut c_void,
    cursor_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let outputs = ValueOut::cursor_zeroed(cursor, cursor_len);
        guard_store(db, err, |store| {
            outputs.required()?;
            outputs.set(store.applied_cursor()?.map(|cursor| Buffer::copy_of(&cursor)))
        })
    }
}

/// The changes that a caller describes. Theirs may be longer than ours, so each is where the first one's size says.
///
/// # Safety
/// `changes` is NULL or `count` structures can be read at it, each as long as it says itself and all the same, and what
/// they point to, while `'a` lasts.
unsafe fn given_changes<'a>(changes: *const GivenChange, count: usize) -> Result<Vec<Change<'a>>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if changes.is_null() {
        return Err(null("changes"));
    }
    // SAFETY: the caller's promise.
    let stride = unsafe { struct_size::<GivenChange>("changes", changes)? } as usize;
    let limit = isize::MAX.unsigned_abs() / stride;
    if count > limit || !stride.is_multiple_of(align_of::<GivenChange>()) {
        let what = format!("there cannot be {count} changes of {stride} bytes each");
        return Err(Error::Invalid(what));
    }
    let mut all = Vec::new();
    let room = all.try_reserve_exact(count);
    room.map_err(|_| Error::NoMemory { bytes: count.saturating_mul(size_of::<Change<'_>>()) })?;
    for at in 0..count {
        // SAFETY: the caller's promise; all before it were as long as the first.
        let given = unsafe { grown("changes", changes.byte_add(at * stride))? };
        let given = given
            .filter(|given| given.struct_size as usize == stride)
            .ok_or_else(|| Error::Invalid(format!("changes[{at}].struct_size is not that of the first")))?;
        // SAFETY: the caller's promise.
        all.push(unsafe { change(at, &given)? });
    }
    Ok(all)
}

/// # Safety
/// What `given` points to can be read while `'a` lasts.
unsafe fn change<'a>(at: usize, given: &GivenChange) -> Result<Change<'a>> {
    let GivenChange { kind, flags, reserved, version, deadline_ns, .. } = *given;
    let has = |flag| flags & flag != 0;
    let known = BITCASK_CHANGE_BATCH_END | BITCASK_CHANGE_JSON | BITCASK_CHANGE_EXPIRES;
    if has(!known) || reserved != 0 {
        let what =
            format!("changes[{at}].flags is {flags:#x}, accepted are bits of {known:#x}, and reserved as 0");
        return Err(Error::Invalid(what));
    }
    // SAFETY: the caller's promise.
    let (key, value) = unsafe {
        (key_bytes(given.key, given.key_len)?, value_bytes("value", given.value, given.value_len)?)
    };
    let (is_json, deadline) = (has(BITCASK_CHANGE_JSON), has(BITCASK_CHANGE_EXPIRES).then_some(deadline_ns));
    let value = match kind {
        BITCASK_CHANGE_PUT => Some(value),
        BITCASK_CHANGE_DELETE if value.is_empty() && !is_json && deadline.is_none() => None,
        BITCASK_CHANGE_DELETE => {
            return Err(Error::Invalid(format!("changes[{at}] is a deletion and has a value or a deadline")));
        }
        _ => {
            let accepted = format!("{BITCASK_CHANGE_PUT} or {BITCASK_CHANGE_DELETE}");
            return Err(Error::Invalid(format!("changes[{at}].kind is {kind}, accepted is {accepted}")));
        }
    };
    if let Some(document) = value.filter(|_| is_json) {
        json::validate(document)?;
    }
    Ok(Change { key, value, version, deadline, is_json, ends_batch: has(BITCASK_CHANGE_BATCH_END) })
}
