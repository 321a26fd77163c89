//! What tests of feeds and replicas share: changes kept, followed, and put together to a store's contents.

use super::open;
use bitcask::engine::{Change, Db, Feed, FeedStep, Snapshot};
use bitcask::features::scan::{Scan, ScanOptions};
use bitcask::io::env::Env;
use bitcask::io::sim::Sim;
use bitcask::options::Options;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A change with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub version: u64,
    pub deadline: Option<u64>,
    pub is_json: bool,
    pub ends_batch: bool,
}

impl Owned {
    pub fn of(change: &Change<'_>) -> Owned {
        let Change { key, value, version, deadline, is_json, ends_batch } = *change;
        Owned { key: key.to_vec(), value: value.map(<[u8]>::to_vec), version, deadline, is_json, ends_batch }
    }

    pub fn change(&self) -> Change<'_> {
        let Owned { key, value, version, deadline, is_json, ends_batch } = self;
        let (version, deadline, is_json, ends_batch) = (*version, *deadline, *is_json, *ends_batch);
        Change { key, value: value.as_deref(), version, deadline, is_json, ends_batch }
    }
}

/// What a store holds: of each key that has a value the change that put it.
pub type Contents = BTreeMap<Vec<u8>, Owned>;

/// Does a change to the contents.
pub fn take_over(contents: &mut Contents, change: &Owned) {
    match change.value {
        Some(_) => contents.insert(change.key.clone(), Owned { ends_batch: true, ..change.clone() }),
        None => contents.remove(&change.key),
    };
}

/// All that a store holds at `now_ns`, of what a snapshot shows.
pub fn contents_of<E: Env>(snapshot: Snapshot<E>) -> Contents {
    let mut contents = Contents::new();
    let mut scan = Scan::new(Arc::new(snapshot), &ScanOptions::default()).expect("a sound store");
    while scan.advance().expect("a sound store") {
        take_over(&mut contents, &Owned::of(&scan.change().expect("a value")));
    }
    contents
}

/// All that a store holds.
pub fn contents<E: Env>(db: &Db<E>) -> Contents {
    contents_of(db.snapshot().expect("a snapshot"))
}

/// The contents less what has expired at `now_ns`.
pub fn alive(contents: &Contents, now_ns: u64) -> Contents {
    let is_alive = |change: &Owned| change.deadline.is_none_or(|deadline| deadline > now_ns);
    contents
        .iter()
        .filter(|(_, change)| is_alive(change))
        .map(|(key, at)| (key.clone(), at.clone()))
        .collect()
}

/// Up to `most` changes that a feed has now, and then all to the end of a batch; `None` when it must begin anew.
pub fn pull<E: Env>(feed: &mut Feed<E>, most: usize) -> Option<Vec<Owned>> {
    let mut changes: Vec<Owned> = Vec::new();
    while changes.len() < most || !changes.last().is_none_or(|last| last.ends_batch) {
        match feed.next(Some(Duration::ZERO)).expect("a step") {
            FeedStep::Change(change) => changes.push(Owned::of(&change)),
            FeedStep::Nothing => break,
            FeedStep::Resnapshot => return None,
        }
    }
    assert!(changes.last().is_none_or(|last| last.ends_batch), "half a batch");
    Some(changes)
}

/// What a killed process leaves: nothing of it but what it gave to the system. The next one opens the store.
pub fn kill(sim: &Sim, db: Db<Sim>, options: &Options) -> Db<Sim> {
    sim.set_process_token(2);
    drop(db);
    sim.set_process_token(1);
    open(sim, options).expect("it opens after a kill")
}
