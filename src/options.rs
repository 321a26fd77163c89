//! What can be chosen when a store is opened.

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

/// Who starts merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeMode {
    /// The library, by its policy, and the caller.
    Auto,
    /// The caller only.
    Manual,
    /// Nobody.
    Off,
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
    /// Permission bits of the files.
    pub file_mode: u32,
    /// Write a keydir checkpoint at close.
    pub checkpoint: bool,
    /// Who starts merges.
    pub merge: MergeMode,
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
            file_mode: 0o600,
            checkpoint: true,
            merge: MergeMode::Auto,
        }
    }
}
