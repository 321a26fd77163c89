//! What merges cost, and what they give back.
//!
//!     cargo bench --bench merge -- [KEYS]
//!
//! Every key is put, then overwritten twice in another order; then all is merged. A plain copy of the live bytes on one
//! core, read and written like the merge's, stands beside it. Then one thread gets and puts at random, idle and beside a
//! merge that is held to 32 MiB a second.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

mod common;

use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::{MergeMode, MergePolicy, Options};
use common::{Scratch, fill, key, median, mix, number, value};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const PACE: u64 = 32 << 20;
const ROUNDS: usize = 5;
const CALLS: u64 = 200_000;

fn open(dir: &Path) -> Store {
    let options = Options { merge: MergeMode::Manual, ..Options::default() };
    Store::open(Disk, dir, &options).expect("the scratch store opens")
}

fn bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("a listing");
    files.map(|entry| entry.expect("an entry").metadata().expect("its length").len()).sum()
}

/// Seconds to copy `bytes` from one file to another and sync, as `cp` does.
fn plain_copy(scratch: &Scratch, bytes: u64) -> f64 {
    let (from, to) = (scratch.path("from"), scratch.path("to"));
    let mut buf = vec![7u8; 1 << 20];
    let mut file = std::fs::File::create(&from).expect("a file");
    (0..bytes >> 20).for_each(|_| file.write_all(&buf).expect("a write"));
    file.sync_data().expect("a sync");
    let begin = Instant::now();
    let mut source = std::fs::File::open(&from).expect("a file");
    let mut copy = std::fs::File::create(&to).expect("a file");
    loop {
        let got = source.read(&mut buf).expect("a read");
        if got == 0 {
            break;
        }
        copy.write_all(&buf[..got]).expect("a write");
    }
    copy.sync_data().expect("a sync");
    begin.elapsed().as_secs_f64()
}

/// The 99th percentile of `CALLS` calls, in ns.
fn p99(mut call: impl FnMut(u64)) -> f64 {
    let mut times: Vec<u64> = Vec::with_capacity(CALLS as usize);
    for n in 0..CALLS {
        let begin = Instant::now();
        call(n);
        times.push(begin.elapsed().as_nanos() as u64);
    }
    times.sort_unstable();
    times[times.len() * 99 / 100] as f64
}

fn main() {
    let keys = number(0, 2_000_000);
    let scratch = Scratch::new();
    let dir = scratch.path("store");
    let db = open(&dir);
    let mut name = key(0, 16);
    let mut put_all = |db: &Store, round: u64| {
        for n in 0..keys.next_power_of_two() {
            // Every key once a round, each time in another order.
            let n = n.wrapping_mul(mix(round) | 1) % keys.next_power_of_two();
            if n < keys {
                fill(&mut name, n);
                db.put(&name, &value(n + round)).expect("a put");
            }
        }
    };
    (0..3).for_each(|round| put_all(&db, round));
    db.sync().expect("a sync");
    let before = bytes(&dir);
    let begin = Instant::now();
    let merges = db.merge(&MergePolicy::everything()).expect("a merge");
    let took = begin.elapsed().as_secs_f64();
    let (after, stats) = (bytes(&dir), db.stats().expect("stats"));
    assert_eq!(db.count().expect("a count"), keys);
    let copied = plain_copy(&scratch, stats.merge_written_bytes);
    println!(
        "{keys} keys put three times: {before} bytes before, {after} after {merges} merges, hints included"
    );
    println!(
        "merge: {took:.2} s, {:.0} MB/s of input, {:.0} MB/s of output; a plain copy of the output {copied:.2} s, ratio {:.1}",
        before as f64 / took / 1e6,
        stats.merge_written_bytes as f64 / took / 1e6,
        took / copied
    );

    put_all(&db, 3);
    db.sync().expect("a sync");
    let mut name = key(0, 16);
    let mut measure = || {
        let gets = p99(|n| {
            fill(&mut name, mix(n) % keys);
            db.get(&name, |value| value[0]).expect("a get").expect("a value");
        });
        let puts = p99(|n| {
            fill(&mut name, mix(n) % keys);
            db.put(&name, &value(n)).map(drop).expect("a put");
        });
        (gets, puts)
    };
    let idle: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    let done = AtomicBool::new(false);
    let beside: Vec<_> = std::thread::scope(|threads| {
        threads.spawn(|| {
            let paced = MergePolicy { bytes_per_second: PACE, ..MergePolicy::everything() };
            while !done.load(Ordering::Relaxed) {
                db.merge(&paced).expect("a merge");
            }
        });
        let rounds = (0..ROUNDS)
            .map(|_| {
                let figures = measure();
                let passed = db.stats().expect("stats").merge_input_bytes > 0;
                (figures, passed)
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        rounds
    });
    assert!(beside.iter().any(|(_, passed)| *passed), "no merge ran beside the calls");
    let of =
        |rounds: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| median(rounds.iter().map(which).collect());
    let beside: Vec<_> = beside.into_iter().map(|(figures, _)| figures).collect();
    for (what, which) in [("get", (|r| r.0) as fn(&(f64, f64)) -> f64), ("put", |r| r.1)] {
        let (idle, beside) = (of(&idle, which), of(&beside, which));
        println!(
            "p99 of a {what}: idle {idle:.0} ns, beside a merge {beside:.0} ns, ratio {:.2}",
            beside / idle
        );
    }
}
