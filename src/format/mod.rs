//! Every on-disk byte, as pure functions over buffers; `docs/FORMAT.md` is the same in prose.

pub mod applied;
pub mod checkpoint;
pub mod checksum;
pub mod coding;
pub mod compressed;
pub mod cursor;
pub mod dictionary;
pub mod dictionary_record;
pub mod filter;
pub mod hint;
pub mod manifest;
pub mod marker;
pub mod names;
pub mod record;
pub mod segment_header;
