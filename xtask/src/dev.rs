//! `cargo xtask dev`: the stack in the foreground.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::{Options, Stack};
use serde_json::json;

use crate::command::root;
use crate::install;

#[derive(clap::Args)]
pub struct Settings {
    /// Serve the project at this port of 127.0.0.1 [default: a free one]
    #[arg(long)]
    port: Option<u16>,
    /// Keep the database, the pictures and the keys in this directory, and go on with what is there
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// The function's settings; a REPLICATE_API_TOKEN among them is used at Replicate itself, which is paid
    /// [default: supabase/functions/.env, where it is]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Predictions tell the function of their end, instead of being asked
    #[arg(long)]
    webhooks: bool,
    /// Have the function look for work this often, as pg_cron does
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    tick: Option<u64>,
}

/// Runs until Ctrl-C, and deletes everything except the data to keep.
pub fn run(settings: Settings) -> Result<()> {
    let function_env = function_env(settings.env_file.as_deref())?;
    ensure!(
        !(settings.webhooks && has_token(&function_env)),
        "--webhooks is for the stand-in: Replicate itself does not reach this machine. Set REPLICATE_WEBHOOK_SECRET and \
         PUBLIC_FUNCTION_URL, a tunnel's, in the env file"
    );
    install::node_modules()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let options = Options {
            port: settings.port,
            kept_in: settings.data.map(std::path::absolute).transpose()?,
            webhooks: settings.webhooks,
            function_env,
            site: Some(local_stack::gallery()?),
            tell: Some(waits_for),
            ..Options::default()
        };
        serve(Stack::start(options).await?, settings.tick.map(Duration::from_secs)).await
    })
}

/// True if Replicate itself is used.
fn has_token(env: &BTreeMap<String, String>) -> bool {
    ["REPLICATE_API_TOKEN", "REPLICATE_API_KEY"].iter().any(|name| env.contains_key(*name))
}

pub fn waits_for(what: &str) {
    println!("waiting for {what}");
}

/// The variables of an env file, except empty ones, which count as absent.
fn function_env(file: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let usual = root().join("supabase/functions/.env");
    let Some(file) = file.or_else(|| usual.exists().then_some(usual.as_path())) else { return Ok(BTreeMap::new()) };
    let shown = || format!("cannot read {}", file.display());
    let mut env: BTreeMap<String, String> =
        dotenvy::from_path_iter(file).with_context(shown)?.collect::<Result<_, _>>().with_context(shown)?;
    env.retain(|_, value| !value.trim().is_empty());
    if has_token(&env) {
        for name in ["REPLICATE_API_TOKEN", "REPLICATE_API_URL", "ALLOWED_OUTPUT_HOSTS"] {
            env.entry(name.to_owned()).or_default();
        }
    }
    Ok(env)
}

/// Prints how to use a stack, makes it look for work, and stops it at Ctrl-C.
pub async fn serve(stack: Stack, tick: Option<Duration>) -> Result<()> {
    println!("{}", instructions(&stack));
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        () = ring_every(&stack, tick) => {}
    }
    println!("\nstopping");
    stack.stop().await
}

async fn ring_every(stack: &Stack, tick: Option<Duration>) {
    let Some(tick) = tick else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(tick);
    loop {
        ticks.tick().await;
        if let Err(error) = stack.ring().await {
            println!("{error:#}");
        }
    }
}

fn instructions(stack: &Stack) -> String {
    let (api, key, database) = (stack.api_url(), stack.secret_key(), stack.database_url());
    let payload = json!({
        "generation_id": "second", "user_id": "me", "prompt": "a lighthouse", "model_id": "black-forest-labs/flux-schnell"
    });
    format!(
        r#"
  gallery          {api}/
  API              {api}
  secret key       {key}
  publishable key  {publishable}
  database         {database}
  Replicate        {replicate}
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

Open the gallery to those who sign up in it, and see what they ask for made with a --tick:

  psql '{database}' -c "insert into user_limits (applies_to, max_open, max_per_day) values ('all', 5, 100) on conflict do nothing"

Ctrl-C stops everything."#,
        publishable = stack.publishable_key(),
        replicate = match stack.function().setting("REPLICATE_API_URL") {
            Some(url) if url == stack.replicate().api_url() => format!("{url} (a stand-in)"),
            Some(url) => url.to_owned(),
            None => "Replicate itself: each prediction is paid".to_owned(),
        },
        logs = stack.log_directory().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::function_env;

    #[test]
    fn a_token_in_the_env_file_means_replicate_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            function_env(Some(&file))
        };
        let env = read("# mine\nPOLL_INTERVAL_MS=\"500\"\n").unwrap();
        assert_eq!(env, [("POLL_INTERVAL_MS".to_owned(), "500".to_owned())].into());
        assert_eq!(read("REPLICATE_API_TOKEN=\nREPLICATE_API_KEY=' '\n").unwrap(), [].into(), "no token");
        for token in ["REPLICATE_API_TOKEN", "REPLICATE_API_KEY"] {
            let env = read(&format!("export {token}=r8_x\n")).unwrap();
            assert_eq!(
                (env[token].as_str(), env["REPLICATE_API_URL"].as_str(), env["ALLOWED_OUTPUT_HOSTS"].as_str()),
                ("r8_x", "", "")
            );
        }
        let env = read("REPLICATE_API_TOKEN=r8_x\nREPLICATE_API_URL=http://127.0.0.1:1/v1\n").unwrap();
        assert_eq!(env["REPLICATE_API_URL"], "http://127.0.0.1:1/v1", "what is set is kept");
        for text in ["NO VALUE", "A='"] {
            assert!(format!("{:#}", read(text).unwrap_err()).contains(".env"), "{text}");
        }
        assert!(function_env(Some(&directory.path().join("none"))).is_err());
    }
}
