//! Reads and writes that go on until all is done: one call of the system may be short.

use super::env::File;
use std::io::{self, IoSlice};

/// Reads until `buf` is full or the file ends; answers how much was read.
pub fn read_full<F: File>(file: &F, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64)? {
            0 => break,
            got => done += got,
        }
    }
    Ok(done)
}

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
