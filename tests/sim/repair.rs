//! What a repair makes of damaged stores: every key whose newest record is intact, and nothing that was never there.
//!
//! The records of a store are known before it is damaged; which of them are intact afterwards is told by comparing
//! bytes. The newest intact record of each key is what the repaired store must hold. `BITCASK_DAMAGE_SEED` is the first of
//! the histories that the stores come from, `BITCASK_REPAIR_CASES` how many times several places are damaged at once.

use crate::support;
use crate::support::crashes::manifest;
use crate::support::damaged::{Left, store};
use crate::support::{DIR, KEYS, key, observe, setting};
use bitcask::Error;
use bitcask::engine::{Db, Expiry, WriteOptions};
use bitcask::features::documents::JsonAnswer;
use bitcask::features::repair::{Repair, repair};
use bitcask::features::verify::verify;
use bitcask::format::checksum::crc32c;
use bitcask::format::coding::set_u32;
use bitcask::format::manifest::{Manifest, SegmentState};
use bitcask::format::names;
use bitcask::format::record::{Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::{Dir, DirOptions, Env};
use bitcask::io::sim::{FaultPlan, Rng, Sim, Survival};
use bitcask::options::{Codec, Compression, MergeMode, Options};
use bitcask::segment::scanner::{Scanner, Step};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

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

fn index(at: u64) -> usize {
    usize::try_from(at).expect("small files")
}

/// Several places at once: flipped bits, stretches of zeros or of other bytes, sectors that cannot be read, files cut short
/// or gone.
#[test]
fn whatever_is_intact_among_many_damages_is_salvaged() {
    let cases = setting("BITCASK_REPAIR_CASES", 1500);
    let mut kinds = [0u64; 6];
    for seed in first_seed()..first_seed() + cases {
        let mut rng = Rng::derive(&[seed, 43]);
        let left = [Left::Closed, Left::Killed][rng.below(2)];
        let store = store(seed % 40 + first_seed(), STEPS, left);
        let missing = [Missing::Nothing, Missing::Manifest, Missing::ManifestAndHints][rng.below(3)];
        let (image, written) = (store.image(), records(&store.sim));
        take_away(&image, missing);
        let mut unreadable: Vec<(String, Range<u64>)> = Vec::new();
        // Without a manifest a header may be all that tells whose a segment is.
        let from = if missing == Missing::Nothing { 0 } else { SEGMENT_HEADER_LEN };
        for _ in 0..1 + rng.below(5) {
            let names: Vec<_> = image.files(DIR).into_iter().filter(|(_, len)| *len > RECORDS_AT).collect();
            let Some((name, len)) = names.get(rng.below(names.len().max(1))) else { break };
            let is_unreadable = unreadable.iter().any(|(harmed, _)| harmed == name);
            if name == names::MANIFEST || is_unreadable {
                continue;
            }
            let len = usize::try_from(*len).expect("a small file");
            let start = from + rng.below(len - from);
            let end = (start + 1 + rng.below(300)).min(len);
            let kind = rng.below(6);
            match kind {
                0 => image.corrupt(DIR, name, start as u64, 1 << rng.below(8)),
                1 | 2 => {
                    let mut bytes = image.read_file(DIR, name).expect("the file");
                    match kind {
                        1 => bytes[start..end].fill(0),
                        _ => rng.fill(&mut bytes[start..end]),
                    }
                    image.write_file(DIR, name, &bytes);
                }
                3 if start / 512 * 512 >= from => {
                    let sectors = start as u64 / 512 * 512..(end as u64).next_multiple_of(512);
                    image.damage(DIR, name, sectors.clone());
                    unreadable.push((name.clone(), sectors));
                }
                4 => image.cut_file(DIR, name, start as u64),
                5 if names::parse_hint(name).is_some() || missing == Missing::Nothing => {
                    image.remove_file(DIR, name);
                }
                _ => continue,
            }
            kinds[kind] += 1;
        }
        let (before, mut after) = (store.sim.contents(DIR), image.contents(DIR));
        for (name, harmed) in unreadable {
            // What cannot be read is taken for zeros, and may have been that.
            let Some(bytes) = after.get_mut(&name) else { continue };
            let [start, end] = [harmed.start, harmed.end].map(index).map(|at| at.min(bytes.len()));
            bytes[start..end].fill(0);
        }
        let is_intact = |record: &Written| {
            let place = index(record.place.start)..index(record.place.end);
            let bytes = after.get(&record.file).filter(|bytes| bytes.len() >= place.end.next_multiple_of(8));
            bytes.is_some_and(|bytes| bytes[place.clone()] == before[&record.file][place])
        };
        let intact: Vec<_> = written.iter().map(is_intact).collect();
        judge(&image, &written, &intact, false, || format!("case {seed}, {left:?}, {missing:?}"));
    }
    println!("{cases} cases, {kinds:?} damages of a kind");
    assert!(kinds.iter().all(|&count| count > cases / 10), "{kinds:?}");
}

#[test]
fn versions_deadlines_and_documents_are_kept() {
    let sim = Sim::new(9);
    sim.make_dirs(DIR);
    let db = Db::open(sim.clone(), Path::new(DIR), &Options::default()).expect("a new store");
    let mut entries = BTreeMap::new();
    let expiring = WriteOptions { expiry: Expiry::AfterMs(60_000), ..WriteOptions::default() };
    for number in 0..40u8 {
        let key = [number];
        match number % 3 {
            0 => drop(db.put(&key, &vec![number; usize::from(number) * 9000]).expect("a put")),
            1 => assert!(db.put_with(&key, b"soon gone", &expiring).expect("a put").version().is_some()),
            _ => drop(db.put_json(&key, b"{\"a\": [1, 2.50]}").expect("a put")),
        }
        let value = db.get(&key, <[u8]>::to_vec).expect("a get");
        entries.insert(key, (value, db.meta(&key).expect("a look")));
    }
    let last_version = db.put(b"deleted", b"").and_then(|_| db.delete(b"deleted")).and_then(|_| db.stats());
    let (database, last_version) =
        last_version.map(|stats| (stats.database_id, stats.last_version)).expect("stats");
    db.close().expect("a close");
    let done = salvage(&sim);
    assert!(done.source.is_sound() && done.keys == 40, "{}", done.to_json());
    let db = open_dest(&sim);
    for (key, expected) in entries {
        let found = (db.get(&key, <[u8]>::to_vec).expect("a get"), db.meta(&key).expect("a look"));
        assert!(found == expected, "key {key:?}");
    }
    let document = db.get_json(&[2], "/a/1").expect("a document");
    assert!(matches!(document, JsonAnswer::Found(text) if text == "2.50"));
    assert!(!db.exists(b"deleted").expect("a look"));
    let stats = db.stats().expect("stats");
    assert_eq!(stats.database_id, database, "it is the same database");
    assert!(db.put(b"next", b"").expect("a put") > last_version, "a version is given out twice");
}

#[test]
fn a_repaired_store_has_a_history_of_its_own_and_no_cursor() {
    let store = store(first_seed(), STEPS, Left::Closed);
    let image = store.image();
    salvage(&image);
    let [before, after] = [DIR, DEST].map(|dir| {
        Manifest::decode(&image.read_file(dir, names::MANIFEST).expect("a manifest")).expect("a sound one")
    });
    assert_eq!((after.database, after.hash_secret), (before.database, before.hash_secret));
    assert_ne!(after.history, before.history);
    assert_eq!((after.applied_cursor, after.moved.len(), after.clean_close), (None, 0, None));
    assert!(after.segments.iter().all(|entry| matches!(entry.state, SegmentState::Sealed(_))));
}

#[test]
fn a_repair_is_refused_where_it_could_do_harm() {
    let store = store(first_seed(), STEPS, Left::Closed);
    let image = store.image();
    let before = image.contents(DIR);
    let run = |dest: &str| repair(&image, Path::new(DIR), Path::new(dest)).map(drop).expect_err("a refusal");
    assert!(matches!(run(DIR), Error::Invalid(_)));
    assert!(matches!(run("/store/below"), Error::Invalid(_)) && !image.has_dir("/store/below"));
    image.make_dirs(DEST);
    image.write_file(DEST, "000000000001.data", b"somebody's");
    assert!(matches!(run(DEST), Error::Invalid(what) if what.contains("000000000001.data")));
    assert_eq!(image.contents(DEST).len(), 1);
    image.remove_file(DEST, "000000000001.data");
    let writer = support::open(&image, &store.options).expect("a sound store opens");
    assert!(matches!(run(DEST), Error::Locked { .. }));
    assert!(image.contents(DEST).is_empty(), "a refused repair left files");
    writer.close().expect("a close");
    assert!(before.keys().all(|name| image.files(DIR).contains_key(name)));
    // Files of a newer version are for a newer library.
    let (name, mut bytes) =
        before.into_iter().find(|(name, _)| names::parse_segment(name).is_some()).expect("one");
    set_u32(&mut bytes, 8, 2);
    let crc = crc32c(&bytes[..SEGMENT_HEADER_LEN - 4]);
    set_u32(&mut bytes, SEGMENT_HEADER_LEN - 4, crc);
    image.write_file(DIR, &name, &bytes);
    assert!(matches!(run(DEST), Error::Format { .. }));
    image.remove_file(DIR, names::MANIFEST);
    assert!(matches!(run(DEST), Error::Format { .. }));
    assert!(image.contents(DEST).is_empty(), "a refused repair left files");
}

/// A store that is damaged in a value, and what is left of it.
fn damaged() -> (Sim, BTreeMap<usize, u64>) {
    let store = store(first_seed() + 1, STEPS, Left::Closed);
    let (image, written) = (store.image(), records(&store.sim));
    let harmed = written.iter().rfind(|record| record.header.value_len > 8).expect("a value");
    image.corrupt(DIR, &harmed.file, harmed.place.end - 1, 1);
    let intact = intact_after(&written, &harmed.file, &(harmed.place.end - 1..harmed.place.end));
    let kept = (0..written.len()).filter(|at| intact[*at]).map(|at| &written[at]);
    (image, newest(kept))
}

#[test]
fn a_repair_that_is_cut_off_anywhere_leaves_no_store_or_all_of_it() {
    let (sim, expected) = damaged();
    sim.start_log();
    let source = sim.contents(DIR);
    salvage(&sim);
    let (mut none, mut whole) = (0, 0);
    for op in 0..=sim.op_count() {
        for survival in [Survival::Everything, Survival::SyncedOnly, Survival::Random(1), Survival::Random(2)]
        {
            for torn in [false, true] {
                let image =
                    if torn { sim.crash_within(op.max(1), survival, 7) } else { sim.crash(op, survival) };
                assert_eq!(image.contents(DIR), source, "the damaged store changed");
                match Db::open(
                    image.clone(),
                    Path::new(DEST),
                    &Options { create: false, ..Options::default() },
                ) {
                    Ok(db) => {
                        assert_eq!(held(&db), expected, "operation {op}, {survival:?}");
                        whole += 1;
                    }
                    Err(Error::Corrupt { file, .. }) if file == names::MANIFEST => none += 1,
                    Err(Error::Io { .. }) => none += 1,
                    Err(err) => panic!("operation {op}, {survival:?}: {err}"),
                }
            }
        }
    }
    assert!(none > 20 && whole > 4, "{none} without a store, {whole} with one");
}

#[test]
fn a_repair_that_fails_anywhere_leaves_nothing_and_can_be_done_again() {
    let (sim, expected) = damaged();
    let source = sim.contents(DIR);
    let mut failed = 0;
    for (nth, errno) in (1..).flat_map(|nth| [(nth, libc::EIO), (nth, libc::ENOSPC)]) {
        let image = sim.crash(sim.op_count(), Survival::Everything);
        image.make_dirs(DEST);
        image.fail(FaultPlan::nth(nth).errno(errno));
        let outcome = repair(&image, Path::new(DIR), Path::new(DEST));
        let fired = image.faults_fired() > 0;
        image.clear_faults();
        assert_eq!(image.contents(DIR), source, "the damaged store changed");
        if outcome.is_err() {
            failed += 1;
            // Once the manifest may be there, all that it lists stays.
            let left = image.files(DEST);
            assert!(left.is_empty() || left.contains_key(names::MANIFEST), "call {nth} left {left:?}");
            image.files(DEST).keys().for_each(|name| image.remove_file(DEST, name));
            salvage(&image);
        }
        let found = held(&open_dest(&image));
        let is_less = found.iter().all(|(at, version)| expected.get(at).is_none_or(|known| known >= version));
        // A sector that could not be read once counts as lost.
        assert!(found == expected || outcome.is_ok() && is_less, "call {nth}: {found:?}");
        if !fired {
            break;
        }
    }
    assert!(failed > 10, "{failed} repairs failed");
}

/// What a merge has compressed with a dictionary is salvaged without one; where the dictionary is damaged, what needs it
/// is lost, and nothing else.
#[test]
fn values_that_take_a_dictionary_are_salvaged_as_long_as_it_is_intact() {
    let sim = Sim::new(11);
    sim.make_dirs(DIR);
    let compression = Compression { min_bytes: 0, ..Compression::new(Codec::Zstd) };
    let options = Options {
        merge: MergeMode::Manual,
        compression: Some(compression),
        max_segment_bytes: 1 << 16,
        ..Options::default()
    };
    let db = support::open(&sim, &options).expect("a new store");
    let (key, document) = (
        |number: u32| format!("user-{number:05}"),
        |number: u32| {
            format!(
                "{{\"name\":\"user {number}\",\"email\":\"{number}@example.org\",\"roles\":[\"reader\",\"writer\"],\"n\":{}}}",
                number.wrapping_mul(2_654_435_761)
            )
        },
    );
    for number in 0..6000 {
        // Some are put twice, so that there is something to merge.
        for _ in 0..1 + u32::from(number % 10 == 0) {
            db.put(key(number).as_bytes(), document(number).as_bytes()).expect("a put");
        }
        if number % 20 == 0 {
            db.step_log_thread().expect("jobs on a healthy disk");
        }
    }
    db.merge(&support::merge_policy(1)).expect("a merge on a healthy disk");
    db.close().expect("a close");
    let merged =
        manifest(&sim).segments.into_iter().find(|entry| entry.run.is_some()).expect("a merged segment");
    let name = names::segment(merged.number);
    let header = RecordHeader::decode(&sim.read_file(DIR, &name).expect("it is there")[SEGMENT_HEADER_LEN..]);
    let header = header.expect("a record");
    assert!(header.flags.has(Flags::INTERNAL), "it has no dictionary");
    let done = salvage(&sim);
    assert!(done.source.is_sound() && done.keys == 6000, "{}", done.to_json());
    let db = open_dest(&sim);
    for number in 0..6000 {
        let found = db.get(key(number).as_bytes(), <[u8]>::to_vec).expect("a get");
        assert!(found == Some(document(number).into_bytes()), "document {number}");
    }
    db.close().expect("a close");
    let image = sim.crash(sim.op_count(), Survival::Everything);
    image.files(DEST).keys().for_each(|name| image.remove_file(DEST, name));
    image.corrupt(DIR, &name, RECORDS_AT + header.record_len() / 2, 1);
    let done = salvage(&image);
    assert!(done.keys < 6000 && done.keys + done.lost.total == 6000, "{}", done.keys);
    assert!(verify(&image, Path::new(DEST)).expect("a store").is_sound());
    let db = open_dest(&image);
    for number in 0..6000 {
        let found = db.get(key(number).as_bytes(), <[u8]>::to_vec).expect("a get");
        assert!(found.is_none_or(|found| found == document(number).into_bytes()), "document {number}");
    }
}

#[test]
fn segments_in_files_of_other_names_are_found_by_their_headers() {
    let mut cases = 0;
    for seed in first_seed()..first_seed() + 40 {
        let (store, name) = (store(seed, STEPS, Left::Closed), names::segment);
        let filled = manifest(&store.sim).segments.into_iter().filter(|entry| entry.kept_len() > RECORDS_AT);
        let numbers: Vec<_> = filled.map(|entry| entry.number).collect();
        let [first, .., last] = numbers[..] else { continue };
        let files = store.sim.contents(DIR);
        let (swapped, moved) = (store.image(), store.image());
        swapped.write_file(DIR, &name(first), &files[&name(last)]);
        swapped.write_file(DIR, &name(last), &files[&name(first)]);
        moved.write_file(DIR, &name(last + 500), &files[&name(first)]);
        moved.remove_file(DIR, &name(first));
        for image in [swapped, moved] {
            let done = salvage(&image);
            let told = &done.source.findings.damages.listed;
            let is_told = |number| told.iter().any(|found| found.file == name(number));
            assert!(is_told(first) && (is_told(last) || told.len() == 1), "{}", done.to_json());
            assert_eq!((done.holes, done.lost.total), (0, 0), "seed {seed}: {}", done.to_json());
            let found = observe(&open_dest(&image)).expect("values that were put");
            assert_eq!(found, *store.last(), "seed {seed}: {}", done.to_json());
            cases += 1;
        }
    }
    assert!(cases > 20);
}
