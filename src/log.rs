//! The log: what the library tells of itself besides the answers of its calls.
//!
//! Invariants. A message that nobody wants costs one relaxed load and is never formatted. No lock of this file is held
//! while a listener runs, so threads do not wait for each other's listeners. A listener is dropped once, and no thread
//! is in it then. In a child of `fork` nothing of the parent's log is touched, since another thread may have held its
//! lock: each process has a `Hub` of its own.
//!
//! What is worth telling, and at which level, is the business of those who call.

use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicU8, Condvar, Mutex, Ordering};
use once_cell::race::OnceBox;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::fmt::{self, Write};

/// The longest message in bytes; what does not fit is cut off.
const MAX_MESSAGE_LEN: usize = 8192;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed for good, or keeps failing.
    Error = 1,
    /// Something is not as it should be, and the store goes on.
    Warn,
    /// What happens now and then in a store's life: open, close, merge.
    Info,
    /// What happens behind the writer's back.
    Debug,
}

/// Hears messages of the level it asked for or more severe ones, on whichever thread they come up, maybe on several
/// at once.
pub type Listener = Box<dyn Fn(Level, &CStr) + Send + Sync>;

/// Tells the process that asks from those it was forked from. The ground does not know the operating system, so
/// whoever switches the log on brings this along.
pub type ProcessToken = fn() -> u64;

static LOG: Log = Log::new();

thread_local! {
    /// Whether this thread is in a listener, or in the end of one.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether anybody wants messages of `level`.
#[inline]
pub fn wants(level: Level) -> bool {
    LOG.wants(level)
}

/// Something failed for good, or keeps failing.
pub fn error(message: fmt::Arguments<'_>) {
    LOG.tell(Level::Error, message);
}

/// Something is not as it should be, and the store goes on.
pub fn warn(message: fmt::Arguments<'_>) {
    LOG.tell(Level::Warn, message);
}

/// Something that happens now and then in a store's life.
pub fn info(message: fmt::Arguments<'_>) {
    LOG.tell(Level::Info, message);
}

/// Something that happens behind the writer's back.
pub fn debug(message: fmt::Arguments<'_>) {
    LOG.tell(Level::Debug, message);
}

/// Puts a listener in the place of the one before it, or none. Returns when the one before it was dropped; waits for
/// the threads that are in it.
///
/// # Errors
/// `Invalid` on a thread that is in a listener, which would wait for itself. Then `make` was not called.
pub fn listen(
    process: ProcessToken,
    level: Option<Level>,
    make: impl FnOnce() -> Option<Listener>,
) -> Result<()> {
    LOG.listen(process, level, make)
}

/// Keeps the newest `capacity` messages of `level` or more severe ones until they are taken; `None` or 0 keeps none and
/// forgets those that were kept.
pub fn keep(process: ProcessToken, level: Option<Level>, capacity: usize) {
    LOG.keep(process, level, capacity);
}

/// Hands the oldest message kept to `take`; `None` if there is none. Where messages had to make room, the first that is
/// handed out, a warning, says how many. A message that `take` fails on stays.
///
/// # Errors
/// What `take` met.
pub fn next<R>(take: impl FnOnce(Level, &str) -> Result<R>) -> Result<Option<R>> {
    LOG.next(take)
}

/// A log. Other than in tests there is one.
struct Log {
    /// The least severe level that anybody wants, 0 for none. After a fork it is the parent's until the child switches
    /// something on.
    level: AtomicU8,
    first: OnceBox<Hub>,
}

impl Log {
    const fn new() -> Self {
        Log { level: AtomicU8::new(0), first: OnceBox::new() }
    }

    #[inline]
    fn wants(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    #[inline]
    fn tell(&self, level: Level, message: fmt::Arguments<'_>) {
        if self.wants(level) {
            self.tell_wanted(level, message);
        }
    }

    #[cold]
    fn tell_wanted(&self, level: Level, message: fmt::Arguments<'_>) {
        if INSIDE.get() {
            return;
        }
        let Some(hub) = self.hub() else {
            return;
        };
        let Some(line) = Line::of(message) else {
            return;
        };
        let mut state = hub.state.lock();
        state.kept.push(level, line.text());
        let sink = state.sink.as_ref().filter(|sink| Some(level) <= sink.level).cloned();
        drop(state);
        if let Some(sink) = sink {
            let visit = Visit { hub, sink: Some(sink), _inside: Inside::enter() };
            if let (Some(sink), Some(text)) = (&visit.sink, line.c_text()) {
                (sink.listener)(level, text);
            }
        }
    }

    fn listen(
        &self,
        process: ProcessToken,
        level: Option<Level>,
        make: impl FnOnce() -> Option<Listener>,
    ) -> Result<()> {
        if INSIDE.get() {
            let what = "the log callback cannot be replaced from inside of a log callback";
            return Err(Error::Invalid(what.to_string()));
        }
        let hub = self.own_hub(process);
        let sink = make().map(|listener| Arc::new(Sink { level, listener }));
        let mut state = hub.state.lock();
        let before = std::mem::replace(&mut state.sink, sink);
        self.follow(&state);
        // Visitors come and go under the lock, so the count is what it is.
        while before.as_ref().is_some_and(|before| Arc::strong_count(before) > 1) {
            hub.left.wait(&mut state);
        }
        drop(state);
        let _inside = Inside::enter();
        drop(before);
        Ok(())
    }

    fn keep(&self, process: ProcessToken, level: Option<Level>, capacity: usize) {
        let mut state = self.own_hub(process).state.lock();
        state.kept.set(level, capacity);
        self.follow(&state);
    }

    fn next<R>(&self, take: impl FnOnce(Level, &str) -> Result<R>) -> Result<Option<R>> {
        match self.hub() {
            Some(hub) => hub.state.lock().kept.next(take),
            None => Ok(None),
        }
    }

    /// Sets the level that is wanted. Called under the lock of the hub, so that the last to change it has the last
    /// word.
    fn follow(&self, state: &State) {
        let level = state.sink.as_ref().and_then(|sink| sink.level).max(state.kept.level);
        self.level.store(level.map_or(0, |level| level as u8), Ordering::Relaxed);
    }

    /// This process's hub, if it switched anything on.
    fn hub(&self) -> Option<&Hub> {
        let mut hub = self.first.get()?;
        while !hub.is_own() {
            hub = hub.of_child.get()?;
        }
        Some(hub)
    }

    /// This process's hub, made if there is none.
    fn own_hub(&self, process: ProcessToken) -> &Hub {
        let mut place = &self.first;
        loop {
            // Never waits: a fork may have come in the middle of another thread's attempt.
            let hub = place.get_or_init(|| Box::new(Hub::new(process)));
            if hub.is_own() {
                return hub;
            }
            place = &hub.of_child;
        }
    }
}

/// A process's log.
struct Hub {
    process: ProcessToken,
    token: u64,
    state: Mutex<State>,
    /// Rung when a thread has left a listener.
    left: Condvar,
    /// The hub of the child of a fork, in that child.
    of_child: OnceBox<Hub>,
}

#[derive(Default)]
struct State {
    sink: Option<Arc<Sink>>,
    kept: Kept,
}

struct Sink {
    level: Option<Level>,
    listener: Listener,
}

impl Hub {
    fn new(process: ProcessToken) -> Self {
        Hub {
            process,
            token: process(),
            state: Mutex::default(),
            left: Condvar::new(),
            of_child: OnceBox::new(),
        }
    }

    fn is_own(&self) -> bool {
        (self.process)() == self.token
    }
}

/// Marks the thread as being inside of a listener.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(true);
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// A thread's stay in a listener.
struct Visit<'a> {
    hub: &'a Hub,
    sink: Option<Arc<Sink>>,
    _inside: Inside,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.hub.is_own() {
            // The listener forked and this is the child: the lock may be held by a thread that it does not have.
            std::mem::forget(self.sink.take());
            return;
        }
        let state = self.hub.state.lock();
        self.sink = None;
        drop(state);
        self.hub.left.notify_all();
    }
}

/// Messages that wait to be taken.
#[derive(Default)]
struct Kept {
    level: Option<Level>,
    capacity: usize,
    messages: VecDeque<(Level, String)>,
    /// Messages that are gone: those that made room, which were older than any that wait, and those that there was no
    /// memory for.
    dropped: u64,
}

impl Kept {
    fn set(&mut self, level: Option<Level>, capacity: usize) {
        if level.is_none() || capacity == 0 {
            *self = Kept::default();
            return;
        }
        (self.level, self.capacity) = (level, capacity);
        self.make_room(0);
        self.messages.shrink_to(capacity);
    }

    fn push(&mut self, level: Level, text: &str) {
        if Some(level) > self.level {
            return;
        }
        self.make_room(1);
        let mut copy = String::new();
        if self.messages.try_reserve(1).is_ok() && copy.try_reserve_exact(text.len()).is_ok() {
            copy.push_str(text);
            self.messages.push_back((level, copy));
        } else {
            self.dropped += 1;
        }
    }

    fn make_room(&mut self, room: usize) {
        let excess = (self.messages.len() + room).saturating_sub(self.capacity);
        self.dropped += excess as u64;
        self.messages.drain(..excess);
    }

    fn next<R>(&mut self, take: impl FnOnce(Level, &str) -> Result<R>) -> Result<Option<R>> {
        if self.dropped > 0 {
            let (count, were) =
                (self.dropped, if self.dropped == 1 { "message was" } else { "messages were" });
            let text = format!("{count} {were} dropped, because newer ones came before anybody took them");
            let taken = take(Level::Warn, &text)?;
            self.dropped = 0;
            return Ok(Some(taken));
        }
        let Some((level, text)) = self.messages.front() else {
            return Ok(None);
        };
        let taken = take(*level, text)?;
        self.messages.pop_front();
        Ok(Some(taken))
    }
}

/// A message in the making: one line, of limited length, with a NUL at its end.
#[derive(Default)]
struct Line {
    text: String,
    /// Something was cut off, so that nothing may follow.
    full: bool,
}

impl Line {
    /// `None` when there is no memory for it.
    fn of(message: fmt::Arguments<'_>) -> Option<Self> {
        let mut line = Line::default();
        line.write_fmt(message).ok()?;
        line.text.try_reserve(1).ok()?;
        line.text.push('\0');
        Some(line)
    }

    fn text(&self) -> &str {
        self.text.trim_end_matches('\0')
    }

    fn c_text(&self) -> Option<&CStr> {
        CStr::from_bytes_with_nul(self.text.as_bytes()).ok()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            // A path may hold anything, and must neither end the line nor steer a terminal.
            let c = if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '?' } else { c };
            self.full |= self.text.len() + c.len_utf8() > MAX_MESSAGE_LEN;
            if self.full {
                break;
            }
            self.text.try_reserve(c.len_utf8()).map_err(|_| fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
