//! One file each: how a segment is appended to, read, scanned, and held while readers are in it.

pub mod appender;
pub mod reader;
pub mod scanner;
pub mod view;
