//! The C face: every function of `bitcask.h`.
//!
//! Invariant: nothing unwinds into the caller, and every pointer that crosses is checked in `boundary` before it
//! is used. One file a family of functions; the header is generated from their comments, in the order that
//! `build.rs` lists them, and says to C programmers what the comments here say. What a store does is the
//! engine's business: nothing here decides it.
//!
//! Safety of every function: the conventions at the top of the header. Non-NULL pointers are valid for what the
//! function says it reads or writes, handles come from this library and have not been freed, and nobody closes
//! a store that another thread is using.

pub mod apply;
pub mod backup;
pub mod batch;
mod boundary;
pub mod delete_range;
pub mod expiry;
pub mod feed;
pub mod handles;
pub mod info;
pub mod iter;
pub mod json;
pub mod log;
pub mod many;
pub mod memory;
pub mod merge;
pub mod open;
pub mod read;
pub mod refresh;
pub mod repair;
pub mod report;
pub mod snapshot;
pub mod status;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
pub mod versions;
pub mod write;
pub mod write_with;
