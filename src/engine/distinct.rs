//! Which operations of a batch count: of each key the last.

use crate::error::{Error, Result};
use std::hash::{BuildHasher, RandomState};

/// Which of `count` operations are the last on their key, in order. Sorted in place, which takes less memory than a table of
/// the keys would, and by hash first, which spares nearly all comparisons of keys.
pub(crate) fn last_of_each_key<'a>(count: usize, key: impl Fn(usize) -> &'a [u8]) -> Result<Vec<usize>> {
    let mut last: Vec<(u64, usize)> = Vec::new();
    last.try_reserve_exact(count).map_err(|_| Error::no_memory::<(u64, usize)>(count))?;
    let hasher = RandomState::new();
    last.extend((0..count).map(|at| (hasher.hash_one(key(at)), at)));
    last.sort_unstable_by(|&(hash, at), &(other_hash, other)| {
        let by_key = hash.cmp(&other_hash).then_with(|| key(at).cmp(key(other)));
        by_key.then(other.cmp(&at))
    });
    last.dedup_by(|(hash, at), (kept_hash, kept)| hash == kept_hash && key(*at) == key(*kept));
    last.sort_unstable_by_key(|&(_, at)| at);
    Ok(last.into_iter().map(|(_, at)| at).collect())
}
