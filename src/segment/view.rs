//! A segment in use, and the view: all segments that a reader may be sent to.
//!
//! A view never changes. Whoever adds or drops a segment publishes a new view; readers that still hold the
//! old one keep its segments alive.

use super::hint_reader::Hint;
use super::runs::{MemoryRun, Runs};
use super::scanner::Scanner;
use crate::error::{Error, Result};
use crate::format::dictionary::Dictionary;
use crate::format::names;
use crate::io::env::File;
use crate::keydir::location::{Location, SegmentSlot};
use crate::sync::{Arc, AtomicU8, AtomicU64, Mutex, Ordering};
use once_cell::sync::OnceCell;

/// A place in the log: by manifest order first, then by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment's rank in the view: older segments have lower ranks.
    pub rank: usize,
    /// Offset in it, in bytes.
    pub offset: u64,
}

/// An open segment file.
///
/// Bytes below `readable_len` are complete and never change. What lies past it is the appender's business.
pub struct Segment<F: File> {
    /// The number in its name.
    pub number: u64,
    /// Its uid, which every record checksum covers.
    pub uid: u64,
    /// Its place in the view's table.
    pub slot: SegmentSlot,
    /// Its file name.
    pub name: String,
    pub(crate) file: F,
    pub(crate) map: Option<F::Map>,
    /// The sorted run that it belongs to, when a merge wrote it: the segments of one run that lie side by side have their
    /// keys in order, and none twice.
    pub run: Option<u64>,
    /// Bytes that the file holds past the segment's end: what recovery left of a log's unproven end.
    pub(crate) surplus_bytes: u64,
    /// Bytes that no key points to and that a merge kept all the same: the header, and deletions of keys that older
    /// segments may hold.
    pub(crate) unreclaimable_bytes: AtomicU64,
    hint: AtomicU8,
    /// Its records in the order of their keys, as long as it has no hint.
    runs: Runs,
    /// Its hint, once a snapshot has asked for it, or the hint's name may be gone.
    kept_hint: Mutex<Option<Arc<Hint<F>>>>,
    /// Its dictionary, once a value took it.
    pub(super) known_dictionary: OnceCell<Arc<Dictionary>>,
    tallies: Tallies,
}

/// On cache lines of their own: the writer stores here with every append, and what readers of the other fields
/// load must not move with it.
#[repr(align(128))]
struct Tallies {
    readable_len: AtomicU64,
    live_bytes: AtomicU64,
}

/// What is known of a segment's hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintState {
    /// There is none, or none that is known to be the segment's.
    Missing,
    /// It is there and whole.
    Whole,
    /// The segment is damaged, so that nobody can tell all its records.
    Impossible,
}

/// Which segment a file is.
#[derive(Clone, Copy, Debug)]
pub struct SegmentId {
    /// The number in its name.
    pub number: u64,
    /// Its uid.
    pub uid: u64,
    /// Its place in the view's table.
    pub slot: SegmentSlot,
}

impl<F: File> Segment<F> {
    /// Wraps an open file. `map_len` is how much to map, `None` to read with `pread`.
    /// It is read with `pread` too when the system has no mapping to give.
    pub fn new(id: SegmentId, file: F, readable_len: u64, map_len: Option<u64>) -> Self {
        let name = names::segment(id.number);
        let map = map_len.filter(|&len| len > 0).and_then(|len| file.map(len).ok().flatten());
        Segment {
            number: id.number,
            uid: id.uid,
            slot: id.slot,
            name,
            file,
            map,
            run: None,
            surplus_bytes: 0,
            unreclaimable_bytes: AtomicU64::new(0),
            hint: AtomicU8::new(HintState::Missing as u8),
            runs: Runs::default(),
            kept_hint: Mutex::new(None),
            known_dictionary: OnceCell::new(),
            tallies: Tallies { readable_len: AtomicU64::new(readable_len), live_bytes: AtomicU64::new(0) },
        }
    }

    /// How many bytes from the start are complete.
    pub fn readable_len(&self) -> u64 {
        self.tallies.readable_len.load(Ordering::Acquire)
    }

    pub(crate) fn set_readable_len(&self, len: u64) {
        self.tallies.readable_len.store(len, Ordering::Release);
    }

    /// What is known of its hint.
    pub fn hint_state(&self) -> HintState {
        let state = self.hint.load(Ordering::Acquire);
        let known = [HintState::Missing, HintState::Whole, HintState::Impossible];
        known.into_iter().find(|&known| known as u8 == state).unwrap_or(HintState::Missing)
    }

    /// Notes what became known of its hint.
    pub fn set_hint_state(&self, state: HintState) {
        self.hint.store(state as u8, Ordering::Release);
    }

    /// The records before `end`, and maybe later ones, in the order of their keys. They are kept in memory until
    /// [`Segment::forget_runs`].
    ///
    /// # Errors
    /// `Corrupt` when something before `end` is no record; `Io`, `NoMemory`.
    pub fn runs_upto(&self, end: u64) -> Result<Vec<Arc<MemoryRun>>> {
        self.runs.upto(end, |from, to| Scanner::new(&self.file, &self.name, self.uid, from, to))
    }

    /// Lets the memory of [`Segment::runs_upto`] go.
    pub fn forget_runs(&self) {
        self.runs.clear();
    }

    /// Keeps the hint open as long as the segment.
    pub fn keep_hint(&self, hint: Arc<Hint<F>>) {
        *self.kept_hint.lock() = Some(hint);
    }

    /// The hint that was kept.
    pub fn kept_hint(&self) -> Option<Arc<Hint<F>>> {
        self.kept_hint.lock().clone()
    }

    /// Keeps `hint` no longer, if it was kept: it is damaged.
    pub fn forget_hint(&self, hint: &Arc<Hint<F>>) {
        self.kept_hint.lock().take_if(|kept| Arc::ptr_eq(kept, hint));
    }

    /// Makes everything appended so far durable.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|err| Error::io("sync", &self.name, err))
    }

    /// Bytes of records that the keydir points to, by size class.
    pub fn live_bytes(&self) -> u64 {
        self.tallies.live_bytes.load(Ordering::Relaxed)
    }

    /// Counts a record that became its key's newest.
    pub fn add_live(&self, bytes: u64) {
        self.tallies.live_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a record that is its key's newest no more.
    pub fn sub_live(&self, bytes: u64) {
        let less = |live: u64| Some(live.saturating_sub(bytes));
        let _ = self.tallies.live_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// All segments that locations may point to, in the order of the log.
pub struct View<F: File> {
    /// Oldest first.
    segments: Vec<Arc<Segment<F>>>,
    /// The same by slot, which is all that a read looks at.
    slots: Vec<Option<Arc<Segment<F>>>>,
    /// Of each slot that is taken, the segment's place among `segments`.
    ranks: Vec<usize>,
}

impl<F: File> View<F> {
    /// A view of `segments`, oldest first, each at its own slot.
    pub fn new(segments: Vec<Arc<Segment<F>>>) -> Self {
        let len = segments.iter().map(|segment| segment.slot.0 as usize + 1).max().unwrap_or(0);
        let (mut slots, mut ranks) = (vec![None; len], vec![0; len]);
        for (rank, segment) in segments.iter().enumerate() {
            let at = segment.slot.0 as usize;
            (slots[at], ranks[at]) = (Some(segment.clone()), rank);
        }
        View { segments, slots, ranks }
    }

    /// This view and one more segment: right before the one at `before`, or as the newest.
    pub fn with(&self, segment: Arc<Segment<F>>, before: Option<SegmentSlot>) -> Self {
        let mut segments = self.segments.clone();
        let at = before.and_then(|slot| self.rank(slot)).unwrap_or(segments.len());
        segments.insert(at, segment);
        View::new(segments)
    }

    /// This view less the segments that are `gone`.
    pub fn without(&self, gone: impl Fn(&Segment<F>) -> bool) -> Self {
        View::new(self.segments().filter(|segment| !gone(segment)).cloned().collect())
    }

    /// The segment at `slot`; `None` means that the caller's view is older than its location.
    #[inline]
    pub fn segment(&self, slot: SegmentSlot) -> Option<&Arc<Segment<F>>> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// How many segments are older than the one at `slot`.
    pub fn rank(&self, slot: SegmentSlot) -> Option<usize> {
        self.segment(slot)?;
        self.ranks.get(slot.0 as usize).copied()
    }

    /// The place in the log that a location means. What is no segment's any more is older than everything.
    pub fn position(&self, at: Location) -> Option<Position> {
        Some(Position { rank: self.rank(at.slot())?, offset: at.offset() })
    }

    /// The segment that `rank` others are older than; there are more than that.
    pub fn at(&self, rank: usize) -> &Arc<Segment<F>> {
        &self.segments[rank]
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment<F>>> + ExactSizeIterator {
        self.segments.iter()
    }

    /// One more than the highest slot that a segment has.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}
