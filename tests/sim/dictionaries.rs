//! Dictionaries that merges make of the values they keep: what they save, and that nothing else is to be seen of them.

use crate::support::{DIR, DOCUMENTS, merge_policy, open, options, segments_with_dictionary, value};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::repair::repair;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::features::verify::{Verification, verify};
use bitcask::format::names::MANIFEST;
use bitcask::format::record::{Draft, Flags, RecordHeader};
use bitcask::io::sim::{Rng, Sim};
use bitcask::options::{Codec, Compression, IoMode, MergeMode, MergePolicy, Options, SyncMode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key that sorts behind all others and has no value in the end.
const FILLER: &[u8] = b"z";
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples-c/data/debian-packages.jsonl");

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
    let sim = Sim::new(6);
    sim.make_dirs(DIR);
    sim
}

/// Puts those of the first `count` packages that `step` leads to under their line numbers, every tenth twice.
fn put_packages(db: &Db<Sim>, count: usize, step: usize) -> Model {
    let text = std::fs::read_to_string(PACKAGES).expect("the data is shipped");
    let documents = text.lines().enumerate().take(count).step_by(step);
    let mut model = Model::new();
    for (put, (number, document)) in documents.enumerate() {
        let key = format!("package {number:05}").into_bytes();
        for _ in 0..1 + usize::from(put.is_multiple_of(10)) {
            db.put(&key, document.as_bytes()).expect("a put");
        }
        if put.is_multiple_of(20) {
            db.step_log_thread().expect("jobs");
        }
        model.insert(key, document.as_bytes().to_vec());
    }
    model
}

/// Seals what there is, and merges all of it.
fn merge(db: &Db<Sim>, max_segment_bytes: u64) {
    let len = usize::try_from(max_segment_bytes).expect("a length");
    let mut filler = vec![0; len];
    Rng::derive(&[5]).fill(&mut filler);
    for _ in 0..2 {
        db.put(FILLER, &filler).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    db.delete(FILLER).expect("a deletion");
    db.merge(&merge_policy(1)).expect("a merge");
}

/// Every way to read shows the model.
fn check(db: &Db<Sim>, model: &Model) {
    let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
    let mut scan = Scan::new(snapshot.clone(), &ScanOptions::default()).expect("a scan");
    let keys: Vec<_> = model.keys().map(Vec::as_slice).collect();
    db.get_many(&keys, |at, answer| assert_eq!(answer.expect("it reads"), Some(&model[keys[at]][..])))
        .expect("keys");
    for (key, value) in model {
        assert_eq!(db.get(key, <[u8]>::to_vec).expect("it reads").as_ref(), Some(value));
        assert_eq!(snapshot.get(key, <[u8]>::to_vec).expect("it reads").as_ref(), Some(value));
        assert_eq!(db.get_pinned(key).expect("it reads").expect("a value").value(), value);
        assert!(scan.advance().expect("it reads"));
        assert_eq!((scan.key(), scan.value()), (Some(&key[..]), Some(&value[..])));
    }
    assert!(!scan.advance().expect("the end"));
    assert_eq!(db.count().expect("a count"), model.len() as u64);
}

#[test]
fn the_packages_shrink_to_a_third_and_read_as_they_were() {
    let sim = machine();
    let compression = Some(Compression::new(Codec::Zstd));
    let options = Options { compression, max_segment_bytes: 1 << 20, ..with(None) };
    let db = open(&sim, &options).expect("it opens");
    let model = put_packages(&db, usize::MAX, 1);
    merge(&db, options.max_segment_bytes);
    let stats = db.stats().expect("stats");
    assert_eq!((stats.merges, segments_with_dictionary(&sim).len(), stats.dictionary_bytes), (1, 1, 0));
    let raw_bytes: u64 = model.values().map(|value| value.len() as u64).sum();
    assert_eq!(stats.merge_raw_bytes, raw_bytes);
    assert!(raw_bytes >= 3 * stats.merge_compressed_bytes, "{raw_bytes}, {stats:?}");
    check(&db, &model);
    let in_memory = db.stats().expect("stats").dictionary_bytes;
    assert!((112 << 10..=160 << 10).contains(&in_memory), "{in_memory}");
}

#[test]
fn whatever_a_later_open_chooses_it_reads_everything_before_and_after_its_merges() {
    let codecs = [Some(Codec::Zstd), None, Some(Codec::Lz4), Some(Codec::Zstd), Some(Codec::Zstd), None];
    for io in [IoMode::Mmap, IoMode::Pread] {
        let sim = machine();
        let mut model = Model::new();
        let mut had_dictionary = false;
        for codec in codecs {
            let options = Options { io, ..with(codec) };
            let db = open(&sim, &options).expect("it opens");
            check(&db, &model);
            model.extend(put_packages(&db, 600, if model.is_empty() { 1 } else { 3 }));
            merge(&db, options.max_segment_bytes);
            // Without a choice a dictionary is made where there was one.
            let has_dictionary = codec == Some(Codec::Zstd) || codec.is_none() && had_dictionary;
            assert_eq!(!segments_with_dictionary(&sim).is_empty(), has_dictionary, "{codec:?}");
            had_dictionary = has_dictionary;
            check(&db, &model);
            let key = b"package 00000";
            assert!(db.expire(key, 3_600_000).expect("a deadline"));
            check(&db, &model);
            db.close().expect("a close");
            // The hints are made again from segments that begin with a dictionary.
            let hints = sim.files(DIR).into_keys().filter(|name| name.ends_with(".hint"));
            hints.for_each(|name| sim.remove_file(DIR, &name));
            let reader = open(&sim, &Options { read_only: true, ..options }).expect("it opens");
            check(&reader, &model);
        }
    }
}

#[test]
fn a_merge_keeps_a_dictionary_that_still_serves_and_compresses_only_what_is_new() {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let mut model = put_packages(&db, 600, 1);
    merge(&db, options.max_segment_bytes);
    let first = db.stats().expect("stats").merge_raw_bytes;
    model.extend(put_packages(&db, 600, 4));
    merge(&db, options.max_segment_bytes);
    let second = db.stats().expect("stats").merge_raw_bytes - first;
    assert!(second > 0 && second < first / 3, "{second} of {first}");
    check(&db, &model);
    // All segments have one dictionary, and it is in memory once.
    assert!(segments_with_dictionary(&sim).len() > 1);
    assert!(db.stats().expect("stats").dictionary_bytes < 64 << 10);
}

#[test]
fn values_with_different_dictionaries_are_merged_into_one_segment() {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let mut model = put_packages(&db, 1000, 1);
    // Two segments at a time, each pair with a dictionary of its own.
    let max_input_bytes = 3 * options.max_segment_bytes;
    db.merge(&MergePolicy { max_input_bytes, ..merge_policy(1) }).expect("merges");
    let dictionaries: BTreeSet<_> = segments_with_dictionary(&sim)
        .iter()
        .map(|name| {
            let bytes = sim.read_file(DIR, name).expect("a file");
            let header = RecordHeader::decode(&bytes[72..]).expect("a header");
            bytes[72 + header.value_at()..][..header.value_len as usize].to_vec()
        })
        .collect();
    assert!(dictionaries.len() > 1);
    check(&db, &model);
    model.extend(put_packages(&db, 1000, 7));
    merge(&db, options.max_segment_bytes);
    check(&db, &model);
    db.close().expect("a close");
    assert!(verify(&sim, Path::new(DIR)).expect("a store").is_sound());
    check(&open(&sim, &options).expect("it opens"), &model);
}

#[test]
fn a_dictionary_that_still_serves_is_not_taken_for_that_of_another_input() {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let mut model = Model::new();
    let mut put = |db: &Db<Sim>, number: u32, key: u32| {
        let (key, value) = (key.to_be_bytes().to_vec(), value(DOCUMENTS + number));
        db.put(&key, &value).expect("a put");
        db.step_log_thread().expect("jobs");
        model.insert(key, value);
    };
    (0..3000).for_each(|number| put(&db, number, number - u32::from(number % 10 == 9)));
    let max_input_bytes = 3 * options.max_segment_bytes;
    db.merge(&MergePolicy { max_input_bytes, ..merge_policy(1) }).expect("merges");
    (0..200).for_each(|number| put(&db, 5000 + number, 10 * number));
    let before = db.stats().expect("stats").merge_raw_bytes;
    merge(&db, options.max_segment_bytes);
    let repacked = db.stats().expect("stats").merge_raw_bytes - before;
    let raw_bytes: u64 = model.values().map(|value| value.len() as u64).sum();
    assert!(repacked < raw_bytes, "no dictionary was kept");
    check(&db, &model);
}

#[test]
fn a_repair_takes_values_out_of_their_dictionaries() {
    let (sim, model, name, _) = closed_with_dictionary();
    let of_it = |found: Verification| found.to_json().contains(&name);
    assert!(!of_it(verify(&sim, Path::new(DIR)).expect("a store")));
    sim.corrupt(DIR, &name, 100, 1);
    assert!(of_it(verify(&sim, Path::new(DIR)).expect("a store")));
    sim.corrupt(DIR, &name, 100, 1);
    sim.remove_file(DIR, MANIFEST);
    sim.make_dirs("/repaired");
    repair(&sim, Path::new(DIR), Path::new("/repaired")).expect("a repair");
    let db = Db::open(sim.clone(), Path::new("/repaired"), &with(None)).expect("it opens");
    check(&db, &model);
    drop(db);
    let found = verify(&sim, Path::new("/repaired")).expect("a store");
    assert!(found.is_sound(), "{}", found.to_json());
}

#[test]
fn a_backup_has_the_dictionaries_that_its_values_take() {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let mut model = put_packages(&db, 600, 1);
    merge(&db, options.max_segment_bytes);
    let to = Path::new("/backup");
    // The second time what has another dictionary takes the place of what was merged.
    for step in [3, 2] {
        db.backup(to).expect("a backup");
        assert!(verify(&sim, to).expect("a store").is_sound());
        let copy = Db::open(sim.clone(), to, &Options { read_only: true, ..with(None) }).expect("it opens");
        check(&copy, &model);
        drop(copy);
        model.extend(put_packages(&db, 600, step));
        merge(&db, options.max_segment_bytes);
    }
    db.backup(to).expect("a backup");
    drop(db);
    let names: Vec<_> = sim.files(DIR).into_keys().collect();
    names.iter().for_each(|name| sim.remove_file(DIR, name));
    let copy = Db::open(sim.clone(), to, &with(None)).expect("it opens for writing, too");
    check(&copy, &model);
    merge(&copy, options.max_segment_bytes);
    check(&copy, &model);
}

#[test]
fn a_deadline_that_comes_and_goes_leaves_a_compressed_value_as_it_is_stored() {
    for merged in [false, true] {
        let sim = machine();
        let options = with(Some(Codec::Zstd));
        let db = open(&sim, &options).expect("it opens");
        let model = put_packages(&db, 100, 1);
        if merged {
            merge(&db, options.max_segment_bytes);
        }
        let written = || db.stats().expect("stats").bytes_written;
        for (key, value) in &model {
            let before = written();
            assert!(db.expire(key, 3_600_000).expect("a deadline") && db.persist(key).expect("none"));
            // One that needs a dictionary is compressed without it, because it goes to another segment.
            let most = 2 * (value.len() as u64 + 64);
            assert!(written() - before < if merged { most } else { most * 9 / 10 }, "{merged}: {key:?}");
        }
        check(&db, &model);
        db.close().expect("a close");
        check(&open(&sim, &with(None)).expect("it opens"), &model);
    }
}

#[test]
fn nobody_looks_for_a_dictionary_behind_the_end_of_a_segment() {
    let sim = machine();
    // The simulation ends who reads a mapping there.
    sim.map_files();
    let options = Options { max_segment_bytes: 100, ..with(Some(Codec::Zstd)) };
    let db = open(&sim, &options).expect("it opens");
    for byte in 0..4 {
        // A record of 24 bytes: a header with a deadline is longer.
        db.put(b"", b"").expect("a put");
        db.put(b"k", &[byte; 200]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    assert!(db.merge(&merge_policy(1)).expect("a merge") > 0);
    check(&db, &Model::from([(Vec::new(), Vec::new()), (b"k".to_vec(), vec![3; 200])]));
}

#[test]
fn no_dictionary_is_made_where_it_does_not_pay() {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let mut model = Model::new();
    let mut rng = Rng::derive(&[9]);
    for number in 0..1000u32 {
        // What they have in common is less than a compressed value takes besides.
        let mut value = vec![0; 100];
        rng.fill(&mut value[12..]);
        for _ in 0..1 + number % 2 {
            db.put(&number.to_be_bytes(), &value).expect("a put");
        }
        db.step_log_thread().expect("jobs");
        model.insert(number.to_be_bytes().to_vec(), value);
    }
    merge(&db, options.max_segment_bytes);
    assert_eq!((db.stats().expect("stats").merges, segments_with_dictionary(&sim).len()), (1, 0));
    check(&db, &model);
}

#[test]
fn the_same_store_is_merged_to_the_same_bytes() {
    let merged = || {
        let sim = machine();
        let options = with(Some(Codec::Zstd));
        let db = open(&sim, &options).expect("it opens");
        put_packages(&db, 300, 1);
        merge(&db, options.max_segment_bytes);
        db.close().expect("a close");
        sim.files(DIR)
    };
    assert_eq!(merged(), merged());
}

/// A closed store whose values take a dictionary, the segment that begins with it, and how long its record is.
fn closed_with_dictionary() -> (Sim, Model, String, u64) {
    let sim = machine();
    let options = with(Some(Codec::Zstd));
    let db = open(&sim, &options).expect("it opens");
    let model = put_packages(&db, 100, 1);
    merge(&db, options.max_segment_bytes);
    db.close().expect("a close");
    let name = segments_with_dictionary(&sim).pop().expect("a dictionary");
    let bytes = sim.read_file(DIR, &name).expect("a file");
    let len = RecordHeader::decode(&bytes[72..]).expect("a header").record_len();
    (sim, model, name, len)
}

#[test]
fn a_damaged_dictionary_damages_the_values_that_take_it_and_makes_no_other_values() {
    let (sim, model, name, len) = closed_with_dictionary();
    // Without a hint the damaged record would hide what is behind it.
    for at in (72..72 + len).step_by(3) {
        sim.corrupt(DIR, &name, at, 1 << (at % 8));
        let db = open(&sim, &with(None)).expect("it opens");
        let mut read = 0;
        for (key, value) in &model {
            match db.get(key, <[u8]>::to_vec) {
                Ok(found) => {
                    assert_eq!(found.as_ref(), Some(value), "byte {at}");
                    read += 1;
                }
                Err(Error::Corrupt { file, .. }) => assert_eq!(file, name),
                Err(err) => panic!("byte {at}: {err}"),
            }
        }
        // Padding is covered by no checksum.
        assert!(read < model.len() / 2 || at >= 72 + len - 7, "byte {at}: {read}");
        drop(db);
        sim.corrupt(DIR, &name, at, 1 << (at % 8));
    }
}

#[test]
fn a_segment_with_a_damaged_dictionary_is_not_merged_and_keeps_everything() {
    let (sim, model, name, _) = closed_with_dictionary();
    sim.corrupt(DIR, &name, 100, 1);
    for codec in [None, Some(Codec::Lz4), Some(Codec::Zstd)] {
        let options = with(codec);
        let db = open(&sim, &options).expect("it opens");
        let key = model.keys().next().expect("a key");
        for _ in 0..200 {
            db.put(key, &[7; 400]).expect("a put");
            db.step_log_thread().expect("jobs");
        }
        let merged = db.merge(&merge_policy(1));
        assert!(matches!(&merged, Err(Error::Corrupt { file, .. }) if file == &name), "{merged:?}");
        // The others are merged.
        db.merge(&merge_policy(1)).expect("a merge");
        assert!(sim.files(DIR).contains_key(&name));
        db.close().expect("a close");
    }
    sim.corrupt(DIR, &name, 100, 1);
    let db = open(&sim, &with(None)).expect("it opens");
    for (key, value) in model.iter().skip(1) {
        assert_eq!(db.get(key, <[u8]>::to_vec).expect("it reads").as_ref(), Some(value));
    }
}

/// Puts another dictionary in the place of a segment's, all checksums right; what follows is cut off or moved by nothing.
fn forge(sim: &Sim, name: &str, len: u64, mut change: impl FnMut(&mut Vec<u8>)) {
    let mut bytes = sim.read_file(DIR, name).expect("a file");
    let uid = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let header = RecordHeader::decode(&bytes[72..]).expect("a header");
    let value_at = 72 + header.value_at();
    let mut value = bytes[value_at..value_at + header.value_len as usize].to_vec();
    change(&mut value);
    assert_eq!(value.len(), header.value_len as usize);
    let forged = Draft::new(&[], &value, Flags::INTERNAL, None).header(header.version, uid, 72);
    bytes[72..value_at].copy_from_slice(&forged[..value_at - 72]);
    bytes[value_at..value_at + value.len()].copy_from_slice(&value);
    assert!(72 + len >= (value_at + value.len()) as u64);
    sim.write_file(DIR, name, &bytes);
}

#[test]
fn a_forged_dictionary_takes_no_more_memory_than_a_dictionary_may_and_crashes_nothing() {
    let (sim, model, name, len) = closed_with_dictionary();
    let sound = sim.read_file(DIR, &name).expect("a file");
    let mut rng = Rng::derive(&[4]);
    for case in 0..300 {
        forge(&sim, &name, len, |value| match case {
            0 => value[0] = 9,
            1 => value[1] = 2,
            2 => value[2] = 1,
            3 => value[4..8].copy_from_slice(&u32::MAX.to_le_bytes()),
            4 => value[4..8].copy_from_slice(&(129u32 << 10).to_le_bytes()),
            5 => value[4..8].copy_from_slice(&0u32.to_le_bytes()),
            _ => {
                let at = 8 + rng.below(value.len() - 8);
                value[at] ^= 1 << rng.below(8);
            }
        });
        let db = open(&sim, &Options { read_only: true, ..with(None) }).expect("it opens");
        for key in model.keys() {
            match db.get(key, <[u8]>::len) {
                Ok(_) => assert!(case > 5),
                Err(Error::Corrupt { .. }) => {}
                Err(err) => panic!("case {case}: {err}"),
            }
        }
        assert!(db.stats().expect("stats").dictionary_bytes < 160 << 10);
        sim.write_file(DIR, &name, &sound);
    }
}
