//! Every C program of the project: compiled without a warning, run, and run again under valgrind.
//!
//! The examples teach and the programs in `tests/c` hold the conventions of the header to their word; each ends
//! with a status that is not zero when anything is off.

mod native;

use native::{artifact, cargo, compile, have, root, run, scratch, shared_library};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// A program fails at the first error, and at its end for every block that nothing points to any more. What is
/// still reachable then is no leak: threads keep some buffers for as long as the process lives.
const VALGRIND: [&str; 3] = ["--quiet", "--error-exitcode=99", "--fair-sched=yes"];
const LEAKS_TOO: [&str; 3] = [
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
    "--show-leak-kinds=definite,indirect,possible",
];
/// In a child of fork() the stacks of all other threads are gone, and what they held counts as leaked.
const WITH_HANDLES_IN_CHILDREN: [&str; 2] = ["tests/c/forked.c", "tests/c/locked.c"];

/// What links a program with the shared library.
fn shared() -> &'static [String] {
    static LINKS: OnceLock<Vec<String>> = OnceLock::new();
    LINKS.get_or_init(|| {
        let library = shared_library().to_str().expect("a path in UTF-8");
        let rpath = format!("-Wl,-rpath,{library}");
        ["-L", library, "-lbitcask", "-lpthread", &rpath].map(str::to_owned).to_vec()
    })
}

/// What links it with the static library, in which are the functions too that only tests call.
fn static_with_test_hooks() -> &'static [String] {
    static LINKS: OnceLock<Vec<String>> = OnceLock::new();
    LINKS.get_or_init(|| {
        let kind = ["rustc", "--lib", "--crate-type", "staticlib", "--features", "test-hooks"];
        let messages = cargo(&[&kind[..], &["--", "--print", "native-static-libs"]].concat());
        let mut links = vec![artifact(&messages, ".a").to_str().expect("a path in UTF-8").to_owned()];
        let notes = messages.iter().filter_map(|message| message["message"]["message"].as_str());
        let needs = notes.filter_map(|note| note.strip_prefix("native-static-libs: "));
        links.extend(needs.flat_map(str::split_whitespace).map(str::to_owned));
        links
    })
}

fn compile_linked(source: &str, program: &str, links: &[String]) -> PathBuf {
    compile(&["cc", "-std=c11"], source, program, &links.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs a program in a directory for temporary files that must be empty again afterwards.
fn run_cleanly(command: &mut Command, name: &str) {
    let temporary = scratch().join(format!("{name}.tmp"));
    let _ = std::fs::remove_dir_all(&temporary);
    std::fs::create_dir_all(&temporary).expect("the target directory can be written");
    run(command.env("TMPDIR", &temporary));
    std::fs::remove_dir(&temporary).expect("the program removed what it made");
}

fn run_program(source: &str, program: &str, links: &[String]) {
    if have("cc") {
        let program_path = compile_linked(source, program, links);
        run_cleanly(&mut Command::new(program_path), program);
    }
}

fn run_program_under_valgrind(source: &str, program: &str, links: &[String]) {
    if have("cc") && have("valgrind") {
        // A program of its own, because both tests may run at once.
        let program = format!("{program}-valgrind");
        let program_path = compile_linked(source, &program, links);
        let mut command = Command::new("valgrind");
        command.args(VALGRIND);
        if !WITH_HANDLES_IN_CHILDREN.contains(&source) {
            command.args(LEAKS_TOO);
        }
        run_cleanly(command.arg(program_path), &program);
    }
}

/// Two tests a program: it runs, and valgrind finds nothing.
macro_rules! programs {
    ($($folder:ident / $name:ident: $path:literal, $links:ident;)*) => { $(
        mod $name {
            #[test]
            fn runs() {
                crate::run_program(
                    $path,
                    concat!(stringify!($folder), "-", stringify!($name)),
                    crate::$links(),
                );
            }

            #[test]
            fn runs_under_valgrind() {
                crate::run_program_under_valgrind(
                    $path,
                    concat!(stringify!($folder), "-", stringify!($name)),
                    crate::$links(),
                );
            }
        }
    )* };
}

mod examples {
    programs! {
        example/open_and_errors: "examples-c/open_and_errors.c", shared;
        example/put_get: "examples-c/put_get.c", shared;
        example/get_many: "examples-c/get_many.c", shared;
        example/json: "examples-c/json.c", shared;
        example/batch: "examples-c/batch.c", shared;
        example/threads: "examples-c/threads.c", shared;
        example/durability: "examples-c/durability.c", shared;
        example/pinned_reads: "examples-c/pinned_reads.c", shared;
        example/log: "examples-c/log.c", shared;
        example/reader: "examples-c/reader.c", shared;
        example/scan: "examples-c/scan.c", shared;
        example/snapshot: "examples-c/snapshot.c", shared;
        example/delete_range: "examples-c/delete_range.c", shared;
        example/write_options: "examples-c/write_options.c", shared;
        example/expiry: "examples-c/expiry.c", shared;
        example/compression: "examples-c/compression.c", shared;
        example/replica: "examples-c/replica.c", shared;
        example/backup: "examples-c/backup.c", shared;
        example/verify_repair: "examples-c/verify_repair.c", shared;
    }
}

mod conventions {
    programs! {
        convention/nulls: "tests/c/nulls.c", shared;
        convention/lengths: "tests/c/lengths.c", shared;
        convention/outputs: "tests/c/outputs.c", shared;
        convention/errors: "tests/c/errors.c", shared;
        convention/get_into: "tests/c/get_into.c", shared;
        convention/get_many: "tests/c/get_many.c", shared;
        convention/json: "tests/c/json.c", shared;
        convention/batches: "tests/c/batches.c", shared;
        convention/after_close: "tests/c/after_close.c", shared;
        convention/read_only: "tests/c/read_only.c", shared;
        convention/locked: "tests/c/locked.c", shared;
        convention/refresh: "tests/c/refresh.c", shared;
        convention/forked: "tests/c/forked.c", shared;
        convention/many_threads: "tests/c/many_threads.c", shared;
        convention/damage: "tests/c/damage.c", shared;
        convention/file_size_limit: "tests/c/file_size_limit.c", shared;
        convention/merges: "tests/c/merges.c", shared;
        convention/log: "tests/c/log.c", shared;
        convention/write_options: "tests/c/write_options.c", shared;
        convention/delete_range: "tests/c/delete_range.c", shared;
        convention/iterators: "tests/c/iterators.c", shared;
        convention/feeds: "tests/c/feeds.c", shared;
        convention/backup: "tests/c/backup.c", shared;
        convention/repair: "tests/c/repair.c", shared;
        convention/panic: "tests/c/panic.c", static_with_test_hooks;
    }
}

/// Not under valgrind, which itself needs the memory that the program takes away.
#[test]
fn memory_that_cannot_be_had_is_an_error() {
    run_program("tests/c/no_memory.c", "no_memory", shared());
}

#[test]
fn a_program_links_against_the_static_library() {
    run_program("examples-c/put_get.c", "put_get-static", static_with_test_hooks());
}

/// A program that is in the folders and not in the lists above would never run.
#[test]
fn every_c_program_is_in_a_list() {
    let this = include_str!("c_programs.rs").to_owned() + include_str!("c_header.rs");
    for folder in ["examples-c", "tests/c"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder of the project") {
            let name = entry.expect("readable").file_name().into_string().expect("a name in UTF-8");
            let path = format!("{folder}/{name}");
            // The demo has tests of its own.
            if name.ends_with(".c") && path != "examples-c/packages.c" {
                assert!(this.contains(&format!("\"{path}\"")), "{path} is in no list");
            }
        }
    }
}
