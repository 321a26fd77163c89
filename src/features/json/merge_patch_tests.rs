//! RFC 7396 on the text.

use super::*;
use crate::features::json::{MAX_DEPTH, arbitrary, pointer, validate};
use proptest::prelude::*;
use serde_json::Value;

fn merged(doc: &str, patch: &str) -> String {
    String::from_utf8(merge_patch(doc.as_bytes(), patch.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_table_of_rfc_7396_holds() {
    let table = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (doc, patch, result) in table {
        assert_eq!(merged(doc, patch), result, "{doc} patched with {patch}");
    }
}

#[test]
fn what_the_patch_does_not_touch_keeps_its_text_and_place() {
    let doc = "\n{ \"z\" : 12345678901234567890123 ,\"\\u0061\":\t1.10, \"m\":{\"x\" : 1e400,\"y\":-0 }, \"s\":\"\\/\\ud800\" }\n";
    assert_eq!(merged(doc, "{}"), doc);
    assert_eq!(merged(doc, r#"{"a":2}"#), doc.replace("1.10", "2"));
    assert_eq!(merged(doc, r#"{"m":{"y":[ 0 ]}}"#), doc.replace("-0", "[ 0 ]"));
    assert_eq!(merged(doc, r#"{"n":{"x": 1}}"#), doc.replace("ud800\"", "ud800\",\"n\":{\"x\": 1}"));
    assert_eq!(merged(doc, "7"), "\n7\n");
}

#[test]
fn a_removed_member_takes_one_comma_with_it() {
    let doc = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}";
    assert_eq!(merged(doc, r#"{"a":null}"#), "{\n  \"b\": 2,\n  \"c\": 3\n}");
    assert_eq!(merged(doc, r#"{"b":null}"#), "{\n  \"a\": 1,\n  \"c\": 3\n}");
    assert_eq!(merged(doc, r#"{"c":null}"#), "{\n  \"a\": 1,\n  \"b\": 2\n}");
    assert_eq!(merged(doc, r#"{"a":null,"b":null}"#), "{\n  \"c\": 3\n}");
    assert_eq!(merged(doc, r#"{"b":null,"c":null}"#), "{\n  \"a\": 1\n}");
    assert_eq!(merged(doc, r#"{"a":null,"c":null}"#), "{\n  \"b\": 2\n}");
    assert_eq!(merged(doc, r#"{"c":null,"b":null,"a":null}"#), "{}");
    assert_eq!(merged(doc, r#"{"c":null,"b":null,"a":null,"d":4,"e":5}"#), r#"{"d":4,"e":5}"#);
    assert_eq!(merged(doc, r#"{"a":null,"b":5,"c":null,"d":4}"#), "{\n  \"b\": 5,\"d\":4\n}");
    assert_eq!(merged("{ }", r#"{"a":null}"#), "{ }");
}

#[test]
fn of_equal_names_that_the_patch_touches_the_last_stays() {
    assert_eq!(merged(r#"{"a":1,"b":0,"\u0061":2}"#, r#"{"a":3}"#), r#"{"b":0,"\u0061":3}"#);
    assert_eq!(merged(r#"{"b":0,"a":1,"a":2,"c":0}"#, r#"{"a":3}"#), r#"{"b":0,"a":3,"c":0}"#);
    assert_eq!(merged(r#"{"a":1,"a":2,"b":0,"a":4}"#, r#"{"a":null}"#), r#"{"b":0}"#);
    assert_eq!(merged(r#"{"a":{"x":1},"a":{"y":2}}"#, r#"{"a":{"z":3}}"#), r#"{"a":{"y":2,"z":3}}"#);
    assert_eq!(merged(r#"{"a":{"x":1},"a":7}"#, r#"{"a":{"z":3}}"#), r#"{"a":{"z":3}}"#);
}

#[test]
fn of_equal_names_in_the_patch_the_last_counts() {
    assert_eq!(merged(r#"{"a":1}"#, r#"{"a":2,"a":null}"#), "{}");
    assert_eq!(merged(r#"{"a":1}"#, r#"{"a":null,"\u0061":2}"#), r#"{"a":2}"#);
    assert_eq!(merged("{}", r#"{"a":1,"b":2,"a":3}"#), r#"{"b":2,"a":3}"#);
    assert_eq!(
        merged("{}", r#"{"x":{"a":1,"a":null,"b":[null,{"c":null}]}}"#),
        r#"{"x":{"b":[null,{"c":null}]}}"#
    );
}

#[test]
fn lone_surrogate_names_meet_their_equals() {
    assert_eq!(
        merged(r#"{"\ud800":1,"\udc00":2}"#, r#"{"\uD800":3,"\ud801":4}"#),
        r#"{"\ud800":3,"\udc00":2,"\ud801":4}"#
    );
}

#[test]
fn no_name_is_magic_to_a_patch() {
    for token in ["Number", "RawValue"] {
        let doc = format!(r#"{{"$serde_json::private::{token}":"12"}}"#);
        assert_eq!(merged(&doc, "{}"), doc);
        assert_eq!(merged("1", &doc), doc);
        assert_eq!(merged(r#"{"a":1}"#, &format!(r#"{{"a":{doc}}}"#)), format!(r#"{{"a":{doc}}}"#));
        assert_eq!(merged(&doc, &doc.replace("\"12\"", "null")), "{}");
    }
}

#[test]
fn a_patch_may_be_as_deep_as_a_document() {
    let nest = |leaf: &str| r#"{"a":"#.repeat(MAX_DEPTH - 1) + leaf + &"}".repeat(MAX_DEPTH - 1);
    assert_eq!(merged(&nest(r#"{"x":1}"#), &nest(r#"{"x":null,"y":2}"#)), nest(r#"{"y":2}"#));
    assert_eq!(merged("1", &nest(r#"{"x":null}"#)), nest("{}"));
}

#[test]
fn work_is_linear_for_repeated_and_deep_documents() {
    // Were one of these quadratic it would take hours; a busy machine needs seconds.
    let begun = std::time::Instant::now();
    const N: usize = 100_000;
    let wide: String = (0..N).map(|i| format!("\"k{i}\":{{}},")).collect();
    let patch = format!(r#"{{"a":{{{}}}}}"#, wide.trim_end_matches(','));
    let repeated = format!("{{{}}}", vec![r#""a":{"b":1}"#; N].join(","));
    let result = merged(&repeated, &patch);
    assert!(result.starts_with(r#"{"a":{"b":1,"k0":{}"#) && result.len() < patch.len() + 20);

    let leaf = format!("[{}0]", "1,".repeat(5 << 20));
    let nest = |leaf: &str| r#"{"a":"#.repeat(MAX_DEPTH - 2) + leaf + &"}".repeat(MAX_DEPTH - 2);
    let result = merged(&nest(&format!(r#"{{"l":{leaf}}}"#)), &nest(r#"{"y":2}"#));
    assert_eq!(result.len(), leaf.len() + nest(r#"{"l":,"y":2}"#).len());
    assert!(begun.elapsed().as_secs() < 180, "{:?}", begun.elapsed());
}

/// RFC 7396, section 2.
fn reference(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        match target.remove(name) {
            _ if value.is_null() => {}
            old => {
                target.insert(name.clone(), reference(old.unwrap_or(Value::Null), value));
            }
        }
    }
    Value::Object(target)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_patch_does_what_the_rfc_does_to_a_tree(doc in arbitrary::document(), patch in arbitrary::document()) {
        let text = merged(&doc, &patch);
        validate(text.as_bytes()).unwrap();
        let typed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        prop_assert_eq!(typed(&text), reference(typed(&doc), &typed(&patch)), "{}", text);
    }

    #[test]
    fn a_patch_keeps_the_text_of_the_members_it_does_not_name(doc in arbitrary::object(), value in arbitrary::document()) {
        let text = merged(&doc, &format!("{{\"a\":{value}}}"));
        for path in ["/b", "/c", "/", "/~1~0", "/é"] {
            prop_assert_eq!(pointer(doc.as_bytes(), path).unwrap(), pointer(text.as_bytes(), path).unwrap());
        }
    }

    #[test]
    fn the_empty_patch_changes_no_object(doc in arbitrary::object()) {
        prop_assert_eq!(merged(&doc, "{}"), doc);
    }
}
