//! Bytes on their way into a new file: gathered, and written in large pieces.

use crate::error::{Error, Result};
use crate::io::env::File;
use std::io::{self, IoSlice};

/// What is gathered before it is written.
const FLUSH_AT_BYTES: usize = 1 << 20;

/// Writes all of `bytes` at `offset`.
pub fn write_all<F: File>(file: &F, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&[IoSlice::new(&bytes[done..])], offset + done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            wrote => done += wrote,
        }
    }
    Ok(())
}

/// The end of a file that is being written from one end to the other.
pub struct Output<'f, F: File> {
    /// The file.
    pub file: &'f F,
    /// Its name.
    pub name: &'f str,
    /// What was gathered and not yet written.
    pub pending: Vec<u8>,
    flushed: u64,
}

impl<'f, F: File> Output<'f, F> {
    /// Goes on at `offset`.
    pub fn new(file: &'f F, name: &'f str, offset: u64) -> Self {
        Output { file, name, pending: Vec::new(), flushed: offset }
    }

    /// Where the next byte will lie.
    pub fn end(&self) -> u64 {
        self.flushed + self.pending.len() as u64
    }

    /// Writes what was gathered if it is enough to be worth it.
    pub fn flush_if_large(&mut self) -> Result<()> {
        if self.pending.len() >= FLUSH_AT_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> Result<()> {
        write_all(self.file, &self.pending, self.flushed)
            .map_err(|err| Error::io("write", self.name, err))?;
        self.flushed = self.end();
        self.pending.clear();
        Ok(())
    }
}
