//! Random operations on the store and on a `BTreeMap` must answer the same.
//!
//! Everything a program can do to a store is drawn, reopening included; a failing sequence is shrunk. The machine
//! is simulated and healthy. `BITCASK_MODEL_CASES` sets the number of sequences, `BITCASK_MODEL_SEED` the draws.

mod support;

use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::features::repair::repair;
use bitcask::features::scan::ScanOptions;
use bitcask::features::verify::verify;
use bitcask::io::sim::Sim;
use bitcask::options::{Codec, Compression, Options, SyncMode};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::path::Path;
use support::{open, setting};

const MAX_KEY_LEN: usize = 64 << 10;
const MAX_VALUE_LEN: usize = 40 << 10;

/// A key by its number, so that shrinking keeps sequences readable.
type KeyNumber = u8;
const KEY_NUMBERS: KeyNumber = 8;

/// A value by its length and first byte.
#[derive(Clone, Copy, Debug)]
struct Value {
    len: usize,
    first: u8,
}

#[derive(Clone, Debug)]
enum Operation {
    Put(KeyNumber, Value),
    PutJson(KeyNumber, u16),
    Delete(KeyNumber),
    Batch(Vec<(KeyNumber, Option<Value>)>),
    /// From one key on, up to but not including another.
    DeleteRange(KeyNumber, KeyNumber),
    Get(KeyNumber),
    Exists(KeyNumber),
    GetMany(Vec<KeyNumber>),
    GetPinned(KeyNumber),
    Count,
    Sync,
    LogThread,
    MergeThread,
    Merge(u64),
    /// Whether the checkpoint may be used, too, and how values are compressed from then on.
    Reopen(bool, Option<Codec>),
    Kill,
    ReadOnly,
    OpenReader,
    Refresh,
    ReadOn,
    /// By the writer, or by the reader that stays.
    Backup(bool),
    Verify,
    Repair,
}

#[derive(Clone, Debug)]
struct Sequence {
    sync: SyncMode,
    max_segment_bytes: u64,
    codec: Option<Codec>,
    operations: Vec<Operation>,
}

fn key_bytes(number: KeyNumber) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1 => (0..MAX_KEY_LEN).map(|at| (at % 251).to_le_bytes()[0]).collect(),
        2 => vec![0],
        3 => vec![0; 9],
        4 => vec![0xFF; 300],
        // Differs from key 4 in its last byte alone.
        5 => [vec![0xFF; 299], vec![0xFE]].concat(),
        other => format!("key-{other}").into_bytes(),
    }
}

fn value_bytes(value: Value) -> Vec<u8> {
    // Some that compress well, some that do not.
    let period = if value.first.is_multiple_of(2) { 5 } else { 253 };
    (0..value.len).map(|at| value.first.wrapping_add((at % period).to_le_bytes()[0])).collect()
}

fn document(number: u16) -> Vec<u8> {
    format!("{{ \"n\":{number}.50, \"deep\": [[\"\\u00e9\"]] }}").into_bytes()
}

fn key_number() -> impl Strategy<Value = KeyNumber> {
    // The long key is drawn seldom: it alone would fill the time.
    prop_oneof![40 => 2..KEY_NUMBERS, 4 => Just(0), 1 => Just(1)]
}

fn value() -> impl Strategy<Value = Value> {
    let len = prop_oneof![30 => 0..80usize, 8 => 80..700usize, 2 => 4000..4200usize, 1 => 0..MAX_VALUE_LEN];
    (len, 0..=255u8).prop_map(|(len, first)| Value { len, first })
}

fn operation() -> impl Strategy<Value = Operation> {
    let batch = vec((key_number(), proptest::option::weighted(0.7, value())), 0..6);
    prop_oneof![
        20 => (key_number(), value()).prop_map(|(key, value)| Operation::Put(key, value)),
        3 => (key_number(), 0..999u16).prop_map(|(key, number)| Operation::PutJson(key, number)),
        8 => key_number().prop_map(Operation::Delete),
        6 => batch.prop_map(Operation::Batch),
        2 => (key_number(), key_number()).prop_map(|(from, to)| Operation::DeleteRange(from, to)),
        4 => key_number().prop_map(Operation::Get),
        2 => key_number().prop_map(Operation::Exists),
        1 => vec(key_number(), 0..70).prop_map(Operation::GetMany),
        2 => key_number().prop_map(Operation::GetPinned),
        2 => Just(Operation::Count),
        3 => Just(Operation::Sync),
        6 => Just(Operation::LogThread),
        3 => Just(Operation::MergeThread),
        3 => prop_oneof![Just(1), Just(40), Just(70)].prop_map(Operation::Merge),
        3 => (proptest::bool::weighted(0.7), codec()).prop_map(|(checkpoint, codec)| Operation::Reopen(checkpoint, codec)),
        2 => Just(Operation::Kill),
        1 => Just(Operation::ReadOnly),
        2 => Just(Operation::OpenReader),
        5 => Just(Operation::Refresh),
        2 => Just(Operation::ReadOn),
        2 => proptest::bool::weighted(0.3).prop_map(Operation::Backup),
        2 => Just(Operation::Verify),
        1 => Just(Operation::Repair),
    ]
}

fn codec() -> impl Strategy<Value = Option<Codec>> {
    prop_oneof![Just(None), Just(Some(Codec::Lz4)), Just(Some(Codec::Zstd))]
}

/// `codec` for values of any length.
fn compression(codec: Option<Codec>) -> Option<Compression> {
    codec.map(|codec| Compression { min_bytes: 0, ..Compression::new(codec) })
}

fn sequence() -> impl Strategy<Value = Sequence> {
    let sync = prop_oneof![Just(SyncMode::None), Just(SyncMode::IntervalMs(5)), Just(SyncMode::Always)];
    let max_segment_bytes = prop_oneof![Just(300u64), Just(1024), Just(16 << 10)];
    (sync, max_segment_bytes, codec(), vec(operation(), 1..40)).prop_map(
        |(sync, max_segment_bytes, codec, operations)| Sequence {
            sync,
            max_segment_bytes,
            codec,
            operations,
        },
    )
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn check(right: bool, what: impl FnOnce() -> String) -> Result<(), TestCaseError> {
    if right { Ok(()) } else { Err(TestCaseError::fail(what())) }
}

fn failed(err: bitcask::Error) -> TestCaseError {
    TestCaseError::fail(err.to_string())
}

/// Compares every key and the count.
fn compare(db: &Db<Sim>, model: &Model) -> Result<(), TestCaseError> {
    for number in 0..KEY_NUMBERS {
        let key = key_bytes(number);
        let found = db.get(&key, <[u8]>::to_vec).map_err(failed)?;
        check(found.as_ref() == model.get(&key), || format!("key {number} has another value"))?;
        let exists = db.exists(&key).map_err(failed)?;
        check(exists == model.contains_key(&key), || format!("exists of key {number} says {exists}"))?;
    }
    let count = db.count().map_err(failed)?;
    check(count == model.len() as u64, || format!("count says {count}, there are {}", model.len()))
}

fn write_batch(
    db: &Db<Sim>,
    model: &mut Model,
    operations: &[(KeyNumber, Option<Value>)],
) -> Result<(), TestCaseError> {
    let mut batch = Batch::new();
    for &(number, value) in operations {
        let key = key_bytes(number);
        match value.map(value_bytes) {
            Some(value) => {
                batch.put(&key, &value).map_err(failed)?;
                model.insert(key, value);
            }
            None => {
                batch.delete(&key).map_err(failed)?;
                model.remove(&key);
            }
        }
    }
    db.write(&batch).map(|_| ()).map_err(failed)
}

fn get_many(db: &Db<Sim>, model: &Model, numbers: &[KeyNumber]) -> Result<(), TestCaseError> {
    let keys: Vec<Vec<u8>> = numbers.iter().map(|number| key_bytes(*number)).collect();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut answers = Vec::new();
    db.get_many(&slices, |at, answer| answers.push((at, answer.map(|value| value.map(<[u8]>::to_vec)))))
        .map_err(failed)?;
    check(answers.len() == keys.len(), || format!("{} answers for {} keys", answers.len(), keys.len()))?;
    for (expected, (at, answer)) in answers.into_iter().enumerate() {
        check(at == expected, || format!("answer {expected} is for key {at}"))?;
        let answer = answer.map_err(failed)?;
        check(answer.as_ref() == model.get(&keys[at]), || format!("get_many of key {}", numbers[at]))?;
    }
    Ok(())
}

/// Backs up to where the last backup is, and reads what is there then.
fn back_up(sim: &Sim, db: &Db<Sim>, model: &Model, to: &str) -> Result<(), TestCaseError> {
    db.backup(Path::new(to)).map_err(failed)?;
    let read_only = Options { read_only: true, ..Options::default() };
    let copy = Db::open(sim.clone(), Path::new(to), &read_only).map_err(failed)?;
    compare(&copy, model)
}

/// A repair of a store that needs none makes one like it.
fn salvage(sim: &Sim, model: &Model, to: &str) -> Result<(), TestCaseError> {
    let before = sim.contents(support::DIR);
    let done = repair(sim, Path::new(support::DIR), Path::new(to)).map_err(failed)?;
    check(sim.contents(support::DIR) == before, || "a repair changed the store".to_string())?;
    let nothing_lost = (done.lost.total, done.holes, done.left_out) == (0, 0, 0);
    check(nothing_lost && done.source.is_sound(), || done.to_json())?;
    let found = verify(sim, Path::new(to)).map_err(failed)?;
    check(found.is_sound() && found.tombstones == 0, || found.to_json())?;
    let copy = Db::open(sim.clone(), Path::new(to), &Options::default()).map_err(failed)?;
    compare(&copy, model)
}

fn run(sequence: &Sequence) -> Result<(), TestCaseError> {
    let mut options = Options {
        sync: sequence.sync,
        max_segment_bytes: sequence.max_segment_bytes,
        compression: compression(sequence.codec),
        ..Options::default()
    };
    let sim = Sim::new(1);
    sim.make_dirs(support::DIR);
    let mut model = Model::new();
    let mut db = open(&sim, &options).map_err(failed)?;
    let mut last_version = 0;
    let mut repaired = 0;
    // A reader that stays beside all that happens, and what it is to show.
    let mut reader: Option<(Db<Sim>, Model)> = None;
    let read_only = Options { read_only: true, ..options.clone() };
    for operation in &sequence.operations {
        match operation {
            Operation::Put(number, value) => {
                let (key, value) = (key_bytes(*number), value_bytes(*value));
                let version = db.put(&key, &value).map_err(failed)?;
                check(version > last_version, || format!("version {version} after {last_version}"))?;
                last_version = version;
                model.insert(key, value);
            }
            Operation::PutJson(number, text) => {
                let (key, value) = (key_bytes(*number), document(*text));
                last_version = db.put_json(&key, &value).map_err(failed)?;
                model.insert(key, value);
            }
            Operation::Delete(number) => {
                let key = key_bytes(*number);
                let deleted = db.delete(&key).map_err(failed)?;
                check(deleted == model.remove(&key).is_some(), || format!("delete answered {deleted}"))?;
            }
            Operation::Batch(operations) => write_batch(&db, &mut model, operations)?,
            Operation::DeleteRange(from, to) => {
                let (lower, upper) = (&key_bytes(*from)[..], &key_bytes(*to)[..]);
                let before = model.len();
                model.retain(|key, _| &key[..] < lower || !upper.is_empty() && &key[..] >= upper);
                let range = ScanOptions { lower, upper, ..ScanOptions::default() };
                let deleted = db.delete_range(&range).map_err(failed)?;
                check(deleted == (before - model.len()) as u64, || format!("{deleted} were deleted"))?;
            }
            Operation::Get(number) => {
                let key = key_bytes(*number);
                let found = db.get(&key, <[u8]>::to_vec).map_err(failed)?;
                check(found.as_ref() == model.get(&key), || format!("get of key {number}"))?;
            }
            Operation::Exists(number) => {
                let key = key_bytes(*number);
                let exists = db.exists(&key).map_err(failed)?;
                check(exists == model.contains_key(&key), || format!("exists of key {number}"))?;
            }
            Operation::GetMany(numbers) => get_many(&db, &model, numbers)?,
            Operation::GetPinned(number) => {
                let key = key_bytes(*number);
                let pin = db.get_pinned(&key).map_err(failed)?;
                let value = pin.as_ref().map(|pin| pin.value());
                check(value == model.get(&key).map(Vec::as_slice), || format!("pin of key {number}"))?;
            }
            Operation::Count => {
                let count = db.count().map_err(failed)?;
                check(count == model.len() as u64, || format!("count says {count}"))?;
            }
            Operation::Sync => {
                db.sync().map_err(failed)?;
                let unsynced = db.stats().map_err(failed)?.unsynced_bytes;
                check(unsynced == 0, || format!("{unsynced} bytes unsynced after a sync"))?;
            }
            Operation::LogThread => db.step_log_thread().map_err(failed)?,
            Operation::Merge(percent) => drop(db.merge(&support::merge_policy(*percent)).map_err(failed)?),
            Operation::MergeThread => db.step_merge_thread().map_err(failed)?,
            Operation::Reopen(checkpoint, codec) => {
                db.close().map_err(failed)?;
                options.compression = compression(*codec);
                db = open(&sim, &Options { checkpoint: *checkpoint, ..options.clone() }).map_err(failed)?;
                let used = db.stats().map_err(failed)?.opened_from_checkpoint;
                check(used == 0 || *checkpoint, || "a checkpoint was used against the option".to_string())?;
            }
            Operation::Kill => {
                // What belongs to another process is only forgotten.
                sim.set_process_token(2);
                drop(db);
                sim.set_process_token(1);
                db = open(&sim, &options).map_err(failed)?;
            }
            Operation::OpenReader => {
                let opened = open(&sim, &read_only).map_err(failed)?;
                compare(&opened, &model)?;
                reader = Some((opened, model.clone()));
            }
            Operation::Refresh => {
                if let Some((reader, shown)) = &mut reader {
                    reader.refresh().map_err(failed)?;
                    shown.clone_from(&model);
                    compare(reader, shown)?;
                }
            }
            Operation::ReadOn => {
                if let Some((reader, shown)) = &reader {
                    compare(reader, shown)?;
                }
            }
            Operation::Verify => {
                let found = verify(&sim, Path::new(support::DIR)).map_err(failed)?;
                check(found.is_sound(), || found.to_json())?;
                check(found.records - found.tombstones >= model.len() as u64, || found.to_json())?;
            }
            Operation::Repair => {
                db.close().map_err(failed)?;
                repaired += 1;
                salvage(&sim, &model, &format!("/repaired-{repaired}"))?;
                db = open(&sim, &options).map_err(failed)?;
            }
            Operation::Backup(false) => back_up(&sim, &db, &model, "/backup")?,
            Operation::Backup(true) => {
                if let Some((reader, shown)) = &reader {
                    back_up(&sim, reader, shown, "/backup-of-reader")?;
                }
            }
            Operation::ReadOnly => {
                db.close().map_err(failed)?;
                let before = sim.contents(support::DIR);
                let reader = open(&sim, &read_only).map_err(failed)?;
                compare(&reader, &model)?;
                let refused = matches!(reader.put(b"k", b"v"), Err(bitcask::Error::ReadOnly));
                check(refused, || "a read-only handle took a put".to_string())?;
                reader.close().map_err(failed)?;
                check(sim.contents(support::DIR) == before, || "a reader changed files".to_string())?;
                db = open(&sim, &options).map_err(failed)?;
            }
        }
    }
    compare(&db, &model)?;
    if let Some((reader, shown)) = reader {
        compare(&reader, &shown)?;
        reader.refresh().map_err(failed)?;
        compare(&reader, &model)?;
    }
    db.close().map_err(failed)?;
    let db = open(&sim, &options).map_err(failed)?;
    compare(&db, &model)?;
    let stats = db.stats().map_err(failed)?;
    check(stats.corrupt_records == 0 && stats.degraded.is_none(), || {
        "damage after a clean close".to_string()
    })?;
    check(stats.recovered_records == 0, || "a clean close was recovered".to_string())
}

#[test]
fn the_store_answers_as_a_map_does() {
    let cases = u32::try_from(setting("BITCASK_MODEL_CASES", 20_000)).expect("a number of cases");
    let seed = setting("BITCASK_MODEL_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng).run(&sequence(), |sequence| run(&sequence));
    match outcome {
        Ok(()) => println!("{cases} sequences, seed {seed}"),
        Err(TestError::Fail(reason, sequence)) => panic!("seed {seed}: {reason}\n{sequence:#?}"),
        Err(TestError::Abort(reason)) => panic!("seed {seed}: {reason}"),
    }
}
