//! The library's own threads.
//!
//! They live in somebody else's process and must not take part in its affairs: signals meant for the process
//! are blocked in them from the first instruction, so that its handlers run on its own threads only.
#![expect(unsafe_code, reason = "signal masks are filled through pointers")]

use super::fork;
use crate::io::env::Thread;
use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Enough for the deepest job in a build without optimisation; the kernel backs only what is touched.
const STACK_BYTES: usize = 512 << 10;

/// Signals that the thread's own instructions raise. Blocked, they would kill the process without its handler
/// (a crash reporter, say) having run.
const RAISED_BY_THE_THREAD: [libc::c_int; 7] =
    [libc::SIGBUS, libc::SIGSEGV, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];

/// A thread of the process that started it.
pub(super) struct DiskThread {
    handle: JoinHandle<()>,
    owner: u64,
}

impl Thread for DiskThread {
    fn join(self: Box<Self>) {
        if self.owner != fork::process_token() {
            // In a child there is no such thread: waiting for it would never end.
            return self.forget();
        }
        // A panic in the job has been reported by the job; here only its end matters.
        let _ = self.handle.join();
    }

    fn forget(self: Box<Self>) {
        // Dropping the handle would detach a thread that this process does not have.
        std::mem::forget(self.handle);
    }
}

/// Starts `work` on a thread of its own.
pub(super) fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<DiskThread> {
    let builder = Builder::new().name(name.replace('\0', "")).stack_size(STACK_BYTES);
    let mask = SignalMask::block_all()?;
    // A new thread inherits the mask of its maker, so there is no moment at which a signal could get in.
    let handle = builder.spawn(work);
    drop(mask);
    Ok(DiskThread { handle: handle?, owner: fork::process_token() })
}

/// All signals that come from outside, blocked in this thread until dropped.
struct SignalMask {
    before: libc::sigset_t,
}

impl SignalMask {
    fn block_all() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigfillset` fills `all`, which the other calls then read; `before` is room for the old
        // mask, filled when the call answers 0. None of them keeps a pointer.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for signal in RAISED_BY_THE_THREAD {
                libc::sigdelset(all.as_mut_ptr(), signal);
            }
            match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
                0 => Ok(SignalMask { before: before.assume_init() }),
                code => Err(io::Error::from_raw_os_error(code)),
            }
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that the kernel gave out; nothing is asked back.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}
