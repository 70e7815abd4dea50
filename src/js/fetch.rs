//! The network port on `fetch`.
//!
//! A streamed body is not copied into wasm memory (which cannot shrink), except its first bytes: it is a new
//! `ReadableStream` that hands on the chunks of the old one. Answers read as text or in chunks are copied. A short body
//! is read in one step and sent whole: a stream costs as much CPU as a request.
//!
//! That stream is never ended with an error: some versions of the platform report an error that nobody reads to the
//! whole isolate, which ends it. If a download breaks off, it aborts the upload itself, with the reason.

use super::promise::promise;
use super::timer::Timer;
use crate::http::{Body, Http, Incoming, Meter, Request, Response, TransportError};
use crate::json::{self, object};
use crate::text::cleaned;
use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Array, JSON, Object, Promise, Reflect, Uint8Array};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, ReadableStream, ReadableStreamDefaultController, ReadableStreamDefaultReader,
};

#[wasm_bindgen]
extern "C" {
    // There is no `window` here, only the global `fetch`.
    #[wasm_bindgen(js_name = fetch)]
    fn global_fetch(url: &str, init: &Init) -> Promise;

    #[wasm_bindgen(js_namespace = Deno, js_name = resolveDns, catch)]
    fn resolve_dns(host: &str, kind: &str) -> Result<Promise, JsValue>;

    type Init;
    #[wasm_bindgen(method, setter)]
    fn set_signal(this: &Init, signal: &AbortSignal);
    #[wasm_bindgen(method, setter)]
    fn set_body(this: &Init, body: &JsValue);
    #[wasm_bindgen(method, setter)]
    fn set_duplex(this: &Init, duplex: &str);

    /// The result of a reader's `read`.
    type Read;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Read) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Read) -> Uint8Array;
}

/// Bodies that announce at most this length, and are not compressed, are read in one step.
const SHORT_BYTES: u64 = 64 * 1024;

pub struct Fetch;

impl Http for Fetch {
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, TransportError>> {
        send(request).boxed_local()
    }

    fn addresses(&self, host: String) -> LocalBoxFuture<'_, Result<Vec<String>, TransportError>> {
        addresses(host).boxed_local()
    }
}

async fn addresses(host: String) -> Result<Vec<String>, TransportError> {
    let mut found = Vec::new();
    let mut missing = failure("the name has no address");
    for kind in ["A", "AAAA"] {
        // It throws where the name has none of this kind.
        let looked_up = async { JsFuture::from(resolve_dns(&host, kind)?).await };
        match looked_up.await {
            Ok(addresses) => found.extend(Array::from(&addresses).iter().filter_map(|address| address.as_string())),
            Err(thrown) => missing = error(thrown),
        }
    }
    if found.is_empty() { Err(missing) } else { Ok(found) }
}

async fn send(request: Request) -> Result<Response, TransportError> {
    let mut abort = Abort::after(request.timeout)?;
    let headers = object(request.headers.iter().map(|(name, value)| (&**name, value.as_str().into())).collect());
    // As one JSON text, because each text costs a call into JavaScript.
    let init = object(vec![("method", request.method.into()), ("headers", headers), ("redirect", "manual".into())]);
    let init: Init = JSON::parse(&json::text(&init)).map_err(error)?.unchecked_into();
    init.set_signal(&abort.request.controller.signal());
    match request.body {
        Body::Empty => {}
        Body::Text(text) => init.set_body(&text.into()),
        Body::Stream { content, meter } => {
            let content = content.into_any().downcast::<Content>().map_err(|_| failure("a body of another port"))?;
            if let Some(whole) = content.whole(&meter) {
                init.set_body(&whole);
            } else {
                abort.source = Some(content.abort.request.clone());
                init.set_body(stream(*content, meter, abort.request.controller.clone())?.as_ref());
                init.set_duplex("half");
            }
        }
    }
    let answer = JsFuture::from(global_fetch(&request.url, &init)).await.map_err(|thrown| abort.explain(thrown))?;
    let answer: web_sys::Response = answer.unchecked_into();
    let (status, all) = (answer.status(), answer.headers());
    if (200..300).contains(&status) && abort.source.as_ref().is_some_and(|source| !source.ended.get()) {
        return Err(failure(&format!("answered {status} before all was sent")));
    }
    // Each header costs a call into JavaScript and back.
    let header = |name: &str| all.get(name).map_err(error);
    let content_length: Option<u64> = header("content-length")?.and_then(|length| length.parse().ok());
    let is_success = (200..300).contains(&status);
    let location = if is_success { None } else { header("location")? };
    let retry_after = if is_success { None } else { header("retry-after")? };
    let error_code = if is_success { None } else { header("sb-error-code")? };
    // Some versions of the platform decompress a body but keep its original headers.
    let is_packed = all.has("content-encoding").map_err(error)?;
    let is_short = content_length.is_some_and(|length| length <= SHORT_BYTES) && !is_packed;
    let body = answer.body();
    abort.request.ended.set(body.is_none());
    let reader = body.filter(|_| !is_short).map(|body| body.get_reader().unchecked_into());
    let content = Content { answer, reader, head: Vec::new(), head_bytes: 0, abort };
    Ok(Response { status, content_length, location, retry_after, error_code, body: Box::new(content) })
}

/// A request under way.
#[derive(Clone)]
struct Underway {
    controller: AbortController,
    /// The answer was read to its end: aborting it is needless and would cost an exception.
    ended: Rc<Cell<bool>>,
}

impl Underway {
    fn end(&self) {
        if !self.ended.replace(true) {
            self.controller.abort();
        }
    }
}

/// Aborts the request when its time is over or nobody waits for it any more.
struct Abort {
    request: Underway,
    /// The download that this request streams; it ends with the request.
    source: Option<Underway>,
    timer: Option<Timer>,
    timeout: Duration,
}

impl Abort {
    fn after(timeout: Duration) -> Result<Abort, TransportError> {
        let controller = AbortController::new().map_err(error)?;
        let timer = Timer::after(timeout, {
            let controller = controller.clone();
            move || controller.abort()
        });
        let request = Underway { controller, ended: Rc::default() };
        Ok(Abort { request, source: None, timer: Some(timer), timeout })
    }

    /// The error for a thrown value: the reason of an abort, a time-out, or the exception.
    fn explain(&self, thrown: JsValue) -> TransportError {
        match thrown.as_string() {
            Some(why) => failure(&why),
            None if self.request.controller.signal().aborted() => {
                failure(&format!("no answer within {} ms", self.timeout.as_millis()))
            }
            None => error(thrown),
        }
    }

    /// From here on only the end of the body's use ends the request.
    fn disarm_timer(&mut self) {
        self.timer = None;
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.timer = None;
        self.request.end();
        if let Some(source) = &self.source {
            source.end();
        }
    }
}

/// An answer's body: the chunks read so far, then the rest.
struct Content {
    answer: web_sys::Response,
    /// `None` if there is no body, or a short one.
    reader: Option<ReadableStreamDefaultReader>,
    head: Vec<Uint8Array>,
    /// The bytes of all chunks read ahead.
    head_bytes: usize,
    abort: Abort,
}

impl Content {
    /// Reads the next chunk; of a short body, the whole.
    async fn read(&mut self) -> Result<Option<Uint8Array>, TransportError> {
        if self.abort.request.ended.get() {
            return Ok(None);
        }
        let Some(reader) = &self.reader else {
            let whole = self.answer.array_buffer().map_err(error)?;
            let whole = JsFuture::from(whole).await.map_err(|thrown| self.abort.explain(thrown))?;
            self.abort.request.ended.set(true);
            return Ok(Some(Uint8Array::new(&whole)));
        };
        let read = JsFuture::from(reader.read()).await.map_err(|thrown| self.abort.explain(thrown))?;
        let read: Read = read.unchecked_into();
        if read.done() {
            self.abort.request.ended.set(true);
            return Ok(None);
        }
        Ok(Some(read.value()))
    }

    /// Reads and keeps the next chunk; false at the end.
    async fn read_ahead(&mut self) -> Result<bool, TransportError> {
        let Some(chunk) = self.read().await? else { return Ok(false) };
        self.head_bytes += chunk.length() as usize;
        self.head.push(chunk);
        Ok(true)
    }

    /// The next chunk to hand on, beginning with those read ahead.
    async fn next(&mut self) -> Result<Option<Uint8Array>, TransportError> {
        if self.head.is_empty() { self.read().await } else { Ok(Some(self.head.remove(0))) }
    }

    /// The body if it has been read to its end and is within the limit: it needs no stream.
    fn whole(&self, meter: &Meter) -> Option<Uint8Array> {
        if !self.abort.request.ended.get() || !meter.add(self.head_bytes as u64) {
            return None;
        }
        if let [whole] = self.head.as_slice() {
            return Some(whole.clone());
        }
        let whole = Uint8Array::new_with_length(self.head_bytes as u32);
        let mut offset = 0;
        for chunk in &self.head {
            whole.set(chunk, offset);
            offset += chunk.length();
        }
        Some(whole)
    }

    fn head_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head_bytes);
        for chunk in &self.head {
            bytes.extend(chunk.to_vec());
        }
        bytes
    }
}

impl Incoming for Content {
    fn text(mut self: Box<Self>, max_bytes: usize) -> LocalBoxFuture<'static, Result<String, TransportError>> {
        async move {
            while self.read_ahead().await? {
                if self.head_bytes > max_bytes {
                    return Err(failure(&format!("the answer is larger than {max_bytes} bytes")));
                }
            }
            Ok(String::from_utf8_lossy(&self.head_to_vec()).into_owned())
        }
        .boxed_local()
    }

    fn peek(&mut self, min_bytes: usize) -> LocalBoxFuture<'_, Result<Vec<u8>, TransportError>> {
        async move {
            while self.head_bytes < min_bytes && self.read_ahead().await? {}
            Ok(self.head_to_vec())
        }
        .boxed_local()
    }

    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, TransportError>> {
        async move { Ok(self.next().await?.map(|chunk| chunk.to_vec())) }.boxed_local()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A `ReadableStream` over a body that counts its bytes. If the body breaks off or exceeds the limit, it aborts the
/// upload.
///
/// During a pull the content is taken out; otherwise a cancel drops it, which also ends the download. The closures
/// belong to the stream and are freed with it.
fn stream(mut content: Content, meter: Meter, upload: AbortController) -> Result<ReadableStream, TransportError> {
    content.abort.disarm_timer();
    let content = Rc::new(RefCell::new(Some(content)));
    let cancelled = content.clone();
    let pull = move |controller: ReadableStreamDefaultController| {
        let (content, meter, upload) = (content.clone(), meter.clone(), upload.clone());
        promise(async move {
            let Some(mut body) = content.take() else { return Ok(JsValue::UNDEFINED) };
            match body.next().await {
                Ok(Some(chunk)) if meter.add(u64::from(chunk.length())) => {
                    // A cancelled stream takes no more chunks.
                    if controller.enqueue_with_chunk(&chunk).is_ok() {
                        content.replace(Some(body));
                    }
                }
                Ok(Some(_)) => upload.abort_with_reason(&"too many bytes".into()),
                Ok(None) => drop(controller.close()),
                Err(TransportError(message)) => {
                    upload.abort_with_reason(&format!("download broke off: {message}").into());
                }
            }
            Ok(JsValue::UNDEFINED)
        })
    };
    let cancel = move || drop(cancelled.take());
    let pull = Closure::<dyn FnMut(ReadableStreamDefaultController) -> Promise>::new(pull).into_js_value();
    let cancel = Closure::<dyn FnMut()>::new(cancel).into_js_value();
    let source = Object::new();
    Reflect::set(&source, &"pull".into(), &pull).map_err(error)?;
    Reflect::set(&source, &"cancel".into(), &cancel).map_err(error)?;
    ReadableStream::new_with_underlying_source(&source).map_err(error)
}

/// Puts the error's name first, because texts differ between versions of the platform.
fn error(thrown: JsValue) -> TransportError {
    let part = |key: &str| Reflect::get(&thrown, &key.into()).ok().and_then(|value| value.as_string());
    match (part("name"), part("message")) {
        // URLs in the message may be signed.
        (Some(name), Some(message)) => failure(&cleaned(&format!("{name}: {message}"))),
        _ => failure("what was thrown is no error"),
    }
}

fn failure(message: &str) -> TransportError {
    TransportError(message.to_owned())
}
