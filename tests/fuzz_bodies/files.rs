//! A store of the first format, and what holds of it whatever one of its files is replaced by.

use super::support::{DIR, open};
use bitcask::Error;
use bitcask::engine::Db;
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::format::names;
use bitcask::format::segment_header::SEGMENT_HEADER_LEN;
use bitcask::io::env::{Dir, DirOptions, Env};
use bitcask::io::sim::{Sim, SimFile};
use bitcask::options::{MergeMode, MergePolicy, Options, SyncMode};
use bitcask::segment::scanner::{Scanner, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The segments of the store, oldest first.
const SEGMENTS: [&[u8]; 5] = [
    include_bytes!("../fixtures/v1/clean/000000000001.data"),
    include_bytes!("../fixtures/v1/clean/000000000002.data"),
    include_bytes!("../fixtures/v1/clean/000000000003.data"),
    include_bytes!("../fixtures/v1/clean/000000000004.data"),
    include_bytes!("../fixtures/v1/clean/000000000005.data"),
];
/// Its manifest after a clean close and after a kill.
const CLOSED: &[u8] = include_bytes!("../fixtures/v1/clean/manifest.json");
const KILLED: &[u8] = include_bytes!("../fixtures/v1/killed/manifest.json");

/// A segment's uid, as its header says.
const UID: std::ops::Range<usize> = 32..40;

/// What the store holds.
pub static HELD: LazyLock<BTreeMap<Vec<u8>, Vec<u8>>> = LazyLock::new(|| {
    let sim = store(false);
    let db = open(&sim, &options()).expect("the store opens");
    let held = |key: &Vec<u8>| Some((key.clone(), db.get(key, <[u8]>::to_vec).expect("it reads")?));
    keys().iter().filter_map(held).collect()
});

/// All keys that records of the store name, once for all.
fn keys() -> &'static BTreeSet<Vec<u8>> {
    static KEYS: LazyLock<BTreeSet<Vec<u8>>> = LazyLock::new(|| {
        let mut keys = BTreeSet::new();
        for bytes in SEGMENTS {
            let uid = u64::from_le_bytes(bytes[UID].try_into().expect("eight bytes"));
            let file = file_of(bytes);
            let mut scanner = Scanner::new(&file, "", uid, SEGMENT_HEADER_LEN as u64, bytes.len() as u64);
            while let Step::Record(record) = scanner.step().expect("it reads") {
                keys.insert(record.key.to_vec());
            }
        }
        keys
    });
    &KEYS
}

pub fn options() -> Options {
    Options { sync: SyncMode::None, max_segment_bytes: 1024, merge: MergeMode::Manual, ..Options::default() }
}

/// The store, closed or killed. Files of the latter are mapped.
pub fn store(killed: bool) -> Sim {
    let sim = Sim::new(1);
    if killed {
        sim.map_files();
    }
    sim.make_dirs(DIR);
    for (number, bytes) in (1..).zip(SEGMENTS) {
        sim.write_file(DIR, &names::segment(number), bytes);
    }
    sim.write_file(DIR, names::MANIFEST, if killed { KILLED } else { CLOSED });
    sim
}

/// A file of these bytes alone.
pub fn file_of(bytes: &[u8]) -> SimFile {
    let sim = Sim::new(1);
    sim.make_dirs(DIR);
    sim.write_file(DIR, "file", bytes);
    let dir = sim.open_dir(Path::new(DIR), DirOptions { create: false, file_mode: 0o600 });
    dir.expect("a directory").open("file", false).expect("a file")
}

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    None,
    Damage,
    /// Checksums are right, and what they are of is wrong.
    Forgery,
}

/// Opens the store as it is, reads, writes, merges and opens again. Readers change nothing, a refused open changes
/// nothing, and what is put into a store that opens is there from then on. Without harm every key answers right.
pub fn use_store(sim: &Sim, harm: Harm) {
    let sound = harm == Harm::None;
    let before = sim.contents(DIR);
    let reader = open(sim, &Options { read_only: true, ..options() });
    let reads = reader.is_ok();
    if let Ok(reader) = reader {
        read_all(&reader, harm);
    }
    assert!(sim.contents(DIR) == before, "a reader changed files");
    let db = match open(sim, &options()) {
        Ok(db) => db,
        Err(err) => {
            assert!(!sound, "a sound store does not open: {err}");
            assert!(sim.contents(DIR) == before, "a refused open changed files: {err}");
            return;
        }
    };
    assert!(reads, "a writer opens what a reader refuses");
    read_all(&db, harm);
    db.put(b"put after", b"the damage").expect("a put");
    db.delete(b"").expect("a delete");
    for _ in 0..3 {
        db.put(b"and enough", &[1; 900]).expect("a put");
        db.step_log_thread().expect("the log thread's jobs");
    }
    let merged = db.merge(&MergePolicy::everything());
    assert!(merged.is_ok() || !sound, "a merge of a sound store: {merged:?}");
    check_put(&db);
    [false, true].into_iter().for_each(|reverse| drop(scan(&db, reverse, harm)));
    let closed = db.close();
    assert!(closed.is_ok(), "a close: {closed:?}");
    let db = open(sim, &options()).expect("what was closed opens");
    check_put(&db);
}

fn check_put(db: &Db<Sim>) {
    let found = db.get(b"put after", <[u8]>::to_vec).expect("a get of what was put");
    assert_eq!(found.as_deref(), Some(&b"the damage"[..]));
    assert_eq!(db.get(b"", <[u8]>::len).expect("a get of what was deleted"), None);
}

fn read_all(db: &Db<Sim>, harm: Harm) {
    let sound = harm == Harm::None;
    for key in keys() {
        let found = db.get(key, <[u8]>::to_vec);
        if sound {
            let found = found.unwrap_or_else(|err| panic!("a sound store answers {err}"));
            assert_eq!(found.as_ref(), HELD.get(key), "a sound store answers wrong");
        }
    }
    for reverse in [false, true] {
        let found = scan(db, reverse, harm);
        assert!(!sound || found == *HELD, "a scan of a sound store shows something else, reverse: {reverse}");
    }
    db.count().expect("a count");
    assert!(!db.stats().expect("statistics").to_json().is_empty());
}

/// What a scan shows: keys in order, each with the value that a get answers. Damage ends it when it is met twice in a row.
fn scan(db: &Db<Sim>, reverse: bool, harm: Harm) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let sound = harm == Harm::None;
    let mut found = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    let mut met_damage = false;
    let options = ScanOptions { reverse, ..ScanOptions::default() };
    let mut scan = match db.snapshot().and_then(|snapshot| Scan::new(Arc::new(snapshot), &options)) {
        Ok(scan) => scan,
        Err(err) => {
            assert!(!sound, "no scan of a sound store: {err}");
            return found;
        }
    };
    loop {
        match scan.advance() {
            Ok(true) => {}
            Ok(false) => return found,
            Err(Error::Corrupt { .. }) if !sound && !met_damage => {
                met_damage = true;
                continue;
            }
            Err(Error::Corrupt { .. }) if !sound => return found,
            Err(err) => panic!("a scan: {err}"),
        }
        met_damage = false;
        let (key, value) = scan.key().zip(scan.value()).expect("it came to a key");
        let in_order = |last: &Vec<u8>| if reverse { &last[..] > key } else { &last[..] < key };
        assert!(last.as_ref().is_none_or(in_order), "keys out of order, reverse: {reverse}");
        let got = db.get(key, |value| value.to_vec());
        // A forged hint leads gets elsewhere, where they find nothing.
        let agrees = match &got {
            Ok(Some(got)) => got == value,
            Ok(None) | Err(Error::Corrupt { .. }) => harm == Harm::Forgery,
            Err(_) => false,
        };
        assert!(agrees, "a scan shows what a get does not: {got:?}");
        last = Some(key.to_vec());
        found.insert(key.to_vec(), value.to_vec());
    }
}
