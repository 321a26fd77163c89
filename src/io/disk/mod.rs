//! The real machine: Linux, through plain `libc` calls.
//!
//! Every file operation is one ordinary C library call, so a tracer can inject faults into it and a preloaded
//! library can stand in for it. Nothing is retried but `EINTR`; nothing is buffered. What must hold across
//! processes is kept in `fork`, everything else is one thin file for each noun.

#[cfg(not(target_os = "linux"))]
compile_error!("libbitcask runs on Linux only so far; another system needs its own `io::env::Env`");

mod dir;
mod file;
mod fork;
mod holder;
mod map;
mod network;
mod random;
mod sys;
mod thread;

use crate::io::env::{DirOptions, Env, Thread};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub use dir::DiskDir;
pub use file::DiskFile;
pub use map::DiskMap;

/// More threads than this gain nothing for a job that is bound by memory or by the disk.
const MAX_PARALLELISM: usize = 8;

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Env for Disk {
    type Dir = DiskDir;

    fn open_dir(&self, path: &Path, options: DirOptions) -> io::Result<DiskDir> {
        DiskDir::open(path, options)
    }

    fn now_ns(&self) -> u64 {
        // A clock before 1970 reads as 1970: versions rise above the last one whatever the clock says.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
    }

    fn fill_random(&self, out: &mut [u8]) -> io::Result<()> {
        random::fill(out)
    }

    fn process_token(&self) -> u64 {
        fork::process_token()
    }

    fn parallelism(&self) -> usize {
        std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_PARALLELISM))
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Option<Box<dyn Thread>>> {
        Ok(Some(Box::new(thread::spawn(name, work)?)))
    }
}
