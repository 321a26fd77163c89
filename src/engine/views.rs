//! The view in force, and the slots of segments.
//!
//! A slot is given to a new segment only when every view that held another there is gone: a reader that pinned such a
//! view could take the new segment's location for one in the old.

use super::segment_files::too_many_segments;
use crate::error::Result;
use crate::io::env::File;
use crate::keydir::location::SegmentSlot;
use crate::segment::view::{Segment, View};
use crate::sync::{Arc, Mutex};
use arc_swap::{ArcSwap, Guard};
use std::sync::Weak;

/// See the file's head.
pub(crate) struct Views<F: File> {
    current: ArcSwap<View<F>>,
    /// Views that were replaced, as long as somebody may hold them. Whoever changes the view holds this.
    replaced: Mutex<Vec<Weak<View<F>>>>,
}

impl<F: File> Views<F> {
    pub(crate) fn new(view: View<F>) -> Self {
        Views { current: ArcSwap::from_pointee(view), replaced: Mutex::default() }
    }

    /// Pins the view in force.
    #[inline]
    pub(crate) fn load(&self) -> Guard<Arc<View<F>>> {
        self.current.load()
    }

    /// The view in force, to be held for long.
    pub(crate) fn load_full(&self) -> Arc<View<F>> {
        self.current.load_full()
    }

    /// Adds the segment that `make` makes for a slot: as the newest, or right before the one at `before`.
    pub(crate) fn add(
        &self,
        before: Option<SegmentSlot>,
        make: impl FnOnce(SegmentSlot) -> Result<Arc<Segment<F>>>,
    ) -> Result<Arc<Segment<F>>> {
        let mut replaced = self.replaced.lock();
        let view = self.current.load_full();
        let held: Vec<_> = replaced.iter().filter_map(Weak::upgrade).chain([view.clone()]).collect();
        let is_free = |slot: &SegmentSlot| held.iter().all(|view| view.segment(*slot).is_none());
        let most = held.iter().map(|view| view.slots()).max().unwrap_or(0);
        let slot = (0..=most).map_while(SegmentSlot::nth).find(is_free).ok_or_else(too_many_segments)?;
        let segment = make(slot)?;
        drop(held);
        self.replace(&mut replaced, view.with(segment.clone(), before));
        Ok(segment)
    }

    /// Puts the segments of the view in another order: `segments`, oldest first, are all of them.
    pub(crate) fn arrange(&self, segments: Vec<Arc<Segment<F>>>) {
        let mut replaced = self.replaced.lock();
        self.replace(&mut replaced, View::new(segments));
    }

    /// Takes segments out.
    pub(crate) fn remove(&self, segments: &[Arc<Segment<F>>]) {
        let mut replaced = self.replaced.lock();
        let view = self.current.load_full();
        self.replace(&mut replaced, view.without(|held| segments.iter().any(|gone| gone.slot == held.slot)));
    }

    fn replace(&self, replaced: &mut Vec<Weak<View<F>>>, next: View<F>) {
        replaced.retain(|view| view.strong_count() > 0);
        let old = self.current.swap(Arc::new(next));
        replaced.push(Arc::downgrade(&old));
    }
}
