//! Paths and names of the simulated file system.
//!
//! Relative paths start at the root; `..` is resolved by the text alone, since there are no links to follow.

use std::io;
use std::path::{Component, Path};

use super::disk::{DirId, Disk, Node};

const MAX_NAME_BYTES: usize = 255;

/// An error as the operating system would give it.
pub(super) fn os_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// The names along `path`, from the root.
pub(super) fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| os_error(libc::EINVAL))?),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

/// Refuses what cannot be one name in a directory.
pub(super) fn check_name(name: &str) -> io::Result<()> {
    match name {
        "" | "." | ".." => Err(os_error(libc::EINVAL)),
        name if name.contains(['/', '\0']) => Err(os_error(libc::EINVAL)),
        name if name.len() > MAX_NAME_BYTES => Err(os_error(libc::ENAMETOOLONG)),
        _ => Ok(()),
    }
}

impl Disk {
    /// The directory that `names` leads to.
    pub(super) fn walk(&self, names: &[&str]) -> io::Result<DirId> {
        names.iter().try_fold(0, |dir, name| match self.dirs[dir].seen.get(*name) {
            Some(Node::Dir(child)) => Ok(*child),
            Some(_) => Err(os_error(libc::ENOTDIR)),
            None => Err(os_error(libc::ENOENT)),
        })
    }
}
