//! Options in JSON: whatever is accepted is within what the table of options says.

use bitcask::Error;
use bitcask::options::{
    MAX_EXPECTED_KEYS, MAX_INTERVAL_MS, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, MergePolicy, Options, SyncMode,
};
use serde_json::{Map, Value};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_object = text.is_empty() || serde_json::from_str::<Map<String, Value>>(text).is_ok();
    match Options::from_json(text) {
        Ok(options) => {
            assert!(is_object, "{text} is no object");
            assert!((MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&options.max_segment_bytes));
            assert!(options.expected_keys <= MAX_EXPECTED_KEYS && options.file_mode & !0o666 == 0);
            if let SyncMode::IntervalMs(ms) = options.sync {
                assert!((1..=MAX_INTERVAL_MS).contains(&ms));
            }
            check_policy(&options.merge_policy);
        }
        Err(err) => check_refusal(&err),
    }
    match MergePolicy::from_json(text) {
        Ok(policy) => {
            assert!(is_object, "{text} is no object");
            check_policy(&policy);
        }
        Err(err) => check_refusal(&err),
    }
}

fn check_policy(policy: &MergePolicy) {
    assert!((1..=100).contains(&policy.trigger_percent) && (1..=100).contains(&policy.threshold_percent));
    assert!(policy.max_input_bytes > 0);
    assert!(policy.window.is_none_or(|(from, to)| from < 24 && to < 24 && from != to));
}

fn check_refusal(err: &Error) {
    assert!(matches!(err, Error::Invalid(_)), "{err}");
    assert!(!err.to_string().is_empty());
}
