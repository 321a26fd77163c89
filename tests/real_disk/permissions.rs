//! Who may read the files, and what happens to whom who may not.

use crate::support::{Child, Claim, Scratch, claim};
use crate::{open, read_only};
use bitcask::Error;
use bitcask::options::Options;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

const NOBODY: u32 = 65534;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn modes_inside(dir: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), mode(&entry.path()))).collect()
}

/// Makes a store under a umask, in a child.
fn store_under_umask(dir: &Path, umask: libc::mode_t, options: &Options) {
    let child = Child::fork(|| {
        // SAFETY: no pointers; the mask is the child's own.
        unsafe { libc::umask(umask) };
        let db = open(dir, options).map_err(|err| err.to_string())?;
        db.put(b"key", b"value").map_err(|err| err.to_string())?;
        db.close().map_err(|err| err.to_string())
    });
    assert!(child.succeeded());
}

#[test]
fn the_directory_is_0700_and_its_files_0600_whatever_the_umask() {
    let scratch = Scratch::new();
    for umask in [0o000, 0o022, 0o277] {
        let dir = scratch.path().join(format!("{umask:o}"));
        store_under_umask(&dir, umask, &Options::default());
        assert_eq!(mode(&dir), 0o700);
        let modes = modes_inside(&dir);
        assert!(modes.len() >= 3 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    }
}

#[test]
fn file_mode_decides_the_bits_of_the_files() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("store");
    let options = Options::from_json(r#"{"file_mode": "0640"}"#).expect("an option");
    store_under_umask(&dir, 0o077, &options);
    assert_eq!(mode(&dir), 0o700);
    let modes = modes_inside(&dir);
    assert!(modes.len() >= 3 && modes.iter().all(|(_, mode)| *mode == 0o640), "{modes:?}");
}

/// Runs `work` in a child that root's powers do not help.
fn as_nobody(work: impl FnOnce() -> Claim) -> bool {
    let child = Child::fork(|| {
        // SAFETY: no pointers are read (the list of groups is empty); the ids are the child's own.
        unsafe {
            if libc::geteuid() == 0 {
                let dropped = libc::setgroups(0, std::ptr::null()) == 0
                    && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                    && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0;
                claim(dropped, "root's powers could not be dropped")?;
            }
        }
        work()
    });
    child.succeeded()
}

/// A store that the user of [`as_nobody`] owns, whose directory then has `dir_mode`.
fn owned_store(dir: &Path, dir_mode: u32) {
    open(dir, &Options::default()).and_then(|db| db.put(b"key", b"value")).expect("a store");
    // SAFETY: a question without pointers.
    if unsafe { libc::geteuid() } == 0 {
        for path in modes_inside(dir).into_iter().map(|(name, _)| dir.join(name)) {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        chown(dir, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    fs::set_permissions(dir, Permissions::from_mode(dir_mode)).expect("ours");
}

fn opened_up(scratch: &Scratch) -> std::path::PathBuf {
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).expect("ours");
    scratch.path().join("store")
}

#[test]
fn a_directory_that_cannot_be_written_is_read_by_a_reader_and_refused_to_a_writer() {
    let scratch = Scratch::new();
    let dir = opened_up(&scratch);
    owned_store(&dir, 0o500);
    let well = as_nobody(|| {
        let db = open(&dir, &read_only()).map_err(|err| format!("read_only: {err}"))?;
        let value = db.get(b"key", <[u8]>::to_vec).map_err(|err| err.to_string())?;
        claim(value.as_deref() == Some(b"value"), "the reader sees another value")?;
        db.close().map_err(|err| err.to_string())?;
        let Err(err) = open(&dir, &Options::default()) else {
            return Err("a writer got in".to_string());
        };
        claim(matches!(err, Error::Io { .. }) && err.os_errno() == libc::EACCES, &err.to_string())
    });
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("ours");
    assert!(well);
    assert!(open(&dir, &Options::default()).expect("nothing was harmed").exists(b"key").expect("open"));
}

#[test]
fn files_that_cannot_be_read_are_told_by_name() {
    let scratch = Scratch::new();
    let dir = opened_up(&scratch);
    owned_store(&dir, 0o700);
    for file in ["000000000001.data", "manifest.json"] {
        fs::set_permissions(dir.join(file), Permissions::from_mode(0o000)).expect("ours");
        for options in [Options::default(), read_only()] {
            let well = as_nobody(|| {
                let Err(err) = open(&dir, &options).map(drop) else {
                    return Err("opened".to_string());
                };
                claim(err.os_errno() == libc::EACCES && err.to_string().contains(file), &err.to_string())
            });
            assert!(well, "{file}");
        }
    }
}

#[test]
fn a_user_without_root_makes_and_uses_a_store() {
    let scratch = Scratch::new();
    let dir = opened_up(&scratch);
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o777)).expect("ours");
    assert!(as_nobody(|| {
        let db = open(&dir, &Options::default()).map_err(|err| err.to_string())?;
        db.put(b"key", b"value").map_err(|err| err.to_string())?;
        db.close().map_err(|err| err.to_string())?;
        let db = open(&dir, &Options::default()).map_err(|err| err.to_string())?;
        claim(db.exists(b"key").is_ok_and(|found| found), "lost")
    }));
}
