//! Limits of the machine: file size, space, descriptors.

use crate::support::{Child, Claim, OPTIONS, Scratch, claim};
use bitcask::io::disk::Disk;
use bitcask::io::env::{Dir, Env, File};
use std::ffi::CString;
use std::io::{self, IoSlice};
use std::os::unix::ffi::OsStrExt;

fn set_limit(resource: libc::__rlimit_resource_t, value: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` lives through the call; the limit is the child's own.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

#[test]
fn a_file_size_limit_is_a_short_write_and_then_efbig() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let child = Child::fork(|| {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        set_limit(libc::RLIMIT_FSIZE, 4096);
        let file = Disk.open_dir(path, OPTIONS).unwrap().create("file").unwrap();
        let bytes = [7; 3000];
        let parts = [IoSlice::new(&bytes), IoSlice::new(&bytes)];
        claim(file.write_at(&parts, 0).ok() == Some(4096), "the write was not short")?;
        let error = file.write_at(&parts[..1], 4096).unwrap_err();
        claim(error.raw_os_error() == Some(libc::EFBIG), &error.to_string())?;
        claim(file.len().unwrap() == 4096, "the file grew past its limit")
    });
    assert!(child.succeeded());
}

#[test]
fn too_many_open_files_is_told_as_such() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("file").unwrap();
    let path = scratch.path();
    let child = Child::fork(|| {
        let dir = Disk.open_dir(path, OPTIONS).unwrap();
        // SAFETY: duplicating a standard descriptor answers the lowest free number.
        let free = unsafe { libc::dup(2) };
        set_limit(libc::RLIMIT_NOFILE, libc::rlim_t::try_from(free).unwrap());
        for error in [dir.open("file", false).unwrap_err(), dir.create("new").unwrap_err()] {
            claim(error.raw_os_error() == Some(libc::EMFILE), &error.to_string())?;
        }
        claim(dir.names().is_err(), "a listing needs a descriptor")
    });
    assert!(child.succeeded());
}

/// Mounts a small file system that vanishes with the calling process.
fn mount_small(path: &std::path::Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let ok = |answer: libc::c_int| if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let none = c"none".as_ptr();
    // SAFETY: all strings are NUL-terminated and live through the calls, which concern this child's own view.
    unsafe {
        ok(libc::unshare(libc::CLONE_NEWNS))?;
        ok(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()))?;
        ok(libc::mount(none, path.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=64k".as_ptr().cast()))
    }
}

fn fill_and_go_on(path: &std::path::Path) -> Claim {
    let dir = Disk.open_dir(path, OPTIONS).unwrap();
    let (first, file) = (dir.create("first").unwrap(), dir.create("file").unwrap());
    first.write_at(&[IoSlice::new(b"kept")], 0).unwrap();
    let mut written = 0;
    let error = loop {
        match file.write_at(&[IoSlice::new(&[7; 10_000])], written) {
            Ok(count) => written += count as u64,
            Err(error) => break error,
        }
    };
    claim(error.raw_os_error() == Some(libc::ENOSPC), &error.to_string())?;
    claim(written <= 64 << 10 && file.len().unwrap() == written, "more was written than there is room")?;
    let mut back = [0; 4];
    first.read_at(&mut back, 0).unwrap();
    claim(&back == b"kept", "an earlier file changed")?;
    file.truncate(0).unwrap();
    claim(file.write_at(&[IoSlice::new(b"again")], 0).ok() == Some(5), "space came back, writes did not")
}

#[test]
fn a_full_disk_is_enospc_and_writing_goes_on_when_space_returns() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let child = Child::fork(|| match mount_small(path) {
        Ok(()) => fill_and_go_on(path),
        Err(error) => {
            let text = format!("skipped: a small disk cannot be mounted here ({error})\n");
            // SAFETY: the text is live and that long.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            Ok(())
        }
    });
    assert!(child.succeeded());
}
