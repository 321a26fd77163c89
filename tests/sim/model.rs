//! Random operations on the store and on a `BTreeMap` must answer the same.
//!
//! Everything a program can do to a store is drawn, reopening included; a failing sequence is shrunk. The machine
//! is simulated and healthy. `BITCASK_MODEL_CASES` sets the number of sequences, `BITCASK_MODEL_SEED` the draws.

use crate::support;
use crate::support::feeds::{Contents, Owned, alive, contents_of, pull, take_over};
use crate::support::{open, setting};
use bitcask::engine::{Db, Expiry, Feed, Outcome, Snapshot, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::features::expiry::Ttl;
use bitcask::features::repair::repair;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::features::verify::verify;
use bitcask::io::env::Env;
use bitcask::io::sim::Sim;
use bitcask::options::{Codec, Compression, Options, SyncMode};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

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

/// How long a value lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lasts {
    Short,
    Long,
}

const SHORT_MS: u64 = 10_000;
const LONG_MS: u64 = 1 << 40;

impl Lasts {
    fn ms(self) -> u64 {
        if self == Lasts::Short { SHORT_MS } else { LONG_MS }
    }
}

/// What a write expects of a key's version.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expects {
    Right,
    Wrong,
}

#[derive(Clone, Debug)]
enum Operation {
    Put(KeyNumber, Value),
    PutJson(KeyNumber, u16),
    /// Several that have much in common, each twice.
    PutDocuments(u8),
    Delete(KeyNumber),
    PutWith(KeyNumber, Value, Option<Lasts>, Option<Expects>),
    DeleteWith(KeyNumber, Expects),
    /// With what is expected of the first key named.
    BatchWith(Vec<(KeyNumber, Option<Value>)>, Option<Lasts>, Expects),
    Count(KeyNumber, i8),
    Expire(KeyNumber, Lasts),
    Persist(KeyNumber),
    Ttl(KeyNumber),
    /// More than a short time.
    PassTime,
    Batch(Vec<(KeyNumber, Option<Value>)>),
    /// From one key on, up to but not including another.
    DeleteRange(KeyNumber, KeyNumber),
    Get(KeyNumber),
    Exists(KeyNumber),
    GetMany(Vec<KeyNumber>),
    GetPinned(KeyNumber),
    CountKeys,
    Sync,
    LogThread,
    MergeThread,
    Merge(u64),
    /// Whether the checkpoint may be used, too, and how values are compressed from then on.
    Reopen(bool, Option<Codec>),
    Kill,
    ReadOnly,
    /// Follows the feed, and keeps it open from then on or not.
    Follow(bool),
    /// What a batch would do, as changes of another store.
    Apply(Vec<(KeyNumber, Option<Value>)>),
    OpenReader,
    Refresh,
    ReadOn,
    /// Takes a snapshot, which stays.
    Hold,
    /// Compares that with what there was then.
    LookAtHeld,
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
    let applied = vec((key_number(), proptest::option::weighted(0.7, value())), 0..6);
    let batch = || vec((key_number(), proptest::option::weighted(0.7, value())), 0..6);
    let lasts = || prop_oneof![Just(Lasts::Short), Just(Lasts::Long)];
    let lasts_or_not = move || prop_oneof![Just(None), Just(Some(Lasts::Short)), Just(Some(Lasts::Long))];
    let expects = || prop_oneof![2 => Just(Expects::Right), 1 => Just(Expects::Wrong)];
    let put_with = (key_number(), value(), lasts_or_not(), proptest::option::of(expects()));
    prop_oneof![
        20 => (key_number(), value()).prop_map(|(key, value)| Operation::Put(key, value)),
        3 => (key_number(), 0..999u16).prop_map(|(key, number)| Operation::PutJson(key, number)),
        8 => key_number().prop_map(Operation::Delete),
        6 => batch().prop_map(Operation::Batch),
        5 => put_with.prop_map(|(key, value, lasts, expects)| Operation::PutWith(key, value, lasts, expects)),
        2 => (key_number(), expects()).prop_map(|(key, expects)| Operation::DeleteWith(key, expects)),
        2 => (batch(), lasts_or_not(), expects())
            .prop_map(|(batch, lasts, expects)| Operation::BatchWith(batch, lasts, expects)),
        3 => (key_number(), proptest::num::i8::ANY).prop_map(|(key, delta)| Operation::Count(key, delta)),
        2 => (key_number(), lasts()).prop_map(|(key, lasts)| Operation::Expire(key, lasts)),
        1 => key_number().prop_map(Operation::Persist),
        2 => key_number().prop_map(Operation::Ttl),
        2 => Just(Operation::PassTime),
        2 => (key_number(), key_number()).prop_map(|(from, to)| Operation::DeleteRange(from, to)),
        4 => key_number().prop_map(Operation::Get),
        2 => key_number().prop_map(Operation::Exists),
        1 => vec(key_number(), 0..70).prop_map(Operation::GetMany),
        2 => key_number().prop_map(Operation::GetPinned),
        2 => Just(Operation::CountKeys),
        3 => Just(Operation::Sync),
        6 => Just(Operation::LogThread),
        3 => Just(Operation::MergeThread),
        3 => prop_oneof![Just(1), Just(40), Just(70)].prop_map(Operation::Merge),
        3 => (proptest::bool::weighted(0.7), codec()).prop_map(|(checkpoint, codec)| Operation::Reopen(checkpoint, codec)),
        2 => Just(Operation::Kill),
        1 => Just(Operation::ReadOnly),
        2 => Just(Operation::OpenReader),
        4 => proptest::bool::ANY.prop_map(Operation::Follow),
        3 => applied.prop_map(Operation::Apply),
        5 => Just(Operation::Refresh),
        2 => Just(Operation::ReadOn),
        2 => Just(Operation::Hold),
        3 => Just(Operation::LookAtHeld),
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

/// Now and then so many documents that a merge makes a dictionary of them.
fn operation_on_documents() -> impl Strategy<Value = Operation> {
    let documents = proptest::num::u8::ANY.prop_map(Operation::PutDocuments);
    prop_oneof![8 => operation(), 1 => documents, 1 => Just(Operation::Merge(1))]
}

fn sequence(
    operation: impl Strategy<Value = Operation>,
    codec: impl Strategy<Value = Option<Codec>>,
    max_segment_bytes: [u64; 3],
) -> impl Strategy<Value = Sequence> {
    let sync = prop_oneof![Just(SyncMode::None), Just(SyncMode::IntervalMs(5)), Just(SyncMode::Always)];
    let max_segment_bytes = proptest::sample::select(max_segment_bytes.to_vec());
    (sync, max_segment_bytes, codec, vec(operation, 1..40)).prop_map(
        |(sync, max_segment_bytes, codec, operations)| Sequence {
            sync,
            max_segment_bytes,
            codec,
            operations,
        },
    )
}

/// What the store is to hold.
#[derive(Clone, Default)]
struct Model {
    values: BTreeMap<Vec<u8>, (Vec<u8>, Option<Lasts>)>,
    /// Keys that may still be counted.
    expired: BTreeSet<Vec<u8>>,
}

impl Model {
    fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        Some(&self.values.get(key)?.0)
    }

    fn lasts(&self, key: &[u8]) -> Option<Option<Lasts>> {
        Some(self.values.get(key)?.1)
    }

    fn contains_key(&self, key: &[u8]) -> bool {
        self.values.contains_key(key)
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.insert_for(key, value, None);
    }

    fn insert_for(&mut self, key: Vec<u8>, value: Vec<u8>, lasts: Option<Lasts>) {
        self.expired.remove(&key);
        self.values.insert(key, (value, lasts));
    }

    /// Whether it had a value.
    fn remove(&mut self, key: &[u8]) -> bool {
        self.expired.remove(key);
        self.values.remove(key).is_some()
    }

    fn pass_time(&mut self) {
        let is_short = |(_, lasts): &(Vec<u8>, Option<Lasts>)| *lasts == Some(Lasts::Short);
        let gone = self.values.iter().filter(|(_, value)| is_short(value));
        self.expired.extend(gone.map(|(key, _)| key.clone()));
        self.values.retain(|_, value| !is_short(value));
    }

    fn check_count(&self, count: u64) -> Result<(), TestCaseError> {
        let live = self.values.len() as u64;
        let right = (live..=live + self.expired.len() as u64).contains(&count);
        check(right, || format!("count says {count}, there are {live}"))
    }
}

fn check(right: bool, what: impl FnOnce() -> String) -> Result<(), TestCaseError> {
    if right { Ok(()) } else { Err(TestCaseError::fail(what())) }
}

fn failed(err: bitcask::Error) -> TestCaseError {
    TestCaseError::fail(err.to_string())
}

/// A walk through all keys of a snapshot in one direction.
fn walked(snapshot: &Arc<Snapshot<Sim>>, reverse: bool) -> bitcask::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let options = ScanOptions { reverse, ..ScanOptions::default() };
    let mut scan = Scan::new(snapshot.clone(), &options)?;
    let mut found = Vec::new();
    while scan.advance()? {
        found.extend(scan.key().zip(scan.value()).map(|(key, value)| (key.to_vec(), value.to_vec())));
    }
    Ok(found)
}

/// Compares every key, the walks through them and the count.
fn compare(db: &Db<Sim>, model: &Model) -> Result<(), TestCaseError> {
    for number in 0..KEY_NUMBERS {
        let key = key_bytes(number);
        let found = db.get(&key, <[u8]>::to_vec).map_err(failed)?;
        check(found.as_ref() == model.get(&key), || format!("key {number} has another value"))?;
        let exists = db.exists(&key).map_err(failed)?;
        check(exists == model.contains_key(&key), || format!("exists of key {number} says {exists}"))?;
    }
    compare_walks(&Arc::new(db.snapshot().map_err(failed)?), model)?;
    let count = db.count().map_err(failed)?;
    model.check_count(count)
}

fn compare_walks(snapshot: &Arc<Snapshot<Sim>>, model: &Model) -> Result<(), TestCaseError> {
    for reverse in [false, true] {
        let mut found = walked(snapshot, reverse).map_err(failed)?;
        if reverse {
            found.reverse();
        }
        let expected = model.values.iter().map(|(key, (value, _))| (key, value));
        check(expected.eq(found.iter().map(|(key, value)| (key, value))), || {
            format!("another walk, reverse: {reverse}")
        })?;
    }
    Ok(())
}

/// Compares a snapshot with what there was when it was taken, less what has expired since.
fn compare_held(snapshot: &Arc<Snapshot<Sim>>, model: &Model) -> Result<(), TestCaseError> {
    for number in 0..KEY_NUMBERS {
        let key = key_bytes(number);
        let found = snapshot.get(&key, <[u8]>::to_vec).map_err(failed)?;
        check(found.as_ref() == model.get(&key), || format!("key {number} has another value in a snapshot"))?;
    }
    compare_walks(snapshot, model)
}

/// The version that a key is at, or one that it is not at.
fn expected(db: &Db<Sim>, key: &[u8], expects: Expects) -> Result<(u64, u64), TestCaseError> {
    let current = db.meta(key).map_err(failed)?.map_or(0, |meta| meta.version);
    Ok((current, if expects == Expects::Right { current } else { current + 1 }))
}

fn write_options(lasts: Option<Lasts>, expected: Option<u64>) -> WriteOptions {
    let expiry = lasts.map_or(Expiry::Default, |lasts| Expiry::AfterMs(lasts.ms()));
    WriteOptions { expiry, expected }
}

fn add_to_counter(db: &Db<Sim>, model: &mut Model, key: Vec<u8>, delta: i64) -> Result<(), TestCaseError> {
    let sum = match model.get(&key).map(|value| <[u8; 8]>::try_from(&value[..])) {
        None => Some(delta),
        Some(Ok(bytes)) => i64::from_le_bytes(bytes).checked_add(delta),
        Some(Err(_)) => None,
    };
    match (sum, db.counter_add(&key, delta)) {
        (Some(sum), Ok(answer)) if answer == sum => {
            let lasts = model.lasts(&key).flatten();
            model.insert_for(key, sum.to_le_bytes().to_vec(), lasts);
            Ok(())
        }
        (None, Err(bitcask::Error::Invalid(_))) => Ok(()),
        (sum, answer) => check(false, || format!("counter_add answered {answer:?} instead of {sum:?}")),
    }
}

fn write_batch(
    db: &Db<Sim>,
    model: &mut Model,
    operations: &[(KeyNumber, Option<Value>)],
    lasts: Option<Lasts>,
    expects: Expects,
) -> Result<(), TestCaseError> {
    let mut batch = Batch::new();
    if let Some((number, _)) = operations.first() {
        let key = key_bytes(*number);
        let (current, version) = expected(db, &key, expects)?;
        batch.expect(&key, version).map_err(failed)?;
        if expects == Expects::Wrong {
            batch.put(&key, b"refused").map_err(failed)?;
            let outcome = db.write(&batch).map_err(failed)?;
            return check(outcome == Outcome::Conflict(current), || format!("{outcome:?} at {current}"));
        }
    }
    for &(number, value) in operations {
        let key = key_bytes(number);
        match value.map(value_bytes) {
            Some(value) => {
                batch.put(&key, &value).map_err(failed)?;
                model.insert_for(key, value, lasts);
            }
            None => {
                batch.delete(&key).map_err(failed)?;
                model.remove(&key);
            }
        }
    }
    let outcome = db.write_with(&batch, &write_options(lasts, None)).map_err(failed)?;
    check(outcome.version().is_some(), || format!("a batch answered {outcome:?}"))
}

/// Applies puts and deletions, with versions that neither rise nor are above the store's own, and `number` as the cursor.
fn apply(
    db: &Db<Sim>,
    model: &mut Model,
    operations: &[(KeyNumber, Option<Value>)],
    number: u64,
) -> Result<(), TestCaseError> {
    let held: Vec<_> =
        operations.iter().map(|(key, value)| (key_bytes(*key), value.map(value_bytes))).collect();
    let change = |(at, (key, value)): (u64, &(Vec<u8>, Option<Vec<u8>>))| Owned {
        key: key.clone(),
        value: value.clone(),
        version: 1 + (number * 7 + at * 3) % 10,
        deadline: None,
        is_json: false,
        ends_batch: true,
    };
    let changes: Vec<Owned> = (0..).zip(&held).map(change).collect();
    let given: Vec<_> = changes.iter().map(Owned::change).collect();
    db.apply(&given, &number.to_le_bytes()).map_err(failed)?;
    for (key, value) in held {
        match value {
            Some(value) => model.insert(key, value),
            None => drop(model.remove(&key)),
        }
    }
    Ok(())
}

/// One who follows the store's feed: what they hold, and where they go on.
#[derive(Default)]
struct Follower {
    held: Contents,
    cursor: Vec<u8>,
    feed: Option<Feed<Sim>>,
}

impl Follower {
    fn follow(&mut self, db: &Db<Sim>, model: &Model, now_ns: u64, stays: bool) -> Result<(), TestCaseError> {
        let was_open = self.feed.is_some();
        let feed = match self.feed.take() {
            Some(feed) => Some(feed),
            None => db.feed(&self.cursor).map_err(failed)?,
        };
        match feed {
            Some(mut feed) => {
                let changes = pull(&mut feed, usize::MAX);
                let changes = changes.ok_or_else(|| TestCaseError::fail("an open feed lost its way"))?;
                changes.iter().for_each(|change| take_over(&mut self.held, change));
                self.cursor = feed.cursor().map_err(failed)?.to_vec();
                self.feed = Some(feed).filter(|_| stays);
            }
            None => {
                check(!was_open, || "an open feed is gone".to_string())?;
                let snapshot = db.snapshot().map_err(failed)?;
                self.cursor = snapshot.cursor().map_err(failed)?.to_vec();
                self.held = contents_of(snapshot);
            }
        }
        let held = alive(&self.held, now_ns);
        let held = held.iter().map(|(key, change)| (key, change.value.as_ref()));
        let same = held.eq(model.values.iter().map(|(key, (value, _))| (key, Some(value))));
        check(same, || "who follows the feed holds something else".to_string())
    }
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

/// Answers whether merges left a dictionary.
fn run(sequence: &Sequence) -> Result<bool, TestCaseError> {
    let mut options = Options {
        sync: sequence.sync,
        max_segment_bytes: sequence.max_segment_bytes,
        compression: compression(sequence.codec),
        ..Options::default()
    };
    let sim = Sim::new(1);
    if sequence.operations.len().is_multiple_of(2) {
        sim.map_files();
    }
    sim.make_dirs(support::DIR);
    let mut model = Model::default();
    let mut db = open(&sim, &options).map_err(failed)?;
    let mut last_version = 0;
    let mut repaired = 0;
    let mut follower = Follower::default();
    let mut applied = 0u64;
    // A reader that stays beside all that happens, and what it is to show.
    let mut reader: Option<(Db<Sim>, Model)> = None;
    let read_only = Options { read_only: true, ..options.clone() };
    // A snapshot that stays as long as its handle.
    let mut held: Option<(Arc<Snapshot<Sim>>, Model)> = None;
    for operation in &sequence.operations {
        let closes = matches!(operation, Operation::Kill | Operation::ReadOnly | Operation::Repair);
        if closes || matches!(operation, Operation::Reopen(..)) {
            (follower.feed, held) = (None, None);
        }
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
            Operation::PutDocuments(number) => {
                for at in 0..24 {
                    let key = format!("document-{}", at % 12).into_bytes();
                    let value = support::value(support::DOCUMENTS + 32 * u32::from(*number) + at);
                    last_version = db.put(&key, &value).map_err(failed)?;
                    db.step_log_thread().map_err(failed)?;
                    model.insert(key, value);
                }
            }
            Operation::Delete(number) => {
                let key = key_bytes(*number);
                let deleted = db.delete(&key).map_err(failed)?;
                check(deleted == model.remove(&key), || format!("delete answered {deleted}"))?;
            }
            Operation::Batch(operations) => {
                write_batch(&db, &mut model, operations, None, Expects::Right)?;
            }
            Operation::BatchWith(operations, lasts, expects) => {
                write_batch(&db, &mut model, operations, *lasts, *expects)?;
            }
            Operation::PutWith(number, value, lasts, expects) => {
                let (key, value) = (key_bytes(*number), value_bytes(*value));
                let (current, version) = expected(&db, &key, expects.unwrap_or(Expects::Right))?;
                let options = write_options(*lasts, expects.map(|_| version));
                let outcome = db.put_with(&key, &value, &options).map_err(failed)?;
                if *expects == Some(Expects::Wrong) {
                    check(outcome == Outcome::Conflict(current), || format!("{outcome:?} at {current}"))?;
                } else {
                    let written =
                        outcome.version().is_some_and(|version| version > last_version.max(current));
                    check(written, || format!("{outcome:?} after {last_version}"))?;
                    model.insert_for(key, value, *lasts);
                }
            }
            Operation::DeleteWith(number, expects) => {
                let key = key_bytes(*number);
                let (current, version) = expected(&db, &key, *expects)?;
                let outcome = db.delete_with(&key, &write_options(None, Some(version))).map_err(failed)?;
                let right = match (expects, current) {
                    (Expects::Wrong, _) => outcome == Outcome::Conflict(current),
                    (Expects::Right, 0) => outcome == Outcome::NotFound && !model.contains_key(&key),
                    (Expects::Right, _) => outcome.version().is_some() && model.remove(&key),
                };
                check(right, || format!("{outcome:?} at {current}"))?;
            }
            Operation::Count(number, delta) => {
                add_to_counter(&db, &mut model, key_bytes(*number), i64::from(*delta))?;
            }
            Operation::Expire(number, lasts) => {
                let key = key_bytes(*number);
                let expires = db.expire(&key, lasts.ms()).map_err(failed)?;
                check(expires == model.contains_key(&key), || format!("expire answered {expires}"))?;
                if let Some(value) = model.get(&key).cloned() {
                    model.insert_for(key, value, Some(*lasts));
                }
            }
            Operation::Persist(number) => {
                let key = key_bytes(*number);
                let persists = db.persist(&key).map_err(failed)?;
                check(persists == model.contains_key(&key), || format!("persist answered {persists}"))?;
                if let Some(value) = model.get(&key).cloned() {
                    model.insert(key, value);
                }
            }
            Operation::Ttl(number) => {
                let key = key_bytes(*number);
                let ttl = db.ttl(&key).map_err(failed)?;
                let right = match model.lasts(&key) {
                    None => ttl.is_none(),
                    Some(None) => ttl == Some(Ttl::Unlimited),
                    Some(Some(Lasts::Short)) => matches!(ttl, Some(Ttl::Ms(ms)) if ms <= SHORT_MS),
                    Some(Some(Lasts::Long)) => matches!(ttl, Some(Ttl::Ms(ms)) if ms > SHORT_MS),
                };
                check(right, || format!("ttl answered {ttl:?}"))?;
            }
            Operation::PassTime => {
                sim.advance_clock_ns(2 * SHORT_MS * 1_000_000);
                model.pass_time();
                let shown = [reader.as_mut().map(|(_, shown)| shown), held.as_mut().map(|(_, shown)| shown)];
                shown.into_iter().flatten().for_each(Model::pass_time);
            }
            Operation::DeleteRange(from, to) => {
                let (lower, upper) = (&key_bytes(*from)[..], &key_bytes(*to)[..]);
                let before = model.values.len();
                model.values.retain(|key, _| &key[..] < lower || !upper.is_empty() && &key[..] >= upper);
                let range = ScanOptions { lower, upper, ..ScanOptions::default() };
                let deleted = db.delete_range(&range).map_err(failed)?;
                check(deleted == (before - model.values.len()) as u64, || format!("{deleted} were deleted"))?;
            }
            Operation::Follow(stays) => follower.follow(&db, &model, sim.now_ns(), *stays)?,
            Operation::Apply(operations) => {
                applied += 1;
                apply(&db, &mut model, operations, applied)?;
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
            Operation::CountKeys => {
                let count = db.count().map_err(failed)?;
                model.check_count(count)?;
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
            Operation::Hold => {
                held = Some((Arc::new(db.snapshot().map_err(failed)?), model.clone()));
            }
            Operation::LookAtHeld => {
                if let Some((snapshot, shown)) = &held {
                    compare_held(snapshot, shown)?;
                }
            }
            Operation::Verify => {
                let found = verify(&sim, Path::new(support::DIR)).map_err(failed)?;
                check(found.is_sound(), || found.to_json())?;
                check(found.records - found.tombstones >= model.values.len() as u64, || found.to_json())?;
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
    if let Some((snapshot, shown)) = held {
        compare_held(&snapshot, &shown)?;
    }
    follower.follow(&db, &model, sim.now_ns(), false)?;
    if let Some((reader, shown)) = reader {
        compare(&reader, &shown)?;
        reader.refresh().map_err(failed)?;
        compare(&reader, &model)?;
    }
    db.close().map_err(failed)?;
    let db = open(&sim, &options).map_err(failed)?;
    compare(&db, &model)?;
    let cursor = db.applied_cursor().map_err(failed)?;
    let stored = cursor.is_none_or(|cursor| *cursor == applied.to_le_bytes());
    check(stored, || "another cursor than the last".to_string())?;
    check(db.applied_cursor().map_err(failed)?.is_some() == (applied > 0), || "no cursor".to_string())?;
    let stats = db.stats().map_err(failed)?;
    check(stats.corrupt_records == 0 && stats.degraded.is_none(), || {
        "damage after a clean close".to_string()
    })?;
    check(stats.recovered_records == 0, || "a clean close was recovered".to_string())?;
    Ok(!support::segments_with_dictionary(&sim).is_empty())
}

/// Runs so many sequences, and answers after how many of them there was a dictionary.
fn run_all(cases: u64, sequences: impl Strategy<Value = Sequence>) -> u64 {
    let seed = setting("BITCASK_MODEL_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = u32::try_from(cases).expect("a number of cases");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let with_dictionary = Cell::new(0);
    let outcome = TestRunner::new_with_rng(config, rng).run(&sequences, |sequence| {
        with_dictionary.set(with_dictionary.get() + u64::from(run(&sequence)?));
        Ok(())
    });
    match outcome {
        Ok(()) => println!("{cases} sequences, seed {seed}, {} with a dictionary", with_dictionary.get()),
        Err(TestError::Fail(reason, sequence)) => panic!("seed {seed}: {reason}\n{sequence:#?}"),
        Err(TestError::Abort(reason)) => panic!("seed {seed}: {reason}"),
    }
    with_dictionary.get()
}

#[test]
fn the_store_answers_as_a_map_does() {
    run_all(setting("BITCASK_MODEL_CASES", 20_000), sequence(operation(), codec(), [300, 1024, 16 << 10]));
}

#[test]
fn the_store_answers_as_a_map_does_when_merges_make_dictionaries() {
    let cases = setting("BITCASK_MODEL_CASES", 20_000) / 20;
    let sequences = sequence(operation_on_documents(), Just(Some(Codec::Zstd)), [2048, 3000, 6000]);
    let with_dictionary = run_all(cases, sequences);
    assert!(with_dictionary >= cases / 10, "{with_dictionary} of {cases}");
}
