//! Real threads for a simulated machine, for tests of what goes on while something hangs.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::io::env::Thread;

struct SimThread(JoinHandle<()>);

pub(super) fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Thread>> {
    Ok(Box::new(SimThread(Builder::new().name(name.into()).spawn(work)?)))
}

impl Thread for SimThread {
    fn join(self: Box<Self>) {
        if let Err(panic) = self.0.join() {
            // A background thread's failed assertion must fail the test that waits for it.
            std::panic::resume_unwind(panic);
        }
    }

    fn forget(self: Box<Self>) {
        std::mem::forget(self);
    }
}
