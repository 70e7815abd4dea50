//! Hostile requests: nothing gets through that is not its user's and well-formed, and nothing ends in an error of ours.

use std::collections::BTreeMap;

use fastrand::Rng;
use process_jobs::fields::Fields;
use process_jobs::models::request::{ImageRequest, Request};
use reqwest::Url;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{ANOTHER, ME, code, hosted, session_of};

const REQUESTS: usize = 10_000;
const ADDRESSES: usize = 20_000;
const OBJECTS: &str = "
    insert into storage.objects (bucket_id, name, owner_id) values
        ('closed', 'mine.png', '00000000-0000-4000-8000-000000000001'), ('closed', 'a/my photo.png', '00000000-0000-4000-8000-000000000001'),
        ('closed', 'theirs.png', '00000000-0000-4000-8000-000000000002'), ('closed', 'a/theirs.png', '00000000-0000-4000-8000-000000000002'),
        ('closed', 'nobodys.png', null)";
const MINE: [&str; 2] = ["closed/mine.png", "closed/a/my%20photo.png"];

const STARTS: &[&str] = &[
    "https://p.supabase.co/storage/v1/object/closed/mine.png",
    "https://p.supabase.co/storage/v1/object/authenticated/closed/a/my%20photo.png",
    "https://p.supabase.co/storage/v1/object/sign/closed/mine.png?token=a.b.c",
    "https://p.supabase.co/storage/v1/object/public/open/any.png",
    "https://p.supabase.co/storage/v1/object/closed/theirs.png",
    "https://p.supabase.co/storage/v1/object/authenticated/closed/a/theirs.png",
    "https://p.supabase.co/storage/v1/object/sign/closed/theirs.png?token=x",
    "https://p.supabase.co/storage/v1/object/public/closed/theirs.png",
    "https://p.supabase.co/storage/v1/object/closed/nobodys.png",
    "http://127.0.0.1:54321/storage/v1/object/closed/mine.png",
    "http://localhost/storage/v1/object/closed/theirs.png",
    "http://kong:8000/storage/v1/object/public/closed/theirs.png",
    "https://pictures.example/a/b%20c.png?width=1&height=2",
    "https://pictures.example",
    "http://pictures.example/a.png",
    "data:image/png;base64,AAAA",
];
const PARTS: &[&str] = &[
    "\t",
    "\n",
    "\r",
    " ",
    "\\",
    "/",
    "//",
    "./",
    "../",
    "/..",
    "/.",
    "%2e%2e/",
    "%2E/",
    "..%2f",
    "%2f",
    "%5C",
    "%252f",
    "%00",
    "%0a",
    "%25",
    "%",
    "@",
    "u:p@",
    "#",
    "?",
    ";",
    ":",
    ":443",
    ":80",
    ":0",
    "closed/theirs.png",
    "theirs.png",
    "storage/v1/object/",
    "object/",
    "sign/",
    "public/",
    "authenticated/",
    "%73",
    "%74heirs",
    "\u{3002}",
    "\u{ff0e}",
    "\u{ff0f}",
    "\u{131}",
    "\u{212a}",
    "\u{ad}",
    "\u{200b}",
    "\u{202e}",
    "[",
    "]",
    "{",
    "|",
    "^",
    "`",
    "\"",
    "<",
    "'",
    "--",
    "$",
    "&",
    "*",
    ",",
    "+",
    "=",
    "~",
    "..",
    ".",
];
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.1",
    "[::1]",
    "[::ffff:7f00:1]",
    "localhost",
    "LOCALHOST",
    "a.localhost",
    "metadata.google.internal",
    "printer.local",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
    "8.8.8.8",
    "localhost.",
    "127.0.0.1.",
    "kong",
    "db",
    "a.0x1",
    "p.supabase.co.",
    "P.SUPABASE.CO",
    "p.supabase.co:443",
    "user@p.supabase.co",
    "pictures.example@127.0.0.1",
    "\u{ff11}27.0.0.1",
    "a..example",
    "",
    "-",
    "a_b.example",
];

/// A spelling of one of the addresses.
fn address(rng: &mut Rng) -> String {
    let mut text: Vec<char> = rng.choice(STARTS).expect("a start").chars().collect();
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..=text.len());
        match rng.u8(..8) {
            0..=2 => drop(text.splice(at..at, rng.choice(PARTS).expect("a part").chars())),
            3 if at < text.len() => drop(text.splice(at..=at, format!("%{:02x}", text[at] as u32).chars())),
            4 if at < text.len() => drop(text.splice(at..=at, format!("%25{:02X}", text[at] as u32).chars())),
            5 if at < text.len() => drop(text.remove(at)),
            6 if at < text.len() => {
                text[at] =
                    if text[at].is_uppercase() { text[at].to_ascii_lowercase() } else { text[at].to_ascii_uppercase() };
            }
            7 => {
                let whole: String = text.iter().collect();
                if let Some((scheme, rest)) = whole.split_once("://") {
                    let path = rest.find('/').map_or("", |at| &rest[at..]);
                    text = format!("{scheme}://{}{path}", rng.choice(HOSTS).expect("a host")).chars().collect();
                }
            }
            _ => {}
        }
    }
    text.into_iter().collect()
}

/// Panics unless a worker that reads this address, with the platform's parser, asks for nothing but what is the user's
/// or anybody's.
fn must_be_theirs(text: &str) {
    let url = Url::parse(text).unwrap_or_else(|error| panic!("taken, though no URL: {text:?}: {error}"));
    assert!(url.username().is_empty() && url.password().is_none(), "{text:?} carries a user");
    assert_eq!(
        url.as_str().trim_end_matches('/'),
        text.to_ascii_lowercase_host().trim_end_matches('/'),
        "{text:?} is read otherwise"
    );
    let host = url.host_str().expect("a host");
    if url.scheme() == "http" {
        assert!(["127.0.0.1", "localhost", "host.docker.internal", "kong"].contains(&host), "{text:?}");
        assert!(url.path().starts_with("/storage/v1/object/"), "{text:?}");
    } else {
        assert_eq!((url.scheme(), url.port()), ("https", None), "{text:?}");
        assert!(url.domain().is_some(), "{text:?} is an address");
        assert!(
            host.contains('.') && ![".localhost", ".local", ".internal"].iter().any(|it| host.ends_with(it)),
            "{text:?}"
        );
    }
    if let Some(object) = url.path().strip_prefix("/storage/v1/object/") {
        if let Some(path) = object.strip_prefix("public/") {
            assert!(path.starts_with("open/"), "{text:?} is in no public bucket");
        } else {
            let path = ["sign/", "authenticated/"].iter().find_map(|kind| object.strip_prefix(kind)).unwrap_or(object);
            assert!(MINE.contains(&path), "{text:?} is not theirs");
        }
    } else {
        let mut decoded = text.to_lowercase();
        for (escape, plain) in [("%2f", "/"), ("%5c", "/"), ("%73", "s"), ("%76", "v"), ("%31", "1"), ("%6f", "o")] {
            decoded = decoded.replace(escape, plain);
        }
        assert!(!decoded.contains("storage/v1"), "{text:?} could be an object");
    }
}

trait Lowercase {
    fn to_ascii_lowercase_host(&self) -> String;
}

impl Lowercase for str {
    /// The standard's spelling of a URL that needs no other change.
    fn to_ascii_lowercase_host(&self) -> String {
        let start = self.find("://").map_or(0, |at| at + 3);
        let end = self[start..].find(['/', '?', '#']).map_or(self.len(), |at| start + at);
        let slash = if self[end..].starts_with('/') { "" } else { "/" };
        // A scheme's own port is left out.
        let host = self[start..end].to_ascii_lowercase();
        let host = if self.starts_with("http:") { host.trim_end_matches(":80").to_owned() } else { host };
        format!("{}{host}{slash}{}", &self[..start], &self[end..])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_spellings_of_addresses() {
    let database = hosted("users_addresses").await;
    let admin = database.session().await;
    admin.batch_execute(OBJECTS).await.expect("objects");
    let verdict = "create function pg_temp.verdict(p_url text) returns text language plpgsql as $$
        begin
            perform process_jobs.check_source_address('00000000-0000-4000-8000-000000000001', p_url, 'source_image_url');
            return 'taken';
        exception when others then return sqlstate;
        end $$";
    admin.batch_execute(verdict).await.expect("a verdict");
    let mut rng = Rng::with_seed(15);
    let addresses: Vec<String> = (0..ADDRESSES).map(|_| address(&mut rng)).collect();
    let query = "select u.url, pg_temp.verdict(u.url) from unnest($1::text[]) u (url)";
    let mut verdicts = BTreeMap::<String, usize>::new();
    for row in admin.query(query, &[&addresses]).await.expect("verdicts") {
        let (url, verdict): (String, String) = (row.get(0), row.get(1));
        if verdict == "taken" {
            must_be_theirs(&url);
        }
        *verdicts.entry(verdict).or_default() += 1;
    }
    println!("{verdicts:?}");
    let known: Vec<&str> = verdicts.keys().map(String::as_str).collect();
    assert_eq!(known, ["22023", "PT403", "taken"], "{verdicts:?}");
    assert!(verdicts["taken"] > ADDRESSES / 20, "{verdicts:?}");
    database.drop().await;
}

const TEXTS: &[&str] = &[
    "a fox",
    "",
    " ",
    "\u{3000}\u{2028}",
    "'; drop table job_queue; --",
    "$$ || (select 1) || $$",
    "\\'; select pg_sleep(9); --",
    "%s %I %L %%",
    "{{7*7}}${7*7}",
    "<script>alert(1)</script>",
    "\r\nSet-Cookie: a=b",
    "\u{202e}txet",
    "e\u{301}\u{301}\u{301}",
    "👩‍👩‍👧‍👦",
    "\u{ffff}\u{10ffff}",
    "null",
    "true",
    "a/b",
    "c/d",
    "../../etc/passwd",
    "k-of-another",
    "00000000-0000-4000-8000-000000000002",
    "png",
    "webp",
    "PNG",
    "\u{feff}png",
    "1e999999",
];
const MODELS: &[&str] = &[
    "a/b",
    "a/b",
    "a/b",
    "a/b",
    "a/b",
    "a/b",
    "c/d",
    "a/b:1111111111111111111111111111111111111111111111111111111111111111",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "A/B",
    "a/b ",
    "a/b\n",
    "\u{430}/b",
    "a//b",
    "a/b/../c",
    "",
    "a",
    "a/b:latest",
];
const NAMES: &[&str] = &[
    "negative_prompt",
    "width",
    "height",
    "num_inference_steps",
    "guidance_scale",
    "seed",
    "output_format",
    "num_outputs",
    "source_image_url",
    "source_image_urls",
    "strength",
    "priority",
    "idempotency_key",
    "idempotency_key",
    "width",
    "seed",
];
const FOREIGN: &[&str] = &[
    "user_id",
    "generation_id",
    "model_version",
    "published_schema",
    "model_id",
    "prompt",
    "job_type",
    "max_attempts",
    "unique_key",
    "notify_url",
    "__proto__",
    "",
    "Width",
    "\u{ff57}idth",
    "width ",
    "p_options",
    "created_by",
    "'; --",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "512",
    "1024",
    "1024.0",
    "2048",
    "16384",
    "16385",
    "-1",
    "-0",
    "0.5",
    "1.5",
    "1e3",
    "1e-300",
    "1e400",
    "-1e400",
    "1e100000",
    "4294967295",
    "4294967296",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "10",
    "11",
    "0.99999999999999999999999999",
];

/// The text of a JSON value, well-formed as such.
fn value(rng: &mut Rng, name: &str) -> String {
    let text = |rng: &mut Rng| Value::from(*rng.choice(TEXTS).expect("a text")).to_string();
    match (rng.u8(..20), name) {
        (0..=11, "source_image_url") => Value::from(address(rng)).to_string(),
        (0..=11, "source_image_urls") => {
            Value::from((0..rng.usize(..23)).map(|_| address(rng)).collect::<Vec<_>>()).to_string()
        }
        (0..=11, "output_format" | "negative_prompt") => text(rng),
        (0..=11, "idempotency_key") => format!("\"k-{}\"", rng.u8(..)),
        (0..=13, _) => (*rng.choice(NUMBERS).expect("a number")).to_owned(),
        (14, _) => text(rng),
        (15, _) => {
            ["null", "true", "false", "[]", "{}", "[null]", "[[[]]]", "\"\\ud83d\\ude00\""][rng.usize(..8)].to_owned()
        }
        (16, _) => {
            let depth = rng.usize(..200);
            format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
        }
        (17, _) => format!("\"{}\"", "x".repeat(rng.usize(..5000))),
        (18, _) => format!("{{\"{name}\": {}}}", rng.choice(NUMBERS).expect("a number")),
        _ => format!("[{}]", vec!["0"; rng.usize(1..50)].join(",")),
    }
}

fn options(rng: &mut Rng) -> String {
    match rng.u8(..60) {
        0 => return ["[]", "1", "\"a\"", "true", "null", "[{}]"][rng.usize(..6)].to_owned(),
        1 => return format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
        2 => return format!("{{\"width\": {}}}", "9".repeat(rng.usize(1..100_000))),
        _ => {}
    }
    let fields = (0..rng.usize(..4)).map(|_| {
        let name = if rng.u8(..12) == 0 { rng.choice(FOREIGN) } else { rng.choice(NAMES) }.expect("a name");
        format!("{}: {}", Value::from(*name), value(rng, name))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// One request, cancel or retry of what is known of another user: `taken`, or the SQLSTATE.
async fn ask(client: &Client, rng: &mut Rng, theirs: &str) -> String {
    let answer = match rng.u8(..20) {
        0 => client.query_one("select cancel_generation($1)::text", &[&theirs]).await,
        1 => client.query_one("select retry_generation($1)::text", &[&theirs]).await,
        2 => {
            client
                .query_one(
                    "select retry_generation($1)::text",
                    rng.choice(TEXTS).map(|it| [it as _]).as_ref().expect("a text"),
                )
                .await
        }
        _ => {
            let prompt = rng.choice(TEXTS).expect("a prompt");
            let model = rng.choice(MODELS).expect("a model");
            let options = options(rng);
            client
                .query_one(
                    "select request_generation($1, $2, $3::text::jsonb) ->> 'status'",
                    &[prompt, model, &options],
                )
                .await
        }
    };
    match answer {
        Ok(row) if row.get::<_, Option<&str>>(0) == Some("false") => "false".to_owned(),
        Ok(_) => "taken".to_owned(),
        Err(error) => code(&error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests() {
    let database = hosted("users_hostile").await;
    let admin = database.session().await;
    admin.batch_execute(OBJECTS).await.expect("objects");
    let limits = "insert into user_limits (applies_to, allowed_models, max_pixels, max_outputs, max_priority) values ('all', '{a/b}', 2097152, 4, 512)";
    admin.batch_execute(limits).await.expect("limits");
    let request = "select request_generation('a dog', 'a/b', '{\"idempotency_key\": \"k-1\"}') ->> 'id'";
    let theirs: String = session_of(&database, ANOTHER).await.query_one(request, &[]).await.expect("theirs").get(0);
    admin.batch_execute("update job_queue set status = 'failed', error_message = 'no'").await.expect("it failed");
    let untouched = "select string_agg(to_jsonb(j)::text, '') || string_agg(to_jsonb(g)::text, '')
        from job_queue j join image_generations g on g.id = j.payload ->> 'generation_id' where g.user_id = $1";
    let before: String = admin.query_one(untouched, &[&ANOTHER]).await.expect("theirs").get(0);

    let client = session_of(&database, ME).await;
    let mut rng = Rng::with_seed(15);
    let mut answers = BTreeMap::<String, usize>::new();
    for _ in 0..REQUESTS {
        *answers.entry(ask(&client, &mut rng, &theirs).await).or_default() += 1;
    }
    println!("{answers:?}");
    let known: Vec<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(known, ["22023", "PT403", "PT409", "false", "taken"], "{answers:?}");
    assert!(answers["taken"] > REQUESTS / 20 && answers["false"] > 500, "{answers:?}");

    let after: String = admin.query_one(untouched, &[&ANOTHER]).await.expect("theirs").get(0);
    assert_eq!(after, before, "nothing of another user's has changed");
    let mut made = 0;
    let jobs = "select j.payload, j.priority, j.status, j.max_attempts, j.job_type, g.user_id from job_queue j
        left join image_generations g on g.id = j.payload ->> 'generation_id' where g.user_id is distinct from $1";
    for row in admin.query(jobs, &[&ANOTHER]).await.expect("jobs") {
        let (payload, priority): (Value, i32) = (row.get(0), row.get(1));
        assert_eq!((row.get("status"), row.get("max_attempts"), row.get("job_type")), ("pending", 3, "generate-image"));
        assert_eq!((payload["user_id"].as_str(), row.get("user_id")), (Some(ME), Some(ME)), "{payload}");
        assert_eq!(payload["model_id"], "a/b");
        assert!(priority <= 512, "{priority}");
        let fields = Fields::of("payload", &payload).expect("an object");
        let request = ImageRequest::read(&fields).and_then(|fields| Request::new(fields, 1));
        let request = request.unwrap_or_else(|error| panic!("a worker refuses it: {error}: {payload}"));
        let pixels = request.width.unwrap_or(1024) * request.height.unwrap_or(1024);
        assert!(pixels <= 2_097_152 && request.num_outputs.unwrap_or(1) <= 4, "{payload}");
        request.sources.iter().for_each(|source| must_be_theirs(source));
        let is_known = |name: &String| {
            NAMES[..11].contains(&name.as_str())
                || ["prompt", "model_id", "user_id", "generation_id"].contains(&name.as_str())
        };
        assert!(payload.as_object().expect("an object").keys().all(is_known), "{payload}");
        made += 1;
    }
    assert!(made > REQUESTS / 20, "{made} jobs were made");
    let others = "select count(*) from process_jobs.requests where user_id <> all ($1)";
    let others: i64 = admin.query_one(others, &[&[ME, ANOTHER].as_slice()]).await.expect("requests").get(0);
    assert_eq!(others, 0);
    let places: i64 =
        admin.query_one("select count(*) from process_jobs.misplaced_jobs()", &[]).await.expect("places").get(0);
    assert_eq!(places, 0);
    database.drop().await;
}
