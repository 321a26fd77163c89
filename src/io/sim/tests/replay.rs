//! The same seed and calls give the same run; and how fast images come.

use std::collections::BTreeMap;

use super::*;
use crate::io::sim::{Call, FaultPlan, Op, Rng};

const FILES: usize = 5;

/// About `steps` operations on five files, errors included.
fn run(seed: u64, steps: usize) -> Sim {
    let sim = Sim::new(seed);
    let dir = open_dir(&sim);
    let mut rng = Rng::new(seed);
    let mut files: Vec<_> = (0..FILES).map(|i| dir.create(&i.to_string()).unwrap()).collect();
    sim.open_dir(Path::new("/"), OPTIONS).unwrap().sync().unwrap();
    sim.fail(FaultPlan::nth(9).only(&[Call::Write, Call::SyncData]));
    for step in 0..steps {
        let which = rng.below(FILES);
        let file = &files[which];
        match rng.below(12) {
            0 => drop(file.sync_data()),
            1 => dir.sync().unwrap(),
            2 => file.truncate(rng.below(10_000) as u64).unwrap(),
            3 => {
                let new = dir.create("new").unwrap();
                dir.rename("new", &which.to_string()).unwrap();
                files[which] = new;
            }
            _ => {
                let mut data = vec![0; 100 + rng.below(900)];
                sim.fill_random(&mut data).unwrap();
                drop(write(file, rng.below(9_000) as u64, &data));
            }
        }
        sim.mark(step as u64);
    }
    sim
}

fn images(sim: &Sim) -> Vec<BTreeMap<String, Vec<u8>>> {
    let mut images = Vec::new();
    let mut crasher = sim.crasher();
    loop {
        for image in
            [crasher.image(Survival::Random(3)), crasher.torn_image(Survival::RandomIndependent(4), 5)]
        {
            images.push(if image.has_dir(DIR) { image.contents(DIR) } else { BTreeMap::new() });
        }
        if !crasher.advance() {
            return images;
        }
    }
}

#[test]
fn the_same_seed_replays_log_and_images_to_the_byte() {
    let (one, two, other) = (run(11, 150), run(11, 150), run(12, 150));
    assert_eq!(one.log_text(), two.log_text());
    assert!(images(&one) == images(&two));
    assert_ne!(one.log_text(), other.log_text());
}

#[test]
fn random_access_gives_the_images_of_the_walk_in_any_order() {
    let sim = run(13, 100);
    let mut crasher = sim.crasher();
    let mut walked = vec![crasher.image(Survival::Random(1))];
    while crasher.advance() {
        walked.push(crasher.image(Survival::Random(1)));
    }
    for at_op in (0..walked.len()).rev().chain(0..walked.len()) {
        let image = sim.crash(at_op, Survival::Random(1));
        assert_eq!(image.has_dir(DIR), walked[at_op].has_dir(DIR));
        if image.has_dir(DIR) {
            assert!(image.contents(DIR) == walked[at_op].contents(DIR), "operation {at_op}");
        }
    }
}

#[test]
fn the_live_disk_is_what_its_log_says() {
    for seed in 0..20 {
        let sim = run(seed, 200);
        assert!(after(&sim, Survival::Everything).contents(DIR) == sim.contents(DIR));
    }
}

#[test]
fn an_image_is_a_machine_of_its_own() {
    let (sim, dir) = machine();
    synced_file(&dir, "a", b"before");
    let image = after(&sim, Survival::SyncedOnly);
    assert_eq!((image.op_count(), image.call_count()), (0, 0));
    write(&open_dir(&image).open("a", true).unwrap(), 0, b"after!").unwrap();
    assert_eq!(sim.read_file(DIR, "a").unwrap(), b"before");
    assert_eq!(image.op_count(), 1);
    assert_eq!(image.crash(0, Survival::Everything).read_file(DIR, "a").unwrap(), b"before");
}

#[test]
fn marks_answer_for_the_operation_asked() {
    let (sim, dir) = machine();
    let file = dir.create("a").unwrap();
    write(&file, 0, b"1").unwrap();
    sim.mark(1);
    write(&file, 1, b"2").unwrap();
    sim.mark(2);
    file.sync_data().unwrap();
    sim.mark_synced(2);
    assert_eq!([1, 2, 3, 4].map(|at_op| sim.acknowledged(at_op)), [None, Some(1), Some(2), Some(2)]);
    assert_eq!([3, 4].map(|at_op| sim.synced(at_op)), [None, Some(2)]);
    let mut crasher = sim.crasher();
    while !matches!(crasher.next_op(), Some(Op::SyncData { .. })) {
        assert!(crasher.advance());
    }
    assert_eq!((crasher.at_op(), crasher.acknowledged(), crasher.synced()), (3, Some(2), None));
}

#[test]
fn starting_the_log_keeps_what_is_unsynced_unsynced() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"unsynced").unwrap();
    sim.start_log();
    assert_eq!(sim.op_count(), 0);
    assert_eq!(sim.crash(0, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"unsynced");
}

#[test]
fn starting_the_log_frees_what_nothing_can_reach_and_nothing_else() {
    let (sim, dir) = machine();
    let open = synced_file(&dir, "open", b"open");
    for name in ["gone", "back"] {
        drop(synced_file(&dir, name, b"bytes"));
    }
    for name in ["open", "gone"] {
        dir.remove(name).unwrap();
    }
    dir.sync().unwrap();
    dir.remove("back").unwrap();
    sim.start_log();
    let held: Vec<u64> = sim.state().disk.files.iter().map(|inode| inode.seen.len()).collect();
    assert_eq!(held, [4, 0, 5]);
    assert_eq!(read(&open), b"open");
    assert_eq!(sim.crash(0, Survival::SyncedOnly).read_file(DIR, "back").unwrap(), b"bytes");
    drop(open);
    dir.sync().unwrap();
    sim.start_log();
    assert!(sim.state().disk.files.iter().all(|inode| inode.seen.len() == 0));
}
