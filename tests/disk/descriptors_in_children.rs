//! What a forked child has of its parent's handles, and what it may do.

use crate::support::{Child, OPTIONS, Scratch, claim, descriptors_of};
use bitcask::io::disk::Disk;
use bitcask::io::env::{Dir, Env};

#[test]
fn the_token_differs_in_child_and_grandchild_and_stays_after_an_open() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let own = Disk.process_token();
    let child = Child::fork(|| {
        let child_token = Disk.process_token();
        claim(child_token != own && child_token != 0, "the child has the parent's token")?;
        let grandchild = Child::fork(|| {
            let token = Disk.process_token();
            claim(token != own && token != child_token && token != 0, "the grandchild's is not its own")?;
            let dir = Disk.open_dir(path, OPTIONS).unwrap();
            claim(dir.names().is_ok() && Disk.process_token() == token, "its own store is not usable")
        });
        claim(grandchild.succeeded(), "the grandchild failed")?;
        claim(Disk.process_token() == child_token, "the token changed under the child")
    });
    assert!(child.succeeded());
    assert_eq!(Disk.process_token(), own);
}

#[test]
fn the_token_differs_in_a_child_made_past_the_c_library() {
    let own = Disk.process_token();
    let child = Child::bare_clone(|| if Disk.process_token() == own { Err(String::new()) } else { Ok(()) });
    assert!(child.succeeded());
}

#[test]
fn directories_are_closed_in_the_child_and_only_there() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let dirs: Vec<_> = (0..100).map(|_| scratch.open()).collect();
    assert_eq!(descriptors_of(path).len(), 100);
    let child = Child::fork(|| {
        claim(descriptors_of(path).is_empty(), "inherited")?;
        let _own = Disk.open_dir(path, OPTIONS).unwrap();
        let grandchild =
            Child::fork(|| claim(descriptors_of(path).is_empty(), "inherited by the grandchild"));
        claim(grandchild.succeeded(), "the grandchild failed")?;
        claim(descriptors_of(path).len() == 1, "the child lost its own")
    });
    assert!(child.succeeded());
    assert_eq!(descriptors_of(path).len(), 100);
    drop(dirs);
    assert!(descriptors_of(path).is_empty());
}

#[test]
fn dropping_the_parents_directory_in_the_child_leaves_a_reused_number_open() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    let number = descriptors_of(scratch.path())[0];
    let child = Child::fork(move || {
        // SAFETY: numbers only; the descriptor at `number` is the child's own from here on.
        unsafe { claim(libc::dup2(2, number) == number, "the number was not free") }?;
        drop(dir);
        // SAFETY: numbers only.
        claim(unsafe { libc::fcntl(number, libc::F_GETFD) } != -1, "somebody else's descriptor was closed")
    });
    assert!(child.succeeded());
}

#[test]
fn the_parents_directory_answers_errors_in_the_child() {
    let scratch = Scratch::new();
    let dir = scratch.open();
    dir.create("file").unwrap();
    let child = Child::fork(|| {
        claim(dir.open("file", false).is_err(), "open")?;
        claim(dir.create("new").is_err(), "create")?;
        claim(dir.names().is_err(), "names")?;
        claim(dir.rename("file", "new").is_err(), "rename")?;
        claim(dir.remove("file").is_err(), "remove")?;
        claim(dir.sync().is_err(), "sync")?;
        claim(dir.try_lock().is_err(), "try_lock")?;
        claim(dir.lock_holder().contains("parent"), "lock_holder")
    });
    assert!(child.succeeded());
    assert_eq!(dir.names().unwrap(), ["file"]);
}
