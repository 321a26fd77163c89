//! The write path: puts and batches. Writes that depend on what is there are in `conditional`.
//!
//! Everything that can be done outside the write mutex is: digest, checksums, prefetch of the keydir slot.
//! Under it: version, place, the short rest of the header checksum, one write, one slot. Nothing is
//! allocated, and nothing is waited for but the write itself and, with `sync: always`, a commit after the
//! mutex was released.

use super::db::Db;
use super::expected::{Expected, Locked};
use super::foreign::{Foreign, Head};
use super::log_jobs::SYNC_BEHIND_BYTES;
use super::pack::CompressedValues;
use super::shared::{Inner, WriterGuard};
use super::write_options::Outcome;
use super::writer::{ASSEMBLE_MAX_LEN, Place};
use crate::error::{Error, Result};
use crate::format::record::{Draft, Flags, MAX_KEY_LEN, MAX_VALUE_LEN};
use crate::io::env::Env;
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::options::SyncMode;
use crate::segment::appender::AppendError;

/// The largest batch in bytes of records.
pub const MAX_BATCH_LEN: u64 = 256 << 20;
/// The same of an applied batch of several changes, so that any batch fits: one that its store keeps compressed has as many
/// bytes of keys and values, and at most as many of headers; and the cursor comes with it.
const MAX_APPLIED_LEN: u64 = 2 * MAX_BATCH_LEN + (4 << 10);

/// How many records of a batch the keydir is told of in advance.
const PREFETCH_AHEAD: usize = 8;
const ZEROS: [u8; 8] = [0; 8];

/// One operation of a batch. A key must occur only once in a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchEntry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value; empty for a deletion.
    pub value: &'a [u8],
    /// [`Flags::TOMBSTONE`], [`Flags::JSON`] or none.
    pub flags: Flags,
    /// When the value expires, ns since 1970.
    pub deadline: Option<u64>,
}

impl<E: Env> Db<E> {
    /// Stores `value` under `key`, in place of an older value and its deadline, and answers the record's version. It
    /// expires as the option `default_ttl_ms` says.
    ///
    /// # Errors
    /// `TooLarge` over 64 KiB of key or 4 GiB - 1 of value; `NoSpace`, `Io`: the store is as it was (after a
    /// crash the record may be there or not); `Poisoned`, `ReadOnly`, `Forked`.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<u64> {
        self.put_flagged(key, value, Flags::NONE)
    }

    /// [`Db::put`] with flags on the record.
    pub(crate) fn put_flagged(&self, key: &[u8], value: &[u8], flags: Flags) -> Result<u64> {
        self.put_expiring(key, value, flags, self.inner().default_deadline())
    }

    /// [`Db::put_flagged`] with a deadline of its own.
    pub(super) fn put_expiring(
        &self,
        key: &[u8],
        value: &[u8],
        flags: Flags,
        deadline: Option<u64>,
    ) -> Result<u64> {
        let inner = self.inner();
        inner.check_writable()?;
        check_sizes(key, value)?;
        let digest = inner.secret.digest(key);
        inner.keydir.touch(digest)?;
        inner.keydir.prefetch(digest);
        let (stored, flags) = inner.stored(value, flags);
        let draft = Draft::new(key, &stored, flags, deadline);
        let writer = inner.lock_writer()?;
        inner.append_one(writer, digest, &draft, key, &stored)
    }

    /// Writes all `entries` as one batch if all of `expected` holds: after a crash all of them are there or none.
    /// Readers of single keys may see one key's change before another's.
    ///
    /// # Errors
    /// `TooLarge` over 256 MiB of records; `NoMemory`; otherwise as [`Db::put`], and as [`Db::get`] of what is expected.
    pub fn write_entries(&self, entries: &[BatchEntry<'_>], expected: &[Expected<'_>]) -> Result<Outcome> {
        self.write_batch(entries, None, || self.inner().lock_when(expected))
    }

    /// Writes all `entries` as one batch if `lock` answers that it may be; as changes that come from another store if
    /// `foreign` says so. Those may be a large value alone whatever its size.
    pub(super) fn write_batch<'s>(
        &'s self,
        entries: &[BatchEntry<'_>],
        foreign: Option<&Foreign<'_>>,
        lock: impl FnOnce() -> Result<Locked<'s, E>>,
    ) -> Result<Outcome> {
        let inner = self.inner();
        inner.check_writable()?;
        let mut total = 0;
        for entry in entries {
            check_sizes(entry.key, entry.value)?;
        }
        let mut drafts: Vec<(Digest, Draft)> = Vec::new();
        let room = drafts.try_reserve_exact(entries.len());
        room.map_err(|_| Error::no_memory::<(Digest, Draft)>(entries.len()))?;
        let compressed = inner.stored_all(entries.iter().map(|entry| entry.value))?;
        let head = foreign.map(|foreign| Head::of(foreign, !entries.is_empty()));
        total += head.as_ref().map_or(0, |head| head.draft.record_len());
        for (at, entry) in entries.iter().enumerate() {
            let (value, flags) = compressed.stored(at, entry.value, entry.flags);
            let draft = Draft::new(entry.key, value, flags, entry.deadline);
            let draft = if at + 1 < entries.len() { draft.continued() } else { draft };
            total += draft.record_len();
            let digest = inner.secret.digest(entry.key);
            inner.keydir.touch(digest)?;
            drafts.push((digest, draft));
        }
        let limit = if foreign.is_some() { MAX_APPLIED_LEN } else { MAX_BATCH_LEN };
        let is_large_value = foreign.is_some() && entries.len() == 1;
        if total > limit && !is_large_value {
            return Err(Error::TooLarge { what: "batch", size: total, limit });
        }
        let mut bytes = encode_without_headers(head.as_ref(), entries, &compressed, &drafts, total)?;
        let mut writer = match lock()? {
            Locked::Holds(writer) => writer,
            Locked::Conflict(current) => return Ok(Outcome::Conflict(current)),
        };
        if entries.is_empty() && head.is_none() {
            return Ok(Outcome::Written(writer.last_version()));
        }
        inner.keydir.reserve(entries.len())?;
        let place = match foreign {
            None => inner.begin(&mut writer, total)?,
            Some(foreign) => inner.begin_foreign(&mut writer, foreign, total)?,
        };
        let version_of = |at: usize| foreign.map_or(place.version, |foreign| foreign.versions[at]);
        let head_draft = head.iter().map(|head| (&head.draft, place.version));
        let with_versions = drafts.iter().enumerate().map(|(at, (_, draft))| (draft, version_of(at)));
        let mut at = 0;
        for (draft, version) in head_draft.chain(with_versions) {
            let header = draft.header(version, place.uid, place.offset + at as u64);
            bytes[at..at + draft.header_len()].copy_from_slice(&header[..draft.header_len()]);
            at += record_len(draft);
        }
        inner.append(&mut writer, &[&bytes])?;
        if let Some(foreign) = foreign.filter(|foreign| !foreign.cursor.is_empty()) {
            writer.set_applied_cursor(foreign.cursor.into());
        }
        let mut offset = place.offset + head.map_or(0, |head| head.draft.record_len());
        for (at, (digest, draft)) in drafts.iter().enumerate() {
            if let Some((ahead, _)) = drafts.get(at + PREFETCH_AHEAD) {
                inner.keydir.prefetch(*ahead);
            }
            inner.publish(&mut writer, *digest, draft, version_of(at), offset);
            offset += draft.record_len();
        }
        inner.finish(writer, place).map(Outcome::Written)
    }
}

impl<E: Env> Inner<E> {
    pub(super) fn append_one(
        &self,
        mut writer: WriterGuard<'_, E>,
        digest: Digest,
        draft: &Draft,
        key: &[u8],
        value: &[u8],
    ) -> Result<u64> {
        self.keydir.reserve(1)?;
        let place = self.begin(&mut writer, draft.record_len())?;
        let header = draft.header(place.version, place.uid, place.offset);
        let padding = &ZEROS[..draft.padding()];
        let buffer = writer.buffer();
        buffer.extend_from_slice(&header[..draft.header_len()]);
        buffer.extend_from_slice(key);
        if value.len() <= ASSEMBLE_MAX_LEN {
            buffer.extend_from_slice(value);
            buffer.extend_from_slice(padding);
            self.append(&mut writer, &[])?;
        } else {
            self.append(&mut writer, &[value, padding])?;
        }
        self.publish(&mut writer, digest, draft, place.version, place.offset);
        self.finish(writer, place)
    }

    fn begin(&self, writer: &mut WriterGuard<'_, E>, len: u64) -> Result<Place> {
        let begun = writer.begin(self.env.now_ns(), len)?;
        Ok(self.note_move(begun))
    }

    /// Has the log thread look after a segment if the writer has just left it.
    pub(super) fn note_move(&self, (place, moved): (Place, bool)) -> Place {
        if moved {
            self.bell.ring();
        }
        place
    }

    fn append(&self, writer: &mut WriterGuard<'_, E>, rest: &[&[u8]]) -> Result<()> {
        let before = writer.appended();
        writer.append(rest).map_err(|failed| match failed {
            AppendError::RolledBack(err) => err,
            AppendError::Broken(err) => {
                self.health.poison(&format!("{err}, and its bytes could not be cut off again"));
                // The log thread tells of it, for this one holds the write mutex.
                self.bell.ring();
                err
            }
        })?;
        let many_unsynced = writer.appended() / SYNC_BEHIND_BYTES != before / SYNC_BEHIND_BYTES;
        if many_unsynced || self.keydir.wants_prepare() {
            self.bell.ring();
        }
        Ok(())
    }

    /// Enters a record that was just appended in the keydir.
    fn publish(
        &self,
        writer: &mut WriterGuard<'_, E>,
        digest: Digest,
        draft: &Draft,
        version: u64,
        offset: u64,
    ) {
        writer.count(draft.flags(), version);
        let active = writer.active();
        // Pinned before the keydir is changed: the slot of the location that comes back is that of its segment then.
        let view = self.view.load();
        let at = Location::new(active.slot, offset, draft.record_len());
        let at = if draft.flags().has(Flags::EXPIRES) { at.as_expiring() } else { at };
        let old = if !draft.flags().has(Flags::TOMBSTONE) {
            active.add_live(at.typical_len());
            self.keydir.insert(digest, at)
        } else if self.degraded.get().is_some() {
            self.keydir.insert(digest, at.as_tombstone())
        } else {
            self.keydir.remove(digest)
        };
        if let Some(old) = old.filter(|old| !old.is_tombstone()) {
            // If it is not there, a merge has just sent the key to a segment that is newer than the view.
            let view = if view.segment(old.slot()).is_some() { view } else { self.view.load() };
            if let Some(segment) = view.segment(old.slot()) {
                segment.sub_live(old.typical_len());
            }
        }
    }

    fn finish(&self, writer: WriterGuard<'_, E>, place: Place) -> Result<u64> {
        let appended = writer.appended();
        let awaited = self.feeds.are_waiting();
        drop(writer);
        if awaited {
            self.feeds.wake();
        }
        if self.options.sync == SyncMode::Always {
            self.commit(appended)?;
        }
        Ok(place.version)
    }
}

pub(super) fn check_sizes(key: &[u8], value: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY_LEN {
        return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
    }
    if value.len() as u64 > MAX_VALUE_LEN {
        return Err(Error::TooLarge { what: "value", size: value.len() as u64, limit: MAX_VALUE_LEN });
    }
    Ok(())
}

/// The batch's bytes with gaps where the headers will stand once place and version are known.
fn encode_without_headers(
    head: Option<&Head>,
    entries: &[BatchEntry<'_>],
    compressed: &CompressedValues,
    drafts: &[(Digest, Draft)],
    total: u64,
) -> Result<Vec<u8>> {
    let too_much = |_| Error::NoMemory { bytes: usize::MAX };
    let total = usize::try_from(total).map_err(too_much)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(total).map_err(|_| Error::no_memory::<u8>(total))?;
    let mut encode = |draft: &Draft, key: &[u8], value: &[u8]| {
        bytes.resize(bytes.len() + draft.header_len(), 0);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(&ZEROS[..draft.padding()]);
    };
    head.iter().for_each(|head| encode(&head.draft, &[], &head.value));
    for (at, (entry, (_, draft))) in entries.iter().zip(drafts).enumerate() {
        let (value, _) = compressed.stored(at, entry.value, entry.flags);
        encode(draft, entry.key, value);
    }
    Ok(bytes)
}

/// The length of a record of which all bytes are in memory, so that it fits.
fn record_len(draft: &Draft) -> usize {
    usize::try_from(draft.record_len()).unwrap_or(usize::MAX)
}
