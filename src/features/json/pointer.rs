//! JSON Pointer (RFC 6901): the text of one part of a document.
//!
//! One pass: a part that the pointer may mean is entered when it is met, and a later member of the same name
//! takes its place.

use crate::json_text::{MAX_DEPTH, Walker, check};
use crate::{Error, Result};
use std::borrow::Cow;
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
    let tokens = tokens(pointer)?;
    let mut walker = check(doc)?;
    Ok(find(&mut walker, &tokens).map(|part| &walker.text()[part]))
}

/// The reference tokens, unescaped: at most one more than can match, however long the pointer.
fn tokens(pointer: &str) -> Result<Vec<Cow<'_, str>>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(malformed(pointer, "does not begin with '/'"));
    }
    let mut escapes = pointer.split('~').skip(1);
    if escapes.any(|after| !after.starts_with(['0', '1'])) {
        return Err(malformed(pointer, "has a '~' that neither 0 nor 1 follows"));
    }
    Ok(pointer.split('/').skip(1).take(MAX_DEPTH + 1).map(unescape).collect())
}

/// `~1` first: `~01` means `~1`, not `/`.
fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

fn malformed(pointer: &str, what: &str) -> Error {
    let shown: String = pointer.chars().take(60).collect();
    Error::Invalid(format!(
        "the JSON pointer {shown:?} {what}; accepted: \"\" for the whole document, or a '/' before each name or \
         index, with '~' written ~0 and '/' written ~1"
    ))
}

/// Steps over the value and answers the part of it that `tokens` name. Never deeper than the document.
fn find(walker: &mut Walker<'_>, tokens: &[Cow<'_, str>]) -> Option<Range<usize>> {
    let Some((token, rest)) = tokens.split_first() else { return Some(walker.skip_value()) };
    let mut found = None;
    match walker.peek() {
        b'{' => {
            walker.open();
            while let Some(name) = walker.next_member() {
                if *name.decoded() == *token.as_bytes() {
                    found = find(walker, rest);
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
                    found = find(walker, rest);
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
    found
}

/// RFC 6901's array index: digits alone, no leading zero.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if digits { token.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "pointer_tests.rs"]
mod tests;
