//! Reading and writing one file.

use crate::support::Scratch;
use bitcask::io::env::{Dir, File};
use bitcask::io::whole::write_all;
use std::io::IoSlice;

#[test]
fn parts_are_written_one_behind_the_other() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    let parts = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"key"), IoSlice::new(b"value")];
    assert_eq!(file.write_at(&parts, 3).unwrap(), 12);
    let mut back = [0xaa; 16];
    assert_eq!(file.read_at(&mut back, 0).unwrap(), 15);
    assert_eq!(&back, b"\0\0\0headkeyvalue\xaa");
}

#[test]
fn no_parts_and_empty_parts_write_nothing() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    for parts in [&[][..], &[IoSlice::new(b"")], &[IoSlice::new(b""), IoSlice::new(b"")]] {
        assert_eq!(file.write_at(parts, 5).unwrap(), 0);
    }
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn more_parts_than_the_kernel_takes_are_a_short_write() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    let parts = vec![IoSlice::new(b"x"); 3000];
    let written = file.write_at(&parts, 0).unwrap();
    assert_eq!(written, 1024);
    assert_eq!(file.len().unwrap(), 1024);
}

#[test]
fn a_read_at_the_end_answers_zero_and_across_it_what_is_there() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    file.write_at(&[IoSlice::new(b"0123456789")], 0).unwrap();
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 6).unwrap(), 4);
    assert_eq!(&buf[..4], b"6789");
    assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
}

#[test]
fn an_offset_past_what_the_kernel_counts_is_an_error() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    for offset in [1 << 63, u64::MAX] {
        assert!(file.read_at(&mut [0; 1], offset).is_err());
        assert!(file.write_at(&[IoSlice::new(b"x")], offset).is_err());
        assert!(file.write_at(&[IoSlice::new(b"x"), IoSlice::new(b"y")], offset).is_err());
        assert!(file.truncate(offset).is_err());
    }
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn truncate_cuts_and_extends_with_zeros() {
    let scratch = Scratch::new();
    let file = scratch.open().create("file").unwrap();
    file.write_at(&[IoSlice::new(b"abcdef")], 0).unwrap();
    file.truncate(2).unwrap();
    file.truncate(4).unwrap();
    file.sync_data().unwrap();
    let mut back = [0xaa; 8];
    assert_eq!(file.read_at(&mut back, 0).unwrap(), 4);
    assert_eq!(&back[..4], b"ab\0\0");
}

#[test]
fn a_file_opened_for_reading_refuses_writes() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("file").unwrap();
    let file = dir.open("file", false).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(b"x")], 0).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn a_link_is_another_name_of_the_same_file_and_replaces_nothing() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let (dir, other) = (scratch.open(), elsewhere.open());
    write_all(&dir.create("file").unwrap(), b"bytes", 0).unwrap();
    dir.link("file", &other, "linked").unwrap();
    write_all(&dir.open("file", true).unwrap(), b"B", 0).unwrap();
    assert_eq!(std::fs::read(elsewhere.path().join("linked")).unwrap(), b"Bytes");
    assert_eq!(dir.link("file", &other, "linked").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert!(dir.link("file", &other, "../out").is_err());
}

#[test]
fn a_range_is_copied_to_the_same_place() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    let (from, to) = (dir.create("from").unwrap(), dir.create("to").unwrap());
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    write_all(&from, &bytes, 0).unwrap();
    let (mut at, end) = (1000, 300_001);
    while at < end {
        match to.copy_range(&from, at, end - at) {
            // A file system that cannot says so, and whoever asked reads and writes.
            Err(err) if err.kind() == std::io::ErrorKind::Unsupported => return,
            copied => at += copied.unwrap(),
        }
    }
    let copy = std::fs::read(scratch.path().join("to")).unwrap();
    assert!(copy.len() == 300_001 && copy[1000..] == bytes[1000..300_001]);
}
