//! What a store can tell of itself, and its form in JSON.
//!
//! `Stats::fields` is the one table of names: the JSON report and the lookup of single numbers both read it, and
//! a field that it forgets does not compile. Counting is left to the engine.

/// A picture of a store at one moment. Byte counts of live and dead records are right within a few percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that have a value.
    pub keys: u64,
    /// Segments, the active one and a prepared spare included.
    pub segments: u64,
    /// Bytes of records that a key points to.
    pub live_bytes: u64,
    /// Bytes that a merge could give back.
    pub dead_bytes: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Bytes of memory the keydir takes.
    pub keydir_bytes: u64,
    /// Bytes appended since open.
    pub bytes_written: u64,
    /// Records appended since open, internal ones not counted.
    pub records_written: u64,
    /// Bytes of values that puts and batches compressed since open, before that.
    pub compressed_raw_bytes: u64,
    /// Bytes that the same values were stored in.
    pub compressed_bytes: u64,
    /// Bytes of memory that compression dictionaries take: each one that a value was read with, once.
    pub dictionary_bytes: u64,
    /// Appended bytes not yet known to be on the device.
    pub unsynced_bytes: u64,
    /// Syncs of segment files since open.
    pub syncs: u64,
    /// Segments sealed since open.
    pub rotations: u64,
    /// Merges since open.
    pub merges: u64,
    /// Bytes of segments that merges wrote since open.
    pub merge_written_bytes: u64,
    /// Bytes of values that merges compressed since open, before that.
    pub merge_raw_bytes: u64,
    /// Bytes that the same values were stored in.
    pub merge_compressed_bytes: u64,
    /// Bytes of the segments that are being merged now; 0 when none are.
    pub merge_input_bytes: u64,
    /// How many of them were passed.
    pub merge_done_bytes: u64,
    /// Damage met since open: each damaged record that the open found, and then each read that met damage, so a
    /// record read twice counts twice. A stretch in which the open finds no record counts as one.
    pub corrupt_records: u64,
    /// Hints that scans and snapshots found damaged since open, and did without.
    pub damaged_hints: u64,
    /// Feeds that are open now: merges leave alone what they have not read.
    pub feeds: u64,
    /// Failures of background work since open.
    pub background_errors: u64,
    /// Bytes of an incomplete or unproven tail that the last open discarded.
    pub recovered_bytes_discarded: u64,
    /// Records that the last open copied out of an unproven tail.
    pub recovered_records: u64,
    /// 1 when the open took the index from a checkpoint, 0 when it read the log.
    pub opened_from_checkpoint: u64,
    /// The version of the newest record.
    pub last_version: u64,
    /// How many times the store was opened for writing.
    pub generation: u64,
    /// The database's id, 32 hex digits.
    pub database_id: String,
    /// The id of this run of history, 32 hex digits.
    pub history_id: String,
    /// Why reads of unknown or older keys answer CORRUPT, if they do.
    pub degraded: Option<String>,
    /// Why writes are refused, if they are.
    pub poisoned: Option<String>,
    /// The last failure of background work.
    pub last_background_error: Option<String>,
}

/// A field as it is reported.
pub(crate) enum Field<'s> {
    Number(u64),
    /// A number that a reader of JSON would round: written as a decimal string.
    Version(u64),
    Text(Option<&'s str>),
    /// A reason, when there is one: as a number, whether there is.
    Condition(Option<&'s str>),
}

/// One flat JSON object, members in the order of the fields.
pub(crate) fn flat_object<const N: usize>(fields: [(&'static str, Field<'_>); N]) -> String {
    let members = fields.map(|(name, field)| {
        let value = match field {
            Field::Number(n) => n.to_string(),
            Field::Version(n) => format!("\"{n}\""),
            Field::Text(text) | Field::Condition(text) => serde_json::Value::from(text).to_string(),
        };
        format!("\"{name}\":{value}")
    });
    format!("{{{}}}", members.join(","))
}

impl Stats {
    /// One flat JSON object, members in the order of the fields. Numbers are numbers, `last_version` is a decimal
    /// string, and what does not apply is null.
    pub fn to_json(&self) -> String {
        flat_object(self.fields())
    }

    /// The number that `name` has in the JSON report; `degraded` and `poisoned` are 1 when they have a reason, else
    /// 0. `None` for a name that is unknown or stands for text.
    pub fn number(&self, name: &str) -> Option<u64> {
        let (_, field) = self.fields().into_iter().find(|(field, _)| *field == name)?;
        match field {
            Field::Number(n) | Field::Version(n) => Some(n),
            Field::Condition(reason) => Some(u64::from(reason.is_some())),
            Field::Text(_) => None,
        }
    }

    fn fields(&self) -> [(&'static str, Field<'_>); 34] {
        use Field::{Condition, Number, Text, Version};
        // No `..`: a new field stops the build here.
        let Stats {
            keys,
            segments,
            live_bytes,
            dead_bytes,
            disk_bytes,
            keydir_bytes,
            bytes_written,
            records_written,
            compressed_raw_bytes,
            compressed_bytes,
            dictionary_bytes,
            unsynced_bytes,
            syncs,
            rotations,
            merges,
            merge_written_bytes,
            merge_raw_bytes,
            merge_compressed_bytes,
            merge_input_bytes,
            merge_done_bytes,
            corrupt_records,
            damaged_hints,
            feeds,
            background_errors,
            recovered_bytes_discarded,
            recovered_records,
            opened_from_checkpoint,
            last_version,
            generation,
            database_id,
            history_id,
            degraded,
            poisoned,
            last_background_error,
        } = self;
        [
            ("keys", Number(*keys)),
            ("segments", Number(*segments)),
            ("live_bytes", Number(*live_bytes)),
            ("dead_bytes", Number(*dead_bytes)),
            ("disk_bytes", Number(*disk_bytes)),
            ("keydir_bytes", Number(*keydir_bytes)),
            ("bytes_written", Number(*bytes_written)),
            ("records_written", Number(*records_written)),
            ("compressed_raw_bytes", Number(*compressed_raw_bytes)),
            ("compressed_bytes", Number(*compressed_bytes)),
            ("dictionary_bytes", Number(*dictionary_bytes)),
            ("unsynced_bytes", Number(*unsynced_bytes)),
            ("syncs", Number(*syncs)),
            ("rotations", Number(*rotations)),
            ("merges", Number(*merges)),
            ("merge_written_bytes", Number(*merge_written_bytes)),
            ("merge_raw_bytes", Number(*merge_raw_bytes)),
            ("merge_compressed_bytes", Number(*merge_compressed_bytes)),
            ("merge_input_bytes", Number(*merge_input_bytes)),
            ("merge_done_bytes", Number(*merge_done_bytes)),
            ("corrupt_records", Number(*corrupt_records)),
            ("damaged_hints", Number(*damaged_hints)),
            ("feeds", Number(*feeds)),
            ("background_errors", Number(*background_errors)),
            ("recovered_bytes_discarded", Number(*recovered_bytes_discarded)),
            ("recovered_records", Number(*recovered_records)),
            ("opened_from_checkpoint", Number(*opened_from_checkpoint)),
            ("last_version", Version(*last_version)),
            ("generation", Number(*generation)),
            ("database_id", Text(Some(database_id))),
            ("history_id", Text(Some(history_id))),
            ("degraded", Condition(degraded.as_deref())),
            ("poisoned", Condition(poisoned.as_deref())),
            ("last_background_error", Text(last_background_error.as_deref())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Stats {
        Stats {
            keys: 3,
            syncs: 7,
            last_version: u64::MAX,
            generation: 2,
            database_id: "0123456789abcdef0123456789abcdef".into(),
            degraded: Some("segment \"7\"\nis damaged".into()),
            ..Stats::default()
        }
    }

    #[test]
    fn the_report_is_one_flat_object_in_the_order_of_the_fields() {
        let json = sample().to_json();
        assert_eq!(
            json,
            "{\"keys\":3,\"segments\":0,\"live_bytes\":0,\"dead_bytes\":0,\"disk_bytes\":0,\"keydir_bytes\":0,\
             \"bytes_written\":0,\"records_written\":0,\"compressed_raw_bytes\":0,\"compressed_bytes\":0,\
             \"dictionary_bytes\":0,\"unsynced_bytes\":0,\"syncs\":7,\"rotations\":0,\
             \"merges\":0,\"merge_written_bytes\":0,\"merge_raw_bytes\":0,\"merge_compressed_bytes\":0,\
             \"merge_input_bytes\":0,\"merge_done_bytes\":0,\
             \"corrupt_records\":0,\"damaged_hints\":0,\"feeds\":0,\"background_errors\":0,\"recovered_bytes_discarded\":0,\
             \"recovered_records\":0,\"opened_from_checkpoint\":0,\"last_version\":\"18446744073709551615\",\"generation\":2,\
             \"database_id\":\"0123456789abcdef0123456789abcdef\",\"history_id\":\"\",\
             \"degraded\":\"segment \\\"7\\\"\\nis damaged\",\"poisoned\":null,\"last_background_error\":null}"
        );
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn every_number_of_the_report_is_found_by_its_name() {
        let stats = sample();
        let report: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&stats.to_json()).unwrap();
        for (name, value) in report.iter().filter(|(_, value)| value.is_u64()) {
            assert_eq!(stats.number(name), value.as_u64(), "{name}");
        }
        assert_eq!(stats.number("last_version"), Some(u64::MAX));
    }

    #[test]
    fn a_condition_is_one_when_it_holds_and_zero_when_not() {
        assert_eq!(sample().number("degraded"), Some(1));
        assert_eq!(sample().number("poisoned"), Some(0));
    }

    #[test]
    fn text_and_unknown_names_have_no_number() {
        for name in ["database_id", "history_id", "last_background_error", "Keys", "key", ""] {
            assert_eq!(sample().number(name), None, "{name}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_fields_each_with_its_own_value() {
        // Debug prints names and values as the compiler knows them.
        let mut stats = Stats::default();
        for (i, n) in [
            &mut stats.keys,
            &mut stats.segments,
            &mut stats.live_bytes,
            &mut stats.dead_bytes,
            &mut stats.disk_bytes,
            &mut stats.keydir_bytes,
            &mut stats.bytes_written,
            &mut stats.records_written,
            &mut stats.compressed_raw_bytes,
            &mut stats.compressed_bytes,
            &mut stats.dictionary_bytes,
            &mut stats.unsynced_bytes,
            &mut stats.syncs,
            &mut stats.rotations,
            &mut stats.merges,
            &mut stats.merge_written_bytes,
            &mut stats.merge_raw_bytes,
            &mut stats.merge_compressed_bytes,
            &mut stats.merge_input_bytes,
            &mut stats.merge_done_bytes,
            &mut stats.corrupt_records,
            &mut stats.damaged_hints,
            &mut stats.feeds,
            &mut stats.background_errors,
            &mut stats.recovered_bytes_discarded,
            &mut stats.recovered_records,
            &mut stats.last_version,
            &mut stats.generation,
        ]
        .into_iter()
        .enumerate()
        {
            *n = 100 + i as u64;
        }
        let debug = format!("{stats:?}");
        for (name, field) in stats.fields() {
            if let Field::Number(n) | Field::Version(n) = field {
                assert!(debug.contains(&format!("{name}: {n},")), "{name} in {debug}");
            } else {
                assert!(debug.contains(&format!("{name}: ")), "{name} in {debug}");
            }
        }
    }
}
