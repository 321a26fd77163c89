//! A read-only handle refuses every write and leaves no trace, whatever a writer does beside it.

use crate::support::{Child, Scratch};
use crate::{open, read_only, small_segments};
use bitcask::Error;
use bitcask::features::batch::Batch;
use bitcask::options::{IoMode, Options};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

/// How many keys the writer of [`beside_a_writer`] puts again and again.
const KEYS: u64 = 300;
/// How long it does so.
const BESIDE: Duration = Duration::from_secs(4);

/// The value of put number `n`: its number, and bytes that follow from it.
fn numbered(n: u64) -> Vec<u8> {
    let len = usize::try_from(n % 700).expect("small");
    let fill = n.to_le_bytes()[0];
    [&n.to_le_bytes()[..], &vec![fill; len]].concat()
}

/// Puts numbered values round and round, with rotations, hints and merges, in a child; `read` is asked in turn with a
/// number that was acknowledged before, in this process.
fn beside_a_writer(path: &Path, mut read: impl FnMut(u64)) {
    let acknowledged = path.with_extension("acknowledged");
    std::fs::write(&acknowledged, 0u64.to_le_bytes()).expect("a file");
    let writer = Child::fork(|| {
        use std::os::unix::fs::FileExt;
        let file =
            std::fs::OpenOptions::new().write(true).open(&acknowledged).map_err(|err| err.to_string())?;
        let db = open(path, &small_segments()).map_err(|err| err.to_string())?;
        let began = Instant::now();
        let mut n = 1;
        while began.elapsed() < BESIDE + Duration::from_secs(1) {
            db.put(&(n % KEYS).to_le_bytes(), &numbered(n)).map_err(|err| err.to_string())?;
            file.write_all_at(&n.to_le_bytes(), 0).map_err(|err| err.to_string())?;
            if n % 3000 == 0 {
                db.merge(&bitcask::options::MergePolicy::default()).map_err(|err| err.to_string())?;
            }
            n += 1;
        }
        db.close().map_err(|err| err.to_string())
    });
    let began = Instant::now();
    let mut last = 0;
    while began.elapsed() < BESIDE {
        let bytes = std::fs::read(&acknowledged).expect("a file");
        last = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        if last > 0 {
            read(last);
        }
    }
    assert!(writer.succeeded());
    std::fs::remove_file(acknowledged).expect("a file");
    assert!(last > 10_000, "the writer got nowhere: {last}");
}

/// What `db` shows is what the first so many puts left, and how many that is.
fn puts_shown(db: &bitcask::engine::Store) -> u64 {
    let mut shown = Vec::new();
    for key in 0..KEYS {
        let value = db.get(&key.to_le_bytes(), <[u8]>::to_vec).expect("get");
        shown.extend(value.map(|value| {
            let n = u64::from_le_bytes(*value.first_chunk().expect("a number"));
            assert!(n % KEYS == key && value == numbered(n), "key {key} has another's value");
            n
        }));
    }
    shown.sort_unstable();
    let last = *shown.last().expect("a key");
    let first = (last + 1).saturating_sub(KEYS).max(1);
    assert_eq!(shown, (first..=last).collect::<Vec<_>>(), "not what a prefix of the puts leaves");
    let stats = db.stats().expect("open");
    assert_eq!((stats.corrupt_records, stats.degraded), (0, None));
    last
}

#[test]
fn a_reader_opens_beside_a_writer_and_sees_all_that_was_acknowledged() {
    let scratch = Scratch::new();
    let path = scratch.path().join("store");
    let mut opens = 0;
    beside_a_writer(&path, |acknowledged| {
        let io = if opens % 2 == 0 { IoMode::Mmap } else { IoMode::Pread };
        let db = open(&path, &Options { io, ..read_only() }).expect("open");
        let shown = puts_shown(&db);
        assert!(shown >= acknowledged, "{shown} puts shown, {acknowledged} were acknowledged");
        opens += 1;
    });
    println!("{opens} opens");
    assert!(opens > 10);
}

#[test]
fn a_reader_that_is_refreshed_keeps_up_with_a_writer() {
    let scratch = Scratch::new();
    let path = scratch.path().join("store");
    let mut readers: Vec<bitcask::engine::Store> = Vec::new();
    let mut refreshes = 0;
    beside_a_writer(&path, |acknowledged| {
        if readers.is_empty() {
            let open = |io| open(&path, &Options { io, ..read_only() }).expect("open");
            readers.extend([open(IoMode::Mmap), open(IoMode::Pread)]);
        }
        for db in &readers {
            db.refresh().expect("refresh");
            let shown = puts_shown(db);
            assert!(shown >= acknowledged, "{shown} puts shown, {acknowledged} were acknowledged");
            assert_eq!(puts_shown(db), shown, "shown without a refresh");
            refreshes += 1;
        }
    });
    let segments = std::fs::read_dir(&path).expect("a directory").count();
    println!("{refreshes} refreshes, {segments} files");
    assert!(refreshes > 20);
}

#[test]
fn reads_go_on_while_a_reader_is_refreshed() {
    let scratch = Scratch::new();
    let path = scratch.path().join("store");
    let mut reader = None;
    let mut rounds = 0;
    beside_a_writer(&path, |_| {
        let db = reader.get_or_insert_with(|| open(&path, &read_only()).expect("open"));
        let done = &AtomicBool::new(false);
        let refreshed = std::thread::scope(|scope| {
            for from in [0, 1] {
                let db = &*db;
                scope.spawn(move || {
                    let mut last = vec![0; usize::try_from(KEYS).expect("small")];
                    while !done.load(Ordering::Relaxed) {
                        for key in (from..KEYS).step_by(2) {
                            let value = db.get(&key.to_le_bytes(), <[u8]>::to_vec).expect("get");
                            let n = value.map_or(0, |value| {
                                u64::from_le_bytes(*value.first_chunk().expect("a number"))
                            });
                            let last = &mut last[usize::try_from(key).expect("small")];
                            assert!(n >= *last, "key {key} went back from put {last} to {n}");
                            *last = n;
                        }
                    }
                });
            }
            let refreshed: Result<Vec<()>, Error> = (0..20).map(|_| db.refresh()).collect();
            done.store(true, Ordering::Relaxed);
            refreshed
        });
        rounds += refreshed.expect("refresh").len();
        puts_shown(db);
    });
    println!("{rounds} refreshes under two readers");
}
