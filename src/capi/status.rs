//! The status numbers, their texts, and which error of the engine has which.
//!
//! The numbers are part of the ABI: a number is never changed or used again for something else.

#![expect(unsafe_code, reason = "exports a C symbol")]

use crate::Error;
use std::ffi::{CStr, c_char};

/// What a call answers: 0 is success, a positive number an answer that is no failure, a negative one an error.
pub type Status = i32;

/// The call did what it says.
pub const BITCASK_OK: Status = 0;
/// There is no such key.
pub const BITCASK_NOT_FOUND: Status = 1;
/// Nothing is left to iterate over, or to take.
pub const BITCASK_DONE: Status = 2;
/// The key is not at the expected version; nothing was written.
pub const BITCASK_CONFLICT: Status = 3;
/// The buffer is too small; nothing was copied and the length needed was reported.
pub const BITCASK_BUFFER_TOO_SMALL: Status = 4;
/// The feed cannot go on from this cursor; start again from a snapshot.
pub const BITCASK_RESNAPSHOT: Status = 5;
/// The document has nothing at this JSON pointer.
pub const BITCASK_NO_MATCH: Status = 6;

/// An argument or an option is wrong; the message names it.
pub const BITCASK_E_INVALID: Status = -1;
/// The operating system refused a call; `os_errno` says why.
pub const BITCASK_E_IO: Status = -2;
/// Stored bytes are damaged. Other keys are not affected unless the message says so.
pub const BITCASK_E_CORRUPT: Status = -3;
/// The device, a quota or a file size limit is exhausted (for the limit see "Signals" above). Nothing stored is
/// lost, reads go on, and writes resume when there is space.
pub const BITCASK_E_NO_SPACE: Status = -4;
/// Memory could not be obtained.
pub const BITCASK_E_NO_MEMORY: Status = -5;
/// The directory is open elsewhere, in this process or another.
pub const BITCASK_E_LOCKED: Status = -6;
/// The handle was opened with `read_only`.
pub const BITCASK_E_READ_ONLY: Status = -7;
/// The store that this object belongs to was closed.
pub const BITCASK_E_CLOSED: Status = -8;
/// The handle was inherited through fork(); open the store anew in the child.
pub const BITCASK_E_FORKED: Status = -9;
/// An earlier failure made further writes unsafe. Reads go on; close and reopen to write.
pub const BITCASK_E_POISONED: Status = -10;
/// A defect in the library was caught. The handle is poisoned as above.
pub const BITCASK_E_PANIC: Status = -11;
/// A key, value, batch or document is over its limit.
pub const BITCASK_E_TOO_LARGE: Status = -12;
/// The bytes are not a JSON document.
pub const BITCASK_E_NOT_JSON: Status = -13;
/// The files are of a newer version, or not of this library.
pub const BITCASK_E_FORMAT: Status = -14;

/// The status that stands for `error`.
pub(super) fn status_of(error: &Error) -> Status {
    match error {
        Error::Invalid(_) => BITCASK_E_INVALID,
        Error::Io { .. } => BITCASK_E_IO,
        Error::Corrupt { .. } => BITCASK_E_CORRUPT,
        Error::NoSpace { .. } => BITCASK_E_NO_SPACE,
        Error::NoMemory { .. } => BITCASK_E_NO_MEMORY,
        Error::Locked { .. } => BITCASK_E_LOCKED,
        Error::ReadOnly => BITCASK_E_READ_ONLY,
        Error::Closed => BITCASK_E_CLOSED,
        Error::Forked => BITCASK_E_FORKED,
        Error::Poisoned { .. } => BITCASK_E_POISONED,
        Error::TooLarge { .. } => BITCASK_E_TOO_LARGE,
        Error::Stopped { source, .. } => status_of(source),
        Error::NotJson { .. } => BITCASK_E_NOT_JSON,
        Error::Format { .. } => BITCASK_E_FORMAT,
    }
}

/// The meaning of a status in a few words of English, e.g. `"key not found"`.
///
/// Never NULL; a number that this version does not know gives `"unknown status"`. The string is constant and
/// lives as long as the process. It says what kind of thing happened; `bitcask_error.message` says what did.
///
/// Any thread, does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn bitcask_strerror(status: Status) -> *const c_char {
    text_of(status).as_ptr()
}

fn text_of(status: Status) -> &'static CStr {
    match status {
        BITCASK_OK => c"success",
        BITCASK_NOT_FOUND => c"key not found",
        BITCASK_DONE => c"no more entries",
        BITCASK_CONFLICT => c"the key is not at the expected version",
        BITCASK_BUFFER_TOO_SMALL => c"the buffer is too small",
        BITCASK_RESNAPSHOT => c"the cursor is gone; start again from a snapshot",
        BITCASK_NO_MATCH => c"nothing at this JSON pointer",
        BITCASK_E_INVALID => c"invalid argument",
        BITCASK_E_IO => c"input/output error",
        BITCASK_E_CORRUPT => c"stored data is damaged",
        BITCASK_E_NO_SPACE => c"no space left",
        BITCASK_E_NO_MEMORY => c"out of memory",
        BITCASK_E_LOCKED => c"the store is open elsewhere",
        BITCASK_E_READ_ONLY => c"the store was opened read-only",
        BITCASK_E_CLOSED => c"the store was closed",
        BITCASK_E_FORKED => c"the handle belongs to the parent process",
        BITCASK_E_POISONED => c"writes stopped after an earlier failure",
        BITCASK_E_PANIC => c"a defect in the library was caught",
        BITCASK_E_TOO_LARGE => c"over a size limit",
        BITCASK_E_NOT_JSON => c"not a JSON document",
        BITCASK_E_FORMAT => c"unknown file format",
        _ => c"unknown status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_status_has_its_own_text() {
        let known: HashSet<_> =
            (BITCASK_E_FORMAT..=BITCASK_NO_MATCH).map(text_of).filter(|t| *t != c"unknown status").collect();
        assert_eq!(known.len(), 21);
    }

    #[test]
    fn numbers_outside_the_table_are_unknown() {
        for status in [BITCASK_NO_MATCH + 1, BITCASK_E_FORMAT - 1, i32::MAX, i32::MIN] {
            assert_eq!(text_of(status), c"unknown status");
        }
    }
}
