//! The platform: the four ports of [`crate::ctx`] on JavaScript's `fetch`, clock, `crypto` and console, and the functions
//! that the shim calls. Only plain objects cross over: requests and settings in, answers out.

mod fetch;
mod promise;
mod timer;

use crate::config::Config;
use crate::ctx::{Clock, Ctx, Ids, Level, Log};
use crate::json::{self, object};
use crate::log::Entry;
use crate::notify::Notify;
use crate::server::{self, Answer, Request};
use crate::{address, drain, handlers};
use futures_util::future::LocalBoxFuture;
use js_sys::{Object, Promise, Reflect};
use promise::promise;
use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A request as the function sees it; header names in lower case. */
export interface FunctionRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}
/** The answer; with `drain`, call `drain` after it and keep the isolate alive until that is done. */
export interface FunctionAnswer {
  status: number;
  headers: [string, string][];
  body: string;
  drain: boolean;
}
/** Whether a request, its body not read yet, is let in and its body is needed; else the answer. */
export function admit(request: FunctionRequest, env: Record<string, string>): FunctionAnswer | boolean;
export function handle(request: FunctionRequest, env: Record<string, string>): Promise<FunctionAnswer>;
export function drain(env: Record<string, string>): Promise<void>;
export function close(): void;
"#;

thread_local! {
    static NOTIFY: Rc<Notify> = Rc::default();
    static BUCKET_SEEN: Rc<Cell<bool>> = Rc::default();
    /// True while a background drain runs.
    static DRAINING: Cell<bool> = const { Cell::new(false) };
}

#[wasm_bindgen]
extern "C" {
    // Unlike the date, it never decreases.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
    fn random_uuid() -> String;
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(line: &str);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn console_warn(line: &str);
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    fn console_log(line: &str);

    type URL;
    #[wasm_bindgen(constructor, catch)]
    fn new(text: &str, base: Option<&str>) -> Result<URL, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn href(this: &URL) -> String;

    // The interface declared above. serde's readers would add 3 KB, and 7 more for the numbers in their errors.
    pub type FunctionRequest;
    #[wasm_bindgen(method, getter)]
    fn method(this: &FunctionRequest) -> String;
    #[wasm_bindgen(method, getter)]
    fn path(this: &FunctionRequest) -> String;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &FunctionRequest) -> Object;
    #[wasm_bindgen(method, getter)]
    fn body(this: &FunctionRequest) -> String;
}

/// Sets the platform's URL parser; logs a panic's message before the trap ends everything.
#[wasm_bindgen(start)]
fn start() {
    address::read_by(|text, base| URL::new(text, base).ok().map(|url| url.href()));
    std::panic::set_hook(Box::new(|panic| {
        console_error(&json::text(&object(vec![("level", "error".into()), ("message", panic.to_string().into())])));
    }));
}

/// Returns whether the admitted request's body is needed, or the answer.
#[wasm_bindgen(skip_typescript)]
pub fn admit(request: FunctionRequest, env: JsValue) -> Result<JsValue, JsValue> {
    let admitted = context(&env).map_err(|message| Answer::error(500, &message));
    match admitted.and_then(|ctx| server::admit(&ctx, &read(&request))) {
        Ok(needs_body) => Ok(needs_body.into()),
        Err(answer) => written(&answer),
    }
}

/// Answers one request. An invalid setting is a 500 whose sentence names it.
#[wasm_bindgen(skip_typescript)]
pub fn handle(request: FunctionRequest, env: JsValue) -> Promise {
    let request = read(&request);
    promise(async move {
        let answer = match context(&env) {
            Ok(ctx) => server::handle(&ctx, &request).await,
            Err(message) => Answer::error(500, &message),
        };
        written(&answer)
    })
}

fn read(request: &FunctionRequest) -> Request {
    let headers = Object::entries(&request.headers()).iter().map(|entry| pair(&entry)).collect();
    Request { method: request.method(), path: request.path(), headers, body: request.body() }
}

fn written(answer: &Answer) -> Result<JsValue, JsValue> {
    Ok(answer.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

/// Drains the queue and logs the result. One background drain runs at a time: it is notified of this call, and another
/// follows only if it could claim no more.
#[wasm_bindgen(skip_typescript)]
pub fn drain(env: JsValue) -> Promise {
    promise(async move {
        let Ok(ctx) = context(&env) else { return Ok(JsValue::UNDEFINED) };
        ctx.notify.notify();
        if !DRAINING.replace(true) {
            // The drain has logged its failure, and nobody waits for this answer.
            while ctx.notify.take() && drain::drain(&ctx, handlers::ALL).await.is_ok() {}
            DRAINING.set(false);
        }
        Ok(JsValue::UNDEFINED)
    })
}

/// The platform is about to end the isolate: nothing more is begun, and current runs go on.
#[wasm_bindgen(skip_typescript)]
pub fn close() {
    NOTIFY.with(|notify| notify.close());
}

/// A header from JavaScript's list of entries.
fn pair(entry: &JsValue) -> (String, String) {
    let text = |index| Reflect::get_u32(entry, index).ok().and_then(|text| text.as_string()).unwrap_or_default();
    (text(0), text(1))
}

fn context(env: &JsValue) -> Result<Ctx, String> {
    match Config::from_env(|name| Reflect::get(env, &name.into()).ok()?.as_string()) {
        Ok(config) => Ok(Ctx {
            http: Box::new(fetch::Fetch),
            clock: Box::new(JsClock),
            ids: Box::new(Crypto),
            log: Box::new(Console),
            notify: NOTIFY.with(Rc::clone),
            bucket_seen: BUCKET_SEEN.with(Rc::clone),
            config,
        }),
        Err(message) => {
            let entry = Entry::DrainFailed { message: &message };
            Console.write(entry.level(), &entry.to_json());
            Err(message)
        }
    }
}

struct JsClock;

impl Clock for JsClock {
    fn now_milliseconds(&self) -> u64 {
        performance_now() as u64
    }

    fn unix_seconds(&self) -> u64 {
        (date_now() / 1000.0) as u64
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        timer::sleep(duration)
    }
}

struct Crypto;

impl Ids for Crypto {
    fn uuid(&self) -> String {
        random_uuid()
    }
}

struct Console;

impl Log for Console {
    fn write(&self, level: Level, line: &str) {
        match level {
            Level::Info => console_log(line),
            Level::Warning => console_warn(line),
            Level::Error => console_error(line),
        }
    }
}
