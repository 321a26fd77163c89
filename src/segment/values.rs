//! The values of records that were read: as they are stored, or decompressed.

use super::view::Segment;
use crate::error::{Error, Result};
use crate::format::compressed::{Head, Unreadable, decompress};
use crate::format::dictionary::{Dictionaries, Dictionary};
use crate::format::dictionary_record;
use crate::format::record::{Flags, RECORD_HEADER_MAX_LEN, Record, RecordHeader};
use crate::format::segment_header::SEGMENT_HEADER_LEN;
use crate::io::env::File;
use crate::sync::Arc;

/// Where a segment has its dictionary.
const DICTIONARY_AT: u64 = SEGMENT_HEADER_LEN as u64;

impl<F: File> Segment<F> {
    /// The value of the record at `offset`, of which `stored` is compressed, into `out`. If it takes the segment's
    /// dictionary, that is kept in memory as long as the segment, one of `dictionaries`.
    ///
    /// # Errors
    /// `Corrupt` when the stored value is none, or the dictionary is damaged; `NoMemory`, `Io`.
    pub fn decompress(
        &self,
        dictionaries: &Dictionaries,
        offset: u64,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let head = Head::decode(stored).ok_or_else(|| self.not_decompressed(offset))?;
        let dictionary = match head.dictionary {
            0 => None,
            _ => Some(self.dictionary(dictionaries)?.ok_or_else(|| self.not_decompressed(offset))?),
        };
        decompress(stored, dictionary.map(|dictionary| &**dictionary), out).map_err(|unreadable| {
            match unreadable {
                Unreadable::Damaged => self.not_decompressed(offset),
                Unreadable::NoMemory(bytes) => Error::NoMemory { bytes },
            }
        })
    }

    /// The segment's dictionary, if it has one.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, or what might be one; `NoMemory`, `Io`.
    pub fn dictionary(&self, dictionaries: &Dictionaries) -> Result<Option<&Arc<Dictionary>>> {
        if let Some(known) = self.known_dictionary.get() {
            return Ok(Some(known));
        }
        let Some(bytes) = self.dictionary_bytes()? else { return Ok(None) };
        let dictionary = dictionaries.get(&bytes).ok_or_else(|| self.no_dictionary())?;
        Ok(Some(self.known_dictionary.get_or_init(|| dictionary)))
    }

    /// The bytes of the segment's dictionary, if it has one.
    ///
    /// # Errors
    /// As [`Segment::dictionary`].
    pub fn dictionary_bytes(&self) -> Result<Option<Vec<u8>>> {
        if self.readable_len() <= DICTIONARY_AT {
            return Ok(None);
        }
        let (mut buf, len) = (Vec::new(), RECORD_HEADER_MAX_LEN as u64);
        let first = RecordHeader::decode(self.read_some(DICTIONARY_AT, len, len, &mut buf)?);
        if first.is_some_and(|header| !header.flags.has(Flags::INTERNAL)) {
            return Ok(None);
        }
        let record = self.read(DICTIONARY_AT, dictionary_record::MAX_RECORD_LEN, &mut buf)?;
        match dictionary_record::decode(record.value).transpose() {
            Ok(bytes) => Ok(bytes),
            Err(Unreadable::Damaged) => Err(self.no_dictionary()),
            Err(Unreadable::NoMemory(bytes)) => Err(Error::NoMemory { bytes }),
        }
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
    fn no_dictionary(&self) -> Error {
        self.damaged(DICTIONARY_AT, "the dictionary cannot be used")
    }

    #[cold]
    fn not_decompressed(&self, offset: u64) -> Error {
        self.damaged(offset, "the value cannot be decompressed")
    }
}
