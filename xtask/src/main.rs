//! Every chore of the repository: `cargo xtask help`.

mod build;
mod command;
mod toolchain;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
enum Chore {
    /// Build pkg/: the worker as wasm, with its JavaScript glue
    Build,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Build => build::run(),
    }
}
