//! The simulator's own claims: a test a claim. A model that loses too little would let the engine's crash
//! tests pass for nothing, so every outcome the model promises is shown to occur.

mod directory;
mod durability;
mod faults;
mod machine;
mod replay;

use std::io::{self, IoSlice};
use std::path::Path;

use super::{Sim, SimDir, SimFile, Survival};
use crate::io::env::{Dir, DirOptions, Env, File};

const DIR: &str = "/db";
const OTHER: &str = "/other";
const OPTIONS: DirOptions = DirOptions { create: true, file_mode: 0o600 };

/// The survival modes that lose something, over `seeds` seeds.
fn power_cuts(seeds: u64) -> impl Iterator<Item = Survival> {
    let random =
        |seed| [Survival::Random(seed), Survival::RandomPrefix(seed), Survival::RandomIndependent(seed)];
    std::iter::once(Survival::SyncedOnly).chain((0..seeds).flat_map(random))
}

/// A machine with a durable, empty directory, and a handle on it.
fn machine() -> (Sim, SimDir) {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    sim.start_log();
    let dir = open_dir(&sim);
    (sim, dir)
}

fn open_dir(sim: &Sim) -> SimDir {
    sim.open_dir(Path::new(DIR), OPTIONS).unwrap()
}

fn write(file: &SimFile, offset: u64, data: &[u8]) -> io::Result<usize> {
    file.write_at(&[IoSlice::new(data)], offset)
}

/// A file whose name is durable and whose bytes are `data`, synced.
fn synced_file(dir: &SimDir, name: &str, data: &[u8]) -> SimFile {
    let file = dir.create(name).unwrap();
    write(&file, 0, data).unwrap();
    file.sync_data().unwrap();
    dir.sync().unwrap();
    file
}

fn read(file: &SimFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let count = file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(count, bytes.len());
    bytes
}

fn after(sim: &Sim, survival: Survival) -> Sim {
    sim.crash(sim.op_count(), survival)
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}
