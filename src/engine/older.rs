//! What the segments older than a merge's inputs hold, for the deletions that hide it (rule P2).
//!
//! Nothing is read before the first question, since many merges have none. Then the filters of all older segments are
//! loaded; where one lets a key through, that segment's hint has the last word. Whatever is missing, damaged or cannot
//! be read counts as holding the key. There may be thousands of older segments, so no file stays open.

use super::shared::{FileOf, Inner};
use crate::error::Error;
use crate::format::filter;
use crate::format::manifest::SegmentEntry;
use crate::io::env::{Dir, Env};
use crate::keydir::Digest;
use crate::segment::hint_finder::HintFinder;
use crate::segment::view::{HintState, Segment};
use crate::sync::Arc;

/// See the file's head.
pub(super) struct Older<'m, E: Env> {
    store: &'m Inner<E>,
    segments: Vec<(Arc<Segment<FileOf<E>>>, SegmentEntry)>,
    keys: Keys,
}

/// What is known of the older segments' keys.
enum Keys {
    NotAsked,
    /// Some segment may hold any.
    Any,
    Known(Vec<KeysOf>),
}

/// The keys of one segment.
struct KeysOf {
    filter: Vec<u8>,
    finder: HintFinder,
}

impl<'m, E: Env> Older<'m, E> {
    /// Of these segments.
    pub(super) fn new(store: &'m Inner<E>, segments: Vec<(Arc<Segment<FileOf<E>>>, SegmentEntry)>) -> Self {
        Older { store, segments, keys: Keys::NotAsked }
    }

    /// Whether an older segment may hold the key, which is greater than the one asked for before; `false` is certain.
    pub(super) fn may_hold(&mut self, key: &[u8], digest: Digest) -> bool {
        if let Keys::NotAsked = self.keys {
            self.keys = self.load().map_or(Keys::Any, Keys::Known);
        }
        let Keys::Known(segments) = &mut self.keys else { return true };
        let open = |name: &str| self.store.dir.open(name, false).map_err(|err| Error::io("open", name, err));
        segments.iter_mut().any(|keys| {
            filter::may_contain(&keys.filter, digest.lo) && keys.finder.holds(key, open).unwrap_or(true)
        })
    }

    fn load(&self) -> Option<Vec<KeysOf>> {
        let known = |segment: &Segment<_>| segment.hint_state() == HintState::Whole;
        if !self.segments.iter().all(|(segment, _)| known(segment)) {
            return None;
        }
        let keys_of = |(segment, entry): &(Arc<Segment<_>>, _)| {
            // A merge that is to stop needs no answer.
            let hint =
                self.store.hint_of(segment, entry).ok()?.filter(|_| !self.store.merge_bell.is_stopping())?;
            let filter = hint.filter().ok()??;
            Some(KeysOf { filter, finder: HintFinder::new(hint.into_index()) })
        };
        self.segments.iter().map(keys_of).collect()
    }
}
