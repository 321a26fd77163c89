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

/// Errors by which the system says that it wrote nothing.
const REFUSALS: [i32; 5] = [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EBADF, libc::ENOMEM];

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
            Err((written, err)) => {
                let nothing_written = written == 0 && REFUSALS.contains(&err.raw_os_error().unwrap_or(0));
                let failed = Error::io("write", &self.segment.name, err);
                match self.cut_back(nothing_written) {
                    Ok(()) => Err(AppendError::RolledBack(failed)),
                    Err(_) => Err(AppendError::Broken(failed)),
                }
            }
        }
    }

    /// Cuts off what a failed append left. If that may be bytes, the cut is made durable at once: else a power cut
    /// could lose it together with the next append and keep the one after, which would join the leftovers to a
    /// log they were never part of.
    fn cut_back(&self, nothing_written: bool) -> io::Result<()> {
        self.segment.file.truncate(self.len)?;
        if nothing_written { Ok(()) } else { self.segment.file.sync_data() }
    }
}

/// Writes all of `parts`, or answers how much was written before what went wrong.
fn write_full<F: File>(
    file: &F,
    mut parts: &mut [IoSlice<'_>],
    start: u64,
) -> std::result::Result<(), (u64, io::Error)> {
    let mut done = 0;
    while !parts.is_empty() {
        match file.write_at(parts, start + done) {
            Ok(0) if parts.iter().all(|part| part.is_empty()) => return Ok(()),
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                done += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(err) => return Err((done, err)),
        }
    }
    Ok(())
}
