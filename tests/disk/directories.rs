//! Opening, making and listing directories.

use crate::support::{Child, OPTIONS, Scratch, claim};
use bitcask::io::disk::Disk;
use bitcask::io::env::{Dir, DirOptions, Env};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotADirectory, NotFound};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const NO_CREATE: DirOptions = DirOptions { create: false, ..OPTIONS };

fn kind_of<T>(result: std::io::Result<T>) -> Option<std::io::ErrorKind> {
    result.err().map(|error| error.kind())
}

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_absent_directory_is_made_only_when_asked() {
    let scratch = Scratch::new();
    let path = scratch.path().join("store");
    assert_eq!(kind_of(Disk.open_dir(&path, NO_CREATE)), Some(NotFound));
    assert!(!path.exists());
    Disk.open_dir(&path, OPTIONS).unwrap();
    Disk.open_dir(&path, NO_CREATE).unwrap();
}

#[test]
fn a_trailing_slash_changes_nothing() {
    let scratch = Scratch::new();
    Disk.open_dir(&scratch.path().join("store/"), OPTIONS).unwrap();
    assert!(scratch.path().join("store").is_dir());
}

#[test]
fn a_relative_path_without_a_parent_is_made_in_the_working_directory() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let made = Child::fork(|| {
        std::env::set_current_dir(path).unwrap();
        claim(Disk.open_dir(Path::new("store"), OPTIONS).is_ok(), "not opened")
    });
    assert!(made.succeeded());
    assert!(path.join("store").is_dir());
}

#[test]
fn an_absent_parent_is_not_made() {
    let scratch = Scratch::new();
    assert_eq!(kind_of(Disk.open_dir(&scratch.path().join("a/b"), OPTIONS)), Some(NotFound));
    assert!(!scratch.path().join("a").exists());
}

#[test]
fn a_file_is_no_directory() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    std::fs::write(&path, "").unwrap();
    assert_eq!(kind_of(Disk.open_dir(&path, OPTIONS)), Some(NotADirectory));
}

#[test]
fn a_path_with_a_nul_byte_is_invalid() {
    assert_eq!(kind_of(Disk.open_dir(Path::new("a\0b"), OPTIONS)), Some(InvalidInput));
}

#[test]
fn a_path_that_is_a_link_leads_to_its_directory() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("real")).unwrap();
    symlink("real", scratch.path().join("link")).unwrap();
    Disk.open_dir(&scratch.path().join("link"), OPTIONS).unwrap().create("file").unwrap();
    assert!(scratch.path().join("real/file").exists());
}

#[test]
fn a_path_that_is_a_dangling_link_is_not_found_and_nothing_is_made() {
    let scratch = Scratch::new();
    symlink("absent", scratch.path().join("link")).unwrap();
    assert_eq!(kind_of(Disk.open_dir(&scratch.path().join("link"), OPTIONS)), Some(NotFound));
    assert!(!scratch.path().join("absent").exists());
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let scratch = Scratch::new();
    for (number, umask) in [0o000, 0o027, 0o077, 0o777].into_iter().enumerate() {
        let path = scratch.path().join(number.to_string());
        let made = Child::fork(|| {
            // SAFETY: no pointers; the mask is the child's own.
            unsafe { libc::umask(umask) };
            for file_mode in [0o600, 0o640, 0o664] {
                let dir = Disk.open_dir(&path, DirOptions { create: true, file_mode }).unwrap();
                dir.create(&format!("{file_mode:o}")).unwrap();
            }
            Ok(())
        });
        assert!(made.succeeded());
        assert_eq!(mode_of(&path), 0o700, "umask {umask:o}");
        for file_mode in [0o600, 0o640, 0o664] {
            assert_eq!(mode_of(&path.join(format!("{file_mode:o}"))), file_mode, "umask {umask:o}");
        }
    }
}

#[test]
fn a_listing_is_complete_and_the_same_again() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    let expected: BTreeSet<String> = (0..3000).map(|i| format!("{i:012}.data")).collect();
    for name in &expected {
        dir.create(name).unwrap();
    }
    for _ in 0..2 {
        let names = dir.names().unwrap();
        assert_eq!(names.len(), expected.len());
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn a_name_that_is_not_utf8_is_left_out() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
    std::fs::write(scratch.path().join("fine"), "").unwrap();
    assert_eq!(scratch.open().names().unwrap(), ["fine"]);
}

#[test]
fn create_refuses_a_name_that_is_taken() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("file").unwrap();
    assert_eq!(kind_of(dir.create("file")), Some(AlreadyExists));
}

#[test]
fn rename_replaces_and_remove_removes() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    std::fs::write(scratch.path().join("new"), "new").unwrap();
    std::fs::write(scratch.path().join("old"), "old").unwrap();
    dir.rename("new", "old").unwrap();
    dir.sync().unwrap();
    assert_eq!(std::fs::read(scratch.path().join("old")).unwrap(), b"new");
    assert_eq!(dir.names().unwrap(), ["old"]);
    dir.remove("old").unwrap();
    assert_eq!(kind_of(dir.remove("old")), Some(NotFound));
}

#[test]
fn a_local_disk_is_not_a_network() {
    assert!(!Scratch::new().open().is_network());
}

#[test]
fn a_directory_holds_itself_and_what_lies_below_it() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let dir = scratch.open();
    let below = scratch.path().join("a");
    let far_below = below.join("b");
    let open = |path: &Path| Disk.open_dir(path, OPTIONS).unwrap();
    assert!(dir.holds(&open(&below)).unwrap() && dir.holds(&open(&far_below)).unwrap());
    symlink(&far_below, elsewhere.path().join("link")).unwrap();
    assert!(dir.holds(&open(&elsewhere.path().join("link"))).unwrap(), "by another path");
    assert!(dir.holds(&scratch.open()).unwrap());
    assert!(!dir.holds(&elsewhere.open()).unwrap() && !open(&below).holds(&dir).unwrap());
}
