//! Every test program is run by `tools/test.sh`, and none twice.
//!
//! Cargo finds a program in `tests/NAME.rs` and in `tests/NAME/main.rs`; the scripts must find the same.

use std::path::Path;
use std::process::Command;

/// The names that follow `--test` in the text.
fn named(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "--test").map(|pair| pair[1].to_owned()).collect()
}

#[test]
fn each_test_program_is_run_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut programs = Vec::new();
    for item in std::fs::read_dir(root.join("tests")).expect("tests can be listed") {
        let path = item.expect("tests can be listed").path();
        if path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists() {
            programs.push(path.file_stem().and_then(|s| s.to_str()).expect("a name in UTF-8").to_owned());
        }
    }

    // With echo in cargo's place the script says what it would run.
    let said = Command::new("sh").arg(root.join("tools/cargo-tests.sh")).env("CARGO", "echo").output();
    let said = said.expect("there is a shell");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let script = std::fs::read_to_string(root.join("tools/test.sh")).expect("the script can be read");
    let mut run = named(&String::from_utf8_lossy(&said.stdout));
    run.extend(named(&script));

    programs.sort();
    run.sort();
    assert_eq!(run, programs, "what is run, and what there is");
}
