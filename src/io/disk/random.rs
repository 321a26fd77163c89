//! Bytes nobody can guess, from the kernel's generator.
//!
//! They become database and history ids and the secret under which keys are hashed; a failure is an error,
//! never weaker bytes.
#![expect(unsafe_code, reason = "getrandom fills a buffer through a pointer")]

use super::sys;
use std::io;

/// Fills `out`; waits for the generator only on a machine that has just started.
pub(super) fn fill(mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        let filled = sys::retry_count(|| {
            // SAFETY: `out` is a live, exclusively borrowed buffer of exactly that length.
            unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) }
        })?;
        out = &mut out[filled..];
    }
    Ok(())
}
