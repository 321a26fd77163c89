//! The directory that a backup is made in: whether it will do, and what makes it one.
//!
//! Nothing in it is changed before all is known to be a backup of this database, or that it is empty. A directory without
//! a manifest is marked before the first file comes into it: segments that are found there without the mark may be what is
//! left of a store, and are not touched.

use crate::engine::manifest_file::{self, ReplaceError};
use crate::engine::orphans::remove_orphans;
use crate::error::{Error, Result};
use crate::features::elsewhere::open_elsewhere;
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names::{self, BACKUP_FILE_NEW, BACKUP_NEW, CHECKPOINT, MANIFEST, MANIFEST_NEW};
use crate::io::env::{Dir, Env, File};
use crate::segment::view::Segment;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

/// A directory that is locked as a writer would.
pub(super) struct Destination<D> {
    pub(super) dir: D,
    pub(super) path: String,
    /// What is there already: the manifest of an earlier backup, or one without segments.
    earlier: Option<Manifest>,
    /// Its segments by their uids.
    held: HashMap<u64, SegmentEntry>,
}

impl<D: Dir> Destination<D> {
    /// Opens and locks the directory at `path`, and makes it if need be; refuses the store's own directory.
    pub(super) fn open<E: Env<Dir = D>>(env: &E, store: &D, file_mode: u32, path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let dir = open_elsewhere(env, store, file_mode, path)?;
        Ok(Destination { dir, path: shown, earlier: None, held: HashMap::new() })
    }

    /// Refuses a directory that is no place for the backup that `next` begins. Else makes it ready, and answers the names of
    /// the files that are there.
    pub(super) fn admit(&mut self, next: &Manifest) -> Result<HashSet<String>> {
        let earlier = manifest_file::load(&self.dir).map_err(|err| self.within(err))?;
        let found = self.names()?;
        let is_marked = match &earlier {
            Some(earlier) => self.check_earlier(earlier, next).map(|()| true)?,
            None => self.check_unlisted(&found, next)?,
        };
        if let Some(name) = found.iter().find(|name| !is_known(name)) {
            return Err(self.refused(format!("holds {name}, which is no file of a backup")));
        }
        let earlier = earlier.unwrap_or_else(|| Manifest { segments: Vec::new(), ..next.clone() });
        if !is_marked {
            manifest_file::write_new(&self.dir, BACKUP_NEW, &earlier).map_err(|err| self.within(err))?;
            self.dir.sync().map_err(|err| Error::io("sync", &self.path, err))?;
        }
        remove_orphans(&self.dir, &earlier, false);
        let left = self.names()?;
        let listed: HashSet<_> = earlier.segments.iter().map(|entry| entry.number).collect();
        let foreign = |name: &&String| {
            let number = names::parse_segment(name).or(names::parse_hint(name));
            number.is_some_and(|number| !listed.contains(&number))
        };
        if let Some(name) = left.iter().find(foreign) {
            return Err(self.refused(format!("holds {name}, which is not this database's")));
        }
        self.held = earlier.segments.iter().map(|&entry| (entry.uid, entry)).collect();
        self.earlier = Some(earlier);
        Ok(left)
    }

    fn check_earlier(&self, earlier: &Manifest, next: &Manifest) -> Result<()> {
        if earlier.database != next.database {
            return Err(self.refused("holds another database".to_string()));
        }
        if !earlier.backup {
            return Err(self.refused("is no backup, or was opened for writing since it was one".to_string()));
        }
        if earlier.generation > next.generation || earlier.last_version > next.last_version {
            return Err(self.refused(format!(
                "holds a later state, of version {}, than the store, which is at {}: was that set back?",
                earlier.last_version, next.last_version
            )));
        }
        let uids: HashMap<_, _> = next.segments.iter().map(|entry| (entry.number, entry.uid)).collect();
        let is_other = |entry: &&SegmentEntry| uids.get(&entry.number).is_some_and(|&uid| uid != entry.uid);
        match earlier.segments.iter().find(is_other) {
            Some(entry) => {
                let name = names::segment(entry.number);
                Err(self
                    .refused(format!("holds another {name} than the store: it is a backup of a copy of it")))
            }
            None => Ok(()),
        }
    }

    /// Without a manifest there may be segments only of a backup that was cut off. Answers whether the directory is marked
    /// as that of one.
    fn check_unlisted(&self, found: &HashSet<String>, next: &Manifest) -> Result<bool> {
        let is_marked = match manifest_file::load_named(&self.dir, BACKUP_NEW) {
            Ok(begun) => begun.is_some_and(|begun| begun.database == next.database),
            Err(Error::Corrupt { .. }) => false,
            Err(err) => return Err(self.within(err)),
        };
        let is_file = |name: &&String| names::parse_segment(name).or(names::parse_hint(name)).is_some();
        match found.iter().find(is_file) {
            Some(name) if !is_marked => {
                Err(self.refused(format!("holds {name}, which no manifest says to be this database's")))
            }
            _ => Ok(is_marked),
        }
    }

    /// What the earlier backup says of a segment of which it holds all that the next one is to, or more: a crash of the
    /// store may have left less of it there.
    pub(super) fn kept(
        &self,
        entry: &SegmentEntry,
        segment: &Segment<D::File>,
        len: u64,
    ) -> Option<SegmentState> {
        let earlier = self.held.get(&entry.uid)?;
        let file_len = self.dir.open(&segment.name, false).and_then(|file| file.len()).ok()?;
        let whole = file_len >= len.min(segment.readable_len());
        (earlier.kept_len() >= len && whole).then_some(earlier.state)
    }

    /// Makes the directory the backup that `next` lists, and removes what no longer is of it; answers how many segments.
    pub(super) fn complete(&self, next: &Manifest) -> Result<u64> {
        let synced = self.dir.sync().map_err(|err| Error::io("sync", &self.path, err));
        synced.inspect_err(|_| self.give_up())?;
        match manifest_file::replace(&self.dir, next) {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(err)) => {
                self.give_up();
                return Err(self.within(err));
            }
            Err(ReplaceError::Unknown(err)) => return Err(self.within(err)),
        }
        let _ = self.dir.remove(BACKUP_NEW);
        Ok(remove_orphans(&self.dir, next, false))
    }

    /// Removes what the earlier backup does not list, so that a failure on a full disk does not make it fuller.
    pub(super) fn give_up(&self) {
        if let Some(earlier) = &self.earlier {
            remove_orphans(&self.dir, earlier, false);
        }
    }

    /// The error of a call on a file of the backup.
    pub(super) fn failed(&self, action: &'static str, name: &str, err: io::Error) -> Error {
        Error::io(action, self.shown(name), err)
    }

    fn names(&self) -> Result<HashSet<String>> {
        let names = self.dir.names().map_err(|err| Error::io("list", &self.path, err))?;
        Ok(names.into_iter().collect())
    }

    fn shown(&self, name: &str) -> String {
        Path::new(&self.path).join(name).display().to_string()
    }

    fn refused(&self, why: String) -> Error {
        Error::Invalid(format!("{} {why}", self.path))
    }

    /// An error that names a file, with the directory that it is in.
    fn within(&self, mut err: Error) -> Error {
        match &mut err {
            Error::Io { file, .. }
            | Error::NoSpace { file, .. }
            | Error::Corrupt { file, .. }
            | Error::Format { file, .. } => *file = self.shown(file),
            _ => {}
        }
        err
    }
}

fn is_known(name: &str) -> bool {
    let others = [MANIFEST, MANIFEST_NEW, CHECKPOINT, BACKUP_NEW, BACKUP_FILE_NEW];
    others.contains(&name) || names::parse_segment(name).or(names::parse_hint(name)).is_some()
}
