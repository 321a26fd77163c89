//! The manifest: which segments are alive, and in which order.
//!
//! JSON that a person can read, one segment a line, then a last line with the checksum of all before it.
//! Only a valid manifest says what is alive (rule M2). 64-bit ids and versions are strings, because many
//! JSON readers round large numbers.

use super::applied::MAX_CURSOR_LEN;
use super::checksum::crc32c;
use super::coding::Id128;
use super::names::NUMBER_END;
use super::record::VERSION_END;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

/// The format this library writes, and the newest it reads.
pub const FORMAT: u64 = 1;

/// The longest manifest in bytes: 2^20 segments, as many as there can be, of 256 bytes.
pub const MAX_LEN: u64 = 256 << 20;

/// How much of an unexpected value a message shows.
const QUOTED_CHARS: usize = 60;

const CRC_LABEL: &str = "crc32c ";
const CRC_LINE_LEN: usize = CRC_LABEL.len() + 8 + 1;

/// The state of a store, replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The database's id, the same for good.
    pub database: Id128,
    /// The id of this run of history; a new one whenever records were discarded.
    pub history: Id128,
    /// The secret under which keys are digested.
    pub hash_secret: [u8; 16],
    /// How many times the store was opened for writing.
    pub generation: u64,
    /// The number of the next file; numbers are never used twice.
    pub next_number: u64,
    /// A floor for versions.
    pub last_version: u64,
    /// The highest version of a tombstone that a merge dropped.
    pub highest_dropped_tombstone: u64,
    /// How many keys had a value when this was written: what the next open makes room for.
    pub keys: u64,
    /// Whether this is a backup that no writer has opened: the first that does clears it.
    pub backup: bool,
    /// The cursor stored with the last changes of another store that were applied in what is sealed, or closed cleanly.
    pub applied_cursor: Option<Arc<[u8]>>,
    /// Where recoveries wrote again what cursors of feeds may point to.
    pub moved: Vec<Moved>,
    /// Uid and length of the segment that was sealed last, which may have been merged since; what is written to empty
    /// segments follows it. `None` when no segment was sealed yet.
    pub last_sealed: Option<(u64, u64)>,
    /// What a clean close left; gone as soon as a writer opens.
    pub clean_close: Option<CleanClose>,
    /// The live segments, oldest first; the unsealed ones are at the end.
    pub segments: Vec<SegmentEntry>,
}

/// The end of the log at a clean close: a shorter log is corruption, not a torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanClose {
    /// The active segment's number.
    pub active: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The version of the newest record.
    pub last_version: u64,
}

/// Bytes of a segment that lie in another one now, which a recovery wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The uid of the segment that they were in.
    pub from: u64,
    /// Where they began in it.
    pub start: u64,
    /// Where they ended.
    pub end: u64,
    /// The uid of the segment that they are in, a live one.
    pub to: u64,
    /// Where they begin in it.
    pub at: u64,
}

/// One live segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// The number in its name.
    pub number: u64,
    /// Its uid.
    pub uid: u64,
    /// The sorted run it belongs to, when a merge wrote it.
    pub run: Option<u64>,
    /// Whether it is complete.
    pub state: SegmentState,
}

/// How far a segment's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Complete, synced, immutable.
    Sealed(Sealed),
    /// Being appended to, or prepared to be. Bytes below `durable` were proven durable before the writer
    /// that goes on with it opened the store.
    Unsealed {
        /// A floor for the watermark, in bytes; 0 when nothing is proven.
        durable: u64,
    },
}

/// What is known of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sealed {
    /// Its final length in bytes; what a file holds past it is no part of the segment.
    pub len: u64,
    /// The highest version in it.
    pub highest_version: u64,
    /// Records in it, tombstones included, internal ones not.
    pub records: u64,
    /// Tombstones in it.
    pub tombstones: u64,
}

/// Why a manifest was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// The bytes are not what was written; the text says what is wrong.
    Damaged(String),
    /// Written by a newer library; the text says what was found.
    Newer(String),
}

impl Manifest {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = String::with_capacity(512 + 160 * self.segments.len());
        let secret = Id128(self.hash_secret);
        let _ = write!(
            out,
            "{{\n  \"format\": {FORMAT},\n  \"features\": [],\n  \"database_id\": \"{}\",\n  \
             \"history_id\": \"{}\",\n  \"hash_secret\": \"{secret}\",\n  \"generation\": {},\n  \
             \"next_number\": {},\n  \"last_version\": \"{}\",\n  \"highest_dropped_tombstone\": \"{}\",\n  \
             \"keys\": {},\n",
            self.database,
            self.history,
            self.generation,
            self.next_number,
            self.last_version,
            self.highest_dropped_tombstone,
            self.keys,
        );
        if self.backup {
            out.push_str("  \"backup\": true,\n");
        }
        if let Some(cursor) = &self.applied_cursor {
            out.push_str("  \"applied_cursor\": \"");
            for byte in cursor.iter() {
                let _ = write!(out, "{byte:02x}");
            }
            out.push_str("\",\n");
        }
        for (at, moved) in self.moved.iter().enumerate() {
            let Moved { from, start, end, to, at: place } = moved;
            out.push_str(if at == 0 { "  \"moved\": [\n" } else { ",\n" });
            let _ = write!(
                out,
                "    {{\"from\": \"{from:016x}\", \"start\": {start}, \"end\": {end}, \"to\": \"{to:016x}\", \
                 \"at\": {place}}}"
            );
        }
        if !self.moved.is_empty() {
            out.push_str("\n  ],\n");
        }
        if let Some((uid, len)) = self.last_sealed.filter(|_| self.last_sealed != last_sealed(&self.segments))
        {
            let _ = writeln!(out, "  \"last_sealed\": {{\"uid\": \"{uid:016x}\", \"len\": {len}}},");
        }
        if let Some(close) = &self.clean_close {
            let _ = writeln!(
                out,
                "  \"clean_close\": {{\"active\": {}, \"len\": {}, \"last_version\": \"{}\"}},",
                close.active, close.len, close.last_version
            );
        }
        out.push_str("  \"segments\": [");
        for (at, entry) in self.segments.iter().enumerate() {
            out.push_str(if at == 0 { "\n" } else { ",\n" });
            entry.encode(&mut out);
        }
        out.push_str(if self.segments.is_empty() { "]\n}\n" } else { "\n  ]\n}\n" });
        let crc = crc32c(out.as_bytes());
        let _ = writeln!(out, "{CRC_LABEL}{crc:08x}");
        out.into_bytes()
    }

    /// Reads a manifest file.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let body = checked_body(bytes)?;
        let text = std::str::from_utf8(body).map_err(|err| damaged(format!("no UTF-8: {err}")))?;
        let mut fields = Fields::of("manifest", text)?;
        let format = fields.number("format")?;
        if format != FORMAT {
            return Err(ManifestError::Newer(format!(
                "the store's format is {format}, this library reads format {FORMAT}"
            )));
        }
        let features = fields.raw("features")?;
        if serde_json::from_str::<[(); 0]>(features.get()).is_err() {
            return Err(ManifestError::Newer(format!(
                "the store uses features {}, which this library does not know",
                quoted(features)
            )));
        }
        let clean_close = match fields.optional("clean_close") {
            None => None,
            Some(value) => {
                let mut close = Fields::of("clean_close", value.get())?;
                let read = CleanClose {
                    active: close.number("active")?,
                    len: close.number("len")?,
                    last_version: close.version("last_version")?,
                };
                close.finish()?;
                Some(read)
            }
        };
        let stated_sealed = match fields.optional("last_sealed") {
            None => None,
            Some(value) => {
                let mut sealed = Fields::of("last_sealed", value.get())?;
                let read = (sealed.hex("uid")?, sealed.number("len")?);
                sealed.finish()?;
                Some(read)
            }
        };
        let mut manifest = Manifest {
            database: fields.id("database_id")?,
            history: fields.id("history_id")?,
            hash_secret: fields.id("hash_secret")?.0,
            generation: fields.number("generation")?,
            next_number: fields.number("next_number")?,
            last_version: fields.version("last_version")?,
            highest_dropped_tombstone: fields.version("highest_dropped_tombstone")?,
            keys: fields.number("keys")?,
            backup: match fields.optional("backup").map(RawValue::get) {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => {
                    return Err(damaged("the manifest's \"backup\" is neither true nor false".to_string()));
                }
            },
            applied_cursor: fields.optional_bytes("applied_cursor")?,
            moved: fields
                .optional_entries("moved")?
                .into_iter()
                .map(|moved| Moved::decode(moved.get()))
                .collect::<Result<_, _>>()?,
            last_sealed: None,
            clean_close,
            segments: fields
                .entries("segments")?
                .into_iter()
                .map(|entry| SegmentEntry::decode(entry.get()))
                .collect::<Result<_, _>>()?,
        };
        fields.finish()?;
        manifest.last_sealed = stated_sealed.or_else(|| last_sealed(&manifest.segments));
        manifest.check()?;
        Ok(manifest)
    }

    /// What must hold between the fields.
    fn check(&self) -> Result<(), ManifestError> {
        let mut numbers = HashSet::with_capacity(self.segments.len());
        let mut uids = HashSet::with_capacity(self.segments.len());
        let mut unsealed_seen = false;
        for entry in &self.segments {
            let number = entry.number;
            if number == 0 || number >= self.next_number || !numbers.insert(number) {
                return Err(damaged(format!("segment number {number} is used twice or out of range")));
            }
            if entry.uid == 0 || !uids.insert(entry.uid) {
                return Err(damaged(format!("the uid of segment {number} is 0 or another's")));
            }
            match entry.state {
                SegmentState::Unsealed { .. } => unsealed_seen = true,
                SegmentState::Sealed(_) if unsealed_seen => {
                    return Err(damaged(format!("sealed segment {number} comes after an unsealed one")));
                }
                SegmentState::Sealed(_) => {}
            }
        }
        if self.next_number > NUMBER_END {
            return Err(damaged(format!("next_number {} is past the last file name", self.next_number)));
        }
        for moved in &self.moved {
            let len = moved.end.checked_sub(moved.start);
            if !uids.contains(&moved.to) || len.and_then(|len| len.checked_add(moved.at)).is_none() {
                return Err(damaged(format!("bytes were moved to {:016x}, which has no room", moved.to)));
            }
        }
        let closed_in = self.clean_close.map(|close| close.active);
        let listed = |number| {
            self.segments
                .iter()
                .any(|entry| entry.number == number && matches!(entry.state, SegmentState::Unsealed { .. }))
        };
        match closed_in {
            Some(number) if !listed(number) => {
                Err(damaged(format!("clean_close names segment {number}, which is not an unsealed one")))
            }
            _ => Ok(()),
        }
    }
}

/// Uid and length of the last sealed segment that is listed.
fn last_sealed(segments: &[SegmentEntry]) -> Option<(u64, u64)> {
    let is_sealed = |entry: &&SegmentEntry| matches!(entry.state, SegmentState::Sealed(_));
    segments.iter().rfind(is_sealed).map(|entry| (entry.uid, entry.kept_len()))
}

impl Moved {
    /// Where the record that ended at `offset` of the segment it was in ends now.
    pub fn end_of(&self, from: u64, offset: u64) -> Option<(u64, u64)> {
        let held = self.from == from && (self.start + 1..=self.end).contains(&offset);
        held.then(|| (self.to, self.at + (offset - self.start)))
    }

    fn decode(text: &str) -> Result<Self, ManifestError> {
        let mut fields = Fields::of("what was moved", text)?;
        let moved = Moved {
            from: fields.hex("from")?,
            start: fields.number("start")?,
            end: fields.number("end")?,
            to: fields.hex("to")?,
            at: fields.number("at")?,
        };
        fields.finish()?;
        Ok(moved)
    }
}

impl SegmentEntry {
    /// The final length of a sealed segment; of another, how much of it is proven durable.
    pub fn kept_len(&self) -> u64 {
        match self.state {
            SegmentState::Sealed(sealed) => sealed.len,
            SegmentState::Unsealed { durable } => durable,
        }
    }

    /// The highest version in a sealed segment; 0 for another.
    pub fn highest_version(&self) -> u64 {
        self.sealed().highest_version
    }

    /// Records in a sealed segment; 0 for another.
    pub fn records(&self) -> u64 {
        self.sealed().records
    }

    fn sealed(&self) -> Sealed {
        match self.state {
            SegmentState::Sealed(sealed) => sealed,
            SegmentState::Unsealed { .. } => Sealed::default(),
        }
    }

    fn encode(&self, out: &mut String) {
        let _ = write!(out, "    {{\"number\": {}, \"uid\": \"{:016x}\", ", self.number, self.uid);
        if let Some(run) = self.run {
            let _ = write!(out, "\"run\": {run}, ");
        }
        let _ = match self.state {
            SegmentState::Sealed(sealed) => write!(
                out,
                "\"state\": \"sealed\", \"len\": {}, \"highest_version\": \"{}\", \"records\": {}, \
                 \"tombstones\": {}}}",
                sealed.len, sealed.highest_version, sealed.records, sealed.tombstones
            ),
            SegmentState::Unsealed { durable } => {
                write!(out, "\"state\": \"unsealed\", \"durable\": {durable}}}")
            }
        };
    }

    fn decode(text: &str) -> Result<Self, ManifestError> {
        let mut fields = Fields::of("a segment", text)?;
        let entry = SegmentEntry {
            number: fields.number("number")?,
            uid: fields.hex("uid")?,
            run: fields.optional_number("run")?,
            state: match fields.text("state")?.as_str() {
                "sealed" => SegmentState::Sealed(Sealed {
                    len: fields.number("len")?,
                    highest_version: fields.version("highest_version")?,
                    records: fields.number("records")?,
                    tombstones: fields.number("tombstones")?,
                }),
                "unsealed" => SegmentState::Unsealed { durable: fields.number("durable")? },
                other => return Err(ManifestError::Newer(format!("a segment's state is {other:?}"))),
            },
        };
        fields.finish()?;
        Ok(entry)
    }
}

fn damaged(what: String) -> ManifestError {
    ManifestError::Damaged(what)
}

fn checked_body(bytes: &[u8]) -> Result<&[u8], ManifestError> {
    let wrong = |what: &str| damaged(what.to_string());
    let (body, line) = bytes
        .split_at_checked(bytes.len().wrapping_sub(CRC_LINE_LEN))
        .ok_or_else(|| wrong("it is too short to hold a checksum"))?;
    let stated = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix(CRC_LABEL)?.strip_suffix('\n'))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| wrong("its last line is not a checksum"))?;
    let found = crc32c(body);
    if found != stated {
        return Err(damaged(format!("its checksum is {found:08x}, its last line states {stated:08x}")));
    }
    Ok(body)
}

/// The members of an object, taken out one by one; what is left over comes from a newer library. They are kept as
/// text until it is known what they are to be: no text makes this allocate many times its own length.
struct Fields<'t> {
    of: &'static str,
    members: BTreeMap<String, &'t RawValue>,
}

impl<'t> Fields<'t> {
    fn of(of: &'static str, text: &'t str) -> Result<Self, ManifestError> {
        let members =
            serde_json::from_str(text).map_err(|err| damaged(format!("{of} is not an object: {err}")))?;
        Ok(Fields { of, members })
    }

    fn optional(&mut self, name: &str) -> Option<&'t RawValue> {
        self.members.remove(name)
    }

    fn raw(&mut self, name: &str) -> Result<&'t RawValue, ManifestError> {
        self.optional(name).ok_or_else(|| damaged(format!("{} lacks {name:?}", self.of)))
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&'t str) -> Option<T>) -> Result<T, ManifestError> {
        let raw = self.raw(name)?;
        read(raw.get()).ok_or_else(|| damaged(format!("{name:?} of {} is {}", self.of, quoted(raw))))
    }

    fn number(&mut self, name: &str) -> Result<u64, ManifestError> {
        self.take(name, |text| serde_json::from_str(text).ok())
    }

    fn optional_number(&mut self, name: &str) -> Result<Option<u64>, ManifestError> {
        if self.members.contains_key(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    fn text(&mut self, name: &str) -> Result<String, ManifestError> {
        self.take(name, string)
    }

    fn version(&mut self, name: &str) -> Result<u64, ManifestError> {
        self.take(name, |text| {
            let digits = string(text).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok().filter(|&version| version < VERSION_END)
        })
    }

    fn hex(&mut self, name: &str) -> Result<u64, ManifestError> {
        self.take(name, |text| {
            let strict = |text: &String| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
            string(text).filter(strict).and_then(|text| u64::from_str_radix(&text, 16).ok())
        })
    }

    fn id(&mut self, name: &str) -> Result<Id128, ManifestError> {
        self.take(name, |text| Id128::parse(&string(text)?))
    }

    fn entries(&mut self, name: &str) -> Result<Vec<&'t RawValue>, ManifestError> {
        self.take(name, |text| serde_json::from_str(text).ok())
    }

    fn optional_entries(&mut self, name: &str) -> Result<Vec<&'t RawValue>, ManifestError> {
        if self.members.contains_key(name) { self.entries(name) } else { Ok(Vec::new()) }
    }

    /// A cursor in hexadecimal digits.
    fn optional_bytes(&mut self, name: &str) -> Result<Option<Arc<[u8]>>, ManifestError> {
        if !self.members.contains_key(name) {
            return Ok(None);
        }
        self.take(name, |text| {
            let digits = string(text)?;
            let byte = |pair: &[u8]| {
                let strict = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
                u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|_| strict)?, 16).ok()
            };
            let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?;
            (1..=MAX_CURSOR_LEN).contains(&bytes.len()).then(|| bytes.into())
        })
        .map(Some)
    }

    fn finish(self) -> Result<(), ManifestError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(ManifestError::Newer(format!("{} has an unknown field {name:?}", self.of))),
        }
    }
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// What was found, cut where it would make a message too long.
fn quoted(found: &RawValue) -> String {
    found.get().chars().take(QUOTED_CHARS).collect()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
