//! A manifest: any bytes, with and without their checksum, alone and in a store.

use super::files::{Harm, store, use_store};
use super::support::DIR;
use bitcask::format::checksum::crc32c;
use bitcask::format::manifest::Manifest;
use bitcask::format::names;

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if mode % 4 > 0 {
        bytes.extend_from_slice(format!("crc32c {:08x}\n", crc32c(rest)).as_bytes());
    }
    if mode % 4 < 3 {
        if let Ok(manifest) = Manifest::decode(&bytes) {
            let again = Manifest::decode(&manifest.encode()).expect("what was encoded can be decoded");
            assert_eq!(again, manifest);
        }
    } else {
        let sim = store(mode % 8 < 4);
        sim.write_file(DIR, names::MANIFEST, &bytes);
        use_store(&sim, Harm::Forgery);
    }
}
