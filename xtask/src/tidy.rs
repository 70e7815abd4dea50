//! `cargo xtask tidy`: checks `src/` against the floors in ARCHITECTURE.md's code map, which it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::command::root;

/// The most bytes of the page for newcomers.
const ARCHITECTURE_MAX_BYTES: usize = 10 * 1024;
/// The floor whose rooms must not use each other.
const CLIENTS: &str = "clients";
const ENGINE: &str = "engine";
/// The platform's rooms, which alone use JavaScript and the system's clock.
const PLATFORM: [&str; 1] = ["js"];
const JAVASCRIPT: [&str; 6] =
    ["js_sys", "web_sys", "wasm_bindgen", "wasm_bindgen_futures", "gloo_timers", "serde_wasm_bindgen"];
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

pub fn run() -> Result<()> {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let mut files = BTreeMap::new();
    read(&root().join("src"), "", &mut files)?;
    let mut found = problems(&files, &code_map(&architecture)?)?;
    if architecture.len() > ARCHITECTURE_MAX_BYTES {
        found.push(format!("ARCHITECTURE.md has {} bytes, more than {ARCHITECTURE_MAX_BYTES}", architecture.len()));
    }
    for problem in &found {
        println!("{problem}");
    }
    if !found.is_empty() {
        bail!("src/ is not as ARCHITECTURE.md has it");
    }
    println!("{} files of src/ lie on their floors, without circles", files.len());
    Ok(())
}

/// Reads the Rust files below a directory, by their paths in it.
fn read(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files)?;
        } else if name.ends_with(".rs") {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// A floor and its rooms, the modules of `src/`, in their order.
type Floor = (String, Vec<String>);

/// The floors from the lowest up: the rows of the table under "Code map", `| floor | `room` `room` … | … |`.
fn code_map(architecture: &str) -> Result<Vec<Floor>> {
    let Some((_, section)) = architecture.split_once("\n## Code map\n") else {
        bail!("ARCHITECTURE.md has no section \"Code map\"");
    };
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let floors: Vec<Floor> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let floor = cells.next().unwrap_or_default().to_owned();
            let rooms = cells.next().unwrap_or_default().split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (floor, rooms)
        })
        .collect();
    ensure!(floors.len() > 3, "the code map of ARCHITECTURE.md has {} floors", floors.len());
    Ok(floors)
}

/// Finds every violation, one sentence each.
fn problems(files: &BTreeMap<String, String>, floors: &[Floor]) -> Result<Vec<String>> {
    let mut parsed = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| *path != "lib.rs") {
        let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
        parsed.insert(module_of(path), (path, tokens));
    }
    let modules: BTreeSet<&Vec<String>> = parsed.keys().collect();
    // The height of each room.
    let rooms = floors.iter().enumerate().flat_map(|(floor, (_, rooms))| rooms.iter().map(move |room| (room, floor)));
    let height: BTreeMap<&str, (usize, usize)> =
        rooms.enumerate().map(|(place, (room, floor))| (room.as_str(), (floor, place))).collect();

    let mut found = Vec::new();
    for room in modules.iter().filter_map(|module| module.first()).collect::<BTreeSet<_>>() {
        if !height.contains_key(room.as_str()) {
            found.push(format!("src/{room} is not in the code map of ARCHITECTURE.md"));
        }
    }
    for room in height.keys() {
        if !modules.iter().any(|module| module.first().is_some_and(|first| first == room)) {
            found.push(format!("the code map of ARCHITECTURE.md has a room {room}, which src/ has not"));
        }
    }

    let job_types: BTreeSet<String> = parsed
        .iter()
        .filter(|(module, _)| module.first().is_some_and(|room| room == "handlers"))
        .flat_map(|(_, (_, tokens))| job_types(tokens.clone()))
        .collect();
    let mut uses: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = BTreeMap::new();
    for (module, (path, tokens)) in &parsed {
        let Some(room) = module.first() else { continue };
        let at = height.get(room.as_str());
        let floor = at.and_then(|(floor, _)| floors.get(*floor)).map_or("", |(name, _)| name.as_str());
        let mut names = Names::default();
        names.read(tokens.clone());
        for name in &names.paths {
            let Some(used) = resolved(name, module, &modules) else { continue };
            if used == module {
                continue;
            }
            uses.entry(module).or_default().insert(used);
            let (Some(other), Some(at)) = (used.first(), at) else { continue };
            let Some(below) = height.get(other.as_str()) else { continue };
            if other != room && (below.1 > at.1 || (below.0 == at.0 && floor == CLIENTS)) {
                found.push(format!("{path} uses {other}, which does not lie below {room}"));
            }
        }
        let is_platform = PLATFORM.contains(&room.as_str());
        for name in names.paths.iter().filter(|_| !is_platform) {
            let first = name.first().map_or("", String::as_str);
            if JAVASCRIPT.contains(&first) {
                found.push(format!("{path} touches JavaScript: {first}"));
            }
            if let Some(clock) = name.iter().find(|part| CLOCKS.contains(&part.as_str())) {
                found.push(format!("{path} reads the system's clock: {clock}"));
            }
        }
        if floor == ENGINE {
            for job_type in names.texts.intersection(&job_types) {
                found.push(format!("{path} names a job type: {job_type}"));
            }
        }
    }
    found.sort();
    found.dedup();
    found.extend(circle(&uses).map(|modules| format!("a circle: {}", modules.join(" -> "))));
    Ok(found)
}

/// `drain/next.rs` is `["drain", "next"]`, `drain/mod.rs` is `["drain"]`.
fn module_of(path: &str) -> Vec<String> {
    path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').map(str::to_owned).collect()
}

/// The file to which a path in a module leads: the longest beginning of the path that is a module.
fn resolved<'a>(name: &[String], module: &[String], modules: &BTreeSet<&'a Vec<String>>) -> Option<&'a Vec<String>> {
    let mut at: Vec<String> = match name.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        // A child module.
        child => {
            let below = [module, &[child.to_owned()]].concat();
            modules.contains(&below).then_some(module.to_vec())?
        }
    };
    let mut best = None;
    for part in name {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            part => at.push(part.to_owned()),
        }
        best = modules.get(&at).copied().or(best.filter(|best: &&Vec<String>| at.starts_with(best)));
    }
    best
}

/// The names that a file uses outside its tests.
#[derive(Default)]
struct Names {
    paths: BTreeSet<Vec<String>>,
    texts: BTreeSet<String>,
}

impl Names {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if word == "mod" && is_tests(tokens.get(at + 1)) => at += 2,
                TokenTree::Ident(_) => at = self.path(&tokens, at, &[]).max(at + 1) - 1,
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Literal(literal) => {
                    self.texts.extend(text(&literal.to_string()));
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    /// Reads a path, including one that ends in `{a, b::c}`; returns the position after it.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, before: &[String]) -> usize {
        let mut path = before.to_vec();
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && path.len() > before.len() => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let mut inner_at = 0;
                    while inner_at < inner.len() {
                        inner_at = self.path(&inner, inner_at, &path) + 1;
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !(is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1))) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            self.paths.insert(path);
        }
        at
    }
}

fn is_tests(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == "tests")
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

fn text(literal: &str) -> Option<String> {
    Some(literal.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// The text after each `job_type:`.
fn job_types(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => found.extend(job_types(group.stream())),
            TokenTree::Ident(word) if word == "job_type" && is_colon(tokens.get(at + 1)) => {
                found.extend(tokens.get(at + 2).and_then(|value| text(&value.to_string())));
            }
            _ => {}
        }
    }
    found
}

/// Finds a circle of files that use each other.
fn circle(uses: &BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>>) -> Option<Vec<String>> {
    fn visit<'a>(
        module: &'a Vec<String>,
        uses: &BTreeMap<&'a Vec<String>, BTreeSet<&'a Vec<String>>>,
        trail: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<String>> {
        if let Some(start) = trail.iter().position(|passed| *passed == module) {
            let names = trail[start..].iter().chain([&module]);
            return Some(names.map(|module| module.join("/")).collect());
        }
        if !done.insert(module) {
            return None;
        }
        trail.push(module);
        let found = uses.get(module).into_iter().flatten().find_map(|used| visit(used, uses, trail, done));
        trail.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| visit(module, uses, &mut Vec::new(), &mut done))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# A\n\n## Code map\n\n| floor | rooms |\n|---|---|\n| ground | `text` `ctx` |\n\
        | clients | `storage` `replicate` |\n| engine | `queue` `drain` |\n| pictures | `handlers` |\n\n## B\n";

    /// The problems of a tidy `src/` with one file added or replaced.
    fn found(path: &str, source: &str) -> Vec<String> {
        let house = [
            ("lib.rs", "pub mod text;"),
            ("text.rs", "pub fn cut() {}"),
            ("ctx.rs", "use crate::text::cut; use std::time::Duration;"),
            ("storage.rs", "use crate::{ctx, text};"),
            ("replicate/mod.rs", "mod page; use page::Page; use crate::ctx::Ctx;"),
            ("replicate/page.rs", "pub struct Page; #[cfg(test)] mod tests { use crate::drain::x; }"),
            ("queue.rs", "use crate::ctx::Ctx;"),
            ("drain/mod.rs", "mod next; fn f() { next::next(crate::queue::claim()) }"),
            ("drain/next.rs", "use crate::text;"),
            ("handlers/mod.rs", "const A: Handler = Handler { job_type: \"ping-url\" };"),
        ];
        let mut files: BTreeMap<String, String> =
            house.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        files.insert(path.to_owned(), source.to_owned());
        problems(&files, &code_map(MAP).unwrap()).unwrap()
    }

    #[test]
    fn what_is_planted_is_found() {
        assert_eq!(found("text.rs", ""), [""; 0]);
        let planted = [
            ("text.rs", "use crate::drain::drain;", "text.rs uses drain, which does not lie below text"),
            ("text.rs", "fn f() { crate::ctx::now() }", "text.rs uses ctx, which does not lie below text"),
            (
                "queue.rs",
                "use crate::{text, drain::{self, next}};",
                "queue.rs uses drain, which does not lie below queue",
            ),
            ("replicate/page.rs", "fn f() { g!(crate::storage::read()) }", "replicate/page.rs uses storage, which"),
            ("drain/next.rs", "use std::time::Instant;", "drain/next.rs reads the system's clock: Instant"),
            ("ctx.rs", "fn f() { std::time::SystemTime::now() }", "ctx.rs reads the system's clock: SystemTime"),
            ("text.rs", "use js_sys::Date;", "text.rs touches JavaScript: js_sys"),
            ("drain/next.rs", "fn f() -> bool { is(\"ping-url\") }", "drain/next.rs names a job type: ping-url"),
            ("drain/next.rs", "use super::Step;", "a circle: drain -> drain/next -> drain"),
            ("replicate/page.rs", "use super::get;", "a circle: replicate -> replicate/page -> replicate"),
            ("attic.rs", "", "src/attic is not in the code map"),
        ];
        for (path, source, said) in planted {
            let found = found(path, source);
            assert!(found.iter().any(|problem| problem.starts_with(said)), "{path}: {source}: {found:?}");
        }
    }
}
