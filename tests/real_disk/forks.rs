//! A handle in a forked child is dead, and its end takes nothing from the parent.

use crate::support::{Child, Scratch, claim};
use crate::{open, small_segments};
use bitcask::Error;
use bitcask::engine::Store;
use bitcask::features::batch::Batch;
use std::sync::atomic::{AtomicBool, Ordering};

fn is_forked<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Forked))
}

/// Takes the handle over in a child.
fn inherited(db: *const Store) -> Store {
    // SAFETY: called in a child, whose address space is its own copy and is left by `_exit`: the parent's value
    // is not touched and this copy is dropped once.
    unsafe { db.read() }
}

#[test]
fn every_call_in_a_child_answers_forked() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &small_segments()).expect("open");
    db.put(b"key", b"{}").expect("put");
    let child = Child::fork(|| {
        let mut batch = Batch::new();
        batch.put(b"key", b"child").expect("room");
        let answers = [
            ("put", is_forked(db.put(b"key", b"child"))),
            ("put_json", is_forked(db.put_json(b"key", b"{}"))),
            ("patch_json", is_forked(db.patch_json(b"key", b"{}"))),
            ("get_json", is_forked(db.get_json(b"key", ""))),
            ("delete", is_forked(db.delete(b"key"))),
            ("write", is_forked(db.write(&batch))),
            ("get", is_forked(db.get(b"key", |_| ()))),
            ("get_pinned", is_forked(db.get_pinned(b"key"))),
            ("get_many", is_forked(db.get_many(&[b"key"], |_, _| ()))),
            ("exists", is_forked(db.exists(b"key"))),
            ("count", is_forked(db.count())),
            ("sync", is_forked(db.sync())),
            ("stats", is_forked(db.stats())),
        ];
        answers.iter().try_for_each(|(call, forked)| claim(*forked, &format!("{call} did not answer Forked")))
    });
    assert!(child.succeeded());
    assert_eq!(db.get(b"key", <[u8]>::to_vec).expect("get"), Some(b"{}".to_vec()));
}

#[test]
fn a_childs_close_and_drop_leave_the_parents_store_and_lock_alone() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let db = open(path, &small_segments()).expect("open");
    db.put(b"before", b"").expect("put");
    let handle = &raw const db;
    assert!(
        Child::fork(|| claim(is_forked(inherited(handle).close()), "close did not answer Forked"))
            .succeeded()
    );
    let dropping = || {
        drop(inherited(handle));
        Ok(())
    };
    assert!(Child::fork(dropping).succeeded());
    assert!(Child::bare_clone(dropping).succeeded());
    assert!(matches!(open(path, &small_segments()), Err(Error::Locked { .. })), "the lock is gone");
    for number in 0..200u32 {
        db.put(&number.to_le_bytes(), &[7; 1000]).expect("the parent goes on");
    }
    db.close().expect("close");
    let db = open(path, &small_segments()).expect("open");
    assert_eq!(db.count().expect("open"), 201);
    assert_eq!(db.stats().expect("open").recovered_records, 0, "the close was not clean");
}

#[test]
fn a_child_forked_in_the_middle_of_writes_does_not_hang() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &small_segments()).expect("open");
    let handle = &raw const db;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2u32 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                let mut number = 0u32;
                while !stop.load(Ordering::Relaxed) {
                    db.put(&[thread, number % 100].map(u32::to_le_bytes).concat(), &[7; 200]).expect("put");
                    number += 1;
                }
            });
        }
        let all_well = (0..20).all(|_| {
            let child = Child::fork(|| {
                let db = inherited(handle);
                claim(
                    is_forked(db.put(b"key", b"")) && is_forked(db.get(b"key", |_| ())),
                    "a call went through",
                )?;
                claim(is_forked(db.close()), "close did not answer Forked")
            });
            child.succeeded()
        });
        stop.store(true, Ordering::Relaxed);
        assert!(all_well);
    });
    db.close().expect("close");
}

#[test]
fn a_child_may_open_a_store_of_its_own() {
    let (ours, theirs) = (Scratch::new(), Scratch::new());
    let db = open(ours.path(), &small_segments()).expect("open");
    let path = theirs.path();
    let child = Child::fork(|| {
        let db = open(path, &small_segments()).map_err(|err| err.to_string())?;
        db.put(b"key", b"child").map_err(|err| err.to_string())?;
        db.close().map_err(|err| err.to_string())
    });
    assert!(child.succeeded());
    db.put(b"key", b"parent").expect("put");
    let db = open(path, &small_segments()).expect("open");
    assert_eq!(db.get(b"key", <[u8]>::to_vec).expect("get"), Some(b"child".to_vec()));
}
