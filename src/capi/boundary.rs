//! Where C ends: pointers become references, panics and errors become statuses.
//!
//! Invariant: no function of the C face runs code of the engine outside of [`guard`] or one of its kin, and
//! none makes a slice except here. A call that succeeds pays for none of this: no allocation, no formatting,
//! no thread-local access.

#![expect(unsafe_code, reason = "makes references of the caller's pointers")]

use super::handles::{FeedHandle, Handle, IterHandle, SnapshotHandle};
use super::report::{ErrorOut, report};
use super::status::{BITCASK_E_PANIC, Status, status_of};
use crate::engine::{Feed, Snapshot, Store};
use crate::features::scan::Scan;
use crate::format::record::{MAX_KEY_LEN, MAX_VALUE_LEN};
use crate::io::disk::Disk;
use crate::{Error, Result};
use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// No structure grows past this; a larger size is one that was never set.
const MAX_STRUCT_SIZE: usize = 4096;

/// Runs the body of a function that has no store, turning errors and panics into statuses.
///
/// # Safety
/// `err` is as [`report`] wants it.
#[inline]
pub(super) unsafe fn guard(err: *mut ErrorOut, body: impl FnOnce() -> Result<Status>) -> Status {
    // SAFETY: the caller's promise.
    unsafe { guard_object("", Some(()), err, |(), _| (), |()| body()) }
}

/// Runs the body of a function on a store. A NULL `db` is an error; a panic poisons the store, because nobody
/// knows what it left half done.
///
/// # Safety
/// `db` is NULL or an open handle; `err` is as [`report`] wants it.
#[inline]
pub(super) unsafe fn guard_store(
    db: *const Handle,
    err: *mut ErrorOut,
    body: impl FnOnce(&Store) -> Result<Status>,
) -> Status {
    // SAFETY: the caller's promises.
    unsafe {
        let store = db.as_ref().map(|Handle { store }| store);
        guard_object("db", store, err, |store, text| store.poison(text), |store| body(store))
    }
}

/// Runs the body of a function on a snapshot. A panic poisons its store.
///
/// # Safety
/// `snapshot` is NULL or a snapshot; `err` is as [`report`] wants it.
#[inline]
pub(super) unsafe fn guard_snapshot(
    snapshot: *const SnapshotHandle,
    err: *mut ErrorOut,
    body: impl FnOnce(&Snapshot<Disk>) -> Result<Status>,
) -> Status {
    // SAFETY: the caller's promises.
    unsafe {
        let snapshot = snapshot.as_ref().map(|SnapshotHandle { snapshot }| &**snapshot);
        guard_object("snapshot", snapshot, err, |held, text| held.poison(text), |held| body(held))
    }
}

/// Runs the body of a function on an iterator. A panic poisons its store, and the iterator goes on no more.
///
/// # Safety
/// `iter` is NULL or an iterator that no other thread uses; `err` is as [`report`] wants it.
#[inline]
pub(super) unsafe fn guard_iter(
    iter: *mut IterHandle,
    err: *mut ErrorOut,
    body: impl FnOnce(&mut Scan<Disk>) -> Result<Status>,
) -> Status {
    // SAFETY: the caller's promises.
    unsafe {
        let walk = iter.as_mut().map(|handle| (&mut handle.scan, &mut handle.is_broken));
        guard_walk("iter", walk, err, |scan, text| scan.poison(text), body)
    }
}

/// Runs the body of a function on a feed. A panic poisons its store, and the feed goes on no more.
///
/// # Safety
/// `feed` is NULL or a feed that no other thread uses; `err` is as [`report`] wants it.
#[inline]
pub(super) unsafe fn guard_feed(
    feed: *mut FeedHandle,
    err: *mut ErrorOut,
    body: impl FnOnce(&mut Feed<Disk>) -> Result<Status>,
) -> Status {
    // SAFETY: the caller's promises.
    unsafe {
        let walk = feed.as_mut().map(|handle| (&mut handle.feed, &mut handle.is_broken));
        guard_walk("feed", walk, err, |feed, text| feed.poison(text), body)
    }
}

/// Runs the body of a function on what goes on from call to call, until one of them panicked.
///
/// # Safety
/// `err` is as [`report`] wants it.
#[inline]
unsafe fn guard_walk<T>(
    name: &str,
    walk: Option<(&mut T, &mut bool)>,
    err: *mut ErrorOut,
    poison: impl FnOnce(&T, &str),
    body: impl FnOnce(&mut T) -> Result<Status>,
) -> Status {
    let break_off = |(walk, is_broken): &mut (&mut T, &mut bool), text: &str| {
        **is_broken = true;
        poison(walk, text);
    };
    // SAFETY: the caller's promise.
    unsafe {
        guard_object(name, walk, err, break_off, |(walk, is_broken)| {
            if **is_broken {
                let reason = format!("a defect was caught in this {name}");
                return Err(Error::Poisoned { reason });
            }
            body(walk)
        })
    }
}

/// Runs the body of a function on what `object` refers to, of which `name` says that it must not be NULL. After a panic
/// `poison` keeps it from doing harm, and is told what the panic said.
///
/// # Safety
/// `err` is as [`report`] wants it.
#[inline]
unsafe fn guard_object<T>(
    name: &str,
    object: Option<T>,
    err: *mut ErrorOut,
    poison: impl FnOnce(&mut T, &str),
    body: impl FnOnce(&mut T) -> Result<Status>,
) -> Status {
    let Some(mut object) = object else {
        // SAFETY: the caller's promise about `err`.
        return unsafe { fail(err, &null(name)) };
    };
    match catch_unwind(AssertUnwindSafe(|| body(&mut object))) {
        Ok(Ok(status)) => status,
        // SAFETY: the caller's promise about `err`.
        Ok(Err(error)) => unsafe { fail(err, &error) },
        // SAFETY: the same.
        Err(panic) => unsafe { fail_by_panic(err, panic, |text| poison(&mut object, text)) },
    }
}

/// Runs the body of a function that answers nothing. A panic ends here and leaves the rest undone.
pub(super) fn guard_void(body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        discard(panic);
    }
}

/// # Safety
/// `err` is as [`report`] wants it.
#[cold]
unsafe fn fail(err: *mut ErrorOut, error: &Error) -> Status {
    let status = status_of(error);
    // SAFETY: the caller's promise.
    unsafe { report(err, status, error.os_errno(), format_args!("{error}")) };
    status
}

/// # Safety
/// `err` is as [`report`] wants it.
#[cold]
unsafe fn fail_by_panic(
    err: *mut ErrorOut,
    panic: Box<dyn Any + Send>,
    and_then: impl FnOnce(&str),
) -> Status {
    let text = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    guard_void(|| and_then(text));
    // SAFETY: the caller's promise.
    unsafe {
        report(err, BITCASK_E_PANIC, 0, format_args!("a defect in libbitcask was caught, report it: {text}"));
    }
    discard(panic);
    BITCASK_E_PANIC
}

/// Drops what a panic carried; a drop that panics again must not get out either.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// The error for an argument that is NULL and must not be.
pub(super) fn null(name: &str) -> Error {
    Error::Invalid(format!("{name} is NULL"))
}

/// An output parameter. Zeroed at once, so that whatever happens next no caller reads what was never set.
pub(super) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// # Safety
    /// `ptr` is NULL or writable, and all zeros are a value of `T`.
    #[inline]
    pub(super) unsafe fn zeroed(ptr: *mut T) -> Self {
        if !ptr.is_null() {
            // SAFETY: the caller's promise.
            unsafe { ptr.write_bytes(0, 1) };
        }
        Out(ptr)
    }

    /// An error naming the parameter if it is NULL. Ask before anything is done whose result needs it.
    #[inline]
    pub(super) fn required(&self, name: &str) -> Result<()> {
        if self.is_wanted() { Ok(()) } else { Err(null(name)) }
    }

    /// Whether it is not NULL.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }

    /// Sets the output; one that is NULL and not required is passed over.
    #[inline]
    pub(super) fn set(&self, value: T) {
        if self.is_wanted() {
            // SAFETY: writable by the promise given to `zeroed`.
            unsafe { self.0.write(value) };
        }
    }
}

/// The key that a caller describes by address and length.
///
/// # Safety
/// As for [`bytes`].
#[inline]
pub(super) unsafe fn key_bytes<'a>(key: *const c_void, key_len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { bytes("key", key, key_len, MAX_KEY_LEN as u64) }
}

/// The value or document that a caller describes by address and length; `name` is the parameter's.
///
/// # Safety
/// As for [`bytes`].
#[inline]
pub(super) unsafe fn value_bytes<'a>(
    name: &'static str,
    value: *const c_void,
    value_len: usize,
) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { bytes(name, value, value_len, MAX_VALUE_LEN) }
}

/// Makes a slice. The address counts for nothing when the length is zero, and a length over the limit is
/// refused before anything is made of it.
///
/// # Safety
/// If `len` is not zero and `ptr` not NULL, `len` bytes can be read at `ptr` while `'a` lasts.
#[inline]
pub(super) unsafe fn bytes<'a>(
    name: &'static str,
    ptr: *const c_void,
    len: usize,
    limit: u64,
) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() {
        return Err(Error::Invalid(format!("{name} is NULL but its length is {len}")));
    }
    let limit = limit.min(isize::MAX as u64);
    if len as u64 > limit {
        return Err(Error::TooLarge { what: name, size: len as u64, limit });
    }
    // SAFETY: not NULL, not beyond isize::MAX, readable by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(ptr.cast::<u8>(), len) })
}

/// The structure that a caller describes, `None` for NULL. It begins with its size, as a `u32`. A caller that was compiled
/// against a later version may know more fields than this library; they must be zero.
///
/// # Safety
/// `ptr` is NULL or as many bytes can be read at it as it says itself, and any bytes are a value of `T`.
pub(super) unsafe fn grown<T: Copy>(name: &str, ptr: *const T) -> Result<Option<T>> {
    if ptr.is_null() {
        return Ok(None);
    }
    let known = size_of::<T>();
    // SAFETY: the caller's promise.
    let size = unsafe { struct_size(name, ptr)? } as usize;
    // SAFETY: the caller's promise.
    let tail = unsafe { std::slice::from_raw_parts(ptr.cast::<u8>().add(known), size - known) };
    if let Some(at) = tail.iter().position(|&byte| byte != 0) {
        let what = format!("{name} has something at byte {}, where this version knows no field", known + at);
        return Err(Error::Invalid(what));
    }
    // SAFETY: the caller's promise.
    Ok(Some(unsafe { ptr.read() }))
}

/// The size that a structure of the caller's states, which is at least that of `T`.
///
/// # Safety
/// As for [`grown`], and `ptr` is not NULL.
pub(super) unsafe fn struct_size<T>(name: &str, ptr: *const T) -> Result<u32> {
    let known = size_of::<T>();
    // SAFETY: the caller's promise; nothing but the size is read before the size is known to be enough.
    let size = unsafe { ptr.cast::<u32>().read() };
    if !(known..=MAX_STRUCT_SIZE).contains(&(size as usize)) {
        let what =
            format!("{name}.struct_size is {size}, accepted is {known}: is it set up by its ..._INIT?");
        return Err(Error::Invalid(what));
    }
    Ok(size)
}

/// The text that a caller gave as a C string; None for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and does not change while `'a` lasts.
pub(super) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(e) => Err(Error::Invalid(format!("{name} is not UTF-8 at byte {}", e.valid_up_to()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn the_address_of_no_bytes_is_ignored() {
        for ptr in [ptr::null(), ptr::without_provenance::<c_void>(1)] {
            // SAFETY: no bytes are promised.
            assert_eq!(unsafe { key_bytes(ptr, 0) }.unwrap(), b"");
        }
    }

    #[test]
    fn null_with_a_length_is_refused_by_name() {
        // SAFETY: NULL promises nothing.
        let error = unsafe { value_bytes("value", ptr::null(), 3) }.unwrap_err();
        assert_eq!(error.to_string(), "value is NULL but its length is 3");
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_used() {
        let one = 1u8;
        for len in [MAX_KEY_LEN + 1, usize::MAX / 2, usize::MAX] {
            // SAFETY: the length is refused, so nothing is read.
            let answer = unsafe { key_bytes((&raw const one).cast(), len) };
            assert!(matches!(answer, Err(Error::TooLarge { what: "key", .. })), "length {len}");
        }
    }

    #[test]
    fn a_structure_may_be_longer_by_zeros_and_not_shorter() {
        let given = |size: u32, tail: u64| [u64::from(size), 7, tail];
        let read = |given: &[u64; 3]| {
            // SAFETY: the size is at most that of the array, or refused.
            unsafe { grown::<[u64; 2]>("options", given.as_ptr().cast()) }
        };
        assert_eq!(read(&given(16, 9)).unwrap(), Some([16, 7]), "what lies behind it is not looked at");
        assert_eq!(read(&given(24, 0)).unwrap(), Some([24, 7]));
        for (size, tail, what) in [
            (24, 1 << 8, "options has something at byte 17"),
            (15, 0, "options.struct_size is 15, accepted is 16"),
            (0, 0, "options.struct_size is 0"),
            (u32::MAX, 0, "options.struct_size is 4294967295"),
        ] {
            assert!(read(&given(size, tail)).unwrap_err().to_string().starts_with(what));
        }
        // SAFETY: NULL promises nothing.
        assert_eq!(unsafe { grown::<[u64; 2]>("options", ptr::null()) }.unwrap(), None);
    }

    #[test]
    fn a_panic_whose_payload_panics_when_dropped_is_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        // SAFETY: a NULL error is always legal.
        let status = unsafe { guard(ptr::null_mut(), || std::panic::panic_any(Bomb)) };
        assert_eq!(status, BITCASK_E_PANIC);
    }
}
