//! The log: handing messages to a callback, and out one by one.

#![expect(unsafe_code, reason = "exports C symbols, calls what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard};
use super::memory::Buffer;
use super::report::ErrorOut;
use super::status::{BITCASK_DONE, BITCASK_OK, Status};
use crate::io::disk::Disk;
use crate::io::env::Env;
use crate::log::{self, Level, Listener};
use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_void};

/// No messages.
pub const BITCASK_LOG_OFF: i32 = 0;
/// Something failed for good, or keeps failing.
pub const BITCASK_LOG_ERROR: i32 = 1;
/// Something is not as it should be, and the store goes on; and errors.
pub const BITCASK_LOG_WARN: i32 = 2;
/// What happens once in a store's life; and warnings and errors.
pub const BITCASK_LOG_INFO: i32 = 3;
/// What happens behind the writer's back; and all others.
pub const BITCASK_LOG_DEBUG: i32 = 4;

/// The most messages that can be kept.
const MAX_KEPT: usize = 65_536;

/// Hears a message of the log: `context` is that of bitcask_set_log(), `level` the message's own level, `message` one
/// line of `message_len` bytes and a NUL, valid during the call only. "The log" above says what it may not do.
/// Since 1.0.0.
pub type LogCallback = Option<
    unsafe extern "C" fn(context: *mut c_void, level: i32, message: *const c_char, message_len: usize),
>;

/// Ends the context of a log callback. The same rules hold in it as in the callback. Since 1.0.0.
pub type LogDrop = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// Has `callback` called with every message of `level` or more severe, in place of the callback before it.
///
/// When this returns BITCASK_OK, no thread is in the callback before it, none will enter it, and its `drop` was called
/// with its `context`, once. Unless BITCASK_OK, all is as it was, and `context` is still the caller's.
///
/// Threads of the library may call it for as long as a store is open, also while the process ends: put NULL in its
/// place before what it uses is gone.
///
/// @param level     from BITCASK_LOG_OFF to BITCASK_LOG_DEBUG
/// @param callback  the function; NULL for none, and then `context` and `drop` are ignored
/// @param context   passed to `callback`, on whichever thread; may be NULL
/// @param drop      called with `context` when the callback is replaced, in the thread that replaces it, and never
///                  at the end of the process; may be NULL
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (`level` is none of those, or this was called from inside of a log callback or
///         drop, which would wait for itself)
///
/// Threads: any. Blocks until every thread has left the callback before it. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_set_log(
    level: i32,
    callback: LogCallback,
    context: *mut c_void,
    drop: LogDrop,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard(err, || {
            let level = level_of(level)?;
            log::listen(process_token, level, || {
                let target = Target { callback: callback?, context, drop };
                let listener: Listener = Box::new(move |level, message| target.call(level, message));
                Some(listener)
            })?;
            Ok(BITCASK_OK)
        })
    }
}

/// Keeps messages of `level` or more severe in memory, for bitcask_log_next() to take: the newest `capacity` of them.
///
/// When a message comes and there is no room, the oldest is dropped. The next that bitcask_log_next() hands out then
/// is a message of BITCASK_LOG_WARN, whatever `level` is, that says how many were dropped in its place. Called again,
/// it goes on with the messages that are kept, as far as there is room.
///
/// @param level     from BITCASK_LOG_OFF to BITCASK_LOG_DEBUG
/// @param capacity  how many, at most 65536; with 0, or BITCASK_LOG_OFF for `level`, nothing is kept any more and what
///                  was kept is freed, as it is at the start
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (and then nothing changes)
///
/// Threads: any. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_log_keep(level: i32, capacity: usize, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard(err, || {
            let level = level_of(level)?;
            if capacity > MAX_KEPT {
                let what = format!("capacity is {capacity}, at most {MAX_KEPT} is accepted");
                return Err(Error::Invalid(what));
            }
            log::keep(process_token, level, capacity);
            Ok(BITCASK_OK)
        })
    }
}

/// Takes the oldest message that bitcask_log_keep() keeps.
///
/// @param level        receives the message's level; may be NULL
/// @param message      receives the message, one line with an uncounted NUL behind it; not NULL; NULL unless
///                     BITCASK_OK
/// @param message_len  receives its length in bytes; may be NULL
/// @param err          receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_DONE: there is none; or: E_INVALID, E_NO_MEMORY (the message stays)
///
/// Ownership: free `*message` with bitcask_free(). Threads: any number, each message goes to one of them. Does not
/// block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_log_next(
    level: *mut i32,
    message: *mut *mut c_char,
    message_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let (level, message) = (Out::zeroed(level), Out::zeroed(message));
        let message_len = Out::zeroed(message_len);
        guard(err, || {
            message.required("message")?;
            let taken = log::next(|its_level, text| Ok((its_level, Buffer::copy_of(text.as_bytes())?)))?;
            let Some((its_level, text)) = taken else {
                return Ok(BITCASK_DONE);
            };
            let (start, len) = text.into_raw();
            level.set(number_of(its_level));
            message.set(start.cast::<c_char>());
            message_len.set(len);
            Ok(BITCASK_OK)
        })
    }
}

/// The program's callback and what belongs to it.
struct Target {
    callback: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize),
    context: *mut c_void,
    drop: LogDrop,
}

// SAFETY: the header says that the callback and the end of its context may come on any thread.
unsafe impl Send for Target {}
// SAFETY: the header says that the callback may run on several threads at once.
unsafe impl Sync for Target {}

impl Target {
    fn call(&self, level: Level, message: &CStr) {
        // SAFETY: the caller of `bitcask_set_log` passed a function that takes this, and `context` was not dropped yet.
        unsafe {
            (self.callback)(self.context, number_of(level), message.as_ptr(), message.count_bytes());
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller of `bitcask_set_log` passed a function that takes this, and it is called only here.
            unsafe { drop(self.context) };
        }
    }
}

fn process_token() -> u64 {
    Disk.process_token()
}

/// The level that a number stands for; none for off.
fn level_of(number: i32) -> Result<Option<Level>> {
    match number {
        BITCASK_LOG_OFF => Ok(None),
        BITCASK_LOG_ERROR => Ok(Some(Level::Error)),
        BITCASK_LOG_WARN => Ok(Some(Level::Warn)),
        BITCASK_LOG_INFO => Ok(Some(Level::Info)),
        BITCASK_LOG_DEBUG => Ok(Some(Level::Debug)),
        _ => {
            let accepted = "accepted are 0 (off), 1 (errors), 2 (warnings), 3 (info) and 4 (debug)";
            Err(Error::Invalid(format!("level is {number}, {accepted}")))
        }
    }
}

fn number_of(level: Level) -> i32 {
    match level {
        Level::Error => BITCASK_LOG_ERROR,
        Level::Warn => BITCASK_LOG_WARN,
        Level::Info => BITCASK_LOG_INFO,
        Level::Debug => BITCASK_LOG_DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_its_number_and_no_other_number_has_a_level() {
        for number in BITCASK_LOG_ERROR..=BITCASK_LOG_DEBUG {
            assert_eq!(level_of(number).unwrap().map(number_of), Some(number));
        }
        assert_eq!(level_of(BITCASK_LOG_OFF).unwrap(), None);
        for number in [BITCASK_LOG_OFF - 1, BITCASK_LOG_DEBUG + 1, i32::MAX, i32::MIN] {
            let err = level_of(number).unwrap_err().to_string();
            assert!(err.starts_with(&format!("level is {number}, accepted are 0 (off)")), "{err}");
        }
    }
}
