//! Mappings of simulated files.
//!
//! A mapping hands out references that live as long as it, while the file's bytes lie in chunks that come and go. So each
//! range that is asked for is copied, and kept. A range that the file does not hold is where a real machine raises SIGBUS:
//! here that is a panic.

use super::disk::FileId;
use super::machine::Sim;
use crate::io::env::Map;
use once_cell::sync::OnceCell;

const BUCKETS: u64 = 64;

/// A mapping of a [`SimFile`](super::SimFile).
pub struct SimMap {
    sim: Sim,
    file: FileId,
    len: u64,
    /// By the place they begin at.
    pieces: Vec<OnceCell<Box<Piece>>>,
}

/// Bytes as they were when somebody asked.
struct Piece {
    offset: u64,
    bytes: Box<[u8]>,
    next: OnceCell<Box<Piece>>,
}

impl SimMap {
    pub(super) fn new(sim: &Sim, file: FileId, len: u64) -> Self {
        SimMap { sim: sim.clone(), file, len, pieces: (0..BUCKETS).map(|_| OnceCell::new()).collect() }
    }

    fn read(&self, offset: u64, len: usize) -> Box<[u8]> {
        let mut bytes = vec![0; len];
        let count = self.sim.state().disk.files[self.file].seen.read(offset, &mut bytes);
        assert_eq!(count, len, "a mapping is read behind the file's end, at {offset}: SIGBUS");
        bytes.into()
    }
}

impl Map for SimMap {
    fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return None;
        }
        let mut new = Some(self.read(offset, len));
        let mut slot = &self.pieces[usize::try_from(offset / 8 % BUCKETS).unwrap_or(0)];
        loop {
            let piece = slot.get_or_init(|| {
                let bytes = new.take().unwrap_or_default();
                Box::new(Piece { offset, bytes, next: OnceCell::new() })
            });
            let is_it = new.as_ref().is_none_or(|new| piece.offset == offset && piece.bytes == *new);
            if is_it {
                return Some(&piece.bytes);
            }
            slot = &piece.next;
        }
    }

    fn announce(&self, _offset: u64, _len: usize) {}

    fn prefetch(&self, _offset: u64, _len: usize) {}
}
