//! Conversations: what the worker says and what it hears, line by line, with time moved by hand.
//!
//! A script in `tests/conversations/*.txt` reads like this:
//!
//! ```text
//! # a comment
//! env POLL_INTERVAL_MS=1000            a setting, over those of `environment`
//! drain                                what is done: a drain, or `request METHOD PATH [header=value …] [body]`
//! > POST /rest/v1/rpc/claim_next_job {…}    a request that must come next; its JSON body must be equal, but for
//!                                      the job types and the worker that a claim tells of, and, unless the
//!                                      script says it, the token that names a claim: the first is `…000000000001`
//! >> cancel-after: 600s                    a header it must carry
//! < 200 [{…}]                         the answer; claimed jobs are filled up from `claimed`
//! < 200 content-length=5 image/png picture.png    an answer with headers whose body is a file of tests/fixtures
//! < lost                               no answer: the connection broke
//! < after 70s 200 true                 the answer, so much later
//! * drain finished: …                  an event that must come next
//! = {"processed":1,"errors":0,"snoozed":0}   what the drain or the request came to
//! ```
//!
//! `> DNS example.com` with `< ["10.0.0.1"]` is a look for a host's addresses; one that a script does not have finds a
//! public one. Whether the bucket is there is asked along the way, and answered, where a script does not say it. So is an empty
//! queue: where no other request is to come, a claim gets nothing; nothing will be due but the job parked last.
//!
//! `VERSION` is that of this worker. Paths without a host are those of the Supabase project; `replicate:/…` stands for its API.

use futures_util::future::{FutureExt, LocalBoxFuture};
use process_jobs::config::Config;
use process_jobs::ctx::{self, Clock, Ctx, Ids, Level};
use process_jobs::http::{Body, Http, Incoming, Request, Response, TransportError};
use process_jobs::{drain, handlers, server};
use serde_json::{Value, json};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const SUPABASE: &str = "https://ref.supabase.co";
const REPLICATE: &str = "https://api.replicate.com/v1";

fn environment() -> BTreeMap<String, String> {
    let pairs = [
        ("SUPABASE_URL", SUPABASE),
        ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#),
        ("SUPABASE_SERVICE_ROLE_KEY", "eyJ.service.role"),
        ("PROCESS_JOBS_SECRET", "open-sesame-and-sit-down"),
        ("REPLICATE_API_TOKEN", "r8_token"),
    ];
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A job as it is claimed; scripts name only what matters.
fn claimed(row: &Value) -> Value {
    let mut full = json!({
        "id": "11111111-1111-4111-8111-111111111111", "payload": {}, "status": "processing", "priority": 0,
        "attempt_number": 1, "max_attempts": 3, "checkpoint": null,
        "event": null, "cancel_requested": false,
        "lease_token": "22222222-2222-4222-8222-222222222222", "lease_expires_at": "2026-11-23T10:01:00+00:00",
        "lease_seconds": 60, "life": 1, "created_at": "2026-11-23T10:00:00+00:00", "started_at": "2026-11-23T10:00:00+00:00",
        "age_seconds": 0.0, "search_from": "2026-11-23T09:59:00+00:00", "seconds_until_next": null,
    });
    full.as_object_mut().unwrap().extend(row.as_object().expect("a claimed row is an object").clone());
    full
}

/// Runs the script of a file; panics with the line that was not met.
/// The arguments with which each function was called.
pub type Calls = BTreeMap<String, BTreeSet<String>>;

thread_local! {
    static CALLS: RefCell<Calls> = RefCell::default();
}

/// The calls of all scripts that this thread has run.
pub fn calls() -> Calls {
    CALLS.with_borrow(Calls::clone)
}

pub fn run(path: &Path) {
    run_text(&std::fs::read_to_string(path).unwrap());
}

pub fn run_text(text: &str) {
    let text = text.replace("VERSION", process_jobs::queue::VERSION);
    let mut env = environment();
    let mut action = None;
    let mut lines = VecDeque::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let line_number = number + 1;
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(setting) = line.strip_prefix("env ") {
            let (name, value) = setting.split_once('=').expect("env NAME=value");
            env.insert(name.to_owned(), value.to_owned());
        } else if line == "drain" || line.starts_with("request ") {
            assert!(action.replace(line.to_owned()).is_none(), "line {line_number}: one action a script");
        } else {
            lines.push_back((line_number, line.to_owned()));
        }
    }
    let time = Rc::new(Time::default());
    let script = Rc::new(Script { lines: RefCell::new(lines), time: time.clone(), parked_until: Cell::default() });
    let ctx = Ctx {
        http: Box::new(Network(script.clone())),
        clock: Box::new(MovedClock(time.clone())),
        ids: Box::new(CountedIds::default()),
        log: Box::new(Log(script.clone())),
        notify: Rc::default(),
        bucket_seen: Rc::default(),
        config: Config::from_env(|name| env.get(name).cloned()).unwrap(),
    };
    let action = action.expect("a script says drain or request");
    let result = time.run(async {
        match action.strip_prefix("request ") {
            None => match drain::drain(&ctx, handlers::ALL).await {
                Ok(summary) => serde_json::to_value(summary).unwrap(),
                Err(error) => json!({ "error": error.to_string() }),
            },
            Some(request) => {
                let answer = server::handle(&ctx, &parse_request(request)).await;
                let body = match answer.body.as_str() {
                    "" => Value::Null,
                    text => serde_json::from_str(text).unwrap_or(Value::String(text.to_owned())),
                };
                json!({ "status": answer.status, "body": body, "drain": answer.drain })
            }
        }
    });
    let expected = script.expect("=", &format!("the result {result}"));
    assert_eq!(result, json_of(&expected), "the result");
    assert_eq!(script.lines.borrow().front(), None, "the script goes on");
}

fn parse_request(text: &str) -> server::Request {
    let mut words = text.splitn(3, ' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().expect("a path").to_owned());
    let mut rest = words.next().unwrap_or_default();
    let mut headers = Vec::new();
    while let Some((header, value)) = rest.split_once(' ').unwrap_or((rest, "")).0.split_once('=') {
        if header.starts_with(['{', '[', '"']) {
            break;
        }
        headers.push((header.to_owned(), value.replace('_', " ").replace("~", "_")));
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
    }
    server::Request { method, path, headers, body: rest.to_owned() }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

struct Script {
    lines: RefCell<VecDeque<(usize, String)>>,
    time: Rc<Time>,
    /// When the job that was parked last falls due.
    parked_until: Cell<Option<Duration>>,
}

impl Script {
    /// Takes the next line, which must begin with `mark`, and gives what follows it.
    fn expect(&self, mark: &str, happened: &str) -> String {
        let (number, line) = self.lines.borrow_mut().pop_front().unwrap_or_else(|| panic!("past the end: {happened}"));
        match line.strip_prefix(mark).and_then(|rest| rest.strip_prefix(' ')) {
            Some(rest) => rest.trim().to_owned(),
            None => panic!("line {number}: expected\n  {line}\nbut what came was\n  {mark} {happened}"),
        }
    }

    fn next_is(&self, mark: &str) -> bool {
        self.lines.borrow().front().is_some_and(|(_, line)| line.starts_with(mark))
    }

    /// A host has a public address, unless a script says otherwise.
    fn addresses(&self, host: &str) -> Result<Vec<String>, TransportError> {
        if !self.next_is(&format!("> DNS {host}")) {
            return Ok(vec!["93.184.216.34".to_owned()]);
        }
        self.expect(">", "");
        match self.expect("<", "an answer").as_str() {
            "lost" => Err(TransportError("NotFound: no record found".to_owned())),
            addresses => Ok(serde_json::from_str(addresses).unwrap()),
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, TransportError> {
        let url = request.url.replace(SUPABASE, "").replace(REPLICATE, "replicate:");
        let body = match request.body {
            Body::Empty => String::new(),
            Body::Text(text) => text,
            Body::Stream { content, meter } => {
                let bytes = content.into_any().downcast::<Bytes>().unwrap().0;
                // In chunks, as a body comes, so that the meter can stop it on the way.
                if bytes.chunks(1024).all(|chunk| meter.add(chunk.len() as u64)) {
                    format!("a stream of {} bytes", bytes.len())
                } else {
                    "a stream that was stopped".to_owned()
                }
            }
        };
        if let Some(function) = url.strip_prefix("/rest/v1/rpc/") {
            note_call(function, &body);
        }
        let happened = format!("{} {url} {body}", request.method);
        // The bucket is there, unless a script says otherwise.
        if url.contains("/storage/v1/bucket/") && !self.next_is(&format!("> GET {url}")) {
            return Ok(response("200 {}", ""));
        }
        if url.ends_with("/rest/v1/rpc/claim_next_job") && !self.next_is("> ") {
            return Ok(response("200 []", ""));
        }
        if url.ends_with("/rest/v1/rpc/seconds_until_next_job") && !self.next_is(&format!("> POST {url}")) {
            let left = self.parked_until.get().and_then(|until| until.checked_sub(self.time.now.get()));
            let left = left.filter(|left| !left.is_zero()).map(|left| left.as_secs_f64());
            return Ok(response(&format!("200 {}", json!(left)), ""));
        }
        if url == "/rest/v1/rpc/snooze_job" {
            let delay = json_of(&body)["p_delay_seconds"].as_f64().unwrap_or_default();
            self.parked_until.set(Some(self.time.now.get() + Duration::from_secs_f64(delay)));
        }
        let expected = self.expect(">", &happened);
        let (head, expected_body) = split_request(&expected);
        assert_eq!(head, format!("{} {url}", request.method), "in: {happened}");
        match serde_json::from_str::<Value>(&body) {
            Ok(json) => {
                let expected = json_of(expected_body);
                assert_eq!(spoken(json, &expected), expected, "body of {head}");
            }
            Err(_) => assert_eq!(body, expected_body, "body of {head}"),
        }
        while self.next_is(">>") {
            let expected = self.expect(">>", "");
            let (name, value) = expected.split_once(": ").expect("name: value");
            let found: Vec<&str> =
                request.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
            assert_eq!(found, [value], "header {name} of {head}");
        }
        let answer = self.expect("<", "an answer");
        let answer = match answer.strip_prefix("after ") {
            None => answer,
            Some(rest) => {
                let (seconds, rest) = rest.split_once("s ").expect("after <seconds>s");
                self.time.sleep(Duration::from_secs(seconds.parse().unwrap())).await;
                rest.to_owned()
            }
        };
        if answer == "lost" || body.ends_with("stopped") {
            return Err(TransportError("TypeError: connection lost".to_owned()));
        }
        Ok(response(&answer, head.rsplit('/').next().unwrap_or_default()))
    }
}

fn note_call(function: &str, body: &str) {
    CALLS.with_borrow_mut(|calls| {
        let arguments = calls.entry(function.to_owned()).or_default();
        arguments.extend(json_of(body).as_object().into_iter().flat_map(|body| body.keys().cloned()));
    });
}

/// A body without what is the same in each of its kind: the job types that have a handler, the worker, and that a claim
/// has a name, if the script does not say which.
fn spoken(mut body: Value, expected: &Value) -> Value {
    if let Some(arguments) = body.as_object_mut() {
        arguments.remove("p_job_types");
        arguments.remove("p_worker");
        if arguments.contains_key("p_limit") && expected.get("p_lease_token").is_none() {
            arguments.remove("p_lease_token").expect("a claim has a name");
        }
    }
    body
}

/// `METHOD URL` and the body.
fn split_request(line: &str) -> (&str, &str) {
    let url_at = line.find(' ').expect("METHOD URL") + 1;
    match line[url_at..].find(' ') {
        Some(end) => (&line[..url_at + end], line[url_at + end + 1..].trim()),
        None => (line, ""),
    }
}

fn response(answer: &str, function: &str) -> Response {
    let (status, mut rest) = answer.split_once(' ').unwrap_or((answer, ""));
    let mut headers = Vec::new();
    while let Some((header, after)) = rest.split_once(' ').filter(|(word, _)| word.contains('=') && !word.contains('"'))
    {
        let (name, value) = header.split_once('=').unwrap();
        headers.push((name.to_owned(), value.to_owned()));
        rest = after;
    }
    let body = if let Some(file) = rest.strip_prefix("file ") {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file)).unwrap()
    } else if let Ok(mut answer) = serde_json::from_str::<Value>(rest)
        && matches!(function, "claim_next_job" | "exchange_jobs")
        && status == "200"
    {
        let rows = if answer.is_array() { Some(&mut answer) } else { answer.get_mut("jobs") };
        if let Some(rows) = rows.and_then(Value::as_array_mut) {
            rows.iter_mut().filter(|row| row.is_object()).for_each(|row| *row = claimed(row));
        }
        answer.to_string().into_bytes()
    } else {
        rest.as_bytes().to_vec()
    };
    let header =
        |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value): &(String, String)| value.clone());
    Response {
        status: status.parse().unwrap(),
        content_length: header("content-length").and_then(|length| length.parse().ok()),
        location: header("location"),
        retry_after: header("retry-after"),
        error_code: header("sb-error-code"),
        body: Box::new(Bytes(body)),
    }
}

struct Network(Rc<Script>);

impl Http for Network {
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, TransportError>> {
        self.0.answer(request).boxed_local()
    }

    fn addresses(&self, host: String) -> LocalBoxFuture<'_, Result<Vec<String>, TransportError>> {
        async move { self.0.addresses(&host) }.boxed_local()
    }
}

struct Bytes(Vec<u8>);

impl Incoming for Bytes {
    fn text(self: Box<Self>, _max_bytes: usize) -> LocalBoxFuture<'static, Result<String, TransportError>> {
        async move { Ok(String::from_utf8_lossy(&self.0).into_owned()) }.boxed_local()
    }

    fn peek(&mut self, min_bytes: usize) -> LocalBoxFuture<'_, Result<Vec<u8>, TransportError>> {
        async move { Ok(self.0[..self.0.len().min(min_bytes)].to_vec()) }.boxed_local()
    }

    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, TransportError>> {
        let bytes = std::mem::take(&mut self.0);
        async move { Ok(Some(bytes).filter(|bytes| !bytes.is_empty())) }.boxed_local()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

struct Log(Rc<Script>);

impl ctx::Log for Log {
    fn write(&self, _: Level, line: &str) {
        let line = json_of(line)["message"].as_str().expect("a message").to_owned();
        assert!(!line.contains("red fox") && !line.contains('?'), "a prompt or a query in the log: {line}");
        assert_eq!(self.0.expect("*", &line), line);
    }
}

/// A clock that stands until everything waits, and then jumps to the next thing due.
#[derive(Default)]
struct Time {
    now: Cell<Duration>,
    waiting: RefCell<Vec<(Duration, Waker)>>,
}

struct MovedClock(Rc<Time>);

impl Clock for MovedClock {
    fn now_milliseconds(&self) -> u64 {
        self.0.now.get().as_millis() as u64
    }

    /// As in the vector of `webhook`.
    fn unix_seconds(&self) -> u64 {
        1_614_265_330 + self.0.now.get().as_secs()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.0.clone().sleep(duration)
    }
}

/// Ids in their order.
#[derive(Default)]
struct CountedIds(Cell<u32>);

impl Ids for CountedIds {
    fn uuid(&self) -> String {
        self.0.set(self.0.get() + 1);
        format!("00000000-0000-4000-8000-{:012}", self.0.get())
    }
}

impl Time {
    fn sleep(self: &Rc<Self>, duration: Duration) -> LocalBoxFuture<'static, ()> {
        let (time, due) = (self.clone(), self.now.get() + duration);
        std::future::poll_fn(move |context| {
            if time.now.get() >= due {
                return Poll::Ready(());
            }
            time.waiting.borrow_mut().push((due, context.waker().clone()));
            Poll::Pending
        })
        .boxed_local()
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        struct Ignore;
        impl Wake for Ignore {
            fn wake(self: std::sync::Arc<Self>) {}
        }
        let waker = Waker::from(std::sync::Arc::new(Ignore));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return result;
            }
            let waiting = self.waiting.take();
            let next = waiting.iter().map(|(due, _)| *due).filter(|due| *due > self.now.get()).min();
            self.now.set(next.expect("the worker waits for nothing"));
            let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(due, _)| *due <= self.now.get());
            self.waiting.borrow_mut().extend(later);
            due.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}
