//! What a reader does to read beside a writer, of whom it knows nothing and who knows nothing of it.
//!
//! There is no lock between them. The manifest is replaced as a whole, sealed segments never change, and the unsealed ones
//! grow at the end, where what is not whole yet is the end of data. Two things remain: a listed file may be gone because
//! a merge or a recovery has replaced it, and then there is another manifest by now ([`in_force`]); and a writer that
//! moves on between two looks at the log's end must not leave a gap, so the newest segment is looked at first
//! ([`open_listed`](super::listed::open_listed)).

use super::manifest_file;
use crate::error::{Error, Result};
use crate::format::manifest::Manifest;
use crate::io::env::Dir;
use std::io;

/// How many manifests are tried. A writer replaces one in the time that it takes to write or merge a segment.
const MANIFESTS_TRIED: usize = 100;

/// What `read` makes of the manifest in force, and that manifest. What is missing or wrong under a manifest that was
/// replaced meanwhile says nothing, so `read` tries the next.
pub(super) fn in_force<D: Dir, T>(
    dir: &D,
    path: &str,
    mut manifest: Manifest,
    mut read: impl FnMut(&Manifest) -> Result<T>,
) -> Result<(Manifest, T)> {
    for _ in 0..MANIFESTS_TRIED {
        let err = match read(&manifest) {
            Ok(found) => return Ok((manifest, found)),
            Err(err @ Error::Corrupt { .. }) => err,
            Err(err) => return Err(err),
        };
        match manifest_file::load(dir)? {
            Some(next) if next != manifest => manifest = next,
            _ => return Err(err),
        }
    }
    let source = io::Error::other(format!("a writer replaced it {MANIFESTS_TRIED} times meanwhile"));
    Err(Error::io("read the files of", format!("{path}, as its manifest lists them"), source))
}
