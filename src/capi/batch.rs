//! Batches: collecting writes, and applying them together.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard, guard_store, guard_void, key_bytes, null, value_bytes};
use super::handles::{BatchHandle, Handle};
use super::report::ErrorOut;
use super::status::{BITCASK_CONFLICT, BITCASK_OK, Status};
use crate::Result;
use crate::engine::Outcome;
use crate::features::batch::Batch;
use std::ffi::{c_char, c_void};

/// Makes an empty batch. It belongs to no store and may be filled before one is open.
///
/// @param out  receives the batch; not NULL; NULL unless BITCASK_OK
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY
///
/// Ownership: free it with bitcask_batch_free(). Threads: any. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_new(out: *mut *mut BatchHandle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = Out::zeroed(out);
        guard(err, || {
            out.required("out")?;
            out.set(Box::into_raw(Box::new(BatchHandle { batch: Batch::new() })));
            Ok(BITCASK_OK)
        })
    }
}

/// Adds a put to a batch. Of several operations on one key the last one counts.
///
/// @param batch      the batch; not NULL
/// @param key        `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
/// @param value      `value_len` bytes, copied; may be NULL if `value_len` is 0
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE (the key, the value, or the batch as a whole: 256 MiB),
///         E_NO_MEMORY; on an error the batch is as it was
///
/// Threads: one at a time a batch. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_put(
    batch: *mut BatchHandle,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        change(batch, err, |batch| {
            batch.put(key_bytes(key, key_len)?, value_bytes("value", value, value_len)?)
        })
    }
}

/// Adds a put of a JSON document to a batch: as bitcask_batch_put(), but refuses what is not JSON.
///
/// @param batch     the batch; not NULL
/// @param key       `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
/// @param json      one JSON document, `json_len` bytes, copied as given
/// @param json_len  its length
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_NOT_JSON, E_TOO_LARGE (also: nested too deep), or an error as for
///         bitcask_batch_put()
///
/// Threads: one at a time a batch. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_put_json(
    batch: *mut BatchHandle,
    key: *const c_void,
    key_len: usize,
    json: *const c_char,
    json_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        change(batch, err, |batch| {
            let key = key_bytes(key, key_len)?;
            batch.put_json(key, value_bytes("json", json.cast::<c_void>(), json_len)?)
        })
    }
}

/// Adds a removal to a batch. It is no error if there is no such key when the batch is written.
///
/// @param batch  the batch; not NULL
/// @param key    `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or an error as for bitcask_batch_put()
///
/// Threads: one at a time a batch. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_delete(
    batch: *mut BatchHandle,
    key: *const c_void,
    key_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { change(batch, err, |batch| batch.delete(key_bytes(key, key_len)?)) }
}

/// Has a batch written only if a key is at an expected version when it is. May be called for several keys, those that the
/// batch writes and any others; all must be as expected, before any operation of the batch counts.
///
/// @param batch    the batch; not NULL
/// @param key      `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
/// @param version  the version, as bitcask_get_version() and the writes tell it; 0: the key must have no value
/// @param err      receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or an error as for bitcask_batch_put()
///
/// Threads: one at a time a batch. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_expect(
    batch: *mut BatchHandle,
    key: *const c_void,
    key_len: usize,
    version: u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { change(batch, err, |batch| batch.expect(key_bytes(key, key_len)?, version)) }
}

/// Writes all of a batch, or nothing of it: a crash or a power cut, too, leaves all or nothing. On BITCASK_OK,
/// and only then, the batch is emptied and can be filled again.
///
/// Readers of single keys may see one key's change before another's. An empty batch writes nothing and answers
/// BITCASK_OK.
///
/// @param db     the store; not NULL
/// @param batch  the batch; not NULL; keeps its operations and what it expects unless BITCASK_OK, so the call can be
///               repeated
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_CONFLICT: a key is not at the version that bitcask_batch_expect() named, and nothing was
///         written (bitcask_batch_write_with() tells its version); or: E_TOO_LARGE (more than 256 MiB as records, which
///         take some 30 bytes more than key and value), E_CORRUPT as for bitcask_put_with(), or an error as for
///         bitcask_put()
///
/// Threads: any number on one store, one at a time a batch. Blocks: as bitcask_put(), once for the whole batch.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_write(
    db: *mut Handle,
    batch: *mut BatchHandle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let BatchHandle { batch } = batch.as_mut().ok_or_else(|| null("batch"))?;
            Ok(match store.write(batch)? {
                Outcome::Conflict(_) => BITCASK_CONFLICT,
                Outcome::Written(_) | Outcome::NotFound => {
                    batch.clear();
                    BITCASK_OK
                }
            })
        })
    }
}

/// Empties a batch without writing it, also of what it expects. It keeps its memory for what comes next.
///
/// @param batch  the batch; NULL does nothing
///
/// Threads: one at a time a batch. Does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_clear(batch: *mut BatchHandle) {
    guard_void(|| {
        // SAFETY: the caller's, as the module `capi` states it.
        if let Some(BatchHandle { batch }) = unsafe { batch.as_mut() } {
            batch.clear();
        }
    });
}

/// Frees a batch; what it holds is not written.
///
/// @param batch  the batch; NULL does nothing
///
/// Threads: any one. Does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_free(batch: *mut BatchHandle) {
    guard_void(|| {
        if !batch.is_null() {
            // SAFETY: the caller's, as the module `capi` states it.
            drop(unsafe { Box::from_raw(batch) });
        }
    });
}

/// Runs a change of a batch.
///
/// # Safety
/// `batch` is NULL or a batch that nobody else is using; `err` is as `report` wants it.
unsafe fn change(
    batch: *mut BatchHandle,
    err: *mut ErrorOut,
    body: impl FnOnce(&mut Batch) -> Result<()>,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        guard(err, || {
            let BatchHandle { batch } = batch.as_mut().ok_or_else(|| null("batch"))?;
            body(batch)?;
            Ok(BITCASK_OK)
        })
    }
}
