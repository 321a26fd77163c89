//! Compressed values and dictionaries: whatever the bytes, what comes out is as long as they say.

use bitcask::format::compressed::{Head, decompress};
use bitcask::format::dictionary::{Dictionaries, Dictionary};
use bitcask::format::dictionary_record::{self, MAX_LEN};

/// Three bytes may say that they come to 128 KiB.
const MOST: usize = 300;

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(MOST)];
    match mode % 3 {
        0 => check_value(rest, None),
        1 => {
            let Some(Ok(bytes)) = dictionary_record::decode(rest) else { return };
            assert!(bytes.len() <= MAX_LEN, "a dictionary of {} bytes", bytes.len());
            drop(Dictionaries::default().get(&bytes));
        }
        _ => {
            let Some((&len, rest)) = rest.split_first() else { return };
            let Some((bytes, stored)) = rest.split_at_checked(usize::from(len)) else { return };
            if let Some(dictionary) = Dictionaries::default().get(bytes) {
                check_value(stored, Some(&dictionary));
            }
        }
    }
}

fn check_value(stored: &[u8], dictionary: Option<&Dictionary>) {
    let mut out = b"what was there before".to_vec();
    if decompress(stored, dictionary, &mut out).is_ok() {
        let head = Head::decode(stored).expect("a head");
        assert_eq!(out.len(), head.raw_len as usize);
        assert_eq!(head.dictionary != 0, dictionary.is_some());
    }
}
