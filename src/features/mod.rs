//! What rests on the engine and adds to it: batches, JSON documents, scans.

pub mod batch;
pub mod documents;
pub mod json;
pub mod scan;
