//! `kill -9` at random moments of a load, of recovery, of an open: nothing acknowledged is lost.
//!
//! The test program starts itself as the writer. `BITCASK_KILL_ROUNDS` and `BITCASK_KILL_SEED` choose length and
//! course; a failure prints the seed. When the kill comes is the scheduler's, so a seed gives the same writes but
//! not the same moment.

use crate::load::{Model, apply, observe, perform, setting};
use crate::support::Scratch;
use crate::{open, read_only, small_segments, wait_until};
use bitcask::io::sim::Rng;
use bitcask::options::{IoMode, Options, SyncMode};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const NAME: &str = "kills::no_acknowledged_write_is_lost_by_kill_9";
/// After so many kills a store is left alone and a new one begun: a large one is killed in its opens only.
const KILLS_OF_ONE_STORE: u64 = 6;

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
        let found = observe(&db, seed);
        if found != model {
            // The write that was under way may be there, though nobody was told so.
            apply(&mut model, seed, done);
            done += 1;
            in_flight += 1;
            assert_eq!(found, model, "seed {seed}, round {round}: not the state of {count} or {done} writes");
        }
    }
    println!("{rounds} kills, {writes} writes, {in_flight} kills in a write, {idle} before the first write");
    assert!(idle < rounds, "no writer ever got to write");
}
