//! What the examination of a store's segments works with, and what it meets.

use super::findings::Findings;
use crate::error::Result;
use crate::format::coding::Id128;
use crate::format::hint::HintEntry;
use crate::io::env::Dir;
use crate::io::patient::PatientDir;
use crate::keydir::Secret;
use crate::segment::scanner::Scanned;

/// What a pass over a segment meets.
pub(crate) enum Met<'a> {
    /// An intact record that is not internal.
    Record {
        /// The record.
        record: &'a Scanned<'a>,
        /// Where the first record of its batch is, as far as the batch is whole from there to here.
        batch_at: u64,
    },
    /// A record that is lost, of a key that is known.
    Lost(Lost<'a>),
    /// Bytes in which records of any key may be lost.
    Hole {
        /// Where they begin.
        from: u64,
    },
}

/// A record that is lost.
pub(crate) struct Lost<'a> {
    /// Its key.
    pub(crate) key: &'a [u8],
    /// Its version.
    pub(crate) version: u64,
    /// Where it was.
    pub(crate) offset: u64,
    /// How long it was, in bytes.
    pub(crate) len: u64,
}

/// Who is told what is met.
pub(crate) type Each<'e> = &'e mut dyn FnMut(Met<'_>) -> Result<()>;

/// A part of a segment that holds no record.
pub(super) struct Hole {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether the hint named a record in it.
    pub(super) is_named: bool,
}

/// What all examinations of a store have in common.
pub(crate) struct Context<'c, D: Dir> {
    /// The directory.
    pub(crate) dir: &'c PatientDir<D>,
    /// The database, if it is known.
    pub(crate) database: Option<Id128>,
    /// The secret of digests, if it is known.
    pub(crate) secret: Option<Secret>,
    /// What was found.
    pub(crate) found: &'c mut Findings,
    /// Bytes read.
    pub(crate) bytes: u64,
    /// Files read.
    pub(crate) files: u64,
    /// Under which the digests are made that are added up.
    pub(super) sums: Secret,
    /// The last key of the sorted run that the segment before belonged to.
    pub(super) last_of_run: Option<(u64, Vec<u8>)>,
}

impl<'c, D: Dir> Context<'c, D> {
    /// Of a store in `dir`.
    pub(crate) fn new(
        dir: &'c PatientDir<D>,
        database: Option<Id128>,
        secret: Option<Secret>,
        found: &'c mut Findings,
    ) -> Self {
        let sums = Secret::new(b"records and hint");
        Context { dir, database, secret, found, bytes: 0, files: 0, sums, last_of_run: None }
    }
}

/// A digest of all that an entry says.
pub(super) fn digest(secret: &Secret, entry: &HintEntry<'_>, buf: &mut Vec<u8>) -> u128 {
    buf.clear();
    entry.encode(buf);
    let digest = secret.digest(buf);
    u128::from(digest.hi) << 64 | u128::from(digest.lo)
}
