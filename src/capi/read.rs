//! Reading values: copied, into the caller's buffer, or in place; and asking without reading.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_store, guard_void, key_bytes};
use super::handles::{Handle, PinHandle};
use super::memory::{Buffer, ValueOut};
use super::report::ErrorOut;
use super::status::{BITCASK_BUFFER_TOO_SMALL, BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::Error;
use std::ffi::c_void;
use std::ptr;

/// Fetches a copy of a key's value.
///
/// One NUL that `value_len` does not count follows the bytes, so that text can be printed as it is.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param value      receives the copy, never NULL on BITCASK_OK, also for an empty value; not NULL
/// @param value_len  receives its length in bytes; not NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND; or: E_INVALID, E_TOO_LARGE (the key), E_CORRUPT (this key's value is
///         damaged, or the store is degraded and cannot tell), E_IO, E_NO_MEMORY, E_FORKED. Unless BITCASK_OK, both
///         outputs are zero.
///
/// Ownership: free `*value` with bitcask_free(). Threads: any number on one store, also beside writers.
/// Blocks: for at most one read from the disk. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    value: *mut *mut c_void,
    value_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = ValueOut::zeroed(value, value_len);
        guard_store(db, err, |store| {
            out.required()?;
            out.set(store.get(key_bytes(key, key_len)?, Buffer::copy_of)?)
        })
    }
}

/// Copies a key's value into the caller's buffer. Allocates nothing, unless the value is compressed; appends no NUL.
///
/// A value that does not fit is not copied at all: the answer is BITCASK_BUFFER_TOO_SMALL and `value_len` says
/// what it takes. With `cap` 0 this asks for the size only, for which nothing is decompressed; an empty value
/// "fits" and answers BITCASK_OK. The value may have changed by the next call, so be ready to be told again.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param buf        where the value goes; may be NULL if `cap` is 0
/// @param cap        the room at `buf` in bytes
/// @param value_len  receives the value's length in bytes; not NULL; 0 unless the answer is BITCASK_OK or
///                   BITCASK_BUFFER_TOO_SMALL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND; BITCASK_BUFFER_TOO_SMALL; or an error as for bitcask_get(). Unless
///         BITCASK_OK, `buf` is as it was.
///
/// Threads and blocking: as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get_into(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    buf: *mut c_void,
    cap: usize,
    value_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let value_len = Out::zeroed(value_len);
        guard_store(db, err, |store| {
            value_len.required("value_len")?;
            if buf.is_null() && cap != 0 {
                return Err(Error::Invalid(format!("buf is NULL but cap is {cap}")));
            }
            let copied = store.get_within(key_bytes(key, key_len)?, cap, |bytes| {
                value_len.set(bytes.len());
                if !bytes.is_empty() {
                    // `cap` bytes can be written at `buf`. It is no slice, because the caller need not have
                    // initialised it.
                    ptr::copy_nonoverlapping(bytes.as_ptr(), buf.cast::<u8>(), bytes.len());
                }
            })?;
            Ok(match copied {
                Some(Ok(())) => BITCASK_OK,
                Some(Err(len)) => {
                    value_len.set(usize::try_from(len).unwrap_or(usize::MAX));
                    BITCASK_BUFFER_TOO_SMALL
                }
                None => BITCASK_NOT_FOUND,
            })
        })
    }
}

/// Gives a key's value in place, without a copy where the store is mapped ("io": "mmap" or "auto") and the value is not
/// compressed.
///
/// The bytes do not change and stay valid until bitcask_pin_free(), whatever is written, deleted, merged or
/// closed meanwhile. A pin keeps its segment's file from being given back to the system, so do not hold pins
/// longer than needed. No NUL follows the bytes.
///
/// @param db         the store; not NULL
/// @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param pin        receives the pin; not NULL
/// @param value      receives the address of the bytes, never NULL on BITCASK_OK; not NULL
/// @param value_len  receives their number; not NULL
/// @param err        receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND; or an error as for bitcask_get(). Unless BITCASK_OK, all outputs are
///         zero.
///
/// Ownership: the bytes are the library's and read-only; free the pin with bitcask_pin_free(). Threads: any
/// number; a pin may be read by many threads and freed by any. Blocks: as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get_pinned(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    pin: *mut *mut PinHandle,
    value: *mut *const c_void,
    value_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let (pin, value, value_len) = (Out::zeroed(pin), Out::zeroed(value), Out::zeroed(value_len));
        guard_store(db, err, |store| {
            pin.required("pin")?;
            value.required("value")?;
            value_len.required("value_len")?;
            let Some(pinned) = store.get_pinned(key_bytes(key, key_len)?)? else {
                return Ok(BITCASK_NOT_FOUND);
            };
            let handle = Box::new(PinHandle { pinned });
            // Asked only now, when the bytes do not move any more.
            let bytes = handle.pinned.value();
            value.set(bytes.as_ptr().cast::<c_void>());
            value_len.set(bytes.len());
            pin.set(Box::into_raw(handle));
            Ok(BITCASK_OK)
        })
    }
}

/// Ends a pin; the bytes it held must not be read any more.
///
/// @param pin  a pin, also of a store that was closed since; NULL does nothing
///
/// Threads: any, but not while another reads the bytes. Does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_pin_free(pin: *mut PinHandle) {
    guard_void(|| {
        if !pin.is_null() {
            // SAFETY: the caller's, as the module `capi` states it.
            drop(unsafe { Box::from_raw(pin) });
        }
    });
}

/// Tells whether a key has a value. The index knows; only for a value with a deadline, and in a store that is degraded,
/// see "Statistics", the record is read, and of that not the value, so that a damaged one goes unnoticed.
///
/// @param db   the store; not NULL
/// @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK: it has; BITCASK_NOT_FOUND: it has not; or: E_INVALID, E_TOO_LARGE, E_CORRUPT, E_IO,
///         E_NO_MEMORY, E_FORKED. Note that BITCASK_OK is 0: compare, do not use the status as a truth value.
///
/// Threads: any number. Does not block; where the record is read as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_exists(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let exists = store.exists(key_bytes(key, key_len)?)?;
            Ok(if exists { BITCASK_OK } else { BITCASK_NOT_FOUND })
        })
    }
}

/// Counts the keys. Exact, but for keys whose values have expired: they count until a merge. As cheap as a look-up.
///
/// @param db     the store; not NULL
/// @param count  receives the number of keys; not NULL; 0 unless BITCASK_OK
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_FORKED
///
/// Threads: any number. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_count(db: *const Handle, count: *mut u64, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let count = Out::zeroed(count);
        guard_store(db, err, |store| {
            count.required("count")?;
            count.set(store.count()?);
            Ok(BITCASK_OK)
        })
    }
}
