//! One open regular file.
//!
//! Each method is one system call on the file's own descriptor; a count below the request is an answer, not
//! an error, and the caller goes on from there.
#![expect(unsafe_code, reason = "pread, pwrite and pwritev take pointers")]

use super::{map::DiskMap, sys};
use crate::io::env::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// How the system says that it cannot copy between these two files.
const CANNOT_COPY: [i32; 5] = [libc::EXDEV, libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL, libc::EPERM];

/// An open file of a [`DiskDir`](super::DiskDir).
#[derive(Debug)]
pub struct DiskFile {
    fd: OwnedFd,
}

impl DiskFile {
    /// Takes a descriptor that is known to be a regular file.
    pub(super) fn new(fd: OwnedFd) -> Self {
        DiskFile { fd }
    }

    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl File for DiskFile {
    type Map = DiskMap;

    fn len(&self) -> io::Result<u64> {
        let size = sys::stat(self.raw())?.st_size;
        u64::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = sys::offset(offset)?;
        let len = buf.len().min(sys::MAX_TRANSFER_BYTES);
        // SAFETY: `buf` is live, exclusively borrowed and at least `len` bytes long.
        sys::retry_count(|| unsafe { libc::pread(self.raw(), buf.as_mut_ptr().cast(), len, offset) })
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let offset = sys::offset(offset)?;
        match parts {
            [] => Ok(0),
            [whole] => {
                let len = whole.len().min(sys::MAX_TRANSFER_BYTES);
                // SAFETY: the part is live and at least `len` bytes long.
                sys::retry_count(|| unsafe { libc::pwrite(self.raw(), whole.as_ptr().cast(), len, offset) })
            }
            several => {
                // The kernel cuts the sum at `MAX_TRANSFER_BYTES` itself; only the number of parts is refused.
                let count = several.len().min(sys::MAX_PARTS);
                let count = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
                // SAFETY: `IoSlice` has the layout of `iovec` on Unix by its documentation; the array and what
                // it points at stay borrowed for the call, which only reads them.
                sys::retry_count(|| unsafe {
                    libc::pwritev(self.raw(), several.as_ptr().cast(), count, offset)
                })
            }
        }
    }

    fn copy_range(&self, from: &Self, offset: u64, len: u64) -> io::Result<u64> {
        let (mut read_at, mut write_at) = (sys::offset(offset)?, sys::offset(offset)?);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(sys::MAX_TRANSFER_BYTES);
        // SAFETY: both offsets are live and exclusively borrowed; the descriptors are those of open files.
        let copied = sys::retry_count(|| unsafe {
            libc::copy_file_range(from.raw(), &raw mut read_at, self.raw(), &raw mut write_at, len, 0)
        });
        match copied {
            Ok(copied) => Ok(copied as u64),
            Err(err) if CANNOT_COPY.contains(&err.raw_os_error().unwrap_or(0)) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(err) => Err(err),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = sys::offset(len)?;
        // SAFETY: no pointers are passed and the descriptor is ours.
        sys::retry(|| unsafe { libc::ftruncate(self.raw(), len) }).map(drop)
    }

    fn sync_data(&self) -> io::Result<()> {
        // SAFETY: no pointers are passed and the descriptor is ours.
        sys::retry(|| unsafe { libc::fdatasync(self.raw()) }).map(drop)
    }

    fn map(&self, len: u64) -> io::Result<Option<DiskMap>> {
        DiskMap::new(self.raw(), len)
    }
}
