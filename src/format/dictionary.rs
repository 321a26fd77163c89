//! The dictionary of a segment in memory: what the values compressed with it have in common.
//!
//! A dictionary may be made of any bytes: forged ones make other values of what is decompressed, or none.

use crate::sync::{Arc, Mutex, Weak};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use zstd_safe::DDict;

/// The number that compressed values know a segment's dictionary by.
pub const NUMBER: u8 = 1;

/// A dictionary, prepared for decompression.
pub struct Dictionary {
    digested: DDict<'static>,
    hash: u128,
}

impl Dictionary {
    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        self.digested.sizeof() as u64
    }

    pub(super) fn digested(&self) -> &DDict<'static> {
        &self.digested
    }
}

/// The dictionaries that the segments of a store have in memory, each once.
#[derive(Default)]
pub struct Dictionaries(Mutex<Vec<Weak<Dictionary>>>);

impl Dictionaries {
    /// The dictionary made of `bytes`; `None` when none can look so, or there is no memory for it.
    pub fn get(&self, bytes: &[u8]) -> Option<Arc<Dictionary>> {
        let hash = hash_of(bytes);
        let mut in_use = self.0.lock();
        in_use.retain(|dictionary| dictionary.strong_count() > 0);
        if let Some(known) = in_use.iter().filter_map(Weak::upgrade).find(|known| known.hash == hash) {
            return Some(known);
        }
        let dictionary = Arc::new(Dictionary { digested: DDict::try_create(bytes)?, hash });
        in_use.push(Arc::downgrade(&dictionary));
        Some(dictionary)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> u64 {
        self.0.lock().iter().filter_map(Weak::upgrade).map(|dictionary| dictionary.memory_bytes()).sum()
    }
}

/// The key is no secret: whoever can forge a dictionary can as well forge the values.
fn hash_of(bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_dictionary_is_in_memory_once_and_as_long_as_somebody_has_it() {
        let all = Dictionaries::default();
        let get = |len| all.get(&vec![b'x'; len]).expect("a dictionary");
        let (a, b, c) = (get(300), get(300), get(301));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        assert_eq!(all.memory_bytes(), a.memory_bytes() + c.memory_bytes());
        drop((a, b, c));
        assert_eq!(all.memory_bytes(), 0);
    }
}
