//! All of the store at one moment: its segments, and the manifest that would list them if writing had ended there.

use super::db::Db;
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::format::manifest::Manifest;
use crate::io::env::Env;

impl<E: Env> Db<E> {
    /// A snapshot, and a manifest all of whose segments that hold anything are in it. Its version and its cursor are those
    /// of the snapshot. Waits while a manifest is replaced, or a refresh runs.
    pub(crate) fn moment(&self) -> Result<(Snapshot<E>, Manifest)> {
        let store = self.inner_arc();
        store.check_process()?;
        if let Ok(writer) = store.writer() {
            let _replacing = store.replacing.lock();
            let (snapshot, (last_version, applied_cursor)) = Snapshot::of_writer(store, writer, |writer| {
                (writer.last_version(), writer.applied_cursor().clone())
            });
            let manifest = store.manifest.lock().clone();
            return Ok((snapshot, Manifest { last_version, applied_cursor, ..manifest }));
        }
        let unfinished = store.refreshing.lock();
        let snapshot = Snapshot::of_reader(store, &unfinished)?;
        let manifest = store.manifest.lock().clone();
        Ok((snapshot, Manifest { applied_cursor: store.shown_cursor(), ..manifest }))
    }
}
