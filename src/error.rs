//! The one error type of the engine.
//!
//! Every variant carries what a person needs to act: the file, the offset, what was expected and what was
//! found. The C face maps each variant to one status code; nothing below it knows those numbers.

use std::fmt;
use std::io;

/// The result of every fallible call in the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument or option was wrong; the text names it, what was given and what is accepted.
    Invalid(String),
    /// The operating system refused a call.
    Io {
        /// What was being done, as a verb phrase: `"write"`, `"sync"`.
        action: &'static str,
        /// The file's name in the directory, or the path for the directory itself.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Stored bytes are not what was written.
    Corrupt {
        /// The damaged file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The device, a quota or a file-size limit is exhausted; reads go on and nothing stored is lost.
    NoSpace {
        /// What was being done.
        action: &'static str,
        /// The file being written.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Memory could not be obtained.
    NoMemory {
        /// How much was asked for; 0 when it was the system that had none for a call.
        bytes: usize,
    },
    /// Another handle has the directory open.
    Locked {
        /// The directory.
        path: String,
        /// Who is known to hold the lock.
        holder: String,
    },
    /// The handle was opened with `read_only`.
    ReadOnly,
    /// The handle was closed.
    Closed,
    /// The handle belongs to the parent of this process.
    Forked,
    /// An earlier failure made further writes unsafe; reads go on until the store is reopened.
    Poisoned {
        /// The failure that did it.
        reason: String,
    },
    /// A key, value, batch or document is over its limit.
    TooLarge {
        /// What is too large: `"key"`, `"value"`, `"batch"`, `"document"`, `"nesting"`.
        what: &'static str,
        /// Its size in bytes; of a nesting, the first level refused.
        size: u64,
        /// The largest size accepted, in bytes; of a nesting, in levels.
        limit: u64,
    },
    /// A deletion of a range ended early. To begin it again deletes the rest.
    Stopped {
        /// How many keys were deleted before.
        deleted: u64,
        /// What ended it.
        source: Box<Error>,
    },
    /// The bytes are not a JSON document that the call accepts.
    NotJson {
        /// What is wrong and where.
        what: String,
    },
    /// Files of a newer version, or not of this library at all.
    Format {
        /// The file.
        file: String,
        /// What was found and what this version reads.
        what: String,
    },
}

impl Error {
    /// Wraps a system error, telling a full device from every other failure.
    pub fn io(action: &'static str, file: impl Into<String>, source: io::Error) -> Self {
        let file = file.into();
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Error::NoSpace { action, file, source },
            Some(libc::ENOMEM) => Error::NoMemory { bytes: 0 },
            _ => Error::Io { action, file, source },
        }
    }

    /// There is no memory for `count` items of a kind.
    pub(crate) fn no_memory<T>(count: usize) -> Self {
        Error::NoMemory { bytes: count.saturating_mul(size_of::<T>()) }
    }

    /// Damage at `offset` of `file`.
    pub fn corrupt(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Error::Corrupt { file: file.into(), offset, what: what.into() }
    }

    /// The system's error number behind this error, or 0.
    pub fn os_errno(&self) -> i32 {
        match self {
            Error::Io { source, .. } | Error::NoSpace { source, .. } => source.raw_os_error().unwrap_or(0),
            Error::NoMemory { .. } => libc::ENOMEM,
            Error::Stopped { source, .. } => source.os_errno(),
            _ => 0,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(what) => f.write_str(what),
            Error::Io { action, file, source } => write!(f, "cannot {action} {file}: {source}"),
            Error::Corrupt { file, offset, what } => write!(f, "{file} is damaged at byte {offset}: {what}"),
            Error::NoSpace { action, file, source } => {
                write!(f, "no space to {action} {file} ({source}); free some and try again, nothing is lost")
            }
            Error::NoMemory { bytes: 0 } => f.write_str("out of memory: the system had none for a call"),
            Error::NoMemory { bytes } => write!(f, "out of memory: {bytes} bytes could not be obtained"),
            Error::Locked { path, holder } => write!(f, "{path} is in use: {holder}"),
            Error::ReadOnly => f.write_str("the store was opened with read_only; open it without to write"),
            Error::Closed => f.write_str("the store was closed"),
            Error::Forked => {
                f.write_str("the handle belongs to the parent process; open the store anew after fork")
            }
            Error::Poisoned { reason } => {
                write!(f, "writes stopped after a failure ({reason}); close and reopen the store")
            }
            Error::TooLarge { what: "nesting", limit, .. } => {
                write!(f, "arrays and objects are nested deeper than {limit}")
            }
            Error::TooLarge { what, size, limit } => {
                write!(f, "the {what} is {size} bytes, the limit is {limit}")
            }
            Error::Stopped { deleted, source } => {
                write!(f, "{source}; {deleted} keys were deleted before, call again to delete the rest")
            }
            Error::NotJson { what } => write!(f, "not JSON: {what}"),
            Error::Format { file, what } => write!(f, "{file}: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::NoSpace { source, .. } => Some(source),
            Error::Stopped { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_memory_is_told_without_a_number() {
        let err = Error::io("sync", "file", io::Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!(err.os_errno(), libc::ENOMEM);
        assert_eq!(err.to_string(), "out of memory: the system had none for a call");
    }
}
