//! What the simulated disk holds, and what each operation does to it.
//!
//! Every file and directory exists twice: as calls see it, and as it would be found after losing power, with
//! the changes between the two kept in order. The state is a function of the operations alone, so the same
//! operations applied to the same beginning give the same disk: a crash image is made by replaying a prefix.
//! What survives of the unsynced changes is decided in `crash`; errors are decided before an operation gets
//! here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::content::Content;
use super::rng::Rng;
use crate::sync::Arc;

/// Number of a file; never reused within one [`crate::io::sim::Sim`].
pub type FileId = usize;
/// Number of a directory; the root is 0.
pub type DirId = usize;

/// What a failed sync does to the changes it was to make durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dirty {
    /// They are marked clean and never reach the disk, while reads go on showing them; a later sync answers
    /// OK without them. Linux does this, and it is the default.
    Dropped,
    /// Each change either reached the disk or is dropped, by this seed.
    PartlyDropped(u64),
    /// They stay dirty; a later sync may make them durable.
    Kept,
}

impl Dirty {
    /// Says of each change in turn whether it reached the disk; `None` when all stay dirty.
    fn arrivals(self) -> Option<impl FnMut() -> bool> {
        let mut coin = match self {
            Dirty::Kept => return None,
            Dirty::Dropped => None,
            Dirty::PartlyDropped(seed) => Some(Rng::new(seed)),
        };
        Some(move || coin.as_mut().is_some_and(|rng| rng.chance(1, 2)))
    }
}

/// One operation that changed the disk. They are numbered from 1 in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after the arguments of the calls")]
pub enum Op {
    /// Bytes put into the page cache: what a short write took, not what it was offered.
    Write { file: FileId, offset: u64, data: Arc<[u8]> },
    /// A file cut or extended.
    Truncate { file: FileId, len: u64 },
    /// A sync that covers the changes numbered below `below`: those made before the call began.
    SyncData { file: FileId, below: u64 },
    /// A sync that answered an error.
    SyncDataFailed { file: FileId, below: u64, dirty: Dirty },
    /// A new name for a new empty file.
    Create { dir: DirId, name: Arc<str>, file: FileId },
    /// A second name for a file.
    Link { dir: DirId, name: Arc<str>, file: FileId },
    /// A new directory.
    Mkdir { dir: DirId, name: Arc<str>, child: DirId },
    /// An entry that is neither file nor directory: a link, a device, a pipe.
    MakeSpecial { dir: DirId, name: Arc<str> },
    /// A file's name moved, perhaps over another.
    Rename { dir: DirId, from: Arc<str>, to: Arc<str> },
    /// A name taken away.
    Remove { dir: DirId, name: Arc<str> },
    /// A directory sync.
    SyncDir { dir: DirId },
    /// A directory sync that answered an error.
    SyncDirFailed { dir: DirId, dirty: Dirty },
    /// Bits of a stored byte turned by something other than a write.
    Flip { file: FileId, offset: u64, xor: u8 },
    /// Sectors that can no longer be read.
    Damage { file: FileId, range: Range<u64> },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Write { file, offset, data } => {
                write!(f, "write f{file} @{offset} ")?;
                data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(FileId),
    Dir(DirId),
    Special,
}

/// A change to a file's bytes.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    Truncate { len: u64 },
}

impl Change {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Change::Write { offset, data } => content.write(*offset, data),
            Change::Truncate { len } => content.set_len(*len),
        }
    }
}

/// A file.
#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What reads show: the page cache.
    pub(super) seen: Content,
    /// What a power cut cannot take.
    pub(super) durable: Content,
    /// The unsynced changes with their numbers, oldest first.
    pub(super) pending: Vec<(u64, Change)>,
    /// A failed sync dropped changes, so `durable` and `pending` no longer add up to `seen`.
    pub(super) diverged: bool,
    /// Bytes that cannot be read.
    pub(super) damaged: Vec<Range<u64>>,
    /// How far the file was ever written: what it takes of the disk's space.
    pub(super) allocated: u64,
}

impl Inode {
    fn change(&mut self, seq: u64, change: Change) {
        self.allocated = match &change {
            Change::Write { offset, data } => self.allocated.max(offset + data.len() as u64),
            Change::Truncate { len } => self.allocated.min(*len),
        };
        change.apply(&mut self.seen);
        self.pending.push((seq, change));
    }

    fn sync(&mut self, below: u64) {
        let covered = self.pending.partition_point(|(seq, _)| *seq < below);
        if covered == self.pending.len() && !self.diverged {
            self.durable = self.seen.clone();
            self.pending.clear();
        } else {
            for (_, change) in self.pending.drain(..covered) {
                change.apply(&mut self.durable);
            }
        }
    }

    fn fail_sync(&mut self, below: u64, dirty: Dirty) {
        let Some(mut arrived) = dirty.arrivals() else { return };
        let covered = self.pending.partition_point(|(seq, _)| *seq < below);
        for (_, change) in self.pending.drain(..covered) {
            if arrived() {
                change.apply(&mut self.durable);
            } else {
                self.diverged = true;
            }
        }
    }
}

/// The entries of a directory.
pub(super) type Names = BTreeMap<Arc<str>, Node>;

/// A change to a directory's entries. It names the node, so that a later change can outlive an earlier one.
#[derive(Clone)]
pub(super) enum DirChange {
    Link { name: Arc<str>, node: Node },
    Rename { from: Arc<str>, to: Arc<str>, node: Node },
    Unlink { name: Arc<str> },
}

impl DirChange {
    /// What it gives a name to.
    pub(super) fn node(&self) -> Option<Node> {
        match self {
            DirChange::Link { node, .. } | DirChange::Rename { node, .. } => Some(*node),
            DirChange::Unlink { .. } => None,
        }
    }

    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            DirChange::Link { name, node } => {
                names.insert(name.clone(), *node);
            }
            DirChange::Rename { from, to, node } => {
                // One transaction sets both entries. A node has one name in a directory: when an earlier rename of
                // it was lost, it is still found under an older one.
                names.remove(from);
                if *node != Node::Special {
                    names.retain(|_, other| other != node);
                }
                names.insert(to.clone(), *node);
            }
            DirChange::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

/// A directory.
#[derive(Clone, Default)]
pub(super) struct DirNode {
    pub(super) seen: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<DirChange>,
    pub(super) diverged: bool,
}

impl DirNode {
    fn change(&mut self, change: DirChange) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        if self.diverged {
            for change in self.pending.drain(..) {
                change.apply(&mut self.durable);
            }
        } else if !self.pending.is_empty() {
            self.durable.clone_from(&self.seen);
            self.pending.clear();
        }
    }

    fn fail_sync(&mut self, dirty: Dirty) {
        let Some(mut arrived) = dirty.arrivals() else { return };
        for change in self.pending.drain(..) {
            if arrived() {
                change.apply(&mut self.durable);
            } else {
                self.diverged = true;
            }
        }
    }
}

/// All files and directories. A clone shares what neither side changes afterwards.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) files: Vec<Arc<Inode>>,
    pub(super) dirs: Vec<Arc<DirNode>>,
    /// The number of the next change; it goes on through images, so that changes carried into an image stay
    /// older than all that follow.
    pub(super) next_seq: u64,
}

impl Disk {
    /// A disk with an empty root.
    pub(super) fn new() -> Self {
        Disk { files: Vec::new(), dirs: vec![Arc::new(DirNode::default())], next_seq: 0 }
    }

    fn file(&mut self, file: FileId) -> &mut Inode {
        Arc::make_mut(&mut self.files[file])
    }

    fn dir(&mut self, dir: DirId) -> &mut DirNode {
        Arc::make_mut(&mut self.dirs[dir])
    }

    /// Carries out `op`, which the caller has found possible.
    pub(super) fn apply(&mut self, op: &Op) {
        let seq = self.next_seq;
        self.next_seq += 1;
        match op {
            Op::Write { file, offset, data } => {
                self.file(*file).change(seq, Change::Write { offset: *offset, data: data.clone() });
            }
            Op::Truncate { file, len } => self.file(*file).change(seq, Change::Truncate { len: *len }),
            Op::SyncData { file, below } => self.file(*file).sync(*below),
            Op::SyncDataFailed { file, below, dirty } => self.file(*file).fail_sync(*below, *dirty),
            Op::Create { dir, name, file } => {
                debug_assert_eq!(*file, self.files.len());
                self.files.push(Arc::new(Inode::default()));
                self.dir(*dir).change(DirChange::Link { name: name.clone(), node: Node::File(*file) });
            }
            Op::Link { dir, name, file } => {
                self.dir(*dir).change(DirChange::Link { name: name.clone(), node: Node::File(*file) });
            }
            Op::Mkdir { dir, name, child } => {
                debug_assert_eq!(*child, self.dirs.len());
                self.dirs.push(Arc::new(DirNode::default()));
                self.dir(*dir).change(DirChange::Link { name: name.clone(), node: Node::Dir(*child) });
            }
            Op::MakeSpecial { dir, name } => {
                self.dir(*dir).change(DirChange::Link { name: name.clone(), node: Node::Special });
            }
            Op::Rename { dir, from, to } => {
                let dir = self.dir(*dir);
                let node = dir.seen[from];
                dir.change(DirChange::Rename { from: from.clone(), to: to.clone(), node });
            }
            Op::Remove { dir, name } => self.dir(*dir).change(DirChange::Unlink { name: name.clone() }),
            Op::SyncDir { dir } => self.dir(*dir).sync(),
            Op::SyncDirFailed { dir, dirty } => self.dir(*dir).fail_sync(*dirty),
            Op::Flip { file, offset, xor } => {
                let inode = self.file(*file);
                inode.seen.flip(*offset, *xor);
                inode.durable.flip(*offset, *xor);
            }
            Op::Damage { file, range } => self.file(*file).damaged.push(range.clone()),
        }
    }
}
