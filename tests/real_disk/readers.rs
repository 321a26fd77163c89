//! A read-only handle refuses every write and leaves no trace.

use crate::support::{Child, Scratch};
use crate::{open, read_only, small_segments};
use bitcask::Error;
use bitcask::features::batch::Batch;
use bitcask::options::{IoMode, Options};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Everything about a directory but access times: of itself and of each file inode, size, mode, change time, bytes.
type Trace = BTreeMap<String, (Vec<i128>, Vec<u8>)>;

fn trace(dir: &Path) -> Trace {
    let meta = |path: &Path| {
        let meta = std::fs::metadata(path).expect("a file");
        let what = [meta.ino(), meta.size(), u64::from(meta.mode())].map(i128::from);
        let when = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(i128::from);
        [&what[..], &when].concat()
    };
    let mut trace = Trace::from([(".".to_string(), (meta(dir), Vec::new()))]);
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        trace.insert(path.display().to_string(), (meta(&path), bytes));
    }
    trace
}

/// Fills a store in a child that then kills itself.
fn killed_store(path: &Path) {
    let child = Child::fork(|| {
        let db = open(path, &small_segments()).map_err(|err| err.to_string())?;
        for number in 0..200u32 {
            db.put(&number.to_le_bytes(), &[7; 1000]).map_err(|err| err.to_string())?;
        }
        // SAFETY: no pointers; the process ends itself.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        Err("a killed process went on".to_string())
    });
    assert!(!child.succeeded(), "killed");
}

fn look_around(path: &Path, io: IoMode) {
    let db = open(path, &Options { io, ..read_only() }).expect("open");
    assert_eq!(db.count().expect("open"), 200);
    for number in 0..200u32 {
        assert_eq!(db.get(&number.to_le_bytes(), <[u8]>::to_vec).expect("get"), Some(vec![7; 1000]));
    }
    db.stats().expect("open");
    db.close().expect("close");
}

#[test]
fn a_reader_writes_nothing_after_a_kill() {
    let scratch = Scratch::new();
    killed_store(scratch.path());
    let before = trace(scratch.path());
    look_around(scratch.path(), IoMode::Mmap);
    look_around(scratch.path(), IoMode::Pread);
    assert!(before == trace(scratch.path()), "a reader changed the directory");
}

#[test]
fn a_reader_writes_nothing_after_a_clean_close() {
    let scratch = Scratch::new();
    killed_store(scratch.path());
    open(scratch.path(), &small_segments()).and_then(|db| db.close()).expect("recovery and a clean close");
    let before = trace(scratch.path());
    look_around(scratch.path(), IoMode::Auto);
    assert!(before == trace(scratch.path()), "a reader changed the directory");
}

#[test]
fn a_reader_refuses_every_write() {
    let scratch = Scratch::new();
    open(scratch.path(), &Options::default()).and_then(|db| db.put(b"key", b"{}")).expect("a store");
    let db = open(scratch.path(), &read_only()).expect("open");
    let mut batch = Batch::new();
    batch.put(b"key", b"").expect("room");
    let refused = |answer: Result<(), Error>| matches!(answer, Err(Error::ReadOnly));
    assert!(refused(db.put(b"key", b"").map(drop)));
    assert!(refused(db.put_json(b"key", b"1").map(drop)));
    assert!(refused(db.patch_json(b"key", b"{}").map(drop)));
    assert!(refused(db.delete(b"key").map(drop)));
    assert!(refused(db.delete(b"absent").map(drop)));
    assert!(refused(db.write(&batch).map(drop)));
    assert!(refused(db.sync()));
}

#[test]
fn a_reader_makes_neither_store_nor_directory() {
    let scratch = Scratch::new();
    let absent = scratch.path().join("absent");
    assert!(open(&absent, &read_only()).is_err());
    assert!(open(scratch.path(), &read_only()).is_err());
    assert_eq!(std::fs::read_dir(scratch.path()).expect("a directory").count(), 0);
}
