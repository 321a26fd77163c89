//! What a merge keeps of its inputs: for each key the one record that still says something.
//!
//! The hints of the inputs are walked by key. Of a key's records in the inputs only the newest can matter. A value is
//! kept if the keydir points to it. A deletion, or a value that has expired, is kept as a deletion as long as an older
//! segment may hold the key (rule P2), unless a record newer than the inputs has settled the key anyway.

use super::older::Older;
use super::pace::Pace;
use super::shared::{FileOf, Inner};
use crate::error::Result;
use crate::format::record::Flags;
use crate::io::env::Env;
use crate::keydir::Digest;
use crate::segment::hint_reader::Hint;
use crate::segment::merged_runs::MergedRuns;
use crate::segment::run_cursor::{Direction, Link, SortedRun, Start};
use crate::segment::view::Segment;
use crate::sync::{Arc, Ordering};
use std::ops::Range;

/// Records judged together, so that their cache misses overlap.
const GROUP: usize = 64;
/// Where records are so long that it does not matter, fewer are judged together.
const GROUP_BYTES: u64 = 1 << 20;

/// A segment that is merged, and its hint.
pub(super) struct Input<E: Env> {
    pub(super) segment: Arc<Segment<FileOf<E>>>,
    pub(super) hint: Arc<Hint<FileOf<E>>>,
}

/// A record of an input.
#[derive(Clone)]
pub(super) struct Survivor {
    /// Which of the inputs it is in.
    pub(super) input: usize,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) digest: Digest,
    pub(super) version: u64,
    /// Whether only the deletion of the key is to be kept.
    pub(super) as_tombstone: bool,
    key: Range<usize>,
}

/// See the file's head.
pub(super) struct Survivors<'m, E: Env> {
    store: &'m Inner<E>,
    inputs: &'m [Input<E>],
    older: Older<'m, E>,
    now_ns: u64,
    merged: MergedRuns<FileOf<E>>,
    /// The key of the entry before.
    last_key: Option<Vec<u8>>,
    group: Vec<(Survivor, Flags, Option<u64>)>,
    /// Keys of the group.
    keys: Vec<u8>,
    next: usize,
    /// Keys whose values have expired.
    pub(super) expired: Vec<Digest>,
    /// The highest version of a deletion that was dropped.
    pub(super) highest_dropped: u64,
    passed_bytes: u64,
    /// Whether the walk ended because the store is closing.
    pub(super) stopped: bool,
}

impl<'m, E: Env> Survivors<'m, E> {
    pub(super) fn new(store: &'m Inner<E>, inputs: &'m [Input<E>], older: Older<'m, E>) -> Result<Self> {
        let links = inputs.iter().enumerate().map(|(rank, input)| {
            let records = SortedRun::Hint(input.hint.clone());
            Link { records, rank, run: input.segment.run, values: None }
        });
        let mut merged = MergedRuns::new(links, Direction::Forward);
        merged.seek(Start::End)?;
        Ok(Survivors {
            store,
            inputs,
            older,
            now_ns: store.env.now_ns(),
            merged,
            last_key: None,
            group: Vec::with_capacity(GROUP),
            keys: Vec::new(),
            next: 0,
            expired: Vec::new(),
            highest_dropped: 0,
            passed_bytes: 0,
            stopped: false,
        })
    }

    /// The next record to keep. Its key is there until the next call. What is passed on the way is at the cost of `pace`.
    pub(super) fn next(&mut self, pace: &mut Pace<'_>) -> Result<Option<Survivor>> {
        loop {
            while let Some((record, flags, deadline)) = self.group.get(self.next).cloned() {
                self.next += 1;
                if let Some(kept) = self.judge(record, flags, deadline) {
                    return Ok(Some(kept));
                }
            }
            if !self.gather(pace)? {
                return Ok(None);
            }
        }
    }

    /// The key of the record that was answered last.
    pub(super) fn key(&self, record: &Survivor) -> &[u8] {
        &self.keys[record.key.clone()]
    }

    /// Fills the group with the newest records of the next keys; `false` when there are none, or the store is closing.
    fn gather(&mut self, pace: &mut Pace<'_>) -> Result<bool> {
        self.group.clear();
        self.keys.clear();
        self.next = 0;
        let mut bytes = 0;
        while self.group.len() < GROUP && bytes < GROUP_BYTES {
            let Some((input, entry)) = self.merged.entry() else { break };
            self.passed_bytes += entry.record_len();
            self.store.counters.merge_done_bytes.store(self.passed_bytes, Ordering::Relaxed);
            // Most of what is passed may be dead.
            if pace.spend(entry.record_len()) {
                self.stopped = true;
                return Ok(false);
            }
            if self.last_key.as_deref() == Some(entry.key) {
                self.merged.advance()?;
                continue;
            }
            let last = self.last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(entry.key);
            let digest = self.store.secret.digest(entry.key);
            self.store.keydir.prefetch_group(digest);
            let key = self.keys.len()..self.keys.len() + entry.key.len();
            self.keys.extend_from_slice(entry.key);
            let (offset, len, version) = (entry.offset, entry.record_len(), entry.version);
            bytes += len;
            let survivor = Survivor { input, offset, len, digest, version, as_tombstone: false, key };
            self.group.push((survivor, entry.flags, entry.deadline));
            self.merged.advance()?;
        }
        for (record, ..) in &self.group {
            self.store.keydir.prefetch(record.digest);
        }
        for (record, ..) in &self.group {
            self.inputs[record.input].segment.prefetch(record.offset, record.len);
        }
        Ok(!self.group.is_empty())
    }

    /// The record as it is to be kept, if it is.
    fn judge(&mut self, record: Survivor, flags: Flags, deadline: Option<u64>) -> Option<Survivor> {
        let newest = self.store.keydir.get(record.digest);
        let slot = self.inputs[record.input].segment.slot;
        let is_newest = newest.is_some_and(|at| at.slot() == slot && at.offset() == record.offset);
        if !flags.has(Flags::TOMBSTONE) {
            if !is_newest {
                return None;
            }
            if deadline.is_none_or(|deadline| deadline > self.now_ns) {
                return Some(record);
            }
            self.expired.push(record.digest);
        }
        // A key that the keydir knows elsewhere was put again, after the inputs.
        let settled = newest.is_some() && !is_newest;
        if !settled && self.older.may_hold(&self.keys[record.key.clone()], record.digest) {
            return Some(Survivor { as_tombstone: true, ..record });
        }
        self.highest_dropped = self.highest_dropped.max(record.version);
        None
    }
}
