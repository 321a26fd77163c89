//! Walks through a snapshot in the order of the keys.
//!
//! The runs of all segments are merged, and of each key the newest record decides. Forward it comes first, and the scan
//! shows it where the runs stand; backwards it comes last, and the runs are past it when it is known.

mod gather;

use crate::engine::{Change, Found, Snapshot};
use crate::error::{Error, Result};
use crate::format::compressed::Scratch;
use crate::format::record::{Flags, MAX_KEY_LEN};
use crate::io::env::{Dir, Env};
use crate::segment::merged_runs::MergedRuns;
use crate::segment::record_walk::PlainRecord;
use crate::segment::run_cursor::{Direction, Start};
use crate::sync::Arc;
use gather::{Gatherer, Stop};
use std::ops::Range;

/// The most records of a stretch.
const MOST_STRETCHED: usize = 32;

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
    stand: Stand,
    /// Where the walk goes on if the runs stand nowhere.
    place: Place,
    /// Whether the last step came to a key, and whether it could be read.
    has_come: bool,
    is_shown: bool,
    /// Whether the next step comes to that key again.
    comes_again: bool,
    /// Records behind that of the runs were, forward, which the runs have moved over already; who gathers them, how many
    /// were come to, and how many are taken next time.
    stretch: Vec<PlainRecord>,
    gatherer: Gatherer,
    stretch_next: usize,
    stretch_len: usize,
    /// Backwards: the key that was come to last, its record, and room for the next key.
    key: Vec<u8>,
    found: Option<Found>,
    next_key: Vec<u8>,
    value: ValueAt,
    buf: Vec<u8>,
    raw: Option<Scratch>,
}

/// A key and its value, as [`Scan::take_while`] hands them out.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'s> {
    key_len: usize,
    /// Behind one another, where they lie so in the first of these alone.
    pieces: [&'s [u8]; 2],
}

impl<'s> Entry<'s> {
    /// The key.
    #[inline]
    pub fn key(&self) -> &'s [u8] {
        &self.pieces[0][..self.key_len]
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &'s [u8] {
        let [first, second] = self.pieces;
        if first.len() > self.key_len { &first[self.key_len..] } else { second }
    }

    /// The key's bytes and behind them the value's, in as few pieces as there are.
    #[inline]
    pub fn pieces(&self) -> [&'s [u8]; 2] {
        self.pieces
    }
}

/// Where the runs stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Nowhere,
    /// At what comes next.
    Next,
    /// At the record that was come to.
    Record,
}

/// Where the value is that was read last.
enum ValueAt {
    /// In a segment.
    Mapped { rank: usize, offset: u64, len: u64 },
    /// In `buf`.
    Buf(Range<usize>),
    /// In `raw`: it was compressed.
    Raw,
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
            runs: MergedRuns::new(snapshot.links(!options.keys_only)?, direction),
            snapshot,
            direction,
            keys_only: options.keys_only,
            lower,
            upper,
            stand: Stand::Nowhere,
            place,
            has_come: false,
            is_shown: false,
            comes_again: false,
            stretch: Vec::new(),
            gatherer: Gatherer::default(),
            stretch_next: 0,
            stretch_len: 1,
            key: Vec::new(),
            found: None,
            next_key: Vec::new(),
            value: ValueAt::Buf(0..0),
            buf: Vec::new(),
            raw: None,
        })
    }

    /// Moves to the next key; `false` at the end, where it stays.
    ///
    /// # Errors
    /// `Corrupt` when the record is damaged, and the next call goes on behind it; `Io`, `NoMemory`, and the next call tries
    /// the same; `Closed`, `Forked`.
    pub fn advance(&mut self) -> Result<bool> {
        self.is_shown = false;
        self.snapshot.check_open()?;
        self.step()
    }

    /// [`Scan::advance`] for those who know that the store is open.
    #[inline]
    fn step(&mut self) -> Result<bool> {
        if !std::mem::take(&mut self.comes_again) {
            self.has_come = self.comes_to_plain();
            if !self.has_come {
                self.is_shown = false;
                self.has_come = self.come_to_next()?;
            }
        }
        self.is_shown = false;
        if self.has_come
            && !self.keys_only
            && self.plain().is_none()
            && let Err(err) = self.read()
        {
            self.comes_again = !matches!(err, Error::Corrupt { .. });
            return Err(err);
        }
        self.is_shown = self.has_come;
        Ok(self.has_come)
    }

    /// Comes to the next record of the stretch, or of the next one.
    #[inline]
    fn comes_to_plain(&mut self) -> bool {
        self.stretch_next += 1;
        self.stretch_next <= self.stretch.len() || self.begins_stretch()
    }

    fn begins_stretch(&mut self) -> bool {
        self.stretch.clear();
        self.stretch_next = 0;
        if self.stand != Stand::Record || self.keys_only {
            return false;
        }
        if self.runs.walk().is_some() {
            self.runs.stretch(self.upper.as_deref(), self.stretch_len, &mut self.stretch);
        } else {
            let (upper, most) = (self.upper.as_deref(), self.stretch_len);
            let stop = self.gatherer.gather(&self.snapshot, &mut self.runs, upper, most, &mut self.stretch);
            (self.stand, self.place) = match stop {
                Stop::Last => (Stand::Record, Place::End),
                Stop::Next => (Stand::Next, Place::End),
                Stop::At(key) => (Stand::Nowhere, Place::At(key)),
                Stop::Beyond(key) => (Stand::Nowhere, Place::Beyond(key)),
            };
        }
        self.stretch_len = (2 * self.stretch_len).min(MOST_STRETCHED);
        self.stretch_next = usize::from(!self.stretch.is_empty());
        self.stretch_next > 0
    }

    /// Key and value of the next record of the stretch.
    #[inline]
    fn next_plain(&self) -> Option<Entry<'_>> {
        let plain = self.stretch.get(self.stretch_next).filter(|_| !self.comes_again)?;
        let len = u64::from(plain.key_len) + u64::from(plain.value_len);
        let bytes = self.snapshot.mapped(plain.rank, plain.key_at(), len)?;
        Some(Entry { key_len: plain.key_len as usize, pieces: [bytes, &[]] })
    }

    /// The record of the stretch that was come to last, if it was one.
    #[inline]
    fn plain(&self) -> Option<&PlainRecord> {
        self.stretch.get(self.stretch_next.wrapping_sub(1))
    }

    /// Hands the next keys and their values to `take`, until it answers `false` and so refuses the last one, which the
    /// next call begins with. `false` when there are no more.
    ///
    /// # Errors
    /// As [`Scan::advance`], for the first key; what is wrong with a later one is answered by the next call.
    pub fn take_while(&mut self, mut take: impl FnMut(Entry<'_>) -> bool) -> Result<bool> {
        self.is_shown = false;
        self.snapshot.check_open()?;
        let mut taken = false;
        loop {
            while let Some(entry) = self.next_plain() {
                if !take(entry) {
                    self.is_shown = false;
                    return Ok(true);
                }
                self.stretch_next += 1;
                taken = true;
            }
            match self.step() {
                Ok(false) => return Ok(false),
                Err(err) if !taken => return Err(err),
                Ok(true) if self.entry().is_some_and(&mut take) => taken = true,
                Ok(true) | Err(_) => {
                    (self.comes_again, self.is_shown) = (self.has_come, false);
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
        (self.found, self.is_shown, self.comes_again, self.stand) = (None, false, false, Stand::Nowhere);
        self.stretch.clear();
        (self.stretch_next, self.stretch_len) = (0, 1);
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
        match self.direction {
            _ if !self.is_shown => None,
            Direction::Forward => match self.plain() {
                Some(plain) => self.snapshot.mapped(plain.rank, plain.key_at(), u64::from(plain.key_len)),
                None => Some(self.runs.entry()?.1.key),
            },
            Direction::Reverse => Some(&self.key),
        }
    }

    /// Its value; empty in a scan of keys only.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        if !self.is_shown {
            return None;
        }
        if let Some(plain) = self.plain() {
            return self.snapshot.mapped(plain.rank, plain.value_at(), u64::from(plain.value_len));
        }
        match &self.value {
            _ if self.keys_only => Some(&[]),
            ValueAt::Mapped { rank, offset, len } => self.snapshot.mapped(*rank, *offset, *len),
            ValueAt::Buf(range) => self.buf.get(range.clone()),
            ValueAt::Raw => self.raw.as_ref().map(|raw| &raw[..]),
        }
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let (key, value) = self.key().zip(self.value())?;
        Some(Entry { key_len: key.len(), pieces: [key, value] })
    }

    /// Has the snapshot's store refuse all writes from now on.
    pub fn poison(&self, reason: &str) {
        self.snapshot.poison(reason);
    }

    /// The version of its value.
    pub fn version(&self) -> Option<u64> {
        Some(self.found()?.version)
    }

    /// The change that made the value what it is, for [`Db::apply`](crate::engine::Db::apply) to another store; none in a
    /// scan of keys only.
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
    pub(crate) fn found(&self) -> Option<Found> {
        match self.direction {
            _ if !self.is_shown => None,
            Direction::Forward => match self.plain() {
                Some(plain) => Some(Found::new(plain.rank, &plain.entry(self.key()?))),
                None => self.runs.entry().map(|(rank, entry)| Found::new(rank, &entry)),
            },
            Direction::Reverse => self.found,
        }
    }

    /// Reads the value of the key that was come to.
    #[inline]
    fn read(&mut self) -> Result<()> {
        if self.direction == Direction::Forward
            && let Some((rank, walk)) = self.runs.walk()
        {
            let value = self.snapshot.noted(walk.value())?;
            if walk.is_compressed() {
                let raw = self.raw.get_or_insert_with(Scratch::take);
                self.snapshot.decompress(rank, walk.offset(), value, raw)?;
                self.value = ValueAt::Raw;
            } else {
                self.value = ValueAt::Mapped { rank, offset: walk.value_at(), len: value.len() as u64 };
            }
            return Ok(());
        }
        let (found, key) = match (self.direction, self.runs.entry()) {
            (Direction::Forward, Some((rank, entry))) => (Some(Found::new(rank, &entry)), entry.key),
            _ => (self.found, &self.key[..]),
        };
        let Some(found) = found else { return Ok(()) };
        let record = self.snapshot.read(&found, key, &mut self.buf)?;
        let (at, len) = (record.header.value_at(), record.value.len());
        self.value = if record.header.flags.has(Flags::COMPRESSED) {
            let raw = self.raw.get_or_insert_with(Scratch::take);
            self.snapshot.decompress(found.rank, found.offset, record.value, raw)?;
            ValueAt::Raw
        } else {
            let (rank, offset, len) = (found.rank, found.offset + at as u64, len as u64);
            let mapped =
                self.snapshot.mapped(rank, offset, len).map(|_| ValueAt::Mapped { rank, offset, len });
            mapped.unwrap_or(ValueAt::Buf(at..at + record.value.len()))
        };
        Ok(())
    }

    /// Finds the next key that has a value; `false` when there is none. After a failure the next call tries the same.
    #[inline]
    fn come_to_next(&mut self) -> Result<bool> {
        let found = match self.direction {
            Direction::Forward => self.find_forward(),
            Direction::Reverse => self.find_reverse(),
        };
        match found {
            Ok(found) => Ok(found),
            Err(err) => self.find_again(err),
        }
    }

    /// Does without the hint that `err` met damage in, if it did.
    #[cold]
    fn find_again(&mut self, err: Error) -> Result<bool> {
        self.stand = Stand::Nowhere;
        if !self.snapshot.forsake_hint(&err) {
            return Err(err);
        }
        self.runs = MergedRuns::new(self.snapshot.links(!self.keys_only)?, self.direction);
        self.come_to_next()
    }

    #[inline]
    fn find_forward(&mut self) -> Result<bool> {
        match self.stand {
            Stand::Nowhere => self.runs.seek(self.place.start())?,
            Stand::Next => {}
            Stand::Record => self.pass_key()?,
        }
        self.stand = Stand::Next;
        while let Some((rank, entry)) = self.runs.entry() {
            if self.upper.as_deref().is_some_and(|upper| entry.key >= upper) {
                break;
            }
            // What was merged is all the snapshot's.
            if self.runs.walk().is_none() && entry.offset >= self.snapshot.end_of(rank) {
                // An older one of the key may be the snapshot's.
                self.advance_runs()?;
            } else if entry.flags.is_value(entry.deadline, || self.snapshot.now_ns()) {
                self.stand = Stand::Record;
                return Ok(true);
            } else {
                self.pass_key()?;
            }
        }
        Ok(false)
    }

    #[inline]
    fn pass_key(&mut self) -> Result<()> {
        self.runs.pass_key().inspect_err(|_| {
            let passed = self.runs.entry().map_or(&[][..], |(_, entry)| entry.key);
            self.place = Place::Beyond(passed.to_vec());
        })
    }

    #[cold]
    fn advance_runs(&mut self) -> Result<()> {
        self.runs.advance().inspect_err(|_| {
            let passed = self.runs.entry().map_or(&[][..], |(_, entry)| entry.key);
            self.place = Place::At(passed.to_vec());
        })
    }

    fn find_reverse(&mut self) -> Result<bool> {
        if self.stand == Stand::Nowhere {
            if self.found.is_some() {
                self.place = Place::Beyond(self.key.clone());
            }
            self.runs.seek(self.place.start())?;
            self.stand = Stand::Next;
        }
        while let Some((_, entry)) = self.runs.entry().filter(|(_, entry)| entry.key >= &self.lower[..]) {
            self.next_key.clear();
            self.next_key.extend_from_slice(entry.key);
            if let Some(found) = self.newest_reverse()? {
                self.found = Some(found);
                std::mem::swap(&mut self.key, &mut self.next_key);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes all records of the next key, and answers the newest that is in the snapshot, if that is a value.
    fn newest_reverse(&mut self) -> Result<Option<Found>> {
        let prefix = self.runs.prefix();
        let mut newest = None;
        while let Some((rank, entry)) = self.runs.entry() {
            if entry.offset < self.snapshot.end_of(rank) {
                let is_value = entry.flags.is_value(entry.deadline, || self.snapshot.now_ns());
                newest = is_value.then(|| Found::new(rank, &entry));
            }
            self.runs.advance()?;
            if !self.runs.is_at(&self.next_key, prefix) {
                break;
            }
        }
        Ok(newest)
    }
}

/// The least key that is greater than all that begin with `prefix`, if there is one.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}
