//! How a background thread is woken, and told to stop.
//!
//! Ringing costs one atomic exchange while the thread is at work already, so a writer may ring with every put.

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};
use std::time::{Duration, Instant};

/// How a thread is told what to do.
#[derive(Default)]
pub(crate) struct Bell {
    /// Lets a writer see without a lock that it need not ring again.
    ringing: AtomicBool,
    state: Mutex<BellState>,
    rung: Condvar,
    stopped: Condvar,
}

#[derive(Default)]
struct BellState {
    work: bool,
    stop: bool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::AcqRel) {
            self.state.lock().work = true;
            self.rung.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_one();
        self.stopped.notify_all();
    }

    /// Whether the thread is to stop: for work that takes long.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stop
    }

    /// Waits for `time`, or until the thread is to stop, and answers whether it is.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.stop && !self.stopped.wait_until(&mut state, until).timed_out() {}
        state.stop
    }

    /// Waits for the bell, or for `limit`; `None` means stop, otherwise whether the bell was rung.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Option<bool> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if std::mem::take(&mut state.work) {
                self.ringing.store(false, Ordering::Release);
                return Some(true);
            }
            match until {
                None => self.rung.wait(&mut state),
                Some(until) => {
                    if self.rung.wait_until(&mut state, until).timed_out() && !state.work && !state.stop {
                        return Some(false);
                    }
                }
            }
        }
    }
}
