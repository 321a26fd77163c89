//! CRC32C (Castagnoli, RFC 3720 appendix B.4).
//!
//! The library `crc32c` computes three parts side by side from 768 bytes on, and is what long inputs go to. For a record's
//! key, header and small value most of its time went into cutting the bytes up: with one pass over whole words, which is
//! what happens here, both checksums of a record of 140 bytes take 40 % of the time.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the processor's instruction is an intrinsic")
)]

/// From here on the library is faster.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 768;

/// The checksum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_more(0, [bytes])
}

/// The checksum of what `crc` covers followed by the bytes of all `parts`.
#[inline]
pub fn crc32c_more<const N: usize>(crc: u32, parts: [&[u8]; N]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if parts.iter().all(|part| part.len() < LONG) && is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instruction.
        return unsafe { by_words(crc, parts) };
    }
    parts.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn by_words<const N: usize>(crc: u32, parts: [&[u8]; N]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    let mut crc = u64::from(!crc);
    for mut part in parts {
        while let Some((word, rest)) = part.split_first_chunk() {
            crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
            part = rest;
        }
        // The upper half is zero after each step.
        let mut low = u32::try_from(crc).unwrap_or(0);
        if let Some((word, rest)) = part.split_first_chunk() {
            low = _mm_crc32_u32(low, u32::from_le_bytes(*word));
            part = rest;
        }
        crc = u64::from(part.iter().fold(low, |crc, byte| _mm_crc32_u8(crc, *byte)));
    }
    !u32::try_from(crc).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_castagnoli_one_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_more(crc32c(b"1234"), [b"56789"]), 0xe306_9283);
    }

    #[test]
    fn bytes_of_every_length_and_alignment_have_the_checksum_that_the_library_finds() {
        let bytes: Vec<u8> = (0..900u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[0]).collect();
        for start in 0..9 {
            for end in start..bytes.len() {
                let (head, tail) = bytes[start..end].split_at((end - start) / 3);
                let whole = crc32c::crc32c(&bytes[start..end]);
                let [more, parts] = [crc32c_more(crc32c(head), [tail]), crc32c_more(0, [head, tail])];
                assert_eq!((crc32c(&bytes[start..end]), more, parts), (whole, whole, whole));
            }
        }
    }
}
