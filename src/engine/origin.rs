//! What a checkpoint says of itself, kept by the store that was opened from it.

use crate::error::{Error, Result};
use crate::format::checkpoint::{
    CHECKPOINT_HEADER_LEN, CheckpointHeader, ENTRY_LEN, PartLine, SegmentLine, decode_tables,
};
use crate::format::checksum::crc32c;
use crate::io::env::File;
use crate::io::whole::read_full;
use crate::sync::AtomicBool;
use std::io;

/// All of a checkpoint but the entries.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) header: CheckpointHeader,
    /// In the order of the log.
    pub(super) segments: Vec<SegmentLine>,
    pub(super) parts: Vec<PartLine>,
}

/// What an open was made from, as long as the store lives.
pub(crate) struct Origin {
    pub(super) tables: Tables,
    /// Whether a part turned out damaged.
    pub(super) damaged: AtomicBool,
    /// Whether somebody looked at the hints that there are by its word.
    pub(super) hints_seen: AtomicBool,
    /// Whether the log was told.
    pub(super) damage_told: AtomicBool,
}

impl Tables {
    /// The tables of the checkpoint in `file`, or `None` when they are damaged or it is none.
    pub(super) fn read<F: File>(file: &F) -> io::Result<Option<Self>> {
        let file_len = file.len()?;
        let mut head = [0; CHECKPOINT_HEADER_LEN];
        let got = read_full(file, &mut head, 0)?;
        let Some(header) = CheckpointHeader::decode(&head[..got], file_len) else { return Ok(None) };
        let (Some(at), Ok(len)) = (header.tables_at(), usize::try_from(header.tables_len())) else {
            return Ok(None);
        };
        // The file is as long as its header says, so this is less than it holds.
        let mut tables = Vec::new();
        if tables.try_reserve_exact(len).is_err() {
            return Ok(None);
        }
        tables.resize(len, 0);
        let got = read_full(file, &mut tables, at)?;
        let lines = decode_tables(&header, &tables[..got]);
        Ok(lines.map(|(segments, parts)| Tables { header, segments, parts }))
    }
    /// Where each part begins in the file.
    pub(super) fn starts(&self) -> Vec<u64> {
        let starts = self.parts.iter().scan(CHECKPOINT_HEADER_LEN as u64, |at, part| {
            let start = *at;
            *at += u64::from(part.entries) * ENTRY_LEN as u64;
            Some(start)
        });
        starts.collect()
    }
}

/// The entries of a part that begins at `start`, one behind the other; `None` when it is damaged or cannot be read.
pub(super) fn read_part<F: File>(file: &F, line: &PartLine, start: u64) -> Result<Option<Vec<u8>>> {
    let len = line.entries as usize * ENTRY_LEN;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory { bytes: len })?;
    bytes.resize(len, 0);
    let whole = read_full(file, &mut bytes, start).is_ok_and(|got| got == len);
    Ok(Some(bytes).filter(|bytes| whole && crc32c(bytes) == line.crc))
}
