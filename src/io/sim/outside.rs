//! What tests do behind the engine's back: look at files, build hostile directories, damage stored bytes.
//!
//! These are neither counted nor failed. What they write is durable at once; they are recorded as ordinary
//! operations, so crash images contain them. After preparing a disk, [`Sim::start_log`] makes it the
//! beginning of the run. A path that is not there is a mistake in the test, and panics.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::content::index;
use super::disk::{DirId, FileId, Node, Op};
use super::machine::Sim;
use super::path::components;
use super::state::State;

const SECTOR_BYTES: u64 = 512;

impl State {
    fn must_walk(&self, dir: &Path) -> DirId {
        let names = components(dir).expect("a path of plain names");
        self.disk.walk(&names).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
    }

    fn must_find(&self, dir: &Path, name: &str) -> FileId {
        match self.entry(self.must_walk(dir), name) {
            Some(Node::File(file)) => file,
            other => panic!("{}/{name} is not a file: {other:?}", dir.display()),
        }
    }

    fn sync_file(&mut self, file: FileId) {
        self.record(Op::SyncData { file, below: self.disk.next_seq });
    }
}

impl Sim {
    /// Makes a directory and those above it, durably.
    pub fn make_dirs(&self, dir: impl AsRef<Path>) {
        let mut state = self.state();
        let mut at = 0;
        for name in components(dir.as_ref()).expect("a path of plain names") {
            at = match state.entry(at, name) {
                Some(Node::Dir(child)) => child,
                Some(_) => panic!("{name} is not a directory"),
                None => {
                    let child = state.disk.dirs.len();
                    state.record(Op::Mkdir { dir: at, name: name.into(), child });
                    state.record(Op::SyncDir { dir: at });
                    child
                }
            };
        }
    }

    /// Whether there is a directory at this path.
    pub fn has_dir(&self, dir: impl AsRef<Path>) -> bool {
        let state = self.state();
        components(dir.as_ref()).is_ok_and(|names| state.disk.walk(&names).is_ok())
    }

    /// The files of a directory and their sizes, by name; other entries are left out.
    pub fn files(&self, dir: impl AsRef<Path>) -> BTreeMap<String, u64> {
        let state = self.state();
        let dir = state.must_walk(dir.as_ref());
        let files = state.disk.dirs[dir].seen.iter().filter_map(|(name, node)| match node {
            Node::File(file) => Some((String::from(&**name), state.disk.files[*file].seen.len())),
            _ => None,
        });
        files.collect()
    }

    /// A file's bytes as reads show them, or `None` when there is no such file.
    pub fn read_file(&self, dir: impl AsRef<Path>, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let dir = state.must_walk(dir.as_ref());
        match state.entry(dir, name) {
            Some(Node::File(file)) => Some(state.disk.files[file].seen.to_vec()),
            _ => None,
        }
    }

    /// All files of a directory with their bytes.
    pub fn contents(&self, dir: impl AsRef<Path>) -> BTreeMap<String, Vec<u8>> {
        let dir = dir.as_ref();
        let named = |name: String| {
            let bytes = self.read_file(dir, &name).unwrap_or_default();
            (name, bytes)
        };
        self.files(dir).into_keys().map(named).collect()
    }

    /// Puts a file there with these bytes, or replaces the bytes of the one that is there.
    pub fn write_file(&self, dir: impl AsRef<Path>, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let dir = state.must_walk(dir.as_ref());
        let file = match state.entry(dir, name) {
            Some(Node::File(file)) => file,
            Some(_) => panic!("{name} is not a file"),
            None => {
                let file = state.disk.files.len();
                state.record(Op::Create { dir, name: name.into(), file });
                file
            }
        };
        state.record(Op::Truncate { file, len: 0 });
        if !bytes.is_empty() {
            state.record(Op::Write { file, offset: 0, data: bytes.into() });
        }
        state.sync_file(file);
        state.record(Op::SyncDir { dir });
    }

    /// Puts an entry there that is neither file nor directory: a link, a device, a pipe.
    pub fn make_special(&self, dir: impl AsRef<Path>, name: &str) {
        let mut state = self.state();
        let dir = state.must_walk(dir.as_ref());
        state.record(Op::MakeSpecial { dir, name: name.into() });
        state.record(Op::SyncDir { dir });
    }

    /// Takes a file away.
    pub fn remove_file(&self, dir: impl AsRef<Path>, name: &str) {
        let mut state = self.state();
        state.must_find(dir.as_ref(), name);
        let dir = state.must_walk(dir.as_ref());
        state.record(Op::Remove { dir, name: name.into() });
        state.record(Op::SyncDir { dir });
    }

    /// Cuts or extends a file, as another process might while it is open.
    pub fn cut_file(&self, dir: impl AsRef<Path>, name: &str, len: u64) {
        let mut state = self.state();
        let file = state.must_find(dir.as_ref(), name);
        state.record(Op::Truncate { file, len });
        state.sync_file(file);
    }

    /// Flips the bits of `xor` in one byte, in the page cache and on the disk.
    pub fn corrupt(&self, dir: impl AsRef<Path>, name: &str, offset: u64, xor: u8) {
        let mut state = self.state();
        let file = state.must_find(dir.as_ref(), name);
        assert!(offset < state.disk.files[file].seen.len(), "{name} has no byte {offset}");
        state.sync_file(file);
        state.record(Op::Flip { file, offset, xor });
    }

    /// Makes reads that touch the sectors of `range` answer `EIO`, in this machine and in its images.
    pub fn damage(&self, dir: impl AsRef<Path>, name: &str, range: Range<u64>) {
        let mut state = self.state();
        let file = state.must_find(dir.as_ref(), name);
        let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
        debug_assert!(index(range.end) > 0, "an empty range damages nothing");
        let range = sectors.start * SECTOR_BYTES..sectors.end * SECTOR_BYTES;
        state.record(Op::Damage { file, range });
    }
}
