//! What a store and the library can tell of themselves.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard_store, null, text};
use super::handles::Handle;
use super::json::JsonOut;
use super::report::ErrorOut;
use super::status::{BITCASK_OK, Status};
use crate::Error;
use std::ffi::{CStr, c_char};

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version holds no NUL"),
};
const VERSION_NUMBER: u32 = decimal(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
    + decimal(env!("CARGO_PKG_VERSION_MINOR")) * 100
    + decimal(env!("CARGO_PKG_VERSION_PATCH"));

/// Describes the store as one JSON object; "Statistics" above lists what is in it. Names may be added in later
/// versions, so do not mind those you do not know.
///
/// @param db        the store; not NULL
/// @param json      receives the text, with an uncounted NUL behind it; not NULL; NULL unless BITCASK_OK
/// @param json_len  receives its length in bytes; may be NULL
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_FORKED
///
/// Ownership: free `*json` with bitcask_free(). Threads: any number. Blocks: it takes its turn with the writes for
/// a moment, so it may wait for one that is under way, such as a large batch, and for the sync that follows a
/// write that failed. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_stats(
    db: *const Handle,
    json: *mut *mut c_char,
    json_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(json, json_len);
        guard_store(db, err, |store| {
            output.required("json")?;
            output.set(store.stats()?.to_json().as_bytes())
        })
    }
}

/// One number of bitcask_stats(), without the JSON.
///
/// @param db     the store; not NULL
/// @param name   the name of a numeric entry, e.g. "disk_bytes"; not NULL
/// @param value  receives the number; not NULL; 0 unless BITCASK_OK
/// @param err    receives the reason of a failure; may be NULL
/// @return BITCASK_OK, or: E_INVALID (also: there is no number of that name), E_FORKED
///
/// Threads: any number. Blocks: as bitcask_stats(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_stat_u64(
    db: *const Handle,
    name: *const c_char,
    value: *mut u64,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let value = Out::zeroed(value);
        guard_store(db, err, |store| {
            value.required("value")?;
            let name = text("name", name)?.ok_or_else(|| null("name"))?;
            let number = store.stats()?.number(name);
            value.set(number.ok_or_else(|| {
                Error::Invalid(format!("name is \"{name:.60}\", which is no number of bitcask_stats()"))
            })?);
            Ok(BITCASK_OK)
        })
    }
}

/// The version of the library that is loaded, e.g. "1.0.0". Constant, never NULL, never freed.
///
/// Any thread, does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn bitcask_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the library that is loaded, as major * 10000 + minor * 100 + patch. Compare it with
/// BITCASK_VERSION_NUMBER, which is the version that the program was compiled against: a library with the same
/// major number that is not older will do.
///
/// Any thread, does not block, cannot fail. Since 1.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn bitcask_version_number() -> u32 {
    VERSION_NUMBER
}

/// The number that decimal digits spell.
const fn decimal(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut number = 0;
    let mut i = 0;
    while i < digits.len() {
        assert!(digits[i].is_ascii_digit());
        number = number * 10 + (digits[i] - b'0') as u32;
        i += 1;
    }
    number
}
