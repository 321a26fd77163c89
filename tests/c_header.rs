//! The header and the symbols: what programs are compiled and linked against stays what it is.

mod native;

use native::{compile, have, root, run, shared_library};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Locally a build brings the header up to date, so this fails where that is not so: under CI, when what is
/// committed is not what the sources say, and in a source tree that is read-only.
#[test]
fn the_committed_header_is_what_the_sources_say() {
    let generated = fs::read_to_string(env!("BITCASK_GENERATED_HEADER")).expect("the build made it");
    let committed = fs::read_to_string(root().join("include/bitcask.h")).expect("it is committed");
    assert!(generated == committed, "include/bitcask.h is out of date: build without CI set and commit it");
}

/// Each compiler in each language that the header promises to work in.
fn for_every_language(test: impl Fn(&[&str], &str)) {
    for [tool, language, standard] in [
        ["gcc", "c", "-std=c89"],
        ["gcc", "c", "-std=c11"],
        ["g++", "c++", "-std=c++17"],
        ["clang", "c", "-std=c89"],
        ["clang", "c", "-std=c11"],
        ["clang++", "c++", "-std=c++17"],
    ] {
        if have(tool) {
            test(&[tool, "-x", language, standard], &format!("{tool}{standard}"));
        }
    }
}

#[test]
fn the_header_alone_compiles_in_every_language_and_its_macros_work() {
    for_every_language(|compiler, name| {
        let program = compile(compiler, "tests/c/header.c", &format!("header-{name}"), &[]);
        run(&mut Command::new(program));
    });
}

#[test]
fn prototypes_and_numbers_are_the_frozen_ones() {
    for_every_language(|compiler, name| {
        compile(compiler, "tests/c/prototypes.c", &format!("prototypes-{name}"), &[]);
    });
}

/// A prototype that was never frozen could be changed by mistake.
#[test]
fn every_function_of_the_header_is_frozen_and_in_the_list_of_symbols() {
    let header = functions(&fs::read_to_string(root().join("include/bitcask.h")).expect("the header"));
    let frozen = functions(include_str!("c/prototypes.c"));
    assert_eq!(header, frozen);
    assert_eq!(header, listed());
}

#[test]
fn the_shared_library_exports_just_the_listed_symbols() {
    if have("nm") {
        let library = shared_library().join("libbitcask.so.1");
        let table = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
        let exported: BTreeSet<_> =
            table.lines().filter_map(|line| Some(line.split_whitespace().nth(2)?.to_owned())).collect();
        assert_eq!(exported, listed());
    }
}

#[test]
fn the_shared_library_has_its_name_and_stays_loaded() {
    if have("readelf") {
        let library = shared_library().join("libbitcask.so.1");
        let dynamic = run(Command::new("readelf").args(["-d", "-W"]).arg(library));
        assert!(dynamic.contains("[libbitcask.so.1]"), "{dynamic}");
        assert!(dynamic.contains("NODELETE"), "{dynamic}");
    }
}

fn listed() -> BTreeSet<String> {
    include_str!("exported_symbols.txt").lines().map(str::to_owned).collect()
}

/// The names of the functions that a text declares: what stands before a parenthesis in a line that begins with
/// a type.
fn functions(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| {
            ["bitcask_status ", "void ", "const void ", "const char ", "uint32_t ", "uint64_t "]
                .iter()
                .any(|t| line.starts_with(t))
        })
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next().map(str::to_owned))
        .filter(|name| name.starts_with("bitcask_"))
        .collect()
}
