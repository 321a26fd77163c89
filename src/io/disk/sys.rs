//! What the calls of this room share: `EINTR`, offsets, names and file types.
//!
//! A name that passes [`file_name`] cannot leave its directory; a type that passes [`require_regular`] cannot
//! block, answer with a driver's whims or lead elsewhere.
#![expect(unsafe_code, reason = "fstat fills a structure through a pointer; a test sets errno")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// The most bytes one read or write moves on Linux (`MAX_RW_COUNT`); a longer request is cut to it.
pub(super) const MAX_TRANSFER_BYTES: usize = 0x7fff_f000;

/// The most parts one gathering write takes on Linux (`UIO_MAXIOV`).
pub(super) const MAX_PARTS: usize = 1024;

/// Repeats a call that answers -1 or a status while a signal interrupts it.
pub(super) fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let answer = call();
        if answer != -1 {
            return Ok(answer);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Repeats a call that answers -1 or a byte count while a signal interrupts it.
pub(super) fn retry_count(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// An offset or length as the kernel takes it.
pub(super) fn offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}

/// A plain file name: no path, no way out of the directory, no NUL.
pub(super) fn file_name(name: &str) -> io::Result<CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(invalid(format!("{name:?} is not the name of a file in the directory")));
    }
    CString::new(name).map_err(|_| invalid(format!("the name {name:?} contains a NUL byte")))
}

/// An `InvalidInput` error with a text.
pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The attributes of an open file.
pub(super) fn stat(fd: RawFd) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is room for the structure the call fills.
    retry(|| unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: the call answered success, so it has filled the whole structure.
    Ok(unsafe { stat.assume_init() })
}

/// Refuses everything but a regular file.
pub(super) fn require_regular(mode: libc::mode_t, name: &str) -> io::Result<()> {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFREG => return Ok(()),
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFDIR => "a directory",
        libc::S_IFIFO => "a pipe",
        libc::S_IFSOCK => "a socket",
        libc::S_IFCHR | libc::S_IFBLK => "a device",
        _ => "of an unknown type",
    };
    Err(invalid(format!("{name:?} is {kind}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_errno(code: libc::c_int) {
        // SAFETY: `errno` is this thread's own.
        unsafe { *libc::__errno_location() = code };
    }

    #[test]
    fn an_interrupted_call_is_repeated_until_it_answers() {
        let mut calls = 0;
        let answer = retry(|| {
            calls += 1;
            set_errno(libc::EINTR);
            if calls < 4 { -1 } else { 7 }
        });
        assert_eq!((answer.unwrap(), calls), (7, 4));
        let mut calls = 0;
        let answer = retry_count(|| {
            calls += 1;
            set_errno(libc::EINTR);
            if calls < 4 { -1 } else { 5 }
        });
        assert_eq!((answer.unwrap(), calls), (5, 4));
    }

    #[test]
    fn no_other_failure_is_repeated() {
        for code in [libc::EAGAIN, libc::EIO, libc::ENOSPC] {
            let mut calls = 0;
            let error = retry_count(|| {
                calls += 1;
                set_errno(code);
                -1
            })
            .unwrap_err();
            assert_eq!((error.raw_os_error(), calls), (Some(code), 1));
        }
    }

    #[test]
    fn an_offset_the_kernel_cannot_take_is_refused_not_wrapped() {
        assert_eq!(offset(u64::MAX).unwrap_err().raw_os_error(), Some(libc::EOVERFLOW));
        assert_eq!(offset(1 << 31).is_ok(), size_of::<libc::off_t>() == 8);
    }
}
