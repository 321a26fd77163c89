//! Reads and atomically replaces the manifest.

use crate::error::{Error, Result};
use crate::format::manifest::{MAX_LEN, Manifest, ManifestError};
use crate::format::names::{MANIFEST, MANIFEST_NEW};
use crate::io::env::{Dir, File};
use crate::io::whole::read_full;
use crate::io::whole::write_all;
use std::io;

/// Why the manifest was not replaced.
pub(crate) enum ReplaceError {
    /// The old manifest stands.
    Unchanged(Error),
    /// Either manifest may be found after a power cut.
    Unknown(Error),
}

impl ReplaceError {
    pub(crate) fn into_error(self) -> Error {
        match self {
            ReplaceError::Unchanged(err) | ReplaceError::Unknown(err) => err,
        }
    }
}

/// The directory's manifest, or `None` when there is none.
pub(crate) fn load<D: Dir>(dir: &D) -> Result<Option<Manifest>> {
    load_named(dir, MANIFEST)
}

/// The manifest in the file `name`, or `None` when there is no such file.
pub(crate) fn load_named<D: Dir>(dir: &D, name: &'static str) -> Result<Option<Manifest>> {
    let failed = |err| Error::io("read", name, err);
    let file = match dir.open(name, false) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(failed(err)),
    };
    let len = file.len().map_err(failed)?;
    if len > MAX_LEN {
        return Err(Error::corrupt(name, MAX_LEN, format!("it has {len} bytes, more than one can have")));
    }
    let len = usize::try_from(len).map_err(|_| Error::NoMemory { bytes: usize::MAX })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory { bytes: len })?;
    bytes.resize(len, 0);
    let got = read_full(&file, &mut bytes, 0).map_err(failed)?;
    match Manifest::decode(&bytes[..got]) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(ManifestError::Damaged(what)) => Err(Error::corrupt(name, 0, what)),
        Err(ManifestError::Newer(what)) => Err(Error::Format { file: name.to_string(), what }),
    }
}

/// Puts `manifest` in the old one's place, durably and whole.
pub(crate) fn replace<D: Dir>(dir: &D, manifest: &Manifest) -> std::result::Result<(), ReplaceError> {
    write_new(dir, MANIFEST_NEW, manifest).map_err(ReplaceError::Unchanged)?;
    let replaced = |err| Error::io("replace", MANIFEST, err);
    match dir.rename(MANIFEST_NEW, MANIFEST).map_err(replaced) {
        // A file system that has no room for the change has not begun it.
        Err(err @ Error::NoSpace { .. }) => return Err(ReplaceError::Unchanged(err)),
        Err(err) => return Err(ReplaceError::Unknown(err)),
        Ok(()) => {}
    }
    dir.sync().map_err(|err| ReplaceError::Unknown(replaced(err)))
}

/// Writes `manifest` to the file `name`, in the place of one that is there. Its bytes are durable then, its name is not.
pub(crate) fn write_new<D: Dir>(dir: &D, name: &'static str, manifest: &Manifest) -> Result<()> {
    let write = || {
        match dir.remove(name) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let file = dir.create(name)?;
        write_all(&file, &manifest.encode(), 0)?;
        file.sync_data()
    };
    write().map_err(|err| Error::io("write", name, err))
}
