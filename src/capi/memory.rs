//! Memory that goes out to the caller: from `malloc`, so that it can be given back with `bitcask_free`.
//!
//! Invariant: a buffer is never NULL, even for no bytes, and one NUL follows its bytes and is not counted, so
//! that text can be printed as it is. What cannot be obtained is an error, never an abort.

#![expect(unsafe_code, reason = "malloc, realloc and free")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::Out;
use super::status::{BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::{Error, Result};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// A growing buffer from `malloc`, freed when dropped unless handed out.
pub(super) struct Buffer {
    start: NonNull<u8>,
    len: usize,
    /// Bytes obtained, always at least `len + 1`.
    capacity: usize,
}

impl Buffer {
    /// An empty buffer with room for `room` bytes.
    pub(super) fn with_room(room: usize) -> Result<Self> {
        let capacity = room.checked_add(1).ok_or(Error::NoMemory { bytes: room })?;
        // SAFETY: malloc may be called with any size that is not zero.
        let start = unsafe { libc::malloc(capacity) };
        let start = NonNull::new(start.cast::<u8>()).ok_or(Error::NoMemory { bytes: capacity })?;
        Ok(Buffer { start, len: 0, capacity })
    }

    /// A buffer that holds just these bytes.
    pub(super) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Buffer::with_room(bytes.len())?;
        buffer.append(bytes)?;
        Ok(buffer)
    }

    /// Adds bytes at the end. On an error the buffer is as it was.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let len = self.len.checked_add(bytes.len()).ok_or(Error::NoMemory { bytes: usize::MAX })?;
        if len >= self.capacity {
            self.grow_to_hold(len)?;
        }
        // SAFETY: `len < capacity` now, so the bytes lie within the buffer, which nobody else knows of.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(self.len), bytes.len()) };
        self.len = len;
        Ok(())
    }

    /// Ends the bytes with a NUL and gives the memory to the caller of the C function.
    pub(super) fn into_raw(self) -> (*mut c_void, usize) {
        // SAFETY: `len < capacity`, by the invariant.
        unsafe { self.start.as_ptr().add(self.len).write(0) };
        let raw = (self.start.as_ptr().cast::<c_void>(), self.len);
        std::mem::forget(self);
        raw
    }

    fn grow_to_hold(&mut self, len: usize) -> Result<()> {
        let least = len.checked_add(1).ok_or(Error::NoMemory { bytes: len })?;
        let capacity = least.max(self.capacity.saturating_mul(2));
        // SAFETY: `start` came from malloc or realloc and was not freed.
        let start = unsafe { libc::realloc(self.start.as_ptr().cast::<c_void>(), capacity) };
        self.start = NonNull::new(start.cast::<u8>()).ok_or(Error::NoMemory { bytes: capacity })?;
        self.capacity = capacity;
        Ok(())
    }
}

/// Where a copy of a value or a cursor goes.
pub(super) struct ValueOut {
    /// What the two are called.
    names: [&'static str; 2],
    value: Out<*mut c_void>,
    value_len: Out<usize>,
}

impl ValueOut {
    /// # Safety
    /// Each pointer is NULL or writable.
    #[inline]
    pub(super) unsafe fn zeroed(value: *mut *mut c_void, value_len: *mut usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { ValueOut::named(["value", "value_len"], value, value_len) }
    }

    /// # Safety
    /// Each pointer is NULL or writable.
    pub(super) unsafe fn cursor_zeroed(cursor: *mut *mut c_void, cursor_len: *mut usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { ValueOut::named(["cursor", "cursor_len"], cursor, cursor_len) }
    }

    #[inline]
    unsafe fn named(names: [&'static str; 2], value: *mut *mut c_void, value_len: *mut usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { ValueOut { names, value: Out::zeroed(value), value_len: Out::zeroed(value_len) } }
    }

    /// An error if a pointer is NULL.
    #[inline]
    pub(super) fn required(&self) -> Result<()> {
        self.value.required(self.names[0])?;
        self.value_len.required(self.names[1])
    }

    /// Hands out the copy that came of a read, and answers whether there was a value.
    #[inline]
    pub(super) fn set(&self, copy: Option<Result<Buffer>>) -> Result<Status> {
        let Some(copy) = copy else { return Ok(BITCASK_NOT_FOUND) };
        let (start, len) = copy?.into_raw();
        self.value.set(start);
        self.value_len.set(len);
        Ok(BITCASK_OK)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `start` came from malloc or realloc, and `into_raw` forgets a buffer it hands out.
        unsafe { libc::free(self.start.as_ptr().cast::<c_void>()) };
    }
}

/// Gives back memory that a function of this library put into an output: values, JSON texts.
///
/// NULL does nothing. Handles (`bitcask_t`, `bitcask_batch_t`, `bitcask_pin_t`) have their own functions.
/// Use this and not free(): the program and the library may have different C libraries or allocators.
///
/// Any thread, does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_free(ptr: *mut c_void) {
    // SAFETY: NULL, or from `Buffer::into_raw` by the caller's promise.
    unsafe { libc::free(ptr) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_with_nul(buffer: Buffer) -> Vec<u8> {
        let (start, len) = buffer.into_raw();
        // SAFETY: `into_raw` gives `len` bytes and one NUL.
        unsafe {
            let bytes = std::slice::from_raw_parts(start.cast::<u8>(), len + 1).to_vec();
            bitcask_free(start);
            bytes
        }
    }

    #[test]
    fn a_buffer_of_no_bytes_is_not_null_and_ends_in_nul() {
        assert_eq!(bytes_with_nul(Buffer::copy_of(b"").unwrap()), b"\0");
    }

    #[test]
    fn appending_keeps_what_was_there_across_growth() {
        let mut buffer = Buffer::with_room(0).unwrap();
        let mut expected = Vec::new();
        for i in 0..=255u8 {
            buffer.append(&[i; 3]).unwrap();
            expected.extend([i; 3]);
        }
        expected.push(0);
        assert_eq!(bytes_with_nul(buffer), expected);
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let room = usize::try_from(isize::MAX).unwrap();
        assert!(matches!(Buffer::with_room(room), Err(Error::NoMemory { .. })));
        assert!(matches!(Buffer::with_room(usize::MAX), Err(Error::NoMemory { .. })));
    }
}
