//! Random documents for property tests: few names, so that they repeat and meet, in several spellings; white
//! space anywhere; numbers in several spellings that a typed parser can hold.

use proptest::prelude::*;

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n  "])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""a""#,
        r#""\u0061""#,
        r#""b""#,
        r#""c""#,
        r#""""#,
        r#""/~""#,
        r#""\/~""#,
        "\"é\"",
    ])
}

fn scalar() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "null",
        "null",
        "true",
        "0",
        "-0.0",
        "1.10",
        "1e3",
        r#""x""#,
        r#""\u0041{,}[]\"\\""#,
        "\"\"",
        "[]",
        "{}",
        "{ }",
    ])
}

/// One document that is an object.
pub(super) fn object() -> impl Strategy<Value = String> {
    document()
        .prop_map(|doc| if doc.trim_start().starts_with('{') { doc } else { format!("{{\"b\":{doc}}}") })
}

/// One document, at most five levels deep.
pub(super) fn document() -> impl Strategy<Value = String> {
    let tree = scalar().prop_map(String::from).prop_recursive(4, 40, 6, |inner| {
        let element = (space(), inner.clone(), space()).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        let member = (space(), name(), space(), space(), inner, space())
            .prop_map(|(a, n, b, c, v, d)| format!("{a}{n}{b}:{c}{v}{d}"));
        prop_oneof![
            1 => prop::collection::vec(element, 1..4).prop_map(|items| format!("[{}]", items.join(","))),
            4 => prop::collection::vec(member, 1..6).prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    });
    (space(), tree, space()).prop_map(|(a, v, b)| format!("{a}{v}{b}"))
}
