//! What rests on the engine and adds to it: backups, batches, JSON documents, counters, expiry, scans, deletions of
//! ranges.

pub mod backup;
pub mod batch;
pub mod counter;
pub mod delete_range;
pub mod documents;
mod elsewhere;
pub mod expiry;
pub mod json;
mod progress;
pub mod repair;
pub mod scan;
pub mod verify;
