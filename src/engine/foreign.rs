//! What sets a batch of another store's changes apart: versions of their own, and a record in front of them.

use super::shared::{Inner, WriterGuard};
use super::writer::Place;
use crate::error::Result;
use crate::format::applied;
use crate::format::record::Draft;
use crate::io::env::Env;

/// What makes a batch one of another store's changes.
pub(super) struct Foreign<'a> {
    /// The version of each change.
    pub(super) versions: &'a [u64],
    /// The cursor to store with them; an empty one leaves that which is there.
    pub(super) cursor: &'a [u8],
}

/// The record that begins such a batch.
pub(super) struct Head {
    pub(super) value: Vec<u8>,
    pub(super) draft: Draft,
}

impl Head {
    pub(super) fn of(foreign: &Foreign<'_>, is_continued: bool) -> Self {
        let value = applied::encode(foreign.cursor);
        Head { draft: applied::draft(&value, is_continued), value }
    }
}

impl<E: Env> Inner<E> {
    pub(super) fn begin_foreign(
        &self,
        writer: &mut WriterGuard<'_, E>,
        foreign: &Foreign<'_>,
        len: u64,
    ) -> Result<Place> {
        let highest = foreign.versions.iter().copied().max().unwrap_or(0);
        let begun = writer.begin_applied(highest, len)?;
        Ok(self.note_move(begun))
    }
}
