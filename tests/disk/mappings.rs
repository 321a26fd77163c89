//! Mapped bytes.

use crate::support::Scratch;
use bitcask::io::disk::{DiskFile, DiskMap};
use bitcask::io::env::{Dir, File, Map};
use std::io::IoSlice;

const RESERVED: u64 = 1 << 20;

fn file_and_map(scratch: &Scratch, len: u64) -> (DiskFile, DiskMap) {
    let file = scratch.open().create("file").unwrap();
    file.write_at(&[IoSlice::new(b"first")], 0).unwrap();
    let map = file.map(len).unwrap().expect("64-bit targets map");
    (file, map)
}

#[test]
fn bytes_appended_later_appear_in_the_mapping() {
    let scratch = Scratch::new();
    let (file, map) = file_and_map(&scratch, RESERVED);
    assert_eq!(map.bytes(0, 5).unwrap(), b"first");
    for offset in [5, 4093, 700_000] {
        file.write_at(&[IoSlice::new(b"sec"), IoSlice::new(b"ond")], offset).unwrap();
        assert_eq!(map.bytes(offset, 6).unwrap(), b"second");
    }
    assert_eq!(map.bytes(0, 5).unwrap(), b"first");
}

#[test]
fn a_range_that_leaves_the_mapping_is_none() {
    let scratch = Scratch::new();
    let (file, map) = file_and_map(&scratch, RESERVED);
    file.truncate(RESERVED + 4096).unwrap();
    assert!(map.bytes(RESERVED - 1, 1).is_some());
    assert!(map.bytes(RESERVED, 0).is_some());
    assert!(map.bytes(RESERVED - 1, 2).is_none());
    assert!(map.bytes(RESERVED, 1).is_none());
    assert!(map.bytes(RESERVED + 1, 0).is_none());
    assert!(map.bytes(u64::MAX, 1).is_none());
    assert!(map.bytes(1, usize::MAX).is_none());
    assert!(map.bytes(u64::MAX, usize::MAX).is_none());
}

#[test]
fn an_empty_mapping_holds_only_empty_ranges() {
    let scratch = Scratch::new();
    let (_file, map) = file_and_map(&scratch, 0);
    assert_eq!(map.bytes(0, 0).unwrap(), b"");
    assert!(map.bytes(0, 1).is_none());
    map.prefetch(0, 1);
}

#[test]
fn prefetching_never_faults_where_there_is_no_file() {
    let scratch = Scratch::new();
    let (_file, map) = file_and_map(&scratch, RESERVED);
    for offset in [0, 4096, RESERVED - 1, RESERVED, u64::MAX] {
        map.prefetch(offset, 1);
        map.announce(offset, 64 << 10);
    }
}

#[test]
fn a_mapping_outlives_its_descriptor_and_its_name() {
    let scratch = Scratch::new();
    let (file, map) = file_and_map(&scratch, RESERVED);
    drop(file);
    scratch.open().remove("file").unwrap();
    assert_eq!(map.bytes(0, 5).unwrap(), b"first");
}

#[test]
fn an_absurd_length_is_an_error() {
    let scratch = Scratch::new();
    let (file, _map) = file_and_map(&scratch, RESERVED);
    assert!(file.map(u64::MAX).is_err());
    assert!(file.map(1 << 62).is_err());
}

#[test]
fn a_large_range_is_whole_at_any_alignment_up_to_the_mappings_end() {
    let scratch = Scratch::new();
    let (file, map) = file_and_map(&scratch, RESERVED);
    let bytes: Vec<u8> = (0..=250).cycle().take(200_000).collect();
    for offset in [1, 4096, RESERVED - 200_000] {
        file.write_at(&[IoSlice::new(&bytes)], offset).unwrap();
        assert!(map.bytes(offset, bytes.len()).unwrap() == bytes, "at {offset}");
    }
    assert!(map.bytes(RESERVED - 199_999, bytes.len()).is_none());
}
