//! The open feeds: what they have yet to read, which merges leave alone, and those that wait for a write.
//!
//! A write has one question, under the write mutex: whether anybody waits. Whoever waits says so before it looks at the
//! log's end under that mutex for the last time, so either it sees the write or the write sees it.

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering};
use std::collections::HashMap;
use std::time::Instant;

/// See the file's head.
#[derive(Default)]
pub(crate) struct Feeds {
    /// How many wait.
    waiting: AtomicUsize,
    /// For each feed the uids of the segments that it is sure to have to read, in no order that matters; `None` before
    /// that is known.
    unread: Mutex<HashMap<u64, Option<Vec<u64>>>>,
    /// Held by those who wait until they do.
    asleep: Mutex<()>,
    changed: Condvar,
}

/// Ends the wait of one that waits, also when it unwinds.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Feeds {
    /// Enters a feed for which every segment counts as unread, and answers its number.
    pub(crate) fn enter(&self) -> u64 {
        let mut unread = self.unread.lock();
        let id = unread.keys().max().map_or(0, |id| id + 1);
        unread.insert(id, None);
        id
    }

    /// Says what a feed has yet to read; whatever is newer than the oldest of it as well.
    pub(crate) fn set_unread(&self, id: u64, uids: Vec<u64>) {
        self.unread.lock().insert(id, Some(uids));
    }

    /// Takes a feed out.
    pub(crate) fn leave(&self, id: u64) {
        self.unread.lock().remove(&id);
    }

    /// Of segments in their order, the first from which on some feed has not read them.
    pub(crate) fn first_unread(&self, mut uids: impl Iterator<Item = u64>) -> Option<usize> {
        let unread = self.unread.lock();
        uids.position(|uid| {
            let is_unread = |unread: &Option<Vec<u64>>| unread.as_ref().is_none_or(|its| its.contains(&uid));
            unread.values().any(is_unread)
        })
    }

    /// How many feeds are open.
    pub(crate) fn count(&self) -> usize {
        self.unread.lock().len()
    }

    /// Whether [`Feeds::wake`] is to be called. Asked under the write mutex, after the write.
    #[inline]
    pub(crate) fn are_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Has all that wait look again. Called without the write mutex.
    #[cold]
    pub(crate) fn wake(&self) {
        drop(self.asleep.lock());
        self.changed.notify_all();
    }

    /// Waits until `has_come`, which takes the write mutex, or until the time has come; `None` waits for ever. Answers
    /// whether it has.
    pub(crate) fn wait(&self, until: Option<Instant>, mut has_come: impl FnMut() -> bool) -> bool {
        let mut asleep = self.asleep.lock();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        loop {
            if has_come() {
                return true;
            }
            match until {
                None => self.changed.wait(&mut asleep),
                Some(until) => {
                    if self.changed.wait_until(&mut asleep, until).timed_out() {
                        return has_come();
                    }
                }
            }
        }
    }
}
