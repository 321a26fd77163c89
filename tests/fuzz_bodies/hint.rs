//! A hint: any bytes, with and without the checksums they need, alone and in the place of a segment's.

use super::files::{Harm, file_of, store, use_store};
use super::support::DIR;
use bitcask::format::checksum::crc32c;
use bitcask::format::coding::{Id128, set_u32, set_u64, u64_at};
use bitcask::format::filter::may_contain;
use bitcask::format::hint::{BLOCK_REF_LEN, FORMAT, HINT_HEADER_LEN, MAGIC};
use bitcask::format::names;
use bitcask::segment::hint_reader::Hint;
use bitcask::segment::hint_writer::HintId;
use bitcask::segment::merged_runs::MergedRuns;
use bitcask::segment::run_cursor::{Direction, Link, SortedRun, Start};
use std::sync::Arc;

// As docs/FORMAT.md says.
const AT_FORMAT: usize = 8;
const AT_FEATURES: usize = 12;
const AT_DATABASE: usize = 16;
const AT_UID: usize = 32;
const AT_SEGMENT_LEN: usize = 40;
const AT_BLOCKS: usize = 64;
const AT_BLOCKS_LEN: usize = 72;
const AT_TABLE_CRC: usize = 88;
const AT_FILTER_CRC: usize = 92;
const AT_CRC: usize = 100;
const AT_BLOCK_CRC: usize = 12;

/// The segment that the hint is of: the first of the store.
fn id() -> HintId {
    let database = Id128::parse("2fe1fe064f24172277b95267ea4b4a33").expect("an id");
    HintId { database, uid: 0xf261_e448_2d7f_ab98, segment_len: 976 }
}

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if mode % 2 == 1 {
        repair(&mut bytes);
    }
    if mode % 4 < 2 {
        read(&bytes);
    } else {
        let sim = store(mode % 8 < 4);
        sim.write_file(DIR, &names::hint(1), &bytes);
        // Without the right checksums nobody believes it.
        use_store(&sim, if mode % 2 == 0 { Harm::None } else { Harm::Forgery });
    }
}

fn read(bytes: &[u8]) {
    let Some(hint) = Hint::open(file_of(bytes), "hint".to_string(), id()).expect("it reads") else { return };
    let mut entries = 0;
    let whole = hint.read(0..hint.block_count(), |entry| {
        entries += 1;
        assert!(entry.record_len() > 0);
        Ok(())
    });
    if whole.expect("it reads") {
        assert_eq!(entries, hint.header().entries);
    }
    if let Some(filter) = hint.filter().expect("it reads") {
        for part in 0..64 {
            let _ = may_contain(&filter, u64::MAX / 64 * part);
        }
    }
    let most = 2 * hint.header().entries;
    let hint = Arc::new(hint);
    for (direction, run) in
        [(Direction::Forward, None), (Direction::Reverse, None), (Direction::Forward, Some(1))]
    {
        let link = |rank| Link { records: SortedRun::Hint(hint.clone()), rank, run, values: None };
        let mut merged = MergedRuns::new([0, 1].map(link), direction);
        for start in [Start::End, Start::At(b"k"), Start::Beyond(b"\xff")] {
            let (mut steps, mut sound) = (0, merged.seek(start).is_ok());
            while sound && merged.entry().is_some() {
                sound = merged.advance().is_ok();
                steps += 1;
                assert!(steps <= most, "step {steps} of {most}");
            }
        }
    }
}

/// Makes the bytes the hint of the segment, with the checksums of what the header says is where.
fn repair(bytes: &mut [u8]) {
    if bytes.len() < HINT_HEADER_LEN {
        return;
    }
    let id = id();
    bytes[..AT_FORMAT].copy_from_slice(&MAGIC);
    set_u32(bytes, AT_FORMAT, FORMAT);
    set_u32(bytes, AT_FEATURES, 0);
    bytes[AT_DATABASE..AT_UID].copy_from_slice(&id.database.0);
    set_u64(bytes, AT_UID, id.uid);
    set_u64(bytes, AT_SEGMENT_LEN, id.segment_len);
    let field = |bytes: &[u8], at| usize::try_from(u64_at(bytes, at)).unwrap_or(usize::MAX);
    let table = HINT_HEADER_LEN.saturating_add(field(bytes, AT_BLOCKS_LEN));
    let filter = table.saturating_add(field(bytes, AT_BLOCKS).saturating_mul(BLOCK_REF_LEN));
    if filter <= bytes.len() {
        let line_offset = |bytes: &[u8], line: usize| if line < filter { field(bytes, line) } else { table };
        for line in (table..filter).step_by(BLOCK_REF_LEN) {
            let block = line_offset(bytes, line)..line_offset(bytes, line + BLOCK_REF_LEN);
            if let Some(block) = bytes.get(block) {
                let crc = crc32c(block);
                set_u32(bytes, line + AT_BLOCK_CRC, crc);
            }
        }
        let (table_crc, filter_crc) = (crc32c(&bytes[table..filter]), crc32c(&bytes[filter..]));
        set_u32(bytes, AT_TABLE_CRC, table_crc);
        set_u32(bytes, AT_FILTER_CRC, filter_crc);
    }
    let crc = crc32c(&bytes[..AT_CRC]);
    set_u32(bytes, AT_CRC, crc);
}
