//! The function's settings, read from its environment.

use crate::address::Address;
use crate::hosts;
use crate::webhook;
use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Every setting, checked. The fields have the names of the environment variables.
#[derive(Debug, Clone)]
pub struct Config {
    /// Has no slash at the end.
    pub supabase_url: String,
    /// The key for PostgREST and Storage: the secret key if there is one, else the service-role key.
    pub service_key: String,
    /// Every key that authorizes a caller.
    pub caller_keys: Vec<String>,
    pub process_jobs_secret: Option<String>,
    /// The keys that sign what the worker sends, the newest first.
    pub webhook_keys: Vec<Vec<u8>>,
    /// If absent, the first `generate-image` job pauses its type, with a reason.
    pub replicate_api_token: Option<String>,
    pub replicate_api_url: String,
    /// If absent, predictions are polled.
    pub webhooks: Option<Webhooks>,
    pub storage_bucket: String,
    pub max_parallel_jobs: usize,
    pub job_timeout: Duration,
    pub run_budget: Duration,
    pub poll_interval: Duration,
    pub allowed_output_hosts: Vec<String>,
    pub allowed_source_hosts: Vec<String>,
    pub max_image_bytes: u64,
    /// True stores an SVG even if it may be more than a picture.
    pub allow_any_svg: bool,
}

/// The key that signs Replicate's webhooks, and the URL that they call.
#[derive(Debug, Clone)]
pub struct Webhooks {
    pub key: Vec<u8>,
    /// Has no slash at the end.
    pub function_url: String,
}

impl Webhooks {
    /// `secret` is `whsec_` and the key in base64, as `GET /v1/webhooks/default/secret` returns it; else returns
    /// `None`.
    pub fn new(secret: &str, function_url: &str) -> Option<Webhooks> {
        Some(Webhooks { key: webhook::key(secret)?, function_url: function_url.to_owned() })
    }
}

/// The number of jobs that one drain runs at once. A job waits on the network nearly all of its time and a streamed
/// picture holds under 1 MB, so ten fit into 256 MB; more would only queue inside the isolate's connections.
const MAX_PARALLEL_JOBS: u64 = 10;
const JOB_TIMEOUT_MS: u64 = 600_000;
/// The time of one drain. It is under the 60 s between two ticks, so that drains do not pile up, and under the 75 s
/// after which the smallest plan retires the isolate.
const RUN_BUDGET_MS: u64 = 50_000;
const POLL_INTERVAL_MS: u64 = 2_000;
/// A shorter secret could be guessed.
const MIN_SECRET: usize = 16;
/// The lengths that Standard Webhooks allows.
const KEY_BYTES: RangeInclusive<usize> = 24..=64;
const MAX_IMAGE_BYTES: u64 = 50 * 1024 * 1024;

impl Config {
    /// Reads the environment, asking for each variable by its name. An absent or empty variable takes its default. The
    /// error is one sentence that names the variable. It never shows a value, which may be a secret in the wrong
    /// variable: anyone may read the error.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Config, String> {
        let env = Env(&env);
        let secret_keys = match env.text("SUPABASE_SECRET_KEYS") {
            None => Vec::new(),
            Some(value) => named_keys(&value).ok_or("SUPABASE_SECRET_KEYS must be a JSON object of names and keys")?,
        };
        let service_role_key = env.text("SUPABASE_SERVICE_ROLE_KEY");
        let default_key = secret_keys.iter().find(|(name, _)| name == "default").or(secret_keys.first());
        let service_key = default_key
            .map(|(_, key)| key)
            .or(service_role_key.as_ref())
            .ok_or("neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY is set")?
            .clone();
        if !is_header_safe(&service_key) {
            return Err("the Supabase secret key has characters that no header can carry".to_owned());
        }
        let webhooks = env.webhooks()?;
        let caller_keys = secret_keys.into_iter().map(|(_, key)| key).chain(service_role_key).collect();

        Ok(Config {
            supabase_url: env.url("SUPABASE_URL", None)?,
            service_key,
            caller_keys,
            process_jobs_secret: match env.secret("PROCESS_JOBS_SECRET")? {
                Some(secret) if secret.len() < MIN_SECRET => {
                    return Err(format!("PROCESS_JOBS_SECRET must have {MIN_SECRET} characters or more"));
                }
                secret => secret,
            },
            webhook_keys: env.signing_keys("NOTIFY_WEBHOOK_SECRETS")?,
            replicate_api_token: match env.secret("REPLICATE_API_TOKEN")? {
                Some(token) => Some(token),
                None => env.secret("REPLICATE_API_KEY")?,
            },
            replicate_api_url: env.url("REPLICATE_API_URL", Some("https://api.replicate.com/v1"))?,
            webhooks,
            storage_bucket: bucket(env.text("STORAGE_BUCKET").as_deref().unwrap_or("generated-images"))?,
            max_parallel_jobs: env.number("MAX_PARALLEL_JOBS", MAX_PARALLEL_JOBS, 1, 100)? as usize,
            job_timeout: Duration::from_millis(env.number("JOB_TIMEOUT_MS", JOB_TIMEOUT_MS, 5_000, 86_400_000)?),
            run_budget: Duration::from_millis(env.number("RUN_BUDGET_MS", RUN_BUDGET_MS, 1_000, 390_000)?),
            poll_interval: Duration::from_millis(env.number("POLL_INTERVAL_MS", POLL_INTERVAL_MS, 100, 60_000)?),
            allowed_output_hosts: env.hosts("ALLOWED_OUTPUT_HOSTS", "replicate.delivery,*.replicate.delivery")?,
            allowed_source_hosts: env.hosts("ALLOWED_SOURCE_HOSTS", "*")?,
            allow_any_svg: match env.text("ALLOW_ANY_SVG").as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err("ALLOW_ANY_SVG must be true or false".to_owned()),
            },
            max_image_bytes: env.number("MAX_IMAGE_BYTES", MAX_IMAGE_BYTES, 1, 5 * 1024 * 1024 * 1024)?,
        })
    }

    /// One sentence for each missing setting that an operator should know about; the health route shows them.
    pub fn missing(&self) -> Vec<&'static str> {
        let token = "REPLICATE_API_TOKEN is not set: generate-image jobs cannot run";
        let webhooks = "REPLICATE_WEBHOOK_SECRET and PUBLIC_FUNCTION_URL are not both set: predictions are polled";
        let missing = [(self.replicate_api_token.is_none(), token), (self.webhooks.is_none(), webhooks)];
        missing.into_iter().filter_map(|(is_missing, sentence)| is_missing.then_some(sentence)).collect()
    }
}

/// The environment, read by kinds of values.
struct Env<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str, default: u64, least: u64, most: u64) -> Result<u64, String> {
        let Some(value) = self.text(name) else { return Ok(default) };
        let number = value.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("{name} must be a whole number from {least} to {most}"))
    }

    fn url(&self, name: &str, default: Option<&str>) -> Result<String, String> {
        let value = self.text(name).or(default.map(str::to_owned)).ok_or_else(|| format!("{name} is not set"))?;
        let is_plain = |url: Address| matches!(url.scheme(), "http" | "https") && !url.carries_user();
        if value.contains(['?', '#']) || !Address::parse(&value).is_some_and(is_plain) {
            return Err(format!("{name} must be an http or https URL without user and query"));
        }
        Ok(value.trim_end_matches('/').to_owned())
    }

    fn hosts(&self, name: &str, default: &str) -> Result<Vec<String>, String> {
        hosts::read(self.text(name).as_deref().unwrap_or(default))
            .ok_or_else(|| format!("{name} must list hosts, such as example.com or *.example.com, and no URLs"))
    }

    fn secret(&self, name: &str) -> Result<Option<String>, String> {
        match self.text(name) {
            Some(value) if !is_header_safe(&value) => Err(format!("{name} has characters that no header can carry")),
            value => Ok(value),
        }
    }

    fn signing_keys(&self, name: &str) -> Result<Vec<Vec<u8>>, String> {
        let value = self.text(name).unwrap_or_default();
        let secrets = value.split([',', ' ']).filter(|secret| !secret.is_empty());
        let key = |secret| webhook::key(secret).filter(|key| KEY_BYTES.contains(&key.len()));
        let keys: Option<Vec<_>> = secrets.map(key).collect();
        keys.ok_or_else(|| format!("{name} must list secrets, each whsec_ and 24 to 64 bytes in base64"))
    }

    /// None where one of the two settings is missing: predictions are polled then.
    fn webhooks(&self) -> Result<Option<Webhooks>, String> {
        let (Some(secret), Some(_)) = (self.text("REPLICATE_WEBHOOK_SECRET"), self.text("PUBLIC_FUNCTION_URL")) else {
            return Ok(None);
        };
        let function_url = self.url("PUBLIC_FUNCTION_URL", None)?;
        if !is_reachable_by_webhooks(&function_url) {
            return Err("PUBLIC_FUNCTION_URL must be an https URL".to_owned());
        }
        let webhooks = Webhooks::new(&secret, &function_url);
        webhooks.map(Some).ok_or_else(|| "REPLICATE_WEBHOOK_SECRET must be whsec_ and a key in base64".to_owned())
    }
}

/// Returns the keys in the order of their names, without empty ones.
fn named_keys(text: &str) -> Option<Vec<(String, String)>> {
    let keys = serde_json::from_str::<Value>(text).ok()?;
    let mut named = Vec::new();
    for (name, key) in keys.as_object()? {
        let key = key.as_str()?;
        if !key.is_empty() {
            named.push((name.clone(), key.to_owned()));
        }
    }
    Some(named)
}

/// Keys are sent in headers, where a newline would start another header.
fn is_header_safe(value: &str) -> bool {
    value.bytes().all(|byte| (0x21..0x7f).contains(&byte))
}

/// Replicate calls https URLs only; a stand-in on this machine may use http.
fn is_reachable_by_webhooks(function_url: &str) -> bool {
    function_url.starts_with("https:") || function_url.starts_with("http://127.0.0.1:")
}

fn bucket(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().all(allowed) && !name.starts_with('.') {
        Ok(name.to_owned())
    } else {
        Err("STORAGE_BUCKET may have letters, digits, '-', '_' and '.'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(extra: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let least = [("SUPABASE_URL", "https://ref.supabase.co/"), ("SUPABASE_SERVICE_ROLE_KEY", "key")];
        move |wanted| {
            let found = extra.iter().chain(&least).find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn defaults_are_those_documented() {
        let config = Config::from_env(env(&[("MAX_PARALLEL_JOBS", " ")])).unwrap();
        assert_eq!(config.supabase_url, "https://ref.supabase.co");
        assert_eq!(config.replicate_api_url, "https://api.replicate.com/v1");
        assert_eq!(config.storage_bucket, "generated-images");
        assert_eq!(config.max_parallel_jobs, 10);
        assert_eq!(config.allowed_output_hosts, ["replicate.delivery", "*.replicate.delivery"]);
        assert_eq!(
            config.missing(),
            [
                "REPLICATE_API_TOKEN is not set: generate-image jobs cannot run",
                "REPLICATE_WEBHOOK_SECRET and PUBLIC_FUNCTION_URL are not both set: predictions are polled"
            ]
        );
    }

    #[test]
    fn the_secret_key_is_preferred_and_both_keys_authorize() {
        let config = Config::from_env(env(&[("SUPABASE_SECRET_KEYS", r#"{"a":"sb_1","default":"sb_2"}"#)])).unwrap();
        assert_eq!(config.service_key, "sb_2");
        assert_eq!(config.caller_keys, ["sb_1", "sb_2", "key"]);

        let config = Config::from_env(env(&[("SUPABASE_SECRET_KEYS", r#"{"default":""}"#)])).unwrap();
        assert_eq!((config.service_key.as_str(), config.caller_keys.len()), ("key", 1));
    }

    #[test]
    fn a_bad_value_is_one_sentence_that_names_the_variable() {
        let table = [
            ("SUPABASE_URL", "ftp://x", "SUPABASE_URL must be an http or https URL without user and query"),
            ("SUPABASE_SECRET_KEYS", "sb_1", "SUPABASE_SECRET_KEYS must be a JSON object of names and keys"),
            ("PROCESS_JOBS_SECRET", "fifteen-letters", "PROCESS_JOBS_SECRET must have 16 characters or more"),
            ("REPLICATE_API_TOKEN", "r8_\nx", "REPLICATE_API_TOKEN has characters that no header can carry"),
        ];
        for (name, value, message) in table {
            assert_eq!(Config::from_env(env(&[(name, value)])).err().as_deref(), Some(message));
        }
        assert_eq!(
            Config::from_env(|_| None).err().as_deref(),
            Some("neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY is set")
        );
    }

    #[test]
    fn a_secret_in_the_wrong_variable_is_never_shown() {
        let is = [
            ("SUPABASE_URL", "must be an http or https URL without user and query"),
            ("REPLICATE_API_URL", "must be an http or https URL without user and query"),
            ("MAX_PARALLEL_JOBS", "must be a whole number from 1 to 100"),
            ("JOB_TIMEOUT_MS", "must be a whole number from 5000 to 86400000"),
            ("RUN_BUDGET_MS", "must be a whole number from 1000 to 390000"),
            ("POLL_INTERVAL_MS", "must be a whole number from 100 to 60000"),
            ("MAX_IMAGE_BYTES", "must be a whole number from 1 to 5368709120"),
            ("STORAGE_BUCKET", "may have letters, digits, '-', '_' and '.'"),
            ("ALLOW_ANY_SVG", "must be true or false"),
            ("NOTIFY_WEBHOOK_SECRETS", "must list secrets, each whsec_ and 24 to 64 bytes in base64"),
        ];
        let values = ["r8_/", "hunter2/", "https://u:hunter2@a.co/?", "https://a.co/?key=hunter2", "0 or so/"];
        for ((name, rest), value) in is.iter().flat_map(|row| values.map(|value| (row, value))) {
            let error = Config::from_env(env(&[(name, value)])).err();
            assert_eq!(error, Some(format!("{name} {rest}")), "{value}");
        }
        for value in ["https://u:hunter2@a.co", "https://a.co/#hunter2"] {
            assert!(Config::from_env(env(&[("REPLICATE_API_URL", value)])).is_err(), "{value}");
        }
        let webhook = ("REPLICATE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let error = Config::from_env(env(&[webhook, ("PUBLIC_FUNCTION_URL", "http://a.co/hunter2")])).err();
        assert_eq!(error.as_deref(), Some("PUBLIC_FUNCTION_URL must be an https URL"));
    }

    #[test]
    fn each_of_several_secrets_signs() {
        let (new, old) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        for (list, count) in [(new.to_owned(), 1), (format!("{new} {old}"), 2), (format!(" {new}, {old},"), 2)] {
            let config = Config::from_env(env(&[("NOTIFY_WEBHOOK_SECRETS", &list)])).unwrap();
            assert_eq!(config.webhook_keys.len(), count, "{list}");
            assert_eq!(config.webhook_keys.first(), webhook::key(new).as_ref(), "{list}");
        }
        let error = Config::from_env(env(&[("NOTIFY_WEBHOOK_SECRETS", "whsec_AAAA")])).err();
        assert!(error.is_some_and(|error| error.starts_with("NOTIFY_WEBHOOK_SECRETS must list secrets")));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for secret in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64", "whsec_MfK"] {
            assert!(Webhooks::new(secret, "https://a").is_none(), "{secret}");
        }
    }
}
