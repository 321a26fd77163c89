//! An embeddable Bitcask key-value store.
//!
//! The engine behind `bitcask.h`; see the README for what it is and `docs/` for its design and file format.

pub mod capi;
pub mod engine;
pub mod error;
pub mod features;
pub mod format;
pub mod io;
mod json_text;
pub mod keydir;
pub mod log;
pub mod options;
pub mod segment;
pub mod stats;
pub mod sync;

pub use error::{Error, Result};
