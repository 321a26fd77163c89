//! `tests/fuzz_bodies/compressed.rs` under libFuzzer.

#![no_main]

#[path = "../../tests/fuzz_bodies/mod.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::run("compressed", data));
