//! What rests on the engine and adds to it: batches, JSON documents, counters, expiry, scans, deletions of
//! ranges.

pub mod batch;
pub mod counter;
pub mod delete_range;
pub mod documents;
pub mod expiry;
pub mod json;
pub mod scan;
