//! The one way bytes are added to a segment.
//!
//! An append is one `pwrite` or `pwritev`, looped only when the system takes less than it was given. A failed
//! append is cut off again before the next one may come; if that fails too, nothing more can be appended.
//! This small interface is all the engine sees, so that another way of appending can take its place.

use super::view::Segment;
use crate::error::Error;
use crate::io::env::File;
use crate::sync::Arc;
use std::io::{self, IoSlice};

/// Appends to one segment.
pub struct Appender<F: File> {
    segment: Arc<Segment<F>>,
    len: u64,
}

/// Why an append did not happen.
pub enum AppendError {
    /// The segment is as it was.
    RolledBack(Error),
    /// The segment ends in bytes that could not be cut off.
    Broken(Error),
}

impl<F: File> Appender<F> {
    /// Goes on at the end of `segment`.
    pub fn new(segment: Arc<Segment<F>>) -> Self {
        let len = segment.readable_len();
        Appender { segment, len }
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment<F>> {
        &self.segment
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was ever appended, not even the segment's header.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `parts` one behind the other; readers may see the bytes when this returns.
    pub fn append(&mut self, parts: &mut [IoSlice<'_>]) -> std::result::Result<(), AppendError> {
        let start = self.len;
        let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
        match write_full(&self.segment.file, parts, start) {
            Ok(()) => {
                self.len = start + total;
                self.segment.set_readable_len(self.len);
                Ok(())
            }
            Err(err) => {
                let failed = Error::io("write", &self.segment.name, err);
                match self.segment.file.truncate(start) {
                    Ok(()) => Err(AppendError::RolledBack(failed)),
                    Err(_) => Err(AppendError::Broken(failed)),
                }
            }
        }
    }
}

fn write_full<F: File>(file: &F, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !parts.is_empty() {
        match file.write_at(parts, offset)? {
            0 if parts.iter().all(|part| part.is_empty()) => return Ok(()),
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
        }
    }
    Ok(())
}
