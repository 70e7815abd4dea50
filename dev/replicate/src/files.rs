//! Serves the output files on a port of their own, as replicate.delivery does.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Handle;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};

use crate::picture::Picture;
use crate::prediction::Status;
use crate::script::File;
use crate::state::Shared;
use crate::{answer, gate};

const HUGE_PIECE: usize = 64 * 1024;
const SLOW_PIECES: usize = 20;

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(get(serve))
        .layer(middleware::from_fn_with_state(shared.clone(), gate::files))
        .with_state(shared)
}

async fn serve(Handle(shared): Handle<Arc<Shared>>, uri: Uri) -> Response {
    let extra = shared.state().extra_files.get(uri.path()).cloned();
    if let Some((content_type, bytes)) = extra {
        return whole(&content_type, bytes, &File::default());
    }
    let Some((picture, file)) = find(&shared, uri.path()) else { return answer::plain(404) };
    if let Some(status) = file.status
        && (!file.status_once || shared.state().refused_once.insert(uri.path().to_owned()))
    {
        return answer::plain(status);
    }
    if file.html {
        return whole(
            "text/html; charset=utf-8",
            Bytes::from_static(b"<!doctype html><title>Not a picture</title><p>Sorry.</p>"),
            &file,
        );
    }
    if let Some(length) = file.huge {
        return huge(picture, length, &file);
    }
    match shared.bytes(picture).await {
        Ok(bytes) => whole(picture.format.content_type(), bytes, &file),
        Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Finds `/xezq/{id}/out-{number}.{extension}` of a prediction that has succeeded.
fn find(shared: &Shared, path: &str) -> Option<(Picture, File)> {
    let (id, name) = path.strip_prefix("/xezq/")?.split_once('/')?;
    let (number, extension) = name.strip_prefix("out-")?.split_once('.')?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let record = state.record(id)?;
    let picture = *record.pictures.get(number.parse::<usize>().ok()?)?;
    (record.status(now) == Status::Succeeded && extension == picture.format.extension() && !record.is_removed(now))
        .then(|| (picture, record.file.clone()))
}

fn whole(content_type: &str, bytes: Bytes, file: &File) -> Response {
    let length = bytes.len();
    if file.pause.is_none() && !file.no_length {
        return respond(content_type, Some(length as u64), Body::from(bytes));
    }
    let piece = (length / SLOW_PIECES).max(1);
    let pieces = (0..length).step_by(piece).map(move |start| bytes.slice(start..length.min(start + piece)));
    respond(
        content_type,
        (!file.no_length).then_some(length as u64),
        Body::from_stream(paced(stream::iter(pieces), file.pause)),
    )
}

/// A PNG's signature and header chunk, then `length` bytes generated while they are sent.
fn huge(picture: Picture, length: u64, file: &File) -> Response {
    let header = png_header(picture.width, picture.height);
    let total = header.len() as u64 + length;
    let piece = Bytes::from(vec![0x5a; HUGE_PIECE]);
    let filler =
        (0..length).step_by(HUGE_PIECE).map(move |start| piece.slice(..HUGE_PIECE.min((length - start) as usize)));
    let pieces = stream::once(async { header }).chain(stream::iter(filler));
    respond("image/png", (!file.no_length).then_some(total), Body::from_stream(paced(pieces, file.pause)))
}

fn paced(
    pieces: impl Stream<Item = Bytes> + Send + 'static,
    pause: Option<Duration>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    pieces.then(move |piece| async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(piece)
    })
}

fn respond(content_type: &str, length: Option<u64>, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// A PNG's signature and IHDR chunk (8 bits, RGB) with its checksum.
fn png_header(width: u32, height: u32) -> Bytes {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    header.extend(&chunk);
    header.extend(crc32(&chunk).to_be_bytes());
    header.into()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
