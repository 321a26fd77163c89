//! One open directory: the store's home, and its lock.
//!
//! The path is the host's choice and may lead through links, also at its end: moving a store to another disk
//! and leaving a link is ordinary administration, and whoever can replace that link can replace the directory.
//! What lies *inside* the directory is not trusted: every name is resolved from the descriptor, never through
//! a link, and only regular files are opened, without waiting for the other end of a pipe.
//!
//! The lock is `flock` on the directory's own descriptor: it cannot be unlinked and stolen as a lock file can,
//! and does not vanish when another descriptor is closed as POSIX locks do. It belongs to the open description,
//! so in a forked child nothing here touches it: the child's copy of the descriptor is closed by
//! [`super::fork`], and its number may be somebody else's by the time a child drops this object.
#![expect(unsafe_code, reason = "the *at calls and flock take raw descriptors, readdir hands out pointers")]

use super::{DiskFile, fork, holder, network, sys};
use crate::io::env::{Dir, DirOptions};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const DIR_FLAGS: libc::c_int = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
const FILE_FLAGS: libc::c_int = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
const DIR_MODE: libc::mode_t = 0o700;
const PERMISSION_BITS: libc::mode_t = 0o777;

/// An open directory.
#[derive(Debug)]
pub struct DiskDir {
    /// Valid in the process whose token is `owner`, and only there.
    fd: RawFd,
    owner: u64,
    registration: fork::Registration,
    file_mode: libc::mode_t,
}

impl DiskDir {
    pub(super) fn open(path: &Path, options: DirOptions) -> io::Result<Self> {
        fork::watch()?;
        let fd = match open_at(libc::AT_FDCWD, &path_name(path.as_os_str())?) {
            Err(error) if options.create && error.kind() == io::ErrorKind::NotFound => make(path, error)?,
            opened => opened?,
        };
        let registration = fork::Registration::new(fd.as_raw_fd());
        let file_mode = options.file_mode & PERMISSION_BITS;
        Ok(DiskDir { fd: fd.into_raw_fd(), owner: fork::process_token(), registration, file_mode })
    }

    fn is_ours(&self) -> bool {
        self.owner == fork::process_token()
    }

    /// The descriptor, refused in a child, where the number means nothing or something else.
    fn fd(&self) -> io::Result<RawFd> {
        if self.is_ours() {
            return Ok(self.fd);
        }
        Err(io::Error::other("the directory was opened by the parent of this process"))
    }

    fn open_file(&self, name: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
        let (dir, c_name) = (self.fd()?, sys::file_name(name)?);
        // SAFETY: the name is a NUL-terminated string that lives through the call.
        let fd =
            sys::retry(|| unsafe { libc::openat(dir, c_name.as_ptr(), flags | FILE_FLAGS, self.file_mode) })
                .map_err(|error| explain(dir, name, &c_name, error))?;
        // SAFETY: the call has just handed out this descriptor, to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl Drop for DiskDir {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // A child may have been forked before the descriptor was registered: it must not keep the lock.
        let _ = self.unlock();
        self.registration.end();
        // SAFETY: the descriptor is ours and this is its last use. Linux has released the number also when the
        // call reports an error, so there is nothing to repeat.
        unsafe { libc::close(self.fd) };
    }
}

impl Dir for DiskDir {
    type File = DiskFile;

    fn try_lock(&self) -> io::Result<bool> {
        let fd = self.fd()?;
        // SAFETY: no pointers are passed and the descriptor is ours.
        match sys::retry(|| unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        if !self.is_ours() {
            // The parent still relies on it.
            return Ok(());
        }
        // SAFETY: no pointers are passed and the descriptor is ours.
        sys::retry(|| unsafe { libc::flock(self.fd, libc::LOCK_UN) }).map(drop)
    }

    fn lock_holder(&self) -> String {
        self.fd().map_or_else(|error| error.to_string(), holder::describe)
    }

    fn is_network(&self) -> bool {
        self.fd().map_or(true, network::is_remote)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        // A descriptor of its own, since a listing moves the position that duplicates share.
        let mut listing = Listing::new(open_at(self.fd()?, c".")?)?;
        let mut names = Vec::new();
        while let Some(name) = listing.next()? {
            if let Ok(name) = name.to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_string());
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<DiskFile> {
        let fd = self.open_file(name, if write { libc::O_RDWR } else { libc::O_RDONLY })?;
        sys::require_regular(sys::stat(fd.as_raw_fd())?.st_mode, name)?;
        Ok(DiskFile::new(fd))
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        let fd = self.open_file(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        if let Err(error) = set_mode(fd.as_raw_fd(), self.file_mode) {
            let _ = self.remove(name);
            return Err(error);
        }
        Ok(DiskFile::new(fd))
    }

    fn link(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
        let (from, to, name, to_name) =
            (self.fd()?, to.fd()?, sys::file_name(name)?, sys::file_name(to_name)?);
        // SAFETY: both names are NUL-terminated strings that live through the call. Without flags a symbolic link is
        // not followed.
        sys::retry(|| unsafe { libc::linkat(from, name.as_ptr(), to, to_name.as_ptr(), 0) }).map(drop)
    }

    fn holds(&self, other: &Self) -> io::Result<bool> {
        let this = identity(self.fd()?, ".")?;
        let (other, mut above) = (other.fd()?, ".".to_string());
        let mut at = identity(other, &above)?;
        while at != this {
            above.push_str("/..");
            let next = identity(other, &above)?;
            if next == at {
                return Ok(false);
            }
            at = next;
        }
        Ok(true)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (fd, from, to) = (self.fd()?, sys::file_name(from)?, sys::file_name(to)?);
        // SAFETY: both names are NUL-terminated strings that live through the call.
        sys::retry(|| unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) }).map(drop)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (fd, name) = (self.fd()?, sys::file_name(name)?);
        // SAFETY: the name is a NUL-terminated string that lives through the call.
        sys::retry(|| unsafe { libc::unlinkat(fd, name.as_ptr(), 0) }).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        sync_dir(self.fd()?)
    }
}

/// What tells the directory at `path`, seen from `dir`, from all others. Needs no permission to read it.
fn identity(dir: RawFd, path: &str) -> io::Result<(libc::dev_t, libc::ino_t)> {
    let path = path_name(OsStr::new(path))?;
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is a NUL-terminated string that lives through the call, and `stat` is room for what it fills.
    sys::retry(|| unsafe { libc::fstatat(dir, path.as_ptr(), stat.as_mut_ptr(), 0) })?;
    // SAFETY: the call answered success, so it has filled the whole structure.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.st_dev, stat.st_ino))
}

/// Opens a directory below `dir`.
fn open_at(dir: RawFd, name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is a NUL-terminated string that lives through the call.
    let fd = sys::retry(|| unsafe { libc::openat(dir, name.as_ptr(), DIR_FLAGS) })?;
    // SAFETY: the call has just handed out this descriptor, to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the directory so that it survives a power cut, and opens it.
fn make(path: &Path, absent: io::Error) -> io::Result<OwnedFd> {
    let Some(name) = path.file_name() else { return Err(absent) };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.as_os_str(),
        _ => OsStr::new("."),
    };
    let (parent, name) = (open_at(libc::AT_FDCWD, &path_name(parent)?)?, path_name(name)?);
    let fd = parent.as_raw_fd();
    // SAFETY: the name is a NUL-terminated string that lives through the call.
    match sys::retry(|| unsafe { libc::mkdirat(fd, name.as_ptr(), DIR_MODE) }) {
        Ok(_) => {}
        // Somebody else was faster; the bits are theirs then.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return open_at(fd, &name),
        Err(error) => return Err(error),
    }
    let finish = || {
        // The umask may have taken bits from the mode.
        // SAFETY: the name is a NUL-terminated string that lives through the call.
        sys::retry(|| unsafe { libc::fchmodat(fd, name.as_ptr(), DIR_MODE, 0) })
            .map(drop)
            .or_else(unless_modes_are_foreign)?;
        sync_dir(fd)?;
        open_at(fd, &name)
    };
    finish().inspect_err(|_| {
        // Left behind, it would be found by the next open, which would not sync the parent again.
        // SAFETY: the name is a NUL-terminated string that lives through the call.
        unsafe { libc::unlinkat(fd, name.as_ptr(), libc::AT_REMOVEDIR) };
    })
}

fn path_name(path: &OsStr) -> io::Result<CString> {
    CString::new(path.as_bytes()).map_err(|_| sys::invalid(format!("the path {path:?} contains a NUL byte")))
}

/// `fsync` of a directory. `EINVAL` is how a file system says that it has no such thing.
fn sync_dir(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers are passed; the caller holds the descriptor.
    match sys::retry(|| unsafe { libc::fsync(fd) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        _ => Ok(()),
    }
}

/// Gives a file just made exactly these bits: the umask or a default access list may have had its way.
fn set_mode(fd: RawFd, mode: libc::mode_t) -> io::Result<()> {
    if sys::stat(fd)?.st_mode & PERMISSION_BITS == mode {
        return Ok(());
    }
    // SAFETY: no pointers are passed; the caller holds the descriptor.
    sys::retry(|| unsafe { libc::fchmod(fd, mode) }).map(drop).or_else(unless_modes_are_foreign)
}

/// A maker that may not set bits on what it has just made is on a file system that has none of its own (FAT,
/// SMB): its mount options decide, and refusing to work there would help nobody.
fn unless_modes_are_foreign(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}

/// Tells a name that can never be a store's file from a failure: the system's own word for a link, a socket or
/// a device differs by type and by mount options.
fn explain(dir: RawFd, name: &str, c_name: &CStr, error: io::Error) -> io::Error {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) {
        return error;
    }
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the name is a NUL-terminated string that lives through the call; `stat` is room for the answer.
    let asked = sys::retry(|| unsafe {
        libc::fstatat(dir, c_name.as_ptr(), stat.as_mut_ptr(), libc::AT_SYMLINK_NOFOLLOW)
    });
    if asked.is_err() {
        return error;
    }
    // SAFETY: the call answered success, so it has filled the whole structure.
    let mode = unsafe { stat.assume_init() }.st_mode;
    sys::require_regular(mode, name).err().unwrap_or(error)
}

/// An open listing.
struct Listing {
    stream: *mut libc::DIR,
}

impl Listing {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is ours; on success the stream owns it, on failure it stays ours.
        let stream = unsafe { libc::fdopendir(fd.as_raw_fd()) };
        if stream.is_null() {
            return Err(io::Error::last_os_error());
        }
        let _ = fd.into_raw_fd();
        Ok(Listing { stream })
    }

    /// The next entry's name, valid until the next call.
    fn next(&mut self) -> io::Result<Option<&CStr>> {
        // SAFETY: the end and a failure both answer null and differ in `errno` only, which is this thread's
        // own; the stream is open, and nobody else reads from it.
        let entry = unsafe {
            *libc::__errno_location() = 0;
            libc::readdir64(self.stream)
        };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
        }
        // SAFETY: the entry's name is NUL-terminated and lives until the next call, which borrows `self`
        // exclusively. The entry may be shorter than its declared type, so no reference to all of it is made.
        Ok(Some(unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) }))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        // SAFETY: the stream is open and this is its last use.
        unsafe { libc::closedir(self.stream) };
    }
}
