//! What a look at a store that may be damaged has met, and its form in JSON.
//!
//! Each finding is counted; the first thousand are kept.

use serde_json::Value;
use std::fmt::Write;

/// How many findings of a kind are kept.
const MOST_LISTED: usize = 1000;
/// The longest key that is kept with a finding, in bytes.
const LONGEST_KEY: usize = 1024;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes are concerned, 0 when that is not known.
    pub length: u64,
    /// What was found.
    pub what: String,
    /// The key of the record that it is about, when that is known and not longer than 1024 bytes.
    pub key: Option<Vec<u8>>,
}

/// Findings of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// How many there are.
    pub total: u64,
    /// The first thousand.
    pub listed: Vec<Finding>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Stored bytes that are not what was written, so that something may be lost.
    pub damages: List,
    /// What costs nothing: the torn end of a log, what is made anew, files that do not belong.
    pub notes: List,
}

impl List {
    pub(crate) fn add(
        &mut self,
        file: &str,
        (offset, length): (u64, u64),
        what: impl Into<String>,
        key: Option<&[u8]>,
    ) {
        self.total += 1;
        if self.listed.len() < MOST_LISTED {
            let key = key.filter(|key| key.len() <= LONGEST_KEY).map(<[u8]>::to_vec);
            self.listed.push(Finding { file: file.to_string(), offset, length, what: what.into(), key });
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let findings: Vec<_> = self.listed.iter().map(Finding::to_json).collect();
        format!("[{}]", findings.join(","))
    }
}

impl Findings {
    /// Damage to so many bytes at an offset of `file`.
    pub(crate) fn damage(&mut self, file: &str, place: (u64, u64), what: impl Into<String>) {
        self.damages.add(file, place, what, None);
    }

    /// Damage to the record of `key`.
    pub(crate) fn damage_of(&mut self, file: &str, place: (u64, u64), what: impl Into<String>, key: &[u8]) {
        self.damages.add(file, place, what, Some(key));
    }

    /// Something that costs nothing.
    pub(crate) fn note(&mut self, file: &str, place: (u64, u64), what: impl Into<String>) {
        self.notes.add(file, place, what, None);
    }

    /// The members `damage_count`, `damages`, `note_count` and `notes` of a JSON object.
    pub(crate) fn json_members(&self) -> String {
        format!(
            "\"damage_count\":{},\"damages\":{},\"note_count\":{},\"notes\":{}",
            self.damages.total,
            self.damages.to_json(),
            self.notes.total,
            self.notes.to_json()
        )
    }
}

impl Finding {
    fn to_json(&self) -> String {
        let Finding { file, offset, length, what, key } = self;
        let [file, what] = [file, what].map(|text| Value::from(text.as_str()));
        let mut json = format!("{{\"file\":{file},\"offset\":{offset},\"length\":{length},\"what\":{what}");
        if let Some(key) = key {
            json.push(',');
            json.push_str(&key_member(key));
        }
        json.push('}');
        json
    }
}

/// A key as a member of a JSON object: `key` when it is UTF-8, else `key_hex`.
pub(crate) fn key_member(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => format!("\"key\":{}", Value::from(text)),
        Err(_) => {
            let mut hex = String::with_capacity(2 * key.len());
            key.iter().for_each(|byte| {
                let _ = write!(hex, "{byte:02x}");
            });
            format!("\"key_hex\":\"{hex}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_and_the_first_thousand_listed() {
        let mut found = Findings::default();
        (0..1500).for_each(|at| found.damage("f", (at, 8), "gone"));
        assert_eq!((found.damages.total, found.damages.listed.len()), (1500, 1000));
        assert_eq!(found.damages.listed[999].offset, 999);
    }

    #[test]
    fn keys_are_text_or_hexadecimal() {
        let mut found = Findings::default();
        found.damage_of("f", (8, 24), "a \"value\"", "schlüssel\n".as_bytes());
        found.damage_of("f", (8, 24), "lost", &[0xff, 0x00]);
        found.damage_of("f", (8, 24), "lost", &[b'k'; 1025]);
        let json = format!("{{{}}}", found.json_members());
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["damages"][0]["key"], "schlüssel\n");
        assert_eq!(value["damages"][0]["what"], "a \"value\"");
        assert_eq!(value["damages"][1]["key_hex"], "ff00");
        assert!(value["damages"][2].get("key").is_none() && value["damages"][2].get("key_hex").is_none());
        assert_eq!((&value["damage_count"], &value["note_count"]), (&3.into(), &0.into()));
    }
}
