//! `kill -9` at random moments of a load, of recovery, of an open: nothing acknowledged is lost.
//!
//! The test program starts itself as the writer. `BITCASK_KILL_ROUNDS` and `BITCASK_KILL_SEED` choose length and
//! course; a failure prints the seed. When the kill comes is the scheduler's, so a seed gives the same writes but
//! not the same moment.

use crate::support::Scratch;
use crate::{open, read_only, small_segments, wait_until};
use bitcask::engine::Store;
use bitcask::features::batch::Batch;
use bitcask::io::sim::Rng;
use bitcask::options::{IoMode, Options, SyncMode};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const NAME: &str = "kills::no_acknowledged_write_is_lost_by_kill_9";
const KEYS: usize = 40;
/// After so many kills a store is left alone and a new one begun: a large one is killed in its opens only.
const KILLS_OF_ONE_STORE: u64 = 6;

/// Which write put each key's value, for the keys that have one.
type Model = BTreeMap<usize, u64>;

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

/// The value that write number `n` puts under a key.
fn value(seed: u64, n: u64, key: usize) -> Vec<u8> {
    let mut rng = Rng::derive(&[seed, n, key as u64, 2]);
    let len = match rng.below(50) {
        0 => 100_000 + rng.below(100_000),
        1..=5 => rng.below(8000),
        _ => rng.below(300),
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

fn key(key: usize) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

fn apply(model: &mut Model, seed: u64, n: u64) {
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

fn perform(db: &Store, seed: u64, n: u64) -> bitcask::Result<()> {
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

fn holds(db: &Store, seed: u64, model: &Model) -> bool {
    (0..KEYS).all(|at| {
        let found = db.get(&key(at), <[u8]>::to_vec).expect("a sound record");
        found == model.get(&at).map(|n| value(seed, *n, at))
    })
}

/// The writer: begins at write `next` and tells in a file how many writes are acknowledged, until it is killed.
fn load(dir: &Path, acknowledged: &Path, seed: u64, mut next: u64) -> ! {
    let sync =
        [SyncMode::None, SyncMode::IntervalMs(5), SyncMode::Always][Rng::derive(&[seed, next]).below(3)];
    let db = open(dir, &Options { sync, ..small_segments() }).expect("a killed store opens");
    let told = File::options().write(true).open(acknowledged).expect("the parent made it");
    loop {
        perform(&db, seed, next).expect("a write on a healthy disk");
        next += 1;
        told.write_all_at(&next.to_le_bytes(), 0).expect("a write on a healthy disk");
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_acknowledged_write_is_lost_by_kill_9() {
    let seed = setting("BITCASK_KILL_SEED", 1);
    if let Some(home) = std::env::var_os("BITCASK_KILL_WRITER") {
        let home = Path::new(&home);
        load(&home.join("store"), &home.join("acknowledged"), seed, setting("BITCASK_KILL_NEXT", 0));
    }
    let mut scratch = Scratch::new();
    let (mut model, mut done) = (Model::new(), 0u64);
    let (mut idle, mut in_flight, mut writes) = (0, 0, 0);
    let rounds = setting("BITCASK_KILL_ROUNDS", 30);
    for round in 0..rounds {
        let mut rng = Rng::derive(&[seed, round, 3]);
        if round % KILLS_OF_ONE_STORE == 0 {
            (scratch, model, done) = (Scratch::new(), Model::new(), 0);
        }
        let (dir, acknowledged) = (scratch.path().join("store"), scratch.path().join("acknowledged"));
        let told = || {
            u64::from_le_bytes(fs::read(&acknowledged).expect("a scratch file").try_into().expect("8 bytes"))
        };
        fs::write(&acknowledged, done.to_le_bytes()).expect("a scratch file");
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", NAME, "--nocapture"])
            .env("BITCASK_KILL_WRITER", scratch.path())
            .env("BITCASK_KILL_SEED", seed.to_string())
            .env("BITCASK_KILL_NEXT", done.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program starts once more");
        // Two rounds in three are killed in the load, the third whenever it comes, be it in the open.
        if rng.chance(2, 3) {
            wait_until("the writer writes", || told() > done);
        }
        std::thread::sleep(Duration::from_micros(rng.next_u64() % 30_000));
        writer.kill().expect("the writer is ours");
        let ended = writer.wait().expect("the writer is ours");
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "seed {seed}, round {round}: the writer failed");

        let count = told();
        writes += count - done;
        (done..count).for_each(|n| apply(&mut model, seed, n));
        idle += u64::from(count == done);
        let unopened = !dir.join("manifest.json").exists();
        if unopened {
            continue;
        }
        // One round in two leaves recovery to the next writer, which may be killed in it.
        let io = if rng.chance(1, 2) { IoMode::Mmap } else { IoMode::Pread };
        let options =
            if rng.chance(1, 2) { Options { io, ..read_only() } } else { Options { io, ..small_segments() } };
        let db = open(&dir, &options).unwrap_or_else(|err| panic!("seed {seed}, round {round}: {err}"));
        let stats = db.stats().expect("open");
        assert_eq!((stats.corrupt_records, stats.degraded), (0, None), "seed {seed}, round {round}");
        done = count;
        if !holds(&db, seed, &model) {
            // The write that was under way may be there, though nobody was told so.
            apply(&mut model, seed, done);
            done += 1;
            in_flight += 1;
            assert!(
                holds(&db, seed, &model),
                "seed {seed}, round {round}: not the state of {count} or {done} writes"
            );
        }
        assert_eq!(db.count().expect("open"), model.len() as u64, "seed {seed}, round {round}");
    }
    println!("{rounds} kills, {writes} writes, {in_flight} kills in a write, {idle} before the first write");
    assert!(idle < rounds, "no writer ever got to write");
}
