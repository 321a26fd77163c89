//! Power cuts on a real file system: an ext4 in a file is shut down in the middle of a load and of merges, without a
//! flush of its journal, and mounted again. What was not synced is then lost as the kernel loses it.
//!
//! The test program starts itself in a mount namespace of its own, so that nothing stays mounted.
//! `BITCASK_POWER_CUTS` and `BITCASK_POWER_CUT_SEED` choose length and course; when a cut comes is the scheduler's.

use crate::load::{Model, apply, observe, perform, setting};
use crate::skipped::skipped;
use crate::support::Scratch;
use crate::{open, small_segments, wait_until};
use bitcask::engine::Store;
use bitcask::io::sim::Rng;
use bitcask::options::{MergePolicy, Options, SyncMode};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const NAME: &str = "power_cuts::what_a_shut_down_ext4_keeps_is_a_prefix_no_shorter_than_the_last_sync";
const DISK_BYTES: u64 = 64 << 20;
/// After so many cuts a store is left alone and a new one begun.
const CUTS_OF_ONE_STORE: u64 = 8;

/// `EXT4_IOC_SHUTDOWN`, and its flag that leaves the journal as it is on the disk.
const SHUTDOWN: libc::c_ulong = 0x8004_587D;
static NO_LOG_FLUSH: u32 = 2;

fn ran(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|err| format!("{program}: {err}"))?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {told}")) }
}

/// A file system in a file.
struct Machine {
    image: String,
    mounted: String,
}

impl Machine {
    fn new(home: &Path) -> Result<Machine, String> {
        let text = |name: &str| home.join(name).to_str().expect("a path in UTF-8").to_owned();
        let machine = Machine { image: text("disk"), mounted: text("mounted") };
        let image = File::create(&machine.image).and_then(|file| file.set_len(DISK_BYTES));
        image.and_then(|()| fs::create_dir(&machine.mounted)).map_err(|err| err.to_string())?;
        ran("mkfs.ext4", &["-q", "-F", &machine.image])?;
        machine.mount()?;
        Ok(machine)
    }

    fn mount(&self) -> Result<(), String> {
        ran("mount", &["-o", "loop", &self.image, &self.mounted])
    }

    fn unmount(&self) {
        ran("umount", &[&self.mounted]).expect("nothing is open there");
    }

    fn cut_power(&self) {
        let root = File::open(&self.mounted).expect("it is mounted");
        // SAFETY: the descriptor is open, and the flag lives through the call, which reads it.
        let answer = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const NO_LOG_FLUSH) };
        assert_eq!(answer, 0, "{}", io::Error::last_os_error());
    }
}

/// How far the load came.
struct Progress {
    /// The first write that is not acknowledged.
    acknowledged: u64,
    /// The first write that was not known to be synced when the power was cut.
    synced: u64,
}

/// Writes, syncs now and then, and merges beside it, until the power is cut after `time`. On a busy machine so short a time
/// sees no merge: in a new store it begins when there has been one.
fn load(
    machine: &Machine,
    db: &Store,
    sync: SyncMode,
    (seed, next): (u64, u64),
    is_new: bool,
    time: Duration,
) -> Progress {
    let (acknowledged, synced) = (AtomicU64::new(next), AtomicU64::new(next));
    let stop = AtomicBool::new(false);
    let known = std::thread::scope(|threads| {
        threads.spawn(|| {
            for n in next.. {
                if perform(db, seed, n).is_err() {
                    break;
                }
                acknowledged.store(n + 1, Ordering::SeqCst);
                if sync == SyncMode::Always || n % 16 == 15 && db.sync().is_ok() {
                    synced.store(n + 1, Ordering::SeqCst);
                }
            }
        });
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) && db.merge(&MergePolicy::everything()).is_ok() {
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        if is_new {
            wait_until("there was a merge", || db.stats().expect("open").merges > 0);
        }
        std::thread::sleep(time);
        // A sync that is under way meanwhile may answer OK and have kept nothing (seen). Without power it answers nobody.
        let known = synced.load(Ordering::SeqCst);
        machine.cut_power();
        stop.store(true, Ordering::Relaxed);
        known
    });
    Progress { acknowledged: acknowledged.into_inner(), synced: known }
}

fn cut_again_and_again(machine: &Machine, seed: u64, cuts: u64) {
    let (mut model, mut next, mut merges, mut lost) = (Model::new(), 0, 0, 0);
    for cut in 0..cuts {
        let mut rng = Rng::derive(&[seed, cut, 4]);
        let dir = Path::new(&machine.mounted).join(format!("store {}", cut / CUTS_OF_ONE_STORE));
        if cut % CUTS_OF_ONE_STORE == 0 {
            for old in fs::read_dir(&machine.mounted).expect("a listing").flatten() {
                let _ = fs::remove_dir_all(old.path());
            }
            machine.unmount();
            machine.mount().expect("it was mounted before");
            model = Model::new();
        }
        let sync = [SyncMode::None, SyncMode::IntervalMs(2), SyncMode::Always][rng.below(3)];
        let db = open(&dir, &Options { sync, ..small_segments() }).expect("a store opens on a healthy disk");
        let first = next;
        let time = Duration::from_micros(rng.next_u64() % 12_000);
        let progress = load(machine, &db, sync, (seed, first), cut % CUTS_OF_ONE_STORE == 0, time);
        merges += db.stats().expect("open").merges;
        drop(db);
        machine.unmount();
        machine.mount().expect("the journal is sound");

        let failed = |what: String| -> ! { panic!("seed {seed}, cut {cut}, sync {sync:?}: {what}") };
        let db = open(&dir, &small_segments()).unwrap_or_else(|err| failed(err.to_string()));
        let stats = db.stats().expect("open");
        assert_eq!((stats.corrupt_records, stats.degraded), (0, None), "seed {seed}, cut {cut}");
        let Progress { acknowledged, synced } = progress;
        // The write that was under way may be there too.
        next = acknowledged + 1;
        let found = observe(&db, seed);
        let mut state = model.clone();
        (first..synced).for_each(|n| apply(&mut state, seed, n));
        let mut writes = synced;
        while state != found && writes < next {
            apply(&mut state, seed, writes);
            writes += 1;
        }
        if state != found {
            failed(format!(
                "{found:?} is not the state of {synced} to {next} writes, the last of which is {state:?}"
            ));
        }
        lost += acknowledged.saturating_sub(writes);
        model = found;
    }
    println!("{cuts} power cuts, {next} writes, {merges} merges, {lost} writes after the last sync lost");
    assert!(next > cuts && merges > 0, "the load did nothing");
}

#[test]
fn what_a_shut_down_ext4_keeps_is_a_prefix_no_shorter_than_the_last_sync() {
    let seed = setting("BITCASK_POWER_CUT_SEED", 1);
    if let Some(home) = std::env::var_os("BITCASK_POWER_CUT_HOME") {
        match Machine::new(Path::new(&home)) {
            Ok(machine) => cut_again_and_again(&machine, seed, setting("BITCASK_POWER_CUTS", 60)),
            Err(why) => skipped(&format!("no file system can be made and mounted here ({why})")),
        }
        return;
    }
    let scratch = Scratch::new();
    let mut program = Command::new(std::env::current_exe().expect("this program"));
    program.args(["--exact", NAME, "--nocapture"]).env("BITCASK_POWER_CUT_HOME", scratch.path());
    // SAFETY: two system calls between fork and exec; without the right for them the mount says so.
    unsafe {
        program.pre_exec(|| {
            libc::unshare(libc::CLONE_NEWNS);
            let none = c"none".as_ptr();
            libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null());
            Ok(())
        });
    }
    let output = program.stderr(Stdio::inherit()).output().expect("this program starts once more");
    // Without the harness's own lines, which would be counted as another test program's.
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.lines().filter(|line| line.contains("power cuts,")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "seed {seed}: {}", output.status);
}
