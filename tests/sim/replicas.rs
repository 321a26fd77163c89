//! Replicas that follow a feed, and crashes of either side at any operation.
//!
//! Whoever goes on from a cursor ends with what the source holds, or is told to begin with a snapshot again; a replica holds
//! just what its cursor says. `BITCASK_REPLICA_SEEDS` and `BITCASK_REPLICA_FIRST_SEED` choose the histories.

use crate::support;
use crate::support::feeds::{Contents, Owned, alive, contents, contents_of, kill, pull, take_over};
use crate::support::{DIR, compression, key, merge_policy, open, options, setting, value};
use bitcask::engine::{Db, Expiry, Feed, WriteOptions};
use bitcask::features::batch::Batch;
use bitcask::io::env::Env;
use bitcask::io::sim::{Rng, Sim, Survival};
use bitcask::options::{MergeMode, Options, SyncMode};
use std::collections::BTreeMap;

const STEPS: usize = 50;
const SECOND_NS: u64 = 1_000_000_000;

/// What happened, over all seeds.
#[derive(Debug, Default)]
struct Counts {
    batches: u64,
    merges: u64,
    expired: u64,
    resnapshots: u64,
    source_kills: u64,
    source_power_cuts: u64,
    replica_kills: u64,
    replica_power_cuts: u64,
    went_on: u64,
    comparisons: u64,
}

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.make_dirs(DIR);
    sim
}

fn options_of(rng: &mut Rng) -> Options {
    let sync = [SyncMode::None, SyncMode::None, SyncMode::IntervalMs(5), SyncMode::Always][rng.below(4)];
    Options {
        merge: MergeMode::Manual,
        checkpoint: rng.chance(1, 2),
        compression: compression(rng),
        feed_retention_bytes: [0, 0, 1500][rng.below(3)],
        ..options(sync)
    }
}

/// A deadline that is never within half a second of the times at which stores are compared.
fn deadline(sim: &Sim, rng: &mut Rng) -> u64 {
    (sim.now_ns() / SECOND_NS + 1 + rng.below(20) as u64) * SECOND_NS + SECOND_NS / 2
}

/// One random write or other work on a store, and whether it was a write.
fn work(sim: &Sim, db: &Db<Sim>, rng: &mut Rng, counts: &mut Counts) {
    let fresh = |rng: &mut Rng| value(rng.next_u64().to_le_bytes()[0].into());
    let at = key(rng.below(support::KEYS));
    match rng.below(20) {
        0..=6 => drop(db.put(&at, &fresh(rng)).expect("a put")),
        7 => drop(db.put_json(&at, b"{\"a\": [1, 2]}").expect("a document")),
        8..=9 => {
            let expiry = Expiry::At(deadline(sim, rng));
            let options = WriteOptions { expiry, ..WriteOptions::default() };
            assert!(db.put_with(&at, &fresh(rng), &options).expect("a put").version().is_some());
        }
        10..=11 => drop(db.delete(&at).expect("a deletion")),
        12..=14 => {
            let mut batch = Batch::new();
            for _ in 0..1 + rng.below(4) {
                let at = key(rng.below(support::KEYS));
                match rng.chance(2, 3) {
                    true => batch.put(&at, &fresh(rng)).expect("room"),
                    false => batch.delete(&at).expect("room"),
                }
            }
            assert!(db.write(&batch).expect("a batch").version().is_some());
            counts.batches += 1;
        }
        15 => db.sync().expect("a sync"),
        16..=17 => db.step_log_thread().expect("jobs"),
        18 => {
            counts.merges += db.merge(&merge_policy([1, 40][rng.below(2)])).expect("a merge");
        }
        _ => {
            let before = contents(db).len();
            sim.advance_clock_ns(rng.below(20) as u64 * SECOND_NS);
            counts.expired += (before - contents(db).len()) as u64;
        }
    }
}

/// Compares what two stores hold, at a time between deadlines.
fn compare(source: &(Sim, Db<Sim>), replica: &(Sim, Db<Sim>), counts: &mut Counts) {
    let now_ns = (source.0.now_ns().max(replica.0.now_ns()) / SECOND_NS + 1) * SECOND_NS;
    source.0.set_clock_ns(now_ns);
    replica.0.set_clock_ns(now_ns);
    let (held, copied) = (contents(&source.1), contents(&replica.1));
    assert_eq!(held, copied, "the replica differs");
    counts.comparisons += 1;
}

/// Fills an empty replica from a snapshot, in some batches, and answers the feed that goes on from there. The feed is open
/// first, so that merges leave it what it needs.
fn fill(source: &Db<Sim>, replica: &Db<Sim>, rng: &mut Rng) -> Feed<Sim> {
    let snapshot = source.snapshot().expect("a snapshot");
    let cursor = snapshot.cursor().expect("a cursor");
    let feed = source.feed(&cursor).expect("a feed").expect("what was just taken is there");
    let held: Vec<Owned> = contents_of(snapshot).into_values().collect();
    for changes in held.chunks(1 + rng.below(4)) {
        let changes: Vec<_> = changes.iter().map(Owned::change).collect();
        replica.apply(&changes, b"").expect("a part of the snapshot");
    }
    replica.apply(&[], &cursor).expect("the cursor");
    feed
}

/// Applies what the feed has; `false` when it must begin anew.
fn follow(feed: &mut Feed<Sim>, replica: &Db<Sim>, most: usize) -> bool {
    let Some(changes) = pull(feed, most) else { return false };
    let given: Vec<_> = changes.iter().map(Owned::change).collect();
    replica.apply(&given, &feed.cursor().expect("a cursor")).expect("changes");
    true
}

#[test]
fn a_live_replica_stays_equal_through_all_that_happens_to_either_side() {
    let first = setting("BITCASK_REPLICA_FIRST_SEED", 1);
    let seeds = setting("BITCASK_REPLICA_SEEDS", 60);
    let mut counts = Counts::default();
    for seed in first..first + seeds {
        live(seed, &mut counts);
    }
    println!("{seeds} replicas, {counts:?}");
    let Counts { batches, merges, expired, resnapshots, went_on, comparisons, .. } = counts;
    let crashes =
        [counts.source_kills, counts.source_power_cuts, counts.replica_kills, counts.replica_power_cuts];
    for count in [batches, merges, expired, resnapshots, went_on, comparisons].into_iter().chain(crashes) {
        assert!(count >= seeds / 2, "{counts:?}");
    }
}

fn live(seed: u64, counts: &mut Counts) {
    let mut rng = Rng::derive(&[seed, 41]);
    let (source_options, replica_options) = (options_of(&mut rng), options_of(&mut rng));
    let fresh = |seed, options: &Options| {
        let sim = machine(seed);
        let db = open(&sim, options).expect("a new store opens");
        (sim, db)
    };
    let mut source = fresh(2 * seed, &source_options);
    let mut replica = fresh(2 * seed + 1, &replica_options);
    source.0.start_log();
    replica.0.start_log();
    let mut feed = None;
    // Of the source's log, what the replica may have seen.
    let mut seen = 0;
    for _ in 0..8 * STEPS {
        match rng.below(40) {
            0..=25 => work(&source.0, &source.1, &mut rng, counts),
            26..=31 => {
                let mut from = match feed.take() {
                    Some(feed) => Some(feed),
                    None => match replica.1.applied_cursor().expect("an answer") {
                        Some(cursor) => source.1.feed(&cursor).expect("an answer"),
                        None => None,
                    },
                };
                counts.went_on += u64::from(from.is_some());
                let goes_on = from.as_mut().is_some_and(|from| follow(from, &replica.1, rng.below(12)));
                if !goes_on {
                    // Whatever it holds, it begins with nothing.
                    drop(from);
                    counts.resnapshots += 1;
                    let clock_ns = replica.0.now_ns();
                    replica = fresh(rng.next_u64(), &replica_options);
                    replica.0.set_clock_ns(clock_ns);
                    replica.0.start_log();
                    from = Some(fill(&source.1, &replica.1, &mut rng));
                }
                seen = source.0.op_count();
                // A feed that is not kept open pins nothing.
                feed = from.filter(|_| rng.chance(2, 3));
            }
            32 => {
                if let Some(from) = &mut feed {
                    assert!(follow(from, &replica.1, usize::MAX), "an open feed goes on");
                    seen = source.0.op_count();
                    compare(&source, &replica, counts);
                }
            }
            33 => drop(replica.1.merge(&merge_policy(1)).expect("a merge")),
            34 => replica.1.step_log_thread().expect("jobs"),
            35 => match rng.chance(1, 2) {
                true => {
                    feed = None;
                    source.1.close().expect("a close");
                    source.1 = open(&source.0, &source_options).expect("it opens");
                }
                false => {
                    replica.1.close().expect("a close");
                    replica.1 = open(&replica.0, &replica_options).expect("it opens");
                }
            },
            36 => {
                feed = None;
                counts.source_kills += 1;
                source.1 = kill(&source.0, source.1, &source_options);
            }
            37 => {
                feed = None;
                counts.source_power_cuts += 1;
                let end = source.0.op_count();
                source.0 = cut(&source.0, seen + rng.below(end - seen + 1), &mut rng);
                source.1 = open(&source.0, &source_options).expect("it opens after a power cut");
                seen = 0;
            }
            38 => {
                feed = None;
                counts.replica_kills += 1;
                replica.1 = kill(&replica.0, replica.1, &replica_options);
            }
            _ => {
                feed = None;
                counts.replica_power_cuts += 1;
                let end = replica.0.op_count();
                replica.0 = cut(&replica.0, rng.below(end + 1), &mut rng);
                // A crash may come before the first manifest.
                replica.1 = open(&replica.0, &replica_options).expect("it opens after a power cut");
            }
        }
    }
}

/// The machine after its power was cut at an operation.
fn cut(sim: &Sim, at: usize, rng: &mut Rng) -> Sim {
    let survival = match rng.below(3) {
        0 => Survival::SyncedOnly,
        _ => Survival::Random(rng.next_u64()),
    };
    let image = if at > 0 && rng.chance(1, 3) && at < sim.op_count() {
        sim.crash_within(at + 1, survival, rng.next_u64())
    } else {
        sim.crash(at, survival)
    };
    image.set_clock_ns(sim.now_ns());
    image.start_log();
    image
}

/// What somebody knows who followed a source up to an operation of its log.
struct Known {
    at_op: usize,
    contents: Contents,
    cursor: Vec<u8>,
}

/// A recorded run of a source, and of one who followed it. If it `pins`, its feed stays open.
fn record(seed: u64, pins: bool) -> (Sim, Options, Vec<Known>) {
    let mut rng = Rng::derive(&[seed, 42]);
    let options = options_of(&mut rng);
    let sim = machine(seed);
    let mut db = open(&sim, &options).expect("a new store opens");
    db.sync().expect("a sync");
    sim.start_log();
    let (mut counts, mut known) = (Counts::default(), Vec::new());
    let (mut held, mut cursor) = (Contents::new(), Vec::new());
    let mut feed = None;
    for step in 0..STEPS {
        match rng.below(10) {
            0..=6 => work(&sim, &db, &mut rng, &mut counts),
            7 if step % 3 == 0 => {
                feed = None;
                db = if rng.chance(1, 2) {
                    kill(&sim, db, &options)
                } else {
                    db.close().expect("a close");
                    open(&sim, &options).expect("it opens")
                };
                if pins {
                    feed = db.feed(&cursor).expect("an answer");
                    assert!(feed.is_some(), "seed {seed}: nothing was merged and nothing lost");
                }
            }
            _ => {
                let mut from = feed.take().or_else(|| db.feed(&cursor).expect("an answer"));
                let changes = from.as_mut().and_then(|from| pull(from, rng.below(9)));
                match (from, changes) {
                    (Some(from), Some(changes)) => {
                        changes.iter().for_each(|change| take_over(&mut held, change));
                        cursor = from.cursor().expect("a cursor").to_vec();
                        feed = Some(from).filter(|_| pins);
                    }
                    _ => {
                        assert!(!pins, "seed {seed}: what is not read is not merged");
                        let snapshot = db.snapshot().expect("a snapshot");
                        cursor = snapshot.cursor().expect("a cursor").to_vec();
                        held = contents_of(snapshot);
                    }
                }
                known.push(Known { at_op: sim.op_count(), contents: held.clone(), cursor: cursor.clone() });
            }
        }
    }
    (sim, options, known)
}

/// Goes on from what is known, on what a crash left; `false` when it must begin anew.
fn goes_on(image: &Sim, options: &Options, known: &Known) -> bool {
    let db = open(image, options).expect("it opens after a crash");
    let Some(mut feed) = db.feed(&known.cursor).expect("an answer") else { return false };
    let changes = pull(&mut feed, usize::MAX).expect("what was promised at the opening");
    let mut held = known.contents.clone();
    changes.iter().for_each(|change| take_over(&mut held, change));
    let now_ns = (image.now_ns() / SECOND_NS + 1) * SECOND_NS;
    image.set_clock_ns(now_ns);
    assert_eq!(alive(&held, now_ns), contents(&db));
    true
}

#[test]
fn whoever_followed_a_source_that_crashes_at_any_operation_ends_with_what_it_holds() {
    let first = setting("BITCASK_REPLICA_FIRST_SEED", 1);
    let seeds = setting("BITCASK_REPLICA_SEEDS", 60) / 3;
    let (mut cases, mut anew) = ([0, 0], [0, 0]);
    for seed in first..first + seeds {
        let pins = seed % 2 == 0;
        let (sim, options, known) = record(seed, pins);
        let mut crasher = sim.crasher();
        loop {
            let at = crasher.at_op();
            let mut rng = Rng::derive(&[seed, at as u64, 43]);
            if let Some(known) = known.iter().rfind(|known| known.at_op <= at) {
                let kinds = [Survival::Everything, Survival::SyncedOnly, Survival::Random(rng.next_u64())];
                for (kind, survival) in kinds.into_iter().enumerate() {
                    let torn = rng.chance(1, 2);
                    let image = if torn {
                        crasher.torn_image(survival, rng.next_u64())
                    } else {
                        crasher.image(survival)
                    };
                    image.start_log();
                    let whole = goes_on(&image, &options, known);
                    let again = image.crash(rng.below(image.op_count() + 1), survival);
                    let twice = goes_on(&again, &options, known);
                    let power_cut = usize::from(kind > 0);
                    for went_on in [whole, twice] {
                        cases[power_cut] += 1;
                        anew[power_cut] += u64::from(!went_on);
                        let loses = torn || power_cut > 0 || !pins;
                        assert!(went_on || loses, "seed {seed}, operation {at}: a kill loses nothing");
                    }
                }
            }
            if !crasher.advance() {
                break;
            }
        }
    }
    println!("{cases:?} kills and power cuts of a source, {anew:?} of them to begin anew");
    assert!(cases.iter().zip(anew).all(|(&cases, anew)| anew > 0 && cases > 3 * anew));
}

#[test]
fn a_replica_that_crashes_at_any_operation_holds_just_what_its_cursor_says() {
    let first = setting("BITCASK_REPLICA_FIRST_SEED", 1);
    let seeds = setting("BITCASK_REPLICA_SEEDS", 60) / 6;
    let (mut cases, mut unfilled) = (0, 0);
    for seed in first..first + seeds {
        let mut rng = Rng::derive(&[seed, 44]);
        let options = options_of(&mut rng);
        let source = machine(2 * seed);
        let db = open(&source, &options).expect("a new store opens");
        let mut counts = Counts::default();
        (0..STEPS / 2).for_each(|_| work(&source, &db, &mut rng, &mut counts));
        let sim = machine(2 * seed + 1);
        sim.start_log();
        let mut replica = open(&sim, &options).expect("a new store opens");
        let mut feed = fill(&db, &replica, &mut rng);
        let mut by_cursor = BTreeMap::new();
        let note = |replica: &Db<Sim>, by_cursor: &mut BTreeMap<Vec<u8>, Contents>| {
            let cursor = replica.applied_cursor().expect("an answer").expect("it was filled");
            // With what has expired: all times are those of the source.
            sim.set_clock_ns(1);
            by_cursor.insert(cursor.to_vec(), contents(replica));
        };
        note(&replica, &mut by_cursor);
        for _ in 0..STEPS / 2 {
            match rng.below(8) {
                0..=3 => work(&source, &db, &mut rng, &mut counts),
                4..=5 => {
                    assert!(follow(&mut feed, &replica, rng.below(6)), "an open feed goes on");
                    note(&replica, &mut by_cursor);
                }
                6 => match rng.below(4) {
                    0 => replica.sync().expect("a sync"),
                    1 => replica.step_log_thread().expect("jobs"),
                    2 => drop(replica.merge(&merge_policy(1)).expect("a merge")),
                    _ => {
                        replica.close().expect("a close");
                        replica = open(&sim, &options).expect("it opens");
                    }
                },
                _ => replica = kill(&sim, replica, &options),
            }
        }
        drop(replica);
        let mut crasher = sim.crasher();
        loop {
            let survivals = [Survival::Everything, Survival::SyncedOnly, Survival::Random(rng.next_u64())];
            for survival in survivals {
                let image = match rng.chance(1, 2) {
                    true => crasher.torn_image(survival, rng.next_u64()),
                    false => crasher.image(survival),
                };
                image.set_clock_ns(1);
                let found = open(&image, &options).expect("it opens after a crash");
                cases += 1;
                match found.applied_cursor().expect("an answer") {
                    Some(cursor) => {
                        assert_eq!(Some(&contents(&found)), by_cursor.get(&*cursor), "seed {seed}")
                    }
                    None => unfilled += 1,
                }
            }
            if !crasher.advance() {
                break;
            }
        }
    }
    println!("{cases} crashes of a replica, {unfilled} before it was filled");
    assert!(unfilled > 0 && cases > 2 * unfilled);
}
