//! Every structure of the format, alone, against a literal.

use bitcask::format::applied;
use bitcask::format::coding::Id128;
use bitcask::format::compressed::decompress;
use bitcask::format::cursor::Cursor;
use bitcask::format::dictionary::Dictionaries;
use bitcask::format::dictionary_record;
use bitcask::format::manifest::{CleanClose, Manifest, Moved, Sealed, SegmentEntry, SegmentState};
use bitcask::format::marker::Watermark;
use bitcask::format::record::{Draft, Flags, RecordHeader};
use bitcask::format::segment_header::SegmentHeader;
use bitcask::io::env::{Dir, DirOptions, Env};
use bitcask::io::sim::Sim;
use bitcask::keydir::Secret;
use bitcask::segment::hint_writer::{HintBuilder, HintId};
use std::path::Path;

const UID: u64 = 0x1122_3344_5566_7788;
const VERSION: u64 = 0x0102_0304_0506_0708;
const OFFSET: u64 = 72;

fn hex(bytes: &[u8]) -> String {
    let words: Vec<String> =
        bytes.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    words.join(" ")
}

fn record_at(draft: Draft, offset: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = draft.header(VERSION, UID, offset)[..draft.header_len()].to_vec();
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len() + draft.padding(), 0);
    bytes
}

fn record(key: &[u8], value: &[u8], flags: Flags, deadline: Option<u64>) -> String {
    hex(&record_at(Draft::new(key, value, flags, deadline), OFFSET, key, value))
}

#[test]
fn a_plain_record() {
    assert_eq!(
        record(b"key", b"value", Flags::NONE, None),
        "38ebc1db 6303e0e1 03000000 05000000 08070605 04030201 \
         6b657976 616c7565"
    );
}

#[test]
fn a_record_of_nothing() {
    assert_eq!(record(b"", b"", Flags::NONE, None), "fd3d43a6 00000000 00000000 00000000 08070605 04030201");
}

#[test]
fn an_expiring_record() {
    assert_eq!(
        record(b"key", b"value", Flags::NONE, Some(0x1112_1314_1516_1718)),
        "8f5df4cb 6303e0e1 03008000 05000000 08070605 04030201 \
         18171615 14131211 6b657976 616c7565"
    );
}

#[test]
fn a_tombstone() {
    assert_eq!(
        record(b"key", b"", Flags::TOMBSTONE, None),
        "349f0ac2 00000000 03001000 00000000 08070605 04030201 \
         6b657900 00000000"
    );
}

#[test]
fn a_json_record() {
    assert_eq!(
        record(b"key", b"{\"a\": 1}", Flags::JSON, None),
        "0085d19d 948c4c6f 03004000 08000000 08070605 04030201 \
         6b65797b 2261223a 20317d00 00000000"
    );
}

#[test]
fn a_batch_is_records_of_one_version_of_which_all_but_the_last_are_flagged() {
    let first = Draft::new(b"a", b"1", Flags::NONE, None).continued();
    let mut bytes = record_at(first, OFFSET, b"a", b"1");
    let next = OFFSET + bytes.len() as u64;
    let last = Draft::new(b"b", b"", Flags::TOMBSTONE, None);
    bytes.extend(record_at(last, next, b"b", b""));
    assert_eq!(
        hex(&bytes),
        "50690249 e399f590 01002000 01000000 08070605 04030201 \
         61310000 00000000 623bae21 00000000 01001000 00000000 \
         08070605 04030201 62000000 00000000"
    );
}

#[test]
fn every_flag_has_its_bit() {
    let bit = |flags: Flags| {
        let bytes = Draft::new(b"", b"", flags, None).header(0, 0, 0);
        u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) >> 20
    };
    let bits =
        [Flags::TOMBSTONE, Flags::BATCH_CONTINUES, Flags::JSON, Flags::COMPRESSED, Flags::INTERNAL].map(bit);
    assert_eq!(bits, [1, 2, 4, 16, 32]);
    let expiring = Draft::new(b"", b"", Flags::NONE, Some(0)).header(0, 0, 0);
    assert_eq!(expiring[10] >> 4, 8);
}

#[test]
fn a_watermark_marker() {
    let marker = Watermark { uid: 0x2122_2324_2526_2728, offset: 0x3132_3334_3536_3738 };
    assert_eq!(
        hex(&marker.encode(VERSION, UID, OFFSET)),
        "da372462 94f0b422 00000002 18000000 08070605 04030201 \
         01000000 00000000 28272625 24232221 38373635 34333231"
    );
}

#[test]
fn a_segment_header() {
    let header = SegmentHeader {
        database: Id128(*b"0123456789abcdef"),
        uid: UID,
        number: 7,
        predecessor_uid: 0x2122_2324_2526_2728,
        predecessor_len: 0x3132_3334_3536_3738,
    };
    assert_eq!(
        hex(&header.encode()),
        "89626974 63736b0a 01000000 00000000 30313233 34353637 \
         38396162 63646566 88776655 44332211 07000000 00000000 \
         28272625 24232221 38373635 34333231 00000000 e317fa40"
    );
}

#[test]
fn an_applied_cursor_that_changes_follow() {
    let value = applied::encode(b"cursor");
    assert_eq!(
        hex(&record_at(applied::draft(&value, true), OFFSET, b"", &value)),
        "081d9fd9 5435ca2f 00002002 0e000000 08070605 04030201 \
         03000000 00000000 63757273 6f720000"
    );
}

/// The bytes of a literal.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// Other versions of a codec may write others for the same value. These are read for ever.
#[test]
fn compressed_values() {
    for stored in [
        "01000000 56000000 b4766572 73696f6e 20312c20 0b001632 0b001633 0b001634 \
         0b001635 0b001636 0b00c037 2c207665 7273696f 6e2038",
        "02000000 56000000 00001d01 00907665 7273696f 6e20312c 20323334 35363738 \
         0700600b d8073603 5bc03eb0 99893207",
    ] {
        let mut out = Vec::new();
        assert_eq!(decompress(&bytes(stored), None, &mut out), Ok(()));
        let versions: Vec<_> = (1..=8).map(|number| format!("version {number}")).collect();
        assert_eq!(String::from_utf8_lossy(&out), versions.join(", "));
    }
}

#[test]
fn a_dictionary_and_a_value_that_needs_it() {
    let record = bytes(
        "d02c5899 8cec38f1 00000002 2f000000 08070605 04030201 \
         02010000 2a000000 00001501 00d07b22 6e616d65 223a2022 222c2022 76657273 \
         696f6e73 6563747d 02008090 424c2600",
    );
    let header = RecordHeader::decode(&record).expect("a header");
    assert!(header.verify(&record, &[], UID, OFFSET) && header.flags.has(Flags::INTERNAL));
    let value = &record[header.value_at()..][..header.value_len as usize];
    let dictionary = dictionary_record::decode(value).expect("it is one").expect("it reads");
    assert_eq!(String::from_utf8_lossy(&dictionary), r#"{"name": "", "version": "", "section": ""}"#);
    let stored = bytes("02010000 2d000000 00007d00 00286131 78227d03 1005af13 d7af6d41");
    let (dictionary, mut out) = (Dictionaries::default().get(&dictionary).expect("memory"), Vec::new());
    assert_eq!(decompress(&stored, Some(&dictionary), &mut out), Ok(()));
    assert_eq!(String::from_utf8_lossy(&out), r#"{"name": "a", "version": "1", "section": "x"}"#);
}

#[test]
fn a_cursor_of_a_feed() {
    let cursor = Cursor { history: Id128([0x2b; 16]), uid: UID, offset: 640 };
    assert_eq!(
        hex(&cursor.encode()),
        "89626974 6375720a 01000000 2b2b2b2b 2b2b2b2b 2b2b2b2b 2b2b2b2b 88776655 44332211 80020000 00000000 \
         44611f90"
    );
}

#[test]
fn a_manifest() {
    let sealed = Sealed { len: 4096, highest_version: (1 << 63) - 1, records: 12, tombstones: 1 };
    let mut manifest = Manifest {
        database: Id128([0x1a; 16]),
        history: Id128([0x2b; 16]),
        hash_secret: [0x3c; 16],
        generation: 4,
        next_number: 10,
        last_version: 1 << 60,
        highest_dropped_tombstone: 5,
        keys: 11,
        backup: false,
        applied_cursor: None,
        moved: Vec::new(),
        last_sealed: Some((1, 4096)),
        clean_close: Some(CleanClose { active: 8, len: 640, last_version: 1 << 60 }),
        segments: vec![
            SegmentEntry { number: 6, uid: u64::MAX, run: Some(3), state: SegmentState::Sealed(sealed) },
            SegmentEntry { number: 7, uid: 1, run: None, state: SegmentState::Sealed(sealed) },
            SegmentEntry { number: 8, uid: 2, run: None, state: SegmentState::Unsealed { durable: 72 } },
            SegmentEntry { number: 9, uid: 3, run: None, state: SegmentState::Unsealed { durable: 0 } },
        ],
    };
    assert_eq!(
        String::from_utf8_lossy(&manifest.encode()),
        r#"{
  "format": 1,
  "features": [],
  "database_id": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
  "history_id": "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b",
  "hash_secret": "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
  "generation": 4,
  "next_number": 10,
  "last_version": "1152921504606846976",
  "highest_dropped_tombstone": "5",
  "keys": 11,
  "clean_close": {"active": 8, "len": 640, "last_version": "1152921504606846976"},
  "segments": [
    {"number": 6, "uid": "ffffffffffffffff", "run": 3, "state": "sealed", "len": 4096, "highest_version": "9223372036854775807", "records": 12, "tombstones": 1},
    {"number": 7, "uid": "0000000000000001", "state": "sealed", "len": 4096, "highest_version": "9223372036854775807", "records": 12, "tombstones": 1},
    {"number": 8, "uid": "0000000000000002", "state": "unsealed", "durable": 72},
    {"number": 9, "uid": "0000000000000003", "state": "unsealed", "durable": 0}
  ]
}
crc32c 6a1de762
"#
    );
    manifest.applied_cursor = Some(b"\x00\xffcursor".as_slice().into());
    manifest.moved = vec![Moved { from: UID, start: 72, end: 160, to: 2, at: 72 }];
    let text = String::from_utf8_lossy(&manifest.encode()).into_owned();
    let lines: Vec<_> = text.lines().skip(11).take(4).collect();
    assert_eq!(
        lines,
        [
            r#"  "applied_cursor": "00ff637572736f72","#,
            r#"  "moved": ["#,
            r#"    {"from": "1122334455667788", "start": 72, "end": 160, "to": "0000000000000002", "at": 72}"#,
            r#"  ],"#,
        ]
    );
    (manifest.applied_cursor, manifest.moved) = (None, Vec::new());
    manifest.clean_close = None;
    manifest.segments.clear();
    manifest.last_sealed = None;
    assert_eq!(
        String::from_utf8_lossy(&manifest.encode()),
        r#"{
  "format": 1,
  "features": [],
  "database_id": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
  "history_id": "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b",
  "hash_secret": "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
  "generation": 4,
  "next_number": 10,
  "last_version": "1152921504606846976",
  "highest_dropped_tombstone": "5",
  "keys": 11,
  "segments": []
}
crc32c 136e74a9
"#
    );
}

#[test]
fn a_hint() {
    const DIR: &str = "/hints";
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    let mut builder = HintBuilder::default();
    let mut add = |key: &[u8], flags, deadline, offset| {
        let draft = Draft::new(key, b"value", flags, deadline);
        let header = RecordHeader::decode(&draft.header(VERSION, UID, offset)).expect("a header");
        builder.add(&header, key, offset).expect("memory");
    };
    add(b"key", Flags::BATCH_CONTINUES, None, 72);
    add(b"", Flags::NONE, Some(0x1112_1314_1516_1718), 104);
    add(b"key", Flags::TOMBSTONE, None, 152);
    let dir =
        sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 }).expect("a directory");
    let file = dir.create("hint").expect("a file");
    let id = HintId { database: Id128([0x1a; 16]), uid: UID, segment_len: 0x1000 };
    let written = builder.write(&file, "hint", id, &Secret::new(&[0x3c; 16]), || true);
    assert!(written.expect("a hint"));
    assert_eq!(
        hex(&sim.read_file(DIR, "hint").expect("the file")),
        "89626974 686e740a 01000000 00000000 1a1a1a1a 1a1a1a1a 1a1a1a1a 1a1a1a1a \
         88776655 44332211 00100000 00000000 03000000 00000000 01000000 00000000 \
         01000000 00000000 4a000000 00000000 20000000 00000000 d3d27de2 a87e27ab \
         00000000 9f223d71 0d000000 00008000 05000000 08070605 04030201 18171615 \
         14131211 13000000 03001000 05000000 08070605 04030201 6b657909 00000003 \
         00000005 00000008 07060504 0302016b 65796800 00000000 00000300 000051c0 \
         3df60040 00020000 c0000040 80000000 000c1008 00000000 30000000 05002010 \
         0000"
    );
}

#[test]
fn the_digest_of_a_key() {
    let mut secret = [0; 16];
    for (byte, value) in secret.iter_mut().zip(0..) {
        *byte = value;
    }
    let secret = Secret::new(&secret);
    let digests: Vec<(u64, u64)> = [&b""[..], b"key", &[0xab; 100]]
        .into_iter()
        .map(|key| secret.digest(key))
        .map(|digest| (digest.lo, digest.hi))
        .collect();
    assert_eq!(
        digests,
        [
            (0xbea58827b2bc7ee7, 0x013030dd6adb62fd),
            (0x6aa73c1fd2804bc7, 0x0496e1dcbf6d810b),
            (0x08ee99d86e787332, 0x20d3d2ee298a1433),
        ]
    );
}
