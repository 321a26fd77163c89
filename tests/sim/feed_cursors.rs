//! Cursors of feeds through merges, kills and closes: good as long as all behind them is as it was written, and no longer.

use crate::support;
use crate::support::feeds::pull;
use crate::support::gated::Gated;
use crate::support::{DIR, merge_policy, open, options};
use bitcask::engine::Db;
use bitcask::io::env::Env;
use bitcask::io::sim::Sim;
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

fn manual() -> Options {
    Options { merge: MergeMode::Manual, ..options(SyncMode::None) }
}

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    sim
}

fn kill(sim: &Sim, db: Db<Sim>) -> Db<Sim> {
    support::feeds::kill(sim, db, &manual())
}

/// Two of these fill a segment; the log thread seals it at once.
fn put_large<E: Env>(db: &Db<E>, key: &str) {
    db.put(key.as_bytes(), &[7; 300]).expect("a put");
    db.step_log_thread().expect("jobs");
}

fn merge<E: Env>(db: &Db<E>, policy: &MergePolicy) -> u64 {
    db.step_merge_thread().expect("jobs");
    db.merge(policy).expect("a merge")
}

/// The cursor of a feed that has read everything from `cursor` on.
fn end_of_feed<E: Env>(db: &Db<E>, cursor: &[u8]) -> Vec<u8> {
    let mut feed = db.feed(cursor).expect("a feed").expect("the log goes on");
    pull(&mut feed, usize::MAX).expect("the log goes on");
    feed.cursor().expect("open").to_vec()
}

/// The keys that a feed from `cursor` shows; `None` when there is none.
fn keys<E: Env>(db: &Db<E>, cursor: &[u8]) -> Option<Vec<String>> {
    let mut feed = db.feed(cursor).expect("an answer")?;
    let changes = pull(&mut feed, usize::MAX)?;
    Some(changes.iter().map(|change| String::from_utf8_lossy(&change.key).into_owned()).collect())
}

fn named(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_string()).collect())
}

#[test]
fn a_cursor_behind_which_nothing_was_merged_outlives_a_merge_of_all_before_it_and_a_kill() {
    let sim = machine(5);
    let db = open(&sim, &manual()).unwrap();
    (0..6).for_each(|at| put_large(&db, &format!("k{at}")));
    let cursor = end_of_feed(&db, b"");
    put_large(&db, "new");
    assert_eq!(merge(&db, &MergePolicy::everything()), 1);
    assert_eq!(keys(&db, &cursor), named(&["new"]), "before");
    let db = kill(&sim, db);
    assert_eq!(keys(&db, &cursor), named(&["new"]), "after a kill");
    let db = kill(&sim, db);
    assert_eq!(keys(&db, &cursor), named(&["new"]), "after another");
}

/// The log ends with a sealed segment, as it does when nothing is written between two kills.
#[test]
fn a_cursor_at_the_end_of_a_log_that_was_merged_outlives_kills_and_closes() {
    let sim = machine(5);
    let db = open(&sim, &manual()).unwrap();
    (0..5).for_each(|at| put_large(&db, &format!("k{at}")));
    let db = kill(&sim, kill(&sim, db));
    let cursor = db.snapshot().unwrap().cursor().unwrap();
    assert_eq!(merge(&db, &MergePolicy::everything()), 1);
    assert_eq!(keys(&db, &cursor), named(&[]), "before");
    let db = kill(&sim, db);
    assert_eq!(keys(&db, &cursor), named(&[]), "after a kill");
    db.close().unwrap();
    let reader = open(&sim, &Options { read_only: true, ..manual() }).unwrap();
    let of_reader = reader.snapshot().unwrap().cursor().unwrap();
    let db = open(&sim, &manual()).unwrap();
    assert_eq!(keys(&db, &cursor), named(&[]), "after a close");
    db.put(b"new", b"1").unwrap();
    assert_eq!(keys(&db, &cursor), named(&["new"]), "after a write");
    assert_eq!(keys(&db, &of_reader), named(&["new"]), "from a reader's snapshot");
}

/// A deletion goes when no older segment has the key any more. Then a cursor before it must go, too: whoever has that one
/// has the key.
#[test]
fn a_cursor_before_a_deletion_that_a_merge_dropped_is_refused_after_kills_and_closes() {
    for closes in [false, true] {
        let sim = machine(5);
        let db = open(&sim, &manual()).unwrap();
        for key in ["k", "kept 0", "kept 1", "kept 2"] {
            put_large(&db, key);
        }
        // All of it is in sealed segments.
        let db = kill(&sim, kill(&sim, db));
        let cursor = db.snapshot().unwrap().cursor().unwrap();
        assert!(db.delete(b"k").unwrap());
        let db = kill(&sim, kill(&sim, db));
        let policy = merge_policy(30);
        while merge(&db, &policy) > 0 {}
        assert_eq!(db.count().unwrap(), 3);
        assert_eq!(keys(&db, &cursor), None, "before");
        let db = if closes {
            db.close().unwrap();
            open(&sim, &manual()).unwrap()
        } else {
            kill(&sim, db)
        };
        assert_eq!(keys(&db, &cursor), None, "after a close: {closes}");
        db.put(b"new", b"1").unwrap();
        assert_eq!(keys(&db, &cursor), None, "after a write and a close: {closes}");
    }
}

/// A store in which something is done before the next call that the machine is asked for.
struct Between {
    db: Arc<Mutex<Option<Arc<Db<Gated>>>>>,
    at: Arc<Mutex<Option<Task>>>,
}

/// Asked before each call until it answers something, which is what the call answers.
type Task = Box<dyn FnMut(&Db<Gated>) -> Option<io::Result<()>> + Send>;

impl Between {
    fn new(sim: &Sim) -> (Self, Arc<Db<Gated>>) {
        let between = Between { db: Arc::default(), at: Arc::default() };
        let (db, at) = (between.db.clone(), between.at.clone());
        let gate = move || {
            let Some(mut task) = at.lock().expect("no panic").take() else { return Ok(()) };
            let db = db.lock().expect("no panic").clone().expect("it is open");
            let answer = task(&db);
            if answer.is_none() {
                *at.lock().expect("no panic") = Some(task);
            }
            answer.unwrap_or(Ok(()))
        };
        let opened = Db::open(Gated::new(sim, Arc::new(gate)), Path::new(DIR), &manual()).expect("it opens");
        let opened = Arc::new(opened);
        *between.db.lock().expect("no panic") = Some(opened.clone());
        (between, opened)
    }

    fn set(&self, task: impl FnMut(&Db<Gated>) -> Option<io::Result<()>> + Send + 'static) {
        *self.at.lock().expect("no panic") = Some(Box::new(task));
    }

    fn end(self) {
        self.at.lock().expect("no panic").take();
        self.db.lock().expect("no panic").take();
    }
}

/// A merge that is under way may come to nothing, and a replica that was told to begin anew is told so for good.
#[test]
fn a_cursor_that_is_refused_while_a_merge_is_under_way_is_never_good_again() {
    let sim = machine(5);
    let (between, db) = Between::new(&sim);
    let mut cursors = vec![Vec::new()];
    for key in ["a", "b", "k", "c", "k", "d", "k", "e"] {
        put_large(&db, key);
        cursors.push(db.snapshot().unwrap().cursor().unwrap().to_vec());
    }
    db.step_merge_thread().unwrap();
    let are_good = move |db: &Db<Gated>| -> Vec<bool> {
        cursors.iter().map(|cursor| db.feed(cursor).expect("an answer").is_some()).collect()
    };
    let before = are_good(&db);
    assert_eq!(before, [true; 9]);
    let segments = db.stats().unwrap().segments;
    let answers = Arc::new(Mutex::new(vec![before]));
    between.set({
        let (are_good, answers) = (are_good.clone(), answers.clone());
        move |db| {
            // The output stands beside the inputs.
            if db.stats().expect("open").segments > segments {
                answers.lock().expect("no panic").push(are_good(db));
            }
            None
        }
    });
    assert_eq!(db.merge(&merge_policy(30)).unwrap(), 1);
    between.end();
    let mut answers = answers.lock().unwrap();
    assert!(answers.len() > 1, "nothing was asked meanwhile");
    answers.push(are_good(&db));
    for pair in answers.windows(2) {
        let comes_back = pair[0].iter().zip(&pair[1]).any(|(before, after)| !before && *after);
        assert!(!comes_back, "{pair:?}");
    }
    assert_eq!(answers[1], [true; 9], "refused before the merge was done");
    assert_eq!(answers.last().unwrap()[..2], [false; 2]);
}

/// The manifest that would have listed a spare was not written, and there is another spare later.
#[test]
fn a_feed_that_is_opened_while_a_spare_cannot_be_listed_goes_on() {
    let sim = machine(5);
    let (between, db) = Between::new(&sim);
    put_large(&db, "a");
    put_large(&db, "b");
    let feed = Arc::new(Mutex::new(None));
    db.put(b"c", &[7; 300]).unwrap();
    let segments = db.stats().unwrap().segments;
    between.set({
        let feed = feed.clone();
        move |db| {
            (db.stats().expect("open").segments > segments).then(|| {
                *feed.lock().expect("no panic") = db.feed(b"").expect("a feed");
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            })
        }
    });
    assert!(db.step_log_thread().is_err());
    let mut feed = feed.lock().unwrap().take().expect("it was opened");
    for key in ["d", "e", "f", "g", "h"] {
        put_large(&db, key);
    }
    assert_eq!(pull(&mut feed, usize::MAX).expect("the log goes on").len(), 8);
    drop(feed);
    between.end();
}
