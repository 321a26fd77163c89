//! The installed library loaded from other languages: each opens, puts, gets, misses a key, reads an error's
//! text and a JSON field, closes, opens again and gets again, and ends non-zero at the first difference.

mod installed;

use installed::{command, have, prefix, run, scratch, source};
use std::path::PathBuf;

fn library() -> PathBuf {
    prefix().join("lib/libbitcask.so.1")
}

fn script(name: &str) -> PathBuf {
    source().join("tests/languages").join(name)
}

#[test]
fn python_loads_the_library_by_ctypes() {
    if have(&["make", "python3"]) {
        let store = scratch("python").join("store");
        let printed = run(command("python3").arg(script("smoke.py")).arg(library()).arg(store));
        assert_eq!(printed, "ok\n");
    }
}

#[test]
fn ruby_loads_the_library_by_fiddle() {
    if have(&["make", "ruby"]) {
        let store = scratch("ruby").join("store");
        let printed = run(command("ruby").arg(script("smoke.rb")).arg(library()).arg(store));
        assert_eq!(printed, "ok\n");
    }
}

#[test]
fn node_loads_the_library_by_koffi() {
    if have(&["make", "node", "npm"]) {
        let project = scratch("node");
        run(command("cp").arg("-R").arg(script("node/.")).arg(&project));
        // koffi's own build script is not needed: its compiled form comes as a package for this machine.
        run(command("npm").args(["ci", "--ignore-scripts", "--prefer-offline"]).current_dir(&project));
        let store = project.join("store");
        let printed = run(command("node").arg("smoke.js").arg(library()).arg(store).current_dir(&project));
        assert_eq!(printed, "ok\n");
    }
}

#[test]
fn go_links_the_library_by_pkg_config() {
    if have(&["make", "go", "cc", "pkg-config"]) {
        let scratch = scratch("go");
        let program = scratch.join("smoke");
        run(command("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(script("go"))
            .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
            .env("CGO_ENABLED", "1")
            .env("GOFLAGS", "-mod=mod -buildvcs=false")
            .env("GOTOOLCHAIN", "local"));
        let printed =
            run(command(&program).arg(scratch.join("store")).env("LD_LIBRARY_PATH", prefix().join("lib")));
        assert_eq!(printed, "ok\n");
    }
}
