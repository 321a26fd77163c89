//! STUB
#![allow(missing_docs)]
use super::{digest::Digest, location::Location};
use crate::Result;
use crate::sync::Mutex;
use std::collections::HashMap;
pub struct Keydir(Mutex<HashMap<Digest, Location>>);
impl Keydir {
    pub fn new(_: u64) -> Result<Self> {
        Ok(Keydir(Default::default()))
    }
    pub fn prefetch(&self, _: Digest) {}
    pub fn get(&self, d: Digest) -> Option<Location> {
        self.0.lock().get(&d).copied()
    }
    pub fn reserve(&self, _: usize) -> Result<()> {
        Ok(())
    }
    pub fn insert(&self, d: Digest, l: Location) -> Option<Location> {
        self.0.lock().insert(d, l)
    }
    pub fn remove(&self, d: Digest) -> Option<Location> {
        self.0.lock().remove(&d)
    }
    pub fn load_batch(&self, b: &[(Digest, Location)], mut f: impl FnMut(Location)) -> Result<()> {
        let mut m = self.0.lock();
        for &(d, l) in b {
            match m.get(&d) {
                Some(o) if (o.slot(), o.offset()) > (l.slot(), l.offset()) => f(l),
                _ => {
                    if let Some(o) = m.insert(d, l) {
                        f(o)
                    }
                }
            }
        }
        Ok(())
    }
    pub fn sweep_tombstones(&self) {
        self.0.lock().retain(|_, l| !l.is_tombstone())
    }
    pub fn len(&self) -> u64 {
        self.0.lock().values().filter(|l| !l.is_tombstone()).count() as u64
    }
    pub fn memory_bytes(&self) -> u64 {
        0
    }
    pub fn prepare(&self) {}
}
