//! What a refresh brings in, what it costs, and what it answers when it cannot. The races are in `beside.rs`.

use crate::support::gated::Gated;
use crate::support::{DIR, merge_policy, open, options};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::format::checkpoint::CHECKPOINT_HEADER_LEN;
use bitcask::format::names;
use bitcask::io::sim::Sim;
use bitcask::options::{Options, SyncMode};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn machine() -> Sim {
    let sim = Sim::new(3);
    sim.make_dirs(DIR);
    sim
}

fn small() -> Options {
    options(SyncMode::None)
}

fn reading() -> Options {
    Options { read_only: true, ..small() }
}

fn get<E: bitcask::io::env::Env>(db: &Db<E>, key: &[u8]) -> Option<Vec<u8>> {
    db.get(key, <[u8]>::to_vec).expect("the key reads")
}

#[test]
fn a_writers_handle_is_refreshed_without_a_call_to_the_system() {
    let sim = machine();
    let db = open(&sim, &small()).expect("a new store opens");
    db.put(b"key", b"value").expect("a put");
    let calls = sim.call_count();
    db.refresh().expect("nothing to do");
    assert_eq!(sim.call_count(), calls);
}

#[test]
fn a_refresh_costs_what_was_written_since_and_not_what_is_there() {
    let sim = machine();
    let large = Options { max_segment_bytes: 16 << 20, ..small() };
    let db = open(&sim, &large).expect("a new store opens");
    for n in 0..5000u32 {
        db.put(&n.to_le_bytes(), &[7; 1000]).expect("a put");
    }
    let reader = open(&sim, &reading()).expect("a reader opens");
    let cost = || {
        let before = sim.call_count();
        reader.refresh().expect("a healthy disk");
        sim.call_count() - before
    };
    let idle = cost();
    db.put(b"key", b"value").expect("a put");
    let one = cost();
    assert_eq!(get(&reader, b"key").as_deref(), Some(&b"value"[..]));
    // Open, length and bytes of the manifest, a look at the active segment and at the spare.
    assert!(idle <= 10 && one <= idle + 2, "{idle} calls for nothing, {one} for a put");
}

/// A writer and a reader.
type Pair = (Arc<Db<Gated>>, Arc<Db<Sim>>);

/// A merge judges a key's value alive; then the key is deleted, which a reader sees; then the merge's output, which
/// holds the value, comes into the manifest.
#[test]
fn a_key_deleted_while_a_merge_runs_does_not_come_back_in_a_reader() {
    let mut calls = 1;
    for delete_at in 0.. {
        if delete_at > calls {
            break;
        }
        let sim = machine();
        let (passed, armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        let gate = {
            let (passed, armed, machine) = (passed.clone(), armed.clone(), sim.clone());
            let late = Mutex::new(Vec::new());
            move || {
                // What is done here passes the gate too.
                let Ok(armed) = armed.try_lock() else { return Ok(()) };
                let armed: &Option<Pair> = &armed;
                let Some((db, reader)) = armed else { return Ok(()) };
                let call = passed.fetch_add(1, Ordering::SeqCst);
                if call == delete_at {
                    assert!(db.delete(b"key").expect("a delete"));
                    late.lock().expect("no panic").push(open(&machine, &reading()).expect("a reader opens"));
                }
                for reader in late.lock().expect("no panic").iter().chain([&**reader]) {
                    if call >= delete_at {
                        reader.refresh().expect("a refresh");
                        assert_eq!(get(reader, b"key"), None, "deleted at call {delete_at}, call {call}");
                    }
                }
                Ok(())
            }
        };
        let world = Gated::new(&sim, Arc::new(gate));
        let db = Arc::new(Db::open(world, Path::new(DIR), &small()).expect("a new store opens"));
        db.put(b"key", b"value").expect("a put");
        for n in 0..100u8 {
            db.put(b"other", &[n; 50]).expect("a put");
            db.step_log_thread().expect("a healthy disk");
        }
        let reader = Arc::new(open(&sim, &reading()).expect("a reader opens"));
        assert_eq!(get(&reader, b"key").as_deref(), Some(&b"value"[..]));
        *armed.lock().expect("no panic") = Some((db.clone(), reader.clone()));
        assert!(db.merge(&merge_policy(1)).expect("a healthy disk") > 0);
        *armed.lock().expect("no panic") = None;
        calls = passed.load(Ordering::SeqCst);
        let deleted = calls > delete_at;
        reader.refresh().expect("a refresh");
        assert_eq!(get(&reader, b"key").is_none(), deleted, "deleted at call {delete_at}");
        assert_eq!(reader.count().expect("open"), if deleted { 1 } else { 2 });
        db.merge(&merge_policy(1)).expect("a healthy disk");
        reader.refresh().expect("a refresh");
        assert_eq!(get(&reader, b"key").is_none(), deleted, "deleted at call {delete_at}");
    }
    assert!(calls > 20, "{calls} calls");
}

#[test]
fn what_a_recovery_discarded_is_gone_also_where_a_reader_had_seen_it() {
    let sim = machine();
    let db = open(&sim, &small()).expect("a new store opens");
    db.put(b"kept", b"value").expect("a put");
    // What is proven durable stays where it is, also in the recovered store.
    db.sync().expect("a sync");
    db.put(b"lost", b"value").expect("a put");
    let reader = open(&sim, &reading()).expect("a reader opens");
    assert!(reader.exists(b"lost").expect("open"));
    // The writer is killed, and the system drops the end of what it wrote.
    sim.set_process_token(2);
    drop(db);
    let (name, len) = sim.files(DIR).pop_first().expect("a segment");
    sim.cut_file(DIR, &name, len - 8);
    let db = open(&sim, &small()).expect("recovery");
    assert!(db.stats().expect("open").recovered_bytes_discarded > 0);
    db.put(b"new", b"value").expect("a put");
    sim.set_process_token(1);
    reader.refresh().expect("a refresh");
    assert_eq!(get(&reader, b"kept").as_deref(), Some(&b"value"[..]));
    assert_eq!(get(&reader, b"new").as_deref(), Some(&b"value"[..]));
    assert_eq!((get(&reader, b"lost"), reader.count().expect("open")), (None, 2));
}

#[test]
fn another_store_in_the_place_of_this_one_is_told_and_the_handle_goes_on_with_what_it_had() {
    let sim = machine();
    let db = open(&sim, &small()).expect("a new store opens");
    db.put(b"key", b"value").expect("a put");
    db.close().expect("a close");
    let reader = open(&sim, &reading()).expect("a reader opens");
    let other = Sim::new(9);
    other.make_dirs(DIR);
    open(&other, &small()).and_then(|db| db.close()).expect("another store");
    for replace in [false, true] {
        for name in sim.files(DIR).keys() {
            sim.remove_file(DIR, name);
        }
        for name in other.files(DIR).keys().filter(|_| replace) {
            sim.write_file(DIR, name, &other.read_file(DIR, name).expect("a file"));
        }
        let told = reader.refresh().err().map(|err| err.to_string()).unwrap_or_default();
        assert!(told.contains("open the path anew"), "{told}");
        assert_eq!(get(&reader, b"key").as_deref(), Some(&b"value"[..]));
    }
}

/// A store with sealed segments, and a reader that knows of none of them yet.
fn store_and_reader(sim: &Sim) -> (Db<Sim>, Db<Sim>) {
    let db = open(sim, &small()).expect("a new store opens");
    db.put(b"old", b"value").expect("a put");
    let reader = open(sim, &reading()).expect("a reader opens");
    for n in 0..40u8 {
        db.put(&[n], &[n; 100]).expect("a put");
        db.step_log_thread().expect("a healthy disk");
    }
    (db, reader)
}

#[test]
fn damage_in_what_is_new_is_told_and_the_handle_goes_on_with_what_it_had() {
    let sim = machine();
    let (_db, reader) = store_and_reader(&sim);
    // The first records of a sealed segment, headers and all.
    (72..400).for_each(|at| sim.corrupt(DIR, "000000000002.data", at, 0xFF));
    for _ in 0..2 {
        let told = reader.refresh().err().map(|err| err.to_string()).unwrap_or_default();
        assert!(told.contains("000000000002.data is damaged at byte"), "{told}");
        assert_eq!(get(&reader, b"old").as_deref(), Some(&b"value"[..]));
    }
    assert!(reader.stats().expect("open").degraded.is_none());
    // A new handle tells what it cannot vouch for.
    let fresh = open(&sim, &reading()).expect("a reader opens");
    assert!(fresh.stats().expect("open").degraded.is_some());
    assert!(matches!(fresh.get(b"old", |_| ()), Err(Error::Corrupt { .. })));
    assert!(matches!(fresh.refresh(), Err(Error::Corrupt { .. })));
    assert!(matches!(fresh.get(b"old", |_| ()), Err(Error::Corrupt { .. })));
}

#[test]
fn a_damaged_hint_costs_nothing_but_time() {
    let sim = machine();
    let (db, reader) = store_and_reader(&sim);
    db.step_merge_thread().expect("a healthy disk");
    let hints: Vec<_> = sim.files(DIR).into_iter().filter(|(name, _)| name.ends_with(".hint")).collect();
    assert!(hints.len() > 2);
    for (name, len) in hints {
        sim.corrupt(DIR, &name, len / 2, 0xFF);
    }
    reader.refresh().expect("a refresh");
    assert_eq!(reader.count().expect("open"), 41);
    assert!((0..40).all(|n| get(&reader, &[n]) == Some(vec![n; 100])));
}

#[test]
fn a_refreshed_reader_writes_nothing() {
    let sim = machine();
    let (db, reader) = store_and_reader(&sim);
    db.merge(&merge_policy(1)).expect("a healthy disk");
    let before = sim.op_count();
    reader.refresh().expect("a refresh");
    assert_eq!(sim.op_count(), before);
}

#[test]
fn a_reader_that_was_opened_from_a_checkpoint_is_refreshed_like_any_other() {
    for damaged in [false, true] {
        let sim = machine();
        let db = open(&sim, &small()).expect("a new store opens");
        for n in 0..60u8 {
            db.put(&[n % 30], &[n; 100]).expect("a put");
            db.step_log_thread().expect("a healthy disk");
        }
        db.close().expect("a close");
        if damaged {
            sim.corrupt(DIR, names::CHECKPOINT, CHECKPOINT_HEADER_LEN as u64 + 3, 0xFF);
        }
        // It reads nothing of the checkpoint's entries yet.
        let reader = open(&sim, &reading()).expect("a reader opens");
        assert_eq!(reader.stats().expect("open").opened_from_checkpoint, 1);
        let db = open(&sim, &small()).expect("the store opens");
        for n in 0..10u8 {
            db.put(&[n], &[200; 100]).expect("a put");
            assert!(db.delete(&[n + 10]).expect("a delete"));
            db.step_log_thread().expect("a healthy disk");
        }
        assert!(db.merge(&merge_policy(1)).expect("a healthy disk") > 0);
        reader.refresh().expect("a refresh");
        for n in 0..30u8 {
            let expected = [Some(vec![200; 100]), None, Some(vec![n + 30; 100])];
            assert_eq!(get(&reader, &[n]), expected[usize::from(n / 10)], "key {n}, damaged {damaged}");
        }
        assert_eq!(reader.count().expect("open"), 20);
    }
}
