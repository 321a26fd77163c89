//! What a write may depend on: the versions that keys are at.
//!
//! They are looked at outside the write mutex. Under it nothing is read: it is enough that each key's newest record is
//! still where it was seen, in the same segment, and that the clock has not passed its deadline meanwhile.

use super::meta::Meta;
use super::shared::{Inner, WriterGuard};
use crate::error::{Error, Result};
use crate::io::env::Env;
use crate::keydir::Digest;
use crate::keydir::location::Location;

/// A key, and the version at which it must be: 0 for a key that must have no value.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The version.
    pub version: u64,
}

/// The newest record of a key, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    digest: Digest,
    at: Option<Location>,
    /// Of the segment that it is in: a slot may be another segment's by now.
    uid: u64,
    meta: Option<Meta>,
}

impl Seen {
    /// No record.
    pub(super) fn nothing(digest: Digest) -> Self {
        Seen { digest, at: None, uid: 0, meta: None }
    }

    /// A record; `None` says that it is a deletion.
    pub(super) fn record(digest: Digest, at: Location, uid: u64, meta: Option<Meta>) -> Self {
        Seen { digest, at: Some(at), uid, meta }
    }

    /// What is known of the key's value; `None` when it has none at `now_ns`.
    pub(super) fn live(&self, now_ns: u64) -> Option<Meta> {
        self.meta.filter(|meta| meta.deadline.is_none_or(|deadline| deadline > now_ns))
    }

    /// Whether it is a value of this version, expired or not.
    pub(super) fn is_of_version(&self, version: u64) -> bool {
        self.meta.is_some_and(|meta| meta.version == version)
    }

    /// Its version, 0 when it has none.
    pub(super) fn version(&self, now_ns: u64) -> u64 {
        self.live(now_ns).map_or(0, |meta| meta.version)
    }
}

/// The write mutex, or why it was not taken.
pub(super) enum Locked<'a, E: Env> {
    /// Everything that was expected holds as long as it is held.
    Holds(WriterGuard<'a, E>),
    /// The first key that is not at the version expected is at this one.
    Conflict(u64),
}

impl<E: Env> Inner<E> {
    /// The newest record of `key`, its value not looked at.
    pub(super) fn see(&self, key: &[u8], digest: Digest) -> Result<Seen> {
        let found = self.at_newest(digest, |segment, at, view| {
            self.vouch(Some(at), view)?;
            let header = if at.is_tombstone() { None } else { Some(self.read_own_header(key, at, segment)?) };
            Ok(Seen::record(digest, at, segment.uid, header.as_ref().map(Meta::of)))
        })?;
        Ok(found.unwrap_or(Seen::nothing(digest)))
    }

    /// Whether nothing was written to the key since.
    pub(super) fn is_unchanged(&self, seen: &Seen) -> bool {
        self.keydir.get(seen.digest) == seen.at
            && seen.at.is_none_or(|at| {
                self.view.load().segment(at.slot()).is_some_and(|segment| segment.uid == seen.uid)
            })
    }

    /// Takes the write mutex when all of `expected` holds.
    pub(super) fn lock_when(&self, expected: &[Expected<'_>]) -> Result<Locked<'_, E>> {
        let mut all_seen = Vec::new();
        let room = all_seen.try_reserve_exact(expected.len());
        room.map_err(|_| Error::no_memory::<Seen>(expected.len()))?;
        loop {
            all_seen.clear();
            for Expected { key, version } in expected {
                let seen = self.see(key, self.secret.digest(key))?;
                let current = seen.version(self.env.now_ns());
                if current != *version {
                    return Ok(Locked::Conflict(current));
                }
                all_seen.push(seen);
            }
            let writer = self.lock_writer()?;
            let now_ns = if expected.is_empty() { 0 } else { self.env.now_ns() };
            let holds = |(seen, expected): (&Seen, &Expected<'_>)| {
                self.is_unchanged(seen) && seen.version(now_ns) == expected.version
            };
            if all_seen.iter().zip(expected).all(holds) {
                return Ok(Locked::Holds(writer));
            }
        }
    }
}
