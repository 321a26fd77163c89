//! What compression saves, and what it costs.
//!
//!     cargo bench --bench compression -- [JSON_LINES]
//!
//! Each document is put twice under its line number, so that a merge has something to leave behind; then all is merged,
//! and each is read in an order of its own, before the merge and after it. Five rounds on stores of their own; medians. All
//! is in the page cache.

#![allow(missing_docs, reason = "a program, not an interface")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod common;

use bitcask::engine::Store;
use bitcask::io::disk::Disk;
use bitcask::options::{Codec, Compression, MergeMode, MergePolicy, Options};
use common::{Scratch, median};
use std::time::Instant;

const ROUNDS: usize = 5;
/// Not a divisor of any number of documents that matters.
const STRIDE: usize = 7919;
const DEFAULT_DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples-c/data/debian-packages.jsonl");

/// Figures of one round: nanoseconds a put, a get before the merge and after it, a document merged; bytes of values as
/// puts and as the merge stored them, and of the segments that the merge wrote.
struct Round {
    put_ns: f64,
    get_ns: f64,
    merge_ns: f64,
    merged_get_ns: f64,
    put_bytes: u64,
    merged_bytes: u64,
    segment_bytes: u64,
}

fn key(number: usize) -> [u8; 8] {
    (number as u64).to_be_bytes()
}

fn ns_each(count: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / count as f64
}

fn read_all(store: &Store, documents: &[&[u8]]) {
    for nth in 0..documents.len() {
        let at = nth * STRIDE % documents.len();
        let found = store.get(&key(at), |value| value == documents[at]).expect("it reads");
        assert_eq!(found, Some(true), "document {at} is another");
    }
}

fn round(documents: &[&[u8]], raw_bytes: u64, compression: Option<Compression>) -> Round {
    let scratch = Scratch::new();
    // The documents fill some segments.
    let options =
        Options { compression, merge: MergeMode::Manual, max_segment_bytes: 1 << 20, ..Options::default() };
    let store = Store::open(Disk, &scratch.path("store"), &options).expect("it opens");
    let put_ns = ns_each(2 * documents.len(), || {
        for (number, document) in documents.iter().enumerate() {
            // Twice, so that every segment has something for a merge to leave behind.
            store.put(&key(number), document).expect("a put");
            store.put(&key(number), document).expect("a put");
        }
    });
    let stats = store.stats().expect("stats");
    // Values that did not become smaller are stored as they are.
    let put_bytes = raw_bytes - (stats.compressed_raw_bytes - stats.compressed_bytes) / 2;
    let get_ns = ns_each(documents.len(), || read_all(&store, documents));
    // Long values fill the active segment, so that all documents are sealed.
    for _ in 0..3 {
        let noise: Vec<u8> = (0..1 << 18)
            .flat_map(|n: u32| n.wrapping_mul(0x9e37_79b9).rotate_left(n % 31).to_le_bytes())
            .collect();
        store.put(b"filler", &noise).expect("a put");
    }
    store.delete(b"filler").expect("a deletion");
    store.close().expect("a close");
    let store = Store::open(Disk, &scratch.path("store"), &options).expect("it opens");
    let policy = MergePolicy::everything();
    let merge_ns = ns_each(documents.len(), || assert!(store.merge(&policy).expect("a merge") > 0));
    let stats = store.stats().expect("stats");
    let saved = stats.merge_raw_bytes - stats.merge_compressed_bytes;
    let merged_bytes = if saved > 0 { raw_bytes - saved } else { put_bytes };
    let merged_get_ns = ns_each(documents.len(), || read_all(&store, documents));
    let segment_bytes = stats.merge_written_bytes;
    Round { put_ns, get_ns, merge_ns, merged_get_ns, put_bytes, merged_bytes, segment_bytes }
}

fn main() {
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let text = std::fs::read_to_string(path.as_deref().unwrap_or(DEFAULT_DATA)).expect("the data");
    let documents: Vec<_> = text.lines().map(str::as_bytes).collect();
    let raw_bytes: u64 = documents.iter().map(|document| document.len() as u64).sum();
    println!("{} documents of {} bytes", documents.len(), raw_bytes);
    let zstd = |level| Compression { dictionary_level: level, ..Compression::new(Codec::Zstd) };
    let choices = [
        ("none", None),
        ("lz4", Some(Compression::new(Codec::Lz4))),
        ("zstd", Some(zstd(12))),
        ("zstd, level 3", Some(zstd(3))),
        ("zstd, level 19", Some(zstd(19))),
    ];
    for (name, compression) in choices {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&documents, raw_bytes, compression)).collect();
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let ratio = |bytes: u64| raw_bytes as f64 / bytes as f64;
        println!(
            "{name}: put {:.0} ns, get {:.0} ns, merge {:.0} ns, then get {:.0} ns; values {:.2} when put, {:.2} merged; \
             segments {:.2}",
            of(|round| round.put_ns),
            of(|round| round.get_ns),
            of(|round| round.merge_ns),
            of(|round| round.merged_get_ns),
            ratio(rounds[0].put_bytes),
            ratio(rounds[0].merged_bytes),
            ratio(rounds[0].segment_bytes),
        );
    }
}
