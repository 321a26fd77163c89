//! A scratch directory and forked children.

use bitcask::io::disk::{Disk, DiskDir};
use bitcask::io::env::{DirOptions, Env};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What one claim answers: `Err` says what was seen instead.
pub(crate) type Claim = Result<(), String>;

/// Makes a claim fail with a text where a panic must not happen, in a child.
pub(crate) fn claim(holds: bool, what: &str) -> Claim {
    if holds { Ok(()) } else { Err(what.to_string()) }
}

pub(crate) const OPTIONS: DirOptions = DirOptions { create: true, file_mode: 0o600 };

/// A directory of its own for each test, removed when the test ends.
pub(crate) struct Scratch {
    path: PathBuf,
    owner: u32,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let owner = std::process::id();
        let path = std::env::temp_dir().join(format!("bitcask-disk-{owner}-{number}"));
        std::fs::create_dir(&path).unwrap();
        Scratch { path, owner }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open(&self) -> DiskDir {
        Disk.open_dir(&self.path, OPTIONS).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A child process, reaped when asked and killed when dropped.
pub(crate) struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Forks; the child does `work` and exits. It is killed after 20 seconds: a call that blocks fails the test.
    pub(crate) fn fork(work: impl FnOnce() -> Claim) -> Self {
        // SAFETY: the child runs `work` and leaves by `_exit`, never through the test harness.
        match unsafe { libc::fork() } {
            -1 => panic!("{}", std::io::Error::last_os_error()),
            0 => run(work),
            pid => Child { pid },
        }
    }

    /// A child made past the C library, as another runtime might: no fork handlers run in it.
    pub(crate) fn bare_clone(work: impl FnOnce() -> Claim) -> Self {
        // SAFETY: as `fork`, with a copied address space; `work` must not wait for locks of other threads.
        match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
            -1 => panic!("{}", std::io::Error::last_os_error()),
            0 => run(work),
            pid => Child { pid: libc::pid_t::try_from(pid).unwrap() },
        }
    }

    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Waits for the end and answers whether the claim held.
    pub(crate) fn succeeded(self) -> bool {
        self.reap() == 0
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn reap(&self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: `status` is room for the answer.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == -1 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}");
        }
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: no pointers; a reaped child's number is not yet another's, or the call finds nothing.
        unsafe {
            let mut status = 0;
            if libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) == 0 {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, &raw mut status, 0);
            }
        }
    }
}

fn run(work: impl FnOnce() -> Claim) -> ! {
    // SAFETY: no pointers.
    unsafe { libc::alarm(20) };
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let code = match answer {
        Ok(Ok(())) => 0,
        Ok(Err(text)) => {
            let text = format!("in the child: {text}\n");
            // SAFETY: the text is live and that long.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            1
        }
        Err(_) => 2,
    };
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(code) }
}

/// Waits until killed.
pub(crate) fn sleep_forever() -> Claim {
    loop {
        // SAFETY: no pointers.
        unsafe { libc::pause() };
    }
}

/// The numbers of this process's descriptors that lead to `path`.
pub(crate) fn descriptors_of(path: &Path) -> Vec<libc::c_int> {
    let own = std::fs::read_dir("/proc/self/fd").unwrap();
    own.filter_map(|entry| {
        let entry = entry.ok()?;
        let leads_there = std::fs::read_link(entry.path()).ok()? == path;
        if leads_there { entry.file_name().to_str()?.parse().ok() } else { None }
    })
    .collect()
}
