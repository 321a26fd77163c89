//! Counters: values that are numbers, changed by adding to them.
//!
//! A counter is stored as the 8 bytes of a signed number, little-endian, so that it can be put and read like any value.

use crate::engine::Db;
use crate::error::{Error, Result};
use crate::format::record::Flags;
use crate::io::env::Env;

impl<E: Env> Db<E> {
    /// Adds `delta` to the counter under `key`, atomically against other writes to the key, and answers the sum. A key
    /// without a value counts as 0. The deadline stays; a counter that is new expires as the option `default_ttl_ms` says.
    ///
    /// # Errors
    /// As [`Db::put`] and [`Db::get`]; `Invalid` when the value is not 8 bytes long, or the sum is no signed number of 64
    /// bits. Nothing is written then.
    pub fn counter_add(&self, key: &[u8], delta: i64) -> Result<i64> {
        let mut sum = 0;
        let _ = self.update(key, Flags::NONE, |value| {
            let count = value.map_or(Ok(0), count_of)?;
            sum = count.checked_add(delta).ok_or_else(|| {
                Error::Invalid(format!("{count} and {delta} add up to more than a counter holds"))
            })?;
            Ok(Some(sum.to_le_bytes().to_vec()))
        })?;
        Ok(sum)
    }
}

fn count_of(value: &[u8]) -> Result<i64> {
    let bytes = value.try_into().map_err(|_| {
        Error::Invalid(format!("the value is {} bytes long, that of a counter is 8", value.len()))
    })?;
    Ok(i64::from_le_bytes(bytes))
}
