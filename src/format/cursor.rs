//! The cursor of a feed: a history and a position in its log, for a caller to keep.

use super::checksum::crc32c;
use super::coding::{Id128, set_u32, set_u64, u32_at, u64_at};
use super::record::RECORD_ALIGN;
use super::segment_header::SEGMENT_HEADER_LEN;

const MAGIC: [u8; 8] = *b"\x89bitcur\n";
const FORMAT: u32 = 1;

const AT_FORMAT: usize = MAGIC.len();
const AT_HISTORY: usize = AT_FORMAT + 4;
const AT_UID: usize = AT_HISTORY + 16;
const AT_OFFSET: usize = AT_UID + 8;
const AT_CRC: usize = AT_OFFSET + 8;

/// Length of a cursor in bytes.
pub const CURSOR_LEN: usize = AT_CRC + 4;

/// A position in a log, on a batch boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The history that it is a position of.
    pub history: Id128,
    /// The segment that it is in or at the end of; 0 before the first.
    pub uid: u64,
    /// How much of that segment lies before it, in bytes; 0 before the first.
    pub offset: u64,
}

impl Cursor {
    /// The cursor's bytes.
    pub fn encode(&self) -> [u8; CURSOR_LEN] {
        let mut out = [0; CURSOR_LEN];
        out[..MAGIC.len()].copy_from_slice(&MAGIC);
        set_u32(&mut out, AT_FORMAT, FORMAT);
        out[AT_HISTORY..AT_UID].copy_from_slice(&self.history.0);
        set_u64(&mut out, AT_UID, self.uid);
        set_u64(&mut out, AT_OFFSET, self.offset);
        let crc = crc32c(&out[..AT_CRC]);
        set_u32(&mut out, AT_CRC, crc);
        out
    }

    /// Reads a cursor; `None` when the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == CURSOR_LEN
            && bytes[..MAGIC.len()] == MAGIC
            && crc32c(&bytes[..AT_CRC]) == u32_at(bytes, AT_CRC)
            && u32_at(bytes, AT_FORMAT) == FORMAT;
        if !whole {
            return None;
        }
        let mut history = [0; 16];
        history.copy_from_slice(&bytes[AT_HISTORY..AT_UID]);
        let (uid, offset) = (u64_at(bytes, AT_UID), u64_at(bytes, AT_OFFSET));
        let can_be = match uid {
            0 => offset == 0,
            _ => offset >= SEGMENT_HEADER_LEN as u64 && offset.is_multiple_of(RECORD_ALIGN),
        };
        can_be.then_some(Cursor { history: Id128(history), uid, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: Cursor = Cursor { history: Id128([9; 16]), uid: 77, offset: 640 };

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for cursor in [CURSOR, Cursor { uid: 0, offset: 0, ..CURSOR }] {
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_what_no_log_has_is_refused() {
        let whole = CURSOR.encode();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cursor::decode(&bytes), None, "bit {bit}");
        }
        for len in 0..whole.len() {
            assert_eq!(Cursor::decode(&whole[..len]), None, "{len} bytes");
        }
        for (uid, offset) in [(0, 8), (77, 0), (77, 64), (77, 641)] {
            assert_eq!(Cursor::decode(&Cursor { uid, offset, ..CURSOR }.encode()), None, "{uid} {offset}");
        }
    }
}
