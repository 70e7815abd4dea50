//! Finds a compiler that can build for wasm32-unknown-unknown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

pub const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler and its origin of std for [`TARGET`].
pub struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    /// `<sysroot>/lib/rustlib`
    rustlib: PathBuf,
    std: Std,
}

#[derive(Clone, Copy, PartialEq)]
enum Std {
    /// The compiled std is installed beside the compiler.
    Installed,
    /// std is compiled from the source installed beside the compiler.
    Source,
}

/// Looks, in this order, for: the current compiler with the target installed; the distribution's compiler with the
/// target, or with std's source; `rustup target add`. The error names both remedies.
pub fn find() -> Result<Toolchain> {
    let current = compiler("rustc".into(), std::env::var_os("CARGO").unwrap_or("cargo".into()).into());
    let distribution = compiler("/usr/bin/rustc".into(), "/usr/bin/cargo".into());
    let compilers = || current.iter().chain(&distribution);
    for (std, proof) in [(Std::Installed, TARGET), (Std::Source, "src/rust/library/std/Cargo.toml")] {
        if let Some((rustc, cargo, rustlib)) = compilers().find(|(_, _, rustlib)| rustlib.join(proof).exists()) {
            return Ok(Toolchain { rustc: rustc.clone(), cargo: cargo.clone(), rustlib: rustlib.clone(), std });
        }
    }
    if let Some((rustc, cargo, rustlib)) = current
        && command::run(command::command("rustup").args(["target", "add", TARGET])).is_ok()
    {
        return Ok(Toolchain { rustc, cargo, rustlib, std: Std::Installed });
    }
    bail!(
        "no compiler here can build for {TARGET}: run `rustup target add {TARGET}`, or install a distribution's \
         compiler with std's source (Debian: `apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22 rust-web-clippy`)"
    )
}

fn compiler(rustc: PathBuf, cargo: PathBuf) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let sysroot = Command::new(&rustc).args(["--print", "sysroot"]).output().ok().filter(|it| it.status.success())?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    Some((rustc, cargo, Path::new(sysroot.trim()).join("lib/rustlib")))
}

impl Toolchain {
    /// `cargo <subcommand>` for [`TARGET`], with the module's own profile. Its output contains no path of this machine,
    /// so that the same compiler makes the same bytes in any directory.
    pub fn cargo(&self, subcommand: &str) -> Result<Command> {
        // Cargo would look for an external subcommand in its home first, where another toolchain's may be.
        let external = self.cargo.with_file_name(format!("cargo-{subcommand}"));
        let program = if subcommand == "clippy" && self.cargo.is_absolute() { &external } else { &self.cargo };
        let mut command = command::command(program);
        command
            .args([subcommand, "--package", "process-jobs", "--lib", "--locked"])
            .args(["--profile", "wasm", "--target", TARGET])
            .env("CARGO", &self.cargo)
            .env("RUSTC", &self.rustc)
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", self.remaps()?.join("\x1f"));
        if self.std == Std::Source {
            command.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        Ok(command)
    }

    /// The inputs besides the sources that determine the bytes: `rustc -vV` and the origin of std.
    pub fn version(&self) -> Result<String> {
        let version = command::output(command::command(&self.rustc).arg("-vV"))?;
        Ok(format!("{}\nstd: {}", version.trim(), self.std))
    }

    fn remaps(&self) -> Result<Vec<String>> {
        let std_source = self.rustlib.join("src/rust");
        let std_source_real = std_source.canonicalize().unwrap_or_else(|_| std_source.clone());
        let to = [
            (command::root().to_path_buf(), "/process-jobs"),
            (cargo_home()?, "/cargo"),
            (std_source, "/rust"),
            (std_source_real, "/rust"),
        ];
        // The registry's folder is named after its host, which may be a mirror; the last of several matching prefixes
        // wins.
        let registries = std::fs::read_dir(cargo_home()?.join("registry/src")).into_iter().flatten();
        let registries = registries.flatten().map(|entry| (entry.path(), "/crates"));
        Ok(to
            .into_iter()
            .chain(registries)
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
            .collect())
    }
}

/// The directory of cargo's dependency sources.
pub fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    match std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home) {
        Some(path) => Ok(path),
        None => bail!("neither CARGO_HOME nor HOME is set"),
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} (std: {})", self.rustc.display(), self.std)
    }
}

impl fmt::Display for Std {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Std::Installed => "as installed",
            Std::Source => "built from source",
        })
    }
}
