//! Limits of the process: descriptors, file size.

use crate::support::{Child, Claim, Scratch, claim};
use crate::{open, small_segments};
use bitcask::Error;
use bitcask::engine::Store;
use std::path::Path;
use std::time::{Duration, Instant};

/// Lowers or raises the soft limit of this process, a child, and answers the old one.
fn set_limit(resource: libc::__rlimit_resource_t, value: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is room for the answer.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    let old = std::mem::replace(&mut limit.rlim_cur, value);
    // SAFETY: `limit` lives through the call.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
    old
}

fn told(err: Error) -> String {
    err.to_string()
}

fn all_there(db: &Store, keys: u32) -> Claim {
    (0..keys).try_for_each(|number| {
        let found = db.get(&number.to_le_bytes(), <[u8]>::len).map_err(told)?;
        claim(found == Some(1000), &format!("put {number} of {keys} is lost"))
    })
}

fn run_out_of_descriptors(path: &Path) -> Claim {
    let db = open(path, &small_segments()).map_err(told)?;
    // SAFETY: duplicating a standard descriptor answers the lowest free number.
    let free = unsafe { libc::dup(2) };
    let limit = set_limit(libc::RLIMIT_NOFILE, libc::rlim_t::try_from(free).map_err(|err| err.to_string())?);
    let mut puts = 0u32;
    let start = Instant::now();
    let refused = loop {
        match db.put(&puts.to_le_bytes(), &[7; 1000]) {
            Ok(_) => puts += 1,
            Err(err) => break err,
        }
        claim(start.elapsed() < Duration::from_secs(10), "puts go on without descriptors for new segments")?;
    };
    claim(matches!(refused, Error::Io { .. }) && refused.os_errno() == libc::EMFILE, &refused.to_string())?;
    claim(db.stats().map_err(told)?.background_errors > 0, "the stats say nothing")?;
    all_there(&db, puts)?;
    set_limit(libc::RLIMIT_NOFILE, limit);
    while db.put(b"after", b"").is_err() {
        claim(start.elapsed() < Duration::from_secs(15), "writes did not resume")?;
        std::thread::sleep(Duration::from_millis(5));
    }
    db.close().map_err(told)?;
    all_there(&open(path, &small_segments()).map_err(told)?, puts)
}

#[test]
fn without_descriptors_writes_stop_with_an_error_and_resume_when_there_are_some() {
    let scratch = Scratch::new();
    let path = scratch.path();
    assert!(Child::fork(|| run_out_of_descriptors(path)).succeeded());
}

#[test]
fn an_open_without_descriptors_says_so_and_changes_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path();
    open(path, &small_segments()).and_then(|db| db.put(b"key", b"value")).expect("a store");
    let manifest = std::fs::read(path.join("manifest.json")).expect("a manifest");
    let child = Child::fork(|| {
        // SAFETY: duplicating a standard descriptor answers the lowest free number.
        let free = libc::rlim_t::try_from(unsafe { libc::dup(2) }).map_err(|err| err.to_string())?;
        for more in 0..4 {
            let limit = set_limit(libc::RLIMIT_NOFILE, free + more);
            let opened = open(path, &small_segments()).map(drop);
            set_limit(libc::RLIMIT_NOFILE, limit);
            let Err(err) = opened else {
                return Err(format!("opened with {more} descriptors"));
            };
            claim(err.os_errno() == libc::EMFILE, &err.to_string())?;
        }
        Ok(())
    });
    assert!(child.succeeded());
    assert_eq!(std::fs::read(path.join("manifest.json")).expect("a manifest"), manifest);
    assert!(open(path, &small_segments()).expect("open").exists(b"key").expect("open"));
}

fn hit_the_file_size_limit(path: &Path) -> Claim {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let db = open(path, &small_segments()).map_err(told)?;
    set_limit(libc::RLIMIT_FSIZE, 100 << 10);
    let refused = db.put(b"large", &vec![7; 1 << 20]);
    claim(matches!(refused, Err(Error::NoSpace { .. })), &format!("{refused:?}"))?;
    claim(!db.exists(b"large").map_err(told)?, "a refused put is visible")?;
    for number in 0..500u32 {
        // Segments of 64 KiB stay below the limit; while the next one is not ready the writer may run into it.
        let start = Instant::now();
        while let Err(err) = db.put(&number.to_le_bytes(), &[7; 1000]) {
            claim(matches!(err, Error::NoSpace { .. }), &err.to_string())?;
            claim(start.elapsed() < Duration::from_secs(10), &err.to_string())?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    claim(db.stats().map_err(told)?.poisoned.is_none(), "poisoned")?;
    all_there(&db, 500)?;
    db.close().map_err(told)?;
    let db = open(path, &small_segments()).map_err(told)?;
    claim(!db.exists(b"large").map_err(told)?, "a refused put came back")?;
    all_there(&db, 500)
}

#[test]
fn a_put_past_the_file_size_limit_is_no_space_and_the_store_goes_on() {
    let scratch = Scratch::new();
    let path = scratch.path();
    assert!(Child::fork(|| hit_the_file_size_limit(path)).succeeded());
}
