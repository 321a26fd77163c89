//! What rests on the engine and adds to it: batches, JSON documents.

pub mod batch;
pub mod documents;
pub mod json;
