//! Opening and closing a store.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard, null, text};
use super::handles::Handle;
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};
use crate::engine::Store;
use crate::io::disk::Disk;
use crate::options::Options;
use crate::{Error, Result};
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens the store in a directory and locks it against every other writer.
///
/// The directory is made if there is none and `create` is on (its parent must exist). One writer may have a
/// directory open at a time, and beside it any number of readers (`read_only`), see "Readers" above. No call is needed to
/// repair anything that a crash can do: the log then ends before the first write that is not whole, and what of its tail
/// was not known to be durable is copied to a new segment before this returns. No file is cut back, and with `read_only`
/// nothing is written.
///
/// @param path          the directory, in the system's own encoding; not NULL, not empty
/// @param options_json  the options as one JSON object, see "Options" above; NULL for the defaults
/// @param out           receives the handle; not NULL; set to NULL unless the call answers BITCASK_OK
/// @param err           receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (an argument or an option), E_LOCKED (open for writing elsewhere), E_CORRUPT (the
///         manifest or a segment's file is missing, or the manifest is damaged: nothing was touched), E_FORMAT
///         (of a newer version or the original Bitcask: nothing was touched), E_TOO_LARGE (more than 32 GiB of
///         the log were not known to be durable, or there are more than a million segments), E_IO, E_NO_SPACE,
///         E_NO_MEMORY
///
/// Ownership: release the handle with bitcask_close(). Threads: any; it starts some, see "Threads". Blocks while
/// it reads the hints of the segments, or the segments that have none, and after a crash also while it reads the
/// unsealed part of the log and copies that tail. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_open(
    path: *const c_char,
    options_json: *const c_char,
    out: *mut *mut Handle,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let out = Out::zeroed(out);
        guard(err, || {
            out.required("out")?;
            let path = directory("path", path)?;
            let options = match text("options_json", options_json)? {
                Some(json) => Options::from_json(json)?,
                None => Options::default(),
            };
            let store = Store::open(Disk, path, &options)?;
            out.set(Box::into_raw(Box::new(Handle { store })));
            Ok(BITCASK_OK)
        })
    }
}

/// Closes a store: makes everything written so far durable, stops its background work, releases the directory
/// and frees the handle.
///
/// The handle is gone after this call **also when it answers an error**; the error then says what could not be
/// made durable. The caller sees to it that no other thread is in, or will enter, a call on `db`. Pins stay
/// valid and must still be freed.
///
/// In a child of fork() it answers E_FORKED, frees the child's memory and leaves the parent's store alone.
///
/// @param db   the store; NULL does nothing and answers BITCASK_OK
/// @param err  receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_IO, E_NO_SPACE, E_NO_MEMORY (not everything is durable), E_POISONED (an earlier
///         failure, see bitcask_sync()), E_FORKED
///
/// Ownership: ends `db`. Threads: one, the last. Blocks for one sync of what is not yet durable.
/// Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_close(db: *mut Handle, err: *mut ErrorOut) -> Status {
    // SAFETY: the caller's, as the module `capi` states it; nobody else uses `db` any more.
    unsafe {
        guard(err, || {
            if db.is_null() {
                return Ok(BITCASK_OK);
            }
            let handle = Box::from_raw(db);
            handle.store.close()?;
            Ok(BITCASK_OK)
        })
    }
}

/// The directory that a caller names by a C string; `name` is the parameter's.
///
/// # Safety
/// `path` is NULL or NUL-terminated, and does not change while `'a` lasts.
pub(super) unsafe fn directory<'a>(name: &str, path: *const c_char) -> Result<&'a Path> {
    if path.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    if path.is_empty() {
        return Err(Error::Invalid(format!("{name} is empty; give a directory")));
    }
    Ok(Path::new(OsStr::from_bytes(path.to_bytes())))
}
