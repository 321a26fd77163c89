//! JSON Merge Patch (RFC 7396) on the text of a document.
//!
//! The patch becomes a small tree; the document is walked once beside it and never becomes one: the walk only
//! notes edits, in the order of the text, and the rest is copied. A member met twice loses its first place only
//! when the second is met, so its removal goes into a slot noted ahead of the edits within it, and whatever lies
//! inside a removed stretch is passed over when the edits are applied. For the same reason what an edit writes is
//! worked out only then: each part of the patch is written at most once, whatever the document repeats.

use crate::json_text::{Walker, check, check_size};
use crate::{Error, Result};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

/// `doc` as `patch` changes it (RFC 7396).
///
/// A patch that is no object replaces the document's value. Else each of its members replaces, patches or, when
/// null, removes the member of that name, and is added when there is none; a value that is no object gives way to
/// one. Nulls inside added objects are left out.
///
/// What the patch does not touch keeps its text and place, white space around the document included. A new value
/// stands where the old one stood, under the old spelling of its name. New members follow the others in the
/// patch's order, spelled as there (an added object is written without spaces if something of it was left out).
/// A removed member takes one comma with it and the white space next to that. Of several members of a name that
/// the patch touches only the last is kept, in the document and in the patch; `{}` changes no object.
///
/// # Errors
///
/// Those of [`validate`](super::validate), for either text; [`TooLarge`](Error::TooLarge) when the result is
/// over the limit; [`NoMemory`](Error::NoMemory).
pub fn merge_patch(doc: &[u8], patch: &[u8]) -> Result<Vec<u8>> {
    let mut target = check(doc)?;
    let change = Change::read(&mut check(patch)?)?;
    let mut edits = Vec::new();
    apply(&mut target, &change, &mut edits)?;
    let most = doc.len().saturating_add(patch.len());
    let mut out = with_room(most)?;
    let mut at = 0;
    for edit in edits {
        if edit.place.start < at {
            continue;
        }
        out.extend_from_slice(&doc[at..edit.place.start]);
        edit.with.write(&mut out);
        at = edit.place.end;
    }
    out.extend_from_slice(&doc[at..]);
    debug_assert!(out.len() <= most);
    check_size(out.len())?;
    Ok(out)
}

/// An empty list with room for `count` items.
fn with_room<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Error::no_memory::<T>(count))?;
    Ok(list)
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    list.try_reserve(1).map_err(|_| Error::no_memory::<T>(list.len() + 1))?;
    list.push(item);
    Ok(())
}

/// A value of the patch, as what it does.
enum Change<'p> {
    Remove,
    Put(&'p str),
    Patch(Object<'p>),
}

struct Object<'p> {
    text: &'p str,
    /// Whether the text may be added as it stands: no member is null or superseded, at any depth of objects.
    plain: bool,
    members: Vec<Member<'p>>,
    /// The place of the last member of each name, in the order of the names.
    by_name: Vec<(Cow<'p, [u8]>, usize)>,
}

struct Member<'p> {
    name: &'p str,
    change: Change<'p>,
    superseded: bool,
}

impl<'p> Change<'p> {
    fn read(walker: &mut Walker<'p>) -> Result<Self> {
        if walker.peek() != b'{' {
            let text = &walker.text()[walker.skip_value()];
            return Ok(if text == "null" { Change::Remove } else { Change::Put(text) });
        }
        let start = walker.at();
        let (mut members, mut by_name) = (Vec::new(), Vec::new());
        walker.open();
        while let Some(name) = walker.next_member() {
            let change = Change::read(walker)?;
            push(&mut by_name, (name.decoded()?, members.len()))?;
            push(&mut members, Member { name: name.text, change, superseded: false })?;
        }
        by_name.sort_unstable_by(|(a, at), (b, other)| a.cmp(b).then(other.cmp(at)));
        by_name.dedup_by(|earlier, last| {
            let same = earlier.0 == last.0;
            members[earlier.1].superseded |= same;
            same
        });
        let plain = members.iter().all(|member| member.change.is_plain() && !member.superseded);
        Ok(Change::Patch(Object { text: &walker.text()[start..walker.at()], plain, members, by_name }))
    }

    fn is_plain(&self) -> bool {
        match self {
            Change::Remove => false,
            Change::Put(_) => true,
            Change::Patch(object) => object.plain,
        }
    }

    /// Writes what the change leaves where there was nothing to patch.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Change::Remove => out.extend_from_slice(b"null"),
            Change::Put(text) => out.extend_from_slice(text.as_bytes()),
            Change::Patch(object) if object.plain => out.extend_from_slice(object.text.as_bytes()),
            Change::Patch(object) => {
                out.push(b'{');
                object.write_members(|_| true, false, out);
                out.push(b'}');
            }
        }
    }
}

impl Object<'_> {
    /// The place of the member that counts of those called `name`.
    fn place_of(&self, name: &[u8]) -> Option<usize> {
        let found = self.by_name.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|at| self.by_name[at].1)
    }

    /// Writes the members that add something and that `chosen` accepts by their place, parted by commas.
    fn write_members(&self, chosen: impl Fn(usize) -> bool, mut comma: bool, out: &mut Vec<u8>) {
        for (place, member) in self.members.iter().enumerate() {
            if member.superseded || matches!(member.change, Change::Remove) || !chosen(place) {
                continue;
            }
            if comma {
                out.push(b',');
            }
            comma = true;
            out.extend_from_slice(member.name.as_bytes());
            out.push(b':');
            member.change.write(out);
        }
    }
}

/// A stretch of the document and what stands there afterwards. Edits are kept in the order of their starts.
struct Edit<'a> {
    place: Range<usize>,
    with: With<'a>,
}

enum With<'a> {
    Nothing,
    Value(&'a Change<'a>),
    /// The members of the patch that the document does not have.
    Rest {
        object: &'a Object<'a>,
        met: Met,
        comma: bool,
    },
}

/// Places in a patch that the document has too, in their order, each with the last member touched there.
type Met = Vec<(usize, usize)>;

impl With<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            With::Nothing => {}
            With::Value(change) => change.write(out),
            With::Rest { object, met, comma } => {
                let is_new = |place| met.binary_search_by_key(&place, |&(met, _)| met).is_err();
                object.write_members(is_new, *comma, out);
            }
        }
    }
}

/// Notes what `change` does to the value that the walker stands on, and steps over it.
fn apply<'a>(target: &mut Walker<'_>, change: &'a Change<'a>, edits: &mut Vec<Edit<'a>>) -> Result<()> {
    match change {
        Change::Patch(object) if target.peek() == b'{' => apply_members(target, object, edits),
        _ => push(edits, Edit { place: target.skip_value(), with: With::Value(change) }),
    }
}

/// A member of the document that the patch names.
struct Touched {
    ordinal: usize,
    /// Which member of the patch names it.
    place: usize,
    /// Where the member before it ends, where it starts and ends, and where the next one starts.
    before: usize,
    start: usize,
    end: usize,
    next: usize,
    removed: bool,
    /// The edit kept free for its removal.
    slot: usize,
}

/// Of the members of one name all but the last are to go. Answers which places in the patch were met.
fn supersede(touched: &mut [Touched]) -> Result<Met> {
    let mut met = with_room(touched.len())?;
    met.extend(touched.iter().enumerate().map(|(at, member)| (member.place, at)));
    met.sort_unstable_by_key(|&(place, at)| (place, Reverse(at)));
    met.dedup_by(|earlier, last| {
        let same = earlier.0 == last.0;
        touched[earlier.1].removed |= same;
        same
    });
    Ok(met)
}

fn apply_members<'a>(
    target: &mut Walker<'_>,
    object: &'a Object<'a>,
    edits: &mut Vec<Edit<'a>>,
) -> Result<()> {
    let mut touched: Vec<Touched> = Vec::new();
    target.open();
    let inside = target.at();
    let (mut count, mut before) = (0, inside);
    while let Some(name) = target.next_member() {
        if let Some(last) = touched.last_mut().filter(|last| last.ordinal + 1 == count) {
            last.next = name.start;
        }
        match object.place_of(&name.decoded()?) {
            None => {
                target.skip_value();
            }
            Some(place) => {
                let slot = edits.len();
                push(edits, Edit { place: name.start..name.start, with: With::Nothing })?;
                let change = &object.members[place].change;
                let removed = matches!(change, Change::Remove);
                if removed {
                    target.skip_value();
                } else {
                    apply(target, change, edits)?;
                }
                let (start, end) = (name.start, target.at());
                let member = Touched { ordinal: count, place, before, start, end, next: end, removed, slot };
                push(&mut touched, member)?;
            }
        }
        before = target.at();
        count += 1;
    }
    let close = target.at() - 1;
    let met = supersede(&mut touched)?;

    let leading = touched.iter().enumerate().take_while(|(i, t)| t.removed && t.ordinal == *i).count();
    let emptied = leading == count;
    if leading > 0 {
        let (first, last) = (&touched[0], &touched[leading - 1]);
        edits[first.slot].place = if emptied { inside..close } else { first.start..last.next };
    }
    for member in touched[leading..].iter().filter(|member| member.removed) {
        edits[member.slot].place = member.before..member.end;
    }
    let end = if leading > 0 && emptied { close } else { before };
    push(edits, Edit { place: end..end, with: With::Rest { object, met, comma: !emptied } })
}

#[cfg(test)]
#[path = "merge_patch_tests.rs"]
mod tests;
