//! How values are compressed: the option `compression` of an open.

use super::given::{Given, each_member, object};
use crate::{Error, Result};

/// The smallest value that is compressed by default, in bytes.
const DEFAULT_MIN_BYTES: u64 = 64;
/// The most that `min_bytes` can be: no value is larger.
const MAX_MIN_BYTES: u64 = u32::MAX as u64;
const DEFAULT_LEVEL: u64 = 3;
/// Merges take their time, and what they write stays.
const DEFAULT_DICTIONARY_LEVEL: u64 = 12;
const MAX_LEVEL: u64 = 19;

/// By which method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// LZ4: fast, and enough for long values that repeat themselves.
    Lz4,
    /// Zstandard: smaller, and with a dictionary that merges make of the values also where these are short.
    Zstd,
}

/// What is compressed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The method.
    pub codec: Codec,
    /// Values shorter than this are stored as they are.
    pub min_bytes: u64,
    /// How hard [`Codec::Zstd`] tries, from 1 to 19.
    pub level: i32,
    /// How hard it tries in a merge that has a dictionary, likewise.
    pub dictionary_level: i32,
}

impl Compression {
    /// `codec` with the defaults.
    pub fn new(codec: Codec) -> Self {
        Compression {
            codec,
            min_bytes: DEFAULT_MIN_BYTES,
            level: level(DEFAULT_LEVEL),
            dictionary_level: level(DEFAULT_DICTIONARY_LEVEL),
        }
    }
}

const CODECS: [(&str, Option<Codec>); 3] =
    [("none", None), ("lz4", Some(Codec::Lz4)), ("zstd", Some(Codec::Zstd))];

const NAMES: [&str; 3] = ["codec", "min_bytes", "level"];

impl Given<'_> {
    /// The option `compression` of an open.
    pub(super) fn compression(&self) -> Result<Option<Compression>> {
        let refused =
            || self.refused("\"none\" or \"lz4\" or \"zstd\" or an object with one of these as \"codec\"");
        if !self.text.starts_with('{') {
            let codec = self.one_of(&CODECS).map_err(|_| refused())?;
            return Ok(codec.map(Compression::new));
        }
        let (mut codec, mut min_bytes, mut chosen_level) = (None, DEFAULT_MIN_BYTES, None);
        each_member(&mut object(self.text)?, &NAMES, |at, given| match NAMES[at] {
            "codec" => given.one_of(&CODECS).map(|chosen| codec = Some(chosen)),
            "min_bytes" => given.integer(0..=MAX_MIN_BYTES).map(|bytes| min_bytes = bytes),
            _ => given.integer(1..=MAX_LEVEL).map(|chosen| chosen_level = Some(chosen)),
        })?;
        let codec = codec.ok_or_else(refused)?;
        if chosen_level.is_some() && codec != Some(Codec::Zstd) {
            return Err(self.no_level());
        }
        Ok(codec.map(|codec| Compression {
            codec,
            min_bytes,
            level: level(chosen_level.unwrap_or(DEFAULT_LEVEL)),
            dictionary_level: level(chosen_level.unwrap_or(DEFAULT_DICTIONARY_LEVEL)),
        }))
    }

    fn no_level(&self) -> Error {
        self.refused("\"level\" with codec \"zstd\" alone")
    }
}

/// A level is at most 19.
fn level(level: u64) -> i32 {
    i32::try_from(level).unwrap_or(i32::MAX)
}
