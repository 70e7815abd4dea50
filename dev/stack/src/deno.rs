//! The pinned Deno binaries.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::node;

/// The Deno that serves the function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deno {
    /// The version that the hosted edge runtime is compatible with.
    #[default]
    V2_1_4,
    /// The version of `deno` in package.json.
    Latest,
}

impl Deno {
    pub fn binary(self) -> Result<PathBuf> {
        let suffix = if cfg!(target_os = "linux") { "-glibc" } else { "" };
        let package = format!("@deno/{}{suffix}/deno", node::platform());
        match self {
            Deno::Latest => node::package(&package),
            // Both versions have packages of the same names; npm nests those of the second.
            Deno::V2_1_4 => {
                let path = node::package("deno-2.1.4")?.join("node_modules").join(package);
                ensure!(path.exists(), "{} is missing: run cargo xtask install", path.display());
                Ok(path)
            }
        }
    }
}
