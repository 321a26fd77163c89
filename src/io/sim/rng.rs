//! The simulator's randomness: a small generator that a `u64` seeds and that never changes its answers.
//!
//! SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with the
//! constants of Vigna's public-domain `splitmix64.c`. It is not for secrets, only for replayable choices.

/// The golden-ratio increment of SplitMix64.
const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of numbers determined by its seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// A stream for one purpose out of several numbers, so that neighbouring seeds give unrelated streams.
    pub fn derive(parts: &[u64]) -> Self {
        let mut rng = Rng(0);
        for part in parts {
            rng = Rng(rng.next_u64() ^ part);
        }
        Rng(rng.next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. The modulo's bias is far below what a test could notice.
    pub fn below(&mut self, bound: usize) -> usize {
        // The remainder is below a `usize`, so the conversion cannot fail.
        usize::try_from(self.next_u64() % bound as u64).unwrap_or(0)
    }

    /// True in `numerator` of `denominator` draws.
    pub fn chance(&mut self, numerator: usize, denominator: usize) -> bool {
        self.below(denominator) < numerator
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_published_generator() {
        let mut rng = Rng::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn derived_streams_differ_by_every_part() {
        let first = |parts: &[u64]| Rng::derive(parts).next_u64();
        assert_ne!(first(&[1, 2]), first(&[1, 3]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
    }
}
