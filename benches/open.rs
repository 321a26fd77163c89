//! How long an open takes, and the first get after it: after a clean close, and after a kill, with hints and without.
//!
//!     cargo bench --bench open -- [KEYS] [KEY_LEN]
//!
//! Beside each figure stand plain reads of the checkpoint, of the hints and of the segments, on both cores in the same
//! round: the least that an open can take that reads the one or the other. Where it says so, the files are out of the page
//! cache, as after a restart of the machine. A directory copied while the store is open and idle is what a kill leaves.
//! `BITCASK_BENCH_DIR` names where the stores go.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of keys")]
#![expect(unsafe_code, reason = "posix_fadvise has no safe wrapper")]

mod common;

use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::{MergePolicy, Options};
use common::{Scratch, VALUE_LEN, fill, key, median, number, plain_read, value};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 5;

fn open(dir: &Path) -> Store {
    Store::open(Disk, dir, &Options::default()).expect("the scratch store opens")
}

/// Only what is on the device can be forgotten.
fn sync_all(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("a listing") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
        file.sync_all().expect("a sync");
    }
}

/// Asks the system to forget what it has cached of the files.
fn forget(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("a listing") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
        // SAFETY: no pointers are passed, and the descriptor is open.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// Seconds: of an open, of it and a first get, of a close right after, of plain reads of the checkpoint, the hints and
/// the segments.
type Round = [f64; 6];

/// `ready` is called before each.
fn timed_open(dir: &Path, keys: u64, key: &[u8], ready: impl Fn(&Path)) -> Round {
    let [checkpoint, hints, data] = ["checkpoint", "hint", "data"].map(|ending| {
        ready(dir);
        plain_read(dir, ending)
    });
    ready(dir);
    let begin = Instant::now();
    let db = open(dir);
    let took = begin.elapsed().as_secs_f64();
    assert!(db.get(key, |_| ()).expect("a get").is_some());
    let got = begin.elapsed().as_secs_f64();
    assert_eq!(db.count().expect("a count"), keys);
    let begin = Instant::now();
    db.close().expect("a clean close");
    [took, got, begin.elapsed().as_secs_f64(), checkpoint, hints, data]
}

fn copy(from: &Path, to: &Path, endings: &[&str]) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a listing") {
        let name = entry.expect("an entry").file_name();
        if endings.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
            std::fs::copy(from.join(&name), to.join(&name)).expect("a copy");
        }
    }
}

fn report(what: &str, round: impl Fn() -> Round) {
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| round()).collect();
    let [took, got, closed, checkpoint, hints, data] =
        [0, 1, 2, 3, 4, 5].map(|at| median(rounds.iter().map(|round| round[at]).collect()));
    println!(
        "open {what:<40} {took:>7.4} s, with a first get {got:>7.4} s  plain read of checkpoint {checkpoint:>6.3} s, \
         of hints {hints:>6.3} s, of segments {data:>6.3} s; close {closed:>6.3} s"
    );
}

fn main() {
    let (keys, key_len) = (number(0, 1_000_000), number(1, 16) as usize);
    let scratch = Scratch::new();
    let (live, copied) = (scratch.path("live"), scratch.path("copied"));
    let db = open(&live);
    let mut name = key(0, key_len);
    for n in 0..keys {
        fill(&mut name, n);
        db.put(&name, &value(n)).expect("a put");
    }
    db.sync().expect("a sync");
    // Makes the hints that are missing.
    db.merge(&MergePolicy { trigger_percent: 100, ..MergePolicy::default() }).expect("nothing to merge");
    println!("{keys} keys of {key_len} bytes, values of {VALUE_LEN} bytes, each put once");
    let all: &[_] = &["data", "hint", "json"];
    report("after a kill", || {
        copy(&live, &copied, all);
        timed_open(&copied, keys, &name, |_| ())
    });
    let begin = Instant::now();
    db.close().expect("a clean close");
    println!("close, with a checkpoint {:>6.3} s", begin.elapsed().as_secs_f64());
    report("after a clean close", || timed_open(&live, keys, &name, |_| ()));
    sync_all(&live);
    report("after a clean close, from the device", || timed_open(&live, keys, &name, forget));
    report("after a clean close, without checkpoint", || {
        copy(&live, &copied, all);
        timed_open(&copied, keys, &name, |_| ())
    });
    let without_hints: &[_] = &["data", "json"];
    for (what, ready) in
        [("without hints", (|_| ()) as fn(&Path)), ("without hints, from the device", forget)]
    {
        report(what, || {
            copy(&live, &copied, without_hints);
            sync_all(&copied);
            timed_open(&copied, keys, &name, ready)
        });
    }
}
