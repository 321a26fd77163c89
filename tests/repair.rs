//! What a repair makes of damaged stores: every key whose newest record is intact, and nothing that was never there.
//!
//! The records of a store are known before it is damaged; which of them are intact afterwards is told by comparing
//! bytes. The newest intact record of each key is what the repaired store must hold. `BITCASK_DAMAGE_SEED` is the first of
//! the histories that the stores come from, `BITCASK_REPAIR_CASES` how many times several places are damaged at once.

mod support;

use bitcask::engine::Db;
use bitcask::features::repair::{Repair, repair};
use bitcask::features::verify::verify;
use bitcask::format::names;
use bitcask::format::record::{Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::{Dir, DirOptions, Env};
use bitcask::io::sim::{Rng, Sim};
use bitcask::options::Options;
use bitcask::segment::scanner::{Scanner, Step};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use support::crashes::manifest;
use support::damaged::{Left, store};
use support::{DIR, KEYS, key, observe, setting};

const DEST: &str = "/dest";
const STEPS: usize = 50;
const RECORDS_AT: u64 = SEGMENT_HEADER_LEN as u64;

fn first_seed() -> u64 {
    setting("BITCASK_DAMAGE_SEED", 3)
}

/// A record as it was before the damage.
#[derive(Clone, Debug)]
struct Written {
    file: String,
    /// Its bytes, padding left out.
    place: Range<u64>,
    key: usize,
    header: RecordHeader,
}

/// All records of a store, oldest first.
fn records(sim: &Sim) -> Vec<Written> {
    let dir =
        sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).expect("a directory");
    let mut all = Vec::new();
    for entry in manifest(sim).segments {
        let name = names::segment(entry.number);
        let file = dir.open(&name, false).expect("a segment");
        let len = sim.files(DIR)[&name];
        let mut scanner = Scanner::new(&file, &name, entry.uid, RECORDS_AT, len);
        while let Step::Record(record) = scanner.step().expect("a healthy disk") {
            let header = record.header;
            let end = record.offset + header.value_at() as u64 + u64::from(header.value_len);
            if !header.flags.has(Flags::INTERNAL) {
                let number = (0..KEYS).find(|at| key(*at) == record.key).expect("a key of the history");
                let (file, place, key) = (name.clone(), record.offset..end, number);
                all.push(Written { file, place, key, header });
            }
        }
    }
    all.sort_by_key(|record| record.header.version);
    all
}

/// What a store holds whose records are `intact`, oldest first: of each key the version of its value.
fn newest<'w>(intact: impl Iterator<Item = &'w Written>) -> BTreeMap<usize, u64> {
    let mut held = BTreeMap::new();
    for record in intact {
        match record.header.flags.has(Flags::TOMBSTONE) {
            true => drop(held.remove(&record.key)),
            false => drop(held.insert(record.key, record.header.version)),
        }
    }
    held
}

/// What a store is found to hold; each value is checked to be one that was put.
fn held(db: &Db<Sim>) -> BTreeMap<usize, u64> {
    observe(db).expect("values that were put");
    let version = |at| Some((at, db.meta(&key(at)).expect("a sound store")?.version));
    (0..KEYS).filter_map(version).collect()
}

fn open_dest(sim: &Sim) -> Db<Sim> {
    Db::open(sim.clone(), Path::new(DEST), &Options::default()).expect("a repaired store opens")
}

fn salvage(sim: &Sim) -> Repair {
    let before = sim.contents(DIR);
    let done = repair(sim, Path::new(DIR), Path::new(DEST)).expect("a store that can be read");
    assert_eq!(sim.contents(DIR), before, "a repair changed the damaged store");
    done
}

/// Repairs, and compares the result with what is intact. `intact` says so of each record.
fn judge(
    sim: &Sim,
    written: &[Written],
    intact: &[bool],
    is_told: bool,
    what: impl Fn() -> String,
) -> Repair {
    let done = salvage(sim);
    let found = verify(sim, Path::new(DEST)).expect("a store");
    assert!(found.is_sound(), "{}: {}", what(), found.to_json());
    assert_eq!(found.findings.notes.total, 0, "{}: {}", what(), found.to_json());
    let db = open_dest(sim);
    let found = held(&db);
    let kept = |at: &usize| intact[*at];
    let all = newest((0..written.len()).filter(kept).map(|at| &written[at]));
    // A batch that lacks its end at the end of the log was never acknowledged, for all that anyone can tell.
    let last = written.iter().rposition(|record| !record.file.is_empty()).unwrap_or(0);
    let end = (0..written.len()).rev().find(kept).filter(|&at| {
        written[at].header.flags.has(Flags::BATCH_CONTINUES) && written[at].file == written[last].file
    });
    let version = end.map(|at| written[at].header.version);
    let in_batch = |at: &usize| Some(written[*at].header.version) == version;
    let without = newest((0..written.len()).filter(|at| kept(at) && !in_batch(at)).map(|at| &written[at]));
    assert!(found == all || found == without, "{}: {found:?} instead of {all:?}: {}", what(), done.to_json());
    if found == all {
        assert_eq!((done.keys, db.count().expect("a count")), (all.len() as u64, all.len() as u64));
    }
    // Whatever is not as it was is told, as far as anybody can tell.
    for (at, version) in newest(written.iter()) {
        if found.get(&at) != Some(&version) {
            let listed = done.lost.listed.iter().any(|lost| lost.key == Some(key(at)));
            let told = listed || done.holes > 0 || done.left_out > 0;
            assert!(told || !is_told, "key {at} of {}: {}", what(), done.to_json());
        }
    }
    db.close().expect("a close");
    done
}

/// Harm to a segment, by file and bytes.
fn intact_after(written: &[Written], file: &str, harmed: &Range<u64>) -> Vec<bool> {
    // A cut takes the padding, too, and then the next record is not where it was.
    let touched = |record: &Written| {
        let end =
            if harmed.end == u64::MAX { record.place.end.next_multiple_of(8) } else { record.place.end };
        record.file == file && record.place.start < harmed.end && harmed.start < end
    };
    written.iter().map(|record| !touched(record)).collect()
}

/// What is missing beside the harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Nothing,
    Manifest,
    ManifestAndHints,
}

fn take_away(sim: &Sim, missing: Missing) {
    for name in sim.files(DIR).into_keys() {
        let is_hint = names::parse_hint(&name).is_some() && missing == Missing::ManifestAndHints;
        if is_hint || name == names::MANIFEST && missing != Missing::Nothing {
            sim.remove_file(DIR, &name);
        }
    }
}

#[test]
fn all_of_a_sound_store_is_salvaged_with_or_without_a_manifest() {
    for seed in first_seed()..first_seed() + 150 {
        for left in [Left::Closed, Left::Killed] {
            for missing in [Missing::Nothing, Missing::Manifest, Missing::ManifestAndHints] {
                let store = store(seed, STEPS, left);
                let image = store.image();
                take_away(&image, missing);
                let done = salvage(&image);
                assert_eq!((done.holes, done.lost.total, done.left_out), (0, 0, 0), "{}", done.to_json());
                assert_eq!(done.source.is_sound(), missing == Missing::Nothing);
                let found = observe(&open_dest(&image)).expect("values that were put");
                assert_eq!(found, *store.last(), "seed {seed}, {left:?}, {missing:?}");
            }
        }
    }
}

/// A bit of every byte of every file, and every length.
fn harm_everything(left: Left, missing: Missing) {
    let mut cases = 0;
    for seed in first_seed()..first_seed() + 1 + u64::from(missing == Missing::Nothing) {
        let store = store(seed, STEPS, left);
        let (written, mut rng) = (records(&store.sim), Rng::derive(&[seed, 42]));
        for (name, bytes) in store.sim.contents(DIR) {
            if missing != Missing::Nothing && name == names::MANIFEST {
                continue;
            }
            let len = bytes.len() as u64;
            for (at, is_cut) in (0..len).flat_map(|at| [(at, false), (at, true)]) {
                let image = store.image();
                let harmed = if is_cut { at..u64::MAX } else { at..at + 1 };
                match is_cut {
                    false => image.corrupt(DIR, &name, at, 1 << rng.below(8)),
                    true => image.cut_file(DIR, &name, at),
                }
                take_away(&image, missing);
                let intact = intact_after(&written, &name, &harmed);
                // Nobody knows how long the newest segment was if it was not closed or there is no manifest, nor, then,
                // that an empty one was none.
                let is_newest = written.last().is_some_and(|last| last.file == name);
                let is_stated = (missing, left) == (Missing::Nothing, Left::Closed);
                let is_told = !is_cut || is_stated || !is_newest && (at > 0 || missing == Missing::Nothing);
                judge(&image, &written, &intact, is_told, || {
                    format!("seed {seed}, {left:?}, {missing:?}, {name}, byte {at}, cut: {is_cut}")
                });
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 5000);
}

#[test]
fn whatever_byte_or_length_of_a_closed_store_is_wrong_all_else_is_salvaged() {
    harm_everything(Left::Closed, Missing::Nothing);
}

#[test]
fn whatever_byte_or_length_of_a_killed_store_is_wrong_all_else_is_salvaged() {
    harm_everything(Left::Killed, Missing::Nothing);
}

#[test]
fn whatever_byte_or_length_is_wrong_without_a_manifest_all_else_is_salvaged() {
    harm_everything(Left::Closed, Missing::Manifest);
}

#[test]
fn whatever_byte_or_length_is_wrong_without_manifest_and_hints_all_else_is_salvaged() {
    harm_everything(Left::Killed, Missing::ManifestAndHints);
}
