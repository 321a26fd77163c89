//! The watermark marker: an internal record that states a position proven to be on the disk.
//!
//! It rides in front of the next append after a successful sync. Everything below the position it names was
//! acknowledged by the device, so a bad record there is corruption and never a torn tail.

use super::coding::{set_u64, u64_at};
use super::record::{Draft, Flags, RECORD_HEADER_LEN};

/// The kind byte of a marker among internal records.
pub const KIND: u8 = 1;

const AT_UID: usize = 8;
const AT_OFFSET: usize = AT_UID + 8;
const VALUE_LEN: usize = AT_OFFSET + 8;

/// Length of a marker as a record.
pub const MARKER_LEN: usize = RECORD_HEADER_LEN + VALUE_LEN;

/// A position proven durable: that segment up to that offset, and every segment before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The segment's uid.
    pub uid: u64,
    /// A batch boundary in it, in bytes from its start.
    pub offset: u64,
}

impl Watermark {
    /// The marker as a record of segment `uid` at `offset`.
    pub fn encode(self, version: u64, uid: u64, offset: u64) -> [u8; MARKER_LEN] {
        let mut out = [0; MARKER_LEN];
        let value = &mut out[RECORD_HEADER_LEN..];
        value[0] = KIND;
        set_u64(value, AT_UID, self.uid);
        set_u64(value, AT_OFFSET, self.offset);
        let draft = Draft::new(&[], value, Flags::INTERNAL, None);
        out[..RECORD_HEADER_LEN].copy_from_slice(&draft.header(version, uid, offset)[..RECORD_HEADER_LEN]);
        out
    }

    /// Reads the value of an internal record; `None` when it is of another kind.
    pub fn decode(value: &[u8]) -> Option<Self> {
        (value.len() == VALUE_LEN && value[0] == KIND)
            .then(|| Watermark { uid: u64_at(value, AT_UID), offset: u64_at(value, AT_OFFSET) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordHeader;
    use super::*;

    #[test]
    fn a_marker_is_a_valid_internal_record() {
        let watermark = Watermark { uid: 3, offset: 640 };
        let bytes = watermark.encode(9, 4, 72);
        let header = RecordHeader::decode(&bytes).expect("a header");
        assert!(header.flags.has(Flags::INTERNAL) && header.verify(&bytes, &[], 4, 72));
        assert_eq!(header.record_len(), MARKER_LEN as u64);
        assert_eq!(Watermark::decode(&bytes[header.value_at()..]), Some(watermark));
    }
}
