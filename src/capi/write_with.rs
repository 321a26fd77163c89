//! Writing with options: deadlines, expected versions, the version that came of it; and counters.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, grown, guard_store, key_bytes, null, value_bytes};
use super::handles::{BatchHandle, Handle};
use super::report::ErrorOut;
use super::status::{BITCASK_CONFLICT, BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::engine::{Expiry, Outcome, WriteOptions};
use crate::{Error, Result};
use std::ffi::c_void;

/// A flag of a write: `ttl_ms` holds.
pub const BITCASK_WRITE_TTL: u32 = 1;
/// A flag of a write: `expected_version` holds.
pub const BITCASK_WRITE_EXPECT: u32 = 2;
/// A flag of a write: the value must be a JSON document, and is stored as one.
pub const BITCASK_WRITE_JSON: u32 = 4;

/// How a write is to be made. Set it up with `BITCASK_WRITE_OPTIONS_INIT`, which asks for nothing. A field counts only
/// with its flag. Since 1.0.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GivenOptions {
    /// sizeof(bitcask_write_options) as the caller was compiled; `BITCASK_WRITE_OPTIONS_INIT` sets it.
    pub struct_size: u32,
    /// 0, or some of the `BITCASK_WRITE_...` added together; each function says which it takes.
    pub flags: u32,
    /// After how many milliseconds the value expires; 0: never, also when the store has a default.
    pub ttl_ms: u64,
    /// The version at which the key must be; 0: it must have no value.
    pub expected_version: u64,
}

/// Stores a value under a key as bitcask_put() does, with a deadline, if the key is at an expected version, or both; and
/// tells the version of what it wrote.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      `value_len` bytes, at most 2^32 - 1; may be NULL if `value_len` is 0
/// @param options    any of BITCASK_WRITE_TTL, BITCASK_WRITE_EXPECT and BITCASK_WRITE_JSON; NULL for none
/// @param version    receives, on BITCASK_OK, the version that the value has now; on BITCASK_CONFLICT that of the value
///                   that is there, 0 for none; may be NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_CONFLICT: the key is at another version and nothing was written; or: E_NOT_JSON, E_CORRUPT
///         (a version is expected, and the record that would tell it is damaged), or an error as for bitcask_put()
///
/// Two threads that expect the same version never both get BITCASK_OK. Ownership, threads: as bitcask_put(). Blocks: as
/// bitcask_put(), and with an expected version for at most one read from the disk, before it is its turn. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_put_with(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const GivenOptions,
    version: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let version = Out::zeroed(version);
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let value = value_bytes("value", value, value_len)?;
            let taken = BITCASK_WRITE_TTL | BITCASK_WRITE_EXPECT | BITCASK_WRITE_JSON;
            let (options, flags) = given_options(options, taken)?;
            let outcome = if flags & BITCASK_WRITE_JSON == 0 {
                store.put_with(key, value, &options)?
            } else {
                store.put_json_with(key, value, &options)?
            };
            Ok(answer(outcome, &version))
        })
    }
}

/// Removes a key and its value as bitcask_delete() does, if the key is at an expected version.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param options    BITCASK_WRITE_EXPECT or no flag; NULL for none
/// @param version    receives, on BITCASK_OK, the version of the removal, above that of the value removed; on
///                   BITCASK_CONFLICT that of the value that is there, 0 for none; may be NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: there is no such key, and none was expected; BITCASK_CONFLICT: the key is at
///         another version than the one expected, or has no value, and nothing was written; or: E_CORRUPT as for
///         bitcask_put_with(), or an error as for bitcask_delete()
///
/// Threads and blocking: as bitcask_put_with(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_delete_with(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    options: *const GivenOptions,
    version: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let version = Out::zeroed(version);
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let (options, _) = given_options(options, BITCASK_WRITE_EXPECT)?;
            Ok(answer(store.delete_with(key, &options)?, &version))
        })
    }
}

/// Writes all of a batch, or nothing of it, as bitcask_batch_write() does, with one deadline for all that it puts; and
/// tells the version that all its records have.
///
/// @param db       the store; not NULL
/// @param batch    the batch; not NULL; keeps its operations and what it expects unless BITCASK_OK
/// @param options  BITCASK_WRITE_TTL or no flag; NULL for none. Versions are expected by bitcask_batch_expect().
/// @param version  receives, on BITCASK_OK, the version of the batch (of an empty batch: that of the newest write to the
///                 store); on BITCASK_CONFLICT that of the first key, in the order of the calls of
///                 bitcask_batch_expect(), that is not at the version expected, 0 if it has no value; may be NULL
/// @param err      receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_CONFLICT: nothing was written; or an error as for bitcask_batch_write()
///
/// Threads and blocking: as bitcask_batch_write(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_batch_write_with(
    db: *mut Handle,
    batch: *mut BatchHandle,
    options: *const GivenOptions,
    version: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let version = Out::zeroed(version);
        guard_store(db, err, |store| {
            let BatchHandle { batch } = batch.as_mut().ok_or_else(|| null("batch"))?;
            let (options, _) = given_options(options, BITCASK_WRITE_TTL)?;
            let outcome = store.write_with(batch, &options)?;
            if let Outcome::Written(_) = outcome {
                batch.clear();
            }
            Ok(answer(outcome, &version))
        })
    }
}

/// Adds to a counter, in one step that no other write comes between.
///
/// A counter is a value of 8 bytes, a signed number, the lowest byte first and negative ones in two's complement: it can
/// be put and read like any other value. A key without a value counts as 0 and then expires as the option
/// "default_ttl_ms" says; an existing counter keeps its deadline.
///
/// @param db     the store; not NULL
/// @param key    `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param delta  what to add, maybe less than 0
/// @param value  receives the sum; may be NULL
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (also: the value is not 8 bytes long, or the sum is no int64_t; nothing was written),
///         or an error as for bitcask_put() and bitcask_get()
///
/// Threads: any number, also on one key; the sum is exact. Blocks: as bitcask_put_with(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_counter_add(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    delta: i64,
    value: *mut i64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let value = Out::zeroed(value);
        guard_store(db, err, |store| {
            value.set(store.counter_add(key_bytes(key, key_len)?, delta)?);
            Ok(BITCASK_OK)
        })
    }
}

/// The status that stands for `outcome`, and the version that goes with it.
fn answer(outcome: Outcome, version: &Out<u64>) -> Status {
    match outcome {
        Outcome::Written(at) => {
            version.set(at);
            BITCASK_OK
        }
        Outcome::NotFound => BITCASK_NOT_FOUND,
        Outcome::Conflict(current) => {
            version.set(current);
            BITCASK_CONFLICT
        }
    }
}

/// What the engine is to be told, and the flags, of which only those in `taken` may be set.
///
/// # Safety
/// As for [`grown`].
unsafe fn given_options(options: *const GivenOptions, taken: u32) -> Result<(WriteOptions, u32)> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { grown("options", options)? }) else {
        return Ok((WriteOptions::default(), 0));
    };
    let has = |flag| given.flags & flag != 0;
    if has(!taken) {
        let what = format!("options.flags is {:#x}, this function takes bits of {taken:#x}", given.flags);
        return Err(Error::Invalid(what));
    }
    let expiry = match (has(BITCASK_WRITE_TTL), given.ttl_ms) {
        (false, _) => Expiry::Default,
        (true, 0) => Expiry::Never,
        (true, ttl_ms) => Expiry::AfterMs(ttl_ms),
    };
    let expected = has(BITCASK_WRITE_EXPECT).then_some(given.expected_version);
    Ok((WriteOptions { expiry, expected }, given.flags))
}
