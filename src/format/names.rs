//! The names of the files of a store, read strictly: nothing else in the directory is ever touched.

/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// The manifest while it is being written.
pub const MANIFEST_NEW: &str = "manifest.json.new";
/// In a directory without a manifest: its segments are those of a first backup that is not complete.
pub const BACKUP_NEW: &str = "backup.json.new";
/// A file on its way into a backup.
pub const BACKUP_FILE_NEW: &str = "backup.file.new";
/// The keydir as of a clean close.
pub const CHECKPOINT: &str = "keydir.checkpoint";

const DIGITS: usize = 12;

/// One more than the largest segment number a name can hold.
pub const NUMBER_END: u64 = 1_000_000_000_000;

/// The name of a segment.
pub fn segment(number: u64) -> String {
    format!("{number:0DIGITS$}.data")
}

/// The name of a segment's hint.
pub fn hint(number: u64) -> String {
    format!("{number:0DIGITS$}.hint")
}

/// The number in the name of a segment.
pub fn parse_segment(name: &str) -> Option<u64> {
    parse(name, ".data")
}

/// The number in the name of a hint.
pub fn parse_hint(name: &str) -> Option<u64> {
    parse(name, ".hint")
}

fn parse(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let strict = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&number| strict && number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_name_gives_back_its_number() {
        assert_eq!(segment(1), "000000000001.data");
        assert_eq!(parse_segment(&segment(NUMBER_END - 1)), Some(NUMBER_END - 1));
        assert_eq!(parse_hint(&hint(7)), Some(7));
    }

    #[test]
    fn any_other_name_is_nobodys() {
        for name in [
            "1.data",
            "000000000000.data",
            "0000000000001.data",
            "+00000000001.data",
            "000000000001.data~",
            "000000000001.DATA",
            "00000000000a.data",
            ".data",
            "5.bitcask.data",
        ] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
    }
}
