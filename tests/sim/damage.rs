//! Flips every bit and cuts every length of every file of small stores, and judges what is then read.
//!
//! Each key answers its right value or `Corrupt`, never an older value, a deleted key or foreign bytes; what is
//! above the watermark of an unsealed segment may be taken for a torn tail, and then the state is an exact prefix.
//! An open that is refused changes nothing. `BITCASK_DAMAGE_SEED` draws the uids and secrets of the stores, and with
//! them every checksum.

use crate::support::{
    DIR, KEYS, State, Step, Write, apply, empty, key, merge_policy, open, options, perform, setting, value,
};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::format::checksum::crc32c;
use bitcask::format::coding::set_u32;
use bitcask::format::names;
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::{Dir, DirOptions, Env, File};
use bitcask::io::sim::{Sim, Survival};
use bitcask::options::{MergeMode, Options, SyncMode};
use std::ops::Range;
use std::path::Path;

const MANIFEST: &str = "manifest.json";

/// A store of three segments and how it came to be.
struct Store {
    sim: Sim,
    options: Options,
    /// The state after each number of writes.
    states: Vec<State>,
    /// Writes that the markers prove durable, and the newest segment's bytes that they cover.
    synced_writes: usize,
    synced_len: u64,
    killed: bool,
}

impl Store {
    fn last(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    fn image(&self) -> Sim {
        self.sim.crash(self.sim.op_count(), Survival::Everything)
    }
}

fn seed() -> u64 {
    setting("BITCASK_DAMAGE_SEED", 3)
}

/// Puts, deletions and batches over three segments; every key has older versions behind it, some are deleted. An open
/// reads all of it: there is no checkpoint.
fn store(killed: bool) -> Store {
    store_by(steps(), killed, false)
}

/// The same with a hint for each sealed segment, most keys' newest records in these.
fn store_with_hints(checkpoint: bool) -> Store {
    let mut steps = steps();
    steps.push(Step::LogThread);
    steps.extend((300..310).map(|value| Step::Write(Write::Put(9, value))));
    steps.extend([Step::LogThread, Step::MergeThread]);
    store_by(steps, false, checkpoint)
}

fn store_by(steps: Vec<Step>, killed: bool, checkpoint: bool) -> Store {
    // What is there to be damaged is not merged away.
    let options = Options { merge: MergeMode::Manual, checkpoint, ..options(SyncMode::None) };
    let sim = Sim::new(seed());
    sim.make_dirs(DIR);
    let db = open(&sim, &options).expect("a new store opens");
    let mut states = vec![empty()];
    let (mut synced_writes, mut synced_len) = (0, 0);
    for step in steps {
        match step {
            Step::Write(write) => {
                let mut next = states[states.len() - 1].clone();
                apply(&mut next, &write);
                states.push(next);
                perform(&db, &write).expect("a write on a healthy disk");
            }
            Step::Sync => {
                db.sync().expect("a sync on a healthy disk");
                synced_writes = states.len() - 1;
                synced_len = newest_len(&sim);
            }
            Step::LogThread => db.step_log_thread().expect("jobs on a healthy disk"),
            Step::Merge(percent) => {
                db.merge(&merge_policy(percent)).expect("a merge on a healthy disk");
            }
            Step::MergeThread => db.step_merge_thread().expect("jobs on a healthy disk"),
            Step::Reopen => {}
        }
    }
    if killed {
        // Its locks and its memory go; nothing is closed.
        db.poison("killed");
    }
    drop(db);
    sim.start_log();
    Store { sim, options, states, synced_writes, synced_len, killed }
}

fn segments(sim: &Sim) -> Vec<(String, Vec<u8>)> {
    let files = sim.contents(DIR).into_iter();
    files.filter(|(name, bytes)| names::parse_segment(name).is_some() && !bytes.is_empty()).collect()
}

fn newest_len(sim: &Sim) -> u64 {
    segments(sim).last().map_or(0, |(_, bytes)| bytes.len() as u64)
}

fn steps() -> Vec<Step> {
    let mut next = 0;
    let mut put = |key: usize| {
        next += 1;
        Step::Write(Write::Put(key, next))
    };
    let mut steps: Vec<Step> = (0..KEYS).map(&mut put).collect();
    steps.extend([Step::LogThread, Step::Write(Write::Delete(3)), put(4), put(5)]);
    steps.extend([
        Step::Sync,
        put(2),
        Step::Write(Write::Batch(vec![(6, Some(101)), (7, None), (2, Some(102))])),
    ]);
    steps.extend((4..7).map(&mut put));
    steps.extend([Step::LogThread, Step::Write(Write::Delete(8)), put(0), put(1), put(0), put(1), put(2)]);
    steps.extend([
        Step::Sync,
        put(9),
        Step::Write(Write::Batch(vec![(4, None), (5, Some(103))])),
        put(6),
        put(8),
    ]);
    steps
}

/// What a key answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Value(Option<u32>),
    Corrupt,
}

/// Every key's answer, each checked to be bytes that were once put under some key.
fn answers(db: &Db<Sim>) -> Vec<Answer> {
    let read = |at: usize| {
        let found = match db.get(&key(at), <[u8]>::to_vec) {
            Ok(found) => found,
            Err(Error::Corrupt { .. }) => return Answer::Corrupt,
            Err(err) => panic!("key {at}: {err}"),
        };
        let Some(bytes) = found else {
            assert_eq!(db.exists(&key(at)).ok(), Some(false), "exists of absent key {at}");
            return Answer::Value(None);
        };
        assert_eq!(db.exists(&key(at)).ok(), Some(true), "exists of present key {at}");
        let number =
            bytes.last_chunk::<4>().map(|tag| u32::from_le_bytes(*tag)).expect("a value ends in its tag");
        assert_eq!(value(number), bytes, "key {at} has bytes that were never put");
        Answer::Value(Some(number))
    };
    (0..KEYS).map(read).collect()
}

/// What was done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip { offset: u64, bit: u8 },
    Cut { len: u64 },
}

#[derive(Default, Debug)]
struct Tally {
    cases: u64,
    refused: u64,
    whole: u64,
    shortened: u64,
    one_corrupt: u64,
    degraded: u64,
}

fn judge(store: &Store, name: &str, harm: Harm, tally: &mut Tally) {
    let image = store.image();
    match harm {
        Harm::Flip { offset, bit } => image.corrupt(DIR, name, offset, 1 << bit),
        Harm::Cut { len } => image.cut_file(DIR, name, len),
    }
    tally.cases += 1;
    let before = image.contents(DIR);
    let reader = open(&image, &Options { read_only: true, ..store.options.clone() });
    let read_only = reader.map(|db| answers(&db));
    assert_eq!(image.contents(DIR), before, "a reader changed files");
    let db = match open(&image, &store.options) {
        Ok(db) => db,
        Err(Error::Corrupt { .. } | Error::Format { .. }) => {
            assert!(read_only.is_err(), "a reader opens what a writer refuses");
            assert_eq!(image.contents(DIR), before, "a refused open changed files");
            assert_eq!(name, MANIFEST, "a damaged segment kept the store from opening");
            tally.refused += 1;
            return;
        }
        Err(err) => panic!("open: {err}"),
    };
    let found = answers(&db);
    assert_eq!(read_only.expect("a reader opens what a writer opens"), found, "a reader sees something else");
    let corrupt = found.iter().filter(|answer| **answer == Answer::Corrupt).count();
    let stats = db.stats().expect("no fork happened");
    let newest = segments(&store.sim).last().map(|(name, _)| name.clone()).expect("there are segments");
    let unproven = match harm {
        _ if !store.killed || name != newest => false,
        Harm::Flip { offset, .. } => offset >= store.synced_len,
        // Markers lie behind what they prove: those that were cut off prove nothing.
        Harm::Cut { .. } => true,
    };
    if unproven {
        let least = if matches!(harm, Harm::Cut { .. }) { 0 } else { store.synced_writes };
        let prefix = store.states[least..].iter().any(|state| equals(state, &found));
        assert!(prefix, "{found:?} is no prefix of the writes from {least} on");
        assert_eq!((corrupt, stats.degraded.as_ref()), (0, None), "a torn tail was taken for damage");
        tally.shortened += u64::from(!equals(store.last(), &found));
    } else {
        for (at, answer) in found.iter().enumerate() {
            let right = *answer == Answer::Value(store.last()[at]) || *answer == Answer::Corrupt;
            assert!(right, "key {at} answers {answer:?}, right is {:?}", store.last()[at]);
        }
        let told = stats.corrupt_records > 0;
        assert!(corrupt == 0 || told, "{corrupt} keys answer Corrupt and the stats say nothing");
        let hinted = before.contains_key(&name.replace(".data", ".hint"));
        let attributed = hinted && stats.degraded.is_none() && matches!(harm, Harm::Cut { .. });
        assert!(
            corrupt <= 1 || stats.degraded.is_some() || attributed,
            "{corrupt} keys answer Corrupt, not degraded"
        );
        if names::parse_hint(name).is_some() {
            assert!(corrupt == 0 && !told, "a damaged hint cost something");
        }
        if hinted && names::parse_segment(name).is_some() {
            assert_eq!(stats.degraded, None, "the hint knows whose the damaged record is");
        }
        assert!(stats.degraded.is_none() || told, "degraded without a damaged record");
        tally.one_corrupt += u64::from(corrupt == 1 && stats.degraded.is_none());
    }
    tally.whole += u64::from(corrupt == 0 && equals(store.last(), &found));
    tally.degraded += u64::from(stats.degraded.is_some());
    if tally.cases.is_multiple_of(5) {
        heals(db, &image, store, &found);
    }
}

fn equals(state: &State, found: &[Answer]) -> bool {
    state.iter().zip(found).all(|(held, answer)| *answer == Answer::Value(*held))
}

/// A reopen changes no answer; a key that is written or deleted answers again, also after another reopen.
fn heals(db: Db<Sim>, image: &Sim, store: &Store, found: &[Answer]) {
    db.close().expect("a damaged store closes");
    let db = open(image, &store.options).expect("a damaged store opens again");
    assert_eq!(answers(&db), found, "a reopen changed what is read");
    let mut expected = found.to_vec();
    for at in (0..KEYS).filter(|at| found[*at] == Answer::Corrupt) {
        let write = if at % 2 == 0 { Write::Put(at, 200) } else { Write::Delete(at) };
        perform(&db, &write).expect("a damaged store takes writes");
        expected[at] = Answer::Value((at % 2 == 0).then_some(200));
    }
    assert_eq!(answers(&db), expected, "a write did not heal its key");
    db.close().expect("a healed store closes");
    let db = open(image, &store.options).expect("a healed store opens");
    assert_eq!(answers(&db), expected, "a healed key fell ill again");
}

fn harm_everything(store: &Store) -> Tally {
    assert!(segments(&store.sim).len() >= 3);
    let tally = harm_each_file(store);
    assert!(tally.cases > 15_000 && tally.refused > 5000 && tally.one_corrupt > 300 && tally.degraded > 1000);
    tally
}

fn harm_each_file(store: &Store) -> Tally {
    let files = store.sim.contents(DIR);
    let mut tally = Tally::default();
    for (name, bytes) in &files {
        let len = bytes.len() as u64;
        let flips = (0..len).flat_map(|offset| (0..8).map(move |bit| Harm::Flip { offset, bit }));
        for harm in flips.chain((0..len).map(|len| Harm::Cut { len })) {
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                judge(store, name, harm, &mut tally);
            }));
            if judged.is_err() {
                panic!("seed {}: {name}, {harm:?}, synced up to byte {}", seed(), store.synced_len);
            }
        }
    }
    println!("{tally:?}");
    tally
}

#[test]
fn whatever_bit_or_length_of_a_closed_store_is_wrong_no_key_answers_wrong() {
    assert_eq!(harm_everything(&store(false)).shortened, 0);
}

#[test]
fn whatever_bit_or_length_of_a_killed_store_is_wrong_no_key_answers_wrong() {
    assert!(harm_everything(&store(true)).shortened > 100, "the unproven tail was never harmed");
}

#[test]
fn whatever_bit_or_length_of_a_store_with_hints_is_wrong_no_key_answers_wrong() {
    let store = store_with_hints(false);
    let hints = store.sim.contents(DIR).keys().filter(|name| names::parse_hint(name).is_some()).count();
    assert!(hints >= 2, "{hints} hints");
    let tally = harm_each_file(&store);
    assert!(tally.cases > 50_000 && tally.one_corrupt > 3000 && tally.degraded > 1000);
}

/// What the checkpoint does not say of damage is found when it is read.
#[test]
fn whatever_bit_or_length_of_a_store_with_a_checkpoint_is_wrong_no_key_answers_wrong() {
    let store = store_with_hints(true);
    assert!(store.sim.contents(DIR).contains_key(names::CHECKPOINT));
    let tally = harm_each_file(&store);
    assert!(tally.cases > 50_000 && tally.one_corrupt > 3000 && tally.degraded > 100);
}

#[test]
fn whatever_bit_or_length_of_a_merged_store_is_wrong_no_key_answers_wrong() {
    let mut steps = steps();
    steps.push(Step::LogThread);
    steps.extend((300..310).map(|value| Step::Write(Write::Put(9, value))));
    steps.extend([Step::LogThread, Step::Merge(1)]);
    let store = store_by(steps, false, false);
    let tally = harm_each_file(&store);
    assert!(tally.cases > 10_000 && tally.one_corrupt > 3000, "most keys lie in what the merge wrote");
}

#[test]
fn sectors_that_cannot_be_read_do_not_turn_into_absent_keys() {
    let store = store(false);
    for (name, bytes) in segments(&store.sim) {
        for sector in 0..bytes.len().div_ceil(512) as u64 {
            let image = store.image();
            let db = open(&image, &store.options).expect("a healthy store opens");
            image.damage(DIR, &name, sector * 512..sector * 512 + 1);
            for at in 0..KEYS {
                match db.get(&key(at), <[u8]>::to_vec) {
                    Ok(found) => {
                        assert_eq!(found, store.last()[at].map(value), "{name} sector {sector} key {at}")
                    }
                    Err(Error::Io { .. }) => {}
                    Err(err) => panic!("{name} sector {sector} key {at}: {err}"),
                }
            }
        }
    }
}

/// Opens for reading and for writing, expects the same refusal of both, and nothing touched.
fn refused(image: &Sim, options: &Options, expected: fn(&Error) -> bool) {
    let before = image.contents(DIR);
    for read_only in [true, false] {
        match open(image, &Options { read_only, ..options.clone() }) {
            Ok(_) => panic!("it opened, read_only {read_only}"),
            Err(err) => assert!(expected(&err), "read_only {read_only}: {err}"),
        }
        assert_eq!(image.contents(DIR), before, "read_only {read_only}");
    }
}

fn is_corrupt(err: &Error) -> bool {
    matches!(err, Error::Corrupt { .. })
}

fn is_format(err: &Error) -> bool {
    matches!(err, Error::Format { .. })
}

#[test]
fn segments_without_a_manifest_are_corrupt_and_nothing_is_touched() {
    let store = store(false);
    let image = store.image();
    image.remove_file(DIR, MANIFEST);
    refused(&image, &store.options, is_corrupt);
}

#[test]
fn a_manifest_longer_than_one_can_be_is_corrupt_and_costs_no_memory() {
    let sim = store(false).image();
    let file = sim
        .open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 })
        .and_then(|dir| dir.open("manifest.json", true))
        .expect("the manifest");
    file.truncate(1 << 29).expect("a hole");
    let err = open(&sim, &Options::default()).map(drop).expect_err("no manifest");
    assert!(is_corrupt(&err) && err.to_string().contains("536870912 bytes"), "{err}");
}

#[test]
fn a_listed_segment_that_is_missing_is_corrupt_and_nothing_is_touched() {
    for killed in [false, true] {
        let store = store(killed);
        for name in store.sim.contents(DIR).into_keys().filter(|name| name != MANIFEST) {
            let image = store.image();
            image.remove_file(DIR, &name);
            refused(&image, &store.options, is_corrupt);
        }
    }
}

/// The manifest with `from` turned into `to` and the checksum made right again.
fn edited_manifest(store: &Store, from: &str, to: &str) -> Sim {
    let image = store.image();
    let bytes = image.read_file(DIR, MANIFEST).expect("there is a manifest");
    let text = String::from_utf8(bytes).expect("a manifest is text");
    let (body, _) = text.rsplit_once("crc32c ").expect("a manifest ends in its checksum");
    let body = body.replacen(from, to, 1);
    assert!(!text.starts_with(&body), "{from} is not in the manifest");
    image.write_file(DIR, MANIFEST, format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes())).as_bytes());
    image
}

#[test]
fn a_newer_manifest_is_refused_and_nothing_is_touched() {
    let store = store(false);
    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"features\": []", "\"features\": [\"rings\"]"),
        ("\"next_number\"", "\"moon\": 1,\n  \"next_number\""),
        ("\"state\": \"sealed\"", "\"state\": \"frozen\""),
    ] {
        refused(&edited_manifest(&store, from, to), &store.options, is_format);
    }
}

fn newer_header(header: &[u8], field: Range<usize>, number: u32) -> Vec<u8> {
    let mut bytes = header.to_vec();
    set_u32(&mut bytes, field.start, number);
    let crc = crc32c(&bytes[..SEGMENT_HEADER_LEN - 4]);
    set_u32(&mut bytes, SEGMENT_HEADER_LEN - 4, crc);
    bytes
}

const FORMAT_FIELD: Range<usize> = 8..12;
const FEATURES_FIELD: Range<usize> = 12..16;

#[test]
fn a_newer_segment_is_refused_and_nothing_is_touched() {
    for killed in [false, true] {
        let store = store(killed);
        for (name, bytes) in segments(&store.sim) {
            for (field, number) in [(FORMAT_FIELD, 2), (FEATURES_FIELD, 1), (FEATURES_FIELD, 1 << 31)] {
                let image = store.image();
                let head = newer_header(&bytes[..SEGMENT_HEADER_LEN], field, number);
                image.write_file(DIR, &name, &[&head, &bytes[SEGMENT_HEADER_LEN..]].concat());
                refused(&image, &store.options, is_format);
            }
        }
    }
}

#[test]
fn only_orphans_of_this_store_are_removed_and_only_by_a_writer() {
    let store = store(true);
    let image = store.image();
    let (_, ours) = segments(&store.sim).swap_remove(0);
    let foreign = {
        let sim = Sim::new(99);
        sim.make_dirs(DIR);
        let db = open(&sim, &store.options).expect("another store opens");
        db.put(b"k", b"v").expect("a put");
        segments(&sim).swap_remove(0).1
    };
    let newer = newer_header(&ours[..SEGMENT_HEADER_LEN], FORMAT_FIELD, 9);
    let kept: [(&str, &[u8]); 10] = [
        ("000000000700.data", &foreign),
        ("000000000701.data", &newer),
        ("5.data", &ours),
        ("000000000007.DATA", &ours),
        ("+00000000007.data", &ours),
        ("000000000007.data.bak", &ours),
        ("notes.txt", b"mine"),
        ("lost+found", b""),
        ("000000000000.data", &ours),
        ("keydir.checkpoint.old", b"?"),
    ];
    kept.iter().for_each(|(name, bytes)| image.write_file(DIR, name, bytes));
    image.write_file(DIR, "000000000702.data", &ours);
    image.write_file(DIR, "000000000703.data", b"");
    image.make_special(DIR, "000000000704.data");
    image.make_special(DIR, "pipe");
    let before = image.contents(DIR);
    drop(open(&image, &Options { read_only: true, ..store.options.clone() }).expect("a reader opens"));
    assert_eq!(image.contents(DIR), before);
    let db = open(&image, &store.options).expect("a writer opens");
    assert!(equals(store.last(), &answers(&db)));
    let after = image.contents(DIR);
    for (name, bytes) in kept {
        assert_eq!(after.get(name).map(Vec::as_slice), Some(bytes), "{name}");
    }
    assert!(!after.contains_key("000000000702.data") && !after.contains_key("000000000703.data"));
    let newest = after.keys().filter_map(|name| names::parse_segment(name)).max();
    assert!(newest > Some(704), "a number that a name already has was used: {newest:?}");
    let dir =
        image.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).expect("it is there");
    let names = dir.names().expect("a list of names");
    assert!(["pipe", "000000000704.data"].iter().all(|name| names.iter().any(|found| found == name)));
}
