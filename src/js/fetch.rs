//! The network port on `fetch`.
//!
//! A body is never copied into wasm memory (which cannot shrink) but for its first bytes and for
//! answers read as text: a streamed body is a new `ReadableStream` that hands on the chunks of the
//! old one as they are. A short one is read in one step and sent as it is: a stream costs as much CPU
//! as a request.
//!
//! That stream is never made an error of: some versions of the platform tell an error that nobody reads any
//! more to the whole isolate, which it ends. A download that breaks off ends the upload itself, and says why.

use super::promise;
use super::timer::Timer;
use crate::ctx::{Body, Http, Incoming, Meter, Request, Response, TransportError};
use crate::error::cleaned;
use crate::json::{self, object};
use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{JSON, Object, Promise, Reflect, Uint8Array};
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
    // There is no `window` here, so the global one.
    #[wasm_bindgen(js_name = fetch)]
    fn global_fetch(url: &str, init: &Init) -> Promise;

    type Init;
    #[wasm_bindgen(method, setter)]
    fn set_signal(this: &Init, signal: &AbortSignal);
    #[wasm_bindgen(method, setter)]
    fn set_body(this: &Init, body: &JsValue);
    #[wasm_bindgen(method, setter)]
    fn set_duplex(this: &Init, duplex: &str);

    /// What a reader's `read` comes to.
    type Read;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Read) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Read) -> Uint8Array;
}

/// The headers that anybody asks for, of an answer that is a success and of another; each costs a way into
/// JavaScript and back.
const HEADERS_OF_SUCCESS: &[&str] = &["content-length"];
const HEADERS_OF_OTHERS: &[&str] = &["content-length", "location", "retry-after"];
/// Bodies that announce no more than this, and are not packed, are read in one step.
const SHORT_BYTES: usize = 64 * 1024;

pub struct Fetch;

impl Http for Fetch {
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, TransportError>> {
        send(request).boxed_local()
    }
}

async fn send(request: Request) -> Result<Response, TransportError> {
    let mut abort = Abort::after(request.timeout)?;
    let headers = object(request.headers.iter().map(|(name, value)| (&**name, value.as_str().into())).collect());
    // In one piece: each text costs a way into JavaScript.
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
    let mut headers = Vec::new();
    for name in if (200..300).contains(&status) { HEADERS_OF_SUCCESS } else { HEADERS_OF_OTHERS } {
        let value = all.get(name).map_err(error)?;
        headers.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    let length = headers.iter().find_map(|(name, value)| value.parse().ok().filter(|_| name == "content-length"));
    // Some versions of the platform unpack a body and leave it the headers of the packed one.
    let is_packed = all.has("content-encoding").map_err(error)?;
    let is_short = length.is_some_and(|length: usize| length <= SHORT_BYTES) && !is_packed;
    let body = answer.body();
    abort.request.ended.set(body.is_none());
    let reader = body.filter(|_| !is_short).map(|body| body.get_reader().unchecked_into());
    let content = Content { answer, reader, head: Vec::new(), head_bytes: 0, abort };
    Ok(Response { status, headers, body: Box::new(content) })
}

/// A request under way.
#[derive(Clone)]
struct Underway {
    controller: AbortController,
    /// The answer has been read to its end: there is nothing to abort, which would cost an exception.
    ended: Rc<Cell<bool>>,
}

impl Underway {
    fn end(&self) {
        if !self.ended.replace(true) {
            self.controller.abort();
        }
    }
}

/// Ends the request when its time is over, and when nobody waits for it any more.
struct Abort {
    request: Underway,
    /// The download that this request streams on, which ends with it.
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

    /// What was thrown: why the request was ended, or that time was over, or what went wrong.
    fn explain(&self, thrown: JsValue) -> TransportError {
        match thrown.as_string() {
            Some(why) => failure(&why),
            None if self.request.controller.signal().aborted() => {
                failure(&format!("no answer within {} ms", self.timeout.as_millis()))
            }
            None => error(thrown),
        }
    }

    /// From here on nothing but the end of the body's use ends the request.
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
    /// None: there is no body, or a short one.
    reader: Option<ReadableStreamDefaultReader>,
    head: Vec<Uint8Array>,
    /// Of all that has been read ahead.
    head_bytes: usize,
    abort: Abort,
}

impl Content {
    /// The next chunk; of a short body, all of it.
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

    /// Reads the next chunk to keep it; false: there is none.
    async fn read_ahead(&mut self) -> Result<bool, TransportError> {
        let Some(chunk) = self.read().await? else { return Ok(false) };
        self.head_bytes += chunk.length() as usize;
        self.head.push(chunk);
        Ok(true)
    }

    /// The next chunk to hand on, those already looked at first.
    async fn next(&mut self) -> Result<Option<Uint8Array>, TransportError> {
        if self.head.is_empty() { self.read().await } else { Ok(Some(self.head.remove(0))) }
    }

    /// A body that has been read to its end, and is not too large: it needs no stream.
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

/// A `ReadableStream` over a body, counting what passes. Where there is no more to hand on before its end, it
/// ends the upload.
///
/// While a pull is on its way the content is taken out; else a cancel drops it, which ends the download
/// too. The closures belong to the stream and are freed with it.
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
                    // One that is cancelled by now takes no more.
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

/// Texts differ between versions of the platform, so the name goes first.
fn error(thrown: JsValue) -> TransportError {
    let part = |key: &str| Reflect::get(&thrown, &key.into()).ok().and_then(|value| value.as_string());
    match (part("name"), part("message")) {
        // Addresses in it may be signed.
        (Some(name), Some(message)) => failure(&cleaned(&format!("{name}: {message}"))),
        _ => failure("what was thrown is no error"),
    }
}

fn failure(message: &str) -> TransportError {
    TransportError(message.to_owned())
}
