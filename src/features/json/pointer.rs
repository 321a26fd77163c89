//! JSON Pointer (RFC 6901): the text of one part of a document.
//!
//! One pass: a part that the pointer may mean is entered when it is met, and a later member of the same name
//! takes its place.

use crate::json_text::{MAX_DEPTH, Walker, check};
use crate::{Error, Result};
use std::ops::Range;

/// The part of `doc` that `pointer` names, exactly as written, without the white space around it; `None` when it
/// matches nothing. `""` is the whole document.
///
/// Array indices are decimal without leading zeros; anything else, `-` included, matches nothing in an array. Of
/// several members with one name the last counts: what only an earlier one holds matches nothing.
///
/// # Errors
///
/// [`Invalid`](Error::Invalid) when the pointer is malformed, and those of [`validate`](super::validate): the
/// whole document is checked, not only the way to the part.
pub fn pointer<'d>(doc: &'d [u8], pointer: &str) -> Result<Option<&'d str>> {
    check_pointer(pointer)?;
    // One more than can match, however long the pointer.
    let tokens: Vec<_> = pointer.split('/').skip(1).take(MAX_DEPTH + 1).collect();
    let mut walker = check(doc)?;
    Ok(find(&mut walker, &tokens)?.map(|part| &walker.text()[part]))
}

/// Whether `pointer` is well-formed.
///
/// # Errors
///
/// [`Invalid`](Error::Invalid) when not.
pub fn check_pointer(pointer: &str) -> Result<()> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(malformed(pointer, "does not begin with '/'"));
    }
    let mut escapes = pointer.split('~').skip(1);
    if escapes.any(|after| !after.starts_with(['0', '1'])) {
        return Err(malformed(pointer, "has a '~' that neither 0 nor 1 follows"));
    }
    Ok(())
}

/// The bytes that a token means: `~01` is `~1`, not `/`.
fn unescaped(token: &str) -> impl Iterator<Item = u8> {
    let mut bytes = token.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'~' => bytes.next().map(|digit| if digit == b'1' { b'/' } else { b'~' }),
        byte => Some(byte),
    })
}

fn malformed(pointer: &str, what: &str) -> Error {
    let shown: String = pointer.chars().take(60).collect();
    Error::Invalid(format!(
        "the JSON pointer {shown:?} {what}; accepted: \"\" for the whole document, or a '/' before each name or \
         index, with '~' written ~0 and '/' written ~1"
    ))
}

/// Steps over the value and answers the part of it that `tokens` name. Never deeper than the document.
fn find(walker: &mut Walker<'_>, tokens: &[&str]) -> Result<Option<Range<usize>>> {
    let Some((token, rest)) = tokens.split_first() else { return Ok(Some(walker.skip_value())) };
    let mut found = None;
    match walker.peek() {
        b'{' => {
            walker.open();
            while let Some(name) = walker.next_member() {
                if name.decoded()?.iter().copied().eq(unescaped(token)) {
                    found = find(walker, rest)?;
                } else {
                    walker.skip_value();
                }
            }
        }
        b'[' => {
            let wanted = index(token);
            let mut at = 0;
            walker.open();
            while walker.next_element() {
                if wanted == Some(at) {
                    found = find(walker, rest)?;
                } else {
                    walker.skip_value();
                }
                at += 1;
            }
        }
        _ => {
            walker.skip_value();
        }
    }
    Ok(found)
}

/// RFC 6901's array index: digits alone, no leading zero.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if digits { token.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "pointer_tests.rs"]
mod tests;
