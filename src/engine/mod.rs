//! The store itself: opening and recovery, writes and their durability, reads, the log thread.

mod assembly;
mod background;
mod bell;
mod checkpoint;
mod commit;
mod commits;
mod copy;
mod db;
mod health;
mod hints;
mod listed;
mod load;
mod load_tasks;
mod log_jobs;
mod manifest_file;
mod merge;
mod merge_policy;
mod older;
mod open;
mod origin;
mod pace;
mod read;
mod readers;
mod recover;
mod resume;
mod segment_files;
mod settle;
mod shared;
mod survey;
mod survivors;
mod views;
mod write;
mod writer;

pub use db::{Db, Store};
pub use read::Pinned;
pub use write::{BatchEntry, MAX_BATCH_LEN};
