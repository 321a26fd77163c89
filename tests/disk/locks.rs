//! One writer has a directory, and what is said to a second.

use crate::support::{Child, OPTIONS, Scratch, claim, sleep_forever};
use bitcask::io::disk::Disk;
use bitcask::io::env::{Dir, Env};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

#[test]
fn two_writers_of_one_process_conflict_and_the_message_says_so() {
    let scratch = Scratch::new();
    let (first, second) = (scratch.open(), scratch.open());
    assert!(first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    assert_eq!(second.lock_holder(), "this process has it open already");
}

#[test]
fn unlocking_and_dropping_each_let_the_next_one_in() {
    let scratch = Scratch::new();
    let (first, second) = (scratch.open(), scratch.open());
    assert!(first.try_lock().unwrap());
    first.unlock().unwrap();
    assert!(second.try_lock().unwrap());
    drop(second);
    assert!(first.try_lock().unwrap());
}

#[test]
fn a_writer_of_another_process_conflicts_and_is_named() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let dir = scratch.open();
    assert!(dir.try_lock().unwrap());
    let parent = std::process::id();
    let child = Child::fork(|| {
        let dir = Disk.open_dir(path, OPTIONS).unwrap();
        claim(!dir.try_lock().unwrap(), "both hold the lock")?;
        let holder = dir.lock_holder();
        claim(holder.starts_with(&format!("process {parent} (")), &holder)
    });
    assert!(child.succeeded());
}

#[test]
fn the_lock_of_a_killed_owner_is_free_though_its_child_lives() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let owner = Child::fork(|| {
        let dir = Disk.open_dir(path, OPTIONS).unwrap();
        claim(dir.try_lock().unwrap(), "not locked")?;
        // The child reports itself: only then has its `fork` returned and its copy been closed.
        let _child = Child::fork(|| {
            writer.write_all(&std::process::id().to_ne_bytes()).unwrap();
            sleep_forever()
        });
        sleep_forever()
    });
    let mut pid = [0; 4];
    reader.read_exact(&mut pid).unwrap();
    let dir = scratch.open();
    assert!(!dir.try_lock().unwrap(), "the owner lives");
    owner.kill();
    assert!(dir.try_lock().unwrap(), "{}", dir.lock_holder());
    // SAFETY: no pointers; the orphan was started by this test and lives until this.
    assert_eq!(unsafe { libc::kill(libc::pid_t::from_ne_bytes(pid), libc::SIGKILL) }, 0);
}

#[test]
fn a_dead_owners_lock_in_a_living_child_is_told_as_such() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let owner = Child::fork(|| {
        // A plain descriptor, which no fork handler closes in the child.
        let dir = std::fs::File::open(path).unwrap();
        // SAFETY: no pointers.
        claim(unsafe { libc::flock(dir.as_raw_fd(), libc::LOCK_EX) } == 0, "not locked")?;
        let child = Child::fork(sleep_forever);
        writer.write_all(&child.pid().to_ne_bytes()).unwrap();
        std::mem::forget(child);
        Ok(())
    });
    let (owner_pid, mut pid) = (owner.pid(), [0; 4]);
    reader.read_exact(&mut pid).unwrap();
    // Not reaped yet, so that a process that has only ended is not taken for a living one.
    while !std::fs::read_to_string(format!("/proc/{owner_pid}/stat")).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    let dir = scratch.open();
    let (unreaped_locked, unreaped) = (dir.try_lock().unwrap(), dir.lock_holder());
    let ended_well = owner.succeeded();
    let (reaped_locked, reaped) = (dir.try_lock().unwrap(), dir.lock_holder());
    // SAFETY: no pointers; the orphan was started by this test and lives until this.
    assert_eq!(unsafe { libc::kill(libc::pid_t::from_ne_bytes(pid), libc::SIGKILL) }, 0);
    assert!(ended_well && !unreaped_locked && !reaped_locked);
    let expected = format!(
        "process {owner_pid} that took the lock is gone; a living child that inherited its descriptor may hold it"
    );
    assert_eq!(unreaped, expected);
    assert_eq!(reaped, expected);
}

#[test]
fn the_owners_close_frees_the_lock_though_a_bare_clone_keeps_the_descriptor() {
    let scratch = Scratch::new();
    for close in [true, false] {
        let dir = scratch.open();
        assert!(dir.try_lock().unwrap());
        let clone = Child::bare_clone(sleep_forever);
        if close {
            dir.unlock().unwrap();
        }
        drop(dir);
        let next = scratch.open();
        assert!(next.try_lock().unwrap(), "{}", next.lock_holder());
        clone.kill();
    }
}

#[test]
fn a_child_that_unlocks_and_drops_leaves_the_parents_lock_alone() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    assert!(dir.try_lock().unwrap());
    let copy = &raw const dir;
    let release = || {
        // SAFETY: this address space is the child's own copy, left by `_exit`: nothing is dropped twice.
        let dir = unsafe { copy.read() };
        dir.unlock().unwrap();
        drop(dir);
        Ok(())
    };
    assert!(Child::fork(release).succeeded());
    assert!(Child::bare_clone(release).succeeded());
    assert!(!scratch.open().try_lock().unwrap());
}
