//! A filter over key hashes: says of a hash that it is surely absent, or may be there.
//!
//! A split-block Bloom filter (Putze, Sanders, Singler 2007; the variant of Apache Parquet and Impala): a hash picks
//! one block of 32 bytes and one bit in each of its eight words, so a question costs one cache line. The hash is the
//! first word of a key's digest, which nobody can choose without the database's secret.

use super::coding::{set_u32, u32_at};

/// Bits a key. About one absent key in a hundred is let through.
const BITS_PER_KEY: u64 = 10;
const WORDS: usize = 8;
const BLOCK_LEN: usize = WORDS * 4;
/// Odd multipliers that pick a word's bit; those of Parquet.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Length in bytes of the filter of `keys` keys.
pub fn filter_len(keys: u64) -> u64 {
    (keys * BITS_PER_KEY).div_ceil(BLOCK_LEN as u64 * 8).max(1) * BLOCK_LEN as u64
}

/// Whether `len` bytes can be a filter.
pub fn is_filter_len(len: u64) -> bool {
    len > 0 && len.is_multiple_of(BLOCK_LEN as u64) && len / (BLOCK_LEN as u64) <= u64::from(u32::MAX)
}

/// Enters `hash` in `filter`, which began as zeros.
pub fn insert(filter: &mut [u8], hash: u64) {
    let block = block_at(filter.len(), hash);
    for (word, bit) in bits(hash) {
        let at = block + word * 4;
        set_u32(filter, at, u32_at(filter, at) | bit);
    }
}

/// Whether `hash` may have been entered in `filter`; `false` is certain.
pub fn may_contain(filter: &[u8], hash: u64) -> bool {
    let block = block_at(filter.len(), hash);
    bits(hash).all(|(word, bit)| u32_at(filter, block + word * 4) & bit != 0)
}

/// Where the hash's block begins: its high half, scaled to the number of blocks.
fn block_at(filter_len: usize, hash: u64) -> usize {
    let blocks = (filter_len / BLOCK_LEN) as u64;
    (((hash >> 32) * blocks) >> 32) as usize * BLOCK_LEN
}

/// For each word of the block, the bit that the hash's low half picks.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn bits(hash: u64) -> impl Iterator<Item = (usize, u32)> {
    let low = hash as u32;
    SALTS.into_iter().map(move |salt| 1 << (low.wrapping_mul(salt) >> 27)).enumerate()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes as even as digests are.
    fn hash(n: u64) -> u64 {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn filter_of(keys: u64) -> Vec<u8> {
        let mut filter = vec![0; usize::try_from(filter_len(keys)).unwrap()];
        (0..keys).for_each(|n| insert(&mut filter, hash(n)));
        filter
    }

    #[test]
    fn a_key_that_was_entered_is_never_ruled_out() {
        for keys in [0, 1, 25, 26, 1000, 100_000] {
            let filter = filter_of(keys);
            assert!((0..keys).all(|n| may_contain(&filter, hash(n))), "{keys} keys");
        }
    }

    #[test]
    fn about_one_absent_key_in_a_hundred_is_let_through() {
        let filter = filter_of(50_000);
        let passed = (50_000..250_000).filter(|&n| may_contain(&filter, hash(n))).count();
        assert!(passed < 200_000 / 66, "{passed} of 200,000");
    }

    #[test]
    fn an_empty_filter_rules_everything_out() {
        let filter = filter_of(0);
        assert_eq!(filter.len(), BLOCK_LEN);
        assert!((0..1000).all(|n| !may_contain(&filter, hash(n))));
    }

    #[test]
    fn only_whole_blocks_are_a_filter() {
        assert!(is_filter_len(32) && is_filter_len(filter_len(1_000_000)));
        assert!(!is_filter_len(0) && !is_filter_len(33) && !is_filter_len(1 << 38));
    }
}
