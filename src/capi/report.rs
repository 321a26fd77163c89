//! How a failed call tells what happened: the caller's `bitcask_error` and the thread's last message.
//!
//! Invariant: reporting allocates nothing, so that "out of memory" can be reported too, and it is the only
//! place that touches thread-local state, so a call that succeeds touches none.

#![expect(unsafe_code, reason = "writes through the caller's error pointer and exports a C symbol")]

use super::status::Status;
use std::cell::Cell;
use std::ffi::c_char;
use std::fmt::{self, Write};

const MESSAGE_BYTES: usize = 256;

/// Where a call that fails says why. Set it up with `BITCASK_ERROR_INIT`; it may be used for any number of
/// calls, but by one thread at a time.
///
/// It is written only when a call answers a negative status, and only when `struct_size` is a size that this
/// library knows; otherwise it is left as it is. Since 1.0.0.
#[repr(C)]
pub struct ErrorOut {
    /// sizeof(bitcask_error) as the caller was compiled; `BITCASK_ERROR_INIT` sets it.
    pub struct_size: u32,
    /// The status that the call answered.
    pub code: i32,
    /// The system's `errno` behind it, or 0.
    pub os_errno: i32,
    /// What happened and what to do, UTF-8, always NUL-terminated, cut to fit.
    pub message: [c_char; 256],
}

const ERROR_OUT_SIZE: u32 = 268;
const _: () = assert!(size_of::<ErrorOut>() == ERROR_OUT_SIZE as usize);

type Text = [u8; MESSAGE_BYTES];

thread_local! {
    // Const-initialised and without a destructor: reading it costs one load, and it outlives all others.
    static LAST_ERROR: Cell<Text> = const { Cell::new([0; MESSAGE_BYTES]) };
}

/// Reports a failure to the caller's `err`, if it can take it, and to the thread's last message.
///
/// # Safety
/// `err` is NULL or points to a `bitcask_error` whose `struct_size` is set.
#[cold]
pub(super) unsafe fn report(err: *mut ErrorOut, code: Status, os_errno: i32, what: fmt::Arguments<'_>) {
    let mut message = Message::new();
    // A Display that fails half-way leaves what it had written, which is still the best text there is.
    let _ = message.write_fmt(what);
    // A thread that is being torn down has no last error any more.
    let _ = LAST_ERROR.try_with(|last| last.set(message.text));
    // SAFETY: the caller's promise; only `struct_size` is read before the size is known to be ours, and the
    // fields are written one by one because the memory beyond it may be uninitialised.
    unsafe {
        if err.is_null() || (&raw const (*err).struct_size).read() != ERROR_OUT_SIZE {
            return;
        }
        (&raw mut (*err).code).write(code);
        (&raw mut (*err).os_errno).write(os_errno);
        (&raw mut (*err).message).cast::<Text>().write(message.text);
    }
}

/// The message of the last call that failed in this thread, or `""` when none did.
///
/// A convenience for C programs that stay on one thread. Programs in languages that move work between threads
/// (Go, async runtimes) must use the `err` parameter, because another thread's text, or none, would come back.
/// Calls that succeed or give a positive answer leave it alone.
///
/// Never NULL. The text is UTF-8 and stays valid until this thread's next failing call or its end.
/// Does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn bitcask_last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.as_ptr().cast_const().cast::<c_char>()).unwrap_or(c"".as_ptr())
}

/// A text of fixed size that cuts what does not fit at a character's boundary and ends in NUL.
struct Message {
    text: Text,
    len: usize,
    full: bool,
}

impl Message {
    fn new() -> Self {
        Message { text: [0; MESSAGE_BYTES], len: 0, full: false }
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.full {
            return Ok(());
        }
        let room = MESSAGE_BYTES - 1 - self.len;
        let fits = (0..=room.min(s.len())).rev().find(|&end| s.is_char_boundary(end)).unwrap_or(0);
        self.full = fits < s.len();
        for (to, from) in self.text[self.len..].iter_mut().zip(&s.as_bytes()[..fits]) {
            // A NUL that came in with a key or an option's name would hide the rest of the sentence.
            *to = if *from == 0 { b'?' } else { *from };
        }
        self.len += fits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn text(what: fmt::Arguments<'_>) -> String {
        let mut message = Message::new();
        message.write_fmt(what).unwrap();
        CStr::from_bytes_until_nul(&message.text).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_long_message_is_cut_between_characters_and_terminated() {
        let cut = text(format_args!("{}{}", "x".repeat(254), "é and more"));
        assert_eq!(cut, "x".repeat(254));
    }

    #[test]
    fn nothing_is_appended_after_a_cut() {
        let cut = text(format_args!("{}{}{}", "x".repeat(254), "é", "y"));
        assert_eq!(cut, "x".repeat(254));
    }

    #[test]
    fn a_message_of_255_bytes_is_whole() {
        assert_eq!(text(format_args!("{}", "x".repeat(255))).len(), 255);
    }

    #[test]
    fn a_nul_inside_does_not_end_the_message() {
        assert_eq!(text(format_args!("option \"a\0b\" is unknown")), "option \"a?b\" is unknown");
    }

    #[test]
    fn an_error_of_unknown_size_is_left_alone() {
        for struct_size in [0, 4, ERROR_OUT_SIZE - 1, ERROR_OUT_SIZE + 1, u32::MAX] {
            let mut err = ErrorOut { struct_size, code: 7, os_errno: 8, message: [9; 256] };
            // SAFETY: `err` is a whole structure.
            unsafe { report(&raw mut err, -1, 5, format_args!("text")) };
            assert_eq!((err.code, err.os_errno, err.message), (7, 8, [9; 256]), "struct_size {struct_size}");
        }
    }
}
