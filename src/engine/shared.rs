//! What all threads of a store share, and the questions every call asks first.

use super::bell::Bell;
use super::commits::Commits;
use super::feeds::Feeds;
use super::health::Health;
use super::origin::Origin;
use super::recover::Applied;
use super::views::Views;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::dictionary::Dictionaries;
use crate::format::manifest::Manifest;
use crate::io::env::{Dir, Env};
use crate::keydir::location::SegmentSlot;
use crate::keydir::{Keydir, Secret};
use crate::options::{IoMode, Options};
use crate::segment::view::Position;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard};
use once_cell::sync::OnceCell;
use std::collections::HashSet;

/// Segments past this count are read with `pread`: a process may hold about 65,000 mappings.
const MAX_MAPPED_SEGMENTS: u32 = 30_000;

pub(crate) type FileOf<E> = <<E as Env>::Dir as Dir>::File;
pub(crate) type WriterGuard<'a, E> = MutexGuard<'a, Writer<FileOf<E>>>;

/// Keeps what it holds on cache lines of its own.
#[repr(align(128))]
pub(crate) struct OwnLines<T>(pub(crate) T);

/// What threads share.
pub(crate) struct Inner<E: Env> {
    pub(crate) env: E,
    pub(crate) dir: E::Dir,
    pub(crate) path: String,
    pub(crate) options: Options,
    pub(crate) process: u64,
    pub(crate) mapped: bool,
    pub(crate) database: Id128,
    pub(crate) secret: Secret,
    pub(crate) keydir: Keydir,
    pub(crate) view: Views<FileOf<E>>,
    /// `None` on a read-only handle.
    pub(crate) writer: Option<OwnLines<Mutex<Writer<FileOf<E>>>>>,
    pub(crate) commits: Commits,
    pub(crate) feeds: Feeds,
    /// The log thread's.
    pub(crate) bell: Arc<Bell>,
    pub(crate) merge_bell: Arc<Bell>,
    /// Held over a whole merge. The first lock taken, before `replacing`.
    pub(crate) merging: Mutex<()>,
    /// Held over a refresh. The segments that one which failed was not done with: what they hold may be known in part.
    pub(crate) refreshing: Mutex<HashSet<SegmentSlot>>,
    /// On a reader: what it knows of applied changes beside the manifest.
    pub(crate) applied: Mutex<SeenApplied>,
    /// Held by whoever replaces the manifest, over the whole of it; never on a put's path.
    pub(crate) replacing: Mutex<()>,
    /// The manifest as it is on the disk, but for numbers used up since.
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) health: Health,
    /// Whether the handle was closed; what it made may live on.
    pub(crate) closed: AtomicBool,
    pub(crate) degraded: OnceCell<Degraded>,
    /// Those that segments have in memory.
    pub(crate) dictionaries: Dictionaries,
    /// The checkpoint that the keydir comes from, if it does.
    pub(crate) origin: OnceCell<Arc<Origin>>,
    /// Whether a merge could not send the whole keydir to its outputs any more, since the store was closing.
    pub(crate) index_is_behind: AtomicBool,
    pub(crate) counters: Counters,
}

/// Cursors stored with applied changes in the unsealed segments, if there are any.
#[derive(Default)]
pub(crate) struct SeenApplied {
    /// That of the changes which the reader shows.
    pub(crate) shown: Option<Applied>,
    /// One that was found since, by a refresh that is not done with all changes before it.
    pub(crate) found: Option<Applied>,
}

/// Counts since open, away from what readers load.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) corrupt_records: AtomicU64,
    pub(crate) damaged_hints: AtomicU64,
    pub(crate) recovered_bytes_discarded: AtomicU64,
    pub(crate) recovered_records: AtomicU64,
    /// Of the values that puts and batches compressed: their own bytes, and those they were stored in.
    pub(crate) compressed_raw_bytes: AtomicU64,
    pub(crate) compressed_bytes: AtomicU64,
    /// Likewise of those that merges compressed.
    pub(crate) merge_raw_bytes: AtomicU64,
    pub(crate) merge_compressed_bytes: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) merge_written_bytes: AtomicU64,
    /// Of the merge under way: its inputs' bytes, 0 when there is none, and how many of them were passed.
    pub(crate) merge_input_bytes: AtomicU64,
    pub(crate) merge_done_bytes: AtomicU64,
}

/// Why, and from which position on backwards, the store cannot vouch for what it holds.
pub(crate) struct Degraded {
    pub(crate) at: Position,
    pub(crate) reason: String,
}

impl<E: Env> Inner<E> {
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.env.process_token() == self.process { Ok(()) } else { Err(Error::Forked) }
    }

    /// Refuses all writes from now on. Called without a lock.
    pub(crate) fn poison(&self, reason: &str) {
        self.health.poison(reason);
        self.health.tell_poisoned();
    }

    /// The cursor stored with the last of the applied changes that a reader shows.
    pub(crate) fn shown_cursor(&self) -> Option<Arc<[u8]>> {
        match &self.applied.lock().shown {
            Some((cursor, _)) => Some(cursor.clone()),
            None => self.manifest.lock().applied_cursor.clone(),
        }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_process()?;
        if self.writer.is_none() {
            return Err(Error::ReadOnly);
        }
        self.health.check()
    }

    pub(crate) fn writer(&self) -> Result<&Mutex<Writer<FileOf<E>>>> {
        self.writer.as_ref().map(|writer| &writer.0).ok_or(Error::ReadOnly)
    }

    /// The write mutex, for a write.
    pub(crate) fn lock_writer(&self) -> Result<WriterGuard<'_, E>> {
        let writer = self.writer()?.lock();
        self.health.check()?;
        if writer.is_stuck()
            && let Some(source) = self.health.log_failure()
        {
            return Err(Error::io("prepare a segment after", &writer.active().name, source));
        }
        Ok(writer)
    }
}

/// How much of a segment that will grow is mapped: what rotation usually leaves in it, and some more.
pub(super) fn growing_map_len(max_segment_bytes: u64) -> u64 {
    max_segment_bytes + max_segment_bytes / 4
}

/// Whether the segment at `slot` may be mapped at all.
pub(super) fn may_map(slot: SegmentSlot) -> bool {
    slot.0 < MAX_MAPPED_SEGMENTS
}

/// Whether segments are to be mapped.
pub(crate) fn wants_mapping<D: Dir>(io: IoMode, dir: &D) -> bool {
    match io {
        IoMode::Mmap => true,
        IoMode::Pread => false,
        IoMode::Auto => cfg!(target_pointer_width = "64") && !dir.is_network(),
    }
}
