//! What the benchmarks share: keys and values from numbers, a scratch directory, and a plain read of a store's files.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::path::{Path, PathBuf};
use std::time::Instant;

pub const VALUE_LEN: usize = 100;

/// The command line's `at`-th word that is no option.
pub fn number(at: usize, default: u64) -> u64 {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    words.nth(at).and_then(|word| word.parse().ok()).unwrap_or(default)
}

pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

pub fn name(n: u64) -> u128 {
    u128::from(mix(n)) << 64 | u128::from(mix(!n))
}

pub fn key(n: u64, len: usize) -> Vec<u8> {
    let mut key = name(n).to_le_bytes().to_vec();
    key.resize(len, b'.');
    key
}

pub fn fill(key: &mut [u8], n: u64) {
    key[..16].copy_from_slice(&name(n).to_le_bytes());
}

pub fn value(n: u64) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    for (at, chunk) in value.chunks_mut(8).enumerate() {
        let word = mix(n ^ (at as u64) << 40).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    value
}

pub fn anon_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let base = std::env::var_os("BITCASK_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let scratch = Scratch(base.join(format!("bitcask-bench-{}", std::process::id())));
        std::fs::create_dir_all(&scratch.0).expect("a scratch directory");
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Seconds to read the files with this ending on both cores.
pub fn plain_read(dir: &Path, wanted: &str) -> f64 {
    let files: Vec<_> = std::fs::read_dir(dir)
        .expect("the store's directory")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == wanted))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let begin = Instant::now();
    let read = || {
        let mut buf = vec![0u8; 256 << 10];
        while let Some(path) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            let mut file = std::fs::File::open(path).expect("a segment");
            while std::io::Read::read(&mut file, &mut buf).expect("a read") > 0 {}
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(read);
        read();
    });
    begin.elapsed().as_secs_f64()
}
