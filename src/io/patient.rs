//! A directory for those who read what may be damaged: nothing in it is ever changed, and sectors that the device cannot
//! read are zeros.
//!
//! Every structure of a store has a checksum, so zeros in the place of what cannot be read are found like any other
//! damage, and whoever reads goes on behind them.

use super::env::{Dir, File};
use crate::sync::Mutex;
use std::io::{self, IoSlice};

/// What is given up at a time where the device fails.
const SECTOR_BYTES: u64 = 512;

/// A directory in which nothing can be changed, of files that are read around what cannot be read.
pub struct PatientDir<D>(pub D);

/// A file of a [`PatientDir`].
pub struct PatientFile<F> {
    file: F,
    /// Sectors that could not be read, by offset, ascending.
    unreadable: Mutex<Vec<u64>>,
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(libc::EROFS))
}

impl<D: Dir> Dir for PatientDir<D> {
    type File = PatientFile<D::File>;

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    fn lock_holder(&self) -> String {
        self.0.lock_holder()
    }

    fn is_network(&self) -> bool {
        self.0.is_network()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Self::File> {
        if write {
            return refused();
        }
        Ok(PatientFile { file: self.0.open(name, false)?, unreadable: Mutex::default() })
    }

    fn create(&self, _name: &str) -> io::Result<Self::File> {
        refused()
    }

    fn link(&self, _name: &str, _to: &Self, _to_name: &str) -> io::Result<()> {
        refused()
    }

    fn holds(&self, other: &Self) -> io::Result<bool> {
        self.0.holds(&other.0)
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }
}

impl<F: File> PatientFile<F> {
    /// Whether a sector that lies in the `len` bytes at `offset`, or in part, could not be read so far.
    pub fn is_unreadable(&self, offset: u64, len: u64) -> bool {
        let unreadable = self.unreadable.lock();
        let next = unreadable.partition_point(|sector| sector + SECTOR_BYTES <= offset);
        unreadable.get(next).is_some_and(|&sector| sector < offset.saturating_add(len))
    }

    /// Reads no further than to the end of the sector at `offset`.
    #[cold]
    fn read_sector(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let sector = offset - offset % SECTOR_BYTES;
        let left = self.file.len()?.min(sector + SECTOR_BYTES).saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        match self.file.read_at(&mut buf[..len], offset) {
            Err(err) if is_medium_error(&err) => {
                buf[..len].fill(0);
                let mut unreadable = self.unreadable.lock();
                if let Err(at) = unreadable.binary_search(&sector) {
                    unreadable.insert(at, sector);
                }
                Ok(len)
            }
            outcome => outcome,
        }
    }
}

fn is_medium_error(err: &io::Error) -> bool {
    err.raw_os_error() == Some(libc::EIO)
}

impl<F: File> File for PatientFile<F> {
    type Map = F::Map;

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.file.read_at(buf, offset) {
            Err(err) if is_medium_error(&err) => self.read_sector(buf, offset),
            outcome => outcome,
        }
    }

    fn write_at(&self, _parts: &[IoSlice<'_>], _offset: u64) -> io::Result<usize> {
        refused()
    }

    fn copy_range(&self, _from: &Self, _offset: u64, _len: u64) -> io::Result<u64> {
        refused()
    }

    fn truncate(&self, _len: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn map(&self, _len: u64) -> io::Result<Option<Self::Map>> {
        Ok(None)
    }
}
