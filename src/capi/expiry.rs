//! Deadlines of values: set, asked for, taken away.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_store, key_bytes};
use super::handles::Handle;
use super::report::ErrorOut;
use super::status::{BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::features::expiry::Ttl;
use std::ffi::c_void;

/// What `BITCASK_NO_TTL` is in the header: how long a value has that does not expire.
pub(super) const NO_TTL: u64 = u64::MAX;

/// Has a key's value expire after some time, in place of any deadline that it had. See EXPIRY above.
///
/// The value is written again as it is, under a new version.
///
/// @param db      the store; not NULL
/// @param key     `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param ttl_ms  milliseconds from now, at least 1; what lies past the year 2554 is never
/// @param err     receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, nothing was written; or: E_INVALID (also: `ttl_ms` is 0; it could
///         mean bitcask_persist() or bitcask_delete()), or an error as for bitcask_put() and bitcask_get()
///
/// Threads: any number. Blocks: as bitcask_put_with(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_expire(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    ttl_ms: u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let was_there = store.expire(key_bytes(key, key_len)?, ttl_ms)?;
            Ok(if was_there { BITCASK_OK } else { BITCASK_NOT_FOUND })
        })
    }
}

/// Tells how long a key's value has before it expires.
///
/// @param db      the store; not NULL
/// @param key     `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param ttl_ms  receives milliseconds, rounded up and so at least 1; BITCASK_NO_TTL if the value does not expire; not
///                NULL; 0 unless BITCASK_OK
/// @param err     receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND; or an error as for bitcask_get(), except that a damaged value goes unnoticed
///
/// Threads and blocking: as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_ttl(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    ttl_ms: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let ttl_ms = Out::zeroed(ttl_ms);
        guard_store(db, err, |store| {
            ttl_ms.required("ttl_ms")?;
            let Some(ttl) = store.ttl(key_bytes(key, key_len)?)? else {
                return Ok(BITCASK_NOT_FOUND);
            };
            ttl_ms.set(match ttl {
                Ttl::Unlimited => NO_TTL,
                Ttl::Ms(ms) => ms,
            });
            Ok(BITCASK_OK)
        })
    }
}

/// Has a key's value expire no more. A value that does not expire stays as it is, and nothing is written.
///
/// @param db   the store; not NULL
/// @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, or it has expired already, and nothing was written; or an error as
///         for bitcask_put() and bitcask_get()
///
/// Threads: any number. Blocks: as bitcask_put_with(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_persist(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let was_there = store.persist(key_bytes(key, key_len)?)?;
            Ok(if was_there { BITCASK_OK } else { BITCASK_NOT_FOUND })
        })
    }
}
