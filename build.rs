//! Emits `bitcask.h` and gives the shared library its name.
//!
//! The header is generated from `src/capi` into OUT_DIR at every build, and the copy that is committed,
//! `include/bitcask.h`, is brought up to date when it differs. Under CI nothing is brought up to date: there
//! the test that compares the two must be able to fail.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files whose functions are the C face, in the order in which the header tells of them.
const CAPI: [&str; 24] = [
    "handles",
    "open",
    "write",
    "write_with",
    "read",
    "versions",
    "many",
    "expiry",
    "batch",
    "snapshot",
    "iter",
    "delete_range",
    "feed",
    "apply",
    "json",
    "merge",
    "backup",
    "repair",
    "refresh",
    "info",
    "log",
    "memory",
    "report",
    "status",
];

fn main() {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let generated = Path::new(&var("OUT_DIR")).join("bitcask.h");
    let committed = root.join("include").join("bitcask.h");

    let header = header(&root);
    fs::write(&generated, &header).expect("OUT_DIR can be written");
    if env::var_os("CI").is_none() && fs::read_to_string(&committed).ok().as_ref() != Some(&header) {
        // A source that is read-only, such as an unpacked crate, keeps the header that came with it.
        let _ = fs::write(&committed, &header);
    }

    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/capi");
    println!("cargo:rerun-if-changed=include/bitcask.h");
    println!("cargo:rerun-if-env-changed=CI");
    println!("cargo:include={}", root.join("include").display());
    println!("cargo:rustc-env=BITCASK_GENERATED_HEADER={}", generated.display());

    // cargo-c sets these itself.
    if env::var_os("CARGO_FEATURE_CAPI").is_none() {
        name_shared_library();
    }
}

/// The header's text. Everything in it comes from `src/capi`, `cbindgen.toml` and the version in `Cargo.toml`.
fn header(root: &Path) -> String {
    let mut config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is well-formed");
    let conventions = config.after_includes.take().unwrap_or_default();
    config.after_includes = Some(format!("{}\n{conventions}", version_macros()));

    let capi = root.join("src").join("capi");
    let builder = CAPI.iter().fold(cbindgen::Builder::new(), |builder, file| {
        builder.with_src(capi.join(file).with_extension("rs"))
    });
    let mut text = Vec::new();
    builder.with_config(config).generate().expect("cbindgen understands src/capi").write(&mut text);
    let text = String::from_utf8(text).expect("the sources are UTF-8");
    tidy(&text)
}

fn version_macros() -> String {
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| var(&format!("CARGO_PKG_VERSION_{part}")));
    format!(
        "\n/** The version of this header; bitcask_version_number() gives that of the library loaded. */\n\
         #define BITCASK_VERSION_MAJOR {major}\n\
         #define BITCASK_VERSION_MINOR {minor}\n\
         #define BITCASK_VERSION_PATCH {patch}\n\
         #define BITCASK_VERSION_NUMBER \\\n    \
         (BITCASK_VERSION_MAJOR * 10000 + BITCASK_VERSION_MINOR * 100 + BITCASK_VERSION_PATCH)\n"
    )
}

/// Mends what cbindgen cannot be told: parentheses around negative constants, comments of one line in one line,
/// the names of types without `struct`, no blanks at line ends.
fn tidy(text: &str) -> String {
    let mut tidy: Vec<String> = Vec::new();
    for line in text.lines() {
        let negative = line.strip_prefix("#define ").and_then(|define| define.split_once(" -"));
        tidy.push(match negative {
            Some((name, number)) => format!("#define {name} (-{number})"),
            None if line.starts_with("typedef") => line.to_owned(),
            None => line.trim_end().replace("struct bitcask_", "bitcask_"),
        });
        let one_line = match tidy.as_slice() {
            [.., open, text, close] if open.trim_start() == "/**" && close.trim_start() == "*/" => {
                format!("{open}{} */", text.trim_start().trim_start_matches('*'))
            }
            _ => continue,
        };
        tidy.truncate(tidy.len() - 3);
        tidy.push(one_line);
    }
    tidy.join("\n").trim_end().to_owned() + "\n"
}

/// Programs link against the name `libbitcask.so.1`, so that a later 1.x takes this one's place and a 2.0 does
/// not. The library stays loaded after dlclose(), because threads may still have destructors of it to run.
fn name_shared_library() {
    let major = var("CARGO_PKG_VERSION_MAJOR");
    match var("CARGO_CFG_TARGET_OS").as_str() {
        "macos" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libbitcask.{major}.dylib");
        }
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbitcask.so.{major}");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        _ => {}
    }
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
