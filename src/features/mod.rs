//! What rests on the engine and adds to it: batches, JSON documents, counters, expiry, scans.

pub mod batch;
pub mod counter;
pub mod documents;
pub mod expiry;
pub mod json;
pub mod scan;
