//! Replicate's own JavaScript client takes the stand-in for Replicate.

use std::path::Path;
use std::time::Duration;

use replicate_stand_in::{Options, Server, Status};

#[tokio::test]
async fn the_official_client_creates_waits_lists_cancels_runs_and_takes_webhooks() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let client = here.join("../../node_modules/replicate/package.json");
    assert!(client.exists(), "the official client is missing: run `cargo xtask install`");
    let options =
        Options { starting: Duration::from_millis(100), processing: Duration::from_millis(400), ..Options::default() };
    let server = Server::start(options).await.expect("server");
    let output = tokio::process::Command::new("node")
        .arg(here.join("tests/official_client.mjs"))
        .env("REPLICATE_API_URL", server.api_url())
        .env("REPLICATE_API_TOKEN", "r8_stand_in")
        .env("FILES_URL", server.files_url())
        .output()
        .await
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ended: Vec<Status> = server.predictions().iter().map(|prediction| prediction.status).collect();
    let (plain, webhooks) = ended.split_at(5);
    assert_eq!(plain, [Status::Succeeded, Status::Canceled, Status::Succeeded, Status::Succeeded, Status::Failed]);
    assert_eq!(webhooks, [Status::Succeeded; 3]);
}
