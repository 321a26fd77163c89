//! What can be chosen when a store is opened, and how it is written in JSON.
//!
//! One table holds every option's name and reader. A value is read from its own text, so that a refusal can quote
//! what was given and no number is rounded on the way. Whether options go together is the engine's to judge.

mod compression;
mod given;
mod merge;

pub use compression::{Codec, Compression};
pub use merge::{MergeMode, MergePolicy};

use crate::json_text;
use crate::{Error, Result};
use given::{Given, each_member, object, value_text};

/// The smallest `max_segment_bytes`.
pub const MIN_SEGMENT_BYTES: u64 = 64 << 10;
/// The largest `max_segment_bytes`.
pub const MAX_SEGMENT_BYTES: u64 = 8 << 30;
/// The largest `expected_keys`.
pub const MAX_EXPECTED_KEYS: u64 = 1 << 36;
/// The longest `default_ttl_ms`: a thousand years.
pub const MAX_DEFAULT_TTL_MS: u64 = 31_536_000_000_000;
/// The largest `feed_retention_bytes`: 1 PiB.
pub const MAX_FEED_RETENTION_BYTES: u64 = 1 << 50;
/// The longest `interval_ms` of `sync`: an hour.
pub const MAX_INTERVAL_MS: u64 = 3_600_000;

const OWNER_READ_WRITE: u32 = 0o600;
const ALL_READ_WRITE: u32 = 0o666;

/// When writes become durable against power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Behind the writer, every 16 MiB or so; a power cut may take the newest writes, in order.
    None,
    /// At least every so many milliseconds.
    IntervalMs(u64),
    /// Before each write returns.
    Always,
}

/// How records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoMode {
    /// Mappings on local file systems, `pread` elsewhere.
    Auto,
    /// Mappings always.
    Mmap,
    /// `pread` always: media errors come back as errors.
    Pread,
}

/// The options of `bitcask_open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Make the store when the directory holds none.
    pub create: bool,
    /// Open without writing anything.
    pub read_only: bool,
    /// When writes become durable.
    pub sync: SyncMode,
    /// How records are read.
    pub io: IoMode,
    /// Size at which a segment is followed by the next, in bytes; a record or batch may exceed it.
    pub max_segment_bytes: u64,
    /// How many keys to make room for at open; 0 when unknown.
    pub expected_keys: u64,
    /// How long a value lives that is put without a word about it, in ms; 0 for as long as nobody deletes it.
    pub default_ttl_ms: u64,
    /// Permission bits of the files.
    pub file_mode: u32,
    /// Write a keydir checkpoint at close.
    pub checkpoint: bool,
    /// Who starts merges.
    pub merge: MergeMode,
    /// Which merges the library starts.
    pub merge_policy: MergePolicy,
    /// How many of the newest sealed bytes merges leave alone, so that feeds may go on that were away for a while.
    pub feed_retention_bytes: u64,
    /// How new values are compressed, if they are. Compressed ones are read whatever is chosen.
    pub compression: Option<Compression>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: true,
            read_only: false,
            sync: SyncMode::None,
            io: IoMode::Auto,
            max_segment_bytes: 256 << 20,
            expected_keys: 0,
            default_ttl_ms: 0,
            file_mode: 0o600,
            checkpoint: true,
            merge: MergeMode::Auto,
            merge_policy: MergePolicy::default(),
            feed_retention_bytes: 0,
            compression: None,
        }
    }
}

impl Options {
    /// Reads options from a JSON object; what it does not name keeps its default, and `""` names nothing.
    ///
    /// | key | value |
    /// |---|---|
    /// | `create`, `read_only`, `checkpoint` | `true` or `false` |
    /// | `sync` | `"none"`, `"always"` or `{"interval_ms": n}`, n from 1 to [`MAX_INTERVAL_MS`] |
    /// | `io` | `"auto"`, `"mmap"` or `"pread"` |
    /// | `max_segment_bytes` | from [`MIN_SEGMENT_BYTES`] to [`MAX_SEGMENT_BYTES`] |
    /// | `expected_keys` | up to [`MAX_EXPECTED_KEYS`] |
    /// | `default_ttl_ms` | up to [`MAX_DEFAULT_TTL_MS`] |
    /// | `file_mode` | octal, `"0600"` to `"0666"`: read and write bits alone, the owner's both set |
    /// | `merge` | `"auto"`, `"manual"`, `"off"`, or an object with one of these as `"mode"` and members of [`MergePolicy`] |
    /// | `feed_retention_bytes` | up to [`MAX_FEED_RETENTION_BYTES`] |
    /// | `compression` | `"none"`, `"lz4"`, `"zstd"`, or an object with one of these as `"codec"` and members of [`Compression`] |
    ///
    /// Numbers are written in digits alone: `1e6` and `65536.0` are refused.
    ///
    /// # Errors
    ///
    /// [`Invalid`](Error::Invalid) names the key, what was given and what is accepted: for an unknown key, one given
    /// twice, a wrong type, a value out of range, and for text that is no JSON object.
    ///
    /// ```
    /// let options = bitcask::options::Options::from_json(r#"{"sync": {"interval_ms": 50}}"#)?;
    /// assert_eq!(options.sync, bitcask::options::SyncMode::IntervalMs(50));
    /// # Ok::<(), bitcask::Error>(())
    /// ```
    pub fn from_json(json: &str) -> Result<Options> {
        let mut options = Options::default();
        if json.is_empty() {
            return Ok(options);
        }
        each_member(&mut object(json)?, &READERS.map(|(name, _)| name), |at, given| {
            READERS[at].1(&mut options, given)
        })?;
        Ok(options)
    }
}

type Reader = fn(&mut Options, &Given<'_>) -> Result<()>;

const READERS: [(&str, Reader); 12] = [
    ("create", |options, given| given.boolean().map(|create| options.create = create)),
    ("read_only", |options, given| given.boolean().map(|read_only| options.read_only = read_only)),
    ("sync", |options, given| given.sync().map(|sync| options.sync = sync)),
    ("io", |options, given| {
        let modes = [("auto", IoMode::Auto), ("mmap", IoMode::Mmap), ("pread", IoMode::Pread)];
        given.one_of(&modes).map(|io| options.io = io)
    }),
    ("max_segment_bytes", |options, given| {
        given.integer(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).map(|bytes| options.max_segment_bytes = bytes)
    }),
    ("expected_keys", |options, given| {
        given.integer(0..=MAX_EXPECTED_KEYS).map(|keys| options.expected_keys = keys)
    }),
    ("default_ttl_ms", |options, given| {
        given.integer(0..=MAX_DEFAULT_TTL_MS).map(|ttl_ms| options.default_ttl_ms = ttl_ms)
    }),
    ("file_mode", |options, given| given.file_mode().map(|mode| options.file_mode = mode)),
    ("checkpoint", |options, given| given.boolean().map(|checkpoint| options.checkpoint = checkpoint)),
    ("merge", |options, given| {
        given.merge().map(|(mode, policy)| (options.merge, options.merge_policy) = (mode, policy))
    }),
    ("feed_retention_bytes", |options, given| {
        given.integer(0..=MAX_FEED_RETENTION_BYTES).map(|bytes| options.feed_retention_bytes = bytes)
    }),
    ("compression", |options, given| given.compression().map(|chosen| options.compression = chosen)),
];

impl Given<'_> {
    fn file_mode(&self) -> Result<u32> {
        let string = self.string().filter(|s| s.len() == 4 && s.starts_with('0'));
        let mode = string.and_then(|s| u32::from_str_radix(&s, 8).ok());
        mode.filter(|m| m & !ALL_READ_WRITE == 0 && m & OWNER_READ_WRITE == OWNER_READ_WRITE).ok_or_else(
            || {
                self.refused(
                    "an octal string \"0600\" to \"0666\" of read and write bits, the owner's both set",
                )
            },
        )
    }

    fn sync(&self) -> Result<SyncMode> {
        if !self.text.starts_with('{') {
            return self
                .one_of(&[("none", SyncMode::None), ("always", SyncMode::Always)])
                .map_err(|_| self.no_sync());
        }
        let mut walker = json_text::check(self.text.as_bytes())?;
        walker.open();
        let name = walker.next_member().ok_or_else(|| self.no_sync())?;
        if *name.decoded()? != *b"interval_ms" {
            return Err(self.no_sync());
        }
        let interval = Given { key: name.text, text: value_text(&mut walker) };
        if walker.next_member().is_some() {
            return Err(self.no_sync());
        }
        interval.integer(1..=MAX_INTERVAL_MS).map(SyncMode::IntervalMs).map_err(|_| self.no_sync())
    }

    fn no_sync(&self) -> Error {
        let interval = format!("{{\"interval_ms\": n}} with an integer n from 1 to {MAX_INTERVAL_MS}");
        self.refused(&format!("\"none\" or \"always\" or {interval}"))
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
