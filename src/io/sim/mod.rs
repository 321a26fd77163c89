//! A simulated machine: the world the crash and fault tests run the engine in.
//!
//! Invariant: everything that happens follows from the seed and the calls made, so a run replays exactly, log
//! and crash images included. A [`Sim`] records every operation that changes its disk; [`Sim::crash`] and
//! [`Sim::crasher`] answer what a disk would hold had the machine stopped after any of them, by the model in
//! `crash`. [`Sim::fail`] fails calls, and the helpers in `outside` do what a hostile hand would do.
//!
//! ```
//! use bitcask::io::env::{Dir, DirOptions, Env, File};
//! use bitcask::io::sim::{Sim, Survival};
//! use std::{io::IoSlice, path::Path};
//!
//! let sim = Sim::new(42);
//! sim.make_dirs("/db");
//! let dir = sim.open_dir(Path::new("/db"), DirOptions { create: false, file_mode: 0o600 })?;
//! sim.start_log();
//! let file = dir.create("a")?;
//! file.write_at(&[IoSlice::new(b"one")], 0)?;
//! sim.mark(1);
//! let mut crasher = sim.crasher();
//! loop {
//!     // Nothing was synced, so the file is there only after `kill -9`, and whole once it was acknowledged.
//!     assert!(crasher.image(Survival::SyncedOnly).files("/db").is_empty());
//!     let killed = crasher.image(Survival::Everything);
//!     assert!(crasher.acknowledged().is_none() || killed.read_file("/db", "a").unwrap() == b"one");
//!     if !crasher.advance() {
//!         break;
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! There are no threads unless the test asks for real ones ([`Sim::with_threads`]), and no
//! mappings unless it asks for these ([`Sim::map_files`]). What the
//! engine makes of it all is the tests' business.

mod content;
mod crash;
mod crasher;
mod disk;
mod fault;
mod handle;
mod machine;
mod map;
mod outside;
mod path;
mod rng;
mod state;
#[cfg(test)]
mod tests;
mod threads;

use std::io;
use std::path::Path;

use crate::io::env::{DirOptions, Env, Thread};
use crate::sync::Ordering;

pub use crash::{Mark, Survival};
pub use crasher::Crasher;
pub use disk::{DirId, Dirty, FileId, Op};
pub use fault::{Call, FaultPlan};
pub use handle::{SimDir, SimFile};
pub use machine::Sim;
pub use map::SimMap;
pub use rng::Rng;

impl Env for Sim {
    type Dir = SimDir;

    fn open_dir(&self, path: &Path, options: DirOptions) -> io::Result<SimDir> {
        SimDir::open_path(self, path, options)
    }

    fn now_ns(&self) -> u64 {
        self.state().tick()
    }

    fn fill_random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.begin(Call::Random, None)?;
        state.rng.fill(out);
        outcome.finish()
    }

    fn process_token(&self) -> u64 {
        self.shared.process_token.load(Ordering::Relaxed)
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Option<Box<dyn Thread>>> {
        self.state().begin(Call::Spawn, None)?.finish()?;
        if self.shared.threads { threads::spawn(name, work).map(Some) } else { Ok(None) }
    }
}
