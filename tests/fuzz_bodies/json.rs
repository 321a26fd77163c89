//! A document, a pointer and a merge patch, parted by bytes that no UTF-8 has, beside what `serde_json` makes of them.

use bitcask::Error;
use bitcask::features::json::{MAX_DEPTH, check_pointer, merge_patch, pointer, validate};
use serde_json::Value;

/// Why JSON can be no value of `serde_json`.
const UNCONVERTED: [&str; 4] = ["out of range", "surrogate", "hex escape", "recursion limit"];

pub fn run(data: &[u8]) {
    let mut parts = data.split(|&byte| byte == 0xFF);
    let mut part = || parts.next().unwrap_or_default();
    let (document, path, patch) = (part(), part(), part());
    // It converts what it reads, so it refuses more than the grammar does, and nothing less.
    match (validate(document), serde_json::from_slice::<Value>(document)) {
        (Ok(()), Err(err)) => {
            let what = err.to_string();
            assert!(UNCONVERTED.iter().any(|why| what.contains(why)), "no JSON was accepted: {what}");
        }
        (Err(Error::TooLarge { .. }), _) => assert!(document.len() > MAX_DEPTH, "refused as too deep"),
        (valid, value) => assert_eq!(valid.is_ok(), value.is_ok(), "{valid:?}"),
    }
    if let Ok(path) = std::str::from_utf8(path) {
        point(document, path);
    }
    change(document, patch);
}

fn point(document: &[u8], path: &str) {
    let answer = pointer(document, path);
    if check_pointer(path).is_err() || validate(document).is_err() {
        assert!(answer.is_err(), "{path:?} answered {answer:?}");
        return;
    }
    let found = answer.expect("a pointer into a document");
    if let Some(found) = found {
        validate(found.as_bytes()).expect("a part of a document is one");
        assert!(document.as_ptr_range().contains(&found.as_ptr()), "not a part of the document");
    }
    // What a value cannot hold, like 1e999, leaves nothing to compare.
    if let Ok(value) = serde_json::from_slice::<Value>(document) {
        let found = found.map(|found| serde_json::from_str::<Value>(found).expect("a part of a value"));
        assert_eq!(found.as_ref(), value.pointer(path), "{path:?}");
    }
}

fn change(document: &[u8], patch: &[u8]) {
    let answer = merge_patch(document, patch);
    if validate(document).is_err() || validate(patch).is_err() {
        assert!(answer.is_err());
        return;
    }
    let patched = answer.expect("a patch of a document");
    validate(&patched).expect("a patched document is one");
    let values = (serde_json::from_slice::<Value>(document), serde_json::from_slice::<Value>(patch));
    if let (Ok(mut value), Ok(patch)) = values {
        apply(&mut value, &patch);
        assert_eq!(serde_json::from_slice::<Value>(&patched).expect("a value"), value);
    }
}

/// RFC 7396, as it is written there.
fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Value::Object(target) = target else { return };
    for (name, change) in patch {
        if change.is_null() {
            target.remove(name);
        } else {
            apply(target.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}
