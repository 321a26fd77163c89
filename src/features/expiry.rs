//! Deadlines of values: set, asked for, taken away.
//!
//! A value that has expired is one that is not there, though its record is still counted. Whoever gives a value another
//! deadline writes its stored bytes again under a new version.

use crate::engine::{Db, Expiry, Outcome};
use crate::error::{Error, Result};
use crate::io::env::Env;

/// How long a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As long as nobody deletes it.
    Unlimited,
    /// So many ms, at least 1.
    Ms(u64),
}

impl<E: Env> Db<E> {
    /// Has `key`'s value expire `ttl_ms` from now; `false` when the key has none.
    ///
    /// # Errors
    /// As [`Db::put`] and [`Db::get`]; `Invalid` for 0 ms, which could mean a deletion or [`Db::persist`].
    pub fn expire(&self, key: &[u8], ttl_ms: u64) -> Result<bool> {
        if ttl_ms == 0 {
            return Err(Error::Invalid("ttl_ms is 0, accepted is 1 or more".to_string()));
        }
        self.give_deadline(key, self.deadline(Expiry::AfterMs(ttl_ms)))
    }

    /// Has `key`'s value expire no more; `false` when the key has none. One that does not expire is not written again.
    ///
    /// # Errors
    /// As [`Db::put`] and [`Db::get`].
    pub fn persist(&self, key: &[u8]) -> Result<bool> {
        self.give_deadline(key, None)
    }

    /// How long `key`'s value has; `None` when the key has none. The value itself is not looked at.
    ///
    /// # Errors
    /// As [`Db::get`], except that a damaged value goes unnoticed.
    pub fn ttl(&self, key: &[u8]) -> Result<Option<Ttl>> {
        let meta = self.meta(key)?;
        Ok(meta.map(|meta| meta.ttl_ms(self.now_ns()).map_or(Ttl::Unlimited, Ttl::Ms)))
    }

    fn give_deadline(&self, key: &[u8], deadline: Option<u64>) -> Result<bool> {
        let outcome = self.set_deadline(key, deadline)?;
        Ok(matches!(outcome, Outcome::Written(_)))
    }
}
