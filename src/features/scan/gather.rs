//! Stretches of records that do not lie in the order of their keys.
//!
//! Each record is a cache miss, and mostly a page that the processor has to look up too. So the entries of several are found
//! first, the records fetched from memory meanwhile, and then all of them verified.

use super::{Place, Scan, Stand};
use crate::error::Result;
use crate::format::record::Flags;
use crate::io::env::Env;
use crate::segment::lookahead::LINE_BYTES;
use crate::segment::record_walk::PlainRecord;
use crate::segment::runs::first_bytes;

/// Behind how many first lines of records come the rest of the lines: the page is looked up by then.
const LAG: usize = 3;

/// What the entry of a record says that is to be read, but for what [`PlainRecord`] has.
pub(super) struct Expected {
    /// The first bytes of its key.
    prefix: u128,
    len: u64,
}

impl<E: Env> Scan<E> {
    /// Takes the next records, as long as they are plain, into the stretch until that holds `most`. The runs then stand at
    /// the last of them, at what comes next, or nowhere.
    pub(super) fn gather(&mut self, most: usize) {
        self.key.clear();
        self.key.extend_from_slice(self.runs.entry().map_or(&[], |(_, entry)| entry.key));
        self.expected.clear();
        self.stand = Stand::Next;
        if self.find_plain(most).is_err() {
            // Met again by whoever comes there.
            self.stand = Stand::Nowhere;
        }
        for plain in self.stretch.iter().rev().take(LAG) {
            self.fetch_rest(plain);
        }
        self.verify();
    }

    fn find_plain(&mut self, most: usize) -> Result<()> {
        self.pass_key()?;
        while let Some((rank, entry)) = self.runs.entry() {
            let is_out = self.upper.as_deref().is_some_and(|upper| entry.key >= upper);
            if is_out || self.runs.walk().is_some() {
                break;
            }
            if entry.offset >= self.snapshot.end_of(rank) {
                self.advance_runs()?;
                continue;
            }
            if entry.flags.has(Flags::TOMBSTONE) {
                self.pass_key()?;
                continue;
            }
            let (len, key_len) = (entry.record_len(), u32::try_from(entry.key.len()).unwrap_or(u32::MAX));
            let is_plain = entry.deadline.is_none() && entry.flags.without(Flags::JSON) == Flags::NONE;
            if !is_plain || self.snapshot.mapped(rank, entry.offset, len).is_none() {
                break;
            }
            self.snapshot.prefetch(rank, entry.offset, 1);
            let (prefix, offset, version) = (self.runs.prefix(), entry.offset, entry.version);
            let (flags, value_len) = (entry.flags, entry.value_len);
            self.expected.push(Expected { prefix, len });
            self.stretch.push(PlainRecord { rank, offset, version, flags, key_len, value_len });
            if let Some(plain) = self.stretch.len().checked_sub(1 + LAG).and_then(|at| self.stretch.get(at)) {
                self.fetch_rest(plain);
            }
            if self.stretch.len() == most {
                self.stand = Stand::Record;
                break;
            }
            self.pass_key()?;
        }
        Ok(())
    }

    /// Has the lines of a record but the first fetched from memory.
    #[inline]
    fn fetch_rest(&self, plain: &PlainRecord) {
        let len = u64::from(plain.key_len) + u64::from(plain.value_len);
        self.snapshot.prefetch(plain.rank, plain.offset + LINE_BYTES, len.saturating_sub(LINE_BYTES / 2));
    }

    /// Cuts the stretch before the first record that is not what its entry says, or that is not in order.
    fn verify(&mut self) {
        let (mut sound, mut passed) = (0, &self.key[..]);
        let mut last_prefix = first_bytes(passed);
        for (plain, Expected { prefix, len }) in self.stretch.iter().zip(&self.expected) {
            let key = self.snapshot.plain_key(plain, *len);
            let is_next =
                |key: &&[u8]| first_bytes(key) == *prefix && (*prefix > last_prefix || *key > passed);
            let Some(key) = key.filter(is_next) else { break };
            (sound, passed, last_prefix) = (sound + 1, key, *prefix);
        }
        if sound < self.stretch.len() {
            (self.place, self.stand) = (Place::Beyond(passed.to_vec()), Stand::Nowhere);
            self.stretch.truncate(sound);
        }
    }
}
