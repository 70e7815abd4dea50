//! REST and Storage, served by @supabase/lite under the latest Deno.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::deno::Deno;
use crate::keys::Keys;
use crate::process::Process;
use crate::scratch::Scratch;

/// Starts the server and returns it with its port. It creates the schemas `auth` and `storage`, which the migrations
/// expect, and serves the migrations' objects once they `notify pgrst`.
///
/// At its first request, unless the database existed before, the server grants everything on all tables of the schemas
/// with row level security to every role of the API. That request is made here, before the migrations, so that their
/// tables keep the privileges that they set.
pub(crate) async fn start(
    scratch: &Scratch,
    database_url: &str,
    keys: &Keys,
    objects: &Path,
    was_there: bool,
) -> Result<(Process, u16)> {
    fs::create_dir_all(objects)?;
    let mut command = Command::new(Deno::Latest.binary()?);
    command
        .args(["run", "--allow-all", "--no-lock", "--node-modules-dir=manual"])
        .arg(crate::repository().join("dev/stack/js/rest_and_storage.mjs"))
        .env("DENO_DIR", scratch.path().join("deno"))
        .env("NO_COLOR", "1")
        .env("EXPERIMENTAL_STORAGE", "1")
        .env("LITE_TELEMETRY", "0")
        .env("DO_NOT_TRACK", "1")
        .env("DATABASE_URL", database_url)
        .env("STORAGE_DIRECTORY", objects)
        .env("WAS_THERE", if was_there { "1" } else { "0" })
        .env("JWT_SECRET", &keys.jwt_secret)
        .env("API_KEYS", keys.roles().to_string());
    let mut process = Process::start(scratch, "rest-and-storage", command)?;
    let port = process.port().await?;
    let url = format!("http://127.0.0.1:{port}/storage/v1/bucket");
    let answer = reqwest::Client::new().get(url).header("apikey", &keys.secret).send().await?;
    ensure!(answer.status().is_success(), process.failure(&format!("answers {} for its buckets", answer.status())));
    Ok((process, port))
}
