//! What is done with stores that are not open: looking for damage, and salvaging what is left.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::guard;
use super::json::JsonOut;
use super::open::directory;
use super::report::ErrorOut;
use super::status::Status;
use crate::features::repair::repair;
use crate::features::verify::verify;
use crate::io::disk::Disk;
use std::ffi::c_char;

/// Reads every byte of a store and reports each damage, with file, offset and key where that is known. Changes nothing, and
/// takes no lock: the store need not be open, and may be, here or in another process. See "Verify and repair" above for
/// what the report says.
///
/// Damage is no failure of this call: it answers BITCASK_OK whenever all could be read, and the report says whether the
/// store is sound. So does a sector that the device cannot read. What a crash leaves at the end of the log is no damage.
///
/// @param path        the store's directory, in the system's own encoding; not NULL, not empty
/// @param report      receives a report as one JSON object, with an uncounted NUL behind it; not NULL; NULL unless
///                    BITCASK_OK
/// @param report_len  receives its length in bytes; may be NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (an argument), E_IO (also: there is no such directory, or no store in it), E_FORMAT
///         (of a newer version), E_NO_MEMORY
///
/// Ownership: free `*report` with bitcask_free(). Threads: any number. Blocks for as long as reading the whole store takes;
/// between segments, at most every two seconds, the log is told how far it is (BITCASK_LOG_INFO). Takes as much memory as an
/// open if there is a checkpoint, else little. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_verify(
    path: *const c_char,
    report: *mut *mut c_char,
    report_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(report, report_len);
        guard(err, || {
            output.required("report")?;
            let found = verify(&Disk, directory("path", path)?)?;
            output.set(found.to_json().as_bytes())
        })
    }
}

/// Salvages every intact record of a damaged store into a new, sound one, also when the manifest is gone. The damaged store
/// is only read, and never changed. See "Verify and repair" above for what is salvaged and what the report says.
///
/// @param source      the damaged store's directory, in the system's own encoding; not NULL, not empty
/// @param dest        the directory of the new store, which must be empty or not exist (its parent must); not NULL, not
///                    empty
/// @param report      receives a report as one JSON object, with an uncounted NUL behind it; may be NULL; NULL unless
///                    BITCASK_OK
/// @param report_len  receives its length in bytes; may be NULL
/// @param err         receives the reason of a failure; may be NULL
/// @return BITCASK_OK, whatever was lost, or: E_INVALID (an argument; `dest` is not empty, or is `source` or in it), E_LOCKED
///         (one of them is open for writing), E_IO (also: there is no store in `source`), E_FORMAT (of a newer version),
///         E_NO_SPACE, E_NO_MEMORY. Then nothing stays in `dest`. A repair that is killed leaves files there that no call
///         opens: remove them and begin again.
///
/// Ownership: free `*report` with bitcask_free(). Threads: any number; no writer can open either directory meanwhile. Blocks
/// for as long as reading the store twice and writing what is left of it takes; between segments, at most every two
/// seconds, the log is told how far it is (BITCASK_LOG_INFO). Takes as much memory as an open, and 16 MiB at the most for keys that are lost. When it
/// answers BITCASK_OK the new store is durable. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_repair(
    source: *const c_char,
    dest: *const c_char,
    report: *mut *mut c_char,
    report_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(report, report_len);
        guard(err, || {
            let done = repair(&Disk, directory("source", source)?, directory("dest", dest)?)?;
            output.offer(&done.to_json())
        })
    }
}
