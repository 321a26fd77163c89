//! A replica in one process that follows a store in another, and `kill -9` of either at random moments.
//!
//! The test program starts itself as the source and as the replica. Between them is a socket, over which the replica asks
//! for what is behind its cursor. When the kills come is the scheduler's.

use crate::support::Scratch;
use crate::{open, read_only, small_segments, wait_until};
use bitcask::engine::{Change, FeedStep, Store};
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::io::sim::Rng;
use bitcask::options::Options;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "replicas::a_replica_in_another_process_stays_equal_though_either_is_killed";
const ROUNDS: u64 = 24;
const KEYS: u64 = 200;

/// What a replica is sent: a change, all before the cursor, or that it must begin with nothing.
const CHANGE: u8 = 0;
const CURSOR: u8 = 1;
const ANEW: u8 = 2;

fn send(to: &mut UnixStream, kind: u8, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut bytes = vec![kind];
    for part in parts {
        bytes.extend_from_slice(&u32::try_from(part.len()).expect("short").to_le_bytes());
        bytes.extend_from_slice(part);
    }
    to.write_all(&bytes)
}

fn receive(from: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn send_change(to: &mut UnixStream, change: &Change<'_>) -> std::io::Result<()> {
    let numbers = [change.version, u64::from(change.value.is_some())].map(u64::to_le_bytes).concat();
    send(to, CHANGE, &[change.key, change.value.unwrap_or_default(), &numbers])
}

/// Sends one replica all that it lacks, until it is gone.
fn serve(db: &Store, mut to: UnixStream) -> std::io::Result<()> {
    let cursor = receive(&mut to)?;
    // One without a cursor holds nothing that counts.
    let feed = if cursor.is_empty() { None } else { db.feed(&cursor).expect("an answer") };
    let mut feed = match feed {
        Some(feed) => feed,
        None => {
            send(&mut to, ANEW, &[])?;
            let snapshot = Arc::new(db.snapshot().expect("a snapshot"));
            let cursor = snapshot.cursor().expect("a cursor");
            let feed = db.feed(&cursor).expect("an answer").expect("it was just taken");
            let mut scan = Scan::new(snapshot, &ScanOptions::default()).expect("a scan");
            while scan.advance().expect("a sound store") {
                send_change(&mut to, &scan.change().expect("a value"))?;
            }
            send(&mut to, CURSOR, &[&cursor])?;
            feed
        }
    };
    loop {
        let ends_batch = match feed.next(None).expect("a sound store") {
            FeedStep::Change(change) => {
                send_change(&mut to, &change)?;
                change.ends_batch
            }
            other => panic!("an open feed goes on: {other:?}"),
        };
        if ends_batch {
            send(&mut to, CURSOR, &[&feed.cursor().expect("a cursor")])?;
        }
    }
}

/// The source: writes, and serves whoever comes, until it is killed.
fn source(home: &Path, seed: u64) -> ! {
    // Whatever is merged, a replica may have been away.
    let options = Options { feed_retention_bytes: 1 << 40, ..small_segments() };
    let db = Arc::new(open(&home.join("source"), &options).expect("a killed store opens"));
    let socket = home.join("socket");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket");
    let served = db.clone();
    std::thread::spawn(move || {
        for replica in listener.incoming() {
            let (db, replica) = (served.clone(), replica.expect("a connection"));
            std::thread::spawn(move || serve(&db, replica));
        }
    });
    let mut rng = Rng::new(seed);
    loop {
        let key = (rng.next_u64() % KEYS).to_be_bytes();
        match rng.below(4) {
            0 => drop(db.delete(&key).expect("a deletion")),
            _ => drop(db.put(&key, &vec![7; rng.below(400)]).expect("a put")),
        }
        if rng.chance(1, 50) || home.join("stop").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        while home.join("stop").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The replica: follows the source until it is killed, or until the source is gone.
fn replica(home: &Path) -> std::io::Result<()> {
    let mut db = open(&home.join("replica"), &small_segments()).expect("a killed store opens");
    let mut from = UnixStream::connect(home.join("socket"))?;
    let cursor = db.applied_cursor().expect("open");
    let asked = cursor.as_deref().unwrap_or_default();
    from.write_all(&u32::try_from(asked.len()).expect("short").to_le_bytes())?;
    from.write_all(asked)?;
    let mut changes: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        match kind[0] {
            CHANGE => changes.push((receive(&mut from)?, receive(&mut from)?, receive(&mut from)?)),
            ANEW => {
                db.close().expect("a close");
                std::fs::remove_dir_all(home.join("replica")).expect("its own directory");
                std::fs::write(home.join("filled"), b"").expect("a scratch file");
                db = open(&home.join("replica"), &small_segments()).expect("a new store");
            }
            _ => {
                let cursor = receive(&mut from)?;
                let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                let given: Vec<_> = changes
                    .iter()
                    .map(|(key, value, numbers)| Change {
                        key,
                        value: (number(&numbers[8..]) > 0).then_some(value),
                        version: number(&numbers[..8]),
                        deadline: None,
                        is_json: false,
                        ends_batch: true,
                    })
                    .collect();
                db.apply(&given, &cursor).expect("changes");
                changes.clear();
            }
        }
    }
}

fn start(home: &Path, role: &str, seed: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", NAME, "--nocapture"])
        .env("BITCASK_REPLICA_ROLE", role)
        .env("BITCASK_REPLICA_HOME", home)
        .env("BITCASK_REPLICA_SEED", seed.to_string())
        .stdout(Stdio::null())
        .spawn()
        .expect("this program starts once more")
}

fn stop(mut child: Child) {
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

fn held(path: &Path, options: &Options) -> BTreeMap<Vec<u8>, (Vec<u8>, u64)> {
    let db = open(path, options).expect("it opens");
    let mut scan =
        Scan::new(Arc::new(db.snapshot().expect("open")), &ScanOptions::default()).expect("a scan");
    let mut held = BTreeMap::new();
    while scan.advance().expect("a sound store") {
        let change = scan.change().expect("a value");
        held.insert(change.key.to_vec(), (change.value.unwrap_or_default().to_vec(), change.version));
    }
    drop(scan);
    db.close().expect("a close");
    held
}

#[test]
fn a_replica_in_another_process_stays_equal_though_either_is_killed() {
    if let (Some(role), Some(home)) =
        (std::env::var_os("BITCASK_REPLICA_ROLE"), std::env::var_os("BITCASK_REPLICA_HOME"))
    {
        let home = Path::new(&home);
        if role == "source" {
            source(home, crate::load::setting("BITCASK_REPLICA_SEED", 1));
        }
        // It ends with its source.
        let _ = replica(home);
        return;
    }
    let scratch = Scratch::new();
    let home = scratch.path();
    let (mut kills, mut fills) = ([0, 0], 0);
    let mut rng = Rng::new(1);
    let begin = |seed| {
        let _ = std::fs::remove_file(home.join("socket"));
        let child = start(home, "source", seed);
        wait_until("the source listens", || home.join("socket").exists());
        child
    };
    let (mut from, mut to) = (begin(0), start(home, "replica", 0));
    for round in 1..=ROUNDS {
        std::thread::sleep(Duration::from_micros(20_000 + rng.next_u64() % 60_000));
        let of_source = rng.chance(1, 2);
        kills[usize::from(of_source)] += 1;
        if of_source {
            stop(from);
            from = begin(round);
        }
        stop(to);
        fills += u64::from(std::fs::remove_file(home.join("filled")).is_ok());
        to = start(home, "replica", round);
    }
    // The source rests, the replica catches up, and both are killed once more.
    std::fs::write(home.join("stop"), b"").expect("a scratch file");
    let both = |options: &Options| ["source", "replica"].map(|name| held(&home.join(name), options));
    wait_until("the replica has all", || {
        let [source, replica] = both(&read_only());
        source == replica
    });
    stop(to);
    stop(from);
    let [source, replica] = both(&small_segments());
    println!("{kills:?} kills of replica and source, {fills} fills, {} keys", source.len());
    assert!(source == replica, "{} keys and {}", source.len(), replica.len());
    assert!(kills[0] > 0 && kills[1] > 0 && source.len() > 50);
    // Only one that was cut short is begun again.
    assert!(fills < ROUNDS / 4, "a kill is no reason to begin anew");
}
