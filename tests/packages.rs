//! What is installed can be used: by CMake, by pkg-config, from the source tree, after a move, by C and C++.

mod installed;

use installed::{command, have, make, outcome, prefix, run, scratch, source};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const C_TOOLS: &[&str] = &["make", "cc", "c++", "readelf"];

/// Every file and link below a directory, relative to it, sorted.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    fn walk(at: &Path, root: &Path, out: &mut Vec<PathBuf>) {
        for item in fs::read_dir(at).expect("the directory can be listed") {
            let path = item.expect("the directory can be listed").path();
            if path.is_dir() && !path.is_symlink() {
                walk(&path, root, out);
            } else {
                out.push(path.strip_prefix(root).expect("it is below the root").to_owned());
            }
        }
    }
    let mut out = Vec::new();
    walk(directory, directory, &mut out);
    out.sort();
    out
}

/// Whether the program asks the loader for the shared library.
fn needs_shared(program: &Path) -> bool {
    run(command("readelf").arg("-d").arg(program)).contains("Shared library: [libbitcask.so.1]")
}

/// Runs a consumer; `library_dir` is for one that has no path of its own to the shared library.
#[track_caller]
fn assert_works(program: &Path, library_dir: Option<&Path>) {
    let store = program.with_extension("store");
    let mut consumer = command(program);
    if let Some(directory) = library_dir {
        consumer.env("LD_LIBRARY_PATH", directory);
    }
    assert_eq!(run(consumer.arg(&store)), "ok 1.0.0\n");
    assert!(fs::read_dir(&store).expect("the store was made").next().is_some(), "nothing was stored");
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("it has a parent")).expect("the directory can be made");
    run(command("cp").arg("-a").arg(from).arg(to));
}

fn configure(build: &Path, settings: &[(&str, &str)]) -> (bool, String) {
    let mut cmake = command("cmake");
    cmake.arg("-S").arg(source().join("tests/consumers")).arg("-B").arg(build);
    for (name, value) in settings {
        cmake.arg(format!("-D{name}={value}"));
    }
    outcome(&mut cmake)
}

/// Configures and builds the consumers, and runs them all.
#[track_caller]
fn assert_cmake_works(build: &Path, settings: &[(&str, &str)]) {
    let (good, text) = configure(build, settings);
    assert!(good, "cmake failed:\n{text}");
    // What cargo may have to make is to fit, not to be fast.
    let quickly = ["OPT_LEVEL=0", "LTO=off", "CODEGEN_UNITS=16"];
    let quickly = quickly.iter().filter_map(|setting| setting.split_once('='));
    let quickly = quickly.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value));
    run(command("cmake").arg("--build").arg(build).envs(quickly));
    for kind in ["shared", "static", "bitcask"] {
        for language in ["c", "cpp"] {
            assert_works(&build.join(format!("{language}_{kind}")), None);
        }
    }
    assert!(needs_shared(&build.join("c_shared")) && needs_shared(&build.join("cpp_shared")));
    assert!(!needs_shared(&build.join("c_static")) && !needs_shared(&build.join("cpp_static")));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' paths are text")
}

/// Builds both consumers with what pkg-config answers, and runs them. `eval`, because pkg-config quotes blanks.
#[track_caller]
fn assert_pkg_config_works(library_dir: &Path, build: &Path, is_static: bool) {
    fs::create_dir_all(build).expect("the directory can be made");
    for (compiler, file) in [("cc", "consumer.c"), ("c++", "consumer.cpp")] {
        let program = build.join(compiler);
        let kind = if is_static { "--static" } else { "--shared" };
        let link = if is_static { "-static" } else { "" };
        let script = format!(
            "eval \"$COMPILER {link} \\\"\\$FILE\\\" -o \\\"\\$PROGRAM\\\" $(pkg-config {kind} --cflags --libs bitcask)\""
        );
        run(command("sh")
            .args(["-eu", "-c", &script])
            .env("COMPILER", compiler)
            .env("FILE", source().join("tests/consumers").join(file))
            .env("PROGRAM", &program)
            .env("PKG_CONFIG_PATH", library_dir.join("pkgconfig")));
        assert_eq!(needs_shared(&program), !is_static);
        assert_works(&program, (!is_static).then_some(library_dir));
    }
}

#[test]
fn everything_is_installed_where_it_belongs() {
    if !have(C_TOOLS) {
        return;
    }
    let installed: BTreeSet<String> =
        files_below(prefix()).iter().map(|p| p.to_str().expect("names are text").to_owned()).collect();
    for file in [
        "include/bitcask.h",
        "lib/libbitcask.a",
        "lib/libbitcask.so",
        "lib/libbitcask.so.1",
        "lib/libbitcask.so.1.0.0",
        "lib/cmake/bitcask/bitcask-config.cmake",
        "lib/cmake/bitcask/bitcask-config-version.cmake",
        "lib/pkgconfig/bitcask.pc",
        "share/doc/bitcask/LICENSE-APACHE",
        "share/doc/bitcask/LICENSE-MIT",
        "share/doc/bitcask/CHANGELOG.md",
        "share/doc/bitcask/README.md",
        "share/doc/bitcask/docs/FORMAT.md",
    ] {
        assert!(installed.contains(file), "{file} is missing: {installed:?}");
    }
}

/// The header is installed where compilers look, and the notes for contributors are of use in the source tree only.
#[test]
fn the_links_of_the_installed_documents_lead_to_installed_files() {
    if !have(C_TOOLS) {
        return;
    }
    let documents = prefix().join("share/doc/bitcask");
    let mut dead = BTreeSet::new();
    for name in files_below(&documents).iter().filter(|name| name.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(documents.join(name)).expect("the document can be read");
        let folder = name.parent().expect("it is a file");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            if !documents.join(folder).join(target).exists() {
                dead.insert(folder.join(target).display().to_string());
            }
        }
    }
    let of_the_source = ["CONTRIBUTING.md", "include/bitcask.h"].map(str::to_owned);
    assert_eq!(dead, BTreeSet::from(of_the_source));
}

#[test]
fn the_links_lead_to_the_versioned_library() {
    if !have(C_TOOLS) {
        return;
    }
    let link = |name: &str| fs::read_link(prefix().join("lib").join(name)).expect("it is a link");
    assert_eq!(link("libbitcask.so"), Path::new("libbitcask.so.1"));
    assert_eq!(link("libbitcask.so.1"), Path::new("libbitcask.so.1.0.0"));
}

#[test]
fn the_shared_library_is_named_by_its_major_version() {
    if !have(C_TOOLS) {
        return;
    }
    let dynamic = run(command("readelf").arg("-d").arg(prefix().join("lib/libbitcask.so.1.0.0")));
    assert!(dynamic.contains("Library soname: [libbitcask.so.1]"), "{dynamic}");
}

#[test]
fn the_shared_library_exports_what_the_header_declares_and_nothing_else() {
    if !have(&["make", "cc", "nm"]) {
        return;
    }
    let header = fs::read_to_string(prefix().join("include/bitcask.h")).expect("the header is installed");
    // A comment may name any function; a declaration stands outside of them.
    let code: String = header
        .split("/*")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once("*/").map_or("", |(_, code)| code) })
        .collect();
    let declared: BTreeSet<&str> = code
        .match_indices('(')
        .filter_map(|(at, _)| code[..at].rsplit(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next())
        .filter(|name| name.starts_with("bitcask_"))
        .collect();
    let symbols = run(command("nm").args(["-D", "--defined-only"]).arg(prefix().join("lib/libbitcask.so")));
    let exported: BTreeSet<&str> =
        symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(declared.len() > 20, "the header was not understood: {declared:?}");
    assert_eq!(exported, declared);
}

/// The names that an archive's members define for others.
fn defined(archive: &Path) -> BTreeSet<String> {
    let symbols = run(command("nm").args(["-g", "--defined-only"]).arg(archive));
    let fields = symbols.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.len() == 3).map(|fields| fields[2].to_owned()).collect()
}

/// Whether the system's Zstandard is there as an archive, and where; see [`have`].
fn system_zstd() -> Option<PathBuf> {
    if !(have(C_TOOLS) && have(&["nm", "objcopy"])) {
        return None;
    }
    let path = run(command("cc").arg("-print-file-name=libzstd.a"));
    let path = PathBuf::from(path.trim());
    if !path.is_absolute() {
        assert!(std::env::var_os("CI").is_none(), "libzstd.a was not found, and CI skips nothing");
        installed::skipped("libzstd.a was not found");
        return None;
    }
    Some(path)
}

#[test]
fn the_static_library_defines_nothing_that_the_systems_zstandard_does() {
    let Some(zstd) = system_zstd() else { return };
    let (theirs, ours) = (defined(&zstd), defined(&prefix().join("lib/libbitcask.a")));
    assert!(theirs.contains("ZSTD_compress") && ours.contains("bitcask_put"));
    assert!(ours.iter().any(|name| name.ends_with("ZSTD_compress2")), "what do the values go through then?");
    assert_eq!(theirs.intersection(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_static_library_links_beside_the_systems_zstandard() {
    let Some(zstd) = system_zstd() else { return };
    let build = scratch("beside_zstd");
    let (include, library) = (prefix().join("include"), prefix().join("lib/libbitcask.a"));
    let library = text(&library).to_owned();
    let rest = fs::read_to_string(source().join("build/lib/static-libs")).expect("make writes it");
    for (name, zstd) in [("static", text(&zstd)), ("shared", "-lzstd")] {
        for order in [[&library[..], zstd], [zstd, &library[..]]] {
            let program = build.join(format!("{name}_{}", usize::from(order[0] == zstd)));
            let mut cc = command("cc");
            cc.arg("-I").arg(&include).arg(source().join("tests/consumers/beside_zstd.c"));
            cc.args(order).args(rest.split_whitespace()).arg("-o").arg(&program);
            run(&mut cc);
            assert_works(&program, None);
        }
    }
}

#[test]
fn destdir_is_copied_into_and_named_in_no_file() {
    if !have(C_TOOLS) {
        return;
    }
    let stage = scratch("stage");
    make("install", &[("PREFIX", Path::new("/opt/bitcask")), ("DESTDIR", &stage)]);
    assert!(stage.join("opt/bitcask/lib/libbitcask.so.1").exists());
    for file in ["lib/pkgconfig/bitcask.pc", "lib/cmake/bitcask/bitcask-config.cmake"] {
        let content = fs::read_to_string(stage.join("opt/bitcask").join(file)).expect("it is installed");
        assert!(!content.contains(text(&stage)), "{file} names DESTDIR");
        assert!(!content.contains('@'), "{file} has something left to fill in");
    }
}

#[test]
fn uninstall_leaves_no_file() {
    if !have(C_TOOLS) {
        return;
    }
    let gone = scratch("gone");
    make("install", &[("PREFIX", &gone)]);
    assert!(!files_below(&gone).is_empty());
    make("uninstall", &[("PREFIX", &gone)]);
    assert_eq!(files_below(&gone), Vec::<PathBuf>::new());
}

#[test]
fn uninstall_leaves_what_it_did_not_install() {
    if !have(C_TOOLS) {
        return;
    }
    let shared = scratch("shared_documents");
    let settings = [("PREFIX", shared.join("prefix")), ("DOCDIR", shared.join("doc"))];
    let settings = settings.each_ref().map(|(name, path)| (*name, path.as_path()));
    make("install", &settings);
    fs::write(shared.join("doc/docs/OTHER.md"), "of another package").expect("the directory is installed");
    make("uninstall", &settings);
    assert_eq!(files_below(&shared), [Path::new("doc/docs/OTHER.md")]);
}

#[test]
fn a_relative_prefix_is_refused() {
    if !have(C_TOOLS) {
        return;
    }
    let (good, printed) =
        outcome(command("make").current_dir(source()).args(["install", "PREFIX=relative/path"]));
    assert!(!good && printed.contains("must be an absolute path"), "{printed}");
}

#[test]
fn find_package_serves_c_and_cpp_shared_and_static() {
    if have(C_TOOLS) && have(&["cmake"]) {
        assert_cmake_works(&scratch("find_package"), &[("CMAKE_PREFIX_PATH", text(prefix()))]);
    }
}

#[test]
fn find_package_serves_from_a_prefix_that_was_moved() {
    if have(C_TOOLS) && have(&["cmake"]) {
        let moved = scratch("moved").join("to here");
        let first = scratch("moved_from").join("prefix");
        make("install", &[("PREFIX", &first)]);
        copy_tree(&first, &moved);
        fs::remove_dir_all(&first).expect("the first place can be removed");
        assert_cmake_works(&scratch("moved_build"), &[("CMAKE_PREFIX_PATH", text(&moved))]);
    }
}

#[test]
fn pkg_config_serves_c_and_cpp_shared() {
    if have(C_TOOLS) && have(&["pkg-config"]) {
        assert_pkg_config_works(&prefix().join("lib"), &scratch("pkg_config_shared"), false);
    }
}

#[test]
fn pkg_config_serves_c_and_cpp_static() {
    if have(C_TOOLS) && have(&["pkg-config"]) {
        assert_pkg_config_works(&prefix().join("lib"), &scratch("pkg_config_static"), true);
    }
}

#[test]
fn pkg_config_serves_from_a_prefix_that_was_moved() {
    if have(C_TOOLS) && have(&["pkg-config"]) {
        let moved = scratch("moved_pkg_config").join("to here");
        copy_tree(prefix(), &moved);
        assert_pkg_config_works(&moved.join("lib"), &scratch("moved_shared"), false);
        assert_pkg_config_works(&moved.join("lib"), &scratch("moved_static"), true);
        let named = run(command("pkg-config")
            .args(["--variable=prefix", "bitcask"])
            .env("PKG_CONFIG_PATH", moved.join("lib/pkgconfig")));
        assert!(!named.contains(text(prefix())), "{named}");
    }
}

#[test]
fn a_multiarch_libdir_serves_cmake_and_pkg_config() {
    if have(C_TOOLS) && have(&["cmake", "pkg-config"]) {
        let multiarch = scratch("multi arch");
        let library_dir = multiarch.join("lib/some-linux-gnu");
        make("install", &[("PREFIX", &multiarch), ("LIBDIR", &library_dir)]);
        assert_pkg_config_works(&library_dir, &scratch("multiarch_pkg_config"), false);
        let package = library_dir.join("cmake/bitcask");
        assert_cmake_works(&scratch("multiarch_build"), &[("bitcask_DIR", text(&package))]);
    }
}

#[test]
fn bitcask_bitcask_is_what_build_shared_libs_says() {
    if !(have(C_TOOLS) && have(&["cmake"])) {
        return;
    }
    for (setting, shared) in [("ON", true), ("OFF", false)] {
        let build = scratch(&format!("build_shared_libs_{setting}"));
        let (good, printed) =
            configure(&build, &[("CMAKE_PREFIX_PATH", text(prefix())), ("BUILD_SHARED_LIBS", setting)]);
        assert!(good, "{printed}");
        run(command("cmake").arg("--build").arg(&build).args(["--target", "c_bitcask"]));
        assert_eq!(needs_shared(&build.join("c_bitcask")), shared, "BUILD_SHARED_LIBS={setting}");
    }
}

/// Configures a project that is this one line.
fn configure_line(name: &str, prefix: &Path, line: &str) -> (bool, String) {
    let directory = scratch(name);
    let project = format!("cmake_minimum_required(VERSION 3.16)\nproject(line LANGUAGES C)\n{line}\n");
    fs::write(directory.join("CMakeLists.txt"), project).expect("the project can be written");
    outcome(
        command("cmake")
            .arg("-S")
            .arg(&directory)
            .arg("-B")
            .arg(directory.join("build"))
            .arg(format!("-DCMAKE_PREFIX_PATH={}", text(prefix))),
    )
}

#[test]
fn find_package_takes_versions_that_fit_and_refuses_others() {
    if !(have(C_TOOLS) && have(&["cmake"])) {
        return;
    }
    for (version, fits) in
        [("1", true), ("1.0.0 EXACT", true), ("1...<2", true), ("2", false), ("1.1", false), ("0.9", false)]
    {
        let name = format!("version_{}", version.replace([' ', '<', '.'], "_"));
        let (good, printed) =
            configure_line(&name, prefix(), &format!("find_package(bitcask {version} REQUIRED)"));
        assert_eq!(good, fits, "{version}: {printed}");
    }
}

#[test]
fn a_component_that_is_not_installed_is_named() {
    if !(have(C_TOOLS) && have(&["cmake"])) {
        return;
    }
    let only_shared = scratch("only_shared").join("prefix");
    copy_tree(prefix(), &only_shared);
    fs::remove_file(only_shared.join("lib/libbitcask.a")).expect("the static library can be removed");

    let wants = |name, line| configure_line(name, &only_shared, line);
    let (good, printed) = wants("wants_static", "find_package(bitcask 1 REQUIRED COMPONENTS static)");
    assert!(!good && printed.contains("component static"), "{printed}");
    let (good, printed) = wants("wants_strange", "find_package(bitcask 1 REQUIRED COMPONENTS strange)");
    assert!(!good && printed.contains("no component strange"), "{printed}");
    let (good, printed) = wants(
        "wants_shared",
        "find_package(bitcask 1 REQUIRED COMPONENTS shared OPTIONAL_COMPONENTS static)\n\
         if(TARGET bitcask::static OR NOT TARGET bitcask::shared OR bitcask_static_FOUND)\n\
         message(FATAL_ERROR \"wrong targets\")\nendif()",
    );
    assert!(good, "{printed}");
}

#[test]
fn add_subdirectory_of_the_source_tree_serves_c_and_cpp() {
    if have(C_TOOLS) && have(&["cmake"]) {
        let build = scratch("add_subdirectory");
        assert_cmake_works(&build, &[("BITCASK_SOURCE", text(source()))]);
        assert!(
            !run(command("readelf").arg("-d").arg(build.join("c_bitcask"))).contains("target/release"),
            "the program was to be linked against its own build"
        );
    }
}
