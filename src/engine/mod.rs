//! The store itself: opening and recovery, writes and their durability, reads, the log thread.

pub mod db;

mod commit;
mod copy;
mod health;
mod load;
mod log_thread;
mod manifest_file;
mod open;
mod read;
mod recover;
mod write;
mod writer;

pub use db::{Db, Store};
pub use read::Pinned;
pub use write::{BatchEntry, MAX_BATCH_LEN};
