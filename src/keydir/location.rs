//! Where a record lies, in 64 bits.
//!
//! From the top: 20 bits segment slot, 32 bits offset / 8, 8 bits size class, 4 flags. Slots have no order; which of
//! two segments is the older one only a view knows. A record never lies at offset 0 (the segment header does), so the
//! all-zero word is free to mean "no record".

/// Bits of a segment slot.
pub const SLOT_BITS: u32 = 20;
/// How many segments a view can hold.
pub const MAX_SEGMENT_SLOTS: u32 = 1 << SLOT_BITS;
/// The offset past which no record may begin, in bytes: 32 GiB.
pub const MAX_RECORD_OFFSET: u64 = 8 << 32;

const OFFSET_SHIFT: u32 = 12;
const SLOT_SHIFT: u32 = 44;
const CLASS_SHIFT: u32 = 4;
const FLAG_TOMBSTONE: u64 = 1;
const FLAG_MAY_EXPIRE: u64 = 2;

/// A segment's place in the view's table; reused only after every view that held it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentSlot(pub u32);

impl SegmentSlot {
    /// Slot number `at`, if a location can hold it.
    pub fn nth(at: usize) -> Option<Self> {
        u32::try_from(at).ok().filter(|&at| at < MAX_SEGMENT_SLOTS).map(SegmentSlot)
    }
}

/// The place of a record, its rough size, and two facts that save a read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(u64);

impl Location {
    /// Packs a location. `offset` is a multiple of 8 below [`MAX_RECORD_OFFSET`], `len` the record's whole
    /// length.
    pub fn new(slot: SegmentSlot, offset: u64, len: u64) -> Self {
        debug_assert!(
            slot.0 < MAX_SEGMENT_SLOTS
                && offset.is_multiple_of(8)
                && offset < MAX_RECORD_OFFSET
                && offset > 0
        );
        Location(
            u64::from(slot.0) << SLOT_SHIFT
                | (offset / 8) << OFFSET_SHIFT
                | u64::from(size_class(len)) << CLASS_SHIFT,
        )
    }

    /// The same place, marked as a deletion. Such slots exist while loading and in a degraded store.
    pub fn as_tombstone(self) -> Self {
        Location(self.0 | FLAG_TOMBSTONE)
    }

    /// The same place, marked as a record with a deadline.
    pub fn as_expiring(self) -> Self {
        Location(self.0 | FLAG_MAY_EXPIRE)
    }

    /// Whether the record is a deletion.
    pub fn is_tombstone(self) -> bool {
        self.0 & FLAG_TOMBSTONE != 0
    }

    /// Whether the record may have a deadline.
    pub fn may_expire(self) -> bool {
        self.0 & FLAG_MAY_EXPIRE != 0
    }

    /// The same place in a segment that has slot `slot`.
    pub fn in_slot(self, slot: SegmentSlot) -> Self {
        Location(self.0 & ((1 << SLOT_SHIFT) - 1) | u64::from(slot.0) << SLOT_SHIFT)
    }

    /// The segment's slot.
    pub fn slot(self) -> SegmentSlot {
        SegmentSlot((self.0 >> SLOT_SHIFT) as u32)
    }

    /// The record's offset in its segment, in bytes.
    pub fn offset(self) -> u64 {
        (self.0 >> OFFSET_SHIFT & 0xFFFF_FFFF) * 8
    }

    /// An upper bound of the record's length, at most an eighth above it: one read of this many bytes holds it.
    pub fn max_len(self) -> u64 {
        class_bound(self.class())
    }

    /// The length that stands for the whole size class in live and dead byte counts.
    pub fn typical_len(self) -> u64 {
        let class = self.class();
        if class == 0 { 8 } else { (class_bound(class) + class_bound(class - 1) + 8) / 2 }
    }

    /// The packed word; never 0.
    pub fn to_word(self) -> u64 {
        self.0
    }

    /// The location in a packed word, or `None` for 0.
    pub fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Location(word))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the cast takes the eight bits of the class")]
    fn class(self) -> u8 {
        (self.0 >> CLASS_SHIFT) as u8
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {} offset {} class {}", self.slot().0, self.offset(), self.class())?;
        if self.is_tombstone() {
            f.write_str(" tombstone")?;
        }
        if self.may_expire() {
            f.write_str(" may-expire")?;
        }
        Ok(())
    }
}

/// The smallest class whose bound is at least `len`: 5 bits of exponent over 3 of mantissa, in units of 8 bytes.
#[expect(clippy::cast_possible_truncation, reason = "a length below 2^33 has a class below 256")]
fn size_class(len: u64) -> u8 {
    let units = len.div_ceil(8);
    if units < 8 {
        return units as u8;
    }
    let exponent = 63 - units.leading_zeros() - 3;
    let mantissa = units >> exponent;
    let round_up = u64::from(units & ((1 << exponent) - 1) != 0);
    ((u64::from(exponent) << 3) + mantissa + round_up) as u8
}

fn class_bound(class: u8) -> u64 {
    if class < 8 {
        return u64::from(class) * 8;
    }
    let exponent = u32::from((class - 8) >> 3);
    let mantissa = u64::from((class - 8) & 7) + 8;
    (mantissa << exponent) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_gives_back_what_was_packed() {
        let at = Location::new(SegmentSlot(MAX_SEGMENT_SLOTS - 1), MAX_RECORD_OFFSET - 8, 4 << 30);
        assert_eq!((at.slot().0, at.offset()), (MAX_SEGMENT_SLOTS - 1, MAX_RECORD_OFFSET - 8));
        assert!(!at.is_tombstone() && at.as_tombstone().is_tombstone());
        assert!(!at.may_expire() && at.as_expiring().may_expire());
        assert_eq!(Location::from_word(at.to_word()), Some(at));
    }

    #[test]
    fn a_size_class_bounds_the_length_within_an_eighth() {
        let top = (1u64 << 32) + 65536 + 64;
        let lengths =
            (1..5000u64).map(|n| n * 8).chain((1..600).map(|n| (top / 600 * n).div_ceil(8) * 8)).chain([top]);
        for len in lengths {
            let at = Location::new(SegmentSlot(0), 8, len);
            assert!(at.max_len() >= len, "{len} has bound {}", at.max_len());
            assert!(at.max_len() <= len + len / 8, "{len} has bound {}", at.max_len());
            assert!(
                at.typical_len() <= at.max_len()
                    && at.typical_len() + at.typical_len() / 8 >= at.max_len() - 8
            );
        }
    }
}
