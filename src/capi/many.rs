//! Reading many values in one call, without an array of pointers in either direction.

#![expect(unsafe_code, reason = "exports a C symbol and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, bytes, guard_store, null};
use super::handles::Handle;
use super::memory::Buffer;
use super::report::ErrorOut;
use super::status::{BITCASK_NOT_FOUND, BITCASK_OK, Status, status_of};
use crate::engine::Store;
use crate::{Error, Result};
use std::ffi::c_void;

/// Fetches many values in one call, at least twice as fast a key as bitcask_get() when they are not in the
/// processor's caches, because the look-ups overlap.
///
/// The keys lie back to back in one buffer, and so do the values that come back: the first value begins at
/// `*values`, each next one where the one before it ends, and a key without a value takes no room. No pointer
/// to a pointer is needed, which suits languages that may not pass such.
///
/// Every key has its own status: BITCASK_OK, BITCASK_NOT_FOUND, or the error that bitcask_get() would answer
/// for it, such as E_CORRUPT. Such an error concerns that key alone: the call itself still answers BITCASK_OK,
/// and `err` is not written; call bitcask_get() for the text. The keys are looked up one after the other, so a
/// write by another thread may fall between two of them.
///
/// @param db          the store; not NULL
/// @param keys        the keys, back to back; may be NULL if they are all empty
/// @param key_lens    `count` lengths in bytes; may be NULL if `count` is 0
/// @param count       how many keys; 0 is legal
/// @param values      receives one buffer with the values, never NULL on BITCASK_OK; not NULL
/// @param value_lens  receives `count` lengths, 0 where there is no value; may be NULL if `count` is 0
/// @param statuses    receives `count` statuses; may be NULL if `count` is 0
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK; or: E_INVALID, E_TOO_LARGE (the sizes given cannot lie in memory), E_NO_MEMORY,
///         E_FORKED. Unless BITCASK_OK, all outputs are zero, so look at it before the statuses.
///
/// Ownership: free `*values` with bitcask_free(). Threads and blocking: as bitcask_get(), once a key.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get_many(
    db: *const Handle,
    keys: *const c_void,
    key_lens: *const usize,
    count: usize,
    values: *mut *mut c_void,
    value_lens: *mut usize,
    statuses: *mut Status,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let values = Out::zeroed(values);
        let answers = Answers::zeroed(value_lens, statuses, count);
        let status = guard_store(db, err, |store| {
            values.required("values")?;
            let mut answers = answers?;
            let keys = split(keys, array("key_lens", key_lens, count)?)?;
            let (start, _) = look_up(store, &keys, &mut answers)?.into_raw();
            values.set(start);
            Ok(BITCASK_OK)
        });
        if status != BITCASK_OK {
            // What was set for some keys before the call failed as a whole must not be taken for answers.
            drop(Answers::zeroed(value_lens, statuses, count));
        }
        status
    }
}

/// The caller's two output arrays.
struct Answers<'a> {
    value_lens: &'a mut [usize],
    statuses: &'a mut [Status],
}

impl<'a> Answers<'a> {
    /// Zeroes what there is of the arrays; an error if one is missing.
    ///
    /// # Safety
    /// Each pointer is NULL or has room for `count` items, which nobody else uses while `'a` lasts.
    unsafe fn zeroed(value_lens: *mut usize, statuses: *mut Status, count: usize) -> Result<Self> {
        // SAFETY: the caller's promise.
        let (value_lens, statuses) = unsafe {
            (zeroed_array("value_lens", value_lens, count), zeroed_array("statuses", statuses, count))
        };
        Ok(Answers { value_lens: value_lens?, statuses: statuses? })
    }
}

/// Collects the values of `keys` back to back.
fn look_up(store: &Store, keys: &[&[u8]], answers: &mut Answers<'_>) -> Result<Buffer> {
    let mut values = Buffer::with_room(0)?;
    let mut no_memory = None;
    store.get_many(keys, |i, answer| {
        answers.statuses[i] = match answer {
            Ok(Some(value)) => {
                answers.value_lens[i] = value.len();
                // Without memory no later value can be handed out either; the call fails as a whole.
                if no_memory.is_none() {
                    no_memory = values.append(value).err();
                }
                BITCASK_OK
            }
            Ok(None) => BITCASK_NOT_FOUND,
            Err(error) => status_of(&error),
        };
    })?;
    no_memory.map_or(Ok(values), Err)
}

/// Cuts the keys that lie back to back at `keys`.
///
/// # Safety
/// As many bytes as `lens` add up to can be read at `keys` while `'a` lasts.
unsafe fn split<'a>(keys: *const c_void, lens: &[usize]) -> Result<Vec<&'a [u8]>> {
    let total = lens.iter().try_fold(0usize, |sum, len| sum.checked_add(*len)).unwrap_or(usize::MAX);
    // SAFETY: the caller's promise.
    let mut rest = unsafe { bytes("keys", keys, total, u64::MAX)? };
    let mut split = Vec::new();
    let room = lens.len();
    split.try_reserve_exact(room).map_err(|_| Error::NoMemory { bytes: room * size_of::<&[u8]>() })?;
    for len in lens {
        let (key, after) = rest.split_at(*len);
        split.push(key);
        rest = after;
    }
    Ok(split)
}

/// # Safety
/// `ptr` is NULL or `count` items can be read at it while `'a` lasts.
unsafe fn array<'a, T>(name: &'static str, ptr: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check_array::<T>(name, ptr, count)?;
    // SAFETY: not NULL, not beyond isize::MAX, readable by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(ptr, count) })
}

/// # Safety
/// `ptr` is NULL or `count` items can be written at it, by nobody else while `'a` lasts; all zeros are a `T`.
unsafe fn zeroed_array<'a, T>(name: &'static str, ptr: *mut T, count: usize) -> Result<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    check_array::<T>(name, ptr, count)?;
    // SAFETY: not NULL, not beyond isize::MAX, writable by the caller's promise; zeroed before it is a slice.
    unsafe {
        ptr.write_bytes(0, count);
        Ok(std::slice::from_raw_parts_mut(ptr, count))
    }
}

fn check_array<T>(name: &'static str, ptr: *const T, count: usize) -> Result<()> {
    let limit = isize::MAX.unsigned_abs() / size_of::<T>();
    if ptr.is_null() {
        return Err(null(name));
    }
    if count > limit {
        return Err(Error::TooLarge { what: "count", size: count as u64, limit: limit as u64 });
    }
    Ok(())
}
