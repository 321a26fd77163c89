//! What becomes of names.

use std::collections::BTreeSet;

use super::*;
use crate::io::sim::{Call, FaultPlan};

fn names(sim: &Sim) -> Vec<String> {
    sim.files(DIR).into_keys().collect()
}

fn outcomes(sim: &Sim, survival: impl Fn(u64) -> Survival) -> BTreeSet<Vec<String>> {
    (0..500).map(|seed| names(&after(sim, survival(seed)))).collect()
}

fn sets(expected: &[&[&str]]) -> BTreeSet<Vec<String>> {
    expected.iter().map(|names| names.iter().map(|name| (*name).into()).collect()).collect()
}

#[test]
fn a_created_file_vanishes_without_a_directory_sync_though_its_bytes_were_synced() {
    let (sim, dir) = machine();
    let file = dir.create("a").unwrap();
    write(&file, 0, b"synced").unwrap();
    file.sync_data().unwrap();
    assert_eq!(names(&after(&sim, Survival::SyncedOnly)), [""; 0]);
    assert_eq!(outcomes(&sim, Survival::Random), sets(&[&[], &["a"]]));
    for seed in 0..100 {
        let bytes = after(&sim, Survival::Random(seed)).read_file(DIR, "a");
        assert!(bytes.is_none_or(|bytes| bytes == b"synced"));
    }
    dir.sync().unwrap();
    for survival in power_cuts(100) {
        assert_eq!(after(&sim, survival).read_file(DIR, "a").unwrap(), b"synced");
    }
}

#[test]
fn a_directory_sync_does_not_make_bytes_durable() {
    let (sim, dir) = machine();
    let file = dir.create("a").unwrap();
    write(&file, 0, b"unsynced").unwrap();
    dir.sync().unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"");
}

#[test]
fn a_rename_without_directory_sync_shows_the_old_file_or_the_new_and_never_neither() {
    let (sim, dir) = machine();
    synced_file(&dir, "manifest", b"old");
    synced_file(&dir, "temporary", b"new");
    dir.rename("temporary", "manifest").unwrap();
    let mut seen = BTreeSet::new();
    for survival in power_cuts(200) {
        let image = after(&sim, survival);
        let bytes = image.read_file(DIR, "manifest").unwrap();
        assert_eq!(image.files(DIR).contains_key("temporary"), bytes == b"old");
        seen.insert(bytes);
    }
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
    dir.sync().unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "manifest").unwrap(), b"new");
}

#[test]
fn a_removed_name_comes_back_with_its_synced_bytes() {
    let (sim, dir) = machine();
    synced_file(&dir, "a", b"synced");
    dir.remove("a").unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"synced");
    assert_eq!(outcomes(&sim, Survival::Random), sets(&[&[], &["a"]]));
    dir.sync().unwrap();
    assert_eq!(names(&after(&sim, Survival::SyncedOnly)), [""; 0]);
}

#[test]
fn independent_entries_appear_out_of_order_and_prefixes_do_not() {
    let (sim, dir) = machine();
    for name in ["a", "b"] {
        dir.create(name).unwrap();
    }
    assert_eq!(outcomes(&sim, Survival::RandomPrefix), sets(&[&[], &["a"], &["a", "b"]]));
    assert_eq!(outcomes(&sim, Survival::RandomIndependent), sets(&[&[], &["a"], &["b"], &["a", "b"]]));
    assert_eq!(outcomes(&sim, Survival::Random), sets(&[&[], &["a"], &["b"], &["a", "b"]]));
}

#[test]
fn a_rename_survives_the_loss_of_the_creation_before_it() {
    let (sim, dir) = machine();
    dir.create("a").unwrap();
    dir.rename("a", "b").unwrap();
    dir.rename("b", "c").unwrap();
    let expected = sets(&[&[], &["a"], &["b"], &["c"]]);
    assert_eq!(outcomes(&sim, Survival::RandomIndependent), expected, "one file never has two names");
}

#[test]
fn a_rename_that_survives_takes_its_old_name_away_from_an_older_file_too() {
    let (sim, dir) = machine();
    synced_file(&dir, "a", b"older");
    dir.remove("a").unwrap();
    dir.create("a").unwrap();
    dir.rename("a", "b").unwrap();
    assert_eq!(outcomes(&sim, Survival::RandomIndependent), sets(&[&[], &["a"], &["b"]]));
}

#[test]
fn a_new_directory_is_durable_once_it_is_open_and_what_is_in_it_is_not() {
    let sim = Sim::new(1);
    sim.start_log();
    let dir = open_dir(&sim);
    dir.create("a").unwrap();
    let after_making = sim.crash(1, Survival::SyncedOnly);
    assert!(!after_making.has_dir(DIR));
    let left = after(&sim, Survival::SyncedOnly);
    assert!(left.has_dir(DIR) && names(&left).is_empty());
}

#[test]
fn names_of_a_failed_directory_sync_are_lost_though_a_later_one_says_ok() {
    let (sim, dir) = machine();
    dir.create("a").unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncDir]));
    assert_eq!(errno(dir.sync()), libc::EIO);
    dir.create("b").unwrap();
    dir.sync().unwrap();
    assert_eq!(names(&sim), ["a", "b"]);
    assert_eq!(names(&after(&sim, Survival::SyncedOnly)), ["b"]);
}

#[test]
fn a_crash_within_a_directory_operation_leaves_it_done_or_not() {
    let (sim, dir) = machine();
    dir.create("a").unwrap();
    let torn = |seed| names(&sim.crash_within(1, Survival::Everything, seed));
    assert_eq!((0..100).map(torn).collect::<BTreeSet<_>>(), sets(&[&[], &["a"]]));
}

#[test]
fn a_link_is_a_name_of_the_same_file_and_durable_with_its_directory() {
    let (sim, dir) = machine();
    sim.make_dirs(OTHER);
    let other = sim.open_dir(Path::new(OTHER), OPTIONS).unwrap();
    let file = synced_file(&dir, "a", b"old");
    dir.link("a", &other, "b").unwrap();
    assert_eq!(errno(dir.link("a", &other, "b")), libc::EEXIST);
    let linked = |survival| after(&sim, survival).files(OTHER).into_keys().collect::<Vec<_>>();
    assert_eq!(linked(Survival::SyncedOnly), [""; 0]);
    let outcomes: BTreeSet<_> = (0..200).map(|seed| linked(Survival::Random(seed))).collect();
    assert_eq!(outcomes, sets(&[&[], &["b"]]));
    dir.sync().unwrap();
    assert_eq!(linked(Survival::SyncedOnly), [""; 0]);
    other.sync().unwrap();
    dir.remove("a").unwrap();
    write(&file, 0, b"new").unwrap();
    for survival in power_cuts(100) {
        let image = after(&sim, survival);
        let bytes = image.read_file(OTHER, "b").unwrap();
        assert!(image.read_file(DIR, "a").is_none_or(|same| same == bytes), "one file has one fate");
    }
    assert_eq!(sim.read_file(OTHER, "b").unwrap(), b"new");
}

#[test]
fn the_space_of_a_file_is_given_back_with_its_last_name() {
    let (sim, dir) = machine();
    sim.make_dirs(OTHER);
    let other = sim.open_dir(Path::new(OTHER), OPTIONS).unwrap();
    sim.set_free_bytes(Some(100));
    synced_file(&dir, "a", b"bytes");
    dir.link("a", &other, "a").unwrap();
    dir.remove("a").unwrap();
    assert_eq!(sim.free_bytes(), Some(95));
    other.remove("a").unwrap();
    assert_eq!(sim.free_bytes(), Some(100));
}

#[test]
fn a_directory_holds_itself_and_what_lies_below_it() {
    let (sim, dir) = machine();
    sim.make_dirs("/db/sub/sub");
    sim.make_dirs(OTHER);
    let open = |path: &str| sim.open_dir(Path::new(path), OPTIONS).unwrap();
    for (path, held) in [("/db", true), ("/db/sub/sub", true), (OTHER, false), ("/", false)] {
        assert_eq!(dir.holds(&open(path)).unwrap(), held, "{path}");
    }
}

#[test]
fn an_open_file_outlives_its_name() {
    let (_sim, dir) = machine();
    let file = synced_file(&dir, "a", b"old");
    dir.remove("a").unwrap();
    let other = dir.create("a").unwrap();
    write(&other, 0, b"new").unwrap();
    assert_eq!((read(&file), read(&other)), (b"old".to_vec(), b"new".to_vec()));
}

#[test]
fn refusals_are_those_of_a_real_directory() {
    let (sim, dir) = machine();
    synced_file(&dir, "a", b"");
    sim.make_special(DIR, "pipe");
    sim.make_dirs("/db/sub");
    assert_eq!(errno(dir.open("missing", false)), libc::ENOENT);
    assert_eq!(errno(dir.open("pipe", false)), libc::EINVAL);
    assert_eq!(errno(dir.open("sub", false)), libc::EINVAL);
    assert_eq!(errno(dir.create("a")), libc::EEXIST);
    assert_eq!(errno(dir.create("pipe")), libc::EEXIST);
    assert_eq!(errno(dir.create("x/y")), libc::EINVAL);
    assert_eq!(errno(dir.create("..")), libc::EINVAL);
    assert_eq!(errno(dir.create(&"n".repeat(256))), libc::ENAMETOOLONG);
    assert_eq!(errno(dir.rename("missing", "b")), libc::ENOENT);
    assert_eq!(errno(dir.rename("a", "sub")), libc::EISDIR);
    assert_eq!(errno(dir.remove("sub")), libc::EISDIR);
    assert_eq!(errno(dir.open("a", false).unwrap().truncate(0)), libc::EBADF);
    let open = |path: &str, create| sim.open_dir(Path::new(path), DirOptions { create, file_mode: 0o600 });
    assert_eq!(errno(open("/none", false)), libc::ENOENT);
    assert_eq!(errno(open("/none/below", true)), libc::ENOENT);
    assert_eq!(errno(open("/db/a", true)), libc::ENOTDIR);
}
