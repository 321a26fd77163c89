//! A segment: any bytes, records with damage in one place, and a store one of whose segments is replaced.

use super::files::{Harm, file_of, store, use_store};
use super::support::DIR;
use bitcask::format::coding::{Id128, u64_at};
use bitcask::format::names;
use bitcask::format::record::{Draft, Flags, MAX_KEY_LEN};
use bitcask::format::segment_header::{SEGMENT_HEADER_LEN, SegmentHeader};
use bitcask::segment::scanner::{Scanner, Step};

/// Where a segment's header has its uid.
const AT_UID: usize = 32;
/// Damage that no checksum of 32 bits can overlook is no longer than this.
const BURST_BYTES: usize = 4;

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 4 {
        0 => {
            let uid = if rest.len() >= AT_UID + 8 { u64_at(rest, AT_UID) } else { 7 };
            scan(rest, uid);
        }
        1 => damaged(rest),
        kind => {
            let sim = store(kind == 2);
            let number = 1 + u64::from(mode / 4 % 5);
            sim.write_file(DIR, &names::segment(number), rest);
            use_store(&sim, Harm::Damage);
        }
    }
}

/// The records that a scan finds: where each begins, and whether its value is sound.
fn scan(bytes: &[u8], uid: u64) -> Vec<(u64, bool)> {
    let (file, len) = (file_of(bytes), bytes.len() as u64);
    let mut scanner = Scanner::new(&file, "file", uid, SEGMENT_HEADER_LEN as u64, len);
    let (mut found, mut least) = (Vec::new(), 0);
    loop {
        match scanner.step().expect("it reads") {
            Step::Record(record) => {
                let (offset, end) = (record.offset, record.offset + record.header.record_len());
                assert!(offset >= least && offset % 8 == 0 && end <= len, "{offset} to {end} of {len}");
                assert!(record.key.len() <= MAX_KEY_LEN);
                found.push((offset, record.value_ok));
                least = end;
            }
            Step::Bad { offset } => {
                assert!(offset >= least);
                let Some(next) = scanner.resync(len).expect("it reads") else { return found };
                assert!(next > offset && next % 8 == 0, "{next} behind {offset}");
                least = next;
            }
            Step::End => return found,
        }
    }
}

/// Records of lengths that the input names, then a burst of damage: all others are found, and nothing else.
fn damaged(data: &[u8]) {
    let Some((burst, lens)) = data.split_at_checked(2 + BURST_BYTES) else { return };
    let uid = 7;
    let header =
        SegmentHeader { database: Id128([1; 16]), uid, number: 1, predecessor_uid: 0, predecessor_len: 0 };
    let mut bytes = header.encode().to_vec();
    let mut written = Vec::new();
    for (version, len) in (1..).zip(lens.chunks_exact(2).take(64)) {
        let (key, value) = (vec![len[0]; usize::from(len[0] % 40)], vec![len[1]; usize::from(len[1])]);
        let tombstone = len[0] > 200;
        let (flags, value) = if tombstone { (Flags::TOMBSTONE, &[][..]) } else { (Flags::NONE, &value[..]) };
        let draft = Draft::new(&key, value, flags, (len[0] % 7 == 0).then_some(1));
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(&draft.header(version, uid, offset)[..draft.header_len()]);
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len() + draft.padding(), 0);
        written.push((offset, true));
    }
    assert_eq!(scan(&bytes, uid), written, "without damage");
    let room = bytes.len() - SEGMENT_HEADER_LEN;
    if room < BURST_BYTES {
        return;
    }
    let at =
        SEGMENT_HEADER_LEN + usize::from(u16::from_le_bytes([burst[0], burst[1]])) % (room - BURST_BYTES + 1);
    for (byte, xor) in bytes[at..].iter_mut().zip(&burst[2..]) {
        *byte ^= xor;
    }
    let found = scan(&bytes, uid);
    assert!(found.iter().all(|(offset, _)| written.contains(&(*offset, true))), "a record that nobody wrote");
    let ends = written[1..].iter().map(|(offset, _)| *offset).chain([bytes.len() as u64]);
    for (&(offset, _), end) in written.iter().zip(ends) {
        let harmed = offset < (at + BURST_BYTES) as u64 && end > at as u64;
        assert!(harmed || found.contains(&(offset, true)), "the record at {offset} is gone, damage at {at}");
    }
}
