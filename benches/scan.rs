//! What an entry costs in a scan, beside LMDB and LevelDB in the same run.
//!
//!     cargo bench --bench scan -- [KEYS]
//!
//! Every store gets the same keys in the same random order; then all entries are walked through in the order of the keys,
//! and of each key and value the first byte is looked at. Ours is walked before a merge, over about ten segments, and after
//! one. Then snapshots are made, and iterators after so many new puts, which the first of them sorts. The others are loaded
//! while this runs, from liblmdb.so.0 and libleveldb.so.1d, and left out where they are not installed. Everything is in
//! the page cache. `BITCASK_BENCH_DIR` names where the stores go.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(unsafe_code, reason = "calls C libraries")]

mod common;

use bitcask::capi::handles::{Handle, IterHandle};
use bitcask::capi::iter::{
    bitcask_iter_free, bitcask_iter_key, bitcask_iter_new, bitcask_iter_next, bitcask_iter_next_many,
    bitcask_iter_value,
};
use bitcask::capi::merge::bitcask_merge;
use bitcask::capi::open::{bitcask_close, bitcask_open};
use bitcask::capi::snapshot::{bitcask_snapshot_free, bitcask_snapshot_new};
use bitcask::capi::write::bitcask_put;
use common::{Scratch, VALUE_LEN, fill, key, median, number, value};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::Instant;

const KEY_LEN: usize = 16;
const ROUNDS: usize = 5;
const PACK_BYTES: usize = 64 << 10;
const SNAPSHOTS: usize = 1000;
const NEW_PUTS: [usize; 3] = [0, 1_000, 100_000];

/// The same numbers in an order that looks random: multiplication by an odd number, modulo a power of two.
fn shuffled(keys: u64) -> impl Iterator<Item = u64> {
    let room = keys.next_power_of_two();
    (0..room).map(move |n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) & (room - 1)).filter(move |&n| n < keys)
}

/// For how many seconds this thread has been on a processor. Walks wait for nothing else, and so what other programs do
/// meanwhile counts for less.
fn on_the_processor() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is there, and `time` can be written.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Nanoseconds an entry, at the median of the rounds.
fn timed(keys: u64, walk: impl Fn() -> u64) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let begin = on_the_processor();
        assert_eq!(walk(), keys, "every entry once");
        (on_the_processor() - begin) * 1e9 / keys as f64
    });
    median(times.collect())
}

fn path(dir: &Path) -> CString {
    CString::new(dir.to_str().expect("a path in UTF-8")).expect("a path without NUL")
}

struct Ours(*mut Handle);

impl Ours {
    fn filled(dir: &Path, keys: u64) -> Self {
        let options = format!(
            "{{\"merge\": \"manual\", \"max_segment_bytes\": {}}}",
            (keys * 150 / 10).clamp(1 << 16, 1 << 33)
        );
        let options = CString::new(options).expect("no NUL");
        let mut db = null_mut();
        // SAFETY: the C face is called as its header says.
        unsafe {
            assert_eq!(bitcask_open(path(dir).as_ptr(), options.as_ptr(), &raw mut db, null_mut()), 0);
            let mut name = key(0, KEY_LEN);
            for n in shuffled(keys) {
                fill(&mut name, n);
                let value = value(n);
                let (key, bytes) = (name.as_ptr().cast::<c_void>(), value.as_ptr().cast::<c_void>());
                assert_eq!(bitcask_put(db, key, name.len(), bytes, value.len(), null_mut()), 0);
            }
        }
        Ours(db)
    }

    fn iter(&self) -> *mut IterHandle {
        let mut iter = null_mut();
        // SAFETY: as above.
        let status = unsafe { bitcask_iter_new(self.0, null(), null(), &raw mut iter, null_mut()) };
        assert_eq!(status, 0);
        iter
    }

    /// Nanoseconds that a snapshot takes, made and freed, at the median.
    fn snapshot(&self) -> f64 {
        let times = (0..SNAPSHOTS).map(|_| {
            let (mut snapshot, begin) = (null_mut(), on_the_processor());
            // SAFETY: as above.
            unsafe {
                assert_eq!(bitcask_snapshot_new(self.0, &raw mut snapshot, null_mut()), 0);
                bitcask_snapshot_free(snapshot);
            }
            (on_the_processor() - begin) * 1e9
        });
        median(times.collect())
    }

    /// Nanoseconds until an iterator has come to its first key after so many puts of keys that are there.
    fn first_key_after(&self, puts: usize, keys: u64) -> f64 {
        let times = (0..ROUNDS).map(|round| {
            let mut name = key(0, KEY_LEN);
            for n in shuffled(keys).skip(round * puts).take(puts) {
                fill(&mut name, n);
                let value = value(n);
                let (key, bytes) = (name.as_ptr().cast::<c_void>(), value.as_ptr().cast::<c_void>());
                // SAFETY: as above.
                unsafe {
                    assert_eq!(bitcask_put(self.0, key, name.len(), bytes, value.len(), null_mut()), 0)
                };
            }
            let begin = on_the_processor();
            let iter = self.iter();
            // SAFETY: as above.
            unsafe {
                assert_eq!(bitcask_iter_next(iter, null_mut()), 0);
                bitcask_iter_free(iter);
            }
            (on_the_processor() - begin) * 1e9
        });
        median(times.collect())
    }

    fn walk(&self) -> u64 {
        let (iter, mut count, mut len) = (self.iter(), 0, 0);
        // SAFETY: as above.
        unsafe {
            while bitcask_iter_next(iter, null_mut()) == 0 {
                let key = bitcask_iter_key(iter, &raw mut len).cast::<u8>();
                let value = bitcask_iter_value(iter, &raw mut len).cast::<u8>();
                std::hint::black_box((*key, *value));
                count += 1;
            }
            bitcask_iter_free(iter);
        }
        count
    }

    fn walk_packed(&self) -> u64 {
        let (iter, mut all) = (self.iter(), 0);
        let mut buf = vec![0u8; PACK_BYTES];
        // SAFETY: as above.
        unsafe {
            loop {
                let (mut count, mut len) = (0, 0);
                let to = buf.as_mut_ptr().cast::<c_void>();
                let status =
                    bitcask_iter_next_many(iter, to, buf.len(), &raw mut count, &raw mut len, null_mut());
                if status != 0 {
                    break;
                }
                let mut rest = &buf[..len];
                while let [a, b, c, d, e, f, g, h, entry @ ..] = rest {
                    let key = u32::from_ne_bytes([*a, *b, *c, *d]) as usize;
                    let value = u32::from_ne_bytes([*e, *f, *g, *h]) as usize;
                    std::hint::black_box((entry[0], entry[key]));
                    rest = &entry[key + value..];
                }
                all += count as u64;
            }
            bitcask_iter_free(iter);
        }
        all
    }
}

/// A library that was loaded, or `None` where it is not installed.
fn library(name: &str) -> Option<impl Fn(&str) -> *mut c_void> {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: a library of the system, whose initialisers are trusted.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    (!library.is_null()).then_some(move |symbol: &str| {
        let symbol = CString::new(symbol).expect("no NUL");
        // SAFETY: the library is open.
        let address = unsafe { libc::dlsym(library, symbol.as_ptr()) };
        assert!(!address.is_null(), "{symbol:?} is not in the library");
        address
    })
}

/// Gives a symbol its type.
macro_rules! function {
    ($symbol:ident, $name:literal, fn($($argument:ty),*) $(-> $result:ty)?) => {{
        // SAFETY: the function has this type in the library's header.
        unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>($symbol($name))
        }
    }};
}

#[repr(C)]
struct MdbVal {
    size: usize,
    data: *mut c_void,
}

const MDB_WRITEMAP_NOSYNC: c_uint = 0x80000 | 0x10000;
const MDB_RDONLY: c_uint = 0x20000;
const MDB_NEXT: c_int = 8;

fn lmdb(dir: &Path, keys: u64) -> Option<f64> {
    let symbol = library("liblmdb.so.0")?;
    std::fs::create_dir(dir).expect("a directory");
    let create = function!(symbol, "mdb_env_create", fn(*mut *mut c_void) -> c_int);
    let set_size = function!(symbol, "mdb_env_set_mapsize", fn(*mut c_void, usize) -> c_int);
    let open = function!(symbol, "mdb_env_open", fn(*mut c_void, *const c_char, c_uint, c_uint) -> c_int);
    let begin =
        function!(symbol, "mdb_txn_begin", fn(*mut c_void, *mut c_void, c_uint, *mut *mut c_void) -> c_int);
    let open_db =
        function!(symbol, "mdb_dbi_open", fn(*mut c_void, *const c_char, c_uint, *mut c_uint) -> c_int);
    let put =
        function!(symbol, "mdb_put", fn(*mut c_void, c_uint, *mut MdbVal, *mut MdbVal, c_uint) -> c_int);
    let commit = function!(symbol, "mdb_txn_commit", fn(*mut c_void) -> c_int);
    let abort = function!(symbol, "mdb_txn_abort", fn(*mut c_void));
    let cursor_open =
        function!(symbol, "mdb_cursor_open", fn(*mut c_void, c_uint, *mut *mut c_void) -> c_int);
    let get = function!(symbol, "mdb_cursor_get", fn(*mut c_void, *mut MdbVal, *mut MdbVal, c_int) -> c_int);
    let close = function!(symbol, "mdb_env_close", fn(*mut c_void));
    let (mut env, mut txn, mut dbi) = (null_mut(), null_mut(), 0);
    // SAFETY: the library is called as its documentation says.
    unsafe {
        assert_eq!(create(&raw mut env), 0);
        assert_eq!(set_size(env, 64 << 30), 0);
        assert_eq!(open(env, path(dir).as_ptr(), MDB_WRITEMAP_NOSYNC, 0o600), 0);
        assert_eq!(begin(env, null_mut(), 0, &raw mut txn), 0);
        assert_eq!(open_db(txn, null(), 0, &raw mut dbi), 0);
        let mut name = key(0, KEY_LEN);
        for n in shuffled(keys) {
            fill(&mut name, n);
            let bytes = value(n);
            let mut key = MdbVal { size: name.len(), data: name.as_mut_ptr().cast() };
            let mut value = MdbVal { size: bytes.len(), data: bytes.as_ptr().cast_mut().cast() };
            assert_eq!(put(txn, dbi, &raw mut key, &raw mut value, 0), 0);
        }
        assert_eq!(commit(txn), 0);
        let walk = || {
            let (mut txn, mut cursor, mut count) = (null_mut(), null_mut(), 0);
            assert_eq!(begin(env, null_mut(), MDB_RDONLY, &raw mut txn), 0);
            assert_eq!(cursor_open(txn, dbi, &raw mut cursor), 0);
            let (mut key, mut value) =
                (MdbVal { size: 0, data: null_mut() }, MdbVal { size: 0, data: null_mut() });
            while get(cursor, &raw mut key, &raw mut value, MDB_NEXT) == 0 {
                std::hint::black_box((*key.data.cast::<u8>(), *value.data.cast::<u8>()));
                count += 1;
            }
            abort(txn);
            count
        };
        let found = timed(keys, walk);
        close(env);
        Some(found)
    }
}

fn leveldb(dir: &Path, keys: u64) -> Option<f64> {
    let symbol = library("libleveldb.so.1d")?;
    let options = function!(symbol, "leveldb_options_create", fn() -> *mut c_void);
    let create = function!(symbol, "leveldb_options_set_create_if_missing", fn(*mut c_void, u8));
    let compression = function!(symbol, "leveldb_options_set_compression", fn(*mut c_void, c_int));
    let open =
        function!(symbol, "leveldb_open", fn(*const c_void, *const c_char, *mut *mut c_char) -> *mut c_void);
    let write_options = function!(symbol, "leveldb_writeoptions_create", fn() -> *mut c_void);
    let read_options = function!(symbol, "leveldb_readoptions_create", fn() -> *mut c_void);
    let put = function!(
        symbol,
        "leveldb_put",
        fn(*mut c_void, *const c_void, *const u8, usize, *const u8, usize, *mut *mut c_char)
    );
    let compact =
        function!(symbol, "leveldb_compact_range", fn(*mut c_void, *const u8, usize, *const u8, usize));
    let iterator =
        function!(symbol, "leveldb_create_iterator", fn(*mut c_void, *const c_void) -> *mut c_void);
    let first = function!(symbol, "leveldb_iter_seek_to_first", fn(*mut c_void));
    let valid = function!(symbol, "leveldb_iter_valid", fn(*const c_void) -> u8);
    let next = function!(symbol, "leveldb_iter_next", fn(*mut c_void));
    let iter_key = function!(symbol, "leveldb_iter_key", fn(*const c_void, *mut usize) -> *const u8);
    let iter_value = function!(symbol, "leveldb_iter_value", fn(*const c_void, *mut usize) -> *const u8);
    let destroy = function!(symbol, "leveldb_iter_destroy", fn(*mut c_void));
    let close = function!(symbol, "leveldb_close", fn(*mut c_void));
    // SAFETY: the library is called as its header says.
    unsafe {
        let (options, mut err) = (options(), null_mut());
        create(options, 1);
        compression(options, 0);
        let db = open(options, path(dir).as_ptr(), &raw mut err);
        assert!(err.is_null() && !db.is_null());
        let write = write_options();
        let mut name = key(0, KEY_LEN);
        for n in shuffled(keys) {
            fill(&mut name, n);
            let bytes = value(n);
            put(db, write, name.as_ptr(), name.len(), bytes.as_ptr(), bytes.len(), &raw mut err);
            assert!(err.is_null());
        }
        compact(db, null(), 0, null(), 0);
        let read = read_options();
        let walk = || {
            let (iter, mut count, mut len) = (iterator(db, read), 0, 0);
            first(iter);
            while valid(iter) != 0 {
                std::hint::black_box((*iter_key(iter, &raw mut len), *iter_value(iter, &raw mut len)));
                next(iter);
                count += 1;
            }
            destroy(iter);
            count
        };
        let found = timed(keys, walk);
        close(db);
        Some(found)
    }
}

fn main() {
    let keys = number(0, 1_000_000);
    let scratch = Scratch::new();
    println!("{keys} keys of {KEY_LEN} bytes, values of {VALUE_LEN} bytes, put in random order");
    let lmdb = lmdb(&scratch.path("lmdb"), keys);
    let report = |what: &str, ns: f64| {
        let ratio = lmdb.map_or(String::new(), |lmdb| format!("  {:>5.2} of LMDB", ns / lmdb));
        println!("{what:<52} {ns:>7.1} ns an entry{ratio}");
    };
    match lmdb {
        Some(ns) => report("LMDB, a cursor", ns),
        None => println!("LMDB is not installed (liblmdb.so.0)"),
    }
    match leveldb(&scratch.path("leveldb"), keys) {
        Some(ns) => report("LevelDB, an iterator, compacted, no compression", ns),
        None => println!("LevelDB is not installed (libleveldb.so.1d)"),
    }
    let ours = Ours::filled(&scratch.path("ours"), keys);
    let begin = Instant::now();
    assert_eq!(ours.walk(), keys);
    println!("the first walk, hints or runs made meanwhile {:>31.1} s", begin.elapsed().as_secs_f64());
    report("unmerged, bitcask_iter_next", timed(keys, || ours.walk()));
    report("unmerged, bitcask_iter_next_many", timed(keys, || ours.walk_packed()));
    let policy = c"{\"trigger_percent\": 1, \"threshold_percent\": 1, \"small_segment_bytes\": 8589934592}";
    // SAFETY: as above.
    assert_eq!(unsafe { bitcask_merge(ours.0, policy.as_ptr(), null_mut()) }, 0);
    report("merged, bitcask_iter_next", timed(keys, || ours.walk()));
    report("merged, bitcask_iter_next_many", timed(keys, || ours.walk_packed()));
    println!("{:<52} {:>7.0} ns", "a snapshot, made and freed", ours.snapshot());
    for puts in NEW_PUTS {
        let ns = ours.first_key_after(puts, keys);
        println!("{:<52} {:>7.1} us", format!("an iterator's first key after {puts} new puts"), ns / 1e3);
    }
    // SAFETY: as above.
    assert_eq!(unsafe { bitcask_close(ours.0, null_mut()) }, 0);
}
