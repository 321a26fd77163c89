//! How a group grows: by one page at a time, and at twelve pages by a split in two.
//!
//! Either way the digests are laid out anew in other pages, in order, while readers go on in the old ones; then the
//! header is switched over and the old pages are given back. One growth moves fewer than 3,000 slots, whatever the
//! size of the index. The caller holds the group's writer.

use super::arena::{Arena, PageId, SLOTS_PER_PAGE};
use super::digest::Digest;
use super::directory::{Directory, MAX_DEPTH};
use super::group::{MAX_PAGES_PER_GROUP, Writer, home, pages_for};
use super::location::Location;
use crate::Result;
use crate::sync::{Ordering, fence};

/// The most pages that a growth takes before it gives any back.
pub(super) const MAX_PAGES_PER_GROWTH: usize = 2 * MAX_PAGES_PER_GROUP;

/// Whether a growth helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// The layout changed; search again.
    Done,
    /// The group is as large as it can be.
    AtLimit,
}

/// Makes room in a crowded group.
///
/// # Errors
/// `NoMemory`, and nothing changed.
pub(super) fn grow(arena: &Arena, directory: &Directory, writer: &mut Writer<'_>) -> Result<Growth> {
    if writer.pages() < MAX_PAGES_PER_GROUP {
        relayout(arena, writer, writer.pages() + 1)?;
        return Ok(Growth::Done);
    }
    if writer.cover().depth == MAX_DEPTH {
        return Ok(Growth::AtLimit);
    }
    split(arena, directory, writer)?;
    Ok(Growth::Done)
}

/// Lays the group out in `pages` pages, which must hold its digests.
///
/// # Errors
/// `NoMemory`, and nothing changed.
pub(super) fn relayout(arena: &Arena, writer: &mut Writer<'_>, pages: usize) -> Result<()> {
    let (old, old_pages) = (writer.page_ids(), writer.pages());
    let mut ids = [PageId::NONE; MAX_PAGES_PER_GROUP];
    let ids = &mut ids[..pages];
    arena.take(ids)?;
    let mut fill = Fill::new(arena, ids, writer.count());
    writer.for_each(|digest, location| fill.push(digest, location));
    fill.finish();
    writer.install(writer.cover(), ids, writer.count(), || ());
    arena.give_back(&old[..old_pages]);
    Ok(())
}

/// Splits by the next bit of `lo`: the group keeps the digests that have it clear, a new one takes the others.
fn split(arena: &Arena, directory: &Directory, writer: &mut Writer<'_>) -> Result<()> {
    let (old, old_pages) = (writer.page_ids(), writer.pages());
    let [keep, part] = writer.cover().halves();
    let mut keep_count = 0;
    writer.for_each(|digest, _| keep_count += usize::from(keep.admits(digest.lo)));
    let part_count = writer.count() - keep_count;

    directory.ensure_level(keep.depth)?;
    directory.ensure(1)?;
    let mut ids = [PageId::NONE; MAX_PAGES_PER_GROWTH];
    let (keep_pages, part_pages) = (pages_for(keep_count), pages_for(part_count));
    let ids = &mut ids[..keep_pages + part_pages];
    arena.take(ids)?;
    let sibling = directory.create().inspect_err(|_| arena.give_back(ids))?;
    let (keep_ids, part_ids) = ids.split_at(keep_pages);

    let mut keep_fill = Fill::new(arena, keep_ids, keep_count);
    let mut part_fill = Fill::new(arena, part_ids, part_count);
    writer.for_each(|digest, location| {
        let fill = if keep.admits(digest.lo) { &mut keep_fill } else { &mut part_fill };
        fill.push(digest, location);
    });
    keep_fill.finish();
    part_fill.finish();

    sibling.initialise(part, part_ids, part_count);
    let group = writer.group();
    writer.install(keep, keep_ids, keep_count, || {
        directory.publish(keep, group);
        directory.publish(part, sibling);
    });
    arena.give_back(&old[..old_pages]);
    Ok(())
}

/// Lays digests out in pages that no reader searches yet.
pub(super) struct Fill<'a> {
    arena: &'a Arena,
    pages: &'a [PageId],
    /// How many are still to come.
    left: usize,
    /// The first position not written.
    next: usize,
}

impl<'a> Fill<'a> {
    /// Begins to fill `pages`, just taken, with `count` digests.
    pub(super) fn new(arena: &'a Arena, pages: &'a [PageId], count: usize) -> Self {
        debug_assert!(count <= pages.len() * SLOTS_PER_PAGE);
        // Orders all that is written from here on after the changes of `seq` of the groups that had these pages
        // before, for readers that are still in them; see the head of `group`.
        fence(Ordering::Release);
        Fill { arena, pages, left: count, next: 0 }
    }

    /// Adds the next digest in order: at home or the first free slot after it, but never so far that those to come
    /// would not fit; then all slots to the end are full, and each home among them.
    pub(super) fn push(&mut self, digest: Digest, location: Location) {
        let capacity = self.pages.len() * SLOTS_PER_PAGE;
        let position = home(digest.hi, capacity).max(self.next).min(capacity - self.left);
        self.free_until(position);
        let slot = &self.arena.page(self.pages[position / SLOTS_PER_PAGE]).0[position % SLOTS_PER_PAGE];
        slot.lo.store(digest.lo, Ordering::Relaxed);
        slot.hi.store(digest.hi, Ordering::Relaxed);
        slot.location.store(location.to_word(), Ordering::Relaxed);
        self.next = position + 1;
        self.left -= 1;
    }

    pub(super) fn finish(mut self) {
        debug_assert_eq!(self.left, 0);
        self.free_until(self.pages.len() * SLOTS_PER_PAGE);
    }

    fn free_until(&mut self, end: usize) {
        for position in self.next..end {
            let slot = &self.arena.page(self.pages[position / SLOTS_PER_PAGE]).0[position % SLOTS_PER_PAGE];
            slot.location.store(0, Ordering::Relaxed);
        }
    }
}
