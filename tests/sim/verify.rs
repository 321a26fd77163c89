//! What a verification tells of sound stores, and of stores in which a bit, a length or a file is wrong.
//!
//! `BITCASK_DAMAGE_SEED` is the first of the histories that the stores come from.

use crate::support::crashes::manifest;
use crate::support::damaged::{Left, Store, store};
use crate::support::{DIR, open, options, setting};
use bitcask::Error;
use bitcask::engine::{Finding, Findings};
use bitcask::features::repair::repair;
use bitcask::features::verify::{Verification, verify};
use bitcask::format::checksum::crc32c;
use bitcask::format::names;
use bitcask::format::record::{Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::{Dir, DirOptions, Env};
use bitcask::io::sim::{Rng, Sim};
use bitcask::keydir::Secret;
use bitcask::options::{MergeMode, Options, SyncMode};
use bitcask::segment::hint_writer::{HintBuilder, HintId};
use std::path::Path;

const STEPS: usize = 50;

fn seeds() -> std::ops::Range<u64> {
    let first = setting("BITCASK_DAMAGE_SEED", 3);
    first..first + 6
}

fn check(sim: &Sim) -> Verification {
    let before = sim.contents(DIR);
    let found = verify(sim, Path::new(DIR)).expect("a store that can be read");
    assert_eq!(sim.contents(DIR), before, "a verification changed files");
    found
}

fn all(findings: &Findings) -> impl Iterator<Item = &Finding> {
    findings.damages.listed.iter().chain(&findings.notes.listed)
}

/// Whether something is told of that byte of that file.
fn tells(findings: &Findings, file: &str, offset: u64) -> bool {
    let covers = |finding: &Finding| {
        finding.offset <= offset && (finding.length == 0 || offset < finding.offset + finding.length)
    };
    all(findings).any(|finding| finding.file == file && covers(finding))
}

/// Whether a store says of that byte that it was durable.
fn is_proven(store: &Store, file: &str, offset: u64) -> bool {
    let manifest = manifest(&store.sim);
    let Some(number) = names::parse_segment(file) else { return file == names::MANIFEST };
    let durable = manifest.clean_close.filter(|close| close.active == number).map(|close| close.len);
    manifest
        .segments
        .iter()
        .filter(|entry| entry.number == number)
        .any(|entry| offset < durable.unwrap_or(entry.kept_len()))
}

#[test]
fn a_sound_store_is_sound_whatever_it_went_through() {
    for seed in seeds().start..seeds().start + 300 {
        for left in [Left::Closed, Left::Killed] {
            let store = store(seed, STEPS, left);
            let found = check(&store.sim);
            assert!(found.is_sound(), "seed {seed}, {left:?}: {}", found.to_json());
            let held = store.last().iter().flatten().count() as u64;
            assert!(found.records - found.tombstones >= held, "seed {seed}: {}", found.to_json());
            let db = open(&store.sim, &store.options).expect("a sound store opens");
            let found = check(&store.sim);
            assert!(found.is_sound(), "seed {seed}, {left:?}, open: {}", found.to_json());
            drop(db);
        }
    }
}

/// A bit of each byte, and each length.
fn harm_everything(left: Left) {
    let mut cases = 0;
    for seed in seeds() {
        let store = store(seed, STEPS, left);
        let mut rng = Rng::derive(&[seed, 41]);
        for (name, bytes) in store.sim.contents(DIR) {
            for offset in 0..bytes.len() as u64 {
                let image = store.image();
                image.corrupt(DIR, &name, offset, 1 << rng.below(8));
                let found = check(&image);
                let of_what = || format!("seed {seed}, {left:?}, {name} byte {offset}: {}", found.to_json());
                assert!(tells(&found.findings, &name, offset), "untold: {}", of_what());
                // Padding is covered by no checksum.
                let harmless = all(&found.findings).any(|finding| finding.what.contains("padding"));
                let lost = is_proven(&store, &name, offset) && !harmless;
                assert!(found.is_sound() || names::parse_hint(&name).is_none(), "{}", of_what());
                // Of a killed store the markers, too, prove a part.
                assert!(!lost || !found.is_sound(), "{}", of_what());
                assert!(lost || left == Left::Killed || found.is_sound(), "{}", of_what());
                cases += 1;
            }
            for len in 0..bytes.len() as u64 {
                let image = store.image();
                image.cut_file(DIR, &name, len);
                let found = check(&image);
                // What was proven is a beginning. Markers that are cut off prove nothing any more.
                let told = !found.is_sound() || !is_proven(&store, &name, len);
                assert!(told, "seed {seed}, {left:?}, {name} of {len} bytes: {}", found.to_json());
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 10_000);
}

#[test]
fn whatever_byte_or_length_of_a_closed_store_is_wrong_is_told() {
    harm_everything(Left::Closed);
}

#[test]
fn whatever_byte_or_length_of_a_killed_store_is_wrong_is_told() {
    harm_everything(Left::Killed);
}

/// A hint of a segment of `store`, with true checksums, as `change` makes its entries and `secret` its filter.
fn forge_hint(
    sim: &Sim,
    number: u64,
    secret: Option<Secret>,
    mut change: impl FnMut(&mut RecordHeader, &mut Vec<u8>, usize) -> bool,
) {
    let listed = manifest(sim);
    let entry = listed.segments.iter().find(|entry| entry.number == number).expect("a listed segment");
    let bytes = sim.read_file(DIR, &names::segment(number)).expect("its file");
    let (mut builder, mut at, mut place) = (HintBuilder::default(), SEGMENT_HEADER_LEN, 0);
    while at < usize::try_from(entry.kept_len()).expect("a length") {
        let mut header = RecordHeader::decode(&bytes[at..]).expect("a record");
        let mut key = bytes[at + header.header_len()..at + header.value_at()].to_vec();
        let len = usize::try_from(header.record_len()).expect("a length");
        if !header.flags.has(Flags::INTERNAL) {
            if change(&mut header, &mut key, place) {
                builder.add(&header, &key, at as u64).expect("memory");
            }
            place += 1;
        }
        at += len;
    }
    let dir =
        sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).expect("a directory");
    sim.remove_file(DIR, &names::hint(number));
    let file = dir.create(&names::hint(number)).expect("a file");
    let id = HintId { database: listed.database, uid: entry.uid, segment_len: entry.kept_len() };
    let secret = secret.unwrap_or_else(|| Secret::new(&listed.hash_secret));
    assert!(builder.write(&file, &names::hint(number), id, &secret, || true).expect("a hint"));
}

/// A closed store with hints, and the number of a segment that has one.
fn closed_with_hints() -> (Sim, u64) {
    let sim = Sim::new(8);
    sim.make_dirs(DIR);
    let options = Options { merge: MergeMode::Manual, ..options(SyncMode::None) };
    let db = open(&sim, &options).expect("it opens");
    for number in 0..40u32 {
        db.put(format!("key {}", number % 25).as_bytes(), &[1; 90]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    db.step_merge_thread().expect("hints");
    db.close().expect("a close");
    let hint = sim.files(DIR).into_keys().find_map(|name| names::parse_hint(&name));
    (sim, hint.expect("a hint"))
}

#[test]
fn a_forged_hint_is_damage_although_its_checksums_are_right() {
    let (sim, number) = closed_with_hints();
    let name = names::hint(number);
    let told = |sim: &Sim| {
        let found = check(sim);
        let damages: Vec<_> =
            found.findings.damages.listed.iter().map(|damage| damage.file == name).collect();
        assert_eq!(found.is_sound(), damages.is_empty());
        assert!(damages.iter().all(|is_of_it| *is_of_it), "{}", found.to_json());
        found.to_json()
    };
    forge_hint(&sim, number, None, |_, _, _| true);
    assert!(told(&sim).contains("\"sound\":true"), "the forger writes what the library does");
    for (what, forged) in
        [("an entry is left out", 0), ("an older version", 1), ("another value's length", 2)]
    {
        forge_hint(&sim, number, None, |header, _, place| {
            match (place, forged) {
                (1, 0) => return false,
                (1, 1) => header.version -= 1,
                (1, 2) => header.value_len += 8,
                _ => {}
            }
            true
        });
        assert!(told(&sim).contains("does not list what the segment holds"), "{what}");
    }
    forge_hint(&sim, number, None, |_, key, place| {
        key.truncate(if place == 1 { 3 } else { usize::MAX });
        true
    });
    assert!(told(&sim).contains("does not list what the segment holds"), "another key");
    forge_hint(&sim, number, Some(Secret::new(&[7; 16])), |_, _, _| true);
    assert!(told(&sim).contains("rules out a key that it lists"));
}

#[test]
fn a_newer_format_is_told_as_such_and_salvaged_by_nobody() {
    let (sim, _) = closed_with_hints();
    let text = String::from_utf8(sim.read_file(DIR, names::MANIFEST).expect("a manifest")).expect("text");
    let (json, _) = text.split_once("crc32c ").expect("a checksum");
    let json = json.replace("\"format\": 1", "\"format\": 2");
    let newer = format!("{json}crc32c {:08x}\n", crc32c(json.as_bytes()));
    sim.write_file(DIR, names::MANIFEST, newer.as_bytes());
    let before = sim.contents(DIR);
    sim.make_dirs("/repaired");
    let verified = verify(&sim, Path::new(DIR));
    let repaired = repair(&sim, Path::new(DIR), Path::new("/repaired"));
    for answer in [verified.map(drop), repaired.map(drop)] {
        assert!(matches!(&answer, Err(Error::Format { file, .. }) if file == names::MANIFEST), "{answer:?}");
    }
    assert!(sim.contents(DIR) == before && sim.files("/repaired").is_empty());
}

#[test]
fn files_that_nobody_lists_are_noted_and_no_damage() {
    let (sim, number) = closed_with_hints();
    let copy = |from: &str, to: &str| {
        sim.write_file(DIR, to, &sim.read_file(DIR, from).expect("a file"));
    };
    let (segment, hint) = (names::segment(number), names::hint(number));
    let strange =
        [names::segment(77), names::hint(78), names::MANIFEST_NEW.to_string(), names::BACKUP_NEW.to_string()];
    copy(&segment, &strange[0]);
    copy(&hint, &strange[1]);
    copy(names::MANIFEST, &strange[2]);
    copy(names::MANIFEST, &strange[3]);
    sim.write_file(DIR, "notes of the user", b"are not looked at");
    let found = check(&sim);
    assert!(found.is_sound(), "{}", found.to_json());
    let mut noted: Vec<_> = found.findings.notes.listed.iter().map(|note| note.file.clone()).collect();
    noted.sort();
    let mut expected = strange.to_vec();
    expected.sort();
    assert_eq!(noted, expected);
}
