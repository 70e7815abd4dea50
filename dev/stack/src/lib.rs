//! The local stack: the services of a Supabase project, without Docker.

#![warn(clippy::too_many_lines)]

mod deno;
mod function;
mod gallery;
mod gateway;
mod keys;
mod migrations;
pub mod node;
mod pg_net;
mod postgres;
mod process;
mod realtime;
mod rest_and_storage;
mod scratch;
mod stack;

pub use deno::Deno;
pub use function::Function;
pub use gallery::gallery;
pub use gateway::Fate;
pub use migrations::{Migration, migrate};
pub use pg_net::PgNet;
pub use postgres::{Cluster, PostgresKind};
pub use stack::{Options, Stack};

use std::path::Path;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
