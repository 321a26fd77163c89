//! A directory that somebody else has filled.

use crate::skipped::skipped;
use crate::support::{Child, Claim, OPTIONS, Scratch, claim};
use bitcask::io::disk::{Disk, DiskDir};
use bitcask::io::env::{Dir, Env, File};
use std::ffi::CString;
use std::io::ErrorKind::{AlreadyExists, InvalidInput};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn is_refused(dir: &DiskDir, name: &str, kind: &str) -> Claim {
    for write in [false, true] {
        match dir.open(name, write) {
            Ok(_) => return Err(format!("{kind} was opened, write {write}")),
            Err(error) => {
                claim(error.kind() == InvalidInput, &format!("{error:?}, write {write}"))?;
                claim(error.to_string().contains(kind), &error.to_string())?;
            }
        }
    }
    claim(dir.create(name).unwrap_err().kind() == AlreadyExists, "create took its place")
}

#[test]
fn names_that_are_no_plain_file_names_are_refused_by_every_call() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("plain").unwrap();
    for name in ["", ".", "..", "a/b", "/etc/passwd", "../plain", "plain/", "pla\0in"] {
        let refusals = [
            dir.open(name, false).err(),
            dir.create(name).err(),
            dir.rename(name, "other").err(),
            dir.rename("plain", name).err(),
            dir.remove(name).err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.map(|error| error.kind()), Some(InvalidInput), "{name:?}");
        }
    }
    assert_eq!(dir.names().unwrap(), ["plain"]);
}

#[test]
fn a_symbolic_link_is_refused_also_when_it_leads_to_a_regular_file() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("target").unwrap();
    symlink("target", scratch.path().join("link")).unwrap();
    is_refused(&dir, "link", "symbolic link").unwrap();
}

#[test]
fn a_dangling_link_does_not_make_create_create_its_target() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    symlink("absent", scratch.path().join("link")).unwrap();
    is_refused(&dir, "link", "symbolic link").unwrap();
    assert!(!scratch.path().join("absent").exists());
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_other_end() {
    let scratch = Scratch::new();
    let dir = scratch.path().to_path_buf();
    let name = CString::new(dir.join("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // In a child, whose alarm ends a call that waits.
    let opens = Child::fork(|| is_refused(&Disk.open_dir(&dir, OPTIONS).unwrap(), "pipe", "pipe"));
    assert!(opens.succeeded());
}

#[test]
fn a_directory_is_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("directory")).unwrap();
    is_refused(&scratch.open(), "directory", "directory").unwrap();
}

#[test]
fn a_socket_is_refused() {
    let scratch = Scratch::new();
    let _listener = std::os::unix::net::UnixListener::bind(scratch.path().join("socket")).unwrap();
    is_refused(&scratch.open(), "socket", "socket").unwrap();
}

#[test]
fn a_device_is_refused() {
    let scratch = Scratch::new();
    let name = CString::new(scratch.path().join("null").as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is NUL-terminated.
    if unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 3)) } != 0 {
        skipped(&format!("no right to make a device node ({})", std::io::Error::last_os_error()));
        return;
    }
    is_refused(&scratch.open(), "null", "device").unwrap();
}

#[test]
fn a_regular_file_is_opened_all_the_same() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("file").unwrap();
    assert_eq!(dir.open("file", false).unwrap().len().unwrap(), 0);
}
