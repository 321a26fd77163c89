//! What becomes of a file's bytes.

use std::collections::BTreeSet;

use super::*;
use crate::io::sim::{Call, Dirty, FaultPlan};

fn outcomes(sim: &Sim, name: &str, seeds: u64) -> BTreeSet<Vec<u8>> {
    (0..seeds).map(|seed| after(sim, Survival::Random(seed)).read_file(DIR, name).unwrap()).collect()
}

#[test]
fn synced_bytes_survive_every_mode() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"synced");
    write(&file, 6, b" and not").unwrap();
    file.truncate(100).unwrap();
    for survival in power_cuts(500) {
        let bytes = after(&sim, survival).read_file(DIR, "a").unwrap();
        assert_eq!(&bytes[..6], b"synced", "{survival:?}");
    }
}

#[test]
fn everything_survives_kill() {
    let (sim, dir) = machine();
    let file = dir.create("a").unwrap();
    write(&file, 0, b"unsynced").unwrap();
    assert_eq!(after(&sim, Survival::Everything).read_file(DIR, "a").unwrap(), b"unsynced");
}

#[test]
fn what_survived_kill_can_still_be_lost_to_a_power_cut() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"unsynced").unwrap();
    let killed = after(&sim, Survival::Everything);
    assert_eq!(killed.crash(0, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"");
    open_dir(&killed).open("a", true).unwrap().sync_data().unwrap();
    assert_eq!(after(&killed, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"unsynced");
}

#[test]
fn synced_only_loses_what_was_not_synced() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"old");
    write(&file, 0, b"newer").unwrap();
    assert_eq!(read(&file), b"newer");
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"old");
}

#[test]
fn an_unsynced_write_is_whole_or_lost_or_torn_at_any_byte_or_a_hole() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"abcd").unwrap();
    let expected = [&b""[..], b"a", b"ab", b"abc", b"abcd", b"\0\0\0\0"].map(<[u8]>::to_vec);
    assert_eq!(outcomes(&sim, "a", 1000), BTreeSet::from(expected));
}

#[test]
fn an_overwrite_of_durable_bytes_never_shows_zeros() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"1111");
    write(&file, 0, b"2222").unwrap();
    let expected = [&b"1111"[..], b"2111", b"2211", b"2221", b"2222"].map(<[u8]>::to_vec);
    assert_eq!(outcomes(&sim, "a", 1000), BTreeSet::from(expected));
}

#[test]
fn sectors_of_one_write_survive_independently() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", &[1; 2048]);
    write(&file, 256, &[2; 1024]).unwrap();
    let first_lost_last_kept = |bytes: &Vec<u8>| bytes[256] == 1 && bytes[1279] == 2;
    let found: Vec<_> = outcomes(&sim, "a", 1000).into_iter().filter(first_lost_last_kept).collect();
    assert!(!found.is_empty());
    for bytes in found {
        for sector in [256..512, 512..1024, 1024..1280] {
            let part = &bytes[sector];
            assert!(part.iter().all(|byte| byte == &part[0]));
        }
    }
}

#[test]
fn a_later_write_can_survive_without_an_earlier_one() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"11").unwrap();
    write(&file, 2, b"22").unwrap();
    assert!(outcomes(&sim, "a", 1000).contains(b"\0\x0022".as_slice()));
}

#[test]
fn an_unsynced_truncation_is_kept_or_lost() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"1234");
    file.truncate(2).unwrap();
    assert_eq!(outcomes(&sim, "a", 100), BTreeSet::from([b"12".to_vec(), b"1234".to_vec()]));
    file.sync_data().unwrap();
    assert_eq!(outcomes(&sim, "a", 100), BTreeSet::from([b"12".to_vec()]));
}

#[test]
fn bytes_of_a_failed_sync_are_lost_though_a_later_one_says_ok() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"lost").unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]));
    assert_eq!(errno(file.sync_data()), libc::EIO);
    write(&file, 4, b"kept").unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&file), b"lostkept", "reads go on showing what the disk does not have");
    for survival in power_cuts(100) {
        assert_eq!(after(&sim, survival).read_file(DIR, "a").unwrap(), b"\0\0\0\0kept", "{survival:?}");
    }
    let reopened = after(&sim, Survival::Everything);
    assert_eq!(reopened.read_file(DIR, "a").unwrap(), b"lostkept", "the page cache outlives the process");
    assert_eq!(after(&reopened, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"\0\0\0\0kept");
}

#[test]
fn a_failed_sync_can_leave_the_bytes_dirty() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"kept").unwrap();
    sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]).dirty(Dirty::Kept));
    file.sync_data().unwrap_err();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"kept");
}

#[test]
fn a_failed_sync_can_have_written_some_changes() {
    let outcome = |seed| {
        let (sim, dir) = machine();
        let file = synced_file(&dir, "a", b"");
        write(&file, 0, b"1").unwrap();
        write(&file, 1, b"2").unwrap();
        sim.fail(FaultPlan::nth(1).only(&[Call::SyncData]).dirty(Dirty::PartlyDropped(seed)));
        file.sync_data().unwrap_err();
        after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap()
    };
    let expected = [&b""[..], b"1", b"\x002", b"12"].map(<[u8]>::to_vec);
    assert_eq!((0..100).map(outcome).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn a_crash_within_a_write_leaves_any_prefix_of_it_even_to_kill() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"abc").unwrap();
    let torn = |seed| {
        let image = sim.crash_within(sim.op_count(), Survival::Everything, seed);
        image.read_file(DIR, "a").unwrap()
    };
    let expected = [&b""[..], b"a", b"ab", b"abc"].map(<[u8]>::to_vec);
    assert_eq!((0..100).map(torn).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn a_crash_within_a_sync_leaves_some_of_what_it_covers() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    write(&file, 0, b"1").unwrap();
    write(&file, 1, b"2").unwrap();
    file.sync_data().unwrap();
    let torn = |seed| {
        let image = sim.crash_within(sim.op_count(), Survival::SyncedOnly, seed);
        image.read_file(DIR, "a").unwrap()
    };
    let expected = [&b""[..], b"1", b"\x002", b"12"].map(<[u8]>::to_vec);
    assert_eq!((0..100).map(torn).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn images_that_keep_everything_and_nothing_come_up_in_long_logs() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    for i in 0..100 {
        write(&file, i, b"x").unwrap();
    }
    let outcomes = outcomes(&sim, "a", 1000);
    assert!(outcomes.contains(&vec![b'x'; 100]));
    assert!(outcomes.contains(&vec![]));
}
