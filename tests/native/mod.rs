//! Building the library as C programs see it, and compiling them against it.
//!
//! `cargo test` builds the crate for Rust, so what C links against is asked of cargo here, once a test binary.
//! A tool that is missing skips a test aloud; under CI it fails it.

#[path = "../support/skipped.rs"]
mod skipped;

use serde_json::Value;
use skipped::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// What a compiler is to accept without a word.
pub(crate) const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of this test binary alone, for what it makes.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        fs::create_dir_all(&dir).expect("the target directory can be written");
        dir
    })
}

/// Whether a program can be run; says that the test is skipped if it cannot.
pub(crate) fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        assert!(env::var_os("CI").is_none(), "{tool} is missing, and under CI nothing is skipped");
        skipped(&format!("{tool} is missing"));
    }
    found
}

/// Runs a command, which must succeed without a word on stderr being lost.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Compiles one C file of the project into a program in `scratch`, with what follows on the command line.
pub(crate) fn compile(compiler: &[&str], source: &str, program: &str, rest: &[&str]) -> PathBuf {
    let output = scratch().join(program);
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(STRICT).args(["-g", "-O1", "-I"]).arg(root().join("include"));
    command.arg("-I").arg(root().join("examples-c")).arg(root().join(source)).arg("-o").arg(&output);
    run(command.args(rest));
    output
}

/// The shared library, in a directory where the loader finds it under the name that programs ask for.
pub(crate) fn shared_library() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let library = artifact(&cargo(&["build", "--lib"]), ".so");
        let dir = scratch().join("shared");
        fs::create_dir_all(&dir).expect("the target directory can be written");
        for name in ["libbitcask.so", "libbitcask.so.1"] {
            // Into place by renaming, because another test process may be loading it.
            let new = dir.join(format!("{name}.{}", std::process::id()));
            fs::copy(&library, &new).and_then(|_| fs::rename(&new, dir.join(name))).expect("copied");
        }
        dir
    })
}

/// Runs cargo in the profile of this test, and gives what it reported.
pub(crate) fn cargo(arguments: &[&str]) -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let (first, rest) = arguments.split_first().expect("a subcommand");
    command.current_dir(root()).arg(first).args(["--quiet", "--message-format=json"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let lines = run(command.args(rest));
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The file of this package that ends so.
pub(crate) fn artifact(messages: &[Value], ending: &str) -> PathBuf {
    messages
        .iter()
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "bitcask")
        .flat_map(|message| message["filenames"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .find(|file| file.ends_with(ending))
        .unwrap_or_else(|| panic!("cargo made no {ending}"))
        .into()
}
