//! What is left after a crash.
//!
//! The model, which is harsher than any one file system and milder than none that POSIX allows in practice:
//!
//! - Bytes and lengths covered by a successful `sync_data` survive; so do entries covered by a successful
//!   directory sync. The two are independent: syncing a file does not make its name durable.
//! - Each unsynced write is, independently of all others, kept whole, lost, cut at any byte, kept in some of
//!   its 512-byte sectors, or a hole: the file's length grew and the bytes did not arrive. Where data is
//!   missing below a later write the file reads as zeros, or as it was before when it was durable there.
//!   Bytes that were never in the write do not appear.
//! - Each unsynced truncation is kept or lost, independently.
//! - Directory changes survive as an ordered prefix (a journal) or each independently (entries in blocks that
//!   reach the disk in any order). A rename is one transaction: the old name is gone exactly when the new one
//!   stands, so a durable target is the old or the new file and never neither. A directory that was created
//!   takes everything in it along when its own entry is lost.
//! - After `kill -9` the machine lives: nothing is lost, and what was unsynced is still unsynced, so a later
//!   power cut can take it away.

use std::collections::BTreeSet;

use super::content::Content;
use super::disk::{Change, Dirty, Disk, Inode, Names, Node, Op};
use super::rng::Rng;
use crate::sync::Arc;

const SECTOR_BYTES: u64 = 512;

/// The draws of one image share a rate of survival, and a rate of tearing among what did not survive, both in
/// eighths; otherwise images in which nearly all or nearly nothing survives, or in which only one write is
/// torn, would never come up in a long log.
const RATE_DENOMINATOR: usize = 8;

/// What a crash leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Everything: the process was killed, the machine lives on.
    Everything,
    /// Nothing but what was synced.
    SyncedOnly,
    /// Files by this seed, directories by one of the two models below, which the seed chooses too.
    Random(u64),
    /// Files by this seed, directory changes as an ordered prefix.
    RandomPrefix(u64),
    /// Files by this seed, directory changes each on its own.
    RandomIndependent(u64),
}

impl Survival {
    pub(super) fn number(self) -> u64 {
        match self {
            Survival::Everything => 0,
            Survival::SyncedOnly => 1,
            Survival::Random(seed) | Survival::RandomPrefix(seed) | Survival::RandomIndependent(seed) => seed,
        }
    }
}

/// The draws for one image.
struct Fate {
    rng: Rng,
    rate: usize,
    tearing: usize,
    ordered: bool,
}

impl Fate {
    fn kept(&mut self) -> bool {
        self.rng.chance(self.rate, RATE_DENOMINATOR)
    }

    fn change(&mut self, change: &Change, content: &mut Content) {
        let kept = self.kept();
        match change {
            change if kept => change.apply(content),
            Change::Truncate { .. } => {}
            Change::Write { offset, data } => {
                if self.rng.chance(self.tearing, RATE_DENOMINATOR) {
                    self.torn(*offset, data, content);
                }
            }
        }
    }

    fn torn(&mut self, offset: u64, data: &[u8], content: &mut Content) {
        match self.rng.below(3) {
            0 => content.write(offset, &data[..self.rng.below(data.len() + 1)]),
            1 => {
                let (mut at, mut rest) = (offset, data);
                while !rest.is_empty() {
                    let to_boundary = SECTOR_BYTES - at % SECTOR_BYTES;
                    let step = rest.len().min(usize::try_from(to_boundary).unwrap_or(usize::MAX));
                    let (sector, later) = rest.split_at(step);
                    if self.rng.chance(1, 2) {
                        content.write(at, sector);
                    }
                    (at, rest) = (at + step as u64, later);
                }
            }
            _ => content.extend_to(offset + data.len() as u64),
        }
    }

    fn names(&mut self, dir: &super::disk::DirNode) -> Names {
        let mut names = dir.durable.clone();
        if self.ordered {
            let kept = match self.rate {
                0 => 0,
                RATE_DENOMINATOR => dir.pending.len(),
                _ => self.rng.below(dir.pending.len() + 1),
            };
            dir.pending[..kept].iter().for_each(|change| change.apply(&mut names));
        } else {
            for change in &dir.pending {
                if self.kept() {
                    change.apply(&mut names);
                }
            }
        }
        names
    }
}

impl Disk {
    /// The disk as it is found after a crash now.
    pub(super) fn image(&self, survival: Survival) -> Disk {
        let mut image = self.clone();
        let mut fate = match survival {
            Survival::Everything => return image,
            Survival::SyncedOnly => Fate { rng: Rng::new(0), rate: 0, tearing: 0, ordered: true },
            Survival::Random(seed) | Survival::RandomPrefix(seed) | Survival::RandomIndependent(seed) => {
                let mut rng = Rng::derive(&[seed, self.next_seq]);
                let rate = rng.below(RATE_DENOMINATOR + 1);
                let tearing = rng.below(RATE_DENOMINATOR + 1);
                let coin = rng.chance(1, 2);
                let ordered = match survival {
                    Survival::RandomPrefix(_) => true,
                    Survival::RandomIndependent(_) => false,
                    _ => coin,
                };
                Fate { rng, rate, tearing, ordered }
            }
        };
        // Only what the root still reaches is settled; the rest keeps its number and is out of reach.
        let (mut reached, mut settled_files) = (vec![0], BTreeSet::new());
        while let Some(dir) = reached.pop() {
            let node = &self.dirs[dir];
            if node.diverged || !node.pending.is_empty() {
                let names = fate.names(node);
                image.dirs[dir] = Arc::new(super::disk::DirNode {
                    seen: names.clone(),
                    durable: names,
                    ..Default::default()
                });
            }
            for node in image.dirs[dir].seen.values() {
                match *node {
                    Node::Dir(child) => reached.push(child),
                    Node::Special => {}
                    Node::File(file) => {
                        let inode = &self.files[file];
                        // One that has several names has one fate.
                        let unsettled = inode.diverged || !inode.pending.is_empty();
                        if unsettled && settled_files.insert(file) {
                            image.files[file] = Arc::new(settled(inode, survival, &mut fate));
                        }
                    }
                }
            }
        }
        image
    }
}

fn settled(inode: &Inode, survival: Survival, fate: &mut Fate) -> Inode {
    let mut content = inode.durable.clone();
    if survival != Survival::SyncedOnly {
        inode.pending.iter().for_each(|(_, change)| fate.change(change, &mut content));
    }
    Inode {
        allocated: inode.allocated.min(content.len()),
        seen: content.clone(),
        durable: content,
        damaged: inode.damaged.clone(),
        ..Inode::default()
    }
}

/// A mark that the test put into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of operations that had happened.
    pub at_op: usize,
    /// The test's number: the writes up to it were acknowledged, or synced.
    pub n: u64,
}

/// The last mark at or before operation `at_op`.
pub(super) fn mark_at(marks: &[Mark], at_op: usize) -> Option<u64> {
    let after = marks.partition_point(|mark| mark.at_op <= at_op);
    after.checked_sub(1).map(|last| marks[last].n)
}

/// Replays a log as far as it is told. The disk after `at_op` operations.
#[derive(Clone)]
pub(super) struct Cursor {
    pub(super) disk: Disk,
    pub(super) at_op: usize,
}

impl Cursor {
    pub(super) fn advance_to(&mut self, log: &[Op], at_op: usize) {
        assert!(at_op <= log.len(), "operation {at_op} of {} did not happen", log.len());
        log[self.at_op..at_op].iter().for_each(|op| self.disk.apply(op));
        self.at_op = at_op;
    }

    /// The disk when the machine stops in the middle of `op`, the one after `at_op`.
    pub(super) fn torn(&self, op: &Op, survival: Survival, seed: u64) -> Disk {
        let mut disk = self.disk.clone();
        let mut rng = Rng::derive(&[seed, disk.next_seq]);
        let synced_only = survival == Survival::SyncedOnly;
        match op {
            Op::Write { file, offset, data } => {
                let part = data[..rng.below(data.len() + 1)].into();
                disk.apply(&Op::Write { file: *file, offset: *offset, data: part });
            }
            // A sync under way has written some of the changes. A kill cannot be told from none of that, and
            // random survival draws from the unsynced changes anyway.
            Op::SyncData { file, below } if synced_only => disk.apply(&Op::SyncDataFailed {
                file: *file,
                below: *below,
                dirty: Dirty::PartlyDropped(rng.next_u64()),
            }),
            Op::SyncDir { dir } if synced_only => {
                disk.apply(&Op::SyncDirFailed { dir: *dir, dirty: Dirty::PartlyDropped(rng.next_u64()) });
            }
            Op::SyncData { .. } | Op::SyncDir { .. } => {}
            whole_or_not => {
                if rng.chance(1, 2) {
                    disk.apply(whole_or_not);
                }
            }
        }
        disk.image(survival)
    }
}
