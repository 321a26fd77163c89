//! The worked example of `docs/FORMAT.md`, read out of the document and compared with what the code writes.
//!
//! In the document's `hex` and `checkpoint` blocks a line is `offset  bytes  ; what they are`.

use bitcask::engine::Db;
use bitcask::features::batch::Batch;
use bitcask::io::sim::Sim;
use bitcask::options::Options;
use std::collections::BTreeMap;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/FORMAT.md");
const DIR: &str = "/store";

/// The files of the store that the document describes.
fn store() -> BTreeMap<String, Vec<u8>> {
    let sim = Sim::new(1);
    sim.make_dirs("/");
    let db = Db::open(sim.clone(), Path::new(DIR), &Options::default()).expect("a new store opens");
    db.put(b"hello", b"world").expect("put");
    let mut batch = Batch::new();
    batch.put_json(b"doc", br#"{"n": 1}"#).expect("a document");
    batch.delete(b"hello").expect("a deletion");
    db.write(&batch).expect("batch").version().expect("a version");
    db.sync().expect("sync");
    db.put(b"k", b"").expect("put");
    db.close().expect("close");
    sim.contents(DIR)
}

/// The lines of the document's block of this kind.
fn block(kind: &str) -> Vec<&'static str> {
    let fence = format!("```{kind}");
    DOCUMENT.lines().skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```").collect()
}

/// The bytes of the document's block of this kind.
fn annotated(kind: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block(kind) {
        let (data, _what) = line.split_once(';').expect("every line says what its bytes are");
        let mut words = data.split_whitespace();
        let offset = words.next().and_then(|word| word.parse().ok());
        assert_eq!(offset, Some(bytes.len()), "the offset in {line:?}");
        bytes.extend(words.map(|word| u8::from_str_radix(word, 16).expect("two hexadecimal digits")));
    }
    bytes
}

#[test]
fn the_annotated_segment_is_what_the_code_writes() {
    assert_eq!(annotated("hex"), store()["000000000001.data"], "left: the document, right: the code");
}

#[test]
fn the_annotated_checkpoint_is_what_the_code_writes() {
    assert_eq!(annotated("checkpoint"), store()["keydir.checkpoint"], "left: the document, right: the code");
}

#[test]
fn the_manifest_is_what_the_code_writes() {
    let text: String = block("manifest").iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(text, String::from_utf8_lossy(&store()["manifest.json"]));
}

#[test]
fn the_store_has_these_files_and_no_others() {
    let lens: Vec<(String, usize)> = store().into_iter().map(|(name, bytes)| (name, bytes.len())).collect();
    let listed: Vec<(String, usize)> = block("files")
        .iter()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_string(), words.next()?.parse().ok()?))
        })
        .collect();
    assert_eq!(listed, lens);
}
