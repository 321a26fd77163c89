//! Walks through a snapshot in the order of the keys.
//!
//! The runs of all segments are merged, and of each key the newest record decides. Keys are gathered in groups, so that
//! the values of several are on their way from memory at the same time; a group ahead of the one that is handed out, so
//! that they have time to arrive. The first few keys are gathered one by one, for short scans.

use crate::engine::{Change, Found, Snapshot};
use crate::error::{Error, Result};
use crate::format::compressed::Scratch;
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::{Dir, Env};
use crate::segment::merged_runs::MergedRuns;
use crate::segment::run_cursor::{Direction, Start};
use crate::sync::Arc;
use std::ops::Range;

/// What a processor fetches at a time.
const LINE_BYTES: u64 = 64;
/// The most keys that are gathered at a time.
const GROUP: usize = 32;

/// Which part of a snapshot a scan walks through, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions<'o> {
    /// From the last key to the first.
    pub reverse: bool,
    /// Values are not read.
    pub keys_only: bool,
    /// Only keys that begin so.
    pub prefix: &'o [u8],
    /// Only this key and greater ones.
    pub lower: &'o [u8],
    /// Only keys less than this one, unless it is empty.
    pub upper: &'o [u8],
}

type FileOf<E> = <<E as Env>::Dir as Dir>::File;

/// A walk. One thread at a time may use it. It outlives the handle, after whose close it answers `Closed`.
pub struct Scan<E: Env> {
    snapshot: Arc<Snapshot<E>>,
    runs: MergedRuns<FileOf<E>>,
    direction: Direction,
    keys_only: bool,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    /// Whether the runs stand where the walk is to go on.
    placed: bool,
    /// Where the walk goes on if they do not.
    place: Place,
    group: Group,
    /// The first of the group that was not handed out.
    next: usize,
    current: Option<usize>,
    /// The group after that one, if it was gathered already.
    ahead: Group,
    /// How many keys are gathered next.
    group_len: usize,
    buf: Vec<u8>,
    value: Range<usize>,
    /// The value, if it was compressed.
    raw: Option<Scratch>,
}

/// A place among the keys, as [`Start`] has them.
enum Place {
    End,
    At(Vec<u8>),
    Beyond(Vec<u8>),
}

impl Place {
    fn start(&self) -> Start<'_> {
        match self {
            Place::End => Start::End,
            Place::At(key) => Start::At(key),
            Place::Beyond(key) => Start::Beyond(key),
        }
    }

    /// Moves to the place beyond `key`.
    fn pass(&mut self, key: &[u8]) {
        let mut held = match std::mem::replace(self, Place::End) {
            Place::End => Vec::new(),
            Place::At(held) | Place::Beyond(held) => held,
        };
        held.clear();
        held.extend_from_slice(key);
        *self = Place::Beyond(held);
    }
}

/// Keys that follow each other, and where their newest records are.
#[derive(Default)]
struct Group {
    found: Vec<(Found, Range<usize>)>,
    keys: Vec<u8>,
}

impl Group {
    fn clear(&mut self) {
        self.found.clear();
        self.keys.clear();
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.keys[self.found[at].1.clone()]
    }
}

impl<E: Env> Scan<E> {
    /// Before the first key of `snapshot` that `options` let through.
    ///
    /// # Errors
    /// `Corrupt` when the store is degraded, so that nobody can tell all keys, or a segment without a hint is damaged;
    /// `Io`, `NoMemory`; `Closed`, `Forked`.
    pub fn new(snapshot: Arc<Snapshot<E>>, options: &ScanOptions<'_>) -> Result<Self> {
        snapshot.check_open()?;
        snapshot.check_sound()?;
        let direction = if options.reverse { Direction::Reverse } else { Direction::Forward };
        let past_prefix = successor(options.prefix);
        let upper = [Some(options.upper).filter(|upper| !upper.is_empty()), past_prefix.as_deref()];
        let lower = options.lower.max(options.prefix).to_vec();
        let upper = upper.into_iter().flatten().min().map(<[u8]>::to_vec);
        let place = match (direction, &upper) {
            (Direction::Forward, _) if !lower.is_empty() => Place::At(lower.clone()),
            (Direction::Reverse, Some(upper)) => Place::Beyond(upper.clone()),
            _ => Place::End,
        };
        Ok(Scan {
            runs: MergedRuns::new(snapshot.links()?, direction),
            snapshot,
            direction,
            keys_only: options.keys_only,
            lower,
            upper,
            placed: false,
            place,
            group: Group::default(),
            next: 0,
            current: None,
            ahead: Group::default(),
            group_len: 1,
            buf: Vec::new(),
            value: 0..0,
            raw: None,
        })
    }

    /// Moves to the next key; `false` at the end, where it stays.
    ///
    /// # Errors
    /// `Corrupt` when the record is damaged, and the next call goes on behind it; `Io`, `NoMemory`; `Closed`, `Forked`.
    pub fn advance(&mut self) -> Result<bool> {
        self.current = None;
        self.snapshot.check_open()?;
        self.step()
    }

    /// [`Scan::advance`] for those who know that the store is open.
    #[inline]
    fn step(&mut self) -> Result<bool> {
        self.current = None;
        if self.next == self.group.found.len() && !self.go_on()? {
            return Ok(false);
        }
        let at = self.next;
        self.next += 1;
        if !self.keys_only {
            self.read(at)?;
        }
        self.current = Some(at);
        Ok(true)
    }

    /// Hands the next keys and their values to `take`, until it answers `false` and so refuses the last one, which the
    /// next call begins with. `false` when there are no more.
    ///
    /// # Errors
    /// As [`Scan::advance`], for the first key; what is wrong with a later one is answered by the next call.
    pub fn take_while(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<bool> {
        self.current = None;
        self.snapshot.check_open()?;
        let mut taken = false;
        loop {
            match self.step() {
                Ok(false) => return Ok(false),
                Err(err) if !taken => return Err(err),
                Ok(true) if self.key().zip(self.value()).is_some_and(|(key, value)| take(key, value)) => {
                    taken = true
                }
                Ok(true) | Err(_) => {
                    self.next = self.next.saturating_sub(1);
                    self.current = None;
                    return Ok(true);
                }
            }
        }
    }

    /// Goes to `key`: the next call of [`Scan::advance`] moves to the first key from there on, in the scan's direction and
    /// within its bounds. Reads nothing yet.
    ///
    /// # Errors
    /// `TooLarge` for a key that no store can hold; `Closed`, `Forked`.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.snapshot.check_open()?;
        if key.len() > MAX_KEY_LEN {
            return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
        }
        self.group.clear();
        self.ahead.clear();
        (self.next, self.current, self.group_len, self.placed) = (0, None, 1, false);
        self.place = match (self.direction, &self.upper) {
            (Direction::Forward, _) => Place::At(key.max(&self.lower).to_vec()),
            (Direction::Reverse, Some(upper)) if key >= &upper[..] => Place::Beyond(upper.clone()),
            (Direction::Reverse, _) => Place::At(key.to_vec()),
        };
        Ok(())
    }

    /// The key that the scan is at; `None` before the first, after the last and after an error.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        Some(self.group.key(self.current?))
    }

    /// Its value; empty in a scan of keys only.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        let (found, _) = &self.group.found[self.current?];
        if self.keys_only {
            return Some(&[]);
        }
        if let Some(raw) = &self.raw {
            return Some(raw);
        }
        Some(self.snapshot.bytes(found, self.value.clone()).unwrap_or_else(|| &self.buf[self.value.clone()]))
    }

    /// Has the snapshot's store refuse all writes from now on.
    pub fn poison(&self, reason: &str) {
        self.snapshot.poison(reason);
    }

    /// The version of its value.
    pub fn version(&self) -> Option<u64> {
        Some(self.found()?.version)
    }

    /// The change that made the value what it is, for [`Db::apply`](crate::engine::Db::apply) to another store; none in a scan of keys only.
    pub fn change(&self) -> Option<Change<'_>> {
        let found = self.found().filter(|_| !self.keys_only)?;
        Some(Change {
            key: self.key()?,
            value: self.value(),
            version: found.version,
            deadline: found.deadline,
            is_json: found.flags.has(Flags::JSON),
            ends_batch: true,
        })
    }

    /// Where its record is.
    pub(crate) fn found(&self) -> Option<&Found> {
        Some(&self.group.found[self.current?].0)
    }

    #[inline]
    fn read(&mut self, at: usize) -> Result<()> {
        let (found, _) = &self.group.found[at];
        let record = self.snapshot.read(found, self.group.key(at), &mut self.buf)?;
        if record.header.flags.has(Flags::COMPRESSED) {
            self.snapshot.decompress(found, &record, self.raw.get_or_insert_with(Scratch::take))?;
        } else {
            self.raw = None;
            let start = record.header.value_at();
            self.value = start..start + record.value.len();
        }
        Ok(())
    }

    /// Comes to the next group; `false` when there are no more keys. After a failure the next call tries the same.
    #[cold]
    fn go_on(&mut self) -> Result<bool> {
        std::mem::swap(&mut self.group, &mut self.ahead);
        self.ahead.clear();
        self.next = 0;
        if self.group.found.is_empty() {
            let mut group = std::mem::take(&mut self.group);
            let gathered = self.gather(&mut group);
            self.group = group;
            gathered?;
        }
        if self.group.found.len() == GROUP && !self.keys_only {
            let mut ahead = std::mem::take(&mut self.ahead);
            // What fails here is met again when its turn comes.
            let _ = self.gather(&mut ahead);
            self.ahead = ahead;
        }
        Ok(!self.group.found.is_empty())
    }

    /// Fills a group, also with nothing when there are no more keys. After a failure it is empty.
    fn gather(&mut self, group: &mut Group) -> Result<()> {
        loop {
            group.clear();
            match self.try_gather(group) {
                Ok(()) => break,
                Err(err) => {
                    group.clear();
                    if !self.snapshot.forsake_hint(&err) {
                        return Err(err);
                    }
                    self.runs = MergedRuns::new(self.snapshot.links()?, self.direction);
                }
            }
        }
        if let Some((_, key)) = group.found.last() {
            self.place.pass(&group.keys[key.clone()]);
        }
        self.placed = true;
        self.group_len = (2 * self.group_len).min(GROUP);
        Ok(())
    }

    fn try_gather(&mut self, group: &mut Group) -> Result<()> {
        if !std::mem::take(&mut self.placed) {
            self.runs.seek(self.place.start())?;
        }
        let now_ns = self.snapshot.now_ns();
        while group.found.len() < self.group_len {
            let Some((_, entry)) = self.runs.entry().filter(|(_, entry)| self.is_within(entry.key)) else {
                break;
            };
            let key = group.keys.len()..group.keys.len() + entry.key.len();
            group.keys.extend_from_slice(entry.key);
            match self.newest(&group.keys[key.clone()])?.filter(|found| found.is_live(now_ns)) {
                Some(found) => group.found.push((found, key)),
                None => group.keys.truncate(key.start),
            }
        }
        if !self.keys_only {
            self.prefetch(group);
        }
        Ok(())
    }

    /// Tells the processor that these records will be read. One line of each comes first, in a loop so short that it
    /// looks up the pages of several at once: that takes longer than all else where they are in no order.
    fn prefetch(&self, group: &Group) {
        let all = || group.found.iter().map(|(found, _)| found);
        all().for_each(|found| self.snapshot.segment(found.rank).prefetch(found.offset, 1));
        all().for_each(|found| {
            self.snapshot
                .segment(found.rank)
                .prefetch(found.offset + LINE_BYTES, found.len.saturating_sub(LINE_BYTES));
        });
    }

    /// Passes all records of `key`, which the runs stand at, and answers the newest that is in the snapshot.
    #[inline]
    fn newest(&mut self, key: &[u8]) -> Result<Option<Found>> {
        let prefix = self.runs.prefix();
        let mut newest: Option<Found> = None;
        while let Some((rank, entry)) = self.runs.entry() {
            let is_newer = newest.is_none_or(|newest| (newest.rank, newest.offset) < (rank, entry.offset));
            if is_newer && entry.offset < self.snapshot.end_of(rank) {
                newest = Some(Found::new(rank, &entry));
            }
            self.runs.advance()?;
            if !self.runs.is_at(key, prefix) {
                break;
            }
        }
        Ok(newest)
    }

    fn is_within(&self, key: &[u8]) -> bool {
        match self.direction {
            Direction::Forward => self.upper.as_deref().is_none_or(|upper| key < upper),
            Direction::Reverse => key >= &self.lower[..],
        }
    }
}

/// The least key that is greater than all that begin with `prefix`, if there is one.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}
