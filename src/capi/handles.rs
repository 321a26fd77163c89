//! What the opaque pointers of the header point to.
//!
//! Invariant: a handle owns what it stands for, and what may be called from many threads is `Sync` here, so the
//! compiler holds the engine to what the header promises.

use crate::engine::{Feed, Pinned, Snapshot, Store};
use crate::features::batch::Batch;
use crate::features::scan::Scan;
use crate::io::disk::Disk;
use crate::sync::Arc;

/// An open store. Made by `bitcask_open`, ended by `bitcask_close`. Every function that takes one may be called
/// from many threads at once. Since 1.0.0.
pub struct Handle {
    pub(super) store: Store,
}

/// A value held in place for reading without a copy. Made by `bitcask_get_pinned`, ended by
/// `bitcask_pin_free`; it and its bytes outlive the close of its store. Since 1.0.0.
pub struct PinHandle {
    pub(super) pinned: Pinned<Disk>,
}

/// Writes to be made together: after a crash all of them are there or none. Made by `bitcask_batch_new`, ended
/// by `bitcask_batch_free`. It belongs to no store, and one thread at a time may use it. Since 1.0.0.
pub struct BatchHandle {
    pub(super) batch: Batch,
}

/// A store as it was at one moment. Made by `bitcask_snapshot_new`, ended by `bitcask_snapshot_free`. Many threads may
/// use one at once. Since 1.0.0.
pub struct SnapshotHandle {
    pub(super) snapshot: Arc<Snapshot<Disk>>,
}

/// A walk through the keys of a snapshot. Made by `bitcask_iter_new`, ended by `bitcask_iter_free`; one thread at a
/// time may use it. Since 1.0.0.
pub struct IterHandle {
    pub(super) scan: Scan<Disk>,
    /// Whether a call on it panicked.
    pub(super) is_broken: bool,
}

/// What is written to a store from some moment on. Made by `bitcask_feed_open`, ended by `bitcask_feed_free`; one thread at
/// a time may use it. Since 1.0.0.
pub struct FeedHandle {
    pub(super) feed: Feed<Disk>,
    /// Whether a call on it panicked.
    pub(super) is_broken: bool,
}

const _: () = {
    const fn usable_by_many_threads<T: Send + Sync>() {}
    const fn usable_by_one_thread_at_a_time<T: Send>() {}
    usable_by_many_threads::<Handle>();
    usable_by_many_threads::<PinHandle>();
    usable_by_many_threads::<SnapshotHandle>();
    usable_by_one_thread_at_a_time::<BatchHandle>();
    usable_by_one_thread_at_a_time::<IterHandle>();
    usable_by_one_thread_at_a_time::<FeedHandle>();
};
