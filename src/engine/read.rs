//! The read path: pin the view, probe the keydir, read the record, compare the key.
//!
//! Readers write nothing that another thread reads. A location whose segment the view does not hold means
//! that the view is older than the location: a new view is taken.

use super::db::Db;
use super::meta::Meta;
use super::shared::{Degraded, FileOf, Inner};
use crate::error::{Error, Result};
use crate::format::compressed::Scratch;
use crate::format::record::{Flags, MAX_KEY_LEN, Record, RecordHeader};
use crate::io::env::{Env, File};
use crate::keydir::Digest;
use crate::keydir::location::Location;
use crate::segment::view::{Segment, View};
use crate::sync::{Arc, Ordering};

/// Keys looked up side by side in [`Db::get_many`], so that their memory accesses overlap.
const GROUP: usize = 32;

/// A value that stays valid until dropped, also after the store was closed.
pub struct Pinned<E: Env> {
    segment: Arc<Segment<FileOf<E>>>,
    bytes: PinnedBytes,
}

enum PinnedBytes {
    Mapped { offset: u64, len: u64 },
    Owned(Vec<u8>),
}

impl<E: Env> Pinned<E> {
    /// The value's bytes, at the same address for as long as the pin lives.
    pub fn value(&self) -> &[u8] {
        match &self.bytes {
            PinnedBytes::Owned(bytes) => bytes,
            PinnedBytes::Mapped { offset, len } => self.segment.mapped(*offset, *len).unwrap_or_default(),
        }
    }
}

impl<E: Env> Db<E> {
    /// As [`Db::get`], with what the store knows of the value beside it.
    ///
    /// # Errors
    /// As [`Db::get`].
    #[inline]
    pub fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8], Meta) -> R) -> Result<Option<R>> {
        let inner = self.inner();
        inner.check_readable(key)?;
        let mut buf = Vec::new();
        let found = inner.read_record(key, inner.secret.digest(key), &mut buf, |segment, at, record| {
            inner.value_of(segment, at.offset(), record, |value| read(value, Meta::of(&record.header)))
        })?;
        found.transpose()
    }

    /// What the store knows of `key`'s value; the value itself is not looked at.
    ///
    /// # Errors
    /// As [`Db::get`], except that a damaged value goes unnoticed.
    pub fn meta(&self, key: &[u8]) -> Result<Option<Meta>> {
        let inner = self.inner();
        inner.check_readable(key)?;
        let seen = inner.see(key, inner.secret.digest(key))?;
        Ok(seen.live(inner.env.now_ns()))
    }

    /// Hands the value of `key` to `read`, without copying it where the segment is mapped; `None` when the key
    /// has no value.
    ///
    /// # Errors
    /// `Corrupt` when the record is damaged or the store is degraded and cannot tell; `TooLarge` for a key that
    /// no store can hold; `Io` without mapping; `Forked`.
    #[inline]
    pub fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        self.get_with(key, |value, _| read(value))
    }

    /// As [`Db::get`], but a value longer than `room` bytes is not decompressed and not handed out: its length is the
    /// answer.
    ///
    /// # Errors
    /// As [`Db::get`].
    #[inline]
    pub fn get_within<R>(
        &self,
        key: &[u8],
        room: usize,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<std::result::Result<R, u64>>> {
        let inner = self.inner();
        inner.check_readable(key)?;
        let mut buf = Vec::new();
        let found = inner.read_record(key, inner.secret.digest(key), &mut buf, |segment, at, record| {
            let len = inner.noted(segment.raw_len(at.offset(), record))?;
            if len > room as u64 {
                return Ok(Err(len));
            }
            inner.value_of(segment, at.offset(), record, read).map(Ok)
        })?;
        found.transpose()
    }

    /// The value of `key`, kept where it lies until the pin is dropped.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get_pinned(&self, key: &[u8]) -> Result<Option<Pinned<E>>> {
        let inner = self.inner();
        inner.check_readable(key)?;
        let mut buf = Vec::new();
        let found = inner.read_record(key, inner.secret.digest(key), &mut buf, |segment, at, record| {
            let mut raw = None;
            if record.header.flags.has(Flags::COMPRESSED) {
                let raw = raw.insert(Vec::new());
                inner.noted(segment.decompress(&inner.dictionaries, at.offset(), record.value, raw))?;
            }
            Ok((segment.clone(), at.offset(), record.header, raw))
        })?;
        let Some((segment, offset, header, raw)) = found.transpose()? else { return Ok(None) };
        let (value_at, len) = (header.value_at(), header.value_len);
        let bytes = match raw {
            Some(raw) => PinnedBytes::Owned(raw),
            None if buf.is_empty() => {
                PinnedBytes::Mapped { offset: offset + value_at as u64, len: u64::from(len) }
            }
            None => {
                buf.truncate(value_at + len as usize);
                buf.drain(..value_at);
                PinnedBytes::Owned(buf)
            }
        };
        Ok(Some(Pinned { segment, bytes }))
    }

    /// Looks `keys` up together, which is faster than one by one: `sink` is called once a key, in order.
    ///
    /// # Errors
    /// `Forked`; what is wrong with one key goes to `sink`.
    pub fn get_many(&self, keys: &[&[u8]], mut sink: impl FnMut(usize, Result<Option<&[u8]>>)) -> Result<()> {
        let inner = self.inner();
        inner.check_process()?;
        let mut digests = [Digest { lo: 0, hi: 0 }; GROUP];
        let mut found = [None; GROUP];
        let mut buf = Vec::new();
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            for (digest, key) in digests.iter_mut().zip(keys) {
                *digest = inner.secret.digest(key);
                inner.keydir.prefetch_group(*digest);
            }
            let digests = &digests[..keys.len()];
            digests.iter().for_each(|digest| inner.keydir.prefetch(*digest));
            let view = inner.view.load();
            for (found, digest) in found.iter_mut().zip(digests) {
                // What cannot be looked up is tried again by itself, and tells why.
                *found = inner.keydir.touch(*digest).ok().and_then(|()| inner.keydir.get(*digest));
                if let Some((at, segment)) = found.and_then(|at| Some((at, view.segment(at.slot())?))) {
                    segment.prefetch(at.offset(), at.max_len());
                }
            }
            for (at, (digest, key)) in digests.iter().zip(keys).enumerate() {
                let mut sink = |answer: Result<Option<&[u8]>>| sink(group * GROUP + at, answer);
                let known = found[at].and_then(|at| Some((at, view.segment(at.slot())?)));
                let read = |segment: &Arc<_>, at: Location, record: &Record<'_>| {
                    inner.value_of(segment, at.offset(), record, |value| sink(Ok(Some(value))))
                };
                let answer = inner.check_readable(key).and_then(|()| match known {
                    Some((at, segment)) => inner.read_found(key, at, segment, &view, &mut buf, read),
                    None => inner.read_record(key, *digest, &mut buf, read),
                });
                match answer.and_then(Option::transpose) {
                    Ok(Some(())) => {}
                    Ok(None) => sink(Ok(None)),
                    Err(err) => sink(Err(err)),
                }
            }
        }
        Ok(())
    }

    /// Whether `key` has a value. Reads nothing from the files unless the key may have expired, and then no value.
    ///
    /// # Errors
    /// As [`Db::get`], except that a damaged value goes unnoticed.
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        let inner = self.inner();
        inner.check_readable(key)?;
        let digest = inner.secret.digest(key);
        inner.keydir.touch(digest)?;
        match inner.keydir.get(digest) {
            Some(at) if !at.may_expire() && inner.degraded.get().is_none() => Ok(!at.is_tombstone()),
            None if inner.degraded.get().is_none() => Ok(false),
            _ => Ok(inner.see(key, digest)?.live(inner.env.now_ns()).is_some()),
        }
    }

    /// How many keys have a value, expired ones included until a merge drops them. Reads nothing.
    ///
    /// # Errors
    /// `Forked`.
    pub fn count(&self) -> Result<u64> {
        self.inner().check_process()?;
        Ok(self.inner().keydir.len())
    }
}

impl<E: Env> Inner<E> {
    #[inline]
    pub(super) fn check_readable(&self, key: &[u8]) -> Result<()> {
        self.check_process()?;
        if key.len() > MAX_KEY_LEN {
            return Err(Error::TooLarge { what: "key", size: key.len() as u64, limit: MAX_KEY_LEN as u64 });
        }
        Ok(())
    }

    /// Hands the value of a record to `read`, decompressed if need be.
    #[inline]
    pub(super) fn value_of<R>(
        &self,
        segment: &Segment<FileOf<E>>,
        offset: u64,
        record: &Record<'_>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        if !record.header.flags.has(Flags::COMPRESSED) {
            return Ok(read(record.value));
        }
        let mut raw = Scratch::take();
        self.noted(segment.decompress(&self.dictionaries, offset, record.value, &mut raw))?;
        Ok(read(&raw))
    }

    #[inline]
    fn read_record<R>(
        &self,
        key: &[u8],
        digest: Digest,
        buf: &mut Vec<u8>,
        read: impl FnOnce(&Arc<Segment<FileOf<E>>>, Location, &Record<'_>) -> R,
    ) -> Result<Option<R>> {
        let found = self.at_newest(digest, |segment, at, view| {
            segment.prefetch(at.offset(), at.max_len());
            self.read_found(key, at, segment, view, buf, read)
        })?;
        Ok(found.flatten())
    }

    /// Runs `read` on where the newest record of a key lies, with the view that it is in; `None` when there is none for
    /// all the store knows.
    #[inline]
    pub(super) fn at_newest<R>(
        &self,
        digest: Digest,
        read: impl FnOnce(&Arc<Segment<FileOf<E>>>, Location, &View<FileOf<E>>) -> Result<R>,
    ) -> Result<Option<R>> {
        self.keydir.touch(digest)?;
        let mut unknown = None;
        loop {
            let view = self.view.load();
            let Some(at) = self.keydir.get(digest) else {
                self.vouch(None, &view)?;
                return Ok(None);
            };
            if let Some(segment) = view.segment(at.slot()) {
                return read(segment, at, &view).map(Some);
            }
            // A view taken after the location was seen holds its segment, if anything does.
            if unknown.replace(at) == Some(at) {
                return Err(self.lost_segment(at));
            }
        }
    }

    /// Hands the record at `at`, where the keydir says the newest of `key` is, to `read` as it is stored.
    #[inline]
    pub(super) fn read_found<R>(
        &self,
        key: &[u8],
        at: Location,
        segment: &Arc<Segment<FileOf<E>>>,
        view: &View<FileOf<E>>,
        buf: &mut Vec<u8>,
        read: impl FnOnce(&Arc<Segment<FileOf<E>>>, Location, &Record<'_>) -> R,
    ) -> Result<Option<R>> {
        self.vouch(Some(at), view)?;
        if at.is_tombstone() {
            return Ok(None);
        }
        let record = self.read_own(key, at, segment, buf)?;
        if record.header.deadline.is_some() && record.header.is_expired(self.env.now_ns()) {
            return Ok(None);
        }
        Ok(Some(read(segment, at, &record)))
    }

    /// What a read came to. If it met damage, that is counted, and the log is told.
    #[inline]
    pub(super) fn noted<T>(&self, read: Result<T>) -> Result<T> {
        read.map_err(|err| self.met(err))
    }

    /// The record at `at`, which must be `key`'s.
    #[inline]
    pub(super) fn read_own<'a>(
        &self,
        key: &[u8],
        at: Location,
        segment: &'a Segment<FileOf<E>>,
        buf: &'a mut Vec<u8>,
    ) -> Result<Record<'a>> {
        let record = self.noted(segment.read(at.offset(), at.max_len(), buf))?;
        if record.key != key {
            return self.noted(Err(not_own(segment, at)));
        }
        Ok(record)
    }

    /// The header of the record at `at`, which must be `key`'s. The value is not looked at.
    pub(super) fn read_own_header(
        &self,
        key: &[u8],
        at: Location,
        segment: &Segment<FileOf<E>>,
    ) -> Result<RecordHeader> {
        let mut buf = Vec::new();
        let read = segment.read_header(at.offset(), at.max_len(), key.len(), &mut buf);
        let (header, its_key) = self.noted(read)?;
        if its_key != key {
            return self.noted(Err(not_own(segment, at)));
        }
        Ok(header)
    }

    #[cold]
    fn met(&self, err: Error) -> Error {
        self.health.tell_damage(&err);
        if matches!(err, Error::Corrupt { .. }) {
            self.counters.corrupt_records.fetch_add(1, Ordering::Relaxed);
        }
        err
    }

    #[cold]
    fn lost_segment(&self, at: Location) -> Error {
        Error::corrupt(&self.path, at.offset(), "the index points to a segment that is not there")
    }

    /// An error when the store cannot vouch for what the keydir says of a key: in a degraded store, when the newest
    /// record it knows is older than the damage.
    #[inline]
    pub(super) fn vouch(&self, newest: Option<Location>, view: &View<FileOf<E>>) -> Result<()> {
        match self.degraded.get() {
            None => Ok(()),
            Some(degraded) => self.vouch_degraded(degraded, newest, view),
        }
    }

    #[cold]
    fn vouch_degraded(
        &self,
        degraded: &Degraded,
        newest: Option<Location>,
        view: &View<FileOf<E>>,
    ) -> Result<()> {
        if newest.and_then(|at| view.position(at)).is_some_and(|position| position > degraded.at) {
            return Ok(());
        }
        Err(Error::corrupt(&self.path, 0, format!("the store is degraded: {}", degraded.reason)))
    }
}

#[cold]
fn not_own<F: File>(segment: &Segment<F>, at: Location) -> Error {
    segment.damaged(at.offset(), "the record is another key's")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::Sim;
    use crate::options::Options;
    use std::path::Path;

    const DIR: &str = "/store";

    fn store() -> (Sim, Db<Sim>) {
        let sim = Sim::new(1);
        sim.make_dirs(DIR);
        let db = Db::open(sim.clone(), Path::new(DIR), &Options::default()).unwrap();
        (sim, db)
    }

    fn location(db: &Db<Sim>, key: &[u8]) -> Location {
        db.inner().keydir.get(db.inner().secret.digest(key)).unwrap()
    }

    fn damage(sim: &Sim, at: Location) {
        let (name, _) = sim.files(DIR).into_iter().find(|(name, _)| name.ends_with(".data")).unwrap();
        sim.corrupt(DIR, &name, at.offset(), 1);
    }

    #[test]
    fn every_read_that_meets_damage_is_counted() {
        let (sim, db) = store();
        db.put(b"a", b"1").unwrap();
        damage(&sim, location(&db, b"a"));
        for met in 1..=3 {
            assert!(matches!(db.get(b"a", |_| ()), Err(Error::Corrupt { .. })));
            assert_eq!(db.stats().unwrap().corrupt_records, met);
        }
    }

    #[test]
    fn a_record_of_another_key_is_counted_as_damage() {
        let (_sim, db) = store();
        db.put(b"a", b"1").unwrap();
        db.put(b"b", b"2").unwrap();
        db.inner().keydir.insert(db.inner().secret.digest(b"b"), location(&db, b"a"));
        assert!(matches!(db.get(b"b", |_| ()), Err(Error::Corrupt { .. })));
        assert_eq!(db.stats().unwrap().corrupt_records, 1);
    }

    #[test]
    fn a_key_whose_record_is_damaged_can_be_deleted_whether_or_not_it_may_have_expired() {
        for expiring in [false, true] {
            let (sim, db) = store();
            db.put(b"a", b"1").unwrap();
            let at = location(&db, b"a");
            if expiring {
                db.inner().keydir.insert(db.inner().secret.digest(b"a"), at.as_expiring());
            }
            damage(&sim, at);
            assert!(db.delete(b"a").unwrap());
            assert!(!db.exists(b"a").unwrap());
        }
    }
}
