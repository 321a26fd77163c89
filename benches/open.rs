//! How long an open takes: after a clean close, and after a kill.
//!
//! Beside each figure stands a plain read of the same segments on both cores in the same round, which is the least
//! that an open can take that verifies every byte. The last pair has the files out of the page cache, as after a
//! restart of the machine: both then wait for the device. A directory copied while the store is open and idle is what a
//! kill leaves. `cargo bench --bench open -- KEYS [KEY_LEN]`; `BITCASK_BENCH_DIR` names where the stores go.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of keys")]
#![expect(unsafe_code, reason = "posix_fadvise has no safe wrapper")]

mod common;

use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::Options;
use common::{Scratch, VALUE_LEN, fill, key, median, number, plain_read, value};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 5;

fn open(dir: &Path) -> Store {
    Store::open(Disk, dir, &Options::default()).expect("the scratch store opens")
}

/// Asks the system to forget what it has cached of the files.
fn forget(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("a listing") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
        // SAFETY: no pointers are passed, and the descriptor is open.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// Seconds that an open took, and that a plain read of the same bytes took just before. `ready` is called before each.
fn timed_open(dir: &Path, keys: u64, ready: impl Fn(&Path)) -> (f64, f64) {
    ready(dir);
    let plain = plain_read(dir);
    ready(dir);
    let begin = Instant::now();
    let db = open(dir);
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(db.count().expect("a count"), keys);
    (took, plain)
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a listing") {
        let name = entry.expect("an entry").file_name();
        std::fs::copy(from.join(&name), to.join(&name)).expect("a copy");
    }
}

fn report(what: &str, rounds: Vec<(f64, f64)>) {
    let took = median(rounds.iter().map(|round| round.0).collect());
    let plain = median(rounds.iter().map(|round| round.1).collect());
    println!("open {what:<20} {took:>6.3} s  plain read {plain:>6.3} s  ratio {:>5.2}", took / plain);
}

fn main() {
    let (keys, key_len) = (number(0, 1_000_000), number(1, 16) as usize);
    let scratch = Scratch::new();
    let (live, killed) = (scratch.path("live"), scratch.path("killed"));
    let db = open(&live);
    let mut name = key(0, key_len);
    for n in 0..keys {
        fill(&mut name, n);
        db.put(&name, &value(n)).expect("a put");
    }
    db.sync().expect("a sync");
    println!("{keys} keys of {key_len} bytes, values of {VALUE_LEN} bytes, each put once");
    let after_kill = || {
        copy(&live, &killed);
        timed_open(&killed, keys, |_| ())
    };
    report("after a kill", (0..ROUNDS).map(|_| after_kill()).collect());
    db.close().expect("a clean close");
    report("after a clean close", (0..ROUNDS).map(|_| timed_open(&live, keys, |_| ())).collect());
    report("from the device", (0..ROUNDS).map(|_| timed_open(&live, keys, forget)).collect());
}
