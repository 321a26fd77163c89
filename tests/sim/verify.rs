//! What a verification tells of sound stores, and of stores in which a bit, a length or a file is wrong.
//!
//! `BITCASK_DAMAGE_SEED` is the first of the histories that the stores come from.

use crate::support::crashes::manifest;
use crate::support::damaged::{Left, Store, store};
use crate::support::{DIR, open, setting};
use bitcask::engine::{Finding, Findings};
use bitcask::features::verify::{Verification, verify};
use bitcask::format::names;
use bitcask::io::sim::{Rng, Sim};
use std::path::Path;

const STEPS: usize = 50;

fn seeds() -> std::ops::Range<u64> {
    let first = setting("BITCASK_DAMAGE_SEED", 3);
    first..first + 6
}

fn check(sim: &Sim) -> Verification {
    let before = sim.contents(DIR);
    let found = verify(sim, Path::new(DIR)).expect("a store that can be read");
    assert_eq!(sim.contents(DIR), before, "a verification changed files");
    found
}

fn all(findings: &Findings) -> impl Iterator<Item = &Finding> {
    findings.damages.listed.iter().chain(&findings.notes.listed)
}

/// Whether something is told of that byte of that file.
fn tells(findings: &Findings, file: &str, offset: u64) -> bool {
    let covers = |finding: &Finding| {
        finding.offset <= offset && (finding.length == 0 || offset < finding.offset + finding.length)
    };
    all(findings).any(|finding| finding.file == file && covers(finding))
}

/// Whether a store says of that byte that it was durable.
fn is_proven(store: &Store, file: &str, offset: u64) -> bool {
    let manifest = manifest(&store.sim);
    let Some(number) = names::parse_segment(file) else { return file == names::MANIFEST };
    let durable = manifest.clean_close.filter(|close| close.active == number).map(|close| close.len);
    manifest
        .segments
        .iter()
        .filter(|entry| entry.number == number)
        .any(|entry| offset < durable.unwrap_or(entry.kept_len()))
}

#[test]
fn a_sound_store_is_sound_whatever_it_went_through() {
    for seed in seeds().start..seeds().start + 300 {
        for left in [Left::Closed, Left::Killed] {
            let store = store(seed, STEPS, left);
            let found = check(&store.sim);
            assert!(found.is_sound(), "seed {seed}, {left:?}: {}", found.to_json());
            let held = store.last().iter().flatten().count() as u64;
            assert!(found.records - found.tombstones >= held, "seed {seed}: {}", found.to_json());
            let db = open(&store.sim, &store.options).expect("a sound store opens");
            let found = check(&store.sim);
            assert!(found.is_sound(), "seed {seed}, {left:?}, open: {}", found.to_json());
            drop(db);
        }
    }
}

/// A bit of each byte, and each length.
fn harm_everything(left: Left) {
    let mut cases = 0;
    for seed in seeds() {
        let store = store(seed, STEPS, left);
        let mut rng = Rng::derive(&[seed, 41]);
        for (name, bytes) in store.sim.contents(DIR) {
            for offset in 0..bytes.len() as u64 {
                let image = store.image();
                image.corrupt(DIR, &name, offset, 1 << rng.below(8));
                let found = check(&image);
                let of_what = || format!("seed {seed}, {left:?}, {name} byte {offset}: {}", found.to_json());
                assert!(tells(&found.findings, &name, offset), "untold: {}", of_what());
                // Padding is covered by no checksum.
                let harmless = all(&found.findings).any(|finding| finding.what.contains("padding"));
                let lost = is_proven(&store, &name, offset) && !harmless;
                assert!(found.is_sound() || names::parse_hint(&name).is_none(), "{}", of_what());
                // Of a killed store the markers, too, prove a part.
                assert!(!lost || !found.is_sound(), "{}", of_what());
                assert!(lost || left == Left::Killed || found.is_sound(), "{}", of_what());
                cases += 1;
            }
            for len in 0..bytes.len() as u64 {
                let image = store.image();
                image.cut_file(DIR, &name, len);
                let found = check(&image);
                // What was proven is a beginning. Markers that are cut off prove nothing any more.
                let told = !found.is_sound() || !is_proven(&store, &name, len);
                assert!(told, "seed {seed}, {left:?}, {name} of {len} bytes: {}", found.to_json());
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 10_000);
}

#[test]
fn whatever_byte_or_length_of_a_closed_store_is_wrong_is_told() {
    harm_everything(Left::Closed);
}

#[test]
fn whatever_byte_or_length_of_a_killed_store_is_wrong_is_told() {
    harm_everything(Left::Killed);
}
