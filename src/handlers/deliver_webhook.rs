//! `deliver-webhook`: tells an address of a job's end, signed as Standard Webhooks has it, until it is taken.

use crate::address::Address;
use crate::config::Config;
use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::fields::fields;
use crate::hosts;
use crate::http::{Body, Refusal, Request};
use crate::job::{Handler, Job, Outcome, nothing_to_end};
use crate::json::{self, object};
use crate::queue;
use crate::text::{cut, detail};
use crate::webhook;
use serde_json::{Map, Value};
use std::time::Duration;

pub const HANDLER: Handler = Handler {
    job_type: "deliver-webhook",
    #[cfg(test)]
    payload: Payload::typescript,
    timed: false,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: nothing_to_end,
};

fields! {
    pub struct Payload {
        /// An http or https address.
        url: String,
        /// The user who has given it: it must be a public https address, and that user's secret signs.
        user_id: Option<String>,
        /// What is sent.
        body: Map<String, Value>,
    }
}

const NO_SECRET: &str =
    "NOTIFY_WEBHOOK_SECRETS is not set: set it to whsec_ and 24 random bytes in base64, and resume the type";
/// The specification advises 15 s to 30 s. A slow receiver keeps a place of the drain for that long.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The most and the least that a receiver may ask to be left alone; the most is the longest backoff.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3600);
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// After this time a wait that a receiver asks for costs an attempt, so that it ends.
const DAY: Duration = Duration::from_secs(24 * 3600);
const TOLD_MAX_CHARACTERS: usize = 200;

async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let payload = job.payload(Payload::read)?;
    if ctx.config.webhook_keys.is_empty() {
        return Err(JobError { again: Again::WhenResumed, ..JobError::never("no_secret", NO_SECRET) });
    }
    let url = callable(&ctx.config, &payload)?;
    let mut keys = ctx.config.webhook_keys.clone();
    if let Some(user_id) = &payload.user_id {
        check_addresses(ctx, &url).await?;
        keys = keys.iter().map(|key| webhook::key_of_user(key, user_id)).collect();
    }
    let body = json::text(&Value::Object(payload.body));
    // The id of each try, so that a receiver takes the event once. It stays if a person brings the job back.
    let mut headers = webhook::headers(&keys, &job.id, ctx.clock.unix_seconds(), &body).to_vec();
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    headers.push(("user-agent".to_owned(), format!("process-jobs/{}", queue::VERSION)));
    let request =
        Request { method: "POST", url: url.as_str().to_owned(), headers, body: Body::Text(body), timeout: TIMEOUT };
    let answer = ctx.http.send(request).await;
    let answer = answer.map_err(|error| JobError::backoff("unreachable", format!("no answer: {error}")))?;
    if (200..300).contains(&answer.status) {
        let result = object(vec![("status", answer.status.into())]);
        return Ok(Outcome::Completed { result, follow_ups: Vec::new() });
    }
    refused(job, &answer.refusal().await)
}

/// The address, or an error that is final.
fn callable(config: &Config, payload: &Payload) -> Result<Address, JobError> {
    let refused = |why: &str| JobError::never("address_not_allowed", format!("payload: url {why}"));
    let url =
        Address::parse(&payload.url).filter(|url| matches!(url.scheme(), "http" | "https") && !url.carries_user());
    let url = url.ok_or_else(|| refused("must be an http or https address without user and password"))?;
    if payload.user_id.is_some() {
        if !hosts::is_public(&url) {
            return Err(refused("must be an https address with a public host name, without port"));
        }
        let own = Address::parse(&config.supabase_url);
        if own.is_some_and(|own| own.host() == url.host()) {
            return Err(refused("must not be this project's own"));
        }
    }
    Ok(url)
}

/// Fails if the host has an address of an internal network. The call looks the host up once more, so this is no wall
/// against who answers each look otherwise: SECURITY.md.
async fn check_addresses(ctx: &Ctx, url: &Address) -> Result<(), JobError> {
    let addresses = ctx.http.addresses(url.host().to_owned()).await;
    let addresses = addresses.map_err(|error| JobError::backoff("unresolved", format!("no address: {error}")))?;
    if addresses.iter().all(|address| hosts::is_public_number(address)) {
        return Ok(());
    }
    Err(JobError::never("address_not_allowed", "payload: url leads to an address of an internal network"))
}

/// As other senders do, tries again whatever the answer is, but for 410, which asks to be told no more.
fn refused(job: &Job, refusal: &Refusal) -> Result<Outcome, JobError> {
    let status = refusal.status;
    let told = cut(&detail(&refusal.body), TOLD_MAX_CHARACTERS);
    match (status, refusal.wait()) {
        (429 | 503, Some(wait)) if job.age < DAY => Ok(Outcome::Snoozed {
            delay: wait.clamp(SHORTEST_WAIT, LONGEST_WAIT),
            // It has begun, so that its age goes on.
            checkpoint: job.checkpoint.clone().unwrap_or_else(|| object(Vec::new())),
            progress: None,
        }),
        (300..400, _) => Err(JobError::backoff("redirected", format!("answered {status}: redirects are not followed"))),
        (410, _) => Err(JobError::never("gone", "answered 410: it wants to be told no more").with_told(told)),
        _ => Err(JobError::backoff("refused", format!("answered {status}")).with_told(told)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let env = |name: &str| match name {
            "SUPABASE_URL" => Some("https://ref.supabase.co".to_owned()),
            "SUPABASE_SERVICE_ROLE_KEY" => Some("key".to_owned()),
            _ => None,
        };
        Config::from_env(env).unwrap()
    }

    fn called(url: &str, is_users: bool) -> Option<Address> {
        let payload = Payload { url: url.to_owned(), user_id: is_users.then(|| "user-1".to_owned()), body: Map::new() };
        callable(&config(), &payload).ok()
    }

    fn is_called(url: &str, is_users: bool) -> bool {
        called(url, is_users).is_some()
    }

    #[test]
    fn a_users_address_is_public_and_an_operators_any() {
        for url in ["https://example.com", "https://hooks.example.co.uk/a?b=c#d", "https://xn--bcher-kva.example.com/"]
        {
            assert!(is_called(url, true) && is_called(url, false), "{url}");
        }
        for url in
            ["http://localhost:3000/", "https://10.0.0.1/", "http://[::1]/", "https://ref.supabase.co/functions/v1/a"]
        {
            assert!(!is_called(url, true) && is_called(url, false), "{url}");
        }
        for url in ["ftp://example.com/", "https://u@example.com", "javascript:alert(1)", "/hook", "", "https://"] {
            assert!(!is_called(url, false), "{url}");
        }
    }

    /// One host in the spellings of numbers.
    fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
        let all = u32::from_be_bytes([a, b, c, d]);
        let (low, middle) = (all & 0xff_ffff, all & 0xffff);
        let mut hosts = vec![
            format!("{a}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.{d}."),
            format!("{all}"),
            format!("{all:#x}"),
            format!("{all:#X}"),
            format!("0{all:o}"),
            format!("{a}.{low}"),
            format!("{a}.{b}.{middle}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("00{a:03o}.{b}.{c}.{d}"),
            format!("{a:#x}.{low}"),
            format!("{a}。{b}。{c}。{d}"),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[::{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
            format!("[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1]"),
            format!("%{:02x}{}.{b}.{c}.{d}", b'0' + a / 100, a % 100),
        ];
        let wide = format!("{a}.{b}.{c}.{d}").chars().map(|it| char::from_u32(0xfee0 + it as u32).unwrap()).collect();
        hosts.push(wide);
        hosts
    }

    const DRESSES: [fn(&str) -> String; 36] = [
        |host| format!("https://{host}"),
        |host| format!("https://{host}/"),
        |host| format!("https://{host}/hook?a=b#c"),
        |host| format!("https://{host}?x"),
        |host| format!("https://{host}#x"),
        |host| format!("https://{host}:443/"),
        |host| format!("https://{host}:8443/"),
        |host| format!("https://{host}:00443/"),
        |host| format!("HTTPS://{host}/"),
        |host| format!(" https://{host}/"),
        |host| format!("https://{host}/ "),
        |host| format!("https:/{host}/"),
        |host| format!("https:{host}"),
        |host| format!("https:\\\\{host}\\"),
        |host| format!("https:///{host}/"),
        |host| format!("https://\t{host}/"),
        |host| format!("ht\ntps://{host}/"),
        |host| format!("https://{host}\r\n/"),
        |host| format!("https://example.com@{host}/"),
        |host| format!("https://example.com:x@{host}/"),
        |host| format!("https://example.com\\@{host}/"),
        |host| format!("https://@{host}/"),
        |host| format!("https://example.com%40{host}/"),
        |host| format!("https://a@b@{host}/"),
        |host| format!("http://{host}/"),
        |host| format!("http://example.com@{host}:80/"),
        |host| format!("ftp://{host}/"),
        |host| format!("ws://{host}/"),
        |host| format!("file://{host}/"),
        |host| format!("gopher://{host}/"),
        |host| format!("blob:https://{host}/"),
        |host| format!("https://{host}\0/"),
        |host| format!("//{host}/"),
        |host| format!("https://{host}\\.example.com/"),
        |host| format!("https://{host}/@example.com"),
        |host| format!("https://{host}/../../example.com"),
    ];

    /// Hosts of internal networks in every spelling, dressed up in every way: none is called for a user.
    #[test]
    fn nothing_hostile_gets_through() {
        let numbers = [
            [127, 0, 0, 1],
            [10, 0, 0, 1],
            [172, 16, 0, 1],
            [172, 31, 255, 254],
            [192, 168, 1, 1],
            [169, 254, 169, 254],
            [100, 64, 0, 1],
            [0, 0, 0, 0],
            [224, 0, 0, 1],
            [255, 255, 255, 255],
            [198, 18, 0, 1],
            [8, 8, 8, 8],
            [127, 1, 2, 3],
            [10, 255, 0, 9],
            [192, 0, 2, 1],
        ];
        let mut hosts: Vec<String> = Vec::new();
        for number in numbers {
            hosts.extend(spellings(number));
        }
        let names = [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "router.lan",
            "intranet",
            "a.home.arpa",
            "a.corp",
            "host.docker.internal",
            "kubernetes.default.svc.cluster.local",
            "ｌocalhost",
            "loc\u{ad}alhost",
            "foo.localdomain",
            "a.b.onion",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "db",
            "ref.supabase.co",
            "REF.Supabase.co",
            "ref%2esupabase.co",
            "１.１.１.１",
        ];
        hosts.extend(names.map(str::to_owned));
        let mut tried = 0;
        for host in &hosts {
            for dress in DRESSES {
                let url = dress(host);
                let called = called(&url, true);
                assert!(called.is_none_or(|called| called.host() == "example.com"), "{url:?}");
                tried += 1;
            }
        }
        assert!(tried >= 10_000, "only {tried}");
    }
}
