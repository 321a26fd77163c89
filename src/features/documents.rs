//! JSON documents as values: put as text, read in part, patched in place of the old.

use super::json;
use crate::engine::{Db, Outcome, WriteOptions};
use crate::error::{Error, Result};
use crate::format::record::Flags;
use crate::io::env::Env;

/// What a look into a document found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonAnswer {
    /// The key has no value.
    NotFound,
    /// The document has nothing at the pointer.
    NoMatch,
    /// The part's text, as it was stored.
    Found(String),
}

impl<E: Env> Db<E> {
    /// Stores a JSON document (RFC 8259) under `key`, as given: spacing, order and spelling survive.
    ///
    /// # Errors
    /// As [`Db::put`]; `NotJson`; `TooLarge` for a document nested too deep.
    pub fn put_json(&self, key: &[u8], document: &[u8]) -> Result<u64> {
        json::validate(document)?;
        self.put_flagged(key, document, Flags::JSON)
    }

    /// [`Db::put_json`] as `options` say.
    ///
    /// # Errors
    /// As [`Db::put_json`] and [`Db::put_with`].
    pub fn put_json_with(&self, key: &[u8], document: &[u8], options: &WriteOptions) -> Result<Outcome> {
        json::validate(document)?;
        self.put_flagged_with(key, document, Flags::JSON, options)
    }

    /// The part of `key`'s document that `pointer` (RFC 6901) names; `""` is all of it. The value is read as
    /// JSON however it was put.
    ///
    /// # Errors
    /// As [`Db::get`]; `NotJson` when the value is no document; `Invalid` when the pointer is none.
    pub fn get_json(&self, key: &[u8], pointer: &str) -> Result<JsonAnswer> {
        json::check_pointer(pointer)?;
        let found = self.get(key, |value| -> Result<JsonAnswer> {
            Ok(match json::pointer(value, pointer)? {
                Some(part) => JsonAnswer::Found(copy_of(part)?),
                None => JsonAnswer::NoMatch,
            })
        })?;
        found.unwrap_or(Ok(JsonAnswer::NotFound))
    }

    /// Changes `key`'s document by a merge patch (RFC 7396), atomically against other writes to the key, and keeps its
    /// deadline; `false` when the key has no value.
    ///
    /// # Errors
    /// As [`Db::put`] and [`Db::get`]; `NotJson` when patch or value is no document.
    pub fn patch_json(&self, key: &[u8], patch: &[u8]) -> Result<bool> {
        json::validate(patch).map_err(|err| found_in("the patch", err))?;
        // The patch has passed, so what is no JSON now is the value.
        let patched = |value: &[u8]| json::merge_patch(value, patch);
        let outcome = self.update(key, Flags::JSON, |value| {
            value.map(patched).transpose().map_err(|err| found_in("the stored value", err))
        })?;
        Ok(matches!(outcome, Outcome::Written(_)))
    }
}

/// Says in which of two texts an error was found.
fn found_in(text: &str, error: Error) -> Error {
    match error {
        Error::NotJson { what } => Error::NotJson { what: format!("in {text}: {what}") },
        other => other,
    }
}

fn copy_of(part: &str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(part.len()).map_err(|_| Error::no_memory::<u8>(part.len()))?;
    copy.push_str(part);
    Ok(copy)
}
