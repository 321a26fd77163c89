//! The index in memory: which record is the newest for each key, with no key held.
//!
//! A key is known by its 128-bit digest (`digest`); a slot of 24 bytes holds digest and location ([`location`]).
//! Slots live in pages (`arena`), pages in groups (`group`, which explains why readers need no lock), groups in a
//! directory (`directory`). `table` puts them together; `load` has the rules for filling it in parallel, `checkpoint`
//! and `parts` those for filling it when it is first asked.

mod arena;
mod checkpoint;
mod digest;
mod directory;
mod group;
mod grow;
mod load;
pub mod location;
mod overflow;
mod parts;
mod table;

#[cfg(test)]
mod tests;

pub use digest::{Digest, SECRET_LEN, Secret};
pub use load::LoadOutcome;
pub use parts::{Entry, Part, Source};
pub use table::Keydir;
