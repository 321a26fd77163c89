//! Compressed values read as they were put, by every way there is, whatever later opens choose.

use crate::support;
use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::features::documents::JsonAnswer;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::format::checksum::crc32c;
use bitcask::format::coding::set_u32;
use bitcask::format::names;
use bitcask::format::record::{Draft, Flags};
use bitcask::io::sim::Sim;
use bitcask::options::{Codec, Compression, IoMode, MergeMode, Options, SyncMode};
use std::sync::Arc;

const CODECS: [Option<Codec>; 3] = [None, Some(Codec::Lz4), Some(Codec::Zstd)];

fn with(codec: Option<Codec>) -> Options {
    let compression = codec.map(|codec| Compression { min_bytes: 0, ..Compression::new(codec) });
    Options {
        compression,
        merge: MergeMode::Manual,
        checkpoint: false,
        max_segment_bytes: 64 << 10,
        ..options(SyncMode::None)
    }
}

fn machine() -> Sim {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    sim
}

fn document(number: usize) -> Vec<u8> {
    let tags = vec!["\"role::program\""; 1 + number % 40].join(",");
    format!("{{\"name\":\"package-{number}\",\"section\":\"games\",\"tags\":[{tags}]}}").into_bytes()
}

fn key(number: usize) -> Vec<u8> {
    format!("key-{number:04}").into_bytes()
}

/// Every way to read must show the documents `0..count`.
fn check_reads(db: &Db<Sim>, count: usize) {
    let keys: Vec<_> = (0..count).map(key).collect();
    let slices: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    let mut many = Vec::new();
    db.get_many(&slices, |_, answer| many.push(answer.expect("it reads").map(<[u8]>::to_vec))).expect("keys");
    let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
    let mut scan = Scan::new(snapshot.clone(), &ScanOptions::default()).expect("a scan");
    for (number, key) in keys.iter().enumerate() {
        let expected = document(number);
        assert_eq!(db.get(key, <[u8]>::to_vec).expect("it reads"), Some(expected.clone()));
        assert_eq!(many[number], Some(expected.clone()));
        let pin = db.get_pinned(key).expect("it reads").expect("a value");
        assert_eq!(pin.value(), expected);
        assert_eq!(snapshot.get(key, <[u8]>::to_vec).expect("it reads"), Some(expected.clone()));
        assert!(scan.advance().expect("it reads"));
        assert_eq!((scan.key(), scan.value()), (Some(&key[..]), Some(&expected[..])));
        let name = db.get_json(key, "/name").expect("it reads");
        assert_eq!(name, JsonAnswer::Found(format!("\"package-{number}\"")));
        let len = expected.len();
        let within = |room| db.get_within(key, room, <[u8]>::to_vec).expect("it reads").expect("a value");
        assert_eq!(within(len), Ok(expected));
        assert_eq!(within(len - 1), Err(len as u64));
    }
    assert!(!scan.advance().expect("the end"));
}

#[test]
fn every_way_to_read_shows_what_was_put_with_any_codec_and_any_later_choice() {
    for io in [IoMode::Mmap, IoMode::Pread] {
        let sim = machine();
        let mut count = 0;
        for codec in CODECS.into_iter().chain(CODECS) {
            let db = open(&sim, &Options { io, ..with(codec) }).expect("it opens");
            check_reads(&db, count);
            for _ in 0..20 {
                db.put(&key(count), &document(count)).expect("a put");
                db.put_json(&key(count + 1), &document(count + 1)).expect("a put");
                let mut batch = Batch::new();
                batch.put(&key(count + 2), &document(count + 2)).expect("an operation");
                batch.put(&key(count + 3), b"x").expect("an operation");
                db.write(&batch).expect("a batch").version().expect("a version");
                db.patch_json(&key(count), br#"{"a":"b"}"#).expect("a patch");
                db.put(&key(count + 3), &document(count + 3)).expect("a put");
                let patched = db.get_json(&key(count), "/a").expect("it reads");
                assert_eq!(patched, JsonAnswer::Found("\"b\"".to_string()));
                db.put(&key(count), &document(count)).expect("a put");
                count += 4;
            }
            check_reads(&db, count);
            let stats = db.stats().expect("stats");
            assert_eq!(stats.compressed_raw_bytes > 0, codec.is_some());
            assert!(stats.compressed_bytes <= stats.compressed_raw_bytes);
            db.step_log_thread().expect("jobs");
            db.merge(&support::merge_policy(1)).expect("a merge");
            check_reads(&db, count);
            db.close().expect("a close");
            let reader = open(&sim, &Options { io, read_only: true, ..with(None) }).expect("it opens");
            check_reads(&reader, count);
        }
    }
}

#[test]
fn a_value_is_stored_smaller_only_where_that_pays() {
    let noise: Vec<u8> = (0..1000u32).flat_map(|n| crc32c(&n.to_le_bytes()).to_le_bytes()).collect();
    let text = document(39);
    for codec in CODECS {
        let db = open(&machine(), &with(codec)).expect("it opens");
        let put = |value: &[u8]| {
            let before = db.stats().expect("stats").bytes_written;
            db.put(b"k", value).expect("a put");
            usize::try_from(db.stats().expect("stats").bytes_written - before).expect("a length")
        };
        put(b"");
        assert_eq!(put(&noise), (24 + 1 + noise.len()).next_multiple_of(8));
        assert_eq!(put(&text) < text.len() / 2, codec.is_some());
    }
}

/// A store of one record that is as a hostile writer made it, all checksums right.
fn forged(stored: &[u8]) -> (Sim, Db<Sim>) {
    let sim = machine();
    let db = open(&sim, &with(None)).expect("it opens");
    db.put(b"k", &vec![0; stored.len()]).expect("a put");
    db.close().expect("a close");
    let mut bytes = sim.read_file(DIR, &names::segment(1)).expect("a segment");
    let at = bytes.len() - (24 + 1 + stored.len()).next_multiple_of(8);
    let uid = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let version = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().expect("eight bytes"));
    let header = Draft::new(b"k", stored, Flags::COMPRESSED, None).header(version, uid, at as u64);
    bytes[at..at + 24].copy_from_slice(&header[..24]);
    bytes[at + 25..at + 25 + stored.len()].copy_from_slice(stored);
    sim.write_file(DIR, &names::segment(1), &bytes);
    let db = open(&sim, &with(None)).expect("it opens");
    (sim, db)
}

#[test]
fn hostile_values_answer_corrupt_with_file_and_offset_and_are_counted() {
    let lie = |codec: u8, raw_len: u32, rest: &[u8]| {
        let mut stored = vec![codec, 0, 0, 0, 0, 0, 0, 0];
        set_u32(&mut stored, 4, raw_len);
        stored.extend_from_slice(rest);
        stored
    };
    for stored in [
        vec![],
        vec![1],
        lie(0, 3, b"abc"),
        lie(3, 3, b"abc"),
        lie(1, u32::MAX, b"abc"),
        lie(2, u32::MAX, b"abc"),
        lie(1, 700, b"abc"),
        lie(2, 700, b"abcd"),
        [1, 1, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c'].to_vec(),
        [2, 1, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c'].to_vec(),
    ] {
        let (_sim, db) = forged(&stored);
        let is_corrupt = |err: &Error| matches!(err, Error::Corrupt { file, offset: 72, .. } if file == &names::segment(1));
        let check =
            |answer: Result<(), Error>| assert!(answer.is_err_and(|err| is_corrupt(&err)), "{stored:?}");
        check(db.get(b"k", |_| ()).map(drop));
        check(db.get_pinned(b"k").map(drop));
        check(db.get_within(b"k", usize::MAX, |_| ()).map(drop));
        let mut answers = Vec::new();
        db.get_many(&[b"k"], |_, answer| answers.push(answer.map(|_| ()))).expect("keys");
        answers.into_iter().for_each(check);
        assert_eq!(db.stats().expect("stats").corrupt_records, 4);
        check(db.snapshot().expect("a snapshot").get(b"k", |_| ()).map(drop));
        let mut scan = Scan::new(Arc::new(db.snapshot().expect("a snapshot")), &ScanOptions::default());
        check(scan.as_mut().expect("a scan").advance().map(drop));
        db.put(b"k", b"sound again").expect("a put");
        assert_eq!(db.get(b"k", <[u8]>::to_vec).expect("it reads"), Some(b"sound again".to_vec()));
    }
}

#[test]
fn a_flipped_bit_in_a_compressed_value_is_never_another_value() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let sim = machine();
        let db = open(&sim, &with(Some(codec))).expect("it opens");
        db.put(b"k", &document(5)).expect("a put");
        db.close().expect("a close");
        let len = sim.read_file(DIR, &names::segment(1)).expect("a segment").len() as u64;
        for at in 72 + 24 + 1..len {
            for bit in 0..8 {
                sim.corrupt(DIR, &names::segment(1), at, 1 << bit);
                let reader = open(&sim, &Options { read_only: true, ..with(None) }).expect("it opens");
                match reader.get(b"k", <[u8]>::to_vec) {
                    // Padding is covered by no checksum.
                    Ok(Some(value)) => assert!(value == document(5) && at >= len - 7),
                    Err(Error::Corrupt { .. }) => {}
                    other => panic!("{codec:?} {at} {bit}: {other:?}"),
                }
                drop(reader);
                sim.corrupt(DIR, &names::segment(1), at, 1 << bit);
            }
        }
    }
}
