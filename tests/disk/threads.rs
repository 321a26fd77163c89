//! Threads, clock and randomness.

use crate::support::Child;
use bitcask::io::disk::Disk;
use bitcask::io::env::Env;
use std::mem::MaybeUninit;
use std::sync::mpsc;
use std::time::Duration;

/// Which of `signals` this thread blocks.
fn blocked(signals: &[libc::c_int]) -> Vec<libc::c_int> {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `mask` is room for the answer, which the call fills.
    unsafe {
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr()), 0);
        signals.iter().copied().filter(|&signal| libc::sigismember(mask.as_ptr(), signal) == 1).collect()
    }
}

#[test]
fn a_thread_takes_no_signal_meant_for_the_process() {
    const FROM_OUTSIDE: [libc::c_int; 6] =
        [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD, libc::SIGALRM];
    const ITS_OWN: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    let before = blocked(&FROM_OUTSIDE);
    let (sender, receiver) = mpsc::channel();
    let work = Box::new(move || sender.send((blocked(&FROM_OUTSIDE), blocked(&ITS_OWN))).unwrap());
    let thread = Disk.spawn("bitcask-test", work).unwrap().expect("the disk has threads");
    let (from_outside, its_own) = receiver.recv().unwrap();
    thread.join();
    assert_eq!(from_outside, FROM_OUTSIDE);
    assert_eq!(its_own, [0; 0]);
    assert_eq!(blocked(&FROM_OUTSIDE), before, "the caller's mask is as it was");
}

#[test]
fn a_forgotten_thread_runs_on() {
    let (go, wait) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let work = Box::new(move || {
        wait.recv().unwrap();
        sender.send(7).unwrap();
    });
    Disk.spawn("bitcask-test", work).unwrap().expect("the disk has threads").forget();
    go.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(7));
}

#[test]
fn joining_the_parents_thread_in_a_child_does_not_wait() {
    let (go, wait) = mpsc::channel::<()>();
    let work = Box::new(move || wait.recv().unwrap_or_default());
    let thread = Disk.spawn("bitcask-test", work).unwrap().expect("the disk has threads");
    let child = Child::fork(move || {
        thread.join();
        Ok(())
    });
    drop(go);
    assert!(child.succeeded());
}

#[test]
fn a_name_with_a_nul_byte_is_no_panic() {
    Disk.spawn("a\0b", Box::new(|| ())).unwrap().expect("the disk has threads").join();
}

#[test]
fn randomness_fills_every_part_of_a_large_buffer_and_differs() {
    let (mut first, mut second) = (vec![0; 100_000], vec![0; 100_000]);
    Disk.fill_random(&mut first).unwrap();
    Disk.fill_random(&mut second).unwrap();
    assert!(first.chunks(32).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    assert_ne!(first, second);
    Disk.fill_random(&mut []).unwrap();
}

#[test]
fn the_clock_counts_nanoseconds_since_1970() {
    let years = Disk.now_ns() / (365 * 86_400 * 1_000_000_000);
    assert!((50..500).contains(&years), "{years}");
}

#[test]
fn parallelism_is_between_one_and_eight() {
    assert!((1..=8).contains(&Disk.parallelism()));
}
