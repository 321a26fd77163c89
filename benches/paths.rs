//! What each call costs, beside the least that any store must do, in the same run.
//!
//!     cargo bench --bench paths -- [KEYS] [KEY_LEN]
//!
//! The floor of a put is a `pwrite` of the same bytes and an insert into a hash table; the floor of a get is a
//! probe of that table and a copy out of a mapping of the same file. In the loops over gets the next key depends
//! on a byte of the previous value, so that no two lookups overlap. Rounds of both alternate, and the ratio is of
//! medians: absolute times mean little on a shared machine.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]
#![allow(missing_docs)]

mod common;

use bitcask::engine::{BatchEntry, Store};
use bitcask::format::record::Flags;
use bitcask::io::disk::Disk;
use bitcask::io::env::{Dir, DirOptions, Env, File, Map};
use bitcask::options::{Options, SyncMode};
use common::{Scratch, VALUE_LEN, anon_kib, fill, key, median, mix, name, number, plain_read, value};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const RECORD_LEN: usize = 24 + 16 + VALUE_LEN + 4;
const ROUNDS: usize = 7;
const GETS: usize = 400_000;
const MANY: usize = 64;
const BATCH: usize = 100;

/// The low bits of a key that is random already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u128")
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type Table = HashMap<u128, u64, BuildHasherDefault<Identity>>;

struct Latencies(Vec<u32>);

impl Latencies {
    fn line(mut self) -> String {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        format!(
            "p50 {} ns, p99 {} ns, p99.9 {:.1} us, worst {:.2} ms",
            at(0.5),
            at(0.99),
            f64::from(at(0.999)) / 1e3,
            f64::from(at(1.0)) / 1e6
        )
    }
}

/// Times every call of `put(n)` for `n` in the range; the mean in ns, and each call's time.
fn timed_puts(range: std::ops::Range<u64>, mut put: impl FnMut(u64)) -> (f64, Latencies) {
    let mut each = Vec::with_capacity((range.end - range.start) as usize);
    let (begin, count) = (Instant::now(), range.end - range.start);
    let mut last = begin;
    for n in range {
        put(n);
        let now = Instant::now();
        each.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
        last = now;
    }
    (begin.elapsed().as_nanos() as f64 / count as f64, Latencies(each))
}

fn row(what: &str, ours: f64, floor: f64) {
    println!("{what:<34} {ours:>8.0} ns  floor {floor:>7.0} ns  ratio {:>5.2}", ours / floor);
}

fn open(dir: &Path, options: &Options) -> Store {
    Store::open(Disk, dir, options).expect("the scratch store opens")
}

fn main() {
    let (keys, key_len) = (number(0, 1_000_000), number(1, 16) as usize);
    let scratch = Scratch::new();
    let dir = scratch.path("store");
    println!("{keys} keys of {key_len} bytes, values of {VALUE_LEN} bytes, sync none");

    let before = anon_kib();
    let db = open(&dir, &Options::default());
    let mut name_of = key(0, key_len);
    let mut untimed = 0..keys;
    untimed.by_ref().take(1000).for_each(|n| {
        fill(&mut name_of, n);
        db.put(&name_of, &value(n)).expect("a put");
    });
    let (put_ns, each) = timed_puts(untimed, |n| {
        fill(&mut name_of, n);
        db.put(&name_of, &value(n)).expect("a put");
    });
    let held = each.0.capacity() as u64 * 4 / 1024;
    let anon = (anon_kib() - before).saturating_sub(held);
    println!("memory: {:.1} bytes a key (RssAnon)", anon as f64 * 1024.0 / keys as f64);
    println!("put, loading:  mean {put_ns:.0} ns, {}", each.line());

    let floor_file = {
        let options = DirOptions { create: true, file_mode: 0o600 };
        let dir = Disk.open_dir(&scratch.path("floor"), options).expect("a directory");
        dir.create("data").expect("a file")
    };
    let mut table = Table::default();
    let mut record = [7u8; RECORD_LEN];
    let mut at = 0u64;
    let mut floor_put = |n: u64, table: &mut Table| {
        record[40..40 + VALUE_LEN].copy_from_slice(&value(n));
        floor_file.write_at(&[IoSlice::new(&record)], at).expect("a write");
        table.insert(name(n), at);
        at += RECORD_LEN as u64;
    };
    let (floor_ns, each) = timed_puts(0..keys, |n| floor_put(n, &mut table));
    println!("floor, loading: mean {floor_ns:.0} ns, {}", each.line());

    let chunk = (keys / 20).clamp(1000, 200_000);
    let mut round = 0;
    let mut over = |put: &mut dyn FnMut(u64)| {
        round += 1;
        let begin = Instant::now();
        (0..chunk).for_each(|n| put(mix(n + round * chunk) % keys));
        begin.elapsed().as_nanos() as f64 / chunk as f64
    };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(over(&mut |n| {
            fill(&mut name_of, n);
            db.put(&name_of, &value(n)).map(drop).expect("a put");
        }));
        floor.push(over(&mut |n| floor_put(n, &mut table)));
    }
    row("put, overwriting", median(ours), median(floor));

    batches(&db, keys, key_len, chunk, &mut |n| floor_put(n, &mut table));
    // Else the kernel's writing would take the second core away from the readers.
    db.sync()
        .and_then(|()| floor_file.sync_data().map_err(|err| bitcask::Error::io("sync", "floor", err)))
        .expect("a sync");
    gets(&db, keys, key_len, &table, &floor_file);
    two_threads(&db, keys, key_len, &table, &floor_file);

    let begin = Instant::now();
    db.close().expect("a clean close");
    println!("close: {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let db = open(&dir, &Options::default());
    let took = begin.elapsed().as_secs_f64();
    let plain = plain_read(&dir, "data");
    println!("open by scanning: {took:.2} s; a plain read of the same bytes on both cores: {plain:.2} s");
    assert_eq!(db.count().expect("a count"), keys);
    drop(db);
    synced(&scratch.path("synced"));
}

fn batches(db: &Store, keys: u64, key_len: usize, chunk: u64, floor_put: &mut dyn FnMut(u64)) {
    let mut round = 1 << 20;
    let mut one_round = |put: &mut dyn FnMut(&[u64])| {
        round += 1;
        let numbers: Vec<u64> = (0..chunk).map(|n| mix(n + round * chunk) % keys).collect();
        let begin = Instant::now();
        numbers.chunks(BATCH).for_each(put);
        begin.elapsed().as_nanos() as f64 / chunk as f64
    };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(one_round(&mut |numbers| {
            let mut numbers = numbers.to_vec();
            numbers.sort_unstable();
            numbers.dedup();
            let owned: Vec<_> = numbers.iter().map(|&n| (key(n, key_len), value(n))).collect();
            let entries: Vec<_> = owned
                .iter()
                .map(|(key, value)| BatchEntry { key, value, flags: Flags::NONE, deadline: None })
                .collect();
            let _ = db.write_entries(&entries, &[]).expect("a batch");
        }));
        floor.push(one_round(&mut |numbers| numbers.iter().for_each(|&n| floor_put(n))));
    }
    row("put in batches of 100, each", median(ours), median(floor));
}

fn gets(db: &Store, keys: u64, key_len: usize, table: &Table, floor_file: &impl File) {
    let map = floor_file
        .map(floor_file.len().expect("a length"))
        .expect("a mapping")
        .expect("the real machine maps files");
    let mut name_of = key(0, key_len);
    let mut seed = 0;
    let mut chain = |step: &mut dyn FnMut(u64) -> u64| {
        seed += 1;
        let mut n = mix(seed) % keys;
        let begin = Instant::now();
        for i in 0..GETS as u64 {
            n = mix(n ^ step(n) ^ i << 32) % keys;
        }
        black_box(n);
        begin.elapsed().as_nanos() as f64 / GETS as f64
    };
    let mut out = [0u8; VALUE_LEN];
    let mut floor_get = |n: u64| match table.get(&name(n)) {
        Some(&at) => {
            let bytes = map.bytes(at + 40, VALUE_LEN).expect("mapped bytes");
            out.copy_from_slice(bytes);
            u64::from(black_box(out)[0])
        }
        None => 0,
    };
    let mut copy = [0u8; VALUE_LEN];
    let mut get = |n: u64| {
        fill(&mut name_of, n);
        let found = db.get(&name_of, |value| copy.copy_from_slice(value)).expect("a get");
        assert!(found.is_some());
        u64::from(black_box(copy)[0])
    };
    let mut rounds: [Vec<f64>; 4] = Default::default();
    let mut absent = key(0, key_len);
    for round in 0..=ROUNDS {
        let figures = [
            chain(&mut get),
            chain(&mut floor_get),
            chain(&mut |n| {
                fill(&mut absent, n + keys);
                u64::from(db.get(&absent, |_| ()).expect("a get").is_some())
            }),
            chain(&mut |n| u64::from(table.contains_key(&name(n + keys)))),
        ];
        if round > 0 {
            rounds.iter_mut().zip(figures).for_each(|(held, figure)| held.push(figure));
        }
    }
    let [get_ns, floor_ns, missed_ns, missed_floor_ns] = rounds.map(median);
    row("get", get_ns, floor_ns);
    row("get of an absent key", missed_ns, missed_floor_ns);
    many(db, keys, key_len, get_ns);
}

fn many(db: &Store, keys: u64, key_len: usize, get_ns: f64) {
    let mut names: Vec<Vec<u8>> = (0..MANY).map(|_| key(0, key_len)).collect();
    let mut copy = [0u8; VALUE_LEN];
    let rounds = (0..ROUNDS as u64).map(|round| {
        let mut next = mix(round);
        let begin = Instant::now();
        for _ in 0..GETS / MANY {
            for name in &mut names {
                next = mix(next);
                fill(name, next % keys);
            }
            let slices: [&[u8]; MANY] = std::array::from_fn(|at| names[at].as_slice());
            let sink = |_: usize, answer: bitcask::Result<Option<&[u8]>>| {
                copy.copy_from_slice(answer.expect("a get").expect("a value"));
                next ^= u64::from(copy[0]);
            };
            db.get_many(&slices, sink).expect("get_many");
        }
        begin.elapsed().as_nanos() as f64 / (GETS / MANY * MANY) as f64
    });
    let many_ns = median(rounds.collect());
    println!(
        "get_many of 64, each {many_ns:>22.0} ns  get {get_ns:>9.0} ns  faster {:>5.2} times",
        get_ns / many_ns
    );
}

fn two_threads(db: &Store, keys: u64, key_len: usize, table: &Table, floor_file: &impl File) {
    let map = floor_file
        .map(floor_file.len().expect("a length"))
        .expect("a mapping")
        .expect("the real machine maps files");
    let ours = |seed: u64| {
        let (mut name_of, mut n) = (key(0, key_len), mix(seed) % keys);
        let mut copy = [0u8; VALUE_LEN];
        for i in 0..GETS as u64 {
            fill(&mut name_of, n);
            db.get(&name_of, |value| copy.copy_from_slice(value)).expect("a get").expect("a value");
            n = mix(n ^ u64::from(copy[0]) ^ i << 32) % keys;
        }
    };
    let floor = |seed: u64| {
        let mut n = mix(seed) % keys;
        let mut copy = [0u8; VALUE_LEN];
        for i in 0..GETS as u64 {
            let at = table.get(&name(n)).expect("a record");
            copy.copy_from_slice(map.bytes(at + 40, VALUE_LEN).expect("mapped bytes"));
            n = mix(n ^ u64::from(black_box(copy)[0]) ^ i << 32) % keys;
        }
    };
    let faster = |read: &(dyn Fn(u64) + Sync), round: u64| {
        let begin = Instant::now();
        read(round + 100);
        let alone = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        std::thread::scope(|threads| {
            threads.spawn(|| read(round + 200));
            read(round + 300);
        });
        2.0 * alone / begin.elapsed().as_secs_f64()
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        left.push(faster(&ours, round));
        right.push(faster(&floor, round));
    }
    println!(
        "two threads read {:.2} times as fast as one, the floor {:.2} times",
        median(left),
        median(right)
    );
}

fn synced(dir: &Path) {
    let options = Options { sync: SyncMode::Always, ..Options::default() };
    let db = Arc::new(open(dir, &options));
    let begin = Instant::now();
    const PUTS: u64 = 500;
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || {
                for n in 0..PUTS {
                    db.put(&key(n + thread * PUTS, 16), &value(n)).expect("a put");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a writer"));
    let syncs = db.stats().expect("stats").syncs;
    println!(
        "8 threads, sync always: {} puts, {syncs} syncs, {:.3} syncs a put, {:.0} puts/s",
        8 * PUTS,
        syncs as f64 / (8 * PUTS) as f64,
        (8 * PUTS) as f64 / begin.elapsed().as_secs_f64()
    );
}
