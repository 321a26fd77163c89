//! Logs of the tests' own: what a listener hears, what is kept, and what a fork leaves.

use super::*;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc;
use std::time::Duration;

const THREADS: usize = 4;

/// The tests' process.
fn here() -> u64 {
    1
}

type Heard = Arc<Mutex<Vec<(Level, String)>>>;

fn listener(heard: &Heard) -> Option<Listener> {
    let heard = heard.clone();
    Some(Box::new(move |level, text| heard.lock().push((level, text.to_str().unwrap().to_string()))))
}

fn taken(log: &Log) -> Vec<(Level, String)> {
    let next = || log.next(|level, text| Ok((level, text.to_string()))).unwrap();
    std::iter::from_fn(next).collect()
}

fn texts(log: &Log) -> Vec<String> {
    taken(log).into_iter().map(|(_, text)| text).collect()
}

/// Fails the test when it is formatted.
struct Unformatted;

impl fmt::Display for Unformatted {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it was formatted");
    }
}

/// Counts that it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_nobody_wants_is_not_formatted() {
    let log = Log::new();
    log.tell(Level::Error, format_args!("{Unformatted}"));
    log.listen(here, Some(Level::Warn), || listener(&Heard::default())).unwrap();
    log.tell(Level::Info, format_args!("{Unformatted}"));
    log.listen(here, None, || None).unwrap();
    log.tell(Level::Error, format_args!("{Unformatted}"));
}

#[test]
fn a_listener_hears_its_level_and_more_severe_ones() {
    let (log, heard) = (Log::new(), Heard::default());
    log.listen(here, Some(Level::Warn), || listener(&heard)).unwrap();
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        log.tell(level, format_args!("{level:?}"));
    }
    assert_eq!(*heard.lock(), [(Level::Warn, "Warn".into()), (Level::Error, "Error".into())]);
}

#[test]
fn a_listener_that_is_off_hears_nothing_of_what_is_kept() {
    let (log, heard) = (Log::new(), Heard::default());
    log.listen(here, None, || listener(&heard)).unwrap();
    log.keep(here, Some(Level::Debug), 1);
    log.tell(Level::Error, format_args!("kept"));
    assert_eq!(texts(&log), ["kept"]);
    assert!(heard.lock().is_empty());
}

#[test]
fn a_message_is_one_line_of_limited_length() {
    let log = Log::new();
    log.keep(here, Some(Level::Info), 4);
    log.tell(Level::Info, format_args!("a\nb\r\0c\u{2028}d\u{85}e\u{1b}[0m\u{e9}"));
    log.tell(Level::Info, format_args!("{}{}{}", "x".repeat(MAX_MESSAGE_LEN - 1), "\u{e9}", "y"));
    log.tell(Level::Info, format_args!("{}", "x".repeat(MAX_MESSAGE_LEN)));
    let texts = texts(&log);
    assert_eq!(texts[0], "a?b??c?d?e?[0m\u{e9}");
    assert_eq!(texts[1], "x".repeat(MAX_MESSAGE_LEN - 1));
    assert_eq!(texts[2].len(), MAX_MESSAGE_LEN);
}

#[test]
fn a_listener_is_dropped_once_when_it_is_replaced() {
    let (log, drops) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    for replaced in 0..3 {
        let counted = Counted(drops.clone());
        let make = move || -> Option<Listener> {
            Some(Box::new(move |_, _| {
                let _ = &counted;
            }))
        };
        log.listen(here, Some(Level::Info), make).unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), replaced);
    }
    log.listen(here, None, || None).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 3);
    log.listen(here, None, || None).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[test]
fn replacing_waits_for_the_threads_that_are_in_the_listener() {
    let (log, drops) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    let (entered, has_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let (counted, may_leave) = (Counted(drops.clone()), Mutex::new(may_leave));
    let make = move || -> Option<Listener> {
        Some(Box::new(move |_, _| {
            entered.send(()).unwrap();
            may_leave.lock().recv().unwrap();
            assert_eq!(counted.0.load(Ordering::SeqCst), 0);
        }))
    };
    log.listen(here, Some(Level::Info), make).unwrap();
    let replaced = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| log.tell(Level::Info, format_args!("in")));
        has_entered.recv().unwrap();
        scope.spawn(|| {
            log.listen(here, None, || None).unwrap();
            replaced.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!replaced.load(Ordering::SeqCst) && drops.load(Ordering::SeqCst) == 0);
        leave.send(()).unwrap();
    });
    assert!(replaced.load(Ordering::SeqCst));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn no_listener_hears_a_message_after_it_was_dropped() {
    struct Alive(Arc<AtomicBool>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let (log, stop, heard) = (Log::new(), AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    log.tell(Level::Info, format_args!("again"));
                }
            });
        }
        let mut rounds = 0;
        while rounds < 500 || heard.load(Ordering::Relaxed) < 500 {
            rounds += 1;
            let (alive, heard) = (Arc::new(AtomicBool::new(true)), heard.clone());
            let held = Alive(alive.clone());
            let make = move || -> Option<Listener> {
                Some(Box::new(move |_, _| {
                    let _ = &held;
                    assert!(alive.load(Ordering::SeqCst));
                    heard.fetch_add(1, Ordering::Relaxed);
                }))
            };
            log.listen(here, Some(Level::Info), make).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn inside_of_a_listener_nothing_is_told_and_no_listener_replaced() {
    static INNER: Log = Log::new();
    let heard = Heard::default();
    let (refused, made) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicBool::new(false)));
    let (inner_heard, text, was_made) = (heard.clone(), refused.clone(), made.clone());
    let make = move || -> Option<Listener> {
        Some(Box::new(move |level, message| {
            INNER.tell(Level::Error, format_args!("from inside"));
            let make = || {
                was_made.store(true, Ordering::SeqCst);
                None
            };
            *text.lock() = INNER.listen(here, None, make).unwrap_err().to_string();
            inner_heard.lock().push((level, message.to_str().unwrap().to_string()));
        }))
    };
    INNER.keep(here, Some(Level::Info), 8);
    INNER.listen(here, Some(Level::Info), make).unwrap();
    INNER.tell(Level::Info, format_args!("one"));
    INNER.tell(Level::Info, format_args!("two"));
    let two = [(Level::Info, "one".to_string()), (Level::Info, "two".to_string())];
    assert_eq!(*heard.lock(), two);
    assert_eq!(taken(&INNER), two);
    assert_eq!(*refused.lock(), "the log callback cannot be replaced from inside of a log callback");
    assert!(!made.load(Ordering::SeqCst));
}

#[test]
fn a_listener_that_panics_does_not_stay_inside() {
    let (log, drops) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Counted(drops.clone());
    let make = move || -> Option<Listener> {
        Some(Box::new(move |_, _| {
            let _ = &counted;
            std::panic::resume_unwind(Box::new(()));
        }))
    };
    log.listen(here, Some(Level::Info), make).unwrap();
    let tell = || log.tell(Level::Info, format_args!("text"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell)).is_err());
    log.listen(here, None, || None).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn the_newest_messages_are_kept_in_order_behind_the_count_of_the_dropped() {
    let log = Log::new();
    log.keep(here, Some(Level::Error), 3);
    for n in 0..5 {
        log.tell(Level::Error, format_args!("{n}"));
    }
    let first =
        (Level::Warn, "2 messages were dropped, because newer ones came before anybody took them".into());
    let rest = ["2", "3", "4"].map(|n| (Level::Error, n.to_string()));
    assert_eq!(taken(&log), [&[first][..], &rest].concat());
    log.tell(Level::Error, format_args!("5"));
    assert_eq!(texts(&log), ["5"]);
}

#[test]
fn less_room_drops_the_oldest_and_none_forgets_all() {
    let log = Log::new();
    log.keep(here, Some(Level::Info), 8);
    for n in 0..4 {
        log.tell(Level::Info, format_args!("{n}"));
    }
    log.keep(here, Some(Level::Info), 3);
    let texts = texts(&log);
    assert!(texts[0].starts_with("1 message was dropped"), "{}", texts[0]);
    assert_eq!(texts[1..], ["1", "2", "3"]);
    for (level, capacity) in [(None, 8), (Some(Level::Info), 0)] {
        log.keep(here, Some(Level::Info), 1);
        log.tell(Level::Info, format_args!("dropped"));
        log.tell(Level::Info, format_args!("forgotten"));
        log.keep(here, level, capacity);
        assert!(!log.wants(Level::Error));
        log.keep(here, Some(Level::Info), 8);
        assert!(taken(&log).is_empty());
    }
}

#[test]
fn a_message_that_could_not_be_taken_stays() {
    let log = Log::new();
    log.keep(here, Some(Level::Info), 1);
    for n in 0..2 {
        log.tell(Level::Info, format_args!("{n}"));
    }
    for level in [Level::Warn, Level::Info] {
        assert!(log.next(|_, _| Err::<(), _>(Error::NoMemory { bytes: 1 })).is_err());
        assert_eq!(log.next(|level, _| Ok(level)).unwrap(), Some(level));
    }
    assert!(taken(&log).is_empty());
}

/// The lock that a thread held at the fork stays held in the child; here it is held throughout.
#[test]
fn a_child_neither_waits_for_the_parents_log_nor_hears_it() {
    static PROCESS: AtomicU64 = AtomicU64::new(1);
    fn process() -> u64 {
        PROCESS.load(Ordering::SeqCst)
    }
    let (log, of_parent, of_child) = (Log::new(), Heard::default(), Heard::default());
    log.listen(process, Some(Level::Info), || listener(&of_parent)).unwrap();
    log.keep(process, Some(Level::Info), 8);
    log.tell(Level::Info, format_args!("in the parent"));
    let held = log.hub().unwrap().state.lock();

    PROCESS.store(2, Ordering::SeqCst);
    log.tell(Level::Info, format_args!("not heard"));
    assert!(taken(&log).is_empty());
    log.listen(process, Some(Level::Info), || listener(&of_child)).unwrap();
    log.keep(process, Some(Level::Info), 8);
    log.tell(Level::Info, format_args!("in the child"));
    assert_eq!(texts(&log), ["in the child"]);
    assert_eq!(of_child.lock().len(), 1);
    log.listen(process, None, || None).unwrap();

    PROCESS.store(1, Ordering::SeqCst);
    drop(held);
    assert_eq!(texts(&log), ["in the parent"]);
    assert_eq!(of_parent.lock().len(), 1);
}

#[test]
fn a_listener_that_forks_returns_in_the_child() {
    static PROCESS: AtomicU64 = AtomicU64::new(1);
    fn process() -> u64 {
        PROCESS.load(Ordering::SeqCst)
    }
    static FORKING: Log = Log::new();
    let make = || -> Option<Listener> {
        Some(Box::new(|_, _| {
            std::mem::forget(FORKING.hub().unwrap().state.lock());
            PROCESS.store(2, Ordering::SeqCst);
        }))
    };
    FORKING.listen(process, Some(Level::Info), make).unwrap();
    FORKING.tell(Level::Info, format_args!("text"));
    let heard = Heard::default();
    FORKING.listen(process, Some(Level::Info), || listener(&heard)).unwrap();
    FORKING.tell(Level::Info, format_args!("text"));
    assert_eq!(heard.lock().len(), 1);
}
