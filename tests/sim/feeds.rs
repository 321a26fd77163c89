//! The change feed and the replicas that follow it, on the simulated machine.

use crate::support;
use crate::support::feeds::{Owned, pull};
use crate::support::{DIR, open, options};
use bitcask::Error;
use bitcask::engine::{Change, Db, Expiry, Feed, FeedStep, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::format::cursor::Cursor;
use bitcask::io::env::Env;
use bitcask::io::sim::{FaultPlan, Sim, Survival};
use bitcask::options::{Codec, Compression, IoMode, MergeMode, MergePolicy, Options, SyncMode};
use std::time::Duration;

fn manual() -> Options {
    Options { merge: MergeMode::Manual, ..options(SyncMode::None) }
}

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    sim
}

fn fresh() -> (Sim, Db<Sim>) {
    let sim = machine(5);
    let db = open(&sim, &manual()).expect("a new store opens");
    (sim, db)
}

fn reopen(sim: &Sim, db: Db<Sim>) -> Db<Sim> {
    db.close().expect("a close");
    open(sim, &manual()).expect("it opens")
}

fn kill(sim: &Sim, db: Db<Sim>) -> Db<Sim> {
    support::feeds::kill(sim, db, &manual())
}

fn feed<E: Env>(db: &Db<E>, cursor: &[u8]) -> Feed<E> {
    db.feed(cursor).expect("a feed").expect("the log goes on from there")
}

/// All that a feed has.
fn rest<E: Env>(feed: &mut Feed<E>) -> Vec<Owned> {
    pull(feed, usize::MAX).expect("the log goes on")
}

fn keys(changes: &[Owned]) -> Vec<String> {
    changes.iter().map(|change| String::from_utf8_lossy(&change.key).into_owned()).collect()
}

/// Two of these fill a segment; the log thread seals it at once.
fn put_large(db: &Db<Sim>, key: &str, byte: u8) {
    db.put(key.as_bytes(), &[byte; 300]).expect("a put");
    db.step_log_thread().expect("jobs");
}

fn must_resnapshot(db: &Db<Sim>, cursor: &[u8]) {
    assert!(db.feed(cursor).expect("an answer").is_none());
}

#[test]
fn changes_come_in_the_order_of_the_log_with_all_that_they_are() {
    let (sim, db) = fresh();
    let put = db.put(b"a", b"1").unwrap();
    let json = db.put_json(b"b", b"{}").unwrap();
    let deadline = sim.now_ns() + 5_000_000_000;
    let options = WriteOptions { expiry: Expiry::At(deadline), expected: None };
    let expiring = db.put_with(b"c", b"", &options).unwrap().version().unwrap();
    assert!(db.delete(b"a").unwrap() && !db.delete(b"a").unwrap());
    let mut batch = Batch::new();
    batch.put(b"d", b"2").unwrap();
    batch.delete(b"none").unwrap();
    let batch = db.write(&batch).unwrap().version().unwrap();
    db.sync().unwrap();
    db.put(b"e", b"3").unwrap();
    let changes = rest(&mut feed(&db, b""));
    let plain = |key: &[u8], value: &[u8], version| Owned {
        key: key.to_vec(),
        value: Some(value.to_vec()),
        version,
        deadline: None,
        is_json: false,
        ends_batch: true,
    };
    let expected = [
        plain(b"a", b"1", put),
        Owned { is_json: true, ..plain(b"b", b"{}", json) },
        Owned { deadline: Some(deadline), ..plain(b"c", b"", expiring) },
        Owned { value: None, ..plain(b"a", b"", changes[3].version) },
        Owned { ends_batch: false, ..plain(b"d", b"2", batch) },
        Owned { value: None, ..plain(b"none", b"", batch) },
        plain(b"e", b"3", changes[6].version),
    ];
    assert_eq!(changes, expected);
    assert!(changes.windows(2).all(|pair| pair[0].version <= pair[1].version));
}

#[test]
fn whatever_call_fails_a_feed_that_is_asked_again_leaves_nothing_out() {
    let sim = machine(5);
    let options = Options { compression: Some(Compression::new(Codec::Zstd)), io: IoMode::Pread, ..manual() };
    let db = open(&sim, &options).expect("it opens");
    for at in 0..8 {
        put_large(&db, &format!("key-{at}"), at);
    }
    let mut batch = Batch::new();
    (0..5).for_each(|at| batch.put(&[at], &[at; 40]).expect("an operation"));
    db.write(&batch).expect("a batch").version().expect("a version");
    db.delete(b"key-3").expect("a deletion");
    let expected = rest(&mut feed(&db, b""));
    assert_eq!(expected.len(), 14);
    let (mut from, mut errors) = (0, 0);
    while from + 1 < expected.len() {
        let mut first = feed(&db, b"");
        pull(&mut first, from).expect("changes");
        let cursor = first.cursor().expect("a cursor");
        let begins = rest(&mut first).len();
        for nth in 1.. {
            let fired = sim.faults_fired();
            sim.fail(FaultPlan::nth(nth));
            let mut found = Vec::new();
            let mut answer = |err: Error| {
                assert!(matches!(err, Error::Io { .. }), "{err}");
                errors += 1;
            };
            let mut feed = loop {
                match db.feed(&cursor) {
                    Ok(feed) => break feed.expect("the log goes on"),
                    Err(err) => answer(err),
                }
            };
            loop {
                match feed.next(Some(Duration::ZERO)) {
                    Ok(FeedStep::Change(change)) => found.push(Owned::of(&change)),
                    Ok(FeedStep::Nothing) => break,
                    Ok(FeedStep::Resnapshot) => panic!("call {nth}: the log goes on"),
                    Err(err) => answer(err),
                }
            }
            sim.clear_faults();
            assert!(found == expected[expected.len() - begins..], "from {from}, call {nth}");
            if sim.faults_fired() == fired {
                break;
            }
        }
        from += 3;
    }
    assert!(errors > 5, "{errors}");
}

#[test]
fn a_feed_goes_on_through_rotations_and_from_any_of_its_cursors() {
    for io in [IoMode::Pread, IoMode::Auto] {
        let sim = machine(5);
        let db = open(&sim, &Options { io, ..manual() }).unwrap();
        let mut live = feed(&db, b"");
        let mut cursors = vec![live.cursor().unwrap()];
        for at in 0..12 {
            db.put(format!("key-{at}").as_bytes(), &[at; 300]).unwrap();
            if at % 3 == 0 {
                db.step_log_thread().unwrap();
            }
            let changes = rest(&mut live);
            assert_eq!(keys(&changes), [format!("key-{at}")]);
            cursors.push(live.cursor().unwrap());
        }
        assert!(db.stats().unwrap().rotations >= 3);
        for (at, cursor) in cursors.iter().enumerate() {
            let expected: Vec<_> = (at..12).map(|at| format!("key-{at}")).collect();
            assert_eq!(keys(&rest(&mut feed(&db, cursor))), expected);
        }
        let db = reopen(&sim, db);
        for (at, cursor) in cursors.iter().enumerate() {
            assert_eq!(rest(&mut feed(&db, cursor)).len(), 12 - at, "after a clean close");
        }
        let db = kill(&sim, db);
        for (at, cursor) in cursors.iter().enumerate() {
            assert_eq!(rest(&mut feed(&db, cursor)).len(), 12 - at, "after a kill");
        }
    }
}

#[test]
fn a_cursor_is_that_of_the_last_whole_batch() {
    let (_sim, db) = fresh();
    let mut batch = Batch::new();
    for key in [b"a", b"b", b"c"] {
        batch.put(key, b"1").unwrap();
    }
    db.put(b"before", b"1").unwrap();
    assert!(db.write(&batch).unwrap().version().is_some());
    let mut feed = feed(&db, b"");
    let mut cursors = Vec::new();
    while let FeedStep::Change(_) = feed.next(Some(Duration::ZERO)).unwrap() {
        cursors.push(feed.cursor().unwrap());
    }
    assert!(cursors[0] == cursors[1] && cursors[1] == cursors[2] && cursors[2] != cursors[3]);
    assert_eq!(rest(&mut db.feed(&cursors[2]).unwrap().unwrap()).len(), 3);
}

#[test]
fn a_snapshot_and_the_feed_from_its_cursor_leave_nothing_out_and_have_nothing_twice() {
    let (sim, db) = fresh();
    let mut written = 0;
    for round in 0..6 {
        let snapshot = db.snapshot().unwrap();
        let cursor = snapshot.cursor().unwrap();
        for at in 0..round {
            db.put(format!("{round}-{at}").as_bytes(), &[1; 200]).unwrap();
            written += 1;
        }
        assert_eq!(rest(&mut feed(&db, &cursor)).len(), round);
    }
    assert_eq!(rest(&mut feed(&db, b"")).len(), written);
    let db = kill(&sim, db);
    assert_eq!(rest(&mut feed(&db, &db.snapshot().unwrap().cursor().unwrap())), []);
    db.put(b"new", b"1").unwrap();
    assert_eq!(keys(&rest(&mut feed(&db, b""))).last().map(String::as_str), Some("new"));
}

#[test]
fn a_cursor_behind_which_segments_were_merged_is_refused_and_one_past_them_is_not() {
    let (_sim, db) = fresh();
    let mut cursors = vec![feed(&db, b"").cursor().unwrap()];
    for at in 0..8 {
        put_large(&db, "k", at);
        cursors.push(db.snapshot().unwrap().cursor().unwrap());
    }
    db.step_merge_thread().unwrap();
    assert_eq!(db.merge(&MergePolicy::everything()).unwrap(), 1);
    let sealed = 6;
    for cursor in &cursors[..sealed] {
        must_resnapshot(&db, cursor);
    }
    must_resnapshot(&db, b"");
    for (at, cursor) in cursors.iter().enumerate().skip(sealed) {
        assert_eq!(rest(&mut feed(&db, cursor)).len(), 8 - at, "cursor {at}");
    }
}

#[test]
fn merges_leave_alone_what_an_open_feed_has_not_read() {
    let (_sim, db) = fresh();
    for at in 0..4 {
        put_large(&db, "k", at);
    }
    let mut slow = feed(&db, b"");
    for at in 4..8 {
        put_large(&db, "k", at);
    }
    db.step_merge_thread().unwrap();
    assert_eq!(db.stats().unwrap().feeds, 1);
    assert_eq!(db.merge(&MergePolicy::everything()).unwrap(), 0);
    for _ in 0..3 {
        assert!(matches!(slow.next(Some(Duration::ZERO)).unwrap(), FeedStep::Change(_)));
    }
    // It is in the second segment, so the first may go.
    assert_eq!(db.merge(&MergePolicy::everything()).unwrap(), 1);
    for at in 8..20 {
        put_large(&db, "k", at);
    }
    assert_eq!(rest(&mut slow).len(), 17);
    assert_eq!(db.merge(&MergePolicy::everything()).unwrap(), 1);
    drop(slow);
    assert_eq!(db.stats().unwrap().feeds, 0);
    must_resnapshot(&db, b"");
}

#[test]
fn merges_leave_alone_the_newest_bytes_that_the_option_names() {
    for (feed_retention_bytes, kept) in [(0, 0), (1, 1), (700, 1), (1500, 2), (1 << 30, 3)] {
        let sim = machine(5);
        let options = Options { feed_retention_bytes, ..manual() };
        let db = open(&sim, &options).unwrap();
        let mut cursors = Vec::new();
        for at in 0..8 {
            put_large(&db, "k", at);
            cursors.push(db.snapshot().unwrap().cursor().unwrap());
        }
        db.step_merge_thread().unwrap();
        db.merge(&MergePolicy::everything()).unwrap();
        let going_on = cursors.iter().filter(|cursor| db.feed(&cursor[..]).unwrap().is_some()).count();
        assert_eq!(going_on, 3 + 2 * kept - usize::from(kept == 3), "{feed_retention_bytes} bytes");
    }
}

#[test]
fn another_history_and_another_store_are_refused_and_what_is_no_cursor_is_an_error() {
    let (sim, db) = fresh();
    db.put(b"a", b"1").unwrap();
    db.sync().unwrap();
    db.put(b"b", b"2").unwrap();
    let cursor = db.snapshot().unwrap().cursor().unwrap();
    let other = machine(6);
    must_resnapshot(&open(&other, &manual()).unwrap(), &cursor);
    for cut in [&cursor[..10], &[7; 48], b"x"] {
        assert!(matches!(db.feed(cut), Err(Error::Invalid(_))));
    }
    // What is not whole is discarded, and that begins another history.
    sim.set_process_token(2);
    drop(db);
    sim.set_process_token(1);
    let name = "000000000001.data";
    let len = sim.files(DIR)[name];
    sim.cut_file(DIR, name, len - 1);
    let db = open(&sim, &manual()).unwrap();
    must_resnapshot(&db, &cursor);
    assert_eq!(rest(&mut feed(&db, b"")).len(), 1);
}

#[test]
fn a_cursor_behind_what_a_power_cut_took_is_refused_though_nothing_was_discarded() {
    let (sim, db) = fresh();
    db.put(b"a", b"1").unwrap();
    let kept = db.snapshot().unwrap().cursor().unwrap();
    db.sync().unwrap();
    db.put(b"b", b"2").unwrap();
    let lost = db.snapshot().unwrap().cursor().unwrap();
    let image = sim.crash(sim.op_count(), Survival::SyncedOnly);
    let history = |db: &Db<Sim>| db.stats().unwrap().history_id;
    let before = history(&db);
    let db = open(&image, &manual()).unwrap();
    assert_eq!(history(&db), before);
    must_resnapshot(&db, &lost);
    // What is written in its place does not make it good again.
    db.put(b"b", b"2").unwrap();
    must_resnapshot(&db, &lost);
    assert_eq!(keys(&rest(&mut feed(&db, &kept))), ["b"]);
}

#[test]
fn a_closed_store_ends_its_feeds_and_a_reader_has_none() {
    let (sim, db) = fresh();
    db.put(b"a", b"1").unwrap();
    let mut open_feed = feed(&db, b"");
    db.close().unwrap();
    assert!(matches!(open_feed.next(None), Err(Error::Closed)));
    assert!(matches!(open_feed.cursor(), Err(Error::Closed)));
    let reader = open(&sim, &Options { read_only: true, ..manual() }).unwrap();
    assert!(matches!(reader.feed(b""), Err(Error::ReadOnly)));
    let cursor = reader.snapshot().unwrap().cursor().unwrap();
    let db = open(&sim, &manual()).unwrap();
    db.put(b"b", b"1").unwrap();
    assert_eq!(keys(&rest(&mut feed(&db, &cursor))), ["b"], "a reader's snapshot has a cursor, too");
}

#[test]
fn changes_are_applied_with_their_versions_and_the_cursor_with_them() {
    let (source_sim, source) = fresh();
    source.put_json(b"doc", b"[1]").unwrap();
    let deadline = source_sim.now_ns() + 5_000_000_000;
    let expiring = WriteOptions { expiry: Expiry::At(deadline), expected: None };
    source.put_with(b"soon", b"gone", &expiring).unwrap().version().unwrap();
    source.put(b"old", b"1").unwrap();
    source.delete(b"old").unwrap();
    let mut from = feed(&source, b"");
    let changes = rest(&mut from);
    let replica_sim = machine(9);
    replica_sim.set_clock_ns(1);
    let replica = open(&replica_sim, &Options { default_ttl_ms: 1, ..manual() }).unwrap();
    assert_eq!(replica.applied_cursor().unwrap(), None);
    let given: Vec<_> = changes.iter().map(Owned::change).collect();
    replica.apply(&given, &from.cursor().unwrap()).unwrap();
    for (at, key) in [(0, &b"doc"[..]), (1, b"soon")] {
        let meta = replica.meta(key).unwrap().unwrap();
        assert_eq!((meta.version, meta.deadline), (changes[at].version, changes[at].deadline));
    }
    assert!(!replica.exists(b"old").unwrap());
    let own = replica.put(b"own", b"1").unwrap();
    assert!(own > changes[3].version, "versions go on above those that were applied");
    // And on: the replica has a feed of its own.
    let onward = rest(&mut feed(&replica, b""));
    assert_eq!(keys(&onward), ["doc", "soon", "old", "own"]);
    assert_eq!(onward.iter().map(|change| change.ends_batch).collect::<Vec<_>>(), [false, false, true, true]);
    assert!(onward[0].is_json);
    replica_sim.set_clock_ns(deadline);
    assert!(!replica.exists(b"soon").unwrap());
    let stored = |db: &Db<Sim>| db.applied_cursor().unwrap().map(|cursor| cursor.to_vec());
    let cursor = Some(from.cursor().unwrap().to_vec());
    assert_eq!(stored(&replica), cursor);
    let replica = kill(&replica_sim, replica);
    assert_eq!(stored(&replica), cursor, "after a kill");
    let replica = reopen(&replica_sim, replica);
    assert_eq!(stored(&replica), cursor, "after a close");
    replica.apply(&[], b"elsewhere").unwrap();
    replica.apply(&given, b"").unwrap();
    assert_eq!(stored(&replica), Some(b"elsewhere".to_vec()));
    assert!(matches!(replica.apply(&[], &[0; 1025]), Err(Error::Invalid(_))));
    for version in [0, 1 << 63] {
        let bad = [given[0], Change { version, ..given[1] }];
        assert!(matches!(replica.apply(&bad, b"x"), Err(Error::Invalid(_))));
    }
    assert!(Cursor::decode(&from.cursor().unwrap()).is_some());
}

#[test]
fn a_stored_cursor_outlives_rotations_merges_kills_and_closes_and_readers_know_it() {
    let (sim, mut db) = fresh();
    let reader = open(&sim, &Options { read_only: true, ..manual() }).unwrap();
    let stored = |db: &Db<Sim>| db.applied_cursor().unwrap().map(|cursor| cursor.to_vec());
    let mut last = None;
    for round in 0..200u64 {
        if round % 3 == 0 {
            let cursor = format!("cursor-{round}");
            let value = vec![round.to_le_bytes()[0]; 100];
            let change = Change {
                key: b"applied",
                value: Some(&value),
                version: 1 + round,
                deadline: None,
                is_json: false,
                ends_batch: true,
            };
            let changes = [change];
            db.apply(&changes[..usize::from(round % 2 == 0)], cursor.as_bytes()).unwrap();
            last = Some(cursor.into_bytes());
        } else {
            db.put(format!("{}", round % 7).as_bytes(), &[1; 100]).unwrap();
        }
        match round % 11 {
            0 => db.step_log_thread().unwrap(),
            1 => db.sync().unwrap(),
            2 => drop(db.merge(&MergePolicy::everything()).unwrap()),
            3 => db = kill(&sim, db),
            4 => db = reopen(&sim, db),
            _ => {}
        }
        assert_eq!(stored(&db), last, "round {round}");
        if round % 5 == 0 {
            reader.refresh().unwrap();
            assert_eq!(stored(&reader), last, "a reader after round {round}");
            let opened = open(&sim, &Options { read_only: true, ..manual() }).unwrap();
            assert_eq!(stored(&opened), last, "a new reader after round {round}");
        }
    }
    assert!(db.stats().unwrap().generation > 30);
}

/// As records of its own store it was smaller: the values were compressed there.
#[test]
fn a_batch_that_is_as_large_as_any_can_be_applied() {
    let (_sim, db) = fresh();
    let value = vec![7; 127 << 20];
    let change = |key, len, ends_batch| Change {
        key,
        value: Some(&value[..len]),
        version: 5,
        deadline: None,
        is_json: false,
        ends_batch,
    };
    let changes =
        [change(b"a", value.len(), false), change(b"b", value.len(), false), change(b"c", 3 << 20, true)];
    db.apply(&changes, b"there").expect("it is applied");
    assert_eq!(db.get(b"b", <[u8]>::len).expect("it reads"), Some(value.len()));
    let keys: Vec<_> = (0..5u8).map(|number| [number]).collect();
    let too_many: Vec<_> = keys.iter().map(|key| change(key, value.len(), false)).collect();
    assert!(matches!(db.apply(&too_many, b"beyond"), Err(Error::TooLarge { what: "batch", .. })));
    assert_eq!(db.applied_cursor().expect("an answer").as_deref(), Some(&b"there"[..]));
}
