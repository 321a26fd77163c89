//! A directory for what is made of a store: never the store's own, nor one in it.

use crate::error::{Error, Result};
use crate::io::env::{Dir, DirOptions, Env};
use std::io;
use std::path::Path;

/// Opens and locks the directory at `path`, and makes it if need be; refuses the directory `store` and all below it.
pub(super) fn open_elsewhere<E: Env>(env: &E, store: &E::Dir, file_mode: u32, path: &Path) -> Result<E::Dir> {
    let shown = path.display().to_string();
    let failed = |err| Error::io("open", &shown, err);
    let open = |path, create| env.open_dir(path, DirOptions { create, file_mode });
    let above = match open(path, false) {
        // Not even an empty directory is made in the store's.
        Err(err) if err.kind() == io::ErrorKind::NotFound => open(parent(path), false),
        opened => opened,
    };
    if store.holds(&above.map_err(failed)?).map_err(failed)? {
        return Err(Error::Invalid(format!("{shown} is the store's own directory, or in it; name another")));
    }
    let dir = open(path, true).map_err(failed)?;
    if !dir.try_lock().map_err(|err| Error::io("lock", &shown, err))? {
        return Err(Error::Locked { holder: dir.lock_holder(), path: shown });
    }
    Ok(dir)
}

/// The directory that `path` is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
