//! The index in parts: taken out for a checkpoint, and brought in from one.
//!
//! The parts are those of the groups when the checkpoint was taken. An index made of them answers at once: what it is
//! asked for comes in when it is asked for, the rest when a background thread gets to it.

use super::arena::{Arena, PageId};
use super::digest::Digest;
use super::directory::{Directory, MAX_DEPTH};
use super::group::{Cover, MAX_PAGES_PER_GROUP};
use super::parts::{Entry, Part, Pending, Source};
use super::table::Keydir;
use crate::Result;
use crate::sync::Arc;

impl Keydir {
    /// An index whose contents are in `parts`, which cover every digest once; `None` if there can be no such index.
    /// Nothing is read yet, and nothing may be asked before [`Keydir::set_source`] was called.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn of_parts(parts: Vec<Part>) -> Result<Option<Self>> {
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or(0);
        if depth > MAX_DEPTH || parts.is_empty() {
            return Ok(None);
        }
        let pages: usize = parts.iter().map(|part| part.pages()).sum();
        let arena = Arena::new(pages)?;
        let directory = Directory::new(depth, parts.len())?;
        let (mut at, mut ids, mut taken) = (0, [PageId::NONE; MAX_PAGES_PER_GROUP], 0);
        let mut groups = Ok(());
        arena.take_fresh(pages, |id| {
            ids[taken] = id;
            taken += 1;
            let part: Part = parts[at];
            if taken == part.pages() && groups.is_ok() {
                groups = directory.create().map(|group| {
                    group.initialise_pending(part.cover(), &ids[..taken], at);
                    directory.publish(part.cover(), group);
                });
                (at, taken) = (at + 1, 0);
            }
        })?;
        groups?;
        let live = parts.iter().map(|part| u64::from(part.entries)).sum();
        Ok(Some(Keydir::assembled(directory, arena, Pending::new(parts), live)))
    }

    /// Says where the contents of an index made by [`Keydir::of_parts`] come from. The source is let go when all is in.
    pub fn set_source(&self, source: Arc<dyn Source>) {
        self.pending().set_source(source);
    }

    /// Makes sure that what the index says of `digest` is in memory: calls for the same digest after this one find it
    /// there. Costs one load when all is.
    ///
    /// # Errors
    /// What the source answers; `NoMemory`.
    #[inline]
    pub fn touch(&self, digest: Digest) -> Result<()> {
        if self.pending().is_over() { Ok(()) } else { self.bring_in_for(digest.lo) }
    }

    /// Whether some of it is not in memory yet.
    pub fn is_partial(&self) -> bool {
        !self.pending().is_over()
    }

    /// Brings in a part that is not in memory yet; `false` when there is none. For a background thread.
    ///
    /// # Errors
    /// What the source answers; `NoMemory`. The next call goes on with another part.
    pub fn bring_in_next(&self) -> Result<bool> {
        if self.pending().is_over() {
            return Ok(false);
        }
        match self.pending().next() {
            Some(part) => self.bring_in_for(u64::from(part.prefix))?,
            // Some failed before, or are being brought in by others at this moment.
            None => self.pending().start_over(),
        }
        Ok(true)
    }

    /// Hands the contents to `each`, part by part, each ascending by `hi`, then `lo`; the parts come in the order of
    /// their prefixes, read from the lowest bit. `false`, and nothing is handed out, if the index cannot be had in parts.
    ///
    /// # Errors
    /// What `each` answers.
    pub fn for_each_part(&self, mut each: impl FnMut(Part, &[Entry]) -> Result<()>) -> Result<bool> {
        if !self.overflow().is_empty() {
            return Ok(false);
        }
        let mut entries = Vec::new();
        let mut result = Ok(());
        self.for_each_group(Cover::ALL, |group| {
            if result.is_err() {
                return;
            }
            entries.clear();
            group.for_each(|digest, location| entries.push((digest, location)));
            let Cover { depth, prefix } = group.cover();
            let count = u32::try_from(entries.len()).expect("a group has few thousand slots");
            result = each(Part { depth, prefix, entries: count }, &entries);
        });
        result.map(|()| true)
    }

    /// Appends all entries that belong to `part` to `out`, ascending by `hi`, then `lo`.
    pub fn entries_of(&self, part: Part, out: &mut Vec<Entry>) {
        let (cover, from) = (part.cover(), out.len());
        let mut add = |digest: Digest, location| {
            if cover.admits(digest.lo) {
                out.push((digest, location));
            }
        };
        self.for_each_group(cover, |group| group.for_each(&mut add));
        self.overflow().for_each(add);
        out[from..].sort_unstable_by_key(|(digest, _)| (digest.hi, digest.lo));
    }
}
