//! The whole stack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::deno::Deno;
use crate::function::Function;
use crate::gateway::{Backends, FUNCTION, Fate, Fates, Functions, Site};
use crate::keys::Keys;
use crate::pg_net::PgNet;
use crate::postgres::{Cluster, PostgresKind, connect};
use crate::process::Process;
use crate::realtime::Realtime;
use crate::scratch::Scratch;
use crate::{gateway, migrations, rest_and_storage};

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub postgres: PostgresKind,
    pub deno: Deno,
    pub replicate: replicate_stand_in::Options,
    /// Environment of the function, added to the stack's; an empty value removes a variable.
    pub function_env: BTreeMap<String, String>,
    /// A directory with an index.ts to use instead of supabase/functions/process-jobs.
    pub function_directory: Option<PathBuf>,
    /// Other functions of the project: directories with an index.ts, by name. They have the same environment.
    pub functions: BTreeMap<String, PathBuf>,
    /// True: predictions report to the function by webhook; false: they are polled.
    pub webhooks: bool,
    /// pg_cron, and the stand-in of pg_net with its sender. Needs [`PostgresKind::System`].
    pub scheduling: bool,
    /// SQL of an app that exists before the migrations.
    pub app: Option<&'static str>,
    /// A directory with the files of a page, served at `/`; its `/config.json` is `{url, key}`, with the publishable key.
    pub site: Option<PathBuf>,
    /// The port of the project's address; `None`: a free one.
    pub port: Option<u16>,
    /// The directory in which database, objects and keys are kept; `None`: they are deleted with the stack.
    pub kept_in: Option<PathBuf>,
    /// Called with each part that the start waits for.
    pub tell: Option<fn(&str)>,
}

/// A running project. Dropping it, or the end of this process, stops everything that it started and deletes its files,
/// except those in `kept_in`.
pub struct Stack {
    // In the order of stopping.
    gateway: JoinHandle<()>,
    functions: Arc<Functions>,
    fates: Fates,
    _pg_net: Option<PgNet>,
    realtime: Arc<Realtime>,
    rest_and_storage: Process,
    replicate: replicate_stand_in::Server,
    cluster: Cluster,
    keys: Arc<Keys>,
    api_url: String,
    database_url: String,
    scratch: Arc<Scratch>,
}

/// As in a hosted project.
const DATABASE: &str = "postgres";

const SCHEDULING: &[(&str, &str)] =
    &[("shared_preload_libraries", "pg_cron"), ("cron.database_name", DATABASE), ("cron.use_background_workers", "on")];

impl Stack {
    /// Starts everything but the function, which boots at its first request, and applies the migrations. Fails with the
    /// last lines of the part that does not come up.
    pub async fn start(options: Options) -> Result<Stack> {
        ensure!(
            !options.scheduling || options.postgres == PostgresKind::System,
            "scheduling needs Debian's Postgres: the embedded one has no pg_cron"
        );
        let tell = options.tell.unwrap_or(|_| {});
        let scratch = Arc::new(Scratch::new()?);
        let keys = Arc::new(options.kept_in.as_deref().map_or_else(|| Ok(Keys::new()), Keys::kept_in)?);
        let listening = gateway::listen(options.port).await?;
        let replicate = replicate_stand_in::Server::start(options.replicate.clone()).await?;
        tell("Postgres");
        let settings = if options.scheduling { SCHEDULING } else { &[] };
        let cluster = Cluster::start_in(options.postgres, settings, options.kept_in.as_deref()).await?;
        let database_url = cluster.url(DATABASE);
        let mut database = cluster.connect(DATABASE).await?;
        database.batch_execute(include_str!("../sql/platform.sql")).await.context("platform.sql")?;
        tell("REST and Storage");
        let objects = options.kept_in.as_deref().unwrap_or(scratch.path()).join("objects");
        let was_there = database.query_one("select to_regclass('storage.objects') is not null", &[]).await?.get(0);
        let (rest_and_storage, rest_port) =
            rest_and_storage::start(&scratch, &database_url, &keys, &objects, was_there).await?;
        Realtime::prepare(&database).await?;
        let realtime = Realtime::start(&database_url, keys.clone()).await?;
        let pg_net = match options.scheduling {
            true => {
                database.batch_execute(&PgNet::stand_in_sql()?).await.context("the stand-in of pg_net")?;
                Some(PgNet::start(cluster.connect(DATABASE).await?))
            }
            false => None,
        };
        if let Some(app) = options.app {
            database.batch_execute(app).await.context("the app's SQL")?;
        }
        tell("the migrations");
        migrations::migrate(&mut database).await?;

        let api_url = listening.url.clone();
        let env = function_env(&options, &api_url, &keys, &replicate);
        let directory =
            options.function_directory.unwrap_or_else(|| crate::repository().join("supabase/functions/process-jobs"));
        let mut directories = options.functions;
        directories.insert(FUNCTION.to_owned(), directory);
        let functions = Arc::new(functions(directories, options.deno, &env, &scratch));
        let fates: Fates = Arc::new(Mutex::new(Box::new(|_| Fate::PassOn)));
        let site = options.site.map(|files| Site::new(&files, &api_url, &keys.publishable));
        let backends = Backends {
            rest_and_storage: rest_port,
            realtime: Arc::downgrade(&realtime),
            functions: Arc::downgrade(&functions),
            fates: fates.clone(),
            site,
            client: reqwest::Client::new(),
        };
        let gateway = gateway::serve(listening, backends);
        let stack = Stack {
            gateway,
            functions,
            fates,
            _pg_net: pg_net,
            realtime,
            rest_and_storage,
            replicate,
            cluster,
            keys,
            api_url,
            database_url,
            scratch,
        };
        stack.wait_for_rest().await?;
        Ok(stack)
    }

    /// The stand-in of Replicate, in this process.
    pub fn replicate(&self) -> &replicate_stand_in::Server {
        &self.replicate
    }

    pub fn function(&self) -> &Function {
        self.function_named(FUNCTION)
    }

    /// Another function of the project. Panics if it has none of this name.
    pub fn function_named(&self, name: &str) -> &Function {
        &self.functions[name]
    }

    /// Sets `decide`, which from now on chooses the fate of each call to REST or Storage by its path with the query.
    pub fn decide_fates(&self, decide: impl FnMut(&str) -> Fate + Send + 'static) {
        *self.fates.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(decide);
    }

    /// False: Realtime loses its connections, and takes none.
    pub fn turn_realtime(&self, on: bool) {
        self.realtime.turn(on);
    }

    /// A superuser's session.
    pub async fn sql(&self) -> Result<Client> {
        connect(&self.database_url).await
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The project's address, as supabase-js takes it.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    pub fn secret_key(&self) -> &str {
        &self.keys.secret
    }

    pub fn publishable_key(&self) -> &str {
        &self.keys.publishable
    }

    /// The key of the older form, a signed token.
    pub fn service_role_key(&self) -> &str {
        &self.keys.service_role
    }

    /// Signs a user up, as supabase-js does: the session, with `user.id`, `access_token` and `refresh_token`.
    pub async fn sign_up(&self, email: &str, password: &str) -> Result<Value> {
        let url = format!("{}/auth/v1/signup", self.api_url);
        let request = reqwest::Client::new().post(url).header("apikey", self.publishable_key());
        let body = serde_json::json!({ "email": email, "password": password });
        Ok(request.json(&body).send().await?.error_for_status()?.json().await?)
    }

    /// A token with these claims, as the project's Auth signs it.
    pub fn token(&self, claims: &Value) -> String {
        self.keys.sign(claims)
    }

    /// Makes the function drain the queue, and returns its answer. Fails if the status is not 200.
    pub async fn post_drain(&self) -> Result<Value> {
        self.post("respond-sync", 200).await
    }

    /// Has the function drain in the background, as pg_cron and commits do: a drain at work looks again. Fails if the
    /// status is not 202.
    pub async fn ring(&self) -> Result<()> {
        self.post("respond-async", 202).await.map(|_| ())
    }

    async fn post(&self, prefer: &str, expected: u16) -> Result<Value> {
        let url = format!("{}/functions/v1/process-jobs", self.api_url);
        let request = reqwest::Client::new().post(&url).header("apikey", self.secret_key());
        let answer = request.header("prefer", prefer).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.as_u16() == expected, "POST {url} answered {status}: {body}");
        serde_json::from_str(&body).with_context(|| format!("POST {url} answered {body}"))
    }

    /// The output of every part so far.
    pub fn logs(&self) -> Result<String> {
        Ok(self.cluster.logs()? + &self.scratch.logs()?)
    }

    /// The directory of the logs of REST, Storage and the function.
    pub fn log_directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Stops everything and deletes its files; dropping the stack does the same without reporting errors.
    pub async fn stop(mut self) -> Result<()> {
        self.gateway.abort();
        // The port is free again once the task has ended.
        let _ = (&mut self.gateway).await;
        drop(self);
        Ok(())
    }

    /// Waits for REST, which learns of the migrations by a notification a moment after they have committed.
    async fn wait_for_rest(&self) -> Result<()> {
        let url = format!("{}/rest/v1/job_queue?limit=0", self.api_url);
        let client = reqwest::Client::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = client.get(&url).header("apikey", self.secret_key()).send().await?;
            if answer.status().is_success() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let problem = format!("answers {} for a table of the migrations", answer.status());
                return Err(self.rest_and_storage.failure(&problem));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.gateway.abort();
    }
}

fn functions(
    directories: BTreeMap<String, PathBuf>,
    deno: Deno,
    env: &BTreeMap<String, String>,
    scratch: &Arc<Scratch>,
) -> Functions {
    let function = |(name, directory): (String, PathBuf)| {
        let function = Function::new(&name, deno, directory, env.clone(), scratch.clone());
        (name, function)
    };
    directories.into_iter().map(function).collect()
}

/// The environment that the platform gives every function, and this function's settings.
fn function_env(
    options: &Options,
    api_url: &str,
    keys: &Keys,
    replicate: &replicate_stand_in::Server,
) -> BTreeMap<String, String> {
    let env = [
        ("SUPABASE_URL", api_url.to_owned()),
        ("SUPABASE_ANON_KEY", keys.anon.clone()),
        ("SUPABASE_SERVICE_ROLE_KEY", keys.service_role.clone()),
        ("SUPABASE_PUBLISHABLE_KEYS", serde_json::json!({ "default": keys.publishable }).to_string()),
        ("SUPABASE_SECRET_KEYS", serde_json::json!({ "default": keys.secret }).to_string()),
        ("REPLICATE_API_TOKEN", options.replicate.token.clone()),
        ("REPLICATE_API_URL", replicate.api_url().to_string()),
        ("ALLOWED_OUTPUT_HOSTS", replicate.files_host().to_string()),
    ];
    let webhooks = [
        ("REPLICATE_WEBHOOK_SECRET", replicate.webhook_secret()),
        ("PUBLIC_FUNCTION_URL", format!("{api_url}/functions/v1/process-jobs")),
    ];
    let all = env.into_iter().chain(webhooks.into_iter().filter(|_| options.webhooks));
    let mut env: BTreeMap<String, String> = all.map(|(name, value)| (name.to_owned(), value)).collect();
    env.extend(options.function_env.clone());
    env.retain(|_, value| !value.is_empty());
    env
}
