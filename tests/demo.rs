//! The demo as its users run it: on the repository's data, on a file of their own, on a file with a mistake.

mod installed;

use installed::{command, have, make, outcome, run, scratch, source};
use std::fs;
use std::sync::OnceLock;

/// The program that `make demo` runs, under `wrapper`, and what it prints.
fn demo(wrapper: &[&str], arguments: &[&str]) -> (bool, String) {
    static COMPILED: OnceLock<()> = OnceLock::new();
    COMPILED.get_or_init(|| {
        make("lib", &[]);
        run(command("sh").arg(source().join("tools/demo.sh")).arg("--compile"));
    });
    let line = [wrapper, &["build/packages"], arguments].concat();
    let own = scratch("stores").join(std::thread::current().name().expect("a test has a name"));
    fs::create_dir_all(&own).expect("a directory can be made");
    let answer = outcome(command(line[0]).args(&line[1..]).env("TMPDIR", &own).current_dir(source()));
    fs::remove_dir(&own).expect("the demo leaves nothing behind");
    answer
}

/// The demo on these lines, the key being `/id`.
fn demo_on(name: &str, lines: &[u8]) -> (bool, String) {
    let file = scratch("files").join(name);
    fs::write(&file, lines).expect("a file can be written");
    demo(&[], &["--key", "/id", "--show", "/x", file.to_str().expect("the tests' paths are text")])
}

#[track_caller]
fn assert_refused(name: &str, lines: &[u8], reason: &str) {
    let (good, printed) = demo_on(name, lines);
    assert!(!good && printed.contains(reason), "{printed}");
}

#[test]
fn the_data_of_the_repository_passes_every_check() {
    if have(&["make", "cc"]) {
        let (good, printed) = demo(&[], &["examples-c/data/debian-packages.jsonl"]);
        assert!(good && printed.ends_with("\nall checks passed\n"), "{printed}");
    }
}

#[test]
fn the_killed_child_was_in_the_middle_of_its_load() {
    if have(&["make", "cc"]) {
        let (good, printed) = demo(&[], &["examples-c/data/debian-packages.jsonl"]);
        let line = printed.lines().find(|line| line.contains("SIGKILL after ")).expect("the crash is told");
        let numbers: Vec<u64> =
            line.split(' ').filter_map(|word| word.replace(',', "").parse().ok()).collect();
        assert!(good && numbers.len() == 2, "{printed}");
        assert!(numbers[1] / 2 <= numbers[0] && numbers[0] < numbers[1], "{line}");
    }
}

#[test]
fn valgrind_finds_no_error_and_no_leak() {
    if have(&["make", "cc", "valgrind"]) {
        let valgrind =
            ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--fair-sched=yes"];
        let arguments = ["--quick", "--show", "/depends/0", "examples-c/data/debian-packages.jsonl"];
        let (good, printed) = demo(&valgrind, &arguments);
        assert!(good, "{printed}");
    }
}

#[test]
fn a_key_is_the_string_without_quotes_and_escapes() {
    if have(&["make", "cc"]) {
        let (good, printed) = demo_on("escaped", br#"{"id":"\u00e9\u4e2d\ud83d\ude00\"\\\/","x":"seen"}"#);
        assert!(good && printed.contains("é中😀\"\\/"), "{printed}");
    }
}

#[test]
fn numbers_blank_lines_line_ends_and_repeated_keys_are_taken() {
    if have(&["make", "cc"]) {
        let lines = b"{\"id\":-1.50,\"x\":1}\r\n\n  \n{\"id\":\"\"}\n{\"id\":\"a\"}\n{\"id\":\"a\",\"x\":2}";
        let (good, printed) = demo_on("mixed", lines);
        assert!(good && printed.contains("-1.50"), "{printed}");
        assert!(printed.contains("3 different keys: later lines replaced earlier ones"), "{printed}");
    }
}

#[test]
fn a_line_that_is_not_json_is_named() {
    if have(&["make", "cc"]) {
        assert_refused("not_json", b"{\"id\":1}\n\n{\"id\":2,}\n", "line 3");
    }
}

#[test]
fn a_line_without_the_key_is_named() {
    if have(&["make", "cc"]) {
        assert_refused("no_key", b"{\"id\":1}\n{\"name\":2}\n", "line 2 has no member /id");
    }
}

#[test]
fn a_key_that_is_neither_string_nor_number_is_named() {
    if have(&["make", "cc"]) {
        assert_refused("list", b"{\"id\":[1]}\n", "line 1: /id is neither a string nor a number: [1]");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_named() {
    if have(&["make", "cc"]) {
        assert_refused("surrogate", b"{\"id\":\"\\ud800x\"}\n", "line 1");
    }
}

#[test]
fn a_file_without_documents_is_refused() {
    if have(&["make", "cc"]) {
        assert_refused("empty", b"\n", "no document in it");
    }
}
