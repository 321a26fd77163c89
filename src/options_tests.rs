//! Options as JSON: each accepted form, each refusal.

use super::*;

fn read(json: &str) -> Options {
    Options::from_json(json).unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn refusal(json: &str) -> String {
    match Options::from_json(json) {
        Err(Error::Invalid(what)) => what,
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn nothing_named_means_the_defaults() {
    for json in ["", "{}", " { }\n"] {
        assert_eq!(read(json), Options::default());
    }
}

#[test]
fn every_option_is_read_into_its_field() {
    let all = r#"{"create":false,"read_only":true,"sync":"always","io":"pread","max_segment_bytes":65536,
        "expected_keys":10000000,"default_ttl_ms":1000,"file_mode":"0640","checkpoint":false,"merge":"manual",
        "feed_retention_bytes":1000000,"compression":{"codec":"zstd","min_bytes":100,"level":7}}"#;
    let expected = Options {
        create: false,
        read_only: true,
        sync: SyncMode::Always,
        io: IoMode::Pread,
        max_segment_bytes: 65536,
        expected_keys: 10_000_000,
        default_ttl_ms: 1000,
        file_mode: 0o640,
        checkpoint: false,
        merge: MergeMode::Manual,
        merge_policy: MergePolicy::default(),
        feed_retention_bytes: 1_000_000,
        compression: Some(Compression { codec: Codec::Zstd, min_bytes: 100, level: 7, dictionary_level: 7 }),
    };
    assert_eq!(read(all), expected);
    assert!(READERS.iter().all(|(name, _)| all.contains(&format!("\"{name}\":"))));
}

#[test]
fn the_defaults_written_out_are_the_defaults() {
    let all = r#"{"create":true,"read_only":false,"sync":"none","io":"auto","max_segment_bytes":268435456,
        "expected_keys":0,"default_ttl_ms":0,"file_mode":"0600","checkpoint":true,"merge":"auto",
        "feed_retention_bytes":0,"compression":"none"}"#;
    assert_eq!(read(all), Options::default());
}

#[test]
fn every_choice_is_accepted() {
    assert_eq!(read(r#"{"sync":{"interval_ms":1}}"#).sync, SyncMode::IntervalMs(1));
    assert_eq!(read(r#"{"sync":{ "interval_ms" : 3600000 }}"#).sync, SyncMode::IntervalMs(3_600_000));
    assert_eq!(read(r#"{"sync":"none"}"#).sync, SyncMode::None);
    assert_eq!(read(r#"{"io":"mmap"}"#).io, IoMode::Mmap);
    assert_eq!(read(r#"{"merge":"off"}"#).merge, MergeMode::Off);
    assert_eq!(read(r#"{"merge":"\u006fff"}"#).merge, MergeMode::Off);
}

#[test]
fn a_policy_of_merges_is_read_with_its_mode() {
    let options = read(
        r#"{"merge":{"trigger_percent":70,"trigger_bytes":1,"threshold_percent":2,"threshold_bytes":3,"mode":"manual",
        "small_segment_bytes":4,"max_input_bytes":5,"bytes_per_second":6,"window":[22,6]}}"#,
    );
    let expected = MergePolicy {
        trigger_percent: 70,
        trigger_bytes: 1,
        threshold_percent: 2,
        threshold_bytes: 3,
        small_segment_bytes: 4,
        max_input_bytes: 5,
        bytes_per_second: 6,
        window: Some((22, 6)),
    };
    assert_eq!((options.merge, options.merge_policy), (MergeMode::Manual, expected));
    assert_eq!(read(r#"{"merge":{"mode":"auto"}}"#).merge_policy, MergePolicy::default());
    for refused in [
        r#"{"merge":{}}"#,
        r#"{"merge":{"trigger_percent":50}}"#,
        r#"{"merge":{"mode":"never"}}"#,
        r#"{"merge":{"mode":"auto","trigger_percent":0}}"#,
        r#"{"merge":{"mode":"auto","window":[6]}}"#,
        r#"{"merge":{"mode":"auto","window":[6,6]}}"#,
        r#"{"merge":{"mode":"auto","window":[6,24]}}"#,
        r#"{"merge":{"mode":"auto","mode":"auto"}}"#,
        r#"{"merge":{"mode":"auto","triger_bytes":5}}"#,
    ] {
        assert!(refusal(refused).contains("option"), "{refused}");
    }
    assert!(
        refusal(r#"{"merge":{"mode":"auto","triger_bytes":5}}"#).contains("did you mean \"trigger_bytes\"?")
    );
}

#[test]
fn a_merge_on_demand_takes_whatever_has_dead_bytes_unless_told_otherwise() {
    let on_demand = |json| MergePolicy::from_json(json);
    assert_eq!(on_demand("").unwrap(), MergePolicy::everything());
    assert_eq!(on_demand("{}").unwrap(), MergePolicy::everything());
    assert_eq!(on_demand(r#"{"bytes_per_second":9}"#).unwrap().bytes_per_second, 9);
    for refused in ["[]", r#"{"mode":"auto"}"#, r#"{"trigger_percent":101}"#, "{"] {
        assert!(matches!(on_demand(refused), Err(Error::Invalid(_))), "{refused}");
    }
}

#[test]
fn the_hours_for_merges_may_lie_around_midnight() {
    let at = |hour: u64| hour * 3_600_000_000_000 + 1;
    let within = |window| {
        let policy = MergePolicy { window, ..MergePolicy::default() };
        (0..24).filter(|&hour| policy.may_begin_at(at(hour))).collect::<Vec<u64>>()
    };
    assert_eq!(within(None).len(), 24);
    assert_eq!(within(Some((2, 5))), [2, 3, 4]);
    assert_eq!(within(Some((22, 1))), [0, 22, 23]);
}

#[test]
fn ranges_are_accepted_up_to_their_ends_and_no_further() {
    for (key, low, high) in [
        ("max_segment_bytes", Some(MIN_SEGMENT_BYTES), MAX_SEGMENT_BYTES),
        ("expected_keys", None, MAX_EXPECTED_KEYS),
        ("default_ttl_ms", None, MAX_DEFAULT_TTL_MS),
        ("feed_retention_bytes", None, MAX_FEED_RETENTION_BYTES),
    ] {
        let with = |n: u64| format!("{{\"{key}\":{n}}}");
        read(&with(high));
        assert!(refusal(&with(high + 1)).contains(&high.to_string()));
        if let Some(low) = low {
            read(&with(low));
            assert!(refusal(&with(low - 1)).contains(&low.to_string()));
        }
    }
    for n in ["0", "3600001", "-1", "1.0", "\"5\"", "null"] {
        assert!(refusal(&format!(r#"{{"sync":{{"interval_ms":{n}}}}}"#)).contains("from 1 to 3600000"));
    }
}

#[test]
fn a_refusal_names_the_key_what_was_given_and_what_is_accepted() {
    assert_eq!(refusal(r#"{"create":1}"#), r#"option "create": given 1; accepted: true or false"#);
    assert_eq!(
        refusal(r#"{"io":"direct"}"#),
        r#"option "io": given "direct"; accepted: "auto" or "mmap" or "pread""#
    );
    assert_eq!(
        refusal(r#"{"max_segment_bytes":1e6}"#),
        r#"option "max_segment_bytes": given 1e6; accepted: an integer from 65536 to 8589934592, in digits alone"#
    );
    assert_eq!(
        refusal(r#"{"sync":"sometimes"}"#),
        "option \"sync\": given \"sometimes\"; accepted: \"none\" or \"always\" or {\"interval_ms\": n} with an \
         integer n from 1 to 3600000"
    );
    assert_eq!(
        refusal(r#"{"create":true,"\u0063reate":true}"#),
        r#"option "\u0063reate": given true; accepted: once"#
    );
}

#[test]
fn a_wrong_type_is_refused_for_every_option() {
    for (name, _) in READERS {
        for value in ["null", "[]", "{}", "\"x\"", "-1", "1.5", "1e3", "99999999999999999999"] {
            assert!(
                refusal(&format!("{{\"{name}\":{value}}}")).starts_with(&format!("option \"{name}\": given"))
            );
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (given, meant) in [
        ("crate", "create"),
        ("raed_only", "read_only"),
        ("Sync", "sync"),
        ("ioo", "io"),
        ("merg", "merge"),
        ("expected-keys", "expected_keys"),
    ] {
        assert!(
            refusal(&format!("{{\"{given}\":1}}")).contains(&format!("did you mean {meant:?}?")),
            "{given}"
        );
    }
    for given in ["", "cache_size", "\\ud800", "\\\"", "$serde_json::private::Number"] {
        let what = refusal(&format!("{{\"{given}\":\"12\"}}"));
        assert!(
            what.contains(given) && what.contains("max_segment_bytes") && !what.contains("did you mean"),
            "{what}"
        );
    }
}

#[test]
fn a_file_mode_has_read_and_write_bits_alone_and_both_of_the_owner() {
    for (mode, bits) in [("0600", 0o600), ("0640", 0o640), ("0644", 0o644), ("0666", 0o666), ("0622", 0o622)]
    {
        assert_eq!(read(&format!("{{\"file_mode\":\"{mode}\"}}")).file_mode, bits);
    }
    for mode in [
        "\"0700\"",
        "\"0400\"",
        "\"0200\"",
        "\"0066\"",
        "\"0601\"",
        "\"600\"",
        "\"00600\"",
        "\"4600\"",
        "\"0o600\"",
        "\"+600\"",
        "\"0+60\"",
        "\"0688\"",
        "\"\"",
        "384",
        "0",
    ] {
        assert!(refusal(&format!("{{\"file_mode\":{mode}}}")).contains("an octal string"), "{mode}");
    }
}

#[test]
fn sync_takes_interval_ms_and_nothing_beside_it() {
    for sync in [
        r#"{}"#,
        r#"{"interval":5}"#,
        r#"{"interval_ms":5,"x":1}"#,
        r#"{"interval_ms":5,"interval_ms":5}"#,
        "5",
        "[5]",
    ] {
        assert!(refusal(&format!("{{\"sync\":{sync}}}")).contains("interval_ms"), "{sync}");
    }
}

#[test]
fn text_that_is_no_json_object_is_refused() {
    for json in ["{", "[]", "null", "\"create\"", "{} {}", "{\"create\":true,}", "\u{feff}{}", " "] {
        assert!(refusal(json).starts_with("options: "), "{json}");
    }
    refusal(&"[".repeat(10 << 20));
}

#[test]
fn a_refusal_quotes_no_more_than_a_message_holds() {
    let long = "é".repeat(1 << 20);
    assert!(refusal(&format!("{{\"{long}\":1}}")).len() < 400);
    assert!(refusal(&format!("{{\"io\":\"{long}\"}}")).len() < 256);
    assert!(refusal(&format!("\"{long}\"")).len() < 256);
}

#[test]
fn a_codec_may_be_named_alone_or_with_its_settings() {
    let chosen = |json: &str| read(&format!("{{\"compression\":{json}}}")).compression;
    for (json, codec) in [("\"lz4\"", Codec::Lz4), ("\"zstd\"", Codec::Zstd)] {
        assert_eq!(chosen(json), Some(Compression { codec, min_bytes: 64, level: 3, dictionary_level: 12 }));
        assert_eq!(chosen(&format!("{{\"codec\":{json}}}")), chosen(json));
    }
    assert_eq!(chosen("\"none\""), None);
    assert_eq!(chosen(r#"{"min_bytes":0,"codec":"none"}"#), None);
    assert_eq!(chosen(r#"{"codec":"lz4","min_bytes":0}"#).map(|chosen| chosen.min_bytes), Some(0));
}

#[test]
fn a_compression_that_cannot_be_is_refused_with_what_can() {
    for (json, named) in [
        (
            "\"gzip\"",
            "option \"compression\": given \"gzip\"; accepted: \"none\" or \"lz4\" or \"zstd\" or an object",
        ),
        ("3", "an object with one of these as \"codec\""),
        ("{}", "an object with one of these as \"codec\""),
        (
            r#"{"codec":"gzip"}"#,
            "option \"codec\": given \"gzip\"; accepted: \"none\" or \"lz4\" or \"zstd\"",
        ),
        (r#"{"codec":"zstd","level":0}"#, "option \"level\": given 0; accepted: an integer from 1 to 19"),
        (r#"{"codec":"lz4","level":3}"#, "accepted: \"level\" with codec \"zstd\" alone"),
        (r#"{"codec":"zstd","min_bytes":-1}"#, "option \"min_bytes\": given -1"),
        (r#"{"codec":"zstd","min_byte":1}"#, "did you mean \"min_bytes\"?"),
    ] {
        let what = refusal(&format!("{{\"compression\":{json}}}"));
        assert!(what.contains(named), "{json}: {what}");
    }
}
