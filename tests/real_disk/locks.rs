//! One writer or many readers, in this process and across processes.

use crate::support::{Child, Scratch, claim, sleep_forever};
use crate::{open, read_only};
use bitcask::Error;
use bitcask::options::Options;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn is_locked(path: &Path, options: &Options) -> bool {
    matches!(open(path, options), Err(Error::Locked { .. }))
}

#[test]
fn a_second_writer_of_this_process_is_refused_and_the_first_goes_on() {
    let scratch = Scratch::new();
    let db = open(scratch.path(), &Options::default()).expect("open");
    let refused =
        open(scratch.path(), &Options::default()).err().map(|err| err.to_string()).unwrap_or_default();
    assert!(refused.contains("is in use") && refused.contains("this process"), "{refused}");
    db.put(b"key", b"value").expect("put");
    db.close().expect("close");
    assert!(open(scratch.path(), &Options::default()).is_ok());
}

#[test]
fn a_writer_of_another_process_is_refused_and_told_who_holds_the_store() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let (mut ready, mut tell) = UnixStream::pair().expect("a pair");
    let owner = Child::fork(|| {
        let _db = open(path, &Options::default()).map_err(|err| err.to_string())?;
        tell.write_all(b"!").map_err(|err| err.to_string())?;
        sleep_forever()
    });
    ready.read_exact(&mut [0]).expect("the owner has opened the store");
    let refused = open(path, &Options::default()).err().map(|err| err.to_string()).unwrap_or_default();
    assert!(refused.contains(&format!("process {}", owner.pid())), "{refused}");
    owner.kill();
    assert!(open(path, &Options::default()).is_ok(), "the owner is dead");
}

#[test]
fn readers_share_a_store_and_shut_a_writer_out() {
    let scratch = Scratch::new();
    let path = scratch.path();
    open(path, &Options::default()).and_then(|db| db.put(b"key", b"value")).expect("a store");
    let (first, second) = (open(path, &read_only()).expect("open"), open(path, &read_only()).expect("open"));
    let elsewhere = Child::fork(|| {
        let db = open(path, &read_only()).map_err(|err| err.to_string())?;
        claim(db.exists(b"key").is_ok_and(|found| found), "the third reader sees nothing")
    });
    assert!(elsewhere.succeeded());
    assert!(first.exists(b"key").expect("open") && second.exists(b"key").expect("open"));
    assert!(is_locked(path, &Options::default()));
    first.close().expect("close");
    assert!(is_locked(path, &Options::default()), "one reader is left");
    second.close().expect("close");
    assert!(!is_locked(path, &Options::default()));
}

#[test]
fn a_writer_shuts_readers_out() {
    let scratch = Scratch::new();
    let _db = open(scratch.path(), &Options::default()).expect("open");
    assert!(is_locked(scratch.path(), &read_only()));
}
