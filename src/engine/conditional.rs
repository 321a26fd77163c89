//! Writes that depend on what is there: with an expected version, deletions, read-modify-write.
//!
//! What is there is read outside the write mutex. If under it the key's newest record is no more the one that was read,
//! all is begun anew; then another write has got through.

use super::db::Db;
use super::expected::{Expected, Locked, Seen};
use super::meta::{Meta, deadline_after};
use super::pack::Stored;
use super::shared::{FileOf, Inner};
use super::write::check_sizes;
use super::write_options::{Expiry, Outcome, WriteOptions};
use crate::error::{Error, Result};
use crate::format::compressed::Head;
use crate::format::record::{Draft, Flags, Record};
use crate::io::env::Env;
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::segment::view::Segment;

/// What a read-modify-write makes of what it found.
enum Step {
    /// Nothing: the key has no value.
    NotFound,
    /// Nothing: the value is as it should be.
    Keep,
    /// A record in its place.
    Write(Successor),
}

/// What is to take a record's place.
struct Successor {
    value: Vec<u8>,
    /// Whether the value is as it is to be stored.
    is_stored: bool,
    flags: Flags,
    deadline: Option<u64>,
}

impl<E: Env> Db<E> {
    /// [`Db::put`] as `options` say.
    ///
    /// # Errors
    /// As [`Db::put`], and as [`Db::get`] when a version is expected, except that a damaged value goes unnoticed.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: &WriteOptions) -> Result<Outcome> {
        self.put_flagged_with(key, value, Flags::NONE, options)
    }

    /// [`Db::put_with`] with flags on the record.
    pub(crate) fn put_flagged_with(
        &self,
        key: &[u8],
        value: &[u8],
        flags: Flags,
        options: &WriteOptions,
    ) -> Result<Outcome> {
        let inner = self.inner();
        let deadline = self.deadline(options.expiry);
        let Some(version) = options.expected else {
            return self.put_expiring(key, value, flags, deadline).map(Outcome::Written);
        };
        inner.check_writable()?;
        check_sizes(key, value)?;
        let (stored, flags) = inner.stored(value, flags);
        let draft = Draft::new(key, &stored, flags, deadline);
        match inner.lock_when(&[Expected { key, version }])? {
            Locked::Conflict(current) => Ok(Outcome::Conflict(current)),
            Locked::Holds(writer) => {
                let digest = inner.secret.digest(key);
                inner.append_one(writer, digest, &draft, key, &stored).map(Outcome::Written)
            }
        }
    }

    /// When a value that is put now expires.
    pub(crate) fn deadline(&self, expiry: Expiry) -> Option<u64> {
        match expiry {
            Expiry::Default => self.inner().default_deadline(),
            Expiry::Never => None,
            Expiry::AfterMs(ttl_ms) => Some(deadline_after(self.now_ns(), ttl_ms)),
            Expiry::At(deadline) => Some(deadline),
        }
    }

    /// Deletes `key`; `false` when it has no value. `true` also when the store cannot tell, being degraded.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let outcome = self.delete_with(key, &WriteOptions::default())?;
        Ok(matches!(outcome, Outcome::Written(_)))
    }

    /// [`Db::delete`] as `options` say. A key without a value is `NotFound`, or a conflict if it was expected to have one.
    /// A value that has expired is none; that it is gone is written down all the same, so that no clock brings it back.
    ///
    /// # Errors
    /// As [`Db::put`], and as [`Db::get`] when a version is expected; `Invalid` when `options` tell of an expiry.
    pub fn delete_with(&self, key: &[u8], options: &WriteOptions) -> Result<Outcome> {
        let inner = self.inner();
        inner.check_writable()?;
        check_sizes(key, &[])?;
        if options.expiry != Expiry::Default {
            return Err(Error::Invalid("a deletion has no value that could expire".to_string()));
        }
        let digest = inner.secret.digest(key);
        inner.keydir.touch(digest)?;
        inner.keydir.prefetch(digest);
        let draft = Draft::new(key, &[], Flags::TOMBSTONE, None);
        if let Some(version) = options.expected {
            let writer = match inner.lock_when(&[Expected { key, version }])? {
                Locked::Conflict(current) => return Ok(Outcome::Conflict(current)),
                Locked::Holds(writer) => writer,
            };
            if version == 0 && inner.keydir.get(digest).is_none_or(|at| at.is_tombstone()) {
                return Ok(Outcome::NotFound);
            }
            let written = inner.append_one(writer, digest, &draft, key, &[])?;
            return Ok(if version == 0 { Outcome::NotFound } else { Outcome::Written(written) });
        }
        loop {
            let newest = inner.keydir.get(digest);
            let has_value = inner.has_value(key, digest, newest)?;
            if !has_value && newest.is_none_or(|at| at.is_tombstone()) {
                return Ok(Outcome::NotFound);
            }
            let writer = inner.lock_writer()?;
            if inner.keydir.get(digest) == newest {
                let version = inner.append_one(writer, digest, &draft, key, &[])?;
                return Ok(if has_value { Outcome::Written(version) } else { Outcome::NotFound });
            }
        }
    }

    /// Puts what `change` makes of `key`'s value, or of `None` if it has none, in its place, and keeps the deadline. When
    /// `change` makes nothing of it, nothing is written.
    pub(crate) fn update(
        &self,
        key: &[u8],
        flags: Flags,
        mut change: impl FnMut(Option<&[u8]>) -> Result<Option<Vec<u8>>>,
    ) -> Result<Outcome> {
        let inner = self.inner();
        self.replace(key, |found| {
            let (value, deadline) = match found {
                Some((segment, at, record)) => {
                    let value =
                        inner.value_of(segment, at.offset(), record, |value| change(Some(value)))??;
                    (value, record.header.deadline)
                }
                None => (change(None)?, inner.default_deadline()),
            };
            let write = |value| Step::Write(Successor { value, is_stored: false, flags, deadline });
            Ok(value.map_or(Step::NotFound, write))
        })
    }

    /// Gives `key`'s value another deadline. Its stored bytes stay as they are, unless they can be read in their segment
    /// alone.
    pub(crate) fn set_deadline(&self, key: &[u8], deadline: Option<u64>) -> Result<Outcome> {
        let inner = self.inner();
        self.replace(key, |found| {
            let Some((segment, at, record)) = found else { return Ok(Step::NotFound) };
            if record.header.deadline == deadline {
                return Ok(Step::Keep);
            }
            let flags = record.header.flags.without(Flags::BATCH_CONTINUES);
            let is_bound = flags.has(Flags::COMPRESSED)
                && Head::decode(record.value).is_none_or(|head| head.dictionary != 0);
            Ok(Step::Write(match is_bound {
                false => Successor { value: copy_of(record.value)?, is_stored: true, flags, deadline },
                true => {
                    let value = inner.value_of(segment, at.offset(), record, copy_of)??;
                    Successor { value, is_stored: false, flags: flags.without(Flags::COMPRESSED), deadline }
                }
            }))
        })
    }

    /// Puts what `next` makes of the newest record of `key`, or of `None` if the key has no value, in its place.
    fn replace(
        &self,
        key: &[u8],
        mut next: impl FnMut(Option<(&Segment<FileOf<E>>, Location, &Record<'_>)>) -> Result<Step>,
    ) -> Result<Outcome> {
        let inner = self.inner();
        inner.check_writable()?;
        check_sizes(key, &[])?;
        let digest = inner.secret.digest(key);
        let mut buf = Vec::new();
        loop {
            let found = inner.at_newest(digest, |segment, at, view| {
                inner.vouch(Some(at), view)?;
                if at.is_tombstone() {
                    return Ok((Seen::record(digest, at, segment.uid, None), next(None)?));
                }
                let record = inner.read_own(key, at, segment, &mut buf)?;
                let seen = Seen::record(digest, at, segment.uid, Some(Meta::of(&record.header)));
                let is_live = seen.live(inner.env.now_ns()).is_some();
                Ok((seen, next(is_live.then_some((&**segment, at, &record)))?))
            })?;
            let (seen, step) = match found {
                Some(found) => found,
                None => (Seen::nothing(digest), next(None)?),
            };
            let Successor { value, is_stored, flags, deadline } = match step {
                Step::NotFound => return Ok(Outcome::NotFound),
                Step::Keep => return Ok(Outcome::Written(seen.version(inner.env.now_ns()))),
                Step::Write(successor) => successor,
            };
            check_sizes(key, &value)?;
            let (stored, flags) =
                if is_stored { (Stored::Given(&value), flags) } else { inner.stored(&value, flags) };
            let draft = Draft::new(key, &stored, flags, deadline);
            let writer = inner.lock_writer()?;
            if inner.is_unchanged(&seen) {
                return inner.append_one(writer, digest, &draft, key, &stored).map(Outcome::Written);
            }
        }
    }
}

impl<E: Env> Inner<E> {
    /// When a value that is put now expires, if nothing is said about it.
    #[inline]
    pub(super) fn default_deadline(&self) -> Option<u64> {
        match self.options.default_ttl_ms {
            0 => None,
            ttl_ms => Some(deadline_after(self.env.now_ns(), ttl_ms)),
        }
    }

    /// Whether there is a value at `newest`, where the index has `key`. So it is said, too, where the store cannot tell,
    /// for a deletion must be able to settle the key.
    fn has_value(&self, key: &[u8], digest: Digest, newest: Option<Location>) -> Result<bool> {
        match newest {
            Some(at) if at.is_tombstone() => Ok(self.vouch(newest, &self.view.load()).is_err()),
            Some(at) if !at.may_expire() => Ok(true),
            Some(_) => match self.see(key, digest) {
                Ok(seen) => Ok(seen.live(self.env.now_ns()).is_some()),
                Err(Error::Corrupt { .. }) => Ok(true),
                Err(err) => Err(err),
            },
            None => Ok(self.degraded.get().is_some()),
        }
    }
}

fn copy_of(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Error::no_memory::<u8>(bytes.len()))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
