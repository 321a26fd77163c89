//! Files that no manifest lists: what crashes, merges and backups left.
//!
//! Only what can be the store's own is removed, and only under a manifest that is durable (rule M2), or in a directory
//! that was marked as a backup's before anything was put there.

use crate::format::checkpoint::{CHECKPOINT_HEADER_LEN, CheckpointHeader};
use crate::format::coding::Id128;
use crate::format::hint::{HINT_HEADER_LEN, HintHeader};
use crate::format::manifest::{Manifest, SegmentState};
use crate::format::names;
use crate::format::segment_header::{HeaderState, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::Dir;
use crate::io::whole::read_full;
use std::collections::HashMap;

/// Removes segments and hints that `manifest` does not list, a checkpoint that is stale, and a file that was on its way
/// into a backup. Answers how many segments went. What fails is tried again by the next open; what a newer library or
/// another store wrote is left alone.
pub(crate) fn remove_orphans<D: Dir>(dir: &D, manifest: &Manifest, stale_checkpoint: bool) -> u64 {
    let listed: HashMap<_, _> = manifest.segments.iter().map(|entry| (entry.number, entry.state)).collect();
    let database = manifest.database;
    let mut segments = 0;
    for name in dir.names().unwrap_or_default() {
        let segment = names::parse_segment(&name);
        let ours = match (segment, names::parse_hint(&name)) {
            (Some(number), _) => !listed.contains_key(&number) && is_our_segment(dir, &name, database),
            (_, Some(number)) => {
                !matches!(listed.get(&number), Some(SegmentState::Sealed(_)))
                    && is_our_hint(dir, &name, database)
            }
            _ if name == names::CHECKPOINT => stale_checkpoint && is_our_checkpoint(dir, &name, database),
            _ => name == names::BACKUP_FILE_NEW,
        };
        if ours && dir.remove(&name).is_ok() {
            segments += u64::from(segment.is_some());
        }
    }
    segments
}

fn is_our_segment<D: Dir>(dir: &D, name: &str, database: Id128) -> bool {
    head::<SEGMENT_HEADER_LEN, D>(dir, name).is_some_and(|(head, got)| {
        match SegmentHeader::decode(&head[..got]) {
            HeaderState::Valid(header) => header.database == database,
            HeaderState::Newer { .. } => false,
            HeaderState::Blank => true,
            HeaderState::Damaged => is_torn(&head),
        }
    })
}

fn is_our_hint<D: Dir>(dir: &D, name: &str, database: Id128) -> bool {
    head::<HINT_HEADER_LEN, D>(dir, name).is_some_and(|(head, _)| HintHeader::may_be_of(&head, database))
}

fn is_our_checkpoint<D: Dir>(dir: &D, name: &str, database: Id128) -> bool {
    head::<CHECKPOINT_HEADER_LEN, D>(dir, name).is_some_and(|(head, _)| {
        // A checkpoint's header, too.
        head.iter().all(|&byte| byte == 0) || CheckpointHeader::may_be_of(&head, database)
    })
}

/// The first bytes of a file, and how many it has.
fn head<const LEN: usize, D: Dir>(dir: &D, name: &str) -> Option<([u8; LEN], usize)> {
    let mut head = [0; LEN];
    let got = read_full(&dir.open(name, false).ok()?, &mut head, 0).ok()?;
    Some((head, got))
}

/// Whether a file can begin so because the first write to a segment was torn: the magic, or a part of it and zeros.
fn is_torn(head: &[u8]) -> bool {
    let magic = &head[..MAGIC.len()];
    let written = magic.iter().zip(MAGIC).take_while(|(byte, meant)| **byte == *meant).count();
    written > 0 && magic[written..].iter().all(|&byte| byte == 0)
}
