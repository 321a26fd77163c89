//! New segment files: their numbers, uids and names.

use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::Manifest;
use crate::format::names;
use crate::io::env::{Dir, Env};
use crate::keydir::location::MAX_SEGMENT_SLOTS;

/// Uses up the next file number.
pub(super) fn take_number(manifest: &mut Manifest) -> Result<u64> {
    let number = manifest.next_number;
    if number + 1 >= names::NUMBER_END {
        return Err(Error::Invalid(format!("file number {number} is the last one a name can hold")));
    }
    manifest.next_number += 1;
    Ok(number)
}

/// Locations can name this many segments and no more.
pub(super) fn too_many_segments() -> Error {
    let limit = u64::from(MAX_SEGMENT_SLOTS);
    Error::TooLarge { what: "number of segments", size: limit + 1, limit }
}

/// Creates the empty file of a segment.
pub(super) fn create_segment<D: Dir>(dir: &D, number: u64) -> Result<D::File> {
    let name = names::segment(number);
    dir.create(&name).map_err(|err| Error::io("create", name, err))
}

/// A uid that no other segment has: 64 random bits, never 0.
pub(super) fn fresh_uid<E: Env>(env: &E) -> Result<u64> {
    let mut bytes = [0; 8];
    loop {
        env.fill_random(&mut bytes).map_err(|err| Error::io("get randomness for", "a uid", err))?;
        match u64::from_le_bytes(bytes) {
            0 => continue,
            uid => return Ok(uid),
        }
    }
}

/// A random 128-bit id.
pub(super) fn random_id<E: Env>(env: &E) -> Result<Id128> {
    let mut id = Id128::default();
    env.fill_random(&mut id.0).map_err(|err| Error::io("get randomness for", "an id", err))?;
    Ok(id)
}
