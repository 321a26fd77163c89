//! How files come into a backup.
//!
//! Each is made under a name of no meaning and renamed when it is complete, so a file that a manifest may list is always
//! whole. A file is written to only while it is new: what was linked is the store's, too.

use super::destination::Destination;
use crate::error::{Error, Result};
use crate::features::progress::Progress;
use crate::format::names::BACKUP_FILE_NEW;
use crate::io::env::{Dir, File};
use crate::io::whole::{read_full, write_all};
use std::io;

/// How much is copied between two looks at the clock.
const COPIED_AT_ONCE: u64 = 8 << 20;
/// How much is copied through the process at a time.
const BUFFER_LEN: usize = 1 << 20;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transferred {
    Linked,
    Copied,
    Kept,
}

/// The way from a store to its backup.
pub(super) struct Transfer<'d, D: Dir> {
    from: &'d D,
    to: &'d Destination<D>,
    /// The store's path, for the log.
    path: &'d str,
    /// Of all segments, and of those that are in the backup.
    bytes: u64,
    passed: u64,
    progress: Progress,
    buffer: Vec<u8>,
}

impl<'d, D: Dir> Transfer<'d, D> {
    /// A way for segments of `bytes` in all.
    pub(super) fn new(from: &'d D, to: &'d Destination<D>, path: &'d str, bytes: u64) -> Self {
        Transfer { from, to, path, bytes, passed: 0, progress: Progress::new(), buffer: Vec::new() }
    }

    /// Counts bytes of segments that are in the backup, and tells the log now and then.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.passed += bytes;
        let Transfer { path, passed, bytes, to, progress, .. } = self;
        progress.tell(format_args!("{path}: backed up {passed} of {bytes} bytes to {}", to.path));
    }

    /// Gives a file of the store, which never changes any more, a name in the backup. Copies its first `len` bytes where
    /// that cannot be, or where a merge has taken its name in the store away.
    pub(super) fn link_or_copy(&mut self, name: &str, file: &D::File, len: u64) -> Result<Transferred> {
        self.clear()?;
        if self.from.link(name, &self.to.dir, BACKUP_FILE_NEW).is_err() {
            self.copy(name, file, len)?;
            return Ok(Transferred::Copied);
        }
        self.settle(name)?;
        self.pass(len);
        Ok(Transferred::Linked)
    }

    /// Copies the first `len` bytes of a file of the store, durably; all there are of one that is shorter, which is
    /// damage.
    pub(super) fn copy(&mut self, name: &str, file: &D::File, len: u64) -> Result<()> {
        self.clear()?;
        let new = self.to.dir.create(BACKUP_FILE_NEW).map_err(|err| self.to.failed("create", name, err))?;
        let mut at = 0;
        while at < len {
            match self.copy_some(&new, name, file, at, COPIED_AT_ONCE.min(len - at))? {
                0 => break,
                copied => {
                    at += copied;
                    self.pass(copied);
                }
            }
        }
        new.sync_data().map_err(|err| self.to.failed("sync", name, err))?;
        self.settle(name)
    }

    /// Brings a hint. One that is gone meanwhile, or cannot be made durable, is made again by the writer that opens the
    /// backup.
    pub(super) fn bring_hint(&mut self, name: &str) -> Result<()> {
        let Ok(file) = self.from.open(name, false) else { return Ok(()) };
        // A store does not sync the hints that it makes of what it sealed.
        let Ok(len) = file.sync_data().and_then(|()| file.len()) else { return Ok(()) };
        let passed = self.passed;
        self.link_or_copy(name, &file, len)?;
        self.passed = passed;
        Ok(())
    }

    /// Copies some of `len` bytes at `at`; 0 at the end of the file.
    fn copy_some(&mut self, new: &D::File, name: &str, file: &D::File, at: u64, len: u64) -> Result<u64> {
        match new.copy_range(file, at, len) {
            Err(err) if err.kind() == io::ErrorKind::Unsupported => {}
            copied => return copied.map_err(|err| self.to.failed("copy", name, err)),
        }
        let want = usize::try_from(len).unwrap_or(BUFFER_LEN).min(BUFFER_LEN);
        self.buffer.resize(want, 0);
        let got = read_full(file, &mut self.buffer, at).map_err(|err| Error::io("read", name, err))?;
        write_all(new, &self.buffer[..got], at).map_err(|err| self.to.failed("write", name, err))?;
        Ok(got as u64)
    }

    /// Takes away what a failed link may have made, or an earlier backup left.
    fn clear(&self) -> Result<()> {
        match self.to.dir.remove(BACKUP_FILE_NEW) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                Err(self.to.failed("remove", BACKUP_FILE_NEW, err))
            }
            _ => Ok(()),
        }
    }

    fn settle(&self, name: &str) -> Result<()> {
        self.to.dir.rename(BACKUP_FILE_NEW, name).map_err(|err| self.to.failed("rename", name, err))
    }
}
