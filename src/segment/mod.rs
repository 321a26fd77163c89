//! One file each: how a segment is appended to, read, scanned, and held while readers are in it.

pub mod appender;
pub mod follower;
pub mod hint_finder;
pub mod hint_reader;
pub mod hint_writer;
pub mod lookahead;
pub mod merged_runs;
pub mod output;
pub mod reader;
pub mod record_walk;
pub mod run_cursor;
pub mod runs;
pub mod scanner;
pub mod values;
pub mod view;
