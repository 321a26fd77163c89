//! A file's bytes as copy-on-write chunks.
//!
//! Crash images are made by the ten thousand, and nearly all bytes of an image are those of the image before
//! it, so clones share everything and a write copies only the chunks it touches. A chunk that was never
//! written is absent and reads as zeros, which makes preallocated files free. What lies past `len` inside the
//! last chunk is always zero.

use crate::sync::Arc;

const CHUNK_BYTES: usize = 4096;

/// The longest file that can be simulated; longer ones answer `EFBIG`.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 34;

/// Offsets are checked against [`MAX_FILE_BYTES`] at the door, which every machine's `usize` that runs the
/// simulator can hold.
pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("file offsets are checked against MAX_FILE_BYTES")
}

type Chunk = [u8; CHUNK_BYTES];

/// The bytes of one file.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    chunks: Arc<Vec<Option<Arc<Chunk>>>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies from `offset` on and says how much there was.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        if offset >= self.len {
            return 0;
        }
        let count = buf.len().min(index(self.len - offset));
        let (mut at, mut rest) = (index(offset), &mut buf[..count]);
        while !rest.is_empty() {
            let within = at % CHUNK_BYTES;
            let step = rest.len().min(CHUNK_BYTES - within);
            let (now, later) = rest.split_at_mut(step);
            match self.chunks.get(at / CHUNK_BYTES) {
                Some(Some(chunk)) => now.copy_from_slice(&chunk[within..within + step]),
                _ => now.fill(0),
            }
            (at, rest) = (at + step, later);
        }
        count
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        self.len = self.len.max(end);
        let chunks = Arc::make_mut(&mut self.chunks);
        let needed = index(end).div_ceil(CHUNK_BYTES);
        if chunks.len() < needed {
            chunks.resize(needed, None);
        }
        let (mut at, mut rest) = (index(offset), data);
        while !rest.is_empty() {
            let within = at % CHUNK_BYTES;
            let step = rest.len().min(CHUNK_BYTES - within);
            let (now, later) = rest.split_at(step);
            let chunk = chunks[at / CHUNK_BYTES].get_or_insert_with(|| Arc::new([0; CHUNK_BYTES]));
            Arc::make_mut(chunk)[within..within + step].copy_from_slice(now);
            (at, rest) = (at + step, later);
        }
    }

    /// Cuts, or extends with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let kept = index(len).div_ceil(CHUNK_BYTES);
            let within = index(len) % CHUNK_BYTES;
            let chunks = Arc::make_mut(&mut self.chunks);
            chunks.truncate(kept);
            if within != 0
                && let Some(Some(chunk)) = chunks.get_mut(kept - 1)
            {
                Arc::make_mut(chunk)[within..].fill(0);
            }
        }
        self.len = len;
    }

    /// Extends with zeros to at least `len`.
    pub(super) fn extend_to(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Flips the bits of `xor` in the byte at `offset`, when there is one.
    pub(super) fn flip(&mut self, offset: u64, xor: u8) {
        let mut byte = [0];
        if self.read(offset, &mut byte) == 1 {
            self.write(offset, &[byte[0] ^ xor]);
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.len)];
        self.read(0, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::rng::Rng;

    #[test]
    fn behaves_as_a_vector_of_bytes() {
        let mut rng = Rng::new(7);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for _ in 0..2000 {
            let offset = rng.below(3 * CHUNK_BYTES);
            if rng.chance(1, 4) {
                content.set_len(offset as u64);
                model.resize(offset, 0);
            } else {
                let mut data = vec![0; rng.below(CHUNK_BYTES + 100)];
                rng.fill(&mut data);
                content.write(offset as u64, &data);
                if !data.is_empty() && model.len() < offset + data.len() {
                    model.resize(offset + data.len(), 0);
                }
                if !data.is_empty() {
                    model[offset..offset + data.len()].copy_from_slice(&data);
                }
            }
            assert_eq!(content.to_vec(), model);
        }
    }

    #[test]
    fn a_clone_keeps_its_bytes_when_the_original_is_written() {
        let mut original = Content::default();
        original.write(0, b"before");
        let clone = original.clone();
        original.write(0, b"after!");
        original.set_len(3);
        assert_eq!(clone.to_vec(), b"before");
    }
}
