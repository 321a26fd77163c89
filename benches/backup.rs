//! How long a backup takes: the first by links, the next one, the first by copies; and `cp` of the same files.
//!
//!     cargo bench --bench backup -- [KEYS] [KEY_LEN]
//!
//! All rounds are warm and end with everything on the device: `cp` is followed by a sync of each file. Copies go to
//! `BITCASK_BENCH_COPY_DIR`, which is to be on another file system than `BITCASK_BENCH_DIR`; without it there are none.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of keys")]

mod common;

use bitcask::engine::Store;
use bitcask::features::backup::BackupReport;
use bitcask::io::disk::Disk;
use bitcask::options::{MergeMode, MergePolicy, Options};
use common::{Scratch, fill, key, median, number, value};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 5;

fn timed(what: &str, mut round: impl FnMut() -> (f64, BackupReport)) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    let seconds = median(rounds.iter().map(|(seconds, _)| *seconds).collect());
    let BackupReport { segments_linked, segments_copied, segments_kept, bytes_copied, .. } =
        &rounds[ROUNDS - 1].1;
    println!(
        "{what:<28} {seconds:>8.4} s; {segments_linked} segments linked, {segments_copied} copied, {segments_kept} kept, \
         {bytes_copied} bytes copied"
    );
}

fn backup(db: &Store, to: &Path) -> (f64, BackupReport) {
    let begin = Instant::now();
    let report = db.backup(to).expect("a backup");
    (begin.elapsed().as_secs_f64(), report)
}

fn clear(to: &Path) {
    let _ = fs::remove_dir_all(to);
}

/// Seconds of `cp` of a directory, and of making the copy durable.
fn plain_copy(from: &Path, to: &Path) -> f64 {
    clear(to);
    let begin = Instant::now();
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success());
    for entry in fs::read_dir(to).expect("a listing") {
        File::open(entry.expect("an entry").path()).and_then(|file| file.sync_all()).expect("a sync");
    }
    begin.elapsed().as_secs_f64()
}

fn main() {
    let (keys, key_len) = (number(0, 4_000_000), number(1, 16) as usize);
    let scratch = Scratch::new();
    let (live, linked) = (scratch.path("live"), scratch.path("linked"));
    let options = Options { merge: MergeMode::Manual, max_segment_bytes: 64 << 20, ..Options::default() };
    let db = Store::open(Disk, &live, &options).expect("the scratch store opens");
    let mut name = key(0, key_len);
    for n in 0..keys {
        fill(&mut name, n);
        db.put(&name, &value(n)).expect("a put");
    }
    db.sync().expect("a sync");
    // Makes the hints that are missing.
    db.merge(&MergePolicy { trigger_percent: 100, ..MergePolicy::default() }).expect("nothing to merge");
    let bytes = db.stats().expect("stats").disk_bytes;
    println!("{keys} keys, {bytes} bytes of segments of {} bytes", options.max_segment_bytes);
    timed("first, by links", || {
        clear(&linked);
        backup(&db, &linked)
    });
    timed("next, nothing new", || backup(&db, &linked));
    timed("next, 10,000 puts later", || {
        for n in 0..10_000 {
            fill(&mut name, n);
            db.put(&name, &value(n + 1)).expect("a put");
        }
        backup(&db, &linked)
    });
    let copies = std::env::var_os("BITCASK_BENCH_COPY_DIR").map(PathBuf::from);
    if let Some(copies) = copies.map(|dir| dir.join(format!("bitcask-bench-copy-{}", std::process::id()))) {
        timed("first, by copies", || {
            clear(&copies);
            backup(&db, &copies)
        });
        let seconds = median((0..ROUNDS).map(|_| plain_copy(&live, &copies)).collect());
        println!("cp -r to the same place      {seconds:>8.4} s");
        clear(&copies);
    }
}
