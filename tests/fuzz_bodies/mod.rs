//! What is fuzzed: for each target a function of some bytes, which panics when the library does not hold to something.
//!
//! `tests/fuzz.rs` runs them over the seeds and over inputs drawn from a number, `fuzz/` under libFuzzer.

mod compressed;
mod cursor;
mod files;
mod hint;
mod json;
mod manifest;
mod operations;
mod options;
mod segment;
#[path = "../support/mod.rs"]
mod support;

/// The targets; `fuzz/seeds` has a folder of inputs for each.
#[allow(dead_code, reason = "a fuzzer has its one target")]
pub const TARGETS: [&str; 8] =
    ["segment", "hint", "manifest", "options", "json", "operations", "cursor", "compressed"];

/// Runs the target of this name.
pub fn run(target: &str, data: &[u8]) {
    match target {
        "segment" => segment::run(data),
        "hint" => hint::run(data),
        "manifest" => manifest::run(data),
        "options" => options::run(data),
        "json" => json::run(data),
        "operations" => operations::run(data),
        "cursor" => cursor::run(data),
        "compressed" => compressed::run(data),
        other => panic!("{other} is no target"),
    }
}
