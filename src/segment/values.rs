//! The values of records that were read: as they are stored, or decompressed.

use super::view::Segment;
use crate::error::{Error, Result};
use crate::format::compressed::{Head, Unreadable, decompress};
use crate::format::record::{Flags, Record};
use crate::io::env::File;

impl<F: File> Segment<F> {
    /// The value of the record at `offset`, whose stored value is compressed, into `out`.
    ///
    /// # Errors
    /// `Corrupt` when the stored value is none; `NoMemory`.
    pub fn decompress(&self, offset: u64, record: &Record<'_>, out: &mut Vec<u8>) -> Result<()> {
        decompress(record.value, None, out).map_err(|unreadable| match unreadable {
            Unreadable::Damaged => self.not_decompressed(offset),
            Unreadable::NoMemory(bytes) => Error::NoMemory { bytes },
        })
    }

    /// How long the value of the record at `offset` is, without a look at it.
    ///
    /// # Errors
    /// `Corrupt` when no compressed value begins like it.
    #[inline]
    pub fn raw_len(&self, offset: u64, record: &Record<'_>) -> Result<u64> {
        if !record.header.flags.has(Flags::COMPRESSED) {
            return Ok(record.value.len() as u64);
        }
        let head = Head::decode(record.value).ok_or_else(|| self.not_decompressed(offset))?;
        Ok(u64::from(head.raw_len))
    }

    #[cold]
    fn not_decompressed(&self, offset: u64) -> Error {
        self.damaged(offset, "the value cannot be decompressed")
    }
}
