//! A simulated machine on which the test comes between any two calls of a program.

use bitcask::io::env::{Dir, DirOptions, Env, File, Thread};
use bitcask::io::sim::{Sim, SimDir, SimFile, SimMap};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Asked before every call to directory and files; an error is the call's answer.
pub type Gate = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// One process of the machine.
#[derive(Clone)]
pub struct Gated {
    sim: Sim,
    gate: Gate,
    reads: Gate,
    token: Arc<AtomicU64>,
}

impl Gated {
    /// A process of `sim`.
    pub fn new(sim: &Sim, gate: Gate) -> Self {
        Gated { sim: sim.clone(), gate, reads: Arc::new(|| Ok(())), token: Arc::new(AtomicU64::new(1)) }
    }

    /// The same with a gate of its own for reads from files, which they come to last.
    pub fn with_reads(self, reads: Gate) -> Self {
        Gated { reads, ..self }
    }

    /// From now on dropping a handle frees memory and descriptors only, as the end of a killed process does.
    pub fn die(&self) {
        self.token.store(2, Ordering::Relaxed);
    }
}

impl Env for Gated {
    type Dir = GatedDir;

    fn open_dir(&self, path: &Path, options: DirOptions) -> io::Result<GatedDir> {
        (self.gate)()?;
        let dir = self.sim.open_dir(path, options)?;
        Ok(GatedDir { dir, gate: self.gate.clone(), reads: self.reads.clone() })
    }

    fn now_ns(&self) -> u64 {
        self.sim.now_ns()
    }

    fn fill_random(&self, out: &mut [u8]) -> io::Result<()> {
        self.sim.fill_random(out)
    }

    fn process_token(&self) -> u64 {
        self.token.load(Ordering::Relaxed)
    }

    fn parallelism(&self) -> usize {
        self.sim.parallelism()
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Option<Box<dyn Thread>>> {
        self.sim.spawn(name, work)
    }
}

/// An open directory.
pub struct GatedDir {
    dir: SimDir,
    gate: Gate,
    reads: Gate,
}

impl GatedDir {
    fn passed(&self, file: SimFile) -> GatedFile {
        GatedFile { file, gate: self.gate.clone(), reads: self.reads.clone() }
    }
}

impl Dir for GatedDir {
    type File = GatedFile;

    fn try_lock(&self) -> io::Result<bool> {
        (self.gate)()?;
        self.dir.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        (self.gate)()?;
        self.dir.unlock()
    }

    fn lock_holder(&self) -> String {
        self.dir.lock_holder()
    }

    fn is_network(&self) -> bool {
        self.dir.is_network()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        (self.gate)()?;
        self.dir.names()
    }

    fn open(&self, name: &str, write: bool) -> io::Result<GatedFile> {
        (self.gate)()?;
        self.dir.open(name, write).map(|file| self.passed(file))
    }

    fn create(&self, name: &str) -> io::Result<GatedFile> {
        (self.gate)()?;
        self.dir.create(name).map(|file| self.passed(file))
    }

    fn link(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
        (self.gate)()?;
        self.dir.link(name, &to.dir, to_name)
    }

    fn holds(&self, other: &Self) -> io::Result<bool> {
        (self.gate)()?;
        self.dir.holds(&other.dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.gate)()?;
        self.dir.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.gate)()?;
        self.dir.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        (self.gate)()?;
        self.dir.sync()
    }
}

/// An open file.
pub struct GatedFile {
    file: SimFile,
    gate: Gate,
    reads: Gate,
}

impl File for GatedFile {
    type Map = SimMap;

    fn len(&self) -> io::Result<u64> {
        (self.gate)()?;
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.gate)()?;
        (self.reads)()?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        (self.gate)()?;
        self.file.write_at(parts, offset)
    }

    fn copy_range(&self, from: &Self, offset: u64, len: u64) -> io::Result<u64> {
        (self.gate)()?;
        self.file.copy_range(&from.file, offset, len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        (self.gate)()?;
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.gate)()?;
        self.file.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Option<SimMap>> {
        self.file.map(len)
    }
}

/// Lets another thread do so many calls and no more: it runs while this one waits.
#[derive(Default)]
pub struct Baton {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
struct Turn {
    /// Calls that the other thread may still do.
    calls: usize,
    /// Whether it waits for more.
    waits: bool,
    /// Whether it waits for nothing any more.
    is_free: bool,
    /// After how many calls all of its further calls fail, as if it had been killed.
    lives: Option<usize>,
}

impl Baton {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other thread's gate.
    pub fn pass(&self) -> io::Result<()> {
        let mut turn = self.turn();
        while turn.calls == 0 && !turn.is_free {
            turn.waits = true;
            self.changed.notify_all();
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.waits = false;
        turn.calls = turn.calls.saturating_sub(1);
        match &mut turn.lives {
            Some(0) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Lets the other thread do `calls` calls, and returns when it is about to do one more or has ended.
    pub fn grant(&self, calls: usize) {
        let mut turn = self.turn();
        turn.calls = calls;
        self.changed.notify_all();
        while !turn.is_free && (turn.calls > 0 || !turn.waits) {
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The other thread goes on by itself, or has ended.
    pub fn free(&self) {
        self.turn().is_free = true;
        self.changed.notify_all();
    }

    /// Whether the other thread's calls fail.
    pub fn is_dead(&self) -> bool {
        self.turn().lives == Some(0)
    }

    /// Sets after how many calls the other thread's calls fail.
    pub fn set_lives(&self, lives: Option<usize>) {
        self.turn().lives = lives;
    }
}
