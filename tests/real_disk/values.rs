//! Values of any size, read in every way.

use crate::skipped::skipped;
use crate::support::Scratch;
use crate::{open, small_segments};
use bitcask::Error;
use bitcask::features::batch::Batch;
use bitcask::format::checksum::crc32c;
use bitcask::io::sim::Rng;
use bitcask::options::{IoMode, Options};
use std::fs::File;

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn mapped_and_fetched_reads_answer_the_same() {
    let scratch = Scratch::new();
    let lens = [0, 1, 7, 8, 100, 4095, 4096, 4097, 70_000, 200_000];
    let keys: Vec<[u8; 8]> = (0..lens.len()).map(|at| at.to_le_bytes()).collect();
    let slices: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
    for io in [IoMode::Mmap, IoMode::Pread, IoMode::Auto] {
        // The first reads follow their own writes, the others an open.
        let db = open(scratch.path(), &Options { io, ..small_segments() }).expect("open");
        if io == IoMode::Mmap {
            for (key, len) in keys.iter().zip(lens) {
                db.put(key, &random(len as u64, len)).expect("put");
            }
        }
        for (key, len) in keys.iter().zip(lens) {
            let expected = random(len as u64, len);
            assert_eq!(
                db.get(key, |value| value == expected).expect("get"),
                Some(true),
                "{io:?}, {len} bytes"
            );
            let pin = db.get_pinned(key).expect("get_pinned").expect("a value");
            assert!(pin.value() == expected, "{io:?}, {len} bytes pinned");
        }
        let mut answered = 0;
        db.get_many(&slices, |at, answer| {
            let value = answer.expect("get_many").expect("a value");
            assert!(
                at == answered && value == random(lens[at] as u64, lens[at]),
                "{io:?}, {} bytes",
                lens[at]
            );
            answered += 1;
        })
        .expect("get_many");
        assert_eq!(answered, lens.len());
    }
}

#[test]
fn a_pinned_value_stays_valid_after_overwrite_close_and_removal() {
    for io in [IoMode::Mmap, IoMode::Pread] {
        let scratch = Scratch::new();
        let db = open(scratch.path(), &Options { io, ..Options::default() }).expect("open");
        db.put(b"key", &random(1, 10_000)).expect("put");
        let pin = db.get_pinned(b"key").expect("get_pinned").expect("a value");
        let address = pin.value().as_ptr();
        db.put(b"key", b"other").expect("put");
        db.close().expect("close");
        drop(scratch);
        assert!(pin.value() == random(1, 10_000), "{io:?}");
        assert_eq!(pin.value().as_ptr(), address, "{io:?}");
    }
}

#[test]
fn a_value_of_5_mb_goes_through_segments_of_64_kib() {
    let scratch = Scratch::new();
    let value = random(5, 5 << 20);
    for io in [IoMode::Mmap, IoMode::Pread] {
        let options = Options { io, ..small_segments() };
        let db = open(scratch.path(), &options).expect("open");
        db.put(b"large", &value).expect("put");
        db.put(b"small", b"after").expect("put");
        assert_eq!(db.get(b"large", |found| found == value).expect("get"), Some(true));
        db.close().expect("close");
        let db = open(scratch.path(), &options).expect("open");
        assert_eq!(db.get(b"large", |found| found == value).expect("get"), Some(true));
        assert_eq!(db.get(b"small", <[u8]>::to_vec).expect("get"), Some(b"after".to_vec()));
    }
}

/// Kilobytes of memory that the system could give.
fn available_kb() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_value_of_300_mb_comes_back_whole() {
    const LEN: usize = 300 << 20;
    if available_kb() < 2 << 20 {
        let reason = "a value of 300 MB needs 2 GiB of free memory";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        skipped(reason);
        return;
    }
    let scratch = Scratch::new();
    let value = random(300, LEN);
    let crc = crc32c(&value);
    let db = open(scratch.path(), &Options::default()).expect("open");
    db.put(b"huge", &value).expect("put");
    drop(value);
    assert_eq!(db.get(b"huge", |found| (found.len(), crc32c(found))).expect("get"), Some((LEN, crc)));
    db.close().expect("close");
    let db = open(scratch.path(), &Options { io: IoMode::Pread, ..Options::default() }).expect("open");
    assert_eq!(db.get(b"huge", |found| (found.len(), crc32c(found))).expect("get"), Some((LEN, crc)));
}

#[test]
fn a_batch_larger_than_a_segment_is_whole() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &small_segments()).expect("open");
    let mut batch = Batch::new();
    for number in 0..1000u32 {
        batch.put(&number.to_le_bytes(), &random(u64::from(number), 500)).expect("room");
    }
    let version = db.write(&batch).expect("batch").version().expect("a version");
    db.put(b"after", b"").expect("put");
    db.close().expect("close");
    let db = open(scratch.path(), &small_segments()).expect("open");
    for number in 0..1000u32 {
        let expected = random(u64::from(number), 500);
        assert_eq!(
            db.get(&number.to_le_bytes(), |found| found == expected).expect("get"),
            Some(true),
            "{number}"
        );
    }
    assert!(version < db.stats().expect("open").last_version);
}

#[test]
fn a_file_cut_by_another_process_is_an_error_without_mapping() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &Options { io: IoMode::Pread, ..Options::default() }).expect("open");
    for number in 0..100u32 {
        db.put(&number.to_le_bytes(), &[7; 1000]).expect("put");
    }
    let file = File::options().write(true).open(scratch.path().join("000000000001.data")).expect("a segment");
    file.set_len(50_500).expect("cut");
    let mut damaged = 0;
    for number in 0..100u32 {
        match db.get(&number.to_le_bytes(), <[u8]>::to_vec) {
            Ok(found) => assert_eq!(found, Some(vec![7; 1000]), "{number}"),
            Err(Error::Corrupt { .. } | Error::Io { .. }) => damaged += 1,
            Err(err) => panic!("{number}: {err}"),
        }
    }
    assert!((45..=55).contains(&damaged), "{damaged} of 100 answered an error");
}
