//! RFC 6901 on the text.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn at<'d>(doc: &'d str, path: &str) -> Option<&'d str> {
    pointer(doc.as_bytes(), path).unwrap()
}

/// RFC 6901, section 5.
const RFC: &str = r#"{
      "foo": ["bar", "baz"],
      "": 0,
      "a/b": 1,
      "c%d": 2,
      "e^f": 3,
      "g|h": 4,
      "i\\j": 5,
      "k\"l": 6,
      " ": 7,
      "m~n": 8
   }"#;

#[test]
fn the_table_of_rfc_6901_holds() {
    let table = [
        ("", RFC),
        ("/foo", r#"["bar", "baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ];
    for (path, part) in table {
        assert_eq!(at(RFC, path), Some(part), "{path}");
    }
}

#[test]
fn the_text_of_a_part_is_exact() {
    let doc = " { \"a\" : [ 1.10 , -0,1e400,  {\"x\" :\t12345678901234567890123} ], \"b\": \"\\u0041\\/\\ud800é\" }\n";
    assert_eq!(at(doc, ""), Some(doc.trim()));
    assert_eq!(at(doc, "/a/0"), Some("1.10"));
    assert_eq!(at(doc, "/a/1"), Some("-0"));
    assert_eq!(at(doc, "/a/2"), Some("1e400"));
    assert_eq!(at(doc, "/a/3"), Some("{\"x\" :\t12345678901234567890123}"));
    assert_eq!(at(doc, "/b"), Some("\"\\u0041\\/\\ud800é\""));
}

#[test]
fn what_is_not_there_matches_nothing() {
    for path in [
        "/x",
        "/a/2",
        "/a/-",
        "/a/01",
        "/a/00",
        "/a/+1",
        "/a/ 1",
        "/a/1e0",
        "/a/",
        "/a/0/0",
        "/n/x",
        "/a/99999999999999999999",
    ] {
        assert_eq!(at(r#"{"a":[1,2],"n":null}"#, path), None, "{path}");
    }
    assert_eq!(at("1", "/"), None);
    assert_eq!(at("[]", "/0"), None);
}

#[test]
fn a_name_may_look_like_an_index() {
    assert_eq!(at(r#"{"-":1,"01":2,"0":3}"#, "/-"), Some("1"));
    assert_eq!(at(r#"{"-":1,"01":2,"0":3}"#, "/01"), Some("2"));
}

#[test]
fn the_last_of_equal_names_counts() {
    assert_eq!(at(r#"{"a":1,"b":0,"\u0061":2}"#, "/a"), Some("2"));
    assert_eq!(at(r#"{"a":{"x":1},"a":{}}"#, "/a/x"), None);
    assert_eq!(at(r#"{"a":{"x":1},"a":{"x":2,"x":3}}"#, "/a/x"), Some("3"));
}

#[test]
fn names_match_whatever_their_spelling() {
    assert_eq!(at(r#"{"\u00e9\ud83d\ude00":1}"#, "/é😀"), Some("1"));
    assert_eq!(at(r#"{"\ud800":1}"#, "/\u{fffd}"), None);
    assert_eq!(at(r#"{"~1":1,"/":2}"#, "/~01"), Some("1"));
}

#[test]
fn no_name_is_magic() {
    let doc = r#"{"$serde_json::private::Number":"12"}"#;
    assert_eq!(at(doc, ""), Some(doc));
    assert_eq!(at(doc, "/$serde_json::private::Number"), Some("\"12\""));
    let doc = r#"[{"$serde_json::private::RawValue":"12"}]"#;
    assert_eq!(at(doc, "/0"), Some(r#"{"$serde_json::private::RawValue":"12"}"#));
    assert_eq!(at(doc, "/0/$serde_json::private::RawValue"), Some("\"12\""));
}

#[test]
fn a_malformed_pointer_is_refused_with_the_reason() {
    for (path, reason) in
        [("a", "begin with '/'"), ("#/a", "begin with '/'"), ("/~", "'~'"), ("/a~2", "'~'"), ("/~0~", "'~'")]
    {
        let error = pointer(b"{}", path).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains("accepted"), "{error}");
    }
}

#[test]
fn the_whole_document_is_checked() {
    assert!(matches!(pointer(b"{\"a\":1", "/a"), Err(Error::NotJson { .. })));
    assert!(matches!(pointer(b"[[1],", "/0"), Err(Error::NotJson { .. })));
}

#[test]
fn a_pointer_may_be_longer_than_any_document_is_deep() {
    let doc = "[".repeat(MAX_DEPTH) + "7" + &"]".repeat(MAX_DEPTH);
    assert_eq!(at(&doc, &"/0".repeat(MAX_DEPTH)), Some("7"));
    assert_eq!(at(&doc, &"/0".repeat(MAX_DEPTH + 1)), None);
    assert_eq!(at(&doc, &"/0".repeat(1 << 20)), None);
}

/// Every pointer into `value`, with what it names.
fn paths<'v>(value: &'v Value, prefix: String, all: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| paths(v, format!("{prefix}/{i}"), all))
        }
        Value::Object(members) => members.iter().for_each(|(k, v)| {
            paths(v, format!("{prefix}/{}", k.replace('~', "~0").replace('/', "~1")), all)
        }),
        _ => {}
    }
    all.push((prefix, value));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_part_is_found_as_a_typed_parser_sees_it(doc in crate::features::json::arbitrary::document()) {
        let value: Value = serde_json::from_str(&doc).unwrap();
        let mut all = Vec::new();
        paths(&value, String::new(), &mut all);
        for (path, part) in all {
            let found: Value = serde_json::from_str(at(&doc, &path).expect(&path)).unwrap();
            prop_assert_eq!(&found, part);
            let beyond = format!("{}/no such", path);
            prop_assert_eq!(at(&doc, &beyond), None);
        }
    }
}
