//! The page of examples/gallery in a real Chromium.

use std::time::Duration;

use local_stack::{Options, Stack, repository};

#[tokio::test]
async fn users_ask_for_pictures_in_chromium() {
    let replicate = replicate_stand_in::Options {
        starting: Duration::from_millis(200),
        processing: Duration::from_secs(2),
        ..Default::default()
    };
    let function_env = [("POLL_INTERVAL_MS".to_owned(), "200".to_owned())].into();
    let site = Some(local_stack::gallery().unwrap());
    let stack = Stack::start(Options { replicate, function_env, site, ..Options::default() }).await.unwrap();
    let mut node = tokio::process::Command::new("node");
    node.arg("tests/gallery/gallery.mjs")
        .current_dir(repository())
        .env("GALLERY_URL", stack.api_url())
        .env("PUBLISHABLE_KEY", stack.publishable_key())
        .env("DATABASE_URL", stack.database_url())
        .kill_on_drop(true);
    let rings = async {
        loop {
            stack.ring().await.unwrap();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let status = tokio::select! {
        status = node.status() => status.unwrap(),
        () = rings => unreachable!(),
    };
    assert!(status.success(), "node ended with {status}\n{}", stack.logs().unwrap());
}
