//! When segments are merged, and how: the option `merge` of an open, and the options of a merge on demand.

use super::given::{Given, each_member, object};
use crate::Result;

/// The largest number of bytes that an option of a merge can name: 1 PiB.
const MAX_BYTES: u64 = 1 << 50;
const MAX_HOUR: u64 = 23;

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

/// Which segments are worth merging, and at what pace. As in Bitcask, a segment is merged past a trigger, and taken
/// along by its neighbours past a lower threshold or when it is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePolicy {
    /// A segment with this share of dead bytes is merged.
    pub trigger_percent: u64,
    /// So is one with this many dead bytes.
    pub trigger_bytes: u64,
    /// Its neighbours are taken along with this share of dead bytes,
    pub threshold_percent: u64,
    /// or this many,
    pub threshold_bytes: u64,
    /// or when they are smaller than this; four such segments next to each other are joined anyway.
    pub small_segment_bytes: u64,
    /// How many bytes of segments one merge takes, at the most, unless a single sorted run is larger.
    pub max_input_bytes: u64,
    /// How fast a merge reads and writes; 0 for as fast as it can.
    pub bytes_per_second: u64,
    /// The hours, UTC, between which merges may begin by themselves: from the first to before the second.
    pub window: Option<(u64, u64)>,
}

impl Default for MergePolicy {
    /// The original's triggers and thresholds.
    fn default() -> Self {
        MergePolicy {
            trigger_percent: 60,
            trigger_bytes: 512 << 20,
            threshold_percent: 40,
            threshold_bytes: 128 << 20,
            small_segment_bytes: 10 << 20,
            max_input_bytes: 16 << 30,
            bytes_per_second: 0,
            window: None,
        }
    }
}

impl MergePolicy {
    /// A policy that merges whatever has dead bytes: the default of a merge on demand.
    pub fn everything() -> Self {
        MergePolicy { trigger_percent: 1, threshold_percent: 1, ..MergePolicy::default() }
    }

    /// Whether a merge may begin by itself at this time.
    pub fn may_begin_at(&self, now_ns: u64) -> bool {
        let hour = now_ns / 3_600_000_000_000 % 24;
        match self.window {
            None => true,
            Some((from, to)) if from <= to => (from..to).contains(&hour),
            Some((from, to)) => hour >= from || hour < to,
        }
    }

    /// Reads the options of a merge on demand from a JSON object; `""` names nothing.
    ///
    /// # Errors
    /// `Invalid`, naming the option, what was given and what is accepted.
    pub fn from_json(json: &str) -> Result<Self> {
        let mut policy = MergePolicy::everything();
        if !json.is_empty() {
            each_member(&mut object(json)?, &READERS.map(|(name, _)| name), |at, given| {
                READERS[at].1(&mut policy, given)
            })?;
        }
        Ok(policy)
    }
}

type Reader = fn(&mut MergePolicy, &Given<'_>) -> Result<()>;

const READERS: [(&str, Reader); 8] = [
    ("trigger_percent", |policy, given| given.integer(1..=100).map(|n| policy.trigger_percent = n)),
    ("trigger_bytes", |policy, given| given.integer(1..=MAX_BYTES).map(|n| policy.trigger_bytes = n)),
    ("threshold_percent", |policy, given| given.integer(1..=100).map(|n| policy.threshold_percent = n)),
    ("threshold_bytes", |policy, given| given.integer(1..=MAX_BYTES).map(|n| policy.threshold_bytes = n)),
    ("small_segment_bytes", |policy, given| {
        given.integer(0..=MAX_BYTES).map(|n| policy.small_segment_bytes = n)
    }),
    ("max_input_bytes", |policy, given| given.integer(1..=MAX_BYTES).map(|n| policy.max_input_bytes = n)),
    ("bytes_per_second", |policy, given| given.integer(0..=MAX_BYTES).map(|n| policy.bytes_per_second = n)),
    ("window", |policy, given| given.hours().map(|hours| policy.window = Some(hours))),
];

const MODES: [(&str, MergeMode); 3] =
    [("auto", MergeMode::Auto), ("manual", MergeMode::Manual), ("off", MergeMode::Off)];

impl Given<'_> {
    /// The option `merge` of an open.
    pub(super) fn merge(&self) -> Result<(MergeMode, MergePolicy)> {
        let refused =
            || self.refused("\"auto\" or \"manual\" or \"off\" or an object with one of these as \"mode\"");
        if !self.text.starts_with('{') {
            return self.one_of(&MODES).map(|mode| (mode, MergePolicy::default())).map_err(|_| refused());
        }
        let (mut mode, mut policy) = (None, MergePolicy::default());
        let names: Vec<_> = READERS.iter().map(|(name, _)| *name).chain(["mode"]).collect();
        each_member(&mut object(self.text)?, &names, |at, given| match READERS.get(at) {
            Some((_, read)) => read(&mut policy, given),
            None => given.one_of(&MODES).map(|chosen| mode = Some(chosen)),
        })?;
        Ok((mode.ok_or_else(refused)?, policy))
    }

    /// Two hours in an array.
    fn hours(&self) -> Result<(u64, u64)> {
        let refused = || self.refused("[from, to]: two different hours, UTC, from 0 to 23");
        let [from, to]: [u64; 2] = serde_json::from_str(self.text).map_err(|_| refused())?;
        let sound = from <= MAX_HOUR && to <= MAX_HOUR && from != to;
        sound.then_some((from, to)).ok_or_else(refused)
    }
}
