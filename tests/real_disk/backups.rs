//! Backups on the real machine: links, other file systems, threads.

use crate::support::Scratch;
use crate::{open, read_only, small_segments};
use bitcask::engine::Store;
use bitcask::format::names;
use bitcask::options::{MergeMode, MergePolicy, Options};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const KEYS: u32 = 100;

fn put(db: &Store, number: u32) {
    let value = [number.to_le_bytes().as_slice(), &[7; 500]].concat();
    db.put(&(number % KEYS).to_le_bytes(), &value).expect("a put");
}

/// Up to which number the puts are there, each key with its last; anything else is no prefix of them.
fn prefix(db: &Store) -> Option<u32> {
    let number = |key: u32| {
        let read = |value: &[u8]| u32::from_le_bytes(*value.first_chunk().expect("a value of a put"));
        db.get(&key.to_le_bytes(), read).expect("a get")
    };
    let numbers: Vec<_> = (0..KEYS).map(number).collect();
    let last = numbers.iter().flatten().max().copied()?;
    for (key, number) in (0..KEYS).zip(numbers) {
        let expected = (0..=last).rev().take(KEYS as usize).find(|number| number % KEYS == key);
        assert_eq!(number, expected, "key {key} when the last put is {last}");
    }
    Some(last)
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let mut files: Vec<_> =
        files.filter(|path| name(path).is_some_and(|name| names::parse_segment(&name).is_some())).collect();
    files.sort();
    files
}

#[test]
fn sealed_segments_are_linked_and_outlive_the_store() {
    let scratch = Scratch::new();
    let (home, to) = (scratch.path().join("store"), scratch.path().join("backup"));
    let options = Options { merge: MergeMode::Manual, ..small_segments() };
    let db = open(&home, &options).expect("an open");
    let mut written = 0;
    while db.stats().expect("stats").rotations < 4 {
        put(&db, written);
        written += 1;
    }
    let report = db.backup(&to).expect("a backup");
    assert!(report.segments_linked > 1 && report.segments_copied >= 1, "{report:?}");
    assert_eq!(std::fs::metadata(&to).expect("it is there").permissions().mode() & 0o777, 0o700);
    let files = data_files(&to);
    let links = files.iter().filter(|file| std::fs::metadata(file).expect("a file").nlink() == 2);
    assert_eq!(links.count() as u64, report.segments_linked);
    // Linked or not, nothing that is done to the store reaches the backup.
    (written..written + 2000).for_each(|number| put(&db, number));
    db.merge(&MergePolicy::everything()).expect("a merge");
    db.close().expect("a close");
    std::fs::remove_dir_all(&home).expect("the store is removed");
    let copy = open(&to, &read_only()).expect("the backup opens");
    assert_eq!(prefix(&copy), Some(written - 1));
    copy.close().expect("a close");
    let copy = open(&to, &small_segments()).expect("the backup opens for writing");
    (written..written + 100).for_each(|number| put(&copy, number));
    assert_eq!(prefix(&copy), Some(written + 99));
}

#[test]
fn a_backup_on_another_file_system_is_copied() {
    let scratch = Scratch::new();
    let shm = Path::new("/dev/shm");
    let device = |path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    if device(shm).is_none() || device(shm) == device(scratch.path()) {
        return crate::skipped::skipped("there is no other file system at /dev/shm");
    }
    let to = shm.join(format!("bitcask-backup-{}", std::process::id()));
    let db = open(&scratch.path().join("store"), &small_segments()).expect("an open");
    (0..1000).for_each(|number| put(&db, number));
    let report = db.backup(&to);
    let copy = open(&to, &read_only());
    let found = copy.as_ref().ok().and_then(prefix);
    drop(copy);
    std::fs::remove_dir_all(&to).expect("the backup is removed");
    let report = report.expect("a backup");
    assert_eq!((report.segments_linked, found), (0, Some(999)));
    assert!(report.bytes_copied > 500_000, "{report:?}");
}

#[test]
fn backups_beside_writers_and_merges_are_each_of_one_moment() {
    let scratch = Scratch::new();
    let to = scratch.path().join("backup");
    let db = open(&scratch.path().join("store"), &small_segments()).expect("an open");
    let (next, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let (mut backups, mut linked) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                let number = next.load(Ordering::Relaxed);
                put(&db, number);
                next.store(number + 1, Ordering::Release);
            }
        });
        for _ in 0..30 {
            crate::wait_until("there was more written", || {
                next.load(Ordering::Acquire) > 400 * (backups + 1)
            });
            let least = next.load(Ordering::Acquire) - 1;
            let report = db.backup(&to);
            let most = next.load(Ordering::Acquire);
            let found = open(&to, &read_only()).map(|copy| prefix(&copy));
            let (Ok(report), Ok(Some(found))) = (report, found) else { break };
            if !(least..=most).contains(&found) {
                break;
            }
            linked += report.segments_linked;
            backups += 1;
        }
        done.store(1, Ordering::Relaxed);
    });
    assert!(backups == 30 && linked > 5, "{backups} backups, {linked} segments linked");
    assert!(db.stats().expect("stats").merges > 0, "nothing was merged meanwhile");
}

#[test]
fn the_store_is_recognised_by_any_path() {
    let scratch = Scratch::new();
    let home = scratch.path().join("store");
    let db = open(&home, &Options::default()).expect("an open");
    symlink(&home, scratch.path().join("link")).expect("a link");
    for path in ["store/", "link", "link/.", "store/../store", "link/below", "store/."] {
        let refused = db.backup(&scratch.path().join(path)).expect_err(path).to_string();
        assert!(refused.contains("the store's own directory"), "{path}: {refused}");
    }
    assert!(!home.join("below").exists());
}
