//! Compressed values: what comes out is what went in, and hostile bytes cost no more than they say.

use super::*;
use crate::io::sim::Rng;

const LZ4_HOW: Compression = Compression { codec: Codec::Lz4, min_bytes: 0, level: 3, dictionary_level: 3 };
const ZSTD_HOW: Compression = Compression { codec: Codec::Zstd, min_bytes: 0, level: 3, dictionary_level: 3 };

fn compress(how: &Compression, raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![7; 3];
    let pays = with_compressor(|compressor| compressor.compress(how, raw, &mut out));
    assert_eq!(out[..3], [7; 3], "what was there stays");
    assert!(pays || out.len() == 3);
    pays.then(|| out.split_off(3))
}

fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("line {n} of a text; ").into_bytes()).take(len).collect()
}

#[test]
fn what_comes_out_is_what_went_in() {
    let mut out = Vec::new();
    for len in [100, 1000, 65_534, 65_535, 65_536, 1 << 20, 5 << 20] {
        for how in [LZ4_HOW, ZSTD_HOW, Compression { level: 7, ..ZSTD_HOW }] {
            let raw = text(len);
            let stored = compress(&how, &raw).expect("text pays");
            let head = Head { codec: how.codec, dictionary: 0, raw_len: u32::try_from(len).unwrap() };
            assert_eq!(Head::decode(&stored), Some(head));
            assert!(stored.len() < len);
            decompress(&stored, None, &mut out).unwrap();
            assert!(out == raw, "{how:?} of {len}");
        }
    }
}

#[test]
fn what_does_not_pay_is_left_alone() {
    let mut rng = Rng::derive(&[1]);
    let noise: Vec<u8> = (0..100_000).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    for how in [LZ4_HOW, ZSTD_HOW] {
        for len in [0, 1, 8, 9, 30, 1000, 100_000] {
            assert_eq!(compress(&how, &noise[..len]), None, "{how:?} of {len}");
        }
        let raw = text(1000);
        assert_eq!(compress(&Compression { min_bytes: 1001, ..how }, &raw), None);
        assert!(compress(&Compression { min_bytes: 1000, ..how }, &raw).is_some());
    }
}

#[test]
fn a_head_that_no_compressor_wrote_is_refused() {
    let mut out = Vec::new();
    for how in [LZ4_HOW, ZSTD_HOW] {
        let good = compress(&how, &text(1000)).unwrap();
        for (at, byte) in [(0, 0), (0, 3), (2, 1), (3, 1), (4, good[4] ^ 1), (7, 0xff)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(decompress(&bad, None, &mut out), Err(Unreadable::Damaged), "{how:?} {at}");
        }
        for len in 0..good.len() {
            assert_eq!(decompress(&good[..len], None, &mut out), Err(Unreadable::Damaged), "{how:?} {len}");
        }
    }
    let mut lz4_with_dictionary = compress(&LZ4_HOW, &text(1000)).unwrap();
    lz4_with_dictionary[1] = 1;
    assert_eq!(Head::decode(&lz4_with_dictionary), None);
}

#[test]
fn a_length_that_so_few_bytes_cannot_come_to_allocates_nothing() {
    for codec in [1, 2] {
        let mut bomb = vec![0; 1000];
        (bomb[0], bomb[1]) = (codec, 0);
        bomb[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut out = Vec::new();
        assert_eq!(decompress(&bomb, None, &mut out), Err(Unreadable::Damaged));
        assert_eq!(out.capacity(), 0);
    }
}

#[test]
fn more_or_less_than_the_stated_length_is_damage() {
    let mut out = Vec::new();
    for how in [LZ4_HOW, ZSTD_HOW] {
        let good = compress(&how, &text(1000)).unwrap();
        for raw_len in [0u32, 1, 999, 1001, 2000] {
            let mut lying = good.clone();
            lying[4..8].copy_from_slice(&raw_len.to_le_bytes());
            assert_eq!(decompress(&lying, None, &mut out), Err(Unreadable::Damaged), "{how:?} {raw_len}");
            assert!(out.capacity() <= 2000);
        }
    }
}

#[test]
fn a_frame_with_a_huge_window_needs_no_memory_for_it() {
    // Frame header: no content size, no checksum; a window of 2^41 bytes, then one raw block of 3 bytes, the last.
    let mut stored = Head { codec: Codec::Zstd, dictionary: 0, raw_len: 3 }.encode().to_vec();
    stored.extend_from_slice(&[0x00, 0xf8, 0x19, 0x00, 0x00, b'a', b'b', b'c']);
    let mut out = Vec::new();
    assert_eq!(decompress(&stored, None, &mut out), Err(Unreadable::Damaged));
    // One that the codec allows, of 2 GiB.
    stored[HEAD_LEN + 1] = 21 << 3;
    decompress(&stored, None, &mut out).unwrap();
    assert_eq!(out, b"abc");
    let held = with_decoder(|decoder| decoder.sizeof()).unwrap();
    assert!(held < 200_000, "{held}");
}

#[test]
fn a_thread_keeps_little_between_calls() {
    let raw = text(2 << 20);
    for level in [3, 19] {
        assert!(compress(&Compression { level, ..ZSTD_HOW }, &raw).is_some());
        let held = with_compressor(|compressor| compressor.zstd.as_ref().map_or(0, |zstd| zstd.sizeof()));
        assert!(held <= KEPT_BYTES, "{held}");
    }
    let mut scratch = Scratch::take();
    scratch.reserve(4 * KEPT_BYTES);
    drop(scratch);
    assert!(Scratch::take().capacity() <= KEPT_BYTES);
}

#[test]
fn a_buffer_in_use_is_not_handed_out_again() {
    let mut first = Scratch::take();
    first.extend_from_slice(b"first");
    let mut second = Scratch::take();
    second.extend_from_slice(b"second");
    assert!(first.ends_with(b"first"));
}
