//! Reading a value together with what the store knows of it.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_snapshot, guard_store, key_bytes};
use super::expiry::NO_TTL;
use super::handles::{Handle, SnapshotHandle};
use super::memory::Buffer;
use super::report::ErrorOut;
use super::status::{BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::Result;
use crate::engine::Meta;
use std::ffi::c_void;

/// Fetches a key's value together with its version and its time to live, all of one moment; or these alone, without a
/// look at the value.
///
/// The version is what bitcask_put_with() takes as the expected one. Every write has a version greater than all before
/// it in its store, and a value keeps its own through merges and reopening.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      receives a copy as bitcask_get() gives; NULL if it is not wanted, then a damaged value goes unnoticed
/// @param value_len  receives its length in bytes; not NULL unless `value` is
/// @param version    receives the version, not 0; may be NULL
/// @param ttl_ms     receives how long the value has, as bitcask_ttl() does; may be NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return as bitcask_get(). Unless BITCASK_OK, the outputs are zero.
///
/// Ownership, threads and blocking: as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get_version(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    value: *mut *mut c_void,
    value_len: *mut usize,
    version: *mut u64,
    ttl_ms: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let outputs = Outputs::zeroed(value, value_len, version, ttl_ms);
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let found = if outputs.want_value()? {
                store.get_with(key, |value, meta| (Some(Buffer::copy_of(value)), meta))?
            } else {
                store.meta(key)?.map(|meta| (None, meta))
            };
            outputs.set(found, store.now_ns())
        })
    }
}

/// Fetches the value that a key had when the snapshot was taken, with its version and its time to live; as
/// bitcask_get_version().
///
/// @param snapshot   the snapshot; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      receives a copy; NULL if it is not wanted
/// @param value_len  receives its length in bytes; not NULL unless `value` is
/// @param version    receives the version, not 0; may be NULL
/// @param ttl_ms     receives how long the value has from now, as bitcask_ttl() does; may be NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return as bitcask_snapshot_get(). Unless BITCASK_OK, the outputs are zero.
///
/// Ownership, threads and blocking: as bitcask_snapshot_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_snapshot_get_version(
    snapshot: *const SnapshotHandle,
    key: *const c_void,
    key_len: usize,
    value: *mut *mut c_void,
    value_len: *mut usize,
    version: *mut u64,
    ttl_ms: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let outputs = Outputs::zeroed(value, value_len, version, ttl_ms);
        guard_snapshot(snapshot, err, |snapshot| {
            let wanted = outputs.want_value()?;
            let found = snapshot.get_with(key_bytes(key, key_len)?, |value, meta| {
                (wanted.then(|| Buffer::copy_of(value)), meta)
            })?;
            outputs.set(found, snapshot.now_ns())
        })
    }
}

/// Where the answers go.
struct Outputs {
    value: Out<*mut c_void>,
    value_len: Out<usize>,
    version: Out<u64>,
    ttl_ms: Out<u64>,
}

impl Outputs {
    /// # Safety
    /// Each pointer is NULL or writable.
    unsafe fn zeroed(
        value: *mut *mut c_void,
        value_len: *mut usize,
        version: *mut u64,
        ttl_ms: *mut u64,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Outputs {
                value: Out::zeroed(value),
                value_len: Out::zeroed(value_len),
                version: Out::zeroed(version),
                ttl_ms: Out::zeroed(ttl_ms),
            }
        }
    }

    /// Whether the value is wanted, which takes somewhere for its length to go.
    fn want_value(&self) -> Result<bool> {
        if self.value.required("value").is_err() {
            return Ok(false);
        }
        self.value_len.required("value_len").map(|()| true)
    }

    fn set(&self, found: Option<(Option<Result<Buffer>>, Meta)>, now_ns: u64) -> Result<Status> {
        let Some((copy, meta)) = found else { return Ok(BITCASK_NOT_FOUND) };
        if let Some(copy) = copy {
            let (start, len) = copy?.into_raw();
            self.value.set(start);
            self.value_len.set(len);
        }
        self.version.set(meta.version);
        self.ttl_ms.set(meta.ttl_ms(now_ns).unwrap_or(NO_TTL));
        Ok(BITCASK_OK)
    }
}
