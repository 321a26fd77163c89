//! One writer, and any number of readers beside it, in this process and across processes.

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
fn readers_and_a_writer_have_a_store_open_at_the_same_time() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let db = open(path, &Options::default()).expect("open");
    db.put(b"key", b"value").expect("put");
    let (first, second) = (open(path, &read_only()).expect("open"), open(path, &read_only()).expect("open"));
    let elsewhere = Child::fork(|| {
        let reader = open(path, &read_only()).map_err(|err| err.to_string())?;
        claim(reader.exists(b"key").is_ok_and(|found| found), "the third reader sees nothing")?;
        claim(is_locked(path, &Options::default()), "a second writer got in")
    });
    assert!(elsewhere.succeeded());
    assert!(first.exists(b"key").expect("open") && second.exists(b"key").expect("open"));
    first.close().expect("close");
    assert!(is_locked(path, &Options::default()), "a reader's close unlocked the store");
    db.put(b"key", b"another").expect("put");
    db.close().expect("close");
    assert!(!is_locked(path, &Options::default()), "a reader keeps writers out");
    second.close().expect("close");
}
