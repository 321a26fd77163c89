//! Options as they are written: members of a JSON object, and refusals that quote what was given.

use crate::json_text::{self, Walker};
use crate::{Error, Result};
use std::ops::RangeInclusive;

/// How much of what was given a refusal quotes, in characters.
const QUOTED_CHARS: usize = 60;

/// Options in JSON, which must be an object.
pub(super) fn object(json: &str) -> Result<Walker<'_>> {
    let mut walker =
        json_text::check(json.as_bytes()).map_err(|e| Error::Invalid(format!("options: {e}")))?;
    if walker.peek() != b'{' {
        let given = quoted(&walker.text()[walker.skip_value()]);
        return Err(Error::Invalid(format!("options: given {given}; accepted: a JSON object")));
    }
    Ok(walker)
}

/// Hands each member of the object at `walker` to `read`, with its place in `names`, the ones that are accepted.
pub(super) fn each_member(
    walker: &mut Walker<'_>,
    names: &[&str],
    mut read: impl FnMut(usize, &Given<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen = vec![false; names.len()];
    walker.open();
    while let Some(name) = walker.next_member() {
        let given = Given { key: name.text, text: value_text(walker) };
        let decoded = name.decoded()?;
        let named = names.iter().position(|key| key.as_bytes() == &*decoded);
        let at = named.ok_or_else(|| unknown(name.text, names))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(given.refused("once"));
        }
        read(at, &given)?;
    }
    Ok(())
}

/// An option's value as it was written.
pub(super) struct Given<'j> {
    /// As written, quotes included.
    pub(super) key: &'j str,
    pub(super) text: &'j str,
}

impl Given<'_> {
    pub(super) fn refused(&self, accepted: &str) -> Error {
        let (key, text) = (quoted(self.key), quoted(self.text));
        Error::Invalid(format!("option {key}: given {text}; accepted: {accepted}"))
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        self.text.parse().map_err(|_| self.refused("true or false"))
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64> {
        let integer = self.text.parse().ok().filter(|n| range.contains(n));
        integer.ok_or_else(|| {
            self.refused(&format!("an integer from {} to {}, in digits alone", range.start(), range.end()))
        })
    }

    pub(super) fn string(&self) -> Option<String> {
        serde_json::from_str(self.text).ok()
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T> {
        let string = self.string();
        let chosen = choices.iter().find(|(name, _)| string.as_deref() == Some(name));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.refused(&names.join(" or "))
        })
    }
}

pub(super) fn value_text<'j>(walker: &mut Walker<'j>) -> &'j str {
    &walker.text()[walker.skip_value()]
}

fn unknown(key: &str, names: &[&str]) -> Error {
    let bare = key.trim_matches('"').to_ascii_lowercase();
    let near = names.iter().find(|name| one_edit_apart(name.as_bytes(), bare.as_bytes()));
    let hint = near.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
    Error::Invalid(format!("option {} is unknown{hint}; accepted: {}", quoted(key), names.join(", ")))
}

/// Whether one byte more, less or other, or two neighbours swapped makes `a` of `b`.
fn one_edit_apart(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([], []) => true,
        ([_, a @ ..], _) if a == b => true,
        (_, [_, b @ ..]) if a == b => true,
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([w, x, a @ ..], [y, z, b @ ..]) => (w, x, a) == (z, y, b),
        _ => false,
    }
}

/// `text`, cut where it would make a message too long.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}
