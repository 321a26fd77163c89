//! What only tests call: a way to make a defect happen. Compiled with the feature `test-hooks`, never in a
//! library that is shipped, and not in the header.

#![expect(unsafe_code, reason = "exports a C symbol")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{guard_feed, guard_iter, guard_snapshot, guard_store};
use super::handles::{FeedHandle, Handle, IterHandle, SnapshotHandle};
use super::report::ErrorOut;
use super::status::Status;

/// Panics inside of a call on `db`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_test_panic(db: *mut Handle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { guard_store(db, err, |_| panic!("bitcask_test_panic was called")) }
}

/// Panics inside of a call on `snapshot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_test_panic_snapshot(
    snapshot: *const SnapshotHandle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { guard_snapshot(snapshot, err, |_| panic!("bitcask_test_panic_snapshot was called")) }
}

/// Panics inside of a call on `iter`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_test_panic_iter(iter: *mut IterHandle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { guard_iter(iter, err, |_| panic!("bitcask_test_panic_iter was called")) }
}

/// Panics inside of a call on `feed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_test_panic_feed(feed: *mut FeedHandle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe { guard_feed(feed, err, |_| panic!("bitcask_test_panic_feed was called")) }
}
