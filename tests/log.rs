//! What the engine tells the log: each thing once, with the store's path, and with no lock held.
//!
//! The log is the process's, so each test has a store at a path of its own and looks at what names that path.

use bitcask::engine::Db;
use bitcask::io::sim::{Call, FaultPlan, Sim, Survival};
use bitcask::log::{self, Level, Listener};
use bitcask::options::{MIN_SEGMENT_BYTES, MergeMode, MergePolicy, Options};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

static HEARD: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());
/// A store that the listener asks for its statistics, which takes the write mutex.
static ASKED: OnceLock<Arc<Db<Sim>>> = OnceLock::new();
/// A thread that waits for its turn to merge, and that the listener waits for when the store before its turn fails.
static WAITED_FOR: OnceLock<JoinHandle<()>> = OnceLock::new();

fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    let hear: fn() -> Option<Listener> = || {
        Some(Box::new(|level, text| {
            let text = text.to_str().expect("a message is text").to_string();
            if text.starts_with("/asked: ") && ASKED.get().is_some_and(|db| db.stats().is_err()) {
                return;
            }
            if text.starts_with("/waiting: writes stopped") {
                let waiting = WAITED_FOR.get().expect("it waits before the first merge fails");
                // It may be the one that tells.
                let had_its_turn =
                    || waiting.is_finished() || waiting.thread().id() == thread::current().id();
                wait_until("the thread that waits to merge has had its turn", had_its_turn);
            }
            HEARD.lock().expect("no listener panics").push((level, text));
        }))
    };
    LISTENING.get_or_init(|| log::listen(|| 1, Some(Level::Debug), hear).expect("not inside of a listener"));
}

/// What was told of the store at `path` at `level`, without the path.
fn told(path: &str, level: Level) -> Vec<String> {
    let heard = HEARD.lock().expect("no listener panics");
    let told = heard.iter().filter(|(its, _)| *its == level);
    told.filter_map(|(_, text)| Some(text.strip_prefix(path)?.strip_prefix(": ")?.to_string())).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn small_segments() -> Options {
    Options { max_segment_bytes: MIN_SEGMENT_BYTES, ..Options::default() }
}

fn open(sim: &Sim, path: &str, options: &Options) -> Db<Sim> {
    Db::open(sim.clone(), Path::new(path), options).expect("the store opens")
}

fn new_store(sim: Sim, path: &str, options: &Options) -> (Sim, Db<Sim>) {
    listen();
    sim.make_dirs(path);
    let db = open(&sim, path, options);
    (sim, db)
}

/// The name of the one file that holds records.
fn data_file(sim: &Sim, path: &str) -> String {
    let files = sim.files(path).into_iter();
    let mut with_records = files.filter(|(name, len)| name.ends_with(".data") && *len > 0);
    with_records.next().expect("a segment").0
}

#[test]
fn a_life_without_trouble_is_told_in_few_words() {
    let (sim, db) = new_store(Sim::new(1), "/quiet", &small_segments());
    for key in 0..100u32 {
        db.put(&key.to_le_bytes(), &[0; 1000]).expect("put");
        db.step_log_thread().expect("log jobs");
    }
    db.step_merge_thread().expect("merge jobs");
    db.close().expect("close");
    open(&sim, "/quiet", &small_segments()).close().expect("close");
    let info = told("/quiet", Level::Info);
    assert!(info[0].starts_with("opened in ") && info[0].contains(" ms from the log: 0 keys, 2 segments, "));
    assert!(info[2].contains(" ms from a checkpoint: 100 keys, "), "{info:?}");
    assert_eq!([&info[1], &info[3]], ["closed", "closed"]);
    let debug = told("/quiet", Level::Debug);
    assert!(debug[0].starts_with("sealed 0") && debug[1].starts_with("wrote 0"), "{debug:?}");
    assert_eq!((info.len(), debug.len()), (4, 2));
    assert_eq!(told("/quiet", Level::Warn).len() + told("/quiet", Level::Error).len(), 0);
}

#[test]
fn bytes_that_recovery_discards_are_told() {
    let (sim, db) = new_store(Sim::new(1), "/torn", &Options::default());
    db.put(b"a", b"1").expect("put");
    db.put(b"b", b"2").expect("put");
    let image = sim.crash(sim.op_count(), Survival::Everything);
    let name = data_file(&image, "/torn");
    let len = image.files("/torn")[&name];
    image.cut_file("/torn", &name, len - 1);
    let db_again = open(&image, "/torn", &Options::default());
    let discarded = db_again.stats().expect("open").recovered_bytes_discarded;
    assert!(discarded > 0);
    let expected = format!("{discarded} bytes at the log's end are not whole and were discarded");
    assert_eq!(told("/torn", Level::Warn), [expected]);
    let info = told("/torn", Level::Info);
    assert!(info[1].ends_with(&format!("1 records recovered, {discarded} bytes discarded")), "{info:?}");
}

#[test]
fn a_damaged_checkpoint_is_told_once() {
    let (sim, db) = new_store(Sim::new(1), "/checkpoint", &Options::default());
    db.put(b"a", b"value").expect("put");
    db.close().expect("close");
    sim.corrupt("/checkpoint", "keydir.checkpoint", 113, 1);
    let db = open(&sim, "/checkpoint", &Options::default());
    assert_eq!(db.get(b"a", |value| value.len()).expect("a get"), Some(5));
    (0..2).for_each(|_| db.step_merge_thread().expect("merge jobs"));
    let told = told("/checkpoint", Level::Warn);
    let expected = "keydir.checkpoint is damaged or cannot be read: the index was read from the log";
    assert_eq!(told, [expected]);
}

#[test]
fn a_degraded_store_is_told_with_the_reason() {
    let (sim, db) = new_store(Sim::new(1), "/degraded", &Options::default());
    for key in [b"a", b"b", b"c"] {
        db.put(key, b"value").expect("put");
    }
    db.close().expect("close");
    let name = data_file(&sim, "/degraded");
    let at = sim.read_file("/degraded", &name).expect("there").len() as u64 / 2;
    (at - 8..at + 24).for_each(|at| sim.corrupt("/degraded", &name, at, 1));
    // Only an open that reads the log can find it.
    let db = open(&sim, "/degraded", &Options { checkpoint: false, ..Options::default() });
    let reason = db.stats().expect("open").degraded.expect("a header is damaged");
    let warned = told("/degraded", Level::Warn);
    assert!(warned.contains(&format!("unknown and older keys answer errors: {reason}")), "{warned:?}");
}

#[test]
fn background_work_that_keeps_failing_is_told_once_until_it_succeeds() {
    let (sim, db) = new_store(Sim::with_threads(1), "/failing", &small_segments());
    for failures in 1..=2 {
        sim.fail(FaultPlan::nth(1).only(&[Call::Create]).on(".data").errno(libc::EMFILE).sticky());
        let before = db.stats().expect("open").background_errors;
        for key in 0..100u32 {
            // The writer may be stuck already.
            let _ = db.put(&key.to_le_bytes(), &[0; 1000]);
        }
        wait_until("it failed again and again", || db.stats().expect("open").background_errors >= before + 3);
        assert_eq!(told("/failing", Level::Error).len(), failures);
        let rotations = db.stats().expect("open").rotations;
        sim.clear_faults();
        wait_until("it succeeds", || {
            let _ = db.put(b"more", &[0; 1000]);
            db.stats().expect("open").rotations > rotations
        });
        // Succeeds as a whole: the thread says so to itself after the last of it.
        thread::sleep(Duration::from_millis(100));
    }
    let errors = told("/failing", Level::Error);
    let number = |c: char| c.is_ascii_digit();
    assert!(errors[0].starts_with("the log thread failed and tries again: "), "{errors:?}");
    assert_eq!(errors[0].replace(number, ""), errors[1].replace(number, ""));
}

#[test]
fn a_failed_sync_is_told_once_and_the_close_that_it_spoils() {
    let (sim, db) = new_store(Sim::with_threads(1), "/poisoned", &Options::default());
    db.put(b"key", b"value").expect("put");
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]));
    db.sync().expect_err("the device failed");
    assert_eq!(told("/poisoned", Level::Error).len(), 1);
    db.sync().expect_err("poisoned");
    db.put(b"key", b"value").expect_err("poisoned");
    db.close().expect_err("poisoned");
    let errors = told("/poisoned", Level::Error);
    assert!(errors.len() == 1 && errors[0].starts_with("writes stopped after a failure (cannot sync "));
    let warned = told("/poisoned", Level::Warn);
    assert!(warned.len() == 1 && warned[0].starts_with("closed, and the next open recovers: "), "{warned:?}");
}

#[test]
fn merges_are_told_with_what_they_gave_back() {
    let options = Options { merge: MergeMode::Manual, ..small_segments() };
    let (_sim, db) = new_store(Sim::new(1), "/merging", &options);
    for key in (0..100u32).chain(0..70) {
        db.put(&key.to_le_bytes(), &[0; 1000]).expect("put");
        db.step_log_thread().expect("log jobs");
    }
    assert_eq!(db.merge(&MergePolicy::everything()).expect("merge"), 1);
    assert_eq!(db.merge(&MergePolicy::everything()).expect("no merge"), 0);
    let info = told("/merging", Level::Info);
    let numbers: Vec<_> =
        info[1].split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let text: String = info[1].split(|c: char| c.is_ascii_digit()).collect();
    assert_eq!(text, "merged  segments of  bytes into  of  in  ms:  records kept,  left behind", "{info:?}");
    // Of two segments with 63 records each.
    assert_eq!((numbers[0], numbers[2], numbers[5], numbers[6]), ("2", "1", "56", "70"), "{info:?}");
    let debug = told("/merging", Level::Debug);
    assert_eq!(debug.last().map(String::as_str), Some("begins to merge 2 segments"), "{debug:?}");
    assert_eq!(info.len(), 2);
}

#[test]
fn a_merge_whose_sync_fails_is_told_of_when_the_next_can_have_its_turn() {
    let options = Options { merge: MergeMode::Manual, ..small_segments() };
    let (sim, db) = new_store(Sim::with_threads(1), "/waiting", &options);
    let mut puts = 0u32;
    wait_until("two segments are sealed", || {
        db.put(&(puts % 50).to_le_bytes(), &[0; 1000]).expect("put");
        puts += 1;
        db.stats().expect("open").rotations == 2
    });
    db.put(b"unsynced", b"value").expect("put");
    let files = sim.files("/waiting").into_iter();
    let mut with_records = files.filter(|(name, len)| name.ends_with(".data") && *len > 0);
    let (active, _) = with_records.next_back().expect("an active segment");
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]).on(&active));
    let db = Arc::new(db);
    let merge = |bytes_per_second| {
        let db = db.clone();
        let policy = MergePolicy { bytes_per_second, ..MergePolicy::everything() };
        thread::spawn(move || drop(db.merge(&policy).expect_err("the device failed")))
    };
    // Slow enough for the other to come while it is under way.
    let first = merge(300 << 10);
    wait_until("a merge is under way", || db.stats().expect("open").merge_input_bytes > 0);
    WAITED_FOR.set(merge(0)).expect("set once");
    wait_until("both have ended", || {
        first.is_finished() && WAITED_FOR.get().is_some_and(JoinHandle::is_finished)
    });
    first.join().expect("the listener did not wait in vain");
    assert_eq!(told("/waiting", Level::Error).len(), 1);
}

#[test]
fn a_store_that_is_poisoned_under_the_write_mutex_is_told_of_without_it() {
    let (sim, db) = new_store(Sim::with_threads(1), "/asked", &Options::default());
    let db = ASKED.get_or_init(|| Arc::new(db)).clone();
    db.put(b"key", b"value").expect("put");
    sim.fail(FaultPlan::nth(1).only(&[Call::Write]).short(5).then_error());
    sim.fail(FaultPlan::nth(1).only(&[Call::Truncate]).sticky());
    // On a thread of its own, which would wait for itself.
    let putting = thread::spawn({
        let db = db.clone();
        move || db.put(b"key", b"value").is_err()
    });
    wait_until("the put is answered", || putting.is_finished());
    assert!(putting.join().expect("no panic"), "the write failed");
    assert!(db.stats().expect("open").poisoned.is_some());
    wait_until("it is told", || told("/asked", Level::Error).len() == 1);
}
