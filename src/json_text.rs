//! A JSON document (RFC 8259) as text: checked once, then walked.
//!
//! `serde_json` alone judges the grammar, by skipping over the whole text: nothing is converted, so every number,
//! escape and member name that the grammar allows is accepted and stays as it was written. The [`Walker`] then
//! finds the parts of a text *known to be valid*, which takes no grammar: it reads every byte at most once for
//! each part it is asked to step over, and its only recursion is its callers', bounded by [`MAX_DEPTH`].
//! Pointers, patches and options are left to those who walk.
//!
//! Why not `serde_json` for the walk: its typed reading refuses what must survive (`1e400`, lone surrogates) and
//! drops what must be seen (spelling, order, duplicate names, where a name began).

use crate::{Error, Result};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// How deep arrays and objects may be nested; `[]` is 1 deep, a number 0.
pub const MAX_DEPTH: usize = 128;
/// The largest document, in bytes: the largest value that a record can hold.
pub const MAX_DOCUMENT_BYTES: u64 = u32::MAX as u64;

/// Accepts a document or says what is wrong with it; answers a walker that stands on its value.
///
/// Size is judged first, then UTF-8, depth and grammar, each over the whole text.
pub(crate) fn check(doc: &[u8]) -> Result<Walker<'_>> {
    check_size(doc.len())?;
    if doc.starts_with("\u{feff}".as_bytes()) {
        return Err(Error::NotJson {
            what: "a byte order mark at byte 0, expected the document alone".into(),
        });
    }
    let text = std::str::from_utf8(doc).map_err(|e| Error::NotJson {
        what: format!("byte {} begins no UTF-8 character, expected UTF-8 throughout", e.valid_up_to()),
    })?;
    check_depth(doc)?;
    serde_json::from_str::<&RawValue>(text).map_err(|e| Error::NotJson { what: e.to_string() })?;
    let mut walker = Walker { text, at: 0 };
    walker.skip_space();
    Ok(walker)
}

/// Refuses a length over [`MAX_DOCUMENT_BYTES`].
pub(crate) fn check_size(len: usize) -> Result<()> {
    let size = u64::try_from(len).unwrap_or(u64::MAX);
    if size > MAX_DOCUMENT_BYTES {
        return Err(Error::TooLarge { what: "document", size, limit: MAX_DOCUMENT_BYTES });
    }
    Ok(())
}

/// Refuses what opens more than [`MAX_DEPTH`] brackets at once. Of a text that is not JSON it answers something,
/// and the grammar check the rest.
fn check_depth(doc: &[u8]) -> Result<()> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = doc.get(at) {
        match byte {
            b'"' => at = string_end(doc, at) - 1,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let limit = MAX_DEPTH as u64;
                    return Err(Error::TooLarge { what: "nesting", size: limit + 1, limit });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Past the closing quote of the string that opens at `open`, or the end of the text when there is none.
fn string_end(doc: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(&byte) = doc.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    doc.len()
}

/// A place in a document that [`check`] accepted. Between two calls it stands on the first byte of a value, just
/// past a value, or, after [`open`](Self::open), before the first member or element.
pub(crate) struct Walker<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Walker<'d> {
    /// The offset in the document, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The document, white space around it included.
    pub(crate) fn text(&self) -> &'d str {
        self.text
    }

    /// The byte that the walker stands on: on a value, it tells its kind. 0 at the end.
    pub(crate) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Steps over the value and answers where it lies.
    pub(crate) fn skip_value(&mut self) -> Range<usize> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let mut depth = 0usize;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.at = string_end(bytes, self.at),
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b']' | b'}' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                _ => self.skip_scalar(),
            }
            if depth == 0 {
                break;
            }
        }
        start..self.at
    }

    /// Steps into the array or object that the walker stands on.
    pub(crate) fn open(&mut self) {
        self.at += 1;
    }

    /// Steps to the next element's value; false: past the closing bracket.
    pub(crate) fn next_element(&mut self) -> bool {
        self.skip_space();
        if self.peek() == b',' {
            self.at += 1;
            self.skip_space();
        }
        let more = !matches!(self.peek(), b']' | b'}' | 0);
        if !more {
            self.at += 1;
        }
        more
    }

    /// Steps to the next member's value and answers its name; `None`: past the closing bracket.
    pub(crate) fn next_member(&mut self) -> Option<Name<'d>> {
        if !self.next_element() {
            return None;
        }
        let start = self.at;
        self.at = string_end(self.text.as_bytes(), start);
        let name = Name { start, text: &self.text[start..self.at] };
        self.skip_space();
        self.at += 1;
        self.skip_space();
        Some(name)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn skip_scalar(&mut self) {
        while !matches!(self.peek(), b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' | 0) {
            self.at += 1;
        }
    }
}

/// A member's name where it stands.
pub(crate) struct Name<'d> {
    /// Where its opening quote is, in bytes.
    pub(crate) start: usize,
    /// As written, quotes included.
    pub(crate) text: &'d str,
}

impl<'d> Name<'d> {
    /// The name without its escapes, as WTF-8: UTF-8 in which a lone surrogate escape is the three bytes it would
    /// have as a character. Two names are the same when these bytes are.
    ///
    /// # Errors
    ///
    /// [`NoMemory`](Error::NoMemory), for a name with escapes.
    pub(crate) fn decoded(&self) -> Result<Cow<'d, [u8]>> {
        let mut rest = &self.text[1..self.text.len() - 1];
        if !rest.contains('\\') {
            return Ok(Cow::Borrowed(rest.as_bytes()));
        }
        // No escape is shorter than what it stands for.
        let mut out = Vec::new();
        out.try_reserve_exact(rest.len()).map_err(|_| Error::no_memory::<u8>(rest.len()))?;
        while let Some(escape) = rest.find('\\') {
            out.extend_from_slice(&rest.as_bytes()[..escape]);
            let kind = rest.as_bytes()[escape + 1];
            rest = &rest[escape + 2..];
            match kind {
                b'b' => out.push(8),
                b'f' => out.push(12),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => rest = decode_unicode(rest, &mut out),
                itself => out.push(itself),
            }
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(Cow::Owned(out))
    }
}

/// Decodes the four hex digits that `rest` begins with, and the second half of a pair if one follows; answers
/// what is left.
fn decode_unicode<'d>(rest: &'d str, out: &mut Vec<u8>) -> &'d str {
    let unit = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let first = unit(rest).unwrap_or(0);
    let rest = &rest[4..];
    let second = rest.strip_prefix("\\u").and_then(unit).filter(|low| (0xDC00..0xE000).contains(low));
    let (units, rest) = match second {
        Some(low) if (0xD800..0xDC00).contains(&first) => ([first, low], &rest[6..]),
        _ => ([first, 0], rest),
    };
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => {
            let [high, low] = first.to_be_bytes();
            out.extend_from_slice(&[0xED, 0x80 | (high & 0x0F) << 2 | low >> 6, 0x80 | low & 0x3F]);
        }
    }
    rest
}

#[cfg(test)]
#[path = "json_text_tests.rs"]
mod tests;
