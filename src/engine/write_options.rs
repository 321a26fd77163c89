//! How a write is to be made, and what came of it.

/// When a value expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// As the option `default_ttl_ms` of the store says.
    #[default]
    Default,
    /// Never.
    Never,
    /// So many milliseconds after the write.
    AfterMs(u64),
    /// When the clock reads so many ns since 1970.
    At(u64),
}

/// What a write may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// When the value expires. A deletion takes none.
    pub expiry: Expiry,
    /// The version at which the key must be, 0 for a key that must have no value; `None` asks nothing.
    pub expected: Option<u64>,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It was made, as this version.
    Written(u64),
    /// It was not: the key has no value.
    NotFound,
    /// It was not: a key that was expected at another version is at this one; 0 when it has no value.
    Conflict(u64),
}

impl Outcome {
    /// The version that the write was made as.
    pub fn version(self) -> Option<u64> {
        match self {
            Outcome::Written(version) => Some(version),
            Outcome::NotFound | Outcome::Conflict(_) => None,
        }
    }
}
