//! What the engine's tests share: random histories, a model of what each must leave, and a checker.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod crashes;
pub mod damaged;
pub mod feeds;
pub mod gated;

use bitcask::engine::{Change, Db, Outcome, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::format::dictionary_record::KIND;
use bitcask::format::record::{Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::Env;
use bitcask::io::sim::{Rng, Sim};
use bitcask::options::{Codec, Compression, MergePolicy, Options, SyncMode};
use bitcask::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Where every simulated store lives.
pub const DIR: &str = "/store";
/// How many different keys histories use.
pub const KEYS: usize = 10;

/// One write: what it does to each key it touches.
#[derive(Clone, Debug)]
pub enum Write {
    /// Put value number `1` under key `0`.
    Put(usize, u32),
    /// Delete a key.
    Delete(usize),
    /// Put a value if the key is at the version that it is at.
    PutExpecting(usize, u32),
    /// Add 1 to a counter; another value is put again as it is.
    Count(usize),
    /// Let a value expire in the far future.
    Expire(usize),
    /// Let it not.
    Persist(usize),
    /// A batch of puts and deletions. One of an even number of operations says at which version its first key is.
    Batch(Vec<(usize, Option<u32>)>),
    /// The same as changes of another store, with a cursor of this number.
    Apply(Vec<(usize, Option<u32>)>, u32),
    /// Delete the keys from one on, up to but not including another; few enough for one batch.
    DeleteRange(usize, usize),
}

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// A write.
    Write(Write),
    /// `sync`.
    Sync,
    /// A round of the log thread's jobs.
    LogThread,
    /// A round of the merge thread's jobs.
    MergeThread,
    /// A merge of the segments with this share of dead bytes.
    Merge(u64),
    /// Close and open again.
    Reopen,
}

/// What the store holds: the value number of each key, and behind them the number of the cursor that was stored last with
/// applied changes.
pub type State = Vec<Option<u32>>;

/// The state of an empty store.
pub fn empty() -> State {
    vec![None; KEYS + 1]
}

/// Key number `key`; key 0 is the empty key, key 1 a long one.
pub fn key(key: usize) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        1 => vec![b'k'; 300],
        _ => format!("key-{key}").into_bytes(),
    }
}

/// Values from this number on are documents that have much in common.
pub const DOCUMENTS: u32 = 1 << 24;

/// Document number `value`.
fn document(value: u32) -> Vec<u8> {
    let mut rng = Rng::derive(&[u64::from(value), 78]);
    let name = ["alpha", "beta", "gamma", "delta"][rng.below(4)];
    let depends = ["libc6 (>= 2.34)", "libgcc-s1 (>= 3.0)", "zlib1g (>= 1:1.2.0)", "libx11-6", "libgtk-3-0"];
    let depends: Vec<_> = depends.iter().filter(|_| rng.chance(3, 4)).collect();
    let text = format!(
        "{{\"package\":\"lib{name}{}\",\"section\":\"libs\",\"priority\":\"optional\",\"homepage\":\"https://{name}.example\",\
         \"maintainer\":\"Those who keep it <them@lists.example.org>\",\"depends\":{depends:?},\
         \"tags\":[\"implemented-in::c\",\"role::shared-lib\"],\"description\":\"what {name} needs at run time\"}}",
        rng.below(1000)
    );
    text.into_bytes()
}

/// The first value of a counter; each has its number in the upper half.
pub const COUNTER: u32 = 1 << 31;

/// The bytes of value number `value`: any length, now and then longer than what the writer assembles. Every other one
/// repeats itself.
pub fn value(value: u32) -> Vec<u8> {
    if value >= COUNTER {
        return (u64::from(value) << 32).to_le_bytes().to_vec();
    }
    if value >= DOCUMENTS {
        let mut bytes = document(value);
        bytes.extend_from_slice(&value.to_le_bytes());
        return bytes;
    }
    let mut rng = Rng::derive(&[u64::from(value), 77]);
    let len = match rng.below(40) {
        // Several segments long, so that batches with it are too.
        0 => 4096 + rng.below(3000),
        1..=5 => 0,
        6..=20 => rng.below(24),
        _ => rng.below(200),
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    if value % 2 == 1 {
        (8..len).for_each(|at| bytes[at] = bytes[at - 8]);
    }
    let tag = value.to_le_bytes();
    bytes.extend_from_slice(&tag);
    bytes
}

/// A random history of `len` steps.
pub fn history(rng: &mut Rng, len: usize) -> Vec<Step> {
    let mut next_value = 0;
    let mut fresh = || {
        next_value += 1;
        next_value
    };
    (0..len)
        .map(|_| match rng.below(100) {
            0..=44 => Step::Write(Write::Put(rng.below(KEYS), fresh())),
            45..=47 => Step::Write(Write::PutExpecting(rng.below(KEYS), fresh())),
            48..=50 => Step::Write(Write::Count(rng.below(KEYS))),
            51..=52 => Step::Write(Write::Expire(rng.below(KEYS))),
            53..=54 => Step::Write(Write::Persist(rng.below(KEYS))),
            55..=67 => Step::Write(Write::Delete(rng.below(KEYS))),
            68..=69 => Step::Write(Write::DeleteRange(rng.below(KEYS), rng.below(KEYS))),
            70..=79 => {
                let mut keys: Vec<usize> = (0..KEYS).collect();
                let count = 1 + rng.below(4);
                let operations = (0..count).map(|_| {
                    let key = keys.swap_remove(rng.below(keys.len()));
                    (key, rng.chance(2, 3).then(&mut fresh))
                });
                let operations: Vec<_> = operations.collect();
                let sum = operations.iter().filter_map(|(_, number)| *number).sum::<u32>();
                Step::Write(match sum % 3 {
                    0 => Write::Apply(operations, sum),
                    _ => Write::Batch(operations),
                })
            }
            80..=87 => Step::Sync,
            88..=93 => Step::LogThread,
            94..=95 => Step::MergeThread,
            96..=97 => Step::Merge([1, 40, 70][rng.below(3)]),
            _ => Step::Reopen,
        })
        .collect()
}

/// A random history of documents, most of which stay, with merges that make dictionaries of them under
/// [`with_dictionaries`].
pub fn history_of_documents(rng: &mut Rng, len: usize) -> Vec<Step> {
    let mut number = DOCUMENTS;
    let mut put = |key| {
        number += 1;
        Step::Write(Write::Put(key, number))
    };
    let mut steps = Vec::new();
    for key in (0..KEYS).flat_map(|key| [key, key]) {
        steps.extend([put(key), Step::LogThread]);
    }
    let few = |rng: &mut Rng| KEYS - 2 + rng.below(2);
    for _ in 0..10 {
        steps.extend([put(few(rng)), Step::LogThread]);
    }
    steps.push(Step::Merge(1));
    steps.extend((0..len).map(|_| match rng.below(100) {
        0..=44 => put(few(rng)),
        45..=49 => put(rng.below(KEYS)),
        50..=56 => Step::Write(Write::Delete(few(rng))),
        57..=72 => Step::LogThread,
        73..=86 => Step::Merge(1),
        87..=90 => Step::Sync,
        91..=93 => Step::MergeThread,
        _ => Step::Reopen,
    }));
    steps
}

/// Options under which merges of small documents make dictionaries.
pub fn with_dictionaries(sync: SyncMode) -> Options {
    let compression = Some(Compression { min_bytes: 0, ..Compression::new(Codec::Zstd) });
    Options { compression, max_segment_bytes: 2048, ..options(sync) }
}

/// The segments that begin with a dictionary.
pub fn segments_with_dictionary(sim: &Sim) -> Vec<String> {
    let has_one = |name: &String| {
        let bytes = sim.read_file(DIR, name).expect("a file");
        let header = bytes.get(SEGMENT_HEADER_LEN..).and_then(RecordHeader::decode);
        header.is_some_and(|header| {
            header.flags.has(Flags::INTERNAL) && bytes[SEGMENT_HEADER_LEN + header.value_at()] == KIND
        })
    };
    sim.files(DIR).into_keys().filter(|name| name.ends_with(".data") && has_one(name)).collect()
}

/// Options that make small stores rotate often.
pub fn options(sync: SyncMode) -> Options {
    Options { sync, max_segment_bytes: 1024, ..Options::default() }
}

/// With no codec, LZ4 or Zstandard, for values of any length.
pub fn compression(rng: &mut Rng) -> Option<Compression> {
    let codec = [None, Some(Codec::Lz4), Some(Codec::Zstd)][rng.below(3)];
    codec.map(|codec| Compression { min_bytes: 0, ..Compression::new(codec) })
}

/// A policy that merges segments with this share of dead bytes and no others.
pub fn merge_policy(percent: u64) -> MergePolicy {
    let small_segment_bytes = 0;
    MergePolicy {
        trigger_percent: percent,
        threshold_percent: percent,
        small_segment_bytes,
        ..MergePolicy::default()
    }
}

/// Does `write` to the model.
pub fn apply(state: &mut State, write: &Write) {
    match write {
        Write::Put(key, value) | Write::PutExpecting(key, value) => state[*key] = Some(*value),
        Write::Count(key) => state[*key] = counted(state[*key]),
        Write::Expire(_) | Write::Persist(_) => {}
        Write::Delete(key) => state[*key] = None,
        Write::Batch(operations) => operations.iter().for_each(|(key, value)| state[*key] = *value),
        Write::Apply(operations, cursor) => {
            operations.iter().for_each(|(key, value)| state[*key] = *value);
            state[KEYS] = Some(*cursor);
        }
        Write::DeleteRange(from, to) => {
            let (lower, upper) = (key(*from), key(*to));
            let is_within = |at: &usize| key(*at) >= lower && (upper.is_empty() || key(*at) < upper);
            (0..KEYS).filter(is_within).for_each(|at| state[at] = None);
        }
    }
}

/// What adding to a counter makes of a value.
fn counted(value: Option<u32>) -> Option<u32> {
    match value {
        None => Some(COUNTER),
        Some(number) if number >= COUNTER => Some(number + 1),
        other => other,
    }
}

/// What a key is at, as a write may expect it.
fn version<E: Env>(db: &Db<E>, key: &[u8]) -> Result<u64> {
    Ok(db.meta(key)?.map_or(0, |meta| meta.version))
}

/// Does `write` to the store.
pub fn perform<E: Env>(db: &Db<E>, write: &Write) -> Result<()> {
    match write {
        Write::Put(at, number) => db.put(&key(*at), &value(*number)).map(|_| ()),
        Write::PutExpecting(at, number) => {
            let key = key(*at);
            let options = |version| WriteOptions { expected: Some(version), ..WriteOptions::default() };
            let version = version(db, &key)?;
            let refused = db.put_with(&key, b"refused", &options(version + 1))?;
            assert_eq!(refused, Outcome::Conflict(version));
            db.put_with(&key, &value(*number), &options(version)).map(|put| assert!(put.version().is_some()))
        }
        Write::Count(at) => {
            let key = key(*at);
            match db.get(&key, <[u8]>::to_vec)? {
                None => db.counter_add(&key, i64::MIN).map(drop),
                // Of other values of this length the upper half is a number below that of the first counter.
                Some(value) if value.len() == 8 && value[7] >= 0x80 => {
                    db.counter_add(&key, 1 << 32).map(drop)
                }
                Some(value) => db.put(&key, &value).map(drop),
            }
        }
        Write::Expire(at) => db.expire(&key(*at), 1 << 40).map(drop),
        Write::Persist(at) => db.persist(&key(*at)).map(drop),
        Write::Delete(at) => db.delete(&key(*at)).map(|_| ()),
        Write::Batch(operations) => {
            let mut batch = Batch::new();
            for (at, number) in operations {
                match number {
                    Some(number) => batch.put(&key(*at), &value(*number))?,
                    None => batch.delete(&key(*at))?,
                }
            }
            let first = operations.first().filter(|_| operations.len().is_multiple_of(2));
            if let Some((at, _)) = first {
                batch.expect(&key(*at), version(db, &key(*at))?)?;
            }
            db.write(&batch).map(|written| assert!(written.version().is_some()))
        }
        Write::Apply(operations, cursor) => {
            let held: Vec<_> = operations.iter().map(|(at, number)| (key(*at), number.map(value))).collect();
            let changes: Vec<_> = held
                .iter()
                .zip(1..)
                .map(|((key, value), nth)| Change {
                    key,
                    value: value.as_deref(),
                    // As a fill has them: above and below one another, far below the store's own or above them.
                    version: (u64::from(cursor % 2) << 61) + u64::from(*cursor) * 100 + 50 / nth,
                    deadline: None,
                    is_json: false,
                    ends_batch: true,
                })
                .collect();
            db.apply(&changes, &cursor.to_le_bytes())
        }
        Write::DeleteRange(from, to) => {
            let (lower, upper) = (&key(*from)[..], &key(*to)[..]);
            db.delete_range(&ScanOptions { lower, upper, ..ScanOptions::default() }).map(|_| ())
        }
    }
}

/// Opens the store of a simulated machine.
pub fn open(sim: &Sim, options: &Options) -> Result<Db<Sim>> {
    Db::open(sim.clone(), Path::new(DIR), options)
}

/// What the store holds, every byte of every value compared.
pub fn observe<E: Env>(db: &Db<E>) -> std::result::Result<State, String> {
    observe_with(db, 0)
}

/// The same of a store that may still count some keys whose values have expired.
pub fn observe_with<E: Env>(db: &Db<E>, expired: u64) -> std::result::Result<State, String> {
    let mut state = empty();
    for (at, held) in state[..KEYS].iter_mut().enumerate() {
        let found =
            db.get(&key(at), <[u8]>::to_vec).map_err(|err: Error| format!("get of key {at}: {err}"))?;
        let Some(found) = found else {
            continue;
        };
        let tag = found.last_chunk::<4>().ok_or_else(|| format!("key {at} has a value of nobody"))?;
        let number = u32::from_le_bytes(*tag);
        if value(number) != found {
            return Err(format!("key {at} has bytes that were never put"));
        }
        *held = Some(number);
    }
    let count = db.count().map_err(|err| err.to_string())?;
    let known = state.iter().flatten().count() as u64;
    let cursor = db.applied_cursor().map_err(|err| err.to_string())?;
    let cursor = cursor.map(|cursor| <[u8; 4]>::try_from(&*cursor)).transpose();
    state[KEYS] = cursor.map_err(|_| "a cursor of nobody".to_string())?.map(u32::from_le_bytes);
    if !(known..=known + expired).contains(&count) {
        return Err(format!("count says {count}, {known} keys have values"));
    }
    Ok(state)
}

/// Whether walks through the store, either way and of a prefix, come to just what `state` says.
pub fn check_walks<E: Env>(db: &Db<E>, state: &State) -> std::result::Result<(), String> {
    let snapshot = Arc::new(db.snapshot().map_err(|err| format!("a snapshot: {err}"))?);
    for (prefix, reverse) in [(&b""[..], false), (b"", true), (b"key-", false)] {
        let options = ScanOptions { prefix, reverse, ..ScanOptions::default() };
        let mut found = Vec::new();
        let mut scan = Scan::new(snapshot.clone(), &options).map_err(|err| format!("a walk: {err}"))?;
        while scan.advance().map_err(|err| format!("a walk: {err}"))? {
            found.extend(scan.key().zip(scan.value()).map(|(key, value)| (key.to_vec(), value.to_vec())));
        }
        let held =
            state.iter().take(KEYS).enumerate().filter_map(|(at, number)| Some((key(at), value((*number)?))));
        let mut expected: Vec<_> = held.filter(|(key, _)| key.starts_with(prefix)).collect();
        expected.sort();
        if reverse {
            expected.reverse();
        }
        if found != expected {
            return Err(format!("a walk with {options:?} is not that of {state:?}"));
        }
    }
    Ok(())
}

/// A setting from the environment, for long runs.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
