//! What a store knows of a value beside its bytes.

use crate::format::record::RecordHeader;

const NS_PER_MS: u64 = 1_000_000;

/// Version and deadline of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The version: what the write that put it answered.
    pub version: u64,
    /// When it expires, ns since 1970; `None` for never.
    pub deadline: Option<u64>,
}

impl Meta {
    pub(crate) fn of(header: &RecordHeader) -> Self {
        Meta { version: header.version, deadline: header.deadline }
    }

    /// How long the value has from `now_ns` on, in ms; at least 1, since what has expired is no value.
    pub fn ttl_ms(&self, now_ns: u64) -> Option<u64> {
        self.deadline.map(|deadline| deadline.saturating_sub(now_ns).div_ceil(NS_PER_MS).max(1))
    }
}

/// When a value that is put at `now_ns` for so many ms expires. A time past the end of time is the end of time.
pub(crate) fn deadline_after(now_ns: u64, ttl_ms: u64) -> u64 {
    now_ns.saturating_add(ttl_ms.saturating_mul(NS_PER_MS))
}
