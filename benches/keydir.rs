//! The keydir against a bare array: time, memory and the worst insert.
//!
//! `cargo bench --bench keydir [-- KEYS]`; 10 million keys unless told. Every lookup depends on the one before, so
//! that they do not overlap. The bare probe reads one random 24-byte slot of an array as large as the index.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_possible_truncation, reason = "counts of keys that fit in memory")]

use bitcask::keydir::location::{Location, SegmentSlot};
use bitcask::keydir::{Digest, Keydir};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LOOKUPS: u64 = 4_000_000;
/// The index is grown in the same way again and again: what an insert took each time is its own work and not the
/// machine's doing.
const GROWTHS: u32 = 4;

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn digest(n: u64) -> Digest {
    Digest { lo: mix(n), hi: mix(!n) }
}

fn location(n: u64) -> Location {
    Location::new(SegmentSlot(0), (n + 1) * 8, 100)
}

fn rss_anon_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn huge_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn per(elapsed: Duration, count: u64) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

/// Dependent lookups of keys `offset..offset + keys`.
fn look_up(keydir: &Keydir, offset: u64, keys: u64, seed: u64) -> f64 {
    let mut key = seed;
    let start = Instant::now();
    for _ in 0..LOOKUPS {
        let found = keydir.get(digest(offset + key % keys)).map_or(1, Location::offset);
        key = mix(key ^ found);
    }
    black_box(key);
    per(start.elapsed(), LOOKUPS)
}

fn probe(array: &[[u64; 3]], seed: u64) -> f64 {
    let mut key = seed;
    let start = Instant::now();
    for _ in 0..LOOKUPS {
        let digest = digest(key);
        let at = (u128::from(digest.hi) * array.len() as u128) >> 64;
        let found = black_box(array[at as usize])[0] ^ digest.lo;
        key = mix(key ^ found);
    }
    black_box(key);
    per(start.elapsed(), LOOKUPS)
}

fn both(work: impl Fn(u64) -> f64 + Sync) -> f64 {
    thread::scope(|scope| {
        let other = scope.spawn(|| work(1));
        (work(2) + other.join().expect("a worker ends")) / 2.0
    })
}

/// Grows an index with a thread that prepares memory, as the engine's log thread does.
/// `least` keeps the shortest time that each insert ever took.
fn grow(keys: u64, prepared: bool, least: &mut [u32]) -> Keydir {
    let before = rss_anon_bytes();
    let keydir = Keydir::new(0).expect("memory");
    let done = AtomicBool::new(false);
    let mut times: Vec<u32> = vec![0; keys as usize];
    let times_rss = rss_anon_bytes();
    times.fill(1);
    let before = before + rss_anon_bytes() - times_rss;
    let mut worst_memory = (0.0f64, 0);
    let mut check = 1_000_000;
    let start = Instant::now();
    thread::scope(|scope| {
        if prepared {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if !keydir.wants_prepare() || !keydir.prepare() {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        for key in 0..keys {
            let digest = digest(key);
            let begin = Instant::now();
            keydir.reserve(1).expect("memory");
            keydir.insert(digest, location(key));
            times[key as usize] = u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX);
            if key + 1 == check {
                let bytes = (rss_anon_bytes() - before) as f64 / check as f64;
                if bytes > worst_memory.0 {
                    worst_memory = (bytes, check);
                }
                check += check / 40;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let elapsed = start.elapsed();
    least.iter_mut().zip(&times).for_each(|(least, &time)| *least = time.min(*least));
    times.sort_unstable();
    let at = |share: f64| times[((keys - 1) as f64 * share) as usize];
    println!(
        "insert{}: {:.0} ns each with timing; p50 {} p99 {} p99.9 {} p99.99 {} p99.999 {} worst {} ns",
        if prepared { ", memory prepared" } else { "" },
        per(elapsed, keys),
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999),
        at(0.99999),
        at(1.0)
    );
    println!(
        "bytes a key: {:.2} RssAnon now ({:.2} by its own count), worst {:.2} at {} keys; {} MiB in huge pages",
        (rss_anon_bytes() - before) as f64 / keys as f64,
        keydir.memory_bytes() as f64 / keys as f64,
        worst_memory.0,
        worst_memory.1,
        huge_bytes() >> 20
    );
    keydir
}

fn main() {
    let keys = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10_000_000u64);
    let mut least = vec![u32::MAX; keys as usize];
    drop(grow(keys, false, &mut least));
    for _ in 0..GROWTHS {
        drop(grow(keys, true, &mut least));
    }
    let keydir = grow(keys, true, &mut least);
    least.sort_unstable();
    let at = |share: f64| f64::from(least[((keys - 1) as f64 * share) as usize]) / 1e3;
    println!(
        "the same insert at its fastest of {} runs: p99.9 {:.1} p99.99 {:.1} p99.999 {:.1} worst {:.1} us",
        GROWTHS + 2,
        at(0.999),
        at(0.9999),
        at(0.99999),
        at(1.0)
    );
    drop(least);

    let start = Instant::now();
    for n in 0..LOOKUPS {
        keydir.insert(digest(mix(n) % keys), location(n));
    }
    println!("replace: {:.0} ns, not dependent", per(start.elapsed(), LOOKUPS));
    println!("get hit: {:.0} ns", look_up(&keydir, 0, keys, 1));
    println!("get miss: {:.0} ns", look_up(&keydir, keys, keys, 1));
    println!("get hit, two threads: {:.0} ns each", both(|seed| look_up(&keydir, 0, keys, seed)));
    let start = Instant::now();
    let mut sum = 0;
    for n in 0..LOOKUPS / 64 {
        let digests: [Digest; 64] = std::array::from_fn(|i| digest(mix(n * 64 + i as u64) % keys));
        digests.iter().for_each(|&digest| keydir.prefetch_group(digest));
        digests.iter().for_each(|&digest| keydir.prefetch(digest));
        sum += digests.iter().filter_map(|&digest| keydir.get(digest)).count();
    }
    black_box(sum);
    println!("get hit, 64 prefetched: {:.0} ns each", per(start.elapsed(), LOOKUPS));

    let array = vec![[1u64; 3]; (keydir.memory_bytes() / 24) as usize];
    println!("bare probe: {:.0} ns", probe(&array, 1));
    println!("bare probe, two threads: {:.0} ns each", both(|seed| probe(&array, seed)));
    drop((array, keydir));

    let start = Instant::now();
    let keydir = Keydir::new(keys).expect("memory");
    thread::scope(|scope| {
        for half in 0..2 {
            let keydir = &keydir;
            scope.spawn(move || {
                let all: Vec<_> = (half * keys / 2..(half + 1) * keys / 2).collect();
                for batch in all.chunks(512) {
                    let batch: Vec<_> = batch.iter().map(|&key| (digest(key), location(key))).collect();
                    keydir.load_batch(&batch, |slot| slot, |_| ()).expect("memory");
                }
            });
        }
    });
    println!("load on two threads into room expected: {:.0} ns a key", per(start.elapsed(), keys));
}
