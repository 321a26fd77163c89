//! Calls fail exactly as planned.

use super::*;
use crate::io::sim::{Call, FaultPlan};

fn write_results(sim: &Sim, dir: &SimDir, plan: FaultPlan) -> Vec<Result<usize, i32>> {
    let file = synced_file(dir, "a", b"");
    sim.fail(plan);
    let once = |_| write(&file, 0, b"12345").map_err(|error| error.raw_os_error().unwrap());
    (0..5).map(once).collect()
}

#[test]
fn a_fault_fires_at_the_nth_matching_call_and_only_there() {
    let (sim, dir) = machine();
    let plan = FaultPlan::nth(3).only(&[Call::Write]).errno(libc::ENOSPC);
    assert_eq!(write_results(&sim, &dir, plan), [Ok(5), Ok(5), Err(libc::ENOSPC), Ok(5), Ok(5)]);
    assert_eq!(sim.faults_fired(), 1);
}

#[test]
fn a_sticky_fault_goes_on_until_cleared() {
    let (sim, dir) = machine();
    let plan = FaultPlan::nth(4).only(&[Call::Write]).sticky();
    assert_eq!(write_results(&sim, &dir, plan), [Ok(5), Ok(5), Ok(5), Err(libc::EIO), Err(libc::EIO)]);
    sim.clear_faults();
    write(&dir.open("a", true).unwrap(), 0, b"x").unwrap();
}

#[test]
fn a_short_write_takes_so_many_bytes_and_the_next_may_fail() {
    let (sim, dir) = machine();
    let plan = FaultPlan::nth(2).only(&[Call::Write]).short(3).then_error().errno(libc::ENOSPC);
    assert_eq!(write_results(&sim, &dir, plan), [Ok(5), Ok(3), Err(libc::ENOSPC), Ok(5), Ok(5)]);
}

#[test]
fn every_kind_of_call_can_be_failed_and_is_counted() {
    type Try = fn(&Sim, &SimDir, &SimFile) -> io::Result<()>;
    let tries: [(Call, Try); Call::COUNT] = [
        (Call::OpenDir, |sim, _, _| sim.open_dir(Path::new(DIR), OPTIONS).map(drop)),
        (Call::Lock, |_, dir, _| dir.try_lock().map(drop)),
        (Call::Names, |_, dir, _| dir.names().map(drop)),
        (Call::Open, |_, dir, _| dir.open("a", true).map(drop)),
        (Call::Create, |_, dir, _| dir.create("b").map(drop)),
        (Call::Link, |sim, dir, _| dir.link("b", &sim.open_dir(Path::new(OTHER), OPTIONS)?, "b")),
        (Call::Rename, |_, dir, _| dir.rename("b", "c")),
        (Call::Remove, |_, dir, _| dir.remove("c")),
        (Call::SyncDir, |_, dir, _| dir.sync()),
        (Call::Len, |_, _, file| file.len().map(drop)),
        (Call::Read, |_, _, file| file.read_at(&mut [0; 4], 0).map(drop)),
        (Call::Write, |_, _, file| write(file, 0, b"1234").map(drop)),
        (Call::Truncate, |_, _, file| file.truncate(2)),
        (Call::SyncData, |_, _, file| file.sync_data()),
        (Call::Random, |sim, _, _| sim.fill_random(&mut [0; 4])),
        (Call::Spawn, |sim, _, _| sim.spawn("none", Box::new(|| ())).map(drop)),
    ];
    assert_eq!(tries.map(|(call, _)| call), Call::ALL);
    let (sim, dir) = machine();
    sim.make_dirs(OTHER);
    let file = synced_file(&dir, "a", b"");
    for (call, attempt) in tries {
        let (before, ops) = (sim.calls(call), sim.op_count());
        sim.fail(FaultPlan::nth(1).only(&[call]).errno(libc::EINTR));
        assert_eq!(errno(attempt(&sim, &dir, &file)), libc::EINTR, "{call:?}");
        let is_sync = matches!(call, Call::SyncData | Call::SyncDir);
        assert_eq!(sim.op_count() - ops, usize::from(is_sync), "{call:?} failed without a trace");
        attempt(&sim, &dir, &file).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        assert_eq!(sim.calls(call) - before, 2, "{call:?}");
    }
}

#[test]
fn a_fault_counts_calls_of_all_kinds_unless_told() {
    let (sim, dir) = machine();
    sim.fail(FaultPlan::nth(3));
    let file = dir.create("a").unwrap();
    write(&file, 0, b"x").unwrap();
    assert_eq!(errno(file.sync_data()), libc::EIO);
    file.sync_data().unwrap();
}

#[test]
fn a_fault_can_choose_files_by_name() {
    let (sim, dir) = machine();
    let (data, manifest) = (dir.create("1.data").unwrap(), dir.create("manifest").unwrap());
    sim.fail(FaultPlan::nth(1).on("mani").sticky());
    write(&data, 0, b"x").unwrap();
    dir.sync().unwrap();
    assert_eq!(errno(write(&manifest, 0, b"x")), libc::EIO);
    assert_eq!(errno(dir.rename("1.data", "manifest")), libc::EIO);
}

#[test]
fn a_call_can_do_its_work_and_answer_an_error() {
    let (sim, dir) = machine();
    sim.fail(FaultPlan::nth(1).only(&[Call::Create]).done_anyway());
    assert_eq!(errno(dir.create("a")), libc::EIO);
    assert!(sim.files(DIR).contains_key("a"));
}

#[test]
fn a_full_disk_writes_short_then_refuses_until_there_is_room() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"");
    sim.set_free_bytes(Some(5));
    assert_eq!(write(&file, 0, b"123").unwrap(), 3);
    assert_eq!(write(&file, 3, b"456").unwrap(), 2);
    assert_eq!(errno(write(&file, 5, b"6")), libc::ENOSPC);
    assert_eq!(write(&file, 0, b"54321").unwrap(), 5, "what is there can be overwritten");
    file.truncate(4).unwrap();
    assert_eq!(sim.free_bytes(), Some(1));
    dir.remove("a").unwrap();
    assert_eq!(sim.free_bytes(), Some(5));
    sim.set_free_bytes(None);
    assert_eq!(write(&dir.create("b").unwrap(), 0, &[0; 100]).unwrap(), 100);
}

#[test]
fn reads_that_touch_a_damaged_sector_fail_in_images_too() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", &[7; 2048]);
    sim.damage(DIR, "a", 600..601);
    let mut buf = [0; 512];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 512);
    assert_eq!(errno(file.read_at(&mut buf, 1)), libc::EIO);
    assert_eq!(errno(file.read_at(&mut buf, 1023)), libc::EIO);
    assert_eq!(file.read_at(&mut buf, 1024).unwrap(), 512);
    write(&file, 0, b"unsynced").unwrap();
    let image = after(&sim, Survival::SyncedOnly);
    assert_eq!(errno(open_dir(&image).open("a", false).unwrap().read_at(&mut buf, 512)), libc::EIO);
}

#[test]
fn corruption_changes_the_stored_byte_for_good() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"abc");
    sim.corrupt(DIR, "a", 1, 0x01);
    assert_eq!(read(&file), b"acc");
    write(&file, 0, b"A").unwrap();
    assert_eq!(after(&sim, Survival::SyncedOnly).read_file(DIR, "a").unwrap(), b"acc");
}

#[test]
fn a_file_can_be_cut_and_replaced_from_outside() {
    let (sim, dir) = machine();
    let file = synced_file(&dir, "a", b"abc");
    sim.cut_file(DIR, "a", 1);
    assert_eq!(read(&file), b"a");
    sim.write_file(DIR, "a", b"hostile");
    sim.write_file(DIR, "b", b"");
    let image = after(&sim, Survival::SyncedOnly);
    assert_eq!(image.files(DIR), [("a".into(), 7), ("b".into(), 0)].into());
    assert_eq!(image.contents(DIR)["a"], b"hostile");
    sim.remove_file(DIR, "a");
    assert_eq!(after(&sim, Survival::SyncedOnly).files(DIR).len(), 1);
}
