//! The writer: the state behind the one write mutex.
//!
//! It knows the active segment, hands out versions (rule V1), puts segment headers and watermark markers in
//! front of the appends they ride on, and moves on to the spare by a pointer swap. It never waits for the disk.

use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::Sealed;
use crate::format::marker::{MARKER_LEN, Watermark};
use crate::format::record::{Flags, MAX_KEY_LEN, RECORD_HEADER_MAX_LEN, VERSION_END};
use crate::format::segment_header::{SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::File;
use crate::keydir::location::MAX_RECORD_OFFSET;
use crate::segment::appender::{AppendError, Appender};
use crate::segment::view::Segment;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Records up to this size are assembled in one buffer; the value of a larger one is written from where it is.
pub(crate) const ASSEMBLE_MAX_LEN: usize = 4096;
/// What may precede a record in one append.
const PREFIX_MAX_LEN: usize = SEGMENT_HEADER_LEN + MARKER_LEN;
/// The largest record that is assembled, padding included.
const RECORD_MAX_LEN: usize = RECORD_HEADER_MAX_LEN + MAX_KEY_LEN + ASSEMBLE_MAX_LEN + 8;
/// Segments moved on from but not yet sealed; the log thread keeps it near one.
const RETIRED_CAPACITY: usize = 64;

/// A segment that the writer has left.
pub(crate) struct Retired<F: File> {
    pub(crate) segment: Arc<Segment<F>>,
    pub(crate) sealed: Sealed,
    /// The log's position when it was left: it is synced once that much is durable.
    pub(crate) end: u64,
    /// The cursor stored with the last applied changes by then.
    pub(crate) applied_cursor: Option<Arc<[u8]>>,
}

/// Where and as what the next records will be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) version: u64,
    pub(crate) uid: u64,
    /// Offset of the first record.
    pub(crate) offset: u64,
}

/// See the file's head.
pub(crate) struct Writer<F: File> {
    database: Id128,
    max_segment_bytes: u64,
    appender: Appender<F>,
    /// Uid and final length of the segment before the active one.
    predecessor: (u64, u64),
    /// What the active segment will be sealed with, as of now.
    tally: Sealed,
    pub(crate) spare: Option<Arc<Segment<F>>>,
    pub(crate) retired: VecDeque<Retired<F>>,
    last_version: u64,
    /// Bytes appended since open: the log's position in this session.
    appended: u64,
    /// Records appended since open, internal ones not counted.
    records: u64,
    /// The cursor stored with the last applied changes.
    applied_cursor: Option<Arc<[u8]>>,
    /// Proven durable and not yet stated by a marker.
    watermark: Option<Watermark>,
    buffer: Vec<u8>,
    prefix_len: usize,
}

/// What a writer begins with.
pub(crate) struct WriterStart<F: File> {
    pub(crate) database: Id128,
    pub(crate) max_segment_bytes: u64,
    pub(crate) active: Arc<Segment<F>>,
    pub(crate) tally: Sealed,
    pub(crate) predecessor: (u64, u64),
    pub(crate) spare: Option<Arc<Segment<F>>>,
    pub(crate) last_version: u64,
    pub(crate) applied_cursor: Option<Arc<[u8]>>,
    pub(crate) watermark: Option<Watermark>,
}

impl<F: File> Writer<F> {
    pub(crate) fn new(start: WriterStart<F>) -> Self {
        Writer {
            database: start.database,
            max_segment_bytes: start.max_segment_bytes,
            appender: Appender::new(start.active),
            predecessor: start.predecessor,
            tally: start.tally,
            spare: start.spare,
            retired: VecDeque::with_capacity(RETIRED_CAPACITY),
            last_version: start.last_version,
            appended: 0,
            records: 0,
            applied_cursor: start.applied_cursor,
            watermark: start.watermark,
            buffer: Vec::with_capacity(PREFIX_MAX_LEN + RECORD_MAX_LEN),
            prefix_len: 0,
        }
    }

    pub(crate) fn active(&self) -> &Arc<Segment<F>> {
        self.appender.segment()
    }

    pub(crate) fn active_len(&self) -> u64 {
        self.appender.len()
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// What the active segment would be sealed with.
    pub(crate) fn tally(&self) -> Sealed {
        self.tally
    }

    pub(crate) fn last_version(&self) -> u64 {
        self.last_version
    }

    /// The cursor stored with the last applied changes.
    pub(crate) fn applied_cursor(&self) -> &Option<Arc<[u8]>> {
        &self.applied_cursor
    }

    /// Takes over the cursor that was just appended with applied changes.
    pub(crate) fn set_applied_cursor(&mut self, cursor: Arc<[u8]>) {
        self.applied_cursor = Some(cursor);
    }

    /// The end of the log, as the header of a segment that follows would state it.
    pub(crate) fn end_link(&self) -> (u64, u64) {
        if self.appender.is_empty() { self.predecessor } else { (self.active().uid, self.appender.len()) }
    }

    /// Raises the floor of versions to `highest`, and takes over what the active segment was found to hold.
    pub(crate) fn go_on_from(&mut self, highest: u64, tally: Sealed) {
        self.last_version = self.last_version.max(highest);
        self.tally = tally;
    }

    /// Whether the active segment is full and nothing stands ready to follow it.
    pub(crate) fn is_stuck(&self) -> bool {
        self.spare.is_none() && self.appender.len() > 2 * self.max_segment_bytes
    }

    /// Chooses the place of `len` bytes of records, moving on to the spare when the active segment is full, and
    /// begins the buffer with what must precede them. The version is used up whatever happens next.
    /// Answers whether the writer moved on.
    pub(crate) fn begin(&mut self, now_ns: u64, len: u64) -> Result<(Place, bool)> {
        let version = self.next_version(now_ns)?;
        self.place(version, len)
    }

    /// As [`Writer::begin`] for records of another store, of which `highest` is the highest version.
    pub(crate) fn begin_applied(&mut self, highest: u64, len: u64) -> Result<(Place, bool)> {
        self.last_version = self.last_version.max(highest);
        self.place(self.last_version, len)
    }

    fn place(&mut self, version: u64, len: u64) -> Result<(Place, bool)> {
        let full = self.appender.len() + len + MARKER_LEN as u64 > self.max_segment_bytes;
        let moved = full && !self.appender.is_empty() && self.move_on();
        let (uid, start) = (self.active().uid, self.appender.len());
        self.buffer.clear();
        if self.appender.is_empty() {
            let header = SegmentHeader {
                database: self.database,
                uid,
                number: self.active().number,
                predecessor_uid: self.predecessor.0,
                predecessor_len: self.predecessor.1,
            };
            self.buffer.extend_from_slice(&header.encode());
        }
        if let Some(watermark) = self.watermark {
            let at = start + self.buffer.len() as u64;
            self.buffer.extend_from_slice(&watermark.encode(version, uid, at));
        }
        self.prefix_len = self.buffer.len();
        let offset = start + self.prefix_len as u64;
        if offset + len >= MAX_RECORD_OFFSET {
            let what = "the active segment is full and no other could be prepared";
            return Err(Error::io("append to", &self.active().name, std::io::Error::other(what)));
        }
        Ok((Place { version, uid, offset }, moved))
    }

    /// Rule V1. A clock set past the last version there can be is not followed.
    fn next_version(&mut self, now_ns: u64) -> Result<u64> {
        let next = self.last_version + 1;
        if next >= VERSION_END {
            return Err(Error::Invalid(format!("version {next} is past the largest that can be")));
        }
        self.last_version = if now_ns < VERSION_END { next.max(now_ns) } else { next };
        Ok(self.last_version)
    }

    /// Where the records' own bytes go.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends the buffer followed by `rest`, in one write. On success the active segment holds it all.
    pub(crate) fn append(&mut self, rest: &[&[u8]]) -> std::result::Result<(), AppendError> {
        let before = self.appender.len();
        let empty = IoSlice::new(&[]);
        let mut parts = [IoSlice::new(&self.buffer), empty, empty];
        debug_assert!(rest.len() < parts.len());
        for (part, bytes) in parts[1..].iter_mut().zip(rest) {
            *part = IoSlice::new(bytes);
        }
        self.appender.append(&mut parts[..=rest.len()])?;
        self.watermark = None;
        self.appended += self.appender.len() - before;
        Ok(())
    }

    /// Counts a record of the active segment.
    pub(crate) fn count(&mut self, flags: Flags, version: u64) {
        self.records += 1;
        self.tally.records += 1;
        self.tally.tombstones += u64::from(flags.has(Flags::TOMBSTONE));
        self.tally.highest_version = self.tally.highest_version.max(version);
    }

    /// Everything up to here is durable: the next append says so.
    pub(crate) fn set_watermark(&mut self, watermark: Watermark) {
        self.watermark = Some(watermark);
    }

    /// The end of the log as a watermark would state it.
    pub(crate) fn end(&self) -> Watermark {
        Watermark { uid: self.active().uid, offset: self.appender.len() }
    }

    fn move_on(&mut self) -> bool {
        if self.retired.len() == self.retired.capacity() {
            return false;
        }
        let Some(spare) = self.spare.take() else {
            return false;
        };
        let left = std::mem::replace(&mut self.appender, Appender::new(spare));
        self.tally.len = left.len();
        self.predecessor = (left.segment().uid, left.len());
        self.retired.push_back(Retired {
            segment: left.segment().clone(),
            sealed: std::mem::take(&mut self.tally),
            end: self.appended,
            applied_cursor: self.applied_cursor.clone(),
        });
        true
    }
}
