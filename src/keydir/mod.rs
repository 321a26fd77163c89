//! The index in memory: which record is the newest for each key, with no key held.

pub mod digest;
pub mod location;
pub mod table;
