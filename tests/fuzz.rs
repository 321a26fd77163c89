//! Every target of `fuzz/` without libFuzzer: over its seeds, and over inputs that are drawn from a number.
//!
//! `BITCASK_FUZZ_SEED` chooses the inputs, `BITCASK_FUZZ_INPUTS` how many there are for each thousand (1000). What a fuzzer
//! found goes to the seeds, and stays there when it is mended.

mod fuzz_bodies;

use bitcask::io::sim::Rng;
use fuzz_bodies::{TARGETS, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const MAX_LEN: usize = 2000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| {
            let path = file.expect("a listing").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a seed"))
        })
        .collect();
    seeds.sort();
    seeds
}

fn check(target: &str, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| run(target, input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{target}: {what} fails; the input in hex: {hex}");
    }
}

/// A seed with some changes, or bytes at random.
fn drawn(rng: &mut Rng, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let random = |rng: &mut Rng, most: usize| {
        let mut bytes = vec![0; rng.below(most + 1)];
        rng.fill(&mut bytes);
        bytes
    };
    if rng.chance(1, 8) {
        return random(rng, 200);
    }
    let mut input = seeds[rng.below(seeds.len())].1.clone();
    for _ in 0..rng.below(6) {
        let at = rng.below(input.len() + 1);
        let to = at + rng.below((input.len() - at).min(40) + 1);
        match rng.below(5) {
            0 => input[at..to].iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            1 => drop(input.drain(at..to)),
            2 => drop(input.splice(at..to, random(rng, 12))),
            3 => drop(input.splice(at..at, input[at..to].to_vec())),
            _ => {
                let other = &seeds[rng.below(seeds.len())].1;
                let from = rng.below(other.len() + 1);
                let part = other[from..].iter().take(rng.below(60)).copied().collect::<Vec<_>>();
                drop(input.splice(at..to, part));
            }
        }
    }
    input.truncate(MAX_LEN);
    input
}

fn exercise(target: &str, thousands: u64) {
    let seeds = seeds(target);
    for (name, input) in &seeds {
        check(target, &format!("the seed {name}"), input);
    }
    let first = setting("BITCASK_FUZZ_SEED", 1);
    let inputs = thousands * setting("BITCASK_FUZZ_INPUTS", 1000);
    for n in 0..inputs {
        let input = drawn(&mut Rng::derive(&[first, n, 61]), &seeds);
        check(target, &format!("input {n} of BITCASK_FUZZ_SEED={first}"), &input);
    }
    println!("{target}: {} seeds, {inputs} inputs", seeds.len());
}

#[test]
fn no_bytes_of_a_segment_are_taken_for_records_that_nobody_wrote() {
    exercise("segment", 8);
}

#[test]
fn no_hint_makes_a_store_fail_and_none_without_checksums_is_believed() {
    exercise("hint", 6);
}

#[test]
fn no_manifest_does_harm() {
    exercise("manifest", 20);
}

#[test]
fn options_are_refused_or_within_their_ranges() {
    exercise("options", 100);
}

#[test]
fn documents_pointers_and_patches_are_what_another_reader_says() {
    exercise("json", 100);
}

#[test]
fn operations_and_crashes_leave_what_the_model_says() {
    exercise("operations", 2);
}

#[test]
fn no_cursor_leads_anywhere_but_to_records() {
    exercise("cursor", 5);
}

#[test]
fn no_compressed_value_comes_to_more_or_less_than_it_says() {
    exercise("compressed", 20);
}

#[test]
fn every_target_has_its_program_and_its_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for name in TARGETS {
        assert!(root.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} has no program");
        assert!(!seeds(name).is_empty(), "{name} has no seeds");
    }
}
