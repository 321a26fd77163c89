//! A load whose every write follows from its number, and what it leaves.

use bitcask::engine::Store;
use bitcask::features::batch::Batch;
use bitcask::io::sim::Rng;
use std::collections::BTreeMap;

/// How many keys there are.
const KEYS: usize = 40;

/// Which write put each key's value, for the keys that have one.
pub(crate) type Model = BTreeMap<usize, u64>;

enum Write {
    Put(usize),
    Delete(usize),
    Batch(Vec<(usize, bool)>),
}

/// Write number `n` of a load.
fn write(seed: u64, n: u64) -> Write {
    let mut rng = Rng::derive(&[seed, n, 1]);
    match rng.below(10) {
        0..=5 => Write::Put(rng.below(KEYS)),
        6..=7 => Write::Delete(rng.below(KEYS)),
        _ => {
            let first = rng.below(KEYS);
            Write::Batch((0..2 + rng.below(5)).map(|at| ((first + at) % KEYS, rng.chance(3, 4))).collect())
        }
    }
}

/// The value that write number `n` puts under a key; it ends with the number.
fn value(seed: u64, n: u64, key: usize) -> Vec<u8> {
    let mut rng = Rng::derive(&[seed, n, key as u64, 2]);
    let len = match rng.below(50) {
        0 => 100_000 + rng.below(100_000),
        1..=5 => rng.below(8000),
        _ => rng.below(300),
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes.extend_from_slice(&n.to_le_bytes());
    bytes
}

fn key(key: usize) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

pub(crate) fn apply(model: &mut Model, seed: u64, n: u64) {
    let operations = match write(seed, n) {
        Write::Put(key) => vec![(key, true)],
        Write::Delete(key) => vec![(key, false)],
        Write::Batch(operations) => operations,
    };
    for (key, present) in operations {
        if present {
            model.insert(key, n)
        } else {
            model.remove(&key)
        };
    }
}

pub(crate) fn perform(db: &Store, seed: u64, n: u64) -> bitcask::Result<()> {
    match write(seed, n) {
        Write::Put(at) => db.put(&key(at), &value(seed, n, at)).map(drop),
        Write::Delete(at) => db.delete(&key(at)).map(drop),
        Write::Batch(operations) => {
            let mut batch = Batch::new();
            for (at, present) in operations {
                match present {
                    true => batch.put(&key(at), &value(seed, n, at))?,
                    false => batch.delete(&key(at))?,
                }
            }
            db.write(&batch).map(drop)
        }
    }
}

/// Which write put each key's value.
pub(crate) fn observe(db: &Store, seed: u64) -> Model {
    let mut model = Model::new();
    for at in 0..KEYS {
        if let Some(found) = db.get(&key(at), <[u8]>::to_vec).expect("a sound record") {
            let n = u64::from_le_bytes(*found.last_chunk().expect("a value with its number"));
            assert!(found == value(seed, n, at), "key {at} has a value that nobody put");
            model.insert(at, n);
        }
    }
    assert_eq!(db.count().expect("open"), model.len() as u64, "it counts other keys than it has");
    model
}

/// A setting from the environment, for long runs.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
