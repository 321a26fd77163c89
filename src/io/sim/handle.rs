//! Open directories and files of the simulated machine.
//!
//! Each call asks the faults first, then refuses what a real system would refuse, then records what it did.
//! An open file outlives its name, as on POSIX systems.

use std::io::{self, IoSlice};
use std::path::Path;

use super::content::MAX_FILE_BYTES;
use super::disk::{DirId, FileId, Node, Op};
use super::fault::{Call, Verdict};
use super::machine::Sim;
use super::map::SimMap;
use super::path::{check_name, components, os_error};
use super::state::{Held, State};
use crate::io::env::{Dir, DirOptions, File};
use crate::sync::{Arc, Ordering};

/// An open directory. Its lock, if it holds one, is released when it is dropped.
pub struct SimDir {
    sim: Sim,
    dir: DirId,
    handle: u64,
}

/// An open file.
pub struct SimFile {
    sim: Sim,
    file: FileId,
    name: Arc<str>,
    writable: bool,
}

impl SimDir {
    pub(super) fn open_path(sim: &Sim, path: &Path, options: DirOptions) -> io::Result<Self> {
        let names = components(path)?;
        let mut state = sim.state();
        let outcome = state.begin(Call::OpenDir, names.last().copied())?;
        let dir = match state.disk.walk(&names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.create => {
                let (last, parents) = names.split_last().expect("the root is always found");
                let dir = state.disk.walk(parents)?;
                check_name(last)?;
                let child = state.disk.dirs.len();
                state.record(Op::Mkdir { dir, name: (*last).into(), child });
                state.record(Op::SyncDir { dir });
                child
            }
            found => found?,
        };
        outcome.finish()?;
        state.next_handle += 1;
        let handle = state.next_handle;
        drop(state);
        Ok(SimDir { sim: sim.clone(), dir, handle })
    }

    fn open_file(&self, state: &mut State, file: FileId, name: &str, writable: bool) -> SimFile {
        *state.open_files.entry(file).or_default() += 1;
        SimFile { sim: self.sim.clone(), file, name: name.into(), writable }
    }
}

impl State {
    pub(super) fn entry(&self, dir: DirId, name: &str) -> Option<Node> {
        self.disk.dirs[dir].seen.get(name).copied()
    }

    fn file_entry(&self, dir: DirId, name: &str) -> io::Result<Node> {
        match self.entry(dir, name) {
            None => Err(os_error(libc::ENOENT)),
            Some(Node::Dir(_)) => Err(os_error(libc::EISDIR)),
            Some(node) => Ok(node),
        }
    }

    /// The space of a file whose last name goes away.
    fn free_file(&mut self, node: Option<Node>) {
        let names = self.disk.dirs.iter().flat_map(|dir| dir.seen.values());
        let is_last = node.is_some_and(|node| names.filter(|&&named| named == node).count() == 1);
        if let Some(Node::File(file)) = node.filter(|_| is_last) {
            self.give_space(self.disk.files[file].allocated);
        }
    }
}

impl Dir for SimDir {
    type File = SimFile;

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Lock, None)?;
        let holder = state.locks.iter().find(|held| held.dir == self.dir).map(|held| held.handle);
        if holder.is_none() {
            state.locks.push(Held { dir: self.dir, handle: self.handle });
        }
        outcome.finish()?;
        Ok(holder.is_none_or(|holder| holder == self.handle))
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Lock, None)?;
        state.locks.retain(|held| held.handle != self.handle);
        outcome.finish()
    }

    fn lock_holder(&self) -> String {
        let state = self.sim.state();
        match state.locks.iter().find(|held| held.dir == self.dir) {
            Some(held) => format!("simulated handle {} holds the lock", held.handle),
            None => "nobody holds the lock".into(),
        }
    }

    fn is_network(&self) -> bool {
        false
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Names, None)?;
        let mut names: Vec<String> =
            state.disk.dirs[self.dir].seen.keys().map(|name| (**name).into()).collect();
        // A real directory has no order that could be relied on.
        for last in (1..names.len()).rev() {
            names.swap(last, state.rng.below(last + 1));
        }
        outcome.finish()?;
        Ok(names)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<SimFile> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Open, Some(name))?;
        check_name(name)?;
        match state.entry(self.dir, name) {
            None => Err(os_error(libc::ENOENT)),
            Some(Node::Dir(_) | Node::Special) => Err(os_error(libc::EINVAL)),
            Some(Node::File(file)) => {
                outcome.finish()?;
                Ok(self.open_file(&mut state, file, name, write))
            }
        }
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Create, Some(name))?;
        check_name(name)?;
        if state.entry(self.dir, name).is_some() {
            return Err(os_error(libc::EEXIST));
        }
        let file = state.disk.files.len();
        state.record(Op::Create { dir: self.dir, name: name.into(), file });
        outcome.finish()?;
        Ok(self.open_file(&mut state, file, name, true))
    }

    fn link(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Link, Some(to_name))?;
        check_name(name)?;
        check_name(to_name)?;
        let node = state.file_entry(self.dir, name)?;
        if state.entry(to.dir, to_name).is_some() {
            return Err(os_error(libc::EEXIST));
        }
        // A limit of this machine: see `DirChange::apply`.
        if state.disk.dirs[to.dir].seen.values().any(|named| *named == node) {
            return Err(os_error(libc::EMLINK));
        }
        let Node::File(file) = node else { return Err(os_error(libc::EPERM)) };
        state.record(Op::Link { dir: to.dir, name: to_name.into(), file });
        outcome.finish()
    }

    fn holds(&self, other: &Self) -> io::Result<bool> {
        let state = self.sim.state();
        let parent_of = |child| {
            let is_parent =
                |dir: &DirId| state.disk.dirs[*dir].seen.values().any(|&named| named == Node::Dir(child));
            (0..state.disk.dirs.len()).find(is_parent)
        };
        Ok(std::iter::successors(Some(other.dir), |&dir| parent_of(dir)).any(|dir| dir == self.dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Rename, Some(to))?;
        check_name(from)?;
        check_name(to)?;
        state.file_entry(self.dir, from)?;
        if let Some(Node::Dir(_)) = state.entry(self.dir, to) {
            return Err(os_error(libc::EISDIR));
        }
        if from != to {
            let replaced = state.entry(self.dir, to);
            state.free_file(replaced);
            state.record(Op::Rename { dir: self.dir, from: from.into(), to: to.into() });
        }
        outcome.finish()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Remove, Some(name))?;
        check_name(name)?;
        let node = state.file_entry(self.dir, name)?;
        state.free_file(Some(node));
        state.record(Op::Remove { dir: self.dir, name: name.into() });
        outcome.finish()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.sim.state();
        match state.judge(Call::SyncDir, None) {
            Verdict::Fail { errno, done, dirty } => {
                let dirty = state.sync_failure(dirty, Call::SyncDir);
                let dir = self.dir;
                state.record(if done { Op::SyncDir { dir } } else { Op::SyncDirFailed { dir, dirty } });
                Err(os_error(errno))
            }
            Verdict::Pass | Verdict::Short(_) => {
                state.record(Op::SyncDir { dir: self.dir });
                Ok(())
            }
        }
    }
}

impl Drop for SimDir {
    fn drop(&mut self) {
        self.sim.state().locks.retain(|held| held.handle != self.handle);
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(os_error(libc::EBADF)) }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let open_files = &mut self.sim.state().open_files;
        if let Some(handles) = open_files.get_mut(&self.file) {
            *handles -= 1;
            if *handles == 0 {
                open_files.remove(&self.file);
            }
        }
    }
}

impl File for SimFile {
    type Map = SimMap;

    fn len(&self) -> io::Result<u64> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Len, Some(&self.name))?;
        let len = state.disk.files[self.file].seen.len();
        outcome.finish().map(|()| len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Read, Some(&self.name))?;
        let limit = outcome.limit.unwrap_or(buf.len()).min(buf.len());
        let inode = &state.disk.files[self.file];
        let end = offset.saturating_add(limit as u64).min(inode.seen.len());
        if inode.damaged.iter().any(|range| offset < range.end && range.start < end) {
            return Err(os_error(libc::EIO));
        }
        let count = inode.seen.read(offset, &mut buf[..limit]);
        outcome.finish().map(|()| count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Write, Some(&self.name))?;
        self.check_writable()?;
        let mut data = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| data.extend_from_slice(part));
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > MAX_FILE_BYTES) {
            return Err(os_error(libc::EFBIG));
        }
        data.truncate(outcome.limit.unwrap_or(data.len()));
        let count = state.take_space(self.file, offset, data.len())?;
        data.truncate(count);
        if count > 0 {
            state.record(Op::Write { file: self.file, offset, data: data.into() });
        }
        outcome.finish().map(|()| count)
    }

    fn copy_range(&self, _from: &Self, _offset: u64, _len: u64) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.sim.state();
        let outcome = state.begin(Call::Truncate, Some(&self.name))?;
        self.check_writable()?;
        if len > MAX_FILE_BYTES {
            return Err(os_error(libc::EFBIG));
        }
        let allocated = state.disk.files[self.file].allocated;
        state.give_space(allocated.saturating_sub(len));
        state.record(Op::Truncate { file: self.file, len });
        outcome.finish()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.sim.state();
        let verdict = state.judge(Call::SyncData, Some(&self.name));
        let (file, below) = (self.file, state.disk.next_seq);
        if state.syncs_held {
            state.syncs_waiting += 1;
            self.sim.shared.gate.notify_all();
            while state.syncs_held {
                self.sim.shared.gate.wait(&mut state);
            }
            state.syncs_waiting -= 1;
        }
        match verdict {
            Verdict::Fail { errno, done, dirty } => {
                let dirty = state.sync_failure(dirty, Call::SyncData);
                state.record(if done {
                    Op::SyncData { file, below }
                } else {
                    Op::SyncDataFailed { file, below, dirty }
                });
                Err(os_error(errno))
            }
            Verdict::Pass | Verdict::Short(_) => {
                state.record(Op::SyncData { file, below });
                Ok(())
            }
        }
    }

    fn map(&self, len: u64) -> io::Result<Option<SimMap>> {
        let maps = self.sim.shared.maps.load(Ordering::Relaxed);
        Ok(maps.then(|| SimMap::new(&self.sim, self.file, len)))
    }
}
