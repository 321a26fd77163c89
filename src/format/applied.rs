//! The record that begins a batch of another store's changes: an internal record with the cursor up to which they came.
//!
//! It is part of the batch, unlike a marker, which rides in front of one: changes and cursor are there together or not
//! at all. In such a batch each record has a version of its own, the one that it had in the store it comes from.

use super::record::{Draft, Flags};

/// The kind byte of such a record among internal records.
pub const KIND: u8 = 3;
/// The longest cursor in bytes.
pub const MAX_CURSOR_LEN: usize = 1024;

const AT_CURSOR: usize = 8;

/// The value of the record for `cursor`; an empty one leaves the cursor that was stored before as it is.
pub fn encode(cursor: &[u8]) -> Vec<u8> {
    let mut value = vec![0; AT_CURSOR];
    value[0] = KIND;
    value.extend_from_slice(cursor);
    value
}

/// The draft of the record with this value; the batch goes on behind it if it `is_continued`.
pub fn draft(value: &[u8], is_continued: bool) -> Draft {
    let draft = Draft::new(&[], value, Flags::INTERNAL, None);
    if is_continued { draft.continued() } else { draft }
}

/// Reads the value of an internal record; `None` when it is of another kind.
pub fn decode(value: &[u8]) -> Option<&[u8]> {
    let cursor = value.get(AT_CURSOR..)?;
    (value[0] == KIND && cursor.len() <= MAX_CURSOR_LEN).then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for cursor in [&b""[..], b"somewhere", &[7; MAX_CURSOR_LEN]] {
            assert_eq!(decode(&encode(cursor)), Some(cursor));
        }
        assert_eq!(decode(&encode(&[7; MAX_CURSOR_LEN + 1])), None);
        assert_eq!(decode(&[KIND; 7]), None);
        assert_eq!(decode(&[0; 24]), None);
    }
}
