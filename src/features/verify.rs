//! Reads every byte of a store that need not be open, and tells each damage.
//!
//! It reads as a reader does: without a lock, beside a writer, what the manifest in force lists. Whatever is not as it
//! was written is damage, wherever something may be lost by it. What costs nothing is noted: the end of a log that a
//! crash tore, which the next open discards; a hint or checkpoint that is made anew; files that no manifest lists.

use crate::engine::{Context, Findings, Met, Newest, Sources};
use crate::error::{Error, Result};
use crate::features::progress::Progress;
use crate::format::names;
use crate::io::env::{Dir, DirOptions, Env, File};
use crate::io::patient::{PatientDir, PatientFile};
use crate::keydir::Secret;
use crate::log;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Files read.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Records of keys, deletions included, up to the end of the log.
    pub records: u64,
    /// Deletions among them.
    pub tombstones: u64,
    /// What was found.
    pub findings: Findings,
}

impl Verification {
    /// Whether all that the store holds is as it was written.
    pub fn is_sound(&self) -> bool {
        self.findings.damages.total == 0
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"sound\":{},\"files\":{},\"bytes\":{},\"records\":{},\"tombstones\":{},{}}}",
            self.is_sound(),
            self.files,
            self.bytes,
            self.records,
            self.tombstones,
            self.findings.json_members()
        )
    }
}

/// Reads every byte of the store in directory `path`. Changes nothing.
///
/// # Errors
/// `Io` when there is no such directory, no store in it, or the system refuses to read, but for sectors that the device
/// cannot read, which are damage; `Format` for files of a newer version; `NoMemory`.
pub fn verify<E: Env>(env: &E, path: &Path) -> Result<Verification> {
    let shown = path.display().to_string();
    let dir = open_to_read(env, path, &shown)?;
    let mut found = Findings::default();
    let sources = Sources::find(&dir, &shown, &mut found)?;
    let newest = match &sources.manifest {
        Some(manifest) if sources.has_checkpoint() => Some(Newest::new(Secret::new(&manifest.hash_secret))?),
        _ => None,
    };
    let (mut report, mut found) = examine(&dir, &shown, &sources, found, |at, met| match (met, &newest) {
        (Met::Record { record, .. }, Some(newest)) if record.offset < sources.list[at].good => {
            let place = newest.place_of(at, record);
            place.map_or(Ok(()), |(digest, at)| newest.enter(digest, at).map(drop))
        }
        _ => Ok(()),
    })?;
    if let Some(newest) = newest {
        report.bytes += newest.check_checkpoint(&sources, &mut found)?;
        report.files += 1;
    }
    look_at_the_rest(&dir, &shown, &sources, &mut report, &mut found)?;
    Ok(Verification { findings: found, ..report })
}

/// Reads all segments and their hints, and hands what it meets to `each`, with the source's number.
pub(super) fn examine<D: Dir>(
    dir: &PatientDir<D>,
    path: &str,
    sources: &Sources<PatientFile<D::File>>,
    mut found: Findings,
    mut each: impl FnMut(usize, Met<'_>) -> Result<()>,
) -> Result<(Verification, Findings)> {
    let began = Instant::now();
    let mut report = Verification::default();
    let secret = sources.manifest.as_ref().map(|manifest| Secret::new(&manifest.hash_secret));
    let mut context = Context::new(dir, sources.database, secret, &mut found);
    let mut progress = Progress::new();
    for (at, source) in sources.list.iter().enumerate() {
        let tally = context.examine(source, &mut |met| each(at, met))?;
        report.records += tally.records;
        report.tombstones += tally.tombstones;
        progress.tell(format_args!("{path}: read {} of {} segments", at + 1, sources.list.len()));
    }
    (report.files, report.bytes) = (context.files, context.bytes);
    let ms = began.elapsed().as_millis();
    let (files, bytes, damages) = (report.files, report.bytes, found.damages.total);
    log::info(format_args!("{path}: read {files} files of {bytes} bytes in {ms} ms: {damages} damages"));
    Ok((report, found))
}

/// A directory to read from, in which nothing can be changed.
pub(super) fn open_to_read<E: Env>(env: &E, path: &Path, shown: &str) -> Result<PatientDir<E::Dir>> {
    let how = DirOptions { create: false, file_mode: 0o600 };
    env.open_dir(path, how).map(PatientDir).map_err(|err| Error::io("open", shown, err))
}

/// The manifest's length, and the files that nobody lists.
fn look_at_the_rest<D: Dir>(
    dir: &D,
    path: &str,
    sources: &Sources<D::File>,
    report: &mut Verification,
    found: &mut Findings,
) -> Result<()> {
    let names = dir.names().map_err(|err| Error::io("list", path, err))?;
    let listed = sources.manifest.as_ref().map(|manifest| &manifest.segments[..]).unwrap_or_default();
    let numbers: HashSet<_> = listed.iter().map(|entry| entry.number).collect();
    for name in names {
        let what = match &sources.manifest {
            _ if name == names::MANIFEST => {
                report.files += 1;
                report.bytes += len_of(dir, &name);
                continue;
            }
            Some(_) => what_is_strange(&name, &numbers, sources.has_checkpoint()),
            None => None,
        };
        if let Some(what) = what {
            found.note(&name, (0, len_of(dir, &name)), what);
        }
    }
    Ok(())
}

/// Why a file does not belong to the store of the segments with these numbers, if it is of a name that could.
fn what_is_strange(name: &str, numbers: &HashSet<u64>, has_checkpoint: bool) -> Option<&'static str> {
    let is_listed = |number: Option<u64>| number.map(|number| numbers.contains(&number));
    match (is_listed(names::parse_segment(name)), is_listed(names::parse_hint(name))) {
        (Some(false), _) => {
            Some("no manifest lists it; the next open for writing removes it if it is the store's")
        }
        (_, Some(false)) => Some("the hint of no segment that is listed"),
        _ if name == names::MANIFEST_NEW => Some("a manifest that was not finished; without meaning"),
        _ if name == names::BACKUP_NEW || name == names::BACKUP_FILE_NEW => {
            Some("of a backup that was not finished")
        }
        _ if name == names::CHECKPOINT && !has_checkpoint => {
            Some("it is damaged or not of the log as it is, and is not used")
        }
        _ => None,
    }
}

fn len_of<D: Dir>(dir: &D, name: &str) -> u64 {
    dir.open(name, false).and_then(|file| file.len()).unwrap_or(0)
}
