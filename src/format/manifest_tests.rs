//! Manifests: what is read is what was written, and what is damaged, of a newer format or makes no sense is refused.

use super::*;

fn sample() -> Manifest {
    let sealed = Sealed { len: 4096, highest_version: VERSION_END - 1, records: 12, tombstones: 1 };
    Manifest {
        database: Id128([1; 16]),
        history: Id128([2; 16]),
        hash_secret: [3; 16],
        generation: 4,
        next_number: 9,
        last_version: 1 << 60,
        highest_dropped_tombstone: 5,
        keys: 11,
        backup: true,
        applied_cursor: Some([0x0a, 0xff].as_slice().into()),
        moved: vec![Moved { from: 5, start: 72, end: 160, to: 2, at: 72 }],
        last_sealed: Some((6, 4096)),
        clean_close: Some(CleanClose { active: 8, len: 640, last_version: 1 << 60 }),
        segments: vec![
            SegmentEntry { number: 7, uid: u64::MAX, run: Some(3), state: SegmentState::Sealed(sealed) },
            SegmentEntry { number: 8, uid: 2, run: None, state: SegmentState::Unsealed { durable: 72 } },
        ],
    }
}

fn resealed(text: &str) -> Vec<u8> {
    format!("{text}{CRC_LABEL}{:08x}\n", crc32c(text.as_bytes())).into_bytes()
}

fn body(manifest: &Manifest) -> String {
    let bytes = manifest.encode();
    String::from_utf8_lossy(&bytes[..bytes.len() - CRC_LINE_LEN]).into_owned()
}

#[test]
fn a_manifest_is_read_as_it_is_written() {
    let mut manifest = sample();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
    manifest.clean_close = None;
    manifest.backup = false;
    manifest.applied_cursor = None;
    manifest.moved.clear();
    manifest.last_sealed = None;
    manifest.segments.clear();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}

#[test]
fn every_flipped_bit_and_every_cut_is_damage() {
    let whole = sample().encode();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Damaged(_))), "bit {bit}");
    }
    for len in 0..whole.len() {
        assert!(matches!(Manifest::decode(&whole[..len]), Err(ManifestError::Damaged(_))), "{len} bytes");
    }
}

#[test]
fn what_a_newer_library_wrote_is_told_from_damage() {
    let body = body(&sample());
    for (old, new) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"features\": []", "\"features\": [\"zstd\"]"),
        ("\"generation\": 4,", "\"generation\": 4, \"replica\": true,"),
        ("\"unsealed\"", "\"frozen\""),
    ] {
        assert!(body.contains(old));
        let bytes = resealed(&body.replace(old, new));
        assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Newer(_))), "{new}");
    }
}

#[test]
fn contradictions_are_damage() {
    let body = body(&sample());
    for (old, new) in [
        ("\"number\": 7", "\"number\": 8"),
        ("\"number\": 7", "\"number\": 9"),
        ("\"number\": 7", "\"number\": 0"),
        ("\"number\": 7", "\"number\": -1"),
        ("\"uid\": \"ffffffffffffffff\"", "\"uid\": \"0000000000000002\""),
        ("\"active\": 8", "\"active\": 7"),
        ("\"next_number\": 9", "\"next_number\": 9000000000000"),
        ("\"last_version\": \"", "\"last_version\": \"+"),
        ("\"highest_version\": \"", "\"highest_version\": \"1"),
        ("\"keys\": 11", "\"keys\": [11]"),
        ("\"backup\": true", "\"backup\": 1"),
        ("\"applied_cursor\": \"0aff\"", "\"applied_cursor\": \"0af\""),
        ("\"applied_cursor\": \"0aff\"", "\"applied_cursor\": \"\""),
        ("\"to\": \"0000000000000002\"", "\"to\": \"0000000000000003\""),
        ("\"start\": 72", "\"start\": 161"),
        ("\"len\": 4096}", "\"len\": -1}"),
        ("\"history_id\"", "\"history\""),
    ] {
        assert!(body.contains(old), "{old}");
        let bytes = resealed(&body.replacen(old, new, 1));
        assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Damaged(_))), "{new}");
    }
}
