//! `cargo xtask dev`: the stack in the foreground.

use anyhow::Result;
use local_stack::{Options, Stack};
use serde_json::json;

use crate::install;

/// Runs until Ctrl-C, and leaves nothing behind.
pub fn run() -> Result<()> {
    install::node_modules()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let stack = Stack::start(Options::default()).await?;
        serve(stack).await
    })
}

/// Says how to use a stack, and stops it at Ctrl-C.
pub async fn serve(stack: Stack) -> Result<()> {
    println!("{}", instructions(&stack));
    tokio::signal::ctrl_c().await?;
    println!("\nstopping");
    stack.stop().await
}

fn instructions(stack: &Stack) -> String {
    let (api, key, database) = (stack.api_url(), stack.secret_key(), stack.database_url());
    let payload = json!({
        "generation_id": "second", "user_id": "me", "prompt": "a lighthouse", "model_id": "black-forest-labs/flux-schnell"
    });
    format!(
        r#"
  API              {api}
  secret key       {key}
  publishable key  {publishable}
  database         {database}
  Replicate        {replicate} (a stand-in)
  logs             {logs}/*.log

Enqueue a job and run the worker:

  psql '{database}' -c "select enqueue_job('generate-image', jsonb_build_object(
    'generation_id', 'first', 'user_id', 'me', 'prompt', 'a lighthouse', 'model_id', 'black-forest-labs/flux-schnell'))"
  curl -X POST {api}/functions/v1/process-jobs -H 'apikey: {key}'

or both in one, with the work done in the background:

  curl {api}/functions/v1/process-jobs/jobs -H 'apikey: {key}' -H 'content-type: application/json' \
    -d '{{"job_type": "generate-image", "payload": {payload}}}'

Watch it, and look at the picture:

  psql '{database}' -c 'select job_type, status, attempt_number, progress, error_message from job_queue'
  psql '{database}' -c 'select public_url from images'

Ctrl-C stops everything."#,
        publishable = stack.publishable_key(),
        replicate = stack.replicate().api_url(),
        logs = stack.log_directory().display(),
    )
}
