//! Imports only fall.
//!
//! The crate is a pile of rooms, and a file may name only what lies in its own room or below. Within a room the
//! files form no cycle. This test reads the sources; it does not trust that somebody remembered. The rules are
//! checked by a reader of paths, not by the compiler: it knows comments, strings, groups in `use`, `super`,
//! `self`, and skips what is compiled for tests only, since a test may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the bottom up. A name stands for a module and all below it; the longest match counts.
const FLOORS: &[(&str, &[&str])] = &[
    ("ground", &["error", "json_text", "log", "options", "stats", "sync"]),
    ("io", &["io"]),
    ("format", &["format"]),
    ("keydir", &["keydir"]),
    ("segment", &["segment"]),
    ("engine", &["engine"]),
    ("features", &["features"]),
    ("capi", &["capi"]),
];

/// Files of one room that know each other: the methods of one type, spread over several files. Each is a debt.
/// One that no longer is a cycle must be taken out.
const KNOTS: &[&[&str]] = &[];

type Module = Vec<String>;
type Sources = BTreeMap<Module, String>;
type Names = BTreeMap<(Module, String), Vec<String>>;

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

/// A source as words, punctuation and plain strings (led by their quote), without comments and other literals.
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
            let start = i;
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            out.push(chars[start..i.min(chars.len())].iter().collect());
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

/// The tokens without items under `#[cfg(test)]`; and the modules declared that way, by the names of their files.
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
        let mut file = None;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                text if text.ends_with(".rs") && tokens[i - 2] == "path" => {
                    file = text.trim_start_matches('"').strip_suffix(".rs").map(str::to_owned);
                }
                "mod" if depth == 0 && tokens.get(i + 2).is_some_and(|t| t == ";") => {
                    test_modules.insert(file.take().unwrap_or_else(|| tokens[i + 1].clone()));
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

/// For each module, what its `use` gives a name: `pub use error::Error` in the root makes `crate::Error` mean
/// `error`, so that a name is followed to the file that it comes from.
fn names_in_use(sources: &Sources) -> Names {
    let mut names = Names::new();
    for (module, source) in sources {
        let (tokens, _) = without_tests(&tokens(source));
        let mut i = 0;
        while i < tokens.len() {
            i += 1;
            if tokens[i - 1] != "use" {
                continue;
            }
            let mut paths = Vec::new();
            path_tree(&tokens, &mut i, &[], &mut paths);
            for path in paths {
                let local = path.first().is_some_and(|first| {
                    matches!(first.as_str(), "crate" | "super" | "self")
                        || sources.contains_key(&[module.clone(), vec![first.clone()]].concat())
                });
                if let (true, Some(last)) = (local && path.len() > 1, path.last()) {
                    names.insert((module.clone(), last.clone()), path.clone());
                }
            }
        }
    }
    names
}

/// The modules that the module's source names, each as the file that answers for it.
fn imports(module: &[String], sources: &Sources, names: &Names) -> BTreeSet<Module> {
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
            found.extend(resolve(module, &path, sources, names, 8));
        }
    }
    found.remove(module);
    found
}

/// The file that a path leads to; `follow` bounds how many names are followed.
fn resolve(
    module: &[String],
    path: &[String],
    sources: &Sources,
    names: &Names,
    follow: u32,
) -> Option<Module> {
    let mut at = module.to_vec();
    for part in path {
        match part.as_str() {
            "crate" => at.clear(),
            "super" => {
                at.pop();
            }
            "self" => {}
            item => {
                let inner = [at.clone(), vec![item.to_owned()]].concat();
                if sources.contains_key(&inner) {
                    at = inner;
                    continue;
                }
                // No file: an item of this one, or a name that this one has from elsewhere.
                if let (Some(origin), true) = (names.get(&(at.clone(), item.to_owned())), follow > 0) {
                    return resolve(&at, origin, sources, names, follow - 1);
                }
                break;
            }
        }
    }
    // The root itself has nothing but names: `crate::name!` and the like.
    (!at.is_empty()).then_some(at)
}

/// Every breach of the rules, in words, the knots being forgiven.
fn breaches(sources: &Sources, knots: &[&[&str]]) -> Vec<String> {
    let names = names_in_use(sources);
    let mut found = Vec::new();
    let mut test_only = BTreeSet::new();
    for (module, source) in sources {
        for declared in without_tests(&tokens(source)).1 {
            // Below the module, or beside it when `#[path]` names the file.
            test_only.insert([module.clone(), vec![declared.clone()]].concat());
            test_only.insert([module.split_last().map_or(&[][..], |(_, up)| up), &[declared]].concat());
        }
    }
    let is_test = |m: &Module| test_only.iter().any(|t| m.starts_with(t));
    let mut graph: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for module in sources.keys().filter(|m| !m.is_empty() && !is_test(m)) {
        let Some(here) = floor(module) else {
            found.push(format!("{} is in no room: give it a place in FLOORS", name(module)));
            continue;
        };
        let imports = imports(module, sources, &names);
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
    found.extend(knots.iter().filter_map(|knot| untied(knot, &graph)));
    for (module, imports) in &mut graph {
        for knot in knots.iter().filter(|knot| knot.contains(&name(module).as_str())) {
            imports.retain(|import| !knot.contains(&name(import).as_str()));
        }
    }
    found.extend(cycles(&graph));
    found
}

/// Which file of the knot cannot come back to itself through the others.
fn untied(knot: &[&str], graph: &BTreeMap<&Module, BTreeSet<Module>>) -> Option<String> {
    let within = |from: &str| -> BTreeSet<String> {
        let imports = graph.iter().find(|(module, _)| name(module) == from).map(|(_, imports)| imports);
        imports.into_iter().flatten().map(|m| name(m)).filter(|m| knot.contains(&m.as_str())).collect()
    };
    let loose = knot.iter().find(|file| {
        let mut reached = within(file);
        loop {
            let further: BTreeSet<String> = reached.iter().flat_map(|m| within(m)).collect();
            if further.is_subset(&reached) {
                return !reached.contains(**file);
            }
            reached.extend(further);
        }
    })?;
    Some(format!("{loose} is in no cycle any more: take it out of its knot in KNOTS"))
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

/// The breaches of a made-up tree.
fn breaches_of(sources: &Sources) -> Vec<String> {
    breaches(sources, &[])
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
    let found = breaches(&sources, KNOTS);
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
        let found = breaches_of(&made_of(&[("", ""), ("error", ""), ("keydir", rising), ("engine", "")]));
        assert_eq!(found.len(), 1, "{rising}: {found:?}");
        assert!(found[0].contains("keydir (keydir) imports engine"), "{found:?}");
    }
}

#[test]
fn a_falling_import_is_not_reported() {
    let text =
        "use crate::{Result, io::env::Env}; use super::error; use std::io::Read; use self::table::Slot;";
    let found = breaches_of(&made_of(&[
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
        assert_eq!(breaches_of(&made_of(&files.concat())), Vec::<String>::new(), "{harmless}");
    }
}

#[test]
fn a_rise_through_a_name_of_the_crate_root_is_caught() {
    let found =
        breaches_of(&made_of(&[("", "pub use engine::Store;"), ("io", "use crate::Store;"), ("engine", "")]));
    assert_eq!(found, ["io (io) imports engine (engine), which lies above it"]);
}

#[test]
fn a_cycle_within_a_room_is_caught() {
    let found = breaches_of(&made_of(&[
        ("", ""),
        ("format", ""),
        ("format::record", "use super::header::Header;"),
        ("format::header", "use crate::format::hint::Hint;"),
        ("format::hint", "use super::record::Record;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a cycle: "), "{found:?}");
}

#[test]
fn a_parent_that_uses_a_child_that_uses_its_parent_is_caught() {
    let found = breaches_of(&made_of(&[
        ("", ""),
        ("engine", "mod write; use write::go; pub struct Store;"),
        ("engine::write", "use super::Store;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_name_is_followed_to_the_file_that_it_comes_from() {
    let through_the_parent = |text| {
        made_of(&[
            ("", ""),
            ("io::disk", "mod dir; mod file; pub use file::DiskFile; use dir::DiskDir;"),
            ("io::disk::dir", text),
            ("io::disk::file", ""),
        ])
    };
    assert_eq!(breaches_of(&through_the_parent("use super::DiskFile;")), Vec::<String>::new());
    assert_eq!(breaches_of(&through_the_parent("use super::Own;")).len(), 1);
}

#[test]
fn a_test_file_named_by_a_path_is_left_alone() {
    let declares = "#[cfg(test)] #[path = \"options_tests.rs\"] mod tests;";
    let found = breaches_of(&made_of(&[
        ("", ""),
        ("options", declares),
        ("options_tests", "use crate::io::x;"),
        ("io", ""),
    ]));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_room_without_a_place_is_caught() {
    let found = breaches_of(&made_of(&[("", ""), ("attic", "")]));
    assert_eq!(found, ["attic is in no room: give it a place in FLOORS"]);
}

#[test]
fn a_knot_is_forgiven_for_as_long_as_it_is_one() {
    let knot: &[&[&str]] = &[&["engine::db", "engine::commit"]];
    let files = |db| {
        made_of(&[("", ""), ("engine", ""), ("engine::db", db), ("engine::commit", "use super::db::Db;")])
    };
    assert_eq!(breaches(&files("use super::commit::Commits;"), knot), Vec::<String>::new());
    let found = breaches(&files(""), knot);
    assert_eq!(found, ["engine::db is in no cycle any more: take it out of its knot in KNOTS"]);
}
