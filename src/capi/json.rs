//! Values that are JSON documents: storing, reading by pointer, patching.

#![expect(unsafe_code, reason = "exports C symbols and dereferences what C passes")]
#![expect(clippy::missing_safety_doc, reason = "the module `capi` states it once for all")]

use super::boundary::{Out, guard, guard_store, key_bytes, text, value_bytes};
use super::handles::Handle;
use super::memory::Buffer;
use super::report::ErrorOut;
use super::status::{BITCASK_NO_MATCH, BITCASK_NOT_FOUND, BITCASK_OK, Status};
use crate::Result;
use crate::features::documents::JsonAnswer;
use crate::features::json;
use std::ffi::{c_char, c_void};

/// Stores a JSON document under a key: as bitcask_put(), but refuses what is not JSON.
///
/// The text is stored as given: the order of names, spacing and numbers of any length come back as they were.
///
/// @param db        the store; not NULL
/// @param key       `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param json      one JSON document (RFC 8259, UTF-8), `json_len` bytes, no NUL needed
/// @param json_len  its length; 0 is no document
/// @param err       receives the reason of a failure, with the place in the text; may be NULL
/// @return BITCASK_OK, or: E_NOT_JSON (nothing was written), E_TOO_LARGE (also: nested too deep), or an error as
///         for bitcask_put()
///
/// Ownership, threads and blocking: as bitcask_put(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_put_json(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    json: *const c_char,
    json_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let json = value_bytes("json", json.cast::<c_void>(), json_len)?;
            store.put_json(key, json)?;
            Ok(BITCASK_OK)
        })
    }
}

/// Fetches a document, or the part of it that a JSON pointer (RFC 6901) names.
///
/// Any value will do that is JSON, however it was put. The answer is JSON text as it stands in the document, so
/// a string comes with its quotes and escapes; a NUL that `json_len` does not count follows.
///
/// @param db        the store; not NULL
/// @param key       `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param pointer   e.g. "/authors/0/name", a C string in UTF-8; NULL or "" for the whole document
/// @param json      receives the text; not NULL; NULL unless BITCASK_OK
/// @param json_len  receives its length in bytes; may be NULL
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: no such key; BITCASK_NO_MATCH: nothing in the document at `pointer`;
///         or: E_NOT_JSON (the value is no document), E_TOO_LARGE (also: it is nested too deep), E_INVALID
///         (also: `pointer` is malformed), or an error as for bitcask_get()
///
/// Ownership: free `*json` with bitcask_free(). Threads and blocking: as bitcask_get(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_get_json(
    db: *const Handle,
    key: *const c_void,
    key_len: usize,
    pointer: *const c_char,
    json: *mut *mut c_char,
    json_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(json, json_len);
        guard_store(db, err, |store| {
            output.required("json")?;
            let key = key_bytes(key, key_len)?;
            let pointer = text("pointer", pointer)?.unwrap_or("");
            match store.get_json(key, pointer)? {
                JsonAnswer::Found(text) => output.set(text.as_bytes()),
                JsonAnswer::NotFound => Ok(BITCASK_NOT_FOUND),
                JsonAnswer::NoMatch => Ok(BITCASK_NO_MATCH),
            }
        })
    }
}

/// Changes parts of a document by a JSON merge patch (RFC 7396), in one step that no other write comes between.
///
/// Names in the patch replace those in the document, null removes them, and objects are merged name by name.
/// What the patch does not touch stays as it was, and so does the value's deadline; a patch that is no object replaces
/// the whole document.
///
/// @param db           the store; not NULL
/// @param key          `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
/// @param merge_patch  one JSON document, `patch_len` bytes, no NUL needed
/// @param patch_len    its length
/// @param err          receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, nothing was written; or: E_NOT_JSON (the patch or the
///         stored value is no document; the message says which), E_TOO_LARGE (also: one is nested too deep, or
///         the result is too large), or an error as for bitcask_put() and bitcask_get()
///
/// Ownership, threads and blocking: as bitcask_put(). Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_patch_json(
    db: *mut Handle,
    key: *const c_void,
    key_len: usize,
    merge_patch: *const c_char,
    patch_len: usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        guard_store(db, err, |store| {
            let key = key_bytes(key, key_len)?;
            let patch = value_bytes("merge_patch", merge_patch.cast::<c_void>(), patch_len)?;
            let was_there = store.patch_json(key, patch)?;
            Ok(if was_there { BITCASK_OK } else { BITCASK_NOT_FOUND })
        })
    }
}

/// Fetches the part of a JSON text that a pointer names; as bitcask_get_json(), but from memory.
///
/// @param json      one JSON document, `json_len` bytes, no NUL needed
/// @param json_len  its length
/// @param pointer   a C string in UTF-8; NULL or "" for the whole document
/// @param out       receives the text, with an uncounted NUL behind it; not NULL; NULL unless BITCASK_OK
/// @param out_len   receives its length in bytes; may be NULL
/// @param err       receives the reason of a failure; may be NULL
/// @return BITCASK_OK; BITCASK_NO_MATCH; or: E_NOT_JSON, E_INVALID, E_TOO_LARGE, E_NO_MEMORY
///
/// Ownership: free `*out` with bitcask_free(). Threads: any. Does not block. Since 1.0.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitcask_json_get(
    json: *const c_char,
    json_len: usize,
    pointer: *const c_char,
    out: *mut *mut c_char,
    out_len: *mut usize,
    err: *mut ErrorOut,
) -> Status {
    // SAFETY: the caller's, as the module `capi` states it.
    unsafe {
        let output = JsonOut::zeroed(out, out_len);
        guard(err, || {
            output.required("out")?;
            let document = value_bytes("json", json.cast::<c_void>(), json_len)?;
            match json::pointer(document, text("pointer", pointer)?.unwrap_or(""))? {
                Some(part) => output.set(part.as_bytes()),
                None => Ok(BITCASK_NO_MATCH),
            }
        })
    }
}

/// A JSON text that goes out, and its length, which the caller need not want.
pub(super) struct JsonOut {
    text: Out<*mut c_char>,
    len: Out<usize>,
}

impl JsonOut {
    /// # Safety
    /// Each pointer is NULL or writable.
    pub(super) unsafe fn zeroed(text: *mut *mut c_char, len: *mut usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { JsonOut { text: Out::zeroed(text), len: Out::zeroed(len) } }
    }

    pub(super) fn required(&self, name: &str) -> Result<()> {
        self.text.required(name)
    }

    /// Sets what the caller may not want.
    pub(super) fn offer(&self, text: &str) -> Result<Status> {
        if self.text.is_wanted() { self.set(text.as_bytes()) } else { Ok(BITCASK_OK) }
    }

    pub(super) fn set(&self, text: &[u8]) -> Result<Status> {
        let (start, len) = Buffer::copy_of(text)?.into_raw();
        self.text.set(start.cast::<c_char>());
        self.len.set(len);
        Ok(BITCASK_OK)
    }
}
