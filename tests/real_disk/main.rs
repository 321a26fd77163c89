//! The engine on the real machine: threads, processes, limits, files.
//!
//! What a power cut leaves is for the most part the simulated machine's part (`crash.rs`). Where a claim needs a sync that
//! hangs or fails, the simulated machine lends its disk and the threads are real. Whatever changes a whole process happens
//! in a child.
#![expect(unsafe_code, reason = "fork, kill, limits and user ids have no safe interface")]

#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../disk/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the disk itself")]
mod support;

mod backups;
mod durability;
mod failing_background_work;
mod forks;
mod kills;
mod limits;
mod load;
mod locks;
mod merges;
mod permissions;
mod power_cuts;
mod readers;
mod replicas;
mod values;

use bitcask::Result;
use bitcask::engine::{Db, Store};
use bitcask::io::disk::Disk;
use bitcask::options::Options;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Options that make small stores rotate often.
fn small_segments() -> Options {
    Options { max_segment_bytes: bitcask::options::MIN_SEGMENT_BYTES, ..Options::default() }
}

fn open(path: &Path, options: &Options) -> Result<Store> {
    Db::open(Disk, path, options)
}

fn read_only() -> Options {
    Options { read_only: true, ..Options::default() }
}

/// Waits until something that other threads bring about holds; a test that hangs says nothing.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
