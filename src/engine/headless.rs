//! Segments whose header is lost, in a store whose manifest is lost, too: whose they are.
//!
//! The checksum of every record covers the segment's uid, so the uid has to be known to tell records from other bytes.
//! The segment's hint states it, and so does the header of the segment that was written after it. Failing these, the
//! records themselves tell as much of it as their checksums depend on (`RecordHeader::uid_for`).

use super::listed::{Listed, RECORDS_AT};
use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::hint::{HINT_HEADER_LEN, HintHeader};
use crate::format::names;
use crate::format::record::{MAX_KEY_LEN, RECORD_HEADER_MAX_LEN, RecordHeader};
use crate::format::segment_header::HeaderState;
use crate::io::env::{Dir, File};
use crate::io::whole::read_full;
use crate::segment::hint_reader::Hint;
use crate::segment::hint_writer::HintId;
use crate::segment::scanner::{Scanner, Step};
use std::collections::{HashMap, HashSet};
use std::io;

/// What the header of a segment's hint says, if it is whole.
pub(super) fn hint_header<D: Dir>(dir: &D, number: u64) -> Result<Option<HintHeader>> {
    let name = names::hint(number);
    let failed = |err| Error::io("read", &name, err);
    let file = match dir.open(&name, false) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(failed(err)),
    };
    let mut head = [0; HINT_HEADER_LEN];
    let got = read_full(&file, &mut head, 0).map_err(failed)?;
    Ok(HintHeader::decode(&head[..got], file.len().map_err(failed)?))
}

/// The id that comes most often.
pub(super) fn most_common(ids: impl Iterator<Item = Id128>) -> Option<Id128> {
    let mut counts: HashMap<Id128, usize> = HashMap::new();
    ids.for_each(|id| *counts.entry(id).or_default() += 1);
    counts.into_iter().max_by_key(|(id, count)| (*count, id.0)).map(|(id, _)| id)
}

/// What valid headers say of the segments that were written before theirs.
pub(super) struct Links {
    seen: HashSet<u64>,
    /// Length by uid.
    predecessors: HashMap<u64, u64>,
}

impl Links {
    /// Of these headers.
    pub(super) fn of<'h>(headers: impl Iterator<Item = &'h HeaderState>) -> Self {
        let mut links = Links { seen: HashSet::new(), predecessors: HashMap::new() };
        for header in headers {
            let HeaderState::Valid(header) = header else { continue };
            links.seen.insert(header.uid);
            if header.predecessor_uid != 0 {
                let len = links.predecessors.entry(header.predecessor_uid).or_default();
                *len = header.predecessor_len.max(*len);
            }
        }
        links
    }

    /// Uids that are named and that no header has.
    pub(super) fn unseen(&self) -> impl Iterator<Item = u64> {
        self.predecessors.keys().copied().filter(|&uid| self.lacks(uid))
    }

    /// Whether `uid` is a segment's whose header is not there.
    pub(super) fn lacks(&self, uid: u64) -> bool {
        uid != 0 && !self.seen.contains(&uid)
    }

    /// How long the segment with `uid` was, if one follows it.
    pub(super) fn len_of(&self, uid: u64) -> Option<u64> {
        self.predecessors.get(&uid).copied()
    }
}

/// The highest version that the hint of `listed` lists, 0 where it is not whole.
pub(super) fn highest_in_hint<D: Dir>(
    dir: &D,
    listed: &Listed<D::File>,
    database: Option<Id128>,
    segment_len: u64,
) -> Result<u64> {
    let (name, uid) = (names::hint(listed.entry.number), listed.entry.uid);
    let file = dir.open(&name, false).map_err(|err| Error::io("open", &name, err))?;
    let id = HintId { database: database.unwrap_or_default(), uid, segment_len };
    let Some(hint) = Hint::open(file, name, id)? else { return Ok(0) };
    let mut highest = 0;
    hint.read(0..hint.block_count(), |entry| {
        highest = highest.max(entry.version);
        Ok(())
    })?;
    Ok(highest)
}

/// A uid under which the records of a segment without a header can be told: that of its hint, one of those that are
/// `named` elsewhere, or one that the first record agrees with, if the next one confirms it. Where the first is the only
/// one, its value has to.
pub(super) fn find_uid<F: File>(
    listed: &Listed<F>,
    of_hint: Option<u64>,
    named: impl Iterator<Item = u64>,
) -> Result<Option<u64>> {
    if of_hint.is_some() {
        return Ok(of_hint);
    }
    let (file, name, end) = (&listed.file, &listed.name, listed.file_len);
    for uid in named {
        if Scanner::new(file, name, uid, RECORDS_AT, end).seek(RECORDS_AT, end)?.is_some() {
            return Ok(Some(uid));
        }
    }
    let mut head = vec![0; RECORD_HEADER_MAX_LEN + MAX_KEY_LEN];
    let got = read_full(file, &mut head, RECORDS_AT).map_err(|err| Error::io("read", name, err))?;
    let Some(header) = RecordHeader::decode(&head[..got]) else { return Ok(None) };
    let Some(key) = head[..got].get(header.header_len()..header.value_at()) else { return Ok(None) };
    let uid = header.uid_for(&head, key, RECORDS_AT);
    let mut scanner = Scanner::new(file, name, uid, RECORDS_AT, end);
    let told_by_value = match scanner.step()? {
        Step::Record(first) => first.value_ok && header.value_len > 0,
        _ => return Ok(None),
    };
    let confirmed = match scanner.step()? {
        Step::Record(_) => true,
        Step::End => told_by_value,
        Step::Bad { .. } => false,
    };
    Ok(confirmed.then_some(uid))
}
