//! Operations on a store of the simulated machine beside a model: two bytes an operation, crashes among them.

use super::support::crashes::Run;
use super::support::{KEYS, Write, merge_policy, options};
use bitcask::engine::Db;
use bitcask::io::env::Env;
use bitcask::io::sim::{Sim, Survival};
use bitcask::options::SyncMode;

/// No input is worth more than so many operations.
const MOST: usize = 80;

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let sync = match mode % 3 {
        0 => SyncMode::Always,
        1 => SyncMode::IntervalMs(5),
        _ => SyncMode::None,
    };
    let mut run = Run::new(1, options(sync));
    let mut db = run.open();
    run.start();
    for (operation, number) in rest.chunks_exact(2).take(MOST).zip(1..) {
        db = step(&mut run, db, operation[0], operation[1], number);
    }
    assert_eq!(run.holds(&db), Ok(()));
    run.close(db);
    let db = run.open();
    assert_eq!(run.holds(&db), Ok(()));
    assert_eq!(db.stats().expect("statistics").recovered_records, 0, "a clean close was recovered");
}

fn step(run: &mut Run, db: Db<Sim>, operation: u8, more: u8, number: u32) -> Db<Sim> {
    let key = |byte: u8| usize::from(byte) % KEYS;
    // So that one input reaches all kinds of values, the very long ones too.
    let value = number * 256 + u32::from(more);
    match operation % 16 {
        0..=4 => run.write(&db, &Write::Put(key(operation / 16), value)),
        5 | 6 => run.write(&db, &Write::Delete(key(more))),
        7 => {
            let first = key(more);
            let second = (first + 1 + usize::from(operation / 16) % (KEYS - 1)) % KEYS;
            let deletes = operation & 0x80 != 0;
            run.write(&db, &Write::Batch(vec![(first, Some(value)), (second, (!deletes).then_some(value))]));
        }
        8 => run.sync(&db),
        9 => db.step_log_thread().expect("jobs"),
        10 => db.step_merge_thread().expect("jobs"),
        11 => drop(db.merge(&merge_policy(1 + u64::from(more) % 99)).expect("a merge")),
        12 => {
            run.sim.set_free_bytes(Some(u64::from(more)));
            run.try_write(&db, &Write::Put(key(operation / 16), value));
            run.sim.set_free_bytes(None);
        }
        13 => {
            run.close(db);
            run.sim.set_clock_ns(run.sim.now_ns().saturating_sub(u64::from(more) << 32));
            return run.open();
        }
        14 => return crash(run, db, Survival::Everything, more),
        _ => return crash(run, db, Survival::Random(u64::from(operation / 16)), more),
    }
    db
}

/// Crashes at some operation of the log, and goes on with what is left.
fn crash(run: &mut Run, db: Db<Sim>, survival: Survival, more: u8) -> Db<Sim> {
    let end = run.sim.op_count();
    // The last byte a crash now, the others one in the course of what was done.
    let at = if more == u8::MAX { end } else { end * usize::from(more) / usize::from(u8::MAX) };
    let image = run.sim.crash(at, survival);
    let acknowledged = run.sim.acknowledged(at).unwrap_or(0);
    let synced = run.sim.synced(at).unwrap_or(0);
    let least = if survival == Survival::Everything { acknowledged } else { synced };
    let most = (acknowledged + 1).min(run.writes());
    drop(db);
    let judged = run.judge(&image, least, most);
    let writes = judged.unwrap_or_else(|err| panic!("crash at {at} of {end}, {survival:?}: {err}"));
    run.go_back_to(writes, image);
    run.open()
}
