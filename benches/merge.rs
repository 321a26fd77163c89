//! What merges cost, and what they give back.
//!
//!     cargo bench --bench merge -- [KEYS]
//!
//! Every key is put, then overwritten twice in another order; then all is merged, the hints of the inputs being there.
//! Plain copies of the same inputs and of the same outputs, file by file in pieces of 1 MiB, each file synced, stand beside
//! it. All of it was written or read just before, so merge and copies read from the page cache. Three rounds on stores of
//! their own; medians. Then one thread gets and puts at random, idle and beside a merge that is held to 32 MiB a second.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

mod common;

use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::{MergeMode, MergePolicy, Options};
use common::{Scratch, fill, key, median, mix, number, plain_read, value};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PACE: u64 = 32 << 20;
const MERGES: u64 = 3;
const ROUNDS: usize = 5;
const CALLS: u64 = 200_000;

fn open(dir: &Path) -> Store {
    let options = Options { merge: MergeMode::Manual, ..Options::default() };
    Store::open(Disk, dir, &options).expect("the scratch store opens")
}

/// The store's files with this ending.
fn files(dir: &Path, ending: &str) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(dir).expect("a listing").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|its| its == ending)).collect()
}

fn bytes<'p>(files: impl IntoIterator<Item = &'p PathBuf>) -> u64 {
    files.into_iter().map(|path| path.metadata().expect("its length").len()).sum()
}

/// Waits until all but the newest segments have their hints, and answers those that have.
fn sealed(dir: &Path) -> BTreeSet<PathBuf> {
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let sealed: BTreeSet<_> =
            files(dir, "data").into_iter().filter(|path| path.with_extension("hint").exists()).collect();
        if sealed.len() == last && sealed.len() + 3 > files(dir, "data").len() {
            return sealed;
        }
        last = sealed.len();
    }
}

/// How long something took: seconds in all, and of them those on the processor.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    processor: f64,
}

fn timed<R>(work: impl FnOnce() -> R) -> (R, Took) {
    // Its first number is how long this thread has run, in ns.
    let on_processor = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
    };
    let (ran, begin) = (on_processor(), Instant::now());
    let answer = work();
    let processor = (on_processor() - ran) as f64 / 1e9;
    (answer, Took { seconds: begin.elapsed().as_secs_f64(), processor })
}

/// Copies these files and syncs each, the second time with a clock. A virtual machine may have to get the memory for the
/// page cache from its host, and the first copy pays for that.
fn plain_copy<'p>(scratch: &Scratch, files: impl IntoIterator<Item = &'p PathBuf> + Clone) -> Took {
    copy_once(scratch, files.clone());
    copy_once(scratch, files)
}

fn copy_once<'p>(scratch: &Scratch, files: impl IntoIterator<Item = &'p PathBuf>) -> Took {
    let to = scratch.path("copies");
    std::fs::create_dir_all(&to).expect("a directory");
    let mut buf = vec![0u8; 1 << 20];
    let ((), took) = timed(|| {
        for path in files {
            let mut source = std::fs::File::open(path).expect("a file");
            let mut copy = std::fs::File::create(to.join(path.file_name().expect("a name"))).expect("a file");
            loop {
                let got = source.read(&mut buf).expect("a read");
                if got == 0 {
                    break;
                }
                copy.write_all(&buf[..got]).expect("a write");
            }
            copy.sync_data().expect("a sync");
        }
    });
    std::fs::remove_dir_all(to).expect("the copies go");
    took
}

/// One merge, the bytes it read and wrote, and the copies beside it.
struct Figures {
    merge: Took,
    input: u64,
    output: u64,
    copied_input: Took,
    copied_output: Took,
}

/// Merges all of the store.
fn merge_all(scratch: &Scratch, dir: &Path, db: &Store, keys: u64) -> Figures {
    let inputs = sealed(dir);
    let input = bytes(&inputs);
    let read = plain_read(dir, "data");
    let copied_input = plain_copy(scratch, &inputs);
    let (merges, merge) = timed(|| db.merge(&MergePolicy::everything()).expect("a merge"));
    assert!(merges == 1 && inputs.iter().all(|path| !path.exists()), "not all was merged at once");
    assert_eq!(db.count().expect("a count"), keys);
    let outputs: Vec<_> =
        files(dir, "data").into_iter().filter(|path| path.with_extension("hint").exists()).collect();
    let hints = outputs.iter().map(|path| path.with_extension("hint"));
    let outputs: Vec<_> = outputs.iter().cloned().chain(hints).collect();
    let output = bytes(&outputs);
    let copied_output = plain_copy(scratch, &outputs);
    println!(
        "{} segments of {input} bytes, read from the page cache at {:.1} GB/s, became {output} bytes in {:.2} s",
        inputs.len(),
        input as f64 / read / 1e9,
        merge.seconds
    );
    Figures { merge, input, output, copied_input, copied_output }
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
    let put_all = |db: &Store, round: u64| {
        let mut name = key(0, 16);
        for n in 0..keys.next_power_of_two() {
            // Every key once a round, each time in another order.
            let n = n.wrapping_mul(mix(round) | 1) % keys.next_power_of_two();
            if n < keys {
                fill(&mut name, n);
                db.put(&name, &value(n + round)).expect("a put");
            }
        }
    };
    let mut figures = Vec::new();
    let mut last = None;
    for round in 0..MERGES {
        drop(last.take());
        let dir = scratch.path(&format!("store {round}"));
        let db = open(&dir);
        (0..3).for_each(|round| put_all(&db, round));
        db.sync().expect("a sync");
        figures.push(merge_all(&scratch, &dir, &db, keys));
        last = Some(db);
    }
    let db = last.expect("there was a round");
    let of = |which: fn(&Figures) -> f64| median(figures.iter().map(which).collect());
    let took = |which: fn(&Figures) -> Took| {
        let all: Vec<_> = figures.iter().map(which).collect();
        let median_of = |part: fn(&Took) -> f64| median(all.iter().map(part).collect());
        Took { seconds: median_of(|took| took.seconds), processor: median_of(|took| took.processor) }
    };
    let (input, output) = (of(|f| f.input as f64), of(|f| f.output as f64));
    println!("{keys} keys put three times: {input} bytes of input, {output} of output, hints included");
    let merge = took(|f| f.merge);
    println!(
        "merge: {:.2} s, {:.2} s of them on the processor; {:.0} MB/s of input, {:.0} MB/s of output",
        merge.seconds,
        merge.processor,
        input / merge.seconds / 1e6,
        output / merge.seconds / 1e6
    );
    let copies = [("input", input, took(|f| f.copied_input)), ("output", output, took(|f| f.copied_output))];
    for (what, bytes, copy) in copies {
        println!(
            "a plain copy of the {what}: {:.2} s, {:.2} s of them on the processor, {:.0} MB/s; the merge takes {:.2} times \
             as long, {:.2} times on the processor",
            copy.seconds,
            copy.processor,
            bytes / copy.seconds / 1e6,
            merge.seconds / copy.seconds,
            merge.processor / copy.processor
        );
    }

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
