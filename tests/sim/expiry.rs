//! Values with a deadline: gone at once, for good, and never uncovering what lay below them.

use crate::support;
use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::{Db, Expiry, Outcome, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::features::expiry::Ttl;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::format::names;
use bitcask::format::record::{Flags, RecordHeader};
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::Env;
use bitcask::io::sim::Sim;
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;
/// More than the clock moves while a test asks a few times what it reads.
const SLACK_NS: u64 = 1_000_000;

/// Without checkpoints, so that an open reads hints and segments.
fn manual() -> Options {
    Options { merge: MergeMode::Manual, checkpoint: false, ..options(SyncMode::None) }
}

fn fresh() -> (Sim, Db<Sim>) {
    let sim = Sim::new(5);
    sim.make_dirs(DIR);
    let db = open(&sim, &manual()).expect("a new store opens");
    (sim, db)
}

fn for_ms(ttl_ms: u64) -> WriteOptions {
    WriteOptions { expiry: Expiry::AfterMs(ttl_ms), ..WriteOptions::default() }
}

fn put_for_ms(db: &Db<Sim>, key: &[u8], value: &[u8], ttl_ms: u64) -> u64 {
    db.put_with(key, value, &for_ms(ttl_ms)).expect("a put").version().expect("nothing was expected")
}

fn get(db: &Db<Sim>, key: &[u8]) -> Option<Vec<u8>> {
    db.get(key, <[u8]>::to_vec).expect("the key reads")
}

fn ttl(db: &Db<Sim>, key: &[u8]) -> Option<Ttl> {
    db.ttl(key).expect("the key reads")
}

fn scanned(db: &Db<Sim>, keys_only: bool) -> Vec<Vec<u8>> {
    let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
    let mut scan = Scan::new(snapshot, &ScanOptions { keys_only, ..ScanOptions::default() }).expect("a scan");
    let mut keys = Vec::new();
    while scan.advance().expect("a scan") {
        keys.push(scan.key().expect("a key").to_vec());
    }
    keys
}

/// Asks for `key` in every way there is, and answers its value, which all must agree on.
fn asked_everywhere(db: &Db<Sim>, key: &[u8]) -> Option<Vec<u8>> {
    let value = get(db, key);
    assert_eq!(db.exists(key).expect("it reads"), value.is_some(), "exists");
    let pinned = db.get_pinned(key).expect("it reads");
    assert_eq!(pinned.map(|pin| pin.value().to_vec()), value, "a pin");
    let mut many = None;
    db.get_many(&[key], |_, found| many = found.expect("it reads").map(<[u8]>::to_vec)).expect("open");
    assert_eq!(many, value, "get_many");
    assert_eq!(db.meta(key).expect("it reads").is_some(), value.is_some(), "meta");
    assert_eq!(ttl(db, key).is_some(), value.is_some(), "ttl");
    let snapshot = db.snapshot().expect("a snapshot");
    assert_eq!(snapshot.get(key, <[u8]>::to_vec).expect("it reads"), value, "a snapshot");
    for keys_only in [false, true] {
        let found = scanned(db, keys_only).iter().any(|found| found == key);
        assert_eq!(found, value.is_some(), "a scan");
    }
    value
}

/// Headers of all records on the disk that have `key`, oldest segment first.
fn records_of(sim: &Sim, key: &[u8]) -> Vec<RecordHeader> {
    let mut headers = Vec::new();
    for (name, bytes) in sim.contents(DIR) {
        let mut at = SEGMENT_HEADER_LEN;
        while names::parse_segment(&name).is_some() && at < bytes.len() {
            let header = RecordHeader::decode(&bytes[at..]).expect("a record");
            let its_key = &bytes[at + header.header_len()..at + header.value_at()];
            if its_key == key && !header.flags.has(Flags::INTERNAL) {
                headers.push(header);
            }
            at += usize::try_from(header.record_len()).expect("a small one");
        }
    }
    headers
}

#[test]
fn an_expired_key_is_gone_at_once_everywhere_but_in_the_count() {
    let (sim, db) = fresh();
    db.put(b"k", b"old").expect("a put");
    put_for_ms(&db, b"k", b"new", 1000);
    let before = db.snapshot().expect("a snapshot");
    sim.advance_clock_ns(SECOND_NS - SLACK_NS);
    assert_eq!(asked_everywhere(&db, b"k"), Some(b"new".to_vec()));
    sim.advance_clock_ns(SLACK_NS);
    assert_eq!(asked_everywhere(&db, b"k"), None);
    assert_eq!(before.get(b"k", <[u8]>::to_vec).expect("it reads"), None, "it expires in snapshots, too");
    assert_eq!(db.count().expect("open"), 1);
    let bytes = db.stats().expect("open").bytes_written;
    assert!(!db.patch_json(b"k", b"1").expect("no error"));
    assert!(!db.expire(b"k", 5000).expect("no error"));
    assert!(!db.persist(b"k").expect("no error"));
    assert_eq!(
        db.stats().expect("open").bytes_written,
        bytes,
        "something was written for a key that is gone"
    );
    assert_eq!(db.counter_add(b"k", 3).expect("from nothing"), 3);
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Unlimited), "a new counter has no old deadline");
}

#[test]
fn a_deletion_of_an_expired_key_finds_none_and_keeps_it_from_coming_back_with_the_clock() {
    let (sim, db) = fresh();
    let now_ns = sim.now_ns();
    for key in [b"a", b"b"] {
        db.put(key, b"old").expect("a put");
        put_for_ms(&db, key, b"new", 1000);
    }
    sim.set_clock_ns(now_ns + SECOND_NS + SLACK_NS);
    assert!(!db.delete(b"a").expect("no error"));
    assert_eq!(db.count().expect("open"), 1);
    assert!(!db.delete(b"a").expect("no error"), "once more");
    // With the clock its old value never comes back, only what it has not outlived.
    sim.set_clock_ns(now_ns);
    assert_eq!((asked_everywhere(&db, b"a"), asked_everywhere(&db, b"b")), (None, Some(b"new".to_vec())));
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!((asked_everywhere(&db, b"a"), asked_everywhere(&db, b"b")), (None, Some(b"new".to_vec())));
}

#[test]
fn every_way_of_loading_knows_what_may_expire() {
    // Whether `exists` looks at the record hangs on a flag of the index, which each way of loading has to set.
    let (sim, db) = fresh();
    let reader = open(&sim, &Options { read_only: true, ..manual() }).expect("it opens");
    let keys: Vec<[u8; 2]> = (0..20).map(|number| [b'k', number]).collect();
    for key in &keys {
        db.put(key, &[1; 100]).expect("a put");
        db.step_log_thread().expect("jobs");
    }
    for key in &keys {
        put_for_ms(&db, key, &[2; 100], 1000);
        db.step_log_thread().expect("jobs");
    }
    let expires = |db: &Db<Sim>, how: &str| {
        let now_ns = sim.now_ns();
        for key in &keys {
            assert_eq!(asked_everywhere(db, key), Some(vec![2; 100]), "{how}");
        }
        sim.advance_clock_ns(SECOND_NS);
        for key in &keys {
            assert_eq!(asked_everywhere(db, key), None, "{how}");
        }
        sim.set_clock_ns(now_ns);
    };
    expires(&db, "as it was put");
    reader.refresh().expect("a refresh");
    expires(&reader, "a refresh from the log");
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    expires(&db, "from the log");
    db.step_merge_thread().expect("hints");
    db.close().expect("a close");
    let db = open(&sim, &Options { checkpoint: true, ..manual() }).expect("it opens");
    expires(&db, "from hints");
    db.close().expect("a close");
    let db = open(&sim, &Options { checkpoint: true, ..manual() }).expect("it opens");
    assert_eq!(db.stats().expect("open").opened_from_checkpoint, 1);
    expires(&db, "from a checkpoint");
    assert!(db.merge(&MergePolicy::everything()).expect("a merge") > 0);
    expires(&db, "sent over by a merge");
    reader.refresh().expect("a refresh");
    expires(&reader, "a refresh from hints");
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    expires(&db, "from the hints of a merge");
}

#[test]
fn what_expired_never_uncovers_an_older_value_whatever_is_merged_opened_and_done_to_the_clock() {
    for way in 0..32u32 {
        let is = |bit: u32| way >> bit & 1 == 1;
        let (sim, mut db) = fresh();
        let start_ns = sim.now_ns();
        db.put(b"k", &[1; 300]).expect("a put");
        db.put(b"wide", &[1; 500]).expect("a put");
        db.step_log_thread().expect("jobs");
        let at = Expiry::At(start_ns + SECOND_NS);
        let options = WriteOptions { expiry: at, ..WriteOptions::default() };
        assert!(db.put_with(b"k", &[2; 300], &options).expect("a put").version().is_some());
        for byte in 0..6 {
            db.put(b"dead", &[byte; 300]).expect("a put");
            db.step_log_thread().expect("jobs");
        }
        if is(0) {
            db.step_merge_thread().expect("hints");
        }
        let mut merged = false;
        let mut check = |db: &Db<Sim>, merges: bool, now_ns: u64| {
            sim.set_clock_ns(now_ns);
            merged |= merges && now_ns >= start_ns + SECOND_NS;
            if merges {
                db.merge(&support::merge_policy(1)).expect("a merge");
            }
            let value = asked_everywhere(db, b"k");
            let expected = (now_ns < start_ns + SECOND_NS && !merged).then(|| vec![2; 300]);
            // A merge may have left the segment alone, but what it shows then is the newest value.
            assert!(value == expected || now_ns < start_ns + SECOND_NS && value == Some(vec![2; 300]));
        };
        check(&db, is(1), start_ns + SECOND_NS);
        if is(2) {
            db.close().expect("a close");
            db = open(&sim, &Options { checkpoint: is(3), default_ttl_ms: 5, ..manual() }).expect("it opens");
        }
        check(&db, is(4), start_ns);
        check(&db, false, start_ns + 5 * SECOND_NS);
        db.merge(&MergePolicy::everything()).expect("a merge");
        check(&db, true, start_ns + 5 * SECOND_NS);
        check(&db, true, start_ns);
        db.close().expect("a close");
        let db = open(&sim, &manual()).expect("it opens");
        check(&db, true, start_ns);
        check(&db, true, 0);
    }
}

#[test]
fn a_put_takes_the_deadline_away_and_what_changes_a_value_keeps_it() {
    let (sim, db) = fresh();
    let options = |expiry| WriteOptions { expiry, ..WriteOptions::default() };
    put_for_ms(&db, b"k", b"{}", 1000);
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(1000)));
    assert!(db.patch_json(b"k", br#"{"a":1}"#).expect("a patch"));
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(1000)));
    db.put_json(b"k", b"{}").expect("a put");
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Unlimited));

    let _ = db.put_with(b"c", &1u64.to_le_bytes(), &for_ms(1000)).expect("a put");
    assert_eq!(db.counter_add(b"c", 1).expect("a counter"), 2);
    assert_eq!(ttl(&db, b"c"), Some(Ttl::Ms(1000)));
    db.put(b"c", b"").expect("a put");
    assert_eq!(ttl(&db, b"c"), Some(Ttl::Unlimited));

    let deadline = sim.now_ns() + 1_500_000;
    let _ = db.put_json_with(b"k", b"[]", &options(Expiry::At(deadline))).expect("a put");
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(2)), "of a part of a millisecond all is left");
    sim.set_clock_ns(deadline - 5000);
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(1)), "until there is none");
    sim.set_clock_ns(deadline);
    assert_eq!(ttl(&db, b"k"), None);
}

#[test]
fn a_batch_has_one_ttl_for_all_its_puts() {
    let (sim, db) = fresh();
    db.put(b"deleted", b"1").expect("a put");
    let mut batch = Batch::new();
    batch.put(b"a", b"1").expect("room");
    batch.put_json(b"b", b"1").expect("room");
    batch.delete(b"deleted").expect("room");
    assert!(matches!(db.write_with(&batch, &for_ms(1000)), Ok(Outcome::Written(_))));
    assert_eq!((ttl(&db, b"a"), ttl(&db, b"b")), (Some(Ttl::Ms(1000)), Some(Ttl::Ms(1000))));
    assert_eq!(db.count().expect("open"), 2);
    sim.advance_clock_ns(SECOND_NS);
    assert_eq!([&b"a"[..], b"b", b"deleted"].map(|key| asked_everywhere(&db, key)), [None, None, None]);
}

#[test]
fn the_default_ttl_is_for_what_is_put_without_one_of_its_own() {
    let (sim, db) = fresh();
    db.put(b"before", b"1").expect("a put");
    db.close().expect("a close");
    let db = open(&sim, &Options { default_ttl_ms: 1000, ..manual() }).expect("it opens");
    db.put(b"put", b"1").expect("a put");
    db.put_json(b"json", b"1").expect("a put");
    assert_eq!(db.counter_add(b"counter", 1).expect("a counter"), 1);
    let mut batch = Batch::new();
    batch.put(b"batch", b"1").expect("room");
    assert!(db.write(&batch).expect("a batch").version().is_some());
    put_for_ms(&db, b"own", b"1", 2000);
    let never = WriteOptions { expiry: Expiry::Never, ..WriteOptions::default() };
    assert!(db.put_with(b"never", b"1", &never).expect("a put").version().is_some());
    batch.clear();
    batch.put(b"never in a batch", b"1").expect("room");
    assert!(db.write_with(&batch, &never).expect("a batch").version().is_some());
    for key in [&b"put"[..], b"json", b"counter", b"batch"] {
        assert_eq!(ttl(&db, key), Some(Ttl::Ms(1000)), "{}", key.escape_ascii());
    }
    assert_eq!(ttl(&db, b"own"), Some(Ttl::Ms(2000)));
    for key in [&b"before"[..], b"never", b"never in a batch"] {
        assert_eq!(ttl(&db, key), Some(Ttl::Unlimited), "{}", key.escape_ascii());
    }
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!(ttl(&db, b"put"), Some(Ttl::Ms(1000)), "a deadline is the value's, not the handle's");
}

#[test]
fn a_deadline_is_set_moved_and_taken_away_and_the_bytes_stay() {
    let (sim, db) = fresh();
    db.put_json(b"k", b" [1] ").expect("a put");
    let first = db.meta(b"k").expect("it reads").expect("a value").version;
    assert!(db.persist(b"k").expect("a key"));
    assert_eq!(records_of(&sim, b"k").len(), 1, "what does not expire is not written again");
    assert!(db.expire(b"k", 1000).expect("a key"));
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(1000)));
    assert!(db.meta(b"k").expect("it reads").expect("a value").version > first, "a new version");
    assert!(db.expire(b"k", 3000).expect("a key"));
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(3000)));
    sim.advance_clock_ns(SECOND_NS);
    assert_eq!(ttl(&db, b"k"), Some(Ttl::Ms(2000)));
    assert!(db.persist(b"k").expect("a key"));
    assert_eq!((ttl(&db, b"k"), get(&db, b"k")), (Some(Ttl::Unlimited), Some(b" [1] ".to_vec())));
    let records = records_of(&sim, b"k");
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|header| {
        header.flags.has(Flags::JSON) && header.value_crc == records[0].value_crc && header.value_len == 5
    }));
    assert!(!db.expire(b"nobody", 1).expect("no error") && !db.persist(b"nobody").expect("no error"));
    assert_eq!(ttl(&db, b"nobody"), None);
    assert!(matches!(db.expire(b"k", 0), Err(Error::Invalid(what)) if what.contains("ttl_ms is 0")));
}

#[test]
fn a_record_of_a_batch_that_is_written_again_is_no_part_of_a_batch() {
    let (sim, db) = fresh();
    let mut batch = Batch::new();
    batch.put(b"a", b"1").expect("room");
    batch.put(b"b", b"1").expect("room");
    assert!(db.write(&batch).expect("a batch").version().is_some());
    assert!(db.expire(b"a", 1000).expect("a key"));
    db.close().expect("a close");
    let db = open(&sim, &manual()).expect("it opens");
    assert_eq!((get(&db, b"a"), ttl(&db, b"a")), (Some(b"1".to_vec()), Some(Ttl::Ms(1000))));
}

#[test]
fn a_deadline_past_the_end_of_time_is_the_end_of_time() {
    let (sim, db) = fresh();
    put_for_ms(&db, b"a", b"1", u64::MAX);
    db.put(b"b", b"1").expect("a put");
    assert!(db.expire(b"b", u64::MAX / 1_000_000).expect("a key"));
    let left = (u64::MAX - sim.now_ns()).div_ceil(1_000_000);
    assert_eq!((ttl(&db, b"a"), ttl(&db, b"b")), (Some(Ttl::Ms(left)), Some(Ttl::Ms(left))));
    assert_eq!(records_of(&sim, b"a")[0].deadline, Some(u64::MAX));
    sim.set_clock_ns(u64::MAX - SLACK_NS);
    assert_eq!(asked_everywhere(&db, b"a"), Some(b"1".to_vec()));
}

#[test]
fn a_deletion_that_expects_no_value_settles_one_that_has_expired() {
    let sim = Sim::new(3);
    sim.make_dirs(DIR);
    let db = open(&sim, &options(SyncMode::None)).unwrap();
    let now = sim.now_ns();
    let short = WriteOptions { expiry: Expiry::AfterMs(1), expected: None };
    assert!(db.put_with(b"k", b"1", &short).unwrap().version().is_some());
    sim.advance_clock_ns(2_000_000);
    let absent = WriteOptions { expected: Some(0), ..WriteOptions::default() };
    assert_eq!(db.delete_with(b"k", &absent).unwrap(), Outcome::NotFound);
    sim.set_clock_ns(now);
    assert!(!db.exists(b"k").unwrap(), "no clock brings it back");
}
