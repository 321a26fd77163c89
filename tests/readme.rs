//! What the documents say can be done: the example in the README runs, and every path they name is there.

mod native;

use native::{compile, have, root, run, scratch, shared_library};
use std::fs;
use std::process::Command;

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/DESIGN.md",
    "docs/FORMAT.md",
    "docs/RELIABILITY.md",
    "docs/BENCHMARKS.md",
];

/// Folders of the project; a word in code type that begins with one of these is the path of a file.
const FOLDERS: [&str; 10] =
    ["benches/", "cmake/", "docs/", "examples-c/", "fuzz/", "include/", "src/", "tests/", "tools/", ".ci/"];

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|err| panic!("{name}: {err}"))
}

/// The paths that a document names, relative to the project: of its links those within the project, and the
/// words in code type that look like files.
fn paths(name: &str) -> Vec<String> {
    let text = document(name);
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let links = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    let links = links.map(|target| format!("{folder}/{target}"));
    let quoted = text.split('`').skip(1).step_by(2);
    let files = quoted.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
    links.chain(files.filter(|word| !word.contains([' ', '*', '\n'])).map(str::to_owned)).collect()
}

#[test]
fn the_example_compiles_without_a_warning_and_prints_the_value() {
    if !have("cc") {
        return;
    }
    let readme = document("README.md");
    let example = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next());
    let source = scratch().join("example.c");
    fs::write(&source, example.expect("the README has a C example")).expect("the scratch can be written");
    let library = shared_library().to_str().expect("a path in UTF-8");
    let rpath = format!("-Wl,-rpath,{library}");
    let source = source.to_str().expect("a path in UTF-8");
    let program = compile(&["cc", "-std=c11"], source, "example", &["-L", library, "-lbitcask", &rpath]);

    let home = scratch().join("example.tmp");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).expect("the scratch can be written");
    assert_eq!(run(Command::new(program).current_dir(&home)), "world\n");
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let mut found = 0;
    for name in DOCUMENTS {
        for path in paths(name) {
            assert!(
                root().join(path.trim_start_matches('/')).exists(),
                "{name} names {path}, which is not there"
            );
            found += 1;
        }
    }
    assert!(found > 40, "only {found} paths were found, so the documents are not read as they should be");
}
