//! The segment files that a manifest lists, opened, their headers judged.

use crate::error::{Error, Result};
use crate::format::coding::Id128;
use crate::format::manifest::{Manifest, SegmentEntry, SegmentState};
use crate::format::names;
use crate::format::segment_header::{HeaderState, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::io::env::{Dir, File};
use crate::io::whole::read_full;
use crate::segment::scanner::Scanner;

/// The first record's offset.
pub(super) const RECORDS_AT: u64 = SEGMENT_HEADER_LEN as u64;

/// A segment file that the manifest lists.
pub(super) struct Listed<F> {
    pub(super) entry: SegmentEntry,
    pub(super) name: String,
    pub(super) file: F,
    pub(super) file_len: u64,
    pub(super) header: HeaderState,
}

impl<F: File> Listed<F> {
    /// Looks at the length of a file, and then at its header, which is damaged if it is another's.
    pub(super) fn look_at(entry: SegmentEntry, file: F, database: Id128) -> Result<Self> {
        let mut listed = Listed::look_at_any(entry, file)?;
        if let HeaderState::Valid(header) = listed.header
            && (header.uid, header.number, header.database) != (entry.uid, entry.number, database)
        {
            listed.header = HeaderState::Damaged;
        }
        Ok(listed)
    }

    /// The same, whoever's header it is.
    pub(super) fn look_at_any(entry: SegmentEntry, file: F) -> Result<Self> {
        let name = names::segment(entry.number);
        let read = |err| Error::io("read", &name, err);
        let file_len = file.len().map_err(read)?;
        let mut head = [0; SEGMENT_HEADER_LEN];
        let got = read_full(&file, &mut head, 0).map_err(read)?;
        let header = SegmentHeader::decode(&head[..got]);
        if let HeaderState::Newer { format, features } = header {
            let what = format!(
                "the segment is of format {format} with features {features:#x}; this library reads format 1"
            );
            return Err(Error::Format { file: name, what });
        }
        Ok(Listed { entry, name, file, file_len, header })
    }

    /// Whether the header is what it was when the segment was first written to.
    pub(super) fn has_header(&self) -> bool {
        matches!(self.header, HeaderState::Valid(_))
    }

    /// A scan of `start..end`; `start` is a record boundary.
    pub(super) fn scanner(&self, start: u64, end: u64) -> Scanner<'_, F> {
        Scanner::new(&self.file, &self.name, self.entry.uid, start, end)
    }
}

/// Opens the files that a manifest lists, and answers them in its order. They are looked at newest first: what a segment
/// holds by then says that the one before it was complete, which is therefore found to be so although a writer goes on.
pub(super) fn open_listed<D: Dir>(dir: &D, manifest: &Manifest, write: bool) -> Result<Vec<Listed<D::File>>> {
    let open = |&entry| open_segment(dir, &entry, write).map(|file| (entry, file));
    let files: Vec<_> = manifest.segments.iter().map(open).collect::<Result<_>>()?;
    let look = |(entry, file)| Listed::look_at(entry, file, manifest.database);
    let mut listed: Vec<_> = files.into_iter().rev().map(look).collect::<Result<_>>()?;
    listed.reverse();
    Ok(listed)
}

/// Opens a listed file. That it is missing is corruption: a segment is listed only once its name is durable.
pub(super) fn open_segment<D: Dir>(dir: &D, entry: &SegmentEntry, write: bool) -> Result<D::File> {
    let name = names::segment(entry.number);
    let unsealed = matches!(entry.state, SegmentState::Unsealed { .. });
    dir.open(&name, write && unsealed).map_err(|err| match err.kind() {
        std::io::ErrorKind::NotFound => {
            Error::corrupt(&name, 0, "the manifest lists this segment, but there is no such file")
        }
        _ => Error::io("open", &name, err),
    })
}
