//! The segments of a view in the making.
//!
//! Slots are handed out in manifest order.

use super::listed::{Listed, RECORDS_AT};
use super::recover::Judgement;
use super::segment_files::too_many_segments;
use super::shared::{growing_map_len, may_map};
use crate::error::Result;
use crate::format::manifest::SegmentEntry;
use crate::io::env::File;
use crate::keydir::location::SegmentSlot;
use crate::segment::view::{Segment, SegmentId};
use crate::sync::Arc;

/// The segments of a view in the making, oldest first.
pub(super) struct Assembly<F: File> {
    pub(super) mapped: bool,
    pub(super) max_segment_bytes: u64,
    /// Each segment with the length that it is supposed to have.
    pub(super) segments: Vec<(Arc<Segment<F>>, u64)>,
}

impl<F: File> Assembly<F> {
    /// Adds a listed file whose first `stated` bytes are the segment; one that will be appended to is mapped further.
    pub(super) fn add_listed(
        &mut self,
        listed: Listed<F>,
        stated: u64,
        grows: bool,
    ) -> Result<Arc<Segment<F>>> {
        let Listed { entry: SegmentEntry { number, uid, run, .. }, file, file_len, .. } = listed;
        let at = self.segments.len();
        let slot = SegmentSlot::nth(at).ok_or_else(too_many_segments)?;
        let id = SegmentId { number, uid, slot };
        let readable = stated.min(file_len);
        let map_len = if grows { growing_map_len(self.max_segment_bytes) } else { readable };
        let mapped = self.mapped && may_map(slot);
        let mut segment = Segment::new(id, file, readable, mapped.then_some(map_len));
        segment.run = run;
        segment.surplus_bytes = if grows { 0 } else { file_len - readable };
        let segment = Arc::new(segment);
        self.segments.push((segment.clone(), stated));
        Ok(segment)
    }

    /// Adds the sealed segments.
    pub(super) fn add_sealed(&mut self, sealed: Vec<Listed<F>>) -> Result<()> {
        for listed in sealed {
            let stated = listed.entry.kept_len();
            self.add_listed(listed, stated, false)?;
        }
        Ok(())
    }
}

/// What a reader sees: the log as far as it is good, where it lies.
pub(super) fn read_only<F: File>(
    mut assembly: Assembly<F>,
    sealed: Vec<Listed<F>>,
    unsealed: Vec<Listed<F>>,
    judgement: &Judgement,
) -> Result<Assembly<F>> {
    assembly.add_sealed(sealed)?;
    for (listed, verdict) in unsealed.into_iter().zip(&judgement.verdicts) {
        if verdict.good > RECORDS_AT {
            assembly.add_listed(listed, verdict.good, true)?;
        }
    }
    Ok(assembly)
}
