//! A small store as version 1 wrote it, and that today's code reads it.
//!
//! `BITCASK_GOLDEN_OUT=dir` writes there what today's code produces, for a look at a difference and for the
//! fixtures of a new version.

use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::features::documents::JsonAnswer;
use bitcask::io::disk::Disk;
use bitcask::io::env::Env;
use bitcask::io::sim::Sim;
use bitcask::options::Options;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DIR: &str = "/store";
/// The killed store ends this many bytes short, inside its last batch.
const TORN_BYTES: usize = 5;
const DOCUMENT: &[u8] = b"{\"name\": \"libbitcask\", \"big\": 123456789012345678901234567890}";

type Files = BTreeMap<String, Vec<u8>>;

fn large() -> Vec<u8> {
    (0..5000u32).map(|n| n.to_le_bytes()[0]).collect()
}

/// What version 1 wrote: after a kill in the middle of the last batch, and after a clean close.
fn produce() -> (Files, Files) {
    let sim = Sim::new(0x0b17_ca5c);
    sim.make_dirs("/");
    let options = Options { max_segment_bytes: 1024, ..Options::default() };
    let db = Db::open(sim.clone(), Path::new(DIR), &options).expect("a new store opens");
    let put = |key: &[u8], value: &[u8]| db.put(key, value).expect("put");
    put(b"", b"the empty key");
    put(b"empty value", b"");
    put(b"overwritten", b"old");
    put(b"deleted", b"old");
    db.put_json(b"document", DOCUMENT).expect("put_json");
    db.sync().expect("sync");
    for number in 0..40u8 {
        put(format!("key {number}").as_bytes(), &vec![number; usize::from(number)]);
        db.step_log_thread().expect("background work");
    }
    put(b"large", &large());
    db.step_log_thread().expect("background work");
    put(b"overwritten", b"new");
    db.delete(b"deleted").expect("delete");
    db.sync().expect("sync");
    put(b"unsynced", b"kept by the kernel");
    let mut batch = Batch::new();
    batch.put(b"batched 1", b"one").expect("room");
    batch.delete(b"key 39").expect("room");
    batch.put(b"batched 2", b"two").expect("room");
    db.write(&batch).expect("batch").version().expect("a version");
    let mut killed = sim.contents(DIR);
    let last = killed.values_mut().rfind(|bytes| bytes.starts_with(b"\x89bitcsk")).expect("a segment");
    last.truncate(last.len() - TORN_BYTES);
    db.close().expect("close");
    (killed, sim.contents(DIR))
}

fn fixture_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name)
}

fn fixture(name: &str) -> Files {
    let entries = fs::read_dir(fixture_dir(name)).expect("the fixtures are part of the source tree");
    let read = |path: PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name").to_string();
        (name, fs::read(&path).expect("a readable file"))
    };
    entries.map(|entry| read(entry.expect("an entry").path())).collect()
}

fn assert_same(name: &str, produced: &Files) {
    if let Some(out) = std::env::var_os("BITCASK_GOLDEN_OUT") {
        let dir = Path::new(&out).join(name);
        fs::create_dir_all(&dir).expect("BITCASK_GOLDEN_OUT can be written to");
        produced.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).expect("a written file"));
    }
    let stored = fixture(name);
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(produced), names(&stored), "{name}");
    for (file, bytes) in produced {
        let differs = bytes.iter().zip(&stored[file]).position(|(new, old)| new != old);
        assert_eq!(
            (differs, bytes.len()),
            (None, stored[file].len()),
            "first difference and length of {name}/{file}"
        );
    }
}

/// What a fixture must answer; `batch` says whether the last batch is part of the log.
fn check<E: Env>(db: &Db<E>, batch: bool) {
    let get = |key: &str| db.get(key.as_bytes(), <[u8]>::to_vec).expect("a sound record");
    assert_eq!(get("").as_deref(), Some(&b"the empty key"[..]));
    assert_eq!(get("empty value").as_deref(), Some(&b""[..]));
    assert_eq!(get("overwritten").as_deref(), Some(&b"new"[..]));
    assert_eq!(get("deleted"), None);
    assert_eq!(get("large"), Some(large()));
    assert_eq!(get("unsynced").as_deref(), Some(&b"kept by the kernel"[..]));
    let big = JsonAnswer::Found("123456789012345678901234567890".to_string());
    assert_eq!(db.get_json(b"document", "/big").expect("a document"), big);
    for number in 0..39u8 {
        assert_eq!(get(&format!("key {number}")), Some(vec![number; usize::from(number)]), "key {number}");
    }
    assert_eq!(get("key 39").is_none(), batch);
    assert_eq!(get("batched 1").as_deref(), batch.then_some(&b"one"[..]));
    assert_eq!(get("batched 2").as_deref(), batch.then_some(&b"two"[..]));
    assert_eq!(db.count().expect("open"), if batch { 47 } else { 46 });
    let stats = db.stats().expect("open");
    assert_eq!((stats.corrupt_records, stats.degraded), (0, None));
}

/// Whether the open found an end of the log that was not whole. A reader discards nothing.
fn discarded<E: Env>(db: &Db<E>) -> bool {
    db.stats().expect("open").recovered_bytes_discarded > 0
}

/// Opens the frozen files on a simulated machine: read-only, as a writer, and once more after its clean close.
fn read_on_sim(name: &str, batch: bool) {
    let sim = Sim::new(2);
    sim.make_dirs(DIR);
    for (file, bytes) in fixture(name) {
        sim.write_file(DIR, &file, &bytes);
    }
    let open =
        |options: &Options| Db::open(sim.clone(), Path::new(DIR), options).expect("a store of version 1");
    for checkpoint in [true, false] {
        let reader = open(&Options { read_only: true, checkpoint, ..Options::default() });
        check(&reader, batch);
        assert!(!discarded(&reader));
        assert_eq!(reader.stats().expect("open").opened_from_checkpoint, u64::from(checkpoint && batch));
    }
    let db = open(&Options::default());
    check(&db, batch);
    assert_eq!(discarded(&db), !batch);
    db.put(b"new", b"record").expect("a store of version 1 is written to");
    db.close().expect("close");
    let db = open(&Options::default());
    assert!(db.exists(b"new").expect("open") && db.exists(b"large").expect("open"));
}

/// Opens a copy of the frozen files on the real disk.
fn read_on_disk(name: &str, batch: bool) {
    let copy = std::env::temp_dir().join(format!("bitcask-fixture-{name}-{}", std::process::id()));
    fs::create_dir_all(&copy).expect("a scratch directory");
    for (file, bytes) in fixture(name) {
        fs::write(copy.join(file), bytes).expect("a copy");
    }
    let db = Db::open(Disk, &copy, &Options::default()).expect("a store of version 1");
    check(&db, batch);
    assert_eq!(discarded(&db), !batch);
    db.close().expect("close");
    fs::remove_dir_all(&copy).expect("the scratch directory goes");
}

#[test]
fn a_killed_store_is_written_as_version_1_wrote_it() {
    assert_same("killed", &produce().0);
}

#[test]
fn a_cleanly_closed_store_is_written_as_version_1_wrote_it() {
    assert_same("clean", &produce().1);
}

#[test]
fn a_killed_store_of_version_1_is_read_without_the_torn_batch() {
    read_on_sim("killed", false);
    read_on_disk("killed", false);
}

#[test]
fn a_cleanly_closed_store_of_version_1_is_read() {
    read_on_sim("clean", true);
    read_on_disk("clean", true);
}

#[test]
fn the_fixtures_hold_sealed_segments_and_an_unsealed_end() {
    for name in ["killed", "clean"] {
        let files = fixture(name);
        let manifest = String::from_utf8_lossy(&files["manifest.json"]);
        let count = |state: &str| manifest.matches(&format!("\"state\": \"{state}\"")).count();
        assert!(count("sealed") >= 2 && count("unsealed") >= 1, "{manifest}");
        assert_eq!(manifest.contains("clean_close"), name == "clean");
        assert_eq!(files.contains_key("keydir.checkpoint"), name == "clean");
    }
}
