//! The cursor of a feed: any bytes, and any place in the log of a store.

use super::files::{options, store};
use super::support::{DIR, open};
use bitcask::Error;
use bitcask::engine::FeedStep;
use bitcask::format::cursor::Cursor;
use bitcask::format::manifest::Manifest;
use bitcask::format::names;
use std::time::Duration;

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let sim = store(mode % 4 < 2);
    let db = open(&sim, &options()).expect("the store opens");
    let bytes = if mode % 2 == 0 {
        rest.to_vec()
    } else {
        let manifest = sim.read_file(DIR, names::MANIFEST).and_then(|bytes| Manifest::decode(&bytes).ok());
        let manifest = manifest.expect("a sound manifest");
        let Some((&number, offset)) = rest.split_first() else { return };
        let offset = offset.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        let uid = manifest.segments[usize::from(number) % manifest.segments.len()].uid;
        Cursor { history: manifest.history, uid, offset }.encode().to_vec()
    };
    let mut feed = match db.feed(&bytes) {
        Ok(Some(feed)) => feed,
        Ok(None) | Err(Error::Invalid(_)) => return,
        Err(err) => panic!("a cursor: {err}"),
    };
    loop {
        match feed.next(Some(Duration::ZERO)) {
            Ok(FeedStep::Change(change)) => assert!(change.version > 0),
            // A place that is no record's, for which only bytes with true checksums can stand.
            Ok(FeedStep::Nothing | FeedStep::Resnapshot) | Err(Error::Corrupt { .. }) => return,
            Err(err) => panic!("a feed: {err}"),
        }
    }
}
