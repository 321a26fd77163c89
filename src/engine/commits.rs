//! How far the log is durable, and whose turn it is to sync.
//!
//! Group commit after the fashion of database logs: whoever finds no sync under way leads one, and it covers all
//! that was appended before it began; the others wait for it. There is no hop to another thread.

use crate::error::Result;
use crate::sync::{Condvar, Mutex};

/// See the file's head. Positions are bytes appended since open.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    durable: u64,
    leading: bool,
}

/// Ends the leader's turn, also when it unwinds.
struct Turn<'a>(&'a Commits);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().leading = false;
        self.0.changed.notify_all();
    }
}

impl Commits {
    /// How far the log is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.state.lock().durable
    }

    /// Returns when the log is durable up to `target`. The one whose turn it is calls `sync` with the position that
    /// is durable already, and it answers the one that is then; nobody waits on when `check` fails.
    pub(crate) fn reach(
        &self,
        target: u64,
        check: impl Fn() -> Result<()>,
        sync: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.durable >= target {
                return Ok(());
            }
            check()?;
            if !state.leading {
                break;
            }
            self.changed.wait(&mut state);
        }
        state.leading = true;
        let already = state.durable;
        drop(state);
        let turn = Turn(self);
        let durable = sync(already)?;
        self.state.lock().durable = durable.max(already);
        drop(turn);
        Ok(())
    }
}
