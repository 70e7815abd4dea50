//! The local stack: what a Supabase project runs, without Docker.

mod migrations;
pub mod node;
mod postgres;
mod process;
mod scratch;

pub use migrations::{Migration, migrate};
pub use postgres::{Cluster, PostgresKind};

use std::path::Path;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
