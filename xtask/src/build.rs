//! Builds `pkg/`: the worker as wasm with its JavaScript glue, and a record of the build's inputs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::command::{self, root};
use crate::toolchain::{self, Toolchain};

/// The files that a build writes besides its record.
pub const FILES: [&str; 5] =
    ["process_jobs.js", "process_jobs.d.ts", "process_jobs_bg.js", "process_jobs_bg.wasm", "process_jobs_bg.wasm.d.ts"];
pub const RECORD: &str = "build.json";
/// The directory that `[patch.crates-io]` names.
const PATCH: &str = "vendor/reqwest";

/// `pkg/build.json`: the inputs of the files beside it. All hashes are SHA-256 in hex.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// `rustc -vV` and the origin of std; the same toolchain makes the same bytes.
    pub toolchain: Vec<String>,
    /// The hash of the resolved dependencies with their features, one a line.
    pub dependencies: String,
    /// The hash of the worker's own parts of Cargo.toml: its package, library and profile.
    pub manifest: String,
    /// The hash of each file of the checkout that the compiler read, by its path.
    pub sources: BTreeMap<String, String>,
    /// The hash of each file in `pkg/`.
    pub files: BTreeMap<String, String>,
}

/// `cargo xtask build`
pub fn run() -> Result<()> {
    let toolchain = toolchain::find()?;
    println!("compiler: {toolchain}");
    let made = tempfile::tempdir_in(root()).context("cannot make a directory beside pkg/")?;
    build(&toolchain, made.path())?;

    let pkg = root().join("pkg");
    fs::create_dir_all(&pkg)?;
    for entry in fs::read_dir(&pkg)? {
        fs::remove_file(entry?.path()).context("pkg/ holds something that no build put there")?;
    }
    for name in FILES.iter().chain([&RECORD]) {
        fs::rename(made.path().join(name), pkg.join(name))?;
    }
    let sizes = Sizes::of(&pkg.join("process_jobs_bg.wasm"))?;
    println!("pkg/process_jobs_bg.wasm: {} bytes, {} gzip, {} brotli", sizes.raw, sizes.gzip, sizes.brotli);
    Ok(())
}

/// Builds into `dir`, which must be empty. Fails if a file is missing or the module contains a path of this machine.
pub fn build(toolchain: &Toolchain, dir: &Path) -> Result<()> {
    let module = compile(toolchain)?;
    Bindgen::new()
        .input_path(&module)
        .out_name("process_jobs")
        .bundler(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(dir)
        .context("wasm-bindgen refuses the module")?;

    let mut files = BTreeMap::new();
    for name in FILES {
        let bytes = fs::read(dir.join(name)).with_context(|| format!("the build made no {name}"))?;
        ensure!(!bytes.is_empty(), "the build made an empty {name}");
        no_local_path(name, &bytes)?;
        files.insert(name.to_owned(), sha256(&bytes));
    }
    let made = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    ensure!(made.len() == FILES.len(), "the build made {made:?}, expected {FILES:?}");

    let record = Record {
        toolchain: toolchain.version()?.lines().map(str::to_owned).collect(),
        dependencies: dependencies()?,
        manifest: manifest()?,
        sources: hashes(sources(&module)?.into_iter())?,
        files,
    };
    fs::write(dir.join(RECORD), serde_json::to_string_pretty(&record)? + "\n")?;
    Ok(())
}

/// Compiles the module and returns its path.
fn compile(toolchain: &Toolchain) -> Result<PathBuf> {
    // As a cdylib alone: with the rlib, every dependency would be compiled to machine code too.
    let messages = command::output(toolchain.cargo("rustc")?.args([
        "--crate-type",
        "cdylib",
        "--message-format",
        "json-render-diagnostics",
    ]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "process_jobs")
        .filter_map(|message| message["filenames"][0].as_str().map(PathBuf::from))
        .find(|path| path.extension().is_some_and(|it| it == "wasm"))
        .context("cargo made no .wasm file for process-jobs")
}

/// The files of the checkout that went into the module, as paths from the root: those that the compiler reports
/// (including `include_str!` and the build script), and those of the patch, which it does not report.
fn sources(module: &Path) -> Result<Vec<String>> {
    let list = module.with_extension("d");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let (_, paths) = text.split_once(": ").with_context(|| format!("{} lists no files", list.display()))?;
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join(PATCH))? {
        sources.push(format!("{PATCH}/{}", entry?.file_name().display()));
    }
    for path in paths.trim().replace("\\ ", "\0").split_whitespace() {
        let path = PathBuf::from(path.replace('\0', " "));
        if module.parent().is_some_and(|target| path.starts_with(target)) {
            continue; // made by the build script from files that are listed themselves
        }
        let path = path.strip_prefix(root()).with_context(|| format!("{} is outside the checkout", path.display()))?;
        sources.push(path.to_str().context("a source's path is not UTF-8")?.to_owned());
    }
    Ok(sources)
}

/// The hash of each file, by its path from the root. A missing file has the hash "missing".
pub fn hashes(paths: impl Iterator<Item = String>) -> Result<BTreeMap<String, String>> {
    paths
        .map(|path| match fs::read(root().join(&path)) {
            Ok(bytes) => Ok((path, sha256(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((path, "missing".to_owned())),
            Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
        })
        .collect()
}

/// The hash of the module's resolved dependencies. `Cargo.lock` itself also holds those of the development tools, whose
/// changes do not affect the module.
pub fn dependencies() -> Result<String> {
    let tree = command::output(
        command::command(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["tree", "--quiet", "--locked", "--package", "process-jobs", "--target", toolchain::TARGET])
            .args(["--edges", "normal,build", "--prefix", "none", "--no-dedupe", "--format", "{p} {f}"]),
    )?;
    let here = root().display().to_string();
    let mut lines: Vec<String> = tree.lines().map(|line| line.replace(&here, "")).collect();
    lines.sort();
    lines.dedup();
    ensure!(!lines.is_empty(), "cargo tree names no dependencies");
    Ok(sha256(lines.join("\n").as_bytes()))
}

/// The hash of the parts of Cargo.toml that affect the module. The other parts concern development tools, or are
/// covered by [`dependencies`].
pub fn manifest() -> Result<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let mut parts = String::new();
    for path in [&["package"][..], &["lib"], &["workspace", "package"], &["profile", "release"], &["profile", "wasm"]] {
        let table = path.iter().try_fold(&manifest, |table, name| table.get(*name)?.as_table());
        parts += &format!("{path:?} {table:?}\n");
    }
    Ok(sha256(parts.as_bytes()))
}

fn no_local_path(name: &str, bytes: &[u8]) -> Result<()> {
    let mut paths = vec![root().to_path_buf(), toolchain::cargo_home()?, std::env::temp_dir()];
    paths.extend(std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.components().count() > 1));
    for path in paths {
        let needle = format!("{}/", path.display());
        if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
            bail!("{name} holds a path of this machine: {needle}");
        }
    }
    Ok(())
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sizes of one file in bytes.
pub struct Sizes {
    pub raw: usize,
    pub gzip: usize,
    pub brotli: usize,
}

impl Sizes {
    pub fn of(path: &Path) -> Result<Sizes> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&bytes)?;
        let mut brotli = Vec::new();
        let best = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut brotli, &best)?;
        Ok(Sizes { raw: bytes.len(), gzip: gzip.finish()?.len(), brotli: brotli.len() })
    }
}
