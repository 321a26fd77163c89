//! An embeddable Bitcask key-value store.
//!
//! The engine behind `bitcask.h`; see the README for what it is and `docs/` for its design and file format.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod error;
pub mod format;
pub mod io;
pub mod keydir;
pub mod options;
pub mod stats;
pub mod sync;

pub use error::{Error, Result};
