//! The dictionary of a segment on disk: what the values compressed with it have in common, stored once.
//!
//! It is the first record of a segment that a merge wrote, an internal one, and serves that segment alone. No more memory
//! is taken for what is read than [`MAX_LEN`] says.

use super::coding::{set_u32, u32_at};
use super::compressed::{Unreadable, deflate, inflate};
use super::dictionary::NUMBER;
use super::record::{Draft, Flags, RECORD_HEADER_LEN};
use zstd_safe::train_from_buffer;

/// The kind byte of a dictionary among internal records.
pub const KIND: u8 = 2;
/// The longest dictionary in bytes.
pub const MAX_LEN: usize = 128 << 10;
/// The longest record of a dictionary, in bytes.
pub const MAX_RECORD_LEN: u64 = (RECORD_HEADER_LEN + AT_BYTES + MAX_LEN + FRAME_OVERHEAD) as u64;

const AT_NUMBER: usize = 1;
const AT_RESERVED: usize = AT_NUMBER + 1;
const AT_RAW_LEN: usize = AT_RESERVED + 2;
const AT_BYTES: usize = AT_RAW_LEN + 4;

/// More than a frame adds to what cannot be compressed.
const FRAME_OVERHEAD: usize = 1 << 10;
/// Dictionaries are written once and compressed as far as it goes.
const LEVEL: i32 = 19;

/// A dictionary as a record of segment `uid` at `offset`; `None` when it is too long or there is no memory for it.
pub fn encode(bytes: &[u8], version: u64, uid: u64, offset: u64) -> Option<Vec<u8>> {
    let raw_len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_LEN)?;
    let mut value = vec![0; AT_BYTES];
    (value[0], value[AT_NUMBER]) = (KIND, NUMBER);
    set_u32(&mut value, AT_RAW_LEN, raw_len);
    deflate(bytes, LEVEL, &mut value)?;
    let draft = Draft::new(&[], &value, Flags::INTERNAL, None);
    let mut out = draft.header(version, uid, offset)[..RECORD_HEADER_LEN].to_vec();
    out.extend_from_slice(&value);
    out.resize(out.len() + draft.padding(), 0);
    Some(out)
}

/// The bytes of a dictionary out of the value of an internal record; `None` when that is of another kind.
///
/// # Errors
/// What cannot be a dictionary is [`Unreadable`].
pub fn decode(value: &[u8]) -> Option<Result<Vec<u8>, Unreadable>> {
    (value.first() == Some(&KIND)).then(|| {
        if value.len() < AT_BYTES || value[AT_NUMBER] != NUMBER || value[AT_RESERVED..AT_RAW_LEN] != [0; 2] {
            return Err(Unreadable::Damaged);
        }
        let len = usize::try_from(u32_at(value, AT_RAW_LEN)).ok().filter(|&len| len <= MAX_LEN);
        let mut bytes = Vec::new();
        inflate(&value[AT_BYTES..], len.ok_or(Unreadable::Damaged)?, &mut bytes)?;
        Ok(bytes)
    })
}

/// A dictionary of at most `most` bytes for values like the samples that lie back to back in `samples`, each of one of
/// `lens`; `None` when nothing comes of it. The same samples make the same dictionary.
pub fn train(samples: &[u8], lens: &[usize], most: usize) -> Option<Vec<u8>> {
    let mut dictionary = Vec::new();
    dictionary.try_reserve_exact(most).ok()?;
    dictionary.resize(most, 0);
    let len = train_from_buffer(&mut dictionary[..], samples, lens).ok()?;
    dictionary.truncate(len);
    Some(dictionary)
}

#[cfg(test)]
mod tests {
    use super::super::checksum::crc32c;
    use super::super::record::RecordHeader;
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| b"some words that are often there, "[at * at / 7 % 33]).collect()
    }

    #[test]
    fn a_dictionary_is_read_as_it_was_written() {
        for len in [0, 1, 300, MAX_LEN] {
            let bytes = text(len);
            let record = encode(&bytes, 9, 4, 72).expect("a record");
            let header = RecordHeader::decode(&record).expect("a header");
            assert!(header.flags.has(Flags::INTERNAL) && header.verify(&record, &[], 4, 72));
            assert_eq!(header.record_len(), record.len() as u64);
            assert!(header.record_len() <= MAX_RECORD_LEN);
            let value = &record[header.value_at()..header.value_at() + header.value_len as usize];
            assert_eq!(decode(value), Some(Ok(bytes)));
        }
        assert_eq!(encode(&text(MAX_LEN + 1), 9, 4, 72), None);
        let noise: Vec<u8> =
            (0..MAX_LEN as u64).flat_map(|n| crc32c(&n.to_le_bytes()).to_le_bytes()).collect();
        let longest = encode(&noise[..MAX_LEN], 9, 4, 72).expect("a record");
        assert!((MAX_LEN as u64..=MAX_RECORD_LEN).contains(&(longest.len() as u64)));
    }

    #[test]
    fn what_is_no_dictionary_is_told_from_what_is_another_kind() {
        let record = encode(&text(300), 9, 4, 72).expect("a record");
        let value = &record[RECORD_HEADER_LEN..];
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[1; 24]), None);
        for at in [1, 2, 3, 4, 6, 7] {
            let mut forged = value.to_vec();
            forged[at] ^= 4;
            assert_eq!(decode(&forged), Some(Err(Unreadable::Damaged)), "byte {at}");
        }
        assert_eq!(decode(&value[..AT_BYTES - 1]), Some(Err(Unreadable::Damaged)));
    }
}
