//! What is accepted as a document, and that names are compared by what they say.

use super::*;
use proptest::prelude::*;

fn accepts(doc: impl AsRef<[u8]>) -> bool {
    check(doc.as_ref()).is_ok()
}

fn refusal(doc: impl AsRef<[u8]>) -> String {
    check(doc.as_ref()).err().expect("a refusal").to_string()
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn every_document_of_the_grammar_is_accepted() {
    let y = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.10",
        "1e400",
        "-1E-400",
        "0e+1",
        "123456789012345678901234567890",
        "\"\"",
        " \t\r\n1\r\n\t ",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,[2,{}],\"\"]",
        r#"{"":0}"#,
        r#"{"a":1,"a":2}"#,
        r#"["\u0041\/\b\f\n\r\t\"\\"]"#,
        r#"["\ud800"]"#,
        r#"{"\udc00\ud800":0}"#,
        r#""\ud83d\ude00""#,
        "\"\u{7f}\"",
        "\"\u{2028}\u{feff}\u{10ffff}é\"",
        r#"{"$serde_json::private::Number":"12"}"#,
        r#"{"$serde_json::private::RawValue":"12"}"#,
        r#"{"$serde_json::private::Number":"x"}"#,
        r#"{"$serde_json::private::RawValue":[]}"#,
        r#""\u0000""#,
    ];
    for doc in y {
        assert!(accepts(doc), "{doc}: {}", refusal(doc));
    }
}

#[test]
fn everything_outside_the_grammar_is_refused_as_not_json() {
    let n: &[&[u8]] = &[
        b"",
        b" ",
        b"nul",
        b"True",
        b"NaN",
        b"Infinity",
        b"+1",
        b"01",
        b"-",
        b"-01",
        b"1.",
        b".1",
        b"1e",
        b"1e+",
        b"0x1",
        b"1 2",
        b"[1]]",
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"{",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{1:1}",
        b"{\"a\" 1}",
        b"{\"a\":1 \"b\":2}",
        b"[}",
        b"{]",
        b"}",
        b"]",
        b"\"",
        b"\"\\\"",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"\\u12g4\"",
        b"\"\\ud800\\u\"",
        b"\"\n\"",
        b"\"\t\"",
        b"\"\x00\"",
        b"1\x00",
        b"\x0c1",
        b"/**/1",
        b"1//",
        b"\xef\xbb\xbf1",
        b"\xff",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xc0\x80\"",
        b"\"\xe2\x82\"",
        b"\xc2\xa01",
        b"\xff\xfe1\x00",
        b"\\",
        b"\"\\",
    ];
    for doc in n {
        let text = String::from_utf8_lossy(doc);
        assert!(matches!(check(doc), Err(Error::NotJson { .. })), "{text} was accepted");
    }
}

#[test]
fn a_refusal_says_what_was_expected_and_where() {
    assert_eq!(refusal("{\"a\":1,\n x}"), "not JSON: key must be a string at line 2 column 2");
    assert_eq!(
        refusal(b"[\"\xff\"]"),
        "not JSON: byte 2 begins no UTF-8 character, expected UTF-8 throughout"
    );
    assert_eq!(refusal("\u{feff}1"), "not JSON: a byte order mark at byte 0, expected the document alone");
}

#[test]
fn depth_is_accepted_up_to_the_limit() {
    assert!(accepts(nested(MAX_DEPTH)));
    assert!(accepts(format!("{{\"[[[\":{}}}", nested(MAX_DEPTH - 1))));
    assert!(accepts(format!("[{},1]", nested(MAX_DEPTH - 1))));
    assert_eq!(refusal(nested(MAX_DEPTH + 1)), "arrays and objects are nested deeper than 128");
    assert!(accepts(format!("\"{}\"", "[".repeat(1000))));
    assert!(accepts(format!("[{}1]", "[],".repeat(1000))));
}

#[test]
fn ten_megabytes_of_openings_are_refused_without_a_deep_stack() {
    const LEN: usize = 10 << 20;
    for piece in ["[", "{", "{\"a\":", "\"", "\\", "\"\\", "-", "[[]", "]", "1,", "[1,", "\"\\u"] {
        assert!(!accepts(piece.repeat(LEN / piece.len())), "{piece}");
    }
}

#[test]
fn a_document_over_the_value_limit_is_too_large() {
    assert!(check_size(u32::MAX as usize).is_ok());
    assert!(matches!(check_size(u32::MAX as usize + 1), Err(Error::TooLarge { what: "document", .. })));
}

fn decoded(text: &str) -> Vec<u8> {
    Name { start: 0, text }.decoded().unwrap().into_owned()
}

#[test]
fn names_are_compared_without_their_escapes() {
    assert_eq!(decoded(r#""\u0041\/\b\f\n\r\t\"\\""#), b"A/\x08\x0c\n\r\t\"\\");
    assert_eq!(decoded(r#""\ud83d\ude00""#), "😀".as_bytes());
    assert_eq!(decoded(r#""\uD83D\uDE00x""#), "😀x".as_bytes());
    assert_eq!(decoded(r#""\u0000\uffff""#), "\0\u{ffff}".as_bytes());
}

#[test]
fn a_lone_surrogate_equals_itself_alone() {
    assert_eq!(decoded(r#""\ud800""#), b"\xed\xa0\x80");
    assert_eq!(decoded(r#""\uDFFF""#), b"\xed\xbf\xbf");
    assert_eq!(decoded(r#""\ud800\ud83d\ude00""#), [b"\xed\xa0\x80", "😀".as_bytes()].concat());
    assert_eq!(decoded(r#""\ude00\ud83d""#), b"\xed\xb8\x80\xed\xa0\xbd");
    assert_eq!(decoded(r#""\ud83d\u0041""#), b"\xed\xa0\xbdA");
    assert_ne!(decoded(r#""\ud800""#), decoded(r#""\ufffd""#));
}

/// Pieces of JSON and of what is nearly JSON.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "null",
        "true",
        "0",
        "-",
        "1",
        ".5",
        "e4",
        "E+",
        "\"",
        "\"a\"",
        "\"a\":",
        "\\",
        "\\u",
        "00e9",
        "\\ud83d\\ude00",
        "é",
        "\u{1}",
        "[1,2]",
        "{\"a\":1}",
        ",\"b\":[]",
        "[]",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn we_accept_what_a_typed_parser_accepts(doc in pieces()) {
        // Differences, each tested above, that pieces seldom make: numbers out of range and lone surrogates.
        let typed = serde_json::from_str::<serde_json::Value>(&doc);
        let known = |err: &serde_json::Error| {
            ["out of range", "surrogate"].iter().any(|what| err.to_string().contains(what))
        };
        let differs = typed.as_ref().is_err_and(known);
        prop_assert!(differs || accepts(&doc) == typed.is_ok(), "{:?}", typed);
    }

    #[test]
    fn a_walk_over_any_accepted_value_ends_at_its_end(doc in pieces()) {
        if let Ok(mut walker) = check(doc.as_bytes()) {
            let value = walker.skip_value();
            prop_assert_eq!(&doc[value], doc.trim_matches([' ', '\t', '\n', '\r']));
        }
    }

    #[test]
    fn no_bytes_make_the_check_panic(doc in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&doc);
    }

    #[test]
    fn names_decode_as_a_typed_parser_decodes_them(name in r#"(\\u00[0-7][0-9a-f]|\\u[1-9a-c][0-9A-F]{3}|\\ud83d\\ude[0-9a-f]{2}|\\[bfnrt/"\\]|[a-zé😀 ]){0,8}"#) {
        let text = format!("\"{name}\"");
        let typed: String = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(decoded(&text), typed.as_bytes());
    }
}
