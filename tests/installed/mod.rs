//! The release library, installed into a directory of this test program's own.
//!
//! Everything is below cargo's directory for test files and removed when a run begins, not when it ends: after
//! a failure it can be looked at. The tests see neither make's variables nor cargo's library path, so what they
//! find is what was installed.

#[path = "../support/skipped.rs"]
mod skipped;

pub(crate) use skipped::skipped;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The top of the source tree.
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// This test program's own directory, empty when the program begins.
fn own() -> &'static Path {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    OWN.get_or_init(|| {
        let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        if own.exists() {
            fs::remove_dir_all(&own).expect("what the last run left can be removed");
        }
        fs::create_dir_all(&own).expect("a directory for the tests can be made");
        own
    })
}

/// A new directory for one test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = own().join(name);
    fs::create_dir_all(&path).expect("a directory for a test can be made");
    path
}

/// A command that sees nothing of the build around it.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in [
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "PREFIX",
        "LIBDIR",
        "INCLUDEDIR",
        "DOCDIR",
        "DESTDIR",
        "LD_LIBRARY_PATH",
        "CMAKE_PREFIX_PATH",
        "PKG_CONFIG_PATH",
        "BUILD_SHARED_LIBS",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs to a good end and answers what was printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let (good, text) = outcome(command);
    assert!(good, "{command:?} failed:\n{text}");
    text
}

/// Whether the end was good, and what was printed.
#[track_caller]
pub(crate) fn outcome(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// `make TARGET NAME=VALUE...` in the source tree.
#[track_caller]
pub(crate) fn make(target: &str, settings: &[(&str, &Path)]) -> String {
    let mut make = command("make");
    make.current_dir(source()).arg(target);
    for (name, value) in settings {
        make.arg(format!("{name}={}", value.to_str().expect("the tests' paths are text")));
    }
    run(&mut make)
}

/// The prefix that all tests share, installed by the first that asks.
#[allow(dead_code, reason = "not every test program installs")]
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = scratch("prefix");
        make("install", &[("PREFIX", &prefix)]);
        prefix
    })
}

/// Whether the tools are all there. Where they must be (the variable CI is set) a missing one fails the test;
/// elsewhere the test is skipped aloud.
#[track_caller]
pub(crate) fn have(tools: &[&str]) -> bool {
    for tool in tools {
        let found = command("sh").args(["-c", "command -v \"$1\" >/dev/null", "sh", tool]).status();
        if !found.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("CI").is_none(), "{tool} was not found, and CI skips nothing");
            skipped(&format!("{tool} was not found"));
            return false;
        }
    }
    true
}
