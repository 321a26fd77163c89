//! Imports only fall.
//!
//! The crate is a pile of rooms, and a file may name only what lies in its own room or below. Within a room the
//! files form no cycle. This test reads the sources; it does not trust that somebody remembered. The rules are
//! checked by a reader of paths, not by the compiler: it knows comments, strings, groups in `use`, `super`,
//! `self`, and skips what is compiled for tests only, since a test may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the bottom up. A name stands for a module and all below it; the longest match counts, so that two files
/// of `features` can lie below the engine that uses them.
const FLOORS: &[(&str, &[&str])] = &[
    ("ground", &["error", "options", "stats", "sync"]),
    ("io", &["io"]),
    ("format", &["format"]),
    ("keydir", &["keydir"]),
    ("segment", &["segment"]),
    ("features below the engine", &["features::batch", "features::json"]),
    ("engine", &["engine"]),
    ("features", &["features"]),
    ("capi", &["capi"]),
];

type Module = Vec<String>;
type Sources = BTreeMap<Module, String>;

fn name(module: &[String]) -> String {
    module.join("::")
}

fn floor(module: &[String]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for (level, (_, members)) in FLOORS.iter().enumerate() {
        for member in *members {
            let parts: Vec<&str> = member.split("::").collect();
            let inside = module.len() >= parts.len() && module.iter().zip(&parts).all(|(a, b)| a == b);
            if inside && best.is_none_or(|(length, _)| parts.len() > length) {
                best = Some((parts.len(), level));
            }
        }
    }
    best.map(|(_, level)| level)
}

/// A source as words and punctuation, without comments, literals and lifetimes.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c == '_' || c.is_alphanumeric();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                if at(i) == '/' && at(i + 1) == '*' {
                    depth += 1;
                    i += 2;
                } else if at(i) == '*' && at(i + 1) == '/' {
                    depth -= 1;
                    i += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    i += 1;
                }
            }
        } else if word(c) {
            let start = i;
            while word(at(i)) {
                i += 1;
            }
            let text: String = chars[start..i].iter().collect();
            let raw_prefix = matches!(text.as_str(), "r" | "br" | "cr");
            let mut hashes = 0;
            while raw_prefix && at(i + hashes) == '#' {
                hashes += 1;
            }
            if raw_prefix && at(i + hashes) == '"' {
                i += hashes + 1;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#')) {
                    i += 1;
                }
                i += hashes + 1;
            } else {
                out.push(text);
            }
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A lifetime is a quote and a word without a closing quote; all else is a character.
            if word(at(i + 1)) && at(i + 2) != '\'' {
                i += 1;
                while word(at(i)) {
                    i += 1;
                }
            } else {
                i += 1;
                while i < chars.len() && chars[i] != '\'' {
                    i += if chars[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
        } else if c == ':' && at(i + 1) == ':' {
            out.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.into());
            }
            i += 1;
        }
    }
    out
}

/// The tokens without items under `#[cfg(test)]`; and the modules declared that way.
fn without_tests(tokens: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut test_modules = BTreeSet::new();
    let mut i = 0;
    while i < tokens.len() {
        if !tokens[i..].iter().zip(mark).all(|(a, b)| a == b) || tokens.len() - i < mark.len() {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += mark.len();
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                "mod" if depth == 0 && tokens.get(i + 2).is_some_and(|t| t == ";") => {
                    test_modules.insert(tokens[i + 1].clone());
                }
                _ => {}
            }
            let closed = depth == 0 && matches!(tokens[i].as_str(), "}" | ";");
            i += 1;
            if closed {
                break;
            }
        }
    }
    (kept, test_modules)
}

/// All paths in `tokens[*i..]` that continue `prefix`, groups multiplied out.
fn path_tree(tokens: &[String], i: &mut usize, prefix: &[String], out: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(*i).map(String::as_str) {
            Some("{") => {
                *i += 1;
                while *i < tokens.len() && tokens[*i] != "}" {
                    let before = *i;
                    path_tree(tokens, i, &path, out);
                    // Past `as name`, commas and whatever is no path.
                    while *i < tokens.len() && tokens[*i] != "," && tokens[*i] != "}" {
                        *i += 1;
                    }
                    if tokens.get(*i).is_some_and(|t| t == ",") {
                        *i += 1;
                    }
                    assert!(*i > before, "the reader of paths stands still");
                }
                *i += 1;
                return;
            }
            Some(t) if t.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                path.push(t.to_owned());
                *i += 1;
            }
            _ => break,
        }
        if tokens.get(*i).is_some_and(|t| t == "::") {
            *i += 1;
        } else {
            break;
        }
    }
    out.push(path);
}

/// What the crate root gives another name: `pub use error::Error` makes `crate::Error` mean `error`.
fn root_names(sources: &Sources) -> BTreeMap<String, Module> {
    let mut names = BTreeMap::new();
    let root = sources.get(&Vec::new()).map(|s| tokens(s)).unwrap_or_default();
    let mut i = 0;
    while i < root.len() {
        if root[i] == "use" {
            i += 1;
            let mut paths = Vec::new();
            path_tree(&root, &mut i, &[], &mut paths);
            for path in paths {
                let path: Module = path.into_iter().filter(|p| p != "crate" && p != "self").collect();
                if let Some((last, module)) = path.split_last() {
                    names.insert(last.clone(), module.to_vec());
                }
            }
        } else {
            i += 1;
        }
    }
    names
}

/// The modules that the module's source names, each as the file that answers for it.
fn imports(module: &[String], sources: &Sources, root: &BTreeMap<String, Module>) -> BTreeSet<Module> {
    let (tokens, _) = without_tests(&tokens(&sources[module]));
    let children: BTreeSet<&String> = sources
        .keys()
        .filter(|m| m.len() == module.len() + 1 && m.starts_with(module))
        .filter_map(|m| m.last())
        .collect();
    let mut found = BTreeSet::new();
    let mut i = 0;
    while i < tokens.len() {
        let first = &tokens[i];
        let starts = matches!(first.as_str(), "crate" | "super" | "self") || children.contains(first);
        let continues = i > 0 && (tokens[i - 1] == "::" || tokens[i - 1] == ".");
        if !starts || continues || tokens.get(i + 1).is_none_or(|t| t != "::") {
            i += 1;
            continue;
        }
        let mut paths = Vec::new();
        path_tree(&tokens, &mut i, &[], &mut paths);
        for path in paths {
            found.extend(resolve(module, &path, sources, root));
        }
    }
    found.remove(module);
    found
}

fn resolve(
    module: &[String],
    path: &[String],
    sources: &Sources,
    root: &BTreeMap<String, Module>,
) -> Option<Module> {
    let mut full = module.to_vec();
    for (i, part) in path.iter().enumerate() {
        match part.as_str() {
            "crate" => full.clear(),
            "super" => {
                full.pop();
            }
            "self" => {}
            other => {
                if full.is_empty() && i > 0 {
                    if let Some(meant) = root.get(other) {
                        full.extend(meant.iter().cloned());
                    }
                }
                full.push(other.to_owned());
            }
        }
    }
    // What is no file is an item of the file above it.
    while !full.is_empty() && !sources.contains_key(&full) {
        full.pop();
    }
    // A name that the root knows neither as a module nor as an import: `crate::name!` and the like.
    (!full.is_empty()).then_some(full)
}

/// Every breach of the rules, in words.
fn breaches(sources: &Sources) -> Vec<String> {
    let root = root_names(sources);
    let mut found = Vec::new();
    let mut test_only = BTreeSet::new();
    for (module, source) in sources {
        for declared in without_tests(&tokens(source)).1 {
            test_only.insert([module.clone(), vec![declared]].concat());
        }
    }
    let is_test = |m: &Module| test_only.iter().any(|t| m.starts_with(t));
    let mut graph: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for module in sources.keys().filter(|m| !m.is_empty() && !is_test(m)) {
        let Some(here) = floor(module) else {
            found.push(format!("{} is in no room: give it a place in FLOORS", name(module)));
            continue;
        };
        let imports = imports(module, sources, &root);
        for import in &imports {
            match floor(import) {
                Some(there) if there > here => found.push(format!(
                    "{} ({}) imports {} ({}), which lies above it",
                    name(module),
                    FLOORS[here].0,
                    name(import),
                    FLOORS[there].0
                )),
                _ => {}
            }
        }
        graph.insert(module, imports);
    }
    found.extend(cycles(&graph));
    found
}

/// One line for each cycle that a walk in depth meets.
fn cycles(graph: &BTreeMap<&Module, BTreeSet<Module>>) -> Vec<String> {
    fn walk<'a>(
        at: &'a Module,
        graph: &'a BTreeMap<&Module, BTreeSet<Module>>,
        path: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
        found: &mut Vec<String>,
    ) {
        if let Some(start) = path.iter().position(|m| *m == at) {
            let names: Vec<String> = path[start..].iter().chain([&at]).map(|m| name(m)).collect();
            found.push(format!("a cycle: {}", names.join(" -> ")));
            return;
        }
        if done.contains(at) {
            return;
        }
        path.push(at);
        for next in graph.get(at).into_iter().flatten() {
            walk(next, graph, path, done, found);
        }
        path.pop();
        done.insert(at);
    }
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for module in graph.keys() {
        walk(module, graph, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn read_sources(directory: &Path, module: &[String], sources: &mut Sources) {
    for item in fs::read_dir(directory).expect("src can be listed") {
        let path = item.expect("src can be listed").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a file's name is text").to_owned();
        let inner = [module.to_vec(), vec![stem.clone()]].concat();
        if path.is_dir() {
            read_sources(&path, &inner, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let own = if matches!(stem.as_str(), "mod" | "lib") { module.to_vec() } else { inner };
            sources.insert(own, fs::read_to_string(&path).expect("a source can be read"));
        }
    }
}

fn made_of(files: &[(&str, &str)]) -> Sources {
    files
        .iter()
        .map(|(module, text)| {
            (module.split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect(), (*text).to_owned())
        })
        .collect()
}

#[test]
fn imports_in_the_sources_only_fall() {
    let mut sources = Sources::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut sources);
    assert!(sources.len() > 5, "the sources were not found");
    let found = breaches(&sources);
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

#[test]
fn an_import_that_rises_is_caught() {
    for rising in [
        "use crate::engine::Store;",
        "use crate::{error::Error, engine::{Store, write}};",
        "fn f() { crate::engine::go() }",
        "use super::engine::Store;",
        "pub use crate::engine as e;",
        "fn f<'a>(c: char) -> bool { c == '\"' && crate::engine::yes('\\'') }",
        "#[cfg(test)] mod tests { fn a() {} } use crate::engine::Store;",
    ] {
        let found = breaches(&made_of(&[("", ""), ("error", ""), ("keydir", rising), ("engine", "")]));
        assert_eq!(found.len(), 1, "{rising}: {found:?}");
        assert!(found[0].contains("keydir (keydir) imports engine"), "{found:?}");
    }
}

#[test]
fn a_falling_import_is_not_reported() {
    let text =
        "use crate::{Result, io::env::Env}; use super::error; use std::io::Read; use self::table::Slot;";
    let found = breaches(&made_of(&[
        ("", "pub mod error; pub use error::{Error, Result};"),
        ("error", ""),
        ("io", "pub mod env;"),
        ("io::env", ""),
        ("keydir", text),
        ("keydir::table", ""),
    ]));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_only_looks_like_an_import_is_not_reported() {
    for harmless in [
        "// use crate::engine::Store;",
        "/* crate::engine /* nested */ crate::engine::Store */",
        "const A: &str = \"crate::engine::Store\";",
        "const A: &str = r#\"crate::engine::\"Store\"#;",
        "#[cfg(test)] mod tests { use crate::engine::Store; }",
        "#[cfg(test)] mod tests; use crate::keydir::table;",
    ] {
        let tests = ("keydir::tests", "use crate::engine::Store;");
        let declared = if harmless.contains("mod tests;") { vec![tests] } else { Vec::new() };
        let files = [vec![("", ""), ("keydir", harmless), ("keydir::table", ""), ("engine", "")], declared];
        assert_eq!(breaches(&made_of(&files.concat())), Vec::<String>::new(), "{harmless}");
    }
}

#[test]
fn a_rise_through_a_name_of_the_crate_root_is_caught() {
    let found =
        breaches(&made_of(&[("", "pub use engine::Store;"), ("io", "use crate::Store;"), ("engine", "")]));
    assert_eq!(found, ["io (io) imports engine (engine), which lies above it"]);
}

#[test]
fn a_cycle_within_a_room_is_caught() {
    let found = breaches(&made_of(&[
        ("", ""),
        ("format::record", "use super::header::Header;"),
        ("format::header", "use crate::format::hint::Hint;"),
        ("format::hint", "use super::record::Record;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a cycle: "), "{found:?}");
}

#[test]
fn a_parent_that_uses_a_child_that_uses_its_parent_is_caught() {
    let found = breaches(&made_of(&[
        ("", ""),
        ("engine", "mod write; use write::go; pub struct Store;"),
        ("engine::write", "use super::Store;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn features_that_the_engine_uses_lie_below_it_and_the_others_above() {
    let files = |text| {
        made_of(&[
            ("", ""),
            ("engine", text),
            ("features", ""),
            ("features::batch", ""),
            ("features::iter", ""),
        ])
    };
    assert_eq!(breaches(&files("use crate::features::batch::Batch;")), Vec::<String>::new());
    assert_eq!(breaches(&files("use crate::features::iter::Iter;")).len(), 1);
}

#[test]
fn a_room_without_a_place_is_caught() {
    let found = breaches(&made_of(&[("", ""), ("attic", "")]));
    assert_eq!(found, ["attic is in no room: give it a place in FLOORS"]);
}
