//! A key's name in the index: 128 bits of SipHash-1-3 under the database's secret.
//!
//! Keys are not kept in memory; two keys are the same to the index when their digests are. With the secret
//! unknown, nobody can choose keys that collide or crowd one part of the index. The secret must never change in
//! the life of a database: digests are written to checkpoints.

use siphasher::sip128::SipHasher13;
use std::fmt;

/// Bytes in a database's hash secret.
pub const SECRET_LEN: usize = 16;

/// A key's 128-bit digest. The low bits of `lo` choose a group, the high bits of `hi` the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    /// The first 64 bits.
    pub lo: u64,
    /// The second 64 bits.
    pub hi: u64,
}

/// The secret under which a database's keys are hashed.
#[derive(Clone)]
pub struct Secret(SipHasher13);

impl Secret {
    /// Takes the secret that the manifest holds.
    pub fn new(secret: &[u8; SECRET_LEN]) -> Self {
        Secret(SipHasher13::new_with_key(secret))
    }

    /// The digest of `key`.
    #[inline]
    pub fn digest(&self, key: &[u8]) -> Digest {
        let (lo, hi) = self.0.hash(key).as_u64();
        Digest { lo, hi }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting_secret() -> Secret {
        let mut bytes = [0; SECRET_LEN];
        for (byte, value) in bytes.iter_mut().zip(0..) {
            *byte = value;
        }
        Secret::new(&bytes)
    }

    /// The first is the reference implementation's vector for no bytes.
    #[test]
    fn digests_are_those_of_every_version_before() {
        let secret = counting_secret();
        assert_eq!(
            [secret.digest(b""), secret.digest(b"key"), secret.digest(&[0xAB; 100])],
            [
                Digest { lo: 0xBEA5_8827_B2BC_7EE7, hi: 0x0130_30DD_6ADB_62FD },
                Digest { lo: 0x6AA7_3C1F_D280_4BC7, hi: 0x0496_E1DC_BF6D_810B },
                Digest { lo: 0x08EE_99D8_6E78_7332, hi: 0x20D3_D2EE_298A_1433 },
            ]
        );
    }

    #[test]
    fn another_secret_gives_another_digest() {
        assert_ne!(counting_secret().digest(b"key"), Secret::new(&[7; SECRET_LEN]).digest(b"key"));
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", counting_secret()), "Secret(..)");
    }
}
