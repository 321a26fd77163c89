//! What a store can tell of itself.

/// A picture of a store at one moment. Byte counts of live and dead records are right within a few percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that have a value.
    pub keys: u64,
    /// Segments, the active one and a prepared spare included.
    pub segments: u64,
    /// Bytes of records that a key points to.
    pub live_bytes: u64,
    /// Bytes that a merge could give back.
    pub dead_bytes: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Bytes of memory the keydir takes.
    pub keydir_bytes: u64,
    /// Bytes appended since open.
    pub bytes_written: u64,
    /// Records appended since open, internal ones not counted.
    pub records_written: u64,
    /// Appended bytes not yet known to be on the device.
    pub unsynced_bytes: u64,
    /// Syncs of segment files since open.
    pub syncs: u64,
    /// Segments sealed since open.
    pub rotations: u64,
    /// Damaged records found since open, at open included.
    pub corrupt_records: u64,
    /// Failures of background work since open.
    pub background_errors: u64,
    /// Bytes of an incomplete or unproven tail that the last open discarded.
    pub recovered_bytes_discarded: u64,
    /// Records that the last open copied out of an unproven tail.
    pub recovered_records: u64,
    /// The version of the newest record.
    pub last_version: u64,
    /// How many times the store was opened for writing.
    pub generation: u64,
    /// The database's id, 32 hex digits.
    pub database_id: String,
    /// The id of this run of history, 32 hex digits.
    pub history_id: String,
    /// Why reads of unknown or older keys answer CORRUPT, if they do.
    pub degraded: Option<String>,
    /// Why writes are refused, if they are.
    pub poisoned: Option<String>,
    /// The last failure of background work.
    pub last_background_error: Option<String>,
}
