//! Every C program of the project: compiled without a warning, run, and run again under valgrind.
//!
//! The examples teach and the programs in `tests/c` hold the conventions of the header to their word; each ends
//! with a status that is not zero when anything is off.

mod native;

use native::{artifact, cargo, compile, have, loadable, root, run, scratch, shared_library};
use std::path::{Path, PathBuf};
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

/// Compiles a program against the shared library in `library`.
fn compile_shared(source: &str, program: &str, library: &Path) -> PathBuf {
    let library = library.to_str().expect("a path in UTF-8");
    let rpath = format!("-Wl,-rpath,{library}");
    compile(&["cc", "-std=c11"], source, program, &["-L", library, "-lbitcask", "-lpthread", &rpath])
}

/// Runs a program in a directory for temporary files that must be empty again afterwards.
fn run_cleanly(command: &mut Command, name: &str) {
    let temporary = scratch().join(format!("{name}.tmp"));
    let _ = std::fs::remove_dir_all(&temporary);
    std::fs::create_dir_all(&temporary).expect("the target directory can be written");
    run(command.env("TMPDIR", &temporary));
    std::fs::remove_dir(&temporary).expect("the program removed what it made");
}

fn run_program(source: &str, program: &str, library: &Path) {
    if have("cc") {
        let program_path = compile_shared(source, program, library);
        run_cleanly(&mut Command::new(program_path), program);
    }
}

fn run_program_under_valgrind(source: &str, program: &str, library: &Path) {
    if have("cc") && have("valgrind") {
        // A program of its own, because both tests may run at once.
        let program = format!("{program}-valgrind");
        let program_path = compile_shared(source, &program, library);
        let mut command = Command::new("valgrind");
        command.args(VALGRIND);
        if !WITH_HANDLES_IN_CHILDREN.contains(&source) {
            command.args(LEAKS_TOO);
        }
        run_cleanly(command.arg(program_path), &program);
    }
}

/// The shared library with the functions that only tests call.
fn shared_library_with_test_hooks() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let arguments = ["rustc", "--lib", "--crate-type", "cdylib", "--features", "test-hooks"];
        let messages = cargo(&arguments, Some("c-programs"));
        loadable(&artifact(&messages, ".so"), "shared-with-test-hooks")
    })
}

/// The static library, and what a program that links it needs besides.
fn static_library() -> (PathBuf, Vec<String>) {
    let arguments = ["rustc", "--lib", "--crate-type", "staticlib", "--", "--print", "native-static-libs"];
    let messages = cargo(&arguments, Some("c-programs"));
    let needs = messages
        .iter()
        .filter_map(|message| message["message"]["message"].as_str()?.strip_prefix("native-static-libs: "))
        .flat_map(|libs| libs.split_whitespace().map(str::to_owned))
        .collect();
    (artifact(&messages, ".a"), needs)
}

/// Two tests a program: it runs, and valgrind finds nothing.
macro_rules! programs {
    ($($folder:ident / $name:ident: $path:literal, $library:ident;)*) => { $(
        mod $name {
            #[test]
            fn runs() {
                crate::run_program(
                    $path,
                    concat!(stringify!($folder), "-", stringify!($name)),
                    crate::$library(),
                );
            }

            #[test]
            fn runs_under_valgrind() {
                crate::run_program_under_valgrind(
                    $path,
                    concat!(stringify!($folder), "-", stringify!($name)),
                    crate::$library(),
                );
            }
        }
    )* };
}

mod examples {
    programs! {
        example/open_and_errors: "examples-c/open_and_errors.c", shared_library;
        example/put_get: "examples-c/put_get.c", shared_library;
        example/get_many: "examples-c/get_many.c", shared_library;
        example/json: "examples-c/json.c", shared_library;
        example/batch: "examples-c/batch.c", shared_library;
        example/threads: "examples-c/threads.c", shared_library;
        example/durability: "examples-c/durability.c", shared_library;
        example/pinned_reads: "examples-c/pinned_reads.c", shared_library;
        example/log: "examples-c/log.c", shared_library;
        example/reader: "examples-c/reader.c", shared_library;
        example/scan: "examples-c/scan.c", shared_library;
        example/snapshot: "examples-c/snapshot.c", shared_library;
        example/delete_range: "examples-c/delete_range.c", shared_library;
        example/write_options: "examples-c/write_options.c", shared_library;
        example/expiry: "examples-c/expiry.c", shared_library;
        example/compression: "examples-c/compression.c", shared_library;
        example/replica: "examples-c/replica.c", shared_library;
        example/backup: "examples-c/backup.c", shared_library;
        example/verify_repair: "examples-c/verify_repair.c", shared_library;
    }
}

mod conventions {
    programs! {
        convention/nulls: "tests/c/nulls.c", shared_library;
        convention/lengths: "tests/c/lengths.c", shared_library;
        convention/outputs: "tests/c/outputs.c", shared_library;
        convention/errors: "tests/c/errors.c", shared_library;
        convention/get_into: "tests/c/get_into.c", shared_library;
        convention/get_many: "tests/c/get_many.c", shared_library;
        convention/json: "tests/c/json.c", shared_library;
        convention/batches: "tests/c/batches.c", shared_library;
        convention/after_close: "tests/c/after_close.c", shared_library;
        convention/read_only: "tests/c/read_only.c", shared_library;
        convention/locked: "tests/c/locked.c", shared_library;
        convention/refresh: "tests/c/refresh.c", shared_library;
        convention/forked: "tests/c/forked.c", shared_library;
        convention/many_threads: "tests/c/many_threads.c", shared_library;
        convention/damage: "tests/c/damage.c", shared_library;
        convention/file_size_limit: "tests/c/file_size_limit.c", shared_library;
        convention/merges: "tests/c/merges.c", shared_library;
        convention/log: "tests/c/log.c", shared_library;
        convention/write_options: "tests/c/write_options.c", shared_library;
        convention/delete_range: "tests/c/delete_range.c", shared_library;
        convention/iterators: "tests/c/iterators.c", shared_library;
        convention/feeds: "tests/c/feeds.c", shared_library;
        convention/backup: "tests/c/backup.c", shared_library;
        convention/repair: "tests/c/repair.c", shared_library;
        convention/panic: "tests/c/panic.c", shared_library_with_test_hooks;
    }
}

/// Not under valgrind, which itself needs the memory that the program takes away.
#[test]
fn memory_that_cannot_be_had_is_an_error() {
    run_program("tests/c/no_memory.c", "no_memory", shared_library());
}

#[test]
fn a_program_links_against_the_static_library() {
    if have("cc") {
        let (library, needs) = static_library();
        let mut rest = vec![library.to_str().expect("a path in UTF-8")];
        rest.extend(needs.iter().map(String::as_str));
        let program = compile(&["cc", "-std=c11"], "examples-c/put_get.c", "put_get-static", &rest);
        run_cleanly(&mut Command::new(program), "put_get-static");
    }
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
