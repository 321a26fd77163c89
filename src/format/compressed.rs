//! A compressed value as it is stored: a head that says how it was made and how long it was, then the codec's bytes.
//!
//! Nothing in the bytes is believed before it is checked: the length that the head states must be one that so many bytes
//! can come to, no more than that is ever written, and just that must come out.

use super::coding::{set_u32, u32_at};
use super::dictionary::{Dictionary, NUMBER};
use crate::options::{Codec, Compression};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, FrameFormat, ResetDirective, compress_bound};

const AT_CODEC: usize = 0;
const AT_DICTIONARY: usize = AT_CODEC + 1;
const AT_RESERVED: usize = AT_DICTIONARY + 1;
const AT_RAW_LEN: usize = AT_RESERVED + 2;
/// Length of the head.
pub const HEAD_LEN: usize = AT_RAW_LEN + 4;

const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// A stored form that is longer than the value less this share of it does not pay.
const LEAST_SHARE_SAVED: usize = 16;
/// A byte of LZ4 makes at most this many.
const LZ4_MOST: u64 = 255;
/// A block of Zstandard takes at least 3 bytes and makes at most this many.
const ZSTD_MOST: u64 = 128 << 10;
const ZSTD_LEAST_BLOCK: u64 = 3;

/// About what the state of a decoder takes.
const DECODER_BYTES: usize = 160 << 10;

/// A buffer or context that has grown past this is given back to the system after its use.
const KEPT_BYTES: usize = 2 << 20;

/// What the first bytes of a compressed value say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub codec: Codec,
    /// Which dictionary of the segment was used; 0 for none.
    pub dictionary: u8,
    /// Length of the value.
    pub raw_len: u32,
}

impl Head {
    /// Reads the head of a stored value; `None` when no value can begin so, or be so long.
    pub fn decode(stored: &[u8]) -> Option<Self> {
        if stored.len() < HEAD_LEN || stored[AT_RESERVED..AT_RAW_LEN] != [0; 2] {
            return None;
        }
        let (dictionary, raw_len) = (stored[AT_DICTIONARY], u32_at(stored, AT_RAW_LEN));
        let bytes = (stored.len() - HEAD_LEN) as u64;
        let (codec, most) = match (stored[AT_CODEC], dictionary) {
            (LZ4, 0) => (Codec::Lz4, bytes * LZ4_MOST),
            (ZSTD, _) => (Codec::Zstd, bytes / ZSTD_LEAST_BLOCK * ZSTD_MOST),
            _ => return None,
        };
        (u64::from(raw_len) <= most).then_some(Head { codec, dictionary, raw_len })
    }

    fn encode(self) -> [u8; HEAD_LEN] {
        let mut out = [0; HEAD_LEN];
        out[AT_CODEC] = match self.codec {
            Codec::Lz4 => LZ4,
            Codec::Zstd => ZSTD,
        };
        out[AT_DICTIONARY] = self.dictionary;
        set_u32(&mut out, AT_RAW_LEN, self.raw_len);
        out
    }
}

/// Whether a stored value that begins with `bytes` can be decompressed in its segment alone.
pub fn is_bound(bytes: &[u8]) -> bool {
    bytes.get(AT_DICTIONARY).is_some_and(|dictionary| *dictionary != 0)
}

/// Why a stored value could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not what any compressor wrote.
    Damaged,
    /// There is no memory for so many bytes.
    NoMemory(usize),
}

/// Decompresses `stored` into `out`, with the dictionary that its head names, if it names one.
pub fn decompress(
    stored: &[u8],
    dictionary: Option<&Dictionary>,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let head = Head::decode(stored).ok_or(Unreadable::Damaged)?;
    if (head.dictionary != 0) != dictionary.is_some() {
        return Err(Unreadable::Damaged);
    }
    let len = usize::try_from(head.raw_len).map_err(|_| Unreadable::NoMemory(usize::MAX))?;
    let bytes = &stored[HEAD_LEN..];
    match (head.codec, dictionary) {
        (Codec::Lz4, _) => fill(out, len, |out| Ok(decompress_into(bytes, out).ok())),
        (Codec::Zstd, None) => inflate(bytes, len, out),
        (Codec::Zstd, Some(dictionary)) => fill(out, len, |out| {
            with_decoder(|decoder| decoder.decompress_using_ddict(out, bytes, dictionary.digested()).ok())
        }),
    }
}

/// Decompresses a frame of Zstandard that must come to `len` bytes.
pub(super) fn inflate(frame: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    fill(out, len, |out| with_decoder(|decoder| decoder.decompress(out, frame).ok()))
}

/// Makes `out` the `len` bytes that `decompress` writes, which must be as many.
fn fill(
    out: &mut Vec<u8>,
    len: usize,
    decompress: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Unreadable>,
) -> Result<(), Unreadable> {
    out.clear();
    out.try_reserve_exact(len).map_err(|_| Unreadable::NoMemory(len))?;
    out.resize(len, 0);
    if decompress(out)? == Some(len) { Ok(()) } else { Err(Unreadable::Damaged) }
}

/// Appends `bytes` as a frame of Zstandard to `out`; `None` when there is no memory for it.
pub(super) fn deflate(bytes: &[u8], level: i32, out: &mut Vec<u8>) -> Option<()> {
    let (start, room) = (out.len(), compress_bound(bytes.len()));
    out.try_reserve(room).ok()?;
    out.resize(start + room, 0);
    let mut context = new_encoder()?;
    context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
    let len = context.compress2(&mut out[start..], bytes).ok()?;
    out.truncate(start + len);
    Some(())
}

/// Compresses values; keeps what that takes from one to the next.
#[derive(Default)]
pub struct Compressor {
    zstd: Option<CCtx<'static>>,
    table: Option<CompressTable>,
    dictionary: u8,
}

impl Compressor {
    /// One that compresses by Zstandard alone, with the dictionary of a segment; `None` when that is none or there is no
    /// memory for it. Its level is settled here.
    pub fn with_dictionary(dictionary: &[u8], level: i32) -> Option<Self> {
        let mut context = new_encoder()?;
        context.set_parameter(CParameter::DictIdFlag(false)).ok()?;
        context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        context.load_dictionary(dictionary).ok()?;
        Some(Compressor { zstd: Some(context), table: None, dictionary: NUMBER })
    }

    /// Appends the stored form of `raw`, which is at most 4 GiB - 1 long, to `out`; `false`, and `out` is as it was, when
    /// that does not pay, or there is no memory for it.
    pub fn compress(&mut self, how: &Compression, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok(raw_len) = u32::try_from(raw.len()) else { return false };
        let most = raw.len() - (raw.len() / LEAST_SHARE_SAVED).max(1).min(raw.len());
        if u64::from(raw_len) < how.min_bytes || most <= HEAD_LEN {
            return false;
        }
        let start = out.len();
        let room = match how.codec {
            Codec::Lz4 => HEAD_LEN + get_maximum_output_size(raw.len()),
            Codec::Zstd => most,
        };
        if out.try_reserve(room).is_err() {
            return false;
        }
        out.resize(start + room, 0);
        let bytes = &mut out[start + HEAD_LEN..];
        let made = match how.codec {
            Codec::Lz4 => {
                let small = raw.len() < usize::from(u16::MAX);
                let new = || if small { CompressTable::small() } else { CompressTable::large() };
                // One for long values would be slow to clear for each short one.
                let table =
                    self.table.take().filter(|table| !small || matches!(table, CompressTable::Small(_)));
                compress_into_with_table(raw, bytes, self.table.insert(table.unwrap_or_else(new))).ok()
            }
            Codec::Zstd => self.zstd(how.level, raw, bytes),
        };
        match made.map(|made| HEAD_LEN + made).filter(|&made| made <= most) {
            Some(made) => {
                let dictionary = if how.codec == Codec::Zstd { self.dictionary } else { 0 };
                let head = Head { codec: how.codec, dictionary, raw_len };
                out[start..start + HEAD_LEN].copy_from_slice(&head.encode());
                out.truncate(start + made);
                true
            }
            None => {
                out.truncate(start);
                false
            }
        }
    }

    fn zstd(&mut self, level: i32, raw: &[u8], out: &mut [u8]) -> Option<usize> {
        let has_dictionary = self.dictionary != 0;
        let mut context = self.zstd.take().or_else(|| if has_dictionary { None } else { new_encoder() })?;
        if !has_dictionary {
            context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        }
        let made = context.compress2(out, raw).ok();
        // What was cut off for want of room is given up.
        let usable = made.is_some() || context.reset(ResetDirective::SessionOnly).is_ok();
        if usable && (has_dictionary || context.sizeof() <= KEPT_BYTES) {
            self.zstd = Some(context);
        }
        made
    }
}

/// A context for frames without magic number and without their length, which the head states.
fn new_encoder() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::Format(FrameFormat::Magicless)).ok()?;
    context.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
    Some(context)
}

fn new_decoder() -> Option<DCtx<'static>> {
    let mut context = DCtx::try_create()?;
    context.set_parameter(DParameter::Format(FrameFormat::Magicless)).ok()?;
    Some(context)
}

thread_local! {
    static COMPRESSOR: Cell<Compressor> = Cell::default();
    static DECODER: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with this thread's compressor, or with another one where the thread is ending.
pub fn with_compressor<R>(work: impl FnOnce(&mut Compressor) -> R) -> R {
    let mut compressor = COMPRESSOR.try_with(Cell::take).unwrap_or_default();
    let answer = work(&mut compressor);
    let _ = COMPRESSOR.try_with(|kept| kept.set(compressor));
    answer
}

/// Calls `work` with this thread's decoder.
fn with_decoder<R>(work: impl FnOnce(&mut DCtx<'static>) -> R) -> Result<R, Unreadable> {
    let kept = DECODER.try_with(Cell::take).ok().flatten();
    let mut decoder = kept.or_else(new_decoder).ok_or(Unreadable::NoMemory(DECODER_BYTES))?;
    let answer = work(&mut decoder);
    let _ = DECODER.try_with(|kept| kept.set(Some(decoder)));
    Ok(answer)
}

/// A buffer that the thread uses again and again.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// The thread's buffer, or another one if it is in use. What it holds is of no meaning.
    pub fn take() -> Self {
        Scratch(SCRATCH.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT_BYTES {
            let _ = SCRATCH.try_with(|kept| kept.set(std::mem::take(&mut self.0)));
        }
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
#[path = "compressed_tests.rs"]
mod tests;
