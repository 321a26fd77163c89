//! JSON values: validated, read in part by a pointer, changed in part by a patch.
//!
//! Pure functions over bytes. A document is text and stays text: what a call does not name keeps its spelling,
//! order and spacing, so numbers beyond 2^53, `1e400`, `-0`, `1.10`, `\u0041` and `\/` survive, and no member
//! name is magic. Where a name occurs more than once in an object, which RFC 8259 allows, the last one counts,
//! here as in most parsers. Names are compared without their escapes; a lone surrogate escape (`"\ud800"`) is
//! accepted, and equals only itself. Time and memory are linear in what is given. Storing is left to the engine.

mod merge_patch;
mod pointer;

pub use crate::json_text::{MAX_DEPTH, MAX_DOCUMENT_BYTES};
pub use merge_patch::merge_patch;
pub use pointer::{check_pointer, pointer};

use crate::{Result, json_text};

/// Whether `doc` is one JSON document (RFC 8259) in UTF-8 with nothing but white space around it.
///
/// No byte order mark; duplicate names and lone surrogate escapes are accepted, and numbers of any size.
///
/// # Errors
///
/// [`NotJson`](crate::Error::NotJson) says what was expected, with line and column (in bytes) or byte offset;
/// [`TooLarge`](crate::Error::TooLarge) is for documents over [`MAX_DOCUMENT_BYTES`] or nested deeper than
/// [`MAX_DEPTH`], which is judged before the grammar.
pub fn validate(doc: &[u8]) -> Result<()> {
    json_text::check(doc).map(|_| ())
}

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
