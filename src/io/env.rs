//! What the engine asks of the world.
//!
//! The engine is generic over [`Env`] and the choice is made at compile time: [`crate::io::disk`] is the real
//! machine, [`crate::io::sim`] a simulated one whose faults, clock and randomness come from a seed. Nothing
//! above this room calls the operating system.
//!
//! Calls here are as thin as the system's own: a read or a write may be short, nothing is retried except
//! `EINTR`, and a failed [`File::sync_data`] says nothing about which bytes reached the disk.

use std::io::{self, IoSlice};
use std::path::Path;

/// How a directory is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct DirOptions {
    /// Make the directory (mode 0700) when it is absent, durably; its parent must exist.
    pub create: bool,
    /// Permission bits of files created in it.
    pub file_mode: u32,
}

/// A running background thread.
pub trait Thread: Send + Sync {
    /// Waits for the thread's end.
    fn join(self: Box<Self>);
    /// Forgets the thread without touching it: after a fork the thread exists in the parent only.
    fn forget(self: Box<Self>);
}

/// A world: a machine's file system, clock, randomness and threads.
pub trait Env: Clone + Send + Sync + 'static {
    /// An open directory.
    type Dir: Dir;

    /// Opens a directory. The path is the host's own choice and may lead through symbolic links, also at its
    /// end; only what lies inside the directory is distrusted.
    fn open_dir(&self, path: &Path, options: DirOptions) -> io::Result<Self::Dir>;

    /// Nanoseconds since 1970 by the wall clock, which may be set back.
    fn now_ns(&self) -> u64;

    /// Fills `out` with bytes nobody can guess (under simulation: bytes from the seed).
    fn fill_random(&self, out: &mut [u8]) -> io::Result<()>;

    /// A number that differs from that of every process this one was forked from. Costs one load.
    fn process_token(&self) -> u64;

    /// How many threads are worth using for one long job; 1 under simulation.
    fn parallelism(&self) -> usize;

    /// Starts `work` on a thread, or answers `None` when this world has no threads and the test steps the
    /// jobs itself.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Option<Box<dyn Thread>>>;
}

/// An open directory: names are plain file names in it, never paths.
pub trait Dir: Send + Sync + 'static {
    /// An open file of this directory.
    type File: File;

    /// Takes the directory's lock, which is for writers, or answers `false` when another has it. Never waits.
    fn try_lock(&self) -> io::Result<bool>;

    /// Releases the lock for every process that inherited the descriptor.
    fn unlock(&self) -> io::Result<()>;

    /// One sentence about who holds the lock, for the error message.
    fn lock_holder(&self) -> String;

    /// Whether the directory lies on a network file system, where mappings are a hazard.
    fn is_network(&self) -> bool;

    /// The names of all entries that are valid UTF-8, in no order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens an existing regular file, for writing too when `write`; links, devices, pipes and directories
    /// are refused with `InvalidInput`.
    fn open(&self, name: &str, write: bool) -> io::Result<Self::File>;

    /// Creates a file that must not exist.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file a second name, in `to`, which must not exist there. Refused where file systems differ or cannot.
    fn link(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()>;

    /// Whether `other` is this directory or lies below it.
    fn holds(&self, other: &Self) -> io::Result<bool>;

    /// Renames `from` over `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every earlier create, rename and remove in this directory durable.
    fn sync(&self) -> io::Result<()>;
}

/// An open file. Offsets and lengths are bytes.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is a system call, emptiness asks nothing else"
)]
pub trait File: Send + Sync + 'static {
    /// A read-only mapping of the file.
    type Map: Map;

    /// The file's length.
    fn len(&self) -> io::Result<u64>;

    /// Reads at `offset`; a count below `buf.len()` means the end of the file or a short read, 0 the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes `parts` one behind the other at `offset` in one system call; may be short.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Copies bytes of another file to the same place in this one without passing them through the process; may be
    /// short, and `Unsupported` where the system cannot.
    fn copy_range(&self, from: &Self, offset: u64, len: u64) -> io::Result<u64>;

    /// Cuts or extends the file to `len`.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Maps the first `len` bytes for reading, which may be more than the file holds yet; `None` when this
    /// world does not map files.
    fn map(&self, len: u64) -> io::Result<Option<Self::Map>>;
}

/// A mapping. Only ranges that the file already holds, and that are never written again, may be asked for.
pub trait Map: Send + Sync + 'static {
    /// The bytes `offset .. offset + len`, or `None` when the mapping does not reach so far.
    fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]>;

    /// Tells the device that `len` bytes at `offset` will be read soon.
    fn announce(&self, offset: u64, len: usize);

    /// Tells the processor that `len` bytes at `offset` will be read soon. Never faults.
    fn prefetch(&self, offset: u64, len: usize);
}
