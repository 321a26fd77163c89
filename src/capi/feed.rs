//! The change feed: what was written, in order, for those who keep something up to date with a store.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{
    Out, bytes, guard_feed, guard_iter, guard_snapshot, guard_store, guard_void, null, struct_size,
};
use super::handles::{FeedHandle, Handle, IterHandle, SnapshotHandle};
use super::memory::{Buffer, ValueOut};
use super::report::ErrorOut;
use super::status::{BITCASK_DONE, BITCASK_OK, BITCASK_RESNAPSHOT, Status};
use crate::Result;
use crate::engine::{Change, FeedStep};
use std::ffi::c_void;
use std::ptr;
use std::time::Duration;

/// The kind of a change: a value was put.
pub const BITCASK_CHANGE_PUT: u32 = 1;
/// The kind of a change: the key was deleted.
pub const BITCASK_CHANGE_DELETE: u32 = 2;

/// A flag of a change: it is the last of those that are there together or not at all. A change that is written alone has
/// it, too.
pub const BITCASK_CHANGE_BATCH_END: u32 = 1;
/// A flag of a change: the value was put as a JSON document.
pub const BITCASK_CHANGE_JSON: u32 = 2;
/// A flag of a change: `deadline_ns` holds.
pub const BITCASK_CHANGE_EXPIRES: u32 = 4;

/// What was done to one key. Set it up with `BITCASK_CHANGE_INIT`. Since 1.0.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GivenChange {
    /// sizeof(bitcask_change) as the caller was compiled; `BITCASK_CHANGE_INIT` sets it.
    pub struct_size: u32,
    /// `BITCASK_CHANGE_PUT` or `BITCASK_CHANGE_DELETE`.
    pub kind: u32,
    /// Some of `BITCASK_CHANGE_BATCH_END`, `BITCASK_CHANGE_JSON` and `BITCASK_CHANGE_EXPIRES` added together.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// The key.
    pub key: *const c_void,
    /// Its length in bytes.
    pub key_len: usize,
    /// The value of a put; NULL for a deletion.
    pub value: *const c_void,
    /// Its length in bytes.
    pub value_len: usize,
    /// The version, see CONDITIONAL WRITES.
    pub version: u64,
    /// When the value expires, nanoseconds since 1970 UTC; with `BITCASK_CHANGE_EXPIRES` only, else 0.
    pub deadline_ns: u64,
}

/// A `bitcask_change` of the caller that is to be filled in.
struct ChangeOut {
    change: *mut GivenChange,
    struct_size: u32,
}

impl ChangeOut {
    /// Zeroes all but the size.
    ///
    /// # Safety
    /// `change` is NULL or as many bytes can be written at it as it says itself.
    unsafe fn zeroed(change: *mut GivenChange) -> Result<Self> {
        if change.is_null() {
            return Err(null("change"));
        }
        // SAFETY: the caller's promise; nothing is written before the size is known to be enough.
        unsafe {
            let struct_size = struct_size::<GivenChange>("change", change)?;
            let behind_size = size_of::<u32>();
            change.cast::<u8>().add(behind_size).write_bytes(0, struct_size as usize - behind_size);
            Ok(ChangeOut { change, struct_size })
        }
    }

    fn set(&self, change: &Change<'_>) {
        let Change { key, value, version, deadline, is_json, ends_batch } = *change;
        let flag = |holds, flag| if holds { flag } else { 0 };
        let given = GivenChange {
            struct_size: self.struct_size,
            kind: if value.is_some() { BITCASK_CHANGE_PUT } else { BITCASK_CHANGE_DELETE },
            flags: flag(ends_batch, BITCASK_CHANGE_BATCH_END)
                | flag(is_json, BITCASK_CHANGE_JSON)
                | flag(deadline.is_some(), BITCASK_CHANGE_EXPIRES),
            reserved: 0,
            key: key.as_ptr().cast(),
            key_len: key.len(),
            value: value.map_or(ptr::null(), |value| value.as_ptr().cast()),
            value_len: value.map_or(0, <[u8]>::len),
            version,
            deadline_ns: deadline.unwrap_or(0),
        };
        // SAFETY: writable by the promise given to `zeroed`, and large enough.
        unsafe { self.change.write(given) };
    }
}

/// Gives the cursor of a snapshot: a feed from there has all that was written after it was taken, and nothing else.
///
/// To copy a store and keep the copy up to date: take a snapshot, take its cursor, open the feed, and then go through the
/// snapshot and follow the feed. The feed comes first, because merges leave alone what an open feed has not read.
///
/// @param snapshot    the snapshot; not NULL; one of a store that is open "read_only" will do
/// @param cursor      receives the cursor, bytes to be kept as they are; not NULL
/// @param cursor_len  receives its length; not NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_CLOSED, E_FORKED. Unless BITCASK_OK, the outputs are zero.
///
/// Ownership: free the cursor with bitcask_free(). Threads: any number. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_snapshot_cursor(
    snapshot: *const SnapshotHandle,
    cursor: *mut *mut c_void,
    cursor_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let outputs = ValueOut::cursor_zeroed(cursor, cursor_len);
        guard_snapshot(snapshot, err, |snapshot| {
            outputs.required()?;
            outputs.set(Some(Buffer::copy_of(&snapshot.cursor()?)))
        })
    }
}

/// Opens the feed of all changes behind a cursor, in the order in which they were written.
///
/// The feed reads the log itself, as far as it was not merged. A cursor is good as long as everything behind it is as it was
/// written: until segments behind it are merged, and until writes before it are lost by a power cut or the store is
/// repaired. Then the answer is BITCASK_RESNAPSHOT, and whoever follows must begin with nothing and a new snapshot. See
/// REPLICAS above for how to keep cursors good.
///
/// While a feed is open, merges leave alone what it has not read, so read on or free it.
///
/// @param db          the store; not NULL; open for writing
/// @param cursor      a cursor of bitcask_snapshot_cursor() or bitcask_feed_cursor() of this store, also of an earlier
///                    open; may be NULL if `cursor_len` is 0
/// @param cursor_len  its length; 0 for all changes since the store was made, if nothing was merged yet
/// @param out         receives the feed; not NULL; NULL unless BITCASK_OK
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_RESNAPSHOT: the log does not go on from there; or: E_INVALID (also: the bytes are no
///         cursor), E_READ_ONLY (a store open for reading has no feed), E_IO, E_FORKED
///
/// Ownership: free it with bitcask_feed_free(), before or after the store is closed; after that all calls on it but this
/// answer E_CLOSED. Threads: any number; any number of feeds. Blocks: while the device reads a few bytes. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_feed_open(
    db: *const Handle,
    cursor: *const c_void,
    cursor_len: usize,
    out: *mut *mut FeedHandle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = Out::zeroed(out);
        guard_store(db, err, |store| {
            out.required("out")?;
            let Some(feed) = store.feed(bytes("cursor", cursor, cursor_len, u64::MAX)?)? else {
                return Ok(BITCASK_RESNAPSHOT);
            };
            out.set(Box::into_raw(Box::new(FeedHandle { feed, is_broken: false })));
            Ok(BITCASK_OK)
        })
    }
}

/// Gives the next change, and waits for one if there is none.
///
/// A change comes as soon as reads see it, maybe before it is durable. Changes that were written together come one after the
/// other, the last with BITCASK_CHANGE_BATCH_END: whoever takes changes over takes over whole batches. That a value expires
/// is no change of its own; the deadline came with it.
///
/// @param feed        the feed; not NULL
/// @param timeout_ms  how long to wait; 0: not at all; UINT64_MAX: for ever. Nothing is polled meanwhile.
/// @param change      receives the change; not NULL; its `struct_size` must be set (BITCASK_CHANGE_INIT); all else is zero
///                    unless BITCASK_OK
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_DONE: there was no change in that time; BITCASK_RESNAPSHOT: the log does not go on; or:
///         E_INVALID, E_CORRUPT (the next record is damaged; the feed stays before it), E_IO, E_NO_MEMORY, E_CLOSED (also
///         when the store is closed while the call waits), E_FORKED, E_POISONED (after E_PANIC)
///
/// Ownership: key and value belong to the feed and stay valid until the next call on it, after the store is closed, too.
/// Threads: one at a time a feed. Blocks: up to `timeout_ms`, and while the device reads. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_feed_next(
    feed: *mut FeedHandle,
    timeout_ms: u64,
    change: *mut GivenChange,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_feed(feed, err, |feed| {
            let out = ChangeOut::zeroed(change)?;
            let timeout = (timeout_ms != u64::MAX).then(|| Duration::from_millis(timeout_ms));
            Ok(match feed.next(timeout)? {
                FeedStep::Change(change) => {
                    out.set(&change);
                    BITCASK_OK
                }
                FeedStep::Nothing => BITCASK_DONE,
                FeedStep::Resnapshot => BITCASK_RESNAPSHOT,
            })
        })
    }
}

/// Gives the cursor behind the last change that a feed has given together with all of its batch; before that, the one that
/// it was opened with, or one that stands for the same place.
///
/// @param feed        the feed; not NULL
/// @param cursor      receives the cursor, bytes to be kept as they are; not NULL
/// @param cursor_len  receives its length; not NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_CLOSED, E_FORKED, E_POISONED (after E_PANIC). Unless BITCASK_OK, the
///         outputs are zero.
///
/// Ownership: free the cursor with bitcask_free(). Threads: one at a time a feed. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_feed_cursor(
    feed: *const FeedHandle,
    cursor: *mut *mut c_void,
    cursor_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let outputs = ValueOut::cursor_zeroed(cursor, cursor_len);
        guard_feed(feed.cast_mut(), err, |feed| {
            outputs.required()?;
            outputs.set(Some(Buffer::copy_of(&feed.cursor()?)))
        })
    }
}

/// Ends a feed. What it had not read may be merged from now on.
///
/// @param feed  a feed, also of a store that was closed since; NULL does nothing
///
/// Threads: any, but not while another uses it. Cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_feed_free(feed: *mut FeedHandle) {
    guard_void(|| {
        if !feed.is_null() {
            // SAFETY: the caller's, as the module `capi` states it.
            drop(unsafe { Box::from_raw(feed) });
        }
    });
}

/// Gives what an iterator is at as the change that put it, for bitcask_apply() to fill a copy.
///
/// @param iter    an iterator that is not of keys only; not NULL
/// @param change  receives the change; not NULL; its `struct_size` must be set (BITCASK_CHANGE_INIT); all else is zero unless
///                BITCASK_OK
/// @param err     receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_DONE: the iterator is at no key; or: E_INVALID, E_POISONED (after E_PANIC)
///
/// Ownership: key and value belong to the iterator and stay valid until the next call on it. Threads: one at a time an
/// iterator. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_iter_change(
    iter: *const IterHandle,
    change: *mut GivenChange,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_iter(iter.cast_mut(), err, |scan| {
            let out = ChangeOut::zeroed(change)?;
            let Some(change) = scan.change() else { return Ok(BITCASK_DONE) };
            out.set(&change);
            Ok(BITCASK_OK)
        })
    }
}
