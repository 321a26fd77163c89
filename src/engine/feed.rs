//! The change feed: the unmerged end of the log, change by change, in the order in which they were written.
//!
//! A feed hands out what lies before the log's end as reads see it, batches as a whole, durable or not. What a power cut
//! takes of it takes with it the cursors behind it. Merges leave alone what an open feed has not read, so only a cursor
//! that nobody follows can fall behind them.

use super::db::Db;
use super::feed_start::{LogPlace, Start};
use super::listed::RECORDS_AT;
use super::shared::{FileOf, Inner};
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::format::applied;
use crate::format::coding::Id128;
use crate::format::cursor::{CURSOR_LEN, Cursor};
use crate::format::record::{Flags, RecordHeader};
use crate::io::env::Env;
use crate::segment::follower::Window;
use crate::segment::view::Segment;
use crate::sync::{Arc, Ordering};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One change of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value that was put; `None` for a deletion.
    pub value: Option<&'a [u8]>,
    /// The version.
    pub version: u64,
    /// When the value expires, ns since 1970.
    pub deadline: Option<u64>,
    /// Whether the value was put as a JSON document.
    pub is_json: bool,
    /// Whether it is the last of the changes that are there together or not at all.
    pub ends_batch: bool,
}

/// What a feed answers.
#[derive(Debug, PartialEq, Eq)]
pub enum FeedStep<'a> {
    /// The next change.
    Change(Change<'a>),
    /// There was nothing new in the time given.
    Nothing,
    /// The log does not go on from here: an empty store must be filled from a snapshot.
    Resnapshot,
}

/// See the file's head. It belongs to one thread at a time, and outlives the handle, after whose close it answers `Closed`.
pub struct Feed<E: Env> {
    entered: Entered<E>,
    history: Id128,
    /// The one that is being read, and those behind it as far as they are known; never none.
    segments: VecDeque<Arc<Segment<FileOf<E>>>>,
    /// Where in the first the next record begins.
    at: u64,
    /// How much of it is known to be there.
    end: u64,
    /// The position behind the last whole batch that was handed out.
    whole: LogPlace,
    window: Window,
    value: Vec<u8>,
}

/// A feed's entry among those of its store.
struct Entered<E: Env> {
    store: Arc<Inner<E>>,
    id: u64,
}

impl<E: Env> Entered<E> {
    fn set_unread<'a>(&self, segments: impl Iterator<Item = &'a Arc<Segment<FileOf<E>>>>)
    where
        FileOf<E>: 'a,
    {
        self.store.feeds.set_unread(self.id, segments.map(|segment| segment.uid).collect());
    }
}

impl<E: Env> Drop for Entered<E> {
    fn drop(&mut self) {
        // In a forked child somebody may hold the locks for ever.
        if self.store.check_process().is_ok() {
            self.store.feeds.leave(self.id);
            // What was left alone may be worth merging.
            self.store.merge_bell.ring();
        }
    }
}

/// Where the next record is.
enum Ahead {
    Here,
    /// Nowhere yet: so many bytes have been appended since open.
    Nowhere(u64),
    Lost,
}

impl<E: Env> Db<E> {
    /// A feed of all changes behind `cursor`; `None` when it cannot be: the log behind it was merged, or is not the one that
    /// the cursor is of. An empty cursor stands for the beginning of the log. As long as the feed is open, merges leave
    /// alone what it has not read.
    ///
    /// # Errors
    /// `Invalid` when `cursor` is none; `ReadOnly`: the handle that writes knows of changes; `Io`, `Forked`.
    pub fn feed(&self, cursor: &[u8]) -> Result<Option<Feed<E>>> {
        let store = self.inner_arc();
        store.check_process()?;
        store.writer()?;
        let history = store.manifest.lock().history;
        let link = match Cursor::decode(cursor) {
            Some(cursor) if cursor.history != history => return Ok(None),
            Some(Cursor { uid, offset, .. }) => (uid, offset),
            None if cursor.is_empty() => (0, 0),
            None => return Err(Error::Invalid("the cursor is none of a feed".to_string())),
        };
        let entered = Entered { store: store.clone(), id: store.feeds.enter() };
        let Some(Start { segments, at }) = store.start_of_feed(link)? else { return Ok(None) };
        entered.set_unread(segments.iter());
        let (window, value) = Default::default();
        Ok(Some(Feed { entered, history, segments, at, end: 0, whole: link, window, value }))
    }
}

impl<E: Env> Snapshot<E> {
    /// The cursor behind all that is in the snapshot: a feed from there has what came after it.
    ///
    /// # Errors
    /// `Closed` after the close of the store; `Forked`.
    pub fn cursor(&self) -> Result<[u8; CURSOR_LEN]> {
        self.check_open()?;
        let (history, (uid, offset)) = self.end();
        Ok(Cursor { history, uid, offset }.encode())
    }
}

impl<E: Env> Feed<E> {
    /// The next change, for which it waits up to `timeout`, or for ever if there is none.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record, behind which the feed does not go; `Io`, `NoMemory`; `Closed` after the close of the
    /// store, which ends a wait; `Forked`. The feed is where it was.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<FeedStep<'_>> {
        // A time past the end of time is never.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.check_open()?;
            match self.look_ahead()? {
                Ahead::Here => {}
                Ahead::Lost => return Ok(FeedStep::Resnapshot),
                Ahead::Nowhere(_) if timeout.is_some_and(|timeout| timeout.is_zero()) => {
                    return Ok(FeedStep::Nothing);
                }
                Ahead::Nowhere(appended) => {
                    if !self.wait(appended, until)? {
                        return Ok(FeedStep::Nothing);
                    }
                    continue;
                }
            }
            let header = self.window.peek(&self.segments[0], self.at, self.end)?;
            if !header.is_some_and(|header| header.flags.has(Flags::INTERNAL)) {
                break;
            }
            self.pass_internal()?;
        }
        self.read().map(FeedStep::Change)
    }

    /// The cursor behind the last change that was handed out together with all of its batch; before that where the feed
    /// began.
    ///
    /// # Errors
    /// `Closed` after the close of the store; `Forked`.
    pub fn cursor(&self) -> Result<[u8; CURSOR_LEN]> {
        self.check_open()?;
        let (uid, offset) = self.whole;
        Ok(Cursor { history: self.history, uid, offset }.encode())
    }

    /// Has its store refuse all writes from now on.
    pub fn poison(&self, reason: &str) {
        self.entered.store.poison(reason);
    }

    fn check_open(&self) -> Result<()> {
        self.entered.store.check_process()?;
        if self.entered.store.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Finds the next record, in the next segment if need be.
    fn look_ahead(&mut self) -> Result<Ahead> {
        let store = &self.entered.store;
        while self.at >= self.end {
            let writer = store.writer()?.lock();
            let (active, active_len, appended) =
                (writer.active().uid, writer.active_len(), writer.appended());
            drop(writer);
            let first = &self.segments[0];
            if first.uid == active {
                self.end = active_len;
                if self.at >= self.end {
                    return Ok(Ahead::Nowhere(appended));
                }
                continue;
            }
            // The writer has left it, so it has its final length.
            self.end = first.readable_len();
            if self.at < self.end {
                continue;
            }
            if self.segments.len() == 1 {
                // It was not sealed yet when it was entered, so no merge has taken it or what follows it since. Behind the
                // next there may be a spare that is never listed.
                let view = store.view.load_full();
                let its_uid = first.uid;
                let behind = view.segments().skip_while(|segment| segment.uid != its_uid).nth(1);
                self.segments.extend(behind.cloned());
            }
            let (first, next) = (&self.segments[0], self.segments.get(1));
            let Some(next) = next else { return Ok(Ahead::Lost) };
            if next.readable_len() == 0 {
                return Ok(Ahead::Nowhere(appended));
            }
            if !store.continues(next, (first.uid, self.end))? {
                return Ok(Ahead::Lost);
            }
            self.segments.pop_front();
            (self.at, self.end) = (RECORDS_AT, 0);
            self.entered.set_unread(self.segments.iter());
            store.merge_bell.ring();
        }
        Ok(Ahead::Here)
    }

    /// Waits until more was appended; `false` when the time has come.
    fn wait(&self, appended: u64, until: Option<Instant>) -> Result<bool> {
        let store = &self.entered.store;
        let writer = store.writer()?;
        let has_come = || store.closed.load(Ordering::Acquire) || writer.lock().appended() != appended;
        Ok(store.feeds.wait(until, has_come))
    }

    /// Passes a record that is no change.
    fn pass_internal(&mut self) -> Result<()> {
        let store = &self.entered.store;
        let read = self.window.record(&self.segments[0], self.at, self.end);
        let record = store.noted(read)?;
        self.at += record.header.record_len();
        // A cursor that was stored alone is a batch. A marker belongs to what it rides in front of.
        if applied::decode(record.value).is_some() && ends_batch(&record.header) {
            self.whole = (self.segments[0].uid, self.at);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Change<'_>> {
        let Feed { entered, segments, at, whole, window, value, end, .. } = self;
        let (store, segment) = (&entered.store, &segments[0]);
        let record = store.noted(window.record(segment, *at, *end))?;
        let header = record.header;
        let stored = match header.flags.has(Flags::COMPRESSED) {
            false => record.value,
            true => {
                store.noted(segment.decompress(&store.dictionaries, *at, record.value, value))?;
                value
            }
        };
        *at += header.record_len();
        if ends_batch(&header) {
            *whole = (segment.uid, *at);
        }
        Ok(Change {
            key: record.key,
            value: (!header.flags.has(Flags::TOMBSTONE)).then_some(stored),
            version: header.version,
            deadline: header.deadline,
            is_json: header.flags.has(Flags::JSON),
            ends_batch: ends_batch(&header),
        })
    }
}

fn ends_batch(header: &RecordHeader) -> bool {
    !header.flags.has(Flags::BATCH_CONTINUES)
}
