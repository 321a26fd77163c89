//! Bytes on their way into a new file: gathered, and written in large pieces.

use crate::error::{Error, Result};
use crate::io::env::File;
use crate::io::whole::write_all;

/// What is gathered before it is written.
const FLUSH_AT_BYTES: usize = 1 << 20;

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
